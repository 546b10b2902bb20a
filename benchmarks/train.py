"""Costs of training beside its arithmetic: padding, the loader, and the memory of the tokenizer stage.

    OMP_NUM_THREADS=1 python benchmarks/train.py [--steps 16] [--hours 1,3] [--only memory] [-o FILE]

Needs nothing but the package. The language stage learns the body's and the words' tasks of
`configs/language/unified.yaml` on keyframed clips, with the packaged tokenizer's codes, in the shape of the packaged
model. *Padding*: rows in buckets of two levels; as they are drawn, padded to the longest of a batch; the same padded to
256 on both sides. Whole steps are timed in turns, CPU seconds. Useful is a token that is not padding. *Loader*: the
share of a step's wall-clock time that is waited for rows and their tensors, in the buckets. *Memory*: the tokenizer
stage in a process of its own, on random motion of some hours; the slope of its peak (VmHWM, what the kernel counts)
between the hours.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt import resources
from avatargpt.config import resolve
from avatargpt.lm.shape import IGNORED
from avatargpt.train.command import parsed
from avatargpt.train.data.batches import Batch, Pool
from avatargpt.train.engines import make_engine
from avatargpt.train.language import LanguageRecipe, LanguageStage, make_stage
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import StepContext
from instruct_data.clip import Clip
from instruct_data.store import Store
from instruct_data.text.captions import CaptionBank
from instruct_data.texts import unpacked
from vqvae.motion import Motion, atomic_write
from vqvae.tokenizer import MotionTokenizer

WIDTH = 256  # what AvatarGPT's training code pads to
ROWS, POOL = 32, 8
FPS = 20.0
SHAPE = {"vocab_size": 4096, "d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 4, "num_heads": 4}
CLIP = 12.0  # seconds of a clip of random motion


def tokens(batch: Batch) -> tuple[int, int]:
    """How many tokens of encoder and decoder are useful, and how many there are."""
    masks = [batch.inputs["attention_mask"], *(mask for _, mask, _ in batch.inputs.get("extra_embeddings", ()))]
    useful = sum(int(m.sum()) for m in masks) + int((batch.labels != IGNORED).sum())
    return useful, sum(m.numel() for m in masks) + batch.labels.numel()


class Drawn(Pool):
    """Rows as they are drawn."""

    def order(self, rows: Any) -> np.ndarray:
        return np.arange(len(rows)).reshape(self.steps, self.rows)


def widened(batch: Batch) -> Batch:
    """Both sides padded to `WIDTH`."""

    def wide(x: torch.Tensor, value: int) -> torch.Tensor:
        out = x.new_full((x.shape[0], WIDTH, *x.shape[2:]), value)
        out[:, : x.shape[1]] = x[:, :WIDTH]
        return out

    fills = {"input_ids": 0, "attention_mask": 0, "residual_codes": -1}
    inputs = {k: wide(v, fills[k]) for k, v in batch.inputs.items()}
    return Batch(inputs, batch.heads, wide(batch.labels, IGNORED), batch.length, wide(batch.codes, -1), batch.tasks)


def language_stage(folder: Path, runtime: Runtime) -> LanguageStage:
    """The stage on codes of keyframed clips and of such joined, with the texts of the package."""
    from avatargpt.train.data.prepare import keyframed_clips
    from avatargpt.train.tokenizer import tokenised

    bank = CaptionBank(unpacked("text") / "body_captions.json")
    tokenizer = MotionTokenizer.load(resources.weights() / "body")
    clips = keyframed_clips(bank, np.zeros(0), 1)
    Store.write_codes(tokenised(clips, tokenizer), folder / "codes", tokenizer.fingerprint)
    data = resolve(resources.configs() / "language" / "unified.yaml")
    absent = ("face", "gesture", "steps_to_motion", "motion_to_steps")  # clips that are not made here
    weights = {k: v for k, v in data["train"]["options"]["weights"].items() if not any(o in k for o in absent)}
    data["train"] |= {"batch": ROWS, "pool": POOL}
    data["train"]["options"] |= {"weights": weights}
    data["model"] = {**SHAPE, "modalities": {"body": data["model"]["modalities"]["body"]}}
    options = parsed([
        "language", "--config", "unified.yaml", "--tokenizer", str(resources.weights() / "body"), "--codes",
        str(folder / "codes"), "--texts", "package:text", "--planning", "package:planning", "--chat", "package:chat",
        "-o", str(folder / "run"),
    ])  # fmt: skip
    return make_stage(LanguageRecipe.read(data, "unified.yaml"), options, runtime)


def padding(stage: LanguageStage, steps: int, runtime: Runtime) -> dict[str, Any]:
    """Useful tokens per CPU second of every way to pad."""
    seed, (engine, make_batch) = stage.schedule.seed, (make_engine(stage, runtime, None), stage.batch)
    same: Callable[[Batch], Batch] = lambda batch: batch  # noqa: E731
    kinds: dict[str, tuple[Pool, Callable[[Batch], Batch]]] = {
        "buckets of two levels": (Pool(stage.examples, seed, POOL, ROWS, True), same),
        "padded to the longest": (Drawn(stage.examples, seed, POOL, ROWS), same),
        f"padded to {WIDTH}": (Drawn(stage.examples, seed, POOL, ROWS), widened),
    }
    result: dict[str, Any] = {name: {"useful": 0, "padded": 0, "seconds": 0.0} for name in kinds}
    for timed in (False, True):  # the first time around prepares kernels
        for step in range(steps if timed else min(steps, 2)):
            for name, (stage.pool, change) in kinds.items():
                batch = change(make_batch(stage.pool.step(step)))
                stage.batch = lambda rows, ready=batch: ready  # type: ignore[method-assign, misc]
                torch.manual_seed(step)
                begun = time.process_time()
                total, _ = stage.losses(engine.module, StepContext(step, 0, 1, 0))
                engine.optimizer_step([total], 1, 0.0)  # at a rate of nothing the model stays as it is
                if timed:
                    useful, padded = tokens(batch)
                    seconds = time.process_time() - begun
                    for key, value in (("useful", useful), ("padded", padded), ("seconds", seconds)):
                        result[name][key] += value
    stage.batch = make_batch  # type: ignore[method-assign]
    for entry in result.values():
        entry["useful_per_second"] = round(entry["useful"] / entry["seconds"], 1)
        entry["seconds"] = round(entry["seconds"], 2)
    best, *slower = (f["useful_per_second"] for f in result.values())
    ratios = [round(best / o, 2) for o in slower]
    return {"kinds": result, "over_longest": ratios[0], f"over_{WIDTH}": ratios[1], "goals": [1.3, 4.0]}


class Timed:
    """A function, and how long its calls took, seconds of wall-clock time."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work, self.seconds = work, 0.0

    def __call__(self, *args: Any) -> Any:
        begun = time.perf_counter()
        result = self.work(*args)
        self.seconds += time.perf_counter() - begun
        return result


