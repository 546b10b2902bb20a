"""`TurnPart`: one act that a turn of a conversation asks for, in the turn's own words."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from instruct_data.requests.spec import MOST_TIMES, Size
from vqvae.strict import Strict


class TurnPart(Strict):
    """What is to be done and with what.

    Attributes:
        act: an act of `instruct_data.dialogue.acts`, or faster, slower, longer, shorter.
        text: its own words: a movement, a change, a scene, a name, a format, a take.
        of: words that point at a segment. where: before, after, between segments, at the start or the end.
        to_of: words that point at another segment, by which the place is told.
        seconds, factor, times, size: numbers and degree. what: to show. topic: of a question.
        sure: 0..1, how sure the reader is.
    """

    act: str
    text: str = ""
    of: str = ""
    where: Literal["before", "after", "start", "end", "between"] | None = None
    to_of: str = ""
    seconds: float | None = Field(default=None, gt=0)
    factor: float | None = Field(default=None, gt=0)
    times: int | None = Field(default=None, ge=1, le=MOST_TIMES)
    size: Size | None = None
    what: str = ""
    topic: str = ""
    sure: float = 1.0

    @property
    def much(self) -> bool:
        """Whether its degree is a large one."""
        return self.size in ("large", "very_large")
