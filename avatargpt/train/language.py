"""Trains the language model on a mixture of text and motion tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from avatargpt.config import Schedule, save_resolved
from avatargpt.model.checkpoint import save_model
from avatargpt.model.model import AvatarGPTModel
from avatargpt.model.network import IGNORED
from avatargpt.model.text_encoder import SentenceGrounder
from avatargpt.train.data.batches import Batch, Pool
from avatargpt.train.data.examples import Example, ExampleOptions, Examples
from avatargpt.train.data.shares import share_of
from avatargpt.train.language_losses import LanguageObjective
from avatargpt.train.running.lora import LoraOptions, merged_state, save_adapter
from avatargpt.train.running.optimizers import OptimizerName, make_optimizer
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.running.stage import At, Parts, StageBase
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
        refiner_rows: share of motion rows that the residual decoder learns from at each step, over all processes.
        refiner_only: everything else is frozen.
        label_smoothing: share of what is right that is spread over all tokens, while training.
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


class LanguageStage(StageBase):
    """A language model in training: see `avatargpt.train.loop.Stage`.

    Args:
        model: to be trained in place.
        examples: training examples; `val` fixed validation rows per name.

    Raises:
        UserError: a batch that the processes cannot share, or nothing for the optimiser to train.
    """

    divides = together = True

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
        self.module = LanguageObjective(model, t.refiner_weight, runtime, t.refiner_only, t.label_smoothing)
        rows = runtime.share(t.batch, "train")
        if rows % t.accumulate:
            raise UserError(f"train: accumulate: {t.accumulate} for {rows} rows; accepted: what divides them")
        self.pool = Pool(examples, t.seed, t.pool, t.batch, t.buckets == "two")
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
        refiners = self.model.refiners.keys() if self.schedule.refiner_weight else ()
        share = share_of(self.pool.step(at.step), at, refiners, self.schedule.refiner_rows)
        parts = module(self.batch(share.rows), share)
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
