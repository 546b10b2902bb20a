"""Costs of training: example rows, what a step waits for them, tokens a second, memory of the tokenizer stage.

Needs nothing but the package (with OMP_NUM_THREADS=1). The language stage learns the body's and the words' tasks of
`configs/language/one.yaml` on keyframed clips, with the packaged tokenizer's codes, in the shape of the packaged model.
*Rows*: what `Examples.make` prepares in a CPU second of one core. *Loader*: the share of a step's wall-clock time that
is waited for rows and their tensors. *Throughput*: tokens without padding a second and, on a GPU whose peak is known,
the share of its arithmetic (`avatargpt.train.throughput`). *Memory*: the tokenizer stage in a process of its own, on
random motion of some hours; the slope of its peak (VmHWM, what the kernel counts) between the hours."""

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
from avatargpt.train.command import parse_options
from avatargpt.train.engines import make_engine
from avatargpt.train.language import LanguageRecipe, LanguageStage, make_stage
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import StepContext
from avatargpt.train.throughput import Throughput
from instruct_data.clip import Clip
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.factory.texts import unpack_texts
from instruct_data.store import Store
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

POOL, POOLS = 8, 4  # steps of a pool; pools that rows are counted in
WARM = 1  # steps before the first that counts
ROWS_GOAL, LOADER_GOAL = 20_000, 0.05
FPS = 20.0
SHAPE = {"vocab_size": 4096, "d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 4, "num_heads": 4}
CLIP = 12.0  # seconds of a clip of random motion


def language_stage(folder: Path, runtime: Runtime, batch: int, workers: int, steps: int) -> LanguageStage:
    """The stage on codes of keyframed clips and of such joined, with the texts of the package."""
    from avatargpt.train.data.prepare import make_keyframed_clips
    from avatargpt.train.tokenizer import tokenise_clip

    bank = CaptionBank(unpack_texts("text") / "body_captions.json")
    tokenizer = MotionTokenizer.load(resources.weights() / "body")
    clips = make_keyframed_clips(bank, np.zeros(0), 1)
    Store.write_codes((tokenise_clip(c, tokenizer) for c in clips), folder / "codes", tokenizer.fingerprint)
    data = resolve(resources.configs() / "language" / "one.yaml")
    absent = ("face", "gesture", "steps_to_motion", "motion_to_steps")  # clips that are not made here
    weights = {k: v for k, v in data["train"]["options"]["weights"].items() if not any(o in k for o in absent)}
    data["train"] |= {"batch": batch, "pool": POOL, "workers": workers, "steps": steps}
    data["train"]["options"] |= {"weights": weights}
    data["model"] = {**SHAPE, "modalities": {"body": data["model"]["modalities"]["body"]}}
    options = parse_options([
        "language", "--config", "one.yaml", "--tokenizer", str(resources.weights() / "body"), "--codes",
        str(folder / "codes"), "--texts", "package:text", "--planning", "package:planning", "--chat", "package:chat",
        "-o", str(folder / "run"),
    ])  # fmt: skip
    return make_stage(LanguageRecipe.read(data, "one.yaml"), options, runtime)


def example_rows(stage: LanguageStage) -> dict[str, Any]:
    """Rows that one core prepares in a CPU second; the first pool fills tables and is not counted."""
    rows = seconds = 0.0
    for number in range(POOLS + 1):
        begun = time.process_time()
        made, *_ = stage.pool.make_pool(number * POOL)
        if number:
            rows, seconds = rows + len(made), seconds + time.process_time() - begun
    return {"rows_per_second": round(rows / seconds), "goal": ROWS_GOAL}


class Timed:
    """A function, and how long its calls took, seconds of wall-clock time."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work, self.seconds = work, 0.0

    def __call__(self, *args: Any) -> Any:
        begun = time.perf_counter()
        result = self.work(*args)
        self.seconds += time.perf_counter() - begun
        return result


def timed_steps(stage: LanguageStage, runtime: Runtime, count: int) -> dict[str, Any]:
    """Share of steps that is waited for rows, and their throughput."""

    def settle() -> float:
        if runtime.device.type == "cuda":
            torch.cuda.synchronize(runtime.device)
        return time.perf_counter()

    engine, rows = make_engine(stage, runtime, None), Timed(stage._prepared.get)
    stage._prepared.get = rows  # type: ignore[method-assign, assignment]
    throughput, begun = Throughput(runtime), 0.0
    for step in range(WARM + count):
        if step == WARM:  # the first steps prepare kernels and the first pool
            stage.take_work()
            rows.seconds, begun = 0.0, settle()
        total, _ = stage.losses(engine.module, StepContext(step, 0, 1, stage.schedule.seed))
        engine.optimizer_step([total], 1, 0.0)  # at a rate of nothing the model stays as it is
    seconds = settle() - begun
    throughput.add_step(stage.take_work(), seconds)
    figures = {k: round(v, 4) for k, v in throughput.figures(0).items() if k != "eta_minutes"}
    loader = {"share": round(rows.seconds / seconds, 4), "waited_ms": round(1000 * rows.seconds / count, 1),
              "step_ms": round(1000 * seconds / count, 1), "goal": LOADER_GOAL}  # fmt: skip
    return {"loader": loader, "throughput": figures}


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


def run(
    device: str | None = None, batch: int = 512, steps: int = 2, workers: int = 0, hours: str = "1,3",
    only: str = "rows,steps,memory",
) -> dict[str, Any]:
    """Measure; `steps` that are timed (a GPU needs some tens), `workers`: processes that prepare rows, 0 = a thread."""
    runtime = Runtime.start(1, device)
    cuda = runtime.device.type == "cuda"
    result: dict[str, Any] = {
        "command": " ".join(["python", "benchmarks/run.py", "train", *sys.argv[1:]]), "torch": torch.__version__,
        "device": torch.cuda.get_device_name(runtime.device) if cuda else platform.processor() or platform.machine(),
    }  # fmt: skip
    parts = only.split(",")
    with tempfile.TemporaryDirectory() as folder:
        if {"rows", "steps"} & set(parts):
            stage = language_stage(Path(folder), runtime, batch, workers, WARM + steps)
            if "rows" in parts:
                result["rows"] = example_rows(stage)
            if "steps" in parts:
                result |= timed_steps(stage, runtime, steps)
            stage.pool.close()
        if "memory" in parts:
            result["memory"] = memory([float(h) for h in hours.split(",")], Path(folder))
    return result
