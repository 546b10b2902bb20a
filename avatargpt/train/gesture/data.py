"""The training cache of the gesture network, a folder with a file for each take, and the batches drawn from it.

``gesture.json`` holds the version, the material (`avatargpt.gesture.network.RowContents`) and a list of takes, each
with ``file``, ``name``, ``speaker``, ``split`` (``train`` or ``val``) and ``frames``. A take of T frames at 30 fps is a
safetensors file with

| name | shape | |
|---|---|---|
| ``audio`` | (T, A) float16 | rows of `avatargpt.gesture.features`, or of an encoder |
| ``word_states`` | (W, V) float16 | a state for each word, in order; W may be 0 |
| ``word_at`` | (T,) int32 | the number of each frame's word, -1 = none |
| ``word_stress`` | (W,) float32 | seconds of the words' stresses |
| ``features`` | (T, F) float32 | motion, of the modality's FeatureSpec |
| ``codes`` | (ceil(T / n), R) int32 | tokens of that motion |
| ``word_kinds`` | (W,) int32 | the class of each word, -1 = none, `MIXED` = of several words; may be missing |
| ``strokes`` | (ceil(T / n),) int32 | the class whose stroke a token is a part of, -1 = none; may be missing |
| ``other_audio``, ``other_word_states``, ... | as above | of the interlocutor, where there is one |

``words.safetensors``, where it is there, holds states of words in other sentences, ``states`` (P, V) float16, and their
classes, ``kinds`` (P,) int32: a word may be read as another one of its class.
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

from avatargpt.gesture.features import BEHIND, COMING, near_words
from avatargpt.gesture.network import ENDLESS, STYLE, UNKNOWN, GestureConfig, GestureInput, RowContents
from avatargpt.speech.audio import FPS
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing, regular_file
from vqvae.motion import atomic_write
from vqvae.strict import PositiveInt, Share, Strict

FILE, VERSION = "gesture.json", 2
WORDS = "words.safetensors"
MIXED = -2
MAX_INDEX = 64 << 20  # bytes of JSON
Arrays = dict[str, np.ndarray]
VOICE_ARRAYS = ("audio", "word_states", "word_at", "word_stress")
TYPES = {"audio": np.float16, "word_states": np.float16, "word_at": np.int32, "word_stress": np.float32,
         "features": np.float32, "codes": np.int32, "strokes": np.int32,
         "word_kinds": np.int32}  # fmt: skip
MAX_STATISTICS_FRAMES = 200_000
MAX_TAKE_FRAMES = 3000  # of one take, for statistics


class TakeEntry(Strict):
    """A take in the index."""

    file: str
    name: str
    speaker: str
    split: Literal["train", "val"]
    frames: PositiveInt


class Index(Strict):
    """The contents of ``gesture.json``."""

    version: Literal[2]
    material: RowContents
    takes: list[dict[str, Any]]
    source: str = ""


@dataclass(frozen=True)
class Take:
    """A take to be written; arrays as above, without ``other_`` ones where there is no interlocutor."""

    name: str
    speaker: str
    split: str
    arrays: Arrays


class GestureCorpus:
    """An opened cache; the takes' arrays stay in their files.

    Attributes:
        material: what the rows hold. takes: of all splits. source: digest of the stores and files that they were made
            from, empty where they are of no store.
    """

    def __init__(self, folder: Path, material: RowContents, takes: list[TakeEntry], source: str = "") -> None:
        self.folder, self.material, self.takes, self.source = folder, material, takes, source
        self.words: dict[int, np.ndarray] = {}  # class -> (P, V) float16 states of words in other sentences
        path = folder / WORDS
        if path.is_file():
            with parsing(path, "words of this cache", "build it again"), safe_open(regular_file(path), "np") as file:
                states, kinds = file.get_tensor("states"), file.get_tensor("kinds")
                if states.shape != (len(kinds), material.word_width):
                    raise ValueError(f"states of shape {states.shape}")
                self.words = {int(k): states[kinds == k] for k in np.unique(kinds)}

    def split(self, name: str) -> list[TakeEntry]:
        """The takes of a split."""
        return [t for t in self.takes if t.split == name]

    def part(self, take: TakeEntry, start: int, stop: int) -> Arrays:
        """Frames [start, stop) of a take, start in whole tokens: ``audio``, ``features``, ``codes`` and ``strokes`` of
        the tokens that begin in them, ``word_states`` and ``word_stress`` of the words about them, and
        ``other_audio``, ``other_word_states``, ``other_word_stress`` where there is an interlocutor.
        """
        path, n = self.folder / take.file, self.material.downsample
        with parsing(path, "a take of this cache", "build it again"), safe_open(regular_file(path), "np") as file:
            names = set(file.keys())
            check_shapes({k: tuple(file.get_slice(k).get_shape()) for k in names}, self.material, take.frames)
            out: Arrays = {"features": file.get_slice("features")[start:stop]}
            out["codes"] = file.get_slice("codes")[start // n : -(-stop // n)].astype(np.int64)
            if out["codes"].size and not 0 <= out["codes"].min() <= out["codes"].max() < self.material.codebook_size:
                raise ValueError("codes beyond the codebook")
            none = np.full(len(out["codes"]), -1)
            out["strokes"] = file.get_slice("strokes")[start // n : -(-stop // n)] if "strokes" in names else none
            for voice in ("", "other_") if "other_audio" in names else ("",):
                out[f"{voice}audio"] = file.get_slice(f"{voice}audio")[start:stop].astype(np.float32)
                stress = file.get_tensor(f"{voice}word_stress")
                about = np.flatnonzero((stress > start / FPS - BEHIND) & (stress < stop / FPS + COMING))
                states = np.zeros((0, self.material.word_width), np.float32)
                if len(about):
                    states = file.get_slice(f"{voice}word_states")[int(about[0]) : int(about[-1]) + 1]
                kinds = np.full(len(stress), MIXED)
                if f"{voice}word_kinds" in names:
                    kinds = file.get_tensor(f"{voice}word_kinds")
                out |= {f"{voice}word_stress": stress[about], f"{voice}word_states": states.astype(np.float32),
                        f"{voice}word_kinds": kinds[about]}  # fmt: skip
        return out


def check_shapes(shapes: dict[str, tuple[int, ...]], material: RowContents, frames: int) -> None:
    """Raises ValueError where a take's arrays are not those of its material and frames."""
    m = material
    expected: dict[str, tuple[int | None, ...]] = {
        "features": (frames, m.features), "codes": (-(-frames // m.downsample), m.levels),
    }  # fmt: skip
    if "strokes" in shapes:
        expected["strokes"] = (-(-frames // m.downsample),)
    for voice in ("", "other_") if "other_audio" in shapes else ("",):
        sizes = ((frames, m.audio_width), (None, m.word_width), (frames,), (None,))
        if f"{voice}word_kinds" in shapes:
            expected[f"{voice}word_kinds"] = (None,)
        expected |= {f"{voice}{name}": size for name, size in zip(VOICE_ARRAYS, sizes, strict=True)}
    for name, size in expected.items():
        shape = shapes.get(name, ())
        if len(shape) != len(size) or any(a not in (None, b) for a, b in zip(size, shape, strict=True)):
            raise ValueError(f"{name} of shape {shape}, not {size}")


def save_corpus(takes: Iterable[Take], material: RowContents, folder: str | os.PathLike[str]) -> Path:
    """Write a cache, take after take, the index last; `takes` may be a generator."""
    entries = [write_take(take, material, folder, f"{n:06d}.safetensors") for n, take in enumerate(takes)]
    return write_index(entries, material, folder)


def write_take(
    take: Take, material: RowContents, folder: str | os.PathLike[str], file: str, key: str = ""
) -> TakeEntry:
    """Write the file of a take; `key`: of what it was made from, see `find_kept_take`."""
    if take.speaker not in material.speakers:
        raise UserError(f"{take.name}: speaker {take.speaker!r}; accepted: {', '.join(material.speakers)}")
    arrays = {k: np.ascontiguousarray(v, TYPES[k.removeprefix("other_")]) for k, v in take.arrays.items()}
    frames = len(arrays["features"])
    with parsing(take.name, "a take of this material"):
        check_shapes({k: v.shape for k, v in arrays.items()}, material, frames)
    about = {"file": file, "name": take.name, "speaker": take.speaker, "split": take.split, "frames": frames}
    entry = TakeEntry.read(about, take.name)
    header = {"key": key, "entry": json.dumps(about)}
    atomic_write(Path(folder) / file, lambda p: save_file(arrays, p, header))
    return entry


def find_kept_take(path: Path, key: str) -> TakeEntry | None:
    """The entry of a take that was written with this key; None where there is no such file."""
    if not path.is_file():
        return None
    with parsing(path, "a take of this cache", "delete it"), safe_open(regular_file(path), "np") as file:
        header = file.metadata() or {}
        return TakeEntry.read(json.loads(header["entry"]), str(path)) if header.get("key") == key else None


def write_index(
    entries: Sequence[TakeEntry], material: RowContents, folder: str | os.PathLike[str], source: str = ""
) -> Path:
    """Write the index of takes whose files are there; a folder without is incomplete. `source`: see `GestureCorpus`."""
    if not entries:
        raise UserError(f"{folder}: no takes to store")
    takes = [entry.model_dump() for entry in entries]
    index = {"version": VERSION, "material": material.model_dump(), "takes": takes, "source": source}
    text = json.dumps(index, indent=1) + "\n"
    return atomic_write(Path(folder) / FILE, lambda p: p.write_text(text, encoding="utf-8")).parent


def save_words(states: np.ndarray, kinds: np.ndarray, folder: str | os.PathLike[str]) -> Path:
    """Write ``words.safetensors`` of a cache: (P, V) states of words and their (P,) classes."""
    arrays: Arrays = {"states": states.astype(np.float16), "kinds": kinds.astype(np.int32)}
    return atomic_write(Path(folder) / WORDS, lambda p: save_file(arrays, p))


def load_corpus(folder: str | os.PathLike[str]) -> GestureCorpus:
    """Read a cache's index."""
    path = Path(folder) / FILE
    if not path.is_file():
        raise UserError(f"{folder}: no {FILE} in it; a cache of takes is needed")
    index = Index.read(read_object(path, MAX_INDEX), str(path))
    takes = [TakeEntry.read(t, f"{path}: take {i}") for i, t in enumerate(index.takes)]
    for take in takes:
        if Path(take.file).name != take.file:
            raise UserError(f"{path}: {take.file!r}; accepted: names of files in this folder")
        if take.speaker not in index.material.speakers:
            raise UserError(f"{path}: {take.name}: speaker {take.speaker!r} is not in the material")
    return GestureCorpus(Path(folder), index.material, takes, index.source)


class GestureSampling(Strict):
    """Shares of a batch's rows; the last two: of its tokens."""

    beginnings: Share = 0.2  # stretches from the start of a take
    endings: Share = 0.2  # stretches to the end of one, of the others
    # wordless, alone, anonymous: without words, without the interlocutor, in the zero style; so each can be off
    wordless: Share = 0.2
    alone: Share = 0.3
    anonymous: Share = 0.2
    tokenless: Share = 0.15  # without tokens: regression of the mean motion
    forgotten: Share = 0.45  # tokens that are not fed back
    # Tokens replaced by random ones when they are fed back. With the true ones always available, the network would
    # ignore the sound
    wrong: Share = 0.05
    late: Share = 0.15  # words that are known only shortly before their stress, or after it, as live ones are
    reworded: Share = 0.4  # words that are read as others of their class, where the cache has some
    endless: Share = 0.3  # stretches in which the end of the sound is not known, as live


@dataclass
class GestureBatch:
    """Tensors on the training device; T frames, motion and codes aligned with the hidden states."""

    inputs: GestureInput  # of the network
    speaker: Tensor  # (B,) number of the speaker, -1 for the zero style
    motion: Tensor  # (B, T, F)
    mask: Tensor  # (B, T)
    codes: Tensor  # (B, T / n, R), -1 where there is none
    # before, conditions: see `GestureNetwork.forward`
    before: Tensor
    conditions: Tensor
    strokes: Tensor  # (B, T / n) number of the class of a token's stroke, -1 = none


class GestureBatches:
    """Draws stretches; equal seeds give equal batches, so a resumed run equals an uninterrupted one."""

    def __init__(
        self, corpus: GestureCorpus, config: GestureConfig, sampling: GestureSampling, device: torch.device,
        split: str = "train",
    ) -> None:  # fmt: skip
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
        rests: list[np.ndarray] = []
        rows: dict[str, list[np.ndarray]] = {"audio": [], "features": [], "words": []}
        frames = 0
        for i in rng.permutation(len(self.takes)):
            take = self.takes[i]
            last = max(0, take.frames - MAX_TAKE_FRAMES) // self.config.downsample
            start = int(rng.integers(0, last + 1)) * self.config.downsample
            part = self.corpus.part(take, start, min(start + MAX_TAKE_FRAMES, take.frames))
            rows["audio"].append(part["audio"])
            rows["features"].append(part["features"])
            rests.append(self.corpus.part(take, 0, 1)["features"][0])
            rows["words"].append(part["word_states"][part["word_states"].any(1)])
            frames += len(part["audio"])
            if frames >= MAX_STATISTICS_FRAMES:
                break
        out: dict[str, np.ndarray] = {}
        for name, mean, std in (("audio", "heard_mean", "heard_std"), ("features", "mean", "std")):
            values = np.concatenate(rows[name]).astype(np.float64)
            out[mean], out[std] = values.mean(0), _floor_std(values.std(0))
        # Words are scaled, not shifted: silence has to stay zero.
        words = np.concatenate(rows["words"]).astype(np.float64)
        out["rest"] = np.median(rests, 0)
        out["read_std"] = _floor_std(np.sqrt((words**2).mean(0)) if len(words) else np.ones(self.config.word_width))
        return out

    def stretch(
        self, take: TakeEntry, start: int, frames: int, known: tuple[float, float] = (np.inf, np.inf),
        reworded: np.random.Generator | None = None,
    ) -> Arrays:  # fmt: skip
        """Frames [start, start + frames) of the inputs, with the motion and codes that these steps predict, `ahead`
        frames earlier. Beyond the end the last row of sound is repeated. ``mask`` is 1 where there is motion, ``left``
        the seconds to the end, ``first`` the code before the first one.

        Args:
            known: seconds before their stress from which on words are known, of both voices.
            reworded: draws words that are read as others of their class; None = none is.
        """
        c = self.config
        ahead, stop = c.ahead, min(start + frames, take.frames)
        first = max(start - ahead - c.downsample, 0)
        part = self.corpus.part(take, first, stop)
        at = np.arange(frames) + start - ahead
        out: Arrays = {}
        for voice, horizon in zip(("", "other_"), known, strict=True):
            if f"{voice}audio" not in part:
                continue
            rows = part[f"{voice}audio"][start - first :]
            out[f"{voice}audio"] = np.concatenate([rows, np.repeat(rows[-1:], frames - len(rows), 0)])
            states, stress = part[f"{voice}word_states"], part[f"{voice}word_stress"]
            if reworded is not None and self.corpus.words:  # words of the same class in other sentences
                states = states.copy()
                for number, kind in enumerate(part[f"{voice}word_kinds"]):
                    others = self.corpus.words.get(int(kind))
                    if others is not None and reworded.random() < self.sampling.reworded:
                        states[number] = others[int(reworded.integers(len(others)))]
            out[f"{voice}words"] = near_words(states, stress, at / FPS, horizon)
        out["motion"] = part["features"][np.clip(at, first, stop - 1) - first]
        out["mask"] = ((at >= 0) & (at >= first) & (at < stop)).astype(np.float32)
        out["left"] = ((take.frames - at) / FPS).astype(np.float32)
        tokens, n = at[:: c.downsample] // c.downsample, c.downsample
        has_codes = (tokens >= first // n) & (tokens - first // n < len(part["codes"]))
        index = np.clip(tokens - first // n, 0, len(part["codes"]) - 1)
        out["codes"] = np.where(has_codes[:, None], part["codes"][index], UNKNOWN)
        out["strokes"] = np.where(has_codes, part["strokes"][index], -1)
        # a take begins in its first pose: that is what is before it
        out["first"] = part["codes"][max(int(tokens[0]) - 1 - first // n, 0)]
        return out

    def draw(self, rows: int, frames: int, seed: Sequence[int]) -> GestureBatch:
        """One batch of `rows` stretches of `frames` frames, in whole tokens."""
        rng, s, n = np.random.default_rng(list(seed)), self.sampling, self.config.downsample
        parts, speakers = [], []
        for _ in range(rows):
            take = self.takes[int(rng.choice(len(self.takes), p=self._weights))]
            last = max(0, take.frames - frames // 2) // n
            start = int(rng.integers(0, last + 1)) * n * int(rng.random() >= s.beginnings)
            if start and rng.random() < s.endings:
                start = max(0, take.frames + self.config.ahead - frames) // n * n
            mine, theirs = (float(rng.uniform(-0.3, 0.8)) if rng.random() < s.late else np.inf for _ in range(2))
            parts.append(self.stretch(take, start, frames, (mine, theirs), rng))
            speakers.append(self.corpus.material.speakers.index(take.speaker))
        present = np.array(["other_audio" in p for p in parts]) & (rng.random(rows) >= s.alone)
        words = np.stack([p["words"] for p in parts]) * (rng.random((rows, 1, 1)) >= s.wordless)
        left = np.where(rng.random((rows, 1)) < s.endless, ENDLESS, np.stack([p["left"] for p in parts]))
        speaker = np.where(rng.random(rows) < s.anonymous, -1, speakers)
        first = np.stack([p["first"] for p in parts])
        before, conditions = self._feed_back(np.stack([p["codes"] for p in parts]), first, rng)
        return self._batch(parts, words, left, present, speaker, before, conditions)

    def validation_batch(self, take: TakeEntry, frames: int, tokens: bool) -> GestureBatch:
        """The first frames of a take unchanged, with or without its tokens."""
        part = self.stretch(take, 0, frames)
        codes = part["codes"][None]
        conditions = codes if tokens else np.full_like(codes, UNKNOWN)
        before = _shift_codes(codes, part["first"][None]) if tokens else conditions
        speaker = np.array([self.corpus.material.speakers.index(take.speaker)])
        words, left, present = part["words"][None], part["left"][None], np.array(["other_audio" in part])
        return self._batch([part], words, left, present, speaker, before, conditions)

    def _batch(
        self, parts: Sequence[Arrays], words: np.ndarray, left: np.ndarray, present: np.ndarray, speaker: np.ndarray,
        before: np.ndarray, conditions: np.ndarray,
    ) -> GestureBatch:  # fmt: skip
        other_audio = other_words = None
        if present.any():
            no_audio, no_words = np.zeros_like(parts[0]["audio"]), np.zeros_like(parts[0]["words"])
            other_audio = self._tensor([p.get("other_audio", no_audio) for p in parts])
            other_words = self._tensor([p.get("other_words", no_words) for p in parts])
        audio, motion, mask = (self._tensor([p[name] for p in parts]) for name in ("audio", "motion", "mask"))
        codes_of, strokes_of = (np.stack([p[name] for p in parts]) for name in ("codes", "strokes"))
        where, who, codes, fed, conditioned, strokes = (
            torch.from_numpy(x).to(self.device)
            for x in (present, speaker, codes_of, before, conditions, strokes_of.astype(np.int64))
        )
        inputs = GestureInput(audio, self._tensor(words), torch.zeros(len(parts), STYLE), other_audio,
                              other_words, where, self._tensor(left))  # fmt: skip
        return GestureBatch(inputs, who, motion, mask, codes, fed, conditioned, strokes)

    def _feed_back(
        self, codes: np.ndarray, first: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        # (B, N, R) codes, (B, R) those before them -> the preceding ones as they are fed back, and those that frames
        # are conditioned on.
        s = self.sampling
        tokenless = rng.random((len(codes), 1, 1)) < s.tokenless
        conditions = np.where(tokenless, UNKNOWN, codes)
        fed = np.where(tokenless, UNKNOWN, _shift_codes(codes, first))
        wrong = (rng.random(fed.shape[:2]) < s.wrong)[..., None] & (fed >= 0)
        fed = np.where(wrong, rng.integers(0, self.config.codebook_size, codes.shape), fed)
        fed = np.where((rng.random(fed.shape[:2]) < s.forgotten)[..., None], UNKNOWN, fed)
        return fed, conditions

    def _tensor(self, arrays: Sequence[np.ndarray] | np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(np.stack([*arrays]), np.float32)).to(self.device)


def _shift_codes(codes: np.ndarray, first: np.ndarray) -> np.ndarray:
    # (B, N, R) codes -> those before each: `first` (B, R) before the first, and where there is none.
    before = np.concatenate([first[:, None], codes[:, :-1]], 1)
    return np.where(before[..., :1] < 0, first[:, None], before)


def _floor_std(std: np.ndarray) -> np.ndarray:
    return np.maximum(std, max(0.1 * float(np.median(std)), 1e-4))
