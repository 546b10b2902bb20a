"""`ClauseSpec`: a clause of a request with the caption that it is shown by, its query, and its turn or path."""
# Turns and paths are rules. The network walks, runs or sneaks, but takes neither degrees nor ways: a turn is cut where
# it has come so far (`avatargpt.body.model`), a path is bent to its shape (`avatargpt.body.generate.along`).

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from avatargpt.requests.english import lemma, lemmas
from instruct_data import attributes
from instruct_data.requests.spec import Clause, MotionRequest
from instruct_data.text.english import side_of
from vqvae.errors import UserError

MIN_TURN, MAX_TURN = 15.0, 1080.0  # degrees
RUN_TIME = 0.75  # of the time of a walk, of a shape, whose bends it takes wider
SMALL_SIZE, BIG_SIZE = 0.7, 1.4  # of the time of a shape of usual size
TOKEN_METRES, RUN_TOKEN_METRES, MIN_PATH_TOKENS = 0.25, 0.53, 8  # metres a motion token of walks and runs
RUNNING = frozenset("run sprint jog dash race".split())
MIN_LEG = 0.3  # metres between two waypoints
MAX_WAY_TOKENS = 3000  # of a path: ten minutes at five tokens a second
# of a walk that goes straight on before and after it
TURN = "turn"

Shape = Callable[[np.ndarray], np.ndarray]


_TEMPO = {"very_slow": "slow", "slow": "slow", "fast": "fast", "very_fast": "fast"}
_SIZE = {"slight": "small", "small": "small", "large": "large", "very_large": "large"}


@dataclass(frozen=True)
class Turn:
    """A turn on the spot by `degrees` above 0, to the `side` left or right of the body (empty = either)."""

    degrees: float
    side: str = ""

    @property
    def words(self) -> str:
        """A request for such an action, whatever its degrees."""
        return f"a person turns around to the {self.side}" if self.side else "a person turns to face the other way"

    def measure_miss(self, turned: float) -> float:
        """Degrees between the goal and a turn, positive to the left."""
        signed = {"left": turned, "right": -turned}.get(self.side, abs(turned))
        return abs(signed - self.degrees)


def _legs(*degrees: float) -> Shape:
    """Straight legs of equal length in these directions."""
    return lambda u: np.array(degrees)[np.minimum((u * len(degrees)).astype(int), len(degrees) - 1)]


# name -> degrees of heading over the share of the way (0..1), to the left; motion tokens that it takes to walk it
SHAPES: dict[str, tuple[Shape, int]] = {
    "circle": (lambda u: 360 * u, 44),
    "half circle": (lambda u: 180 * u, 26),
    "quarter circle": (lambda u: 90 * u, 18),
    "figure eight": (lambda u: 360 - 360 * np.abs(2 * u - 1), 80),
    "zigzag": (lambda u: _legs(40, -40, 40, -40, 40, -40)(u) * (u > 0.03), 48),
    "square": (_legs(0, 90, 180, 270), 60),
    "triangle": (_legs(0, 120, 240), 50),
    "straight line": (lambda u: 0 * u, 0),
    TURN: (lambda u: np.where(u < 0.5, 0, 90), 0),
}


