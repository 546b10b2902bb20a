"""Trains a `MotionTokenizer` on windows of motion features."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.train.checkpoints import go_on, load_checkpoint, save_checkpoint
from avatargpt.train.data.windows import Windows
from avatargpt.train.objectives import objective
from avatargpt.train.plot import plot_log
from avatargpt.train.runtime import Log, Runtime, Share, check_keys, cosine, descend, from_mapping
from vqvae.errors import UserError
from vqvae.networks import begin_direct
from vqvae.tokenizer import MotionTokenizer, TokenizerConfig

COMPONENTS = 4000
"""Windows of eight tokens from which principal components are found."""


@dataclass
class TokenizerTraining:
    """What `configs/tokenizer/*.yaml` may set under `train`."""

    steps: int = 5000
    batch: int = 64  # windows per step, over all processes
    window: int = 64  # frames
    lr: float = 4e-4
    lr_floor: float = 2e-5
    warmup: int = 100
    weight_decay: float = 0.01
    balance: Share = 0.5  # sampling weight of a class ~ frames^-balance
    speed: Share = 0.5  # extra weight of clips with fast limbs, 0 = none
    level_dropout: Share = 0.2  # share of steps that decode from a random number of levels
    decoder_only: bool = False  # freeze encoder and codebooks (a second stage; the fingerprint stays)
    seed: int = 0
    log_every: int = 50
    save_every: int = 500
    val_every: int = 1000
    losses: dict[str, float] = field(default_factory=dict)


def fit_normaliser(model: MotionTokenizer, windows: Windows) -> None:
    """Mean and std per channel over the training frames; a channel's std is at least a tenth of its group's mean.
    A direct path begins as the principal components of such frames.
    """
    mean, std = windows.statistics()
    for group in model.spec.slices().values():
        std[group] = np.maximum(std[group], 0.1 * std[group].mean())
    model.mean.copy_(torch.from_numpy(mean))
    model.std.copy_(torch.from_numpy(np.maximum(std, 1e-5)))
    if model.config.direct:
        step = model.downsample
        drawn = windows.batch(COMPONENTS, 8 * step, [0, 8], 0.5, 0.0).reshape(-1, step, model.spec.dim)
        frames = (torch.from_numpy(drawn).to(model.mean.device) - model.mean) / model.std
        begin_direct(model.encoder, model.decoder, frames)


def train(
    config: dict[str, Any], windows: Windows, val: Windows, out: Path, runtime: Runtime, start: Path | None = None,
    until: int | None = None, where: str = "configuration",
) -> MotionTokenizer:  # fmt: skip
    """Run or resume training in folder `out` (checkpoint.pt, log.jsonl, losses.png, and the finished tokenizer).

    Args:
        config: ``{"model": TokenizerConfig fields, "train": TokenizerTraining fields}``.
        windows, val: feature clips.
        start: a tokenizer folder to begin from (decoder-only stages, fine-tuning); its own shape is kept.
        until: stop here with a checkpoint; the schedule stays that of all steps.
        where: the configuration's name, for messages.

    Raises:
        UserError: unknown keys or values in `config`, a damaged checkpoint or start folder, a step without a start.
    """
    check_keys(config, ("model", "train"), where)
    t = from_mapping(TokenizerTraining, config.get("train"), f"{where}: train")
    per_rank = runtime.share(t.batch, f"{where}: train")
    if t.decoder_only and start is None:
        raise UserError(f"{where}: train: decoder_only trains a decoder for codes that are there; give --start FOLDER")
    torch.manual_seed(t.seed + runtime.rank)
    if start is not None:
        model = MotionTokenizer.load(start, runtime.device)
    else:
        shape = from_mapping(TokenizerConfig, config.get("model"), f"{where}: model")
        model = MotionTokenizer(shape).to(runtime.device)
    if model.spec.dim != (found := windows.clips[0].shape[1]):
        raise UserError(f"{where}: {model.config.modality}: {model.spec.dim} channels, but the store has {found}")
    if start is None:
        fit_normaliser(model, windows)
    aim = objective(model.config.modality, t.losses, f"{where}: train", model.downsample)
    if t.window % model.downsample:
        raise UserError(f"{where}: train: window: {t.window}; accepted: whole tokens of {model.downsample} frames")
    model.train()
    if t.decoder_only:
        model.encoder.requires_grad_(False)
        model.vq.eval()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=t.lr, betas=(0.9, 0.98), weight_decay=t.weight_decay, fused=True)
    step, last = 0, out / "checkpoint.pt"
    saved = load_checkpoint(last, runtime.device, model.config)
    if saved:
        step = go_on(last, saved, model, optimizer)
    wrapped = torch.nn.parallel.DistributedDataParallel(model) if runtime.world > 1 else model
    stop = min(t.steps, until or t.steps)
    totals: dict[str, list[float]] = {}
    rng = np.random.default_rng([t.seed, 7])
    drop = rng.random(t.steps) < t.level_dropout  # the same steps whenever training resumes
    log = Log(out / "log.jsonl", runtime.main, t.steps, step)
    while step < stop:
        torch.manual_seed((t.seed << 32) + step * runtime.world + runtime.rank)  # of new codes
        batch = windows.batch(per_rank, t.window, [t.seed, step, runtime.rank], t.balance, t.speed)
        x = (torch.from_numpy(batch).to(runtime.device) - model.mean) / model.std
        model.vq.quantize_dropout = bool(drop[step]) and not t.decoder_only
        with runtime.autocast():
            predicted, _, commit = wrapped(x)
        losses, logged = aim.losses(predicted.float(), x, model.mean, model.std)
        if not t.decoder_only:
            losses["commit"] = commit
        total = torch.stack(list(losses.values())).sum()
        rate = cosine(step, t.steps, t.warmup, t.lr, t.lr_floor)
        norm = descend(total, parameters, optimizer, 5.0, rate)
        step += 1
        if step == t.steps and not t.decoder_only:
            model.settle()
        for k, v in {**losses, **logged, "grad": norm}.items():
            totals.setdefault(k, []).append(float(v.detach()))
        log.advance(total)
        if step % t.log_every == 0:
            log(step=step, **{k: float(np.mean(v)) for k, v in totals.items()})
            totals = {}
        if runtime.main and (step % t.val_every == 0 or step == t.steps):
            model.vq.quantize_dropout = False
            log(step=step, **aim.validate(model.eval(), val.clips, val.rare))
            model.train()
            if t.decoder_only:
                model.vq.eval()
        if runtime.main and (step % t.save_every == 0 or step == stop):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
            save_checkpoint(last, state, model.config)
            model.save(out)
    log.close()
    if runtime.main:
        model.save(out)
        plot_log(out)
    return model.eval()
