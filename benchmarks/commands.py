"""CPU time of a cold command, of decoding candidates and of drawing, each as a ratio to something in the same run.

- `cold`: `avatargpt generate ... --seconds 4 -o x.npz` in a process of its own, against `import torch` alone, which no
  command can avoid. The disk cache is warm.
- `candidates`: features of eight candidates of four seconds, one by one against all together.
- `drawing`: pictures of a clip (480 pixels) and their encoding, per second of motion.

All on one thread unless told otherwise; CPU seconds are those of all threads, the system's included.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import shortest

GENERATE = ["-m", "avatargpt", "generate", "a person walks in a circle, then bows", "--seconds", "4", "-q", "-o"]


def spent(arguments: list[str], threads: int | None, rounds: int) -> float:
    """Least CPU seconds of a Python process."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "PYTHONDONTWRITEBYTECODE")}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)

    def work() -> None:
        subprocess.run([sys.executable, *arguments], check=True, env=environment, capture_output=True)

    return shortest(work, rounds, lambda: sum(os.times()[2:4]))


def run(rounds: int = 3) -> dict[str, Any]:
    """Measure; of the rounds of each the best counts."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "x.npz"
        torch_alone = spent(["-c", "import torch"], 1, rounds)
        result: dict[str, Any] = {}
        for threads, name in ((1, "one thread"), (None, "default threads")):
            cold = spent([*GENERATE, str(clip)], threads, rounds)
            result[f"cold generate, {name}"] = {"cpu_seconds": cold, "to_import_torch": cold / torch_alone}
        result["import torch"] = {"cpu_seconds": torch_alone}

        import torch

        from avatargpt import export, resources
        from avatargpt.export.video import pictures
        from vqvae.motion import Motion
        from vqvae.tokenizer import MotionTokenizer

        torch.set_num_threads(1)
        tokenizer, motion = MotionTokenizer.load(resources.weights() / "body"), Motion.load(clip)
        codes = np.random.default_rng(0).integers(0, 512, (8, 20, 6))
        works = (
            lambda: [tokenizer.decode_features(c) for c in codes], lambda: tokenizer.decode_features(codes),
            lambda: list(pictures(motion, 480)), lambda: export.save(motion, Path(folder) / "x.mp4"),
        )  # fmt: skip
        times = [1e3 * min(shortest(work, 1), shortest(work, rounds)) for work in works]
        result["eight candidates"] = {"apart_ms": times[0], "together_ms": times[1], "ratio": times[0] / times[1]}
        result["mp4 per second of motion"] = {
            "drawing_ms": times[2] / motion.seconds, "all_ms": times[3] / motion.seconds
        }  # fmt: skip
    return result
