"""What fills the slots of ways to say requests: actions, subjects, feelings, scenes, names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

from instruct_data.requests.ways import TURNED, read_folder


@dataclass(frozen=True)
class Material:
    """What slots are filled with: actions in base form (``{side}`` in some), subjects with their pronouns, places,
    objects, and nouns for actions."""

    actions: Sequence[str]
    who: Sequence[tuple[str, str]]
    places: Sequence[str]
    objects: Sequence[str]
    nouns: Sequence[str] = ()
    feelings: Sequence[tuple[str, str, str]] = ()  # "angry", "angrier", "anger"
    said: Sequence[str] = ()  # words of speech
    turned: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of turns: scenes, files, segments, ...
    sided: bool = True  # sides are attributes; else they belong to the action's words


@cache
def material(domain: str = "body") -> Material:
    """The package's own words for the body or the face: all files of its folder, by name."""
    who: list[tuple[str, str]] = []
    feelings: list[tuple[str, str, str]] = []
    turned: dict[str, list[str]] = {}
    some: dict[str, list[str]] = {"actions": [], "places": [], "objects": [], "nouns": [], "said": []}
    folders = ("words/body", "words/chat") if domain == "chat" else (f"words/{domain}",)
    for held in chain.from_iterable(map(read_folder, folders)):
        who += [(w["text"], w["they"]) for w in held.get("who", [])]
        feelings += [(f["adj"], f["comp"], f["emo"]) for f in held.get("feelings", [])]
        for name, listed in some.items():
            listed += held.get(name, [])
        for name in (*TURNED, "seg"):
            turned.setdefault(name, []).extend(held.get(name, []))
    lists = {k: tuple(dict.fromkeys(v)) for k, v in some.items()}
    return Material(who=tuple(who), feelings=tuple(feelings), turned=turned, sided=domain == "body", **lists)
