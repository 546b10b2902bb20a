"""Takes of the corpus as short clips with words: what is done as captions, what is said as ``extra["speech"]``.

They teach a language model the tasks `speech_to_gesture`, `text_to_gesture` and `gesture_to_text`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from instruct_data.clip import Clip
from instruct_data.gesture.classes import BEAT, WordClasses
from vqvae.features.gesture import GestureFeatures

FPS = 30
PAUSE = 0.3  # s between words at which a clip may end
SHORTEST, LONGEST = 2.0, 9.0  # s of a clip
MARGIN = 0.4  # s kept before the first word and after the last
TOLD = 4  # gestures that a caption names
LEAST_PAUSE = 0.2  # s of a pause that is written down

Spoken = tuple[str, float, float]


def stretches(words: Sequence[Spoken], seconds: float) -> list[tuple[int, int]]:
    """Words [first, stop) of each clip: whole phrases, together `SHORTEST` to `LONGEST` long where that can be."""
    out: list[tuple[int, int]] = []
    first = 0
    for i, (_, _, end) in enumerate(words):
        last = i + 1 == len(words)
        pause = (seconds if last else words[i + 1][1]) - end
        length = end - words[first][1]
        full = not last and words[i + 1][2] - words[first][1] > LONGEST
        if last or full or (pause >= PAUSE and length >= SHORTEST):
            out.append((first, i + 1))
            first = i + 1
    return out


def spoken(words: Sequence[Spoken]) -> str:
    """What is said, with pauses: "who knows (0.2) perhaps his sister"."""
    parts: list[str] = []
    for i, (text, start, _) in enumerate(words):
        gap = start - words[i - 1][2] if i else 0.0
        parts += [f"({gap:.1f})"] * (gap >= LEAST_PAUSE) + [text.lower()]
    return " ".join(parts)


def captions(kinds: Sequence[str], classes: WordClasses, rng: np.random.Generator, count: int = 3) -> list[str]:
    """Different sentences about gestures of these classes, in order; beats are only named where nothing else is."""
    meant = [k for k in kinds if k != BEAT][:TOLD] or [k for k in kinds if k == BEAT][:1]
    out: list[str] = []
    for _ in range(count if meant else 0):
        said = [str(rng.choice(classes.classes[k].told)) for k in meant if classes.classes[k].told]
        text = ", then ".join(s for i, s in enumerate(said) if i == 0 or s != said[i - 1])
        if text and text not in out:
            out.append(f"a person {text}" if len(out) % 2 else text)
    return out


def clips(
    takes: Iterable[tuple[str, np.ndarray, dict[str, Any], str]], classes: WordClasses, source: str, licence: str
) -> Iterator[Clip]:
    """Clips of takes: (name, features (T, 270), what is told of it, split) each."""
    spec = GestureFeatures()
    for number, (name, features, about, split) in enumerate(takes):
        words = [(str(w[0]), float(w[1]), float(w[2])) for w in about["words"]]
        rng = np.random.default_rng([number, 67])
        for first, stop in stretches(words, len(features) / FPS):
            part = words[first:stop]
            before = words[first - 1][2] if first else 0.0
            after = words[stop][1] if stop < len(words) else len(features) / FPS
            start = round(max(part[0][1] - MARGIN, before, 0.0) * FPS)
            end = min(round(min(part[-1][2] + MARGIN, after) * FPS), len(features))
            if end - start < SHORTEST * FPS / 2:
                continue
            kinds = [str(s[2]) for s in about["strokes"] if start <= s[0] < end]
            extra = {"speaker": about["speaker"], "speech": {"text": spoken(part)}}
            motion, said = spec.decode(features[start:end]), captions(kinds, classes, rng)
            yield Clip(f"{name}/{first}", motion, said, source, licence, split, "talk", extra=extra)
