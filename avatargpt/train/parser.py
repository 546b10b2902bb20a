"""The parser stage of `scripts/train.py`: facial instructions -> scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn import functional as F

from avatargpt.config import save_resolved
from avatargpt.face.audio_model.conditioning import Grounder
from avatargpt.face.instructions.network import MAX_WORDS, ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.metrics.face import reading_score
from avatargpt.train.data.parser_data import Material, ParserBatches, ParserTraining, material, rows_of
from avatargpt.train.loop import run
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import Metrics, StageBase, StepContext
from instruct_data.face.score import Score
from vqvae.errors import UserError
from vqvae.strict import Strict

TUNED = "tuned.layers."
ADDS = ("out_proj.weight", "out_proj.bias", "linear2.weight", "linear2.bias")  # what a layer adds to its input


class ParserRecipe(Strict):
    """A configuration of the parser stage."""

    data: Material = Material()
    model: ParserConfig = ParserConfig()
    train: ParserTraining = ParserTraining()


def read_scores(paths: Sequence[Path]) -> list[Score]:
    """Written instructions of all files."""
    from instruct_data.face.score import read_instructions

    return [one.score for path in paths for one in read_instructions(path)]


def parser_stage(recipe: ParserRecipe, args: SimpleNamespace) -> None:
    """Train (or go on training) the parser of facial instructions."""
    from avatargpt.face.instructions.parser import reading_grounder
    from instruct_data.face.score import OWN

    runtime = Runtime.start(args.threads, args.device)
    written = read_scores([OWN])
    texts = Path(args.texts) if args.texts else None
    corpus = read_scores([texts / "train.jsonl"]) if texts else []
    apart = read_scores([texts / "val.jsonl"]) if texts and (texts / "val.jsonl").is_file() else []
    start = Path(args.start) if args.start else None
    grounder, out = reading_grounder(recipe.model), Path(args.output)
    train(recipe, written, out, runtime, grounder, args.until, str(args.config), start, corpus, apart)


class ParserStage(StageBase):
    """A parser in training: see `avatargpt.train.loop.Stage`. What it keeps is the moving mean of the weights.

    Attributes:
        parser: the mean as it was last validated or saved.
    """

    def __init__(
        self, recipe: ParserRecipe, written: Sequence[Score], runtime: Runtime, grounder: Grounder, where: str,
        start: Path | None, corpus: Sequence[Score], apart: Sequence[Score],
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.runtime, self.grounder = recipe, recipe.train, runtime, grounder
        t = self.schedule
        self.rows = runtime.share(t.batch, f"{where}: train")
        torch.manual_seed(t.seed)
        self.network = self.module = ParserNetwork(recipe.model).to(runtime.device).train()
        self.parser = InstructionParser(ParserNetwork(recipe.model))
        if start:
            begin_with(self.network, start)
        groups, held = material(written, recipe.data, corpus, apart)
        both = zip(held, grounder.states([s.text for s in held]), strict=True)
        self.held = [s for s, states in both if len(states) <= MAX_WORDS]
        rows = {k: rows_of(v, self.parser, grounder, t.seed, k) for k, v in groups.items()}
        self.batches = ParserBatches(rows, recipe.data.shares, t, self.network.begin, recipe.model.lengths)
        self.identity = {"shape": recipe.model.model_dump()}
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), t.lr, (0.9, 0.98), weight_decay=t.weight_decay
        )  # fmt: skip
        self.mean = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.right = torch.from_numpy(self.parser.tokens.neighbours(t.spread)).to(runtime.device)

    def torch_seed(self, context: StepContext) -> int:
        return context.seed + context.step

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        seed = [context.seed, context.rank] if context.rank else [context.seed]
        drawn = self.batches.draw(self.rows, context.step, seed)
        states, words, before, kinds, following = (x.to(self.runtime.device) for x in drawn)
        with self.runtime.autocast():
            logits = module(states, words, before, kinds)
        said = following >= 0
        right, smoothing = self.right[following[said]], self.schedule.smoothing
        loss = F.cross_entropy(logits.float()[said], right, label_smoothing=smoothing)
        return loss, {"loss": loss}

    def stepped(self, step: int) -> None:
        decay = min(self.schedule.ema, step / (step + 10))
        for k, v in self.network.state_dict().items():
            self.mean[k].lerp_(v.detach(), 1 - decay)

    def take_mean(self) -> InstructionParser:
        """The parser with the mean of the weights so far."""
        self.parser.network.load_state_dict({k: v.cpu() for k, v in self.mean.items()})
        self.parser.network.eval()
        return self.parser

    def validate(self) -> dict[str, float]:
        if not self.held:
            return {}
        texts, lengths = [s.text for s in self.held], [s.length for s in self.held]
        return reading_score(self.take_mean().read(texts, self.grounder, 0, lengths), self.held)

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean}

    def restore(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"]

    def save(self, out: Path) -> None:
        self.take_mean().save(out)
        save_resolved(self.recipe, out)


def train(
    recipe: ParserRecipe, written: Sequence[Score], out: Path, runtime: Runtime, grounder: Grounder,
    until: int | None = None, where: str = "configuration", start: Path | None = None, corpus: Sequence[Score] = (),
    apart: Sequence[Score] = (),
) -> InstructionParser:  # fmt: skip
    """Run or resume training in folder `out` (checkpoint.pt, log.jsonl, losses.png, and the parser so far).

    Args:
        until: stop here with a checkpoint; the schedule stays that of all steps.
        where: the configuration's name, for messages.
        start: folder of a parser whose weights are begun with; of the shape of `recipe`, or of fewer layers or a
            lower rank.
        corpus: written instructions of a corpus, which may have a share and a kind of their own.
        apart: held-out ones, whose words are not to be learnt from in any way (`parser_material.material`).

    Raises:
        UserError: nothing to learn from, a damaged checkpoint, another shape.
    """
    stage = ParserStage(recipe, written, runtime, grounder, where, start, corpus, apart)
    run(stage, out, runtime, until)
    return stage.take_mean()


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
            elif not name.startswith(("encoder.", "decoder.", "tuned.", "kinds")):
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
