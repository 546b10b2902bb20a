"""Trains the language model on a mixture of text and motion tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.model.checkpoint import save_model
from avatargpt.model.config import TEXT
from avatargpt.model.encoding import encoder_inputs
from avatargpt.model.model import IGNORED, AvatarGPTModel
from avatargpt.model.text_encoder import SentenceGrounder
from avatargpt.train.checkpoints import about_model, check_model, go_on, load_checkpoint, save_checkpoint
from avatargpt.train.data.examples import Example, Examples
from avatargpt.train.log import Log
from avatargpt.train.lora import merged_state
from avatargpt.train.optimizers import make_optimizer
from avatargpt.train.plot import plot_log
from avatargpt.train.runtime import Runtime, Share, check_finite, cosine, deepspeed_package
from instruct_data.collate import pad
from instruct_data.mixture import Mixture, generator
from vqvae.errors import UserError

EVEN = 16  # lengths are padded up to a multiple: kernels are prepared once per shape, which takes longer than a step


@dataclass
class LanguageTraining:
    """What `configs/train/*.yaml` may set under `train`."""

    steps: int = 5000
    batch: int = 64  # examples per step, over all processes
    pool: int = 8  # steps whose examples are sorted by length together
    lr: float = 1e-3
    lr_floor: float = 5e-5
    warmup: int = 150
    weight_decay: float = 0.01
    optimizer: str = "adamw"  # or muon, `avatargpt.train.optimizers`
    faster: dict[str, float] = field(default_factory=dict)  # part of the model (heads.face): factor of its rate
    refiner_weight: float = 0.4
    refiner_rows: Share = 0.5  # share of motion rows the refiner learns from at each step
    refiner_only: bool = False  # everything else is frozen
    label_smoothing: float = 0.0  # share of what is right that is spread over all tokens, while training
    clip: float = 1.0
    seed: int = 0
    log_every: int = 25
    save_every: int = 250
    val_every: int = 500
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Batch:
    """Tensors of one step. B rows, L answer length, R levels."""

    inputs: dict[str, Any]
    heads: list[str]
    labels: torch.Tensor  # (B, L), -100 = ignored
    length: torch.Tensor  # (B,), -1 = unknown
    codes: torch.Tensor  # (B, L, R), -1 outside motion answers and for levels that a modality has not

    @classmethod
    def of(
        cls, rows: Sequence[Example], grounder: SentenceGrounder | None, pad_id: int, levels: int, device: torch.device
    ) -> Batch:
        """Pad and stack rows; R = `levels`."""
        labels, _ = pad([r.labels for r in rows], IGNORED, EVEN // 2)
        codes = np.full((*labels.shape, levels), -1, np.int64)
        for b, r in enumerate(rows):
            if r.codes is not None:
                codes[b, : len(r.codes), : r.codes.shape[1]] = r.codes
        return cls(
            encoder_inputs([r.prompt for r in rows], grounder, pad_id, device, EVEN), [r.head for r in rows],
            torch.from_numpy(labels).to(device), torch.tensor([r.length for r in rows], device=device),
            torch.from_numpy(codes).to(device),
        )  # fmt: skip


def batches(
    examples: Examples, mixture: Mixture, t: LanguageTraining, runtime: Runtime, start: int
) -> Iterator[list[Example]]:
    """Rows of every step from `start` on; within a pool of steps, rows of like length go together."""
    per_rank = t.batch // runtime.world
    step = start
    while True:
        first = step - step % t.pool
        draws = [d for s in range(first, first + t.pool) for d in mixture.batch(s, per_rank, runtime.rank)]
        rows = [examples.make(d) for d in draws]
        order = np.argsort([r.cost for r in rows], kind="stable").reshape(t.pool, per_rank)
        order = order[generator(t.seed, first, 99).permutation(t.pool)]  # the same on every rank: no stragglers
        for k in range(step - first, t.pool):
            yield [rows[i] for i in order[k]]
        step = first + t.pool


class Objective(torch.nn.Module):
    """The model with its losses: what DDP and DeepSpeed wrap, so that every parameter is used inside one forward."""

    def __init__(
        self, model: AvatarGPTModel, refiner_weight: float, refiner_rows: float, runtime: Runtime,
        refiner_only: bool = False, label_smoothing: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model, self.refiner_weight, self.refiner_rows = model, refiner_weight, refiner_rows
        self.runtime, self.refiner_only, self.label_smoothing = runtime, refiner_only, label_smoothing

    def forward(self, batch: Batch, seed: int, step: int) -> dict[str, torch.Tensor]:
        """`total` (with gradient) and its parts: cross-entropy per head (nats per token), the refiner's error."""
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
        for name in dict.fromkeys(batch.heads):
            at = torch.tensor([h == name for h in batch.heads], device=batch.labels.device)
            wanted = (batch.labels[at] != IGNORED).sum()
            result[f"ce_{name}"] = out.token_loss.detach()[at].sum() / wanted.clamp(min=1)
        return result


