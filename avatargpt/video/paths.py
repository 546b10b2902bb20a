"""From the landmarks of one person over a film to a motion: even frames, level, on the floor, with feet that stand.

The film's times become 20 frames a second by weighted local parabolas, which keep speeds that a running mean would
flatten. The path is that of the picture over seconds, and that of the standing foot within them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from avatargpt.body.contact import shift_feet
from avatargpt.video.camera import FOCAL, lens, level_camera, place_origin, upright
from avatargpt.video.lifting import lift
from avatargpt.video.people import Person
from avatargpt.video.poses import AT
from vqvae import rotations as rot
from vqvae.ground import without_penetration
from vqvae.motion import Motion
from vqvae.posture import unit
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian, runs_of

FPS = 20.0
SIGMA = 0.08  # s of the window of a parabola
HIDDEN = 0.03  # weight of a landmark that is not visible
SOLES = {7: 0.085, 8: 0.085, 10: 0.02, 11: 0.02}  # m of ankles and toes above the floor, where a foot is flat on it
OTHERS = 0.05  # m of other joints above what they lie on
HOLD = 0.035  # m above the lowest joint of the feet, over which a foot's weight falls by e
BLEND_SECONDS = 0.3  # beyond which the path is the picture's
TREND_SECONDS = 0.8  # over which the floor may climb
AIR, AIR_SECONDS = 0.08, 0.6  # m from which on a rise of the body is a jump, and over which the floor is looked for
CONTACT_SPEED, CONTACT_SHARE = 0.35, 0.75  # m/s of a foot that stands, and share of the body's speed
CONTACT_HEIGHT, CONTACT_FRAMES = 0.05, 3  # m of a foot that stands, and frames for which it does at least
TOGETHER = 2000  # frames whose feet are moved at once: an hour's at once take 0.7 GB
MAX_STRIDE = 0.3  # m by which a foot is moved at most
LEGS_SEEN, LEGS_SECONDS = 0.65, 0.4  # mean of knees and ankles, from which on legs are read, and over which
FADE_SECONDS = 0.15  # between legs that are read and legs that are not
SITS = 0.5  # cosine between thighs and the vertical, below which unseen legs sit
_SHINS = [AT[f"{s}_{n}"] for s in "lr" for n in ("knee", "ankle")]
_LEGS = [j for j, name in enumerate(SMPL22.names) if name[2:] in ("hip", "knee", "ankle", "foot")]
_HEAD, _TRUNK = ["nose", "l_ear", "r_ear"], ["l_shoulder", "r_shoulder", "l_hip", "r_hip"]
_BONES = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


class Lifted(NamedTuple):
    """A motion in the camera's axes, turned level."""

    motion: Motion
    start: float  # second of the film of the first frame
    tilt: float  # degrees by which the camera looks down
    notes: tuple[str, ...]  # where the legs are not seen, and what they do there
    reliability: np.ndarray  # (22,) 0..1, how far each joint is seen


def motion_of(person: Person, focal: float | None = None) -> Lifted:
    """The motion of a person at 20 frames a second; while the legs are not seen, they stand or sit in one place.

    Args:
        focal: focal length in lengths of the picture's longer side; None = the usual one, corrected by the floor.
    """
    times, size = person.times, person.size
    start = float(np.ceil(times[0] * FPS - 1e-6) / FPS)
    grid = np.arange(start, max(times[-1], start) + 1e-6, 1 / FPS)
    weight = HIDDEN + person.visible
    world, points = (even(times, values, weight, grid) for values in (person.world, person.points))
    visibility = even(times, person.visible[..., None], np.ones_like(weight), grid)[..., 0].clip(0, 1)
    up = upright(world, visibility)
    level = level_camera(up)
    rotations = lift(rot.rotate(level, world), visibility, FPS)
    legs, sits = _legs_of(rot.rotate(level, world), visibility)
    rotations = rot.slerp(_rest_pelvis(rotations, sits), rotations, legs[:, None])
    joints, _ = SMPL22.fk_full(rotations, np.zeros((len(grid), 3)))
    low = lowest(joints)
    before = place_origin(points, world, HIDDEN + visibility, size, (focal or FOCAL) * max(size))
    before = before * body_scale(world, visibility)
    stretch = 1.0 if focal is not None else lens(before, -low, up)
    before = rot.rotate(level, before * [1, 1, stretch])
    root = path(joints, before, low)
    root[:, 1] = legs * root[:, 1] - (1 - legs) * low
    steps = np.diff(root, axis=0) * [1, 0, 1] * legs[1:, None]
    root = root * [0, 1, 0] + np.concatenate([np.zeros((1, 3)), steps.cumsum(0)])
    spans = ", ".join(f"{a / FPS + start:.1f} to {b / FPS + start:.1f} s" for a, b in runs_of(legs < 0.5, 1))
    note = f"the legs are not seen from {spans}: there they {'sit' if sits else 'stand'}"
    tilt, sure = float(np.degrees(np.arctan2(up[2], up[1]))), _reliability(visibility)
    return Lifted(plant_feet(Motion(rotations, root, FPS)), start, tilt, (note,) if spans else (), sure)


