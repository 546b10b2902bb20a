"""The packing stages of `scripts/train.py`: a model folder as shipped, and the files of its ``gesture``.

The language model and the body's tokenizer are stored in bfloat16 (shards below 16 MiB, which `from_pretrained` of
transformers reads, too) or, as shipped, in 8 bits a weight, the language model in 6; adapters and the face's parts
(tokenizer, language model, driver, parser, portrait) always are in 8 bits.
"""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch

from avatargpt.body.judge import StepJudge
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.upper import load_upper, save_upper
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.face.portrait import FOLDER as PORTRAIT
from avatargpt.face.portrait import Portrait
from avatargpt.face.tokens import MODEL_FOLDER
from avatargpt.gesture.network import NAME, GestureDriver
from avatargpt.gesture.semantics import GestureBank
from avatargpt.lm.adapters import FOLDER, Adapter, write_adapter
from avatargpt.lm.checkpoint import load_model, save_model, save_small
from avatargpt.lm.hub import write_card
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.metrics.evaluator import MotionEvaluator
from avatargpt.metrics.gesture_features import GestureFeatureEncoder
from avatargpt.planning.consequences import Consequences
from avatargpt.planning.kinds import KindReader
from avatargpt.planning.library import PlanLibrary
from avatargpt.reading.body import BodyReader
from avatargpt.reading.network import ReadingNetwork
from avatargpt.reading.reader import Reader
from avatargpt.reading.store import save_apart, save_network, take_over
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.reader import RequestReader
from avatargpt.train.data.corpus import read_tokenizers
from avatargpt.train.language import ADAPTER
from avatargpt.train.reporting import origin_of
from avatargpt.video.body_network import FilmReader
from avatargpt.video.film_words import FilmWords
from instruct_data.factory.gesture.bank import read_bank
from instruct_data.gesture.strokes import HAND, SIDES, Stroke, wrists
from instruct_data.registry import MODEL_TASKS
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer


class OneNetwork(Protocol):
    """A driver or a parser: one network with its configuration."""

    network: Any


S = TypeVar("S", bound=OneNetwork)
TRAINING_FIELDS = ("lengths", "dropout")  # of a configuration, that do not describe the shape


def pack_stage(args: SimpleNamespace) -> None:
    """Language model, tokenizers and the parts beside them -> one folder, as shipped, with its card."""
    if args.bits not in (6, 8, 16):
        raise UserError(f"--bits {args.bits}: accepted: 6, 8, 16")
    model = load_model(args.language)
    tokenizers = read_tokenizers(args.tokenizer)
    out = Path(args.output)
    face_model = load_model(args.face) if args.face else None
    runs = _runs_of(args.adapters or "")
    adapters = {name: Adapter.load(folder / ADAPTER) for name, folder in runs.items()}
    for adapter in adapters.values():
        adapter.check(model)
    places = {name: out / name for name in model.config.modalities or {}}
    if face_model is not None:
        places |= {name: out / MODEL_FOLDER / name for name in face_model.config.modalities or {}}
    for name, adapter in adapters.items():
        places |= {modality: out / FOLDER / name / modality for modality in adapter.modalities}
    if sorted(t.config.modality for t in tokenizers) != sorted(places):
        raise UserError(f"--tokenizer {args.tokenizer}: accepted: one of each of {', '.join(places)}")
    if "body" not in (model.config.modalities or {}):
        raise UserError(f"--language {args.language}: speaks {', '.join(places)}; accepted: a model with a body")
    models = [m.config.fingerprints or {} for m in (model, face_model) if m is not None]
    prints = {k: v for known in (*models, *(a.fingerprints for a in adapters.values())) for k, v in known.items()}
    for tokenizer in tokenizers:
        if prints.get(tokenizer.config.modality) != tokenizer.fingerprint:
            raise UserError(f"--tokenizer {args.tokenizer}: that of {tokenizer.config.modality} is another than "
                            "the model was trained with")  # fmt: skip
    if args.bits < 16:
        save_small(model, out, args.bits)
    else:
        torch.nn.Module.to(model, torch.bfloat16)
        save_model(model, out, "15MB")
    TextTokenizer.load(args.language).save(out)
    if (own := Path(args.language) / MODEL_TASKS).is_dir():
        shutil.copytree(own, out / MODEL_TASKS, dirs_exist_ok=True)
    if face_model is not None:
        save_small(face_model, out / MODEL_FOLDER)
        TextTokenizer.load(args.face).save(out / MODEL_FOLDER)
    for name, adapter in adapters.items():
        about = {"fingerprints": adapter.fingerprints, "modalities": adapter.modalities}
        write_adapter(out / FOLDER / name, adapter.tensors, adapter.config, about, small=True)
    for tokenizer in tokenizers:
        modality = tokenizer.config.modality
        tokenizer.save(places[modality], torch.int8 if args.bits < 16 or modality == "face" else torch.bfloat16)
    _pack_parts(args, out)
    folders = [*filter(None, (args.language, args.face)), *map(str, runs.values()), *args.tokenizer.split(",")]
    write_card(out, origin_of(folders))
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 1e6
    print(f"{out}: {size:.1f} MB")


