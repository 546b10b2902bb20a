"""Drawn instructions say what their scores hold."""

from __future__ import annotations

import re

import numpy as np

from avatargpt.metrics.face import emotions_shown
from avatargpt.metrics.face_events import check_score
from instruct_data.face.actions import action_names
from instruct_data.face.compose import (
    by_clock,
    by_spans,
    composed,
    held_during,
    named,
    phrases,
    side_after_side,
    so_long_each,
    timed_instructions,
)
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import mirror_action

DRAWN = composed(300, seed=2)


def test_the_phrases_cover_actions_and_emotions() -> None:
    table = phrases()
    actions = set(table["actions"])
    assert actions | {mirror_action(a) for a in actions} == set(action_names())
    assert set(table["emotions"]) == set(emotion_names())
    for name, entry in table["actions"].items():
        assert len(entry["say"]) >= 2, name
        assert ("left" in name) == all("left" in s for s in entry["say"]), name


def test_drawn_scores_are_different_and_reproducible() -> None:
    assert composed(300, seed=2) == DRAWN != composed(300, seed=3)
    texts = [s.text.lower() for s in DRAWN]
    assert len(set(texts)) == 300
    assert texts[0] not in {s.text.lower() for s in composed(300, seed=2, avoid=[DRAWN[0].text])}
    kinds = {s.kind for s in DRAWN}
    assert kinds == {"motion", "emotion", "both"}


def test_words_and_scores_agree() -> None:
    table = phrases()
    counts = {"twice": 2, "two times": 2, "three times": 3, "thrice": 3, "four times": 4, "five times": 5}
    for score in DRAWN:
        text = score.text.lower()
        counted = sorted(n for w, n in counts.items() for _ in re.findall(rf"\b{w}\b", text))
        assert counted == sorted(e.repeat for e in score.events if e.repeat > 1), score
        sides = sorted(re.findall(r"\b(left|right)\b", text))
        expected = sorted(s for e in score.events for s in ("left", "right") if s in e.action.split("_"))
        assert sides == expected, score
        feelings = [n for n, words in table["emotions"].items() for w in words if re.search(rf"(?<!-)\b{w}\b", text)]
        shown = {f.name for f in score.emotions}  # "neutral" is also what a face returns to
        assert set(feelings) - {"neutral"} == shown - {"neutral"}, score
        assert all(e.end <= score.length for e in score.events)
        assert score.text[0].isupper() and score.text.endswith(".") and "{" not in score.text


def test_drawn_instructions_can_be_done() -> None:
    clips = [render(s, i) for i, s in enumerate(DRAWN[:120])]
    assert np.mean([x.passed for c, s in zip(clips, DRAWN, strict=False) for x in check_score(c, s)]) >= 0.99
    shown = [x for c, s in zip(clips, DRAWN, strict=False) for x in emotions_shown(c, s)]
    assert len(shown) > 10 and np.mean(shown) >= 0.95


def test_every_name_has_every_degree() -> None:
    scores = {s.text: s for s in named()}
    for action in action_names():
        assert [e.action for e in scores[action.replace("_", " ")].events] == [action]
    steps = [scores[t].events[0].intensity for t in ("look up head slightly", "look up head", "look up head extremely")]
    assert steps == sorted(set(steps))
    assert scores["very sad"].emotions[0].intensity < scores["utterly sad"].emotions[0].intensity
    assert "slightly neutral" not in scores and "close mouth slightly" not in scores


def test_timed_instructions_say_their_times() -> None:
    scores = timed_instructions(200, 1, ["Wink left, right."])
    assert len({s.text.lower() for s in scores}) == 200 and all(s.events and s.length <= 12 for s in scores)
    assert scores[:20] == timed_instructions(20, 1, ["Wink left, right."])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        text, events = by_clock(rng)
        assert all(f"{e.start:g}" in text or e.start == int(e.start) for e in events), text
        text, events = by_spans(rng)
        assert all(a.end <= b.start + 1e-6 or b.end <= a.end for a, b in zip(events, events[1:], strict=False)), text
        text, events = held_during(rng)
        assert events[0].end > max(e.end for e in events[1:]) and "{" not in text
        _, events = so_long_each(rng)
        assert len({e.duration for e in events}) == 1
        text, events = side_after_side(rng)
        assert "left" in text or "right" in text
        assert all(e.action.endswith(("left", "right", "brow")) for e in events)
