"""Draws clips of keyframed action families, to be looked at.

    python scripts/preview_synth.py drink sit_down -o sheet.png --count 2
    python scripts/preview_synth.py my_action.yaml -o sheet.png --frames 12 --seed 5

Names are those of packaged families or paths of action files; without names every family is drawn once. Prints the
physics figures of what it draws.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avatargpt.export.sheet import contact_sheet
from instruct_data.synth.check import figures, table
from instruct_data.synth.families import ACTIONS, keyframed
from instruct_data.synth.loading import load_family
from vqvae.errors import UserError


def main() -> int:
    """Parse the command line, write the sheet; 1 after a mistake in a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="families, or action files")
    parser.add_argument("-o", "--output", default="sheet.png")
    parser.add_argument("--count", type=int, default=1, help="clips per family")
    parser.add_argument("--frames", type=int, default=10, help="poses per clip")
    parser.add_argument("--seed", type=int, default=0, help="of the first clip")
    args = parser.parse_args()
    motions, captions, rows = [], [], []
    try:
        paths = [Path(n) if n.endswith(".yaml") else ACTIONS / f"{n}.yaml" for n in args.names]
        for path in paths or sorted(ACTIONS.glob("*.yaml")):
            family = load_family(path)
            clips = keyframed(family, range(args.seed, args.seed + args.count))
            for clip in clips:
                motion = clip.load()
                motions.append(motion)
                told = f"{clip.extra.get('side', '')} {clip.extra['params']}"
                captions.append(f"{family.name} {told}: {clip.captions[0]}")
            rows.append((family.name, figures(clips)))
        contact_sheet(motions, captions, args.output, args.frames)
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    print(table(rows))
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
