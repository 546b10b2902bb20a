"""The fresh suites: counters, clauses and lengths on clips, the judge of readings, faces by construct, timelines."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.body.generate import GenerationResult
from avatargpt.chat.timeline import Timeline, segment_of
from avatargpt.evaluation import chat, corpus, prompts, requests
from avatargpt.evaluation.face_instructions import same_reading
from avatargpt.evaluation.suites import Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.geometry.counts import COUNTERS, KNOWN, counted_in
from avatargpt.requests.vector_index import VectorIndex
from instruct_data.face.score import Emotion, Event, Score
from instruct_data.joining import join_motions
from vqvae.errors import UserError
from vqvae.motion import Motion


def clip(family: str, seed: int = 0) -> Motion:
    return next(corpus.keyframed_clips(1, corpus.HELD_OUT + seed, only=[family])).load()


@pytest.mark.parametrize("name", sorted(COUNTERS))
def test_a_counter_counts_what_is_known(name: str) -> None:
    for known in KNOWN[name]:
        for made in corpus.keyframed_clips(4, only=[known.family]):
            if times := known.times(made.extra["params"]):
                s = Signals(made.load())
                assert counted_in(s, name) == times
                assert not predicates.judge({"counted": {"what": name, "times": times + 1}}, s).passed


def test_every_counter_is_measured_and_others_are_refused() -> None:
    assert set(KNOWN) == set(COUNTERS)
    with pytest.raises(UserError, match="nothing counts"):
        counted_in(Signals(clip("nod")), "somersaults")


def test_clauses_are_looked_for_where_their_maker_says() -> None:
    bow, clap = clip("bow"), clip("clap")
    spans = (0, len(bow)), (len(bow), len(bow) + len(clap))
    made = GenerationResult(join_motions(bow, clap), ("bows", "claps"), spans)
    s = Signals(made.motion, prompts.answer_of(made).seams)
    assert s.seams == (len(bow),)
    right = [{"lasting": {"seconds": bow.seconds, "check": {"bows": {"degrees": 12}}}}, {"claps": {"times": 1}}]
    assert predicates.judge({"clauses": right}, s).passed
    assert not predicates.judge({"clauses": right[::-1]}, s).passed
    longer = [{"lasting": {"seconds": bow.seconds + 0.5, "check": {"bows": {"degrees": 12}}}}, right[1]]
    assert not predicates.judge({"clauses": longer}, s).passed


def test_a_length_without_a_change_at_the_seam_is_none() -> None:
    still = clip("hands_on_hips")
    half = len(still) // 2
    s = Signals(still, [half / still.fps])
    assert not predicates.changes_at(s, half)


@pytest.mark.parametrize("check", [{"lasting": {"seconds": 2}}, {"lasting": {"seconds": "two", "check": "waves"}}])
def test_a_wrong_length_is_refused(check: object) -> None:
    with pytest.raises(UserError, match="lasting takes"):
        predicates.validate(check)


def test_courses_and_turns_within_degrees() -> None:
    clips = corpus.keyframed_clips(6, only=["sidestep"])
    sideways = Signals(next(c for c in clips if c.extra["params"]["reps"] > 1).load())
    side = "left" if sideways.net[0] > 0 else "right"
    assert predicates.judge({"heads": {"to": side, "within": 15}}, sideways).passed
    assert not predicates.judge({"heads": {"to": "forward", "within": 15}}, sideways).passed
    assert predicates.judge("keeps_facing", sideways).passed
    once = (c for c in corpus.keyframed_clips(6, only=["turn_around"]) if str(c.extra["params"]["again"]) == "False")
    about = Signals(next(once).load())
    assert predicates.judge({"turned": {"side": "any", "degrees": 180}}, about).passed
    assert not predicates.judge({"turned": {"side": "any", "degrees": 120}}, about).passed


def test_prompts_with_an_unsure_counter_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    full = evaluation.load("requests_joints")
    some = tuple(e for e in full.entries if e.prompt in ("nod twice", "clap twice"))
    suite = replace(full, entries=some, options={"counter_clips": 2})
    monkeypatch.setitem(COUNTERS, "nods", lambda s: 0)
    result = prompts.score(suite, lambda texts, seeds: [clip("clap") for _ in texts])
    assert result["left_out"] == ["nod twice"] and result["results"]["pass_rate"]["n"] == 1


def test_the_lists_are_as_large_as_promised() -> None:
    rows = requests.read_rows("requests_fresh.jsonl")
    assert len(rows) >= 400 and sum(r.expected == "unknown" for r in rows) >= 80
    assert len({r.text for r in rows}) == len(rows)
    kinds = [e.kind for e in evaluation.load("requests_joints").entries]
    assert all(kinds.count(k) >= 40 for k in ("count", "seconds", "side", "turn", "tempo", "negation", "clauses"))


def row(*action: dict[str, object], **given: str) -> requests.Row:
    return requests.Row("a", "text", "c", given.get("expected", "known"), action, ((),) * len(action))


def test_the_judge_wants_all_clauses_in_order_and_nothing_excluded() -> None:
    judge = requests.Judge()
    two = row({"do": "bow"}, {"do": "wave", "side": "left"})
    assert judge.right(two, ["a person bows", "someone waves the left hand"])
    assert not judge.right(two, ["someone waves the left hand", "a person bows"])
    assert not judge.right(two, ["a person bows", "someone waves the right hand"])
    assert not judge.right(two, ["a person bows"])
    assert not judge.right(row({"do": "walk on hand"}), ["a person walks"])
    assert not judge.right(row({"do": "walk"}, {"do": "wave", "negated": True}), ["a person walks", "a person waves"])


def test_what_is_not_known_counts_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row({"do": "bow"}), row({"do": "melt"}, expected="unknown"), row({"do": "fly"}, expected="unknown")]
    monkeypatch.setattr(requests, "read_rows", lambda name: rows)
    monkeypatch.setattr(requests, "agreement", lambda *_: {})

    class Model:
        def understood(self, texts: list[str]) -> list[requests.Reading]:
            return [requests.Reading(("a person bows",)), requests.Reading((), ("cannot melt",), False),
                    requests.Reading(("a person jumps",))]  # fmt: skip

    suite = replace(evaluation.load("requests_fresh"))
    results = requests.score(suite, Model())["results"]
    assert results["right"]["mean"] == 1 and results["flagged"]["mean"] == 0.5
    assert results["silent"]["mean"] == pytest.approx(1 / 3, abs=1e-4)


def test_what_nobody_reads_is_the_nearest_phrasing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoder:
        def sentence(self, texts: list[str]) -> np.ndarray:
            return np.array([[1.0, 0.0] if "bow" in t else [0.0, 1.0] for t in texts])

    class Index:
        keys, captions = ["leap", "bow"], [{"": "a person jumps"}, {"": "a person bows"}]
        index = VectorIndex(keys, np.array([[0.0, 1.0], [1.0, 0.0]]))

    monkeypatch.setattr(requests, "SentenceGrounder", Encoder)
    model = type("Model", (), {"phrase_index": Index})()
    told = requests.baseline_readings(model, ["bow, please", "up you go"], 0)
    assert [t.captions for t in told["nearest phrasing"]] == [("a person bows",), ("a person jumps",)]
    assert all(t.known for some in told.values() for t in some) and len(told["random phrasing"]) == 2
    assert requests.baseline_readings(object(), ["x"], 0) == {}


def test_faces_are_read_as_meant() -> None:
    meant = Score(6.0, (Event("blink", 2.0, 0.4), Event("blink", 4.0, 0.4)))
    shifted = replace(meant, events=tuple(replace(e, start=e.start - 1) for e in meant.events))
    assert same_reading(meant, meant, "every") and same_reading(shifted, meant, "every")
    assert not same_reading(shifted, meant, "wait") and same_reading(shifted, meant, "three")
    assert not same_reading(replace(meant, events=meant.events[:1]), meant, "three")
    anger = Score(6.0, (), (Emotion("angry", 0.1, 0.0, 6.0, to=0.9),))
    assert same_reading(anger, anger, "rise") and not same_reading(anger, anger, "fade")
    assert not same_reading(replace(anger, emotions=(Emotion("angry", 0.7, 0.0, 6.0),)), anger, "rise")


def test_faults_of_a_timeline() -> None:
    still = chat.StandingModel(None).generate([""], 3.0)[0]
    assert np.isfinite(still.joints).all() and still.seconds == 3.0
    line = Timeline((segment_of("a person bows twice", still, 0, True),))
    judge = requests.Judge()
    assert not chat.timeline_faults(line, {"final": [{"action": "bow", "seconds": 3, "count": 2}]}, judge)
    wrong = {"final": [{"action": "clap", "seconds": 4, "count": 3, "side": "left"}], "loops": 2, "total": 9.0}
    assert len(chat.timeline_faults(line, wrong, judge)) == 6
    assert chat.timeline_faults(line, {"final": []}, judge)


def test_suites_of_other_kinds_do_not_count() -> None:
    suite: Suite = evaluation.load("prompts_known")
    assert prompts.counter_accuracy(suite) == {}
