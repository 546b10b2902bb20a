"""A talk to takes: rows of sound and words, the plan, its motion, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.gesture.accents import accents
from avatargpt.gesture.features import prosody
from avatargpt.gesture.words import BEFORE, WordEncoder, phrases, span
from avatargpt.speech.audio import RATE
from avatargpt.speech.words.words import Word
from avatargpt.train.gesture_corpus.planning import planned
from avatargpt.train.gesture_corpus.recipe import CorpusRecipe
from avatargpt.train.gesture_corpus.talks import Talk
from instruct_data.gesture.bank import Bank
from instruct_data.gesture.classes import WordClasses
from instruct_data.gesture.performing import perform
from instruct_data.gesture.plan import Plan
from instruct_data.gesture.strokes import Turns, motion_of
from vqvae.features.gesture import GestureFeatures

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Made:
    """One take: arrays as `avatargpt.train.gesture_data.corpus` lists them, without codes, and what is told of it."""

    name: str
    speaker: str
    arrays: Arrays
    about: dict[str, Any]


def word_states(words: Sequence[Word], encoder: WordEncoder) -> np.ndarray:
    """(W, V) states of all words, phrase by phrase as `avatargpt.gesture.words.WordRows` reads them."""
    out = [np.zeros((0, encoder.width), np.float32)]
    before: list[str] = []
    for phrase in phrases(words):
        texts = [w.text for w in phrase]
        out.append(encoder.states([*before, *texts])[len(before) :])
        before = [*before, *texts][-BEFORE:]
    return np.concatenate(out)


def word_at(words: Sequence[Word], frames: int) -> np.ndarray:
    """(frames,) number of the word that each frame is in, -1 = none; every word is in one frame at least."""
    out = np.full(frames, -1, np.int32)
    for number, word in enumerate(words):
        first, stop = span(word)
        out[first:stop] = number
    return out


def made(
    talk: Talk, name: str, recipe: CorpusRecipe, bank: Bank, classes: WordClasses, encoder: WordEncoder,
    rng: np.random.Generator,
) -> list[tuple[Made, Turns]]:  # fmt: skip
    """Both sides of a conversation, or the one of a monologue, each with its motion."""
    names = list(recipe.speakers)
    speakers = [names[i] for i in rng.permutation(len(names))[: len(talk.tracks)]]
    while len(speakers) < len(talk.tracks):
        speakers.append(names[int(rng.integers(len(names)))])
    voices = []
    for track in talk.tracks:
        rows = prosody(track.audio, RATE)[: talk.frames]
        rows = np.concatenate([rows, np.repeat(rows[-1:], talk.frames - len(rows), 0)])
        states = word_states(track.words, encoder).astype(np.float16)
        at = word_at(track.words, talk.frames)
        voices.append({"audio": rows.astype(np.float16), "word_states": states, "word_at": at})
    out = []
    for k, track in enumerate(talk.tracks):
        other = 1 - k if len(talk.tracks) == 2 else None
        style = recipe.speakers[speakers[k]].style(speakers[k])
        heard = talk.tracks[other].words if other is not None else ()
        found = accents(track.words, voices[k]["audio"].astype(np.float32))
        plan = planned(track.words, found, talk.frames, style, bank, classes, rng, heard)
        turns = perform(plan, bank, rng)
        arrays = dict(voices[k])
        if other is not None:
            arrays |= {f"other_{key}": value for key, value in voices[other].items()}
        arrays["features"] = GestureFeatures().encode(motion_of(turns))
        about = told(plan, track.words, heard) | {"voice": track.voice}
        out.append((Made(f"{name}/{k}" if other is not None else name, speakers[k], arrays, about), turns))
    return out


def told(plan: Plan, words: Sequence[Word], heard: Sequence[Word]) -> dict[str, Any]:
    """What a take's file says of it: words with times and stresses, strokes, beats and nods with their frames."""
    return {
        "words": [[w.text, round(w.start, 3), round(w.end, 3),
                   [round(p.start, 3) for p in w.phones if p.stress == 1]] for w in words],
        "heard": [[w.text, round(w.start, 3), round(w.end, 3)] for w in heard],
        "strokes": [[p.frame, p.stroke.name, p.kind, p.word, "".join(p.stroke.sides), p.stroke.source]
                    for p in plan.strokes],
        "beats": [[b.frame, "".join(b.sides)] for b in plan.beats],
        "nods": [[n.frame, n.kind, n.times] for n in plan.nods],
    }  # fmt: skip
