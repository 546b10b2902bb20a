"""MediaPipe's Face Landmarker: 478 landmarks, 52 blendshapes and the head's matrix of every face in a picture.

Grishchenko et al. 2023, "Blendshapes GHUM: Real-time Monocular Facial Blendshape Prediction" (arXiv 2309.05782).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from avatargpt.speech.audio import silent_stderr
from avatargpt.video.faces import Face
from avatargpt.video.frames import INSTALL
from avatargpt.video.weights import weights
from vqvae import arkit
from vqvae.errors import UserError


class Landmarker:
    """A `FaceEstimator` of at most `count` faces."""

    def __init__(self, count: int = 1) -> None:
        path = weights("face_landmarker.task")
        if find_spec("mediapipe") is None:
            raise UserError(f"faces of films need mediapipe; install it: {INSTALL}")
        with silent_stderr():
            from mediapipe import Image, ImageFormat
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)), running_mode=vision.RunningMode.VIDEO,
                num_faces=count, output_face_blendshapes=True, output_facial_transformation_matrixes=True,
            )  # fmt: skip
            self._finder: Any = vision.FaceLandmarker.create_from_options(options)
        self._image = lambda picture: Image(image_format=ImageFormat.SRGB, data=picture)
        self._last = -1
        self._quiet = 3  # frames whose notices on stderr are left out

    def faces(self, picture: np.ndarray, time: float) -> list[Face]:
        """The faces in a picture (H, W, 3) uint8 RGB."""
        stamp = self._last = max(self._last + 1, round(time * 1000))  # whole milliseconds that rise
        with silent_stderr(self._quiet > 0):
            found = self._finder.detect_for_video(self._image(np.ascontiguousarray(picture)), stamp)
        self._quiet -= 1
        size = np.array([picture.shape[1], picture.shape[0]])
        out = []
        for marks, shapes, matrix in zip(
            found.face_landmarks, found.face_blendshapes, found.facial_transformation_matrixes, strict=True
        ):
            at = np.array([[m.x, m.y] for m in marks]) * size
            values = np.zeros(arkit.COUNT)
            for shape in shapes:
                if shape.category_name in arkit.INDEX:
                    values[arkit.INDEX[shape.category_name]] = shape.score
            out.append(Face(np.concatenate([at.min(0), at.max(0)]), values, head_angles(np.asarray(matrix))))
        return out

    def close(self) -> None:
        """Give back the network's memory."""
        self._finder.close()


def head_angles(matrix: np.ndarray) -> np.ndarray:
    """(3,) yaw, pitch, roll in radians, signs of `FaceMotion`, of a head's matrix (4, 4) in OpenGL's camera axes."""
    r = matrix[:3, :3]
    return np.array([np.arctan2(r[0, 2], r[2, 2]), np.arcsin(np.clip(r[1, 2], -1, 1)), np.arctan2(r[1, 0], r[1, 1])])
