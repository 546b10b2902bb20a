"""The gesture-corpus stage of `scripts/train.py`: speech with gestures, as takes, and as motions for a tokenizer.

Its folder holds ``made/NNNNNN.safetensors``, the takes as they were made, with what is told of each in the header
(``about``, JSON: words, strokes, beats, nods), ``store``, motions that the tokenizer stage takes, ``clips``, phrases
with captions and what is said, for a language model, ``talks``, what the suite `gesture` reads of the validation split,
``figures.json`` and ``config.yaml``. With a tokenizer it also holds ``takes``, the cache that the gesture stage takes
(`avatargpt.train.gesture.cache`).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.config import RESOLVED, save_resolved
from avatargpt.gesture.config import Material
from avatargpt.gesture.features import PROSODY
from avatargpt.gesture.features import WIDTH as HEARD
from avatargpt.train.gesture import cache
from avatargpt.train.gesture.recipe import CorpusRecipe
from avatargpt.train.gesture.takes import Arrays, clips, figures, made
from avatargpt.train.gesture.talks import FPS, LEAST, MOST, Talks
from avatargpt.train.runtime import Runtime
from instruct_data.clip import Clip
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.io.files import parsing, regular_file
from vqvae.motion import atomic_write

if TYPE_CHECKING:
    from avatargpt.train.gesture.voices import Said
    from vqvae.tokenizer import MotionTokenizer

MADE, STORE, CLIPS, TALKS, TAKES, FIGURES = "made", "store", "clips", "talks", "takes", "figures.json"
SOURCE = "gesture-corpus"
LICENCE = "the project's; strokes of SmartBody (LGPL-2.1)"


def gesture_corpus_stage(recipe: CorpusRecipe, args: argparse.Namespace) -> None:
    """Make (or go on making) the corpus; with --tokenizer, the takes with its codes as well."""
    from instruct_data.gesture.classes import word_classes
    from vqvae.tokenizer import MotionTokenizer

    out = Path(args.output)
    workers = args.threads or os.cpu_count() or 1
    Runtime.start(1, "cpu")
    tokenizer = MotionTokenizer.load(args.tokenizer) if args.tokenizer else None
    if tokenizer is not None and tokenizer.config.modality != "gesture":
        raise UserError(f"--tokenizer {args.tokenizer}: of the modality {tokenizer.config.modality}; accepted: gesture")
    _check_same(recipe, out)
    files = _make(recipe, args, out / MADE, workers)
    if not (out / STORE / "manifest.json").is_file():
        Store.write(_clips(recipe, files), out / STORE)
    if not (out / CLIPS / "manifest.json").is_file():
        Store.write(clips(_takes(recipe, files), word_classes(), SOURCE, LICENCE), out / CLIPS)
    if tokenizer is not None:
        cache.save(_coded(recipe, files, tokenizer), material(recipe, tokenizer), out / TAKES)
    found = figures(_measured(files))
    atomic_write(out / FIGURES, lambda p: p.write_text(json.dumps(found, indent=1) + "\n"))
    print(f"{out}: {len(files)} takes; " + ", ".join(f"{name} {value:.3g}" for name, value in found.items()))


def _measured(files: list[Path]) -> Iterator[tuple[Arrays, dict[str, Any]]]:
    from safetensors.numpy import load_file

    for path in files:
        yield load_file(path), _told(path)


def material(recipe: CorpusRecipe, tokenizer: MotionTokenizer) -> Material:
    """What the rows of the takes are."""
    spec, c = GestureFeatures(), tokenizer.config
    spans = spec.slices()
    places = spans["positions"]
    return Material(
        audio=PROSODY, words=recipe.data.words, audio_width=HEARD, word_width=_encoder(recipe).width,
        features=spec.dim, levels=c.levels, codebook_size=c.codebook_size, downsample=c.downsample,
        rotations=[[spans["rotations"].start, spans["fingers"].stop]], positions=[[places.start, places.stop]],
        speakers=list(recipe.speakers), tokenizer=tokenizer.fingerprint,
    )  # fmt: skip


def _check_same(recipe: CorpusRecipe, out: Path) -> None:
    """Keep the configuration beside what it makes; takes of two in one folder would not be told apart."""
    path = out / RESOLVED
    if path.is_file():
        from vqvae.io.data_files import read_yaml

        if CorpusRecipe.read(read_yaml(path), str(path)) != recipe:
            raise UserError(f"{out}: begun with another configuration ({RESOLVED}); accepted: that one, a new folder")
        return
    save_resolved(recipe, out)


def _encoder(recipe: CorpusRecipe) -> Any:
    from avatargpt.gesture.words import word_encoder

    return word_encoder(recipe.data.words)


def _count(recipe: CorpusRecipe) -> int:
    """Talks that come to the minutes that are wanted, on the mean."""
    each = (LEAST + MOST) / 2 * (1 + recipe.data.dyadic)
    return max(1, round(recipe.data.minutes * 60 / each))


class _Maker:
    """One process' share: voices, bank and encoder, loaded once."""

    def __init__(self, recipe: CorpusRecipe, gestures: str, texts: str | None, spoken: list[tuple[str, Said]]) -> None:
        from avatargpt.train.gesture.voices import Voices
        from avatargpt.train.speech_data.clips import own_texts, utterances
        from instruct_data.gesture.bank import read_bank
        from instruct_data.gesture.classes import word_classes

        self.recipe, data = recipe, recipe.data
        self.bank, self.classes = read_bank(Path(gestures)), word_classes()
        lines = own_texts(Path(texts) if texts else None)
        said = utterances(lines, np.random.default_rng([data.seed, 63]), 4000)
        self.talks = Talks(data, Voices(data.flite), said, spoken)
        self.encoder = _encoder(recipe)

    def write(self, number: int, folder: str) -> list[str]:
        """The takes of a talk, each in its file; those of a talk that is there already are left."""
        from safetensors.numpy import save_file

        done = Path(folder) / f"{number:05d}.done"
        if done.is_file():
            return done.read_text().split()
        talk = self.talks.talk(number, self.recipe.data.seed)
        rng = np.random.default_rng([self.recipe.data.seed, 62, number])
        names = []
        takes = made(talk, f"talk/{number}", self.recipe, self.bank, self.classes, self.encoder, rng)
        for k, (one, _) in enumerate(takes):
            name = f"{number:05d}{k}.safetensors"
            about = {"about": json.dumps({"name": one.name, "speaker": one.speaker, **one.about})}
            atomic_write(Path(folder) / name, lambda p, a=one.arrays, b=about: save_file(_whole(a), p, b))  # type: ignore[misc]
            names.append(name)
        atomic_write(done, lambda p: p.write_text(" ".join(names)))
        return names


    def write_talk(self, number: int, names: list[str], folder: Path) -> None:
        """The sounds, motions and words of a talk whose takes are there, unless they are there too."""
        from safetensors.numpy import load_file

        from avatargpt.train.gesture.talks import write_talk

        done = folder / f"{number:05d}.done"
        if not done.is_file():
            folder.mkdir(exist_ok=True)
            made = {Path(name).stem: load_file(folder.parent / MADE / name)["features"] for name in names}
            write_talk(self.talks.talk(number, self.recipe.data.seed), made, folder)
            atomic_write(done, lambda p: p.write_text(""))


