"""Acts of a part of a turn that arranges segments: where something goes, how fast and how long it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from avatargpt.chat.pointing import Target
from avatargpt.chat.rewording import LENGTH, TEMPO
from instruct_data.requests.spec import TurnPart
from vqvae.errors import UserError

PERCENT = 10.0  # a factor above it is in per cent
Acts = list[tuple[str, dict[str, Any]]]
Point = Callable[[str], Target | None]


def at_segment(one: Target) -> dict[str, int]:
    """The segment of an act, where one is meant."""
    return {} if one.segment is None else {"segment": one.segment}


def meant(one: Target, count: int) -> Sequence[int]:
    """The segments that are meant: several, all of `count`, one, or the last one where it is not said which."""
    return one.several or (range(1, count + 1) if one.whole else (one.segment or count,))


def gap(p: TurnPart, count: int, at: Point) -> int | None:
    """How many segments come before the place that a part tells.

    Raises:
        UserError: between what leaves more than one place.
    """
    if p.where == "start":
        return 0
    if p.where == "end":
        return count
    pointed = p.to_of if p.act == "move" else p.of or p.to_of
    one = at(pointed)
    pair = one is not None and len(one.several) == 2 and one.several[1] == one.several[0] + 1
    if p.where == "between" or (p.act == "before" and pair):
        ends = [t.segment for t in (at(p.of) if p.act != "move" else None, at(p.to_of)) if t and t.segment]
        ends = list(one.several) if one and len(one.several) == 2 else ends
        if len(ends) == 2 and abs(ends[0] - ends[1]) == 1:
            return max(ends) - 1
        if len(ends) == 2:
            raise UserError(f"segments {min(ends)} and {max(ends)} are not neighbours; say before or after which one")
        if count == 2:
            return 1
        raise UserError(f"between which of the {count} segments? e.g. between segments 1 and 2")
    if one is None:
        return None
    if one.whole:
        return count if p.where == "after" else 0
    n = one.segment or (count if p.where == "after" or pointed else 1)
    return n if p.where == "after" else n - 1


def tempo(p: TurnPart, one: Target | None) -> Acts:
    if one is None:
        return []
    factor = p.factor
    if factor is not None and factor > PERCENT:
        share = factor / 100
        factor = {"faster": 1 + share, "slower": 1 - share}.get(p.act, share)
    elif factor is not None and p.act == "slower" and factor > 1:
        factor = 1 / factor
    if factor is not None:
        return [("speed", {**at_segment(one), "factor": round(factor, 4)})] if factor > 0 else []
    if p.act == "speed":
        return []
    if one.whole:
        return [("speed", {"factor": TEMPO[p.act][p.much]})]
    some = one.several or (one.segment,)
    return [("edit", {**at_segment(Target(n)), "change": f"much {p.act}" if p.much else p.act}) for n in some]


def longer(p: TurnPart, one: Target | None, lengths: Sequence[float]) -> Acts:
    if one is None or not lengths:
        return []
    sign = 1 if p.act == "longer" else -1

    def new(old: float) -> float:
        if p.seconds is not None:
            return old + sign * p.seconds
        if p.factor is not None:
            share = p.factor / 100 if p.factor > PERCENT else p.factor
            return old * (1 + sign * share if share <= 1 else share if sign > 0 else 1 / share)
        return old * LENGTH[p.act][p.much]

    if one.whole:
        return [("total", {"seconds": round(new(sum(lengths)), 2)})]
    n = one.segment or len(lengths)
    return [("retime", {"segment": n, "seconds": round(new(lengths[n - 1]), 2)})]


def moved(p: TurnPart, count: int, at: Point) -> Acts:
    one = at(p.of)
    if one is None or one.whole or count < 2:
        return []
    other = at(p.to_of) if p.to_of else None
    if p.where is None and (one.several or (other is not None and other.segment)):
        first, last = sorted(one.several or (one.segment or count, (other.segment if other else 0) or 1))
        if first == last:
            return []
        there: Acts = [("move", {"segment": last, "to": first})]
        return there if last == first + 1 else [*there, ("move", {"segment": first + 1, "to": last})]
    segment = one.segment or count
    if p.where is None and not p.of and count == 2:  # "swap them"
        return [("move", {"segment": 2, "to": 1})]
    if p.where is None:
        return [("move", {"segment": segment, "to": p.times})] if p.times else []
    place = gap(p, count, at)
    if place is None:
        return []
    return [("move", {"segment": segment, "to": place if place >= segment else place + 1})]
