"""Which held-out facial instructions are in what readers learn from, but for capitals, stops and sides?

Usage: python scripts/learnt.py --texts FACE_TEXT CONFIG [CONFIG ...]

Draws the material of each `configs/driver/reader*.yaml` as it is without knowledge of the held-out texts of --texts
(the trainer itself has left them out since; the packaged readers are older) and prints the held-out texts, one a
line, that some stage would learn: as something composed, timed, joined, a plain name with its degree or a training
instruction's mirror image. `eval/suites/face_learnt.txt` is what this prints for the stages of the packaged readers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from avatargpt.config import resolve
from avatargpt.train.data.parser_data import bare, material, with_mirrored
from avatargpt.train.parser import ParserRecipe, read_scores
from vqvae.errors import UserError


def learnt(texts: Path, configs: Sequence[str]) -> Iterator[set[str]]:
    """For each configuration the held-out texts of the corpus that are in its material.

    Args:
        texts: folder with train.jsonl and val.jsonl.
        configs: configurations of the parser stage, FILE or FILE:VARIANT.

    Raises:
        UserError: a file is missing or damaged.
    """
    from instruct_data.face.score import OWN

    written, corpus, held_out = (read_scores([p]) for p in (OWN, texts / "train.jsonl", texts / "val.jsonl"))
    texts_of = {bare(s.text): score.text for score in held_out for s in with_mirrored([score])}
    for address in configs:
        groups, _ = material(written, ParserRecipe.read(resolve(address), address).data, corpus)
        yield {texts_of[b] for scores in groups.values() for s in scores if (b := bare(s.text)) in texts_of}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="folder of the corpus: train.jsonl, val.jsonl")
    parser.add_argument("configs", nargs="+", help="configurations of the parser stage, FILE or FILE:VARIANT")
    args = parser.parse_args()
    found: set[str] = set()
    try:
        for address, some in zip(args.configs, learnt(args.texts, args.configs), strict=True):
            print(f"{address}: {len(some)}", file=sys.stderr)
            found |= some
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print("\n".join(sorted(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
