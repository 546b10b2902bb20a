"""Optimizers of the stages, and the moving average of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch

from avatargpt.lm.devices import fast_bfloat16
from vqvae.errors import UserError

BETAS = (0.9, 0.98)
OptimizerName = Literal["adamw", "muon"]


NEWTON_SCHULZ = (3.4445, -4.775, 2.0315)  # coefficients of the quintic iteration, Jordan et al. 2024
ITERATIONS = 5


def orthogonalise(updates: torch.Tensor) -> torch.Tensor:
    """Matrices (n, a, b) with their singular values driven to about 1, by a quintic Newton-Schulz iteration.

    In bfloat16 where the processor gains by it, else float32.
    """
    # The Gram matrix is that of the shorter side: less arithmetic.
    wide = updates.shape[-2] <= updates.shape[-1]
    x = updates if wide else updates.mT
    x = x.to(torch.bfloat16 if fast_bfloat16(x.device) else torch.float32)
    # The iteration converges for singular values up to 1; the Frobenius norm bounds the largest one.
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).float()


class Muon(torch.optim.Muon):
    """torch's Muon with `orthogonalise`, matrices of one shape together: torch's own always computes in bfloat16.

    Args:
        every: the weights move in every so many-th step; in the others the momentum alone takes in the gradients.
    """

    def __init__(self, params: list[torch.nn.Parameter], every: int = 1, **settings: Any) -> None:
        super().__init__(params, **settings)
        self.every = every

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step. `closure` is not taken."""
        if closure is not None:
            raise ValueError("closures are not supported")
        for group in self.param_groups:
            group["taken"] = group.get("taken", 0) + 1  # in the group, so that it stands in a checkpoint
            shapes: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
                    if "momentum_buffer" not in self.state[p]:
                        self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            for shape, parameters in shapes.items():
                weights: Any = parameters
                grads: Any = [p.grad for p in parameters]
                momenta = [self.state[p]["momentum_buffer"] for p in parameters]
                torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
                if group["taken"] % self.every:
                    continue
                # Nesterov momentum.
                updates = torch.stack(torch._foreach_lerp(grads, momenta, group["momentum"]))
                # the root mean square of AdamW's steps: Liu et al. 2025, eq. 4
                size = float(group["lr"]) * 0.2 * max(shape) ** 0.5
                torch._foreach_mul_(weights, 1 - float(group["lr"]) * group["weight_decay"])
                torch._foreach_sub_(weights, list(orthogonalise(updates).unbind()), alpha=size)


