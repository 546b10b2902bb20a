"""Typed requests: `MotionRequest` for bodies, `FaceRequest` for faces."""

# Compact text of a `MotionRequest`, one clause after another, each an action and its attributes:
#
#     walk times=3 tempo=slow; + wave hand side=left; then !sit down; turn turn=90 side=right
#
# `;` begins a clause after the one before, `+` one at the same time, `!` one that is not to be done.

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from vqvae.errors import UserError
from vqvae.strict import Number, Strict

Side = Literal["left", "right", "both", "alternating"]
Tempo = Literal["very_slow", "slow", "fast", "very_fast", "speeding_up", "slowing_down"]
Size = Literal["slight", "small", "large", "very_large"]
Strength = Literal["slight", "strong"]
Direction = Literal[
    "forward", "backward", "left", "right", "up", "down", "forward_left", "forward_right", "backward_left",
    "backward_right",
]  # fmt: skip
Path = Literal[
    "line", "circle", "half_circle", "figure_eight", "square", "triangle", "zigzag", "curve", "back_and_forth",
    "spiral",
]  # fmt: skip
MAX_TIMES, MAX_SECONDS, MAX_DEGREES = 100, 600.0, 3600.0
MAX_CLAUSES = 100


class Pin(Strict):
    """A hand or foot that is at a place at a time."""

    limb: Literal["left_hand", "right_hand", "left_foot", "right_foot"]  # which
    second: float = Field(ge=0, le=MAX_SECONDS)  # of the whole motion
    # (3,) metres in the motion's frame: +Z ahead of its first frame, +X to its left, +Y up, the origin on the floor
    # below the first pelvis
    place: tuple[Number, Number, Number]


class Place(Strict):
    """Where the body is at a time."""

    second: float = Field(ge=0, le=MAX_SECONDS)  # of the whole motion
    place: tuple[Number, Number]  # x, z in metres, of the pelvis on the floor, in the frame of a `Pin`
    heading: Number | None = None  # degrees that it faces, 0 = +Z, positive to its left; None = as it comes


class PoseKey(Strict):
    """How joints are turned at a time."""

    second: float = Field(ge=0, le=MAX_SECONDS)  # of the whole motion
    # joints of `vqvae.skeleton.SMPL22`: local unit quaternions w, x, y, z, identity = T-pose
    rotations: dict[str, tuple[Number, Number, Number, Number]] = Field(min_length=1)
    height: Number | None = None  # metres of the pelvis above the floor; None = as it comes

    @model_validator(mode="after")
    def _check(self) -> Self:
        from vqvae.skeleton import JOINT_NAMES  # needs NumPy, without which the help of commands is quicker

        for name, quaternion in self.rotations.items():
            if name not in JOINT_NAMES:
                raise UserError(f"rotations: no joint {name!r}; accepted: {', '.join(JOINT_NAMES)}")
            if not abs(sum(x * x for x in quaternion) - 1) < 0.1:
                raise UserError(f"rotations.{name}: no unit quaternion; accepted: w, x, y, z of length 1")
        return self


class Clause(Strict):
    """One thing that is done."""

    action: str  # what, in the request's own words without what the other attributes say; "turn" alone with `turn`
    together: bool = False  # at the same time as the clause before
    denied: bool = False  # it is not to be done
    side: Side | None = None  # of the body, or to which side
    direction: Direction | None = None  # of travel, or of a limb
    path: Path | None = None  # shape of the way on the floor
    distance: float | None = Field(default=None, gt=0, le=1000)  # metres to go
    turn: float | None = Field(default=None, gt=0, le=MAX_DEGREES)  # degrees, to `side`
    times: int | None = Field(default=None, ge=1, le=MAX_TIMES)  # how often
    seconds: float | None = Field(default=None, gt=0, le=MAX_SECONDS)  # how long
    until_end: bool = False  # as long as the rest lasts
    tempo: Tempo | None = None  # how fast
    factor: float | None = Field(default=None, gt=0, le=10)  # of the usual speed, if said as a number
    size: Size | None = None  # of the movement
    style: str = ""  # words for a manner or a feeling
    strength: Strength | None = None  # how much of it
    target: str = ""  # words for what it aims at
    other: str = ""  # words for another person who takes part, and is not shown
    in_place: bool = False  # without leaving the spot
    hold: bool = False  # the posture of the clause before is kept
    waypoints: list[tuple[Number, Number]] = Field(default=[], max_length=100)
    name: str = ""  # the known action that it is read as, or that is nearest where `known` is false; "" = not looked up
    others: dict[str, float] = {}  # other known actions that may be meant, with their probabilities
    caption: str = ""  # the known caption that its words are, word by word
    known: bool | None = None  # whether the action is one that can be shown, None = nobody has looked
    nearest: str = ""  # the caption it is shown by
    sure: float = 1.0  # 0..1, how sure the reader is of this clause; where `known` is false, of that

    @property
    def compact(self) -> str:
        """The clause in compact text."""
        attributes = [
            f"{name}={_plain(value)}" for name in ATTRIBUTES
            if (value := getattr(self, name)) not in (None, "", False)
        ]  # fmt: skip
        return " ".join(["!" * self.denied + self.action, *attributes])


