"""Frames of a body with fingers to browsers and programs while they are made."""

from __future__ import annotations

from typing import Any

import numpy as np

from avatargpt.export.websocket import WebSocketServer
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52

DIGITS = 5  # of what is sent: a hundredth of a millimetre, a thousandth of a degree


class BodySender(WebSocketServer):
    """Serves a body: first ``{"fps", "subject", "joints", "fingers", "parents", "offsets"}``, then for each frame
    ``{"frame", "root", "rotations", "fingers"}``.

    `joints` are the names of 22 joints, `fingers` of 30; `parents` and `offsets` (metres from the parent in the T-pose,
    Y up, facing +Z, left = +X) are of all 52, in that order. `root` is where the pelvis is, metres; `rotations` (22)
    and `fingers` (30) are local unit quaternions w, x, y, z, identity = T-pose; without fingers these are missing.

    Args:
        host, port, options: of `WebSocketServer`. subject: who is moving. fps: frames a second.

    Raises:
        UserError: as `WebSocketServer`.
    """

    def __init__(
        self, host: str, port: int, subject: str = "AvatarGPT", fps: float = 30.0, **options: Any
    ) -> None:  # fmt: skip
        hello = {
            "fps": fps, "subject": subject, "joints": list(SMPL22.names), "fingers": list(FINGER_NAMES),
            "parents": [int(p) for p in SMPL52.parents], "offsets": _numbers(SMPL52.offsets),
        }  # fmt: skip
        super().__init__(host, port, hello, **options)

    def send(self, frame: int, motion: Motion) -> None:
        """One frame, `motion` of length 1."""
        row = {"frame": frame, "root": _numbers(motion.root[0]), "rotations": _numbers(motion.rotations[0])}
        self.hand_out(row if motion.fingers is None else row | {"fingers": _numbers(motion.fingers[0])})


def _numbers(values: np.ndarray) -> Any:
    return np.round(np.asarray(values, np.float64), DIGITS).tolist()
