"""The closed loop over ten minutes: ratio to real time, time to the first frames, memory minute by minute.

Runs what `avatargpt long` runs, parts on disk included, in a temporary folder. Times count from the moment that model
and planner are loaded. Minutes are minutes of motion. Memory is the resident set of this process; the peak is the
highest that it ever was up to then. On a busy machine look at the processor's time (`cpu_...`, all threads together)
instead of the clock's.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import peak, resident


def run(
    scene: str = "a tired gardener finishes the day's work", seconds: float = 600.0, radius: float = 10.0,
    planner: str | None = None, model: str | None = None, threads: int | None = None, seed: int = 0,
) -> dict[str, Any]:
    """Measure."""
    from avatargpt import AvatarGPT, planning
    from avatargpt.long.loop import long
    from avatargpt.long.stream import LongWriter, join

    began = time.perf_counter()
    loaded = AvatarGPT.from_pretrained(model, threads=threads)
    plans = planning.load_planner(planner, loaded)
    out: dict[str, Any] = {"scene": scene, "load_s": round(time.perf_counter() - began, 2)}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "long.npz"
        writer = LongWriter(target, {"scene": scene, "fps": 20.0})
        began, cpu, far = time.perf_counter(), time.process_time(), 0.0
        for chunk in long(loaded, scene, seconds, plans, seed, radius):
            if not chunk.start:
                out["first_frames_s"] = round(time.perf_counter() - began, 2)
                out["cpu_first_frames_s"] = round(time.process_time() - cpu, 2)
                out["first_frames"] = len(chunk.motion)
            before = writer.frames // 1200
            writer.add(chunk.frames, chunk.spans)
            far = max(far, float(np.linalg.norm(chunk.motion.root[:, [0, 2]], axis=-1).max()))
            if writer.frames // 1200 > before:
                out.setdefault("resident_mb_by_minute", []).append(round(resident(), 1))
                out.setdefault("peak_mb_by_minute", []).append(round(peak(), 1))
        writer.flush()
        activities = join(target)["activities"]
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    return out | {
        "seconds": seconds, "took_s": round(took, 1), "times_real_time": round(seconds / took, 2),
        "cpu_took_s": round(cpu, 1), "cpu_times_real_time": round(seconds / cpu, 2),
        "radius_m": radius, "farthest_m": round(far, 2), "planner": plans.name,
        "activities": len(activities), "distinct_activities": len({a["task"] for a in activities}),
        "threads": threads or os.cpu_count(),
    }  # fmt: skip