def _runs_of(values: str) -> dict[str, Path]:
    """The folders of ``NAME=FOLDER,...``."""
    runs = {}
    for value in filter(None, values.split(",")):
        name, _, folder = value.partition("=")
        if not re.fullmatch(r"[\w-]+", name) or not folder:
            raise UserError(f"--adapters {value}: accepted: NAME=FOLDER, with commas between")
        runs[name] = Path(folder)
    return runs


FINDS = ("names.", "name_bias.", "sharp", "heads.read.find.")  # weights that names of movements are found by


def load_turns(folder: str) -> Reader:
    """What reads turns: of a packed model the network that it has for them."""
    return Reader(Reader.load(folder).network.of_task("turn"))


def grow(before: Reader, last: Reader) -> Reader:
    """A reading network in the shape of one that went on from it with further names and pieces, which are the latter's.
    """
    network = copy.deepcopy(last.network)
    take_over(network, before.network)
    return Reader(network)


def mean_of(
    folders: str, load: Callable[[str], S], fit: Callable[[S, S], S] | None = None, kept: tuple[str, ...] = ()
) -> S:
    """The mean of weights of networks that go on from one another (arXiv 2203.05482).

    Args:
        folders: one or more, with commas between; the configuration is that of the last. load: reads one.
        fit: brings one into the shape of the last. kept: beginnings of names of weights that are the first one's.
    """
    members = [load(f) for f in folders.split(",")]
    members = [*(fit(m, members[-1]) if fit else m for m in members[:-1]), members[-1]]
    configs = [m.network.config.model_dump() for m in members]
    shapes = [{k: v for k, v in config.items() if k not in TRAINING_FIELDS} for config in configs]
    if any(shape != shapes[-1] for shape in shapes):
        raise UserError(f"{folders}: of different shape; accepted: such as went on from one another")
    states, share = [m.network.state_dict() for m in members], 1 / len(members)
    mean = {k: torch.stack([share * s[k] for s in states]).sum(0) for k in states[0] if not k.startswith(kept)}
    members[-1].network.load_state_dict({k: mean.get(k, v) for k, v in states[0].items()})
    return members[-1]


