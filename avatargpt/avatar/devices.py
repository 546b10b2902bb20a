"""Where a model computes, as calls of the public API: what `avatargpt.api.AvatarGPT` inherits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import torch

    from avatargpt.face.tokens import FaceTokens
    from avatargpt.lm.loaded import LoadedModel
    from avatargpt.lm.scorer import TextMotionScorer


class DeviceCalls:
    """Moves a loaded model.

    Attributes:
        loaded: the network with its tokenizers. face_tokens: its tasks for faces.
    """

    loaded: LoadedModel
    face_tokens: FaceTokens

    @property
    def motion_scorer(self) -> TextMotionScorer | None:
        """Tells how well a motion fits a text."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.loaded.device

    def to(self, device: str | torch.device) -> Self:
        """Move what answers in whole clips: language models, motion tokenizers, sentence encoder, scorer; itself.

        What goes frame by frame beside live sound (speech to face, gestures) and the readers of words stay on the CPU.

        Args:
            device: ``cpu``, ``cuda``, ``cuda:1``, ... The same seeds may give other motion where rounding differs.

        Raises:
            UserError: no such device here.
        """
        self.loaded.to(device)
        apart = vars(self.face_tokens).get("loaded", self.loaded)  # the small model of the face, where it is read yet
        if apart is not self.loaded:
            apart.to(device)
        if self.motion_scorer is not None:
            self.motion_scorer.network.to(self.device)
        return self
