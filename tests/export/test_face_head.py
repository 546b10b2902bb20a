"""The head and its morph targets do what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from avatargpt.export.head.head import Head, head, vertex_normals
from avatargpt.export.head.morphs import morph_normals, morphs, shaped
from avatargpt.export.head.mouth import MIDDLE_BAND
from avatargpt.export.head.skin import MOUTH_COLUMN
from vqvae import arkit

FLIP = np.array([-1, 1, 1])


@pytest.fixture(scope="module")
def shape() -> Head:
    return head()


def posed(**weights: float) -> np.ndarray:
    values = np.zeros(arkit.COUNT)
    for name, w in weights.items():
        for one in arkit.expand(name):
            values[arkit.INDEX[one]] = w
    return shaped(values)


def lips(shape: Head) -> tuple[np.ndarray, np.ndarray]:
    """Vertices of the upper and the lower edge of the slit, from the middle to the corners of both sides."""
    s = shape.skin
    edge = s.lip == 0
    upper, lower = np.flatnonzero(edge & ~s.below), np.flatnonzero(edge & s.below)
    pairs = [(upper[(s.column[upper] == s.column[i])][0], i) for i in lower]
    return np.array([u for u, _ in pairs]), np.array([v for _, v in pairs])


def lids(shape: Head, left: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Rims of the upper and lower lid, column by column."""
    s, count = shape.skin, len(shape.skin.points)
    on_skin = (s.lid != 0) & ((s.points[:, 0] > 0) == left)
    pairs = []
    for c in np.unique(s.column[on_skin]):
        mine = np.flatnonzero(on_skin & (s.column == c))
        upper, lower = mine[s.lid[mine] == 1], mine[s.lid[mine] == -1]
        if len(upper) == len(lower) == 2:  # outer and inner edge of the rim, the outer one first; not the corners
            pairs.append((upper.min(), lower.min()))
    assert len(pairs) >= 8 and max(max(p) for p in pairs) < count
    return np.array([u for u, _ in pairs]), np.array([v for _, v in pairs])


def test_the_head_is_a_head(shape: Head) -> None:
    low, high = shape.points[shape.part("skin")].min(0), shape.points[shape.part("skin")].max(0)
    assert 0.14 < high[0] - low[0] < 0.17  # wide, metres
    tip = shape.points[shape.points[:, 2].argmax()]
    assert abs(tip[0]) < 0.004 and -0.05 < tip[1] < -0.025  # the nose is what stands out most
    assert 3000 < len(shape.points) < 7500 and shape.triangles.max() == len(shape.points) - 1
    assert np.allclose(np.linalg.norm(shape.normals, axis=1), 1, atol=1e-4)
    assert shape.colours.min() >= 0 and shape.colours.max() <= 1 and np.isfinite(shape.points).all()
    assert set(np.unique(shape.triangles)) == set(range(len(shape.points)))


def test_the_skin_faces_outwards(shape: Head) -> None:
    front = shape.part("skin") & (shape.points[:, 2] > 0.06) & (np.abs(shape.points[:, 0]) < 0.03)
    outer = front.copy()
    outer[: len(shape.skin.points)] &= (shape.skin.lip >= 0) & (shape.skin.lid == 0)
    assert (shape.normals[outer, 2] > 0).mean() > 0.9
    for side in ("eyeLeft", "eyeRight"):
        ball = shape.part(side)
        centre = shape.points[ball].mean(0)
        assert ((shape.points[ball] - centre) * shape.normals[ball]).sum(1).mean() > 0


def test_the_head_and_its_targets_are_mirror_images(shape: Head) -> None:
    assert np.allclose(shape.points[shape.mirror] * FLIP, shape.points, atol=1e-6)
    assert (shape.mirror[shape.mirror] == np.arange(len(shape.points))).all()
    moved = morphs()
    for i in range(arkit.COUNT):
        assert np.allclose(moved[arkit.MIRROR[i]][shape.mirror] * FLIP, moved[i], atol=1e-7), arkit.NAMES[i]


