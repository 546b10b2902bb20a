"""How the head of a face moves while somebody speaks: as the gesture network moves it, words off.

Not live: the network hears further ahead than the face does, whose frames would have to wait for it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.avatar.compose import with_head
from avatargpt.gesture.driver import NAME
from avatargpt.resources import PACKAGE

if TYPE_CHECKING:
    from avatargpt.face.audio_model.blinks import Span
    from avatargpt.gesture.performer import GesturePerformer
    from vqvae.face import FaceMotion

Sound = str | os.PathLike[str] | np.ndarray


class HeadMover:
    """Moves the heads of faces that were made from one sound.

    Args:
        gestures: the network at work. audio: the sound, a file or samples at `rate`.
    """

    def __init__(self, gestures: GesturePerformer, audio: Sound, rate: int = 16_000) -> None:
        self._gestures, self._audio, self._rate = gestures, audio, rate

    @classmethod
    def load(cls, model: Path | None, audio: Sound, rate: int = 16_000) -> HeadMover | None:
        """From a model folder, None = the packaged weights; None where it has no gesture network.

        Raises:
            UserError: damaged weights.
        """
        from avatargpt.gesture.performer import GesturePerformer

        root = PACKAGE / "weights" if model is None else model
        if not any((place / f"{NAME}.json").is_file() for place in (root / NAME, root)):
            return None
        return cls(GesturePerformer.load(model), audio, rate)

    def __call__(
        self, face: FaceMotion, seed: int = 0, eye_contact: float = 0.0, calm: Sequence[Span] = ()
    ) -> FaceMotion:
        """The face with that head, and on it the turns that it had: told nods and idle movements; see `with_head`.

        Args:
            seed: of how the network's motion is drawn. eye_contact, calm: see `avatargpt.avatar.compose.composed`.

        Raises:
            UserError: a network that needs the whole sound.
        """
        return with_head(face, self._gestures.perform(self._audio, self._rate, seed=seed), eye_contact, calm)
