"""The body corpus as the suites need it: clips of one split with motion, captions and classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.sources.quantised import read_quantised
from vqvae.errors import UserError


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
    clips = [replace(clip, motion=clip.load()) for clip in read_quantised(folder, split)]
    if not clips:
        raise UserError(f"{folder}: no clips in split {split!r}")
    return clips


def rare(clip: Clip) -> bool:
    """Everything but the Bandai takes, which make up most of the corpus."""
    return not clip.source.startswith("bandai")