def even(
    times: np.ndarray, values: np.ndarray, weight: np.ndarray, grid: np.ndarray, sigma: float = SIGMA
) -> np.ndarray:
    """(G, J, C) values at the times `grid` (G,) from (N, J, C) at `times` (N,), weighted by (N, J).

    A parabola is fitted around every time under a Gaussian of `sigma` seconds (Savitzky and Golay 1964, on uneven
    times); over gaps values go along a line.
    """
    out = np.empty((len(grid), *values.shape[1:]))
    for g, t in enumerate(grid):
        first, last = np.searchsorted(times, [t - 4 * sigma, t + 4 * sigma])
        close = np.abs(times[first:last] - t) < 2 * sigma
        if close.sum() < 3 or not times[first] - 1e-9 <= t <= times[last - 1] + 1e-9:
            after = min(int(np.searchsorted(times, t)), len(times) - 1)
            before = max(after - 1, 0)
            share = np.clip((t - times[before]) / max(times[after] - times[before], 1e-9), 0, 1)
            out[g] = values[before] + (values[after] - values[before]) * share
            continue
        x = (times[first:last] - t) / sigma
        w = np.exp(-0.5 * x * x)[:, None] * weight[first:last]
        basis = np.stack([np.ones_like(x), x, x * x], -1)
        ridge = np.diag([1e-9, 1e-3, 3e-2]) * w.sum(0)[:, None, None]
        normal = np.einsum("nj,na,nb->jab", w, basis, basis) + ridge
        out[g] = np.linalg.solve(normal, np.einsum("nj,na,njc->jac", w, basis, values[first:last]))[:, 0]
    return out


def _legs_of(world: np.ndarray, visibility: np.ndarray) -> tuple[np.ndarray, bool]:
    """(T,) 0..1 whether the legs are read, and whether they sit where they are not, by what the hips say."""
    seen = gaussian(visibility[:, _SHINS].mean(1), LEGS_SECONDS * FPS) >= LEGS_SEEN
    thighs = np.stack([unit(world[:, AT[f"{s}_knee"]] - world[:, AT[f"{s}_hip"]]) for s in "lr"])
    sits = bool(not seen.all() and np.median(-thighs[:, ~seen, 1].mean(0)) < SITS)
    return gaussian(seen.astype(np.float64), FADE_SECONDS * FPS), sits


def _rest_pelvis(rotations: np.ndarray, sits: bool) -> np.ndarray:
    """The rotations (T, 22, 4) with a pelvis that is level and turned as it is, and legs that hang from it, or sit."""
    out = rotations.copy()
    ahead = rot.rotate(out[:, 0], np.array([0.0, 0, 1]))
    yaw = np.unwrap(np.arctan2(ahead[:, 0], ahead[:, 2]))
    out[:, 0] = rot.about_y(gaussian(yaw, 0.3 * FPS))
    out[:, 3] = rot.multiply(rot.conjugate(out[:, 0]), rot.multiply(rotations[:, 0], rotations[:, 3]))
    out[:, _LEGS] = rot.identity((len(out), len(_LEGS)))
    for part, angle in (("hip", -np.pi / 2), ("knee", np.pi / 2)) if sits else ():
        out[:, [SMPL22.index(f"{s}_{part}") for s in "lr"]] = rot.from_axis_angle(np.array([angle, 0.0, 0]))
    return out


def _reliability(visibility: np.ndarray) -> np.ndarray:
    """(22,) 0..1: how far each joint is seen, by the landmarks (T, 33) that it is read from."""
    near = {"neck": _HEAD, "head": _HEAD}
    for side in "lr":
        near |= {f"{side}_collar": [f"{side}_shoulder"], f"{side}_foot": [f"{side}_toe"]}
    mean = visibility.mean(0)
    marks = [near.get(name, [name] if name in AT else _TRUNK) for name in SMPL22.names]
    return np.array([mean[[AT[m] for m in names]].mean() for names in marks])


def body_scale(world: np.ndarray, visibility: np.ndarray) -> float:
    """Our bones' lengths in units of the person's."""
    theirs, ours = [], []
    for side in "lr":
        for a, b in _BONES:
            first, last = AT[f"{side}_{a}"], AT[f"{side}_{b}"]
            weight = visibility[:, first] * visibility[:, last] + 1e-6
            theirs.append(np.average(np.linalg.norm(world[:, last] - world[:, first], axis=-1), weights=weight))
            ours.append(np.linalg.norm(SMPL22.offsets[SMPL22.index(f"{side}_{b}")]))
    return float(np.sum(ours) / max(np.sum(theirs), 1e-6))


