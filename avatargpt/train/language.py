"""The language stage of `scripts/train.py`: trains the language model on a mixture of text and motion tasks."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from avatargpt.config import Schedule
from avatargpt.lm.checkpoint import load_model, save_model, start_from_t5, with_modalities
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import IGNORED
from avatargpt.lm.text_encoder import SPIECE, ResidentStates, SentenceGrounder, TextTokenizer
from avatargpt.train.data.batches import EVEN, Batch, Pool, Prefetch, StepShare, work_of
from avatargpt.train.data.corpus import add_own_tasks, folders_of, read_codes, read_tokenizers, text_corpus
from avatargpt.train.data.examples import ExampleOptions, Examples, Rows
from avatargpt.train.data.judged_answers import lessons
from avatargpt.train.data.prepare import MADE_UP
from avatargpt.train.engines import check_readable, has_begun
from avatargpt.train.loop import run
from avatargpt.train.lora import LoraOptions, add_lora, merge_state, save_adapter
from avatargpt.train.optimizers import MovingAverage, OptimizerName, make_optimizer
from avatargpt.train.runtime import Runtime
from avatargpt.train.samples import FOLDER, AnswerSampler
from avatargpt.train.stage import Metrics, Stage, StepContext
from avatargpt.train.throughput import Work
from avatargpt.train.zero import read_zero
from instruct_data import attributes
from instruct_data.factory.mixture import clip_class
from instruct_data.registry import MODEL_TASKS, get_task, list_tasks
from instruct_data.store import ClipCodes
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.strict import Dropout, Flag, NonNegativeInt, PositiveInt, Rate, Share, Strict, Weights, check_keys
from vqvae.tokenizer import MotionTokenizer

SHAPE = (
    "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "feed_forward_proj",
    "dropout_rate", "relative_attention_num_buckets", "relative_attention_max_distance",
)  # fmt: skip
"""Fields of `LanguageShape` that a T5 checkpoint brings; the others are new against it."""
SHAPELESS = ("feed_forward_proj", "relative_attention_max_distance", "refiner_heads", "modalities")
"""Fields of a model's configuration that the sizes of its tensors do not show."""


class LanguageTraining(Schedule):
    """How the language model is trained.

    Attributes:
        batch: examples per step, over all processes.
        pool: steps whose examples are sorted by length together.
        workers: processes that prepare examples, 0 = a thread, as for steps in parts (`accumulate`); the examples are
            the same with any number.
        faster: part of the model (``heads.face``) -> factor of its rate.
        frozen: steps at the beginning in which the parts of `faster` alone learn.
        muon_every: steps between two of Muon's, whose momentum takes in the gradients of all: its work is the same for
            any batch.
        refiner_weight: of the residual decoder's loss.
        refiner_rows: share of motion rows that the residual decoder learns from at each step, over all processes.
        refiner_only: everything else is frozen.
        contrast_weight: of the loss of prompts that do not fit their answer: what the answer is likelier under the
            prompt that fits it, short of `contrast_margin` nats per token.
        label_smoothing: share of the target that is spread over all tokens, while training.
        by_task: whether the log gives the loss of every task (``task_NAME``) beside that of every head.
        options: variation of the examples.
        samples_every: steps after which the model answers some prompts (`avatargpt.train.samples`), 0 = never.
        ema: decay of the weights' moving average, which is validated, sampled and saved; 0 = none.
        checkpointing: recompute activations in the backward pass: less memory, more work.
        compile: compile the layers (`torch.compile`): some three minutes at the start of a run, then faster; a CPU
            needs a C++ compiler. A resumed run agrees within rounding, not to the byte.
    """

    pool: PositiveInt = 8
    workers: NonNegativeInt = 0
    lr_floor: Rate = 5e-5
    warmup: NonNegativeInt = 150
    optimizer: OptimizerName = "adamw"
    faster: Weights = {}
    frozen: NonNegativeInt = 0
    muon_every: PositiveInt = 1
    refiner_weight: Rate = 0.4
    refiner_rows: Share = 0.5
    refiner_only: Flag = False
    contrast_weight: Rate = 2.0
    contrast_margin: Rate = 0.25
    label_smoothing: Dropout = 0.0
    by_task: Flag = False
    options: ExampleOptions = ExampleOptions()
    samples_every: NonNegativeInt = 0
    ema: Dropout = 0.0
    checkpointing: Flag = False
    compile: Flag = False


