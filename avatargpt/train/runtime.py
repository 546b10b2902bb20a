"""One or many processes, CPU or GPU: what every trainer needs."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from avatargpt.model.precision import fast_bfloat16, usable
from vqvae.errors import UserError
from vqvae.io.yaml_file import read_yaml

T = TypeVar("T")
Share = float
"""Type of a field between 0 and 1."""
LEAST = {
    **dict.fromkeys(("steps", "batch", "window", "pool", "log_every", "save_every", "val_every"), 1),
    **dict.fromkeys(("downsample", "levels", "codebook_size", "code_dim", "width", "fine_width", "hidden", "heads"), 1),
    **dict.fromkeys(("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads"), 1),
    "relative_attention_num_buckets": 4, "relative_attention_max_distance": 1, "grounding_dim": 0, "clip": 0,
    **dict.fromkeys(("lr", "lr_floor", "warmup", "weight_decay", "seed"), 0),
    "people": 1, "frames": 2, **dict.fromkeys(("held", "held_frames", "near", "edges"), 0),
}  # fmt: skip
"""Lowest accepted values of fields, whatever they are fields of."""
BELOW_ONE = ("label_smoothing", "smoothing", "dropout", "dropout_rate")


@dataclass
class Runtime:
    """Where this process runs.

    Attributes:
        rank, world: of torch.distributed (0, 1 when alone).
        device: this process's device.
        bf16: autocast to bfloat16, on every device that gains by it (4x float32 on CPUs with AVX-512 bf16).
    """

    rank: int
    world: int
    device: torch.device
    bf16: bool = True

    @classmethod
    def start(cls, threads: int | None = None, device: str | None = None) -> Runtime:
        """Set threads and device; join the process group when started by torchrun or deepspeed."""
        if threads:
            torch.set_num_threads(threads)
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        cuda = torch.cuda.is_available() and device != "cpu"
        local = int(os.environ.get("LOCAL_RANK", 0))
        where = torch.device(f"cuda:{local}" if cuda and device in (None, "cuda") else usable(device))
        if cuda:
            torch.cuda.set_device(where)
            torch.backends.cuda.matmul.allow_tf32 = True
        if world > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if cuda else "gloo")
        return cls(rank, world, where, fast_bfloat16(where))

    @property
    def main(self) -> bool:
        return self.rank == 0

    def share(self, batch: int, where: str) -> int:
        """Rows of this process in a step of `batch` rows over all processes.

        Raises:
            UserError: the rows cannot be shared out evenly.
        """
        if batch < self.world or batch % self.world:
            raise UserError(f"{where}: batch {batch} over {self.world} processes; accepted: a multiple of them")
        return batch // self.world

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A configuration file as a dict.

    Raises:
        UserError: missing or not a YAML mapping.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a YAML mapping")
    return data


def check_keys(values: Any, accepted: Collection[str], where: str) -> dict[str, Any]:
    """`values` if it is a mapping with accepted keys only (None = empty).

    Raises:
        UserError: names the key and the place.
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {values!r}; a mapping with the keys {', '.join(accepted)} is needed")
    for key in values:
        if key not in accepted:
            near = difflib.get_close_matches(str(key), accepted, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(f"{where}: unknown key {key!r}; {hint}accepted: {', '.join(accepted)}")
    return dict(values)


def number_in(key: str, value: Any, wanted: str, where: str) -> float:
    """A finite number from a configuration file, within the bounds of its field.

    Args:
        wanted: int, float, Share or weight (at least 0).
    """
    whole, share = wanted == "int", wanted == "Share" or key in BELOW_ONE
    least = 0 if share or wanted == "weight" else LEAST.get(key)
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    out = (least is not None and number < least) or (share and number > 1) or (key in BELOW_ONE and number == 1)
    if not math.isfinite(number) or out or (whole and number != int(number)):
        bounds = "" if least is None else f" of at least {least}"
        if share:
            bounds = " from 0 to below 1" if key in BELOW_ONE else " from 0 to 1"
        raise UserError(f"{where}: {key}: {value!r}; accepted: {'a whole' if whole else 'a'} number{bounds}")
    return number


def from_mapping(cls: type[T], values: Any, where: str) -> T:
    """A dataclass from a part of a configuration file.

    Args:
        cls: the dataclass.
        values: its fields; None = all defaults. Numbers may be strings, since YAML reads ``1e-3`` as one.
        where: file and section, for messages.

    Raises:
        UserError: an unknown key, or a value of the wrong type or out of bounds.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    given = check_keys(values, list(fields), where)
    for key, value in given.items():
        wanted = str(fields[key].type)
        if wanted in ("int", "float", "Share"):
            number = number_in(key, value, wanted, where)
            given[key] = int(number) if wanted == "int" else number
        elif wanted == "dict[str, float]" and isinstance(value, dict):
            given[key] = {k: number_in(str(k), v, "weight", f"{where}: {key}") for k, v in value.items()}
        elif wanted == "bool" and not isinstance(value, bool):
            raise UserError(f"{where}: {key}: {value!r}; accepted: true or false")
        elif wanted.startswith("dict") and not isinstance(value, dict):
            raise UserError(f"{where}: {key}: {value!r}; accepted: a mapping")
        elif wanted.startswith("list"):
            least = 1 if "dilations" in key else 0
            kind, said = (int, f"whole numbers of at least {least}") if wanted == "list[int]" else (str, "words")
            fits = isinstance(value, list) and all(type(v) is kind for v in value)
            if not fits or (kind is int and min(value, default=least) < least):
                raise UserError(f"{where}: {key}: {value!r}; accepted: a list of {said}")
        elif wanted == "str" and not isinstance(value, str):
            raise UserError(f"{where}: {key}: {value!r}; accepted: a word")
    return cls(**given)


def load_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: missing or not a JSON object.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as e:
        raise UserError(f"{path}: {e.strerror}") from None
    except ValueError as e:
        raise UserError(f"{path}: not JSON ({e})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: not a JSON object")
    return data


def check_finite(value: torch.Tensor, name: str) -> None:
    """Stop before anything is saved that such a number has spoilt.

    Raises:
        UserError: `value` is not finite.
    """
    if not math.isfinite(float(value.detach())):
        raise UserError(f"train: the {name} became {float(value.detach())}; this step is not taken nor saved: "
                        "lower lr, or go on from the last checkpoint")  # fmt: skip


def descend(
    loss: torch.Tensor, parameters: Iterable[torch.nn.Parameter], optimizer: torch.optim.Optimizer, clip: float,
    rate: float,
) -> torch.Tensor:
    """One step down: gradients of `loss`, cut to the norm `clip`, at the learning rate `rate`, `times` as much for
    groups of parameters that say so.

    Returns:
        The norm of the gradients before they were cut.

    Raises:
        UserError: a loss or gradients that are not finite.
    """
    check_finite(loss, "loss")
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    check_finite(norm, "gradient's norm")
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("times", 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def cosine(step: int, total: int, warmup: int, peak: float, floor: float) -> float:
    """Learning rate at `step`: linear warm-up, then half a cosine from `peak` to `floor`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * share))
