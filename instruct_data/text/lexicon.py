"""Everyday names of actions and styles: short captions as people type them, with a wider vocabulary than the bank's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.text.captions import bank_style
from instruct_data.text.mirror import side_of
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml

PATH = Path(__file__).parent / "lexicon.yaml"


@cache
def lexicon() -> dict[str, Any]:
    """The file's content: ``actions`` and ``styles``."""
    data: dict[str, Any] = read_yaml(PATH)
    return data


def predicates(action: str, side: str | None = None) -> list[str]:
    """Third-person predicates for a class (the bank's key or the corpus' name), sides filled in.

    Args:
        side: for actions whose key names no side; sentences that need one are left out when it is not known.
    """
    key = action.replace("-", "_")
    own = side_of(key.replace("_", " "))
    side = own if own in ("left", "right") else side
    texts = lexicon()["actions"].get(key, [])
    if side not in ("left", "right"):
        return [t for t in texts if "SIDE" not in t]
    return [t.replace("SIDE", side) for t in texts]


def everyday(action: str, style: str, rng: np.random.Generator, side: str | None = None) -> str | None:
    """A short caption such as "a person hoists the left arm tiredly", or None for an action without an entry.

    A style that is not normal is always said.

    Raises:
        UserError: a style without an entry.
    """
    texts = predicates(action, side)
    if not texts:
        return None
    name = bank_style(style)
    words = lexicon()["styles"].get(name)
    if words is None:
        raise UserError(f"lexicon: no style {name!r}; available: {', '.join(lexicon()['styles'])}")
    return " ".join(f"a person {rng.choice(texts)} {rng.choice(words)}".split())