class LanguageShape(Strict):
    """Fields of `AvatarGPTConfig`; None = its default, or the value of the model to begin from.

    `vocab_size` counts pieces of words; symbols of attributes come on top.
    """

    vocab_size: PositiveInt | None = None
    d_model: PositiveInt | None = None
    d_kv: PositiveInt | None = None
    d_ff: PositiveInt | None = None
    num_layers: PositiveInt | None = None
    num_decoder_layers: PositiveInt | None = None
    num_heads: PositiveInt | None = None
    feed_forward_proj: Literal["relu", "gelu", "silu", "gated-relu", "gated-gelu", "gated-silu"] | None = None
    dropout_rate: Dropout | None = None
    relative_attention_num_buckets: Annotated[PositiveInt, Field(ge=4)] | None = None
    relative_attention_max_distance: PositiveInt | None = None
    modalities: dict[str, Any] | None = None
    grounding_dim: NonNegativeInt | None = None
    extra_inputs: dict[str, PositiveInt] | None = None
    countdown_buckets: NonNegativeInt | None = None
    refiner_dim: PositiveInt | None = None
    refiner_layers: PositiveInt | None = None
    refiner_heads: PositiveInt | None = None


class LanguageRecipe(Strict):
    """A configuration of the language stage."""

    model: LanguageShape = LanguageShape()
    train: LanguageTraining = LanguageTraining()
    lora: LoraOptions | None = None


ADAPTER = "adapter"  # folder of the LoRA updates, beside the merged weights


Validation = dict[str, tuple[Examples, Rows]]


def runs_flat(device: torch.device, t: LanguageTraining) -> bool:
    """Whether layers take tokens without padding: on a CPU, where nothing is compiled and all activations are kept."""
    return device.type == "cpu" and not t.compile and not t.checkpointing


