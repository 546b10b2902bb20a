"""Frames of a face to browsers and programs while they are made."""

from __future__ import annotations

from typing import Any

from avatargpt.export.websocket import WebSocketServer
from vqvae import arkit
from vqvae.face import FaceMotion


class WebSocketSender(WebSocketServer):
    """Serves a face: first ``{"fps", "subject", "names", "head"}``, then ``{"frame", "weights", "head"}``: 52 weights
    in the order of `names`, yaw, pitch and roll in radians (`FaceMotion`'s signs).

    Args:
        host, port, options: of `WebSocketServer`. subject: who is moving. fps: frames a second.

    Raises:
        UserError: as `WebSocketServer`.
    """

    def __init__(
        self, host: str, port: int, subject: str = "AvatarGPT", fps: float = 30.0, **options: Any
    ) -> None:  # fmt: skip
        hello = {"fps": fps, "subject": subject, "names": list(arkit.NAMES), "head": list(arkit.HEAD)}
        super().__init__(host, port, hello, **options)

    def send(self, frame: int, motion: FaceMotion) -> None:
        """One frame, `motion` of length 1."""
        weights, head = ([round(float(v), 4) for v in row] for row in (motion.weights[0], motion.head[0]))
        self.hand_out({"frame": frame, "weights": weights, "head": head})
