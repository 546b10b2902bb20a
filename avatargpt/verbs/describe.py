"""`describe` and `read`: motion to text, and what a text asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from avatargpt.verbs.request import NUMBER, SEED, Count, Flag, Seed, Source, request
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.verbs.model import Model
    from instruct_data.face.score import Score
    from instruct_data.requests.spec import MotionRequest
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
        default=None, description="Of bodies not filmed: sentences ranked, usually 7; 1: the likeliest, unranked."
    )
    feeling: Annotated[bool, Flag("--feeling")] = Field(default=False, description="Of faces: which feeling they show.")
    transcript: Annotated[str | list[str], Flag()] = Field(
        default="", description="What an avatar says; empty: its sentence says that words are not read."
    )


def describe(model: Model, asked: DescribeRequest) -> list[Any]:
    """Motion to text: of bodies and faces what they do, of an avatar in one sentence what it does, says and feels.

    Returns:
        A sentence for each motion, or `num` of them.

    Raises:
        UserError: `num` or `best_of` of a face or an avatar, `best_of` of a film, `feeling` of what is no face.
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
    filmed = {k: body for k, body in bodies.items() if body.filmed}
    if filmed and asked.best_of is not None:
        raise UserError("best_of: of a body in a film nothing is ranked; best_of goes with other bodies")
    moved = {k: body for k, body in bodies.items() if k not in filmed}
    sentences = model.body.description.describe([*moved.values()], asked.num, asked.seed, asked.best_of or RANKED)
    of_bodies = dict(zip(moved, sentences, strict=True))
    if filmed:
        from avatargpt.video.film_words import packaged_words

        words = packaged_words().describe([*filmed.values()], model.body.model, asked.num)
        of_bodies |= dict(zip(filmed, words, strict=True))
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


@request
class ReadRequest:
    """What a text asks for, without motion."""

    text: Annotated[str, Flag(), Field(max_length=1000)] = Field(description="A request in words.")
    face: Annotated[bool, Flag("--face")] = Field(
        default=False, description="As an instruction to a face, not to a body."
    )


def read(model: Model, asked: ReadRequest) -> MotionRequest | Score:
    """What a text asks for: actions in order with sides, counts, seconds, and whether they are known; of a face what it
    does when.

    Raises:
        UserError: a text without a word, or a model folder without a driver.
    """
    if asked.face:
        (score,) = model.faces.read([asked.text])
        return score
    from avatargpt.requests.resolver import RequestResolver

    parts = model.body.model
    if parts.phrase_index is None or parts.grounder is None:
        return parts.request(asked.text)
    return RequestResolver(parts.phrase_index, parts.grounder).read(asked.text)


def request_row(request: MotionRequest) -> dict[str, Any]:
    """A request for machines: of every clause its `name` (None = not known), the nearest known action and its words; of
    the whole the words that nothing shows."""
    row = request.model_dump(exclude_defaults=True)
    clauses = []
    for clause, told in zip(request.clauses, row["clauses"], strict=True):
        known = clause.known is not False
        clauses.append({
            **told, "name": clause.name if known and clause.name else None, "near": clause.name,
            "words": clause.action, "known": known, "together": clause.together,
            "denied": clause.denied,
        })  # fmt: skip
    return {**row, "clauses": clauses, "unshown": request.unshown}


def score_row(score: Score) -> dict[str, Any]:
    """A score for machines, as ``face --score`` takes it, times and strengths to the thousandth."""

    def round_part(part: Any) -> Any:
        values = dict(vars(part))
        for name, value in values.items():
            if isinstance(value, float):
                low = 0.001 if name in ("duration", "intensity", "to") else 0.0
                values[name] = max(low, int(value * 1000) / 1000 if name == "start" else round(value, 3))
        if "end" in values:  # of a feeling, which may be shorter than a thousandth
            values["end"] = max(values["end"], round(values["start"] + 0.001, 3))
        return replace(part, **values)

    events, emotions = (tuple(map(round_part, parts)) for parts in (score.events, score.emotions))
    return replace(score, events=events, emotions=emotions).to_json()
