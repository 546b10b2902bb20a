"""Users' words for actions and styles: short captions (``lexicon.yaml``) and whole requests (``everyday.yaml``)."""

# The lexicon holds third-person predicates from which captions are built, wider than the caption bank; the requests are
# orders, questions, situations and single words, for training prompts and for the phrase index.

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from instruct_data.factory.text.captions import bank_style
from instruct_data.text.english import side_of
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.strict import Strict

LEXICON = Path(__file__).parent / "lexicon.yaml"
USUAL_SECONDS = Path(__file__).parent / "usual_seconds.tsv"


@cache
def lexicon() -> dict[str, Any]:
    """The file's content: ``actions`` and ``styles``."""
    data: dict[str, Any] = read_yaml(LEXICON)
    return data


def usual_seconds() -> dict[str, float]:
    """Action -> seconds of one performance, as a person judged it: clips repeat, wait, and walk up to things."""
    rows = (line.split("\t") for line in USUAL_SECONDS.read_text(encoding="utf-8").splitlines())
    return {name: float(seconds) for name, seconds in rows}


def predicates(action: str, side: str | None = None) -> list[str]:
    """Third-person predicates for a class (the bank's key or the corpus' name), sides filled in. `side`: for actions
    whose key names no side; sentences that need one are left out when it is not known.
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

    A style that is not normal is always named.
    """
    texts = predicates(action, side)
    if not texts:
        return None
    name = bank_style(style)
    words = lexicon()["styles"].get(name)
    if words is None:
        raise UserError(f"lexicon: no style {name!r}; available: {', '.join(lexicon()['styles'])}")
    return " ".join(f"a person {rng.choice(texts)} {rng.choice(words)}".split())


# Requests: one file of texts for every class.
REQUESTS = Path(__file__).parent / "everyday.yaml"
SIDES = ("left", "right")
Kind = Literal["manner", "who"]
KINDS: tuple[Kind, ...] = ("manner", "who")


class Everyday(Strict):
    """The file's content."""

    actions: dict[str, tuple[str, ...]]  # class, with SIDE for left or right -> requests
    sides: dict[str, dict[str, tuple[str, ...]]]  # class with SIDE -> side -> requests that only this side has
    aliases: dict[str, str]  # other names of classes
    # Style -> ``manner`` (words that follow a verb) and ``who`` (persons that act so)
    styles: dict[str, dict[Kind, tuple[str, ...]]]

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
        """Words for a style: ``manner`` ("after a double shift"), ``who`` ("an old geezer") or both."""
        kinds = self.styles.get(style)
        if kinds is None:
            raise UserError(f"everyday styles: no style {style!r}; available: {', '.join(self.styles)}")
        return [text for k in KINDS if kind in (None, k) for text in kinds[k]]


@cache
def everyday_requests() -> Everyday:
    """The packaged file."""
    return Everyday.read(read_yaml(REQUESTS), REQUESTS.name)
