"""The suite `retrieval`: do a model's answers to held-out captions fit them, as the learnt evaluator sees it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from avatargpt.evaluation.body.retrieval import NearestCaption
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.evaluator import MotionEvaluator, fits
from avatargpt.metrics.retrieval import sides_of
from avatargpt.metrics.statistics import diversity, fid, multimodality
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import PositiveInt, Strict

Generator = Callable[[list[str], list[int]], Sequence[Motion]]
"""(prompts, seeds), equally long -> one motion per pair."""
ASKED_AT_ONCE = 64  # motions that are kept together


MODEL = "model"


def _row(name: str) -> str:
    """What follows a figure's name in that row."""
    return "" if name == MODEL else f"/{name}"


class Settings(Strict):
    """Options of the suite.

    Attributes:
        pool: motions among which a caption looks. repeats: shufflings into pools.
        several: captions that are answered several times, for multimodality. samples: how often.
    """

    pool: PositiveInt = 32
    repeats: PositiveInt = 20
    several: PositiveInt = 20
    samples: PositiveInt = 4


def pool(suite: Suite) -> int:
    """Motions among which a caption looks: no fewer may be measured."""
    return suite.settings(Settings).pool


def score(
    suite: Suite, held: list[Clip], known: list[Clip], evaluator: MotionEvaluator, generate: Generator | None,
    parts: Parts = UNKEPT,
) -> dict[str, Any]:
    """Every held-out clip's first caption.

    Args:
        suite: of kind ``retrieval``.
        held: held-out clips. known: training clips, among which the nearest neighbour is looked for.
        evaluator: the judge.
        generate: the model under test; None = only the rows that need none.

    Returns:
        ``FIGURE`` of the model and ``FIGURE/ROW`` for the rows ``real``, ``random pairing`` (real motions, each with
        another clip's caption) and ``nearest caption`` (training clip): R-precision in pools and MM-Dist, intervals
        over captions, diversity, multimodality, and FID to the real motions (covariances shrunk, for these are some
        hundred clips).

    Raises:
        UserError: fewer held-out clips with captions than a pool has.
    """
    options = suite.settings(Settings)
    held = [c for c in held if c.captions]
    if len(held) < options.pool:
        raise UserError(f"{suite.name}: {len(held)} held-out clips with captions; at least {options.pool} are needed")
    told = [c.captions[0] for c in held]
    real = evaluator.motions([c.load() for c in held])
    rows = recorded(suite, real)
    several: dict[str, np.ndarray] = {}
    chosen = np.linspace(0, len(told) - 1, min(options.several, len(told))).astype(int).tolist()
    makers: dict[str, Generator] = {"nearest caption": NearestCaption(known)}
    if generate is not None:
        makers[MODEL] = generate
    seeds = [suite.seeds[0] + k for k in range(options.samples)]
    texts = [told, [told[i] for i in chosen for _ in seeds]]
    for name, make in makers.items():
        made = _answers(make, texts, [seeds[:1] * len(told), seeds * len(chosen)], parts if name == MODEL else UNKEPT)
        rows[name] = evaluator.motions(made[: len(told)])
        several[name] = evaluator.motions(made[len(told) :]).reshape(len(chosen), len(seeds), -1)
    found = result(suite, told, evaluator, rows)
    for name, vectors in several.items():
        if options.samples > 1:
            spread = multimodality(vectors, min(10, options.samples), suite.seeds[0])
            found["results"][f"multimodality{_row(name)}"] = plain(spread)
    return found


def recorded(suite: Suite, real: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of recordings, by their (N, D) vectors: as they are, and each for another's caption."""
    shift = np.random.default_rng(suite.seeds[0]).permutation(len(real))
    return {"real": real, "random pairing": real[shift]}


def result(
    suite: Suite, told: Sequence[str], evaluator: MotionEvaluator, rows: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """`judged`, with what is said beside the figures."""
    beside = [name for name in rows if name != MODEL]
    return {"results": judged(suite, told, evaluator, rows), "clips": len(told), "evaluator": evaluator.fingerprint,
            "baselines": beside}  # fmt: skip


def judged(
    suite: Suite, told: Sequence[str], evaluator: MotionEvaluator, rows: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """``FIGURE/ROW`` of motions that answer captions, ``FIGURE`` of the model's.

    Args:
        told: (N,) captions. evaluator: the judge.
        rows: name -> (N, D) vectors of motions; ``real`` is among them, ``random pairing`` may be.
    """
    options = suite.settings(Settings)
    captions, sides = [s[None] for s in SentenceGrounder().sentence(list(told))], list(sides_of(told)[:, None])
    results: dict[str, Any] = {}
    for name, vectors in rows.items():
        found = fits(evaluator, captions, sides, vectors, options.pool, options.repeats, 1, suite.seeds[0])
        row = _row(name)
        results |= {f"{k}{row}": figure(v) for k, v in found.items()}
        if name != "random pairing":  # the same motions as `real`
            results[f"diversity{row}"] = plain(diversity(vectors, seed=suite.seeds[0]))
        if name not in ("real", "random pairing"):
            results[f"fid{row}"] = plain(fid(vectors, rows["real"], shrink=True))
    return results


def _answers(
    make: Generator, texts: Sequence[list[str]], seeds: Sequence[list[int]], parts: Parts
) -> list[Motion]:  # fmt: skip
    """Motions for some lists of texts and seeds, in one row."""
    def made(texts: list[str], seeds: list[int]) -> list[Motion]:
        return list(make(texts, seeds))

    asked = [
        (some[i : i + ASKED_AT_ONCE], own[i : i + ASKED_AT_ONCE])
        for some, own in zip(texts, seeds, strict=True) for i in range(0, len(some), ASKED_AT_ONCE)
    ]  # fmt: skip
    return [motion for few in parts.each("motions", made, asked) for motion in few]
