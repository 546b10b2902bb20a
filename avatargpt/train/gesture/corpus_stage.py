"""The gesture-corpus stage of `scripts/train.py`: speech with gestures, as takes, and as motions for a tokenizer.

Its folder holds ``made/NNNNNN.safetensors``, the takes as generated, with a description in the header (``about``,
JSON: words, strokes, beats, nods); ``store``, motions for the tokenizer stage; ``clips``, phrases with captions and
words, for a language model; ``talks``, the validation split as the suite `gesture` reads it; ``figures.json`` and
``config.yaml``. With a tokenizer it also holds ``takes``, the cache for the gesture stage
(`avatargpt.train.gesture.data`).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from avatargpt.config import RESOLVED, save_resolved
from avatargpt.gesture.features import MAX_PHRASE, WordEncoder
from avatargpt.gesture.word_encoders import word_encoder
from avatargpt.speech.audio import FPS
from avatargpt.train.gesture.data import MIXED, Arrays, Take, save_corpus, save_words
from avatargpt.train.gesture.rows import load_tokenizer, material_of, motion_rows
from avatargpt.train.gesture.takes import clips, figures, takes_of, usual_stroke
from avatargpt.train.gesture.talks import CorpusRecipe, Talks, Voices, all_talks, write_talk
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data.clips import own_texts, utterances
from instruct_data.clip import Clip
from instruct_data.factory.gesture.bank import read_bank
from instruct_data.gesture.plan import BEAT, sentences, word_classes
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.io.data_files import read_yaml
from vqvae.io.files import parsing, regular_file, sweep
from vqvae.motion import atomic_write
from vqvae.tokenizer import MotionTokenizer

if TYPE_CHECKING:
    from avatargpt.train.gesture.talks import Utterance

GENERATED, STORE, CLIPS, TALKS, TAKES, FIGURES = "made", "store", "clips", "talks", "takes", "figures.json"
OTHER_SENTENCES, EACH_WORD = 1000, 10
STROKE_BEFORE, STROKE_AFTER = 20, 8  # frames about an emphasis that are a part of a stroke
SOURCE = "gesture-corpus"
LICENCE = "the project's; strokes of SmartBody (LGPL-2.1)"


def gesture_corpus_stage(recipe: CorpusRecipe, args: argparse.Namespace) -> None:
    """Generate (or go on generating) the corpus; with --tokenizer, the cache of takes as well."""
    out = Path(args.output)
    workers = args.threads or os.cpu_count() or 1
    Runtime.start(1, "cpu")
    tokenizer = load_tokenizer(args.tokenizer) if args.tokenizer else None
    _check_same(recipe, out)
    files = _generate_all(recipe, args, out / GENERATED, workers)
    # Manifests are written last: where there is one, the store is complete.
    if not (out / STORE / "manifest.json").is_file():
        Store.write(_tokenizer_clips(recipe, files), out / STORE)
    if not (out / CLIPS / "manifest.json").is_file():
        takes = ((path.stem, arrays["features"], about, _split(recipe, path)) for path, arrays, about in _read(files))
        Store.write(clips(takes, word_classes(), SOURCE, LICENCE), out / CLIPS)
    if tokenizer is not None:
        encoder = word_encoder(recipe.data.words)
        material = material_of(tokenizer, encoder, list(recipe.speakers), classes=list(word_classes().classes))
        save_corpus(_with_codes(recipe, files, tokenizer), material, out / TAKES)
        texts = utterances(own_texts(Path(args.texts) if args.texts else None), np.random.default_rng(63), 4000)
        save_words(*other_words(encoder, texts, recipe.data.seed), out / TAKES)
    results = figures((arrays, about) for _, arrays, about in _read(files))
    atomic_write(out / FIGURES, lambda p: p.write_text(json.dumps(results, indent=1) + "\n"))
    print(f"{out}: {len(files)} takes; " + ", ".join(f"{name} {value:.3g}" for name, value in results.items()))


def word_kinds(texts: Sequence[str]) -> np.ndarray:
    """(W,) the number of each word's class, -1 = none, `MIXED` = one of a run of words."""
    out, table = np.full(len(texts), -1, np.int32), word_classes()
    names = list(table.classes)
    for run in table.find(texts):
        out[run.first : run.stop] = names.index(run.kind) if run.stop == run.first + 1 else MIXED
    return out


