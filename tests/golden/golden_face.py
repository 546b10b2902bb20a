"""Goldens of the face: scores read from instructions, and the driver's curves of a fixed sound."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from golden_loaded import SUITES, performer
from golden_store import ROOT, Rows, evenly, sha_json

from avatargpt.face.audio_model.conditioning import Feeling
from avatargpt.face.pipeline import FacePipeline
from instruct_data.face.score import Score, read_instructions
from vqvae.errors import UserError

INSTRUCTIONS = ROOT / "instruct_data" / "face" / "instructions.jsonl.xz"
COUNT = 300  # of the training instructions
SECONDS, RATE = 3.0, 16_000  # of the sound
TEXT = "raise the left eyebrow, then smile and wink twice with the right eye"


class Recorder:
    """A parser that keeps its first score: what the network alone reads in the text, before rules split it."""

    def __init__(self, reader: Any) -> None:
        self.inner, self.network, self.first = reader, reader.network, None

    def read(self, texts: Sequence[str], *args: Any, **options: Any) -> list[Score]:
        scores = self.inner.read(texts, *args, **options)
        if self.first is None:
            self.first = scores[0]
        return scores

    def agreement(self, text: str) -> float | None:
        return self.inner.agreement(text)


@cache
def _recording() -> tuple[Recorder, FacePipeline]:
    recorder = Recorder(performer().parser)
    return recorder, performer(recorder)


def _rounded(value: Any) -> Any:
    """A score's JSON without its text, times rounded to a tenth of a millisecond."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items() if k != "text"}
    return [_rounded(v) for v in value] if isinstance(value, (list, tuple)) else value


def _read(text: str, seconds: float | None, in_full: bool) -> dict[str, Any]:
    """What the network reads, and what the rules make of it: in full, or as hashes."""
    recorder, face = _recording()
    recorder.first = None
    try:
        final = _rounded(face.read([text], [seconds])[0].to_json())
    except UserError as e:
        return {"error": str(e)}
    assert recorder.first is not None
    parsed = _rounded(recorder.first.to_json())
    out: dict[str, Any] = {"parsed": sha_json(parsed), "final": sha_json(final)}
    return out | {"parsed_score": parsed, "score": final} if in_full else out


def _scores() -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in ("face_instructions", "face_everyday"):
        for i, one in enumerate(read_instructions(SUITES / f"{name}.jsonl")):
            s = one.score
            yield f"{name} {i:03d} {s.length:g}s: {s.text}", partial(_read, s.text, s.length, True)
    scores = [one.score for one in read_instructions(INSTRUCTIONS)]
    for k, i in enumerate(evenly(len(scores), COUNT)):
        s, seconds = scores[i], scores[i].length if k % 2 == 0 else None  # every second one without a length
        length = "as long as it takes" if seconds is None else f"{seconds:g}s"
        yield f"instructions {i:05d} {length}: {s.text}", partial(_read, s.text, seconds, False)


def face_scores() -> Rows:
    """Both face suites in full, and training instructions as hashes."""
    return dict(_scores())


def _sound() -> np.ndarray:
    """Something like speech: voiced syllables with formants, hiss between them, silence at both ends."""
    rng = np.random.default_rng(20)
    t = np.arange(int(SECONDS * RATE)) / RATE
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) * np.exp(-((k * 120 - 600 - 300 * np.sin(5 * t)) ** 2) / 4e5) for k in range(1, 25))
    syllable = np.clip(np.sin(2 * np.pi * 3.1 * t), 0, 1)
    hiss = rng.normal(size=len(t)) * np.clip(-np.sin(2 * np.pi * 3.1 * t), 0, 1) * 0.15
    edge = np.clip(np.minimum(t, SECONDS - t) / 0.3, 0, 1)
    return (0.12 * (voice * syllable + hiss) * edge).astype(np.float32)


def _curves(**options: Any) -> np.ndarray:
    """(T, 55)."""
    motion = performer().perform(**options)
    return np.concatenate([motion.weights, motion.head], 1).astype(np.float32)


def driver() -> Rows:
    """Curves of a fixed sound, alone and with a feeling, an instruction or both, and the mouth of recorded pairs."""
    feelings = {"feelings": [Feeling(0.0, "happy", 0.8), Feeling(2.0, "very angry", 0.9)]}
    text, paired = {"text": TEXT}, {"head": "recorded"}
    of_sound: dict[str, dict[str, Any]] = {
        "sound": {}, "sound, paired": paired, "sound, feelings": feelings, "sound, instruction": text,
        "sound, both, paired": text | feelings | paired,
    }  # fmt: skip
    rows = {name: lambda o=options: _curves(audio=_sound(), rate=RATE, **o) for name, options in of_sound.items()}
    return rows | {"instruction alone": partial(_curves, text=TEXT, seconds=SECONDS)}
