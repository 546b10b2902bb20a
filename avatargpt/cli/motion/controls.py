"""Typed controls of ``avatargpt generate`` beside its words: they take the place of what the words say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from vqvae.errors import UserError
from vqvae.io.files import read_text

if TYPE_CHECKING:
    from instruct_data.requests.spec import MotionRequest

_TIMES = "How often each movement is done."
_TURN = "Turn so many degrees, to the left above 0, to the right below."
_PATH = "Way on the floor: circle, half_circle, figure_eight, square, triangle, zigzag, curve, line."
_PIN = "A hand or foot at a place and time, metres: right_hand@1.5=0.4,1.3,0.3. Repeatable."
Times = Annotated[int | None, typer.Option("--times", min=1, max=100, metavar="N", help=_TIMES)]
Turned = Annotated[float | None, typer.Option("--turn", metavar="DEGREES", help=_TURN)]
Way = Annotated[str | None, typer.Option("--path", metavar="SHAPE[:SIDE[:N]]", help=_PATH)]
_BY = "Places to go by: x,z in metres a line, z ahead, x to the left."
Waypoints = Annotated[Path | None, typer.Option("--waypoints", metavar="CSV", help=_BY)]
Tempo = Annotated[float | None, typer.Option("--tempo", metavar="X", help="Times as fast as usual, 0.2 to 4.")]
Loop = Annotated[bool, typer.Option("--loop", help="The end leads into the beginning.")]
InPlace = Annotated[bool, typer.Option("--in-place", help="Without leaving the spot.")]
Pose = Annotated[str | None, typer.Option("--start-pose", metavar="FILE[:S]", help="Begin as this motion is at S.")]
EndPose = Annotated[str | None, typer.Option("--end-pose", metavar="FILE[:S]", help="End as this motion is at S.")]
Pins = Annotated[list[str] | None, typer.Option("--pin", metavar="LIMB@S=X,Y,Z", help=_PIN)]


@dataclass(frozen=True)
class Controls:
    """What was set on the command line, see the options above."""

    times: int | None = None
    turn: float | None = None
    path: str | None = None
    waypoints: Path | None = None
    tempo: float | None = None
    loop: bool = False
    in_place: bool = False
    pins: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return self != Controls()

    def check(self) -> None:
        """Raises UserError for values that are not accepted."""
        _ = self.values, self.places

    @cached_property
    def values(self) -> dict[str, Any]:
        """Attributes of a clause.

        Raises:
            UserError: values that are not accepted.
        """
        from avatargpt.body.adjustments import MAX_TEMPO, MIN_TEMPO

        out: dict[str, Any] = {"times": self.times} if self.times else {}
        if self.turn is not None:
            common.check_range("--turn", abs(self.turn), 15, 1080, " degrees, - to the right")
            out |= {"turn": abs(self.turn), "side": "left" if self.turn > 0 else "right"}
        if self.path is not None:
            out |= _path(self.path)
        if self.waypoints is not None:
            out["waypoints"] = _waypoints(self.waypoints)
        if self.tempo is not None:
            common.check_range("--tempo", self.tempo, MIN_TEMPO, MAX_TEMPO)
            out |= {"factor": self.tempo, "tempo": None}
        return out | ({"in_place": True} if self.in_place else {})

    @cached_property
    def places(self) -> list[Any]:
        """The pins.

        Raises:
            UserError: one that cannot be read.
        """
        return [_pin(said) for said in self.pins]

    def on(self, request: MotionRequest) -> MotionRequest:
        """The request with them in it."""
        clauses = [c if c.denied else c.model_copy(update=self.values) for c in request.clauses]
        whole = {"clauses": clauses, "loop": self.loop or request.loop, "pins": self.places or request.pins}
        return request.model_copy(update=whole)


def _path(said: str) -> dict[str, Any]:
    from avatargpt.requests.asked import SHAPES

    shape, _, rest = said.partition(":")
    side, _, count = rest.partition(":")
    if shape not in SHAPES or side not in ("", "left", "right") or not (count or "1").isdecimal():
        raise UserError(f"--path {said}: accepted SHAPE[:left|right[:N]], shapes {', '.join(SHAPES)}")
    return {"path": shape, **({"side": side} if side else {}), **({"times": int(count)} if count else {})}


def _waypoints(file: Path) -> list[tuple[float, float]]:
    from avatargpt.requests.paths import Route

    points = []
    for n, line in enumerate(read_text(file, 1 << 20, "accepted a file of x,z a line").splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                x, z = (float(v) for v in line.split(","))
                points.append((x, z))
            except ValueError:
                raise UserError(f"--waypoints {file} line {n}: {line.strip()[:40]!r}; accepted x,z in metres") from None
    if not 0 < len(points) <= 100:
        raise UserError(f"--waypoints {file}: {len(points)} points; accepted 1 to 100")
    Route.through(points, "")
    return points


def _pin(said: str) -> Any:
    from typing import get_args

    from instruct_data.requests.spec import Pin

    limb, _, rest = said.partition("@")
    second, _, place = rest.partition("=")
    limbs = get_args(Pin.model_fields["limb"].annotation)
    try:
        values = tuple(float(v) for v in place.split(","))
        if limb not in limbs or len(values) != 3 or max(map(abs, values)) > 100:
            raise ValueError
        return Pin(limb=limb, second=float(second), place=values)  # type: ignore[arg-type]
    except ValueError:
        raise UserError(f"--pin {said}: accepted LIMB@SECOND=X,Y,Z in metres, limbs {', '.join(limbs)}") from None


def pose(option: str, said: str | None) -> Any:
    """The frame of a motion that an option names, None = no option.

    Raises:
        UserError: a file that cannot be read, a face, a second beyond its end.
    """
    from avatargpt import export
    from avatargpt.body.edit import frame_of
    from vqvae.motion import Motion

    if said is None:
        return None
    file, _, second = said.rpartition(":")
    try:
        at = float(second) if file else None
    except ValueError:
        file, at = said, None
    motion = export.load(Path(file or said))
    if not isinstance(motion, Motion):
        raise UserError(f"{option} {said}: no body motion; accepted: FILE[:SECOND] of one")
    return frame_of(motion, at, f"{option} {said}")
