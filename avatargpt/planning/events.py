"""The events that a scene names itself: read by the network that reads requests, in the order in which they happen."""
# "a nurse arrives, checks her patients, rests" has three events; "a nurse's night shift" has none. The reader says
# which words are an action, in which order and for how long; only where an event ends in the text is a rule: at the
# punctuation behind its last word, so that a place ("at the ward") stays with it.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from avatargpt.planning.library import Person, who
from avatargpt.requests.english import lemma
from avatargpt.requests.reader import OPEN, RequestReader, assembled, joined_words
from instruct_data.requests.pairs import Target
from instruct_data.text.english import third_of

STOPS = frozenset(".,;:!?-")  # that end an event
MIN_EVENTS = 2  # that a scene names, from which on they are its plan
MIN_SURE = 0.6  # of an action among words that the first reading left out
MIN_LEFT_OUT = 3  # words of such a stretch: "finds nobody and"


@dataclass(frozen=True)
class Event:
    """What a scene says that happens."""

    words: str  # with the verb in the third person: "checks her patients"
    person: Person  # who does it
    seconds: float | None = None  # how long, where the scene says it

    @property
    def task(self) -> str:
        """A short sentence about the actor: "She checks her patients."."""
        return self.person.says(f"{{^he}} {self.words}.")

    @property
    def marked(self) -> str:
        """The step that it is by itself, with the mark of its actor: "{he} checks her patients"."""
        return f"{{he}} {self.words}"


@dataclass(frozen=True)
class SceneText:
    """A scene as it was read."""

    events: tuple[Event, ...] = ()  # in order; empty for a situation that names none
    seconds: float | None = None  # of the whole, where the scene says it


# text -> who acts in it
Actor = Callable[[str], Person]


@dataclass
class _Stretch:
    """Words of a part of a scene, [start, stop), that are one event."""

    start: int
    stop: int
    order: int  # among the events in time
    words: str
    seconds: float | None
    places: set[int] = field(default_factory=set)  # of its words that the reader pointed at


def read_events(reader: RequestReader, scene: str, person: Actor | None = None) -> list[Event]:
    """The events that a scene names, in the order in which they happen; empty where it names none.

    Args:
        person: who acts in a text; None = whom the text names.

    Raises:
        UserError: a sentence is longer than the reader takes.
    """
    return list(read_scene(reader, scene, person).events)


def read_scene(reader: RequestReader, scene: str, person: Actor | None = None) -> SceneText:
    """The events of a scene, and how long all of it is to be; as `read_events`."""
    find = person or (lambda text: who(text, {}, "they"))
    actor = find(scene)
    actor = replace(actor, mood=who(actor.noun, {}, actor.gender).mood)  # a mood of one event is not of all
    events: list[Event] = []
    seconds = None
    for words, target, sure in reader.places(scene):
        request = assembled(target, words, sure)
        if request is None:
            continue
        seconds = request.seconds or seconds
        stretches = _stretches(target, words, sure)
        stretches += _left_out(reader, words, stretches)
        if actor.gender == "it" and stretches and not events:  # "she saddles the horse"
            first = " ".join(words[: min(s.start for s in stretches)])
            actor = subject if (subject := who(first, {}, "it")).gender != "it" else actor
        events += [Event(third_person(s.words), actor, s.seconds) for s in sorted(stretches, key=lambda s: s.order)]
    return SceneText(tuple(events), seconds)


def third_person(words: str) -> str:
    """A verb phrase in any form with its verb in the third person: "setting the table" -> "sets the table"."""
    verb, _, rest = words.partition(" ")
    return f"{third_of(lemma(verb.lower()))} {rest}".strip()


def _stretches(target: Target, words: Sequence[str], sure: Sequence[float], ends: bool = True) -> list[_Stretch]:
    """The events of one reading; concurrent clauses are one event. `ends`: the words end with a sentence."""
    request = assembled(target, words, sure)
    assert request is not None
    places = _places(target)
    heads = [set(p["action"]) for p in places]
    every = set().union(*(v for p in places for v in p.values()))
    situation = all(c.known is False for c in request.clauses)
    out: list[_Stretch] = []
    for k, (clause, pointed) in enumerate(zip(request.clauses, places, strict=True)):
        if clause.denied or situation:
            continue
        inside = set().union(*(v for name, v in pointed.items() if name not in ("seconds", "minutes")))
        first, last = min(inside), max(inside)
        shared = any(heads[k] & h for h in heads[:k])
        if shared:  # "walks slowly, then faster": the action's words stand once
            manner = (clause.tempo or "").replace("_", " ")
            out.append(_Stretch(first, last + 1, 2 * k, f"{clause.action} {manner}".strip(), clause.seconds, inside))
            continue
        stop = last + 1
        while stop < len(words) and words[stop] not in STOPS and stop not in every:
            stop += 1
        # no punctuation: another clause follows behind a word like "and"
        if words[stop] not in STOPS if stop < len(words) else not ends:
            stop = last + 1
        if clause.together and out:
            before = out[-1]
            start, stop = min(before.start, first), max(before.stop, stop)
            out[-1] = _Stretch(
                start, stop, before.order, joined_words(range(start, stop), words), before.seconds or clause.seconds,
                before.places | inside,
            )  # fmt: skip
            continue
        out.append(_Stretch(first, stop, 2 * k, joined_words(range(first, stop), words), clause.seconds, inside))
    return out


def _places(target: Target) -> list[dict[str, list[int]]]:
    """Of each clause of a target the places of words: of its action and of each attribute."""
    out: list[dict[str, list[int]]] = []
    name = ""
    for token in target:
        if isinstance(token, int):
            if name:
                out[-1].setdefault(name, []).append(token)
        elif token in OPEN:
            out.append({"action": []})
            name = "action"
        elif token == "whole":
            break
        elif "=" in token:
            name = token.partition("=")[0]
    return out


def _left_out(reader: RequestReader, words: Sequence[str], stretches: Sequence[_Stretch]) -> list[_Stretch]:
    """Events in the words between two events that a first reading passed over, each read by itself."""
    out: list[_Stretch] = []
    ordered = sorted(stretches, key=lambda s: s.start)
    for before, after in zip(ordered, ordered[1:], strict=False):
        start, stop = before.stop, after.start
        start = max((i + 1 for i in range(start, stop) if words[i] in STOPS), default=start)
        if stop - start < MIN_LEFT_OUT:
            continue
        bit = list(words[start:stop])
        for target, sure in reader.targets([bit]):
            request = assembled(target, bit, sure)
            if request is None or any(c.known is False or c.denied or c.sure < MIN_SURE for c in request.clauses):
                continue
            for s in _stretches(target, bit, sure, False):
                out.append(_Stretch(start + s.start, start + s.stop, before.order + 1, s.words, s.seconds))
    return out
