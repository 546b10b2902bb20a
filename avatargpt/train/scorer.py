"""The scorer stage of `scripts/train.py`: decoded clips, their captions and attributes -> `avatargpt.lm.scorer`.

Beside the contrast with other clips (InfoNCE), a clip must fit its own text better than the same one with one attribute
exchanged, in symbols, in words or in both.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.kinematics.measures import SIZE, motion_signature
from avatargpt.lm.scorer import COLUMNS, SENTENCE, SENTENCE_SCALE, ScorerNetwork, TextMotionScorer
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.data.clip_tables import clip_attributes
from avatargpt.train.data.corpus import read_codes
from avatargpt.train.data.exchange import FIELDS, PLAIN_WORDS, Exchange, number_rows
from avatargpt.train.data.judged_answers import Judged, compute_judged_loss, load_judged_answers, measure_picked
from avatargpt.train.loop import run
from avatargpt.train.processes import cores, map_in_order
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, Stage, StepContext
from instruct_data.attributes import Measures
from instruct_data.factory.mixture import clip_class
from instruct_data.store import ClipCodes
from vqvae.errors import UserError
from vqvae.strict import Dropout, Limit, NonNegativeInt, PositiveInt, Rate, Share, Strict
from vqvae.tokenizer import MotionTokenizer

MIN_CLASS = 4  # clips of a class that a part of a step is drawn from


class ClassDraws:
    """Draws clips and a caption of each.

    Args:
        classes: (n,) of the clips. captions: rows of sentences of each clip. batch: clips of a step.
        few: classes that share a part of the step. each: clips of one of these at most.
        balance: 1 = classes equally likely, 0 = clips.
    """

    def __init__(
        self, classes: np.ndarray, captions: Sequence[Sequence[int]], batch: int, few: int, each: int, balance: float
    ) -> None:
        self.captions, self.batch, self.few, self.each = captions, batch, few, each
        count = Counter(classes.tolist())
        weight = np.array([count[c] ** -balance for c in classes])
        self.weight = weight / weight.sum()
        self.rows = {c: np.flatnonzero(classes == c) for c in count}
        self.large = [c for c, n in count.items() if n >= MIN_CLASS]

    def draw(self, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(B,) clips and (B,) a caption of each."""
        rng = np.random.default_rng(list(seed))
        rows: list[int] = []
        # Clips of one class differ in details alone (count, side, manner), which a contrast with other classes would
        # not teach.
        for c in rng.choice(self.large, min(self.few, len(self.large)), False) if self.large else ():
            rows += rng.choice(self.rows[c], min(self.each, len(self.rows[c])), False).tolist()
        rows += rng.choice(len(self.weight), max(2, self.batch - len(rows)), p=self.weight).tolist()
        captions = [self.captions[i][int(rng.integers(len(self.captions[i])))] for i in rows]
        return np.array(rows), np.array(captions)


PARAPHRASE = 0.97  # cosine of two sentences of the same meaning
# Attributes that a clip without a value does not show; a clip without another one may or may not.
MEASURED = ("hand", "support", "kneel", "direction", "distance", "turn", "rise", "through")
DECODED = 32  # clips that are decoded together
WHITENING = 0.05  # added to the variances of sentence vectors, in their mean
ROUNDS = 4  # of exchanges in validation