@dataclass(frozen=True)
class Route:
    """A path on the floor."""

    shape: str  # a name in `SHAPES`
    side: str  # to which it begins, left or right
    count: int  # how often a circle is gone
    size: float  # factor of its time
    words: str  # the request without it
    degrees: float = 90.0  # of a `TURN`
    metres: float = 0.0  # how far, 0 = as it comes
    places: tuple[tuple[float, float], ...] = ()  # that it is led by, metres to the left and ahead

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]], words: str) -> Route:
        """By way of (x, z) metres, +z ahead and +x to the left; a first 0, 0 is where it begins.

        Raises UserError for points that are too close, too far, or no numbers.
        """
        places = np.array([(0.0, 0.0), *points])
        longest = MAX_WAY_TOKENS * TOKEN_METRES
        if (wrong := places[~(np.abs(places) <= longest)]).size:  # NaN, too
            raise UserError(f"waypoints: a place of {wrong[0]:g} m; accepted: up to {longest:g}")
        places = places[2:] if len(places) > 2 and not places[1].any() else places[1:]
        lengths = np.linalg.norm(np.diff(places, axis=0, prepend=0), axis=1)
        if lengths.min() < MIN_LEG:
            raise UserError(f"waypoints {lengths.min():.2f} m apart; accepted: {MIN_LEG:g} or more, also from 0, 0")
        if lengths.sum() > longest:
            raise UserError(f"waypoints: {lengths.sum():.0f} m in all; accepted: up to {longest:g}")
        rows = tuple((float(x), float(z)) for x, z in places)
        return cls("straight line", "left", 1, 1.0, words, metres=float(lengths.sum()), places=rows)

    @property
    def turn(self) -> Turn | None:
        """From the first heading to the last one; None where these hardly differ."""
        degrees = float(self.heading(np.ones(1))[0])
        return Turn(abs(degrees), "left" if degrees > 0 else "right") if abs(degrees) >= QUARTER_TURN else None

    @property
    def description(self) -> str:
        """In words, behind those of the action."""
        if self.places:
            return f"by {len(self.places)} waypoints, {self.metres:.1f} m"
        if self.metres:
            return f"{self.metres:g} metres far"
        if self.shape == "straight line":
            return "in a straight line"
        if self.shape == TURN:
            return f"with a turn of {self.degrees:g} degrees to the {self.side}"
        count = {1: "a", 2: "two"}.get(self.count, str(self.count))
        size = "small " if self.size < 1 else "big " if self.size > 1 else ""
        return f"in {count} {size}{self.shape}{'s' * (self.count > 1)} to the {self.side}"

    @property
    def tokens(self) -> int:
        """Motion tokens that it takes, 0 = as many as usual."""
        runs = any(lemma(w) in RUNNING for w in self.words.split())
        if self.metres:
            return max(MIN_PATH_TOKENS, round(self.metres / (RUN_TOKEN_METRES if runs else TOKEN_METRES)))
        return round(SHAPES[self.shape][1] * self.count * self.size * (RUN_TIME if runs else 1.0))

    def heading(self, way: np.ndarray) -> np.ndarray:
        """Degrees, positive to the left, at shares of the way (T,) 0..1."""
        turns = self.count * np.asarray(SHAPES[self.shape][0](way), float) * (self.degrees / 90)
        return -turns if self.side == "right" else turns


