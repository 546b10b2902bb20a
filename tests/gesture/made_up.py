"""A small gesture bank, table of words and voice, without data of ../shared and without synthesizers."""

from functools import cache
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import Phone
from avatargpt.speech.words import Word
from avatargpt.train.gesture.talks import Utterance, words_from_phones
from instruct_data.clip import Clip
from instruct_data.factory.gesture.bank import Bank, build, make_keyed_strokes
from instruct_data.gesture.plan import WordClasses, read_classes
from instruct_data.gesture.strokes import motion_of

TABLE = """
negation: {words: ["no", never, "don't", not at all], gestures: {weigh: 1}, head: shake}
size: {words: [big, the whole world], gestures: {big: 1}}
beat: {words: [], gestures: {BeatMid: 1}}
"""


def table(folder: Path) -> WordClasses:
    path = folder / "classes.yaml"
    path.write_text(TABLE)
    return read_classes(path)


def bank(folder: Path) -> Bank:
    """Keyframed strokes; one of them serves as a recorded beat."""
    return build([_clip()], table(folder), takes=1)


@cache
def _clip() -> Clip:
    like = next(s for s in make_keyed_strokes(3, 1) if s.name == "palms_up")
    sync = {"emphasis": like.emphasis / 30, "stroke": like.end / 30}
    about = {"posture": "Idle01", "speaker": "ChrBrad", "sync": sync}
    return Clip("made/beat", motion_of(like.turns), [], "made", "ours", action="BeatMid", extra=about)


SOUNDS = {"no": "N OW1", "big": "B IH1 G", "dogs": "D AO1 G Z", "never": "N EH1 V ER0", "sleep": "S L IY1 P"}


def utterance(text: str, rng: np.random.Generator) -> Utterance:
    """A tone a phone, louder in vowels, with phones of a tenth of a second."""
    phones, now = [], 0.02
    for name in " ".join(SOUNDS[word] for word in text.split()).split():
        phones.append(Phone(name.rstrip("012"), now, now + 0.1))
        now += 0.1
    seconds = now + 0.02
    t = np.arange(round(seconds * RATE)) / RATE
    loud = np.full(len(t), 0.02)
    for p in phones:
        loud[round(p.start * RATE) : round(p.end * RATE)] *= 1 + 3 * (p.name in ("OW", "IH", "AO", "EH", "IY"))
    audio = (loud * np.sin(2 * np.pi * 140 * t) + 0.001 * rng.standard_normal(len(t))).astype(np.float32)
    return Utterance(audio, words_from_phones(text, phones, seconds, "made"))


def words_of(text: str, start: float = 1.0, each: float = 0.3) -> tuple[Word, ...]:
    """Consecutive words, each with one stressed vowel in its middle third."""
    out = []
    for k, word in enumerate(text.split()):
        a = start + k * each
        b, c, d = a + each / 3, a + 2 * each / 3, a + each
        out.append(Word(word, a, d, (Phone("B", a, b), Phone("AA", b, c, 1), Phone("D", c, d))))
    return tuple(out)


class Voice:
    """Says random words of `SOUNDS`, whatever the text."""

    name = "made"

    def say(self, text: str, rng: np.random.Generator) -> Utterance:
        known = list(SOUNDS)
        return utterance(" ".join(known[int(i)] for i in rng.integers(0, len(known), 5)), rng)


class Voices:
    def __init__(self, flite: float) -> None:
        pass

    def voice(self, rng: np.random.Generator) -> Voice:
        return Voice()
