"""What a conversation is about, in a line: the segments so far, as the model is told them.

``1 walks forward 3s; 2 waves the left hand 4.5s | takes a b | plan``. `Outline` replays acts on such a list without
making any motion; the conversation itself writes the same line from its real segments.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from instruct_data.dialogue.acts import TAKE_LETTERS, Act
from instruct_data.text.mirror import mirror_text
from vqvae.errors import UserError

EMPTY = "empty"
SHOWN_WORDS = 7  # of each caption
SHOWN_SEGMENTS = 8  # the last ones
_PERSON = re.compile(r"^(?:a|the) person\s+(?=\S)")


def outline(captions: Sequence[str], seconds: Sequence[float], takes: int = 1, planned: bool = False) -> str:
    """The line for segments with these captions and lengths; `takes` of the last act are open for choice."""
    rows = []
    for i, (caption, length) in enumerate(zip(captions, seconds, strict=True), 1):
        words = _PERSON.sub("", " ".join(caption.lower().replace("|", " ").split())).split()
        rows.append(f"{i} {' '.join(words[:SHOWN_WORDS]).rstrip(';,.')} {round(length * 2) / 2:g}s")
    parts = ["; ".join(rows[-SHOWN_SEGMENTS:]) or EMPTY]
    if takes > 1:
        parts.append("takes " + " ".join(TAKE_LETTERS[:takes]))
    if planned:
        parts.append("plan")
    return " | ".join(parts)


@dataclass
class Outline:
    """Segments as captions and seconds.

    Attributes:
        takes: versions of one segment that the user can choose among, 1 = no choice open.
        planned: whether there is a plan.
    """

    captions: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    takes: int = 1
    planned: bool = False

    @property
    def text(self) -> str:
        return outline(self.captions, self.seconds, self.takes, self.planned)

    def _at(self, act: Act) -> int:
        n = len(self.captions) if act.segment is None else act.segment
        if not 1 <= n <= len(self.captions):
            raise UserError(f"{act.do}: no segment {n}; there are {len(self.captions)}")
        return n - 1

    def _put(self, at: int, text: str, seconds: float) -> None:
        self.captions.insert(at, text)
        self.seconds.insert(at, seconds)

    def apply(self, act: Act, usual: float) -> None:
        """Do one act.

        Args:
            usual: length that a new segment gets when the act names none.

        Raises:
            UserError: a segment that is not there.
        """
        self.takes = self.takes + 1 if act.do == "again" else 1
        match act.do:
            case "make" | "load" | "long":
                self.captions, self.seconds = [act.text or act.scene or str(act.file)], [act.seconds or usual]
            case "then":
                self._put(len(self.captions), str(act.text), act.seconds or usual)
            case "before":
                self._put(self._at(act), str(act.text), usual)
            case "replace":
                self.captions[self._at(act)] = str(act.text)
            case "edit":
                self.captions[self._at(act)] += f", {act.change}"
            case "retime":
                self.seconds[self._at(act)] = act.seconds or usual
            case "delete":
                at = self._at(act)
                del self.captions[at], self.seconds[at]
            case "move":
                at = self._at(act)
                self._put(min(act.to or 1, len(self.captions)) - 1, self.captions.pop(at), self.seconds.pop(at))
            case "total" | "speed" | "mirror":
                self._whole(act)
            case "plan":
                self.planned = True
            case "again" | "describe":
                if act.file is None and (self.captions or act.segment):
                    self._at(act)
            case _:
                pass

    def _whole(self, act: Act) -> None:
        some = range(len(self.captions)) if act.segment is None else [self._at(act)]
        factor = act.factor or 1.0
        if act.do == "total":
            factor = max(sum(self.seconds), 0.1) / (act.seconds or 1.0)
        for i in some:
            self.seconds[i] /= factor
            if act.do == "mirror":
                self.captions[i] = mirror_text(self.captions[i])


class Replay:
    """An `Outline` with undo: every act that changes it is one step."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self.now = rng, Outline()
        self._past: list[Outline] = []
        self._future: list[Outline] = []

    def apply(self, act: Act) -> None:
        """Do one act, undo and redo included; what cannot be done (nothing to undo) does nothing."""
        usual = float(self._rng.integers(4, 11)) / 2
        if act.do in ("undo", "redo"):
            one, other = (self._past, self._future) if act.do == "undo" else (self._future, self._past)
            for _ in range(min(act.steps or 1, len(one))):
                other.append(self.now)
                self.now = one.pop()
            return
        new = copy.deepcopy(self.now)
        try:
            new.apply(act, usual)
        except UserError:
            return
        if new != self.now:
            self._past.append(self.now)
            self._future.clear()
            self.now = new
