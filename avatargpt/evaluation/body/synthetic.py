"""Synthetic clips as the suites need them: keyframed ones made on the spot, the others from a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from instruct_data.clip import Clip
from vqvae.errors import UserError

HELD_OUT = 1_000_000
"""First seed of clips that no training has seen."""
SOURCES = ("synthetic", "keyframed")
"""Of keyframed clips, in stores and made on the spot."""
BATCH = 64


def names() -> list[str]:
    """The keyframed action families with a file of their own."""
    from instruct_data.synth import actions

    return sorted(actions())


def made(per_family: int, first: int = HELD_OUT, only: Sequence[str] | None = None) -> Iterator[Clip]:
    """`per_family` keyframed clips of every action with a file (or of `only`), with the seeds from `first` on.

    Args:
        per_family: clips of each.
        first: seed of the first one.
        only: names of families, entries of the lexicon too; None = the actions with a file.

    Raises:
        UserError: a name in `only` is no family.
    """
    from instruct_data.synth import families, keyframed

    every = families()
    unknown = sorted(set(only or ()) - set(every))
    if unknown:
        raise UserError(f"no keyframed family called {', '.join(unknown)}; accepted: {', '.join(sorted(every))}")
    for name in sorted(only) if only is not None else names():
        for start in range(0, per_family, BATCH):
            seeds = range(first + start, first + min(start + BATCH, per_family))
            yield from keyframed(every[name], seeds)


def stored(store: Path, split: str | None) -> list[Clip]:
    """Keyframed clips of a split of a motion store (train, val, test, or None for all)."""
    from instruct_data.store import Store

    return [c for c in Store.open(store, verify=False).clips(split) if c.source in SOURCES]
