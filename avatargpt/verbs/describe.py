"""`describe`: motion to text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from avatargpt.verbs.request import NUMBER, SEED, Count, Flag, Seed, Source, request
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.verbs.model import Model
    from vqvae.motion import Motion

RANKED = 7  # sentences for a body


@request
class DescribeRequest:
    """Motion to text."""

    motion: Source = Field(description="What is described: a body, a face or an avatar; in Python also several.")
    num: Annotated[Count, Flag("-n --num K")] = Field(
        default=1, le=100, description="Sentences per motion; several are drawn, one is the best of some."
    )
    seed: Seed = SEED
    best_of: Annotated[int, Field(ge=1, le=64), NUMBER, Flag("--best-of K")] | None = Field(
        default=None, description="Of bodies: sentences ranked, usually 7; 1: the likeliest, unranked."
    )
    feeling: Annotated[bool, Flag("--feeling")] = Field(
        default=False, description="Of faces: which feeling they show."
    )
    transcript: Annotated[str | list[str], Flag()] = Field(
        default="", description="What an avatar says; empty: its sentence says that words are not read."
    )


def describe(model: Model, asked: DescribeRequest) -> list[Any]:
    """Motion to text: of bodies and faces what they do, of an avatar in one sentence what it does, says and feels.

    Returns:
        A sentence for each motion, or `num` of them.

    Raises:
        UserError: `num` or `best_of` of a face or an avatar, `feeling` of what is no face.
    """
    from avatargpt.avatar.description import avatar_sentence, split_avatar, without_fingers
    from avatargpt.export.avatar import AvatarMotion
    from vqvae.face import FaceMotion
    from vqvae.motion import Motion

    one = isinstance(asked.motion, Motion | FaceMotion | AvatarMotion)
    clips: list[Any] = [asked.motion] if one else list(asked.motion)
    parts = {k: split_avatar(clip) for k, clip in enumerate(clips) if isinstance(clip, AvatarMotion)}
    bodies: dict[int, Motion] = {k: without_fingers(clip) for k, clip in enumerate(clips) if isinstance(clip, Motion)}
    faces = {k: clip for k, clip in enumerate(clips) if isinstance(clip, FaceMotion)}
    check_kinds(asked, [clip.modality for clip in clips])
    if asked.feeling:
        return model.feeling(clips)
    bodies |= {k: body for k, (body, _) in parts.items()}
    faces |= {k: face for k, (_, face) in parts.items()}
    sentences = model.body.description.describe([*bodies.values()], asked.num, asked.seed, asked.best_of or RANKED)
    of_bodies = dict(zip(bodies, sentences, strict=True))
    of_faces = dict(zip(faces, model.describe_face([*faces.values()]) if faces else [], strict=True))
    said = [asked.transcript] * len(clips) if isinstance(asked.transcript, str) else asked.transcript
    of_avatars = {k: avatar_sentence(of_bodies[k], of_faces[k], said[k]) for k in parts}
    sentence_of = {**of_bodies, **of_faces, **of_avatars}
    return [sentence_of[k] for k in range(len(clips))]


def check_kinds(asked: DescribeRequest, kinds: list[str], names: list[str] | None = None) -> None:
    """Refuse fields that do not go with motions of these modalities.

    Args:
        names: what the motions are called in an error, in front of it.

    Raises:
        UserError: as `describe`.
    """

    def refuse(kind: str, reason: str) -> None:
        for k, found in enumerate(kinds):
            if found == kind or (kind == "no face" and found != "face"):
                raise UserError((f"{names[k]}: " if names else "") + reason)

    if asked.num > 1:
        refuse("avatar", "an avatar gets one sentence; num goes with bodies")
        refuse("face", "a face gets one sentence; num goes with bodies")
    if asked.best_of is not None:
        refuse("face", "of a face nothing is ranked; best_of goes with bodies")
    if asked.feeling:
        refuse("no face", "no face; feeling takes faces alone")
