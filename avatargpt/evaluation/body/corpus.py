"""The body corpus as the suites need it: clips of one split with motion, captions and classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.io.arrays import read_arrays
from vqvae.io.guard import understanding
from vqvae.io.json_lines import json_rows
from vqvae.motion import Motion


def locate(data: Path | None) -> Path:
    """The folder with captions.jsonl: `data` itself or `body` / `data/body` below it.

    Raises:
        UserError: not given or not found.
    """
    if data is None:
        raise UserError("this suite compares with real clips; name the folder of the body corpus with --data")
    for folder in (data, data / "body", data / "data" / "body"):
        if (folder / "captions.jsonl").is_file():
            return folder
    raise UserError(f"{data}: no body corpus here; accepted a folder with captions.jsonl and motions_*.npz")


def load_clips(data: Path | None, split: str) -> list[Clip]:
    """All clips of a split, motions in memory.

    Raises:
        UserError: the corpus is missing or damaged.
    """
    folder = locate(data)
    shards: dict[str, dict[str, np.ndarray]] = {}
    clips = []
    with understanding(folder, "a readable body corpus"):
        for _, row in json_rows(folder / "captions.jsonl"):
            if row["split"] != split:
                continue
            if row["shard"] not in shards:
                shards[row["shard"]] = read_arrays(folder / row["shard"])
            shard = shards[row["shard"]]
            a, b = shard["offsets"][row["index"] : row["index"] + 2]
            motion = Motion(shard["rot"][a:b].astype(np.float32) / 32767, shard["root"][a:b])
            clips.append(
                Clip(row["id"], motion, row["captions"], row["source"], "", split, row.get("action") or "",
                     row.get("style") or "")
            )  # fmt: skip
    if not clips:
        raise UserError(f"{folder}: no clips in split {split!r}")
    return clips


def rare(clip: Clip) -> bool:
    """Everything but the Bandai takes, which make up most of the corpus."""
    return not clip.source.startswith("bandai")
