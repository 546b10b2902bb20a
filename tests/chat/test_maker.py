"""What a conversation makes is judged, made again, in other words, or as another action, and its notes say so."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from avatargpt.body.generate import GenerationResult
from avatargpt.body.judge import Judgement
from avatargpt.chat import Conversation
from avatargpt.chat.maker import GeneratedMotion, MotionMaker
from avatargpt.long.outcome import Verifier
from avatargpt.requests.clause_spec import ClauseSpec
from avatargpt.requests.resolver import ResolvedRequest
from tests.chat.stand_ins import FakeModel, FakePlanner, LineIntent, say, walk

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

    def results(self, requests, seconds, config, after=None, draft=None):
        captions = tuple(c.caption for c in requests[0].clauses)
        self.made.append((captions, config.seed))
        if draft:
            draft(walk(1))
        spans = tuple((20 * i, 20 * i + 20) for i in range(len(captions)))
        return [GenerationResult(walk(len(captions)), captions, spans)]


class Strict:
    """Some captions are not shown."""

    tries = Verifier.tries

    def __init__(self, networks, bad):
        self.model, self.bad = networks, bad

    def judge_motion(self, motion, step):
        assert len(motion) == 20, "each clause by itself"
        bad = step.caption in self.bad
        return Judgement(-float(bad), "not" if bad else "shown")

    def near_clauses(self, step, same):
        if same:
            return [replace(step, caption=f"{step.caption} again")]
        return [replace(step, caption="wipes", action="wipes")]


@pytest.mark.parametrize(("bad", "tries", "last", "said"), [
    ((), 1, "bows", ""),
    (("bows",), 4, "bows again", "'bows' in other words: 'bows again'"),
    (("bows", "bows again"), 5, "wipes", "'bows' could not be shown; shown instead: 'wipes'"),
    (("bows", "bows again", "wipes"), 5, "bows", "'sweeps and bows' may not look as it reads"),
])  # fmt: skip
def test_what_is_not_shown_is_made_again(monkeypatch, bad, tries, last, said):
    networks = Networks()
    monkeypatch.setattr("avatargpt.chat.maker.doubts", lambda clauses, grounder: [""] * len(clauses))
    maker = MotionMaker(SimpleNamespace(body=networks))
    maker.verifier = Strict(networks, bad)
    motion = maker.make("sweeps and bows", 2.0, 5).motion
    assert motion.notes == ((said,) if said else ()) and len(networks.made) == tries
    assert networks.made[0] == (WORDS, 5) and len({seed for _, seed in networks.made[:3]}) == min(tries, 3)
    if tries > 1:
        assert networks.made[-1][0] == ("sweeps", last) or last == "bows"


def test_drafts_come_before_anything_is_judged(monkeypatch):
    monkeypatch.setattr("avatargpt.chat.maker.doubts", lambda clauses, grounder: [])
    maker, drafts = MotionMaker(SimpleNamespace(body=(networks := Networks()))), []
    maker.verifier = Strict(networks, ("bows",))
    made = maker.make("sweeps and bows", 2.0, 5, draft=lambda m: drafts.append((len(m), len(networks.made))))
    assert drafts == [(20, 1), (40, 1)], "the first action, then both, of the first try alone"
    assert made.actions == (("sweeps", 0.0), ("bows", 0.5))


@pytest.fixture
def drafting(monkeypatch):
    """What is made is handed out half done; it has two actions."""

    def halves(self, caption, seconds, seed, after=None, draft=None):
        (motion,) = self.model.generate([caption], seconds=seconds, seed=seed, after=after)
        if draft:
            draft(motion.slice(0, len(motion) // 2))
        return GeneratedMotion(motion, ((caption, 0.0), ("a person waves his left hand", 0.5)))

    monkeypatch.setattr(MotionMaker, "make", halves)


def test_a_draft_stands_where_its_segment_will(drafting, tmp_path):
    seen = []
    talk = Conversation(FakeModel(), intent=LineIntent(), on_draft=lambda t: seen.append(t))
    say(talk, "make 2s: a person walks", "then 4s: a person sits", "before 2 2s: a person bows")
    assert [[s.caption for s in t.segments] for t in seen] == [
        ["a person walks"], ["a person walks", "a person sits"], ["a person walks", "a person bows"]]  # fmt: skip
    assert [t.spans[-1] for t in seen] == [(0, 20), (40, 80), (40, 60)]
    assert not any(s.motion is t.segments[-1].motion for t in seen for s in talk.timeline.segments)
    seen.clear()
    say(talk, "speed 1 x2", "edit 1: like a robot")
    assert not seen, "what is made for another speed is not what will be there"


def test_actions_of_a_segment_keep_their_places(drafting, tmp_path):
    talk = Conversation(FakeModel(), tmp_path, intent=LineIntent())
    say(talk, "make 2s: a person walks", "retime 1 2.5s", "mirror 1")
    actions = (("a person walks", 0.0), ("a person waves his right hand", 0.5))
    assert talk.timeline.segments[0].actions == actions
    talk.close()
    assert Conversation(FakeModel(), tmp_path, intent=LineIntent()).timeline.segments[0].actions == actions


def test_notes_land_on_the_segments_of_a_plan(monkeypatch, tmp_path):
    talk = Conversation(FakeModel(), intent=LineIntent(), outputs=tmp_path, planner=FakePlanner())
    make = MotionMaker.make

    def noted(self, caption, *order, **more):
        made = make(self, caption, *order, **more)
        return replace(made, motion=replace(made.motion, notes=(f"{caption} is only partly seen",)))

    monkeypatch.setattr(MotionMaker, "make", noted)
    reply = talk.say("plan 1: a picnic")
    assert [s.note for s in talk.timeline.segments] == [f"a person {w}s is only partly seen" for w in ("walk", "sit")]
    assert "[a person sits is only partly seen]" in reply.text
    told = " Note: a person bows is only partly seen."
    lines = ("then: a person bows", "before 1: a person bows", "replace 1: a person bows", "edit 1: wildly", "again 2")
    assert [talk.say(line).text.count(told.replace("bows", w)) for line, w in zip(
        lines, ("bows", "bows", "bows", "bows wildly", "walks"), strict=True)] == [1] * len(lines)  # fmt: skip
    assert "Note:" not in talk.say("mirror 1").text
