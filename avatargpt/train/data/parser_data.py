"""What the reader learns from: written instructions, mirrored, joined and composed ones, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from avatargpt.config import Schedule
from avatargpt.face.audio_model.conditioning import Grounder
from avatargpt.face.instructions.network import MAX_TOKENS, MAX_WORDS, pad_states
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.face.instructions.score_tokens import clock_times, says_when
from avatargpt.face.instructions.scores import fit_score
from avatargpt.requests.captions import bare
from instruct_data.face.actions import actions
from instruct_data.face.compose import clash, clip_seconds, pick
from instruct_data.face.score import MAX_SECONDS, Score, mirror_action
from vqvae.errors import UserError
from vqvae.strict import Dropout, NonNegativeInt, PositiveInt, Rate, Share, Strict

LONGER, BY = 0.1, (2.6, 4.5)  # of these, in clips that are that many times as long: nothing fills them (`FILLED`)
UNKNOWN = 0.1  # share of the rows whose kind is not told, where the reader learns kinds
# Kinds of rows with a share:
SAID = ("written", "corpus", "sequenced", "further", "siblings", "everyday", "reworded", "joined", "named", "timed")
SAME = {"reworded": "corpus", "everyday": "corpus"}  # kinds whose scores follow the habits of another one


class Material(Strict):
    """What `configs/driver/reader.yaml` may set under `data`.

    Attributes:
        written: of the package's own written instructions the first so many; 0 = all.
        composed: instructions composed by rule. timed: more of these, whose words say when. joined: pairs of written
            ones.
        written_share, corpus_share, sequenced_share, further_share, siblings_share, everyday_share, reworded_share,
            joined_share, named_share, timed_share: of the rows; those of a corpus are among the written ones where it
            has no share of its own; sequenced, further and everyday ones and siblings are written, too
            (`corpus.SEQUENCES`, `corpus.FURTHER`, `corpus.EVERYDAY`, `corpus.SIBLINGS`), reworded ones are those of the
            corpus in other people's words (`corpus.reworded`), named ones every action and emotion by its plain name in
            every degree; the rest are composed ones.
        held: every so manieth written instruction only validates.
    """

    written: NonNegativeInt = 0
    composed: NonNegativeInt = 10000
    timed: NonNegativeInt = 6000
    joined: NonNegativeInt = 10000
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
    held: Annotated[int, Field(ge=2)] = 20
    seed: NonNegativeInt = 0

    @property
    def shares(self) -> dict[str, float]:
        """Of the rows, by kind."""
        said = {k: float(getattr(self, f"{k}_share")) for k in SAID}
        return {**said, "composed": max(0.0, 1 - sum(said.values()))}

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        said = {k: getattr(self, f"{k}_share") for k in SAID}
        if sum(said.values()) > 1 + 1e-9:
            raise UserError(f"{', '.join(f'{k}_share {v}' for k, v in said.items())}; accepted: together at most 1")
        return self


@dataclass
class Rows:
    """Instructions as the trainer draws them: token states and score tokens; and for when a length is told, its token
    and the score tokens that suit it."""

    states: list[np.ndarray] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)
    told: list[tuple[int, list[int]]] = field(default_factory=list)
    kind: int = -1


class ParserTraining(Schedule):
    """What `configs/driver/reader.yaml` may set under `train`.

    Attributes:
        smoothing: of labels.
        spread: steps of a field (0.1 s, 0.05 of intensity) over which what is right is spread.
        noise: standard deviation added to token states, in theirs.
        masked: share of words that are left out.
        told: share of the rows whose length is told, where the parser learns to heed it.
        pool: batches that are drawn together and sorted by length.
        ema: decay of the mean of the weights, which is what is kept.
    """

    steps: PositiveInt = 6000
    batch: PositiveInt = 64
    lr: Rate = 1.5e-3
    lr_floor: Rate = 1e-5
    warmup: NonNegativeInt = 200
    weight_decay: Rate = 0.05
    clip: Rate = 1.0
    smoothing: Dropout = 0.05
    spread: Rate = 0.7
    noise: Rate = 0.05
    masked: Share = 0.08
    told: Share = 0.5
    pool: PositiveInt = 8
    log_every: PositiveInt = 100
    save_every: PositiveInt = 500
    val_every: PositiveInt = 1000
    ema: Share = 0.998


def with_mirrored(scores: Sequence[Score]) -> list[Score]:
    """Scores, and the mirror images of those that have sides and name them."""
    mirrored = ((s, s.mirrored()) for s in scores if s.sided)
    return [*scores, *(m for s, m in mirrored if m.text != s.text)]


def material(
    written: Sequence[Score], options: Material, corpus: Sequence[Score] = (), apart: Sequence[Score] = ()
) -> tuple[dict[str, list[Score]], list[Score]]:
    """Training instructions by kind, and held-out written ones.

    Args:
        apart: held-out ones of elsewhere. Neither these nor their mirror images are in what is learnt, not even as
            something composed or mirrored, with other capitals or stops.
    """
    from instruct_data.face.compose import composed, named, timed_instructions
    from instruct_data.face.score import EVERYDAY, FURTHER, SEQUENCES, SIBLINGS, read_instructions, reworded

    shares = options.shares
    files = {"sequenced": SEQUENCES, "further": FURTHER, "siblings": SIBLINGS, "everyday": EVERYDAY}
    own, together = (corpus, ()) if shares["corpus"] else ((), corpus)
    all_written = {"written": [*written[: options.written or None], *together], "corpus": [*own]}
    all_written |= {k: [one.score for one in read_instructions(f)] if shares[k] else [] for k, f in files.items()}
    parts = {k: _parted(some, options.held) for k, some in all_written.items()}
    held = [s for some, _ in parts.values() for s in some]
    avoid = [s.text for s in held]
    kept = {bare(s.text) for s in with_mirrored([*held, *apart])}

    def free(some: Sequence[Score]) -> list[Score]:
        return [s for s in some if bare(s.text) not in kept]

    learnt = {k: free(with_mirrored(some)) for k, (_, some) in parts.items()}
    rows = reworded() if options.reworded_share else []
    others = free(with_mirrored([s for row in rows if len(free(row)) == len(row) for s in row]))
    single = [*(s for some in learnt.values() for s in some), *others]
    pairs = pairs_of(single, options.joined, np.random.default_rng([options.seed, 7]))
    made = composed(options.composed, options.seed + 1, avoid)
    timed = timed_instructions(options.timed, options.seed, avoid)
    said = named() if options.named_share else []
    groups = {**learnt, "reworded": others, "joined": free(pairs), "named": free(said)}
    return {**groups, "timed": free(timed), "composed": free(made)}, held


def _parted(scores: Sequence[Score], held: int) -> tuple[list[Score], list[Score]]:
    """Every `held`-th score, and the others."""
    sides: tuple[list[Score], list[Score]] = ([], [])
    for i, score in enumerate(scores):
        sides[i % held != held - 1].append(score)
    return sides


def longer(score: Score, seconds: float) -> Score:
    """The score in a clip that is `seconds` longer: the last feelings go on, actions stay where they are."""
    length = min(score.length + seconds, MAX_SECONDS)
    return replace(fit_score(score, length), length=length)


def rows_of(
    scores: Sequence[Score], parser: InstructionParser, grounder: Grounder, seed: int = 0, kind: str = ""
) -> Rows:  # fmt: skip
    """Scores whose words and tokens fit; one in ten is told a much longer clip than its actions take."""
    out, rng = Rows(kind=parser.network.kind(SAME.get(kind, kind))), np.random.default_rng([seed, 11])
    for i in range(0, len(scores), 256):
        some = scores[i : i + 256]
        for score, states in zip(some, grounder.states([s.text for s in some]), strict=True):
            tokens = parser.tokens.encode(score)
            more = 0.5 * round(2 * score.length * float(rng.uniform(*BY) - 1))
            wanted = longer(score, more) if rng.random() < LONGER else score
            if len(states) <= MAX_WORDS and len(tokens) <= MAX_TOKENS:
                out.states.append(states.astype(np.float16))
                out.tokens.append(tokens)
                suited = tokens if wanted is score else parser.tokens.encode(wanted)
                out.told.append((parser.tokens.token("length", wanted.length), suited))
    return out


class ParserBatches:
    """Draws batches of instructions of about one length; equal steps give equal batches.

    Rows for `training.pool` batches are drawn together, put in order of their length and dealt out: padding then costs
    little.
    """

    def __init__(
        self, groups: dict[str, Rows], shares: Mapping[str, float], training: ParserTraining, begin: int,
        lengths: bool = False,
    ) -> None:  # fmt: skip
        self.groups = {k: g for k, g in groups.items() if g.tokens and shares[k] > 0}
        if not self.groups:
            raise UserError("reader: no instructions to learn from")
        total = sum(shares[k] for k in self.groups)
        self.shares = {k: shares[k] / total for k in self.groups}
        self.training, self.begin, self.lengths = training, begin, lengths
        self._pool: tuple[tuple[int, ...], list[list[tuple[Rows, int]]]] = ((), [])

    def _dealt(self, rows: int, seed: tuple[int, ...], number: int) -> list[list[tuple[Rows, int]]]:
        """Pool `number`: batches of rows (group and place in it), in random order."""
        key = (*seed, rows, number)
        if self._pool[0] != key:
            rng = np.random.default_rng([*seed, number])
            count = self.training.pool
            names = rng.choice(list(self.groups), rows * count, p=list(self.shares.values()))
            drawn = [(self.groups[n], int(rng.integers(len(self.groups[n].tokens)))) for n in names]
            drawn.sort(key=lambda x: len(x[0].states[x[1]]) + len(x[0].tokens[x[1]]))
            self._pool = (key, [drawn[i * rows : (i + 1) * rows] for i in rng.permutation(count)])
        return self._pool[1]

    def draw(
        self, rows: int, step: int, seed: Sequence[int] = (0,)
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:  # fmt: skip
        """Token states, words, tokens so far, kinds (-1 = not told) and the tokens that follow."""
        count = self.training.pool
        chosen = self._dealt(rows, tuple(seed), step // count)[step % count]
        own = torch.Generator().manual_seed(int(np.random.SeedSequence([*seed, 1, step]).generate_state(1)[0]))
        states, words = pad_states([g.states[i] for g, i in chosen])
        states = states + torch.randn(states.shape, generator=own) * (self.training.noise * states.std())
        seen = (torch.rand(words.shape, generator=own) >= self.training.masked).float() * words
        words = torch.where(seen.sum(1, keepdim=True) > 0, seen, words)
        told = torch.rand(rows, generator=own) < self.training.told if self.lengths else torch.zeros(rows)
        both = zip(told.tolist(), chosen, strict=True)
        said = [g.told[i] if t else (self.begin, g.tokens[i]) for t, (g, i) in both]
        longest = max(len(tokens) for _, tokens in said)
        following = torch.full((rows, longest), -1)
        before = torch.zeros(rows, longest, dtype=torch.long)
        for k, (begin, tokens) in enumerate(said):
            row = torch.tensor(tokens)
            following[k, : len(row)] = row
            before[k, 0] = begin
            before[k, 1 : len(row)] = row[:-1]
        kinds = torch.tensor([g.kind for g, _ in chosen])
        kinds[torch.rand(rows, generator=own) < UNKNOWN] = -1
        return states, words, before, kinds, following


JOINTS = (". Then ", ", then ", "; after that ", ". Next, ", ", and then ", ". After that: ", " -> ", ". Now ")
WITHS = (": ", ". ", ", ", "; ")  # between a feeling and what is done meanwhile
KEPT = (
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
OTHER = (
    ", then the same on the other side", ". Now the other side", "; then switch sides", ". Repeat on the opposite side",
    ", and then mirrored", ". The same again with the other side", ", followed by the other one",
)  # fmt: skip
PAUSE = 0.25  # s between two joined instructions
FEELINGS_SHARE, WITH_SHARE = 0.15, 0.3  # of the joined: two feelings, a feeling and actions; the rest are all actions
TOGETHER = 7  # events of a joined instruction at most
LETTERS = 260  # of a joined instruction at most
Join = Callable[[Score, Score, np.random.Generator], Score]


def joined(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Two instructions of actions in a row."""
    start = max(e.end for e in first.events) + PAUSE - min(e.start for e in second.events)
    events = tuple(replace(e, start=round(e.start + start, 3)) for e in second.events)
    length = clip_seconds(max(e.end for e in events))
    text = first.text.rstrip(" .!") + pick(JOINTS, rng) + _lowered(second.text)
    return Score(length, (*first.events, *events), (), text)


