"""The parser stage of `scripts/train.py`: facial instructions -> scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional as F

from avatargpt.face.instructions.network import MAX_WORDS, ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.face import reading_score
from avatargpt.train.data.parser_data import Material, ParserBatches, ParserTraining, material, rows_of
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import AveragedStage, Metrics, StepContext
from instruct_data.face.score import Score
from vqvae.errors import UserError
from vqvae.strict import Strict

TUNED = "tuned.layers."
# a layer adds the output of these to its input
RESIDUAL = ("out_proj.weight", "out_proj.bias", "linear2.weight", "linear2.bias")


class ParserRecipe(Strict):
    """A configuration of the parser stage."""

    data: Material = Material()
    model: ParserConfig = ParserConfig()
    train: ParserTraining = ParserTraining()


def read_scores(paths: Sequence[Path]) -> list[Score]:
    """Written instructions of all files."""
    from instruct_data.face.score import read_instructions

    return [row.score for path in paths for row in read_instructions(path)]


def parser_stage(recipe: ParserRecipe, args: SimpleNamespace) -> None:
    """Train the parser of facial instructions."""
    from avatargpt.face.instructions.parser import reading_grounder
    from instruct_data.face.score import OWN

    runtime = Runtime.start(args.threads, args.device)
    written = read_scores([OWN])
    texts = Path(args.texts) if args.texts else None
    corpus = read_scores([texts / "train.jsonl"]) if texts else []
    excluded = read_scores([texts / "val.jsonl"]) if texts and (texts / "val.jsonl").is_file() else []
    start = Path(args.start) if args.start else None
    grounder = reading_grounder(recipe.model)
    stage = ParserStage(recipe, written, runtime, grounder, str(args.config), start, corpus, excluded)
    run(stage, Path(args.output), runtime, args.until)


class ParserStage(AveragedStage):
    """A parser in training.

    Args:
        written: instructions of the package. corpus: of a corpus, which may have a share and a kind of their own.
        excluded: held-out ones, whose words are not learnt from in any way (`parser_data.material`).
        start: folder of a parser to begin from, see `begin_with`.
        where: the configuration's name, for messages.

    Attributes:
        parser: the mean as it was last validated or saved.
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
        self.parser = InstructionParser(ParserNetwork(recipe.model))
        if start:
            begin_with(self.network, start)
        groups, held_out = material(written, recipe.data, corpus, excluded)
        both = zip(held_out, grounder.states([s.text for s in held_out]), strict=True)
        self.val = [s for s, states in both if len(states) <= MAX_WORDS]
        rows = {k: rows_of(v, self.parser, grounder, t.seed, k) for k, v in groups.items()}
        self.batches = ParserBatches(rows, recipe.data.shares, t, self.network.begin, recipe.model.lengths)
        self.identity = {"shape": recipe.model.model_dump()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), t.lr, (0.9, 0.98), weight_decay=t.weight_decay
        )  # fmt: skip
        self.start_mean()
        # Targets are spread over neighbouring steps: 1.2 s instead of 1.3 s is nearly right.
        self.targets = torch.from_numpy(self.parser.tokens.neighbours(t.spread)).to(runtime.device)

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

    def take_mean(self) -> InstructionParser:
        """The parser with the mean of the weights so far."""
        self.load_mean(self.parser.network)
        return self.parser

    def validate(self) -> dict[str, float]:
        if not self.val:
            return {}
        texts, lengths = [s.text for s in self.val], [s.length for s in self.val]
        return reading_score(self.take_mean().read(texts, self.grounder, 0, lengths), self.val)

    def save(self, out: Path) -> None:
        self.take_mean().save(out)


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
    source = {_shifted(k, shift): v for k, v in start.state_dict().items()}
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
        elif before.shape == value.shape or (name.endswith((".up", ".down")) and _within(before, value)):
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


def _shifted(name: str, layers: int) -> str:
    """The name of a tensor of a tuned layer as that of the layer so many above; other names stay."""
    if not name.startswith(TUNED):
        return name
    number, _, tensor = name.removeprefix(TUNED).partition(".")
    return f"{TUNED}{int(number) + layers}.{tensor}"


def _within(small: torch.Tensor, large: torch.Tensor) -> bool:
    return all(a <= b for a, b in zip(small.shape, large.shape, strict=True))
