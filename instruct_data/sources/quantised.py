"""Reader for quantised clips: ``captions.jsonl``, ``skeleton.json`` and shards ``motions_NN.npz``."""

# Shards hold `root` float32 (N, 3) metres, `rot` int16 (N, 22, 4) = round(32767 * quaternion) and `offsets` int64:
# clip i is rows offsets[i] to offsets[i + 1]. 20 frames per second, Y up.

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip, check_split
from instruct_data.sources.corpus import Corpus, Report, load_clip
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows, read_arrays, read_object
from vqvae.io.files import parsing
from vqvae.motion import Motion
from vqvae.rates import BODY_FPS
from vqvae.skeleton import SMPL22

CAPTIONS = "captions.jsonl"
_CMU = "CMU mocap terms (free use with credit)"
LICENCES = {
    "bandai1": "CC BY-NC 4.0", "bandai2": "CC BY-NC 4.0", "cmu_amc": _CMU, "cmu_iclone": _CMU, "cmu_expmap": _CMU,
    "cmu_deepmimic": _CMU, "cmu_bvh": _CMU, "deepmimic": "MIT (origin of single clips not stated)",
}  # fmt: skip
UNKNOWN_LICENCE = "not stated"
_FIELDS = {"id", "shard", "index", "source", "captions", "split", "action", "style", "licence"}


class _Shards:
    """Arrays of every shard, read once: indexing an open npz in a loop would read the whole array each time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._arrays: dict[str, dict[str, np.ndarray]] = {}

    def get(self, name: str) -> dict[str, np.ndarray]:
        if name not in self._arrays:
            path = self.folder / name
            with parsing(path, "a readable shard with root, rot and offsets"):
                data = read_arrays(path, ("root", "rot", "offsets"))
                arrays = {k: data[k] for k in ("root", "rot", "offsets")}
            if arrays["rot"].shape[1:] != (len(SMPL22.names), 4) or len(arrays["rot"]) != len(arrays["root"]):
                raise UserError(f"{path}: rot {arrays['rot'].shape}; accepted (N, {len(SMPL22.names)}, 4)")
            self._arrays[name] = arrays
        return self._arrays[name]

    def motion(self, shard: str, index: int, caption: str) -> Motion:
        arrays, path = self.get(shard), self.folder / shard
        offsets = arrays["offsets"]
        if not 0 <= index < len(offsets) - 1:
            raise UserError(f"{path}: no clip {index}; it holds {len(offsets) - 1}")
        with parsing(path, "a shard of clips"):
            a, b = offsets[index : index + 2]
            rotations = arrays["rot"][a:b].astype(np.float32) / 32767
            return Motion(rotations, arrays["root"][a:b].copy(), BODY_FPS, "body", caption)


def read_quantised(folder: str | os.PathLike[str], split: str | None = None) -> Iterator[Clip]:
    """Clips of a folder with captions.jsonl, skeleton.json and shards; motions are loaded lazily."""
    folder = Path(folder)
    check_split(split)
    path = folder / "skeleton.json"
    data = read_object(path)
    with parsing(path, "a skeleton with joint_names and offsets"):
        names, offsets = tuple(data["joint_names"]), np.array(data["offsets"], float)
    if names != SMPL22.names or offsets.shape != SMPL22.offsets.shape or np.abs(offsets - SMPL22.offsets).max() > 1e-3:
        raise UserError(f"{path}: another skeleton; accepted the 22 SMPL joints with this project's bone lengths")
    shards = _Shards(folder)
    path = folder / CAPTIONS
    for n, row in json_rows(path):
        with parsing(f"{path}: line {n}", "a clip row"):
            captions = [str(c) for c in row["captions"]]
            load = partial(shards.motion, str(row["shard"]), int(row["index"]), captions[0] if captions else "")
            licence = str(row.get("licence") or LICENCES.get(row["source"], UNKNOWN_LICENCE))
            clip = Clip(
                str(row["id"]), load, captions, str(row["source"]), licence,
                str(row["split"]), str(row.get("action") or ""), str(row.get("style") or ""),
                {k: v for k, v in row.items() if k not in _FIELDS},
            )  # fmt: skip
        try:
            check_split(clip.split)
        except UserError as e:
            raise UserError(f"{path}: line {n}: {e}") from None
        if split in (None, clip.split):
            yield clip


def read(root: Path, _corpus: Corpus, report: Report, split: str | None = None) -> Iterator[Clip]:
    """`read_quantised` for the table of corpora."""
    for clip in read_quantised(root, split):
        yield from load_clip(clip, report)
