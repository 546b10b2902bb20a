"""Practice: what a caption promises, the stage itself, and what the two trainings make of it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from avatargpt.kinematics.measures import SIZE
from avatargpt.lm.scorer import ScorerNetwork
from avatargpt.metrics.checks import CaptionChecks, manners
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.train.data.judged_answers import SIGNATURES, SOURCE, Judged, lessons, pass_rates, picked, usual
from avatargpt.train.loop import run
from avatargpt.train.phrase_index import (
    PERFORMED_BY,
    _nearest,
    _usual,
    keyframed_captions,
    with_normalised_of,
    with_performed,
)
from avatargpt.train.scorer import ScorerStage
from avatargpt.train.self_training import SelfTraining, exercises
from instruct_data.store import ClipCodes, Store
from tests.train.test_matcher import CONFIG, RECIPE, RUNTIME, made
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer


def clip(action: str, captions: list[str], source: str = "synthetic", style: str = "", **params: Any) -> ClipCodes:
    extra = {"params": params} if source == "synthetic" else {}
    return ClipCodes("x", np.zeros((12, 2), np.int64), captions, "train", source, "", action, style, extra=extra)


def asked(one: ClipCodes) -> list[Any]:
    return CaptionChecks().checks(one, one.captions[0])


def test_a_caption_asks_for_what_it_tells() -> None:
    params = {"kind": "straight punch", "reps": 3}
    told = asked(clip("punch", ["a person punches three times with the left fist"], **params))
    assert {"punches": {"side": "left", "times": 3}} in told and "strikes" in told
    assert {"punches": {}} in asked(clip("punch", ["a person punches"], **params))
    hook = {**params, "kind": "hook"}
    assert asked(clip("punch", ["a person swings a hook from the side"], **hook)) == ["strikes"]
    high = asked(clip("kick", ["a person kicks with the right foot"], usual=True, reps=1))
    assert {"kicks": {"side": "right"}} in high
    low = asked(clip("kick", ["a person kicks low at shin height with the right foot"], usual=False, reps=1))
    assert not any("kicks" in c for c in low)


def test_recorded_classes() -> None:
    assert {"waves": {"side": "right"}} in asked(clip("wave-right-hand", ["he waves with the right hand"], "bandai1"))
    either = asked(clip("bye", ["someone waves goodbye"], "bandai1"))
    assert either == [{"any": [{"waves": {"side": "left"}}, {"waves": {"side": "right"}}]}]
    assert "walks_forward" in asked(clip("walk", ["a person walks"], "bandai1", "normal"))
    assert asked(clip("walk", ["an old person walks"], "bandai1", "elderly")) == []
    assert asked(clip("walk+wave", ["a person walks and waves"], "layered")) == []
    assert asked(clip("", ["a person thinks"], "cmu_amc")) == []


def test_exercises_are_drawn_alike_and_bounded() -> None:
    clips = [clip("kick", [f"a person kicks the number {i}"], usual=True, reps=1) for i in range(30)]
    some = exercises(clips, SelfTraining(captions=7))
    again = exercises(clips, SelfTraining(captions=7))
    assert len(some) == 7 and [e.caption for e in some] == [e.caption for e in again]
    assert all(6 <= e.tokens <= 49 and abs(e.tokens - 12) <= 2 for e in some)
    with pytest.raises(UserError, match="no check"):
        exercises([clip("", ["a person thinks"])], SelfTraining())


def paced(speed: float, seed: int, source: str = "bandai1", style: str = "normal") -> ClipCodes:
    """A walk; its codes tell how fast."""
    return replace(clip("walk", ["a person walks"], source, style), codes=np.array([[round(speed * 100), seed]]))


def walking(codes: np.ndarray) -> Motion:
    """A straight walk of 4 s at 20 fps, at the speed the codes tell (hundredths of a metre per second)."""
    rotations = np.tile(np.array([1, 0, 0, 0], np.float32), (80, 22, 1))
    root = np.zeros((80, 3), np.float32)
    root[:, 1], root[:, 2] = 0.93, np.arange(80) / 20 * codes[0, 0] / 100
    return Motion(rotations, root, 20.0)


def test_styles_are_what_nearly_all_their_clips_show() -> None:
    clips = [paced(1.2, i) for i in range(4)] + [paced(0.7, i, style="old") for i in range(3)]
    clips += [paced(speed, i, style="odd") for i, speed in enumerate((0.7, 1.2, 1.7))]
    found = manners(clips, lambda c: [{"walks": {"most_speed": 2.0}}], walking)
    assert set(found) == {("bandai1", "walk", "old")}  # one style goes its own way every time
    old = found["bandai1", "walk", "old"]
    assert old.traits == ["slower"]
    assert old.matches(walking(np.array([[80, 0]])))
    assert not old.matches(walking(np.array([[120, 0]])))
    some = exercises(clips, SelfTraining(), walking)
    assert {e.manner is not None for e in some} == {True, False}
    assert any(e.clip.style == "old" and not e.passed(walking(np.array([[120, 0]]))) for e in some)


def test_what_the_model_made_is_judged_and_learnt_from(mini: Any, tmp_path: Path) -> None:
    def small(data: dict) -> None:
        mini.no_grounding(data)
        data["train"]["steps"] = 2

    mini.run(*mini.language(mini.config("language", small, "practice"), tmp_path / "lm"))
    mini.run("pack", "--language", tmp_path / "lm", "--tokenizer", mini.tokenizer, "-o", tmp_path / "packed")
    config = tmp_path / "practice.yaml"
    config.write_text("self_training: {captions: 2, samples: 3, guidance: 1.0}\n")
    made_by = ["self-training", "--config", config, "--start", tmp_path / "packed", "--codes", mini.codes,
               "--threads", 1, "--device", "cpu", "-o", tmp_path / "practice"]  # fmt: skip
    mini.run(*made_by)
    answers = list(Store.open(tmp_path / "practice").codes("train"))
    assert len(answers) % 3 == 0 and {c.source for c in answers} == {SOURCE}
    assert {c.action for c in answers} >= {"walk", "bow", "wave-right-hand"}
    signatures = load_file(tmp_path / "practice" / SIGNATURES)["signatures"]
    assert signatures.shape == (len(answers), SIZE)
    tokenizer = MotionTokenizer.load(mini.tokenizer)
    right = lessons(str(tmp_path / "practice"), [tokenizer], [])
    assert len(right) == sum(c.extra["passed"] for c in answers)
    twice = lessons(f"{tmp_path / 'practice'},{tmp_path / 'practice'}", [tokenizer], [], 1)
    assert len(twice) == len({c.captions[0] for c in right})
    last = json.loads((tmp_path / "practice.log.jsonl").read_text().splitlines()[-1])
    assert last["answers"] == len(answers) and last["passed"] == pytest.approx(len(right) / len(answers), abs=1e-4)

    def practised(data: dict) -> None:
        small(data)
        data["train"]["options"]["weights"]["text_to_motion/practised"] = 0.5

    wanted = mini.language(mini.config("language", practised, "practised"), tmp_path / "on", "--start", tmp_path / "lm",
                           "--self-training", tmp_path / "practice")  # fmt: skip
    if right:
        mini.run(*wanted)
        assert mini.rows(tmp_path / "on", "ce_body")
    from avatargpt.train.command import main

    assert main([str(a) for a in made_by[:-1]] + [str(tmp_path / "other")]) == 0
    again = list(Store.open(tmp_path / "other").codes("train"))
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(answers, again, strict=True))  # the seed decides


def test_where_no_answer_passes_the_clips_are_learnt(mini: Any, tmp_path: Path) -> None:
    tokenizer = MotionTokenizer.load(mini.tokenizer)

    def answer(text: str, passed: bool, i: int) -> ClipCodes:
        return ClipCodes(f"a{i}", np.zeros((8, 2), np.int64), [text], "train", SOURCE, "mine", "climb_stairs", "",
                         extra={"passed": passed})  # fmt: skip

    up, down = "a person climbs the stairs", "a person comes down the stairs"
    said = [(up, False)] * 7 + [(up, True)] + [(down, True)] * 8
    Store.write_codes([answer(t, p, i) for i, (t, p) in enumerate(said)], tmp_path / "p", tokenizer.fingerprint)
    clips = [clip("climb_stairs", [up, "someone goes upstairs"], usual=1) for _ in range(9)]
    clips += [clip("climb_stairs", [down], usual=0) for _ in range(9)]
    found = lessons(str(tmp_path / "p"), [tokenizer], clips)
    shown = 6  # of 10: one answer of eight passed, three of ten were enough
    assert Counter((c.captions[0], c.id == "x") for c in found) == {(up, False): 1, (up, True): shown, (down, False): 3}
    assert {(c.source, c.id == "x") for c in found} == {(SOURCE, False), ("shown", True)}
    assert all(len(c.captions) == 1 for c in found)
    assert {(c.captions[0], usual(c)) for c in found} == {(up, True), (down, False)}  # nobody asks "upstairs" for down
    assert not any(c.id == "x" for c in lessons(str(tmp_path / "p"), [tokenizer], clips, hard=0.1))


def judged(seed: int, captions: int = 24, each: int = 8) -> Judged:
    """Right answers of a caption lie towards a direction that its words tell."""
    rng, way = np.random.default_rng(seed), np.random.default_rng(3).standard_normal((4, SIZE))
    words = np.random.default_rng(4).standard_normal((4, 384))
    kind = np.arange(captions) % 4
    caption = np.repeat(np.arange(captions), each)
    passed = rng.random(len(caption)) < 0.4
    signatures = rng.standard_normal((len(caption), SIZE)) + np.where(passed, 1, -1)[:, None] * way[kind[caption]]
    vectors = words[kind] / np.linalg.norm(words[kind], axis=1, keepdims=True)
    return Judged(signatures.astype(np.float32), caption, passed, vectors.astype(np.float32))


def test_the_matcher_learns_which_answers_pass(tmp_path: Path) -> None:
    torch.manual_seed(0)
    blind = picked(ScorerNetwork(SIZE, 32, 16).eval(), judged(9))
    recipe = RECIPE.changed(train={**CONFIG["train"], "judged": 32, "held": 6})
    stage = ScorerStage(recipe, made(), made(seed=5), RUNTIME, judged=judged(1))
    run(stage, tmp_path, RUNTIME)
    motion_scorer = stage.finished()
    seeing = picked(motion_scorer.network, judged(9))
    assert seeing["picked"] > max(0.9, blind["picked"] + 0.1) and seeing["picked"] <= seeing["oracle"]
    assert seeing["single"] == blind["single"]
    assert '"picked"' in (tmp_path / "log.jsonl").read_text()
    few, rest = judged(1).split(6)
    assert not set(few.caption) & set(rest.caption) and len(few.caption) + len(rest.caption) == len(judged(1).caption)
    for good, bad in few.groups():
        assert few.passed[good].all() and not few.passed[bad].any()
        assert len({*few.caption[good], *few.caption[bad]}) == 1


def test_requests_go_to_captions_that_the_model_performs(mini: Any, tmp_path: Path) -> None:
    answers = [
        ClipCodes(str(i), np.zeros((8, 2), np.int64), [text], "train", SOURCE, "mine", "kick", "",
                  extra={"passed": passed})
        for i, (text, passed) in enumerate([("A man kicks.", True)] * 6 + [("he kicks", False)] * 6)
    ]  # fmt: skip
    Store.write_codes(answers, tmp_path / "some", MotionTokenizer.load(mini.tokenizer).fingerprint)
    rates = pass_rates(str(tmp_path / "some"))
    assert rates == {"a man kicks": pytest.approx((6 + 6 * 0.5) / 12), "he kicks": pytest.approx(3 / 12)}
    said = Counter({"he kicks": 10, "a man kicks": 7, "a man kicks low": 2, "one kicks": 9})
    assert _usual(said) == "he kicks"
    assert _usual(said, rates) == "a man kicks"
    assert _usual(said, {**rates, "a man kicks low": 1.0}) == "a man kicks"  # too seldom: it says something special
    assert _usual(said, {"he kicks": 0.2}) == "he kicks"  # nothing is known of the others


def test_requests_go_to_near_captions_that_are_performed() -> None:
    class Encoder:
        def sentence(self, texts: list[str]) -> np.ndarray:
            return np.array([[float("one" in t), float("both" in t), 0.5] for t in texts], np.float32)

    said = Counter({"he raises one hand": 10, "he raises both hands": 9, "he raises both arms high": 2})
    requests = {"one hand up": said, "both hands up": said, "hands up": said}
    vectors = dict(zip(requests, Encoder().sentence(list(requests)), strict=True))
    rates = {"he raises one hand": 0.4, "he raises both hands": 0.9}
    found = _nearest(requests, vectors, Encoder(), rates)  # type: ignore[arg-type]
    assert found["one hand up"] == "he raises one hand" and found["both hands up"] == "he raises both hands"
    assert found["hands up"] == "he raises both hands"  # as near as the other, and performed better
    assert _nearest({}, {}, Encoder(), rates) == {}  # type: ignore[arg-type]


def test_requests_never_lead_to_unusual_clips() -> None:
    clips = [clip("climb_stairs", ["a person climbs the stairs"], usual=1)]
    clips += [clip("climb_stairs", ["a person comes down the stairs"], usual=0)]
    assert set(keyframed_captions(clips)["climb_stairs"][""]) == {c.captions[0] for c in clips}
    assert set(keyframed_captions(clips, False)["climb_stairs"][""]) == {"a person climbs the stairs"}


def test_an_earlier_book_keeps_its_plain_captions() -> None:
    def book(captions: list[dict[str, str]], lengths: dict[str, list[int]]) -> PhraseIndex:
        keys = ["walk", "walk feebly", "bow", "new"][: len(captions)]
        return PhraseIndex(keys, captions, keys, [""] * len(keys), {}, lengths, np.eye(len(keys), 8, dtype=np.float32))

    earlier = book(
        [{"": "he walks", "elderly": "an old man walks"}, {"": "an old man walks", "elderly": "an old man walks"},
         {"": "he bows"}], {"he walks": [4], "he bows": [5]},
    )  # fmt: skip
    later = book(
        [{"": "she walks", "elderly": "she walks feebly"}, {"": "she walks feebly", "elderly": "she walks feebly"},
         {"": "she bows"}, {"": "something new"}], {"she walks": [7], "she walks feebly": [8], "something new": [9]},
    )  # fmt: skip
    found = with_normalised_of(later, earlier)
    assert [c[""] for c in found.captions] == ["he walks", "she walks feebly", "he bows", "something new"]
    assert found.captions[0]["elderly"] == "she walks feebly"
    assert found.lengths == {"he walks": [4], "he bows": [5], "she walks feebly": [8], "something new": [9]}


def test_a_book_gets_the_requests_that_no_clip_shows() -> None:
    class Grounder:
        def sentence(self, texts: Sequence[str]) -> np.ndarray:
            return np.stack([np.eye(8, dtype=np.float32)[len(t) % 8] for t in texts])

    caption, lengths = PERFORMED_BY["stand_idle"]
    book = PhraseIndex(["stand still"], [{"": "x"}], ["x"], [""], {}, {"x": [4]}, np.eye(1, 8, dtype=np.float32))
    found = with_performed(book, Grounder())  # type: ignore[arg-type]
    assert found.captions[0] == {"": "x"} and len(found.keys) == len(found.index.vectors) > 100
    row = found.rows["a person stands still"]
    assert found.captions[row] == {"": caption} and found.lengths == {"x": [4], caption: lengths}
    assert "he stands still" in found.rows and "a lamp post" not in found.rows and "stand" not in found.rows
    assert with_performed(found, Grounder()) is found  # type: ignore[arg-type]
