"""The state of AdamW that ZeRO splits, put together as torch writes it, and taken apart for any number of processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq")


class ShardedState:
    """Remembers which parameters an optimiser has, before DeepSpeed puts flat pieces in their place.

    Args:
        optimizer: with the state to go on from; that is taken out of it.
    """

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.groups: list[list[torch.nn.Parameter]] = [list(g["params"]) for g in optimizer.param_groups]
        self.settings = [g for g in optimizer.param_groups]
        self.keys = [[k for k in g if k != "params"] for g in optimizer.param_groups]
        self.before: dict[torch.nn.Parameter, dict[str, Tensor]] = dict(optimizer.state)
        optimizer.state.clear()
        optimizer.param_groups[:] = [g for g in optimizer.param_groups if g["params"]]

    def spread(self, sharded: Any) -> None:
        """Give every process its piece of the state to go on from.

        Args:
            sharded: DeepSpeed's optimiser, which has had no step yet.
        """
        from deepspeed.utils import safe_set_full_optimizer_state

        # All of them move at every step. DeepSpeed looks for the state after the step of the first group, when torch
        # would not have made that of the others, so a run that begins gets one, too: zeros.
        steps = max((float(state["step"]) for state in self.before.values()), default=0.0)
        for flat in self._pieces(sharded):
            moments = {name: torch.zeros_like(flat) for name in MOMENTS}
            self.optimizer.state[flat] = {"step": torch.tensor(steps, device=flat.device), **moments}
        if hasattr(sharded, "_lazy_init_hp_params_optimizer_state"):
            sharded._lazy_init_hp_params_optimizer_state()
        for parameter, state in self.before.items():
            for name in MOMENTS:
                safe_set_full_optimizer_state(parameter, state[name], name)
        self.before = {}

    def _pieces(self, sharded: Any) -> list[Tensor]:
        """What this process has of all groups, (numbers,) each."""
        if hasattr(sharded, "single_partition_of_fp32_groups"):  # stages 1 and 2
            return list(sharded.single_partition_of_fp32_groups)
        return list(sharded.fp32_partitioned_groups_flat)

    def gathered(self, keep: bool) -> dict[str, Any]:
        """The whole state, as `state_dict` of the optimiser gives it without DeepSpeed; all processes ask together.

        Args:
            keep: whether this process wants it; the others get it without values.
        """
        from deepspeed.utils import safe_get_full_optimizer_state

        steps = max(float(state["step"]) for state in self.optimizer.state.values())
        state: dict[int, dict[str, Tensor]] = {}
        groups, number = [], 0
        for parameters, settings, keys in zip(self.groups, self.settings, self.keys, strict=True):
            groups.append({k: settings[k] for k in keys} | {"params": [*range(number, number + len(parameters))]})
            for parameter in parameters:
                moments = {name: safe_get_full_optimizer_state(parameter, name) for name in MOMENTS}
                if keep:
                    shaped = {name: value.reshape(_shape(parameter)).clone() for name, value in moments.items()}
                    state[number] = {"step": torch.tensor(steps), **shaped}
                number += 1
        return {"state": state, "param_groups": groups}


def _shape(parameter: Any) -> torch.Size:
    return getattr(parameter, "ds_shape", parameter.shape)  # what stage 3 splits has no shape of its own
