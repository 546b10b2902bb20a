"""Speech to gesture: real-time factor, latency, memory over two hours, and whether chunks change the frames.

Without a model, random weights of the shape that `configs/gesture/cpu.yaml` has, 300 features, 6 levels of 512 codes:
what the network says does not change how long it takes. Two voices are heard, words are read by the sentence encoder.
Chunks of 20 ms to 1 s are compared with one push of everything, bit for bit. `--minutes`: of the long stream, 0 leaves
it out.
"""

import time
from typing import NamedTuple

import numpy as np
import torch

from avatargpt.gesture.features import PROSODY, SENTENCE, WIDTH
from avatargpt.gesture.network import GestureConfig, GestureDriver, GestureNetwork, GestureOptions
from avatargpt.gesture.stream import GestureChunk, SpeechGestureStream
from avatargpt.gesture.word_encoders import SentenceWords
from benchmarks.common import buzz, long_stream
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer

CHUNKS_MS = (20, 53, 160, 1000)
SECONDS = 12
SAID = "so what I wanted to tell you is that we never went there because it was much too far".split()


class Word(NamedTuple):
    text: str
    start: float
    end: float


def driver_of(model: str | None) -> GestureDriver:
    """That of a folder, or random weights."""
    if model is not None:
        return GestureDriver.load(model)
    torch.manual_seed(0)
    material = {"audio": PROSODY, "words": SENTENCE, "audio_width": WIDTH, "word_width": 384, "features": 270,
                "levels": 6, "codebook_size": 512, "downsample": 3}  # fmt: skip
    tokenizer = MotionTokenizer(TokenizerConfig(modality="gesture", levels=6, codebook_size=512, code_dim=96, width=256,
                                                fine_width=128, downsample=3)).eval()  # fmt: skip
    return GestureDriver(GestureNetwork(GestureConfig(**material)), tokenizer=tokenizer)


def words(start: float) -> list[Word]:
    """Three words a second."""
    return [Word(SAID[i % len(SAID)], start + i / 3, start + i / 3 + 0.3) for i in range(3 * SECONDS)]


def run(model: str | None = None, rate: int = 48_000, minutes: float = 120, threads: int = 1) -> dict[str, object]:
    """Measure."""
    torch.set_num_threads(threads)
    driver, encoder = driver_of(model), SentenceWords()
    voice, answer = buzz(130, SECONDS, rate), buzz(210, SECONDS, rate)

    def stream(dyadic: bool, head: str = "codes") -> SpeechGestureStream:
        options = GestureOptions(head=head, seed=1, temperature=1.0)
        return SpeechGestureStream(driver, rate, encoder, (), dyadic, options=options)

    def perform(chunk: int, dyadic: bool = True, head: str = "codes") -> GestureChunk:
        session = stream(dyadic, head)
        session.say(words(0))
        parts = [
            session.push(voice[i : i + chunk], answer[i : i + chunk] if dyadic else None)
            for i in range(0, len(voice), chunk)
        ]
        return GestureChunk.concatenate([*parts, session.finish()])

    at_once = perform(len(voice))
    chunks = {ms: perform(rate * ms // 1000) for ms in CHUNKS_MS}
    result: dict[str, object] = {
        "parameters": sum(p.numel() for p in driver.network.parameters()),
        "latency_ms": round(stream(True).latency * 1000, 1),
        "equal": {ms: bool(np.array_equal(c.features, at_once.features) and np.array_equal(c.codes, at_once.codes))
                  for ms, c in chunks.items()},
    }  # fmt: skip
    for name, dyadic, head in (("two_voices", True, "codes"), ("one_voice", False, "codes"),
                               ("one_voice_features", False, "features")):  # fmt: skip
        wall, used = time.perf_counter(), time.process_time()
        for _ in range(3):
            perform(rate // 10, dyadic, head)
        result[f"times_real_time_cpu_{name}"] = round(3 * SECONDS / (time.process_time() - used), 1)
        result[f"times_real_time_wall_{name}"] = round(3 * SECONDS / (time.perf_counter() - wall), 1)
    if minutes:
        session, turns = stream(False), round(minutes * 60 / SECONDS)

        def push(i: int) -> int:
            session.say(words(i * SECONDS))
            return len(session.push(voice).features)

        result |= long_stream(push, lambda: len(session.finish().features), turns, max(turns // 6, 1), SECONDS)
    return result
