"""Users' words for actions and styles: short captions (``lexicon.yaml``) and whole requests (``everyday.yaml``).

The lexicon holds third-person predicates to build captions from, wider than the caption bank; the requests are orders,
questions, situations and single words, for training prompts and for looking up what a request means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from instruct_data.text.captions import bank_style
from instruct_data.text.english import side_of
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml

LEXICON = Path(__file__).parent / "lexicon.yaml"


@cache
def lexicon() -> dict[str, Any]:
    """The file's content: ``actions`` and ``styles``."""
    data: dict[str, Any] = read_yaml(LEXICON)
    return data


def predicates(action: str, side: str | None = None) -> list[str]:
    """Third-person predicates for a class (the bank's key or the corpus' name), sides filled in.

    Args:
        side: for actions whose key names no side; sentences that need one are left out when it is not known.
    """
    key = action.replace("-", "_")
    key_side = side_of(key.replace("_", " "))
    side = key_side if key_side in ("left", "right") else side
    texts = lexicon()["actions"].get(key, [])
    if side not in ("left", "right"):
        return [t for t in texts if "SIDE" not in t]
    return [t.replace("SIDE", side) for t in texts]


def everyday(action: str, style: str, rng: np.random.Generator, side: str | None = None) -> str | None:
    """A short caption such as "a person hoists the left arm tiredly", or None for an action without an entry.

    A style that is not normal is always said.
    """
    texts = predicates(action, side)
    if not texts:
        return None
    name = bank_style(style)
    words = lexicon()["styles"].get(name)
    if words is None:
        raise UserError(f"lexicon: no style {name!r}; available: {', '.join(lexicon()['styles'])}")
    return " ".join(f"a person {rng.choice(texts)} {rng.choice(words)}".split())


REQUESTS = Path(__file__).parent / "everyday.yaml"
SIDES = ("left", "right")
MOST_WORDS = 12
Kind = Literal["manner", "who"]
KINDS: tuple[Kind, ...] = ("manner", "who")
_KEY = re.compile(r"[a-z]+(?:_(?:[a-z]+|SIDE))*")
_STYLE = re.compile(r"[a-z]+(?:-[a-z]+)*")
_TEXT = re.compile(r"(?:SIDE|[a-z0-9])(?:SIDE|[a-z0-9 ,.'?-])*")


@dataclass(frozen=True)
class Everyday:
    """The file's content, checked.

    Attributes:
        actions: class, with SIDE for left or right -> requests.
        sides: class with SIDE -> side -> requests that only this side has.
        aliases: other names of classes.
        styles: style -> ``manner`` (words that follow a verb) and ``who`` (persons that act so).
    """

    actions: Mapping[str, tuple[str, ...]]
    sides: Mapping[str, Mapping[str, tuple[str, ...]]]
    aliases: Mapping[str, str]
    styles: Mapping[str, Mapping[str, tuple[str, ...]]]

    def classes(self) -> list[str]:
        """Names that `requests` takes, with left and right written out, aliases included."""
        names = [n for key in self.actions for n in dict.fromkeys(key.replace("SIDE", s) for s in SIDES)]
        return [*names, *self.aliases]

    def requests(self, key: str, side: str | None = None) -> list[str]:
        """Requests for a class, without repeats.

        Args:
            key: the bank's key or a family's name; the corpus' dashes are taken as underscores. ``walk_turn_left`` and
                ``walk_turn_SIDE`` with a side are the same.
            side: ``left`` or ``right`` where it is known; requests that name the other side are left out.
        """
        if side not in (None, *SIDES):
            raise UserError(f"everyday requests: side {side!r}; accepted: left, right")
        name = key.replace("-", "_")
        name = self.aliases.get(name, name)
        if name not in self.actions:
            parts = name.split("_")
            key_side = next((p for p in parts if p in SIDES), None)
            pattern = "_".join("SIDE" if p in SIDES else p for p in parts)
            if key_side is None or pattern not in self.actions:
                matches = get_close_matches(name, self.classes(), 3)
                hint = f"; did you mean {' or '.join(matches)}" if matches else ""
                raise UserError(f"everyday requests: no action {key!r}{hint}")
            name, side = pattern, key_side
        texts = self.actions[name]
        if "SIDE" in name:
            if side is None:
                raise UserError(f"everyday requests: {key!r} needs a side; accepted: left, right")
            texts = (*(t.replace("SIDE", side) for t in texts), *self.sides.get(name, {}).get(side, ()))
        elif side is not None:
            texts = tuple(t for t in texts if side_of(t) in (None, "both", side))
        return list(texts)

    def style_words(self, style: str, kind: Kind | None = None) -> list[str]:
        """What names a style: ``manner`` ("after a double shift"), ``who`` ("an old geezer") or both."""
        kinds = self.styles.get(style)
        if kinds is None:
            raise UserError(f"everyday styles: no style {style!r}; available: {', '.join(self.styles)}")
        return [text for k in KINDS if kind in (None, k) for text in kinds[k]]


