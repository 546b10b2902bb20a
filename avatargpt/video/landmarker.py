"""MediaPipe's Face Landmarker: 478 landmarks and 52 blendshapes of every face in a picture.

Grishchenko et al. 2023, "Blendshapes GHUM: Real-time Monocular Facial Blendshape Prediction" (arXiv 2309.05782).
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from avatargpt.speech.audio import silent_stderr
from avatargpt.video.canonical import BUNDLE, pose
from avatargpt.video.faces import CERTAINTY, Face
from avatargpt.video.frames import FOCAL, INSTALL
from avatargpt.video.weights import weights
from vqvae import arkit
from vqvae.errors import UserError

# landmarks of the 478 that stand for the 68 of iBUG 300-W in their order (`avatargpt.face.portrait`), and the irises
IBUG = (
    127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356,  # jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 75, 97, 2, 326, 305,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,  # lips
    468, 473,
)  # fmt: skip


class Marks(NamedTuple):
    """The landmarks of one face in one picture."""

    points: np.ndarray  # (70, 2) pixels, iBUG's order and the irises
    head: np.ndarray  # (3,) yaw, pitch, roll against the camera, radians, signs of `FaceMotion`


class Landmarker:
    """A `FaceEstimator`; arguments as of `avatargpt.video.faces.estimator`."""

    def __init__(self, count: int = 1, focal: float = FOCAL, certainty: float = CERTAINTY) -> None:
        path = weights(BUNDLE)
        if find_spec("mediapipe") is None:
            raise UserError(f"faces of films need mediapipe; install it: {INSTALL}")
        with silent_stderr():
            from mediapipe import Image, ImageFormat
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)), running_mode=vision.RunningMode.VIDEO,
                num_faces=count, min_face_detection_confidence=certainty, output_face_blendshapes=True,
            )  # fmt: skip
            self._finder: Any = vision.FaceLandmarker.create_from_options(options)
        self._image = lambda picture: Image(image_format=ImageFormat.SRGB, data=picture)
        self._focal, self._last = focal, -1
        self._quiet = 3  # frames whose notices on stderr are left out

    def faces(self, picture: np.ndarray, time: float) -> list[Face]:
        """The faces in a picture (H, W, 3) uint8 RGB."""
        detection = self._detect(picture, time)
        out = []
        for at, shapes in zip(self._places(detection, picture), detection.face_blendshapes, strict=True):
            values = np.zeros(arkit.COUNT)
            for shape in shapes:
                if shape.category_name in arkit.INDEX:
                    values[arkit.INDEX[shape.category_name]] = shape.score
            turn, mouth = self._pose(at, picture)
            box = np.concatenate([at[:, :2].min(0), at[:, :2].max(0)])
            out.append(Face(box, values, head_angles(turn), mouth))
        return out

    def marks(self, picture: np.ndarray, time: float) -> list[Marks]:
        """The landmarks of the faces in a picture (H, W, 3) uint8 RGB at that second of a film, the largest first."""
        places = self._places(self._detect(picture, time), picture)
        places.sort(key=lambda at: -float(np.ptp(at[:, :2], axis=0).max()))
        return [Marks(at[list(IBUG), :2], head_angles(self._pose(at, picture)[0])) for at in places]

    def _detect(self, picture: np.ndarray, time: float) -> Any:
        stamp = self._last = max(self._last + 1, round(time * 1000))  # whole milliseconds that rise
        with silent_stderr(self._quiet > 0):
            detection = self._finder.detect_for_video(self._image(np.ascontiguousarray(picture)), stamp)
        self._quiet -= 1
        return detection

    def _places(self, detection: Any, picture: np.ndarray) -> list[np.ndarray]:
        """(478, 3) pixels of each face."""
        height, width = picture.shape[:2]
        marked = (np.array([[m.x, m.y, m.z] for m in marks]) for marks in detection.face_landmarks)
        return [at * [width, height, width] for at in marked]

    def _pose(self, at: np.ndarray, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return pose(at, (picture.shape[1], picture.shape[0]), self._focal)

    def close(self) -> None:
        """Give back the network's memory."""
        self._finder.close()


def head_angles(turn: np.ndarray) -> np.ndarray:
    """(3,) yaw, pitch, roll in radians, signs of `FaceMotion`, of a head's rotation (3, 3) in the camera's axes."""
    return np.array([
        np.arctan2(turn[0, 2], turn[2, 2]), np.arcsin(np.clip(turn[1, 2], -1, 1)), np.arctan2(turn[1, 0], turn[1, 1])
    ])  # fmt: skip
