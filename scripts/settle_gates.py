"""The mean of drivers in eight bits, with both gates as sensitive as the allowed mistakes on recorded voices permit.

    python scripts/settle_gates.py DRIVER,DRIVER --speech CACHE,CACHE -o OUT

A mean and its rounding move the gates that each driver was trained with, so they are settled last. OUT holds
``driver.json`` and ``driver.safetensors``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.train.pack import mean_of
from avatargpt.train.speech_data import corpus
from avatargpt.train.speech_data.validation import settle_gate
from vqvae.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drivers", help="folders of drivers, with commas between")
    parser.add_argument("--speech", required=True, help="caches of speech data with validation clips")
    parser.add_argument("--source", default="dialogue", help="the first part of the names of the clips that decide")
    parser.add_argument("--false-closures", type=float, default=0.06, help="share of vowels, and of other consonants")
    parser.add_argument("--false-contacts", type=float, default=0.06, help="share of vowels")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        clips = [c for folder in args.speech.split(",") for c in corpus.load(folder) if c.split == "val"]
        mean_of(args.drivers, Driver.load).save(args.output, torch.int8)
        driver = Driver.load(args.output)  # with rounded weights
        for gate, share in (("seal", args.false_closures), ("bite", args.false_contacts)):
            shift = settle_gate(driver.network, clips, share, gate, args.source)
            print(f"{gate}: {shift:+.2f}")
        driver.save(args.output, torch.int8)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
