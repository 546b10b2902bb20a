"""`Clip`: one recording and everything known about it, as every reader yields it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

SPLITS = ("train", "val", "test")


def check_split(split: str | None) -> None:
    """Raises UserError for an unknown split; None is none in particular."""
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip of a corpus.

    Attributes:
        id: unique within its source.
        motion: the Motion or FaceMotion, or a function that loads it.
        captions: sentences, may be empty.
        source: short name of where it came from.
        licence: under which terms.
        split: ``train``, ``val`` or ``test``.
        action: the corpus' own class name, empty where it has none.
        style: likewise.
        extra: whatever else the source says (JSON types only).
    """

    id: str
    motion: Motion | FaceMotion | Callable[[], Any]
    captions: list[str]
    source: str
    licence: str
    split: str = "train"
    action: str = ""
    style: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """The Motion, or the FaceMotion of a face, loaded now if it was not."""
        return self.motion() if callable(self.motion) else self.motion


def face_clip(
    name: str, motion: FaceMotion, captions: list[str], source: str, licence: str, split: str = "train",
    action: str = "", extra: dict[str, Any] | None = None,
) -> Clip:  # fmt: skip
    """A clip of a face; `load` gives the :class:`FaceMotion`."""
    captioned = motion.with_caption(captions[0] if captions else "")
    return Clip(name, captioned, captions, source, licence, split, action, "", dict(extra or {}))
