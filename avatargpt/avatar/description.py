"""What an avatar does, feels and says in one sentence, from the descriptions of its parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatargpt.export.avatar import AvatarMotion
from instruct_data.face.described import NOTHING, SPEAK, parse_description
from vqvae.face import FaceMotion
from vqvae.motion import Motion

NOT_READ = "words not read"


def split_avatar(avatar: AvatarMotion) -> tuple[Motion, FaceMotion]:
    """An avatar's body without fingers, which its tokens lack, and its face; the head's turns are the body's."""
    face = replace(avatar.face, head=np.zeros_like(avatar.face.head))
    return without_fingers(avatar.body), face


def without_fingers(motion: Motion) -> Motion:
    """A body, or the body of gestures, as the tokens of bodies take it."""
    return replace(motion, modality="body", fingers=None) if motion.modality == "gesture" else motion


def avatar_sentence(body: str, face: str, words: str = "") -> str:
    """``a person walks forward; says 'hello there', shows raise brows, looks very happy``.

    Args:
        body, face: descriptions, of the face as of `FaceTokens.describe_face`.
        words: that are said; of a face that speaks, empty = they are not read, which the sentence says.
    """
    acts, _, feelings = face.partition("; ")
    if not feelings and not acts.startswith(SPEAK) and not parse_description(acts).actions:
        acts, feelings = "", acts
    speaks, acts = acts.split()[:1] == [SPEAK], acts.removeprefix(SPEAK).removeprefix(" and ")
    parts = [f"says {words!r}"] if words else [f"speaks ({NOT_READ})"] if speaks else []
    parts += [f"shows {acts}"] if acts else []
    parts += [f"looks {feelings}"] if feelings not in ("", NOTHING) else []
    return "; ".join([body.strip().rstrip("."), *([", ".join(parts)] if parts else [])])
