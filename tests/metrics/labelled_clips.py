"""Clips with labels for predicates, written as recipes: a keyframed clip or a recording, and what is done to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from instruct_data.factory.synth.families import families, keyframed
from vqvae import rotations as rot
from vqvae.motion import Motion

LABELS = Path(__file__).with_name("predicate_labels.yaml")
RECORDING = "m_"


def labels() -> dict[str, list[tuple[Any, str, bool]]]:
    """By predicate: (check, recipe, whether the check must hold)."""
    groups = yaml.safe_load(LABELS.read_text(encoding="utf-8"))
    return {name: list(_rows(rows)) for name, rows in groups.items()}


def _rows(rows: list[dict[str, Any]]) -> Iterator[tuple[Any, str, bool]]:
    for row in rows:
        for key, label in (("holds", True), ("fails", False)):
            for clips in row.get(key, []):
                name, seeds, *changes = clips.split(" ", 2) if not clips.startswith(RECORDING) else (clips, "")
                for seed in seeds.split(","):
                    yield row["check"], " ".join([name, seed, *changes]).strip(), label


def is_recording(recipe: str) -> bool:
    return recipe.startswith(RECORDING)


def motion_of(recipe: str, recordings: Path) -> Motion:
    """The motion that a recipe describes.

    Args:
        recipe: ``FAMILY SEED`` or ``m_NUMBER`` (a recording), then changes in order: ``mirrored``, ``reversed`` (played
            backwards), ``stretched=N`` (N times as long), ``floats=H`` (lifted by H metres for half a second in the
            middle, as generated bodies are), ``from=F``, ``to=F`` (cut there, a share of the length).
        recordings: folder of the body corpus.
    """
    name, *words = recipe.split()
    if is_recording(name):
        motion = _recording(name, recordings)
    else:
        motion = keyframed(families()[name], [int(words.pop(0))])[0].load()
    for word in words:
        change, _, value = word.partition("=")
        count = len(motion)
        if change == "mirrored":
            motion = motion.mirrored()
        elif change == "reversed":
            motion = motion.at_frames(np.arange(count)[::-1])
        elif change == "stretched":
            motion = motion.sampled(np.linspace(0, count - 1, round(count * float(value))))
        elif change == "floats":
            lift = float(value) * np.exp(-(((np.arange(count) - count / 2) / (0.2 * motion.fps)) ** 2))
            motion = replace(motion, root=motion.root + lift[:, None] * np.array([0, 1, 0]))
        elif change == "from":
            motion = motion.slice(round(float(value) * count), count)
        elif change == "to":
            motion = motion.slice(0, round(float(value) * count))
        else:
            raise ValueError(f"{recipe}: {word}")
    return motion


@cache
def _corpus(folder: Path) -> dict[str, dict[str, Any]]:
    with (folder / "captions.jsonl").open(encoding="utf-8") as file:
        return {row["id"]: row for row in map(json.loads, file)}


@cache
def _shard(path: Path) -> dict[str, np.ndarray]:
    return dict(np.load(path))


def _recording(name: str, folder: Path) -> Motion:
    row = _corpus(folder)[name]
    shard = _shard(folder / row["shard"])
    start, stop = shard["offsets"][row["index"] : row["index"] + 2]
    return Motion(rot.normalize(shard["rot"][start:stop].astype(np.float64)), shard["root"][start:stop])