class LanguageStage(Stage):
    """A language model in training.

    Args:
        model: to be trained in place.
        examples: of training. val: fixed validation rows by name.
        tokenizers: of the modalities that sample answers are drawn of.
        added: modalities that the model to begin from lacks; an adapter brings them along.
    """

    divides = together = True
    recipe: LanguageRecipe
    schedule: LanguageTraining

    def __init__(
        self, recipe: LanguageRecipe, model: AvatarGPTModel, examples: Examples, val: Validation,
        grounder: SentenceGrounder | None, runtime: Runtime, tokenizers: Sequence[MotionTokenizer] = (),
        added: Sequence[str] = (),
    ) -> None:  # fmt: skip
        t = recipe.train
        self.added = added
        self.recipe, self.schedule, self.examples, self.val = recipe, t, examples, val
        self.runtime = runtime
        rows = runtime.share(t.batch, "train")
        if rows % t.accumulate:
            raise UserError(f"train: accumulate: {t.accumulate} for {rows} rows; accepted: what divides them")
        workers = t.workers if t.accumulate == 1 else 0  # whose batches are whole steps
        refiners = model.refiners.keys() if t.refiner_weight else ()
        place = runtime.rank, runtime.world
        # Without a compiler, a CPU is faster over tokens without padding, of which there may be any number.
        flat = runs_flat(runtime.device, t)
        self.even = 1 if flat else EVEN
        self.pool = Pool(
            examples, t.seed, t.pool, t.batch, t.end, workers, refiners, t.refiner_rows, place, self.even
        )  # fmt: skip
        self._prepared: Prefetch[StepContext, tuple[StepShare, Batch]] = Prefetch(self._draw_share)
        torch.nn.Module.to(model, runtime.device)
        self.codes = torch.from_numpy(examples.clips.codes).to(runtime.device)
        # On a GPU all states fit and are computed in seconds; on a CPU they come from the ground stage.
        self.grounder = grounder
        self.states: ResidentStates | None = None
        if grounder is not None and runtime.device.type != "cpu":
            self.states = ResidentStates(grounder, examples.wording.texts, runtime.device)
            self.states.add(np.arange(len(examples.wording.texts)))
        if t.refiner_only:
            model.requires_grad_(False)
            model.refiners.requires_grad_(True)
        self._freeze_unreached(model)
        plain = not hasattr(model, "peft_config") and not model.config.dropout_rate and not t.checkpointing
        if t.compile and not plain:
            raise UserError("train: compile: true; accepted: without lora, dropout_rate and checkpointing")
        if t.compile and runtime.device.type == "cpu" and shutil.which(os.environ.get("CXX", "g++")) is None:
            raise UserError("train: compile: true needs a C++ compiler; accepted: g++ on the path (or CXX), or false")
        model.fused, model.compiled = plain and (runtime.device.type != "cpu" or t.compile), t.compile
        model.flat, model.even = flat, self.even
        self.network = self.model = model
        self.module = LanguageObjective(model, t, runtime)
        self.levels = max((m["levels"] for m in (model.config.modalities or {}).values()), default=1)
        if t.checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": False})
        self.average = MovingAverage(model, t.ema)
        self.sampler = AnswerSampler(examples, val, tokenizers, t.refiner_weight > 0) if t.samples_every else None
        self.work = Work()
        self.optimizer = make_optimizer(model, t.optimizer, t.lr, t.weight_decay, "train", t.faster, t.muon_every)
        learning = [p for p in model.named_parameters() if p[1].requires_grad]
        self._trunk = [p for n, p in learning if not n.startswith(tuple(f"{part}." for part in t.faster))]
        self._passes = _passes(examples, t.batch)
        shape = {name: getattr(model.config, name) for name in SHAPELESS}
        if hasattr(model, "peft_config"):
            lora: Any = model.peft_config["default"]
            shape["lora alpha"] = float(lora.lora_alpha)
        self.identity = {"shape": shape, "fingerprints": dict(model.config.fingerprints or {})}

    def _freeze_unreached(self, model: AvatarGPTModel) -> None:
        # several processes step every trainable parameter: those that no stream of this run reaches must not move
        tasks = {name for s in self.examples.streams() if (name := s.task.partition("/")[0]) in list_tasks()}
        slots = {s.modality for name in tasks for s in get_task(name).inputs}
        reached = {get_task(name).output for name in tasks} | slots
        for parts in (model.codes, model.heads, model.refiners):
            for name, part in parts.items():
                part.requires_grad_(name in reached and any(p.requires_grad for p in part.parameters()))
        if not self.schedule.refiner_weight:
            model.refiners.requires_grad_(False)

    def batch(self, source: Examples, rows: Rows, chosen: np.ndarray) -> Batch:
        """Rows of training or validation on this process's device."""
        states, codes = self.states, self.codes
        if source is not self.examples:  # its texts and clips have numbers of their own
            codes = torch.from_numpy(source.clips.codes).to(self.runtime.device)
            if states is not None:
                states = ResidentStates(states.grounder, source.wording.texts, self.runtime.device)
        batch = Batch.of(rows, chosen, source, None if states else self.grounder, self.even)
        return self._place_batch(batch if states is None else batch.place_states(states), codes, states)

    def _place_batch(self, batch: Batch, codes: torch.Tensor, states: ResidentStates | None) -> Batch:
        return batch.to(self.runtime.device, codes, None if states is None else states.states)

    def _draw_share(self, context: StepContext) -> tuple[StepShare, Batch]:
        """The share of a step and its rows in host memory."""
        share, batch = self.pool.prepare_part(context, None if self.states else self.grounder)
        if self.states is not None:
            batch = batch.place_states(self.states)
        return share, batch if self.runtime.device.type == "cpu" else batch.pin()

    def losses(self, module: Any, context: StepContext) -> tuple[torch.Tensor, Metrics]:
        if self._trunk and self._trunk[0].requires_grad is (held := context.step < self.schedule.frozen):
            for p in self._trunk:
                p.requires_grad_(not held)
        # On a CPU the cores compute: a thread would only take their time.
        ahead = self.runtime.device.type != "cpu"
        share, batch = self._prepared.get(context, context.get_following(self.schedule.end) if ahead else None)
        batch = self._place_batch(batch, self.codes, self.states)
        self.work += work_of(batch, self.model)
        parts = module(batch, share)
        return parts.pop("total"), parts

    def take_work(self) -> Work:
        work, self.work = self.work, Work()
        return work

    def passes(self, step: int) -> dict[str, float]:
        return {f"epochs_{name}": share * step for name, share in self._passes.items()}

    def finish_step(self, step: int) -> None:
        self.average.update()

    def state(self) -> dict[str, Any]:
        return self.average.state()

    def restore(self, state: dict[str, Any]) -> None:
        self.average.restore(state)

    def samples_due(self, step: int) -> bool:
        return self.sampler is not None and step % self.schedule.samples_every == 0

    def samples(self, step: int, out: Path) -> dict[str, np.ndarray]:
        if self.sampler is None:
            return {}
        self.model.eval()
        with self.average.in_place():
            pictures = self.sampler(self.model, self.batch, out / FOLDER / str(step))
        self.model.train()
        return pictures

    def validate(self) -> dict[str, float]:
        """Mean loss per validation set, nats per token."""
        self.model.eval()
        out = {}
        with torch.no_grad(), self.average.in_place():
            for name, (source, rows) in self.val.items():
                total = count = 0.0
                for i in range(0, len(rows), 64):
                    batch = self.batch(source, rows, np.arange(i, min(i + 64, len(rows))))
                    with self.runtime.autocast():
                        token_loss = self.model(
                            **batch.inputs, labels=batch.labels, head=batch.heads[0], length=batch.length
                        ).token_loss
                    total += float(token_loss.sum())
                    count += float((batch.labels != IGNORED).sum())
                out[f"val_{name}"] = total / max(count, 1)
        self.model.train()
        return out

    def save(self, out: Path) -> None:
        with self.average.in_place():
            self.examples.text.save(out)
            weights = merge_state(self.model) if hasattr(self.model, "peft_config") else None
            save_model(self.model, out, "15MB", weights)
            if self.recipe.lora is not None and weights is not None:
                save_adapter(self.model, self.recipe.lora, out / ADAPTER, self.added)


