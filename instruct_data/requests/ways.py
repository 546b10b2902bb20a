"""Ways to say requests: templates in YAML whose marks tell what the words mean, and what they are when filled in.

The mark-up of a line (docs/requests.md): ``{do}`` ``{does}`` ``{doing}`` ``{did}`` stand for the action of clause A,
``{B.do}`` for that of B, which follows in time; ``{B+.do}`` happens together with A, ``{B!.do}`` is not done.
``{n}`` ``{s}`` ``{deg}`` ... are numbers, ``{side}`` a side, ``{who}`` ``{place}`` ``{obj}`` words that say nothing.
``[tempo=fast: in a hurry]`` are words that mean an attribute, ``[style: like a cat]`` words that are copied into it,
``(kick)`` words that are the action, ``(A,B: kick)`` that of two clauses. ``<a|b|>`` are alternatives, which may hold
marks; ``((`` and ``))`` are brackets that are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import product
from math import prod
from typing import Any, get_args

import yaml

from instruct_data.requests.spec import Direction, Path, Side, Size, Strength, Tempo
from vqvae.errors import UserError

FORMS = ("do", "does", "doing", "did")
NOUNS = ("noun", "nouns")
NUMBERS = {"n": "times", "s": "seconds", "min": "minutes", "deg": "turn", "m": "distance", "x": "factor"}
FILLERS = ("who", "they", "them", "their", "place", "obj", "opp")
CHOICES: dict[str, tuple[str, ...]] = {
    "side": get_args(Side), "tempo": get_args(Tempo), "size": get_args(Size), "strength": get_args(Strength),
    "direction": get_args(Direction), "path": get_args(Path), "until_end": ("yes",), "in_place": ("yes",),
    "loop": ("yes",),
}  # fmt: skip
VALUES = ("times", "seconds", "minutes", "turn", "distance", "factor", "total_s", "total_min")
COPIED = ("style", "target", "start", "end")
WHOLE = ("loop", "total_s", "total_min", "start", "end")  # of the request, not of a clause
ALIASES = {"n": "times", "s": "seconds", "min": "minutes", "dir": "direction", "dist": "distance", "place": "in_place",
           "x": "factor", "deg": "turn", "factor": "factor"}  # fmt: skip
WORDED = {"few": "3", "many": "8", "short": "2", "long": "10", "several": "4"}
_CLAUSE = r"(?:(?P<clause>[A-H])(?P<flag>[+!]?)(?:\.|$))?"
_SLOT = re.compile(rf"^{_CLAUSE}(?P<name>[A-Za-z%]+)$")
_MARK = re.compile(rf"^{_CLAUSE}(?P<name>[a-z_]+)(?:=(?P<value>[^:]+?))?\s*:(?P<words>.*)$", re.S)
_ACTION = re.compile(r"^(?:(?P<clauses>[A-H][+!]?(?:,[A-H][+!]?)*):)?(?P<words>.*)$", re.S)
_OPTION = re.compile(r"<[^<>|]*\|[^<>]*>|[^<]+|<")
_OPENS, _CLOSES = "\ue000", "\ue001"
MOST_WAYS = 120
_PIECE = re.compile(r"\{[^{}]*\}|\[(?:[^\[\]{}]|\{[^{}]*\})*\]|\((?:[^()\[\]{}]|\{[^{}]*\})*\)|[^{}\[\](]+")


@dataclass(frozen=True)
class Part:
    """Words of a template with what they mean.

    Attributes:
        text: literal words, or a slot's name. slot: whether it is one. clauses: whom it belongs to, "A", "B", ...
        role: "" = nothing, "action", or an attribute. value: of the attribute; "" = the words themselves.
    """

    text: str
    slot: bool = False
    clauses: tuple[str, ...] = ("A",)
    role: str = ""
    value: str = ""


@dataclass(frozen=True)
class Way:
    """One template.

    Attributes:
        text: as written. construct, author: of its file. parts: in order.
        flags: clause -> "", "+" (together with the one before) or "!" (not done), in the order of time.
    """

    text: str
    construct: str
    author: str
    parts: tuple[Part, ...]
    flags: dict[str, str]


def read_ways(text: str, construct: str = "", author: str = "") -> list[Way]:
    """One for each combination of a line's alternatives, at most `MOST_WAYS`.

    Raises:
        UserError: a mark that cannot be read.
    """
    pieces = _OPTION.findall(text)
    options = [p[1:-1].split("|") if p[0] == "<" and "|" in p else [p] for p in pieces]
    if (count := prod(len(o) for o in options)) > MOST_WAYS:
        raise UserError(f"{text!r}: {count} combinations; accepted: {MOST_WAYS}")
    return [_read_way(text, "".join(chosen), construct, author) for chosen in product(*options)]


def _read_way(whole: str, text: str, construct: str, author: str) -> Way:
    text = text.replace("((", _OPENS).replace("))", _CLOSES)
    flags: dict[str, str] = {}
    parts: list[Part] = []
    at = 0
    for found in _PIECE.finditer(text):
        if found.start() != at:
            raise UserError(f"{text!r}: unclear at {text[at : at + 12]!r}")
        at = found.end()
        parts += _parts(found[0], flags, text)
    if at != len(text):
        raise UserError(f"{text!r}: unclear at {text[at : at + 12]!r}")
    acted = {c for p in parts if p.role == "action" for c in p.clauses}
    if missing := {c for p in parts if p.role and p.role not in WHOLE for c in p.clauses} - acted:
        raise UserError(f"{text!r}: clause {', '.join(sorted(missing))} has no action")
    order = sorted(acted)
    if order and flags.get(order[0]) == "+":
        raise UserError(f"{text!r}: clause {order[0]} has nothing to be together with")
    plain = [replace(p, text=p.text.replace(_OPENS, "(").replace(_CLOSES, ")")) for p in parts]
    return Way(whole, construct, author, tuple(plain), {c: flags.get(c, "") for c in order})


def _parts(piece: str, flags: dict[str, str], whole: str) -> list[Part]:
    inside = piece[1:-1]
    if piece[0] == "{":
        return [_slot(inside, flags, whole)]
    if piece[0] == "(":
        found = _ACTION.match(inside)
        assert found
        clauses = []
        for one in (found["clauses"] or "A").split(","):
            clauses.append(one[0])
            _flag(flags, one[0], one[1:])
        return _words(found["words"], tuple(clauses), "action", "", flags, whole)
    if piece[0] == "[":
        found = _MARK.match(inside)
        if not found:
            raise UserError(f"{whole!r}: {piece}; accepted [attribute=value: words]")
        name = ALIASES.get(found["name"], found["name"])
        value = WORDED.get(found["value"] or "", (found["value"] or "").strip())
        if name == "seconds" and value == "end":
            name, value = "until_end", "yes"
        clause = found["clause"] or "A"
        _flag(flags, clause, found["flag"] or "")
        _check(name, value, "{" in found["words"], piece, whole)
        return _words(found["words"].strip(), (clause,), name, value, flags, whole)
    return [Part(piece)]


def _check(name: str, value: str, slots: bool, piece: str, whole: str) -> None:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise UserError(f"{whole!r}: {piece}; accepted values: {', '.join(CHOICES[name])}")
    elif name in VALUES:
        try:
            ok = slots if not value else float(value) > 0
        except ValueError:
            ok = False
        if not ok:
            raise UserError(f"{whole!r}: {piece}; accepted: a number, or a slot for one")
    elif name not in COPIED or value:
        known = ", ".join([*CHOICES, *VALUES, *COPIED])
        raise UserError(f"{whole!r}: {piece}; accepted attributes: {known}")


def _words(text: str, clauses: tuple[str, ...], role: str, value: str, flags: dict[str, str], whole: str) -> list[Part]:
    """Words inside a mark, with slots among them."""
    out = []
    for bit in re.findall(r"\{[^{}]*\}|[^{}]+", text):
        if bit[0] != "{":
            out.append(Part(bit, False, clauses, role, value))
            continue
        slot = _slot(bit[1:-1], flags, whole)
        if slot.text in NUMBERS and role in VALUES:
            slot = Part(slot.text, True, clauses, role, "")
        elif slot.text in FILLERS and role in ("action", *COPIED):
            slot = Part(slot.text, True, clauses, role, value)
        out.append(slot)
    return out


def _slot(inside: str, flags: dict[str, str], whole: str) -> Part:
    found = _SLOT.match(inside)
    name = found["name"] if found else ""
    if name == "Who":
        name = "who"
    if not found or name not in (*FORMS, *NOUNS, *NUMBERS, *FILLERS, "side"):
        slots = ", ".join((*FORMS, *NOUNS, *NUMBERS, *FILLERS, "side"))
        raise UserError(f"{whole!r}: {{{inside}}}; accepted slots: {slots}")
    clause = found["clause"] or "A"
    _flag(flags, clause, found["flag"] or "")
    role = "action" if name in (*FORMS, *NOUNS) else NUMBERS.get(name, "side" if name == "side" else "")
    return Part(name, True, (clause,), role)


def _flag(flags: dict[str, str], clause: str, flag: str) -> None:
    flags[clause] = flag or flags.get(clause, "")


@cache
def all_ways() -> tuple[Way, ...]:
    """Every way of the package, a line's alternatives in a row."""
    return tuple(_all())


def _all() -> Iterator[Way]:
    folder = files("instruct_data.requests") / "ways"
    for entry in sorted((e for e in folder.iterdir() if e.name.endswith(".yaml")), key=lambda e: e.name):
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        held: dict[str, Any] = yaml.load(entry.read_text(encoding="utf-8"), loader)
        for text in held["ways"]:
            yield from read_ways(text, held["construct"], held["author"])


if __name__ == "__main__":  # check files: python -m instruct_data.requests.ways FILE ...
    import sys

    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as file:
            held = yaml.safe_load(file)
        wrong = 0
        for text in held["ways"]:
            try:
                read_ways(text)
            except UserError as e:
                wrong += 1
                print(e)
        print(f"{name}: {len(held['ways'])} ways, {wrong} wrong")
