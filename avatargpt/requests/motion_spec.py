"""A clause of a request in plain words: the caption of what is made, and what a rule does with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from avatargpt.requests.lexical import lemmas
from avatargpt.requests.paths import TURN, Route
from avatargpt.requests.turns import Turn
from instruct_data.requests.spec import Clause

# The clips of these captions slide on their feet (a quarter of all steps), what is made for them does, too: another one
# in place of the first, and a walk with a bend (`avatargpt.requests.paths`) in place of the others.
STEADY = {"a person keeps walking in the same direction": "a person walks"}
BENT = {f"someone walks forward and turns {side}": side for side in ("left", "right")}


@dataclass(frozen=True)
class ClauseSpec:
    """One clause of a request in plain words.

    Attributes:
        text: a caption from the book, or the clause itself where nothing in the book is near.
        similarity: cosine of the clause to its phrasing plus `OVERLAP` times their overlap in words.
        lengths: motion tokens that clips with this caption have, from short to long; empty = not known.
        turn: the turn that the clause asks for, when it asks for nothing else.
        route: the shape of the way that it names; the text is without it.
        action: class of the phrasing, empty where nothing is near.
        besides: what arms or head do at the same time.
        phrasing: the one in the book that is nearest. said: the words that it was read from.
        manner: the style that it is shown in, empty = none.
        known: how probable it is that the action is one that is known, 0..1.
        others: another caption of the action, and another action that the words may mean, tried where this one does
            not do what was asked.
        avoid: actions that were denied, and their captions.
        asked: the typed clause, None where nobody has read one. apart: it was to be done at the same time as the one
            before, which does not go.
    """

    text: str
    similarity: float
    lengths: tuple[int, ...] = ()
    turn: Turn | None = None
    route: Route | None = None
    action: str = ""
    besides: ClauseSpec | None = None
    phrasing: str = ""
    said: str = ""
    manner: str = ""
    known: float = 1.0
    asked: Clause | None = None
    others: tuple[ClauseSpec, ...] = ()
    avoid: tuple[tuple[str, str], ...] = ()
    apart: bool = False

    @property
    def unshown(self) -> tuple[str, ...]:
        """What is said of it and will not be shown, a line each."""
        asked = self.asked
        if asked is None:
            return ()
        said = []
        if self.apart:
            said.append("shown after the other, for they do not go together")
        if asked.path and self.route is None:
            said.append(f"path {asked.path.replace('_', ' ')!r} not shown")
        if asked.style and not self.manner and not {*lemmas(asked.style)} & {*lemmas(self.text)}:
            said.append(f"{asked.style!r} not shown")
        return tuple(f"{asked.action!r}: {one}" for one in said)

    @property
    def telling(self) -> str:
        """All of it in words that are read so again."""
        if self.besides is not None:
            return f"{replace(self, besides=None).telling} while {self.besides.telling}"
        if self.turn is not None:
            side = f" to the {self.turn.side}" * bool(self.turn.side)
            return f"a person turns {self.turn.degrees:g} degrees{side}"
        if self.route is None:
            return self.text
        if self.route.shape == TURN:
            return f"a person walks making a {self.route.side} turn of {self.route.degrees:g} degrees"
        return f"{self.text} {self.route.told}"

    @property
    def alone(self) -> str:
        """What the network is asked for where no path is bent."""
        bent = self.route is not None and self.route.shape == TURN
        return next(c for c, side in BENT.items() if side == self.route.side) if bent and self.route else self.text