def loader(stage: LanguageStage, runtime: Runtime) -> dict[str, Any]:
    """The share of wall-clock time that the steps of a pool wait for rows, made ahead and in turn."""
    engine, make_batch, out = make_engine(stage, runtime, None), stage.batch, {}
    for name, end in (("in turn", None), ("made ahead", 3 * POOL)):
        stage.pool = Pool(stage.examples, stage.schedule.seed, POOL, ROWS, True, end)
        stage.pool.step(0)
        rows, batch = Timed(stage.pool.step), Timed(make_batch)
        stage.pool.step, stage.batch = rows, batch  # type: ignore[method-assign]
        begun = time.perf_counter()
        for step in range(1, POOL + 1):  # the last is of the next pool
            total, _ = stage.losses(engine.module, StepContext(step, 0, 1, 0))
            engine.optimizer_step([total], 1, 0.0)
        waited, total_seconds = rows.seconds + batch.seconds, time.perf_counter() - begun
        out[name] = {"share": round(waited / total_seconds, 4), "waited_ms": round(1000 * waited / POOL, 1),
                     "step_ms": round(1000 * total_seconds / POOL, 1)}  # fmt: skip
        stage.batch = make_batch  # type: ignore[method-assign]
    return {**out, "goal": 0.05}


def random_clips(hours: float) -> Iterator[Clip]:
    """Bodies whose joints swing at random, `CLIP` seconds each."""
    from vqvae import rotations as rot

    t = np.arange(int(CLIP * FPS)) / FPS
    for i in range(round(hours * 3600 / CLIP)):
        rng = np.random.default_rng(i)
        phase, rate = rng.uniform(0, 6, (22, 1)), rng.uniform(0.2, 1.5, (22, 1))
        swing = rng.uniform(0, 0.5, (22, 1)) * np.sin(phase + 6.28 * rate * t)
        axis = rng.normal(size=(22, 1, 3))
        turned = rot.from_axis_angle(swing[..., None] * axis / np.linalg.norm(axis, axis=-1, keepdims=True))
        root = np.stack([np.sin(t), np.full_like(t, 0.95), np.cos(t)], -1)
        yield Clip(f"c{i:05d}", Motion(turned.transpose(1, 0, 2), root, FPS), [], "random", "none",
                   "val" if i % 20 == 0 else "train", f"class{i % 40}")  # fmt: skip


