"""Drawn instructions say what their scores hold."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from avatargpt.metrics.face import emotions_shown
from avatargpt.metrics.face_events import check_score
from instruct_data.face.actions import action_names
from instruct_data.face.compose import compose, composed, phrases
from instruct_data.face.emotions import emotion_names
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Score, mirror_action, mirror_words
from vqvae import arkit
from vqvae.losses import FaceLossWeights, face_losses

DRAWN = composed(300, seed=2)


def test_the_book_covers_actions_and_emotions():
    book = phrases()
    said = set(book["actions"])
    assert said | {mirror_action(a) for a in said} == set(action_names())
    assert set(book["emotions"]) == set(emotion_names())
    for name, entry in book["actions"].items():
        assert len(entry["say"]) >= 2, name
        assert ("left" in name) == all("left" in s for s in entry["say"]), name


def test_drawn_scores_are_different_and_reproducible():
    assert composed(300, seed=2) == DRAWN != composed(300, seed=3)
    texts = [s.text.lower() for s in DRAWN]
    assert len(set(texts)) == 300
    assert texts[0] not in {s.text.lower() for s in composed(300, seed=2, avoid=[DRAWN[0].text])}
    kinds = {s.kind for s in DRAWN}
    assert kinds == {"motion", "emotion", "both"}


def test_words_and_scores_agree():
    book = phrases()
    counts = {"twice": 2, "two times": 2, "three times": 3, "thrice": 3, "four times": 4, "five times": 5}
    for score in DRAWN:
        text = score.text.lower()
        said = sorted(n for w, n in counts.items() for _ in re.findall(rf"\b{w}\b", text))
        assert said == sorted(e.repeat for e in score.events if e.repeat > 1), score
        sides = sorted(re.findall(r"\b(left|right)\b", text))
        asked = sorted(s for e in score.events for s in ("left", "right") if s in e.action.split("_"))
        assert sides == asked, score
        feelings = [n for n, words in book["emotions"].items() for w in words if re.search(rf"(?<!-)\b{w}\b", text)]
        shown = {f.name for f in score.emotions}  # "neutral" is also what a face returns to
        assert set(feelings) - {"neutral"} == shown - {"neutral"}, score
        assert all(e.end <= score.length for e in score.events)
        assert score.text[0].isupper() and score.text.endswith(".") and "{" not in score.text


def test_drawn_instructions_can_be_done():
    clips = [render(s, i) for i, s in enumerate(DRAWN[:120])]
    assert np.mean([x.passed for c, s in zip(clips, DRAWN, strict=False) for x in check_score(c, s)]) >= 0.99
    shown = [x for c, s in zip(clips, DRAWN, strict=False) for x in emotions_shown(c, s)]
    assert len(shown) > 10 and np.mean(shown) >= 0.95


def test_another_emotion_is_not_shown():
    happy = render(Score(4.0, (), (Emotion("happy", 0.8, 0, 4),)), 1)
    assert emotions_shown(happy, Score(4.0, (), (Emotion("happy", 0.8, 0, 4),))) == [True]
    for name in ("sad", "angry", "bored", "fearful"):
        assert emotions_shown(happy, Score(4.0, (), (Emotion(name, 0.8, 0, 4),))) == [False]


def test_feelings_of_a_clip_that_ends_too_soon_are_not_shown():
    wanted = Score(6.0, (), (Emotion("happy", 0.8, 0, 3), Emotion("sad", 0.8, 3, 6)))
    assert emotions_shown(render(wanted, 1).slice(0, 60), wanted) == [True, False]


def test_the_state_of_the_generator_decides():
    assert compose(np.random.default_rng(5)) == compose(np.random.default_rng(5))


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [("Wink with your left eye.", "Wink with your right eye."),
     ("Turn slowly right until noon.", "Turn slowly left until noon."),
     ("L12D, then head L; R&B stays", "R12D, then head R; R&B stays"), ("John L. winks right", "John L. winks left"),
     ("AU61 then AU62, AU4.", "AU62 then AU61, AU4."), ("Squint with what is left of your left eye.", None)],
)  # fmt: skip
def test_mirrored_words(text, mirrored):
    assert mirror_words(text) == (mirrored or "Squint with what is left of your right eye.")


def test_losses_weigh_lids_and_lips():
    target = torch.zeros(2, 8, 55)
    mean, std = torch.zeros(55), torch.ones(55)
    assert all(float(v) == 0 for v in face_losses(target, target, mean, std, FaceLossWeights()).values())
    totals = {}
    for name in ("eyeBlinkLeft", "jawOpen", "cheekPuff"):
        off = target.clone()
        off[..., arkit.INDEX[name]] = 0.3
        found = face_losses(off, target, mean, std, FaceLossWeights())
        assert float(found.pop("weight_error")) == pytest.approx(0.3 / 52, rel=1e-5)
        totals[name] = float(torch.stack(list(found.values())).sum())
    assert totals["eyeBlinkLeft"] > 2 * totals["cheekPuff"] and totals["jawOpen"] > 2 * totals["cheekPuff"]


def test_large_errors_of_rare_movements_are_not_forgiven():
    target, mean, std = torch.zeros(1, 8, 55), torch.zeros(55), torch.ones(55)

    def cost(error: float, bend: float) -> float:
        off = target.clone()
        off[..., 52] = error  # the head's yaw, in standard deviations
        return float(face_losses(off, target, mean, std, FaceLossWeights(bend=bend))["features"])

    assert cost(4.0, 4.0) == pytest.approx(16 * cost(1.0, 4.0))  # squared up to the bend
    assert cost(9.0, 4.0) - cost(8.0, 4.0) == pytest.approx(cost(6.0, 4.0) - cost(5.0, 4.0))  # straight beyond it
    assert cost(4.0, 0.5) < 10 * cost(1.0, 0.5)


def test_every_name_has_every_degree() -> None:
    from instruct_data.face.compose import named

    said = {s.text: s for s in named()}
    for action in action_names():
        assert [e.action for e in said[action.replace("_", " ")].events] == [action]
    steps = [said[t].events[0].intensity for t in ("look up head slightly", "look up head", "look up head extremely")]
    assert steps == sorted(set(steps))
    assert said["very sad"].emotions[0].intensity < said["utterly sad"].emotions[0].intensity
    assert "slightly neutral" not in said and "close mouth slightly" not in said


def test_what_is_done_when_the_words_say() -> None:
    from instruct_data.face.compose import (
        by_clock,
        by_spans,
        held_during,
        side_after_side,
        so_long_each,
        timed_instructions,
    )

    some = timed_instructions(200, 1, ["Wink left, right."])
    assert len({s.text.lower() for s in some}) == 200 and all(s.events and s.length <= 12 for s in some)
    assert some[:20] == timed_instructions(20, 1, ["Wink left, right."])
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
