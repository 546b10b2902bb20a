"""What several benchmarks need: clocks, memory, sounds, streams of speech, servers, films of faces."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


def shortest(work: Callable[[], object], rounds: int, clock: Callable[[], float] = time.process_time) -> float:
    """Least seconds of a call, those of the processor by default."""
    best = float("inf")
    for _ in range(rounds):
        begun = clock()
        work()
        best = min(best, clock() - begun)
    return best


def resident(process: int | str = "self") -> float:
    """Resident set of a process now, MB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak() -> float:
    """Largest resident set of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def buzz(pitch: float, seconds: float, rate: int) -> np.ndarray:
    """(n,) float32: harmonics of a pitch under a 4 Hz envelope."""
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 16))
    return np.asarray(0.1 * wave * (1 + np.sin(2 * np.pi * 4 * t)) / 2, np.float32)


def long_stream(push: Callable[[int], int], finish: Callable[[], int], count: int, every: int, seconds: float
                ) -> dict[str, Any]:  # fmt: skip
    """Memory and frames of a stream of `count` pieces of so many seconds, marked at the start and every so many."""
    marks, frames = [], 0
    for i in range(count):
        frames += push(i)
        if i in (0, 4) or (i + 1) % every == 0:
            marks.append((round((i + 1) * seconds / 60, 1), round(peak(), 1)))
    return {"memory_mb_after_minutes": marks, "frames": frames + finish(),
            "frames_expected": round(count * seconds * 30)}  # fmt: skip


@contextmanager
def server(*arguments: str) -> Iterator[tuple[str, int]]:
    """Address and process of an `avatargpt serve` that is ready, with a store in a temporary folder."""
    import httpx

    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "avatargpt", "serve", "--port", "0", "--store", store, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            match = re.search(r"http://[^/]+:\d+", process.stdout.readline())
            if match is None:
                sys.exit("the server did not start")
            while httpx.get(f"{match[0]}/healthz", timeout=10).json()["status"] == "loading":
                time.sleep(0.2)
            yield match[0], process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def sounds_in(folder: Path) -> list[Path]:
    """Sounds of a folder and those below it, sorted."""
    return sorted(p for s in (".wav", ".flac") for p in folder.rglob(f"*{s}"))


def raise_channels(curves: np.ndarray, name: str, values: np.ndarray) -> None:
    """Add (T,) values to the channels of a name, on both sides, within 0 and 1."""
    from vqvae import arkit

    for channel in arkit.expand(name):
        k = arkit.INDEX[channel]
        curves[:, k] = np.clip(curves[:, k] + values, 0, 1)


def film(face: Any, path: Path, size: int, points_of: Callable[[np.ndarray, np.ndarray], np.ndarray], renderer: Any,
         *sound: Any) -> Path:  # fmt: skip
    """A face as .mp4. `points_of`: weights and quaternion of a frame -> vertices. `sound`: file and seconds."""
    from avatargpt.export.video import encode_mp4
    from vqvae.face import turns

    def pictures(_: int) -> Iterator[np.ndarray]:
        for weights, quaternion in zip(face.weights, turns(face.head), strict=True):
            yield renderer.frame(points_of(weights, quaternion))

    return encode_mp4(path, pictures, face.fps, size, *sound)
