"""Questions, and smiles of the eyes alone, drawn by rule from ``questions.yaml``."""

# A reader of instructions that has seen instructions alone finds one in every question. Here are questions about the
# program and the world, which ask a face for nothing, beside questions of the same form that ask it for something.

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.face.score import DEFAULT, Emotion, Event, Score
from instruct_data.factory.face.compose import (
    FIRST,
    NUMBERS,
    action_words,
    clip_seconds,
    different,
    on_a_side,
    phrases,
    pick,
)
from vqvae.io.data_files import read_yaml

SHARES = {"nothing": 0.5, "do": 0.18, "be": 0.12, "eyes": 0.2}  # of what is drawn
NOTHING_SECONDS, FEELING_SECONDS = 2.0, 4.0  # of a clip
UNMARKED, CAPITAL = 0.25, 0.4  # share of texts without a question mark; with a capital
EYES_SECONDS, SQUINT = (2.0, 2.6), 0.4  # of a smile of the eyes: length; strength of its lids, its cheeks' is DEFAULT
DEGREE_SHARE, TIME_SHARE, NEXT_SHARE = 0.2, 0.2, 0.3  # of smiles of the eyes
_ALTERNATIVES = re.compile(r"<([^<>]*\|[^<>]*)>")


@cache
def wordings() -> dict[str, list[list[list[str]]]]:
    """Kind -> its wordings: pieces in order, each a list of alternatives."""
    table: dict[str, Any] = read_yaml(Path(__file__).parent / "questions.yaml")
    kinds = {"nothing": table["nothing"], **table["asked"], "eyes": table["eyes"]}
    return {kind: [_pieces(line) for line in lines] for kind, lines in kinds.items()}


def _pieces(line: str) -> list[list[str]]:
    parts = _ALTERNATIVES.split(line)  # words, alternatives, words, ...
    return [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]


def texts(kind: str) -> list[str]:
    """All wordings of a kind, written out."""
    return ["".join(chosen) for pieces in wordings()[kind] for chosen in product(*pieces)]


def _draw_wording(kind: str, rng: np.random.Generator) -> str:
    """One wording; those with more alternatives are drawn more often, but not in proportion."""
    lines = wordings()[kind]
    counts = np.sqrt([prod(map(len, pieces)) for pieces in lines])
    pieces = lines[int(rng.choice(len(lines), p=counts / counts.sum()))]
    return "".join(str(pick(options, rng)) for options in pieces)


def _write_question(text: str, rng: np.random.Generator) -> str:
    """With or without its question mark and a capital."""
    text = text.rstrip("?") if rng.random() < UNMARKED else text
    return text[:1].upper() + text[1:] if rng.random() < CAPITAL else text


def question(rng: np.random.Generator) -> Score:
    """One text (``score.text``) with its score, which is empty where it asks a face for nothing."""
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    text = _draw_wording(kind, rng)
    if kind == "nothing":
        return Score(NOTHING_SECONDS, (), (), _write_question(text, rng))
    if kind == "be":
        names = list(phrases()["emotions"])
        name = str(pick([n for n in names if n != "neutral"], rng))
        level = float(pick((DEFAULT, DEFAULT, DEFAULT, 0.3, 0.85), rng))
        adjective = pick(phrases()["emotion_degrees"][level], rng) + pick(phrases()["emotions"][name], rng)
        feelings = (Emotion(name, level, 0.0, FEELING_SECONDS),)
        return Score(FEELING_SECONDS, (), feelings, _write_question(text.format(be=adjective), rng))
    if kind == "do":
        words, event = action_words(str(pick(list(phrases()["actions"]), rng)), FIRST, rng)
        score = Score(clip_seconds(event.end), (event,), (), _write_question(text.format(do=words), rng))
        return on_a_side(score, rng)
    return _of_the_eyes(text, rng)


def _of_the_eyes(text: str, rng: np.random.Generator) -> Score:
    """A smile of the eyes, now and then with a degree or a length, and with an action afterwards."""
    seconds, level = float(np.round(rng.uniform(*EYES_SECONDS), 1)), DEFAULT
    if not text.endswith("?") and ":" not in text:
        if rng.random() < TIME_SHARE:
            seconds = float(pick((1.0, 2.0, 3.0, 4.0), rng))
            text += f" for {NUMBERS[seconds]} second{'s' if seconds > 1 else ''}"
        elif rng.random() < DEGREE_SHARE:
            level = float(pick((0.3, 0.85), rng))
            text += pick(phrases()["degrees"][level], rng)
    squint = round(SQUINT / DEFAULT * level, 2)
    events = [Event("raise_cheeks", FIRST, seconds, level), Event("squint", FIRST, seconds, squint)]
    if not text.endswith("?") and rng.random() < NEXT_SHARE:
        words, event = action_words(str(pick(list(phrases()["actions"]), rng)), FIRST + seconds + 0.3, rng)
        text += pick(phrases()["then"], rng) + words
        events.append(replace(event, start=round(event.start, 2)))
    return on_a_side(
        Score(clip_seconds(max(e.end for e in events)), tuple(events), (), _write_question(text, rng)), rng
    )


def questions(count: int, seed: int = 0, avoid: Sequence[str] = ()) -> list[Score]:
    """`count` different ones; texts in `avoid` (those held out for tests) do not occur."""
    return different(lambda n: question(np.random.default_rng([seed, 9, n])), count, avoid)
