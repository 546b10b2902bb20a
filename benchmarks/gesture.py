"""Speech to gesture: real-time factor, latency, memory over two hours, and whether chunks change the frames.

    python benchmarks/gesture.py [--model FOLDER] [--rate 48000] [--minutes 120] [--threads 2] [--json]

Without a model, random weights of the shape that `configs/gesture/cpu.yaml` has, 300 features, 6 levels of 512 codes:
what the network says does not change how long it takes. Two voices are heard, words are read by the sentence encoder.
Chunks of 20 ms to 1 s are compared with one push of everything, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import dataclass

import numpy as np
import torch

from avatargpt.gesture.features import PROSODY, SENTENCE, WIDTH
from avatargpt.gesture.network import GestureConfig, GestureDriver, GestureNetwork, GestureOptions
from avatargpt.gesture.stream import GestureChunk, SpeechGestureStream
from avatargpt.gesture.word_encoders import SentenceWords
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer

CHUNKS_MS = (20, 53, 160, 1000)
SECONDS = 12
SAID = "so what I wanted to tell you is that we never went there because it was much too far".split()


@dataclass(frozen=True)
class Word:
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


def buzz(pitch: float, rate: int) -> np.ndarray:
    """(n,) float32: harmonics of a pitch under a 4 Hz envelope."""
    t = np.arange(SECONDS * rate) / rate
    wave = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 16))
    return np.asarray(0.1 * wave * (1 + np.sin(2 * np.pi * 4 * t)) / 2, np.float32)


def words(start: float) -> list[Word]:
    """Three words a second."""
    return [Word(SAID[i % len(SAID)], start + i / 3, start + i / 3 + 0.3) for i in range(3 * SECONDS)]


def memory() -> float:
    """Largest resident size so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="folder of a gesture network; default: random weights")
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--minutes", type=float, default=120, help="of the long stream; 0 leaves it out")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    driver, encoder = driver_of(args.model), SentenceWords()
    voice, answer = buzz(130, args.rate), buzz(210, args.rate)

    def stream(dyadic: bool, head: str = "codes") -> SpeechGestureStream:
        options = GestureOptions(head=head, seed=1, temperature=1.0)
        return SpeechGestureStream(driver, args.rate, encoder, (), dyadic, options=options)

    def run(chunk: int, dyadic: bool = True, head: str = "codes") -> GestureChunk:
        session = stream(dyadic, head)
        session.say(words(0))
        parts = [
            session.push(voice[i : i + chunk], answer[i : i + chunk] if dyadic else None)
            for i in range(0, len(voice), chunk)
        ]
        return GestureChunk.concatenate([*parts, session.finish()])

    at_once = run(len(voice))
    result: dict[str, object] = {
        "parameters": sum(p.numel() for p in driver.network.parameters()),
        "latency_ms": round(stream(True).latency * 1000, 1),
    }
    chunks = {ms: run(args.rate * ms // 1000) for ms in CHUNKS_MS}
    result["equal"] = {
        ms: bool(np.array_equal(c.features, at_once.features) and np.array_equal(c.codes, at_once.codes))
        for ms, c in chunks.items()
    }
    for name, dyadic, head in (("two_voices", True, "codes"), ("one_voice", False, "codes"),
                               ("one_voice_features", False, "features")):  # fmt: skip
        wall, used = time.perf_counter(), time.process_time()
        for _ in range(3):
            run(args.rate // 10, dyadic, head)
        result[f"times_real_time_cpu_{name}"] = round(3 * SECONDS / (time.process_time() - used), 1)
        result[f"times_real_time_wall_{name}"] = round(3 * SECONDS / (time.perf_counter() - wall), 1)
    if args.minutes:
        session, marks, frames = stream(False), [], 0
        turns = round(args.minutes * 60 / SECONDS)
        for i in range(turns):
            session.say(words(i * SECONDS))
            frames += len(session.push(voice).features)
            if i in (0, 4) or (i + 1) % max(turns // 6, 1) == 0:
                marks.append((round((i + 1) * SECONDS / 60, 1), round(memory(), 1)))
        result["memory_mb_after_minutes"] = marks
        result["frames"] = frames + len(session.finish().features)
        result["frames_expected"] = turns * SECONDS * 30
    if args.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:40s}{value}")


if __name__ == "__main__":
    main()
