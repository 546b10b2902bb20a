"""Which way is up, and how long a unit is, by what a clip does: bodies stand on their feet, on a floor at 0."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vqvae.posture import unit

STANDING_SHARE, STANDING_COSINE = 0.8, 0.9  # of frames, and of the body to an axis, by which a clip stands along it
LEVEL_FLOOR = 0.3  # lengths of a leg from 0, within which feet stand on a floor at 0
ON_FLOOR = (-0.05, 0.3)  # lengths of a leg: where the lowest joint is of a body that lies on a floor at 0
# Millimetres, centimetres and inches in a metre, millimetres in a centimetre.
RATIOS = (1000.0, 100.0, 39.37, 10.0)
HIPS = (0.6, 1.3)  # usual heights of the hips in a clip, lengths of a leg
STEADY = 0.5  # share of itself by which a height changes at most in a clip


def by_movement(pos: np.ndarray, at: Mapping[str, int]) -> np.ndarray | None:
    """(3,) the axis along which a clip (T, J, 3) stands: head above feet in most frames, feet on a floor at 0; None
    where no axis is sure."""
    for axis in (*np.eye(3), *-np.eye(3)):
        feet = abs(ankle_height(pos, at, axis)) <= LEVEL_FLOOR * _leg(pos, at)
        if feet and stands(pos, at, axis).mean() >= STANDING_SHARE:
            return np.asarray(axis)
    return None


def likeliest(pos: np.ndarray, at: Mapping[str, int]) -> np.ndarray:
    """(3,) as `by_movement`, or the axis that is by far the longest from feet to head; Y where there is none, and of a
    body that lies on the floor."""
    usual = np.array([0.0, 1, 0])
    sure = by_movement(pos, at)
    mean = (top_of(pos, at) - (pos[:, at["l_ankle"]] + pos[:, at["r_ankle"]]) / 2).mean(0)
    k = int(np.abs(mean).argmax())
    if sure is None and abs(mean[k]) > 2 * abs(mean[1]):
        sure = np.sign(mean[k]) * np.eye(3)[k]
    return usual if sure is None or (sure[1] < 0.5 and lies_on_floor(pos, at, usual)) else sure


def of_positions(pos: np.ndarray, at: Mapping[str, int]) -> np.ndarray | None:
    """(3,) the vertical axis of positions (T, J, 3) that are Y up where nothing speaks against it; None where the
    evidence is contradictory: a body that lies or flies along an axis looks like one that stands along it."""
    usual = np.array([0.0, 1, 0])
    axis = longest(pos, at)
    if axis @ usual > 0:
        return usual
    standing = stands(pos, at, axis).mean() >= STANDING_SHARE
    floors = [a for a in (*np.eye(3), *-np.eye(3)) if _floor_at_0(pos, at, a)]
    level = any(a @ axis > 0 for a in floors)
    if any(a @ usual > 0 for a in floors):
        return None if level else usual
    if level and (standing or len(floors) == 1):
        return axis
    # pictures have Y down and no floor at 0; nobody is upside down throughout
    return axis if not floors and axis @ usual < 0 else None


def longest(pos: np.ndarray, at: Mapping[str, int]) -> np.ndarray:
    """(3,) the axis along which the head is farthest from the feet on average."""
    mean = (top_of(pos, at) - (pos[:, at["l_ankle"]] + pos[:, at["r_ankle"]]) / 2).mean(0)
    k = int(np.abs(mean).argmax())
    return np.asarray(np.sign(mean[k]) * np.eye(3)[k])


def _floor_at_0(pos: np.ndarray, at: Mapping[str, int], up: np.ndarray) -> bool:
    """Whether the lowest joint is on a floor at 0 where it is lowest, but for a few frames."""
    low = float(np.percentile((pos[:, list(at.values())] @ up).min(1), 5)) / _leg(pos, at)
    return ON_FLOOR[0] < low < ON_FLOOR[1]


def stands(pos: np.ndarray, at: Mapping[str, int], axis: np.ndarray) -> np.ndarray:
    """(T,) whether the body stands along an axis (3,)."""
    feet = (pos[:, at["l_ankle"]] + pos[:, at["r_ankle"]]) / 2
    return np.asarray(unit(top_of(pos, at) - feet) @ axis >= STANDING_COSINE)


def lies_on_floor(pos: np.ndarray, at: Mapping[str, int], up: np.ndarray) -> bool:
    """Whether a body's lowest joint is on a floor at 0 in most frames."""
    low = (pos[:, list(at.values())] @ up).min(1) / _leg(pos, at)
    return float(((low > ON_FLOOR[0]) & (low < ON_FLOOR[1])).mean()) >= STANDING_SHARE


def ankle_height(pos: np.ndarray, at: Mapping[str, int], up: np.ndarray) -> float:
    """The height of the lower ankle where it is lowest, but for a few frames."""
    heights = np.minimum(pos[:, at["l_ankle"]] @ up, pos[:, at["r_ankle"]] @ up)
    return float(np.percentile(heights, 5))


def top_of(points: np.ndarray, at: Mapping[str, int]) -> np.ndarray:
    """Head, or what is highest where there is none: (..., J, 3) -> (..., 3)."""
    name = next((n for n in ("head", "neck") if n in at), None)
    if name is not None:
        return np.asarray(points[..., at[name], :])
    return np.asarray((points[..., at["l_shoulder"], :] + points[..., at["r_shoulder"], :]) / 2)


def root_ratio(pos: np.ndarray, at: Mapping[str, int]) -> float:
    """How many times too high hips are for their legs, as in files of offsets in metres and places in centimetres; 1
    where they are as high as a body's, or as nobody's."""
    hips = (pos[:, at["l_hip"]] + pos[:, at["r_hip"]]) / 2 / _leg(pos, at)
    for height in np.abs(np.median(hips, 0)[np.ptp(hips, 0) < STEADY * np.abs(np.median(hips, 0))]):
        ratio = next((r for r in RATIOS if HIPS[0] <= height / r <= HIPS[1]), 1.0)
        if ratio > 1:
            return ratio
    return 1.0


def axis_name(axis: np.ndarray) -> str:
    """``Z``, ``-X``: the axis nearest to a direction (3,)."""
    k = int(np.abs(axis).argmax())
    return ("-" if axis[k] < 0 else "") + "XYZ"[k]


def _leg(pos: np.ndarray, at: Mapping[str, int]) -> float:
    """The usual distance from hip to ankle in a clip; of bones without length hardly more than 0."""
    length = float(np.median(np.linalg.norm(pos[:, at["l_hip"]] - pos[:, at["l_ankle"]], axis=-1)))
    return max(length, 1e-12)
