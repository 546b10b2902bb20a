"""How often a body is bent further than joints go."""

from __future__ import annotations

import numpy as np

from vqvae import rotations as rot
from vqvae.skeleton import SMPL22

# Ranges of motion of healthy adults (American Academy of Orthopaedic Surgeons 1965; Kapandji, The Physiology of the
# Joints) plus 10 degrees for markers and retargeting. Rotation vectors of the local rotations, degrees, of the left
# side; x: flexion (knee +, hip -), y of the elbow: flexion -. The shoulder is left out: with its collar it reaches
# every direction but straight back, and its long-axis turn is not separable from that of the elbow.
_KNEE = ((-10.0, 165.0), (-15.0, 15.0), (-15.0, 15.0))
HIP_ANGLE, ANKLE_ANGLE, COLLAR_ANGLE, WRIST_ANGLE = 145.0, 70.0, 50.0, 110.0
ELBOW_BACK, ELBOW_BEND = 10.0, 165.0
NECK_ANGLE, SPINE_ANGLE = 100.0, 110.0
HIP_BACK = 45.0  # extension


def beyond_limits(rotations: np.ndarray) -> dict[str, np.ndarray]:
    """Frames in which a joint is outside its range.

    Args:
        rotations: (T, 22, 4) local unit quaternions w, x, y, z.

    Returns:
        joint group (``knee``, ``elbow``, ``hip``, ``ankle``, ``collar``, ``wrist``, ``neck``, ``spine``) -> (T,) bool.
    """
    q = np.asarray(rotations, np.float64)
    if q.ndim != 3 or q.shape[1:] != (22, 4):
        raise ValueError(f"rotations {q.shape}; accepted (T, 22, 4)")
    vectors = np.rad2deg(rot.to_axis_angle(q))
    size = np.linalg.norm(vectors, axis=-1)

    def of(name: str) -> list[int]:
        return [SMPL22.index(f"l_{name}"), SMPL22.index(f"r_{name}")]

    knees = vectors[:, of("knee")]
    outside = [(knees[..., k] < low) | (knees[..., k] > high) for k, (low, high) in enumerate(_KNEE)]
    elbow = vectors[:, of("elbow")] * np.array([1.0, -1.0])[:, None]
    spine = _angle(_chain(q, ("spine1", "spine2", "spine3")))
    neck = _angle(_chain(q, ("neck", "head")))
    return {
        "knee": np.any(outside, axis=(0, 2)),
        # The left forearm bends about -y, the right one about +y; the other way round is over-extension.
        "elbow": ((elbow[..., 1] > ELBOW_BACK) | (size[:, of("elbow")] > ELBOW_BEND)).any(1),
        "hip": ((size[:, of("hip")] > HIP_ANGLE) | (vectors[:, of("hip"), 0] > HIP_BACK)).any(1),
        "ankle": (size[:, of("ankle")] > ANKLE_ANGLE).any(1),
        "collar": (size[:, of("collar")] > COLLAR_ANGLE).any(1),
        "wrist": (size[:, of("wrist")] > WRIST_ANGLE).any(1),
        "neck": neck > NECK_ANGLE,
        "spine": spine > SPINE_ANGLE,
    }


def _chain(q: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    out = q[:, SMPL22.index(names[0])]
    for name in names[1:]:
        out = rot.multiply(out, q[:, SMPL22.index(name)])
    return out


def _angle(q: np.ndarray) -> np.ndarray:
    return np.asarray(np.rad2deg(np.linalg.norm(rot.to_axis_angle(q), axis=-1)))


def limit_violations(rotations: np.ndarray) -> float:
    """Share of frames in which any joint is outside its range (`beyond_limits`), 0..1."""
    return float(np.any(list(beyond_limits(rotations).values()), axis=0).mean())
