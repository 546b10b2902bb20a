"""The reader stage of `scripts/train.py`: facial instructions -> scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.speech.direction import Grounder
from avatargpt.speech.reader import MOST_TOKENS, MOST_WORDS, ReaderConfig, ReaderNetwork, ScoreReader, padded
from avatargpt.train.runtime import (
    Log,
    Runtime,
    check_keys,
    cosine,
    from_mapping,
    load_checkpoint,
    load_yaml,
    save_checkpoint,
)
from instruct_data.face.score import Score
from vqvae.errors import UserError

SECTIONS = ("data", "model", "train")
JOINTS = (". Then ", ", then ", "; after that ", ". Next, ", ", and then ", ". After that: ", " -> ", ". Now ")
PAUSE = 0.25  # s between two joined instructions


@dataclass
class Material:
    """What `configs/driver/reader.yaml` may set under `data`.

    Attributes:
        composed: instructions composed by rule. joined: pairs of written ones in a row.
        written_share, joined_share: of a batch; the rest are composed ones.
        held: every so manieth written instruction only validates.
    """

    composed: int = 12000
    joined: int = 8000
    written_share: float = 0.5
    joined_share: float = 0.25
    held: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.held < 2 or min(self.composed, self.joined) < 0:
            counts = f"held {self.held}, composed {self.composed}, joined {self.joined}"
            raise UserError(f"reader: {counts}; accepted: 2 or more held, 0 or more of the others")
        if min(self.written_share, self.joined_share) < 0 or self.written_share + self.joined_share > 1:
            shares = f"written_share {self.written_share}, joined_share {self.joined_share}"
            raise UserError(f"reader: {shares}; accepted: 0 or more, together at most 1")


@dataclass
class ReaderTraining:
    """What `configs/driver/reader.yaml` may set under `train`."""

    steps: int = 6000
    batch: int = 64
    lr: float = 1.5e-3
    lr_floor: float = 1e-5
    warmup: int = 200
    weight_decay: float = 0.05
    smoothing: float = 0.05
    noise: float = 0.05  # standard deviation added to token states, in theirs
    masked: float = 0.08  # share of words that are left out
    seed: int = 0
    log_every: int = 100
    save_every: int = 500
    val_every: int = 1000
    ema: float = 0.998


@dataclass
class Rows:
    """Instructions as the trainer draws them: token states and score tokens."""

    states: list[np.ndarray] = field(default_factory=list)
    tokens: list[list[int]] = field(default_factory=list)


def joined(first: Score, second: Score, rng: np.random.Generator) -> Score:
    """Two instructions of actions in a row."""
    start = max(e.end for e in first.events) + PAUSE - min(e.start for e in second.events)
    events = tuple(replace(e, start=round(e.start + start, 3)) for e in second.events)
    length = np.ceil(2 * (max(e.end for e in events) + 0.3)) / 2
    text = first.text.rstrip(" .!") + JOINTS[int(rng.integers(len(JOINTS)))] + _lowered(second.text)
    return Score(float(length), (*first.events, *events), (), text)


def _lowered(text: str) -> str:
    """A sentence as it goes on in another; abbreviations ("AU12") and "I" stay."""
    first = text.split()[0] if text.split() else ""
    return text if len(first) == 1 or first[1:2].isupper() or first[1:2] == "'" else text[:1].lower() + text[1:]


def with_mirrored(scores: Sequence[Score]) -> list[Score]:
    """Scores, and the mirror images of those that have sides."""
    return [*scores, *(s.mirrored() for s in scores if s.sided)]


def material(written: Sequence[Score], options: Material) -> tuple[dict[str, list[Score]], list[Score]]:
    """Training instructions by kind, and held-out written ones."""
    from instruct_data.face.compose import composed

    held = [s for i, s in enumerate(written) if i % options.held == options.held - 1]
    rest = with_mirrored([s for i, s in enumerate(written) if i % options.held != options.held - 1])
    rng = np.random.default_rng([options.seed, 7])
    acts = [s for s in rest if s.kind == "motion"]
    pairs: list[Score] = []
    for _ in range(4 * options.joined if acts else 0):  # hardly one pair in four is too long
        if len(pairs) == options.joined:
            break
        a, b = (acts[int(rng.integers(len(acts)))] for _ in range(2))
        if len(a.events) + len(b.events) <= 7 and len(a.text) + len(b.text) < 260:
            pairs.append(joined(a, b, rng))
    made = composed(options.composed, options.seed + 1, [s.text for s in held]) if options.composed else []
    return {"written": rest, "joined": pairs, "composed": made}, held


def rows_of(scores: Sequence[Score], reader: ScoreReader, grounder: Grounder) -> Rows:
    """Scores whose words and tokens fit."""
    out = Rows()
    for i in range(0, len(scores), 256):
        some = scores[i : i + 256]
        for score, states in zip(some, grounder.states([s.text for s in some]), strict=True):
            tokens = reader.tokens.encode(score)
            if len(states) <= MOST_WORDS and len(tokens) <= MOST_TOKENS:
                out.states.append(states.astype(np.float16))
                out.tokens.append(tokens)
    return out


class ReaderBatches:
    """Draws batches; equal steps give equal batches."""

    def __init__(self, groups: dict[str, Rows], options: Material, training: ReaderTraining, begin: int) -> None:
        shares = {"written": options.written_share, "joined": options.joined_share,
                  "composed": 1 - options.written_share - options.joined_share}  # fmt: skip
        self.groups = {k: g for k, g in groups.items() if g.tokens and shares[k] > 0}
        if not self.groups:
            raise UserError("reader: no instructions to learn from")
        total = sum(shares[k] for k in self.groups)
        self.shares = {k: shares[k] / total for k in self.groups}
        self.training, self.begin = training, begin

    def draw(self, rows: int, seed: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Token states, words, tokens so far and the tokens that follow them."""
        rng = np.random.default_rng(list(seed))
        names = rng.choice(list(self.groups), rows, p=list(self.shares.values()))
        chosen = [(self.groups[n], int(rng.integers(len(self.groups[n].tokens)))) for n in names]
        states, words = padded([g.states[i].astype(np.float32) for g, i in chosen])
        noise = torch.from_numpy(rng.standard_normal(states.shape, np.float32)) * self.training.noise
        states = states + noise * states.std()
        left = torch.from_numpy((rng.random(words.shape) >= self.training.masked).astype(np.float32)) * words
        words = torch.where(left.sum(1, keepdim=True) > 0, left, words)
        longest = max(len(g.tokens[i]) for g, i in chosen)
        following = torch.full((rows, longest), -1)
        before = torch.zeros(rows, longest, dtype=torch.long)
        before[:, 0] = self.begin
        for k, (g, i) in enumerate(chosen):
            row = torch.tensor(g.tokens[i])
            following[k, : len(row)] = row
            before[k, 1 : len(row)] = row[:-1]
        return states, words, before, following


