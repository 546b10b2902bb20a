"""Sentences of our own that use the words of every class often."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.strict import Strict

PATH = Path(__file__).with_name("sentences.yaml")
_SLOT = re.compile(r"\{(\w+)\}")


class Sentences(Strict):
    """Sentences, and for each name in braces the words that it stands for."""

    lists: dict[str, list[str]]
    sentences: list[str]

    def draw(self, rng: np.random.Generator) -> str:
        """One of them, its words drawn as well, with a capital at its beginning."""
        text = self.sentences[int(rng.integers(len(self.sentences)))]
        said = _SLOT.sub(lambda m: self.lists[m[1]][int(rng.integers(len(self.lists[m[1]])))], text)
        return said[0].upper() + said[1:]


@cache
def sentences() -> Sentences:
    """The packaged ones. Raises UserError where a sentence names a list that is not there."""
    data: Any = read_yaml(PATH)
    read = Sentences.read(data, PATH.name)
    unknown = sorted({n for s in read.sentences for n in _SLOT.findall(s)} - set(read.lists))
    if unknown:
        raise UserError(f"{PATH.name}: no list {', '.join(unknown)}; accepted: {', '.join(read.lists)}")
    return read
