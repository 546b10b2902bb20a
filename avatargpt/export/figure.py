"""The shape of our own humanoid: tapered capsules fixed to the joints, shared by the renderer and the .glb mesh.

The hands of a body are mittens with three fingers that do not bend; those of a gesture have a palm and the joints of
five fingers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vqvae.skeleton import FINGER_NAMES, SMPL52, finger_ends, mirror_name

# sRGB, 0-255. The left side of the body is orange, the right side blue, everywhere.
PALETTE: dict[str, tuple[int, int, int]] = {
    "skin": (233, 184, 150), "hair": (74, 52, 42), "eye": (38, 34, 40), "shirt": (126, 136, 152),
    "shorts": (74, 82, 98), "l_arm": (240, 138, 46), "r_arm": (58, 126, 220), "l_leg": (214, 106, 34),
    "r_leg": (40, 98, 190), "l_shoe": (150, 66, 16), "r_shoe": (22, 58, 128),
}  # fmt: skip

_Point = tuple[float, float, float]
# joint, start and end in the frame of that joint (metres, T-pose axes), radii at start and end, colour.
# Only the middle and the left side (x > 0); the right side is mirrored. "arm", "leg", "shoe" take the side's colour.
_PARTS: list[tuple[str, _Point, _Point, float, float, str]] = [
    ("pelvis", (0.062, -0.045, -0.018), (0.052, 0.080, -0.012), 0.094, 0.081, "shorts"),
    ("spine1", (0.052, -0.050, 0.003), (0.050, 0.020, 0.006), 0.081, 0.080, "shirt"),
    ("spine1", (0.050, 0.020, 0.006), (0.060, 0.130, 0.014), 0.080, 0.086, "shirt"),
    ("spine2", (0.060, -0.012, -0.003), (0.072, 0.087, -0.002), 0.086, 0.093, "shirt"),
    ("spine3", (0.072, 0.030, -0.003), (0.094, 0.124, -0.013), 0.093, 0.070, "shirt"),
    ("spine3", (-0.094, 0.124, -0.013), (0.094, 0.124, -0.013), 0.068, 0.068, "shirt"),
    ("pelvis", (0.0, -0.070, -0.020), (0.0, 0.080, -0.012), 0.088, 0.083, "shorts"),
    ("spine1", (0.0, -0.050, 0.003), (0.0, 0.130, 0.014), 0.083, 0.092, "shirt"),
    ("spine2", (0.0, -0.012, -0.003), (0.0, 0.087, -0.002), 0.092, 0.098, "shirt"),
    ("spine3", (0.0, 0.030, -0.003), (0.0, 0.110, -0.010), 0.098, 0.078, "shirt"),
    ("neck", (0.0, -0.045, -0.008), (0.0, 0.085, 0.022), 0.054, 0.048, "skin"),
    ("head", (0.0, 0.012, -0.006), (0.0, 0.078, -0.030), 0.066, 0.092, "skin"),
    ("head", (0.0, 0.028, 0.060), (0.0, 0.042, 0.064), 0.013, 0.009, "skin"),
    ("head", (-0.012, 0.104, -0.048), (0.012, 0.104, -0.048), 0.089, 0.089, "hair"),
    ("head", (0.0, 0.030, -0.066), (0.0, 0.060, -0.066), 0.060, 0.070, "hair"),
    ("head", (0.0, 0.136, 0.006), (0.0, 0.144, -0.020), 0.055, 0.055, "hair"),
    ("head", (0.028, 0.060, 0.051), (0.028, 0.060, 0.051), 0.0125, 0.0125, "eye"),
    ("l_collar", (0.010, 0.004, 0.006), (0.118, 0.026, -0.006), 0.058, 0.058, "shirt"),
    ("l_shoulder", (0.000, -0.002, 0.0), (0.070, 0.0, 0.0), 0.060, 0.053, "arm"),
    ("l_shoulder", (0.060, 0.0, 0.0), (0.260, 0.0, 0.0), 0.053, 0.040, "arm"),
    ("l_elbow", (0.0, 0.0, 0.0), (0.080, 0.0, 0.002), 0.040, 0.042, "arm"),
    ("l_elbow", (0.080, 0.0, 0.002), (0.250, 0.0, 0.0), 0.042, 0.028, "arm"),
    ("l_wrist", (-0.012, 0.0, 0.0), (0.030, -0.002, 0.0), 0.026, 0.026, "skin"),
    ("l_wrist", (0.030, -0.002, 0.014), (0.090, -0.006, 0.020), 0.021, 0.018, "skin"),
    ("l_wrist", (0.030, -0.002, -0.014), (0.085, -0.006, -0.018), 0.021, 0.017, "skin"),
    ("l_wrist", (0.090, -0.006, 0.018), (0.158, -0.016, 0.014), 0.017, 0.012, "skin"),
    ("l_wrist", (0.088, -0.006, 0.000), (0.166, -0.017, 0.000), 0.017, 0.012, "skin"),
    ("l_wrist", (0.085, -0.006, -0.017), (0.148, -0.016, -0.014), 0.016, 0.011, "skin"),
    ("l_wrist", (0.020, -0.006, 0.020), (0.072, -0.016, 0.052), 0.016, 0.011, "skin"),
    ("l_hip", (0.004, -0.004, -0.004), (0.0, -0.140, 0.006), 0.086, 0.081, "shorts"),
    ("l_hip", (0.0, -0.160, 0.006), (0.0, -0.392, 0.0), 0.076, 0.053, "leg"),
    ("l_knee", (0.0, 0.0, 0.002), (0.0, -0.120, -0.014), 0.052, 0.055, "leg"),
    ("l_knee", (0.0, -0.120, -0.014), (0.0, -0.405, -0.004), 0.055, 0.036, "leg"),
    ("l_ankle", (0.0, -0.010, -0.006), (0.002, -0.030, 0.060), 0.040, 0.038, "shoe"),
    ("l_ankle", (0.0, -0.032, -0.042), (0.004, -0.036, 0.120), 0.036, 0.032, "shoe"),
    ("l_foot", (-0.012, 0.028, -0.010), (-0.010, 0.024, 0.050), 0.030, 0.025, "shoe"),
    ("l_foot", (0.020, 0.028, -0.015), (0.016, 0.024, 0.036), 0.029, 0.024, "shoe"),
]
# A palm whose fingers bend: from the wrist to each knuckle, the heel of the hand, the ball of the thumb.
_PALM: list[tuple[str, _Point, _Point, float, float, str]] = [
    ("l_wrist", (-0.012, 0.0, 0.0), (0.020, -0.002, 0.0), 0.026, 0.023, "skin"),
    ("l_wrist", (0.020, -0.002, 0.012), (0.088, -0.001, 0.025), 0.017, 0.0115, "skin"),
    ("l_wrist", (0.018, -0.002, 0.004), (0.090, 0.001, 0.006), 0.018, 0.0120, "skin"),
    ("l_wrist", (0.018, -0.002, -0.006), (0.085, -0.001, -0.013), 0.018, 0.0115, "skin"),
    ("l_wrist", (0.020, -0.003, -0.013), (0.077, -0.005, -0.030), 0.016, 0.0100, "skin"),
]
# Metres at a finger's three joints and its tip.
_FINGER_RADII = {
    "thumb": (0.0125, 0.0105, 0.0095, 0.0075), "index": (0.0100, 0.0085, 0.0075, 0.0062),
    "middle": (0.0102, 0.0088, 0.0077, 0.0063), "ring": (0.0097, 0.0083, 0.0073, 0.0060),
    "pinky": (0.0085, 0.0072, 0.0063, 0.0053),
}  # fmt: skip


def _with_fingers() -> list[tuple[str, _Point, _Point, float, float, str]]:
    parts = [p for p in _PARTS if p[0] != "l_wrist"] + _PALM
    for name in FINGER_NAMES[: len(FINGER_NAMES) // 2]:
        end, k = finger_ends(SMPL52.index(name)), int(name[-1])
        x, y, z = (float(v) for v in end)
        radii = _FINGER_RADII[name[2:-1]]
        parts.append((name, (0.0, 0.0, 0.0), (x, y, z), radii[k - 1], radii[k], "skin"))
    return parts


@dataclass(frozen=True)
class Figure:
    """P tapered capsules.

    Attributes:
        joint: (P,) index of the joint that carries it; with fingers, of `SMPL52`.
        ends: (P, 2, 3) end points in that joint's frame, metres.
        radii: (P, 2) metres.
        colours: (P, 3) sRGB in 0..1.
        eyes: (P,) True for the eyes.
    """

    joint: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    colours: np.ndarray
    eyes: np.ndarray

    def posed(self, positions: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        """End points in the world: positions (..., J, 3), global matrices (..., J, 3, 3) -> (..., P, 2, 3)."""
        turned = np.einsum("...pij,pkj->...pki", matrices[..., self.joint, :, :], self.ends)
        return positions[..., self.joint, None, :] + turned


@lru_cache(maxsize=2)
def figure(fingers: bool = False) -> Figure:
    """The capsules of the whole body, with hands of five fingers or mittens."""
    joint, ends, radii, colours, eyes = [], [], [], [], []
    for name, a, b, ra, rb, colour in _with_fingers() if fingers else _PARTS:
        for side in (1, -1):
            paired = name.startswith("l_") or min(a[0], b[0]) > 0
            if side < 0 and not paired:
                continue
            key = ("l_" if side > 0 else "r_") + colour if colour in ("arm", "leg", "shoe") else colour
            joint.append(SMPL52.index(name if side > 0 else mirror_name(name)))
            ends.append(np.array([a, b]) * [side, 1, 1])
            radii.append((ra, rb))
            colours.append(PALETTE[key])
            eyes.append(colour == "eye")
    return Figure(np.array(joint), np.array(ends), np.array(radii), np.array(colours) / 255.0, np.array(eyes))
