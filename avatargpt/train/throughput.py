"""Speed of a run: useful tokens a second, their share of the device's arithmetic, the time left."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from avatargpt.train.runtime import Runtime

# Part of a device's name -> dense bfloat16 peak in TFLOPS, from NVIDIA's data sheets; the first that fits counts.
PEAKS = {
    "H200": 989.5, "H100 PCIe": 756.5, "H100 NVL": 835.5, "H100": 989.5, "A100": 312.0, "A30": 165.0, "L40S": 362.0,
    "L4": 121.0,
}  # fmt: skip
SPEED_FIGURES = ("tokens_s", "mfu", "eta_minutes")  # in the log; they differ from run to run


@dataclass(frozen=True)
class Work:
    """Work of a process: tokens read and written, without padding, and the operations that these need at least."""

    tokens: int = 0
    flops: float = 0.0

    def __add__(self, further: Work) -> Work:
        return Work(self.tokens + further.tokens, self.flops + further.flops)


def peak_of(runtime: Runtime) -> float | None:
    """Peak of this process's device in TFLOPS in the precision that it computes in, None = not known."""
    if runtime.device.type != "cuda" or not runtime.bf16:
        return None
    # "NVIDIA H100 80GB HBM3": all words of a name of the table must occur.
    words = torch.cuda.get_device_name(runtime.device).replace("-", " ").split()
    return next((peak for name, peak in PEAKS.items() if set(name.split()) <= set(words)), None)


class Throughput:
    """Sums of work and time between two reports."""

    def __init__(self, runtime: Runtime, peak: float | None = None) -> None:
        self.world, self.peak = runtime.world, peak_of(runtime) if peak is None else peak
        self.begin, self.steps = time.perf_counter(), 0
        self.work, self.seconds = Work(), 0.0

    def add_step(self, work: Work, seconds: float) -> None:
        """Count one more step."""
        self.steps += 1
        self.work, self.seconds = self.work + work, self.seconds + seconds

    def figures(self, steps_left: int) -> dict[str, float]:
        """`SPEED_FIGURES` since the last report, as far as they are known.

        The time of a step is that of the step alone; the time left counts validation and saving as well.
        """
        out: dict[str, float] = {}
        # Stages that do not count tokens report the time left alone.
        if self.work.tokens and self.seconds > 0:
            out["tokens_s"] = self.world * self.work.tokens / self.seconds
            if self.peak:
                out["mfu"] = self.work.flops / self.seconds / (self.peak * 1e12)
        if self.steps:
            # From the whole time since the last start, so that validation and saving count.
            out["eta_minutes"] = (time.perf_counter() - self.begin) / self.steps * steps_left / 60
        self.work, self.seconds = Work(), 0.0
        return out