class ScorerTraining(Schedule):
    """Training of the scorer.

    Attributes:
        families, each, balance: see `ClassDraws`.
        typed: texts with attributes, the others are words alone. every: of these, those with all attributes of the
            clip; of the others each attribute is there with the chance `some`. wordless: of texts with attributes,
            those without words.
        exchanges: clips in every step, actions equally likely, of whose text an attribute is exchanged.
        exchange_weight: of the loss of exchanged attributes. margin: by which a clip fits them less, in logits.
        noise: standard deviation added to the numbers of a motion, in units of theirs.
        judged: pairs of a passing and a failing answer to one caption in every step, where there is self-training.
        judged_weight: of their loss.
        held: every `held`-th caption of self-training only validates.
    """

    batch: PositiveInt = 384
    families: NonNegativeInt = 12
    each: PositiveInt = 16
    lr: Rate = 1.5e-3
    lr_floor: Rate = 1e-6
    weight_decay: Rate = 0.05
    clip: Limit = math.inf
    typed: Share = 0.65
    every: Share = 0.5
    some: Share = 0.5
    wordless: Share = 0.15
    exchanges: PositiveInt = 256
    exchange_weight: Rate = 2.0
    margin: Rate = 2.0
    noise: Rate = 0.05
    balance: Share = 0.5
    judged: PositiveInt = 192
    judged_weight: Rate = 1.0
    held: NonNegativeInt = 12
    log_every: PositiveInt = 100
    save_every: PositiveInt = 500
    val_every: PositiveInt = 1000


class ScorerShape(Strict):
    """The networks, see `ScorerNetwork`."""

    width: PositiveInt = 384
    dim: PositiveInt = 128
    dropout: Dropout = 0.2


class ScorerRecipe(Strict):
    """A configuration of the scorer stage."""

    model: ScorerShape = ScorerShape()
    train: ScorerTraining = ScorerTraining()


class Texts:
    """Captions and symbols of attributes by number.

    Attributes:
        columns: of each text in `attribute_vectors`, -1 = none.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.columns: list[int] = []
        self._numbers: dict[str, int] = {}

    def _number(self, text: str, column: int) -> int:
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
            self.columns.append(column)
        return self._numbers[text]

    def numbers(self, texts: Sequence[str]) -> np.ndarray:
        """(N,) numbers of texts."""
        return np.array([self._number(t, -1) for t in texts], np.int64)

    def symbol(self, written: str) -> int:
        """Number of an attribute, ``name=value``."""
        return self._number(written, COLUMNS.get(written, -1))


@dataclass
class Contrasts:
    """What can be exchanged in the texts of clips.

    Attributes:
        columns: of each text in `attribute_vectors`, -1 = none. stated: (m, F) symbols that a caption states, else -1.
        mirror: of each symbol that of the mirror image. first: number of the first clip in `exchange`.
    """

    exchange: Exchange
    columns: np.ndarray
    stated: np.ndarray
    mirror: np.ndarray
    first: int = 0

    @classmethod
    def of(cls, exchange: Exchange, texts: Texts) -> Contrasts:
        """Those of an exchange with all its texts numbered."""
        stated, mirror = np.full((len(texts.texts), len(FIELDS)), -1), np.arange(len(texts.texts))
        for (text, field), symbol in exchange.stated.items():
            stated[text, field] = symbol
        for symbol, other in exchange.mirror.items():
            mirror[symbol] = other
        return cls(exchange, np.array(texts.columns), stated, mirror)

    def vectors(self, symbols: np.ndarray) -> np.ndarray:
        """(B, F) symbols -> (B, A) float32, see `attribute_vectors`."""
        columns = np.where(symbols >= 0, self.columns[symbols], -1)
        out = np.zeros((len(symbols), len(COLUMNS) + 1), np.float32)
        np.put_along_axis(out, columns, 1.0, 1)  # -1 = the last one
        return out[:, :-1]

    def exchange_attribute(
        self, rows: np.ndarray, symbols: np.ndarray, captions: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Texts with one attribute exchanged, see `Exchange`.

        Args:
            symbols: (B, F) of texts with attributes; of a row without them, a word is exchanged.

        Returns:
            symbols (B, F), captions (B,), whether these texts are others (B,), numbers of the exchanged fields (B,).
        """
        typed = np.any(symbols >= 0, axis=1)
        shown, wording = self.exchange.attributes[self.first + rows], self.stated[captions]
        worded = np.where(np.equal(shown, wording) | (shown != self.mirror[shown]), shown, -1)
        before = np.where(typed[:, None], symbols, worded)
        other, words, possible = self.exchange(self.first + rows, before, captions, rng)
        words, fields = np.where(words >= 0, words, captions), np.argmax(before != other, 1)
        return np.where(typed[:, None], other, -1), words, possible & (typed | (words != captions)), fields

    def find_contradicted(self, shown: np.ndarray, symbols: np.ndarray, captions: np.ndarray) -> np.ndarray:
        """(B,) bool: whether clips with the attributes `shown` (B, F) measurably do not show a part of the texts with
        these symbols (B, F) and captions (B,).
        """
        measured = (shown >= 0) | (np.isin(FIELDS, MEASURED) & (shown >= 0).any(1, keepdims=True))
        out: np.ndarray = (shown != symbols) & (symbols >= 0) & measured
        stated = self.stated[captions]
        opposite = np.equal(self.mirror[stated], shown) | np.isin(FIELDS, PLAIN_WORDS)
        out |= (stated != shown) & (stated >= 0) & (shown >= 0) & opposite
        return np.asarray(out.any(1))


