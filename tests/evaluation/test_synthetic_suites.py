"""Suites about synthetic clips and about requests that are made anew, on stand-ins for models."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.body.generate import GenerationResult
from avatargpt.chat.timeline import Timeline, segment_of
from avatargpt.evaluation import corpus, describe, plans, prompts, requests, suites, turns
from avatargpt.evaluation import judges as families_suite
from avatargpt.evaluation.face_instructions import same_reading
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics import checks
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.geometry.counts import COUNTERS, KNOWN, count_in
from avatargpt.requests.vector_index import VectorIndex
from instruct_data.clip import Clip
from instruct_data.face.score import Emotion, Event, Score
from instruct_data.joining import join_motions
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22


def moving(seed: int, noise: float = 0.0, frames: int = 70, knee: float = 0.3) -> Motion:
    """Arms and knees that swing gently; `noise` (radians) shakes every joint."""
    rng = np.random.default_rng(seed)
    vectors = np.zeros((frames, 22, 3))
    phase = 2 * np.pi * (np.arange(frames) / 25 + rng.random())
    vectors[:, SMPL22.index("l_shoulder"), 2] = -1.3 + 0.2 * np.sin(phase)
    vectors[:, SMPL22.index("r_shoulder"), 2] = 1.3 + 0.2 * np.sin(phase)
    for name in ("l_knee", "r_knee"):
        vectors[:, SMPL22.index(name), 0] = knee + 0.2 * np.sin(phase)
    vectors += noise * rng.standard_normal(vectors.shape)
    return Motion(rot.from_axis_angle(vectors), np.tile([0.0, 0.95, 0.0], (frames, 1)))


def clips(count: int, noise: float = 0.0, action: str = "walk", source: str = "made", **more: Any) -> list[Clip]:
    return [Clip(f"{action}{i}", moving(i, noise), ["a person moves."], source, "", "train", action, **more)
            for i in range(count)]  # fmt: skip


def table(tmp_path: Path, classes: str) -> suites.Suite:
    path = tmp_path / "tiny.yaml"
    path.write_text("name: tiny\nversion: 1\nkind: judges\ndescription: d\nmetrics: {own: {higher_is_better: true}}\n"
                    f"classes:\n{classes}")  # fmt: skip
    return suites.read(path)


def test_the_table_names_every_family_there_is() -> None:
    known = checks.read_families(evaluation.load("families").classes, "families")
    assert set(corpus.action_names()) <= set(known), set(corpus.action_names()) - set(known)


def test_every_family_is_asked_for_by_a_prompt() -> None:
    known = checks.read_families(evaluation.load("families").classes, "families")
    everyday, before = evaluation.load("prompts_everyday"), evaluation.load("prompts_known")
    asked = {name for e in everyday.entries for name, f in known.items() if f.words.search(e.prompt.lower())}
    assert set(known) <= asked, set(known) - asked
    assert len(everyday.entries) + len(before.entries) >= 150
    assert sum(e.kind == "two" for e in everyday.entries) >= 15
    assert not {e.prompt for e in everyday.entries} & {e.prompt for e in before.entries}
    own = describe.templates()
    copied = [e.prompt for e in everyday.entries for name in own if own[name].fullmatch(e.prompt.lower())]
    assert not copied, copied


def test_own_captions_name_their_family_and_hardly_others() -> None:
    known = checks.read_families(evaluation.load("families").classes, "families")
    actions = [n for n in ("clap", "sit_down", "drink", "kick") if n in corpus.action_names()]
    drawn = list(corpus.make_keyframed_clips(1, only=actions))
    right = [c.action in describe.families_named(known, text) for c in drawn for text in c.captions]
    assert np.mean(right) >= 0.95
    others = [len(describe.families_named(known, text) - {c.action}) for c in drawn for text in c.captions]
    assert np.mean(others) < 4


def test_parameters_of_a_clip_fill_its_checks(tmp_path: Path) -> None:
    suite = table(tmp_path, "- name: wave\n  words: 'wav'\n  checks:\n  - {raises_hand: {side: $side}}\n"
                            "  - {when: {reps: [2, 3]}, check: {jumps: {times: $reps}}}\n"
                            "- {name: still, words: 'still', checks: [in_place]}\n")  # fmt: skip
    entry = checks.read_families(suite.classes, suite.name)["wave"]
    clip = clips(1, action="wave", extra={"side": "left", "params": {"reps": 2}})[0]
    known = checks.facts(clip)
    assert known["other"] == "right"
    assert checks.fill_check(entry.checks[0][1], known) == {"raises_hand": {"side": "left"}}
    assert checks.fill_check(entry.checks[1][1], known) == {"jumps": {"times": 2}}
    assert checks.fill_check(entry.checks[1][1], None) == {"jumps": {}}
    assert checks.applies({"reps": [2, 3]}, known) and not checks.applies({"reps": 4}, known)
    with pytest.raises(UserError, match="no parameter reps"):
        checks.fill_check(entry.checks[1][1], {"side": "left"})
    made = [clip, *clips(3, action="still"), *clips(1, action="unknown")]
    result = families_suite.score_families(suite, made)
    assert result["results"]["own/wave"]["mean"] == 0 and result["results"]["own/still"]["mean"] == 1
    assert result["results"]["others/still"]["mean"] == 1  # a clip of the other family stays in place, too
    assert result["families_without_checks"] == {"unknown": 1}


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("- {name: a, words: x}\n", "accepted name, words, checks, also"),
        ("- {name: a, words: '(', checks: [walks]}\n", "no pattern"),
        ("- {name: a, words: x, checks: [wlks]}\n", "did you mean 'walks'"),
        ("- {name: a, words: x, checks: [walks], also: [b]}\n", "no families of it"),
        ("- {name: a, words: x, checks: [walks]}\n- {name: a, words: x, checks: [walks]}\n", "twice"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, classes: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        checks.read_families(table(tmp_path, classes).classes, "tiny")


def test_describe_synthetic_wants_the_family_and_the_side() -> None:
    def of(action: str, caption: str) -> Clip:
        return Clip(action, moving(0), [caption], "synthetic", "", "val", action)

    data = [of("salute", "a person salutes with the left hand"), of("clap", "a person claps twice"),
            of("sit_down", "a person sits down"), of("nothing", "a person exists")]  # fmt: skip
    said = ["someone salutes with the right hand", "a person claps", "a person walks"]
    result = describe.score_synthetic(evaluation.load("describe_synthetic"), data, lambda m: said[: len(m)])
    assert result["results"]["family"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert result["results"]["side"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 1}
    assert result["results"]["captions"]["mean"] == 1 and result["clips_of_no_family"] == 1
    assert result["confusion"] == {"sit_down": {"(none)": 1}}
    beside = describe.score_synthetic(evaluation.load("describe_synthetic"), data, lambda m: said[: len(m)], data[1:2])
    assert beside["baselines"] == ["nearest clip", "random caption"]
    assert {k: beside["results"][k] for k in result["results"]} == result["results"]
    assert beside["results"]["family/nearest clip"]["mean"] == pytest.approx(1 / 3, abs=1e-4)  # all clap
    with pytest.raises(UserError, match="1 sentences for 3"):
        describe.score_synthetic(evaluation.load("describe_synthetic"), data, lambda m: ["one"])


class Parrot:
    """Says again what it was asked to show, except for steps about pianos."""

    def __init__(self) -> None:
        self.last: list[str] = []

    def generate(self, texts: list[str], seeds: list[int]) -> list[Motion]:
        assert len(texts) == len(seeds)
        self.last = texts
        return [moving(s, frames=4) for s in seeds]

    def describe(self, motions: list[Motion]) -> list[str]:
        return ["nothing at all" if "piano" in t else t for t in self.last]


def words(sentences: list[str]) -> np.ndarray:
    vocabulary = sorted({w for s in sentences for w in s.split()} | {"nothing", "at", "all"})
    everything = np.zeros((len(sentences), 4096))
    for row, s in zip(everything, sentences, strict=True):
        for w in s.split():
            row[sum(ord(c) * (i + 7) for i, c in enumerate(w)) % 4096] += 1
    assert vocabulary
    return everything / np.linalg.norm(everything, axis=1, keepdims=True)


def test_coverage_counts_what_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "planning"
    folder.mkdir()
    said = ["she lifts a box", "he plays the piano", "they wave goodbye", "she lifts a box"]
    row = {"scene": "x", "activities": [{"task": "t", "steps": said}]}
    for name in plans.PLAN_FILES:
        (folder / name).write_text(json.dumps(row) + "\n")
    every = plans.plan_steps(tmp_path)
    assert every == said[:3] == plans.plan_steps(folder)
    assert plans.sample_steps(every, 2, 0) == plans.sample_steps(every, 3, 0)[:2]
    suite = evaluation.load("plan_coverage")
    suite.options["batch"] = 2
    del suite.options["best_of"]  # a parrot has no candidates
    result = plans.score_coverage(suite, every, Parrot(), words)
    assert result["results"]["covered"]["mean"] == pytest.approx(2 / 3, abs=1e-4)
    assert result["results"]["covered/by chance"]["mean"] == 0
    assert result["sample"][0]["said"] == "nothing at all"
    with pytest.raises(UserError, match="no planning corpus"):
        plans.plan_steps(tmp_path / "else" / "where")
    (folder / "val.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="val.jsonl: line 1"):
        plans.plan_steps(folder)


def test_equal_descriptions_share_the_first_place() -> None:
    class Constant(Parrot):
        def describe(self, motions: Any) -> list[str]:
            return ["she moves"] * len(motions)

    def encode(texts: list[str]) -> np.ndarray:
        rows = [np.random.default_rng(len(set(texts)) > 1 and i).standard_normal(16) for i in range(len(texts))]
        return np.stack([r / np.linalg.norm(r) for r in rows])

    suite = evaluation.load("plan_coverage")
    suite.options.pop("best_of", None)
    result = plans.score_coverage(suite, [f"step {i}" for i in range(40)], Constant(), encode)["results"]
    assert result["retrieved"]["mean"] == pytest.approx(1 / 32)


def test_made_clips_are_repeatable_and_held_out() -> None:
    name = corpus.action_names()[0]
    one, two = list(corpus.make_keyframed_clips(2, only=[name])), list(corpus.make_keyframed_clips(2, only=[name]))
    assert [c.action for c in one] == [name] * 2 and one[0].split == "val"
    assert all((a.load().rotations == b.load().rotations).all() for a, b in zip(one, two, strict=True))
    with pytest.raises(UserError, match="no keyframed family called fly"):
        list(corpus.make_keyframed_clips(1, only=["fly"]))


def clip(family: str, seed: int = 0) -> Motion:
    return next(corpus.make_keyframed_clips(1, corpus.HELD_OUT + seed, only=[family])).load()


@pytest.mark.parametrize("name", sorted(COUNTERS))
def test_a_counter_counts_what_is_known(name: str) -> None:
    for known in KNOWN[name]:
        for made in corpus.make_keyframed_clips(4, only=[known.family]):
            if times := known.times(made.extra["params"]):
                s = Signals(made.load())
                assert count_in(s, name) == times
                assert not predicates.judge({"counted": {"what": name, "times": times + 1}}, s).passed


def test_every_counter_is_measured_and_others_are_refused() -> None:
    assert set(KNOWN) == set(COUNTERS)
    with pytest.raises(UserError, match="nothing counts"):
        count_in(Signals(clip("nod")), "somersaults")


def test_clauses_are_looked_for_where_their_maker_says() -> None:
    bow, clap = clip("bow"), clip("clap")
    spans = (0, len(bow)), (len(bow), len(bow) + len(clap))
    made = GenerationResult(join_motions(bow, clap), ("bows", "claps"), spans)
    s = Signals(made.motion, prompts.answer_of(made).seams)
    assert s.seams == (len(bow),)
    right = [{"clip_lasts": {"seconds": bow.seconds, "check": {"bows": {"degrees": 12}}}}, {"claps": {"times": 1}}]
    assert predicates.judge({"clauses": right}, s).passed
    assert not predicates.judge({"clauses": right[::-1]}, s).passed
    longer = [{"clip_lasts": {"seconds": bow.seconds + 0.5, "check": {"bows": {"degrees": 12}}}}, right[1]]
    assert not predicates.judge({"clauses": longer}, s).passed


def test_a_length_without_a_change_at_the_seam_is_none() -> None:
    still = clip("hands_on_hips")
    half = len(still) // 2
    s = Signals(still, [half / still.fps])
    assert not predicates.changes_at(s, half)


@pytest.mark.parametrize(
    "check", [{"clip_lasts": {"seconds": 2}}, {"clip_lasts": {"seconds": "two", "check": "waves"}}]
)
def test_a_wrong_length_is_refused(check: object) -> None:
    with pytest.raises(UserError, match="clip_lasts takes"):
        predicates.validate(check)


def test_courses_and_turns_within_degrees() -> None:
    clips = corpus.make_keyframed_clips(6, only=["sidestep"])
    sideways = Signals(next(c for c in clips if c.extra["params"]["reps"] > 1).load())
    side = "left" if sideways.net[0] > 0 else "right"
    assert predicates.judge({"heads": {"to": side, "within": 15}}, sideways).passed
    assert not predicates.judge({"heads": {"to": "forward", "within": 15}}, sideways).passed
    assert predicates.judge("keeps_facing", sideways).passed
    once = (
        c for c in corpus.make_keyframed_clips(6, only=["turn_around"]) if str(c.extra["params"]["again"]) == "False"
    )
    about = Signals(next(once).load())
    assert predicates.judge({"turned": {"side": "any", "degrees": 180}}, about).passed
    assert not predicates.judge({"turned": {"side": "any", "degrees": 120}}, about).passed


def test_prompts_with_an_unsure_counter_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    full = evaluation.load("requests_joints")
    some = tuple(e for e in full.entries if e.prompt in ("nod twice", "clap twice"))
    suite = replace(full, entries=some, options={"counter_clips": 2})
    monkeypatch.setitem(COUNTERS, "nods", lambda s: 0)
    result = prompts.evaluate(Run(suite, lambda texts, seeds: [clip("clap") for _ in texts]))
    assert result["left_out"] == ["nod twice"] and result["results"]["pass_rate"]["n"] == 1


def test_the_lists_are_as_large_as_promised() -> None:
    rows = requests.read_rows("requests_fresh.jsonl")
    assert len(rows) >= 400 and sum(r.expected == "unknown" for r in rows) >= 80
    assert len({r.text for r in rows}) == len(rows)
    kinds = [e.kind for e in evaluation.load("requests_joints").entries]
    assert all(kinds.count(k) >= 40 for k in ("count", "seconds", "side", "turn", "tempo", "negation", "clauses"))


def row(*action: dict[str, object], **given: str) -> requests.Row:
    expected: Any = given.get("expected", "known")
    return requests.Row(id="a", text="text", category="c", expected=expected, action=action,
                        alternatives=((),) * len(action))  # fmt: skip


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
        def understood(self, texts: list[str]) -> list[requests.JudgedReading]:
            return [requests.JudgedReading(("a person bows",)), requests.JudgedReading((), ("cannot melt",), False),
                    requests.JudgedReading(("a person jumps",))]  # fmt: skip

    results = requests.evaluate(Run(evaluation.load("requests_fresh"), Model()))["results"]
    assert results["right"]["mean"] == 1 and results["flagged"]["mean"] == 0.5
    assert results["silent"]["mean"] == pytest.approx(1 / 3, abs=1e-4)


def test_every_action_is_shown_in_order_or_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = ({"do": "bow"}, {"do": "wave", "side": "left"}, {"do": "bow"})
    answers = [
        (["a person bows", "someone waves the left hand", "a person bows"], ()),
        (["a person bows", "a person jumps", "a person bows"], ("not known: 'wave left'; near: 'a person jumps'",)),
        (["someone waves the left hand", "a person bows"], ()),  # one bow is two, and the first comes too late
        (["a person bows", "someone waves the right hand", "a person bows"], ()),
    ]
    rows = [row(*actions).replace_fields(category="three") for _ in answers]
    monkeypatch.setattr(requests, "read_rows", lambda name: rows)

    class Model:
        def understood(self, texts: list[str]) -> list[requests.JudgedReading]:
            return [requests.JudgedReading(tuple(captions), lines) for captions, lines in answers]

    got = requests.evaluate_clauses(Run(evaluation.load("multi_clause"), Model()))
    assert [r["silent"] for r in got["requests"]] == [[], [], ["wave", "bow"], ["wave"]]
    results = got["results"]
    assert results["complete"]["mean"] == results["complete/three"]["mean"] == 0.5
    assert results["shown"]["mean"] == pytest.approx(8 / 12, abs=1e-4) and results["said"]["mean"] == 0.25


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
    still = turns.StandingModel(None).generate([""], 3.0)[0]
    assert np.isfinite(still.joints).all() and still.seconds == 3.0
    line = Timeline((segment_of("a person bows twice", still, 0, True),))
    judge = requests.Judge()
    assert not turns.timeline_faults(line, {"final": [{"action": "bow", "seconds": 3, "count": 2}]}, judge)
    wrong = {"final": [{"action": "clap", "seconds": 4, "count": 3, "side": "left"}], "loops": 2, "total": 9.0}
    assert len(turns.timeline_faults(line, wrong, judge)) == 6
    assert turns.timeline_faults(line, {"final": []}, judge)


def test_suites_of_other_kinds_do_not_count() -> None:
    suite: Suite = evaluation.load("prompts_known")
    assert prompts.counter_accuracy(suite) == {}
