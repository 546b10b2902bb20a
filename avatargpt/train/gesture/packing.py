"""The gesture-bank and pack-gestures stages of `scripts/train.py`: the files of a model folder's ``gesture``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from avatargpt.gesture.bank import GestureBank
from avatargpt.gesture.driver import NAME, GestureDriver
from avatargpt.metrics.gesture.fgd import GestureFeatures
from instruct_data.gesture.bank import read_bank
from instruct_data.gesture.strokes import HAND, SIDES, Stroke, wrists
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.tokenizer import MotionTokenizer


def gesture_bank_stage(args: argparse.Namespace) -> None:
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


def pack_gestures_stage(args: argparse.Namespace) -> None:
    """A gesture network, its tokenizer, bank and FGD encoder -> the folder ``gesture`` of a model folder, in 8 bits.
    """
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
