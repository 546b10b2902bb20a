"""Ways to say requests: templates in YAML whose marks tell what the words mean, and what they are when filled in."""

# The mark-up of a line (docs/requests.md): `{do}` `{does}` `{doing}` `{did}` stand for the action of clause A,
# `{B.do}` for that of B, which follows in time; `{B+.do}` happens together with A, `{B!.do}` is not done.
# `{xdo}`, `{ydo}` and `{zdo}` (and their other forms) are what no body can do, what animals and things do, and what one
# person does to another. `{n}` `{s}` `{deg}` ... are numbers,
# `{side}` a side, `{who}` `{place}` `{obj}` words that say nothing, `{adj}` `{comp}` `{emo}` feelings ("angry",
# "angrier", "anger").
# `[tempo=fast: in a hurry]` are words that mean an attribute, `[style: like a cat]` words that are copied into it;
# `[where=start]` sets an attribute without words, `[act=then]` names the act of a turn.
# `(kick)` words that are the action, `(A,B: kick)` that of two clauses. `<a|b|>` are alternatives, which may hold
# marks; `((` and `))` are brackets that are written.

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import product
from math import prod
from typing import Any

import yaml

from instruct_data.requests.targets import ACTS, CHOICES, COPIED, VALUES, WHOLE
from vqvae.errors import UserError

FORMS = ("do", "does", "doing", "did")
# prefix of forms -> their actions
FAMILIES = {"x": "impossible", "y": "being_actions", "z": "contacts"}
FAMILY_FORMS = tuple(f + form for f in FAMILIES for form in FORMS)
NOUNS = {"noun": "nouns", "nouns": "nouns"}  # slots -> their nouns
FEELINGS = ("adj", "comp", "emo")
ACTED = (*FORMS, *FAMILY_FORMS, *NOUNS, *FEELINGS)  # slots of what is done
NUMBERS = {
    "n": "times", "s": "seconds", "min": "minutes", "deg": "turn", "m": "distance", "x": "factor", "at": "at",
    "u": "until", "w": "wait", "e": "every", "p": "pause", "fp": "from", "tp": "to", "r": "rounds", "a": "in_all",
}  # fmt: skip
# slots whose words are those of a list
LISTED = {"being": "beings", "other": "others", "group": "groups", "impossible": "impossible"}
FILLERS = ("who", "they", "them", "their", "place", "obj", "opp", "said", *LISTED)
DOMAINS = ("face",)
ALIASES = {**NUMBERS, "dir": "direction", "dist": "distance", "place": "in_place"}
WORDED = {"few": "3", "many": "8", "short": "2", "long": "10", "several": "4"}
_CLAUSE = r"(?:(?P<clause>[A-H])(?P<flag>[+!]?)(?:\.|$))?"
_SLOT = re.compile(rf"^{_CLAUSE}(?P<name>[A-Za-z]+2?)$")
_MARK = re.compile(rf"^{_CLAUSE}(?P<name>[a-z_]+)(?:=(?P<value>[^:]+?))?\s*(?::(?P<words>.*))?$", re.S)
_ACT = re.compile(r"\[(?:(?P<clause>[A-H])\.)?act=(?P<act>[a-z]+)\]")
_ACTION = re.compile(r"^(?:(?P<clauses>[A-H][+!]?(?:,[A-H][+!]?)*):)?(?P<words>.*)$", re.S)
_OPTION = re.compile(r"<[^<>|]*\|[^<>]*>|[^<]+|<")
_OPENS, _CLOSES = "\ue000", "\ue001"
MAX_COMBINATIONS = 120
_PIECE = re.compile(r"\{[^{}]*\}|\[(?:[^\[\]{}]|\{[^{}]*\})*\]|\((?:[^()\[\]{}]|\{[^{}]*\})*\)|[^{}\[\](]+")


@dataclass(frozen=True)
class TemplatePart:
    """Words of a template with what they mean."""

    text: str  # literal words, or a slot's name
    slot: bool = False  # whether it is one
    clauses: tuple[str, ...] = ("A",)  # whom it belongs to, "A", "B", ...
    role: str = ""  # "" = nothing, "action", or an attribute
    value: str = ""  # of the attribute; "" = the words themselves


