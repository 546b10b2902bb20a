"""CPU time of a cold command, of decoding candidates and of drawing, each as a ratio to something in the same run.

    python benchmarks/commands.py [--rounds 3] [--json]

- `cold`: `avatargpt generate ... --seconds 4 -o x.npz` in a process of its own, against `import torch` alone, which no
  command can avoid. The disk cache is warm.
- `candidates`: features of eight candidates of four seconds, one by one against all together.
- `drawing`: pictures of a clip (480 pixels) and their encoding, per second of motion.
All on one thread unless told otherwise; CPU seconds are those of all threads, the system's included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

GENERATE = ["-m", "avatargpt", "generate", "a person walks in a circle, then bows", "--seconds", "4", "-q", "-o"]


def spent(arguments: list[str], threads: int | None, rounds: int) -> float:
    """Least CPU seconds of a Python process."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE")}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    best = float("inf")
    for _ in range(rounds):
        before = os.times()
        subprocess.run([sys.executable, *arguments], check=True, env=environment, capture_output=True)
        after = os.times()
        best = min(best, after.children_user + after.children_system - before.children_user - before.children_system)
    return best


def shortest(work: Callable[[], object], rounds: int) -> float:
    """Least CPU seconds of a call in this process."""
    work()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="of each; the best counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "x.npz"
        torch_alone = spent(["-c", "import torch"], 1, args.rounds)
        for threads, name in ((1, "one thread"), (None, "default threads")):
            cold = spent([*GENERATE, str(clip)], threads, args.rounds)
            result[f"cold generate, {name}"] = {"cpu_seconds": cold, "to_import_torch": cold / torch_alone}
        result["import torch"] = {"cpu_seconds": torch_alone}

        import torch

        from avatargpt import export, resources
        from avatargpt.export.video import pictures
        from vqvae.motion import Motion
        from vqvae.tokenizer import MotionTokenizer

        torch.set_num_threads(1)
        tokenizer = MotionTokenizer.load(resources.weights() / "body")
        codes = np.random.default_rng(0).integers(0, 512, (8, 20, 6))
        one_by_one = shortest(lambda: [tokenizer.decode_features(c) for c in codes], args.rounds)
        together = shortest(lambda: tokenizer.decode_features(codes), args.rounds)
        times = {"apart_ms": one_by_one * 1e3, "together_ms": together * 1e3}
        result["eight candidates"] = {**times, "ratio": one_by_one / together}
        motion = Motion.load(clip)
        drawn = shortest(lambda: list(pictures(motion, 480)), args.rounds) / motion.seconds
        film = shortest(lambda: export.save(motion, Path(folder) / "x.mp4"), args.rounds) / motion.seconds
        result["mp4 per second of motion"] = {"drawing_ms": drawn * 1e3, "all_ms": film * 1e3}
    if args.json:
        print(json.dumps(result, indent=1))
        return
    for name, figures in result.items():
        print(f"{name:32s}" + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
