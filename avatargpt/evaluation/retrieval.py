"""The suites `retrieval` and `humanml3d`: fit of motions to held-out captions, by evaluators that are learnt."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.corpus import NearestCaption, load_clips
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.lm.devices import check_device
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.evaluator import MotionEvaluator, fits, mm_dist, r_precision, sides_of
from avatargpt.metrics.humanml3d import BATCH, DIM, Evaluator, draw_crop, load_evaluator, whole_units
from avatargpt.metrics.statistics import diversity, fid, multimodality, summarise_repetitions
from instruct_data.clip import Clip
from instruct_data.sources.corpus import Report
from instruct_data.sources.humanml3d import FPS, Caption, CaptionedFile, read_pairs
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.strict import PositiveInt, Strict

# (prompts, seeds), equally long -> one motion per pair.
Generator = Callable[[list[str], list[int]], Sequence[Motion]]
# Fixed, as other batches change the last bits of a network's answers.
GENERATED_AT_ONCE = 64
MODEL = "model"
RANDOM_PAIRING = "random pairing"


class RetrievalSettings(Strict):
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
    return suite.settings(RetrievalSettings).pool


def score(
    suite: Suite, held_out: list[Clip], training: list[Clip], evaluator: MotionEvaluator, generate: Generator | None,
    cache: RunCache = NO_CACHE,
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
    options = suite.settings(RetrievalSettings)
    held_out = [c for c in held_out if c.captions]
    if len(held_out) < options.pool:
        raise UserError(f"{suite.name}: {len(held_out)} held-out clips with captions; "
                        f"at least {options.pool} are needed")  # fmt: skip
    captions = [c.captions[0] for c in held_out]
    real = evaluator.motions([c.load() for c in held_out])
    rows = make_recorded_rows(suite, real)
    several: dict[str, np.ndarray] = {}
    chosen = np.linspace(0, len(captions) - 1, min(options.several, len(captions))).astype(int).tolist()
    makers: dict[str, Generator] = {"nearest caption": NearestCaption(training)}
    if generate is not None:
        makers[MODEL] = generate
    seeds = [suite.seeds[0] + k for k in range(options.samples)]
    asked = [(captions, seeds[:1] * len(captions)), ([captions[i] for i in chosen for _ in seeds], seeds * len(chosen))]
    calls = [(texts[i : i + GENERATED_AT_ONCE], every_seed[i : i + GENERATED_AT_ONCE])
             for texts, every_seed in asked for i in range(0, len(texts), GENERATED_AT_ONCE)]  # fmt: skip
    for name, make in makers.items():
        stored = cache if name == MODEL else NO_CACHE
        motions = [m for few in stored.map("motions", lambda *call, make=make: list(make(*call)), calls) for m in few]
        rows[name] = evaluator.motions(motions[: len(captions)])
        several[name] = evaluator.motions(motions[len(captions) :]).reshape(len(chosen), len(seeds), -1)
    report = result(suite, captions, evaluator, rows)
    for name, vectors in several.items():
        if options.samples > 1:
            spread = multimodality(vectors, min(10, options.samples), suite.seeds[0])
            report["results"][f"multimodality{_suffix(name)}"] = plain(spread)
    return report


def make_recorded_rows(suite: Suite, real: np.ndarray) -> dict[str, np.ndarray]:
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
    options = suite.settings(RetrievalSettings)
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


# The suite `humanml3d`: HumanML3D's protocol on its test split and on motions generated from its captions.
# Source: Guo et al. 2022, `final_evaluations.py` of their code (github.com/EricGuo5513/text-to-motion).

EVALUATOR = "evaluator"  # folder in the corpus, unless another is named


class Maker(Protocol):
    """Texts to motions: anything that a suite can measure.

    Takes texts, frames at 20 fps (multiples of 4) and seeds, a row each; returns as many `Motion`s, or (T, 263) arrays
    of HumanML3D's features as they are in its files (not normalised).
    """

    def __call__(
        self, texts: Sequence[str], frames: Sequence[int], seeds: Sequence[int]
    ) -> Sequence[Motion | np.ndarray]: ...


class ProtocolOptions(Strict):
    """Options of the suite; the defaults are those published."""

    split: str = "test"  # of the corpus
    repetitions: PositiveInt = 20  # of the whole measurement
    pool: PositiveInt = 32  # clips that are ranked among each other
    diversity: PositiveInt = 300  # pairs
    # texts, samples, pairs: of multimodality: texts, motions of each, pairs of these
    texts: PositiveInt = 100
    samples: PositiveInt = 30
    pairs: PositiveInt = 10


class ClipPart(NamedTuple):
    """The part of a clip in one repetition: `frames` from `start`, under one of its captions."""

    pair: CaptionedFile
    caption: Caption
    start: int
    frames: int


def draw_parts(pairs: Sequence[CaptionedFile], rng: np.random.Generator, pool: int) -> list[ClipPart]:
    """All clips in a random order, without those that fill no pool; what a clip shows is drawn in the order given."""
    parts = []
    for pair in pairs:
        caption = pair.captions[int(rng.integers(len(pair.captions)))]
        crop = draw_crop(len(pair), rng)
        parts.append(ClipPart(pair, caption, crop.start, crop.frames))
    order = rng.permutation(len(parts))
    return [parts[i] for i in order[: len(parts) // pool * pool]]


def maker_of(model: Any) -> Maker:
    """An `AvatarGPT` (or anything with its `generate`) as a `Maker`; a function is one already."""
    if callable(model):
        maker: Maker = model
        return maker

    def generate(texts: Sequence[str], frames: Sequence[int], seeds: Sequence[int]) -> Sequence[Motion | np.ndarray]:
        # Features are of steps between frames: T + 1 frames give T.
        seconds = [(t + 1) / FPS for t in frames]
        motions: Sequence[Motion] = model.generate(list(texts), seconds=seconds, seeds=list(seeds))
        return motions

    return generate


def features_of(motion: Motion | np.ndarray) -> np.ndarray:
    """(T, 263) of a generated motion, whole units of 4 frames, at most 196."""
    from vqvae.io.hml263 import HML263Features

    x = np.asarray(motion) if not isinstance(motion, Motion) else HML263Features().encode(motion)
    if x.ndim != 2 or x.shape[1] != DIM or not np.isfinite(x).all():
        raise UserError(f"humanml3d: a generated motion {x.shape}; accepted: a Motion, or finite features (T, {DIM})")
    try:
        return x[: whole_units(len(x))]
    except ValueError as e:
        raise UserError(f"humanml3d: a generated motion of {e}") from None


def generate_features(make: Maker, parts: Sequence[ClipPart], seeds: Sequence[int]) -> Iterator[np.ndarray]:
    """Features of a motion for each caption, as long as its part of a recording, 64 at a time."""
    for i in range(0, len(parts), GENERATED_AT_ONCE):
        batch = parts[i : i + GENERATED_AT_ONCE]
        motions = make([s.caption.text for s in batch], [s.frames for s in batch], seeds[i : i + GENERATED_AT_ONCE])
        if len(motions) != len(batch):
            raise UserError(f"humanml3d: {len(motions)} motions for {len(batch)} texts; accepted: one for each")
        yield from map(features_of, motions)


def embed_generated(
    evaluator: Evaluator, make: Maker, parts: Sequence[ClipPart], seeds: Sequence[int], cache: RunCache
) -> np.ndarray:  # fmt: skip
    """(N, joint) of a motion generated for each caption."""

    def embed(batch: Sequence[ClipPart], batch_seeds: Sequence[int]) -> np.ndarray:
        return evaluator.embed_motions(generate_features(make, batch, batch_seeds))

    judge = evaluator.fingerprint
    out = [np.zeros((0, evaluator.network.shape.joint), np.float32)]
    for i in range(0, len(parts), BATCH):
        batch, batch_seeds = parts[i : i + BATCH], seeds[i : i + BATCH]
        arguments = ([s.caption.text for s in batch], [s.frames for s in batch], list(batch_seeds))
        out.append(cache.compute(f"motions as {judge} sees them", arguments, partial(embed, batch, batch_seeds)))
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
    pairs: Sequence[CaptionedFile], evaluator: Evaluator, make: Maker | None, options: ProtocolOptions, seed: int,
    number: int, cache: RunCache = NO_CACHE,
) -> dict[str, float]:  # fmt: skip
    """One measurement: figure with its row -> value.

    FID compares with a second drawing of the recordings, so that the row `real` states the effect of drawing alone.
    """
    rng = np.random.default_rng([seed, number])
    parts, reference_parts = draw_parts(pairs, rng, options.pool), draw_parts(pairs, rng, options.pool)
    texts = evaluator.embed_texts([s.caption.tokens for s in parts])
    reference, real = (
        evaluator.embed_motions(s.pair.features(s.start, s.frames) for s in some) for some in (reference_parts, parts)
    )
    draw = int(rng.integers(1 << 31))
    rows = {"real": _figures(texts, real, reference, options, draw)}
    if make is not None:
        seeds = [int(s) for s in rng.integers(1 << 31, size=len(parts))]
        motions = embed_generated(evaluator, make, parts, seeds, cache)
        rows["generated"] = _figures(texts, motions, reference, options, draw)
        chosen = sorted(int(i) for i in rng.permutation(len(parts))[: options.texts])
        repeats = [parts[i] for i in chosen for _ in range(options.samples - 1)]
        repeat_seeds = [int(s) for s in rng.integers(1 << 31, size=len(repeats))]
        again = embed_generated(evaluator, make, repeats, repeat_seeds, cache)
        sets = np.concatenate([motions[chosen][:, None], again.reshape(len(chosen), options.samples - 1, -1)], 1)
        rows["generated"]["multimodality"] = multimodality(sets, options.pairs, draw)
    return {f"{name}/{row}": value for row, figures in rows.items() for name, value in figures.items()}


def score_humanml3d(
    suite: Suite, pairs: Sequence[CaptionedFile], evaluator: Evaluator, make: Maker | None, report: Report,
    cache: RunCache = NO_CACHE,
) -> dict[str, Any]:
    """The figures over all repetitions, as plain JSON."""
    options = ProtocolOptions.read(suite.options, f"{suite.name}: options")
    if len(pairs) < options.pool or options.samples < max(2, options.pairs):
        raise UserError(
            f"{suite.name}: {len(pairs)} clips in pools of {options.pool}, {options.pairs} pairs of {options.samples} "
            "samples; accepted: a pool of clips or more, as many samples as pairs, two at least"
        )
    values: dict[str, list[float]] = {}

    def measure(number: int) -> dict[str, float]:
        figures = repetition(pairs, evaluator, make, options, suite.seeds[0], number, cache)
        print(f"{suite.name}: repetition {number + 1} of {options.repetitions}", file=sys.stderr)
        return figures

    what, numbers = f"repetition as {evaluator.fingerprint} sees it", range(options.repetitions)
    for figures in cache.map(what, measure, [(number,) for number in numbers]):
        for name, value in figures.items():
            values.setdefault(name, []).append(value)
    results = {}
    for name, repetitions in values.items():
        mean, low, high, n = summarise_repetitions(repetitions)
        results[name] = {"mean": round(mean, 5), "low": round(low, 5), "high": round(high, 5), "n": n}
    return {
        "evaluator": evaluator.fingerprint, "clips": len(pairs), "left_out": report.reasons(),
        "notes": dict(sorted(report.notes.items())), "options": options.model_dump(), "results": results,
    }  # fmt: skip


def evaluate_humanml3d(run: Run) -> dict[str, Any]:
    """The suite on a HumanML3D folder; without a model the row `real` alone.

    ``store`` is the folder of the published evaluator; None = the folder ``evaluator`` of the corpus.
    """
    if run.data is None:
        raise UserError(f"{run.suite.name}: measured on HumanML3D; name its folder with --data")
    judge = load_evaluator(run.store if run.store is not None else run.data / EVALUATOR, check_device(None))
    report = Report()
    pairs = read_pairs(run.data, str(run.suite.options.get("split", ProtocolOptions().split)), report)
    maker = None if run.model is None else maker_of(run.model)
    return score_humanml3d(run.suite, pairs, judge, maker, report, run.cache)
