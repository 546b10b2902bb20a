"""Speech to face: real-time factor, latency, memory over an hour, and whether chunks change the frames.

The sound is a voiced buzz with syllables; what the network says does not change how long it takes. Chunks of 10 ms to
1 s are compared with one push of everything, bit for bit. `--model`: folder of a driver, or none: random weights and
the default shape; `--lips`: the head that speaks; `--minutes`: of the long stream, 0 leaves it out.
"""

import time

import numpy as np
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from benchmarks.common import buzz, long_stream

CHUNKS_MS = (10, 20, 53, 160, 500, 1000)


def run(
    model: str | None = None, rate: int = 48_000, minutes: float = 60, lips: str = "rule", threads: int = 1
) -> dict[str, object]:
    """Measure."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    driver = Driver(DriverNetwork(DriverConfig())) if model == "none" else Driver.load(model)
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
