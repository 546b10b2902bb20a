"""HumanML3D's protocol: what its evaluator says of the test split and of motions generated from its captions.

Source: Guo et al. 2022, `final_evaluations.py` of their code (github.com/EricGuo5513/text-to-motion).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.suites import Suite
from avatargpt.lm.devices import checked_device
from avatargpt.metrics.humanml3d import BATCH, DIM, Evaluator, load_evaluator
from avatargpt.metrics.humanml3d_networks import drawn_crop, whole_units
from avatargpt.metrics.retrieval import mm_dist, r_precision
from avatargpt.metrics.statistics import diversity, fid, multimodality, repeated
from instruct_data.sources.corpus import Report
from instruct_data.sources.humanml3d import FPS, Caption, Pair, read_pairs
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import PositiveInt, Strict

ASKED_AT_ONCE = 64  # motions that a model is asked for
EVALUATOR = "evaluator"  # in the corpus, where no other folder is named


class Maker(Protocol):
    """Texts to motions: anything that a suite can measure.

    Takes texts, frames at 20 fps (multiples of 4) and seeds, a row each; returns as many `Motion`s, or (T, 263) arrays
    of HumanML3D's features as they are in its files (not normalised).
    """

    def __call__(
        self, texts: Sequence[str], frames: Sequence[int], seeds: Sequence[int]
    ) -> Sequence[Motion | np.ndarray]: ...


class ProtocolOptions(Strict):
    """Options of the suite; the defaults are those published.

    Attributes:
        split: of the corpus. repetitions: of the whole measurement. pool: clips that are ranked among each other.
        diversity: pairs. texts, samples, pairs: of multimodality: texts, motions of each, pairs of these.
    """

    split: str = "test"
    repetitions: PositiveInt = 20
    pool: PositiveInt = 32
    diversity: PositiveInt = 300
    texts: PositiveInt = 100
    samples: PositiveInt = 30
    pairs: PositiveInt = 10


class Shown(NamedTuple):
    """A clip as one repetition shows it: `frames` of it from `start`, under one of its captions."""

    pair: Pair
    caption: Caption
    start: int
    frames: int


def drawn(pairs: Sequence[Pair], rng: np.random.Generator, pool: int) -> list[Shown]:
    """All clips in a random order, without those that fill no pool; what a clip shows is drawn in the order given."""
    shown = []
    for pair in pairs:
        caption = pair.captions[int(rng.integers(len(pair.captions)))]
        crop = drawn_crop(len(pair), rng)
        shown.append(Shown(pair, caption, crop.start, crop.frames))
    order = rng.permutation(len(shown))
    return [shown[i] for i in order[: len(shown) // pool * pool]]


def embedded(evaluator: Evaluator, shown: Sequence[Shown]) -> np.ndarray:
    """(N, joint) of the recordings that are shown."""
    return evaluator.embed_motions(s.pair.features(s.start, s.frames) for s in shown)


def maker_of(model: Any) -> Maker:
    """An `AvatarGPT` (or anything with its `generate`) as a `Maker`; a function is one already."""
    if callable(model):
        made: Maker = model
        return made

    def generate(texts: Sequence[str], frames: Sequence[int], seeds: Sequence[int]) -> Sequence[Motion | np.ndarray]:
        # Features are of steps between frames: T + 1 frames give T.
        seconds = [(t + 1) / FPS for t in frames]
        motions: Sequence[Motion] = model.generate(list(texts), seconds=seconds, seeds=list(seeds))
        return motions

    return generate


def features_of(motion: Motion | np.ndarray) -> np.ndarray:
    """(T, 263) of a generated motion, whole units of 4 frames, at most 196.

    Raises:
        UserError: another shape, numbers that are not finite, or less than a unit.
    """
    from vqvae.io.hml263 import HML263Features

    x = np.asarray(motion) if not isinstance(motion, Motion) else HML263Features().encode(motion)
    if x.ndim != 2 or x.shape[1] != DIM or not np.isfinite(x).all():
        raise UserError(f"humanml3d: a generated motion {x.shape}; accepted: a Motion, or finite features (T, {DIM})")
    try:
        return x[: whole_units(len(x))]
    except ValueError as e:
        raise UserError(f"humanml3d: a generated motion of {e}") from None


def generated(make: Maker, shown: Sequence[Shown], seeds: Sequence[int]) -> Iterator[np.ndarray]:
    """Features of a motion for each caption, as long as what is shown, asked for 64 at a time.

    Raises:
        UserError: another number of motions than texts, or see `features_of`.
    """
    for i in range(0, len(shown), ASKED_AT_ONCE):
        some = shown[i : i + ASKED_AT_ONCE]
        motions = make([s.caption.text for s in some], [s.frames for s in some], seeds[i : i + ASKED_AT_ONCE])
        if len(motions) != len(some):
            raise UserError(f"humanml3d: {len(motions)} motions for {len(some)} texts; accepted: one for each")
        yield from map(features_of, motions)


def answered(
    evaluator: Evaluator, make: Maker, shown: Sequence[Shown], seeds: Sequence[int], parts: Parts
) -> np.ndarray:  # fmt: skip
    """(N, joint) of a motion generated for each caption."""

    def embed(some: Sequence[Shown], own: Sequence[int]) -> np.ndarray:
        return evaluator.embed_motions(generated(make, some, own))

    judge = evaluator.fingerprint
    out = [np.zeros((0, evaluator.network.shape.joint), np.float32)]
    for i in range(0, len(shown), BATCH):
        some, own = shown[i : i + BATCH], seeds[i : i + BATCH]
        asked = ([s.caption.text for s in some], [s.frames for s in some], list(own))
        out.append(parts.kept(f"motions as {judge} sees them", asked, partial(embed, some, own)))
    return np.concatenate(out)


def _figures(
    texts: np.ndarray, motions: np.ndarray, real: np.ndarray, options: ProtocolOptions, seed: int
) -> dict[str, float]:
    precision = r_precision(texts, motions, options.pool)
    return {
        **{f"r_precision_{k + 1}": float(value) for k, value in enumerate(precision)},
        "mm_dist": mm_dist(texts, motions), "fid": fid(motions, real),
        "diversity": diversity(motions, options.diversity, seed),
    }  # fmt: skip


def repetition(
    pairs: Sequence[Pair],
    evaluator: Evaluator,
    make: Maker | None,
    options: ProtocolOptions,
    seed: int,
    number: int,
    parts: Parts = UNKEPT,
) -> dict[str, float]:
    """One measurement: figure with its row -> value.

    FID compares with a second drawing of the recordings, so that that of the row `real` is what drawing alone makes.
    """
    rng = np.random.default_rng([seed, number])
    shown, other = drawn(pairs, rng, options.pool), drawn(pairs, rng, options.pool)
    texts = evaluator.embed_texts([s.caption.tokens for s in shown])
    reference = embedded(evaluator, other)
    draw = int(rng.integers(1 << 31))
    rows = {"real": _figures(texts, embedded(evaluator, shown), reference, options, draw)}
    if make is not None:
        seeds = [int(s) for s in rng.integers(1 << 31, size=len(shown))]
        motions = answered(evaluator, make, shown, seeds, parts)
        rows["generated"] = _figures(texts, motions, reference, options, draw)
        chosen = sorted(int(i) for i in rng.permutation(len(shown))[: options.texts])
        more = [shown[i] for i in chosen for _ in range(options.samples - 1)]
        more_seeds = [int(s) for s in rng.integers(1 << 31, size=len(more))]
        again = answered(evaluator, make, more, more_seeds, parts)
        sets = np.concatenate([motions[chosen][:, None], again.reshape(len(chosen), options.samples - 1, -1)], 1)
        rows["generated"]["multimodality"] = multimodality(sets, options.pairs, draw)
    return {f"{name}/{row}": value for row, figures in rows.items() for name, value in figures.items()}


def score(
    suite: Suite,
    pairs: Sequence[Pair],
    evaluator: Evaluator,
    make: Maker | None,
    report: Report,
    parts: Parts = UNKEPT,
) -> dict[str, Any]:
    """The figures over all repetitions, as plain JSON.

    Raises:
        UserError: options that do not fit together, or fewer clips than a pool.
    """
    options = ProtocolOptions.read(suite.options, f"{suite.name}: options")
    if len(pairs) < options.pool or options.samples < max(2, options.pairs):
        raise UserError(
            f"{suite.name}: {len(pairs)} clips in pools of {options.pool}, {options.pairs} pairs of {options.samples} "
            "samples; accepted: a pool of clips or more, as many samples as pairs, two at least"
        )
    values: dict[str, list[float]] = {}

    def measured(number: int) -> dict[str, float]:
        found = repetition(pairs, evaluator, make, options, suite.seeds[0], number, parts)
        print(f"{suite.name}: repetition {number + 1} of {options.repetitions}", file=sys.stderr)
        return found

    what, numbers = f"repetition as {evaluator.fingerprint} sees it", range(options.repetitions)
    for found in parts.each(what, measured, [(number,) for number in numbers]):
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    results = {}
    for name, some in values.items():
        mean, low, high, n = repeated(some)
        results[name] = {"mean": round(mean, 5), "low": round(low, 5), "high": round(high, 5), "n": n}
    return {
        "evaluator": evaluator.fingerprint, "clips": len(pairs), "left_out": report.reasons(),
        "notes": dict(sorted(report.notes.items())), "options": options.model_dump(), "results": results,
    }  # fmt: skip


def run(suite: Suite, model: Any, data: Path | None, evaluator: Path | None, parts: Parts = UNKEPT) -> dict[str, Any]:
    """The suite on a HumanML3D folder.

    Args:
        model: an `AvatarGPT`, a `Maker`, or None: the row `real` alone.
        evaluator: folder of the stage `evaluator` or of the published one; None = the folder ``evaluator`` of `data`.

    Raises:
        UserError: no corpus or evaluator, see `load_evaluator` and `read_pairs`.
    """
    if data is None:
        raise UserError(f"{suite.name}: measured on HumanML3D; name its folder with --data")
    judge = load_evaluator(evaluator if evaluator is not None else data / EVALUATOR, checked_device(None))
    report = Report()
    split = str(suite.options.get("split", ProtocolOptions().split))
    pairs = read_pairs(data, split, report)
    return score(suite, pairs, judge, None if model is None else maker_of(model), report, parts)
