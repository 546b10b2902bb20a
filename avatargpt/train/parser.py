"""The parser stage of `scripts/train.py`: facial instructions -> scores; its training data and batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch.nn import functional as F

from avatargpt.config import Schedule
from avatargpt.face.instructions.network import (
    MAX_TOKENS,
    MAX_WORDS,
    ParserConfig,
    ParserNetwork,
    clock_times,
    pad_states,
    says_when,
)
from avatargpt.face.instructions.parser import InstructionParser, make_reading_grounder
from avatargpt.face.instructions.scores import fit_score
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.face import score_reading
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import AveragedStage, Metrics, StepContext
from instruct_data.face import score as face_score
from instruct_data.face.actions import actions
from instruct_data.face.score import MAX_SECONDS, Score, expand_texts, mirror_action, read_instructions
from instruct_data.factory.face.compose import (
    clash,
    clip_seconds,
    compose_scores,
    draw_timed_instructions,
    list_named,
    pick,
)
from instruct_data.factory.face.questions import questions
from vqvae.errors import UserError
from vqvae.strict import Dropout, NonNegativeInt, PositiveInt, Rate, Share, Strict


def bare(text: str) -> str:
    """A text without capitals, stops and double spaces."""
    return " ".join(re.sub(r"[^\w\s]", " ", text.lower()).split())


LONGER, BY = 0.1, (2.6, 4.5)  # share of clips that are that many times as long: nothing fills them (`FILLED`)
UNKNOWN = 0.1  # share of the rows without their kind, where the parser has kinds
# Kinds of rows with a share:
WRITTEN = (
    "written", "corpus", "sequenced", "further", "siblings", "everyday", "reworded", "joined", "named", "timed",
    "questions",
)  # fmt: skip
# Kinds whose scores follow the conventions of another one:
SAME = {"reworded": "corpus", "everyday": "corpus", "questions": "corpus"}


class ParserMaterial(Strict):
    """Section `data` of a parser's configuration."""

    written: NonNegativeInt = 0  # number of the package's written instructions, the first ones; 0 = all
    composed: NonNegativeInt = 10000  # number composed by rule
    timed: NonNegativeInt = 6000  # further ones with times in their words
    joined: NonNegativeInt = 10000  # pairs of written ones
    questions: NonNegativeInt = 5000  # number of questions drawn by rule
    # written_share, corpus_share, sequenced_share, further_share, siblings_share, everyday_share, reworded_share,
    # joined_share, named_share, timed_share, questions_share: of the rows, by kind; the others are composed. Those of a
    # corpus count as written where it has no share. Sequenced, further, sibling and everyday ones are files of the
    # package, reworded ones paraphrases of the corpus, named ones every action and emotion by its plain name in every
    # degree, questions (`instruct_data.factory.face.questions`) such that ask a face for nothing, too
    written_share: Share = 0.5
    corpus_share: Share = 0.0
    sequenced_share: Share = 0.0
    further_share: Share = 0.0
    siblings_share: Share = 0.0
    everyday_share: Share = 0.0
    reworded_share: Share = 0.0
    joined_share: Share = 0.25
    named_share: Share = 0.03
    timed_share: Share = 0.1
    questions_share: Share = 0.0
    most: NonNegativeInt = 0  # rows of each kind that are used, drawn evenly; 0 = all
    held: Annotated[int, Field(ge=2)] = 20  # every `held`-th written instruction only validates
    seed: NonNegativeInt = 0

    @property
    def shares(self) -> dict[str, float]:
        """Of the rows, by kind."""
        shares = {k: float(getattr(self, f"{k}_share")) for k in WRITTEN}
        return {**shares, "composed": max(0.0, 1 - sum(shares.values()))}

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        shares = {k: getattr(self, f"{k}_share") for k in WRITTEN}
        if sum(shares.values()) > 1 + 1e-9:
            raise UserError(f"{', '.join(f'{k}_share {v}' for k, v in shares.items())}; accepted: together at most 1")
        return self


