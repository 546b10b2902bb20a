"""How many numbers a network has, part by part, and how many of them a run trains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from avatargpt.lm.network import LanguageNetwork
from avatargpt.train.optimizers import blocks
from avatargpt.train.scaling.shapes import Planned

PARTS = {
    "shared": "text table", "lm_head": "text head", "encoder": "encoder", "decoder": "decoder",
    "codes": "code adapters", "heads": "motion heads", "refiners": "residual decoders",
    "extra": "other inputs", "countdown": "length conditioning",
}  # fmt: skip
"""First word of a parameter's name -> what it is."""
STACKS = ("encoder", "decoder")


@dataclass(frozen=True)
class Parameters:
    """Numbers of a network.

    Attributes:
        parts: by part (`PARTS`). trained: of all, LoRA's included. lora: of LoRA's updates.
        matrices: of the stacks' linear layers, what Muon takes and autocast copies.
        muon: of those, what Muon trains in this run.
    """

    parts: dict[str, int]
    trained: int
    lora: int
    matrices: int
    muon: int

    @property
    def total(self) -> int:
        """Of the network as it is saved, LoRA's updates added in."""
        return sum(self.parts.values())


def count(plan: Planned) -> Parameters:
    """Numbers of the network that a configuration trains; it is built without memory for its weights."""
    with torch.device("meta"):
        network = LanguageNetwork(plan.shape)
    parts: Counter[str] = Counter()
    for name, parameter in network.named_parameters():
        parts[name.partition(".")[0]] += parameter.numel()
    train, matrices = plan.recipe.train, sum(p.numel() for p in blocks(network))
    lora = sum(_updates(network, plan)) if plan.recipe.lora is not None else 0
    trained = sum(parts.values())
    if plan.recipe.lora is not None:
        trained += lora - parts["encoder"] - parts["decoder"] - parts["shared"]
    if not train.refiner_weight:
        trained -= parts["refiners"]
    if train.refiner_only:
        trained = parts["refiners"]
    whole = plan.recipe.lora is None and not train.refiner_only
    return Parameters(dict(parts), trained, lora, matrices, matrices if train.optimizer == "muon" and whole else 0)


def _updates(network: LanguageNetwork, plan: Planned) -> Iterator[int]:
    """Of every matrix that LoRA updates: rank times rows and columns."""
    assert plan.recipe.lora is not None
    for name, module in network.named_modules():
        stack, _, rest = name.partition(".")
        if stack in STACKS and isinstance(module, torch.nn.Linear) and rest.split(".")[-1] in plan.recipe.lora.targets:
            yield plan.recipe.lora.r * (module.in_features + module.out_features)
