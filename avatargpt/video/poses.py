"""What a pose estimator is, and which there are.

An estimator looks at the frames of a film one after another and says, for each, where people are. Another one is a
file: a class with `people`, and a row of `ESTIMATORS` (CONTRIBUTING.md).
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import NamedTuple, Protocol

import numpy as np

from vqvae.errors import UserError

# the 33 landmarks of BlazePose; left and right are the person's own
LANDMARKS = (
    "nose", "l_eye_inner", "l_eye", "l_eye_outer", "r_eye_inner", "r_eye", "r_eye_outer", "l_ear", "r_ear",
    "l_mouth", "r_mouth", "l_shoulder", "r_shoulder", "l_elbow", "r_elbow", "l_wrist", "r_wrist", "l_pinky", "r_pinky",
    "l_index", "r_index", "l_thumb", "r_thumb", "l_hip", "r_hip", "l_knee", "r_knee", "l_ankle", "r_ankle", "l_heel",
    "r_heel", "l_toe", "r_toe",
)  # fmt: skip
AT = {name: k for k, name in enumerate(LANDMARKS)}
MIRROR = [AT.get({"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:], k) for name, k in AT.items()]


class Pose(NamedTuple):
    """One person in one frame.

    The world's axes are the camera's: right of the picture, up, towards the camera; metres from the middle of the hips.
    """

    track: int  # the same number, the same person
    score: float  # 0..1 that there is a person
    points: np.ndarray  # (33, 2) pixels of the picture, x to the right, y down
    world: np.ndarray  # (33, 3) metres
    visible: np.ndarray  # (33,) 0..1 that a landmark is in the picture and not hidden


class PoseEstimator(Protocol):
    """Finds people in the frames of one film, which come in order."""

    def people(self, picture: np.ndarray, time: float) -> list[Pose]:
        """The people in a picture (H, W, 3) uint8 RGB at that second of the film."""
        ...


# name -> ``module:class``, which is made without arguments
ESTIMATORS = {
    "mediapipe": "avatargpt.video.blazepose:full",
    "mediapipe-heavy": "avatargpt.video.blazepose:heavy",
    "mediapipe-lite": "avatargpt.video.blazepose:lite",
}


def check(name: str) -> None:
    """Raises UserError for a name that is unknown."""
    if name not in ESTIMATORS:
        raise UserError(f"no pose estimator called {name}; accepted {', '.join(ESTIMATORS)}")


def estimator(name: str) -> PoseEstimator:
    """A fresh estimator for one film. Raises UserError for a name that is unknown, or what it needs is missing."""
    check(name)
    finder: PoseEstimator = resolve_name(ESTIMATORS[name])()
    return finder