@dataclass
class ParserRows:
    """Training rows of one kind."""

    states: list[np.ndarray] = field(default_factory=list)  # token states of the words
    tokens: list[list[int]] = field(default_factory=list)  # of the score
    # Token of a given clip length, and the tokens of the score that fits it
    lengths: list[tuple[int, list[int]]] = field(default_factory=list)
    kind: int = -1  # of the network's, -1 = none


class ParserTraining(Schedule):
    """Section `train` of a parser's configuration."""

    steps: PositiveInt = 6000
    lr: Rate = 1.5e-3
    lr_floor: Rate = 1e-5
    warmup: NonNegativeInt = 200
    weight_decay: Rate = 0.05
    smoothing: Dropout = 0.05  # of labels
    spread: Rate = 0.7  # steps of a field (0.1 s, 0.05 of intensity) over which the target is spread
    noise: Rate = 0.05  # standard deviation added to token states, in units of theirs
    masked: Share = 0.08  # share of words that are left out
    told: Share = 0.5  # share of the rows with a given length, where the parser has lengths
    pool: PositiveInt = 8  # batches that are drawn at once and sorted by length
    log_every: PositiveInt = 100
    save_every: PositiveInt = 500
    val_every: PositiveInt = 1000
    ema: Share = 0.998  # decay of the mean of the weights, which is saved


def with_mirrored(scores: Sequence[Score]) -> list[Score]:
    """Scores, and the mirror images of those that have sides and name them."""
    mirrored = ((s, s.mirror()) for s in scores if s.sided)
    return [*scores, *(m for s, m in mirrored if m.text != s.text)]


def material(
    written: Sequence[Score], options: ParserMaterial, corpus: Sequence[Score] = (), excluded: Sequence[Score] = ()
) -> tuple[dict[str, list[Score]], list[Score]]:
    """Training instructions by kind, and held-out written ones. `excluded`: held-out ones of elsewhere. Neither these
    nor their mirror images are among the training ones, not even composed, mirrored, or with other capitals or stops.
    """
    shares, n = options.shares, options.held
    files = {
        "sequenced": face_score.SEQUENCES, "further": face_score.FURTHER, "siblings": face_score.SIBLINGS,
        "everyday": face_score.EVERYDAY,
    }  # fmt: skip
    # Without a share of its own the corpus counts as written.
    separate, among = (corpus, ()) if shares["corpus"] else ((), corpus)
    sources = {"written": [*written[: options.written or None], *among], "corpus": [*separate]}
    sources |= {k: [row.score for row in read_instructions(f)] if shares[k] else [] for k, f in files.items()}
    held_out = [s for scores in sources.values() for s in scores[n - 1 :: n]]
    avoid = [s.text for s in held_out]
    forbidden = {bare(s.text) for s in with_mirrored([*held_out, *excluded])}

    def filter_allowed(scores: Sequence[Score]) -> list[Score]:
        return [s for s in scores if bare(s.text) not in forbidden]

    training = {
        k: filter_allowed(with_mirrored([s for i, s in enumerate(scores) if i % n != n - 1]))
        for k, scores in sources.items()
    }
    rows = expand_texts() if options.reworded_share else []
    # All paraphrases of a row or none: one of them may name what is held out.
    rewordings = filter_allowed(with_mirrored([s for row in rows if len(filter_allowed(row)) == len(row) for s in row]))
    asked = questions(options.questions, options.seed, avoid) if options.questions_share else []
    single = [*(s for scores in training.values() for s in scores), *rewordings]
    pairs = pairs_of(single, options.joined, np.random.default_rng([options.seed, 7]))
    by_rule = compose_scores(options.composed, options.seed + 1, avoid)
    timed = draw_timed_instructions(options.timed, options.seed, avoid)
    names = list_named() if options.named_share else []
    groups = {**training, "reworded": rewordings, "joined": filter_allowed(pairs), "named": filter_allowed(names)}
    groups["questions"] = filter_allowed(asked)
    return {**groups, "timed": filter_allowed(timed), "composed": filter_allowed(by_rule)}, held_out


