"""A decoded target and the words it was read from -> `MotionRequest` or `FaceRequest`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avatargpt.requests.vocabulary import OPEN
from instruct_data.requests.pairs import Target
from instruct_data.requests.spec import (
    MOST_DEGREES,
    MOST_SECONDS,
    MOST_TIMES,
    Clause,
    FaceClause,
    FaceRequest,
    MotionRequest,
    TurnPart,
)
from instruct_data.requests.ways import CHOICES, COPIED, VALUES
from instruct_data.requests.wording import value_of
from vqvae.errors import UserError

# Units that stand behind a number: factors of seconds and metres.
SECONDS = {"ms": 0.001, "millisecond": 0.001, "milliseconds": 0.001, "min": 60.0, "mins": 60.0, "minute": 60.0,
           "minutes": 60.0, "hour": 3600.0, "hours": 3600.0, "h": 3600.0, "m": 60.0}  # fmt: skip
METRES = {"cm": 0.01, "centimetres": 0.01, "centimeters": 0.01, "feet": 0.3048, "foot": 0.3048, "ft": 0.3048,
          "yard": 0.9144, "yards": 0.9144, "yd": 0.9144, "inch": 0.0254, "inches": 0.0254, "km": 1000.0,
          "kilometre": 1000.0, "kilometres": 1000.0}  # fmt: skip
STEPS = frozenset(("step", "steps", "pace", "paces"))  # a way of so many is so many steps, however long
_TURN = {"radian": 57.2958, "radians": 57.2958, "rad": 57.2958}
_BOUNDS = {"seconds": MOST_SECONDS, "turn": MOST_DEGREES, "distance": 1000.0, "factor": 10.0, "times": MOST_TIMES,
           "rounds": MOST_TIMES, "in_all": MOST_TIMES, "from": 100.0, "to": 100.0}  # fmt: skip
_COUNTS = ("times", "rounds", "in_all")
_TIMES = ("seconds", "total_s", "at", "until", "wait", "every", "pause")


def assembled(target: Target, words: Sequence[str], sure: Sequence[float] | None = None) -> MotionRequest | None:
    """The request that a target means, None where it has no clause.

    Args:
        target: as in `instruct_data.requests.pairs`. words: of the request. sure: probability of each of its tokens.
    """
    clauses, whole = _collected(target, words, sure)
    if not clauses:
        return None
    for one in clauses:
        if one.pop("unknown", False):
            one["known"] = False
    return MotionRequest(clauses=[Clause(**c) for c in clauses], **whole)


def assembled_face(target: Target, words: Sequence[str], sure: Sequence[float] | None = None) -> FaceRequest | None:
    """As `assembled`, of an instruction for a face."""
    clauses, whole = _collected(target, words, sure)
    if not clauses:
        return None
    for one in clauses:
        for name in ("from", "to"):
            if name in one:
                share = one.pop(name)
                one[f"{name}_share"] = share if share <= 1 else share / 100
    return FaceRequest(clauses=[FaceClause(**c) for c in clauses], **whole)


def assembled_turn(target: Target, words: Sequence[str], sure: Sequence[float] | None = None) -> list[TurnPart]:
    """The acts of a turn, as `assembled`."""
    clauses, _ = _collected(target, words, sure)
    return [TurnPart(text=c.pop("action"), **c) for c in clauses]


def _collected(
    target: Target, words: Sequence[str], sure: Sequence[float] | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What is said of each clause, and of the whole."""
    clauses: list[dict[str, Any]] = []
    whole: dict[str, Any] = {}
    at, into = 0, whole
    probabilities = list(sure or [1.0] * len(target))
    while at < len(target):
        token = target[at]
        copies = []
        after = at + 1
        while after < len(target) and isinstance(target[after], int):
            copies.append(int(target[after]))
            after += 1
        if token in OPEN:
            into = {"action": _joined(copies, words), "sure": 1.0}
            if token.startswith("act="):
                into["act"] = token.removeprefix("act=")
            into |= {"together": True} if token == "with" and clauses else {"denied": True} if token == "not" else {}
            clauses.append(into)
        elif token == "whole":
            into = whole
        elif isinstance(token, str) and "=" in token:
            name, _, value = token.partition("=")
            if value and name in CHOICES:
                into[name] = True if value == "yes" else value
            elif name in COPIED:
                into[name] = _joined(copies, words)
            elif name in VALUES:
                constant = target[after] if after < len(target) else None
                if isinstance(constant, str) and constant.startswith("#"):
                    _put(into, name, float(constant[1:]), 1.0)
                    after += 1
                elif copies and (number := value_of([words[i] for i in copies])) is not None:
                    after_it = copies[-1] + 1
                    name = "times" if name == "distance" and {*words[after_it : after_it + 1]} & STEPS else name
                    _put(into, name, number, _unit(name, words, after_it), True)
        if clauses and into is clauses[-1]:
            into["sure"] = min(into["sure"], *probabilities[at:after])
        at = after
    if clauses:
        clauses[0].pop("together", None)
    if "total_s" in whole:
        whole["seconds"] = min(whole.pop("total_s"), MOST_SECONDS)
    return clauses, whole


def _joined(copies: Sequence[int], words: Sequence[str]) -> str:
    out = ""
    for i in copies:
        glued = not words[i][0].isalnum() or out.endswith("-")
        out += words[i] if glued or not out else f" {words[i]}"
    return out


def _unit(name: str, words: Sequence[str], at: int) -> float:
    """Factor of the unit behind a number."""
    known = SECONDS if name in _TIMES else {"distance": METRES, "turn": _TURN}.get(name, {})
    for word in words[at : at + 2]:
        if word in known:
            return known[word]
        if word not in ("-", "."):
            break
    return 1.0


def _put(into: dict[str, Any], name: str, number: float, unit: float, said: bool = False) -> None:
    """Set a number, within what a request may ask for.

    Args:
        said: in numerals.

    Raises:
        UserError: a count that cannot be, in numerals.
    """
    if name in ("minutes", "total_min"):
        name, number = {"minutes": "seconds", "total_min": "total_s"}[name], 60 * number + into.get("seconds", 0.0)
    if name in _COUNTS and not 1 <= number <= MOST_TIMES:
        if not said:
            return
        raise UserError(f"{number:g} times; accepted 1 to {MOST_TIMES}")
    number *= unit
    if number <= 0 and name != "at":
        return
    most = _BOUNDS.get(name, MOST_SECONDS)
    into[name] = max(1, round(min(number, most))) if name in _COUNTS else min(number, most)