class MuonAdamW(torch.optim.Optimizer):
    """Muon for the matrices of transformer blocks, AdamW for everything else, as one optimizer.

    Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) steps along the orthogonalised momentum; its
    step is scaled to AdamW's root mean square (Liu et al. 2025, arXiv 2502.16982), so that one learning rate serves
    both.

    Args:
        blocks: the matrices of transformer blocks.
        groups: parameter groups of AdamW: everything else.
        lr, weight_decay: of both; `groups` may have another decay.
        every: see `Muon`.
    """

    def __init__(
        self, blocks: list[torch.nn.Parameter], groups: list[dict[str, Any]], lr: float, weight_decay: float,
        every: int = 1,
    ) -> None:  # fmt: skip
        self.muon = Muon(blocks, every, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adamw = torch.optim.AdamW(groups, lr=lr, betas=BETAS, fused=True)
        both = [*self.muon.param_groups, *self.adamw.param_groups]
        super().__init__(both, {"lr": lr})
        self.param_groups = both  # the same objects, so that a schedule reaches them

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of both. `closure` is not taken."""
        if closure is not None:
            raise ValueError("closures are not supported")
        self.muon.step()
        self.adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self.muon.state_dict(), "adamw": self.adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the result of `state_dict`; raises ValueError for another optimizer or other parameters."""
        if set(state_dict) != {"muon", "adamw"}:
            raise ValueError("state of another optimizer; this run says optimizer: muon")
        self.muon.load_state_dict(state_dict["muon"])
        self.adamw.load_state_dict(state_dict["adamw"])
        self.param_groups = [*self.muon.param_groups, *self.adamw.param_groups]


def blocks(model: torch.nn.Module) -> Iterator[torch.nn.Parameter]:
    """Weights of the linear layers inside the stacks of encoder and decoder."""
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    for name, parameter in model.named_parameters():
        place, _, kind = name.rpartition(".")
        if ".block." in name and kind == "weight" and place in linear:
            yield parameter


def set_rate(optimizer: Any, rate: float) -> None:
    """Learning rate of every group; see `make_optimizer` for ``times``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)


def make_optimizer(
    model: torch.nn.Module, name: OptimizerName, lr: float, weight_decay: float, where: str,
    faster: Mapping[str, float] | None = None, muon_every: int = 1,
) -> Any:  # fmt: skip
    """The optimizer of that name over the parameters that are to be trained. `where`: for the message. `faster`: part
    of the model (``heads.face``) -> how many times the learning rate it gets; such a group carries it as its ``times``.
    `muon_every`: see `Muon`.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    chosen = [p for p in blocks(model) if p.requires_grad] if name == "muon" else []
    if name == "muon" and not chosen:
        raise UserError(f"{where}: optimizer: muon trains transformer blocks, which are frozen here; accepted: adamw")
    # By identity: tensors compare element by element.
    matrices = {id(p) for p in chosen}
    remaining = [p for p in trained if id(p) not in matrices]
    factors: dict[int, float] = {}  # parameter -> factor of its rate
    for part, factor in (faster or {}).items():
        inside = [p for n, p in model.named_parameters() if n.startswith(f"{part}.")]
        if not inside or not 0 < factor <= 100:
            raise UserError(f"{where}: faster: {part}: {factor}; accepted: parts of the model, factors above 0 to 100")
        factors |= {id(p): float(factor) for p in inside}
    groups: list[dict[str, Any]] = []
    for factor in dict.fromkeys([1.0, *factors.values()]):
        same = [p for p in remaining if factors.get(id(p), 1.0) == factor]
        # Biases and scales are not decayed: pulled to zero they would only lose what they learnt.
        for decay, few in ((weight_decay, [p for p in same if p.ndim >= 2]), (0.0, [p for p in same if p.ndim < 2])):
            # The plain groups stay even if empty, so that the groups of a checkpoint always match.
            if few or factor == 1.0:
                groups.append({"params": few, "weight_decay": decay, "times": factor})
    if name == "muon":
        return MuonAdamW(chosen, groups, lr, weight_decay, muon_every)
    return torch.optim.AdamW(groups, lr=lr, betas=BETAS, fused=True)


class MovingAverage:
    """Exponential moving average of the trained weights of a network (Polyak 1992), in float32.

    After n steps its decay is ``min(decay, (1 + n) / (10 + n))``, so that it soon forgets the beginning.

    Args:
        decay: at least 0 and below 1; 0 = no average: the weights themselves.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.trained = {name: p for name, p in network.named_parameters() if decay and p.requires_grad}
        self.mean = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().float().clone() for name, p in self.trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Add the weights of one more step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        if self.trained:  # in few kernels
            current = [p.detach().float() for p in self.trained.values()]
            torch._foreach_lerp_(list(self.mean.values()), current, 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, the network has the averaged weights; behind it, the same as before to the bit."""
        # Copied and written back: adding and subtracting would change last bits.
        before = {name: p.detach().clone() for name, p in self.trained.items()}
        self._write(self.mean)
        try:
            yield
        finally:
            self._write(before)

    @torch.no_grad()
    def _write(self, values: dict[str, torch.Tensor]) -> None:
        for name, p in self.trained.items():
            p.copy_(values[name])

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"ema": {"steps": self.steps, "mean": self.mean}} if self.decay else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back the result of `state`; a run without an average begins one with its present weights."""
        saved = state.get("ema")
        # A run that is resumed with `ema` for the first time has no mean in its checkpoint.
        self.steps = int(saved["steps"]) if saved else 0
        current = self._copy()
        self.mean = {name: saved["mean"][name].to(p) if saved else p for name, p in current.items()}