def lowest(joints: np.ndarray) -> np.ndarray:
    """(T,) metres: what touches the floor, of joints (T, 22, 3)."""
    above = np.array([SOLES.get(j, OTHERS) for j in range(joints.shape[1])])
    return np.asarray((joints[..., 1] - above).min(1))


def path(joints: np.ndarray, before: np.ndarray, low: np.ndarray) -> np.ndarray:
    """(T, 3) metres: the root's path over the floor y = 0.

    Args:
        joints: (T, 22, 3) about the root. before: (T, 3) the root's place as the picture has it, level.
        low: (T,) height of what touches the floor, about the root.
    """
    feet = joints[:, list(SOLES)]
    height = feet[..., 1] - np.array(list(SOLES.values()))
    both = np.maximum(height[1:], height[:-1])
    weight = np.exp(-(both - both.min(1, keepdims=True)) / HOLD)
    weight /= weight.sum(1, keepdims=True)
    steps = -(weight[..., None] * np.diff(feet, axis=0)).sum(1)
    walked = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, 0)])
    slow = BLEND_SECONDS * FPS
    root = walked + _trend(before - walked, slow)
    root[:, 1] = gaussian(-low, 1.0) + jumps(before[:, 1] + low)
    return root


def _trend(x: np.ndarray, sigma: float) -> np.ndarray:
    """Values (T, C) smoothed over `sigma` frames, mirrored about their ends, so that a path keeps its speed there."""
    length = round(3 * sigma)
    inside = min(length, len(x) - 1)
    both = np.concatenate([2 * x[:1] - x[inside:0:-1], x, 2 * x[-1:] - x[-2 : -2 - inside : -1]])
    extended = np.pad(both, [(length - inside, length - inside), (0, 0)], "edge")
    return gaussian(extended, sigma)[length : length + len(x)]


def jumps(height: np.ndarray) -> np.ndarray:
    """(T,) metres by which the body is in the air, from the height (T,) of its lowest point as the picture has it."""
    # a camera's tilt that is not quite right makes the floor climb slowly
    slow = TREND_SECONDS * FPS
    level = height - _trend(height[:, None], slow)[:, 0]
    reach = round(AIR_SECONDS * FPS)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(level, reach, "edge"), 2 * reach + 1)
    floor = gaussian(np.percentile(around, 30, axis=-1), reach / 2)
    rise = level - floor
    return gaussian(np.where(rise > AIR, rise, 0.0), 1.0)


def plant_feet(motion: Motion) -> Motion:
    """The motion with feet that stay where they touch the floor, and nothing below it."""
    feet = motion.joints[:, list(SOLES)].astype(np.float64)
    height = feet[..., 1] - np.array(list(SOLES.values()))
    count = len(motion)
    offsets = np.zeros((count, 2, 3))
    root = gaussian(np.gradient(motion.root[:, [0, 2]].astype(np.float64), axis=0), 3.0) * FPS if count > 1 else 0
    allowed = CONTACT_SPEED + CONTACT_SHARE * np.linalg.norm(root, axis=-1)
    for side in (0, 1):
        foot = feet[:, [side, side + 2]][..., [0, 2]].mean(1)
        low = height[:, [side, side + 2]].min(1)
        speed = gaussian(np.linalg.norm(np.gradient(foot, axis=0), axis=-1) * FPS, 1.0) if count > 1 else np.zeros(1)
        offsets[:, side, ::2] = _hold_foot(foot, (low < CONTACT_HEIGHT) & (speed < allowed))
    parts = [slice(k, k + TOGETHER) for k in range(0, count, TOGETHER)]
    rotations = np.concatenate([shift_feet(motion.rotations[p], motion.root[p], offsets[p]) for p in parts])
    return without_penetration(replace(motion, rotations=rotations))


def _hold_foot(foot: np.ndarray, contact: np.ndarray) -> np.ndarray:
    """(T, 2) metres along x and z by which a foot (T, 2) is moved so that it stays in one place in every contact."""
    keys: list[tuple[float, np.ndarray]] = [(-1.0, np.zeros(2)), (float(len(foot)), np.zeros(2))]
    for first, last in runs_of(contact, 1):
        if last - first >= CONTACT_FRAMES:
            run = np.arange(first, last)
            keys += [(float(t), x) for t, x in zip(run, np.median(foot[run], 0) - foot[run], strict=True)]
    keys.sort(key=lambda key: key[0])
    if len(keys) > 2:  # a foot that stands at an end keeps its offset beyond
        keys[0], keys[-1] = (-1.0, keys[1][1]), (float(len(foot)), keys[-2][1])
    at, values = np.array([t for t, _ in keys]), np.array([x for _, x in keys])
    offset = np.stack([np.interp(np.arange(len(foot)), at, values[:, c]) for c in (0, 1)], -1)
    size = np.linalg.norm(offset, axis=-1, keepdims=True)
    return gaussian(offset * np.minimum(1, MAX_STRIDE / np.maximum(size, 1e-9)), 0.7)
