"""Which gesture is seen is read from the motion; what guesses are worth, from words that the table lacks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatargpt.evaluation import suites
from avatargpt.evaluation.gesture_words import GUESSES, SENTENCES, StrokeMatcher, guesses
from avatargpt.gesture.bank import GestureBank
from avatargpt.gesture.semantics import ClassGuesser
from instruct_data.gesture.bank import keyed_strokes
from instruct_data.gesture.classes import MARKS, read_classes, word_classes
from instruct_data.gesture.strokes import Stroke, motion_of
from tests.gesture.made_up import TABLE
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion

NAMES = ("count_two", "count_four", "wave", "big")


@pytest.fixture(scope="module")
def strokes() -> list[Stroke]:
    return keyed_strokes(0, 1, NAMES)


def at_rest(stroke: Stroke, before: int) -> Motion:
    rest = np.repeat(stroke.rest_pose[None], before, 0)
    return motion_of(np.concatenate([rest, stroke.turns, np.repeat(stroke.rest_pose[None], 60, 0)]))


def test_gestures_are_told_from_one_another_when_they_are_made(strokes: list[Stroke]) -> None:
    shown = StrokeMatcher(GestureBank.of(strokes, strokes[0].rest_pose))
    for other in keyed_strokes(5, 1, NAMES):  # of other sizes, places and tempos
        when = (40 + other.emphasis) / 30
        assert shown.nearest(at_rest(other, 40), when + 0.2) == other.name


def test_a_gesture_that_is_over_is_not_seen(strokes: list[Stroke]) -> None:
    shown = StrokeMatcher(GestureBank.of(strokes, strokes[0].rest_pose))
    still = motion_of(np.repeat(strokes[0].rest_pose[None], 200, 0))
    two = next(s for s in strokes if s.name == "count_two")
    late = (40 + len(two.turns) + 30) / 30
    assert shown.nearest(at_rest(two, 40), late) == shown.nearest(still, late)


def test_what_guesses_are_worth(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(TABLE)
    table = read_classes(tmp_path / "classes.yaml")
    directions = {"never": (1.0, 0.0), "nowhere": (0.9, 0.1), "stone": (0.95, 0.0), "gigantic": (0.1, 0.9),
                  "table": (0.0, 1.0)}  # fmt: skip
    vectors = lambda texts: np.array([directions.get(t, (0.0, -1.0)) for t in texts])  # noqa: E731
    near = ClassGuesser(table, vectors, lambda word: None)
    rows = [("nowhere", "negation"), ("gigantic", "size"), ("stone", ""), ("table", "")]
    path = tmp_path / "words.jsonl"
    path.write_text("".join(json.dumps({"word": w, "text": w, "class": c}) + "\n" for w, c in rows))
    found = guesses(path, near, table)
    assert [found[f"guess_{k}"]["mean"] for k in ("precision", "recall", "false")] == [0.5, 0.5, 0.5]
    path.write_text(json.dumps({"word": "never", "text": "never", "class": "negation"}))
    with pytest.raises(UserError, match="line 1: never, negation; accepted: a word that the table lacks"):
        guesses(path, near, table)


def test_the_lists_are_what_they_say() -> None:
    table = word_classes()
    for name in (SENTENCES, GUESSES):
        for line, row in json_rows(suites.folder() / name):
            said = [w.strip(MARKS).lower() for w in row["text"].split()]
            assert row["word"].lower() in said and row["class"] in (*table.classes, ""), (name, line)
    held = {row["word"] for _, row in json_rows(suites.folder() / GUESSES)}
    assert not {(w,) for w in held} & set(table.words) and len(held) > 100
