"""A fine-tuning: one of the training stages on the user's material, in time, and a model folder that is like its start.

What differs between modalities is in the subclasses of `Finetuning` (`avatargpt.train.finetuning.body`, ``speakers``).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from avatargpt.train.checkpoints import ABOUT as BEST_ABOUT
from avatargpt.train.checkpoints import BEST
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Stage, StepContext
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, folder_lock, parsing, scratch_folder
from vqvae.strict import Flag, NonNegativeInt, PositiveInt, Rate, Strict

ABOUT = "finetune.json"  # in the new model folder: its origin, options and figures
PROGRESS = "begun.json"  # in the folder of an unfinished run
BUSY = "another process fine-tunes there; wait until it is over, or choose another -o"
TIMED_STEPS = 2
Notify = Callable[[str], None]  # called with the current activity


class FinetuneOptions(Strict):
    """How a model goes on learning."""

    # Low-rank updates of the T5 instead of all its weights; heads and codes of motion are trained in full
    lora: Flag = False
    steps: PositiveInt = 240  # at most
    # Of training, at most; fewer steps are planned where they take longer
    minutes: Annotated[Rate, Field(le=10_000)] = 6.0
    batch: PositiveInt = 24  # rows per step
    lr: Rate = 0.0  # peak of the learning rate; 0 = that of the modality
    # Share of the examples that are of the user's clips; the others are the package's
    user_share: Annotated[float, Field(gt=0, lt=1)] = 0.4
    rounds: PositiveInt = 6  # validations over the run
    patience: PositiveInt = 2  # of them without improvement end it
    keyframed: NonNegativeInt = 1  # clips made of every keyframed action, so that the model forgets nothing
    seed: NonNegativeInt = 0  # of all random draws
    licence: str = "not stated"  # of the clips; stands in the result

    def schedule(self, steps: int, lr: float) -> dict[str, Any]:
        """Fields of the schedule of every modality; `lr` is its default."""
        every = max(1, steps // self.rounds)
        return {
            "steps": steps, "lr": self.lr or lr, "lr_floor": 1e-5, "warmup": min(20, max(1, steps // 10)),
            "seed": self.seed, "log_every": min(10, steps), "save_every": every, "val_every": every,
        }  # fmt: skip


class EarlyStopping(Stage):
    """A stage that is over after `patience` validations without a lower figure; each goes to `count_validation`."""

    patience = 2
    _lowest, _failures = math.inf, 0

    @property
    def over(self) -> bool:
        return self._failures >= self.patience

    def count_validation(self, figure: float) -> None:
        """Count a validation."""
        improved = figure < self._lowest
        self._lowest, self._failures = min(self._lowest, figure), 0 if improved else self._failures + 1

    def state(self) -> dict[str, Any]:
        return {"best": self._lowest, "worse": self._failures}

    def restore(self, state: dict[str, Any]) -> None:
        self._lowest, self._failures = float(state["best"]), int(state["worse"])


def step_seconds(stage: Any) -> float:
    """Duration of a step of a stage here, without changing its weights."""
    stage.network.train()
    begin = 0.0
    for step in range(TIMED_STEPS + 1):  # the first one prepares kernels
        if step == 1:
            begin = time.perf_counter()
        context = StepContext(step, stage.runtime.rank, stage.runtime.world, stage.schedule.seed)
        total, _ = stage.losses(stage.module, context)
        total.backward()
        # No optimizer step: the weights stay as they are.
        stage.optimizer.zero_grad(set_to_none=True)
    return (time.perf_counter() - begin) / TIMED_STEPS


def steps_in_time(limit: int, minutes: float, seconds: float) -> int:
    """Steps of so many seconds each that fit into the time; from 1 to `limit`."""
    return max(1, min(limit, int(minutes * 60 / max(seconds, 1e-6))))


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 over names and contents of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{file.stat().st_size};".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


class Progress:
    """Facts of a run, each computed once and stored in its folder."""

    def __init__(self, folder: Path, inputs: dict[str, Any]) -> None:
        self.path, self.facts = folder / PROGRESS, {"inputs": inputs}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UserError(f"cannot write {folder}: {e.strerror or e}") from None
        if not self.path.is_file():
            return
        self.facts = read_object(self.path)
        with parsing(self.path, "what a fine-tuning began with", f"remove {folder} to begin anew"):
            before = dict(self.facts["inputs"])
        changed = [k for k in sorted({*before, *inputs}) if before.get(k) != inputs.get(k)]
        if changed:
            raise UserError(f"{folder}: a run with another {changed[0]} was begun there; accepted: the same command, "
                            "another -o, or that folder removed")  # fmt: skip

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """A fact, computed and stored where it is not known yet."""
        if name not in self.facts:
            self.facts[name] = compute()
            text = json.dumps(self.facts, indent=1, ensure_ascii=False)
            atomic_write(self.path, lambda p: p.write_text(text, encoding="utf-8"))
        return self.facts[name]


def check_new(out: Path) -> None:
    """Raises UserError for a model folder that exists."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"-o {out}: is there already; accepted: a new folder")


