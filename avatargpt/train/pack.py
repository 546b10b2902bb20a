"""Everything a model folder holds, as shipped: the language model's weights, and what stands beside them.

The language model is kept in bfloat16 (shards below 16 MiB, which `from_pretrained` of transformers reads, too) or, as
shipped, in 8 bits a weight; the face's parts (its tokenizer and language model, the driver, the reader) always are in
8 bits. Together they would not fit else.
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


class Small(Protocol):
    """A driver or a reader: one network with its configuration."""

    network: Any


S = TypeVar("S", bound=Small)
LEARNT = ("lengths", "dropout")
"""What of a configuration says no shape, but what was learnt on the way."""


def pack_stage(args: SimpleNamespace) -> None:
    """Language model, tokenizers and what stands beside them -> one folder, as shipped, with its card."""
    import torch

    from avatargpt.face.tokens import MODEL_FOLDER
    from avatargpt.lm.checkpoint import load_model, save_model, save_small
    from avatargpt.lm.hub import write_card
    from avatargpt.lm.text_encoder import TextTokenizer
    from avatargpt.train.data.corpus import read_tokenizers
    from avatargpt.train.provenance import origin_of

    folders = args.language.split(",")
    model = averaged(folders, parse_shares(args.shares, len(folders)))
    tokenizers = read_tokenizers(args.tokenizer)
    apart = load_model(args.face) if args.face else None
    spoken = [m for m in (model, apart) if m is not None]
    wanted = [name for m in spoken for name in m.config.modalities or {}]
    if sorted(t.config.modality for t in tokenizers) != sorted(wanted):
        raise UserError(f"--tokenizer {args.tokenizer}: accepted: one of each of {', '.join(wanted)}")
    if "body" not in wanted:
        raise UserError(f"--language {args.language}: speaks {', '.join(wanted)}; accepted: a model with a body")
    places = {}
    for tokenizer in tokenizers:
        modality = tokenizer.config.modality
        own = modality in (model.config.modalities or {})
        (model if own or apart is None else apart).check_fingerprint(modality, tokenizer.fingerprint)
        if not own and apart is not None:
            tokenizer.round_codebooks()
            apart.set_codebooks(modality, tokenizer.codebooks, tokenizer.fingerprint)
        places[modality] = Path(args.output) / ("" if own else MODEL_FOLDER) / modality
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
    if apart is not None:
        save_small(apart, out / MODEL_FOLDER)
        TextTokenizer.load(args.face).save(out / MODEL_FOLDER)
    _beside(args, out)
    write_card(out, origin_of([*folders, *([args.face] if args.face else []), *args.tokenizer.split(",")]))
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 1e6
    print(f"{out}: {size:.1f} MB")


def parse_shares(said: str | None, count: int) -> list[float]:
    """"0.6,0.4" -> how much each of `count` models counts, summing to 1; None = all alike.

    Raises:
        UserError: no numbers, another count, negative ones, or all 0.
    """
    try:
        shares = [float(s) for s in said.split(",")] if said else [1.0] * count
    except ValueError:
        raise UserError(f"shares: {said!r}; accepted: numbers with commas between") from None
    if len(shares) != count or not all(0 <= s < float("inf") for s in shares) or not sum(shares):
        raise UserError(f"shares: {len(shares)} for {count} models; accepted: one each, 0 or more, not all 0")
    return [s / sum(shares) for s in shares]


def mean_of(folders: str, load: Callable[[str], S], shares: str | None = None) -> S:
    """The mean of the weights of drivers or of readers that went on from one another (model soups, arXiv 2203.05482).

    Args:
        folders: one or more, with commas between; the last one's configuration is kept.
        load: reads one.
        shares: how much each counts, see `parse_shares`.

    Raises:
        UserError: a folder without one, some of different shape, or shares that do not go with them.
    """
    import torch

    found = [load(f) for f in folders.split(",")]
    weights = parse_shares(shares, len(found))
    shapes = [{k: v for k, v in one.network.config.model_dump().items() if k not in LEARNT} for one in found]
    if any(shape != shapes[-1] for shape in shapes):
        raise UserError(f"{folders}: of different shape; accepted: such as went on from one another")
    states = [one.network.state_dict() for one in found]
    mean = {k: torch.stack([w * s[k] for w, s in zip(weights, states, strict=True)]).sum(0) for k in states[0]}
    found[-1].network.load_state_dict(mean)
    return found[-1]


def averaged(folders: Sequence[str], shares: Sequence[float]) -> AvatarGPTModel:
    """The mean of the weights of models that went on from one another (model soups, arXiv 2203.05482).

    Parts of a modality that only some of them know are the mean of those.

    Args:
        shares: how much each counts, see `parse_shares`.

    Raises:
        UserError: models of different shape or modalities.
    """
    import torch

    from avatargpt.lm.checkpoint import load_model

    models = [load_model(f) for f in folders]
    widest = max(models, key=lambda m: len(m.config.modalities or {}))
    states = [m.state_dict() for m in models]
    mean = widest.state_dict()
    for folder, model, state in zip(folders, models, states, strict=True):
        known, wide = model.config.modalities or {}, widest.config.modalities or {}
        fits = all(wide.get(k) == v for k, v in known.items())
        if not fits or any(k not in mean or v.shape != mean[k].shape for k, v in state.items()):
            raise UserError(f"{folder}: another shape than {folders[0]}; accepted: models trained from one another")
    if len(models) > 1:
        with torch.no_grad():
            done = set()  # tied weights have several names
            for name, value in mean.items():
                if value.is_floating_point() and value.data_ptr() not in done:
                    done.add(value.data_ptr())
                    have = [(w, s[name]) for w, s in zip(shares, states, strict=True) if name in s and w]
                    if have:
                        whole = sum(w for w, _ in have)
                        value.copy_(torch.stack([w / whole * v.float() for w, v in have]).sum(0))
    return widest


def _beside(args: SimpleNamespace, out: Path) -> None:
    """Phrase index, reader, plans, scorer, evaluator, gestures, driver, parser, as they are given."""
    import torch

    reader = None
    if args.requests:
        from avatargpt.requests.reader import RequestReader

        RequestReader.load(args.requests).save(out, torch.int8)
        reader = RequestReader.load(out)
    if args.phrase_index:
        from avatargpt.requests.phrase_index import PhraseIndex

        book = PhraseIndex.load(args.phrase_index)
        if book is None:
            raise UserError(f"{args.phrase_index}: no phrase index in it; run the phrase-index stage")
        if reader is not None:
            book.read_captions(reader)
        book.save(out)
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

        readers = [mean_of(folders, InstructionParser.load).network for folders in args.parser.split("+")]
        parser = InstructionParser(*(one.with_rank(args.rank or one.config.rank) for one in readers))
        parser.save(out / "driver", torch.int8)