def read_scores(paths: Sequence[Path]) -> list[Score]:
    """Written instructions of all files."""
    from instruct_data.face.score import read_instructions

    return [one.score for path in paths for one in read_instructions(path)]


def reader_stage(args: argparse.Namespace) -> None:
    """Train (or go on training) the reader of facial instructions."""
    from avatargpt.speech.reader import reading_grounder
    from instruct_data.face.corpus import OWN

    runtime = Runtime.start(args.threads, args.device)
    files = [OWN, *([Path(args.texts) / "train.jsonl"] if args.texts else [])]
    config, written = load_yaml(args.config), read_scores(files)
    shape = from_mapping(ReaderConfig, config.get("model"), f"{args.config}: model")
    train(config, written, Path(args.output), runtime, reading_grounder(shape), args.until, str(args.config))


def train(
    config: dict[str, Any], written: Sequence[Score], out: Path, runtime: Runtime, grounder: Grounder,
    until: int | None = None, where: str = "configuration",
) -> ScoreReader:  # fmt: skip
    """Run or resume training in folder `out` (checkpoint.pt, log.jsonl, losses.png, and the reader so far).

    Args:
        until: stop here with a checkpoint; the schedule stays that of all steps.

    Raises:
        UserError: unknown keys or values in `config`, nothing to learn from, a damaged checkpoint.
    """
    from avatargpt.metrics.face_reading import reading_score
    from avatargpt.train.plot import plot_log

    check_keys(config, SECTIONS, where)
    t = from_mapping(ReaderTraining, config.get("train"), f"{where}: train")
    options = from_mapping(Material, config.get("data"), f"{where}: data")
    shape = from_mapping(ReaderConfig, config.get("model"), f"{where}: model")
    torch.manual_seed(t.seed)
    network = ReaderNetwork(shape).to(runtime.device).train()
    reader = ScoreReader(ReaderNetwork(shape))
    groups, held = material(written, options)
    held = [s for s, states in zip(held, grounder.states([s.text for s in held]), strict=True)
            if len(states) <= MOST_WORDS]  # fmt: skip
    batches = ReaderBatches(
        {k: rows_of(v, reader, grounder) for k, v in groups.items()}, options, t, network.begin
    )  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), t.lr, (0.9, 0.98), weight_decay=t.weight_decay)
    mean = {k: v.detach().clone() for k, v in network.state_dict().items()}
    step = 0
    saved = load_checkpoint(out / "checkpoint.pt", runtime.device)
    if saved:
        network.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        mean, step = saved["mean"], int(saved["step"])
    log = Log(out / "log.jsonl", runtime.main, t.steps, step)
    totals: list[float] = []
    stop = min(t.steps, until or t.steps)
    while step < stop:
        torch.manual_seed(t.seed + step)  # of dropout, so that a resumed run goes on as it would have
        states, words, before, following = (x.to(runtime.device) for x in batches.draw(t.batch, [t.seed, step]))
        with runtime.autocast():
            logits = network(states, words, before)
        loss = F.cross_entropy(
            logits.float().flatten(0, 1), following.flatten(), ignore_index=-1, label_smoothing=t.smoothing
        )  # fmt: skip
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = cosine(step, t.steps, t.warmup, t.lr, t.lr_floor)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        decay = min(t.ema, step / (step + 10))
        for k, v in network.state_dict().items():
            mean[k].lerp_(v.detach(), 1 - decay)
        totals.append(float(loss.detach()))
        log.advance(loss)
        if step % t.log_every == 0 or step == t.steps:
            log(step=step, loss=float(np.mean(totals)))
            totals = []
        if step % t.val_every == 0 or step == t.steps:
            reader.network.load_state_dict({k: v.cpu() for k, v in mean.items()})
            reader.network.eval()
            if held:
                log(step=step, **reading_score(reader.read([s.text for s in held], grounder), held))
        if step % t.save_every == 0 or step == stop:
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean, "step": step}
            save_checkpoint(out / "checkpoint.pt", state)
    log.close()
    reader.network.load_state_dict({k: v.cpu() for k, v in mean.items()})
    reader.network.eval()
    reader.save(out)
    plot_log(out)
    return reader
