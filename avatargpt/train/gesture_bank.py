"""The gesture-bank stage of `scripts/train.py`: gestures that mean something, for the overlay of run time."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np


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