@dataclass(frozen=True)
class Way:
    """One template."""

    text: str  # as written
    # construct, author: of its file
    construct: str
    author: str
    parts: tuple[TemplatePart, ...]  # in order
    # Clause -> "", "+" (together with the one before) or "!" (not done), or the act of a turn, in the order of time
    flags: dict[str, str]


def read_ways(text: str, construct: str = "", author: str = "") -> list[Way]:
    """One for each combination of a line's alternatives, at most `MAX_COMBINATIONS`."""
    pieces = _OPTION.findall(text)
    options = [p[1:-1].split("|") if p[0] == "<" and "|" in p else [p] for p in pieces]
    if (count := prod(len(o) for o in options)) > MAX_COMBINATIONS:
        raise UserError(f"{text!r}: {count} combinations; accepted: {MAX_COMBINATIONS}")
    return [_read_way(text, "".join(chosen), construct, author) for chosen in product(*options)]


def _read_way(line: str, text: str, construct: str, author: str) -> Way:
    text = text.replace("((", _OPENS).replace("))", _CLOSES)
    flags: dict[str, str] = {}
    parts: list[TemplatePart] = []
    at = 0
    for match in _PIECE.finditer(text):
        if match.start() != at:
            raise UserError(f"{text!r}: unclear at {text[at : at + 12]!r}")
        at = match.end()
        parts += _parts(match[0], flags, text)
    if at != len(text):
        raise UserError(f"{text!r}: unclear at {text[at : at + 12]!r}")
    acted = {c for p in parts if p.role == "action" for c in p.clauses} | {c for c, f in flags.items() if f in ACTS}
    if missing := {c for p in parts if p.role and p.role not in WHOLE for c in p.clauses} - acted:
        raise UserError(f"{text!r}: clause {', '.join(sorted(missing))} has no action")
    order = sorted(acted)
    if order and flags.get(order[0]) == "+":
        raise UserError(f"{text!r}: clause {order[0]} has nothing to be together with")
    plain = [replace(p, text=p.text.replace(_OPENS, "(").replace(_CLOSES, ")")) for p in parts]
    return Way(line, construct, author, tuple(plain), {c: flags.get(c, "") for c in order})


def _parts(piece: str, flags: dict[str, str], line: str) -> list[TemplatePart]:
    inside = piece[1:-1]
    if piece[0] == "{":
        return [_slot(inside, flags, line)]
    if piece[0] == "(":
        match = _ACTION.match(inside)
        assert match
        clauses = []
        for item in (match["clauses"] or "A").split(","):
            clauses.append(item[0])
            _flag(flags, item[0], item[1:])
        return _words(match["words"], tuple(clauses), "action", "", flags, line)
    if act := _ACT.fullmatch(piece):
        if act["act"] not in ACTS:
            raise UserError(f"{line!r}: {piece}; accepted acts: {', '.join(ACTS)}")
        flags[act["clause"] or "A"] = act["act"]
        return []
    if piece[0] == "[":
        match = _MARK.match(inside)
        if not match:
            raise UserError(f"{line!r}: {piece}; accepted [attribute=value: words]")
        name = ALIASES.get(match["name"], match["name"])
        value = WORDED.get(match["value"] or "", (match["value"] or "").strip())
        if name == "seconds" and value == "end":
            name, value = "until_end", "yes"
        clause = match["clause"] or "A"
        _flag(flags, clause, match["flag"] or "")
        words = match["words"] or ""
        _check(name, value, "{" in words, piece, line)
        if not words.strip():
            if not value:
                raise UserError(f"{line!r}: {piece}; accepted: words, or a value")
            return [TemplatePart("", False, (clause,), name, value)]
        return _words(words.strip(), (clause,), name, value, flags, line)
    return [TemplatePart(piece)]


def _check(name: str, value: str, slots: bool, piece: str, line: str) -> None:
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise UserError(f"{line!r}: {piece}; accepted values: {', '.join(CHOICES[name])}")
    elif name in VALUES:
        try:
            ok = slots if not value else float(value) > 0
        except ValueError:
            ok = False
        if not ok:
            raise UserError(f"{line!r}: {piece}; accepted: a number, or a slot for one")
    elif name not in COPIED or value:
        attributes = ", ".join([*CHOICES, *VALUES, *COPIED])
        raise UserError(f"{line!r}: {piece}; accepted attributes: {attributes}")


