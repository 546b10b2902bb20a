"""How a body stands: angles of trunk and limbs, T- and A-poses, and whether it is a body of two legs at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.skeleton import SMPL22

# Bones that both sides have: joint, child.
LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}
# Degrees. A rest pose stands on two legs, alike on both sides; a pose among others is one only if it is a T or an A.
EVEN = 4.0  # by which both sides of a skeleton differ
REST_LEAN, REST_KNEES, REST_UNEVEN = 25.0, 40.0, 15.0
T_LEAN, T_BENT, T_UNEVEN, T_ARMS = 12.0, 12.0, 8.0, (70.0, 145.0)
LEVEL = 60.0  # degrees between the trunk and the line of the legs, from which on the spine is level
FOLDED = 140.0  # from which on trunk and legs lie side by side: bones along one axis, no pose
STRAIGHT = 80.0  # degrees that the knees of a leg which carries bend at most
FRONT_LEGS = 0.7  # of the legs' length, that hands are below the hips where arms are legs
UNLIKE = 0.25  # share by which legs may differ in length
ALWAYS = 0.9  # share of a clip
ACCEPTED = "accepted a body with one head above its hips, two legs of like length and an upright spine"


class Posture(NamedTuple):
    """Angles in degrees, (...) each, whatever the unit and the axes."""

    lean: np.ndarray  # of the trunk against the line from the ankles to the hips
    knees: np.ndarray  # the larger bend
    elbows: np.ndarray
    arms: np.ndarray  # (..., 2) of the upper arms against the trunk: 90 is a T
    uneven: np.ndarray  # the largest between a bone and the mirrored one of the other side
    reach: np.ndarray  # how far hands are below the hips along the legs, in their length
    line: np.ndarray  # (..., 3) direction from the ankles to the hips


def unit(v: np.ndarray) -> np.ndarray:
    """Directions (..., 3) of vectors; zeros stay zeros."""
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))


def turn_to(first: np.ndarray, second: np.ndarray, axes: str) -> np.ndarray:
    """(..., 4) turns whose ``axes[0]`` lies along `first` and whose ``axes[1]`` is as near to `second` as can be."""
    a = unit(first)
    columns = {axes[0]: a, axes[1]: unit(second - (second * a).sum(-1, keepdims=True) * a)}
    missing = next(c for c in "xyz" if c not in columns)
    pair = {"x": "yz", "y": "zx", "z": "xy"}[missing]
    columns[missing] = np.cross(columns[pair[0]], columns[pair[1]])
    return rot.from_matrix(np.stack([columns[c] for c in "xyz"], -1))


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(...) angles between vectors."""
    return np.asarray(np.degrees(np.arccos(np.clip((unit(a) * unit(b)).sum(-1), -1, 1))))


def posture(points: np.ndarray, at: Mapping[str, int]) -> Posture:
    """The posture of joints (..., J, 3), of which `at` names ours."""
    place = {name: points[..., j, :] for name, j in at.items()}
    hips, ankles, shoulders = (place[f"l_{n}"] + place[f"r_{n}"] for n in ("hip", "ankle", "shoulder"))
    line, trunk = unit(hips - ankles), unit(shoulders - hips)
    across = unit(place["l_hip"] - place["r_hip"] + place["l_shoulder"] - place["r_shoulder"])
    bones = {
        f"{s}_{a}": unit(place[f"{s}_{b}"] - place[f"{s}_{a}"])
        for s in "lr" for a, b in LIMBS.items() if f"l_{b}" in at and f"r_{b}" in at
    }  # fmt: skip
    uneven = [
        degrees(right - 2 * across * (right * across).sum(-1, keepdims=True), bones[f"l_{name[2:]}"])
        for name, right in bones.items() if name[0] == "r"
    ]  # fmt: skip
    uneven.append(degrees(place["l_hip"] - place["r_hip"], place["l_shoulder"] - place["r_shoulder"]))
    knees = [degrees(bones[f"{s}_hip"], bones[f"{s}_knee"]) for s in "lr"]
    elbows = [degrees(bones[f"{s}_shoulder"], bones[f"{s}_elbow"]) for s in "lr" if f"{s}_elbow" in bones]
    hands = [place[f"{s}_{'wrist' if f'{s}_wrist' in at else 'elbow'}"] for s in "lr"]
    leg = np.linalg.norm(hips - ankles, axis=-1)
    reach = ((hips - hands[0] - hands[1]) * line).sum(-1) / np.maximum(leg, 1e-9)
    arms = np.stack([degrees(bones[f"{s}_shoulder"], trunk) for s in "lr"], -1)
    bent = np.max(elbows, 0) if elbows else np.zeros(line.shape[:-1])
    return Posture(degrees(trunk, line), np.max(knees, 0), bent, arms, np.max(uneven, 0), reach, line)