def _whole(arrays: Arrays) -> Arrays:
    return {k: np.ascontiguousarray(v) for k, v in arrays.items()}


_maker: _Maker | None = None


def _write(job: tuple[int, str]) -> list[str]:
    assert _maker is not None
    number, folder = job
    names = _maker.write(number, folder)
    if _split(_maker.recipe, number) == "val":
        _maker.write_talk(number, names, Path(folder).parent / TALKS)
    return names


def _make(recipe: CorpusRecipe, args: argparse.Namespace, folder: Path, workers: int) -> list[Path]:
    """All talks, as many at once as there are threads; a progress bar on stderr.

    Each talk has a process of its own, a copy of this one: what espeak-ng says depends a little on what it said before,
    and so does not depend on which talks are made together.
    """
    from rich.console import Console
    from rich.progress import track

    spoken: list[tuple[str, Said]] = []
    if args.faces and recipe.data.recorded:
        from avatargpt.train.gesture.voices import recordings

        spoken = recordings(Path(args.faces))
    global _maker
    _maker = _Maker(recipe, args.gestures, args.texts, spoken)
    count = _count(recipe)
    names: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(number, str(folder)) for number in range(count)]
    with get_context("fork").Pool(min(workers, count), maxtasksperchild=1) as pool:
        made_each = pool.imap(_write, jobs, chunksize=1)
        for found in track(made_each, "talks", count, console=Console(stderr=True)):
            names += found
    return [folder / name for name in names]


def _told(path: Path) -> dict[str, Any]:
    """What is told of a take that was made."""
    from safetensors import safe_open

    with parsing(path, "a take of this corpus", "make it again"), safe_open(regular_file(path), "np") as file:
        return dict(json.loads(file.metadata()["about"]))


def _split(recipe: CorpusRecipe, talk: int) -> str:
    """Talks for validation are every so manieth: both sides of one together."""
    every = max(2, round(1 / recipe.data.val)) if recipe.data.val else 0
    return "val" if every and talk % every == every - 1 else "train"


def _talk(path: Path) -> int:
    """Number of the talk of a take's file."""
    return int(path.stem[:5])


def _clips(recipe: CorpusRecipe, files: list[Path]) -> Iterator[Clip]:
    """Motions for a tokenizer, as many minutes as are wanted, of both splits."""
    from safetensors.numpy import load_file

    left = recipe.data.store * 60 * FPS
    for path in files:
        if left <= 0:
            return
        features = load_file(path)["features"]
        motion = GestureFeatures().decode(features)
        left -= len(motion)
        extra = {"speaker": _told(path)["speaker"]}
        yield Clip(path.stem, motion, [], SOURCE, LICENCE, _split(recipe, _talk(path)), "talk", extra=extra)


def _takes(recipe: CorpusRecipe, files: list[Path]) -> Iterator[tuple[str, np.ndarray, dict[str, Any], str]]:
    """What clips are cut from."""
    from safetensors.numpy import load_file

    for path in files:
        yield path.stem, load_file(path)["features"], _told(path), _split(recipe, _talk(path))


def _coded(recipe: CorpusRecipe, files: list[Path], tokenizer: MotionTokenizer) -> Iterator[cache.Take]:
    """All takes with the tokenizer's codes."""
    from safetensors.numpy import load_file

    for path in files:
        arrays = load_file(path)
        about = _told(path)
        arrays["codes"] = tokenizer.encode_features(arrays["features"]).astype(np.int32)
        yield cache.Take(about["name"], about["speaker"], _split(recipe, _talk(path)), arrays)


