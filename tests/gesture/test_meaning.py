"""Words that get gestures, the bank they come from, and how they are laid over the network's motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from avatargpt.gesture.bank import GestureBank
from avatargpt.gesture.features import loudness
from avatargpt.gesture.overlay import ListenerBehaviour, SemanticOverlay
from avatargpt.gesture.semantics import MIN_SPACING, ClassGuesser, Manner, StrokePlanner, check_cues, stress_time
from avatargpt.speech.phones import Phone
from avatargpt.speech.words import Word
from instruct_data.gesture.bank import keyed_strokes
from instruct_data.gesture.classes import WordClasses
from instruct_data.gesture.performing import stroke_poses
from instruct_data.gesture.strokes import ARM, LIMB, SIDES, motion_of, within, wrists
from tests.gesture import made_up
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import GestureFeatures


@pytest.fixture(scope="module")
def bank() -> GestureBank:
    strokes = keyed_strokes(0, 1)
    return GestureBank.of(strokes, strokes[0].rest_pose)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> WordClasses:
    return made_up.table(tmp_path_factory.mktemp("table"))


def still(bank: GestureBank, frames: int) -> np.ndarray:
    return GestureFeatures().encode(motion_of(np.repeat(bank.rest[None], frames, 0)))


SAID = [Word("It", 1.0, 1.2), Word("was", 1.2, 1.4), Word("big", 1.4, 1.8), Word("and", 1.8, 2.0),
        Word("never", 3.0, 3.5, (Phone("N", 3.0, 3.1), Phone("EH", 3.1, 3.25, 1), Phone("V", 3.25, 3.3),
                                 Phone("ER", 3.3, 3.5, 0)))]  # fmt: skip


def test_a_bank_comes_back_with_mirror_images(bank: GestureBank, tmp_path: Path) -> None:
    path = bank.save(tmp_path)
    again = GestureBank.load(tmp_path)
    assert again is not None and again.names == bank.names and len(again) == len(bank)
    for name in bank.names:
        for a, b in zip(bank.strokes(name), again.strokes(name), strict=True):
            assert np.array_equal(a.turns, b.turns) and (a.start, a.emphasis, a.end) == (b.start, b.emphasis, b.end)
    left, right = (again.strokes("wave", hand)[0] for hand in SIDES)
    assert (left.sides, right.sides) == (("l",), ("r",))
    assert np.allclose(wrists(left.turns)[:, 0, 1], wrists(right.turns)[:, 1, 1], atol=1e-4)
    with safe_open(path, "np") as file:
        assert "LGPL-2.1" in file.metadata()["licence"]
    assert GestureBank.load(tmp_path / "none") is None
    with pytest.raises(UserError, match="gesture 'fly'; accepted: .*wave"):
        bank.strokes("fly")


def test_damaged_banks_are_refused(bank: GestureBank, tmp_path: Path) -> None:
    path = bank.save(tmp_path)
    arrays = load_file(path)
    with safe_open(path, "np") as file:
        about = file.metadata()
    longer, codes = arrays["lengths"].copy(), arrays["keys"].copy()
    longer[3] += 1
    codes[len(codes) // 2 :] = 0
    wrong = [({**arrays, "lengths": longer}, about), ({**arrays, "keys": codes}, about),
             ({**arrays, "scale": arrays["scale"][1:]}, about), (arrays, {"licence": "ours"})]  # fmt: skip
    for some, told in wrong:
        save_file(some, path, told)
        with pytest.raises(UserError, match=r"bank\.safetensors: not a bank of gestures .*stage gesture-bank"):
            GestureBank.load(tmp_path)


def keyed_of(name: str) -> np.ndarray:
    return np.asarray(next(s for s in keyed_strokes(0, 1) if s.name == name).turns)


def test_words_get_their_gestures_on_the_stress(bank: GestureBank, classes: WordClasses) -> None:
    made = StrokePlanner(bank, classes, Manner())(SAID)
    assert [(p.kind, p.stroke.name, p.word) for p in made] == [("size", "big", 2), ("negation", "weigh", 4)]
    assert made[1].frame == round(3.1 * 30)
    assert 1.4 < stress_time(SAID[2]) < 1.8  # from the dictionary's phones
    assert StrokePlanner(bank, classes, Manner(semantic=0.0))(SAID) == []
    few = [StrokePlanner(bank, classes, Manner(semantic=0.5), seed=k)(SAID) for k in range(40)]
    assert 0.3 < np.mean([len(f) for f in few]) / 2 < 0.7
    loud = StrokePlanner(bank, classes, Manner())(SAID, (), (0, 0, 1.0, 0, -1.0))
    assert loud[0].size > 1 > loud[1].size
    taken = StrokePlanner(bank, classes, Manner())(SAID, [made[0].frame + MIN_SPACING - 1])
    assert [p.kind for p in taken] == ["negation"]


def test_cues_come_first_and_are_checked(bank: GestureBank, classes: WordClasses) -> None:
    meaning = StrokePlanner(bank, classes, Manner(cues=(("was big", "Wave"), ("here", "big"))))
    made = meaning(SAID)
    assert [(p.kind, p.stroke.name) for p in made] == [("cue", "wave"), ("negation", "weigh")]
    check_cues(Manner(cues=(("was big", "wave"),)), SAID)
    with pytest.raises(UserError, match="--cue nevr=big: nobody says 'nevr'; accepted: .*; near to it: never"):
        check_cues(Manner(cues=(("nevr", "big"),)), SAID)
    with pytest.raises(UserError, match="nobody says 'big was'; accepted: words of the transcript"):
        check_cues(Manner(cues=(("big was", "big"),)), SAID)
    with pytest.raises(UserError, match="--cue big=wav: no such gesture; accepted: wave"):
        StrokePlanner(bank, classes, Manner(cues=(("big", "wav"),)))


def test_words_near_to_known_ones_share_their_class(classes: WordClasses) -> None:
    directions = {"never": (1.0, 0.0), "nowhere": (0.8, 0.6), "table": (0.0, 1.0)}

    def encode(texts: list[str]) -> np.ndarray:
        return np.array([directions.get(t, (-1.0, 0.0)) for t in texts], np.float32)

    near = ClassGuesser(classes, encode, lambda word: {"nowhere": None, "never": 100}.get(word, 9000))
    assert [near(w) for w in ("Nowhere!", "table", "no", "x1y2", "never")] == ["negation", "", "", "", ""]


def restless(bank: GestureBank, frames: int) -> np.ndarray:
    """Features of somebody whose arms are never still."""
    at = np.arange(frames)[:, None, None] / 30
    way = np.sin(2 * np.pi * (0.7 + 0.1 * np.arange(8)[:, None]) * at + np.arange(3)) * 0.15
    turns = np.repeat(bank.rest[None], frames, 0)
    arms = [*ARM["l"], *ARM["r"]]
    turns[:, arms] = rot.multiply(turns[:, arms], rot.from_axis_angle(way))
    return GestureFeatures().encode(motion_of(turns))


def test_a_stroke_has_arrived_by_its_emphasis_without_a_jump(bank: GestureBank, classes: WordClasses) -> None:
    rows = restless(bank, 200)
    made = SemanticOverlay(bank, Manner(), StrokePlanner(bank, classes, Manner()), SAID)
    strokes = made.strokes
    out = made.push(rows)
    before, after = turns_in(rows), turns_in(out)
    assert [p.kind for p in strokes] == ["size", "negation"]
    for p in strokes:
        expected = before[p.frame].copy()
        for side in p.stroke.sides:
            expected[LIMB[side]] = stroke_poses(p, p.frame, p.frame + 1, side)[0]
        expected = within(expected[None])[0]
        for side in p.stroke.sides:
            off = rot.angle_between(after[p.frame, LIMB[side]], expected[LIMB[side]])
            assert np.degrees(off).max() < 0.1
    jerk = np.abs(np.diff(wrists(after), n=3, axis=0)).max()
    assert jerk < 0.03 and np.array_equal(out[:12], rows[:12])
    assert np.array_equal(out[-20:], rows[-20:])  # and lets go
    chunks = SemanticOverlay(bank, Manner(), StrokePlanner(bank, classes, Manner()), SAID)
    parts = [chunks.push(rows[i : i + 7]) for i in range(0, 200, 7)]
    assert np.array_equal(np.concatenate([*parts, chunks.finish()]), out)


def test_the_arm_that_has_no_part_in_a_stroke_goes_on(bank: GestureBank, classes: WordClasses) -> None:
    rows, manner = restless(bank, 120), Manner(cues=(("big", "count_two"),))
    made = SemanticOverlay(bank, manner, StrokePlanner(bank, classes, manner), SAID[:3])
    (stroke,) = made.strokes
    (idle,) = {*SIDES} - {*stroke.stroke.sides}
    out = turns_in(made.push(rows))
    assert np.degrees(rot.angle_between(out[:, LIMB[idle]], turns_in(rows)[:, LIMB[idle]])).max() < 0.1
    assert np.degrees(rot.angle_between(out[stroke.frame], turns_in(rows)[stroke.frame])).max() > 20


def turns_in(features: np.ndarray) -> np.ndarray:
    return np.asarray(rot.from_6d(features[:, :258].astype(np.float64).reshape(len(features), 43, 6)))


def test_late_words_are_gestured_if_there_is_time(bank: GestureBank, classes: WordClasses) -> None:
    made = SemanticOverlay(bank, Manner(), StrokePlanner(bank, classes, Manner()), SAID[:2])
    made.push(still(bank, 60))
    made.say(SAID[2:])  # "big" is past
    assert [p.kind for p in made.strokes] == ["negation"]


def test_calm_hands_rest_and_energy_is_size(bank: GestureBank) -> None:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.standard_normal((300, 3)), 0) * 0.01
    turns = np.repeat(bank.rest[None], 300, 0)
    turns[:, ARM["r"][1]] = rot.multiply(turns[:, ARM["r"][1]], rot.from_axis_angle(walk))
    rows = GestureFeatures().encode(motion_of(turns))

    def reach(manner: Manner) -> float:
        return float(np.ptp(wrists(turns_in(SemanticOverlay(bank, manner).push(rows)))[:, 1], axis=0).max())

    usual = float(np.ptp(wrists(turns)[:, 1], axis=0).max())
    assert reach(Manner(calm=True)) < 0.15 * usual
    assert reach(Manner(energy=0.4)) < 0.8 * usual < usual < reach(Manner(energy=1.6))
    assert np.array_equal(SemanticOverlay(bank, Manner()).push(rows), rows)


def test_loudness_is_told_word_by_word() -> None:
    x = np.full(48_000, 0.01, np.float32)
    x[16_000:24_000] = 0.2
    found = loudness(x, 16_000, [Word("a", 0.2, 0.4), Word("b", 1.1, 1.4), Word("c", 2.0, 2.4)])
    assert found[1] > 1 > 0 > found[0] and found[0] == pytest.approx(found[2])
    assert loudness(x, 16_000, []) == ()


def test_who_listens_rests_and_nods_where_the_other_pauses(bank: GestureBank) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(20 * 16_000) / 16_000
    syllables = np.sin(2 * np.pi * 3 * t) > -0.7
    own = np.where((t < 6) & syllables, 0.2, 0.001) * rng.standard_normal(len(t))
    speaks = ((t > 7) & (t < 10)) | ((t > 11) & (t < 14)) | ((t > 15) & (t < 18))
    other = np.where(speaks & syllables, 0.2, 0.001) * rng.standard_normal(len(t))
    turns = np.repeat(bank.rest[None], 600, 0)
    raised = keyed_of("big")
    turns[:] = raised[len(raised) // 2]
    rows = GestureFeatures().encode(motion_of(turns))

    def shown(heard: np.ndarray, chunk: int = 600) -> np.ndarray:
        made, parts = SemanticOverlay(bank, Manner(), listener=ListenerBehaviour(16_000, 16_000)), []
        for k in range(0, 600, chunk):
            ahead = slice(0 if k == 0 else round((k + 15) / 30 * 16_000), round((k + chunk + 15) / 30 * 16_000))
            made.hear(own[ahead], heard[ahead])
            parts.append(made.push(rows[k : k + chunk]))
        return np.concatenate(parts)

    out = shown(other)
    place = wrists(turns_in(out))[:, 0]
    assert np.allclose(place[150], wrists(turns)[150, 0], atol=1e-3)  # talks
    assert np.linalg.norm(place[300] - wrists(bank.rest[None])[0, 0]) < 0.06  # listens
    assert np.array_equal(shown(other, 40), out)

    def nods(features: np.ndarray) -> set[int]:
        head = rot.to_axis_angle(turns_in(features)[:, 4])[:, 0]
        return {int(k) // 30 for k in np.flatnonzero(head - head[150] > 0.04)}

    assert nods(out) and nods(out) <= {10, 14, 18}
    assert nods(shown(np.roll(other, 32_000))).isdisjoint(nods(out))
