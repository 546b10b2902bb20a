"""A typed clause of a request -> what is looked up for it, and the turn or way that a rule makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.requests.lemmas import lemma
from avatargpt.requests.paths import BIG, SMALL, TURN, Route
from avatargpt.requests.turns import LEAST, MOST, Turn
from instruct_data.requests.spec import Clause

LIMBS = frozenset(
    "hand arm leg foot fist knee elbow shoulder eye ear hip thumb finger side heel toe wrist palm".split()
)
WAYS = {
    "forward": "forward", "backward": "backward", "left": "to the left", "right": "to the right", "up": "up",
    "down": "down", "forward_left": "diagonally forward to the left",
    "forward_right": "diagonally forward to the right", "backward_left": "diagonally backward to the left",
    "backward_right": "diagonally backward to the right",
}  # fmt: skip
SHAPES = {
    "line": "straight line", "circle": "circle", "half_circle": "half circle", "figure_eight": "figure eight",
    "square": "square", "triangle": "triangle", "zigzag": "zigzag", "curve": "quarter circle",
}  # fmt: skip
MOST_ROUNDS = 5  # of going back and forth
TURNS, QUARTER = frozenset("turn pivot rotate swivel".split()), 90.0  # degrees of "turn left"
GOING = frozenset("walk run jog stroll stride march sneak hike pace go move".split())


@dataclass(frozen=True)
class Asked:
    """What is looked up for a clause.

    Attributes:
        words: plain words with the side and the direction in them. core: those without target and style.
        turn, route: see `ClauseSpec`. clause: what was asked, None = the words are all that is known.
    """

    words: str
    core: str = ""
    turn: Turn | None = None
    route: Route | None = None
    clause: Clause | None = None


def expanded(clause: Clause) -> list[Clause]:
    """What is done one after another for a clause: going back and forth is going, turning round and going again."""
    if clause.path != "back_and_forth" or not _goes(clause.action):
        return [clause]
    own = {"path": None, "times": None, "seconds": clause.seconds and clause.seconds / 3}
    way = clause.model_copy(update=own)
    rounds = [way, Clause(action="turn", turn=180.0), way.model_copy(update={"together": False})]
    return rounds * min(clause.times or 1, MOST_ROUNDS)


def bent(clauses: Sequence[Clause]) -> list[Clause]:
    """Clauses, a turn that is made while somebody goes being one of the way: "walk, turning left as you do"."""
    out: list[Clause] = []
    for clause in clauses:
        before = out[-1] if out else None
        if before is not None and clause.together and not (before.denied or clause.denied):
            going, turn = (before, clause) if _goes(before.action) else (clause, before)
            if _goes(going.action) and not going.turn and turn.side in ("left", "right") and _turns(turn):
                own = {"turn": turn.turn or QUARTER, "side": turn.side, "together": before.together}
                out[-1] = going.model_copy(update=own)
                continue
        out.append(clause)
    return out


def _turns(clause: Clause) -> bool:
    return not _goes(clause.action) and {lemma(w) for w in clause.action.split()} <= TURNS


def measured(clause: Clause) -> bool:
    """Whether a clause says more than words can be looked up for."""
    return bool(clause.times or clause.seconds or clause.turn or clause.path or clause.distance or clause.waypoints)


def asked(clause: Clause) -> Asked:
    """What is looked up for a clause, and what a rule makes of it."""
    action = clause.action
    side = clause.side if clause.side in ("left", "right") else ""
    turn = _turn(clause, side)
    route = None if turn else _route(clause, side)
    words = _sided(action, side) if not (turn or route) else action
    if clause.side == "both" and "both" not in words.split():
        words = _sided(action, "both")
    if clause.side == "alternating":
        words += " alternately left and right"
    if clause.direction and not route and not (clause.direction == "forward" and _goes(action)):  # as one goes anyway
        way = WAYS[clause.direction]
        if clause.direction in ("left", "right") and _goes(action):
            way = f"sideways {way}"
        words += f" {way}" * (way not in words)
    if clause.in_place and not route:
        words += " on the spot"
    core = words.strip()
    told = [core, clause.target * (clause.target not in words), clause.style * (clause.style not in words)]
    return Asked(" ".join(filter(None, told)), core, turn, route, clause)


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
    """A turn by a measure, unless somebody goes on while turning."""
    if _goes(clause.action):
        return None
    alone = side and _turns(clause)
    if clause.turn is None and not alone:
        return None
    degrees = (clause.turn or QUARTER) * (clause.times or 1)
    return Turn(degrees, side) if LEAST <= degrees <= MOST else None


def _route(clause: Clause, side: str) -> Route | None:
    factor = {"slight": SMALL, "small": SMALL, "large": BIG, "very_large": BIG}.get(clause.size or "", 1.0)
    towards = side or ("right" if (clause.direction or "").endswith("right") else "left")
    if not clause.waypoints and clause.path in SHAPES:
        count = clause.times or 1 if clause.path == "circle" else 1
        return Route(SHAPES[clause.path], towards, count, factor, clause.action)
    if clause.turn is not None and _goes(clause.action) and side:
        return Route(TURN, side, 1, 1.0, clause.action, min(clause.turn, 360.0))
    if clause.waypoints:
        return Route.through(clause.waypoints, clause.action)
    if clause.distance and _goes(clause.action) and clause.direction in (None, "forward"):
        return Route("straight line", "left", 1, 1.0, clause.action, metres=clause.distance)
    return None


def _goes(action: str) -> bool:
    return any(lemma(w) in GOING for w in action.split())