class Trainer:
    """Holds one training run; `run` goes from the last checkpoint to the end.

    Args:
        model: to be trained in place.
        examples: training examples; `val` fixed validation rows per name.
        out: folder for checkpoint.pt, log.jsonl and the finished model.
        engine: a DeepSpeed configuration (dict) when started under deepspeed.
        until: stop here with a checkpoint; the schedule stays that of all steps.

    Raises:
        UserError: a batch that the processes cannot share, a checkpoint that is damaged or another model's, DeepSpeed
            not installed.
    """

    def __init__(
        self, model: AvatarGPTModel, examples: Examples, val: dict[str, list[Example]],
        grounder: SentenceGrounder | None, config: LanguageTraining, out: Path, runtime: Runtime,
        engine: dict[str, Any] | None = None, until: int | None = None,
    ) -> None:  # fmt: skip
        torch.nn.Module.to(model, runtime.device)
        if config.refiner_only:
            model.requires_grad_(False)
            model.refiners.requires_grad_(True)
        self.model, self.examples, self.val, self.grounder = model, examples, val, grounder
        self.t, self.out, self.runtime = config, out, runtime
        self.mixture = Mixture(examples.streams(), config.seed)
        self.levels = max((m["levels"] for m in (model.config.modalities or {}).values()), default=1)
        self.step, self.stop = 0, min(config.steps, until or config.steps)
        share = runtime.share(config.batch, "train")
        if engine is not None and config.optimizer != "adamw":
            raise UserError(f"train: optimizer: {config.optimizer}; DeepSpeed shards only adamw here; accepted: adamw")
        self.optimizer = make_optimizer(model, config.optimizer, config.lr, config.weight_decay, "train", config.faster)
        objective = Objective(
            model, config.refiner_weight, config.refiner_rows, runtime, config.refiner_only, config.label_smoothing
        )
        self.engine: Any = None
        self.objective: Any = objective
        if engine is not None:
            deepspeed = deepspeed_package()
            # What the YAML says holds under DeepSpeed too; the JSON only says how the work is split.
            engine = {
                **{k: v for k, v in engine.items() if k not in ("train_batch_size", "optimizer", "scheduler")},
                "train_micro_batch_size_per_gpu": share, "gradient_accumulation_steps": 1,
                "gradient_clipping": config.clip, "zero_force_ds_cpu_optimizer": False,
            }  # fmt: skip
            self.engine, *_ = deepspeed.initialize(model=objective, optimizer=self.optimizer, config=engine)
            self.objective = self.engine
        else:
            if runtime.world > 1:
                self.objective = torch.nn.parallel.DistributedDataParallel(objective, find_unused_parameters=True)
        self._resume()

    def _resume(self) -> None:
        if self.engine is not None:
            folder = self.out / "deepspeed"
            path, state = self.engine.load_checkpoint(str(folder)) if folder.is_dir() else (None, None)
            if path and state:
                check_model(Path(path), state, self.model)
                self.step = int(state["step"])
            return
        last = self.out / "checkpoint.pt"
        saved = load_checkpoint(last, self.runtime.device)
        if saved:
            check_model(last, saved, self.model)
            self.step = go_on(last, saved, self.model, self.optimizer)

    def save(self) -> None:
        """Checkpoint for resuming, and the model itself."""
        if self.runtime.main:
            self.examples.text.save(self.out)  # first, so that a checkpoint never stands without it
        about = {"step": self.step, **about_model(self.model)}
        if self.engine is not None:
            self.engine.save_checkpoint(str(self.out / "deepspeed"), client_state=about)
        elif self.runtime.main:
            state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
            save_checkpoint(self.out / "checkpoint.pt", {**state, **about})
        if self.runtime.main:
            weights = merged_state(self.model) if hasattr(self.model, "peft_config") else None
            save_model(self.model, self.out, "15MB", weights)

    def batch(self, rows: Sequence[Example]) -> Batch:
        """Rows on this process's device."""
        return Batch.of(rows, self.grounder, self.model.config.pad_token_id or 0, self.levels, self.runtime.device)

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

    def run(self) -> AvatarGPTModel:
        """Train up to the last step, with checkpoints on the way; returns the model in evaluation mode."""
        t, log = self.t, Log(self.out / "log.jsonl", self.runtime.main, self.t.steps, self.step)
        totals: dict[str, list[float]] = {}
        self.model.train()
        stream = batches(self.examples, self.mixture, t, self.runtime, self.step)
        while self.step < self.stop:
            torch.manual_seed((t.seed << 32) + self.step * self.runtime.world + self.runtime.rank)  # dropout, if any
            batch = self.batch(next(stream))
            parts = self.objective(batch, t.seed, self.step)
            total = parts.pop("total")
            check_finite(total, "loss")
            rate = cosine(self.step, t.steps, t.warmup, t.lr, t.lr_floor)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group.get("factor", 1.0)
            if self.engine is not None:
                self.engine.backward(total)
                self.engine.step()
            else:
                total.backward()
                parts["grad"] = torch.nn.utils.clip_grad_norm_(self.model.parameters(), t.clip)
                check_finite(parts["grad"], "gradient's norm")
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            self.step += 1
            for k, v in parts.items():
                totals.setdefault(k, []).append(float(v.detach()))
            log.advance(total)
            if self.step % t.log_every == 0:
                log(step=self.step, **{k: float(np.mean(v)) for k, v in totals.items()})
                totals = {}
            if self.val and (self.step % t.val_every == 0 or self.step == t.steps):
                log(step=self.step, **self.validate())
            if self.step % t.save_every == 0 or self.step == self.stop:
                self.save()
        log.close()
        if self.runtime.main:
            plot_log(self.out)
        return self.model.eval()
