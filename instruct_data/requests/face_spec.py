"""`FaceRequest`: what an instruction asks of a face, typed: clauses and when they happen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from instruct_data.requests.spec import MOST_CLAUSES, MOST_SECONDS, MOST_TIMES, Tempo
from vqvae.strict import Strict

Course = Literal["rising", "fading"]
Moment = Literal["before", "after"]
Seconds = Field(default=None, gt=0, le=MOST_SECONDS)
Share = Field(default=None, ge=0, le=1)


class FaceClause(Strict):
    """One thing that a face does or feels.

    Attributes:
        action: what, in the instruction's own words, sides and degrees among them.
        together: at the same time as the clause before. denied: it is not to be done.
        times: how often. every: seconds from one beginning to the next. pause: seconds between two of them.
        at, until: seconds by the clock. seconds: how long. wait: seconds in which nothing is done before it.
        from_share, to_share: of the whole clip. until_end: to its end.
        course: rising = it grows from nothing, or takes the place of the feeling before; fading = it dies away.
        word, moment: of the speech, a word on which (or before or after which) it is done.
        tempo: how fast. sure: 0..1, how sure the reader is.
    """

    action: str
    together: bool = False
    denied: bool = False
    times: int | None = Field(default=None, ge=1, le=MOST_TIMES)
    every: float | None = Seconds
    pause: float | None = Seconds
    at: float | None = Field(default=None, ge=0, le=MOST_SECONDS)
    until: float | None = Seconds
    seconds: float | None = Seconds
    wait: float | None = Seconds
    from_share: float | None = Share
    to_share: float | None = Share
    until_end: bool = False
    course: Course | None = None
    word: str = ""
    moment: Moment | None = None
    tempo: Tempo | None = None
    sure: float = 1.0


class FaceRequest(Strict):
    """What is asked of a face, in the order of time.

    Attributes:
        clauses: one after another, or together. seconds: of the whole.
        alternating: the clauses take turns; rounds: how often each comes, in_all: how many there are altogether.
        text: the words that it was read from.
    """

    clauses: list[FaceClause] = Field(min_length=1, max_length=MOST_CLAUSES)
    seconds: float | None = Seconds
    alternating: bool = False
    rounds: int | None = Field(default=None, ge=1, le=MOST_TIMES)
    in_all: int | None = Field(default=None, ge=1, le=MOST_TIMES)
    text: str = ""
