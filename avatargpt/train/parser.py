"""The reader stage of `scripts/train.py`: facial instructions -> scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from avatargpt.face.audio_model.conditioning import Grounder
from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.face.instructions.sampling import MOST_WORDS
from avatargpt.train.checkpoints import go_on, load_checkpoint, save_checkpoint
from avatargpt.train.data.parser_material import Material, ParserBatches, ParserTraining, material, rows_of
from avatargpt.train.log import Log
from avatargpt.train.runtime import Runtime, check_keys, cosine, descend, from_mapping, load_yaml
from instruct_data.face.score import Score
from vqvae.errors import UserError

SECTIONS = ("data", "model", "train")
TUNED = "tuned.layers."
ADDS = ("out_proj.weight", "out_proj.bias", "linear2.weight", "linear2.bias")  # what a layer adds to its input


def read_scores(paths: Sequence[Path]) -> list[Score]:
    """Written instructions of all files."""
    from instruct_data.face.score import read_instructions

    return [one.score for path in paths for one in read_instructions(path)]


def parser_stage(args: argparse.Namespace) -> None:
    """Train (or go on training) the reader of facial instructions."""
    from avatargpt.face.instructions.parser import reading_grounder
    from instruct_data.face.corpus import OWN

    runtime = Runtime.start(args.threads, args.device)
    config, written = load_yaml(args.config), read_scores([OWN])
    texts = Path(args.texts) if args.texts else None
    corpus = read_scores([texts / "train.jsonl"]) if texts else []
    apart = read_scores([texts / "val.jsonl"]) if texts and (texts / "val.jsonl").is_file() else []
    shape = from_mapping(ParserConfig, config.get("model"), f"{args.config}: model")
    start = Path(args.start) if args.start else None
    grounder, out = reading_grounder(shape), Path(args.output)
    train(config, written, out, runtime, grounder, args.until, str(args.config), start, corpus, apart)


def train(
    config: dict[str, Any], written: Sequence[Score], out: Path, runtime: Runtime, grounder: Grounder,
    until: int | None = None, where: str = "configuration", start: Path | None = None, corpus: Sequence[Score] = (),
    apart: Sequence[Score] = (),
) -> InstructionParser:  # fmt: skip
    """Run or resume training in folder `out` (checkpoint.pt, log.jsonl, losses.png, and the reader so far).

    Args:
        until: stop here with a checkpoint; the schedule stays that of all steps.
        start: folder of a reader whose weights are begun with; of the shape of `config`, or of fewer layers or a
            lower rank.
        corpus: written instructions of a corpus, which may have a share and a kind of their own.
        apart: held-out ones, whose words are not to be learnt from in any way (`reader_material.material`).

    Raises:
        UserError: unknown keys or values in `config`, nothing to learn from, a damaged checkpoint, another shape.
    """
    from avatargpt.metrics.face_reading import reading_score
    from avatargpt.train.plot import plot_log

    check_keys(config, SECTIONS, where)
    t = from_mapping(ParserTraining, config.get("train"), f"{where}: train")
    options = from_mapping(Material, config.get("data"), f"{where}: data")
    shape = from_mapping(ParserConfig, config.get("model"), f"{where}: model")
    torch.manual_seed(t.seed)
    network = ParserNetwork(shape).to(runtime.device).train()
    parser = InstructionParser(ParserNetwork(shape))
    if start:
        begin_with(network, start)
    groups, held = material(written, options, corpus, apart)
    held = [s for s, states in zip(held, grounder.states([s.text for s in held]), strict=True)
            if len(states) <= MOST_WORDS]  # fmt: skip
    rows = {k: rows_of(v, parser, grounder, t.seed, k) for k, v in groups.items()}
    batches = ParserBatches(rows, options.shares, t, network.begin, shape.lengths)
    optimizer = torch.optim.AdamW(network.parameters(), t.lr, (0.9, 0.98), weight_decay=t.weight_decay)
    mean = {k: v.detach().clone() for k, v in network.state_dict().items()}
    step, last = 0, out / "checkpoint.pt"
    saved = load_checkpoint(last, runtime.device, shape)
    if saved:
        step, mean = go_on(last, saved, network, optimizer), saved["mean"]
    right = torch.from_numpy(parser.tokens.neighbours(t.spread)).to(runtime.device)
    log = Log(out / "log.jsonl", runtime.main, t.steps, step)
    totals: list[float] = []
    stop = min(t.steps, until or t.steps)
    while step < stop:
        torch.manual_seed(t.seed + step)  # of dropout, so that a resumed run goes on as it would have
        drawn = (x.to(runtime.device) for x in batches.draw(t.batch, step, [t.seed]))
        states, words, before, kinds, left, following = drawn
        with runtime.autocast():
            logits = network(states, words, before, kinds, left)
        said = following >= 0
        loss = F.cross_entropy(logits.float()[said], right[following[said]], label_smoothing=t.smoothing)
        rate = cosine(step, t.steps, t.warmup, t.lr, t.lr_floor)
        descend(loss, network.parameters(), optimizer, 1.0, rate)
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
            parser.network.load_state_dict({k: v.cpu() for k, v in mean.items()})
            parser.network.eval()
            if held:
                read = parser.read([s.text for s in held], grounder, 0, [s.length for s in held])
                log(step=step, **reading_score(read, held))
        if step % t.save_every == 0 or step == stop:
            state = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean, "step": step}
            save_checkpoint(last, state, shape)
    log.close()
    parser.network.load_state_dict({k: v.cpu() for k, v in mean.items()})
    parser.network.eval()
    parser.save(out)
    plot_log(out)
    return parser


def begin_with(network: ParserNetwork, folder: Path) -> None:
    """Take over the weights of another reader of the same shape or of fewer layers, tuned or own, and a lower rank.

    What the other one lacks begins without effect (Net2Net's function-preserving growth, Chen et al. 2016): the grown
    network reads as the other does. Changes to the sentence encoder of a higher rank are cut to that of `network`, as
    near as can be. Of a folder with several readers the first is taken.

    Raises:
        UserError: a reader of another width, with other heads, layers or kinds, or with more layers than `network`.
    """
    begun = InstructionParser.load(folder).network
    if network.config.rank > 0:
        begun = begun.with_rank(network.config.rank)
    further = begun.config.first - network.config.first if begun.tuned is not None else 0
    other = {_further(k, further): v for k, v in begun.state_dict().items()}
    own = {k: v.clone() for k, v in network.state_dict().items()}  # a reader that is refused changes nothing
    theirs, ours = begun.config, network.config
    strange = [k for k in ("heads", "layers") if getattr(theirs, k) != getattr(ours, k)]  # no tensor shows it
    strange += ["kinds"] if theirs.kinds not in ([], ours.kinds) else []
    strange += sorted(other.keys() - own.keys())
    for name, value in own.items():
        before = other.get(name)
        if before is None:
            if name.endswith(ADDS):
                value.zero_()
            elif not name.startswith(("encoder.", "decoder.", "tuned.", "kinds", "left.")):
                strange.append(name)
        elif before.shape == value.shape or (name.endswith((".up", ".down")) and _within(before, value)):
            if name.endswith(".up"):
                value.zero_()
            value[tuple(slice(n) for n in before.shape)] = before
        else:
            strange.append(name)
    if strange:
        same = "accepted: the same width, hidden, heads, layers and kinds, not more layers of its own"
        raise UserError(f"{folder}: another shape than the configuration says ({strange[0]}); {same}")
    network.load_state_dict(own)


def _further(name: str, layers: int) -> str:
    """The name of a tensor of a tuned layer as that of the layer so many further up; other names stay."""
    if not name.startswith(TUNED):
        return name
    number, _, rest = name.removeprefix(TUNED).partition(".")
    return f"{TUNED}{int(number) + layers}.{rest}"


def _within(small: torch.Tensor, large: torch.Tensor) -> bool:
    return all(a <= b for a, b in zip(small.shape, large.shape, strict=True))
