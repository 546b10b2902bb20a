"""What a conversation makes is judged, made again, in other words, or as another action, and its notes say so."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from avatargpt.body.generate import GenerationResult
from avatargpt.chat import Conversation
from avatargpt.chat.maker import Maker
from avatargpt.long.outcome import Judgement, Verifier
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.resolver import ResolvedRequest
from tests.chat.stand_ins import FakeModel, FakePlanner, LineIntent, walk

WORDS = ("sweeps", "bows")


class Networks:
    """Reads two clauses, and counts what is made."""

    phrase_index = SimpleNamespace(lengths={}, measured={})
    grounder = object()

    def __init__(self):
        self.made = []
        self.model, self.generation = self, self

    def resolve(self, text):
        return ResolvedRequest(text, None, tuple(ClauseSpec(w, 1.0, words=w, action=w) for w in text.split(" and ")))

    def results(self, requests, seconds, config, after=None):
        captions = tuple(c.caption for c in requests[0].clauses)
        self.made.append((captions, config.seed))
        spans = tuple((20 * i, 20 * i + 20) for i in range(len(captions)))
        return [GenerationResult(walk(len(captions)), captions, spans)]


class Strict:
    """Of some captions others fit better."""

    tries = Verifier.tries

    def __init__(self, networks, bad):
        self.model, self.bad = networks, bad

    def judged(self, motion, step):
        assert len(motion) == 20, "each clause by itself"
        return Judgement(9 * (step.caption in self.bad), None)

    def reworded(self, step):
        return [self._as(step, f"{step.caption} again", step.action)]

    def similar(self, step):
        return [self._as(step, "wipes", "wipes")]

    @staticmethod
    def _as(step, caption, action):
        return replace(step, caption=caption, action=action)


@pytest.mark.parametrize(("bad", "tries", "last", "said"), [
    ((), 1, "bows", ""),
    (("bows",), 4, "bows again", "'bows' in other words: 'bows again'"),
    (("bows", "bows again"), 5, "wipes", "'bows' could not be shown; shown instead: 'wipes'"),
    (("bows", "bows again", "wipes"), 5, "bows", "'sweeps and bows' may not look as it reads"),
])  # fmt: skip
def test_what_is_not_shown_is_made_again(monkeypatch, bad, tries, last, said):
    networks = Networks()
    monkeypatch.setattr("avatargpt.chat.maker.doubts", lambda clauses, grounder: [""] * len(clauses))
    maker = Maker(SimpleNamespace(body=networks))
    maker.verifier = Strict(networks, bad)
    motion = maker.motion("sweeps and bows", 2.0, 5)
    assert motion.notes == ((said,) if said else ()) and len(networks.made) == tries
    assert networks.made[0] == (WORDS, 5) and len({seed for _, seed in networks.made[:3]}) == min(tries, 3)
    if tries > 1:
        assert networks.made[-1][0] == ("sweeps", last) or last == "bows"


def test_notes_land_on_the_segments_of_a_plan(monkeypatch, tmp_path):
    talk = Conversation(FakeModel(), intent=LineIntent(), outputs=tmp_path, planner=FakePlanner())
    make = Maker.motion

    def noted(self, caption, *order):
        return replace(make(self, caption, *order), notes=(f"{caption} is only partly seen",))

    monkeypatch.setattr(Maker, "motion", noted)
    reply = talk.say("plan 1: a picnic")
    assert [s.note for s in talk.timeline.segments] == [f"a person {w}s is only partly seen" for w in ("walk", "sit")]
    assert "[a person sits is only partly seen]" in reply.text
