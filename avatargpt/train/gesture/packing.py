"""The gesture-bank and pack-gestures stages of `scripts/train.py`: the files of a model folder's ``gesture``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vqvae.errors import UserError


def gesture_bank_stage(args: argparse.Namespace) -> None:
    """SmartBody's gestures and our own key frames -> ``bank.safetensors``; prints what packing loses of them."""
    from avatargpt.gesture.bank import GestureBank
    from instruct_data.gesture.bank import read_bank
    from instruct_data.gesture.strokes import HAND, SIDES, Stroke, wrists
    from vqvae import rotations as rot

    made = read_bank(Path(args.gestures))
    found: dict[str, Stroke] = {}
    for one in (s for strokes in made.strokes.values() for s in strokes):
        found.setdefault(one.source, one)  # the next of that source is its mirror image
    bank = GestureBank.of(found.values(), made.rests[0])
    path = bank.save(args.output)
    far, bent = [], []
    for number, true in enumerate(found.values()):
        at, got = true.emphasis, bank._stroke(number, False)
        acting, fingers = [SIDES.index(s) for s in true.sides], [joint for s in true.sides for joint in HAND[s]]
        away = wrists(true.turns[at : at + 1]) - wrists(got.turns[at : at + 1])
        far.append(np.linalg.norm(away[0, acting], axis=-1).max())
        bent.append(np.degrees(rot.angle_between(true.turns[at, fingers], got.turns[at, fingers])).max())
    print(f"{path}: {len(bank)} strokes of {len(bank.names)} gestures, {path.stat().st_size / 1e3:.0f} kB; on the "
          f"emphasis wrists up to {1000 * float(np.max(far)):.1f} mm off, fingers {float(np.max(bent)):.2f} degrees")


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
