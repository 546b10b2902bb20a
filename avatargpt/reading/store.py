"""The files of a reading network: ``reading.json``, and weights in 8 bits in files of bounded size.

A task may have a network of its own: ``reading-TASK.safetensors`` holds the difference in matrices of low rank.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from avatargpt.lm.checkpoint import MAX_SHAPE_BYTES, store_tensors
from avatargpt.reading.network import ReadingConfig, ReadingNetwork
from instruct_data.reading.programs import PROGRAMS
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing
from vqvae.io.tensors import build_unfilled, load_tensors, lower_weight, no_larger_than, raise_weights
from vqvae.motion import atomic_write

NAME, VERSION = "reading", 1
FILES = ("reading.safetensors", "reading-2.safetensors")
SECOND = ("encoder.", "writer.")  # beginnings of what is in the second file
LEFT, RIGHT = ".left", ".right"  # ends of the names of the factors of a difference


def save_network(
    network: ReadingNetwork, folder: str | os.PathLike[str], dtype: torch.dtype | None = torch.int8
) -> None:
    """Write a network; matrices in `dtype`, None = as they are."""
    from safetensors.torch import save_file

    folder, state = Path(folder), store_tensors(network, dtype)
    for file, second in zip(FILES, (False, True), strict=True):
        part = {k: v for k, v in state.items() if k.startswith(SECOND) == second}
        atomic_write(folder / file, lambda p, part=part: save_file(part, p))  # type: ignore[misc]
    text = json.dumps({"version": VERSION, **network.config.model_dump()}) + "\n"
    atomic_write(folder / f"{NAME}.json", lambda p: p.write_text(text, encoding="utf-8"))


def save_apart(
    network: ReadingNetwork, other: ReadingNetwork, task: str, folder: str | os.PathLike[str], rank: int,
    dtype: torch.dtype | None = torch.int8,
) -> None:  # fmt: skip
    """Write what of a task's network differs from `network`: of a matrix the part of rank `rank`, of what is small all;
    `network` takes the task's own heads over.
    """
    from safetensors.torch import save_file

    ours: dict[str, torch.Tensor] = network.state_dict()
    out: dict[str, torch.Tensor] = {}
    for name, theirs in other.state_dict().items():
        if name.startswith(f"heads.{task}."):
            ours[name].copy_(theirs)
        elif not name.startswith(("heads.", "names.", "name_bias.")) and not torch.equal(theirs, ours[name]):
            if theirs.ndim != 2 or min(theirs.shape) <= 2 * rank:
                out |= lower_weight(name, theirs.contiguous(), dtype)
                continue
            left, sizes, right = torch.linalg.svd(theirs - ours[name], full_matrices=False)
            scale = sizes[:rank].sqrt()
            out |= lower_weight(name + LEFT, (left[:, :rank] * scale).contiguous(), dtype)
            out |= lower_weight(name + RIGHT, (right[:rank] * scale[:, None]).contiguous(), dtype)
    atomic_write(Path(folder) / f"{NAME}-{task}.safetensors", lambda p: save_file(out, p))


def _load_apart(network: ReadingNetwork, file: Path, what: str) -> ReadingNetwork:
    """The network of a task, by that of all others and its file."""
    state, whole = raise_weights(load_tensors(file, what)), dict(network.state_dict())
    with parsing(file, what):
        for name, value in state.items():
            matrix = name.removesuffix(LEFT).removesuffix(RIGHT)
            if name == matrix:
                whole[name] = value
            elif name == matrix + LEFT:
                whole[matrix] = whole[matrix] + value @ state[matrix + RIGHT]
            elif matrix + LEFT not in state:
                raise ValueError(f"no {matrix + LEFT}")
        with build_unfilled():
            other = ReadingNetwork(network.config, start=False)
        other.load_state_dict(whole, assign=True)
    other.encoder.table, other.encoder.places = network.encoder.table, network.encoder.places
    other.writer.spoken = network.writer.spoken
    return other.requires_grad_(False).eval()


def load_network(folder: str | os.PathLike[str]) -> ReadingNetwork | None:
    """The network of a model folder in float32, None where it has none; raises UserError for damaged files."""
    folder = Path(folder)
    if not (folder / f"{NAME}.json").is_file():
        return None
    fields = read_object(folder / f"{NAME}.json", MAX_SHAPE_BYTES)
    what = "a reading network of this version"
    state = {k: v for file in FILES for k, v in load_tensors(folder / file, what).items()}
    with parsing(folder, what):
        if fields.pop("version") != VERSION:
            raise ValueError("another version")
        with no_larger_than(state), build_unfilled():
            network = ReadingNetwork(ReadingConfig(**fields), start=False)
        network.load_state_dict({k: v.float() for k, v in raise_weights(state).items()}, assign=True)
        network.fill_tables()
    for task in PROGRAMS:
        if (file := folder / f"{NAME}-{task}.safetensors").is_file():
            network.apart[task] = cache(partial(_load_apart, network, file, what))
    return network.requires_grad_(False).eval()


def take_over(network: ReadingNetwork, before: ReadingNetwork) -> None:
    """Give a network the weights of another, whose names and pieces may be others; new ones stay as they are."""
    state = network.state_dict()
    # weight -> what its rows stand for, before and now; behind the names of a table stands None, none of them
    rows: dict[str, tuple[Sequence[Any], Sequence[Any]]] = {
        "writer.bias": (before.config.spoken, network.config.spoken)
    }
    for table, names in before.config.tables.items():
        both = [*names, None], [*network.config.tables[table], None]
        rows |= {f"names.{table}": both, f"name_bias.{table}": both}
    for name, value in before.state_dict().items():
        if name not in rows:
            if value.shape == state[name].shape:  # else a program has other fields now, and begins anew
                state[name] = value
            continue
        theirs, ours = rows[name]
        at = {x: i for i, x in enumerate(theirs)}
        for i, x in enumerate(ours):
            if x in at:
                state[name][i] = value[at[x]]
    network.load_state_dict(state)
