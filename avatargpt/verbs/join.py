"""`inbetween` and `extend`: motion between two motions, and behind one."""

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
    if isinstance(start, FaceMotion) and isinstance(end, FaceMotion):
        return model.face_in_between(start, end, asked.seconds, asked.text, asked.seed, asked.best_of)
    check_kinds(*(getattr(m, "modality", type(m).__name__) for m in (start, end)))
    assert isinstance(start, Motion) and isinstance(end, Motion)
    editing = model.body.editing
    best_of = asked.best_of or CANDIDATES
    return editing.in_between(start, end, asked.seconds, asked.text, asked.seed, best_of, asked.keep_place)


def check_kinds(start: str, end: str) -> None:
    """Raises UserError unless both are bodies, or both faces."""
    if start != end:
        raise UserError(f"a {end} after a {start}; accepted: two of one kind")
    if start not in ("body", "face"):
        raise UserError(f"between a {start} and a {end}; accepted: two bodies, or two faces")


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
    from vqvae.motion import Motion

    if not isinstance(asked.motion, Motion):
        kind = getattr(asked.motion, "modality", type(asked.motion).__name__)
        raise UserError(f"motion: a {kind}; accepted a body motion")
    motion: Any = asked.motion
    return model.body.editing.extend(motion, asked.seconds, asked.text, asked.seed, asked.best_of)