def felt_in_turn(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Two feelings one after the other; either takes the greater part of the time that it has alone."""
    change = round(first.length / 2 + 0.5, 1)
    length = round(change + second.length / 2 + 0.5, 1)
    felt = [replace(f, start=0.0, end=change) for f in first.emotions]
    felt += [replace(f, start=change, end=length) for f in second.emotions]
    text = first.text.rstrip(" .!") + pick(JOINTS, rng) + _lowered(second.text)
    return Score(length, (), tuple(felt), text)


def felt_meanwhile(feeling: Score, acts: Score, rng: np.random.Generator) -> Score:
    """Actions, and a feeling all the while, in words before or after them."""
    felt = tuple(replace(f, start=0.0, end=acts.length) for f in feeling.emotions)
    texts = [feeling.text, acts.text]
    if rng.random() < 0.4:
        texts.reverse()
    joint = pick(WITHS, rng)
    after = texts[1] if joint == ". " else _lowered(texts[1])
    return Score(acts.length, acts.events, felt, texts[0].rstrip(" .!") + joint + after)


def kept(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """One action that lasts, and others meanwhile."""
    one = first.events[0]
    start = float(rng.choice((0.0, one.start)))
    inner = tuple(replace(e, start=round(e.start + start + 0.3, 3)) for e in second.events)
    end = max(e.end for e in inner)
    text = pick(KEPT, rng).format(a=_inside(first.text), b=_inside(second.text))
    events = (replace(one, start=start, duration=round(end + 0.1 - start, 3)), *inner)
    return Score(clip_seconds(end), events, (), text[:1].upper() + text[1:])


def clocked(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Each of two instructions at a second that is named."""
    form, at, parts, events = pick(CLOCK, rng), float(rng.choice((0.0, 0.5, 1.0, 1.5, 2.0))), [], []
    for one in (first, second):
        begin = min(e.start for e in one.events)
        events += [replace(e, start=round(e.start - begin + at, 3)) for e in one.events]
        number = f"{at:.1f}" if at % 1 or rng.random() < 0.4 else f"{at:.0f}"
        parts.append(form.format(t=number, a=_inside(one.text)))
        at = float(np.ceil(2 * (max(e.end for e in events) + 0.05)) / 2 + rng.choice((0.0, 0.5, 1.0)))
    return Score(clip_seconds(max(e.end for e in events)), tuple(events), (), pick((". ", "; ", ", "), rng).join(parts))


def once_more(first: Score, _: Score, rng: np.random.Generator) -> Score:
    """The same again, or, where it has a side, on the other side."""
    other = first.sided and rng.random() < 0.7
    shift = max(e.end for e in first.events) + PAUSE - min(e.start for e in first.events)
    second = [replace(e, start=round(e.start + shift, 3)) for e in first.events]
    second = [replace(e, action=mirror_action(e.action)) for e in second] if other else second
    text = first.text.rstrip(" .!") + pick(OTHER if other else AGAIN, rng) + pick((".", "!", ""), rng)
    return Score(clip_seconds(max(e.end for e in second)), (*first.events, *second), (), text)


def _inside(text: str) -> str:
    return _lowered(text.rstrip(" .!"))


def _holds(score: Score) -> bool:
    """Whether it is one action that can go on for as long as one likes."""
    one = score.events[0]
    return len(score.events) == 1 and one.repeat == 1 and actions()[one.action].form == "hold"


def pairs_of(written: Sequence[Score], count: int, rng: np.random.Generator) -> list[Score]:
    """`count` pairs of written instructions: actions in a row, feelings in turn, a feeling while something is done, an
    action that lasts during others, either at a named second, one instruction twice or on both sides."""
    acts = [s for s in written if s.kind == "motion"]
    later = [s for s in acts if not clock_times(s.text)]  # may begin later than they would alone
    plain = [s for s in acts if not says_when(s.text) and "return_to_neutral" not in {e.action for e in s.events}]
    held = [s for s in plain if _holds(s)]
    even = [s for s in written if s.emotions and not s.events and len(s.text) < 90
            and all(f.start == 0 and f.end >= s.length for f in s.emotions)]  # fmt: skip
    free = [s for s in even if not says_when(s.text)]
    rest = 1 - FEELINGS_SHARE - WITH_SHARE
    kinds: list[tuple[float, Join, list[Score], list[Score]]] = [
        (FEELINGS_SHARE, felt_in_turn, free, free), (WITH_SHARE, felt_meanwhile, even, acts),
        (0.5 * rest, joined, acts, later), (0.18 * rest, kept, held, plain), (0.16 * rest, clocked, plain, plain),
        (0.16 * rest, once_more, plain, plain),
    ]  # fmt: skip
    kinds = [k for k in kinds if k[2] and k[3]]
    shares = np.array([k[0] for k in kinds]) / sum(k[0] for k in kinds)
    out: list[Score] = []
    for _ in range(8 * count):  # many pairs are too long or cannot be done at once
        if len(out) == count or not kinds:
            break
        _share, join, first, second = kinds[int(rng.choice(len(kinds), p=shares))]
        a, b = first[int(rng.integers(len(first)))], second[int(rng.integers(len(second)))]
        if len(a.events) + len(b.events) > TOGETHER or len(a.text) + len(b.text) >= LETTERS:
            continue
        if join is kept and any(clash(a.events[0].action, e.action) for e in b.events):
            continue
        out.append(join(a, b, rng))
    return out


def _lowered(text: str) -> str:
    """A sentence as it goes on in another; abbreviations ("AU12") and "I" stay."""
    first = text.split()[0] if text.split() else ""
    return text if len(first) == 1 or first[1:2].isupper() or first[1:2] == "'" else text[:1].lower() + text[1:]
