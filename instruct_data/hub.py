"""Stores as data sets of Hugging Face's `datasets`: memory-mapped, streamed from anywhere, and as folders that
`datasets.load_dataset` opens without this package.

Rows keep the columns of the store; what a motion is made of becomes arrays: ``rotations`` (T, 22, 4) unit quaternions
w, x, y, z and ``root`` (T, 3) metres of bodies, ``weights`` (T, 52) and ``head`` (T, 3) of faces, ``features`` (T, D)
of other modalities, ``codes`` (N, R) of tokens.
"""

from __future__ import annotations

import math
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instruct_data.clip import SPLITS
from instruct_data.store import FEATURES, MANIFEST, ROWS_PER_SHARD, SCHEMAS, WHAT, Store
from vqvae import arkit, modalities
from vqvae.errors import UserError
from vqvae.io.data_files import parse_json
from vqvae.io.files import parsing, reason
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
    rank: int = 0, world: int = 1, cache: str | os.PathLike[str] | None = None,
) -> datasets.Dataset:  # fmt: skip
    """A store as a memory-mapped data set.

    Args:
        store: opened, or its folder.
        split: only this one; None = all.
        arrays: unpack motions, once, into the cache; else their columns stay bytes (`unpacked` takes one row apart).
        num_proc: processes that unpack.
        rank, world: this process takes every row that is its share of `world`.
        cache: folder for the Arrow files; None = the library's own.

    Raises:
        UserError: no store, a split that there is not or without rows, a rank outside the world, no `datasets`.
    """
    hf = library()
    opened = store if isinstance(store, Store) else Store.open(store)
    _check(split, rank, world)
    files = [str((opened.path / s["file"]).resolve()) for s in opened.manifest["shards"]]
    if split is not None and not opened.manifest["splits"].get(split):
        raise UserError(f"{opened.path}: no clips of split {split}; it has {', '.join(opened.manifest['splits'])}")
    data = hf.load_dataset("parquet", data_files=files, split="train", cache_dir=_text(cache), filters=_only(split))
    if arrays:
        data = data.map(unpacked, num_proc=num_proc, **_unpacking(hf, opened.manifest))
    return _share(data, rank, world)


def as_stream(
    url: str, split: str | None = None, arrays: bool = True, rank: int = 0, world: int = 1,
    storage_options: dict[str, Any] | None = None,
) -> datasets.IterableDataset:  # fmt: skip
    """A store anywhere that fsspec reaches (``s3://``, ``hf://``, ``https://``, a path), read row by row as it comes.

    Shards are not compared with their checksums, for which all of each would have to be read first.

    Args:
        url: of the store's folder.
        split, arrays, rank, world: as in `as_dataset`.
        storage_options: of fsspec's file system (keys, endpoints).

    Raises:
        UserError: no manifest there, one of another format, an unknown kind of URL, no `datasets`.
    """
    hf = library()
    _check(split, rank, world)
    manifest = _manifest(url, storage_options or {})
    files = [f"{url.rstrip('/')}/{s['file']}" for s in manifest["shards"]]
    data = hf.load_dataset(
        "parquet", data_files=files, split="train", streaming=True, filters=_only(split),
        storage_options=storage_options,
    )  # fmt: skip
    if arrays:
        data = data.map(unpacked, **_unpacking(hf, manifest))
    return _share(data, rank, world)


def export_datasets(
    store: Store | str | os.PathLike[str], folder: str | os.PathLike[str], num_proc: int | None = None
) -> dict[str, int]:
    """A folder that ``datasets.load_dataset(folder)`` opens: ``data/SPLIT-*.parquet`` of arrays, and a card.

    Returns:
        Rows of each split.

    Raises:
        UserError: no store, a folder that is there already and not empty, or cannot be written, no `datasets`.
    """
    library()
    opened = store if isinstance(store, Store) else Store.open(store)
    target = Path(folder).resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target}: is there already; accepted: a new folder")
    building = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    rows: dict[str, int] = {}
    try:
        (building / "data").mkdir(parents=True)
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
        if target.exists():
            target.rmdir()
        os.replace(building, target)
    except OSError as e:
        raise UserError(f"cannot write {target}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
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


def unpacked(row: dict[str, Any], kind: str) -> dict[str, np.ndarray]:
    """The arrays of one row of a store of that kind, by column; see the module."""
    if kind == "motion":
        turns = np.frombuffer(row["rotations"], "<i2").reshape(-1, len(SMPL22.names), 4).astype(np.float32)
        turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
        return {"rotations": turns, "root": np.frombuffer(row["root"], "<f4").reshape(-1, 3)}
    if kind == "face":
        weights = np.frombuffer(row["weights"], "<u2").reshape(-1, arkit.COUNT).astype(np.float32) / 65535
        return {"weights": weights, "head": np.frombuffer(row["head"], "<f4").reshape(-1, 3)}
    if kind == "codes":
        return {"codes": np.frombuffer(row["codes"], "<i2").reshape(row["tokens"], -1)}
    return {"features": np.frombuffer(row["features"], "<f4").reshape(row["frames"], -1)}


def _unpacking(hf: Any, manifest: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `Dataset.map` that unpack the rows of a store."""
    kind = str(manifest["kind"])
    shaped = {
        "rotations": hf.Array3D((None, len(SMPL22.names), 4), "float32"), "root": hf.Array2D((None, 3), "float32"),
        "weights": hf.Array2D((None, arkit.COUNT), "float32"), "head": hf.Array2D((None, 3), "float32"),
        "codes": hf.List(hf.List(hf.Value("int16"))),
    }  # fmt: skip
    if kind == FEATURES:
        dim = modalities.get(str(manifest["modality"])).features().dim
        shaped["features"] = hf.Array2D((None, dim), "float32")
    features = hf.Features.from_arrow_schema(SCHEMAS[kind])
    for name in PACKED[kind]:
        features[name] = shaped[name]
    return {"fn_kwargs": {"kind": kind}, "features": features}


def _manifest(url: str, options: dict[str, Any]) -> dict[str, Any]:
    import fsspec

    place = f"{url.rstrip('/')}/{MANIFEST}"
    try:
        with fsspec.open(place, "rb", **options) as file:
            text = file.read()
    except Exception as e:  # every file system has errors of its own
        raise UserError(f"{place}: cannot be read ({reason(e)}); accepted: the URL of a store's folder") from None
    manifest = parse_json(text, place)
    with parsing(place, WHAT):
        if manifest["kind"] not in SCHEMAS or any(Path(s["file"]).name != s["file"] for s in manifest["shards"]):
            raise UserError(f"kind {manifest['kind']}; accepted {', '.join(SCHEMAS)}, shards beside the manifest")
        return dict(manifest)


def _check(split: str | None, rank: int, world: int) -> None:
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    if not 0 <= rank < world:
        raise UserError(f"rank {rank} of world {world}; accepted 0 to world - 1")


def _only(split: str | None) -> list[tuple[str, str, str]] | None:
    return None if split is None else [("split", "==", split)]


def _share(data: Any, rank: int, world: int) -> Any:
    if world == 1:
        return data
    from datasets.distributed import split_dataset_by_node

    return split_dataset_by_node(data, rank, world)


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)
