"""The stored head and its morph targets do what their names say."""

import numpy as np
import pytest

from avatargpt.export.head import PIVOT, head, shaped, turn_vertices, vertex_normals
from avatargpt.face.portrait import landmarks
from tests.export.avatars import face_weights
from vqvae import arkit
from vqvae.face import turns

MIDDLE_BAND = 0.008  # m beside the middle in which the left and right halves of the mouth run into each other
UPPER_LIDS, LOWER_LIDS = (43, 44), (47, 46)  # of the person's left eye
UPPER_LIPS, LOWER_LIPS = (61, 62, 63), (67, 66, 65)  # inner
CORNER, PUPIL = 64, 69  # of the person's left side
LIP, CHIN = 57, 8


def posed(**weights: float) -> np.ndarray:
    """Landmarks (70, 3) of the head with these weights."""
    return landmarks(shaped(face_weights(**weights)[0]))


REST = posed()


def test_the_head_is_a_head() -> None:
    shape = head()
    skin = shape.points[shape.part("skin")]
    assert 0.14 < np.ptp(skin[:, 0]) < 0.17  # metres
    tip = shape.points[shape.points[:, 2].argmax()]
    assert abs(tip[0]) < 0.004 and -0.05 < tip[1] < -0.025  # the nose is what stands out most
    assert set(np.unique(shape.triangles)) == set(range(len(shape.points)))
    assert shape.colours.min() >= 0 and shape.colours.max() <= 1 and np.isfinite(shape.points).all()
    assert np.allclose(shape.normals, vertex_normals(shape.points.astype(float), shape.triangles), atol=1e-4)
    front = shape.part("skin") & (shape.points[:, 2] > 0.06) & (np.abs(shape.points[:, 0]) < 0.03)
    assert (shape.normals[front, 2] > 0).mean() > 0.6  # lids, lips and mouth have inner sides
    for side in ("eyeLeft", "eyeRight"):
        away = shape.points[shape.part(side)] - shape.points[shape.part(side)].mean(0)
        assert (away * shape.normals[shape.part(side)]).sum(1).mean() > 0


@pytest.mark.parametrize("name", arkit.NAMES)
def test_every_target_moves_what_its_name_says_and_no_more(name: str) -> None:
    shape, target = head(), arkit.INDEX[name]
    moved = np.linalg.norm(shape.morphs[target], axis=1)
    assert 0.002 < moved.max() < 0.06 and 20 < (moved > 1e-4).sum() < 0.6 * len(moved)
    still = shape.part("hair") | shape.part("collar") | shape.part("earLeft") | shape.part("teethUpper")
    assert not moved[still].any()
    points = shape.points.astype(float)
    bent = vertex_normals(points + shape.morphs[target], shape.triangles) - vertex_normals(points, shape.triangles)
    assert np.abs(shape.morph_normals[target] - bent).max() < 0.05
    if name in arkit.LEFT and name not in ("jawLeft", "mouthLeft"):
        x = shape.points[:, 0]
        assert moved[x < -MIDDLE_BAND].max() == 0 and (moved**2)[x > 0].sum() > 0.85 * (moved**2).sum()


def lid_gap(points: np.ndarray) -> float:
    return float(np.mean([points[u, 1] - points[v, 1] for u, v in zip(UPPER_LIDS, LOWER_LIDS, strict=True)]))


def lip_gap(points: np.ndarray) -> float:
    return float(max(points[u, 1] - points[v, 1] for u, v in zip(UPPER_LIPS, LOWER_LIPS, strict=True)))


def test_lids_close_and_open() -> None:
    gap = lid_gap(REST)
    assert gap > 0.007 and lid_gap(posed(eyeBlinkLeft=1)) < 0.1 * gap
    assert lid_gap(posed(eyeBlinkRight=1)) == gap
    assert 0.35 < lid_gap(posed(eyeBlinkLeft=0.5)) / gap < 0.65
    assert lid_gap(posed(eyeWideLeft=1)) > 1.15 * gap and lid_gap(posed(eyeSquintLeft=1)) < 0.75 * gap


def test_the_jaw_opens_and_the_lips_can_stay_closed() -> None:
    wide = posed(jawOpen=1)
    assert abs(lip_gap(REST)) < 1e-6 and lip_gap(wide) > 0.02 and REST[CHIN, 1] - wide[CHIN, 1] > 0.015
    for amount in (0.3, 1.0):
        assert abs(lip_gap(posed(jawOpen=amount, mouthClose=amount))) < 2e-5


@pytest.mark.parametrize("name", ["mouthPucker", "mouthLeft", "mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch",
                                  "mouthShrugUpper", "mouthShrugLower", "cheekPuff"])  # fmt: skip
def test_lips_stay_closed_where_no_name_says_open(name: str) -> None:
    assert lip_gap(posed(**{name: 1})) < 0.0006


X, Y, Z = range(3)


@pytest.mark.parametrize(
    ("name", "landmark", "axis", "step"),
    [("mouthSmile", CORNER, Y, 0.0025), ("mouthSmile", CORNER, X, 0.0025), ("mouthFrown", CORNER, Y, -0.0025),
     ("mouthStretch", CORNER, X, 0.0025), ("mouthDimple", CORNER, X, 0.0025), ("mouthPucker", CORNER, X, -0.0025),
     ("mouthPucker", CORNER, Z, 0.0025), ("mouthFunnel", CORNER, X, -0.0025), ("mouthLeft", CORNER, X, 0.0025),
     ("mouthRight", CORNER, X, -0.0025), ("jawLeft", CHIN, X, 0.005), ("jawForward", CHIN, Z, 0.005),
     ("mouthLowerDown", LIP, Y, -0.003), ("mouthUpperUp", 51, Y, 0.003), ("mouthRollLower", LIP, Z, -0.001),
     ("mouthRollUpper", 51, Z, -0.001), ("browInnerUp", 22, Y, 0.004), ("browOuterUpLeft", 25, Y, 0.004),
     ("browDownLeft", 22, Y, -0.003), ("eyeLookUpLeft", PUPIL, Y, 0.005), ("eyeLookDownLeft", PUPIL, Y, -0.005),
     ("eyeLookOutLeft", PUPIL, X, 0.005), ("eyeLookInLeft", PUPIL, X, -0.005)],
)  # fmt: skip
def test_landmarks_go_where_the_name_says(name: str, landmark: int, axis: int, step: float) -> None:
    moved = (posed(**{name: 1}) - REST)[landmark, axis]
    assert moved * np.sign(step) > abs(step)


def test_the_head_turns_and_the_collar_stays() -> None:
    shape = head()
    points = turn_vertices(shape.points.astype(float), turns(np.array([[0.4, 0.1, 0.1]]))[0])
    collar, eye = shape.part("collar"), shape.part("eyeLeft")
    assert np.allclose(points[collar], shape.points[collar])
    away, before = (np.linalg.norm(p[eye] - PIVOT, axis=1) for p in (points, shape.points))
    assert np.allclose(away, before, atol=1e-6) and np.abs(points[eye] - shape.points[eye]).max() > 0.01