def other_words(encoder: WordEncoder, texts: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """States (P, V) of words in other sentences, and their classes (P,), so that all words of the table are read.

    `texts` and our own sentences as they are, and with a word of the table in the place of one of theirs.
    """
    rng, table = np.random.default_rng([seed, 64]), word_classes()
    names, states, kinds = list(table.classes), [], []

    def draw_words() -> list[str]:
        if len(texts) and rng.random() < 0.5:
            return texts[int(rng.integers(len(texts)))].split()[:MAX_PHRASE]
        return sentences().draw(rng).split()

    for _ in range(OTHER_SENTENCES):
        words = draw_words()
        states.append(encoder.states(words))
        kinds.append(word_kinds(words))
    for word, kind in table.words.items():
        for _ in range(EACH_WORD if len(word) == 1 else 0):
            words = draw_words()
            at = int(rng.integers(len(words)))
            words[at] = word[0]
            states.append(encoder.states(words)[at : at + 1])
            kinds.append(np.array([names.index(kind)]))
    kept = np.concatenate(kinds) != MIXED
    return np.concatenate(states)[kept], np.concatenate(kinds)[kept]


def stroke_tokens(strokes: list[list[Any]], tokens: int, downsample: int) -> np.ndarray:
    """(tokens,) the number of the class whose stroke each is a part of, -1 = none.

    `strokes`: as in the header of a take. Recorded beats, which mean nothing, are none.
    """
    out, classes = np.full(tokens, -1, np.int32), list(word_classes().classes)
    for frame, _, kind, *_ in strokes:
        if kind != BEAT:
            first, stop = max(0, frame - STROKE_BEFORE) // downsample, (frame + STROKE_AFTER) // downsample
            out[first:stop] = classes.index(kind)
    return out


def _check_same(recipe: CorpusRecipe, out: Path) -> None:
    # Store the configuration in the folder; refuse a folder that has another one.
    path = out / RESOLVED
    if path.is_file():
        if CorpusRecipe.read(read_yaml(path), str(path)) != recipe:
            raise UserError(f"{out}: begun with another configuration ({RESOLVED}); accepted: that one, a new folder")
        return
    save_resolved(recipe, out)


class _Generator:
    """Generates talks: voices, bank and encoder, loaded once and inherited by forked processes."""

    def __init__(
        self, recipe: CorpusRecipe, gestures: str, texts: str | None, recordings: list[tuple[str, Utterance]]
    ) -> None:
        self.recipe, data = recipe, recipe.data
        self.bank, self.classes = read_bank(Path(gestures)), word_classes()
        for kind in self.classes.classes.values():
            usual_stroke(kind, self.bank)  # kept in the bank
        lines = own_texts(Path(texts) if texts else None)
        sentences = utterances(lines, np.random.default_rng([data.seed, 63]), 4000)
        self.talks = Talks(data, Voices(data.flite), sentences, recordings)
        self.encoder = word_encoder(recipe.data.words)

    def write_takes(self, number: int, folder: Path) -> list[str]:
        """Write each take of a talk to a file, unless they exist; returns the names."""
        marker = folder / f"{number:05d}.done"
        if marker.is_file():
            return marker.read_text().split()
        talk = self.talks.talk(number, self.recipe.data.seed)
        rng = np.random.default_rng([self.recipe.data.seed, 62, number])
        names = []
        for k, take in enumerate(
            takes_of(talk, f"talk/{number}", self.recipe, self.bank, self.classes, self.encoder, rng)
        ):
            name = f"{number:05d}{k}.safetensors"
            about = {"about": json.dumps({"name": take.name, "speaker": take.speaker, **take.about})}
            arrays = {key: np.ascontiguousarray(value) for key, value in take.arrays.items()}
            atomic_write(folder / name, lambda p, a=arrays, b=about: save_file(a, p, b))  # type: ignore[misc]
            names.append(name)
        atomic_write(marker, lambda p: p.write_text(" ".join(names)))
        return names

    def write_talk(self, number: int, names: list[str], folder: Path) -> None:
        """Write the sounds, motions and words of a talk whose takes exist, unless they exist, too."""
        marker = folder / f"{number:05d}.done"
        if not marker.is_file():
            features = {Path(name).stem: load_file(folder.parent / GENERATED / name)["features"] for name in names}
            write_talk(self.talks.talk(number, self.recipe.data.seed), features, folder)
            atomic_write(marker, lambda p: p.write_text(""))


_generator: _Generator | None = None


def _write(job: tuple[int, Path]) -> list[str]:
    assert _generator is not None
    number, folder = job
    names = _generator.write_takes(number, folder)
    if _talk_split(_generator.recipe, number) == "val":
        _generator.write_talk(number, names, folder.parent / TALKS)
    return names


def _generate_all(recipe: CorpusRecipe, args: argparse.Namespace, folder: Path, workers: int) -> list[Path]:
    # All talks, as many at once as there are threads; a progress bar on stderr.  Each talk has its own process, forked
    # from this one, because espeak-ng's output depends slightly on its earlier output.
    recorded: list[tuple[str, Utterance]] = []
    if args.faces and recipe.data.recorded:
        from avatargpt.train.gesture.talks import recordings

        recorded = [r for r in recordings(Path(args.faces)) if r[0] not in recipe.data.held]
    global _generator
    _generator = _Generator(recipe, args.gestures, args.texts, recorded)
    count = all_talks(recipe.data)
    names: list[str] = []
    for each in (folder, folder.parent / TALKS):
        each.mkdir(parents=True, exist_ok=True)
        # Once, here: safetensors puts another file in the place of the one that a process has locked, and processes
        # that begin meanwhile would take it for one that a dead process left.
        sweep(each)
    with get_context("fork").Pool(min(workers, count), maxtasksperchild=1) as pool:
        results = pool.imap(_write, [(number, folder) for number in range(count)], chunksize=1)
        for written in track(results, "talks", count, console=Console(stderr=True)):
            names += written
    return [folder / name for name in names]


def _read(files: list[Path]) -> Iterator[tuple[Path, Arrays, dict[str, Any]]]:
    # Generated takes: path, arrays, description.

    for path in files:
        with parsing(path, "a take of this corpus", "make it again"), safe_open(regular_file(path), "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = dict(json.loads(file.metadata()["about"]))
        yield path, arrays, about


def _split(recipe: CorpusRecipe, path: Path) -> str:
    return _talk_split(recipe, int(path.stem[:5]))


def _talk_split(recipe: CorpusRecipe, talk: int) -> str:
    # Every n-th talk is for validation, with both sides.
    every = max(2, round(1 / recipe.data.val)) if recipe.data.val else 0
    return "val" if every and talk % every == every - 1 else "train"


def _tokenizer_clips(recipe: CorpusRecipe, files: list[Path]) -> Iterator[Clip]:
    # Motions for a tokenizer, as many minutes as configured, of both splits.
    remaining = recipe.data.store * 60 * FPS
    for path, arrays, about in _read(files):
        if remaining <= 0:
            return
        motion = GestureFeatures().decode(arrays["features"])
        remaining -= len(motion)
        extra = {"speaker": about["speaker"]}
        yield Clip(path.stem, motion, [], SOURCE, LICENCE, _split(recipe, path), "talk", extra=extra)


def _with_codes(recipe: CorpusRecipe, files: list[Path], tokenizer: MotionTokenizer) -> Iterator[Take]:
    # All takes with the tokenizer's codes.
    for path, arrays, about in _read(files):
        arrays |= motion_rows(arrays["features"], tokenizer)
        arrays["word_kinds"] = word_kinds([w[0] for w in about["words"]])
        if "other_audio" in arrays:
            arrays["other_word_kinds"] = word_kinds([w[0] for w in about["heard"]])
        arrays["strokes"] = stroke_tokens(about["strokes"], len(arrays["codes"]), tokenizer.config.downsample)
        yield Take(about["name"], about["speaker"], _split(recipe, path), arrays)