PEAK = """
import sys
from avatargpt.train.command import main
assert main(sys.argv[1:]) == 0
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
"""


def memory(hours: list[float], folder: Path) -> dict[str, Any]:
    """Peak memory of the tokenizer stage over stores of so many hours, and its slope."""
    peaks = {}
    config = f"{resources.configs() / 'tokenizer' / 'body.yaml'}:debug"
    for h in hours:
        Store.write(random_clips(h), folder / f"store{h:g}")
        words = [
            "tokenizer", "--config", str(config), "--set", "train.steps=4", "--set", "train.val_every=4", "--store",
            str(folder / f"store{h:g}"), "--threads", "1", "--device", "cpu", "-o", str(folder / f"run{h:g}"),
        ]  # fmt: skip
        ended = subprocess.run([sys.executable, "-c", PEAK, *words], capture_output=True, text=True, check=True)
        peaks[h] = int(ended.stdout.splitlines()[-1]) / 1e6
    few, many = min(hours), max(hours)
    slope = (peaks[many] - peaks[few]) / (many - few)
    return {"peak_gb": {f"{h:g} h": round(p, 3) for h, p in peaks.items()}, "gb_per_10_hours": round(10 * slope, 3),
            "goal": 1.0}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16, help="of each way to pad")
    parser.add_argument("--hours", default="1,3", help="of motion, for the memory of the tokenizer stage")
    parser.add_argument("--only", default="loader,padding,memory", help="what to measure")
    parser.add_argument("-o", "--output", type=Path, help="where the figures go as JSON")
    args = parser.parse_args()
    runtime = Runtime.start(1, "cpu")
    result: dict[str, Any] = {
        "command": f"python benchmarks/train.py --steps {args.steps} --hours {args.hours} --only {args.only}",
        "torch": torch.__version__, "processor": platform.processor() or platform.machine(),
    }  # fmt: skip
    only = args.only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        stage = language_stage(Path(folder), runtime) if {"padding", "loader"} & set(only) else None
        if stage is not None and "loader" in only:
            result["loader"] = loader(stage, runtime)
        if stage is not None and "padding" in only:
            result["padding"] = padding(stage, args.steps, runtime)
        if "memory" in only:
            result["memory"] = memory([float(h) for h in args.hours.split(",")], Path(folder))
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if args.output:
        atomic_write(args.output, lambda p: p.write_text(text, encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
