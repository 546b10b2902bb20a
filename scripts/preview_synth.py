"""Draw clips of keyframed action families as a contact sheet.

    python scripts/preview_synth.py drink sit_down -o sheet.png --count 2
    python scripts/preview_synth.py my_action.yaml -o sheet.png --frames 12 --seed 5

Names are those of packaged families or paths of action files; without names every family is drawn once.
Prints the physics figures of the drawn clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avatargpt.export.sheet import contact_sheet
from instruct_data.clip import Clip
from instruct_data.synth.check import figures, table
from instruct_data.synth.families import families, keyframed
from instruct_data.synth.loading import load_family
from vqvae.errors import UserError


def keyframed_rows(names: list[str], seed: int, count: int) -> Iterator[tuple[str, list[tuple[str, Clip]]]]:
    """Families by name, and clips of each with what was drawn."""
    known = families()
    if unknown := [n for n in names if not n.endswith(".yaml") and n not in known]:
        raise UserError(f"no family called {', '.join(unknown)}; accepted: {', '.join(sorted(known))}")
    for family in [load_family(n) if n.endswith(".yaml") else known[n] for n in names] or known.values():
        clips = keyframed(family, range(seed, seed + count))
        titles = [f"{family.name} {c.extra.get('side', '')} {c.extra['params']}: {c.captions[0]}" for c in clips]
        yield family.name, list(zip(titles, clips, strict=True))


def main() -> int:
    """Parse the command line, write the sheet; 1 after a mistake in a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", help="families, or action files")
    parser.add_argument("-o", "--output", default="sheet.png")
    parser.add_argument("--count", type=int, default=1, help="clips per family")
    parser.add_argument("--frames", type=int, default=10, help="poses per clip")
    parser.add_argument("--seed", type=int, default=0, help="of the first clip")
    args = parser.parse_args()
    try:
        groups = list(keyframed_rows(args.names, args.seed, args.count))
        drawn = [row for _, rows in groups for row in rows]
        contact_sheet([clip.load() for _, clip in drawn], [title for title, _ in drawn], args.output, args.frames)
        rows = [(name, figures([clip for _, clip in rows])) for name, rows in groups]
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    print(table(rows))
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
