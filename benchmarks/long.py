"""The closed loop over ten minutes: ratio to real time, time to the first frames, memory minute by minute.

    python benchmarks/long.py [--scene TEXT] [--seconds 600] [--radius 10] [--model FOLDER] [--threads N] [--json]

Runs what `avatargpt long` runs, parts on disk included, in a temporary folder. Times count from the moment that model
and planner are loaded. Minutes are minutes of motion. Memory is the resident set of this process; the peak is the
highest that it ever was up to then. On a busy machine look at the processor's time (`cpu_...`, all threads together)
instead of the clock's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SCENE = "a tired gardener finishes the day's work"


def resident() -> float:
    """Resident set now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak() -> float:
    """Largest resident set so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def measure(args: argparse.Namespace) -> dict[str, Any]:
    from avatargpt import AvatarGPT, planning
    from avatargpt.long.loop import long
    from avatargpt.long.stream import LongWriter, join

    began = time.perf_counter()
    model = AvatarGPT.from_pretrained(args.model, threads=args.threads)
    planner = planning.load_planner(args.planner, model)
    out: dict[str, Any] = {"scene": args.scene, "load_s": round(time.perf_counter() - began, 2)}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "long.npz"
        writer = LongWriter(target, {"scene": args.scene, "fps": 20.0})
        began, cpu, far = time.perf_counter(), time.process_time(), 0.0
        for chunk in long(model, args.scene, args.seconds, planner, args.seed, args.radius):
            if not chunk.start:
                out["first_frames_s"] = round(time.perf_counter() - began, 2)
                out["cpu_first_frames_s"] = round(time.process_time() - cpu, 2)
                out["first_frames"] = len(chunk.motion)
            before = writer.frames // 1200
            writer.add(chunk.frames, chunk.spans)
            far = max(far, float(np.linalg.norm(chunk.motion.root[:, [0, 2]], axis=-1).max()))
            minute = writer.frames // 1200
            if minute > before:
                out.setdefault("resident_mb_by_minute", []).append(round(resident(), 1))
                out.setdefault("peak_mb_by_minute", []).append(round(peak(), 1))
        writer.flush()
        timeline = join(target)
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
    activities = timeline["activities"]
    return out | {
        "seconds": args.seconds, "took_s": round(took, 1), "times_real_time": round(args.seconds / took, 2),
        "cpu_took_s": round(cpu, 1), "cpu_times_real_time": round(args.seconds / cpu, 2),
        "radius_m": args.radius, "farthest_m": round(far, 2), "planner": planner.name,
        "activities": len(activities), "distinct_activities": len({a["task"] for a in activities}),
        "threads": args.threads or os.cpu_count(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scene", default=SCENE)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--radius", type=float, default=10.0)
    parser.add_argument("--planner", help="as for `avatargpt long`")
    parser.add_argument("--model", help="folder of weights; default: the packaged ones")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    result = measure(args := parser.parse_args())
    if args.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key.replace('_', ' ')}: {value}")


if __name__ == "__main__":
    main()