def plain_form(text: str) -> str:
    """What two texts must not share: letters and digits alone."""
    return " ".join(re.findall(r"[a-z0-9]+|SIDE", text))


def _fields(value: Any, names: Iterable[str], where: str) -> dict[str, Any]:
    wanted = list(names)
    if not isinstance(value, dict) or set(value) != set(wanted):
        raise UserError(f"{where}: needs exactly {', '.join(wanted)}")
    return value


def _mapping(value: Any, pattern: re.Pattern[str], where: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise UserError(f"{where}: must be a mapping")
    for key, content in value.items():
        if not isinstance(key, str) or not pattern.fullmatch(key):
            raise UserError(f"{where}: not a name: {key!r}")
        yield key, content


def _texts(value: Any, where: str, sided: bool) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: must be a list of texts")
    for text in value:
        if not isinstance(text, str) or not _TEXT.fullmatch(text) or text != " ".join(text.split()):
            raise UserError(f"{where}: {text!r}: texts are lower-case words, digits and , . ' ? - (quote yes, no, on)")
        if len(text.split()) > MOST_WORDS:
            raise UserError(f"{where}: {text!r}: longer than {MOST_WORDS} words")
        if ("SIDE" in text) != sided:
            raise UserError(f"{where}: {text!r}: SIDE stands in the requests of keys with SIDE, in all and only there")
    return tuple(value)


def _no_repeats(groups: Iterable[tuple[str, Iterable[str]]], path: Path) -> None:
    seen: dict[str, str] = {}
    for name, texts in groups:
        for text in texts:
            first = seen.setdefault(plain_form(text), name)
            if first != name or seen.get(f"= {plain_form(text)}"):
                raise UserError(f"{path}: {text!r} is there twice, under {first} and {name}")
            seen[f"= {plain_form(text)}"] = name


def read(path: str | os.PathLike[str]) -> Everyday:
    """Read and check a file of requests.

    Raises:
        UserError: not readable, or any entry that is not as `Everyday` describes.
    """
    file = Path(path)
    data = read_yaml(file)
    _fields(data, ("actions", "sides", "aliases", "styles"), str(file))
    content = _mapping(data["actions"], _KEY, f"{file}: actions")
    actions = {k: _texts(v, f"{file}: actions: {k}", "SIDE" in k) for k, v in content}
    sides = {}
    for key, value in _mapping(data["sides"], _KEY, f"{file}: sides"):
        where = f"{file}: sides: {key}"
        if "SIDE" not in key or key not in actions:
            raise UserError(f"{where}: not a key with SIDE among the actions")
        sides[key] = {s: _texts(v, f"{where}: {s}", False) for s, v in _fields(value, SIDES, where).items()}
    aliases = {}
    for name, target in _mapping(data["aliases"], _KEY, f"{file}: aliases"):
        if name in actions or target not in actions or "SIDE" in target:
            raise UserError(f"{file}: aliases: {name}: must be a new name for an action without SIDE")
        aliases[name] = str(target)
    styles = {}
    for style, value in _mapping(data["styles"], _STYLE, f"{file}: styles"):
        where = f"{file}: styles: {style}"
        styles[style] = {k: _texts(v, f"{where}: {k}", False) for k, v in _fields(value, KINDS, where).items()}
    own = [(k.replace("SIDE", s), texts) for k, by_side in sides.items() for s, texts in by_side.items()]
    _no_repeats([*actions.items(), *own], file)
    _no_repeats([(s, [t for k in KINDS for t in kinds[k]]) for s, kinds in styles.items()], file)
    return Everyday(actions, sides, aliases, styles)


@cache
def everyday_requests() -> Everyday:
    """The packaged file."""
    return read(REQUESTS)
