"""What a question about the timeline wants to know. Rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_STOP = set("what which who how is are does do did the a an of in with to and hand side it he she they his her one "
            "segment segments whether person direction where when now number".split())  # fmt: skip


@dataclass(frozen=True)
class Topic:
    """What is asked for.

    Attributes:
        files: that were read. count: how many segments there are. plan: the plan.
        extreme: which segment is the longest or the shortest; empty = neither.
        length: how long something lasts. start: when it begins. frames: in frames. fps: at so many; None = not said.
        numbers: that may be those of segments.
    """

    files: bool
    count: bool
    plan: bool
    extreme: Literal["longest", "shortest", ""]
    length: bool
    start: bool
    frames: bool
    fps: float | None
    numbers: tuple[int, ...]


def topic(about: str) -> Topic:
    """What a topic such as ``length of segment 2`` asks for."""
    rate = re.search(r"(\d+) fps", about)
    return Topic(
        files=bool(re.search(r"\bfiles?\b|loaded", about)),
        count=bool(re.search(r"number of (?:segments|parts|steps|pieces)", about)),
        plan="plan" in about.split(),
        extreme="longest" if "longest" in about else "shortest" if "shortest" in about else "",
        length=bool(re.search(r"length|duration|time|seconds|frames", about)),
        start="start" in about,
        frames=bool(re.search(r"\bframes\b", about)),
        fps=float(rate.group(1)) if rate else None,
        numbers=tuple(map(int, re.findall(r"\d+", re.sub(r"\d+ (?:fps|frames)|at \d+", "", about)))),
    )


def asks_side(words: str) -> bool:
    """Whether a question is about left and right."""
    return bool(re.search(r"\b(?:hand|side|arm|leg|wrist|foot|direction|left|right)\b", words))


def sharing(words: str, captions: Sequence[str]) -> list[int]:
    """Captions, counted from 1, that share a content word with a question."""
    asked = _stems(words)
    return [n for n, c in enumerate(captions, 1) if asked & _stems(c)]


def _stems(text: str) -> set[str]:
    return {w[:5] for w in re.findall(r"[a-z]+", text.lower()) if w not in _STOP}
