"""Draw clips of keyframed action families as a contact sheet.

    python scripts/preview_synth.py drink sit_down -o sheet.png --count 2
    python scripts/preview_synth.py my_action.yaml -o sheet.png --frames 12 --seed 5

Names are those of packaged families or paths of action files; without names every family is drawn once.
Prints the physics figures of the drawn clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from avatargpt.export.sheet import contact_sheet
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import families, keyframed
from instruct_data.factory.synth.loading import load_family
from vqvae import rotations as rot
from vqvae.errors import UserError

COLUMNS = ("seconds", "skate", "below", "bent", "speed", "feet", "jerk", "jump")
MEANING = (
    "seconds: mean length; skate: largest slide of a planted toe, mm/frame; below: deepest joint under the floor, cm; "
    "bent: share of frames with a joint beyond its limits, %; speed, feet: peak of wrists and ankles, m/s (median); "
    "jerk: mean jerk of the joints, m/s^3; jump: largest turn of a joint in a frame, degrees"
)


def keyframed_rows(names: list[str], seed: int, count: int) -> Iterator[tuple[str, list[tuple[str, Clip]]]]:
    """Families by name, and clips of each with what was drawn."""
    by_name = families()
    if unknown := [n for n in names if not n.endswith(".yaml") and n not in by_name]:
        raise UserError(f"no family called {', '.join(unknown)}; accepted: {', '.join(sorted(by_name))}")
    for family in [load_family(n) if n.endswith(".yaml") else by_name[n] for n in names] or by_name.values():
        clips = keyframed(family, range(seed, seed + count))
        titles = [f"{family.name} {c.extra.get('side', '')} {c.extra['params']}: {c.captions[0]}" for c in clips]
        yield family.name, list(zip(titles, clips, strict=True))


def figures(clips: Sequence[Clip]) -> dict[str, float]:
    """The figures named in `COLUMNS` over a list of clips; see `MEANING`."""
    seconds, skate, below, bent, speed, feet, jerk, jump = [], [0.0], [0.0], [], [], [], [], [0.0]
    for clip in clips:
        motion = clip.load()
        joints = motion.joints.astype(np.float64)
        seconds.append(motion.seconds)
        floor = clip.extra.get("lowest", 0.0)
        toes = joints[:, [10, 11]]
        low = toes[..., 1] - floor < 0.012
        moved = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * (low[1:] & low[:-1])
        skate.append(1000 * float(np.percentile(moved, 99)) if len(moved) else 0.0)
        below.append(100 * max(0.0, floor - float(joints[..., 1].min())))
        bent.append(100 * float(violations(motion.rotations).mean()))
        velocity = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * motion.fps
        speed.append(float(velocity[:, [20, 21]].max()))
        feet.append(float(velocity[:, [7, 8]].max()))
        third = np.diff(joints, 3, axis=0) * motion.fps**3
        jerk.append(float(np.linalg.norm(third, axis=-1).mean()))
        q = motion.rotations.astype(np.float64)
        jump.append(float(np.degrees(rot.angle_between(q[1:], q[:-1]).max())))
    values: tuple[float, ...] = (
        float(np.mean(seconds)), max(skate), max(below), float(np.mean(bent)), float(np.median(speed)),
        float(np.median(feet)), float(np.mean(jerk)), max(jump),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def violations(rotations: np.ndarray) -> np.ndarray:
    """(T,) whether a hinge is bent the wrong way or too far, or a wrist, neck or head beyond its range."""
    v = np.degrees(rot.to_axis_angle(rotations.astype(np.float64)))
    knees = v[:, [4, 5], 0]
    elbows = v[:, [18, 19], 1] * np.array([-1.0, 1.0])
    out = (knees < -3).any(1) | (knees > 155).any(1) | (elbows < -3).any(1) | (elbows > 156).any(1)
    off = np.abs(v[:, [4, 5], 1:]).max((1, 2))
    bends = np.linalg.norm(v[:, [12, 15, 20, 21, 3, 6, 9, 7, 8]], axis=-1)
    limits = np.array([50, 50, 100, 100, 55, 55, 55, 85, 85])
    return out | (off > 6) | (bends > limits).any(1)


def table(rows: Sequence[tuple[str, dict[str, float]]]) -> str:
    """Text table of figures, one line per family."""
    wide = max([len(n) for n, _ in rows] + [6])
    lines = [" " * wide + "".join(f"{c:>9}" for c in COLUMNS)]
    lines += [f"{name:{wide}}" + "".join(f"{f[c]:9.2f}" for c in COLUMNS) for name, f in rows]
    return "\n".join([*lines, MEANING])


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
