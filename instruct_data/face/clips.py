"""Faces as :class:`instruct_data.clip.Clip`."""

from __future__ import annotations

from typing import Any

from instruct_data.clip import Clip
from vqvae.face import FaceMotion


def face_clip(
    name: str, motion: FaceMotion, captions: list[str], source: str, licence: str, split: str = "train",
    action: str = "", extra: dict[str, Any] | None = None,
) -> Clip:  # fmt: skip
    """A clip of a face; `load` gives the :class:`FaceMotion`."""
    held = motion.with_caption(captions[0] if captions else "")
    return Clip(name, held, captions, source, licence, split, action, "", dict(extra or {}))