def _passes(examples: Examples, batch: int) -> dict[str, float]:
    """Modality -> how often a step of `batch` rows passes over its clips in the mean."""
    clips, streams = Counter(i.modality for i in examples.clips.items), examples.streams()
    total, drawn = sum(s.weight for s in streams), dict.fromkeys(clips, 0.0)
    for s in streams:
        task = s.task.partition("/")[0]
        if task not in examples.pairs:
            drawn[get_task(task).modality] += s.weight
    return {name: batch * drawn[name] / total / count for name, count in clips.items() if drawn[name]}


class LanguageObjective(torch.nn.Module):
    """The model with its losses: the module that DDP wraps, so that every parameter is used inside one forward.

    Args:
        training: weights of the losses.
    """

    def __init__(self, model: AvatarGPTModel, training: LanguageTraining, runtime: Runtime) -> None:
        super().__init__()
        self.model, self.training_options, self.runtime = model, training, runtime

    def forward(self, batch: Batch, share: StepShare) -> Metrics:
        """`total` (with gradient) and its parts: cross-entropy per head and, with `by_task`, per task (nats per token);
        the refiner's error. The mean of each over all shares of a step is that of one process.
        """
        with self.runtime.autocast():  # in here, since DeepSpeed turns autocast off around the module it wraps
            return self._losses(batch, share)

    def _losses(self, batch: Batch, share: StepShare) -> Metrics:
        t = self.training_options
        heads: str | list[str] = batch.heads[0] if len(set(batch.heads)) == 1 else batch.heads
        with torch.set_grad_enabled(torch.is_grad_enabled() and not t.refiner_only):
            out = self.model(
                **batch.inputs, labels=batch.labels, head=heads, length=batch.length,
                label_smoothing=t.label_smoothing,
            )  # fmt: skip
        # A sum over this share, divided by the tokens of the full step: means of means would depend on the division.
        fits = torch.from_numpy(batch.positive < 0).to(batch.labels.device)
        token_loss, hidden = out.token_loss, out.hidden
        total = (token_loss.sum(1) * fits).sum() * (share.times / sum(share.tokens.values()))
        refiner, result = total.new_zeros(()), {}
        for name in share.answers:
            loss = self._refiner_loss(name, batch, share, hidden)
            refiner = refiner + loss * (share.answers[name] / share.motion)
            result["refiner" if name == "body" else f"refiner_{name}"] = loss.detach()
        if share.denied:
            contrast, result["told_apart"] = self._contrast(token_loss, batch, share)
            result["contrast"] = contrast.detach()
            total = total + t.contrast_weight * contrast
        total = refiner if t.refiner_only else total + t.refiner_weight * refiner
        if not total.requires_grad:  # a share without a row for what is trained: its gradients are zero
            total = total + 0.0 * next(p for p in self.model.parameters() if p.requires_grad).sum()
        kinds = [("ce", batch.heads, share.tokens), *([("task", batch.tasks, share.by_task)] if t.by_task else [])]
        for prefix, names, counts in kinds:
            losses = token_loss.detach().sum(1) * fits
            for name, tokens in counts.items():
                same = torch.from_numpy(np.array(names) == name).to(losses.device)
                result[f"{prefix}_{name}"] = (losses * same).sum() * (share.times / tokens)
        return {"total": total, **result}

    def _contrast(
        self, token_loss: torch.Tensor, batch: Batch, share: StepShare
    ) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
        """This share's part of the mean shortfall of the margin, and of the share of answers that are likelier under
        the prompt that fits."""
        negative = torch.from_numpy(np.flatnonzero(batch.positive >= 0)).to(token_loss.device)
        if not len(negative):
            return token_loss.new_zeros(()), token_loss.new_zeros(())
        positive = torch.from_numpy(batch.positive).to(token_loss.device)[negative]
        mean = token_loss.sum(1) / (batch.labels != IGNORED).sum(1).clamp(min=1)
        gain = mean[negative] - mean[positive]
        scale = share.times / share.denied
        short = (self.training_options.contrast_margin - gain).clamp(min=0).sum() * scale
        return short, (gain.detach() > 0).float().sum() * scale

    def _refiner_loss(self, name: str, batch: Batch, share: StepShare, hidden: torch.Tensor) -> torch.Tensor:
        """The residual decoder's part in the step's mean cross-entropy of one modality, nats per code."""
        # rows that fill a batch up come behind those of the share
        rows = [b for b, chosen in enumerate(share.refining) if chosen and batch.heads[b] == name]
        if not rows:
            return hidden.new_zeros((), dtype=torch.float32)
        at = torch.as_tensor(rows, device=batch.labels.device)
        codes = batch.codes[at, :, : self.model.config.modality(name)["levels"]]
        hidden_details = np.zeros(codes.shape[:2], bool)
        width = min(codes.shape[1], share.forgotten.shape[1])
        hidden_details[:, :width] = share.forgotten[rows, :width]
        forgotten = torch.from_numpy(hidden_details).to(codes.device)
        loss = self.model.refiner_loss(hidden[at], codes, codes[..., 0] >= 0, name, forgotten)
        return loss * (share.times * int((batch.written[rows] - 1).sum()) / share.refined[name])


