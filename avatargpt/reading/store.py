"""The files of a reading network: ``reading.json``, and weights in 8 bits in files of bounded size."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from avatargpt.lm.checkpoint import MAX_SHAPE_BYTES, stored
from avatargpt.reading.network import ReadingConfig, ReadingNetwork
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing
from vqvae.io.tensors import load_tensors, no_larger_than, raised, unfilled
from vqvae.motion import atomic_write

NAME, VERSION = "reading", 1
FILES = ("reading.safetensors", "reading-2.safetensors")
SECOND = ("encoder.", "writer.")  # beginnings of what is in the second file


def save_network(
    network: ReadingNetwork, folder: str | os.PathLike[str], dtype: torch.dtype | None = torch.int8
) -> None:
    """Write a network; matrices in `dtype`, None = as they are."""
    from safetensors.torch import save_file

    folder, state = Path(folder), stored(network, dtype)
    for file, second in zip(FILES, (False, True), strict=True):
        part = {k: v for k, v in state.items() if k.startswith(SECOND) == second}
        atomic_write(folder / file, lambda p, part=part: save_file(part, p))  # type: ignore[misc]
    text = json.dumps({"version": VERSION, **network.config.model_dump()}) + "\n"
    atomic_write(folder / f"{NAME}.json", lambda p: p.write_text(text, encoding="utf-8"))


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
        with no_larger_than(state), unfilled():
            network = ReadingNetwork(ReadingConfig(**fields), start=False)
        network.load_state_dict({k: v.float() for k, v in raised(state).items()}, assign=True)
        network.fill_tables()
    return network.requires_grad_(False).eval()
