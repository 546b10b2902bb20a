"""The pack stage of `scripts/train.py`: a model folder as shipped.

The language model is stored in bfloat16 (shards below 16 MiB, which `from_pretrained` of transformers reads, too) or,
as shipped, in 8 bits a weight; the face's parts (tokenizer, language model, driver, parser) always are in 8 bits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.lm.model import AvatarGPTModel


class OneNetwork(Protocol):
    """A driver or a parser: one network with its configuration."""

    network: Any


S = TypeVar("S", bound=OneNetwork)
TRAINING_FIELDS = ("lengths", "dropout")  # of a configuration, that do not describe the shape


def pack_stage(args: SimpleNamespace) -> None:
    """Language model, tokenizers and the parts beside them -> one folder, as shipped, with its card."""
    import torch

    from avatargpt.face.tokens import MODEL_FOLDER
    from avatargpt.lm.checkpoint import load_model, save_model, save_small
    from avatargpt.lm.hub import write_card
    from avatargpt.lm.text_encoder import TextTokenizer
    from avatargpt.train.data.corpus import read_tokenizers
    from avatargpt.train.provenance import origin_of

    if args.bits not in (8, 16):
        raise UserError(f"--bits {args.bits}: accepted: 8, 16")
    folders = args.language.split(",")
    model = averaged(folders, parse_shares(args.shares, len(folders)))
    tokenizers = read_tokenizers(args.tokenizer)
    face_model = load_model(args.face) if args.face else None
    models = [m for m in (model, face_model) if m is not None]
    modalities = [name for m in models for name in m.config.modalities or {}]
    if sorted(t.config.modality for t in tokenizers) != sorted(modalities):
        raise UserError(f"--tokenizer {args.tokenizer}: accepted: one of each of {', '.join(modalities)}")
    if "body" not in modalities:
        raise UserError(f"--language {args.language}: speaks {', '.join(modalities)}; accepted: a model with a body")
    places = {}
    for tokenizer in tokenizers:
        modality = tokenizer.config.modality
        in_main = modality in (model.config.modalities or {})
        (model if in_main or face_model is None else face_model).check_fingerprint(modality, tokenizer.fingerprint)
        if not in_main and face_model is not None:
            # The face's codebooks are stored in 8 bits; its model must get what will be read.
            tokenizer.round_codebooks()
            face_model.set_codebooks(modality, tokenizer.codebooks, tokenizer.fingerprint)
        places[modality] = Path(args.output) / ("" if in_main else MODEL_FOLDER) / modality
    out = Path(args.output)
    if args.bits == 8:
        save_small(model, out)
    else:
        torch.nn.Module.to(model, torch.bfloat16)
        save_model(model, out, "15MB")
    TextTokenizer.load(folders[-1]).save(out)
    for tokenizer in tokenizers:
        modality = tokenizer.config.modality
        tokenizer.save(places[modality], torch.int8 if modality == "face" else torch.bfloat16)
    if face_model is not None:
        save_small(face_model, out / MODEL_FOLDER)
        TextTokenizer.load(args.face).save(out / MODEL_FOLDER)
    _pack_parts(args, out)
    write_card(out, origin_of([*folders, *([args.face] if args.face else []), *args.tokenizer.split(",")]))
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 1e6
    print(f"{out}: {size:.1f} MB")


def parse_shares(text: str | None, count: int) -> list[float]:
    """"0.6,0.4" -> weights of `count` models, summing to 1; None = equal."""
    try:
        shares = [float(s) for s in text.split(",")] if text else [1.0] * count
    except ValueError:
        raise UserError(f"shares: {text!r}; accepted: numbers with commas between") from None
    if len(shares) != count or not all(0 <= s < float("inf") for s in shares) or not sum(shares):
        raise UserError(f"shares: {len(shares)} for {count} models; accepted: one each, 0 or more, not all 0")
    return [s / sum(shares) for s in shares]


def mean_of(folders: str, load: Callable[[str], S], shares: str | None = None) -> S:
    """The mean of the weights of drivers or of parsers trained from one another (model soups, arXiv 2203.05482).

    Args:
        folders: one or more, with commas between; the configuration is that of the last.
        load: reads one. shares: see `parse_shares`.
    """
    import torch

    members = [load(f) for f in folders.split(",")]
    weights = parse_shares(shares, len(members))
    configs = [m.network.config.model_dump() for m in members]
    shapes = [{k: v for k, v in config.items() if k not in TRAINING_FIELDS} for config in configs]
    if any(shape != shapes[-1] for shape in shapes):
        raise UserError(f"{folders}: of different shape; accepted: such as went on from one another")
    states = [m.network.state_dict() for m in members]
    mean = {k: torch.stack([w * s[k] for w, s in zip(weights, states, strict=True)]).sum(0) for k in states[0]}
    members[-1].network.load_state_dict(mean)
    return members[-1]


def averaged(folders: Sequence[str], shares: Sequence[float]) -> AvatarGPTModel:
    """The mean of the weights of models trained from one another (model soups, arXiv 2203.05482); parts of a modality
    that only some of them have are the mean of those. `shares`: see `parse_shares`.
    """
    import torch

    from avatargpt.lm.checkpoint import load_model

    models = [load_model(f) for f in folders]
    widest = max(models, key=lambda m: len(m.config.modalities or {}))
    states = [m.state_dict() for m in models]
    mean = widest.state_dict()
    for folder, model, state in zip(folders, models, states, strict=True):
        modalities, wide = model.config.modalities or {}, widest.config.modalities or {}
        fits = all(wide.get(k) == v for k, v in modalities.items())
        if not fits or any(k not in mean or v.shape != mean[k].shape for k, v in state.items()):
            raise UserError(f"{folder}: another shape than {folders[0]}; accepted: models trained from one another")
    if len(models) > 1:
        with torch.no_grad():
            averaged_data = set()  # tied weights have several names
            for name, value in mean.items():
                if value.is_floating_point() and value.data_ptr() not in averaged_data:
                    averaged_data.add(value.data_ptr())
                    have = [(w, s[name]) for w, s in zip(shares, states, strict=True) if name in s and w]
                    if have:
                        total = sum(w for w, _ in have)
                        # In float32: sums of bfloat16 would round.
                        value.copy_(torch.stack([w / total * v.float() for w, v in have]).sum(0))
    return widest


def _pack_parts(args: SimpleNamespace, out: Path) -> None:
    """Phrase index, reader, plans, scorer, evaluator, gestures, driver, parser, where the options name them."""
    import torch

    reader = None
    if args.requests:
        from avatargpt.requests.reader import RequestReader

        RequestReader.load(args.requests).save(out, torch.int8)
        reader = RequestReader.load(out)
    if args.phrase_index:
        from avatargpt.requests.phrase_index import PhraseIndex

        index = PhraseIndex.load(args.phrase_index)
        if index is None:
            raise UserError(f"{args.phrase_index}: no phrase index in it; run the phrase-index stage")
        if reader is not None:
            index.read_captions(reader)
        index.save(out)
    if args.scorer:
        from avatargpt.lm.scorer import TextMotionScorer

        motion_scorer = TextMotionScorer.load(args.scorer)
        if motion_scorer is None:
            raise UserError(f"{args.scorer}: no text-motion scorer in it; run the scorer stage")
        motion_scorer.save(out, torch.bfloat16)
    if args.evaluator:
        from avatargpt.metrics.evaluator import MotionEvaluator

        MotionEvaluator.load(args.evaluator).save(out)
    if args.planner:
        from avatargpt.planning.library import PlanLibrary

        PlanLibrary.load(args.planner).save(out)
    if args.gestures:
        from avatargpt.gesture.driver import NAME, GestureDriver

        place = Path(args.gestures) / NAME
        GestureDriver.load(place)  # checked before anything is copied
        shutil.copytree(place, out / NAME, dirs_exist_ok=True)
    if args.driver or args.recorded:
        from avatargpt.face.audio_model.driver import Driver
    if args.driver:
        mean_of(args.driver, Driver.load).save(out / "driver", torch.int8)
    if args.recorded:
        mean_of(args.recorded, Driver.load).save_paired(out / "driver", torch.int8)
    if args.parser:
        from avatargpt.face.instructions.parser import InstructionParser

        # Commas separate networks that are averaged, "+" those of an ensemble.
        readers = [mean_of(folders, InstructionParser.load).network for folders in args.parser.split("+")]
        parser = InstructionParser(*(n.with_rank(args.rank or n.config.rank) for n in readers))
        parser.save(out / "driver", torch.int8)