def at_rest(seen: Posture, exactly: bool = False) -> np.ndarray:
    """(...) whether somebody stands as in a rest pose: upright, legs about straight, both sides alike; `exactly`: as
    nobody does by chance."""
    alike = (seen.lean <= REST_LEAN) & (seen.knees <= REST_KNEES) & (seen.uneven <= REST_UNEVEN)
    return alike & ((seen.uneven <= EVEN) | in_t_or_a(seen)) if exactly else alike


def in_t_or_a(seen: Posture) -> np.ndarray:
    """(...) whether it is a T- or A-pose, and not a moment of a movement that happens to be even."""
    spread = (seen.arms >= T_ARMS[0]) & (seen.arms <= T_ARMS[1])
    straight = (seen.knees <= T_BENT) & (seen.elbows <= T_BENT)
    return (seen.lean <= T_LEAN) & straight & spread.all(-1) & (seen.uneven <= T_UNEVEN)


def check_human(at: Mapping[str, int], rest_joints: np.ndarray, clip: np.ndarray, bound: bool) -> dict[str, float]:
    """What speaks for a human body, from 0 to 1, in a rest pose (J, 3) and a clip (T, J, 3) of the same unit.

    Args:
        bound: the rest pose is the one of a mesh, so it stands as the figure does; others may be no pose, and count
            against a body only where the whole clip shows the same.

    Raises:
        UserError: says what was seen, where it is no body on two legs.
    """
    rest, moving = posture(rest_joints, at), posture(clip, at)
    lengths = [_leg(rest_joints, at, side) for side in "lr"]
    unlike = abs(lengths[0] - lengths[1]) / max(*lengths, 1e-12)
    if unlike > UNLIKE:
        raise UserError(f"no human body: the legs' lengths differ by {unlike:.0%}; {ACCEPTED}")
    stands = bound or bool(at_rest(rest))
    is_pose = stands or bool((rest.lean < FOLDED) & (rest.uneven <= REST_UNEVEN))
    level = (moving.lean > LEVEL) & (moving.lean < FOLDED) & (moving.knees <= STRAIGHT)
    rest_level = is_pose and rest.lean > LEVEL and (bound or level.mean() >= ALWAYS)
    if rest_level or (not stands and (level & (moving.reach >= FRONT_LEGS)).mean() >= ALWAYS):
        seen = rest if rest_level else Posture(*(np.asarray(np.median(v, 0)) for v in moving))
        where = "at rest" if rest_level else "in the clip"
        hands = f", the hands reach {seen.reach:.0%} of the way from the hips to the feet"
        raise UserError(
            f"no human body: {where} the spine is {seen.lean:.0f} degrees from upright"
            f"{hands if seen.reach >= FRONT_LEGS else ''}; {ACCEPTED}"
        )
    names = len(at.keys() & set(SMPL22.names)) / len(SMPL22.names)
    figures = {"joints with names that are known": names, "legs of like length": 1 - unlike / UNLIKE / 2}
    if is_pose:
        figures["an upright spine at rest"] = float(np.clip(1.2 - rest.lean / 50, 0.1, 1))
    else:
        upright = float((moving.lean < LEVEL).mean())
        figures["an upright spine in the clip"] = 0.5 + upright / 2
    return {k: round(v, 2) for k, v in figures.items()}


def _leg(joints: np.ndarray, at: Mapping[str, int], side: str) -> float:
    places = [joints[at[f"{side}_{n}"]] for n in ("hip", "knee", "ankle")]
    return float(np.linalg.norm(places[1] - places[0]) + np.linalg.norm(places[2] - places[1]))