@dataclass
class CaptionPairs:
    """Clips with captions and attributes."""

    signatures: np.ndarray  # (n, SIZE)
    captions: list[list[int]]  # numbers of `texts` of each clip
    classes: np.ndarray  # (n,) numbers
    recorded: np.ndarray  # (n,) whether a clip was recorded: captions of others of its class may be true of it
    vectors: np.ndarray  # (m, 384) of the texts, zeros of symbols
    attributes: np.ndarray  # (n, F) numbers of symbols, -1 = none
    contrasts: Contrasts

    @property
    def actions(self) -> np.ndarray:
        """(n,) of the clips, empty = without attributes."""
        return np.array(self.contrasts.exchange.actions[self.contrasts.first :][: len(self.captions)])

    def part(self, start: int, stop: int) -> CaptionPairs:
        """Clips [start, stop)."""
        arrays = (self.signatures, self.classes, self.recorded, self.attributes)
        signatures, classes, recorded, attributes = (a[start:stop] for a in arrays)
        contrasts = replace(self.contrasts, first=self.contrasts.first + start)
        captions = self.captions[start:stop]
        return CaptionPairs(signatures, captions, classes, recorded, self.vectors, attributes, contrasts)


def measure_clips(
    clips: Sequence[ClipCodes], tokenizer: Any, workers: int
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Signatures (n, SIZE) of decoded clips and their measurements (`Measures.figures`), by several processes."""
    # Clips of one length are decoded together, in this process; the others take the joints.
    order = sorted(range(len(clips)), key=lambda i: len(clips[i].codes))
    parts = ([clips[i].codes for i in order[k : k + DECODED]] for k in range(0, len(order), DECODED))
    joints = (m.joints for part in parts for m in tokenizer.decode_each(part))

    def measure(x: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        return motion_signature(x, tokenizer.spec.fps), Measures(x).figures()

    rows = list(map_in_order(measure, joints, workers, DECODED))
    place = np.argsort(order)
    return np.stack([rows[i][0] for i in place]), [rows[i][1] for i in place]


def pairs_of(
    train: Sequence[ClipCodes], val: Sequence[ClipCodes], tokenizer: Any, grounder: Any, workers: int = 1
) -> tuple[CaptionPairs, CaptionPairs]:
    """Training and validation clips decoded from their codes (as the generator's are), composed ones left out."""
    clips, texts = [c for c in (*train, *val) if c.source != "composed" and c.captions], Texts()
    if not clips:
        empty, symbols = np.zeros(0, int), np.zeros((0, len(FIELDS)), int)
        none = CaptionPairs(
            np.zeros((0, SIZE), np.float32), [], empty, np.zeros(0, bool), np.zeros((0, 384), np.float32), symbols,
            Contrasts.of(Exchange([], [], symbols, texts), texts),
        )  # fmt: skip
        return none, none
    # From codes, not from the recordings: candidates are decoded motion as well.
    signatures, figures = measure_clips(clips, tokenizer, workers)
    clips = [
        replace(c, extra={**c.extra, "figures": f}) if c.extra.get("figures") else c
        for c, f in zip(clips, figures, strict=True)
    ]
    names: dict[str, int] = {}
    captions = [texts.numbers(list(dict.fromkeys(c.captions))).tolist() for c in clips]
    typed = clip_attributes(clips)
    attributes = number_rows(typed, texts)
    exchange = Exchange(clips, typed, attributes, texts)
    exchange.mirror_captions()
    plain = np.isin(np.arange(len(texts.texts)), attributes, invert=True)
    vectors = np.zeros((len(plain), 384), np.float32)
    vectors[plain] = grounder.sentence([t for t, p in zip(texts.texts, plain, strict=True) if p])
    classes = np.array([names.setdefault(f"{clip_class(c)}|{c.style}", len(names)) for c in clips])
    recorded = np.array([c.source != "synthetic" for c in clips])
    every = CaptionPairs(signatures, captions, classes, recorded, vectors, attributes, Contrasts.of(exchange, texts))
    count = sum(c.source != "composed" and bool(c.captions) for c in train)
    return every.part(0, count), every.part(count, len(clips))


def no_counterexamples(
    pairs: CaptionPairs, rows: np.ndarray, captions: np.ndarray, symbols: np.ndarray, wordless: np.ndarray
) -> np.ndarray:
    """(B, B) bool: texts that may be true of a clip of another row: symbols (B, F), words except of `wordless` (B,)."""
    true = np.zeros((len(rows), len(rows)), bool)
    for clip_captions in zip_longest(*(pairs.captions[i] for i in rows), fillvalue=-1):
        true |= np.array(clip_captions)[:, None] == captions
    same = pairs.classes[rows][:, None] == pairs.classes[rows][None]
    # Captions of recordings describe their class in general, so they may be true of other recordings of it.
    possible = pairs.recorded[rows][:, None] & pairs.recorded[rows][None] & same
    paraphrased = pairs.vectors[captions] @ pairs.vectors[captions].T > PARAPHRASE
    # Words of the two sides are near to one another; what a clip measurably does not show contrasts with it.
    out = true | possible | paraphrased | wordless
    clip, text = np.nonzero(out)
    out[clip, text] = ~pairs.contrasts.find_contradicted(pairs.attributes[rows[clip]], symbols[text], captions[text])
    np.fill_diagonal(out, False)
    return out


def measure_told_apart(network: ScorerNetwork, pairs: CaptionPairs, typed: bool, seed: int = 0) -> dict[str, float]:
    """Share of clips that fit their text better than the same with one attribute exchanged, in all (empty name) and by
    attribute; of texts with all attributes, or (not `typed`) of words alone.
    """
    rng, rows = np.random.default_rng(seed), np.arange(len(pairs.captions))
    results: dict[str, list[bool]] = defaultdict(list)
    contrasts = pairs.contrasts
    for _ in range(ROUNDS):
        captions = np.array([c[int(rng.integers(len(c)))] for c in pairs.captions])
        symbols = pairs.attributes if typed else np.full_like(pairs.attributes, -1)
        others, words, chosen, fields = contrasts.exchange_attribute(rows, symbols, captions, rng)
        with torch.inference_mode():
            a = network.embed_motion(torch.from_numpy(pairs.signatures[chosen]))
            fits = [
                (a * network.embed_text(torch.from_numpy(pairs.vectors[c[chosen]]), torch.from_numpy(v))).sum(1).numpy()
                for c, s in ((captions, symbols), (words, others)) for v in [contrasts.vectors(s[chosen])]
            ]  # fmt: skip
        for field, right in zip(fields[chosen].tolist(), (fits[0] > fits[1]).tolist(), strict=True):
            results[""].append(right)
            results[FIELDS[field]].append(right)
    return {name: float(np.mean(r)) for name, r in results.items()}


def whiten(network: ScorerNetwork, vectors: np.ndarray) -> None:
    """Let a new network begin with whitened sentence vectors (n, 384): sentences of two sides differ very little."""
    mean = torch.from_numpy(vectors.mean(0))
    values, directions = torch.linalg.eigh(torch.from_numpy(np.cov(vectors.T, bias=True).astype(np.float32)))
    scaled = directions * (values.clamp(min=0) + WHITENING * values.mean()).rsqrt() @ directions.T
    first = network.text[0]
    assert isinstance(first, torch.nn.Linear)
    with torch.no_grad():
        weight = torch.randn(len(first.weight), SENTENCE) * SENTENCE**-0.5 @ scaled
        first.weight[:, :SENTENCE] = weight / SENTENCE_SCALE
        first.bias.copy_(-weight @ mean)


def rank_one(network: ScorerNetwork, pairs: CaptionPairs, among: int = 32, seed: int = 0) -> float:
    """R-precision at 1: how often a clip's first caption is the nearest among 31 captions of other words."""
    rng = np.random.default_rng(seed)
    first = np.array([c[0] for c in pairs.captions])
    with torch.inference_mode():
        a = network.embed_motion(torch.from_numpy(pairs.signatures)).numpy()
        b = network.embed_text(torch.from_numpy(pairs.vectors)).numpy()
    hits = []
    for i in range(len(first)):
        # Captions of the clip itself would be right answers.
        strange = np.flatnonzero(~np.isin(first, pairs.captions[i]))
        if len(strange):
            foreign = rng.choice(strange, among - 1)
            scores = a[i] @ b[np.concatenate([[first[i]], first[foreign]])].T
            hits.append(scores.argmax() == 0)
    return float(np.mean(hits)) if hits else float("nan")


class ScorerStage(Stage):
    """A text-motion scorer in training."""

    user = TextMotionScorer
    recipe: ScorerRecipe
    schedule: ScorerTraining

    def __init__(
        self, recipe: ScorerRecipe, pairs: CaptionPairs, val: CaptionPairs, runtime: Runtime,
        where: str = "configuration", judged: Judged | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.pairs, self.val, self.runtime = recipe, recipe.train, pairs, val, runtime
        t, shape = recipe.train, recipe.model
        if len(pairs.captions) < 2:
            raise UserError(f"{where}: {len(pairs.captions)} clips with captions in the cache; at least two are needed")
        if runtime.world > 1:
            raise UserError(f"{where}: {runtime.world} processes; this stage compares all rows of a batch: accepted: 1")
        torch.manual_seed(t.seed)
        network = ScorerNetwork(pairs.signatures.shape[1], shape.width, shape.dim, shape.dropout)
        network.mean.copy_(torch.from_numpy(pairs.signatures.mean(0)))
        network.std.copy_(torch.from_numpy(pairs.signatures.std(0) + 1e-3))
        whiten(network, pairs.vectors[np.unique([k for row in pairs.captions for k in row])])
        self.network = self.module = network.to(runtime.device)
        self.identity = {"shape": shape.model_dump()}
        self.optimizer = torch.optim.AdamW(network.parameters(), t.lr, weight_decay=t.weight_decay)
        self.draws = ClassDraws(pairs.classes, pairs.captions, t.batch, t.families, t.each, t.balance)
        self.exchanges = ClassDraws(pairs.actions, pairs.captions, t.exchanges, 0, 0, 1.0)
        tensors = (torch.from_numpy(x).to(runtime.device) for x in (pairs.signatures, pairs.vectors))
        self.signatures, self.vectors = tensors
        splits = judged.split(t.held) if judged is not None else (None, None)
        self.judged: Judged | None = splits[0]
        self.judged_val: Judged | None = splits[1]
        self.groups = self.judged.groups() if self.judged is not None else []

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        t = self.schedule
        rows, captions = self.draws.draw([context.seed, context.step])
        symbols, wordless = self._draw_attributes(rows, [context.seed, context.step, 2])
        a = module.embed_motion(self.signatures[rows], t.noise)
        b = self._embed_captions(module, captions, symbols, wordless)
        ignored = torch.from_numpy(no_counterexamples(self.pairs, rows, captions, symbols, wordless)).to(a.device)
        logits = (a @ b.T * module.scale.exp()).masked_fill(ignored, -1e4)
        target = torch.arange(len(rows), device=a.device)
        # InfoNCE in both directions (CLIP).
        loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        apart = self._tell_apart(module, [context.seed, context.step, 3])
        if len(apart):
            loss = loss + t.exchange_weight * F.softplus(t.margin - apart).mean()
        if self.judged is not None and self.groups:
            seed, device = [context.seed, context.step, 1], self.runtime.device
            loss = loss + t.judged_weight * compute_judged_loss(
                module, self.judged, self.groups, t.judged, t.noise, seed, device
            )  # fmt: skip
        return loss, {"loss": loss, **({"told_apart": (apart > 0).float().mean()} if len(apart) else {})}

    def _draw_attributes(self, rows: np.ndarray, seed: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """(B, F) symbols that stand beside the captions of clips, -1 = left out, and (B,) whether they stand alone."""
        t, rng = self.schedule, np.random.default_rng(list(seed))
        typed, every, alone = (rng.random(len(rows)) < share for share in (t.typed, t.every, t.wordless))
        some = rng.random((len(rows), len(FIELDS))) < t.some
        symbols = np.where(typed[:, None] & (every[:, None] | some), self.pairs.attributes[rows], -1)
        return symbols, alone & np.any(symbols[:, 1:] >= 0, axis=1)

    def _tell_apart(self, module: Any, seed: Sequence[int]) -> torch.Tensor:
        """(C,) logits of clips for their text, less those for it with one attribute exchanged."""
        rows, captions = self.exchanges.draw(seed)
        symbols, wordless = self._draw_attributes(rows, [*seed, 0])
        rng = np.random.default_rng([*seed, 1])
        others, words, chosen, _ = self.pairs.contrasts.exchange_attribute(rows, symbols, captions, rng)
        rows, wordless = rows[chosen], wordless[chosen]
        right = self._embed_captions(module, captions[chosen], symbols[chosen], wordless)
        wrong = self._embed_captions(module, words[chosen], others[chosen], wordless)
        motions = module.embed_motion(self.signatures[rows], self.schedule.noise)
        return torch.as_tensor((motions * (right - wrong)).sum(1) * module.scale.exp())

    def _embed_captions(
        self, module: Any, captions: np.ndarray, symbols: np.ndarray, wordless: np.ndarray
    ) -> torch.Tensor:
        sentences = self.vectors[captions] * torch.from_numpy(~wordless)[:, None].to(self.vectors.device)
        typed = torch.from_numpy(self.pairs.contrasts.vectors(symbols)).to(self.vectors.device)
        return torch.as_tensor(module.embed_text(sentences, typed))

    def validate(self) -> dict[str, float]:
        network, figures = self.copy_network().network, {}
        if self.judged_val is not None and len(self.judged_val.caption):
            figures = measure_picked(network, self.judged_val)
        if not self.val.captions:
            return figures
        for name, typed in (("told_apart", True), ("words_apart", False)):
            figures |= {f"{name}_{k}".rstrip("_"): v for k, v in measure_told_apart(network, self.val, typed).items()}
        return {**figures, "rank_one": rank_one(network, self.val)}


def scorer_stage(recipe: ScorerRecipe, args: SimpleNamespace) -> None:
    """Train the text-motion scorer that ranks candidates."""
    runtime = Runtime.start(args.threads, args.device)
    tokenizer = MotionTokenizer.load(args.tokenizer)
    groups = read_codes(args.codes, [tokenizer])
    grounder = SentenceGrounder()
    if args.grounding:
        grounder.load_states(args.grounding)
    pairs, val = pairs_of(*groups, tokenizer, grounder, cores(args.threads))
    judged = load_judged_answers(args.self_training, tokenizer, grounder) if args.self_training else None
    stage = ScorerStage(recipe, pairs, val, runtime, str(args.config), judged)
    run(stage, Path(args.output), runtime, args.until)