def inherit(start: Path, out: Path, change: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """Copy a model folder, change the copy, and put it in its place once it is complete. `change`: writes its parts
    into the copy; its result goes into `ABOUT`.
    """
    # Next to the result: a rename within one file system is atomic.
    with scratch_folder(out.absolute().parent, out.name) as place:
        left_out = shutil.ignore_patterns("__pycache__", ".lock", ".library.lock")
        shutil.copytree(start, place, ignore=left_out, dirs_exist_ok=True)
        about = dict(change(place))
        (place / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if out.is_dir():
            out.rmdir()  # empty, as `check_new` saw
        os.replace(place, out)
    return about


class Finetuning(ABC):
    """One fine-tuning; a subclass reads the material, builds the stage and writes the new parts."""

    modality: ClassVar[str]

    def __init__(
        self, folder: Path, out: Path, options: FinetuneOptions, start: Path, runtime: Runtime, notify: Notify
    ) -> None:
        self.folder, self.out, self.options, self.start = folder, out, options, start
        self.runtime, self.notify = runtime, notify
        self.work = out.with_name(f"{out.name}.run")

    @abstractmethod
    def read(self) -> list[Path]:
        """Check the start folder and read the material; the files that it came from."""

    @abstractmethod
    def prepare(self) -> None:
        """Compute the training data in `work`, where it is not there yet."""

    @abstractmethod
    def stage(self, steps: int) -> Any:
        """The stage, an `EarlyStopping`, for so many steps, from the weights of `start`."""

    def figures(self, model: Path) -> dict[str, float]:
        """Figures of the output of a model folder, beside those of the stage's validation."""
        return {}

    @abstractmethod
    def write_parts(self, best: Path, place: Path) -> None:
        """Write the parts trained in run folder `best` into model folder `place`."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Facts of the material, for `ABOUT`: ``clips`` by split."""

    def go(self) -> dict[str, Any]:
        """Run or resume; the contents of `ABOUT`."""
        check_new(self.out)
        inputs = {"clips": digest_of(self.read()), "start": str(self.start.resolve()),
                  **{f"option {k}": v for k, v in self.options.model_dump().items()}}  # fmt: skip
        progress = Progress(self.work, inputs)
        with folder_lock(self.work, BUSY, ".finetune.lock"):
            self.notify("preparing")
            self.prepare()
            self.notify("measuring")
            # Figures of the start, computed once: a resumed run does not generate them again.
            output = progress.once("output", lambda: self.figures(self.start))
            steps, before = progress.once("plan", self._plan)
            stage = self.stage(steps)
            # Validation compares with the figures before the training.
            stage.patience, stage.before = self.options.patience, before
            run(stage, self.work, self.runtime)
            about = inherit(
                self.start, self.out, lambda place: self._pack_model(place, stage, steps, {**before, **output})
            )
        shutil.rmtree(self.work, ignore_errors=True)
        return about

    def _plan(self) -> tuple[int, dict[str, float]]:
        """Steps that fit into the time, and the figures of the first validation."""
        trial = self.stage(self.options.steps)
        before = {k: v for k, v in trial.validate().items() if math.isfinite(v)}
        return steps_in_time(self.options.steps, self.options.minutes, step_seconds(trial)), before

    def _pack_model(self, place: Path, stage: Any, steps: int, before: Mapping[str, float]) -> dict[str, Any]:
        self.notify("packing")
        saved = self.work / BEST / BEST_ABOUT
        validated = saved.is_file()  # else the last weights stand for the best ones
        self.write_parts(self.work / BEST if validated else self.work, place)
        after = read_object(saved)["figures"] if validated else stage.validate()
        after = {**after, **self.figures(place)}
        return {
            "modality": self.modality, "start": self.start.name, "licence": self.options.licence,
            "options": self.options.model_dump(), "steps": steps, **self.about(),
            "figures": {k.removeprefix("val_"): [round(v, 5), round(float(after[k]), 5)]
                        for k, v in before.items() if k in after},
        }  # fmt: skip