def longer(score: Score, seconds: float) -> Score:
    """The score in a clip that is `seconds` longer: the last feelings go on, actions stay at their times."""
    length = min(score.length + seconds, MAX_SECONDS)
    return replace(fit_score(score, length), length=length)


def rows_of(
    scores: Sequence[Score], parser: InstructionParser, grounder: SentenceGrounder, seed: int = 0, kind: str = ""
) -> ParserRows:  # fmt: skip
    """Rows of the scores whose words and tokens fit; one in ten gets a much longer clip than its actions take."""
    out, rng = ParserRows(kind=parser.network.kind(SAME.get(kind, kind))), np.random.default_rng([seed, 11])
    for i in range(0, len(scores), 256):
        chunk = scores[i : i + 256]
        for score, states in zip(chunk, grounder.states([s.text for s in chunk]), strict=True):
            tokens = parser.tokens.encode(score)
            # Drawn for every row, whether it is used or not, so that later rows do not depend on it.
            seconds = 0.5 * round(2 * score.length * float(rng.uniform(*BY) - 1))
            target = longer(score, seconds) if rng.random() < LONGER else score
            if len(states) <= MAX_WORDS and len(tokens) <= MAX_TOKENS:
                out.states.append(states.astype(np.float16))
                out.tokens.append(tokens)
                target_tokens = tokens if target is score else parser.tokens.encode(target)
                out.lengths.append((parser.tokens.token("length", target.length), target_tokens))
    return out