@dataclass(frozen=True)
class ClauseSpec:
    """One clause of a request with the caption that it is shown by."""

    caption: str  # of the phrase index, or the clause itself where no phrasing is near
    similarity: float  # cosine of the clause to its phrasing plus `OVERLAP_WEIGHT` times their overlap in words
    lengths: tuple[int, ...] = ()  # motion tokens of clips with this caption, from short to long; empty = unknown
    turn: Turn | None = None  # of a clause that is a turn and nothing else
    route: Route | None = None  # the path that it names
    action: str = ""  # class of the phrasing, empty where none is near
    concurrent: ClauseSpec | None = None  # action at the same time, of arms or head unless it is tentative
    tentative: bool = False  # a concurrent action that is shown afterwards where the motions do not go together
    phrasing: str = ""  # the nearest one
    words: str = ""  # of the request
    style: str = ""  # that it is shown in, empty = none
    known: float = 1.0  # probability that the action is a known one
    clause: Clause | None = None  # as it was typed, None = not read
    # Another caption of the action, and another action that the words may mean; tried where this one fails the clause
    alternatives: tuple[ClauseSpec, ...] = ()
    avoid: tuple[tuple[str, str], ...] = ()  # actions that were denied, and their captions
    in_sequence: bool = False  # a concurrent action that is only possible afterwards
    left_out: tuple[ClauseSpec, ...] = ()  # concurrent actions that are not known
    measured: Mapping[str, str] = field(default_factory=dict)  # attributes of training clips with the caption

    @property
    def attributes(self) -> dict[str, str]:
        """Typed attributes for the network: those of clips with the caption, and over them what the clause says."""
        if not self.measured:
            return {}
        out = {**self.measured, "quality": "good"}
        clause = self.clause
        if clause is None:
            return out
        named = side_of(self.caption) or out.get("side")
        if clause.side in ("left", "right") and named in ("left", "right") and named != clause.side:
            out = attributes.mirror_attributes(out)
        # It says which limb acts; the one that stands or kneels is measured.
        if clause.side and (clause.side == "both" or not {"left", "right"} & {out.get("support"), out.get("kneel")}):
            out["side"] = clause.side
        # of a limb, it is no direction of travel
        if clause.direction in attributes.DIRECTIONS and ("direction" in out or goes(f"{self.action} {clause.action}")):
            out["direction"] = clause.direction
        elif clause.direction in ("up", "down") and "rise" in out:
            out["rise"] = clause.direction
        if clause.in_place:
            out = {k: v for k, v in out.items() if k not in ("direction", "distance")}
        elif clause.distance:
            out["distance"] = attributes.nearest("distance", clause.distance)
        if self.turn is not None:
            sign = -1 if self.turn.side == "right" else 1
            out["turn"] = attributes.nearest("turn", sign * self.turn.degrees)
        if clause.times:
            out["times"] = attributes.nearest("times", clause.times)
        for name, value in (("tempo", _TEMPO.get(clause.tempo or "")), ("size", _SIZE.get(clause.size or ""))):
            if value:
                out[name] = value
        return out

    @property
    def not_shown(self) -> tuple[str, ...]:
        """A line for each part of the clause that will not be shown."""
        clause = self.clause
        if clause is None:
            return ()
        notes = []
        if self.in_sequence:
            notes.append(AFTERWARDS)
        if clause.path and self.route is None:
            notes.append(f"path {clause.path.replace('_', ' ')!r} not shown")
        if clause.style and not self.style and not {*lemmas(clause.style)} & {*lemmas(self.caption)}:
            notes.append(f"{clause.style!r} not shown")
        return tuple(f"{clause.action!r}: {note}" for note in notes)

    @property
    def request(self) -> str:
        """All of it in words that are read as this clause again."""
        if self.concurrent is not None:
            return f"{replace(self, concurrent=None).request} while {self.concurrent.request}"
        if self.turn is not None:
            side = f" to the {self.turn.side}" * bool(self.turn.side)
            return f"a person turns {self.turn.degrees:g} degrees{side}"
        if self.route is None:
            return self.caption
        if self.route.shape == TURN:
            return f"a person walks making a {self.route.side} turn of {self.route.degrees:g} degrees"
        return f"{self.caption} {self.route.description}"

    @property
    def bent_caption(self) -> str:
        """The caption for the network where no path is bent."""
        if self.route is None or self.route.shape != TURN:
            return self.caption
        return f"someone walks forward and turns {self.route.side}"


