"""Speech to face: real-time factor, latency, memory over an hour, and whether chunks change the frames.

    python benchmarks/speech_face.py [--model FOLDER | none] [--rate 48000] [--minutes 60] [--lips paired] [--json]

The sound is a voiced buzz with syllables; what the network says does not change how long it takes. Chunks of 10 ms to
1 s are compared with one push of everything, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np
import torch

from avatargpt.face.audio_model.driver import HEADS, Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork

CHUNKS_MS = (10, 20, 53, 160, 500, 1000)


def driver_of(model: str | None) -> Driver:
    """The packaged driver, that of a folder, or with ``none`` one of random weights and the default shape."""
    if model != "none":
        return Driver.load(model)
    torch.manual_seed(0)
    return Driver(DriverNetwork(DriverConfig()))


def buzz(seconds: float, rate: int) -> np.ndarray:
    """(n,) float32: harmonics of 130 Hz under a 4 Hz envelope."""
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * 130 * k * t) / k for k in range(1, 16))
    return np.asarray(0.1 * wave * (1 + np.sin(2 * np.pi * 4 * t)) / 2, np.float32)


def memory() -> float:
    """Largest resident size so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a driver, or none: random weights; default: the packaged one")
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--minutes", type=float, default=60, help="of the long stream; 0 leaves it out")
    parser.add_argument("--lips", choices=HEADS, default="rule", help="which head speaks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    driver = driver_of(args.model)
    sound = buzz(12, args.rate)

    def run(chunk: int) -> np.ndarray:
        stream = driver.stream(args.rate, head=args.lips)
        parts = [stream.push(sound[i : i + chunk]) for i in range(0, len(sound), chunk)]
        return np.concatenate([*parts, stream.finish()])

    at_once = run(len(sound))
    result: dict[str, object] = {"latency_ms": round(driver.stream(args.rate, head=args.lips).latency * 1000, 1)}
    result["equal"] = {ms: bool(np.array_equal(run(args.rate * ms // 1000), at_once)) for ms in CHUNKS_MS}
    wall, used = time.perf_counter(), time.process_time()
    for _ in range(3):
        run(args.rate // 50)
    result["real_time_factor"] = round((time.perf_counter() - wall) / 36, 4)
    result["real_time_factor_cpu"] = round((time.process_time() - used) / 36, 4)
    if driver.eight_bits:  # the baseline: the same network, its products in float32
        driver.eight_bits = False
        used = time.process_time()
        run(args.rate // 50)
        result["real_time_factor_cpu_float32"] = round((time.process_time() - used) / 12, 4)
        driver.eight_bits = True
    if args.minutes:
        stream = driver.stream(args.rate, head=args.lips)
        marks, frames = [], 0
        for i in range(round(args.minutes * 5)):
            frames += len(stream.push(sound))
            if i in (0, 4) or (i + 1) % 50 == 0:
                marks.append((round((i + 1) / 5, 1), round(memory(), 1)))
        result["memory_mb_after_minutes"] = marks
        result["frames"] = frames + len(stream.finish())
        result["frames_expected"] = round(args.minutes * 5) * 12 * 30
    if args.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:32s}{value}")


if __name__ == "__main__":
    main()
