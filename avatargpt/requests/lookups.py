"""A typed clause of a request -> what is looked up for it, its turn or path; and which actions go together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.requests.clause_spec import BIG_SIZE, MAX_TURN, MIN_TURN, SMALL_SIZE, TURN, Route, Turn
from avatargpt.requests.lexical import lemma
from instruct_data.requests.spec import Clause

STEPS = frozenset("walk run jog sprint stroll march stride hike pace step".split())
UPRIGHT = frozenset((
    "stand_idle", "stand_up", "get_up_face_up", "get_up_face_down", "a person gets up from the ground",
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
TURN_VERBS, QUARTER_TURN = frozenset("turn pivot rotate swivel".split()), 90.0  # degrees of "turn left"
TRAVEL_VERBS = frozenset("walk run jog stroll stride march sneak hike pace go move".split())


@dataclass(frozen=True)
class Lookup:
    """The query for a clause.

    Attributes:
        words: with the side and the direction. core: those without target and style.
        turn, route: see `ClauseSpec`. clause: as it was typed, None = only words.
    """

    words: str
    core: str = ""
    turn: Turn | None = None
    route: Route | None = None
    clause: Clause | None = None


def is_above(action: str) -> bool:
    """Whether an action is one of the arms or the head alone."""
    from instruct_data.synth.layered import ARMS_ACT, HEAD_ACTS

    return action in ARMS_ACT or action in HEAD_ACTS


def is_rest(action: str) -> bool:
    """Whether an action ends in a rest: sitting or kneeling."""
    from instruct_data.synth.layered import RESTS

    return action in RESTS


def which_is_below(first: str, second: str) -> int | None:
    """Of two concurrent actions the one that gives the legs, 0 or 1; None where they do not go together."""
    # arms or the head alone do the other one: it is laid over the first as in the layered clips of the training data
    from instruct_data.synth.layered import GAITS

    for i, (lower, upper) in enumerate(((first, second), (second, first))):
        if (lower in GAITS or (goes(lower) and not is_above(lower))) and is_above(upper):
            return i
    return None


def goes(action: str) -> bool:
    """Whether an action consists of steps: "walk_left", "a person runs or jogs"."""
    return any(lemma(w) in STEPS for w in re.findall("[a-z]+", action))


def expanded(clause: Clause) -> list[Clause]:
    """The clauses that replace one: going back and forth is going, turning round and going again."""
    if clause.path != "back_and_forth" or not _travels(clause.action):
        return [clause]
    way = clause.model_copy(
        update={"path": None, "times": None, "seconds": clause.seconds and clause.seconds / 3}
    )
    rounds = [way, Clause(action="turn", turn=180.0), way.model_copy(update={"together": False})]
    return rounds * min(clause.times or 1, MAX_ROUNDS)


def with_bends(clauses: Sequence[Clause]) -> list[Clause]:
    """Clauses with concurrent turns as bends of the path: "walk, turning left as you do"."""
    out: list[Clause] = []
    for clause in clauses:
        before = out[-1] if out else None
        if before is not None and clause.together and not (before.denied or clause.denied):
            going, turn = (before, clause) if _travels(before.action) else (clause, before)
            if _travels(going.action) and not going.turn and turn.side in ("left", "right") and _turns(turn):
                bend = {"turn": turn.turn or QUARTER_TURN, "side": turn.side, "together": before.together}
                out[-1] = going.model_copy(update=bend)
                continue
        out.append(clause)
    return out


def measured(clause: Clause) -> bool:
    """Whether a clause has measures besides its words."""
    return bool(clause.times or clause.seconds or clause.turn or clause.path or clause.distance or clause.waypoints)


def lookup_of(clause: Clause) -> Lookup:
    """The query for a clause."""
    action = clause.action
    side = clause.side if clause.side in ("left", "right") else ""
    turn = _turn(clause, side)
    route = None if turn else _route(clause, side)
    words = _sided(action, side) if not (turn or route) else action
    if clause.side == "both" and "both" not in words.split():
        words = _sided(action, "both")
    if clause.side == "alternating":
        words += " alternately left and right"
    # one goes forward anyway
    if clause.direction and not route and not (clause.direction == "forward" and _travels(action)):
        way = DIRECTION_WORDS[clause.direction]
        if clause.direction in ("left", "right") and _travels(action):
            way = f"sideways {way}"
        words += f" {way}" * (way not in words)
    if clause.in_place and not route:
        words += " on the spot"
    core = words.strip()
    parts = [core, clause.target * (clause.target not in words), clause.style * (clause.style not in words)]
    return Lookup(" ".join(filter(None, parts)), core, turn, route, clause)


def _turns(clause: Clause) -> bool:
    return not _travels(clause.action) and {lemma(w) for w in clause.action.split()} <= TURN_VERBS


def _travels(action: str) -> bool:
    return any(lemma(w) in TRAVEL_VERBS for w in action.split())


def _sided(action: str, side: str) -> str:
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
    if _travels(clause.action) or (clause.turn is None and not (side and _turns(clause))):
        return None
    degrees = (clause.turn or QUARTER_TURN) * (clause.times or 1)
    return Turn(degrees, side) if MIN_TURN <= degrees <= MAX_TURN else None


def _route(clause: Clause, side: str) -> Route | None:
    sizes = {"slight": SMALL_SIZE, "small": SMALL_SIZE, "large": BIG_SIZE, "very_large": BIG_SIZE}
    towards = side or ("right" if (clause.direction or "").endswith("right") else "left")
    if not clause.waypoints and clause.path in PATH_SHAPES:
        count = clause.times or 1 if clause.path == "circle" else 1
        return Route(PATH_SHAPES[clause.path], towards, count, sizes.get(clause.size or "", 1.0), clause.action)
    if clause.turn is not None and _travels(clause.action) and side:
        return Route(TURN, side, 1, 1.0, clause.action, min(clause.turn, 360.0))
    if clause.waypoints:
        return Route.through(clause.waypoints, clause.action)
    if clause.distance and _travels(clause.action) and clause.direction in (None, "forward"):
        return Route("straight line", "left", 1, 1.0, clause.action, metres=clause.distance)
    return None
