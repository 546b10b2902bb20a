"""Speech to face: real-time factor, latency, memory over an hour, and whether chunks change the frames.

The sound is a voiced buzz with syllables; what the network says does not change how long it takes. Chunks of 10 ms to
1 s are compared with one push of everything, bit for bit. `--model`: folder of a driver, or none: random weights and
the default shape; `--lips`: the head that speaks; `--minutes`: of the long stream, 0 leaves it out. `--takes`, a folder
of Live Link Face takes, compares the upper face of who speaks with them, over the sounds of a folder `--faces`.
"""

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from avatargpt.face.audio_model.controls import LIVELY, apply_controls
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.audio_model.upper import SHAPES
from avatargpt.speech.audio import load
from avatargpt.train.upper_face import Take, read_take, read_takes
from benchmarks.common import buzz, long_stream

CHUNKS_MS = (10, 20, 53, 160, 500, 1000)
MIN_SECONDS, MAX_SECONDS = 7, 60  # of a sound whose upper face is compared


def measure_upper(takes: Iterable[Take]) -> tuple[np.ndarray, np.ndarray]:
    """(2, 12) of `upper.SHAPES` and the lids' opening, without blinks, while speaking: standard deviation, and mean
    size of the third difference of a frame (jerk).
    """
    spreads, jerks = [], []
    for take in takes:
        speaks = np.lib.stride_tricks.sliding_window_view(take.speaks, 4).all(1)
        spreads.append(take.pose[take.speaks] - take.pose[take.speaks].mean(0))
        jerks.append(np.abs(np.diff(take.pose, 3, axis=0))[speaks])
    return np.concatenate(spreads).std(0), np.concatenate(jerks).mean(0)


def compare_upper(driver: Driver, takes: str, faces: str) -> dict[str, list[float]]:
    """Of each shape the recorded sd and jerk in thousandths, and ours relative to them."""
    ours = []
    for path in sorted(Path(faces).rglob("*.wav")):
        samples, rate = load(path)
        if len(samples) >= MIN_SECONDS * rate:
            face = apply_controls(driver.drive(samples[: MAX_SECONDS * rate], rate), LIVELY, 0, lids=())
            ours.append(read_take(path.stem, face.weights, face.fps))
    real, made = np.array(measure_upper(read_takes(takes))), np.array(measure_upper(ours))
    table = np.concatenate((1000 * real, made / real)).T.round(2)
    return dict(zip((*SHAPES, "lids"), table.tolist(), strict=True))


def run(
    model: str | None = None, rate: int = 48_000, minutes: float = 60, lips: str = "rule", threads: int = 1,
    takes: str | None = None, faces: str | None = None,
) -> dict[str, object]:  # fmt: skip
    """Measure."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    driver = Driver(DriverNetwork(DriverConfig())) if model == "none" else Driver.load(model)
    if takes is not None and faces is not None:
        return {"upper face: sd and jerk of takes, ours over them": compare_upper(driver, takes, faces)}
    sound = buzz(130, 12, rate)

    def frames(chunk: int) -> np.ndarray:
        stream = driver.stream(rate, head=lips)
        parts = [stream.push(sound[i : i + chunk]) for i in range(0, len(sound), chunk)]
        return np.concatenate([*parts, stream.finish()])

    at_once = frames(len(sound))
    result: dict[str, object] = {"latency_ms": round(driver.stream(rate, head=lips).latency * 1000, 1)}
    result["equal"] = {ms: bool(np.array_equal(frames(rate * ms // 1000), at_once)) for ms in CHUNKS_MS}
    wall, used = time.perf_counter(), time.process_time()
    for _ in range(3):
        frames(rate // 50)
    result["real_time_factor"] = round((time.perf_counter() - wall) / 36, 4)
    result["real_time_factor_cpu"] = round((time.process_time() - used) / 36, 4)
    if driver.eight_bits:  # the baseline: the same network, its products in float32
        driver.eight_bits = False
        used = time.process_time()
        frames(rate // 50)
        result["real_time_factor_cpu_float32"] = round((time.process_time() - used) / 12, 4)
        driver.eight_bits = True
    if minutes:
        stream = driver.stream(rate, head=lips)
        result |= long_stream(
            lambda _: len(stream.push(sound)), lambda: len(stream.finish()), round(minutes * 5), 50, 12
        )
    return result