def _pack_parts(args: SimpleNamespace, out: Path) -> None:
    """Phrase index, readers, plans, scorer, evaluator, gestures, driver, parser, films, portrait: as options say."""
    if args.requests:
        RequestReader.load(args.requests).save(out, torch.int8)
    if args.reading:
        # a short run on few authors forgets rare names: what they are found by is that of the first network
        reading = mean_of(args.reading, Reader.load, grow, FINDS).network
        if args.turns:  # that of turns apart
            other = mean_of(args.turns, load_turns, grow).network
            base = ReadingNetwork(other.config)
            take_over(base, reading)
            save_apart(base, other, "turn", out, int(args.turn_rank))
            reading = base
        save_network(reading, out)
    if args.phrase_index:
        index = PhraseIndex.load(args.phrase_index)
        if index is None:
            raise UserError(f"{args.phrase_index}: no phrase index in it; run the phrase-index stage")
        index.reads = BodyReader.of(out)
        if index.reads is not None:
            index.read_captions()
        index.save(out)
    if args.scorer:
        motion_scorer = TextMotionScorer.load(args.scorer)
        if motion_scorer is None:
            raise UserError(f"{args.scorer}: no text-motion scorer in it; run the scorer stage")
        motion_scorer.save(out, torch.int8 if args.bits < 16 else torch.bfloat16)
    if args.evaluator:
        MotionEvaluator.load(args.evaluator).save(out)
    if args.planner:
        PlanLibrary.load(args.planner).save(out)
    if args.judge:
        judge = StepJudge.load(args.judge)
        if judge is None:
            raise UserError(f"{args.judge}: no judge of motions in it; run the judge stage")
        judge.save(out)
    for name, part in (("kinds", KindReader), ("consequences", Consequences)):
        if folder := getattr(args, name):
            read = part.load(folder)
            if read is None:
                raise UserError(f"{folder}: no {name} in it; run the stage of that name")
            read.save(out)
    if args.gestures:
        place = Path(args.gestures) / NAME
        GestureDriver.load(place)  # checked before anything is copied
        shutil.copytree(place, out / NAME, dirs_exist_ok=True)
    if args.driver:
        mean_of(args.driver, Driver.load).save(out / "driver", torch.int8)
    if args.recorded:
        mean_of(args.recorded, Driver.load).save_paired(out / "driver", torch.int8)
    if args.upper:
        save_upper(load_upper(Path(args.upper)), out / "driver", torch.int8)
    if args.parser:
        network = mean_of(args.parser, InstructionParser.load).network
        InstructionParser(network.with_rank(args.rank or network.config.rank)).save(out / "driver", torch.int8)
    if args.film_bodies:
        mean_of(args.film_bodies, FilmReader.load).save(out)
    if args.film_words:
        FilmWords.load(args.film_words).save(out)
    if args.portrait:
        Portrait.load(args.portrait).save(out / PORTRAIT, torch.int8)


def gesture_bank_stage(args: SimpleNamespace) -> None:
    """SmartBody's gestures and our own key frames -> ``bank.safetensors``; prints the packing errors."""
    library = read_bank(Path(args.gestures))
    strokes: dict[str, Stroke] = {}
    for stroke in (s for group in library.strokes.values() for s in group):
        strokes.setdefault(stroke.source, stroke)  # the second of a source is its mirror image
    bank = GestureBank.of(strokes.values(), library.rests[0])
    path = bank.save(args.output)
    wrist_errors, finger_errors = [], []
    for number, true in enumerate(strokes.values()):
        at, packed = true.emphasis, bank.stroke(number)
        acting, fingers = [SIDES.index(s) for s in true.sides], [joint for s in true.sides for joint in HAND[s]]
        distance = wrists(true.turns[at : at + 1]) - wrists(packed.turns[at : at + 1])
        wrist_errors.append(np.linalg.norm(distance[0, acting], axis=-1).max())
        angles = rot.angle_between(true.turns[at, fingers], packed.turns[at, fingers])
        finger_errors.append(np.degrees(angles).max())
    print(f"{path}: {len(bank)} strokes of {len(bank.names)} gestures, {path.stat().st_size / 1e3:.0f} kB; on the "
          f"emphasis wrists up to {1000 * float(np.max(wrist_errors)):.1f} mm off, fingers "
          f"{float(np.max(finger_errors)):.2f} degrees")


def pack_gestures_stage(args: SimpleNamespace) -> None:
    """A gesture network, tokenizer, bank and FGD encoder -> the folder ``gesture`` of a model folder, in 8 bits."""
    driver, tokenizer = mean_of(args.gesture, GestureDriver.load), MotionTokenizer.load(args.tokenizer)
    driver.check_tokenizer(tokenizer.fingerprint)
    out = Path(args.output) / NAME
    driver.save(out, torch.int8)
    tokenizer.save(out, torch.int8, torch.int8)
    if args.bank:
        bank = GestureBank.load(args.bank)
        if bank is None:
            raise UserError(f"{args.bank}: no bank of gestures in it; run the gesture-bank stage")
        bank.save(out)
    if args.fgd:
        GestureFeatureEncoder.load(args.fgd).save(out, torch.bfloat16)
    size = sum(f.stat().st_size for f in out.iterdir() if f.is_file()) / 1e6
    print(f"{out}: {size:.1f} MB")
