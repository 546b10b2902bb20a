"""Trunk and head hold still while nobody speaks."""

import numpy as np

from avatargpt.avatar.pipeline import Standing
from avatargpt.avatar.poise import Poise
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion

FPS = 30.0


def swaying(frames: int) -> np.ndarray:
    """(T, 2, 4) of two joints that never rest: 10 degrees to and fro."""
    turns = np.radians(10) * np.sin(2 * np.pi * np.arange(frames) / 60)
    return np.stack([rot.about_y(turns), rot.about_y(-turns)], 1)


def talk(*parts: tuple[bool, float]) -> FaceMotion:
    """A face that speaks or not for so many seconds each: five syllables a second."""
    jaw = [0.08 * abs(np.sin(np.pi * 5 * k / FPS)) * speaks for speaks, seconds in parts
           for k in range(round(seconds * FPS))]  # fmt: skip
    weights = np.zeros((len(jaw), arkit.COUNT))
    weights[:, arkit.INDEX["jawOpen"]] = jaw
    return FaceMotion(weights, np.zeros((len(jaw), 3)), FPS)


def degrees(turns: np.ndarray) -> float:
    """The largest angle between any frame and the first."""
    return float(np.degrees(rot.angle_between(turns, turns[:1])).max())


def test_silence_is_still_and_speech_moves() -> None:
    face = talk((False, 8), (True, 4), (False, 8), (True, 2))
    joints = swaying(len(face))
    out = Poise(FPS)(joints, face)
    assert degrees(out[:240]) == 0  # at rest from the first frame
    assert degrees(out[240:360]) > 9
    np.testing.assert_array_equal(out[300:360], joints[300:360])  # speech: as the gestures have it
    assert degrees(out[382:600]) < 1  # 0.7 s after its end
    assert np.degrees(rot.angle_between(out[1:], out[:-1])).max() < 4  # it sets in softly


def test_a_short_pause_does_not_freeze() -> None:
    face = talk((True, 3), (False, 0.3), (True, 2))
    joints = swaying(len(face))
    assert np.degrees(rot.angle_between(Poise(FPS)(joints, face), joints))[60:].max() < 3


def test_a_jaw_that_an_instruction_opens_is_no_speech() -> None:
    face = talk((True, 4))
    assert degrees(Poise(FPS)(swaying(len(face)), face, [(0.0, 5.0)])) < 1


def test_pieces_give_the_same_turns() -> None:
    face = talk((True, 1), (False, 2), (True, 1))
    joints = swaying(len(face))
    whole, poise = Poise(FPS)(joints, face), Poise(FPS)
    parts = [poise(joints[k : k + 7], face.slice(k, min(k + 7, len(face)))) for k in range(0, len(face), 7)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_nobody_sways_without_idle_movement() -> None:
    usual, still = (Standing(1, s).frames(0, 240).motion for s in (1.0, 0.0))
    assert np.ptp(usual.joints, 0).max() > 0.005
    assert np.ptp(still.joints, 0).max() == 0
