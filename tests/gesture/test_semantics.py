"""Semantic gestures: the bank, strokes for words, the overlay on the network's motion, listeners."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from avatargpt.gesture.choice import hides_face, measure_face_gap
from avatargpt.gesture.features import loudness
from avatargpt.gesture.overlay import ListenerBehaviour, SemanticOverlay
from avatargpt.gesture.semantics import (
    ARRIVAL,
    WORD_SPACING,
    ClassGuesser,
    GestureBank,
    Manner,
    StrokePlanner,
    check_cues,
    stress_time,
)
from avatargpt.speech.phones import Phone
from avatargpt.speech.words import Word
from instruct_data.factory.gesture.bank import make_keyed_strokes
from instruct_data.gesture.performing import stroke_poses
from instruct_data.gesture.plan import WordClasses
from instruct_data.gesture.strokes import ARM, LIMB, SIDES, Stroke, motion_of, within, wrists
from tests.gesture import made_up
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import GestureFeatures, gesture_joints

SENTENCE = [Word("It", 1.0, 1.2), Word("was", 1.2, 1.4), Word("big", 1.4, 1.8), Word("and", 1.8, 2.0),
            Word("never", 3.6, 4.1, (Phone("N", 3.6, 3.7), Phone("EH", 3.7, 3.85, 1), Phone("V", 3.85, 3.9),
                                     Phone("ER", 3.9, 4.1, 0)))]  # fmt: skip


@pytest.fixture(scope="module")
def bank() -> GestureBank:
    strokes = make_keyed_strokes(0, 1)
    return GestureBank.of(strokes, strokes[0].rest_pose)


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> WordClasses:
    return made_up.table(tmp_path_factory.mktemp("table"))


def features_of(turns: np.ndarray) -> np.ndarray:
    return GestureFeatures().encode(motion_of(turns))


def turns_in(features: np.ndarray) -> np.ndarray:
    return np.asarray(rot.from_6d(features[:, :258].astype(np.float64).reshape(len(features), 43, 6)))


def at_rest(bank: GestureBank, frames: int) -> np.ndarray:
    return np.repeat(bank.rest[None], frames, 0)


def restless(bank: GestureBank, frames: int) -> np.ndarray:
    """Features of a person whose arms are never still."""
    at = np.arange(frames)[:, None, None] / 30
    angles = np.sin(2 * np.pi * (0.7 + 0.1 * np.arange(8)[:, None]) * at + np.arange(3)) * 0.15
    turns, arms = at_rest(bank, frames), [*ARM["l"], *ARM["r"]]
    turns[:, arms] = rot.multiply(turns[:, arms], rot.from_axis_angle(angles))
    return features_of(turns)


def planner(bank: GestureBank, classes: WordClasses, seed: int = 0, **manner: object) -> StrokePlanner:
    return StrokePlanner(bank, classes, Manner(**manner), seed=seed)


def overlay(bank: GestureBank, classes: WordClasses, words: list[Word] = SENTENCE, **manner: object) -> SemanticOverlay:
    return SemanticOverlay(bank, Manner(**manner), planner(bank, classes, **manner), words)


def test_a_bank_is_stored_with_mirror_images(bank: GestureBank, tmp_path: Path) -> None:
    path = bank.save(tmp_path)
    loaded = GestureBank.load(tmp_path)
    assert loaded is not None and loaded.names == bank.names and len(loaded) == len(bank)
    for name in bank.names:
        for a, b in zip(bank.strokes(name), loaded.strokes(name), strict=True):
            assert np.array_equal(a.turns, b.turns) and (a.start, a.emphasis, a.end) == (b.start, b.emphasis, b.end)
    left, right = (loaded.strokes("wave", hand)[0] for hand in SIDES)
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
        header = file.metadata()
    lengths, keys = arrays["lengths"].copy(), arrays["keys"].copy()
    lengths[3] += 1
    keys[len(keys) // 2 :] = 0
    for changes, text in (({"lengths": lengths}, header), ({"keys": keys}, header),
                          ({"scale": arrays["scale"][1:]}, header), ({}, {"licence": "ours"})):  # fmt: skip
        save_file({**arrays, **changes}, path, text)
        with pytest.raises(UserError, match=r"bank\.safetensors: not a bank of gestures .*stage gesture-bank"):
            GestureBank.load(tmp_path)


def test_words_get_their_gestures_on_the_stress(bank: GestureBank, classes: WordClasses) -> None:
    strokes = planner(bank, classes)(SENTENCE)
    assert [(p.kind, p.stroke.name, p.word) for p in strokes] == [("size", "big", 2), ("negation", "weigh", 4)]
    assert strokes[1].frame == round(3.7 * 30) + ARRIVAL
    assert 1.4 < stress_time(SENTENCE[2]) < 1.8  # from the dictionary's phones
    assert planner(bank, classes, semantic=0.0)(SENTENCE) == []
    half = [planner(bank, classes, k, semantic=0.5)(SENTENCE) for k in range(40)]
    assert 0.3 < np.mean([len(s) for s in half]) / 2 < 0.7
    loud = planner(bank, classes)(SENTENCE, (), (0, 0, 1.0, 0, -1.0))
    assert loud[0].size > 1 > loud[1].size
    occupied = [strokes[0].frame - WORD_SPACING + 1]
    assert [p.kind for p in planner(bank, classes)(SENTENCE, occupied)] == ["negation"]


def test_cues_come_first_and_are_checked(bank: GestureBank, classes: WordClasses) -> None:
    strokes = planner(bank, classes, cues=(("was big", "Wave"), ("here", "big")))(SENTENCE)
    assert [(p.kind, p.stroke.name) for p in strokes] == [("cue", "wave"), ("negation", "weigh")]
    check_cues(Manner(cues=(("was big", "wave"),)), SENTENCE)
    for cue, message in (
        (("nevr", "big"), "--cue nevr=big: nobody says 'nevr'; accepted: .*; near to it: never"),
        (("big was", "big"), "nobody says 'big was'; accepted: words of the transcript"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            check_cues(Manner(cues=(cue,)), SENTENCE)
    with pytest.raises(UserError, match="--cue big=wav: no such gesture; accepted: wave"):
        planner(bank, classes, cues=(("big", "wav"),))


def test_words_take_the_class_of_their_neighbour(classes: WordClasses) -> None:
    directions = {
        "never": (1.0, 0.0), "nowhere": (0.8, 0.6), "table": (0.0, 1.0), "hardly": (0.57, 0.82), "seldom": (0.53, 0.85),
    }  # fmt: skip

    def encode(texts: list[str]) -> np.ndarray:
        return np.array([directions.get(t, (-1.0, 0.0)) for t in texts], np.float32)

    guess = ClassGuesser(classes, encode, lambda word: {"nowhere": None, "never": 100}.get(word, 9000))
    assert [guess(w) for w in ("Nowhere!", "table", "no", "x1y2", "never")] == ["negation", "", "", "", ""]
    assert [guess(w) for w in ("hardly", "seldom")] == ["negation", ""], "alike from a cosine of 0.55 on"


def test_a_stroke_arrives_by_its_emphasis_without_a_jump(bank: GestureBank, classes: WordClasses) -> None:
    features = restless(bank, 220)
    whole = overlay(bank, classes)
    strokes = whole.strokes
    out = whole.push(features)
    before, after = turns_in(features), turns_in(out)
    assert [p.kind for p in strokes] == ["size", "negation"]
    for p in strokes:
        expected = before[p.frame].copy()
        for side in p.stroke.sides:
            expected[LIMB[side]] = stroke_poses(p, p.frame, p.frame + 1, side)[0]
        expected = within(expected[None])[0]
        for side in p.stroke.sides:
            error = rot.angle_between(after[p.frame, LIMB[side]], expected[LIMB[side]])
            assert np.degrees(error).max() < 0.1
    assert np.abs(np.diff(wrists(after), n=3, axis=0)).max() < 0.03
    assert np.array_equal(out[:12], features[:12]) and np.array_equal(out[-20:], features[-20:])
    chunks = overlay(bank, classes)
    assert np.array_equal(np.concatenate([chunks.push(features[i : i + 7]) for i in range(0, 220, 7)]), out)


def test_strokes_that_hide_the_face_are_for_cues_alone(bank: GestureBank, classes: WordClasses) -> None:
    turns = at_rest(bank, 60)
    pose = turns[0].copy()
    pose[ARM["r"][1]] = rot.from_axis_angle(np.array([-1.0, 2.8, -0.8]))
    pose[ARM["r"][2]] = rot.from_axis_angle(np.array([-0.7, -1.6, -0.5]))
    joints = gesture_joints(torch.from_numpy(rot.to_6d(pose).reshape(1, -1).astype(np.float32))).numpy()
    assert measure_face_gap(joints)[0] < 0
    turns[20:40] = pose
    brief, lasting = (Stroke("big", "", "", t, 0, 10, 59, ("r",)) for t in (turns[:25], turns))
    assert not hides_face(brief) and hides_face(lasting)
    hiding = planner(GestureBank.of([lasting], bank.rest), classes)
    assert hiding(SENTENCE[:3]) == [] and hiding.cue("big", SENTENCE[2]).kind == "cue"


def test_the_free_arm_goes_on(bank: GestureBank, classes: WordClasses) -> None:
    features = restless(bank, 120)
    one_handed = overlay(bank, classes, SENTENCE[:3], cues=(("big", "count_two"),))
    (stroke,) = one_handed.strokes
    (free,) = {*SIDES} - {*stroke.stroke.sides}
    before, after = turns_in(features), turns_in(one_handed.push(features))
    assert np.degrees(rot.angle_between(after[:, LIMB[free]], before[:, LIMB[free]])).max() < 0.1
    assert np.degrees(rot.angle_between(after[stroke.frame], before[stroke.frame])).max() > 20


def test_late_words_are_gestured_if_there_is_time(bank: GestureBank, classes: WordClasses) -> None:
    late = overlay(bank, classes, SENTENCE[:2])
    late.push(features_of(at_rest(bank, 60)))
    late.say(SENTENCE[2:])  # "big" is past
    assert [p.kind for p in late.strokes] == ["negation"]


def test_calm_and_energy(bank: GestureBank) -> None:
    angles = np.cumsum(np.random.default_rng(0).standard_normal((300, 3)), 0) * 0.01
    turns = at_rest(bank, 300)
    turns[:, ARM["r"][1]] = rot.multiply(turns[:, ARM["r"][1]], rot.from_axis_angle(angles))
    features = features_of(turns)

    def reach(**manner: object) -> float:
        out = SemanticOverlay(bank, Manner(**manner)).push(features)
        return float(np.ptp(wrists(turns_in(out))[:, 1], axis=0).max())

    usual = float(np.ptp(wrists(turns)[:, 1], axis=0).max())
    assert reach(calm=True) < 0.15 * usual
    assert reach(energy=0.4) < 0.8 * usual < usual < reach(energy=1.6)
    assert np.array_equal(SemanticOverlay(bank, Manner()).push(features), features)


def test_loudness_of_words() -> None:
    sound = np.where((np.arange(48_000) // 8000) == 2, 0.2, 0.01).astype(np.float32)
    a, b, c = loudness(sound, 16_000, [Word("a", 0.2, 0.4), Word("b", 1.1, 1.4), Word("c", 2.0, 2.4)])
    assert b > 1 > 0 > a and a == pytest.approx(c) and loudness(sound, 16_000, []) == ()


def test_listeners_rest_and_nod_in_pauses(bank: GestureBank) -> None:
    rng = np.random.default_rng(1)
    t = np.arange(20 * 16_000) / 16_000
    syllables = np.sin(2 * np.pi * 3 * t) > -0.7
    own = np.where((t < 6) & syllables, 0.2, 0.001) * rng.standard_normal(len(t))
    speech = ((t > 7) & (t < 10)) | ((t > 11) & (t < 14)) | ((t > 15) & (t < 18))
    other = np.where(speech & syllables, 0.2, 0.001) * rng.standard_normal(len(t))
    raised = np.asarray(make_keyed_strokes(0, 1, ["big"])[0].turns)
    turns = np.repeat(raised[len(raised) // 2][None], 600, 0)
    features = features_of(turns)

    def listen(interlocutor: np.ndarray, chunk: int = 600) -> np.ndarray:
        listener, parts = SemanticOverlay(bank, Manner(), listener=ListenerBehaviour(16_000, 16_000)), []
        for k in range(0, 600, chunk):
            ahead = slice(0 if k == 0 else round((k + 15) / 30 * 16_000), round((k + chunk + 15) / 30 * 16_000))
            listener.hear(own[ahead], interlocutor[ahead])
            parts.append(listener.push(features[k : k + chunk]))
        return np.concatenate(parts)

    def nods(rows: np.ndarray) -> set[int]:
        head = rot.to_axis_angle(turns_in(rows)[:, 4])[:, 0]
        return {int(k) // 30 for k in np.flatnonzero(head - head[150] > 0.04)}

    out = listen(other)
    place = wrists(turns_in(out))[:, 0]
    assert np.allclose(place[150], wrists(turns)[150, 0], atol=1e-3)  # talks
    assert np.linalg.norm(place[300] - wrists(bank.rest[None])[0, 0]) < 0.06  # listens
    assert np.array_equal(listen(other, 40), out)
    assert nods(out) and nods(out) <= {10, 14, 18}
    assert nods(listen(np.roll(other, 32_000))).isdisjoint(nods(out))


def test_hands_and_head_are_still_in_silence(bank: GestureBank) -> None:
    # the motion sways all the time; nobody speaks for 2 s, then somebody for 2 s, then nobody for 5 s
    rng, t = np.random.default_rng(2), np.arange(9 * 16_000) / 16_000
    own = np.where((t > 2) & (t < 4), 0.2, 0.0005) * rng.standard_normal(len(t))
    sway = np.zeros((270, 43, 3))
    sway[..., 0] = 0.1 * np.sin(np.arange(270) / 9)[:, None]
    turns = rot.multiply(np.repeat(bank.rest[None], 270, 0), rot.from_axis_angle(sway))

    def perform(chunk: int) -> np.ndarray:
        overlay = SemanticOverlay(bank, Manner(), listener=ListenerBehaviour(16_000), start=bank.rest)
        overlay.hear(own[: 15 * 16_000 // 30], None)
        parts = []
        for k in range(0, 270, chunk):
            overlay.hear(own[(k + 15) * 16_000 // 30 : (k + chunk + 15) * 16_000 // 30], None)
            parts.append(overlay.push(features_of(turns)[k : k + chunk]))
        return np.concatenate(parts)

    out = perform(270)
    assert np.array_equal(perform(7), out)
    moved, raw = wrists(turns_in(out)), wrists(turns)
    for still in (slice(0, 40), slice(180, 270)):
        assert np.ptp(raw[still], axis=0).max() > 0.02 and np.ptp(moved[still], axis=0).max() < 0.01
        head = np.degrees(rot.to_axis_angle(turns_in(out)[still, 4]))
        assert np.ptp(head, axis=0).max() < 1.3  # of 11.5
    assert np.allclose(moved[80:110], raw[80:110], atol=1e-4)
