"""Goldens of the face: scores read from instructions, and the driver's curves of a fixed sound."""

from __future__ import annotations

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

INSTRUCTIONS = ROOT / "instruct_data" / "face" / "instructions.jsonl"
COUNT = 300  # of the instructions to learn from
SECONDS, RATE = 3.0, 16_000  # of the sound
TOLD = "raise the left eyebrow, then smile and wink twice with the right eye"


class Recorder:
    """A reader that keeps the first score that it was asked for: what the network alone reads in a whole text."""

    def __init__(self, reader: Any) -> None:
        self.inner, self.network, self.first = reader, reader.network, None

    def read(self, texts: Sequence[str], *args: Any, **options: Any) -> list[Score]:
        """As the reader's."""
        scores = self.inner.read(texts, *args, **options)
        if self.first is None:
            self.first = scores[0]
        return scores

    def agreement(self, text: str) -> float | None:
        """As the reader's."""
        found: float | None = self.inner.agreement(text)
        return found


@cache
def _recording() -> tuple[Recorder, FacePipeline]:
    recorder = Recorder(performer().parser)
    return recorder, performer(recorder)


def _short(score: Score) -> dict[str, Any]:
    """A score as JSON without its text, times rounded to a tenth of a millisecond."""
    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 4)
        if isinstance(value, dict):
            return {k: rounded(v) for k, v in value.items() if k != "text"}
        return [rounded(v) for v in value] if isinstance(value, (list, tuple)) else value

    out = rounded(score.to_json())
    assert isinstance(out, dict)
    return out


def _read(text: str, seconds: float | None, whole: bool) -> dict[str, Any]:
    """What the network reads, and what the rules make of it: in full, or as hashes."""
    recorder, face = _recording()
    recorder.first = None
    try:
        final = _short(face.read([text], [seconds])[0])
    except UserError as e:
        return {"error": str(e)}
    assert recorder.first is not None
    parsed = _short(recorder.first)
    out: dict[str, Any] = {"parsed": sha_json(parsed), "final": sha_json(final)}
    return out | {"parsed_score": parsed, "score": final} if whole else out


def _asked() -> Iterator[tuple[str, Callable[[], Any]]]:
    for name in ("face_instructions", "face_everyday"):
        for i, one in enumerate(read_instructions(SUITES / f"{name}.jsonl")):
            s = one.score
            yield f"{name} {i:03d} {s.length:g}s: {s.text}", partial(_read, s.text, s.length, True)
    scores = [one.score for one in read_instructions(INSTRUCTIONS)]
    for k, i in enumerate(evenly(len(scores), COUNT)):
        s, wanted = scores[i], scores[i].length if k % 2 == 0 else None  # every second one without a wanted length
        told = "as long as it takes" if wanted is None else f"{wanted:g}s"
        yield f"instructions {i:05d} {told}: {s.text}", partial(_read, s.text, wanted, False)


def face_scores() -> Rows:
    """Both face suites in full, and instructions to learn from as hashes."""
    return dict(_asked())


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


def _driven(**options: Any) -> np.ndarray:
    """(T, 55) curves of the sound."""
    made = performer().perform(audio=_sound(), rate=RATE, **options)
    return np.concatenate([made.weights, made.head], 1).astype(np.float32)


def _silent() -> np.ndarray:
    made = performer().perform(TOLD, seconds=SECONDS)
    return np.concatenate([made.weights, made.head], 1).astype(np.float32)


def driver() -> Rows:
    """Curves of a fixed sound, alone and with a feeling, an instruction or both, and the mouth of recorded pairs."""
    happy = [Feeling(0.0, "happy", 0.8), Feeling(2.0, "very angry", 0.9)]
    return {
        "sound": partial(_driven), "sound, paired": partial(_driven, head="recorded"),
        "sound, feelings": partial(_driven, feelings=happy),
        "sound, instruction": partial(_driven, text=TOLD),
        "sound, both, paired": partial(_driven, text=TOLD, feelings=happy, head="recorded"),
        "instruction alone": _silent,
    }  # fmt: skip
