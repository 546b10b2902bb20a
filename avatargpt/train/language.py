"""Trains the language model on a mixture of text and motion tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from avatargpt.config import Schedule, save_resolved
from avatargpt.model.checkpoint import save_model
from avatargpt.model.model import AvatarGPTModel
from avatargpt.model.network import IGNORED
from avatargpt.model.shape import TEXT
from avatargpt.model.text_encoder import SentenceGrounder
from avatargpt.train.data.batches import Batch, Pool
from avatargpt.train.data.examples import Example, ExampleOptions, Examples
from avatargpt.train.running.lora import LoraOptions, merged_state, save_adapter
from avatargpt.train.running.optimizers import OptimizerName, make_optimizer
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.running.stage import At, Parts, StageBase
from instruct_data.mixture import generator
from instruct_data.registry import get_task, list_tasks
from vqvae.errors import UserError
from vqvae.strict import Count, Dropout, Flag, Rate, Share, Strict, Weights, Whole

SHAPE = (
    "vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads", "feed_forward_proj",
    "dropout_rate", "relative_attention_num_buckets", "relative_attention_max_distance",
)  # fmt: skip
"""Of `LanguageShape`, what a T5 checkpoint brings; the rest is new against it."""
UNSEEN = ("feed_forward_proj", "relative_attention_max_distance", "refiner_heads", "modalities")
"""Of a model's configuration, what the sizes of its tensors do not show."""


class LanguageTraining(Schedule):
    """How the language model is trained.

    Attributes:
        batch: examples per step, over all processes.
        pool: steps whose examples are sorted by length together.
        buckets: by what: ``one`` length, of answer and prompt together, or ``two``, first the answer's, then the
            prompt's: less padding, but batches of fewer tasks.
        faster: part of the model (``heads.face``) -> factor of its rate.
        refiner_weight: of the residual decoder's loss.
        refiner_rows: share of motion rows that the residual decoder learns from at each step.
        refiner_only: everything else is frozen.
        label_smoothing: share of what is right that is spread over all tokens, while training.
        by_task: the log gives the loss of every task as well (``task_NAME``), not of every head alone.
        options: how examples vary.
    """

    steps: Count = 5000
    batch: Count = 64
    pool: Count = 8
    buckets: Literal["one", "two"] = "one"
    lr: Rate = 1e-3
    lr_floor: Rate = 5e-5
    warmup: Whole = 150
    weight_decay: Rate = 0.01
    optimizer: OptimizerName = "adamw"
    faster: Weights = {}
    refiner_weight: Rate = 0.4
    refiner_rows: Share = 0.5
    refiner_only: Flag = False
    label_smoothing: Dropout = 0.0
    by_task: Flag = False
    clip: Rate = 1.0
    log_every: Count = 25
    save_every: Count = 250
    val_every: Count = 500
    options: ExampleOptions = ExampleOptions()


class LanguageShape(Strict):
    """What a configuration says of the model: fields of `AvatarGPTConfig`. None = its default, or what the model to
    begin from has. The rest of T5's configuration follows from it or is fixed."""

    vocab_size: Count | None = None
    d_model: Count | None = None
    d_kv: Count | None = None
    d_ff: Count | None = None
    num_layers: Count | None = None
    num_decoder_layers: Count | None = None
    num_heads: Count | None = None
    feed_forward_proj: Literal["relu", "gelu", "silu", "gated-relu", "gated-gelu", "gated-silu"] | None = None
    dropout_rate: Dropout | None = None
    relative_attention_num_buckets: Annotated[Count, Field(ge=4)] | None = None
    relative_attention_max_distance: Count | None = None
    modalities: dict[str, Any] | None = None
    grounding_dim: Whole | None = None
    extra_inputs: dict[str, Count] | None = None
    countdown_buckets: Whole | None = None
    refiner_dim: Count | None = None
    refiner_layers: Count | None = None
    refiner_heads: Count | None = None


class LanguageRecipe(Strict):
    """A configuration of the language stage."""

    model: LanguageShape = LanguageShape()
    train: LanguageTraining = LanguageTraining()
    lora: LoraOptions | None = None


ADAPTER = "adapter"  # folder of what LoRA has learnt, beside the merged weights


