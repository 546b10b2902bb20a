"""The judge that a learnt one has to beat: linear regression from what a clip is like to its caption's vector."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.measures import kinematic_features
from vqvae.errors import UserError

RIDGES = (1.0, 10.0, 100.0, 1000.0)
HELD = 10  # every so manieth row chooses the ridge


class LinearJudge:
    """Ridge regression (Hoerl & Kennard 1970) from `kinematic_features` to unit sentence vectors.

    The ridge is the one of `RIDGES` with the smallest error on every tenth row; the fit is then made on all.

    Args:
        joints: (T, 22, 3) metres each, at `fps`. sentences: (N, D) vector of a caption of each.

    Raises:
        UserError: fewer than 20 clips.
    """

    def __init__(self, joints: list[np.ndarray], sentences: np.ndarray, fps: float = 20.0) -> None:
        if len(joints) < 2 * HELD:
            raise UserError(f"linear regression on {len(joints)} clips; at least {2 * HELD} are needed")
        self.fps = fps
        x, y = self._rows(joints), np.asarray(sentences, np.float64)
        self.mean, self.std = x.mean(0), x.std(0) + 1e-6
        x = (x - self.mean) / self.std
        held = np.arange(len(x)) % HELD == 0
        errors = []
        for ridge in RIDGES:
            weight, centre = self._fit(x[~held], y[~held], ridge)
            errors.append(((x[held] @ weight + centre - y[held]) ** 2).mean())
        self.ridge = RIDGES[int(np.argmin(errors))]
        self.weight, self.centre = self._fit(x, y, self.ridge)

    def _rows(self, joints: list[np.ndarray]) -> np.ndarray:
        return np.stack([kinematic_features(j, self.fps) for j in joints])

    @staticmethod
    def _fit(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
        centre = y.mean(0)
        square = x.T @ x + ridge * np.eye(x.shape[1])
        return np.linalg.solve(square, x.T @ (y - centre)), centre

    def motions(self, joints: list[np.ndarray]) -> np.ndarray:
        """(T, 22, 3) metres each -> (N, D) unit vectors among those of sentences."""
        found = (self._rows(joints) - self.mean) / self.std @ self.weight + self.centre
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12))
