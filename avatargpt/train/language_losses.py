"""The losses of the language model on one process's share of a step."""

from __future__ import annotations

import numpy as np
import torch

from avatargpt.lm.model import AvatarGPTModel
from avatargpt.train.data.batches import Batch
from avatargpt.train.data.shares import Share
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.running.stage import Metrics


class LanguageObjective(torch.nn.Module):
    """The model with its losses: what DDP wraps, so that every parameter is used inside one forward.

    Args:
        refiner_weight: of the residual decoder's loss; 0 = it does not learn.
        refiner_only: everything but the residual decoders is frozen.
        label_smoothing: share of what is right that is spread over all tokens.
        by_task: tell the loss of every task as well.
    """

    def __init__(
        self, model: AvatarGPTModel, refiner_weight: float, runtime: Runtime, refiner_only: bool = False,
        label_smoothing: float = 0.0, by_task: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model, self.refiner_weight, self.runtime = model, refiner_weight, runtime
        self.refiner_only, self.label_smoothing, self.by_task = refiner_only, label_smoothing, by_task

    def forward(self, batch: Batch, share: Share) -> Metrics:
        """`total` (with gradient) and its parts: cross-entropy per head and, where wanted, per task (nats per token);
        the refiner's error.

        The mean of each over all shares of a step is what one process would have of the whole step.
        """
        with self.runtime.autocast():  # in here, since DeepSpeed turns autocast off around the module it wraps
            return self._losses(batch, share)

    def _losses(self, batch: Batch, share: Share) -> Metrics:
        heads: str | list[str] = batch.heads[0] if len(set(batch.heads)) == 1 else batch.heads
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.refiner_only):
            out = self.model(
                **batch.inputs, labels=batch.labels, head=heads, length=batch.length,
                label_smoothing=self.label_smoothing,
            )  # fmt: skip
        token_loss, hidden = out.token_loss, out.hidden
        total = token_loss.sum() * (share.times / sum(share.tokens.values()))
        refiner, result = total.new_zeros(()), {}
        for name in share.answers:
            loss = self._refined(name, batch, share, hidden)
            refiner = refiner + loss * (share.answers[name] / share.motion)
            result["refiner" if name == "body" else f"refiner_{name}"] = loss.detach()
        total = refiner if self.refiner_only else total + self.refiner_weight * refiner
        if not total.requires_grad:  # a share without a row for what is trained: its gradients are zero
            total = total + 0.0 * next(p for p in self.model.parameters() if p.requires_grad).sum()
        kinds = [("ce", batch.heads, share.tokens), *([("task", batch.tasks, share.by_task)] if self.by_task else [])]
        for prefix, names, counts in kinds:
            for name, tokens in counts.items():
                at = torch.tensor([n == name for n in names], device=batch.labels.device)
                result[f"{prefix}_{name}"] = token_loss.detach()[at].sum() * (share.times / tokens)
        return {"total": total, **result}

    def _refined(self, name: str, batch: Batch, share: Share, hidden: torch.Tensor) -> torch.Tensor:
        """The residual decoder's part in the step's mean cross-entropy of one modality, nats per code."""
        rows = [b for b, head in enumerate(batch.heads) if head == name and share.chosen[b]]
        if not rows:
            return hidden.new_zeros((), dtype=torch.float32)
        at = torch.as_tensor(rows, device=batch.labels.device)
        codes = batch.codes[at, :, : self.model.config.modality(name)["levels"]]
        longest = int((codes[..., 0] >= 0).sum(1).max())
        codes = codes[:, :longest]
        forgotten = np.zeros(codes.shape[:2], bool)
        for i, b in enumerate(rows):
            forgotten[i, : len(share.forgotten[b])] = share.forgotten[b]
        mask, gone = codes[..., 0] >= 0, torch.from_numpy(forgotten).to(codes.device)
        loss = self.model.refiner_loss(hidden[at, :longest], codes, mask, name, gone)
        return loss * (share.times * int(mask.sum()) / share.refined[name])
