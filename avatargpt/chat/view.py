"""What parts of a turn are read against: the segments that stand, and places between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from avatargpt.chat.references import OpenReference, Outlook, Similarity, Target, kind_of, target
from avatargpt.chat.turn_text import ChatTurn
from instruct_data.dialogue.acts import Act
from instruct_data.requests.spec import TurnPart
from vqvae.errors import UserError

USUAL_SECONDS = 4.0  # of a movement that is not made yet


class NotThere(UserError):
    """Words that point at a segment that does not stand."""

    def __init__(self, words: str) -> None:
        super().__init__(f"there is no {words!r} in the timeline; accepted: its words or number, e.g. segment 1")


@dataclass
class View:
    """What parts of a turn are read against; acts of earlier parts are done in it."""

    turn: ChatTurn
    outlook: Outlook
    similarity: Similarity | None = None

    @property
    def count(self) -> int:
        return self.outlook.count

    @property
    def focus(self) -> int:
        """The segment last spoken of, from 1."""
        return self.outlook.focus or self.count

    def at(self, words: str) -> Target:
        """The target of words; without words, the segment last spoken of; raises UserError where there is none."""
        goal = self.find(words)
        if goal is None and self.count:
            raise NotThere(words)
        return goal or Target()

    def find(self, words: str) -> Target | None:
        """As `at`, with None where there is none."""
        return target(words, self.outlook, self.similarity) if words and self.count else Target()

    def numbers(self, goal: Target) -> Sequence[int]:
        """The segments of a target: several, all, one, or the one last spoken of."""
        return goal.several or (range(1, self.count + 1) if goal.everything else (goal.segment or self.focus,))

    def apply(self, act: Act) -> None:
        """The outlook after an act, as far as later parts of the turn may refer to it."""
        text, outlook = str(act.text or act.scene or act.file or ""), self.outlook
        if act.do == "undo" and self.turn.former is not None:
            self.outlook = outlook_of(self.turn.former)
            return
        if act.do == "make":
            outlook.clear()
        if act.do in ("make", "then", "load", "plan", "before"):
            at = act.at if act.do == "plan" else act.segment if act.do == "before" else None
            outlook.insert(self.count if at is None else at - 1, text, act.seconds or USUAL_SECONDS)
        elif act.do == "delete" and act.segment:
            outlook.remove(act.segment - 1)
        elif act.segment:
            outlook.focus = act.segment


def outlook_of(turn: ChatTurn) -> Outlook:
    """What a turn can point at."""
    rows = (list(turn.captions), list(turn.lengths), list(turn.names), list(turn.activities))
    outlook = Outlook(*rows, turn.focus, list(turn.starts))
    return replace(outlook, among=kind_of(turn.history[-1], outlook)) if turn.history else outlook


def gap(p: TurnPart, view: View) -> int | None:
    """Number of segments before the place that a part names.

    Raises:
        UserError: there are several such places, or none.
    """
    count = view.count
    words = p.to_of if p.act == "move" else p.of or p.to_of
    if p.where == "between" and p.act != "move" and p.of and p.to_of:
        return _between(p, view)
    goal = view.at(words)
    if p.where in ("start", "end"):
        edge = goal.first if p.where == "start" else goal.last
        if edge is None:
            return 0 if p.where == "start" else count
        return edge - 1 if p.where == "start" else edge
    neighbours = len(goal.several) == 2 and goal.several[1] == goal.several[0] + 1
    if p.where == "between" or (p.act == "before" and p.where is None and neighbours):
        if neighbours:
            return goal.several[0]
        if goal.time is not None and goal.segment:  # "in at second 12"
            return _at_time(goal, view)
        if count == 2:
            return 1
        raise UserError(f"between which of the {count} segments? e.g. between segments 1 and 2")
    if goal.time is not None and p.where is None and goal.segment:
        return _at_time(goal, view)
    if goal.everything:
        return count if p.where == "after" else 0
    if p.where == "after":
        return goal.last or (view.focus if words else count)
    return (goal.first or (view.focus if words else 1)) - 1


def _between(p: TurnPart, view: View) -> int:
    """The place between two segments; of several that may be meant, between two neighbours, first in the order named.

    Raises:
        UserError: they are no neighbours.
    """
    befores, afters = _ends(p.of, view), _ends(p.to_of, view)
    for a, b in ((befores, afters), (afters, befores)):
        if place := next((n for n in a if n + 1 in b), 0):
            return place
    low, high = sorted((befores[-1], afters[-1]))
    raise UserError(f"segments {low} and {high} are not neighbours; say before or after which one")


def _ends(words: str, view: View) -> Sequence[int]:
    """The segments that words may mean, all of those that share as many of them."""
    try:
        goal = target(words, view.outlook) if words else None
    except OpenReference as e:
        return e.options
    return view.numbers(view.at(words) if goal is None else goal)


def _at_time(goal: Target, view: View) -> int:
    """Number of segments before a time: those that are over, or more than half over."""
    outlook, n = view.outlook, goal.segment or 1
    start = outlook.starts[n - 1] if outlook.starts else sum(outlook.lengths[: n - 1])
    return n if (goal.time or 0.0) - start > outlook.lengths[n - 1] / 2 else n - 1
