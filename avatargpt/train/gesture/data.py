"""The training cache of the gesture network, a folder with a file for each take, and the batches drawn from it.

``gesture.json`` holds the version, the material (`avatargpt.gesture.network.Material`) and a list of takes, each with
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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from avatargpt.gesture.network import STYLE, UNKNOWN, GestureConfig, GestureInput, Material, previous_codes
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing, regular_file
from vqvae.motion import atomic_write
from vqvae.strict import PositiveInt, Share, Strict

FILE, VERSION = "gesture.json", 1
MAX_INDEX = 64 << 20  # bytes of JSON
Arrays = dict[str, np.ndarray]
VOICE_ARRAYS = ("audio", "word_states", "word_at")
TYPES = {"audio": np.float16, "word_states": np.float16, "word_at": np.int32, "features": np.float32, "codes": np.int32}
MAX_STATISTICS_FRAMES = 200_000
MAX_TAKE_FRAMES = 3000  # of one take, for statistics


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
    source: str = ""


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
        material: what the rows hold. takes: of all splits. source: digest of the stores and files that they were made
            from, empty where they are of no store.
    """

    def __init__(self, folder: Path, material: Material, takes: list[Entry], source: str = "") -> None:
        self.folder, self.material, self.takes, self.source = folder, material, takes, source

    def split(self, name: str) -> list[Entry]:
        """The takes of a split."""
        return [t for t in self.takes if t.split == name]

    def part(self, take: Entry, start: int, stop: int) -> Arrays:
        """Frames [start, stop) of a take, start in whole tokens: ``audio``, ``words`` (k, V), ``features``, ``codes``
        of the tokens that begin in them, and ``other_audio``, ``other_words`` where there is an interlocutor.
        """
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


def save_corpus(takes: Iterable[Take], material: Material, folder: str | os.PathLike[str]) -> Path:
    """Write a cache, take after take, the index last; `takes` may be a generator."""
    entries = [write_take(take, material, folder, f"{n:06d}.safetensors") for n, take in enumerate(takes)]
    return write_index(entries, material, folder)


def write_take(take: Take, material: Material, folder: str | os.PathLike[str], file: str, key: str = "") -> Entry:
    """Write the file of a take; `key`: of what it was made from, see `kept_take`."""
    if take.speaker not in material.speakers:
        raise UserError(f"{take.name}: speaker {take.speaker!r}; accepted: {', '.join(material.speakers)}")
    arrays = {k: np.ascontiguousarray(v, TYPES[k.removeprefix("other_")]) for k, v in take.arrays.items()}
    frames = len(arrays["features"])
    with parsing(take.name, "a take of this material"):
        check_shapes({k: v.shape for k, v in arrays.items()}, material, frames)
    about = {"file": file, "name": take.name, "speaker": take.speaker, "split": take.split, "frames": frames}
    entry = Entry.read(about, take.name)
    header = {"key": key, "entry": json.dumps(about)}
    atomic_write(Path(folder) / file, lambda p: save_file(arrays, p, header))
    return entry


def kept_take(path: Path, key: str) -> Entry | None:
    """The entry of a take that was written with this key; None where there is no such file."""
    if not path.is_file():
        return None
    with parsing(path, "a take of this cache", "delete it"), safe_open(regular_file(path), "np") as file:
        header = file.metadata() or {}
        return Entry.read(json.loads(header["entry"]), str(path)) if header.get("key") == key else None


def write_index(
    entries: Sequence[Entry], material: Material, folder: str | os.PathLike[str], source: str = ""
) -> Path:
    """Write the index of takes whose files are there; without it a folder is incomplete. `source`: see `Corpus`."""
    if not entries:
        raise UserError(f"{folder}: no takes to store")
    takes = [entry.model_dump() for entry in entries]
    index = {"version": VERSION, "material": material.model_dump(), "takes": takes, "source": source}
    text = json.dumps(index, indent=1) + "\n"
    return atomic_write(Path(folder) / FILE, lambda p: p.write_text(text, encoding="utf-8")).parent


def load_corpus(folder: str | os.PathLike[str]) -> Corpus:
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
    return Corpus(Path(folder), index.material, takes, index.source)


