"""Everything a model folder holds, as shipped: bfloat16 weights in shards below 16 MiB, and what stands beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from vqvae.errors import UserError


def pack_stage(args: argparse.Namespace) -> None:
    """Language model and tokenizers -> one folder of bfloat16 weights in shards below 16 MiB, as shipped."""
    import torch

    from avatargpt.checkpoint import load_model, save_model
    from avatargpt.text import TextTokenizer
    from vqvae.tokenizer import MotionTokenizer

    model, tokenizer = load_model(args.language), MotionTokenizer.load(args.tokenizer)
    model.check_fingerprint(tokenizer.config.modality, tokenizer.fingerprint)
    out = Path(args.output)
    torch.nn.Module.to(model, torch.bfloat16)
    save_model(model, out, "15MB")
    TextTokenizer.load(args.language).save(out)
    tokenizer.save(out / tokenizer.config.modality, torch.bfloat16)
    _beside(args, out, tokenizer.fingerprint)
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 1e6
    print(f"{out}: {size:.1f} MB")


def _beside(args: argparse.Namespace, out: Path, fingerprint: str) -> None:
    """Book, library, planning library, intents, matcher, driver and reader, each where it is given."""
    import torch

    if args.book:
        from avatargpt.wording import Wording

        book = Wording.load(args.book)
        if book is None:
            raise UserError(f"{args.book}: no book of phrasings in it; run the book stage")
        book.save(out)
    if args.library:
        from avatargpt.library import Library

        library = Library.load(args.library)
        if library is None:
            raise UserError(f"{args.library}: no library in it; run the library stage")
        library.check(fingerprint)
        library.save(out)
    if args.matcher:
        from avatargpt.matcher import Matcher

        matcher = Matcher.load(args.matcher)
        if matcher is None:
            raise UserError(f"{args.matcher}: no matcher in it; run the matcher stage")
        matcher.save(out, torch.bfloat16)
    if args.planner:
        from avatargpt.planning.store import PlanLibrary

        PlanLibrary.load(args.planner).save(out)
    if args.intents:
        from avatargpt.chat.classifier import FILE, TurnIntent
        from avatargpt.text import SentenceGrounder

        intents = TurnIntent.load(args.intents, SentenceGrounder(), None)
        if intents is None:
            raise UserError(f"{args.intents}: no {FILE} in it; run the intents stage")
        intents.save(out / FILE)
    if args.driver:
        from avatargpt.speech.driver import Driver

        Driver.load(args.driver).save(out / "driver", torch.bfloat16)
    if args.reader:
        from avatargpt.speech.reader import ScoreReader

        ScoreReader.load(args.reader).save(out / "driver", torch.bfloat16)
