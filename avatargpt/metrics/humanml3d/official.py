"""The evaluator as its authors published it: a checkpoint of torch, two arrays and a vocabulary."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.metrics.humanml3d.evaluator import FILE, Evaluator, network_of
from avatargpt.metrics.humanml3d.words import has_vocabulary, read_vocabulary
from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.files import parsing, regular_file
from vqvae.io.tensors import load_checkpoint_file

CHECKPOINTS = ("finest.tar", "text_mot_match/model/finest.tar")
STATISTICS = (".", "Comp_v6_KLD01/meta", "meta")
VOCABULARIES = (".", "glove", "../glove", "../../glove")
PARTS = ("movement_encoder", "text_encoder", "motion_encoder")


def load_evaluator(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> Evaluator:
    """The evaluator of a folder: our own file, or else the published ones (see `load_official`).

    Raises:
        UserError: neither, or damaged files.
    """
    here = Path(folder)
    if (here / FILE).exists():
        return Evaluator.load(here, device)
    if any((here / name).exists() for name in CHECKPOINTS):
        return load_official(here, device)
    raise UserError(f"{here}: no evaluator; accepted: a folder with {FILE} (the stage `evaluator` writes one) or with "
                    f"the published {CHECKPOINTS[1]}")  # fmt: skip


def load_official(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> Evaluator:
    """The published evaluator, from the folder ``t2m`` of its download.

    ``text_mot_match/model/finest.tar`` is read by torch with ``weights_only`` (nothing in it is called), mean and
    deviation are ``Comp_v6_KLD01/meta/mean.npy`` and ``std.npy``, the vocabulary (`words.read_vocabulary`) lies in
    ``glove`` in the folder or up to two folders above it. All three may also lie in the folder itself.

    Raises:
        UserError: a file is missing, damaged, or of other networks.
    """
    here = Path(folder)
    path = next((here / name for name in CHECKPOINTS if (here / name).exists()), here / CHECKPOINTS[1])
    saved = _checkpoint(path)
    with parsing(path, "a checkpoint of text_mot_match"):
        state = {f"{part}.{name}": tensor.float() for part in PARTS for name, tensor in saved[part].items()}
        network = network_of(state)
    meta = _first(here, STATISTICS, lambda p: (p / "mean.npy").is_file(), "mean.npy with std.npy")
    glove = _first(here, VOCABULARIES, has_vocabulary, "our_vab_data.npy")
    mean, std = (np.array(map_array(meta / f"{name}.npy")) for name in ("mean", "std"))
    return Evaluator(network, mean, std, read_vocabulary(glove), device, str(meta))


def _checkpoint(path: Path) -> dict[str, Any]:
    with parsing(path, "a checkpoint of torch without anything but tensors"):
        if zipfile.is_zipfile(regular_file(path)):
            return load_checkpoint_file(path, torch.device("cpu"))
        saved = torch.load(path, map_location="cpu", weights_only=True)  # the format before torch 1.6
        if not isinstance(saved, dict):
            raise ValueError(f"a {type(saved).__name__}")
        return saved


def _first(folder: Path, names: tuple[str, ...], there: Any, what: str) -> Path:
    for name in names:
        if there(folder / name):
            return folder / name
    raise UserError(f"{folder}: no {what}; accepted in {', '.join(str(folder / name) for name in names)}")
