"""The gestures of a model folder, as shipped: network and tokenizer in 8 bits, in the folder ``gesture``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vqvae.errors import UserError


def pack_gestures_stage(args: argparse.Namespace) -> None:
    """A gesture network and the tokenizer whose codes it speaks -> the folder ``gesture`` of a model folder.

    Raises:
        UserError: a folder without one, or the tokenizer of another network.
    """
    import torch

    from avatargpt.gesture.bank import GestureBank
    from avatargpt.gesture.driver import NAME, GestureDriver
    from avatargpt.metrics.gesture.fgd import GestureFeatures
    from vqvae.tokenizer import MotionTokenizer

    driver, tokenizer = GestureDriver.load(args.gesture), MotionTokenizer.load(args.tokenizer)
    driver.check_tokenizer(tokenizer.fingerprint)
    out = Path(args.output) / NAME
    driver.save(out, torch.int8)
    tokenizer.save(out, torch.int8)
    if args.bank:
        bank = GestureBank.load(args.bank)
        if bank is None:
            raise UserError(f"{args.bank}: no bank of gestures in it; run the gesture-bank stage")
        bank.save(out)
    if args.fgd:
        GestureFeatures.load(args.fgd).save(out)
    size = sum(f.stat().st_size for f in out.iterdir() if f.is_file()) / 1e6
    print(f"{out}: {size:.1f} MB")
