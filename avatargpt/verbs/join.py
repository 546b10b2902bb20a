"""`inbetween`, `extend`, `reconstruct`, and what asks for an edit: motions that are made of motions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from avatargpt.verbs.request import NUMBER, SEED, Flag, Seconds, Seed, Source, request
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.verbs.model import Model
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

CANDIDATES = 16  # between two bodies
Words = Annotated[str, Flag()]
BestOf = Annotated[int, Field(ge=1, le=64), NUMBER, Flag("--best-of K")] | None


@request
class InbetweenRequest:
    """Motion between two motions, of bodies or of faces."""

    start: Source = Field(description="The motion before.")
    end: Source = Field(description="The motion after, of the same kind.")
    seconds: Annotated[Seconds, Flag("--seconds S")] = Field(default=1.0, description="Length of the new part.")
    text: Words = Field(default="", description="One movement of the new part, in words.")
    seed: Seed = SEED
    best_of: BestOf = Field(default=None, description="Candidates; usually 16 of bodies, 8 of faces.")
    keep_place: Annotated[bool, Flag("--keep-place")] = Field(
        default=False, description="Of bodies: the motion after stays where it is, and the middle leads there."
    )


def find_inbetween(model: Model, asked: InbetweenRequest) -> Motion | FaceMotion:
    """The motion before, a new middle and the motion after in one; see `MotionEditing.in_between`, and for faces
    `FaceTokens.face_in_between`.

    Raises:
        UserError: two motions that are not of one kind, or as these.
    """
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

    start, end = asked.start, asked.end
    check_kinds(start, end)
    if isinstance(start, FaceMotion) and isinstance(end, FaceMotion):
        return model.face_in_between(start, end, asked.seconds, asked.text, asked.seed, asked.best_of)
    assert isinstance(start, Motion) and isinstance(end, Motion)
    editing = model.body.editing
    best_of = asked.best_of or CANDIDATES
    return editing.in_between(start, end, asked.seconds, asked.text, asked.seed, best_of, asked.keep_place)


def check_kinds(start: Any, end: Any, where: str = "") -> None:
    """Raises UserError unless both are bodies, or both faces; `where`: the name of the second, in front of it."""
    before, after = (getattr(m, "modality", type(m).__name__) for m in (start, end))
    if before != after:
        raise UserError(f"{where}a {after} after a {before}; accepted: two of one kind")
    if before not in ("body", "face"):
        raise UserError(f"{where}between a {before} and a {after}; accepted: two bodies, or two faces")


@request
class ExtendRequest:
    """A motion that goes on."""

    motion: Source = Field(description="The body motion that goes on.")
    seconds: Annotated[Seconds, Flag("--seconds S")] = Field(default=3.0, description="Length of the new part.")
    text: Words = Field(default="", description="One movement of the new part, in words.")
    seed: Seed = SEED
    best_of: BestOf = Field(default=None, description="Candidates; usually 16 with a text, else 4.")


def extend(model: Model, asked: ExtendRequest) -> Motion:
    """The given motion and its continuation; see `MotionEditing.extend`.

    Raises:
        UserError: what is no body, or as it.
    """
    motion = check_body(asked.motion)
    return model.body.editing.extend(motion, asked.seconds, asked.text, asked.seed, asked.best_of)


def check_body(motion: Any) -> Motion:
    """The motion. Raises UserError where it is no body."""
    from vqvae.motion import Motion

    if not isinstance(motion, Motion):
        raise UserError(f"motion: a {getattr(motion, 'modality', type(motion).__name__)}; accepted a body motion")
    return motion


@request
class EditRequest:
    """A motion, changed by words."""

    motion: Source = Field(description="The body motion.")
    text: str = Field(description="What is to be different: 'slower', 'with the left hand', 'mirrored'.")
    seed: Seed = SEED


@request
class ReconstructRequest:
    """A motion through its tokens and back, with the error."""

    motion: Source = Field(description="The body motion.")


def reconstruct(model: Model, asked: ReconstructRequest) -> tuple[Motion, dict[str, float]]:
    """A clip through its tokens and back; see `avatargpt.body.tasks.reconstruct`.

    Raises:
        UserError: what is no body.
    """
    from avatargpt.body import tasks

    return tasks.reconstruct(model.body.model.loaded, check_body(asked.motion))