@pytest.mark.parametrize("name", arkit.NAMES)
def test_every_target_moves_something_and_not_everything(shape: Head, name: str) -> None:
    moved = np.linalg.norm(morphs()[arkit.INDEX[name]], axis=1)
    assert 0.002 < moved.max() < 0.06, f"{name} moves {moved.max() * 1000:.1f} mm"
    assert 20 < (moved > 1e-4).sum() < 0.6 * len(moved)
    still = shape.part("hair") | shape.part("collar") | shape.part("earLeft") | shape.part("teethUpper")
    assert not moved[still].any()
    bent = morph_normals()[arkit.INDEX[name]]
    expected = vertex_normals(shape.points + morphs()[arkit.INDEX[name]].astype(float), shape.triangles)
    rest = vertex_normals(shape.points.astype(float), shape.triangles)
    assert np.abs(rest + bent - expected).max() < 0.05


@pytest.mark.parametrize("name", arkit.LEFT)
def test_left_is_the_persons_left(shape: Head, name: str) -> None:
    if name in ("jawLeft", "mouthLeft"):
        step = morphs()[arkit.INDEX[name]]
        assert step[:, 0].max() > 0.005 and step[:, 0].min() > -0.002
        return
    moved = np.linalg.norm(morphs()[arkit.INDEX[name]], axis=1)
    x = shape.points[:, 0]
    assert moved[x < -MIDDLE_BAND].max() == 0, "the other side moves"
    assert (moved**2)[x > 0].sum() > 0.85 * (moved**2).sum()


def test_a_blink_closes_one_eye(shape: Head) -> None:
    upper, lower = lids(shape)
    rest, blink = shape.points, posed(eyeBlinkLeft=1)
    assert (rest[upper, 1] - rest[lower, 1]).max() > 0.010
    assert np.linalg.norm(blink[upper] - blink[lower], axis=1).max() < 0.0005
    right_upper, right_lower = lids(shape, left=False)
    assert np.allclose(blink[right_upper], rest[right_upper], atol=1e-9)
    assert (blink[right_upper, 1] - blink[right_lower, 1]).max() > 0.010
    half = posed(eyeBlinkLeft=0.5)
    gap = (half[upper, 1] - half[lower, 1]).max() / (rest[upper, 1] - rest[lower, 1]).max()
    assert 0.35 < gap < 0.65


def test_closed_lids_lie_on_the_eye(shape: Head) -> None:
    from avatargpt.export.head.shape import EYE, EYE_RADIUS

    s = shape.skin
    lid = np.flatnonzero((s.lid > 0.3) & (s.lid < 0.99) & (s.points[:, 0] > 0))  # behind the rim, which touches the eye
    for amount in (0.0, 0.25, 0.5, 0.75, 1.0):
        away = np.linalg.norm(posed(eyeBlinkLeft=amount)[lid] - EYE, axis=1)
        assert away.min() > EYE_RADIUS * 0.97, amount


def test_wide_eyes_open_and_a_squint_narrows(shape: Head) -> None:
    upper, lower = lids(shape)

    def gap(points: np.ndarray) -> float:
        return float((points[upper, 1] - points[lower, 1]).max())

    assert gap(posed(eyeWideLeft=1)) > 1.15 * gap(shape.points)
    assert gap(posed(eyeSquintLeft=1)) < 0.75 * gap(shape.points)


