"""The clip store: parquet shards with a manifest that counts, names licences and fixes every shard by SHA-256."""

# Kinds: `motion` (bodies: rotations as int16 = round(32767 q), root as float32), `face` (weights as uint16 =
# round(65535 w), head as float32), `features` (any other registered modality, as the float32 features of its
# `FeatureSpec`) and `codes` (tokens). A store is written into a folder beside its place and renamed at the end, so that
# it is never half-written.

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from instruct_data.clip import SPLITS, Clip, check_split
from vqvae import arkit, modalities
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing, real_path, sha256
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

# Rows: the motion of a clip as columns of bytes.
KINDS = {"body": "motion", "face": "face"}  # kinds of store; the other modalities' is FEATURES
FEATURES = "features"
COLUMNS = {
    "motion": [("rotations", pa.binary()), ("root", pa.binary())],
    "face": [("weights", pa.binary()), ("head", pa.binary())],
    FEATURES: [("features", pa.binary())],
}


def _clip_row(clip: Clip, modality: str) -> dict[str, Any]:
    """The row of a clip in a store of a modality."""
    motion: Any = clip.load()
    if (stored := modalities.get(motion.modality).name) != modality:
        raise UserError(f"clip {clip.id}: {stored} in a store of {modality}; accepted: one store for each")
    if modality == "face":
        weights = np.round(motion.weights.astype(np.float64) * 65535).astype("<u2")
        columns = {"weights": weights.tobytes(), "head": _floats(motion.head)}
        return _about(clip, len(motion), motion.fps, modality) | columns
    if modality == "body":
        rotations = np.round(motion.rotations.astype(np.float64) * 32767).astype("<i2")
        columns = {"rotations": rotations.tobytes(), "root": _floats(motion.root)}
        return _about(clip, len(motion), motion.fps, motion.modality) | columns
    spec = modalities.get(modality).features()
    features = np.asarray(spec.encode(motion))
    if features.ndim != 2 or features.shape[1] != spec.dim or not len(features) or not np.isfinite(features).all():
        raise UserError(f"clip {clip.id}: features {features.shape} of {modality}; accepted finite (T, {spec.dim})")
    return _about(clip, len(features), spec.fps, modality) | {"features": _floats(features)}


def from_row(row: dict[str, Any], modality: str) -> Motion | Callable[[], Any]:
    """The motion of a row, or a function that loads it where it is no `Motion`."""
    caption = (row["captions"] or [""])[0]
    arrays = unpack(row, KINDS.get(modality, FEATURES))
    if modality == "body":
        return Motion(arrays["rotations"] / 32767, arrays["root"], row["fps"], row["modality"], caption)
    if modality == "face":
        motion = FaceMotion(arrays["weights"], arrays["head"], row["fps"], caption)
        return lambda: motion
    spec, features = modalities.get(modality).features(), arrays["features"]
    if features.shape[1] != spec.dim:
        raise UserError(f"clip {row['id']}: {features.shape[1]} features; modality {modality} has {spec.dim}")
    return lambda: spec.decode(features, caption)


def unpack(row: dict[str, Any], kind: str) -> dict[str, np.ndarray]:
    """The arrays of a row of a store of that kind, by column, float32; quaternions times 32767, codes as int16."""

    def floats(name: str, *shape: int) -> np.ndarray:
        return np.frombuffer(row[name], "<f4").reshape(*shape).copy()

    if kind == "motion":
        rotations = np.frombuffer(row["rotations"], "<i2").reshape(-1, len(SMPL22.names), 4).astype(np.float32)
        return {"rotations": rotations, "root": floats("root", -1, 3)}
    if kind == "face":
        weights = np.frombuffer(row["weights"], "<u2").reshape(-1, arkit.COUNT).astype(np.float32) / 65535
        return {"weights": weights, "head": floats("head", -1, 3)}
    if kind == "codes":
        return {"codes": np.frombuffer(row["codes"], "<i2").reshape(row["tokens"], -1)}
    return {"features": floats("features", row["frames"], -1)}


def _floats(values: np.ndarray) -> bytes:
    return values.astype("<f4").tobytes()


# The folder: shards of rows and a manifest.
FORMAT = 1
MANIFEST = "manifest.json"
WHAT = "the manifest of a clip store"
ROWS_PER_SHARD = 1024
ROWS_AT_ONCE = 32  # that reading holds in memory
_ABOUT = [
    ("id", pa.string()), ("frames", pa.int32()), ("fps", pa.float64()), ("modality", pa.string()),
    ("captions", pa.list_(pa.string())), ("split", pa.string()), ("action", pa.string()), ("style", pa.string()),
    ("source", pa.string()), ("licence", pa.string()), ("extra", pa.string()),
]  # fmt: skip
SCHEMAS = {
    **{kind: pa.schema([*_ABOUT, *columns]) for kind, columns in COLUMNS.items()},
    "codes": pa.schema([*_ABOUT, ("codes", pa.binary()), ("tokens", pa.int32()), ("mirrored", pa.bool_())]),
}