class ParserBatches:
    """Batches of instructions of about one length; equal steps give equal batches.

    Rows of `training.pool` batches are drawn at once and sorted by length, for little padding.
    """

    def __init__(
        self, groups: dict[str, ParserRows], shares: Mapping[str, float], training: ParserTraining, begin: int,
        lengths: bool = False,
    ) -> None:  # fmt: skip
        self.groups = {k: g for k, g in groups.items() if g.tokens and shares[k] > 0}
        if not self.groups:
            raise UserError("parser: no instructions to learn from")
        total = sum(shares[k] for k in self.groups)
        self.shares = {k: shares[k] / total for k in self.groups}
        self.training, self.begin, self.lengths = training, begin, lengths
        self._pool: tuple[tuple[int, ...], list[list[tuple[ParserRows, int]]]] = ((), [])

    def _batches(self, rows: int, seed: tuple[int, ...], number: int) -> list[list[tuple[ParserRows, int]]]:
        """Pool `number`: batches of rows (group and place in it), in random order."""
        key = (*seed, rows, number)
        if self._pool[0] != key:
            rng = np.random.default_rng([*seed, number])
            count = self.training.pool
            names = rng.choice(list(self.groups), rows * count, p=list(self.shares.values()))
            drawn = [(self.groups[n], int(rng.integers(len(self.groups[n].tokens)))) for n in names]
            # Sorted within a pool: rows of a batch have about one length and little padding.
            drawn.sort(key=lambda x: len(x[0].states[x[1]]) + len(x[0].tokens[x[1]]))
            self._pool = (key, [drawn[i * rows : (i + 1) * rows] for i in rng.permutation(count)])
        return self._pool[1]

    def draw(
        self, rows: int, step: int, seed: Sequence[int] = (0,)
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        """Token states, words, tokens so far, kinds (-1 = unknown) and the tokens that follow."""
        count = self.training.pool
        chosen = self._batches(rows, tuple(seed), step // count)[step % count]
        generator = torch.Generator().manual_seed(int(np.random.SeedSequence([*seed, 1, step]).generate_state(1)[0]))
        states, words = pad_states([g.states[i] for g, i in chosen])
        states = states + torch.randn(states.shape, generator=generator) * (self.training.noise * states.std())
        visible = (torch.rand(words.shape, generator=generator) >= self.training.masked).float() * words
        # A row that would lose all of its words keeps them.
        words = torch.where(visible.sum(1, keepdim=True) > 0, visible, words)
        timed = torch.rand(rows, generator=generator) < self.training.told if self.lengths else torch.zeros(rows)
        both = zip(timed.tolist(), chosen, strict=True)
        targets = [g.lengths[i] if t else (self.begin, g.tokens[i]) for t, (g, i) in both]
        longest = max(len(tokens) for _, tokens in targets)
        following = torch.full((rows, longest), -1)
        before = torch.zeros(rows, longest, dtype=torch.long)
        for k, (begin, tokens) in enumerate(targets):
            row = torch.tensor(tokens)
            following[k, : len(row)] = row
            before[k, 0] = begin
            before[k, 1 : len(row)] = row[:-1]
        kinds = torch.tensor([g.kind for g, _ in chosen])
        # Some rows hide their kind, since it is not known when the parser is used.
        kinds[torch.rand(rows, generator=generator) < UNKNOWN] = -1
        return states, words, before, kinds, following


JOINTS = (". Then ", ", then ", "; after that ", ". Next, ", ", and then ", ". After that: ", " -> ", ". Now ")
WITHS = (": ", ". ", ", ", "; ")  # between a feeling and the actions during it
DURING = (
    "{a}. Keep that up throughout, and {b}", "{a}; while you do, {b}", "{a}, and during all of it {b}",
    "Throughout: {a}. Meanwhile: {b}", "{a} - and without stopping that, {b}",
    "The whole time: {a}. In the middle of it, {b}",
    "{a} from beginning to end; meanwhile {b}",
    "All along, {a}. At the same time, one after the other: {b}", "{b}. Through all of it: {a}",
    "{a}. While that lasts: {b}",
)  # fmt: skip
CLOCK = (
    "At {t} s: {a}", "At second {t}, {a}", "{t} s: {a}", "From {t} on: {a}", "After {t} s: {a}", "t={t}: {a}",
    "[at {t}] {a}",
)  # fmt: skip
AGAIN = (
    ", then the same again", ". Once more, please", "; and again", ". Now repeat that", ". Do that two times in a row",
    ", then do it all over", " - and the same a second time",
)  # fmt: skip
OTHER_SIDE = (
    ", then the same on the other side", ". Now the other side", "; then switch sides", ". Repeat on the opposite side",
    ", and then mirrored", ". The same again with the other side", ", followed by the other one",
)  # fmt: skip
PAUSE = 0.25  # s between two instructions of a pair
FEELINGS_SHARE, WITH_SHARE = 0.15, 0.3  # of the pairs: two feelings, a feeling and actions; the others are all actions
MAX_EVENTS, MAX_LETTERS = 7, 260  # of a pair
Join = Callable[[Score, Score, np.random.Generator], Score]


def in_sequence(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Two instructions of actions in a row."""
    start = max(e.end for e in first.events) + PAUSE - min(e.start for e in second.events)
    events = tuple(replace(e, start=round(e.start + start, 3)) for e in second.events)
    length = clip_seconds(max(e.end for e in events))
    text = first.text.rstrip(" .!") + pick(JOINTS, rng) + _lower_first(second.text)
    return Score(length, (*first.events, *events), (), text)


def draw_feelings_in_turn(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Two feelings one after the other; either takes the greater part of the time that it has alone."""
    change = round(first.length / 2 + 0.5, 1)
    length = round(change + second.length / 2 + 0.5, 1)
    emotions = [replace(f, start=0.0, end=change) for f in first.emotions]
    emotions += [replace(f, start=change, end=length) for f in second.emotions]
    text = first.text.rstrip(" .!") + pick(JOINTS, rng) + _lower_first(second.text)
    return Score(length, (), tuple(emotions), text)


def draw_feeling_meanwhile(feeling: Score, acts: Score, rng: np.random.Generator) -> Score:
    """Actions during a feeling, whose words stand before or after theirs."""
    emotions = tuple(replace(f, start=0.0, end=acts.length) for f in feeling.emotions)
    texts = [feeling.text, acts.text]
    if rng.random() < 0.4:
        texts.reverse()
    joint = pick(WITHS, rng)
    after = texts[1] if joint == ". " else _lower_first(texts[1])
    return Score(acts.length, acts.events, emotions, texts[0].rstrip(" .!") + joint + after)


def during(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """One action that lasts, and others during it."""
    action = first.events[0]
    start = float(rng.choice((0.0, action.start)))
    inner = tuple(replace(e, start=round(e.start + start + 0.3, 3)) for e in second.events)
    end = max(e.end for e in inner)
    text = pick(DURING, rng).format(a=_inside(first.text), b=_inside(second.text))
    events = (replace(action, start=start, duration=round(end + 0.1 - start, 3)), *inner)
    return Score(clip_seconds(end), events, (), text[:1].upper() + text[1:])


def draw_clocked(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Each of two instructions at a stated second."""
    form, at, parts, events = pick(CLOCK, rng), float(rng.choice((0.0, 0.5, 1.0, 1.5, 2.0))), [], []
    for score in (first, second):
        begin = min(e.start for e in score.events)
        events += [replace(e, start=round(e.start - begin + at, 3)) for e in score.events]
        number = f"{at:.1f}" if at % 1 or rng.random() < 0.4 else f"{at:.0f}"
        parts.append(form.format(t=number, a=_inside(score.text)))
        at = float(np.ceil(2 * (max(e.end for e in events) + 0.05)) / 2 + rng.choice((0.0, 0.5, 1.0)))
    return Score(clip_seconds(max(e.end for e in events)), tuple(events), (), pick((". ", "; ", ", "), rng).join(parts))


def once_more(first: Score, _: Score, rng: np.random.Generator) -> Score:
    """The same again, or, where it has a side, on the other side."""
    mirror = first.sided and rng.random() < 0.7
    shift = max(e.end for e in first.events) + PAUSE - min(e.start for e in first.events)
    second = [replace(e, start=round(e.start + shift, 3)) for e in first.events]
    second = [replace(e, action=mirror_action(e.action)) for e in second] if mirror else second
    text = first.text.rstrip(" .!") + pick(OTHER_SIDE if mirror else AGAIN, rng) + pick((".", "!", ""), rng)
    return Score(clip_seconds(max(e.end for e in second)), (*first.events, *second), (), text)


def _inside(text: str) -> str:
    return _lower_first(text.rstrip(" .!"))


def pairs_of(written: Sequence[Score], count: int, rng: np.random.Generator) -> list[Score]:
    """`count` pairs of written instructions: actions or feelings in sequence, actions during a feeling or an action,
    either at a stated second, one instruction twice or on both sides."""
    acts = [s for s in written if s.kind == "motion"]
    later = [s for s in acts if not clock_times(s.text)]  # may begin later than they would alone
    plain = [s for s in acts if not says_when(s.text) and "return_to_neutral" not in {e.action for e in s.events}]
    single = [s for s in plain if len(s.events) == 1 and s.events[0].repeat == 1]
    lasting = [s for s in single if actions()[s.events[0].action].form == "hold"]  # an action of any duration
    even = [s for s in written if s.emotions and not s.events and len(s.text) < 90
            and all(f.start == 0 and f.end >= s.length for f in s.emotions)]  # fmt: skip
    free = [s for s in even if not says_when(s.text)]
    rate = 1 - FEELINGS_SHARE - WITH_SHARE
    kinds: list[tuple[float, Join, list[Score], list[Score]]] = [
        (FEELINGS_SHARE, draw_feelings_in_turn, free, free), (WITH_SHARE, draw_feeling_meanwhile, even, acts),
        (0.5 * rate, in_sequence, acts, later), (0.18 * rate, during, lasting, plain),
        (0.16 * rate, draw_clocked, plain, plain), (0.16 * rate, once_more, plain, plain),
    ]  # fmt: skip
    kinds = [k for k in kinds if k[2] and k[3]]
    shares = np.array([k[0] for k in kinds]) / sum(k[0] for k in kinds)
    out: list[Score] = []
    for _ in range(8 * count):  # many pairs are too long or clash
        if len(out) == count or not kinds:
            break
        _, join, first, second = kinds[int(rng.choice(len(kinds), p=shares))]
        a, b = first[int(rng.integers(len(first)))], second[int(rng.integers(len(second)))]
        if len(a.events) + len(b.events) > MAX_EVENTS or len(a.text) + len(b.text) >= MAX_LETTERS:
            continue
        if join is during and any(clash(a.events[0].action, e.action) for e in b.events):
            continue
        out.append(join(a, b, rng))
    return out


def _lower_first(text: str) -> str:
    """A sentence as a part of another; abbreviations ("AU12") and "I" stay."""
    first = text.split()[0] if text.split() else ""
    return text if len(first) == 1 or first[1:2].isupper() or first[1:2] == "'" else text[:1].lower() + text[1:]


TUNED = "tuned.layers."
# a layer adds the output of these to its input
RESIDUAL = ("out_proj.weight", "out_proj.bias", "linear2.weight", "linear2.bias")


class ParserRecipe(Strict):
    """A configuration of the parser stage."""

    data: ParserMaterial = ParserMaterial()
    model: ParserConfig = ParserConfig()
    train: ParserTraining = ParserTraining()


def read_scores(paths: Sequence[Path]) -> list[Score]:
    """Written instructions of all files."""
    return [row.score for path in paths for row in read_instructions(path)]


def parser_stage(recipe: ParserRecipe, args: SimpleNamespace) -> None:
    """Train the parser of facial instructions."""
    runtime = Runtime.start(args.threads, args.device)
    written = read_scores([face_score.OWN])
    texts = Path(args.texts) if args.texts else None
    corpus = read_scores([texts / "train.jsonl"]) if texts else []
    excluded = read_scores([texts / "val.jsonl"]) if texts and (texts / "val.jsonl").is_file() else []
    start = Path(args.start) if args.start else None
    grounder = make_reading_grounder(recipe.model)
    stage = ParserStage(recipe, written, runtime, grounder, str(args.config), start, corpus, excluded)
    run(stage, Path(args.output), runtime, args.until)


class ParserStage(AveragedStage):
    """A parser in training.

    Args:
        written: instructions of the package. corpus: of a corpus, which may have a share and a kind of their own.
        excluded: held-out ones, whose words are not learnt from in any way (`material`).
        start: folder of a parser to begin from, see `begin_with`.
        where: the configuration's name, for messages.
    """

    recipe: ParserRecipe
    schedule: ParserTraining

    def __init__(
        self, recipe: ParserRecipe, written: Sequence[Score], runtime: Runtime, grounder: SentenceGrounder,
        where: str = "configuration", start: Path | None = None, corpus: Sequence[Score] = (),
        excluded: Sequence[Score] = (),
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.runtime, self.grounder = recipe, recipe.train, runtime, grounder
        t = self.schedule
        self.rows = runtime.share(t.batch, f"{where}: train")
        torch.manual_seed(t.seed)
        self.network = self.module = ParserNetwork(recipe.model).to(runtime.device).train()
        self.averaged = InstructionParser(ParserNetwork(recipe.model))
        if start:
            begin_with(self.network, start)
        groups, held_out = material(written, recipe.data, corpus, excluded)
        both = zip(held_out, grounder.states([s.text for s in held_out]), strict=True)
        self.val = [s for s, states in both if len(states) <= MAX_WORDS]
        most = recipe.data.most  # evenly from all of them
        chosen = {k: [v[i * len(v) // most] for i in range(most)] if 0 < most < len(v) else v
                  for k, v in groups.items()}  # fmt: skip
        rows = {k: rows_of(v, self.averaged, grounder, t.seed, k) for k, v in chosen.items()}
        self.batches = ParserBatches(rows, recipe.data.shares, t, self.network.begin, recipe.model.lengths)
        self.identity = {"shape": recipe.model.model_dump()}
        self.optimizer = torch.optim.AdamW(self.network.parameters(), t.lr, (0.9, 0.98), weight_decay=t.weight_decay)
        self.start_mean()
        # Targets are spread over neighbouring steps: 1.2 s instead of 1.3 s is nearly right.
        self.targets = torch.from_numpy(self.averaged.tokens.neighbours(t.spread)).to(runtime.device)

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        # The first process draws as a run on one process does.
        seed = [context.seed, context.rank] if context.rank else [context.seed]
        drawn = self.batches.draw(self.rows, context.step, seed)
        states, words, before, kinds, following = (x.to(self.runtime.device) for x in drawn)
        with self.runtime.autocast():
            logits = module(states, words, before, kinds)
        present = following >= 0
        targets, smoothing = self.targets[following[present]], self.schedule.smoothing
        loss = F.cross_entropy(logits.float()[present], targets, label_smoothing=smoothing)
        return loss, {"loss": loss}

    def validate(self) -> dict[str, float]:
        if not self.val:
            return {}
        texts, lengths = [s.text for s in self.val], [s.length for s in self.val]
        return score_reading(self.copy_network().read(texts, self.grounder, 0, lengths), self.val)


def begin_with(network: ParserNetwork, folder: Path) -> None:
    """Take over the weights of another parser of the same shape, or of fewer layers and a lower rank.

    Parameters that it lacks begin without effect (Net2Net's function-preserving growth, Chen et al. 2016): the grown
    network parses as the other does. Updates of the sentence encoder of a higher rank are cut to that of `network`, as
    exactly as possible. Of a folder with several parsers the first is taken.
    """
    start = InstructionParser.load(folder).network
    if network.config.rank > 0:
        start = start.with_rank(network.config.rank)
    # Tuned layers are numbered from the lowest one; with more of them the numbers shift.
    shift = start.config.first - network.config.first if start.tuned is not None else 0
    source: dict[str, torch.Tensor] = {}
    for name, value in start.state_dict().items():
        if name.startswith(TUNED):
            number, _, tensor = name.removeprefix(TUNED).partition(".")
            name = f"{TUNED}{int(number) + shift}.{tensor}"
        source[name] = value
    state = {k: v.clone() for k, v in network.state_dict().items()}  # a refused parser changes nothing
    theirs, ours = start.config, network.config
    strange = [k for k in ("heads", "layers") if getattr(theirs, k) != getattr(ours, k)]  # no tensor shows it
    strange += ["kinds"] if theirs.kinds not in ([], ours.kinds) else []
    strange += sorted(source.keys() - state.keys())
    for name, value in state.items():
        before = source.get(name)
        if before is None:
            # A new layer begins as the identity: what it adds to its input is zero.
            if name.endswith(RESIDUAL):
                value.zero_()
            elif not name.startswith(("encoder.", "decoder.", "tuned.", "kinds")):
                strange.append(name)
        elif before.shape == value.shape or (
            name.endswith((".up", ".down")) and all(a <= b for a, b in zip(before.shape, value.shape, strict=True))
        ):
            # Of a larger rank, the additional part has no effect at first.
            if name.endswith(".up"):
                value.zero_()
            value[tuple(slice(n) for n in before.shape)] = before
        else:
            strange.append(name)
    if strange:
        same = "accepted: the same width, hidden, heads, layers and kinds, not more layers of its own"
        raise UserError(f"{folder}: another shape than the configuration says ({strange[0]}); {same}")
    network.load_state_dict(state)