def _words(
    text: str, clauses: tuple[str, ...], role: str, value: str, flags: dict[str, str], line: str
) -> list[TemplatePart]:
    """Words inside a mark, with slots among them."""
    out = []
    for bit in re.findall(r"\{[^{}]*\}|[^{}]+", text):
        if bit[0] != "{":
            out.append(TemplatePart(bit, False, clauses, role, value))
            continue
        slot = _slot(bit[1:-1], flags, line)
        if slot.text in NUMBERS and role in VALUES:
            slot = TemplatePart(slot.text, True, clauses, role, "")
        elif slot.text in (*FILLERS, *ACTED) and role in ("action", *COPIED):
            slot = TemplatePart(slot.text, True, clauses, role, value)
        out.append(slot)
    return out


def _slot(inside: str, flags: dict[str, str], line: str) -> TemplatePart:
    match = _SLOT.match(inside)
    name = match["name"] if match else ""
    if name == "Who":
        name = "who"
    if not match or name not in (*ACTED, *NUMBERS, *FILLERS, "side"):
        slots = ", ".join((*ACTED, *NUMBERS, *FILLERS, "side"))
        raise UserError(f"{line!r}: {{{inside}}}; accepted slots: {slots}")
    clause = match["clause"] or "A"
    _flag(flags, clause, match["flag"] or "")
    role = "action" if name in ACTED else NUMBERS.get(name, "side" if name == "side" else "")
    return TemplatePart(name, True, (clause,), role)


def _flag(flags: dict[str, str], clause: str, flag: str) -> None:
    if flags.get(clause, "") not in ACTS:
        flags[clause] = flag or flags.get(clause, "")


@cache
def all_ways(domain: str = "face") -> tuple[Way, ...]:
    """Every way of the package for the body or the face, a line's alternatives in a row."""
    contents = read_folder(f"ways/{domain}")
    return tuple(w for c in contents for text in c["ways"] for w in read_ways(text, c["construct"], c["author"]))


def read_folder(name: str) -> Iterator[dict[str, Any]]:
    """The YAML files of a folder of this package, in the order of their names."""
    folder = files("instruct_data.factory.requests") / name
    for entry in sorted((e for e in folder.iterdir() if e.name.endswith(".yaml")), key=lambda e: e.name):
        yield yaml.load(entry.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@dataclass(frozen=True)
class SlotMaterial:
    """What slots are filled with: actions in base form (``{side}`` in some), subjects with their pronouns, places,
    objects, and nouns for actions."""

    actions: Sequence[str]
    who: Sequence[tuple[str, str]]
    places: Sequence[str]
    objects: Sequence[str]
    nouns: Sequence[str] = ()
    feelings: Sequence[tuple[str, str, str]] = ()  # "angry", "angrier", "anger"
    said: Sequence[str] = ()  # words of speech
    # impossible, being_actions, contacts: actions of `FAMILIES`; beings, others, groups: who else acts. `<a|b>` are
    # alternatives in them
    impossible: Sequence[str] = ()
    being_actions: Sequence[str] = ()
    contacts: Sequence[str] = ()
    beings: Sequence[str] = ()
    others: Sequence[str] = ()
    groups: Sequence[str] = ()
    sided: bool = True  # sides are attributes; else they belong to the action's words


@cache
def material(domain: str = "face") -> SlotMaterial:
    """The package's own words for the body or the face: all files of its folder, by name."""
    who: list[tuple[str, str]] = []
    feelings: list[tuple[str, str, str]] = []
    names = ("actions", "places", "objects", "nouns", "said", *FAMILIES.values(), "beings", "others", "groups")
    lists_: dict[str, list[str]] = {name: [] for name in names}
    for content in read_folder(f"words/{domain}"):
        who += [(w["text"], w["they"]) for w in content.get("who", [])]
        feelings += [(f["adj"], f["comp"], f["emo"]) for f in content.get("feelings", [])]
        for name, listed in lists_.items():
            listed += content.get(name, [])
    lists = {k: tuple(dict.fromkeys(v)) for k, v in lists_.items()}
    return SlotMaterial(who=tuple(who), feelings=tuple(feelings), sided=domain == "body", **lists)