@dataclass(frozen=True, eq=False)
class ClipCodes:
    """A tokenised clip.

    Attributes:
        id: of the clip; the mirrored version has the same.
        codes: (N, R) int64.
        captions: already mirrored where `mirrored`.
        frames: of the clip, at `fps`.
        mirrored: whether left and right were exchanged.
    """

    id: str
    codes: np.ndarray
    captions: list[str]
    split: str
    source: str
    licence: str
    action: str = ""
    style: str = ""
    frames: int = 0
    fps: float = 20.0
    mirrored: bool = False
    modality: str = "body"
    extra: dict[str, Any] = field(default_factory=dict)


def _about(item: Clip | ClipCodes, frames: int, fps: float, modality: str) -> dict[str, Any]:
    if item.split not in SPLITS:
        raise UserError(f"clip {item.id}: split {item.split!r}; accepted {', '.join(SPLITS)}")
    row = {
        "id": item.id, "frames": frames, "fps": float(fps), "modality": modality, "captions": list(item.captions),
        "split": item.split, "action": item.action, "style": item.style, "source": item.source,
        "licence": item.licence, "extra": json.dumps(item.extra, ensure_ascii=False),
    }  # fmt: skip
    for key, value in row.items():
        text = " ".join(value) if isinstance(value, list) else str(value)
        try:
            text.encode()  # names of files and options may be bytes that are no text
        except UnicodeEncodeError:
            raise UserError(f"clip {item.id!r}: {key} {text[:60]!r} is not UTF-8 text; accepted text") from None
    return row


def _codes_row(item: ClipCodes) -> dict[str, Any]:
    codes = np.asarray(item.codes)
    if codes.ndim != 2 or codes.size == 0 or codes.min() < 0 or codes.max() > 32767:
        raise UserError(f"clip {item.id}: codes {codes.shape}; accepted (N, R) integers in [0, 32767]")
    row = _about(item, item.frames, item.fps, item.modality)
    return row | {"codes": codes.astype("<i2").tobytes(), "tokens": len(codes), "mirrored": item.mirrored}


@contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, which it replaces when the block ends without an error."""
    unique = secrets.token_hex(8)
    building, old = (target.with_name(f".{target.name}.{unique}.{end}") for end in ("tmp", "old"))
    try:
        building.mkdir(parents=True)
        yield building
        if target.exists():
            os.replace(target, old)
        os.replace(building, target)
    except OSError as e:
        raise UserError(f"cannot write {target}: {e.strerror or e}") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)


class _Counts:
    """Counts of the rows, for the manifest."""

    def __init__(self) -> None:
        self.clips = self.captions = 0
        self.hours = 0.0
        self.splits: Counter[str] = Counter()
        self.sources: dict[str, dict[str, Any]] = defaultdict(lambda: {"clips": 0, "hours": 0.0, "licence": ""})

    def add(self, row: dict[str, Any]) -> None:
        hours = row["frames"] / row["fps"] / 3600
        self.clips += 1
        self.captions += len(row["captions"])
        self.hours += hours
        self.splits[row["split"]] += 1
        source = self.sources[row["source"]]
        if source["licence"] not in ("", row["licence"]):
            raise UserError(f"source {row['source']}: two licences, {source['licence']!r} and {row['licence']!r}")
        source.update(clips=source["clips"] + 1, hours=source["hours"] + hours, licence=row["licence"])

    def manifest(self) -> dict[str, Any]:
        sources = {k: v | {"hours": round(v["hours"], 4)} for k, v in sorted(self.sources.items())}
        return {
            "clips": self.clips, "captions": self.captions, "hours": round(self.hours, 4),
            "splits": dict(self.splits), "sources": sources,
        }  # fmt: skip


class Store:
    """An opened store. Make one with :meth:`write` or :meth:`write_codes`, read one with :meth:`open`."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path, self.manifest = path, manifest

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def modality(self) -> str:
        """Of a store of clips; the manifest names it where the kind does not."""
        return str(self.manifest.get("modality", "face" if self.kind == "face" else "body"))

    def __len__(self) -> int:
        return int(self.manifest["clips"])

    @classmethod
    def write(cls, clips: Iterable[Clip], path: str | os.PathLike[str]) -> Store:
        """Write clips with their motions, all of one modality, replacing a store of such."""
        iterator = iter(clips)
        first = list(islice(iterator, 1))
        modality = modalities.get(first[0].load().modality).name if first else "body"
        kind, manifest_fields = KINDS.get(modality, FEATURES), {} if modality in KINDS else {"modality": modality}
        return cls._write(kind, (_clip_row(c, modality) for c in chain(first, iterator)), Path(path), manifest_fields)

    @classmethod
    def write_codes(cls, items: Iterable[ClipCodes], path: str | os.PathLike[str], fingerprint: str) -> Store:
        """Write tokenised clips, replacing a store of such; `fingerprint` is the tokenizer's."""
        return cls._write("codes", (_codes_row(i) for i in items), Path(path), {"fingerprint": fingerprint})

    @classmethod
    def _write(cls, kind: str, rows: Iterator[dict[str, Any]], path: Path, manifest_fields: dict[str, Any]) -> Store:
        path = real_path(path)
        if path.exists() and not (path / MANIFEST).is_file() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(f"{path}: is there already and is no clip store; accepted: a new folder")
        content_kind = manifest_fields.get("modality", kind)
        if (path / MANIFEST).is_file():
            there = read_object(path / MANIFEST, accepted="accepted: a new folder")
            with parsing(path / MANIFEST, WHAT, "accepted: a new folder"):
                present = str(there.get("modality", there["kind"]))
            if present != content_kind:
                raise UserError(f"{path}: a store of {present}, not of {content_kind}; accepted: a new folder")
        counts = _Counts()
        shards: list[dict[str, Any]] = []
        with replace_folder(path) as building:
            while batch := list(islice(rows, ROWS_PER_SHARD)):
                for row in batch:
                    counts.add(row)
                file = building / f"{kind}-{len(shards):05d}.parquet"
                pq.write_table(pa.Table.from_pylist(batch, SCHEMAS[kind]), file, compression="zstd")
                shards.append({"file": file.name, "rows": len(batch), "sha256": sha256(file)})
            if not shards:
                raise UserError(f"{path}: no clips to write")
            manifest = {"format": FORMAT, "kind": kind, **manifest_fields, **counts.manifest(), "shards": shards}
            (building / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
        return cls(path, manifest)

    @classmethod
    def open(cls, path: str | os.PathLike[str], verify: bool = True) -> Store:
        """Open a store and, with `verify`, compare every shard with its SHA-256."""
        path = Path(path)
        file = path / MANIFEST
        if not file.is_file():
            raise UserError(f"{path}: no clip store ({MANIFEST} is missing)")
        manifest = read_object(file)
        with parsing(file, WHAT):
            shards = [(str(s["file"]), s["sha256"]) for s in manifest["shards"]]
            accepted = manifest["format"] == FORMAT and manifest["kind"] in SCHEMAS
        if not accepted:
            raise UserError(f"{file}: format {manifest['format']}, kind {manifest['kind']}; accepted format {FORMAT}, "
                            f"kinds {', '.join(SCHEMAS)}")  # fmt: skip
        for name, digest in shards:
            with parsing(file, WHAT):  # a damaged name may be none that a system has
                missing = not (path / name).is_file()
            if missing:
                raise UserError(f"{path / name}: shard is missing")
            if verify and sha256(path / name) != digest:
                raise UserError(f"{path / name}: shard differs from its SHA-256 in {MANIFEST}; prepare the store again")
        return cls(path, manifest)

    def _rows(self, kind: str, split: str | None, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
        if self.kind != kind:
            raise UserError(f"{self.path}: holds {self.kind}; {kind} wanted")
        check_split(split)
        for shard in self.manifest["shards"]:
            with parsing(self.path / shard["file"], "a readable shard"):
                file = pq.ParquetFile(self.path / shard["file"])
                batches = file.iter_batches(ROWS_AT_ONCE, columns=columns)
            while True:
                with parsing(self.path / shard["file"], "a readable shard"):
                    if (batch := next(batches, None)) is None:
                        break
                    rows = batch.to_pylist()
                yield from (row for row in rows if split in (None, row["split"]))

    def clips(self, split: str | None = None) -> Iterator[Clip]:
        """Clips of any store but one of codes, with their motions."""
        return (self.clip(row) for row in self.rows(split))

    def rows(self, split: str | None = None, motion: bool = True) -> Iterator[dict[str, Any]]:
        """What `clip` makes the clips of a store from, as it is read: cheap, and can be sent to another process.

        Without `motion` the columns that hold it are not read.
        """
        columns = None if motion else [name for name, _ in _ABOUT]
        return self._rows("motion" if self.kind == "codes" else self.kind, split, columns)

    def clip(self, row: dict[str, Any]) -> Clip:
        """The clip of one of `rows`."""
        return Clip(
            row["id"], from_row(row, self.modality), row["captions"], row["source"], row["licence"], row["split"],
            row["action"], row["style"], json.loads(row["extra"]),
        )  # fmt: skip

    def codes(self, split: str | None = None) -> Iterator[ClipCodes]:
        """Rows of a ``codes`` store."""
        for row in self._rows("codes", split):
            codes = unpack(row, "codes")["codes"].astype(np.int64)
            yield ClipCodes(
                row["id"], codes, row["captions"], row["split"], row["source"], row["licence"], row["action"],
                row["style"], row["frames"], row["fps"], row["mirrored"], row["modality"], json.loads(row["extra"]),
            )  # fmt: skip
