"""Where eyes look, in ARKit's eight eyeLook weights, as numbers that have signs."""

from __future__ import annotations

import numpy as np

from vqvae import arkit

# Weights of the positive and of the negative direction: left eye and right eye, sideways and up.
_PLUS = [["eyeLookOutLeft", "eyeLookUpLeft"], ["eyeLookInRight", "eyeLookUpRight"]]
_MINUS = [["eyeLookInLeft", "eyeLookDownLeft"], ["eyeLookOutRight", "eyeLookDownRight"]]
PLUS, MINUS = (np.array([[arkit.INDEX[n] for n in eye] for eye in names]) for names in (_PLUS, _MINUS))  # (2, 2)


def gaze(weights: np.ndarray) -> np.ndarray:
    """(T, 52) -> (T, 2, 2): of the left and the right eye, how far it looks to the person's left and up; 1 = 35
    degrees (`arkit.EYE_DEGREES`)."""
    return np.asarray(weights[:, PLUS] - weights[:, MINUS])


def with_gaze(weights: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """(T, 52) whose eyes look where (T, 2, 2) says."""
    out = weights.copy()
    out[:, PLUS], out[:, MINUS] = np.maximum(looks, 0), np.maximum(-looks, 0)
    return out