CACHED_TEXTS = 40_000  # whose states are computed once: about half a gigabyte
VALIDATION_TASKS = (
    "text_to_motion", "motion_to_text", "continuation", "in_between",
    "text_to_face", "emotion_to_face", "face_to_text", "face_to_emotion", "face_in_between",
    "speech_to_gesture", "text_to_gesture", "gesture_to_text",
)  # fmt: skip


def validation(
    examples: Examples, items: Sequence[ClipCodes], options: ExampleOptions | None = None
) -> Validation:
    """Fixed validation rows per motion task, with the variation of `options`."""
    if not items:
        return {}
    weights = dict.fromkeys(VALIDATION_TASKS, 1.0)
    chosen = (options or ExampleOptions(contrast=0)).model_copy(update={"weights": weights, "contrast": 0.0})
    source, out = Examples(items, {}, examples.text, examples.config, chosen, examples.rates), {}
    for number, stream in enumerate(source.streams()):
        # The same rows in every validation of every run, so that figures compare.
        count = len(stream.classes)
        out[stream.task] = source, source.make(np.full(count, number), np.arange(count), (5,))
    return out


def language_stage(recipe: LanguageRecipe, args: SimpleNamespace) -> None:
    """Train the language model; without `--codes`, on text alone.

    Raises:
        UserError: missing files, codes of another tokenizer than the one given, another tokenizer than that of the
            model to begin from, motion tasks without codes, a batch that the processes cannot share, a checkpoint
            that is damaged or another model's.
    """
    out, zero = Path(args.output), Path(args.deepspeed_config) if args.deepspeed_config else None
    own_tasks = add_own_tasks(args)
    check(recipe, str(args.config), zero is not None)
    runtime = Runtime.start(args.threads, args.device)
    runtime.share(recipe.train.batch, f"{args.config}: train")
    check_readable(out)
    deepspeed = read_zero(zero, recipe.train, runtime) if zero else None
    if deepspeed and recipe.train.ema and deepspeed["zero_optimization"]["stage"] == 3:
        raise UserError(f"{args.config}: train: ema: {recipe.train.ema}; stage 3 of {zero} shards the weights that it "
                        "averages; accepted: 0, or stage 1 or 2")  # fmt: skip
    stage = make_stage(recipe, args, runtime)
    for file in (f for folder in own_tasks for f in folder.glob("*.yaml")) if runtime.main else ():
        (out / MODEL_TASKS).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, out / MODEL_TASKS / file.name)
    run(stage, out, runtime, args.until, deepspeed)


