"""What follows from what was seen: the network's file, the answers of planners, and the loop that uses them."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt import resources
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.long.loop import Director, make_room
from avatargpt.long.spans import Span
from avatargpt.planning.consequences import FILE, Consequence, ConsequenceNet, Consequences
from avatargpt.planning.library import PlanLibrary, StoryPart
from avatargpt.planning.retrieval_planner import RetrievalPlanner
from avatargpt.planning.types import Activity
from avatargpt.requests.vector_index import unit
from tests.planning.conftest import Encoder
from vqvae.errors import UserError

SCENE = "A nurse has a long night."
FALL = StoryPart("{^he} gets up.", ("{he} gets up", "{he} rubs {his} knee"), frozenset())
COLD = StoryPart("{^he} warms {himself}.", ("{he} rubs {his} arms",), frozenset())
DOWN = "she falls on her back"
PAST = [Activity("She walks.", ("she walks along",))]


class Told:
    """Consequences by what was seen, word for word."""

    def __init__(self, **then: Any) -> None:
        self.then = then

    def read(self, said: Any, seen: str, grounder: Any) -> Consequence:
        then = self.then.get(seen, "go_on")
        return Consequence(then, float(then != "go_on"), () if then == "go_on" else (FALL, COLD))


@pytest.fixture(scope="module")
def packaged() -> Consequences:
    found = Consequences.load(resources.weights())
    assert found is not None
    return found


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ConsequenceNet(2, 4)
    torch.nn.init.normal_(network.reader.layers.layers[0].query.up)
    keys = unit(np.random.default_rng(0).normal(size=(2, 4))).astype(np.float32)
    mishaps = unit(np.random.default_rng(1).normal(size=(2, 384))).astype(np.float32)
    one = Consequences(network, [FALL, COLD], keys, mishaps, 0.0)
    one.save(tmp_path)
    other, grounder = Consequences.load(tmp_path), SentenceGrounder()
    assert other is not None
    a, b = (c.read(["he runs", "he sits"], "he falls over a dog", grounder) for c in (one, other))
    assert a.then == b.then and a.answers == b.answers and a.needed == pytest.approx(b.needed, abs=1e-2)
    assert Consequences.load(tmp_path / "none") is None
    (tmp_path / FILE).write_bytes(b"nothing")
    with pytest.raises(UserError, match=FILE):
        Consequences.load(tmp_path)


@pytest.mark.parametrize(("said", "seen"), [
    ("he carries the tray to the table", "a person stumbles, falls forward and lands on both hands"),
    ("she pours the tea", "she snatches her hand back and blows on her burnt fingers"),
    ("he waves at the crowd", "a person sits down and does not move"),
])  # fmt: skip
def test_mishaps_are_told_from_what_was_said(packaged: Consequences, said: str, seen: str) -> None:
    grounder = SentenceGrounder()
    mishap, as_said = packaged.read([said], seen, grounder), packaged.read([said], said, grounder)
    assert mishap.then != "go_on" and mishap.answers
    assert as_said.then == "go_on" and as_said.needed < mishap.needed


def test_one_of_several_steps_explains_what_is_seen(packaged: Consequences) -> None:
    grounder = SentenceGrounder()
    steps = ["she walks to the wall", "she stumbles and falls to the ground"]
    assert packaged.read(steps, "a person stumbles and falls to the ground", grounder).then == "go_on"
    assert packaged.read(steps[:1], "a person stumbles and falls to the ground", grounder).then != "go_on"


def test_a_planner_answers_what_happened(library: PlanLibrary, encoder: Encoder) -> None:
    planner = RetrievalPlanner(library, encoder, consequences=Told(**{DOWN: "first"}))  # type: ignore
    after = planner.next_activity(SCENE, PAST, DOWN)
    assert after.steps == ("she gets up", "she rubs her knee")
    assert after.task == "She gets up." and after.reason == DOWN
    assert not planner.next_activity(SCENE, PAST, "walked").reason
    assert not planner.next_activity(SCENE, [], DOWN).reason  # nothing was to be seen yet


def test_answers_that_a_body_does_not_show_come_last(library: PlanLibrary, encoder: Encoder) -> None:
    checker = SimpleNamespace(showable=lambda steps: ["knee" not in s for s in steps], seconds=lambda s: [1.0] * len(s),
                              plain=lambda s: [1.0] * len(s))  # fmt: skip
    planner = RetrievalPlanner(library, encoder, checker, consequences=Told(**{DOWN: "first"}))  # type: ignore
    assert planner.next_activity(SCENE, PAST, DOWN).task == "She warms herself."


def span(seen: str, step: int = 0, verdict: str = "not") -> Span:
    return Span(0, 40, 0, "She works.", step, ("she digs", "she drinks")[step], "", described=seen, verdict=verdict)


def direct(seconds: tuple[float, ...] = (), **then: Any) -> tuple[Director, Activity]:
    planner = SimpleNamespace(next_activity=lambda *a: Activity("She gets up.", ("she gets up", "she nods"), (), a[2]))
    work = Activity("She works.", ("she digs", "she drinks"), seconds)
    plan = [work, Activity("She rests.", ("she sits",), seconds[:1])]
    told: Any = Told(**then)
    director = Director(planner, SCENE, first=plan, consequences=told, grounder=SentenceGrounder())  # type: ignore
    return director, director.next()


@pytest.mark.parametrize(("then", "steps"), [
    ("first", [("she gets up", "she nods"), ("she drinks",), ("she sits",)]),
    ("again", [("she digs",), ("she drinks",), ("she sits",)]),
    ("instead", [("she gets up", "she nods"), ("she sits",)]),
])  # fmt: skip
def test_what_was_seen_changes_the_plan(then: str, steps: list[tuple[str, ...]]) -> None:
    director, activity = direct(fell=then)
    assert director.react(activity, span("fell"))
    followed = [director.next() for _ in steps]
    assert [a.steps for a in followed] == steps and followed[0].reason == "fell" and not followed[1].reason
    assert not director.react(followed[0], span("fell"))  # once


def test_what_was_shown_or_needs_no_answer_changes_nothing() -> None:
    director, activity = direct(fell="first")
    assert not director.react(activity, span("fell", verdict="shown"))
    assert not director.react(activity, span("dug a little", verdict="partly"))
    assert not director.react(activity, replace(span("dug a little"), takes=3))
    assert not director.react(activity, span("fell", verdict="partly"))
    assert not director.react(activity, span("dug a little"), known=0.1)
    assert director.react(activity, span("dug a little"))  # made but once
    director.consequences = None
    assert not director.react(activity, span("fell"))


def test_an_answer_takes_its_time_from_what_follows() -> None:
    director, activity = direct((10.0, 20.0), fell="first")
    assert director.react(activity, span("fell"))
    answer, rest, last = (director.next() for _ in range(3))
    assert answer.seconds == (2.5, 2.5) and sum(rest.seconds) + sum(last.seconds) == pytest.approx(25, abs=0.1)
    long_answer = Activity("a", ("b",), (30.0,))
    assert make_room(long_answer, [Activity("c", ("d",), (10.0,))])[1].seconds == (5.0,)  # half of it stays
