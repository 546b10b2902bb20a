"""The suite `gesture_words`: gestures on the stress of the words that ask for them, and guessed classes of words."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Run, Suite, folder
from avatargpt.gesture.bank import GestureBank
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.gesture.semantics import ClassGuesser, Manner, packaged_guesser, stress_time
from avatargpt.speech.audio import RATE
from instruct_data.gesture.plan import MARKS, WordClasses, word_classes
from instruct_data.gesture.strokes import FPS, HAND, SIDES, turns_of, wrists
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion

GUESSES, SENTENCES = "gesture_guesses.jsonl", "gesture_words.jsonl"
LEAD, TAIL = 1.5, 1.0  # s of silence before and after: hands set out before a word
# Row -> share of words that get a gesture of the bank.
ROWS = {"words on": None, "network alone": 0.0, "words off": None}
BEFORE, AFTER = 10, 5  # frames of a stroke about its emphasis that are compared
WITHIN = 0.3  # s about the time in which a gesture counts
FINGERS = 0.1  # m that count as much as one radian of the mean finger


@dataclass(frozen=True, eq=False)
class _Track:
    """Where hands are, (T, 2, 3) m from the chest, and how fingers are bent, (T, 2, 15, 3) radians."""

    hands: np.ndarray
    bent: np.ndarray

    @classmethod
    def of(cls, turns: np.ndarray) -> _Track:
        return cls(wrists(turns), np.stack([rot.to_axis_angle(turns[:, HAND[s]]) for s in SIDES], 1))

    def cut(self, first: int, stop: int) -> _Track:
        """Frames [first, stop), ends held."""
        at = np.clip(np.arange(first, stop), 0, len(self.hands) - 1)
        return _Track(self.hands[at], self.bent[at])


class StrokeMatcher:
    """Compares motions with every stroke of a bank and its mirror image."""

    def __init__(self, bank: GestureBank) -> None:
        self._strokes: list[tuple[str, tuple[int, ...], _Track]] = []
        for name in bank.names:
            for s in bank.strokes(name):
                part = _Track.of(s.turns).cut(s.emphasis - BEFORE, s.emphasis + AFTER + 1)
                self._strokes.append((name, tuple(SIDES.index(x) for x in s.sides), part))

    def nearest(self, motion: Motion, seconds: float) -> str:
        """The gesture whose stroke is nearest to what hands do about a time."""
        track = _Track.of(turns_of(motion.resampled(FPS)))
        centre, tolerance = round(seconds * FPS), round(WITHIN * FPS)
        best = (np.inf, "")
        for shift in range(-tolerance, tolerance + 1):
            window = track.cut(centre + shift - BEFORE, centre + shift + AFTER + 1)
            for name, sides, part in self._strokes:
                hands = np.linalg.norm(window.hands[:, sides] - part.hands[:, sides], axis=-1).mean()
                # Fingers are costly to compare; wrists alone already exclude most strokes.
                if hands >= best[0]:
                    continue
                bent = np.linalg.norm(window.bent[:, sides] - part.bent[:, sides], axis=-1).mean()
                best = min(best, (float(hands + FINGERS * bent), name))
        return best[1]


def guesses(path: Path, guess: ClassGuesser | None = None, classes: WordClasses | None = None) -> dict[str, Any]:
    """Precision over words with a guessed class, recall over words with a class, false guesses over words without.

    Args:
        path: rows of a ``word``, a ``text`` that has it, and its ``class``, empty = none.
        guess, classes: default: those of run time.
    """
    table, guess = classes or word_classes(), guess or packaged_guesser()
    right: list[bool] = []
    recall: list[bool] = []
    false: list[bool] = []
    for line, row in json_rows(path):
        word, accepted = row["word"], row["class"]
        if (word,) in table.words or (accepted and accepted not in table.classes):
            raise UserError(f"{path}: line {line}: {word}, {accepted or 'none'}; accepted: a word that the table "
                            "lacks, with a class of it or none")  # fmt: skip
        guess_class = guess(word)
        if guess_class:
            right.append(guess_class == accepted)
        (recall if accepted else false).append(guess_class == accepted if accepted else bool(guess_class))
    return {
        "guess_precision": figure(np.array(right, float)), "guess_recall": figure(np.array(recall, float)),
        "guess_false": figure(np.array(false, float)),
    }  # fmt: skip


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's gesture network and bank."""
    return score(run.suite, run.model.source, run.cache)


def score(suite: Suite, model: str | Path, cache: AnswerCache = NO_CACHE) -> dict[str, Any]:
    """Share of the sentences whose gesture is performed, with words and without; and the scores of guesses.

    espeak-ng speaks them, so that times are exact. A gesture belongs to all classes of the table that ask for it.
    """
    from avatargpt.train.gesture.talks import Voices

    performer = GesturePipeline.load(model)
    if performer.bank is None:
        raise UserError(f"{model}: no bank of gestures; accepted: a model folder with one")
    matcher, classes = StrokeMatcher(performer.bank), word_classes().classes
    perform = cache.wrap("perform", performer.perform)
    voices, rows = Voices(0.0), list(json_rows(folder() / SENTENCES))
    hits: dict[str, list[bool]] = {name: [] for name in ROWS}
    chance = []
    for number, (_, row) in enumerate(rows):
        rng = np.random.default_rng([suite.seeds[0], 75, number])
        speech = voices.voice(rng).say(row["text"], rng)
        words = speech.words.words
        at = next(k for k, w in enumerate(words) if w.text.strip(MARKS).lower() == row["word"].lower())
        # Hands start before a word and end after it.
        audio = np.concatenate([np.zeros(round(LEAD * RATE), np.float32), speech.audio,
                                np.zeros(round(TAIL * RATE), np.float32)])  # fmt: skip
        shifted = [_later(w, LEAD) for w in words]
        accepted = set(classes[row["class"]].gestures)
        for name, share in ROWS.items():
            manner = Manner(semantic=share)
            timed_words = None if name == "words off" else shifted
            motion = perform(audio, RATE, timed_words, semantics=manner, seed=suite.seeds[0])
            hits[name].append(matcher.nearest(motion, stress_time(shifted[at])) in accepted)
        gestures = [classes[r["class"]].gestures for _, r in rows]
        chance.append(float(np.mean([bool(accepted & set(g)) for g in gestures])))
    results: dict[str, Any] = {f"shown/{name}": figure(np.array(v, float)) for name, v in hits.items()}
    results["shown/chance"] = figure(chance)
    return {"sentences": len(rows), "results": results | guesses(folder() / GUESSES), "misses": json.loads(json.dumps(
        [rows[k][1]["text"] for k, hit in enumerate(hits["words on"]) if not hit]))}  # fmt: skip


def _later(word: Any, seconds: float) -> Any:
    phones = tuple(replace(p, start=p.start + seconds, end=p.end + seconds) for p in word.phones)
    return replace(word, start=word.start + seconds, end=word.end + seconds, phones=phones)
