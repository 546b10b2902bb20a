"""The reading stage of `scripts/train.py`: what people write -> items, by `avatargpt.reading`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from avatargpt.config import Schedule
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.reading.batches import IGNORED, VALUED, PieceReader, ReadingBatch, make_batch, where_lines_begin
from avatargpt.reading.judging import judge_items, judge_turns
from avatargpt.reading.network import MAX_ITEMS, WIDTH, ReadingConfig, ReadingNetwork, mean_state, pool
from avatargpt.reading.reader import Asked, Reader
from avatargpt.reading.store import save_network, take_over
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.resources import weights
from avatargpt.train.loop import run
from avatargpt.train.pack import mean_of
from avatargpt.train.runtime import Runtime
from avatargpt.train.stage import AveragedStage, Metrics, StepContext
from instruct_data.factory.draw import Draw, Drawn
from instruct_data.reading.examples import FILES, TEXTS, Example, read_authors
from instruct_data.reading.programs import CONSTANTS, PROGRAMS
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Rate, Share, Strict

POOL = 8  # steps whose examples are drawn at once and sorted by length
NOISE = 0.1  # of the words that an item's mean state is taken over, share that is left out in training
WEIGHTS = {"more": 1.0, "words": 4.0, "names": 1.5, "choice": 1.0, "flag": 0.5, "number": 0.5, "place": 1.0,
           "wholes": 0.25, "tags": 0.3, "kinds": 0.3, "written": 0.5, "meant": 0.5}  # fmt: skip
ALIKE = 20.0  # by which the cosines of what items mean are sharpened
PER_NAME = 6  # phrasings whose mean begins a name's vector
Phrasings = Sequence[tuple[str, str]]


class ReadingTraining(Schedule):
    """Section `train` of the configuration."""

    batch: PositiveInt = 32
    weight_decay: Share = 0.01
    ema: Share = 0.998  # of the moving mean that is saved
    encoder: Share = 0.12  # rate of the encoder as a share of that of all else
    misspelt: Share = 0.15  # share of the examples
    tasks: dict[str, Share] = {"read": 0.52, "turn": 0.16, "score": 0.16, "events": 0.16}  # share of the steps
    halved: list[str] = ["turn"]  # tasks of long texts, whose steps have half as many
    written: PositiveInt = 24  # items of a step that are written in words
    # of the examples of `read`, by kind
    shares: dict[str, Share] = {
        "people": 0.72, "joined": 0.06, "captions": 0.02, "phrasings": 0.03, "composed": 0.12, "templates": 0.05,
    }  # fmt: skip
    authors: dict[str, Rate] = {}  # files whose texts are drawn so many times as often
    composed_turns: Share = 0.15  # of the turns, those of wordings
    validated: PositiveInt = 600  # validation texts of each author


class ReadingRecipe(Strict):
    """A configuration of the reading stage.

    Attributes:
        validation, test: authors (names of files) that nothing is learnt from.
    """

    model: ReadingConfig = ReadingConfig()
    train: ReadingTraining = ReadingTraining()
    validation: list[str] = []
    test: list[str] = []


def train_reading(recipe: ReadingRecipe, args: SimpleNamespace) -> None:
    """Train the reading network."""
    runtime = Runtime.start(args.threads, args.device)
    folders = [Path(f) for f in args.texts.split(",")] if args.texts else [TEXTS]
    people = {task: read_authors(folders, task) for task in FILES}
    index = PhraseIndex.load(args.phrasings or weights())
    if index is None:
        raise UserError(f"{args.phrasings}: no phrase index there")
    stage = ReadingStage(recipe, people, list(zip(index.keys, index.classes, strict=True)), runtime, args.start)
    run(stage, Path(args.output), runtime, args.until)


# of requests composed of wordings: their words for an action are without its sides and directions
COMPOSED = "composed"
COMPOSED_FIELDS = frozenset(
    f.name for f in PROGRAMS["read"].items if f.kind in ("name", "choice", "flag", "number")
)  # fmt: skip


def mean_vectors(phrasings: Phrasings, names: Sequence[str], seed: int) -> Tensor:
    """(V, D) unit vectors of names: the means of a few phrasings of each, by the sentence encoder as it is packaged."""
    by_name: dict[str, list[str]] = {n: [] for n in names}
    for text, name in phrasings:
        by_name[name].append(text)
    rng = np.random.default_rng(seed)
    chosen = [t for n in names for t in rng.choice(by_name[n], PER_NAME)]
    vectors = torch.from_numpy(SentenceGrounder(cache_size=0).sentence(chosen))
    return F.normalize(vectors.unflatten(0, (-1, PER_NAME)).mean(1), dim=-1)


class ReadingStage(AveragedStage):
    """A reading network in training."""

    recipe: ReadingRecipe
    schedule: ReadingTraining

    def __init__(
        self, recipe: ReadingRecipe, people: Mapping[str, Sequence[Example]], phrasings: Phrasings, runtime: Runtime,
        start: str | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.schedule, self.runtime = recipe, recipe.train, runtime
        t = self.schedule
        faces = sorted({str(i.values["name"]) for e in people["score"] for i in e.items if "name" in i.values})
        names = {"actions": sorted({name for _, name in phrasings}), "faces": faces}
        self.names = {table: {n: i for i, n in enumerate(rows)} for table, rows in names.items()}
        kept = {*recipe.validation, *recipe.test}
        self.draws: dict[str, Draw] = {}
        self.val: dict[tuple[str, str], list[Example]] = {}
        for task, rows in people.items():
            learnt = [e for e in rows if e.author not in kept]
            if t.tasks.get(task) and not learnt:
                raise UserError(f"no texts to learn {task} from; accepted: folders with {FILES[task][0]}.jsonl(.xz)")
            own = task == "read"
            composed = [e for e in learnt if e.author.startswith(COMPOSED)]
            learnt = [e for e in learnt if not e.author.startswith(COMPOSED)]
            shares = t.shares if own else {"people": 1.0, "templates": t.composed_turns if composed else 0.0}
            self.draws[task] = Draw(
                learnt, phrasings if own else (), shares, t.misspelt, composed, COMPOSED_FIELDS if own else None,
                t.authors,
            )  # fmt: skip
            for author in recipe.validation:
                theirs = [e for e in rows if e.author == author]
                order = np.random.default_rng(0).permutation(len(theirs))[: t.validated]
                if theirs:
                    self.val[task, author] = [theirs[i] for i in order]
        self.rows = runtime.share(t.batch, "reading: train")
        torch.manual_seed(t.seed)
        self.pieces = PieceReader()
        captions = (i.caption for rows in people.values() for e in rows for i in e.items if i.caption)
        counts = Counter(piece for caption in captions for piece in self.pieces.write(caption))
        # Pieces that items are written in; all others are only copied.
        spoken = sorted(piece for piece, count in counts.items() if count > 1)
        shape = recipe.model.model_copy(update={"tables": names, "spoken": spoken})
        self.network = self.module = ReadingNetwork(shape).to(runtime.device).train()
        with torch.no_grad():
            self.network.names["actions"][:-1].copy_(mean_vectors(phrasings, names["actions"], t.seed))
            plain = SentenceGrounder(cache_size=0).sentence([n.replace("_", " ") for n in faces])
            self.network.names["faces"][:-1].copy_(torch.from_numpy(plain))
        if start:
            # of a packaged model's networks the one that reads what most steps are of
            most = max(t.tasks, key=t.tasks.__getitem__)
            take_over(self.network, mean_of(start, Reader.load).network.of_task(most))
        self.identity = {"shape": shape.model_dump()}
        trained = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        groups = [
            {"params": [p for n, p in trained if not n.startswith("encoder.")], "times": 1.0},
            {"params": [p for n, p in trained if n.startswith("encoder.")], "times": t.encoder},
        ]
        self.optimizer = torch.optim.AdamW(
            [g for g in groups if g["params"]], t.lr, (0.9, 0.98), weight_decay=t.weight_decay
        )
        self.start_mean()
        self.averaged = Reader(ReadingNetwork(shape))
        self.grounder = SentenceGrounder(cache_size=0)
        self.meanings: dict[str, np.ndarray] = {}  # of plain captions
        self.pool: tuple[tuple[int, ...], list[tuple[str, list[Drawn]]]] = (), []

    def losses(self, module: Any, context: StepContext) -> tuple[Tensor, Metrics]:
        pool_number, which = divmod(context.step, POOL)
        # Pools are functions of seed, number and rank alone, so that a resumed run draws the same examples.
        if self.pool[0] != (key := (context.seed, pool_number, context.rank)):
            self.pool = key, self._pool_examples(np.random.default_rng(key))
        task, drawn = self.pool[1][which]
        rng = np.random.default_rng([*key, which])
        rows = [(r, i) for r, d in enumerate(drawn) for i, item in enumerate(d.example.items) if item.caption]
        chosen = rng.permutation(len(rows))[: self.schedule.written] if PROGRAMS[task].written else ()
        batch = make_batch(
            [d.example for d in drawn], [d.fields for d in drawn], PROGRAMS[task],
            self.names.get(PROGRAMS[task].table, {}), self.pieces, [rows[i] for i in chosen],
        ).to(self.runtime.device)  # fmt: skip
        with self.runtime.autocast(), sdpa_kernel(SDPBackend.MATH):
            meanings = self._meanings(drawn) if PROGRAMS[task].table == "actions" else None
            parts = item_losses(module, batch, task, meanings)
        total = torch.stack([WEIGHTS[k] * v for k, v in parts.items() if k in WEIGHTS]).sum()
        return total, {"loss": total, **{f"{task}/{k}": v for k, v in parts.items()}}

    def _meanings(self, drawn: Sequence[Drawn]) -> tuple[Tensor, Tensor]:
        """What items mean: vectors (C, D) of the plain captions of a step, as the packaged encoder has them, and
        (B, I) which of them is an item's, `IGNORED` = none.
        """
        rows = [[i.caption for i in d.example.items[:MAX_ITEMS]] for d in drawn]
        captions = list(dict.fromkeys(c for row in rows for c in row if c))
        if new := [c for c in captions if c not in self.meanings]:
            self.meanings.update(zip(new, self.grounder.sentence(new), strict=True))
        at = {c: n for n, c in enumerate(captions)}
        which = torch.full((len(rows), max(1, *(len(r) for r in rows))), IGNORED)
        for r, row in enumerate(rows):
            which[r, : len(row)] = torch.tensor([at.get(c, IGNORED) for c in row])
        vectors = np.stack([self.meanings[c] for c in captions]) if captions else np.zeros((0, WIDTH), np.float32)
        return torch.from_numpy(vectors).to(self.runtime.device), which.to(self.runtime.device)

    def _pool_examples(self, rng: np.random.Generator) -> list[tuple[str, list[Drawn]]]:
        """The examples of `POOL` steps, of one task each, those of a task sorted by length and dealt out at random."""
        tasks = list(self.schedule.tasks)
        shares = np.array([self.schedule.tasks[k] for k in tasks])
        of_steps = [tasks[i] for i in rng.choice(len(tasks), POOL, p=shares / shares.sum())]
        out: list[tuple[str, list[Drawn]]] = []
        for task in tasks:
            count, rows = of_steps.count(task), max(1, self.rows // 2 if task in self.schedule.halved else self.rows)
            drawn = sorted((self.draws[task].draw(rng) for _ in range(count * rows)), key=lambda d: len(d.example.text))
            out += [(task, drawn[k * rows : (k + 1) * rows]) for k in range(count)]
        return [out[i] for i in rng.permutation(POOL)]

    def validate(self) -> dict[str, float]:
        reader = self.copy_network()
        out: dict[str, float] = {}
        for (task, author), rows in self.val.items():
            readings = reader.read([Asked(e.text, e.places, e.asked) for e in rows], task)
            known = set(self.names.get(PROGRAMS[task].table, {}))
            figures = judge_turns(readings, rows) if task == "turn" else judge_items(readings, rows, known, task)
            out |= {f"{author}/{k}": v for k, v in figures.items()}
        return out

    def save(self, out: Path) -> None:
        save_network(self.copy_network().network, out, None)


def item_losses(
    net: ReadingNetwork, batch: ReadingBatch, task: str, meanings: tuple[Tensor, Tensor] | None = None
) -> Metrics:
    """The loss of each kind of field, means over what is labelled.

    `meanings`: vectors of plain captions and whose they are, see `ReadingStage._meanings`. What an item is compared
    with names by is drawn to that of its own caption, too, among those of the step: of what is unknown as well.
    """
    program = PROGRAMS[task]
    states = net.encode(batch.ids, batch.mask)
    keys, value_keys, mean = net.keys(states), net.number_keys(states), mean_state(states, batch.mask)
    place_keys = net.place_keys(value_keys, states, batch.lines)
    heads: Any = net.heads[task]
    present = batch.present
    pooled = states.new_zeros((*present.shape, states.shape[-1]))
    if program.pointed:
        gold = batch.words[:, :, [f.name for f in program.by_kind["words"]].index(program.pointed)]
        # Some words are left out, as they are where the network chooses them.
        noisy = gold * (torch.rand_like(gold) > NOISE)
        pooled = pool(states, torch.where(noisy.sum(-1, keepdim=True) > 0, noisy, gold))
    first = batch.values["choice"][:, :, 0].clamp(min=0) if program.by_kind["choice"] else torch.zeros_like(batch.names)
    none = net.names[program.table].shape[0] - 1 if program.table else 0
    names = torch.where(batch.names == IGNORED, none, batch.names)  # what is not labelled is fed as none
    steps = net.steps(states, batch.mask, task, pooled, first, names)
    more = torch.cat([present, torch.zeros_like(present[:, :1])], 1).float()
    counted = torch.cat([torch.ones_like(present[:, :1]), present], 1)  # the steps up to the one behind the last item
    out = {"more": F.binary_cross_entropy_with_logits(net.more(steps)[..., 0].float()[counted], more[counted])}
    steps = steps[:, :-1]
    out["wholes"] = _whole_loss(heads, batch, mean, value_keys)
    if program.pointed:
        out["tags"] = _cross_entropy(net.tags(states).float().flatten(0, 1), batch.tags.flatten())
        out["kinds"] = _cross_entropy(net.kinds(states).float().flatten(0, 1), batch.kinds.flatten())
    if not present.any():
        return out
    if program.pointed:
        scores = heads.words(steps, keys).float()
        real = (batch.tags != IGNORED)[:, None, None] & present[:, :, None, None] & batch.labelled[:, None, :, None]
        real = real.expand_as(scores)
        out["words"] = F.binary_cross_entropy_with_logits(scores[real], batch.words[real])
    if program.table:
        z = net.turn_vectors(steps, pooled, mean)
        logits = net.compare(program.table, z).float()
        out["names"] = _cross_entropy(logits[present], batch.names[present], 0.05)
        named = present & (batch.names != IGNORED)
        out["right"] = (logits[named].argmax(-1) == batch.names[named]).float().mean()
        if meanings is not None and len(meanings[0]):
            vectors, which = meanings
            out["meant"] = _cross_entropy((z[present] @ vectors.to(z.dtype).mT).float() * ALIKE, which[present])
    values = heads.values(steps, pooled, value_keys, place_keys)
    for kind in VALUED:
        losses = []
        for k, logits in enumerate(values[kind]):
            targets = batch.values[kind][:, :, k][present]
            if kind in ("number", "place"):
                logits = logits.float().masked_fill(_close_places(batch, kind)[:, None], -1e9)
            losses.append((_binary if kind == "flag" else _cross_entropy)(logits.float()[present], targets))
        if losses:
            out[kind] = torch.stack(losses).sum()
    if len(batch.written):
        row, item = batch.written.unbind(1)
        words, copies = net.writer(net.encoder, steps[row, item], batch.text[:, :-1], states[row], batch.mask[row])
        likelihood = net.writer.likelihood(words, copies, batch.ids[row], batch.text)
        out["written"] = -likelihood[batch.text > 0].mean()
    return out


def _close_places(batch: ReadingBatch, kind: str) -> Tensor:
    """(B, 1 + constants + N) or (B, 1 + N) bool: what a number or a place cannot be."""
    open_ = batch.counted if kind == "number" else where_lines_begin(batch.lines)
    fixed = 1 + len(CONSTANTS) if kind == "number" else 1
    return torch.cat([torch.zeros(len(open_), fixed, dtype=torch.bool, device=open_.device), open_ == 0], 1)


def _whole_loss(heads: Any, batch: ReadingBatch, mean: Tensor, keys: Tensor) -> Tensor:
    out = mean.new_zeros((), dtype=torch.float32)
    for k, (f, logits) in enumerate(zip(heads.program.whole, heads.wholes(mean, keys), strict=True)):
        targets = batch.wholes[:, k]
        if f.kind == "flag":
            out = out + _binary(logits.float()[:, 0], targets)
        else:
            closed = (
                _close_places(batch, "number") if f.kind == "number" else torch.zeros_like(logits, dtype=torch.bool)
            )
            out = out + _cross_entropy(logits.float().masked_fill(closed, -1e9), targets)
    return out


def _cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean over what is labelled; 0 where nothing is."""
    total = F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing)
    return total / (targets != IGNORED).sum().clamp(min=1)


def _binary(logits: Tensor, targets: Tensor) -> Tensor:
    labelled = targets != IGNORED
    total = F.binary_cross_entropy_with_logits(logits[labelled], targets[labelled].float(), reduction="sum")
    return total / labelled.sum().clamp(min=1)