def check(recipe: LanguageRecipe, where: str, through_deepspeed: bool) -> None:
    """Raises UserError for an unknown stream, another width of grounding, an optimizer that DeepSpeed does not shard,
    or frozen steps in which nothing would learn: checks beyond single fields, before anything is read."""
    optimizer = recipe.train.optimizer
    if through_deepspeed and optimizer != "adamw":
        raise UserError(f"{where}: train: optimizer: {optimizer}; DeepSpeed shards only adamw here; accepted: adamw")
    if recipe.train.frozen and (through_deepspeed or not recipe.train.faster):
        raise UserError(f"{where}: train: frozen: {recipe.train.frozen}; accepted: 0, or with `faster`, whose parts "
                        "learn meanwhile, and not through DeepSpeed")  # fmt: skip
    _check_width(recipe.model.grounding_dim, where)
    motion = [name for name in list_tasks() if get_task(name).examples != "pairs"]
    streams = (*list_tasks(), *(f"{task}/{source}" for task in motion for source in MADE_UP))
    for name in ("weights", "alpha"):
        check_keys(getattr(recipe.train.options, name), streams, f"{where}: train: options: {name}")


def _check_width(width: int | None, where: str) -> None:
    if width not in (None, 0, SentenceGrounder.width):
        raise UserError(f"{where}: model: grounding_dim: {width}; accepted: 0 (off) or {SentenceGrounder.width}")


def make_stage(recipe: LanguageRecipe, args: SimpleNamespace, runtime: Runtime) -> LanguageStage:
    """A stage ready to run, see `language_stage`."""
    out, where = Path(args.output), str(args.config)
    spec = recipe.model.model_dump(exclude_none=True)
    tokenizers = read_tokenizers(args.tokenizer)
    items, val = read_codes(args.codes, tokenizers) if args.codes else ([], [])
    texts: list[Any] = list(items)
    if args.self_training:
        # Answers of self-training are tokens of bodies; texts to denoise come from the clips alone.
        items += lessons(args.self_training, tokenizers, [i for i in items if i.modality == "body"])
    lines, pairs = text_corpus(folders_of(args), texts)
    start = Path(args.start) if args.start else None
    source = out if has_begun(out) else start  # files of a refused run in `out` do not count
    if source is None:
        actions = sorted({clip_class(i) for i in items if i.modality == "body" and "+" not in i.action})
        symbols = attributes.symbols(actions) if actions else []
        text = TextTokenizer.train(lines, spec.get("vocab_size", 4096), symbols=symbols)
    elif (source / SPIECE).is_file():
        text = TextTokenizer.load(source)
    else:
        raise UserError(f"{source}: no {SPIECE} in it; --start takes the folder of a language run or of a T5")
    # New parts are initialised from here; what follows draws from generators of its own.
    torch.manual_seed(recipe.train.seed)
    model = _model(spec, start, tokenizers, text, where, runtime)
    if recipe.lora is not None:
        add_lora(model, recipe.lora)
    _check_width(model.config.grounding_dim, where)
    grounder = None
    if model.config.grounding_dim:  # alone: a resumed run meets the texts in other company
        grounder = SentenceGrounder(cache_size=CACHED_TEXTS, device=runtime.device, alone=True)
    if grounder is not None and args.grounding:
        for folder in args.grounding.split(","):
            if not (Path(folder) / "grounding.safetensors").is_file():
                raise UserError(f"{folder}: no grounding.safetensors in it; run the ground stage")
            grounder.load_states(folder)
    rates = {t.config.modality: t.tokens_per_second for t in tokenizers}
    examples = Examples(items, pairs, text, model.config, recipe.train.options, rates)
    _check_streams(examples, where)
    known = read_object(start / "config.json").get("modalities") if start else None  # those of a T5 are the model's
    added = [] if known is None else sorted({*(model.config.modalities or {})} - {*known})
    return LanguageStage(recipe, model, examples, validation(examples, val), grounder, runtime, tokenizers, added)