def test_the_jaw_opens_and_the_lips_can_stay_closed(shape: Head) -> None:
    upper, lower = lips(shape)
    assert np.abs(shape.points[upper] - shape.points[lower]).max() < 1e-6
    wide = posed(jawOpen=1)
    assert (wide[upper, 1] - wide[lower, 1]).max() > 0.02
    chin = np.flatnonzero(shape.part("skin") & (shape.points[:, 1] < -0.10) & (shape.points[:, 2] > 0.07))
    assert (shape.points[chin, 1] - wide[chin, 1]).min() > 0.015
    for amount in (0.3, 1.0):
        closed = posed(jawOpen=amount, mouthClose=amount)
        assert np.abs(closed[upper] - closed[lower]).max() < 2e-5
    teeth = shape.part("teethLower")
    assert (shape.points[teeth, 1] - wide[teeth, 1]).min() > 0.012


@pytest.mark.parametrize("name", ["mouthPucker", "mouthLeft", "mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch",
                                  "mouthShrugUpper", "mouthShrugLower", "cheekPuff"])  # fmt: skip
def test_lips_stay_closed_where_no_name_says_open(shape: Head, name: str) -> None:
    upper, lower = lips(shape)
    points = posed(**{name: 1})
    assert (points[upper, 1] - points[lower, 1]).max() < 0.0006


def corner(shape: Head, points: np.ndarray) -> np.ndarray:
    s = shape.skin
    return points[np.flatnonzero((s.lip == 0) & (s.column == MOUTH_COLUMN) & ~s.below)[0]]


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("mouthSmile", 1, 1), ("mouthSmile", 0, 1), ("mouthFrown", 1, -1), ("mouthStretch", 0, 1), ("mouthDimple", 0, 1),
     ("mouthPucker", 0, -1), ("mouthPucker", 2, 1), ("mouthFunnel", 0, -1), ("mouthLeft", 0, 1), ("mouthRight", 0, -1)],
)  # fmt: skip
def test_corners_go_where_the_name_says(shape: Head, name: str, axis: int, sign: int) -> None:
    step = corner(shape, posed(**{name: 1})) - corner(shape, shape.points)
    assert sign * step[axis] > 0.0025


def test_lips_and_brows_go_where_the_name_says(shape: Head) -> None:
    s, rest = shape.skin, shape.points
    red = (s.region == 1) & (np.abs(s.points[:, 0]) < 0.012) & (s.lip > 0)

    def lift(name: str, chosen: np.ndarray, axis: int = 1) -> float:
        return float((posed(**{name: 1})[chosen] - rest[chosen])[:, axis].mean())

    upper, lower = np.flatnonzero(red & ~s.below), np.flatnonzero(red & s.below)
    assert lift("mouthUpperUp", upper) > 0.003 and abs(lift("mouthUpperUp", lower)) < 1e-6
    assert lift("mouthLowerDown", lower) < -0.004 and abs(lift("mouthLowerDown", upper)) < 1e-6
    assert lift("mouthRollLower", lower, 2) < -0.002 and lift("mouthRollUpper", upper, 2) < -0.002
    assert lift("jawForward", lower, 2) > 0.005
    brow = np.flatnonzero(shape.part("browLeft"))
    inner, outer = brow[rest[brow, 0] < 0.024], brow[rest[brow, 0] > 0.042]
    assert lift("browInnerUp", inner) > 0.004 > 0.002 > lift("browInnerUp", outer)
    assert lift("browOuterUpLeft", outer) > 0.004 > lift("browOuterUpLeft", inner)
    assert lift("browDownLeft", inner) < -0.004
    tongue = np.flatnonzero(shape.part("tongue"))
    assert (posed(tongueOut=1)[tongue, 2]).max() > rest[s.lip.size and upper, 2].max() + 0.01


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [("eyeLookUpLeft", 1, 1), ("eyeLookDownLeft", 1, -1), ("eyeLookOutLeft", 0, 1), ("eyeLookInLeft", 0, -1)],
)
def test_eyes_look_where_the_name_says(shape: Head, name: str, axis: int, sign: int) -> None:
    pupil = np.flatnonzero(shape.part("eyeLeft"))[0]
    step = posed(**{name: 1})[pupil] - shape.points[pupil]
    assert sign * step[axis] > 0.005
