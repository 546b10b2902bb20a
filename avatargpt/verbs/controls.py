"""Typed controls beside the words of a prompt: counts, turns, ways, tempo, loops, pins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import Field

from avatargpt.options import check_number
from avatargpt.verbs.request import Number
from instruct_data.requests.spec import MAX_TIMES, Pin
from vqvae.errors import UserError

if TYPE_CHECKING:
    from instruct_data.requests.spec import MotionRequest

MIN_TURN, MAX_TURN = 15, 1080  # degrees
Waypoints = Annotated[list[tuple[Number, Number]], Field(min_length=1, max_length=100)]


@dataclass(frozen=True)
class Controls:
    """Typed controls beside the words, which take the place of what the words say; see `GenerateRequest`."""

    times: int | None = None
    turn: float | None = None
    path: str | None = None
    waypoints: Sequence[tuple[float, float]] | None = None
    tempo: float | None = None
    loop: bool = False
    in_place: bool = False
    pins: Sequence[Pin] | None = None

    def check(self) -> None:
        """Raises UserError for values that are not accepted."""
        ways = {"turn": self.turn, "path": self.path, "waypoints": self.waypoints}
        if len(given := [name for name, way in ways.items() if way is not None]) > 1:
            raise UserError(f"{' and '.join(given)}: accepted one of them, for each says which way to go")
        _ = self.values

    def __bool__(self) -> bool:
        return self != Controls()

    @cached_property
    def values(self) -> dict[str, Any]:
        """Attributes of a clause. Raises UserError for values that are not accepted."""
        from avatargpt.body.constraints import MAX_TEMPO, MIN_TEMPO
        from avatargpt.requests.clause_spec import Route

        out: dict[str, Any] = {"times": self.times} if self.times else {}
        if self.turn is not None:
            if not MIN_TURN <= abs(self.turn) <= MAX_TURN:
                raise UserError(f"turn {self.turn:g}: accepted {MIN_TURN} to {MAX_TURN} degrees, - to the right")
            out |= {"turn": abs(self.turn), "side": "left" if self.turn > 0 else "right"}
        if self.path is not None:
            out |= _path(self.path, self.times)
        if self.waypoints is not None:
            Route.through(self.waypoints, "")
            out["waypoints"] = list(self.waypoints)
        if self.tempo is not None:
            check_number("tempo", self.tempo, (MIN_TEMPO, MAX_TEMPO))
            out |= {"factor": self.tempo, "tempo": None}
        return out

    def on(self, request: MotionRequest) -> MotionRequest:
        """The request with them in it."""
        clauses = [c if c.denied else c.model_copy(update=self.values) for c in request.clauses]
        update = {"clauses": clauses, "loop": self.loop or request.loop, "pins": list(self.pins or ()) or request.pins}
        update["treadmill"] = self.in_place or request.treadmill
        return request.model_copy(update=update)


def _path(text: str, usual: int | None) -> dict[str, Any]:
    """Attributes of a clause; `usual`: times where the path names none."""
    from avatargpt.requests.clause_spec import MAX_WAY_TOKENS, PATH_SHAPES, Route

    shape, _, details = text.partition(":")
    side, _, count = details.partition(":")
    digits = count or "1"
    if shape not in PATH_SHAPES or side not in ("", "left", "right") or not (digits.isascii() and digits.isdecimal()):
        raise UserError(f"path {text[:80]}: accepted SHAPE[:left|right[:N]], shapes {', '.join(PATH_SHAPES)}")
    once = Route(PATH_SHAPES[shape], side, 1, 1.0, "walk").tokens
    most = min(MAX_TIMES, MAX_WAY_TOKENS // max(once, 1))
    times = int(count[:9]) if count else None
    if not 1 <= (usual or 1 if times is None else times) <= most:
        raise UserError(f"path {text[:80]}: {count or usual} times; accepted 1 to {most} of a {shape}")
    return {"path": shape, **({"side": side} if side else {}), **({"times": times} if times else {})}


def read_pin(text: str) -> Pin:
    """A pin in words, LIMB@SECOND=X,Y,Z. Raises UserError."""
    from vqvae.io.data_files import finite_number

    limb, _, where = text.partition("@")
    second, _, place = where.partition("=")
    limbs = get_args(Pin.model_fields["limb"].annotation)
    try:
        values = tuple(finite_number(v) for v in place.split(","))
        if limb not in limbs or len(values) != 3 or max(map(abs, values)) > 100:
            raise ValueError
        return Pin(limb=limb, second=finite_number(second), place=values)  # type: ignore[arg-type]
    except ValueError:
        raise UserError(f"pin {text[:80]}: accepted LIMB@SECOND=X,Y,Z in metres, limbs {', '.join(limbs)}") from None