def _check_streams(examples: Examples, where: str) -> None:
    """Raises UserError for a task with a weight and no data: left out, it would change the mixture in silence."""
    place = f"{where}: train: options: weights"
    text_tasks = {name for name in list_tasks() if get_task(name).examples == "pairs"}
    for name in ("weights", "alpha"):
        options = getattr(examples.options, name)
        if absent := [task for task in options if task in text_tasks and task not in examples.pairs]:
            raise UserError(f"{where}: train: options: {name}: {absent[0]}: nothing to draw from; give --pairs "
                            f"(a folder with {absent[0]}.jsonl), --planning or --chat, or take it out")  # fmt: skip
    streams = {s.task for s in examples.streams()}
    empty = [name for name, weight in examples.options.weights.items() if weight > 0 and name not in streams]
    if empty:
        raise UserError(f"{place}: {empty[0]}: nothing to draw from; give --codes with such clips, or take it out")
    if not streams:
        raise UserError(f"{place}: no task has a weight")


SAME_ENTRIES = 0.5  # share of a codebook by which a tokenizer counts as trained on from another


def _model(
    spec: dict[str, Any], start: Path | None, tokenizers: Sequence[MotionTokenizer], text: TextTokenizer, where: str,
    runtime: Runtime,
) -> AvatarGPTModel:  # fmt: skip
    """A new model, that of an earlier run, or one around a T5 or Flan-T5 checkpoint.

    An earlier run's model gets the modalities of `spec` that it lacks; its ids stay.

    Raises:
        UserError: another tokenizer than an earlier run's model was trained with, or a shape that is not a T5's.
    """
    if start is None:
        model = AvatarGPTModel(AvatarGPTConfig(**{**spec, "vocab_size": text.size}))
    else:
        kind = read_object(start / "config.json")
        if kind.get("model_type") == "t5":
            # A T5 brings its shape; a configuration may repeat it, but not contradict it.
            different = [k for k in SHAPE if k in spec and k != "dropout_rate" and spec[k] != kind.get(k)]
            if different:
                key, has = different[0], kind.get(different[0])
                raise UserError(f"{where}: model: {key}: {spec[key]!r}, but {start} has {has!r}; leave it out")
            model = start_from_t5(start, **spec)
        else:
            # packed weights are bfloat16: small steps would be lost
            model = load_model(start, dtype=torch.float32, dropout=spec.get("dropout_rate"))
            model = with_modalities(model, spec.get("modalities") or {})
    for tokenizer in tokenizers:
        modality = tokenizer.config.modality
        known = (model.config.fingerprints or {}).get(modality)
        if known and known != tokenizer.fingerprint:
            before: Any = model.codes[modality].codebooks
            moved = float("inf")
            # Trained on from another, most first entries (R, K, C) are the nearest to themselves.
            if before.shape == tokenizer.codebooks.shape:
                nearest = torch.cdist(tokenizer.codebooks[0].float(), before[0].float()).argmin(1)
                moved = float((nearest != torch.arange(len(nearest))).float().mean())
            if moved > 1 - SAME_ENTRIES:
                model.check_fingerprint(modality, tokenizer.fingerprint)
            if runtime.main:
                print(f"note: {start}: goes on with the codes of tokenizer {tokenizer.fingerprint[:12]}, which was "
                      f"trained on from {known[:12]}", file=sys.stderr)  # fmt: skip
        model.set_codebooks(modality, tokenizer.codebooks, tokenizer.fingerprint)
    return model