class Objective(torch.nn.Module):
    """The model with its losses: what DDP and DeepSpeed wrap, so that every parameter is used inside one forward."""

    def __init__(
        self, model: AvatarGPTModel, refiner_weight: float, refiner_rows: float, runtime: Runtime,
        refiner_only: bool = False, label_smoothing: float = 0.0, by_task: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.by_task = by_task
        self.model, self.refiner_weight, self.refiner_rows = model, refiner_weight, refiner_rows
        self.runtime, self.refiner_only, self.label_smoothing = runtime, refiner_only, label_smoothing

    def forward(self, batch: Batch, seed: int, step: int) -> dict[str, torch.Tensor]:
        """`total` (with gradient) and its parts: cross-entropy per head and, where wanted, per task (nats per token);
        the refiner's error."""
        with self.runtime.autocast():  # in here, since DeepSpeed turns autocast off around the module it wraps
            return self._losses(batch, seed, step)

    def _losses(self, batch: Batch, seed: int, step: int) -> dict[str, torch.Tensor]:
        rng = generator(seed, step, 7)
        heads: str | list[str] = batch.heads[0] if len(set(batch.heads)) == 1 else batch.heads
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.refiner_only):
            out = self.model(
                **batch.inputs, labels=batch.labels, head=heads, length=batch.length,
                label_smoothing=self.label_smoothing,
            )  # fmt: skip
        result = {"total": out.loss}
        refined = []
        for name in dict.fromkeys(batch.heads) if self.refiner_weight else ():
            if name == TEXT or name not in self.model.refiners:
                continue
            same = [b for b, h in enumerate(batch.heads) if h == name]
            keep = np.sort(rng.permutation(same)[: max(1, round(len(same) * self.refiner_rows))])
            at = torch.as_tensor(keep, device=batch.labels.device)
            codes = batch.codes[at, :, : self.model.config.modality(name)["levels"]]
            longest = int((codes[..., 0] >= 0).sum(1).max())
            codes = codes[:, :longest]
            loss = self.model.refiner_loss(out.hidden[at, :longest], codes, codes[..., 0] >= 0, modality=name)
            refined.append(len(same) * loss)
            result["refiner" if name == "body" else f"refiner_{name}"] = loss.detach()
        if refined:
            motion = sum(h != TEXT for h in batch.heads)
            refiner = torch.stack(refined).sum() / motion
            result["total"] = refiner if self.refiner_only else out.loss + self.refiner_weight * refiner
        kinds = {"ce": batch.heads, **({"task": batch.tasks} if self.by_task else {})}
        for prefix, names in kinds.items():
            for name in dict.fromkeys(names):
                at = torch.tensor([n == name for n in names], device=batch.labels.device)
                wanted = (batch.labels[at] != IGNORED).sum()
                result[f"{prefix}_{name}"] = out.token_loss.detach()[at].sum() / wanted.clamp(min=1)
        return result


class LanguageStage(StageBase):
    """A language model in training: see `avatargpt.train.loop.Stage`.

    Args:
        model: to be trained in place.
        examples: training examples; `val` fixed validation rows per name.

    Raises:
        UserError: a batch that the processes cannot share, or nothing for the optimiser to train.
    """

    divides = True

    def __init__(
        self, recipe: LanguageRecipe, model: AvatarGPTModel, examples: Examples, val: dict[str, list[Example]],
        grounder: SentenceGrounder | None, runtime: Runtime,
    ) -> None:  # fmt: skip
        t = recipe.train
        self.recipe, self.schedule, self.examples, self.val = recipe, t, examples, val
        self.grounder, self.runtime = grounder, runtime
        torch.nn.Module.to(model, runtime.device)
        if t.refiner_only:
            model.requires_grad_(False)
            model.refiners.requires_grad_(True)
        self._freeze_unreached(model)
        self.network = self.model = model
        self.module = Objective(
            model, t.refiner_weight, t.refiner_rows, runtime, t.refiner_only, t.label_smoothing, t.by_task
        )
        rows = runtime.share(t.batch, "train")
        if rows % t.accumulate:
            raise UserError(f"train: accumulate: {t.accumulate} for {rows} rows; accepted: what divides them")
        self.pool = Pool(examples, t.seed, t.pool, rows, t.buckets == "two", t.end)
        self.levels = max((m["levels"] for m in (model.config.modalities or {}).values()), default=1)
        self.optimizer = make_optimizer(model, t.optimizer, t.lr, t.weight_decay, "train", t.faster)

    def _freeze_unreached(self, model: AvatarGPTModel) -> None:
        """What no stream of this run reaches keeps its weights: several processes step whatever can be trained."""
        tasks = {name for s in self.examples.streams() if (name := s.task.partition("/")[0]) in list_tasks()}
        slots = {s.modality for name in tasks for s in get_task(name).inputs}
        reached = {get_task(name).output for name in tasks} | slots
        for parts in (model.codes, model.heads, model.refiners):
            for name, part in parts.items():
                part.requires_grad_(name in reached and any(p.requires_grad for p in part.parameters()))
        if not self.schedule.refiner_weight:
            model.refiners.requires_grad_(False)

    @property
    def identity(self) -> dict[str, Any]:
        shape = {name: getattr(self.model.config, name) for name in UNSEEN}
        if hasattr(self.model, "peft_config"):
            lora: Any = self.model.peft_config["default"]
            shape["lora alpha"] = float(lora.lora_alpha)
        return {"shape": shape, "fingerprints": dict(self.model.config.fingerprints or {})}

    def batch(self, rows: Sequence[Example]) -> Batch:
        """Rows on this process's device."""
        return Batch.of(rows, self.grounder, self.model.config.pad_token_id or 0, self.levels, self.runtime.device)

    def losses(self, module: Any, at: At) -> tuple[torch.Tensor, Parts]:
        rows = self.pool.step(at.step, at.rank)
        parts = module(self.batch(rows[at.part :: at.parts]), at.seed, at.step)
        return parts.pop("total"), parts

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean loss per validation set, nats per token."""
        self.model.eval()
        out = {}
        for name, rows in self.val.items():
            total = count = 0.0
            for i in range(0, len(rows), 64):
                batch = self.batch(rows[i : i + 64])
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
        self.examples.text.save(out)
        weights = merged_state(self.model) if hasattr(self.model, "peft_config") else None
        save_model(self.model, out, "15MB", weights)
        if self.recipe.lora is not None and weights is not None:
            save_adapter(self.model, self.recipe.lora, out / ADAPTER)
        save_resolved(self.recipe, out)
