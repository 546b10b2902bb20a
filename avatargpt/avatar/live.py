"""The recording of a live avatar."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from avatargpt.export.avatar import AvatarMotion
from avatargpt.gesture.stream import Live
from avatargpt.speech.live import NO_SOUND
from vqvae import face as faces
from vqvae.errors import UserError
from vqvae.motion import concatenate


def join_pieces(pieces: Iterable[AvatarMotion], sound: Path | None = None) -> AvatarMotion:
    """Consecutive pieces as one. Raises UserError where there is none."""
    parts = list(pieces)
    if not parts:
        raise UserError(NO_SOUND)
    body, face = concatenate([p.body for p in parts]), faces.concatenate([p.face for p in parts])
    return AvatarMotion(body, face, sound, parts[0].caption, parts[0].notes)


@dataclass
class AvatarTake(Live):
    """The state of a live run of an avatar, and its pieces where these are recorded."""

    sound: Path | None = None

    def motion(self) -> AvatarMotion:
        """The recorded clip. Raises UserError where there is none."""
        return join_pieces(self.pieces, self.sound)