AFTERWARDS = "shown after the other, for they do not go together"
STEPS = frozenset("walk run jog sprint stroll march stride hike pace step".split())
AT_REST = "hold_still"  # action whose clips keep a posture
UPRIGHT = frozenset((
    "stand_up", "get_up_face_up", "get_up_face_down", "a person gets up from the ground",
))  # for which a seated body stands up first
LIMBS = frozenset(
    "hand arm leg foot fist knee elbow shoulder eye ear hip thumb finger side heel toe wrist palm".split()
)
DIRECTION_WORDS = {
    "forward": "forward", "backward": "backward", "left": "to the left", "right": "to the right", "up": "up",
    "down": "down", "forward_left": "diagonally forward to the left",
    "forward_right": "diagonally forward to the right", "backward_left": "diagonally backward to the left",
    "backward_right": "diagonally backward to the right",
}  # fmt: skip
PATH_SHAPES = {
    "line": "straight line", "circle": "circle", "half_circle": "half circle", "figure_eight": "figure eight",
    "square": "square", "triangle": "triangle", "zigzag": "zigzag", "curve": "quarter circle",
}  # fmt: skip
MAX_ROUNDS = 5  # of going back and forth
# actions that turn on the spot -> degrees where a request names no measure
TURNS = {
    "turn_around": 180.0, "turn_quarter_with_steps": 90.0, "turn_half_with_steps": 180.0, "turn_full_with_steps": 360.0,
    "turn_little_with_steps": 45.0, "a person turns right on the spot": 90.0, "a person turns left on the spot": 90.0,
    "a person turns around to the right on the spot": 180.0, "a person turns around to the left on the spot": 180.0,
}
# the same of those that are shown as they are unless a request names a side or a measure
SPINS = {"a person spins": 360.0, "twirl": 360.0}
TURN_VERBS, QUARTER_TURN = frozenset("turn pivot rotate swivel".split()), 90.0  # degrees of "turn left"
TRAVEL_VERBS = frozenset("walk run jog stroll stride march sneak hike pace go move".split())


@dataclass(frozen=True)
class Lookup:
    """The query for a clause."""

    words: str  # with the side and the direction
    core: str = ""  # those without target and style
    # turn, route: see `ClauseSpec`
    turn: Turn | None = None
    route: Route | None = None
    clause: Clause | None = None  # as it was typed, None = only words


def is_above(action: str) -> bool:
    """Whether an action is one of the arms or the head alone."""
    from instruct_data.resting import ARMS_ACT, HEAD_ACTS

    return action in ARMS_ACT or action in HEAD_ACTS


def is_rest(action: str) -> bool:
    """Whether an action ends in a rest: sitting or kneeling."""
    from instruct_data.resting import RESTS

    return action.removesuffix("_and_stay") in RESTS  # "sit_down", "sit_down_and_stay"


def which_is_below(first: str, second: str) -> int | None:
    """Of two concurrent actions the one that gives the legs, 0 or 1; None where they do not go together."""
    # arms or the head alone do the other one: it is laid over the first as in the layered clips of the training data
    from instruct_data.resting import GAITS

    for i, (lower, upper) in enumerate(((first, second), (second, first))):
        if (lower in GAITS or (goes(lower) and not is_above(lower))) and is_above(upper):
            return i
    return None


def one_by_one(clauses: Iterable[ClauseSpec]) -> Iterator[ClauseSpec]:
    """Clauses with those concurrent actions behind them that are only tentative."""
    for clause in clauses:
        if clause.concurrent is None or not clause.concurrent.tentative:
            yield clause
        else:
            yield replace(clause, concurrent=None)
            yield replace(clause.concurrent, in_sequence=True)


def goes(action: str) -> bool:
    """Whether an action consists of steps: "walk_left", "a person runs or jogs"."""
    return any(lemma(w) in STEPS for w in re.findall("[a-z]+", action))


def expand_clause(clause: Clause) -> list[Clause]:
    """The clauses that replace one: going back and forth is going, turning round and going again."""
    if clause.path != "back_and_forth" or not _travels(clause):
        return [clause]
    way = clause.model_copy(update={"path": None, "times": None, "seconds": clause.seconds and clause.seconds / 3})
    rounds = [way, Clause(action="turn", turn=180.0), way.model_copy(update={"together": False})]
    return rounds * min(clause.times or 1, MAX_ROUNDS)


def with_bends(clauses: Sequence[Clause]) -> list[Clause]:
    """Clauses with concurrent turns as bends of the path: "walk, turning left as you do"."""
    out: list[Clause] = []
    for clause in clauses:
        before = out[-1] if out else None
        if before is not None and clause.together and not (before.denied or clause.denied):
            going, turn = (before, clause) if _travels(before) else (clause, before)
            if _travels(going) and not going.turn and turn.side in ("left", "right") and _turns(turn):
                bend = {"turn": turn.turn or QUARTER_TURN, "side": turn.side, "together": before.together}
                out[-1] = going.model_copy(update=bend)
                continue
        out.append(clause)
    return out