ATTRIBUTES = (
    "side", "direction", "path", "distance", "turn", "times", "seconds", "until_end", "tempo", "factor", "size",
    "style", "strength", "target", "other", "in_place", "hold",
)  # fmt: skip


class MotionRequest(Strict):
    """What is asked for, in the order of time."""

    clauses: list[Clause] = Field(min_length=1, max_length=MAX_CLAUSES)  # one after another, or together
    seconds: float | None = Field(default=None, gt=0, le=MAX_SECONDS)  # of the whole
    loop: bool = False  # the end leads into the beginning
    treadmill: bool = False  # its way is taken out, so that the ground moves
    # start, end: words for the pose at the beginning and at the end
    start: str = ""
    end: str = ""
    # places of hands and feet, of the body, and poses, each at its time
    pins: list[Pin] = []
    places: list[Place] = []
    poses: list[PoseKey] = []
    language: str = ""  # of the words if it is surely none that is read ("fr"), else ""
    unshown: list[str] = []  # words that no clause holds and nothing can show
    unread: list[str] = []  # numbers in the words that nothing above was read from
    text: str = ""  # the words that it was read from

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.clauses[0].together:
            raise UserError("clauses[0].together: accepted: false, for nothing is before it")
        return self

    @property
    def done(self) -> list[Clause]:
        """Clauses that are to be done."""
        return [c for c in self.clauses if not c.denied]

    @property
    def compact(self) -> str:
        """All of it in compact text."""
        parts = [("+ " if c.together else "; ") * bool(i) + c.compact for i, c in enumerate(self.clauses)]
        attributes = [f"{k}={_plain(v)}" for k in ("seconds", "loop", "start", "end") if (v := getattr(self, k))]
        return " ".join([*parts, *(["|", *attributes] if attributes else [])]).replace(" ;", ";")


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return f'"{text}"' if " " in text else text


# Requests for faces: times by the clock, order, repeats and courses.
Course = Literal["rising", "fading"]
Moment = Literal["before", "after"]
Seconds = Field(default=None, gt=0, le=MAX_SECONDS)
Share = Field(default=None, ge=0, le=1)


class FaceClause(Strict):
    """One thing that a face does or feels."""

    action: str  # what, in the instruction's own words, sides and degrees among them
    together: bool = False  # at the same time as the clause before
    denied: bool = False  # it is not to be done
    times: int | None = Field(default=None, ge=1, le=MAX_TIMES)  # how often
    every: float | None = Seconds  # seconds from one beginning to the next
    pause: float | None = Seconds  # seconds between two of them
    # at, until: seconds by the clock
    at: float | None = Field(default=None, ge=0, le=MAX_SECONDS)
    until: float | None = Seconds
    seconds: float | None = Seconds  # how long
    wait: float | None = Seconds  # seconds in which nothing is done before it
    # from_share, to_share: of the whole clip
    from_share: float | None = Share
    to_share: float | None = Share
    until_end: bool = False  # to its end
    # Rising = it grows from nothing, or takes the place of the feeling before; fading = it dies away
    course: Course | None = None
    # word, moment: of the speech, a word on which (or before or after which) it is done
    word: str = ""
    moment: Moment | None = None
    tempo: Tempo | None = None  # how fast
    sure: float = 1.0  # 0..1, how sure the reader is


class FaceRequest(Strict):
    """What is asked of a face, in the order of time."""

    clauses: list[FaceClause] = Field(min_length=1, max_length=MAX_CLAUSES)  # one after another, or together
    seconds: float | None = Seconds  # of the whole
    alternating: bool = False  # the clauses take turns
    # rounds: how often each comes; in_all: how many there are altogether
    rounds: int | None = Field(default=None, ge=1, le=MAX_TIMES)
    in_all: int | None = Field(default=None, ge=1, le=MAX_TIMES)
    text: str = ""  # the words that it was read from
