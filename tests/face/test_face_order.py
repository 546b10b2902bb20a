"""Descriptions of faces put in order by what is seen, and those of windows joined."""

from __future__ import annotations

import re

import numpy as np
import pytest

from avatargpt.face.tokens import describe_windows, order_actions
from instruct_data.face.described import described, parse_description, repair_description
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score
from vqvae.face import FaceMotion
from vqvae.face import concatenate as joined

ACTIONS = (
    "smile", "wink_left", "wink_right", "nod", "open_mouth", "raise_brows", "pucker_lips", "frown", "shake_head",
    "look_left", "squint", "puff_cheeks", "close_eyes", "sneer_left",
)  # fmt: skip


def clip(*events: tuple, seconds: float = 4.0, feel: tuple[Emotion, ...] = ()) -> tuple[FaceMotion, str]:
    score = Score(seconds, tuple(Event(*e) for e in events), feel)
    return render(score, 3), described(score)


def test_pairs_come_in_the_order_in_which_they_are_done() -> None:
    rng, right = np.random.default_rng(0), 0
    pairs = [rng.choice(ACTIONS, 2, replace=False) for _ in range(60)]
    for a, b in pairs:
        face, truth = clip((str(a), 0.3, 1.0), (str(b), 1.8, 1.0), seconds=3.1)
        right += {order_actions(t, face) for t in (truth, ", then ".join(truth.split(", then ")[::-1]))} == {truth}
    assert right >= 57


@pytest.mark.parametrize(
    ("events", "network", "says"),
    [
        # degree, count and feeling go along
        ([("smile", 0.2, 0.8), ("nod", 2.0, 1.2, 0.9, 2)], "nod strongly twice and smile; very happy, then sad",
         "smile, then nod strongly twice; very happy, then sad"),
        # what overlaps stays as it was told
        ([("smile", 0.5, 2.0), ("nod", 0.8, 1.0)], "smile and nod", "smile and nod"),
        ([("smile", 0.5, 2.0), ("nod", 0.8, 1.0)], "nod and smile", "nod and smile"),
        # several rises of one signal, in order; a single one is told once
        ([("wink_left", 0.3, 0.5), ("nod", 1.2, 0.8), ("wink_left", 2.6, 0.5)], "nod, then wink left, then wink left",
         "wink left, then nod, then wink left"),
        ([("nod", 0.3, 0.8), ("smile", 2.0, 1.0)], "smile, then nod, then smile", "nod, then smile"),
        # states and what is not seen keep their place
        ([("smile", 0.2, 0.8), ("frown", 2.5, 1.0)], "frown, then return to neutral, then smile",
         "smile, then return to neutral, then frown"),
        ([("smile", 0.5, 1.0)], "stick out tongue, then smile", "stick out tongue, then smile"),
        ([("smile", 0.5, 1.0)], "smiling somehow, then smile", "smiling somehow, then smile"),
        ([("smile", 0.5, 1.0)], "very happy, then sad", "very happy, then sad"), ([], "", ""),
    ],
)  # fmt: skip
def test_the_rule(events: list[tuple], network: str, says: str) -> None:
    assert order_actions(network, clip(*events)[0]) == says


def test_windows_lose_nothing_that_repeats() -> None:
    wink, calm, smile = clip(("wink_left", 1.5, 0.5)), clip(seconds=2.0), clip(("smile", 0.5, 1.0))
    happy = Emotion("happy", 0.85, 0.0, 4.0)
    felt = [(clip(("wink_left", 1.5, 0.5), feel=(happy,)))] * 3

    def say(*windows: tuple[FaceMotion, str]) -> str:
        return describe_windows([(text, face) for face, text in windows])

    assert say(wink, wink, wink) == "wink left, then wink left, then wink left"
    assert parse_description(say(*felt)).actions == (("wink_left", 1),) * 3 and say(*felt).endswith("; very happy")
    assert say(wink, calm, smile) == "wink left, then smile" and say(calm, calm) == "neutral"
    assert say(felt[0], calm) == "wink left; very happy, then neutral"
    assert describe_windows([("very happy", calm[0]), ("very happy, then sad", calm[0])]) == "very happy, then sad"


def test_an_action_under_way_between_windows_is_told_once() -> None:
    whole = joined([clip(("smile", 1.0, 3.0))[0].slice(0, 90), clip(("smile", 1.0, 3.0))[0].slice(60, 120)])
    first, second = whole.slice(0, 90), whole.slice(90, len(whole))
    assert describe_windows([("smile", first), ("smile, then nod; happy", second)]) == "smile, then nod; happy"


BROKEN = (
    ("extremely out tongue slightly fearful", ""),
    ("smile; very excited, then extremely out tongue slightly fearful", "smile; very excited"),
    ("blow and laugh slightly and laugh and blow and laugh, then laugh", "blow and laugh slightly, then laugh"),
    ("smile and nod three times, out tongue; very out tongue; sad", "smile and nod three times; sad"),
    ("jaw right, then and look up, raise brows", "jaw right, then look up, then raise brows"),
    ("many out many times, then very nod twice; neutral, then happy", "nod strongly twice; neutral, then happy"),
)  # what networks wrote or might, and what of it has a meaning


@pytest.mark.parametrize(("network", "says"), BROKEN)
def test_what_cannot_be_read_back_is_left_out(network: str, says: str) -> None:
    still = clip(seconds=2.0)[0]
    assert repair_description(network) == says == describe_windows([(network, still)])


def test_every_description_can_be_read_back() -> None:
    texts = [text for text, _ in BROKEN] + [clip(("smile", 0.3, 1.0), ("nod", 0.5, 0.8))[1], "very happy"]
    faces = [clip(("laugh", 0.2, 2.5), ("blow", 1.0, 1.0))[0], clip(("smile", 0.5, 1.0))[0]]
    for k, text in enumerate(texts):
        for windows in ([text], [text, texts[k - 1]], [text, text, text]):
            told_of = describe_windows([(t, faces[i % 2]) for i, t in enumerate(windows)])
            acts, _, felt = told_of.partition("; ")
            parts = [p for run in re.split("; |, then ", told_of) for p in run.split(" and ") if p]
            read = parse_description(told_of)
            assert len(read.actions) + len(read.feelings) == len(parts) and repair_description(told_of) == told_of
            assert not parse_description(felt).actions and (not felt or not parse_description(acts).feelings)
            for run in acts.split(", then "):
                names = [name for name, _ in parse_description(run).actions]
                assert len(names) == len(set(names))