def cycles_in_place(request: MotionRequest) -> MotionRequest:
    """The request with gaits that go on the spot in a loop as cycles: strides are kept, and the way is taken out."""
    gaits = [c.in_place and _travels(c) for c in request.clauses]
    if not any(gaits) or not (request.loop or request.treadmill):
        return request
    clauses = [
        c.model_copy(update={"in_place": False}) if gait else c for c, gait in zip(request.clauses, gaits, strict=True)
    ]
    return request.model_copy(update={"clauses": clauses, "treadmill": True})


def lookup_of(clause: Clause) -> Lookup:
    """The query for a clause."""
    action = clause.action
    side = clause.side if clause.side in ("left", "right") else ""
    turn = _turn(clause, side)
    route = None if turn else _route(clause, side)
    words = _name_side(action, side) if not (turn or route) else action
    if clause.side == "both" and "both" not in words.split():
        words = _name_side(action, "both")
    if clause.side == "alternating":
        words += " alternately left and right"
    # one goes forward anyway
    if clause.direction and not route and not (clause.direction == "forward" and _travels(clause)):
        way = DIRECTION_WORDS[clause.direction]
        if clause.direction in ("left", "right") and _travels(clause):
            way = f"sideways {way}"
        words += f" {way}" * (way not in words)
    if clause.in_place and not route:
        words += " on the spot"
    core = words.strip()
    parts = [core, *(x for x in (clause.other, clause.target, clause.style) if x not in words)]
    return Lookup(" ".join(filter(None, parts)), core, turn, route, clause)


def _turns(clause: Clause) -> bool:
    """Whether a clause is a turn on the spot, by what it was read as; of an unread one its words say so."""
    if clause.name:
        return clause.name in TURNS or clause.name in SPINS
    return not _travels(clause) and {lemma(w) for w in clause.action.split()} <= TURN_VERBS


def _travels(clause: Clause) -> bool:
    """Whether a clause goes somewhere, likewise."""
    return any(lemma(w) in TRAVEL_VERBS for w in (clause.name.replace("_", " ") or clause.action).split())


def _name_side(action: str, side: str) -> str:
    """An action with its side where English has it: before the limb, else behind the verb phrase."""
    words = action.split()
    if not side or side in words:
        return action
    for i, word in enumerate(words):
        if lemma(word) in LIMBS:
            return " ".join([*words[:i], side, *words[i:]])
    return f"{action} {side}"


def _turn(clause: Clause, side: str) -> Turn | None:
    """A turn by a measure, unless the body goes on while turning."""
    named = side or clause.name in TURNS
    if _travels(clause) or (clause.turn is None and not (named and _turns(clause))):
        return None
    if clause.name and not _turns(clause):  # a jump with half a turn is a jump
        return None
    degrees = (clause.turn or (TURNS | SPINS).get(clause.name, QUARTER_TURN)) * (clause.times or 1)
    return Turn(degrees, side) if MIN_TURN <= degrees <= MAX_TURN else None


def _route(clause: Clause, side: str) -> Route | None:
    sizes = {"slight": SMALL_SIZE, "small": SMALL_SIZE, "large": BIG_SIZE, "very_large": BIG_SIZE}
    towards = side or ("right" if (clause.direction or "").endswith("right") else "left")
    if not clause.waypoints and clause.path in PATH_SHAPES:
        count = clause.times or 1 if clause.path == "circle" else 1
        return Route(PATH_SHAPES[clause.path], towards, count, sizes.get(clause.size or "", 1.0), clause.action)
    if clause.turn is not None and _travels(clause) and side:
        return Route(TURN, side, 1, 1.0, clause.action, min(clause.turn, 360.0))
    if clause.waypoints:
        return Route.through(clause.waypoints, clause.action)
    if clause.distance and _travels(clause) and clause.direction in (None, "forward"):
        return Route("straight line", "left", 1, 1.0, clause.action, metres=clause.distance)
    return None
