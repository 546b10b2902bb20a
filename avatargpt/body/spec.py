"""`MotionSpec`: what the network is asked for in one go."""

from __future__ import annotations

from dataclasses import dataclass, replace

from avatargpt.requests.paths import Route
from avatargpt.requests.turns import Turn
from instruct_data.requests.spec import Clause


@dataclass(frozen=True)
class MotionSpec:
    """What is made in one go.

    Attributes:
        caption: plain words. tokens: how many motion tokens, -1 = the model decides.
        turn: a turn by a measure. route: the shape of the path. besides: what arms or head do at the same time.
        above: arms or the head alone do it.
        action: class of the nearest phrasing. asked: the typed clause. frames: of the result, None = as they come.
        notes: what of the clause is not shown, known before it is made.
        others: other captions and actions that the clause may mean, tried in this order where this one does not do what
            was asked.
        avoid: actions that were denied, and their captions.
    """

    caption: str
    tokens: int
    turn: Turn | None = None
    route: Route | None = None
    besides: MotionSpec | None = None
    above: bool = False
    action: str = ""
    asked: Clause | None = None
    frames: int | None = None
    notes: tuple[str, ...] = ()
    others: tuple[MotionSpec, ...] = ()
    avoid: tuple[tuple[str, str], ...] = ()

    @property
    def halves(self) -> tuple[MotionSpec, ...]:
        """What the network makes one by one: itself, and what is done besides."""
        return (self,) if self.besides is None else (self, self.besides)

    @property
    def told(self) -> str:
        """All of it in words."""
        if self.besides is not None:
            return f"{replace(self, besides=None).told}, and at the same time {self.besides.told}"
        if self.turn is not None:
            return f"{self.caption}, by {self.turn.degrees:g} degrees"
        return self.caption if self.route is None else f"{self.caption}, {self.route.told}"
