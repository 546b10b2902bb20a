"""The gesture-bank stage of `scripts/train.py`: gestures that mean something, as tokens of the gesture tokenizer."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np


def gesture_bank_stage(args: argparse.Namespace) -> None:
    """SmartBody's gestures and our own key frames -> ``bank.safetensors``; prints what tokens lose of them."""
    from avatargpt.gesture.bank import Coded, GestureBank
    from instruct_data.gesture.bank import read_bank
    from instruct_data.gesture.strokes import HAND, motion_of, wrists
    from vqvae import rotations as rot
    from vqvae.features.gesture import GestureFeatures
    from vqvae.tokenizer import MotionTokenizer

    tokenizer, made = MotionTokenizer.load(args.tokenizer), read_bank(Path(args.gestures))
    coded, seen = [], set()
    for strokes in made.strokes.values():
        for one in strokes:
            if one.source in seen:
                continue  # its mirror image
            seen.add(one.source)
            codes = tokenizer.encode_features(GestureFeatures().encode(motion_of(one.turns)))
            sides = "".join(one.sides)
            frames = len(one.turns)
            coded.append(Coded(one.name, one.source, one.performer, one.start, one.emphasis, min(one.end, frames - 1),
                               sides, frames, codes))  # fmt: skip
    bank = GestureBank(coded, made.rests[0], tokenizer, tokenizer.fingerprint)
    path = bank.save(args.output)
    far, bent = [], []
    for number, c in enumerate(coded):
        true = next(s for s in made.strokes[c.name] if s.source == c.source)
        got = bank._stroke(number, False)
        at, fingers = c.emphasis, [*HAND["l"], *HAND["r"]]
        far.append(np.linalg.norm(wrists(true.turns)[at] - wrists(got.turns)[at], axis=-1).max())
        bent.append(np.degrees(rot.angle_between(true.turns[at, fingers], got.turns[at, fingers])).mean())
    print(f"{path}: {len(coded)} strokes of {len(bank.names)} gestures, {path.stat().st_size / 1e3:.0f} kB; on the "
          f"emphasis wrists {1000 * float(np.mean(far)):.0f} mm off, fingers {float(np.mean(bent)):.1f} degrees")
