"""Instruction parser: a facial instruction -> its score, by a small sequence-to-sequence network.

It reads token states of the sentence encoder, whose upper layers it changes a little (`tuned_layers`), and writes the
score as tokens (`ScoreTokens`). Several readings are sampled, of which the consensus is taken: minimum Bayes-risk
decoding (Kumar and Byrne, HLT-NAACL 2004, eq. 2) with the similarity of two scores for the gain.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt.face.instructions.network import MAX_WORDS, ParserConfig, ParserNetwork, ScoreSampler, ScoreTokens
from avatargpt.face.instructions.scores import NamedTimes, fill_score
from avatargpt.lm.checkpoint import load_part, save_part
from avatargpt.requests.english import below_zero, spell_emoji, unreadable
from instruct_data.face.score import Score, mirror_words
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

NAME = "reader"  # of the files
VERSION = 3  # of the folder's layout and of the tokens
MAX_REMEMBERED = 1000  # instructions whose agreement is stored
SAMPLES = 32  # readings besides the likeliest, of each wording
SAME_START, SAME_DURATION = 0.4, 0.5  # s between two starts, and two durations, that count as the same
NAME_GAIN, START_GAIN, COUNT_GAIN, DURATION_GAIN = 0.4, 0.3, 0.15, 0.15  # similarity of two actions
# Agreement below which a reading is doubted. With the packaged weights below it are none of 260 held-out facial
# instructions, and 24 of 70 prompts that ask a body for something.
MIN_AGREEMENT = 0.7


def make_reading_grounder(config: ParserConfig) -> SentenceGrounder:
    """A sentence encoder that keeps as much of an instruction as can be read, and one piece more."""
    from avatargpt.lm.text_encoder import SentenceGrounder

    return SentenceGrounder(max_tokens=MAX_WORDS + 1, cache_size=500, layers=config.layers)


def rewordings(text: str, sided: bool) -> list[tuple[str, bool]]:
    """Other wordings of an instruction, and whether they ask for its mirror image.

    Politely, with another end, and, where it has a side, with left and right exchanged.
    """
    bare = text.strip().rstrip(".!")
    out = [(f"Please {bare[:1].lower()}{bare[1:]}.", False), (bare if bare != text.strip() else f"{bare}.", False)]
    mirrored = mirror_words(text)
    return out + ([(mirrored, True)] if sided and mirrored != text else [])


# Consensus of readings
def similarity(a: Score, b: Score) -> float:
    """0 to 1: F1 of actions and feelings; an action of the same name counts by its start, count and duration, too."""
    free, same = list(a.events), 0.0
    for e in b.events:
        best, at = 0.0, -1
        for k, o in enumerate(free):
            if o.action == e.action:
                gain = NAME_GAIN + START_GAIN * (abs(o.start - e.start) <= SAME_START)
                gain = gain + COUNT_GAIN * (o.repeat == e.repeat)
                gain += DURATION_GAIN * (abs(o.duration - e.duration) <= SAME_DURATION)
                best, at = max((best, at), (gain, k))
        if at >= 0:
            same += best
            free.pop(at)
    feelings_a, feelings_b = {f.name for f in a.emotions}, {f.name for f in b.emotions}
    total = len(a.events) + len(b.events) + len(feelings_a) + len(feelings_b)
    return 2 * (same + len(feelings_a & feelings_b)) / total if total else 1.0


def consensus(readings: Sequence[Score]) -> Score:
    """The reading most similar to all of them, of equals the first, with their median strengths."""
    number, different = _number_readings(readings)
    alike = np.array([[similarity(a, b) for b in different] for a in different])
    gains = alike[number][:, number].mean(1)
    chosen = readings[int(np.argmax(np.round(gains, 9)))]

    # The median has the least expected absolute error. Of an even number the lower middle one, which a reading has.
    def median(default: float, rows: list[tuple[str, float, float]], name: str, start: float) -> float:
        return median_low([i for n, at, i in rows if n == name and abs(at - start) <= SAME_START] or [default])

    # The median strength of each action at about this time, and of each feeling, over all readings.
    events = [(o.action, o.start, o.intensity) for r in readings for o in r.events]
    feelings = [(o.name, o.start, o.intensity) for r in readings for o in r.emotions]
    return replace(
        chosen,
        events=tuple(replace(e, intensity=median(e.intensity, events, e.action, e.start)) for e in chosen.events),
        emotions=tuple(replace(f, intensity=median(f.intensity, feelings, f.name, f.start)) for f in chosen.emotions),
    )


def _number_readings(readings: Sequence[Score]) -> tuple[np.ndarray, list[Score]]:
    """The number of each reading among those that `similarity` tells apart, and one of each of these."""
    different: dict[Any, tuple[int, Score]] = {}
    numbers = []
    for r in readings:
        events = tuple((e.action, e.start, e.duration, e.repeat) for e in r.events)
        key = events, frozenset(f.name for f in r.emotions)
        numbers.append(different.setdefault(key, (len(different), r))[0])
    return np.array(numbers), [r for _, r in different.values()]


def agreement(chosen: Score, readings: Sequence[Score]) -> float:
    """0 to 1: mean similarity of the readings to the chosen one."""
    number, different = _number_readings(readings)
    return float(np.array([similarity(chosen, b) for b in different])[number].mean())


def doubt(text: str, score: Score, agreement: float | None) -> str:
    """Why `score` may not be what the text means, in words; empty = no reason."""
    if reason := unreadable(text):
        return f"the text {reason}"
    if not (score.events or score.emotions):
        nothing = "no instruction: nothing in the text is an action of a face or a feeling; the face rests"
        return "" if score.denied else nothing
    if agreement is not None and agreement < MIN_AGREEMENT:
        figures = f"agreement {agreement:.2f}, usually above {MIN_AGREEMENT:g}"
        return (f"the readings of the text differ ({figures}): it may ask for something that a face does not do, or "
                "for nothing; what is made of it is partly chance")  # fmt: skip
    return ""


# The parser
class InstructionParser:
    """A trained parser."""

    def __init__(self, network: ParserNetwork) -> None:
        self.network, self.tokens = network.eval(), ScoreTokens()
        self.sampler = ScoreSampler(self.network, self.tokens)
        self._agreements: dict[str, float] = {}

    def agreement(self, text: str) -> float | None:
        """The agreement of the readings of a recent instruction; None = not recent, or without samples."""
        return self._agreements.get(text)

    @torch.inference_mode()
    def read(
        self, texts: Sequence[str], grounder: SentenceGrounder, samples: int = SAMPLES,
        seconds: Sequence[float | None] | None = None, named: NamedTimes = "",
    ) -> list[Score]:  # fmt: skip
        """The score of each instruction; its `text` is the instruction. The same instruction is always read alike.

        Args:
            samples: readings that are drawn of each wording; 0 = the likeliest alone.
            grounder: one that keeps at least `MAX_WORDS` + 1 word pieces and gives the layers that the network reads
                (`make_reading_grounder`).
            seconds: requested length of each clip, None = as the instruction takes.
            named: how the instructions name seconds, if at all.
        """
        words = [spell_emoji(text) for text in texts]
        states = grounder.states(words) if texts else []
        for text, pieces in zip(words, states, strict=True):
            if not text.strip():
                raise UserError("an empty facial instruction; accepted: what the face shall do, in words")
            if len(pieces) > MAX_WORDS:
                start = f"{text[:40]}..."
                raise UserError(f"facial instruction {start!r}: {len(pieces)} word pieces; accepted up to {MAX_WORDS}")
            if negative := below_zero(text, shares=False):  # "lip corners at minus fifty percent" hang
                raise UserError(f"facial instruction {text[:40]!r}: {negative}; accepted numbers above zero")
        # One by one: a reading must not depend on the other instructions of a file.
        rows = zip(states, words, texts, seconds or [None] * len(texts), strict=True)
        scores = [self._read_one(*row, named, grounder, samples) for row in rows]
        return [replace(score, text=text) for score, text in zip(scores, texts, strict=True)]

    def _read_one(
        self, states: np.ndarray, text: str, as_typed: str, seconds: float | None, named: NamedTimes,
        grounder: SentenceGrounder, samples: int,
    ) -> Score:  # fmt: skip
        # The likeliest reading, and samples of the instruction and its rewordings, of which the consensus is taken.
        first = self.tokens.decode(self.sampler.likeliest(states, seconds), text)
        if not samples:
            return first if seconds is None else fill_score(first, seconds, named)
        wordings = rewordings(text, first.sided)
        usable = [(s, flip) for s, (_, flip) in zip(grounder.states([t for t, _ in wordings]), wordings, strict=True)
                  if len(s) <= MAX_WORDS]  # fmt: skip
        readings = [first]
        groups = self.sampler.sample([states, *(s for s, _ in usable)], seconds, samples)
        for rows, flip in zip(groups, (False, *(flip for _, flip in usable)), strict=True):
            drawn = [self.tokens.decode(row, text) for row in rows]
            readings += [replace(s.mirror(), text=text) for s in drawn] if flip else drawn
        # Each reading fills a requested length before they are compared.
        readings = readings if seconds is None else [fill_score(s, seconds, named) for s in readings]
        chosen = consensus(readings)
        while len(self._agreements) >= MAX_REMEMBERED:
            self._agreements.pop(next(iter(self._agreements)))
        self._agreements[as_typed] = agreement(chosen, readings)
        return chosen

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder, in place of a parser that is there; `dtype` bfloat16 halves it."""
        return save_part(self.network, folder, NAME, VERSION, dtype)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> InstructionParser:
        """Read ``reader.json`` and ``reader.safetensors``.

        Raises UserError: missing, damaged, or of another version.
        """

        def build(about: dict[str, Any]) -> ParserNetwork:
            if about.get("countdown") is False:  # of a form of length conditioning that parsers once could have
                del about["countdown"]
            return ParserNetwork(ParserConfig.read(about, "shape"))

        return cls(load_part(folder, NAME, VERSION, build))
