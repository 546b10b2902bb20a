"""What was understood of a rig, and how well our skeleton follows it: for people, and for their programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.posture import degrees
from vqvae.retarget import RigReading, retarget, understand
from vqvae.rig import Rig
from vqvae.skeleton import SMPL22
from vqvae.upright import axis_name

# Bones whose direction is compared: where joints are placed in trunk and collars differs between skeletons, not limbs.
BONES = (
    ("pelvis", "neck"),
    *((f"{s}_{a}", f"{s}_{b}") for s in "lr" for a, b in (
        ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))),
)  # fmt: skip


def upright_places(reading: RigReading) -> np.ndarray:
    """(T, J, 3) the rig's joints in metres of our body, Y up."""
    turn = rot.to_matrix(rot.between(reading.rest.up, np.array([0.0, 1, 0])))
    return np.asarray(reading.places @ turn.T * reading.scale)


def agreement(reading: RigReading, motion: Motion) -> dict[str, dict[str, float]]:
    """Of every bone in `BONES` that the rig has, the mean and the largest angle to ours, degrees."""
    places, joints = upright_places(reading), motion.joints.astype(np.float64)
    out = {}
    for a, b in BONES:
        if a in reading.joints and b in reading.joints:
            theirs = places[:, reading.joints[b]] - places[:, reading.joints[a]]
            angle = degrees(theirs, joints[:, SMPL22.index(b)] - joints[:, SMPL22.index(a)])
            out[f"{a} - {b}"] = {"mean": round(float(angle.mean()), 1), "max": round(float(angle.max()), 1)}
    return out


def report(rig: Rig) -> tuple[dict[str, Any], RigReading, Motion]:
    """What was understood as values of JSON, with the reading and the motion that it gives.

    Raises:
        UserError: as `vqvae.retarget.understand`.
    """
    reading = understand(rig)
    motion = retarget(rig, reading=reading)
    bones = agreement(reading, motion)
    place = {j: n for n, j in reading.joints.items()}
    ours = motion.joints[:, [SMPL22.index(n) for n in reading.joints]]
    theirs = upright_places(reading)[:, list(reading.joints.values())]
    hips = [list(reading.joints).index(n) for n in ("l_hip", "r_hip")]
    from_hips = (x - x[:, hips].mean(1, keepdims=True) for x in (ours, theirs))
    distance = np.linalg.norm(np.subtract(*from_hips), axis=-1)
    evidence = reading.evidence
    values = {
        "confidence": min(evidence.values()), "weakest": min(evidence, key=lambda k: evidence[k]),
        "evidence": evidence, "rest": reading.rest.source,
        "up": axis_name(reading.rest.up), "metres_per_unit": float(f"{reading.scale:.4g}"),
        "frames": len(motion), "fps": round(float(motion.fps), 3), "notes": list(reading.notes),
        "joints": {n: rig.names[j] for n, j in reading.joints.items()},
        "not_found": [n for n in SMPL22.names if n not in reading.joints],
        "not_used": [n for j, n in enumerate(rig.names) if j not in place and n],
        "bones_degrees": bones, "joints_mm": {"mean": round(1000 * float(distance.mean()), 1)},
    }  # fmt: skip
    return values, reading, motion
