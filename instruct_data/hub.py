"""Stores as data sets of Hugging Face's `datasets`, and exported as folders that `load_dataset` opens and streams."""

# Rows keep the columns of the store; what a motion is made of becomes arrays: `rotations` (T, 22, 4) unit quaternions
# w, x, y, z and `root` (T, 3) metres of bodies, `weights` (T, 52) and `head` (T, 3) of faces, `features` (T, D)
# of other modalities, `codes` (N, R) of tokens.

from __future__ import annotations

import math
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from instruct_data.clip import SPLITS, check_split
from instruct_data.store import FEATURES, ROWS_PER_SHARD, SCHEMAS, Store, replace_folder, unpack
from vqvae import arkit, modalities
from vqvae.errors import UserError
from vqvae.io.files import real_path
from vqvae.skeleton import SMPL22

if TYPE_CHECKING:
    import datasets

INSTALL = 'pip install "avatargpt[datasets]"'
PACKED = {"motion": ("rotations", "root"), "face": ("weights", "head"), FEATURES: ("features",), "codes": ("codes",)}


def library() -> Any:
    """The `datasets` package. Raises UserError, with the line that installs it, where it is missing."""
    try:
        import datasets
    except ImportError:
        raise UserError(f"data sets need the package datasets: {INSTALL}") from None
    return datasets


def as_dataset(
    store: Store | str | os.PathLike[str], split: str | None = None, arrays: bool = True, num_proc: int | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> datasets.Dataset:  # fmt: skip
    """A store as a memory-mapped data set.

    Args:
        store: opened, or its folder.
        split: only this one; None = all.
        arrays: unpack motions, once, into the cache; else their columns stay bytes (`unpack_row` takes one row apart).
        num_proc: processes that unpack.
        cache: folder for the Arrow files; None = the library's own.
    """
    hf = library()
    opened = store if isinstance(store, Store) else Store.open(store)
    check_split(split)
    files = [str((opened.path / s["file"]).resolve()) for s in opened.manifest["shards"]]
    if split is not None and not opened.manifest["splits"].get(split):
        raise UserError(f"{opened.path}: no clips of split {split}; it has {', '.join(opened.manifest['splits'])}")
    filters = None if split is None else [("split", "==", split)]
    cache_dir = None if cache is None else os.fspath(cache)
    data = hf.load_dataset("parquet", data_files=files, split="train", cache_dir=cache_dir, filters=filters)
    if arrays:
        kind = str(opened.manifest["kind"])
        shaped = {
            "rotations": hf.Array3D((None, len(SMPL22.names), 4), "float32"), "root": hf.Array2D((None, 3), "float32"),
            "weights": hf.Array2D((None, arkit.COUNT), "float32"), "head": hf.Array2D((None, 3), "float32"),
            "codes": hf.List(hf.List(hf.Value("int16"))),
        }  # fmt: skip
        if kind == FEATURES:
            dim = modalities.get(str(opened.manifest["modality"])).features().dim
            shaped["features"] = hf.Array2D((None, dim), "float32")
        features = hf.Features.from_arrow_schema(SCHEMAS[kind])
        for name in PACKED[kind]:
            features[name] = shaped[name]
        data = data.map(unpack_row, num_proc=num_proc, fn_kwargs={"kind": kind}, features=features)
    return data


def export_datasets(
    store: Store | str | os.PathLike[str], folder: str | os.PathLike[str], num_proc: int | None = None
) -> dict[str, int]:
    """A folder that ``datasets.load_dataset(folder)`` opens: ``data/SPLIT-*.parquet`` of arrays, and a card.

    Returns:
        Rows of each split.
    """
    library()
    opened = store if isinstance(store, Store) else Store.open(store)
    target = real_path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is there already; accepted: a new folder")
    rows: dict[str, int] = {}
    with replace_folder(target) as building:
        (building / "data").mkdir()
        for split in (s for s in SPLITS if opened.manifest["splits"].get(s)):
            data = as_dataset(opened, split, num_proc=num_proc, cache=building / "cache")
            rows[split] = len(data)
            count = math.ceil(len(data) / ROWS_PER_SHARD)
            for k in range(count):
                name = f"{split}-{k:05d}-of-{count:05d}.parquet"
                data.shard(count, k, contiguous=True).to_parquet(building / "data" / name)
            del data
        shutil.rmtree(building / "cache", ignore_errors=True)
        (building / "README.md").write_text(card(opened.manifest, rows), encoding="utf-8")
    return rows


def card(manifest: dict[str, Any], rows: dict[str, int]) -> str:
    """The README.md of an exported folder: where each split lies, what the rows are and under which terms."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split in rows:
        lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    lines += ["---", "", f"{manifest['clips']} clips ({manifest['kind']}), {manifest['hours']:.2f} h.", ""]
    lines += ["| source | clips | hours | licence |", "|---|---|---|---|"]
    for name, about in manifest["sources"].items():
        cells = (str(v).replace("|", "/") for v in (name, about["clips"], about["hours"], about["licence"]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def unpack_row(row: dict[str, Any], kind: str) -> dict[str, np.ndarray]:
    """The arrays of one row of a store of that kind, by column; see the module."""
    arrays = unpack(row, kind)
    if kind == "motion":
        arrays["rotations"] /= np.linalg.norm(arrays["rotations"], axis=-1, keepdims=True)
    return arrays
