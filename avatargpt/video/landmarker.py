"""MediaPipe's Face Landmarker: 478 landmarks and 52 blendshapes of every face in a picture.

Grishchenko et al. 2023, "Blendshapes GHUM: Real-time Monocular Facial Blendshape Prediction" (arXiv 2309.05782).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from avatargpt.speech.audio import silent_stderr
from avatargpt.video.camera import FOCAL
from avatargpt.video.canonical import BUNDLE, pose
from avatargpt.video.faces import Face
from avatargpt.video.frames import INSTALL
from avatargpt.video.weights import weights
from vqvae import arkit
from vqvae.errors import UserError


class Landmarker:
    """A `FaceEstimator` of at most `count` faces; `focal` in lengths of the picture's longer side."""

    def __init__(self, count: int = 1, focal: float = FOCAL) -> None:
        path = weights(BUNDLE)
        if find_spec("mediapipe") is None:
            raise UserError(f"faces of films need mediapipe; install it: {INSTALL}")
        with silent_stderr():
            from mediapipe import Image, ImageFormat
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)), running_mode=vision.RunningMode.VIDEO,
                num_faces=count, output_face_blendshapes=True,
            )  # fmt: skip
            self._finder: Any = vision.FaceLandmarker.create_from_options(options)
        self._image = lambda picture: Image(image_format=ImageFormat.SRGB, data=picture)
        self._focal = focal
        self._last = -1
        self._quiet = 3  # frames whose notices on stderr are left out

    def faces(self, picture: np.ndarray, time: float) -> list[Face]:
        """The faces in a picture (H, W, 3) uint8 RGB."""
        stamp = self._last = max(self._last + 1, round(time * 1000))  # whole milliseconds that rise
        with silent_stderr(self._quiet > 0):
            found = self._finder.detect_for_video(self._image(np.ascontiguousarray(picture)), stamp)
        self._quiet -= 1
        height, width = picture.shape[:2]
        out = []
        for marks, shapes in zip(found.face_landmarks, found.face_blendshapes, strict=True):
            at = np.array([[m.x, m.y, m.z] for m in marks]) * [width, height, width]
            values = np.zeros(arkit.COUNT)
            for shape in shapes:
                if shape.category_name in arkit.INDEX:
                    values[arkit.INDEX[shape.category_name]] = shape.score
            turn, mouth = pose(at, (width, height), self._focal)
            box = np.concatenate([at[:, :2].min(0), at[:, :2].max(0)])
            out.append(Face(box, values, head_angles(turn), mouth))
        return out

    def close(self) -> None:
        """Give back the network's memory."""
        self._finder.close()


def head_angles(turn: np.ndarray) -> np.ndarray:
    """(3,) yaw, pitch, roll in radians, signs of `FaceMotion`, of a head's rotation (3, 3) in the camera's axes."""
    return np.array([
        np.arctan2(turn[0, 2], turn[2, 2]), np.arcsin(np.clip(turn[1, 2], -1, 1)), np.arctan2(turn[1, 0], turn[1, 1])
    ])  # fmt: skip
