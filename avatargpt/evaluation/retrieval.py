"""The suite `retrieval`: fit of motions to held-out captions, by the learnt evaluator."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.corpus import NearestCaption, load_clips
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.evaluator import MotionEvaluator, fits, sides_of
from avatargpt.metrics.statistics import diversity, fid, multimodality
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import PositiveInt, Strict

# (prompts, seeds), equally long -> one motion per pair.
Generator = Callable[[list[str], list[int]], Sequence[Motion]]
# Fixed, as other batches change the last bits of a network's answers.
GENERATED_AT_ONCE = 64
MODEL = "model"
RANDOM_PAIRING = "random pairing"


class Settings(Strict):
    """Options of the suite."""

    pool: PositiveInt = 32  # motions among which a caption is searched
    repeats: PositiveInt = 20  # shufflings into pools
    several: PositiveInt = 20  # captions that are answered several times, for multimodality
    samples: PositiveInt = 4  # how often


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a corpus, by the evaluator of ``store`` or the packaged one."""
    model = run.model
    generate = model if model is None or callable(model) else lambda texts, seeds: model.generate(texts, seeds=seeds)
    return score(
        run.suite, load_clips(run.data, str(run.suite.options.get("split", "val"))), load_clips(run.data, "train"),
        MotionEvaluator.load(run.store), generate, run.cache,
    )  # fmt: skip


def pool(suite: Suite) -> int:
    """Motions among which a caption is searched: no fewer may be measured."""
    return suite.settings(Settings).pool


def score(
    suite: Suite, held_out: list[Clip], training: list[Clip], evaluator: MotionEvaluator, generate: Generator | None,
    cache: AnswerCache = NO_CACHE,
) -> dict[str, Any]:
    """Every held-out clip's first caption.

    Args:
        generate: the model under test; None = only the rows that need none.

    Returns:
        ``FIGURE`` of the model and ``FIGURE/ROW`` for the rows ``real``, ``random pairing`` (real motions, each with
        another clip's caption) and ``nearest caption`` (training clip): R-precision in pools and MM-Dist, intervals
        over captions, diversity, multimodality, and FID to the real motions (covariances shrunk, for these are some
        hundred clips).
    """
    options = suite.settings(Settings)
    held_out = [c for c in held_out if c.captions]
    if len(held_out) < options.pool:
        raise UserError(f"{suite.name}: {len(held_out)} held-out clips with captions; "
                        f"at least {options.pool} are needed")  # fmt: skip
    captions = [c.captions[0] for c in held_out]
    real = evaluator.motions([c.load() for c in held_out])
    rows = recorded_rows(suite, real)
    several: dict[str, np.ndarray] = {}
    chosen = np.linspace(0, len(captions) - 1, min(options.several, len(captions))).astype(int).tolist()
    makers: dict[str, Generator] = {"nearest caption": NearestCaption(training)}
    if generate is not None:
        makers[MODEL] = generate
    seeds = [suite.seeds[0] + k for k in range(options.samples)]
    texts = [captions, [captions[i] for i in chosen for _ in seeds]]
    for name, make in makers.items():
        every_seed = [seeds[:1] * len(captions), seeds * len(chosen)]
        motions = _answers(make, texts, every_seed, cache if name == MODEL else NO_CACHE)
        rows[name] = evaluator.motions(motions[: len(captions)])
        several[name] = evaluator.motions(motions[len(captions) :]).reshape(len(chosen), len(seeds), -1)
    report = result(suite, captions, evaluator, rows)
    for name, vectors in several.items():
        if options.samples > 1:
            spread = multimodality(vectors, min(10, options.samples), suite.seeds[0])
            report["results"][f"multimodality{_suffix(name)}"] = plain(spread)
    return report


def recorded_rows(suite: Suite, real: np.ndarray) -> dict[str, np.ndarray]:
    """The rows of recordings, by their (N, D) vectors: as they are, and each for another's caption."""
    # A permutation: the row keeps the distribution of motions and loses the pairing.
    shift = np.random.default_rng(suite.seeds[0]).permutation(len(real))
    return {"real": real, RANDOM_PAIRING: real[shift]}


def result(
    suite: Suite, captions: Sequence[str], evaluator: MotionEvaluator, rows: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """``FIGURE/ROW`` of motions that answer captions, ``FIGURE`` of the model's, and which rows are baselines.

    Args:
        rows: name -> (N, D) vectors of motions; ``real`` is among them, ``random pairing`` may be.
    """
    options = suite.settings(Settings)
    sentences = [s[None] for s in SentenceGrounder().sentence(list(captions))]
    sides = list(sides_of(captions)[:, None])
    results: dict[str, Any] = {}
    for name, vectors in rows.items():
        fit = fits(evaluator, sentences, sides, vectors, options.pool, options.repeats, 1, suite.seeds[0])
        row = _suffix(name)
        results |= {f"{k}{row}": figure(v) for k, v in fit.items()}
        if name != RANDOM_PAIRING:  # the same motions as `real`
            results[f"diversity{row}"] = plain(diversity(vectors, seed=suite.seeds[0]))
        if name not in ("real", RANDOM_PAIRING):
            results[f"fid{row}"] = plain(fid(vectors, rows["real"], shrink=True))
    return {"results": results, "clips": len(captions), "evaluator": evaluator.fingerprint,
            "baselines": [name for name in rows if name != MODEL]}  # fmt: skip


# What follows a figure's name in that row.
def _suffix(name: str) -> str:
    return "" if name == MODEL else f"/{name}"


# Motions for lists of texts and seeds, in one row.
def _answers(
    make: Generator, texts: Sequence[list[str]], seeds: Sequence[list[int]], cache: AnswerCache
) -> list[Motion]:  # fmt: skip
    def generate(texts: list[str], seeds: list[int]) -> list[Motion]:
        return list(make(texts, seeds))

    calls = [
        (batch[i : i + GENERATED_AT_ONCE], batch_seeds[i : i + GENERATED_AT_ONCE])
        for batch, batch_seeds in zip(texts, seeds, strict=True) for i in range(0, len(batch), GENERATED_AT_ONCE)
    ]  # fmt: skip
    return [motion for few in cache.map("motions", generate, calls) for motion in few]
