"""What verbs need of a model; `avatargpt.AvatarGPT` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from avatargpt.avatar.composition import Composer
    from avatargpt.avatar.pipeline import AvatarPipeline, BodyClip
    from avatargpt.body.tasks import BodyTasks
    from avatargpt.face.pipeline import FacePipeline
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.lm.loaded import LoadedModel
    from vqvae.face import FaceMotion


class Voices(Protocol):
    """What speech takes: the networks of faces and gestures, and the body of a text."""

    @property
    def gestures(self) -> GesturePipeline:
        """Speech to gestures."""

    @property
    def avatars(self) -> AvatarPipeline:
        """Speech to avatars."""

    def acted(self, text: str, seed: int) -> BodyClip:
        """The body of a text, with what it says of the face."""


class Model(Protocol):
    """What bodies take, and descriptions."""

    loaded: LoadedModel

    @property
    def facial(self) -> LoadedModel:
        """The network with the face's tokens."""

    @property
    def body(self) -> BodyTasks:
        """The tasks for bodies."""

    @property
    def composer(self) -> Composer:
        """Texts to bodies with faces."""

    @property
    def faces(self) -> FacePipeline:
        """Instructions and speech to faces."""

    def describe_face(self, motions: Sequence[FaceMotion]) -> Any:
        """A sentence of each face."""

    def feeling(self, motions: Sequence[FaceMotion]) -> Any:
        """The feeling of each face."""

    def face_in_between(
        self, start: FaceMotion, end: FaceMotion, seconds: float, text: str, seed: int, best_of: int | None
    ) -> FaceMotion:
        """The middle between two faces."""