class Sampling(Strict):
    """Shares of a batch's rows; the last two: of its tokens."""

    beginnings: Share = 0.2  # stretches from the start of a take
    # wordless, alone, anonymous: without words, without the interlocutor, in the zero style; so each can be off
    wordless: Share = 0.2
    alone: Share = 0.3
    anonymous: Share = 0.2
    tokenless: Share = 0.3  # without tokens: regression of the mean motion
    forgotten: Share = 0.2  # tokens that are not fed back
    # Tokens replaced by random ones when they are fed back. With the true ones always available, the network would
    # ignore the sound
    wrong: Share = 0.05


@dataclass
class Batch:
    """Tensors on the training device; T frames, motion and codes aligned with the hidden states."""

    inputs: GestureInput  # of the network
    speaker: Tensor  # (B,) number of the speaker, -1 for the zero style
    motion: Tensor  # (B, T, F)
    mask: Tensor  # (B, T)
    codes: Tensor  # (B, T / n, R), -1 where there is none
    # before, conditions: see `GestureNetwork.forward`
    before: Tensor
    conditions: Tensor


class Batches:
    """Draws stretches; equal seeds give equal batches, so a resumed run equals an uninterrupted one."""

    def __init__(
        self, corpus: Corpus, config: GestureConfig, sampling: Sampling, device: torch.device, split: str = "train"
    ) -> None:
        self.corpus, self.config, self.sampling, self.device = corpus, config, sampling, device
        self.takes = corpus.split(split)
        if not self.takes:
            raise UserError(f"{corpus.folder}: no takes of the split {split!r}")
        lengths = np.array([t.frames for t in self.takes], float)
        self._weights = lengths / lengths.sum()

    def statistics(self) -> dict[str, np.ndarray]:
        """Mean and std of sound and motion, and the root mean square of word features, as buffers of the network.

        No std is below a tenth of the median, so that nearly constant columns are not blown up.
        """
        rng = np.random.default_rng([0, 30])
        rows: dict[str, list[np.ndarray]] = {"audio": [], "features": [], "words": []}
        frames = 0
        for i in rng.permutation(len(self.takes)):
            take = self.takes[i]
            last = max(0, take.frames - MAX_TAKE_FRAMES) // self.config.downsample
            start = int(rng.integers(0, last + 1)) * self.config.downsample
            part = self.corpus.part(take, start, min(start + MAX_TAKE_FRAMES, take.frames))
            rows["audio"].append(part["audio"])
            rows["features"].append(part["features"])
            rows["words"].append(part["words"][part["words"].any(1)])
            frames += len(part["audio"])
            if frames >= MAX_STATISTICS_FRAMES:
                break
        out: dict[str, np.ndarray] = {}
        for name, mean, std in (("audio", "heard_mean", "heard_std"), ("features", "mean", "std")):
            values = np.concatenate(rows[name]).astype(np.float64)
            out[mean], out[std] = values.mean(0), _floored(values.std(0))
        # Words are scaled, not shifted: silence has to stay zero.
        words = np.concatenate(rows["words"]).astype(np.float64)
        out["read_std"] = _floored(np.sqrt((words**2).mean(0)) if len(words) else np.ones(self.config.word_width))
        return out

    def stretch(self, take: Entry, start: int, frames: int) -> Arrays:
        """Frames [start, start + frames) of the inputs, with the motion and codes that these steps predict, `ahead`
        frames earlier. Beyond the end the last row of sound is repeated. ``mask`` is 1 where there is motion.
        """
        c = self.config
        ahead, stop = c.ahead, min(start + frames, take.frames)
        first = max(start - ahead, 0)
        part = self.corpus.part(take, first, stop)
        out: Arrays = {}
        for name, x in part.items():
            if name in ("features", "codes"):
                continue
            rows = x[start - first :]
            beyond = np.repeat(rows[-1:] if "audio" in name else np.zeros_like(rows[-1:]), frames - len(rows), 0)
            out[name] = np.concatenate([rows, beyond])
        at = np.arange(frames) + start - ahead
        out["motion"] = part["features"][np.clip(at, first, stop - 1) - first]
        out["mask"] = ((at >= first) & (at < stop)).astype(np.float32)
        tokens, n = at[:: c.downsample] // c.downsample, c.downsample
        has_codes = (tokens >= first // n) & (tokens - first // n < len(part["codes"]))
        codes = part["codes"][np.clip(tokens - first // n, 0, len(part["codes"]) - 1)]
        out["codes"] = np.where(has_codes[:, None], codes, UNKNOWN)
        return out

    def draw(self, rows: int, frames: int, seed: Sequence[int]) -> Batch:
        """One batch of `rows` stretches of `frames` frames, in whole tokens."""
        rng, s, n = np.random.default_rng(list(seed)), self.sampling, self.config.downsample
        parts, speakers = [], []
        for _ in range(rows):
            take = self.takes[int(rng.choice(len(self.takes), p=self._weights))]
            last = max(0, take.frames - frames // 2) // n
            start = int(rng.integers(0, last + 1)) * n * int(rng.random() >= s.beginnings)
            parts.append(self.stretch(take, start, frames))
            speakers.append(self.corpus.material.speakers.index(take.speaker))
        present = np.array(["other_audio" in p for p in parts]) & (rng.random(rows) >= s.alone)
        words = np.stack([p["words"] for p in parts]) * (rng.random((rows, 1, 1)) >= s.wordless)
        speaker = np.where(rng.random(rows) < s.anonymous, -1, speakers)
        before, conditions = self._fed_back(np.stack([p["codes"] for p in parts]), rng)
        return self._batch(parts, words, present, speaker, before, conditions)

    def validation_batch(self, take: Entry, frames: int, tokens: bool) -> Batch:
        """The first frames of a take unchanged, with or without its tokens."""
        part = self.stretch(take, 0, frames)
        codes = part["codes"][None]
        conditions = codes if tokens else np.full_like(codes, UNKNOWN)
        before = previous_codes(torch.from_numpy(conditions)).numpy()
        speaker = np.array([self.corpus.material.speakers.index(take.speaker)])
        return self._batch([part], part["words"][None], np.array(["other_audio" in part]), speaker, before, conditions)

    def _batch(
        self, parts: Sequence[Arrays], words: np.ndarray, present: np.ndarray, speaker: np.ndarray, before: np.ndarray,
        conditions: np.ndarray,
    ) -> Batch:  # fmt: skip
        other_audio = other_words = None
        if present.any():
            no_audio, no_words = np.zeros_like(parts[0]["audio"]), np.zeros_like(parts[0]["words"])
            other_audio = self._tensor([p.get("other_audio", no_audio) for p in parts])
            other_words = self._tensor([p.get("other_words", no_words) for p in parts])
        audio, motion, mask = (self._tensor([p[name] for p in parts]) for name in ("audio", "motion", "mask"))
        where, who, codes, fed, conditioned = (
            torch.from_numpy(x).to(self.device)
            for x in (present, speaker, np.stack([p["codes"] for p in parts]), before, conditions)
        )
        inputs = GestureInput(audio, self._tensor(words), torch.zeros(len(parts), STYLE), other_audio,
                              other_words, where)  # fmt: skip
        return Batch(inputs, who, motion, mask, codes, fed, conditioned)

    def _fed_back(self, codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        # (B, N, R) codes -> the preceding ones as they are fed back, and those that frames are conditioned on.
        s, size = self.sampling, codes.shape[:2]
        tokenless = rng.random((len(codes), 1, 1)) < s.tokenless
        conditions = np.where(tokenless, UNKNOWN, codes)
        wrong = (rng.random(size) < s.wrong)[..., None] & (conditions >= 0)
        fed = np.where(wrong, rng.integers(0, self.config.codebook_size, codes.shape), conditions)
        fed = np.where((rng.random(size) < s.forgotten)[..., None], UNKNOWN, fed)
        return previous_codes(torch.from_numpy(fed)).numpy(), conditions

    def _tensor(self, arrays: Sequence[np.ndarray] | np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(np.stack([*arrays]), np.float32)).to(self.device)


def _floored(std: np.ndarray) -> np.ndarray:
    return np.maximum(std, max(0.1 * float(np.median(std)), 1e-4))
