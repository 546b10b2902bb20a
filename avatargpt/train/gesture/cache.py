"""The training cache of the gesture network: a folder with a file for each take, read in parts.

``gesture.json`` holds the version, the material (`avatargpt.gesture.config.Material`) and a list of takes, each with
``file``, ``name``, ``speaker``, ``split`` (``train`` or ``val``) and ``frames``. A take of T frames at 30 fps is a
safetensors file with

| name | shape | |
|---|---|---|
| ``audio`` | (T, A) float16 | rows of `avatargpt.gesture.features`, or of an encoder |
| ``word_states`` | (W, V) float16 | a state for each word, in order; W may be 0 |
| ``word_at`` | (T,) int32 | the number of each frame's word, -1 = none |
| ``features`` | (T, F) float32 | motion, of the modality's FeatureSpec |
| ``codes`` | (ceil(T / n), R) int32 | tokens of that motion |
| ``other_audio``, ``other_word_states``, ``other_word_at`` | as above | of the interlocutor, where there is one |
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from avatargpt.gesture.config import Material
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing, regular_file
from vqvae.motion import atomic_write
from vqvae.strict import PositiveInt, Strict

FILE, VERSION = "gesture.json", 1
MAX_INDEX = 64 << 20  # bytes of JSON
Arrays = dict[str, np.ndarray]
VOICE_ARRAYS = ("audio", "word_states", "word_at")
TYPES = {"audio": np.float16, "word_states": np.float16, "word_at": np.int32, "features": np.float32, "codes": np.int32}


class Entry(Strict):
    """A take in the index."""

    file: str
    name: str
    speaker: str
    split: Literal["train", "val"]
    frames: PositiveInt


class Index(Strict):
    """The contents of ``gesture.json``."""

    version: Literal[1]
    material: Material
    takes: list[dict[str, Any]]


@dataclass(frozen=True)
class Take:
    """A take to be written; arrays as above, without ``other_`` ones where there is no interlocutor."""

    name: str
    speaker: str
    split: str
    arrays: Arrays


class Corpus:
    """An opened cache; the takes' arrays stay in their files.

    Attributes:
        material: what the rows hold. takes: of all splits.
    """

    def __init__(self, folder: Path, material: Material, takes: list[Entry]) -> None:
        self.folder, self.material, self.takes = folder, material, takes

    def split(self, name: str) -> list[Entry]:
        """The takes of a split."""
        return [t for t in self.takes if t.split == name]

    def part(self, take: Entry, start: int, stop: int) -> Arrays:
        """Frames [start, stop) of a take, start in whole tokens: ``audio``, ``words`` (k, V), ``features``, ``codes``
        of the tokens that begin in them, and ``other_audio``, ``other_words`` where there is an interlocutor.
        """
        from safetensors import safe_open

        path, n = self.folder / take.file, self.material.downsample
        with parsing(path, "a take of this cache", "build it again"), safe_open(regular_file(path), "np") as file:
            names = set(file.keys())
            check_shapes({k: tuple(file.get_slice(k).get_shape()) for k in names}, self.material, take.frames)
            out: Arrays = {"features": file.get_slice("features")[start:stop]}
            out["codes"] = file.get_slice("codes")[start // n : -(-stop // n)].astype(np.int64)
            if out["codes"].size and not 0 <= out["codes"].min() <= out["codes"].max() < self.material.codebook_size:
                raise ValueError("codes beyond the codebook")
            for voice in ("", "other_") if "other_audio" in names else ("",):
                out[f"{voice}audio"] = file.get_slice(f"{voice}audio")[start:stop].astype(np.float32)
                at = file.get_slice(f"{voice}word_at")[start:stop]
                out[f"{voice}words"] = spread(file.get_slice(f"{voice}word_states"), at, self.material.word_width)
        return out


def spread(states: Any, at: np.ndarray, width: int) -> np.ndarray:
    """States (W, V), sliceable, over the frames (k,) of their words: (k, V) float32."""
    out = np.zeros((len(at), width), np.float32)
    in_word = at >= 0
    if in_word.any():
        first, last = int(at[in_word].min()), int(at[in_word].max())
        out[in_word] = states[first : last + 1][at[in_word] - first]
    return out


def check_shapes(shapes: dict[str, tuple[int, ...]], material: Material, frames: int) -> None:
    """Raises ValueError where a take's arrays are not those of its material and frames."""
    m = material
    expected: dict[str, tuple[int | None, ...]] = {
        "features": (frames, m.features), "codes": (-(-frames // m.downsample), m.levels),
    }  # fmt: skip
    for voice in ("", "other_") if "other_audio" in shapes else ("",):
        sizes = ((frames, m.audio_width), (None, m.word_width), (frames,))
        expected |= {f"{voice}{name}": size for name, size in zip(VOICE_ARRAYS, sizes, strict=True)}
    for name, size in expected.items():
        shape = shapes.get(name, ())
        if len(shape) != len(size) or any(a not in (None, b) for a, b in zip(size, shape, strict=True)):
            raise ValueError(f"{name} of shape {shape}, not {size}")


def save(takes: Iterable[Take], material: Material, folder: str | os.PathLike[str]) -> Path:
    """Write a cache, take after take, the index last; `takes` may be a generator."""
    from safetensors.numpy import save_file

    entries: list[dict[str, Any]] = []
    for number, take in enumerate(takes):
        file, frames = f"{number:06d}.safetensors", len(take.arrays["features"])
        if take.speaker not in material.speakers:
            raise UserError(f"{take.name}: speaker {take.speaker!r}; accepted: {', '.join(material.speakers)}")
        arrays = {k: np.ascontiguousarray(v, TYPES[k.removeprefix("other_")]) for k, v in take.arrays.items()}
        with parsing(take.name, "a take of this material"):
            check_shapes({k: v.shape for k, v in arrays.items()}, material, frames)
        atomic_write(Path(folder) / file, lambda p, a=arrays: save_file(a, p))  # type: ignore[misc]
        about = {"file": file, "name": take.name, "speaker": take.speaker, "split": take.split, "frames": frames}
        entries.append(Entry.read(about, take.name).model_dump())
    if not entries:
        raise UserError(f"{folder}: no takes to store")
    text = json.dumps({"version": VERSION, "material": material.model_dump(), "takes": entries}, indent=1) + "\n"
    return atomic_write(Path(folder) / FILE, lambda p: p.write_text(text, encoding="utf-8")).parent


def load(folder: str | os.PathLike[str]) -> Corpus:
    """Read a cache's index."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {FILE} in it; a cache of takes is needed")
    index = Index.read(read_object(path, MAX_INDEX), str(path))
    takes = [Entry.read(t, f"{path}: take {i}") for i, t in enumerate(index.takes)]
    for take in takes:
        if Path(take.file).name != take.file:
            raise UserError(f"{path}: {take.file!r}; accepted: names of files in this folder")
        if take.speaker not in index.material.speakers:
            raise UserError(f"{path}: {take.name}: speaker {take.speaker!r} is not in the material")
    return Corpus(Path(folder), index.material, takes)
