"""A turn as it is heard: the words and what they are said about."""

from __future__ import annotations

import re
from dataclasses import dataclass

GOES_ON = "a person goes on"  # caption of a continuation that no words ask for
ASKS = re.compile(r"(?:what|which|who|whose|where|when|why|how)\b(?! (?:about|if)\b)[^.!]*\?")


@dataclass(frozen=True)
class Heard:
    """A turn and what it is said about.

    Attributes:
        request: the user's words, lower case, paths cut to plain file names. timeline: the line of `outline`.
        captions: of the segments. takes: open for choice, 0 or 1 = none. history: earlier turns, the last one last.
        files: plain names of the files in the request. planned: whether there is a plan.
        lengths: seconds of the segments.
    """

    request: str
    timeline: str
    captions: tuple[str, ...] = ()
    takes: int = 0
    history: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    planned: bool = False
    lengths: tuple[float, ...] = ()
