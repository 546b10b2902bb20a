"""Self-training: checks of captions, the stage, the examples it gives; the phrase index."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from avatargpt.kinematics.measures import SIZE
from avatargpt.metrics.checks import CaptionChecks, manners
from avatargpt.train.data.judged_answers import SIGNATURES, SOURCE, lessons, pass_rates, usual
from avatargpt.train.phrase_index import (
    _distinct,
    _nearest,
    _usual,
    count_keyframed_captions,
)  # fmt: skip
from avatargpt.train.self_training import SelfTraining, exercises
from instruct_data.store import ClipCodes, Store
from tests.factories import CountingGrounder
from tests.train.conftest import CPU, Mini
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer


def clip(action: str, captions: list[str], source: str = "synthetic", style: str = "", **params: Any) -> ClipCodes:
    extra = {"params": params} if source == "synthetic" else {}
    return ClipCodes("x", np.zeros((12, 2), np.int64), captions, "train", source, "", action, style, extra=extra)


def checks_of(action: str, caption: str, source: str = "synthetic", style: str = "", **params: Any) -> list[Any]:
    return CaptionChecks().checks(clip(action, [caption], source, style, **params), caption)


HIGH, LOW = {"usual": True, "reps": 1}, {"usual": False, "reps": 1}


@pytest.mark.parametrize(
    ("action", "caption", "params", "expected"),
    [
        ("punch", "a person punches three times with the left fist", {"kind": "straight punch", "reps": 3},
         [{"punches": {"side": "left", "times": 3}}, "strikes"]),
        ("punch", "a person punches", {"kind": "straight punch", "reps": 3}, [{"punches": {}}]),
        ("kick", "a person kicks with the right foot", HIGH, [{"kicks": {"side": "right"}}]),
    ],
)  # fmt: skip
def test_captions_of_keyframed_clips(action: str, caption: str, params: dict[str, Any], expected: list[Any]) -> None:
    checks = checks_of(action, caption, **params)
    assert all(check in checks for check in expected)


def test_captions_without_a_count_or_side() -> None:
    assert checks_of("punch", "a person swings a hook from the side", kind="hook", reps=3) == ["strikes"]
    low = checks_of("kick", "a person kicks low at shin height with the right foot", **LOW)
    assert not any("kicks" in c for c in low)
    either = [{"any": [{"waves": {"side": "left"}}, {"waves": {"side": "right"}}]}]
    assert checks_of("bye", "someone waves goodbye", "bandai1") == either
    assert {"waves": {"side": "right"}} in checks_of("wave-right-hand", "he waves with the right hand", "bandai1")
    assert "walks_forward" in checks_of("walk", "a person walks", "bandai1", "normal")
    for action, caption, source, style in (
        ("walk", "an old person walks", "bandai1", "elderly"), ("walk+wave", "he walks and waves", "layered", ""),
        ("", "a person thinks", "cmu_amc", ""),
    ):  # fmt: skip
        assert checks_of(action, caption, source, style) == []


def test_exercises_are_reproducible_and_bounded() -> None:
    clips = [clip("kick", [f"a person kicks the number {i}"], usual=True, reps=1) for i in range(30)]
    drawn, again = (exercises(clips, SelfTraining(captions=7)) for _ in range(2))
    assert len(drawn) == 7 and [e.caption for e in drawn] == [e.caption for e in again]
    assert all(6 <= e.tokens <= 49 and abs(e.tokens - 12) <= 2 for e in drawn)
    with pytest.raises(UserError, match="no check"):
        exercises([clip("", ["a person thinks"])], SelfTraining())


def paced(speed: float, seed: int, source: str = "bandai1", style: str = "normal") -> ClipCodes:
    """A walk whose codes hold its speed."""
    return replace(clip("walk", ["a person walks"], source, style), codes=np.array([[round(speed * 100), seed]]))


def walking(codes: np.ndarray) -> Motion:
    """A straight walk of 4 s at 20 fps, at the speed in the codes (hundredths of a metre per second)."""
    rotations = np.tile(np.array([1, 0, 0, 0], np.float32), (80, 22, 1))
    root = np.zeros((80, 3), np.float32)
    root[:, 1], root[:, 2] = 0.93, np.arange(80) / 20 * codes[0, 0] / 100
    return Motion(rotations, root, 20.0)


def test_styles_are_what_nearly_all_their_clips_show() -> None:
    clips = [paced(1.2, i) for i in range(4)] + [paced(0.7, i, style="old") for i in range(3)]
    clips += [paced(speed, i, style="odd") for i, speed in enumerate((0.7, 1.2, 1.7))]
    styles = manners(clips, lambda c: [{"walks": {"most_speed": 2.0}}], walking)
    assert set(styles) == {("bandai1", "walk", "old")}  # the clips of the other style have nothing in common
    old = styles["bandai1", "walk", "old"]
    assert old.traits == ["slower"]
    assert old.matches(walking(np.array([[80, 0]])))
    assert not old.matches(walking(np.array([[120, 0]])))
    drawn = exercises(clips, SelfTraining(), walking)
    assert {e.manner is not None for e in drawn} == {True, False}
    assert any(e.clip.style == "old" and not e.is_passed(walking(np.array([[120, 0]]))) for e in drawn)


def test_answers_are_judged_and_trained_on(mini: Mini, tmp_path: Path) -> None:
    lm, packed, config = tmp_path / "lm", tmp_path / "packed", tmp_path / "round.yaml"
    mini.run(*mini.language(lm, steps=2))
    mini.run("pack", "--language", lm, "--tokenizer", mini.tokenizer, "-o", packed)
    config.write_text("self_training: {captions: 2, samples: 3, guidance: 1.0}\n")
    rounds = []
    for name in ("round", "again"):
        mini.run("self-training", "--config", config, "--start", packed, "--codes", mini.codes, *CPU, "-o",
                 tmp_path / name)  # fmt: skip
        rounds.append(list(Store.open(tmp_path / name).codes("train")))
    answers, folder = rounds[0], tmp_path / "round"
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(*rounds, strict=True))  # the seed decides
    assert len(answers) % 3 == 0 and {c.source for c in answers} == {SOURCE}
    assert {c.action for c in answers} >= {"walk", "bow", "wave-right-hand"}
    assert load_file(folder / SIGNATURES)["signatures"].shape == (len(answers), SIZE)
    tokenizer = MotionTokenizer.load(mini.tokenizer)
    right = lessons(str(folder), [tokenizer], [])
    assert len(right) == sum(c.extra["passed"] for c in answers)
    once = lessons(str(folder), [tokenizer], [], 1)
    assert len(once) == len({c.captions[0] for c in right})
    last = json.loads((tmp_path / "round.log.jsonl").read_text().splitlines()[-1])
    assert last["answers"] == len(answers) and last["passed"] == pytest.approx(len(right) / len(answers), abs=1e-4)
    if right:
        share = {"train.options.weights.text_to_motion/practised": 0.5}
        mini.run(*mini.language(tmp_path / "on", "--start", lm, "--self-training", folder, change=share, steps=2))
        assert mini.rows(tmp_path / "on", "ce_body")


def answer(text: str, passed: bool, number: int, action: str = "climb_stairs") -> ClipCodes:
    codes = np.zeros((8, 2), np.int64)
    return ClipCodes(f"a{number}", codes, [text], "train", SOURCE, "mine", action, extra={"passed": passed})


def test_where_no_answer_passes_the_clips_are_learnt(mini: Mini, tmp_path: Path) -> None:
    tokenizer = MotionTokenizer.load(mini.tokenizer)
    up, down = "a person climbs the stairs", "a person comes down the stairs"
    results = [(up, False)] * 7 + [(up, True)] + [(down, True)] * 8
    Store.write_codes([answer(t, p, i) for i, (t, p) in enumerate(results)], tmp_path / "p", tokenizer.fingerprint)
    clips = [clip("climb_stairs", [up, "someone goes upstairs"], usual=1) for _ in range(9)]
    clips += [clip("climb_stairs", [down], usual=0) for _ in range(9)]
    examples = lessons(str(tmp_path / "p"), [tokenizer], clips)
    clips_shown = 6  # of 10: one answer of eight passed, three of ten were enough
    counts = Counter((c.captions[0], c.id == "x") for c in examples)
    assert counts == {(up, False): 1, (up, True): clips_shown, (down, False): 3}
    assert {(c.source, c.id == "x") for c in examples} == {(SOURCE, False), ("shown", True)}
    assert all(len(c.captions) == 1 for c in examples)
    assert {(c.captions[0], usual(c)) for c in examples} == {(up, True), (down, False)}  # requests mean the usual clips
    assert not any(c.id == "x" for c in lessons(str(tmp_path / "p"), [tokenizer], clips, hard=0.1))


def test_requests_go_to_captions_that_the_model_performs(mini: Mini, tmp_path: Path) -> None:
    results = [("A man kicks.", True)] * 6 + [("he kicks", False)] * 6
    answers = [answer(text, passed, i, "kick") for i, (text, passed) in enumerate(results)]
    Store.write_codes(answers, tmp_path / "round", MotionTokenizer.load(mini.tokenizer).fingerprint)
    rates = pass_rates(str(tmp_path / "round"))
    assert rates == {"a man kicks": pytest.approx((6 + 6 * 0.5) / 12), "he kicks": pytest.approx(3 / 12)}
    counts = Counter({"he kicks": 10, "a man kicks": 7, "a man kicks low": 2, "one kicks": 9})
    assert _usual(counts) == "he kicks"
    assert _usual(counts, rates) == "a man kicks"
    assert _usual(counts, {**rates, "a man kicks low": 1.0}) == "a man kicks"  # too rare, so it says something special
    assert _usual(counts, {"he kicks": 0.2}) == "he kicks"  # nothing is known of the others


def test_requests_go_to_near_captions_that_are_performed() -> None:
    class Encoder:
        def sentence(self, texts: list[str]) -> np.ndarray:
            return np.array([[float("one" in t), float("both" in t), 0.5] for t in texts], np.float32)

    counts = Counter({"he raises one hand": 10, "he raises both hands": 9, "he raises both arms high": 2})
    requests = dict.fromkeys(("one hand up", "both hands up", "hands up"), counts)
    vectors = dict(zip(requests, Encoder().sentence(list(requests)), strict=True))
    rates = {"he raises one hand": 0.4, "he raises both hands": 0.9}
    nearest = _nearest(requests, vectors, Encoder(), rates)  # type: ignore[arg-type]
    assert nearest["one hand up"] == "he raises one hand" and nearest["both hands up"] == "he raises both hands"
    assert nearest["hands up"] == "he raises both hands"  # as near as the other, and performed better
    assert _nearest({}, {}, Encoder(), rates) == {}  # type: ignore[arg-type]


def test_a_styled_caption_states_its_style() -> None:
    styles = {
        "normal": Counter({"he walks": 9}),
        "elderly": Counter({"he walks with caution": 9, "an elderly man walks": 8, "an elderly woman walks": 8}),
        "fearful": Counter({"he walks with caution and fear": 9, "he walks in fear": 9}),
    }
    grounder: Any = CountingGrounder("walks caution elderly fear cane", 0.1)
    expected = {"elderly": "an elderly man walks", "fearful": "he walks with caution and fear"}
    assert _distinct(styles, grounder, None) == expected
    assert _distinct({"elderly": styles["elderly"]}, grounder, None) == {}
    performed = {"an elderly man walks": 0.2, "an elderly woman walks": 0.9, "he walks with caution": 0.2}
    assert _distinct(styles, grounder, performed)["elderly"] == "an elderly woman walks"


def test_requests_never_lead_to_unusual_clips() -> None:
    clips = [clip("climb_stairs", ["a person climbs the stairs"], usual=1)]
    clips += [clip("climb_stairs", ["a person comes down the stairs"], usual=0)]
    assert set(count_keyframed_captions(clips)["climb_stairs"][""]) == {c.captions[0] for c in clips}
    assert set(count_keyframed_captions(clips, False)["climb_stairs"][""]) == {"a person climbs the stairs"}
