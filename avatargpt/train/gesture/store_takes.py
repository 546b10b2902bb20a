"""Takes for the gesture network from stores of `avatargpt data build`: `train gesture --store`.

A talk of a store names its sound, its word times and its interlocutor (`instruct_data.sources.talks`). Its take is
written once; a take whose clip, files, tokenizer and encoders are the same as before stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from avatargpt.gesture import speech_file
from avatargpt.gesture.features import PROSODY, SENTENCE, WordEncoder, prosody
from avatargpt.gesture.features import WIDTH as PROSODY_WIDTH
from avatargpt.gesture.network import GestureConfig
from avatargpt.gesture.word_encoders import word_encoder
from avatargpt.speech.audio import FPS, frames_in, load
from avatargpt.speech.word_files import read as read_words
from avatargpt.speech.word_files import spread_words
from avatargpt.speech.words import Word
from avatargpt.train.finetuning.clips import HELD_OUT
from avatargpt.train.gesture.data import (
    FILE,
    VERSION,
    Arrays,
    GestureCorpus,
    Take,
    TakeEntry,
    find_kept_take,
    load_corpus,
    write_index,
    write_take,
)
from avatargpt.train.gesture.rows import (
    MODALITY,
    load_tokenizer,
    make_heard_rows,
    material_of,
    motion_rows,
    voice_rows,
    with_end_held_out,
)  # fmt: skip
from instruct_data.clip import Clip
from instruct_data.sources.corpus import MAX_TEXT_BYTES, Report, reason
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.io.data_files import map_array
from vqvae.io.files import read_text
from vqvae.tokenizer import MotionTokenizer

TAKES = "takes"  # the cache in the folder of a run
MIN_SECONDS = 1.0  # of a talk
TABLE = ".tsv"  # of word times, as GENEA 2023 has them


def corpus_of(args: Any, start: GestureConfig | None) -> GestureCorpus:
    """The takes that a run's options name: ``--takes``, or those of ``--store``, made where they are not there yet.

    Args:
        args: ``takes``, ``store``, ``tokenizer``, ``words``, ``speech``, ``output``.
        start: of the network to begin from; its words and its speakers are taken.
    """
    extra = [flag for flag in ("tokenizer", "words", "speech") if getattr(args, flag)]
    if not args.store:
        if extra or not args.takes:
            lacking = f"--{extra[0]} needs --store" if extra else "--takes, or --store with --tokenizer, needed"
            raise UserError(f"gesture: {lacking}; see scripts/train.py gesture --help")
        return load_corpus(args.takes)
    if not args.tokenizer:
        raise UserError("gesture: --store needs --tokenizer, a folder of the stage `tokenizer`")
    stores = [Store.open(path.strip()) for path in args.store.split(",")]
    tokenizer = load_tokenizer(args.tokenizer)
    words = args.words or (SENTENCE if start is None else start.words)
    maker = StoreTakes(stores, tokenizer, words, args.speech, None if start is None else start.speakers)
    return maker.build(Path(args.takes or Path(args.output) / TAKES))


@dataclass(frozen=True)
class _StoreTalk:
    """A talk of a store, without its motion."""

    number: int  # among all talks
    split: str
    id: str
    extra: dict[str, Any]
    speaker: str
    held: bool  # whether its end is held out, for its corpus has no clips for validation


class StoreTakes:
    """The takes of the talks of stores, by one tokenizer and one encoder of words.

    Args:
        words: ``sentence``, a Hugging Face name, a folder or a GGUF file (`avatargpt.gesture.features`).
        speech: folder of ``NAME.npy`` with features of the sounds (`avatargpt.gesture.speech_file`), NAME the talk's
            or the sound's; None = prosody. speakers: the table of styles; None = all speakers of the stores.
    """

    def __init__(
        self, stores: Sequence[Store], tokenizer: MotionTokenizer, words: str = SENTENCE,
        speech: str | os.PathLike[str] | None = None, speakers: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        for store in stores:
            if store.modality != MODALITY:
                raise UserError(f"{store.path}: a store of {store.modality}; accepted: one of talks, with gestures")
        self.stores, self.tokenizer = list(stores), tokenizer
        path = Path(words).expanduser()  # the network is used from other folders, too
        self.words = str(path.absolute()) if words != SENTENCE and path.exists() else words
        self.speech = None if speech is None else Path(speech)
        self.talks = [*self._read_talks()]
        if not any(t.split == "train" for t in self.talks):
            licences = sorted({s["licence"] for store in stores for s in store.manifest["sources"].values()})
            raise UserError(f"{stores[0].path}: no talk of the split train ({'; '.join(licences)}); accepted: a store "
                            "with some")  # fmt: skip
        self.speakers = sorted({t.speaker for t in self.talks}) if speakers is None else list(speakers)
        if unknown := next((t.speaker for t in self.talks if t.speaker not in self.speakers), None):
            raise UserError(f"speaker {unknown!r} of the store is not in the table of the network to begin from "
                            f"({', '.join(self.speakers)}); accepted: without --start")  # fmt: skip

    def _read_talks(self) -> Iterator[_StoreTalk]:
        # GENEA's splits are archives of their own, and may be stores of their own.
        validated = {name for store in self.stores if store.manifest["splits"].get("val")
                     for name in store.manifest["sources"]}  # fmt: skip
        rows = (row for store in self.stores for row in store.rows(motion=False))
        for number, row in enumerate(rows):
            extra = json.loads(row["extra"])
            speaker = str(extra.get("speaker") or row["source"])
            held = row["split"] == "train" and row["source"] not in validated
            yield _StoreTalk(number, row["split"], row["id"], extra, speaker, held)

    def build(self, folder: Path) -> GestureCorpus:
        """Write the takes into a folder, or those that lack; the report goes to stdout."""
        origins = [self._origin(talk) for talk in self.talks]
        source = _digest(VERSION, [[s["sha256"] for s in store.manifest["shards"]] for store in self.stores], origins)
        if (folder / FILE).is_file():
            corpus = load_corpus(folder)
            if corpus.source == source:
                return corpus
            if not corpus.source:
                raise UserError(f"{folder}: holds takes that are not of a store; accepted: another folder")
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise UserError(f"{folder}: the takes are not complete, and several processes run; accepted: the same "
                            "command with one process first, with --until 1")  # fmt: skip
        encoder = word_encoder(self.words)
        audio, width = PROSODY, PROSODY_WIDTH
        if self.speech is not None:  # all files have to be as wide as that of the first talk
            path = self._speech_path(self.talks[0].extra, self.talks[0].id)
            audio, width = speech_file.NAME, int(map_array(path).shape[-1])
        material = material_of(self.tokenizer, encoder, self.speakers, audio, width)
        report, entries, wordless = Report(), list[TakeEntry](), 0
        for talk, clip, motion in track(self._clips(), "takes", len(self.talks), console=Console(stderr=True)):
            if talk.split == "test":
                continue
            key, file = _digest(VERSION, material.model_dump(), origins[talk.number], motion), f"{talk.number:06d}"
            parts = ("train", "val") if talk.held else (talk.split,)
            written = [find_kept_take(folder / f"{file}-{part}.safetensors", key) for part in parts]
            if not all(written):
                try:
                    takes = [*self._takes(talk, self._arrays(clip, encoder))]
                    written = [write_take(t, material, folder, f"{file}-{t.split}.safetensors", key) for t in takes]
                except UserError as e:
                    report.skip(clip.id, reason(e))
                    continue
            report.read += 1
            entries += [entry for entry in written if entry is not None]
            wordless += "transcript" not in talk.extra
        if report.skipped:
            print("\n".join(f"skipped: {line}" for line in report.reasons()))
        write_index(entries, material, folder, source)
        minutes = sum(e.frames for e in entries) / FPS / 60
        about = f"{report.read} talks, {minutes:.1f} minutes, {len(self.speakers)} speakers"
        print(f"{folder}: {about}; {wordless} without words, {len(report.skipped)} skipped")
        return load_corpus(folder)

    def _clips(self) -> Iterator[tuple[_StoreTalk, Clip, str]]:
        # Each talk with its clip and a digest of its motion.
        rows = ((store, row) for store in self.stores for row in store.rows())
        for talk, (store, row) in zip(self.talks, rows, strict=True):
            yield talk, store.clip(row), hashlib.sha256(row["features"]).hexdigest()

    def _takes(self, talk: _StoreTalk, arrays: Arrays) -> Iterator[Take]:
        if not talk.held:
            yield Take(talk.id, talk.speaker, talk.split, arrays)
            return
        cut = round(len(arrays["features"]) * (1 - HELD_OUT))
        yield from with_end_held_out(talk.id, talk.speaker, arrays, cut, self.tokenizer.config.downsample)

    def _arrays(self, clip: Clip, encoder: WordEncoder) -> Arrays:
        features = GestureFeatures().encode(clip.load())
        sound, words = self._voice(clip.extra, clip.id)
        # The longer one goes on after the end of the other.
        frames = min(len(features), len(sound))
        if frames < MIN_SECONDS * FPS:
            raise UserError(f"{frames / FPS:.1f} s with sound; accepted: at least {MIN_SECONDS:g}")
        arrays = voice_rows(sound, words, encoder, frames) | motion_rows(features[:frames], self.tokenizer)
        if other := clip.extra.get("interlocutor"):
            arrays |= make_heard_rows(voice_rows(*self._voice(other, str(other.get("name", ""))), encoder, frames))
        return arrays

    def _voice(self, files: Mapping[str, Any], name: str) -> tuple[np.ndarray, list[Word]]:
        # Rows of the whole sound, (n, A), and its words.
        if "audio" not in files:
            raise UserError("no sound in the store; accepted: talks with their sounds")
        path = Path(files["audio"])
        audio, rate = load(path)
        if self.speech is None:
            rows = prosody(audio, rate)
        else:
            frames = frames_in(len(audio), rate)
            rows = speech_file.speech_rows(self._speech_path(files, name), len(audio) / rate, frames)
        return rows, corpus_words(Path(files["transcript"])) if "transcript" in files else []

    def _speech_path(self, files: Mapping[str, Any], name: str) -> Path:
        assert self.speech is not None
        paths = [self.speech / f"{n}.npy" for n in (name, Path(files["audio"]).stem) if n]
        path = next((p for p in paths if p.is_file()), None)
        if path is None:
            names = " or ".join(p.name for p in paths)
            raise UserError(f"{self.speech}: no {names}; accepted: features of every sound")
        return path

    def _origin(self, talk: _StoreTalk) -> list[Any]:
        # What a take is made from, beside the clip's motion: names, sizes and times of files.
        voices = [(talk.extra, talk.id)]
        if other := talk.extra.get("interlocutor"):
            voices.append((other, str(other.get("name", ""))))
        files = [Path(self.words)] if Path(self.words).is_file() else []
        for extra, name in voices:
            files += [Path(extra[key]) for key in ("audio", "transcript") if key in extra]
            if self.speech is not None and "audio" in extra:
                with suppress(UserError):  # what lacks is said where the take is made
                    files.append(self._speech_path(extra, name))
        stats = [(str(p), s.st_size, s.st_mtime_ns) for p in files if p.is_file() and (s := p.stat())]
        return [talk.id, talk.split, talk.held, talk.speaker, self.words, self.tokenizer.fingerprint, stats]


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def corpus_words(path: Path) -> list[Word]:
    """Word times of a corpus, in order; none where a table is empty: that person says nothing.

    ``.tsv`` are GENEA 2023's tables without a head: start, end in seconds, and text, which may be several words
    (genea-workshop/genea_challenge_2023, dataset/README.md). Others: `avatargpt.speech.word_files`.
    """
    if path.suffix != TABLE:
        return sorted(read_words(path).words, key=lambda w: w.start)
    words: list[Word] = []
    for n, line in enumerate(read_text(path, MAX_TEXT_BYTES, "accepted a table of word times").splitlines(), 1):
        cells = line.split("\t")
        try:
            start, end = float(cells[0]), float(cells[1])
            text = cells[2]
        except (ValueError, IndexError):
            start, end, text = np.nan, np.nan, ""
        if not line.strip():
            continue
        if not 0 <= start <= end < np.inf:
            raise UserError(f"{path}: line {n}: {line[:60]!r}; accepted start, end in seconds and text, tabs between")
        words += spread_words(text.split(), start, end)
    return sorted(words, key=lambda w: w.start)
