"""Synthetic clips as the suites need them: keyframed ones made on the spot, the others from a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from instruct_data.text.mirror import mirror_action
from vqvae.errors import UserError

HELD_OUT = 1_000_000
"""First seed of clips that no training has seen."""
SOURCE = "synthetic"
KINDS = ("keyframed", "layered", "composed")
BATCH = 64


def names() -> list[str]:
    """The keyframed action families with a file of their own."""
    from instruct_data.synth import actions

    return sorted(actions())


def made(
    per_family: int, first: int = HELD_OUT, only: Sequence[str] | None = None, stances: np.ndarray | None = None
) -> Iterator[Clip]:
    """`per_family` keyframed clips of every action with a file (or of `only`), with the seeds from `first` on.

    Args:
        per_family: clips of each.
        first: seed of the first one.
        only: names of families, entries of the lexicon too; None = the actions with a file.
        stances: real standing poses to start from and return to, see `instruct_data.synth.keyframed`.

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
            yield from keyframed(every[name], seeds, stances)


def kind_of(clip: Clip) -> str:
    """``keyframed``, ``layered``, ``composed``: how a clip was made; "" for a real one."""
    if clip.source in KINDS:
        return clip.source
    return KINDS[0] if clip.source == SOURCE else ""


def stored(store: Path, split: str | None, kinds: Sequence[str]) -> dict[str, list[Clip]]:
    """Clips of a store by the way they were made.

    Args:
        store: folder of a motion store.
        split: train, val, test, or None for all.
        kinds: of `kind_of` to keep.
    """
    from instruct_data.store import Store

    found: dict[str, list[Clip]] = {kind: [] for kind in kinds}
    for clip in Store.open(store, verify=False).clips(split):
        kind = kind_of(clip)
        if kind in found:
            found[kind].append(clip)
    return found


def layered(real: Sequence[Clip], data: Path, count: int, seed: int = HELD_OUT) -> list[Clip]:
    """Layered clips made on the spot of real ones; none when the caption bank is not beside the corpus.

    Args:
        real: clips of the corpus.
        data: the folder of the body corpus, or one above it; the bank is ``text/body_captions.json`` near it.
        count: how many.
        seed: decides everything.
    """
    from instruct_data.synth.derived.layered import layered_clips
    from instruct_data.text.captions import CaptionBank

    for folder in (data, data / "data", data.parent):
        bank = folder / "text" / "body_captions.json"
        if bank.is_file():
            return list(layered_clips(real, CaptionBank(bank), count, seed))
    return []


def composed(real: Sequence[Clip], count: int, seed: int = HELD_OUT, longest: int = 280) -> list[Clip]:
    """Two to four real clips in a row, chosen and joined as training data are.

    Args:
        real: clips of the corpus.
        count: how many.
        seed: decides everything.
        longest: most frames of one.
    """
    from avatargpt.train.data.prepare import CYCLIC
    from instruct_data.mixture import clip_class
    from instruct_data.synth.derived.composing import Sequencer

    rng = np.random.default_rng([seed, 1])
    names = [clip_class(c) for c in real]
    sequencer = Sequencer(real, names, [n in CYCLIC for n in names], 0.5)
    everything = np.ones(len(real), bool)
    out: list[Clip] = []
    for _ in range(20 * count):
        chain = sequencer.draw(rng, [everything] * int(rng.choice([2, 3, 4], p=[0.6, 0.25, 0.15])), longest)
        if chain is not None:
            parts = [real[i].id for i in chain.items]
            action = "+".join(mirror_action(names[i]) if turned else names[i]
                              for i, turned in zip(chain.items, chain.mirrored, strict=True))  # fmt: skip
            out.append(replace(real[chain.items[0]], id=f"chain_{len(out):05d}", motion=chain.motion, action=action,
                               source="composed", extra={"parts": parts}))  # fmt: skip
        if len(out) == count:
            break
    return out
