"""`Poise`: trunk and head that hold still while nobody speaks.

The network of gestures sways on through silence, because the talks that it learnt from hardly have any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.face.audio_model.idle import JawActivity, Span, free_share
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion

SECONDS = 0.35  # time constant of how fast the jaw moves
SILENT, TALKING = 0.12, 0.4  # of it, in weights a second: below nobody speaks, above somebody does
_JAW = arkit.INDEX["jawOpen"]


class Poise:
    """Turns of joints that follow while the face speaks and stay where they are while it does not, frame by frame.

    They begin at rest. The same frames give the same turns, in pieces of any length.
    """

    def __init__(self, fps: float) -> None:
        self._fps, self._speaking = fps, JawActivity(fps, SECONDS)
        self._frame = 0
        self._turns: np.ndarray | None = None

    def __call__(self, joints: np.ndarray, face: FaceMotion, jaw: Sequence[Span] = ()) -> np.ndarray:
        """The turns of the next T frames.

        Args:
            joints: (T, J, 4) as the gestures have them. face: T frames of the same time.
            jaw: seconds in which an instruction moves the jaw (`idle.jaw_spans`), which is no speech.
        """
        out = np.empty_like(joints)
        now = rot.identity(joints.shape[1:-1]) if self._turns is None else self._turns
        for k, (goal, open_) in enumerate(zip(joints, face.weights[:, _JAW], strict=True)):
            speed = self._speaking(float(open_), free_share(jaw, self._frame / self._fps))
            share = float(np.clip((speed - SILENT) / (TALKING - SILENT), 0, 1)) ** 3
            if share > 0:
                now = goal if share == 1 else rot.slerp(now, goal, np.array(share))
            out[k] = now
            self._frame += 1
        self._turns = now
        return out
