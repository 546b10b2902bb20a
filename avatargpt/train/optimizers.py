"""The optimisers that `train: optimizer` names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from vqvae.errors import UserError

BETAS = (0.9, 0.98)
NAMES = ("adamw", "muon")


class MuonAdamW(torch.optim.Optimizer):
    """Muon for the matrices of transformer blocks, AdamW for everything else, as one optimiser.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) steps along the orthogonalised momentum; its
    step is scaled to AdamW's root mean square (Liu et al. 2025, arXiv 2502.16982), so that one learning rate serves
    both.

    Args:
        blocks: the matrices of transformer blocks.
        groups: parameter groups of AdamW: everything else.
        lr, weight_decay: of both; `groups` may say another decay.
    """

    def __init__(
        self, blocks: list[torch.nn.Parameter], groups: list[dict[str, Any]], lr: float, weight_decay: float
    ) -> None:
        self.muon = torch.optim.Muon(blocks, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adamw = torch.optim.AdamW(groups, lr=lr, betas=BETAS, fused=True)
        both = [*self.muon.param_groups, *self.adamw.param_groups]
        super().__init__(both, {"lr": lr})
        self.param_groups = both  # the very groups of the two, so that a schedule reaches them

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of both. `closure` is not taken."""
        if closure is not None:
            raise ValueError("closures are not supported")
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave.

        Raises:
            ValueError: state of another optimiser, or of other parameters.
        """
        if set(state_dict) != {"muon", "adamw"}:
            raise ValueError("state of another optimizer; this run says optimizer: muon")
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]


def _blocks(model: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    """Weights of the linear layers inside the stacks of encoder and decoder."""
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    for name, parameter in model.named_parameters():
        place, _, kind = name.rpartition(".")
        if ".block." in name and kind == "weight" and place in linear:
            yield parameter


def make_optimizer(model: torch.nn.Module, name: str, lr: float, weight_decay: float, where: str) -> Any:
    """The optimiser of that name over the parameters that are to be trained.

    Args:
        name: ``adamw`` or ``muon``.
        where: for the message.

    Raises:
        UserError: another name, or Muon with nothing for it to train.
    """
    if name not in NAMES:
        raise UserError(f"{where}: optimizer: {name!r}; accepted: {', '.join(NAMES)}")
    trained = [p for p in model.parameters() if p.requires_grad]
    chosen = [p for p in _blocks(model) if p.requires_grad] if name == "muon" else []
    if name == "muon" and not chosen:
        raise UserError(f"{where}: optimizer: muon trains transformer blocks, which are frozen here; accepted: adamw")
    taken = {id(p) for p in chosen}
    rest = [p for p in trained if id(p) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    if name == "muon":
        return MuonAdamW(chosen, groups, lr, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=BETAS, fused=True)
