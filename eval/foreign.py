"""Folders of other systems, end to end: the same clips in every accepted format, and made worse in every known way.

    python eval/foreign.py [--prompts 30] [--instructions 40] [--data DATA] [--only SUITE] [-o eval/foreign.json]

Clips that show what a suite asks are written as another system would hand them over, and scored by the command
``avatargpt eval run SUITE --outputs FOLDER``: keyframed clips of held-out seeds for prompts, rendered scores for facial
instructions, and recorded talk for gesture, where DATA holds the folder ``gesture``. Figures of all formats should be
the same within 1 %, and those of clips made worse should fall.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt import evaluation, export
from avatargpt.evaluation.body import synthetic
from avatargpt.evaluation.degradations.shown import Pool
from avatargpt.evaluation.outputs import scoring
from avatargpt.metrics.degraded import DEGRADATIONS, degrade
from vqvae.errors import UserError
from vqvae.io import ms272
from vqvae.motion import atomic_write

PROMPTS, FACES, GESTURE = "prompts_everyday", "face_instructions", "gesture"
ALIKE = 0.01  # of a figure
Write = Callable[[Any, Path], Any]


def _as(suffix: str, **options: Any) -> Write:
    return lambda motion, path: export.save(motion, path.with_suffix(suffix), **options)


def _array(of: Callable[[Any], np.ndarray]) -> Write:
    return lambda motion, path: np.save(path.with_suffix(".npy"), of(motion))


BODIES: dict[str, Write] = {
    "npz": _as(".npz"), "npz, SMPL-X": _as(".npz", layout="smplx"), "bvh": _as(".bvh"), "glb": _as(".glb"),
    "vrma": _as(".vrma"), "npy (T, 22, 7)": _as(".npy", layout="pos7"), "npy (T, 22, 3)": _array(lambda m: m.joints),
    "npy (T, 263)": _as(".npy", layout="hml263"), "npy (T, 272)": _array(ms272.encode),
}  # fmt: skip
FORMATS: dict[str, dict[str, Write]] = {
    PROMPTS: BODIES,
    FACES: {"npz": _as(".npz"), "csv": _as(".csv"), "glb": _as(".glb"), "json, BEAT": _as(".json", layout="beat"),
            "json, Audio2Face": _as(".json")},
    GESTURE: {"npz": _as(".npz"), "bvh": _as(".bvh"), "glb": _as(".glb"), "npz, SMPL-X": _as(".npz", layout="smplx")},
}  # fmt: skip
"""Suite -> accepted formats; the first is what others are compared with, and what worse clips are written as."""
MAIN = {PROMPTS: ("pass_rate",), FACES: ("events/own", "auf1/own"),
        GESTURE: ("hellinger/outputs", "fgd/outputs", "beat_alignment/outputs")}  # fmt: skip


def good(suite: evaluation.Suite, count: int, data: Path | None) -> dict[str, Any]:
    """Name of a file -> a clip that shows what is asked under it."""
    asked = scoring.items(suite, data)
    if suite.kind == "prompts":
        pool = Pool(list(synthetic.made(2)), 40)
        shown, neutral = pool.shown(suite.entries)
        chosen = dict(list(shown.items())[:: max(len(shown) // count, 1)][:count])
        return {i.id: (neutral | chosen)[i.text] for i in asked if i.text in neutral | chosen}
    if suite.kind == "gesture":
        from avatargpt.evaluation.gesture.talks import read_talks

        assert data is not None
        return {t.name: t.motion for t in read_talks(data) if t.motion is not None}
    from avatargpt.evaluation.face.given import sources
    from instruct_data.face.render import render

    return {f"own_{n:03d}": render(s, 1) for n, s in enumerate(sources(suite, None)["own"][:count], 1)}


def scored(suite: str, folder: Path, data: Path | None) -> dict[str, Any]:
    """The result of the command on a folder."""
    from typer.testing import CliRunner

    from avatargpt.cli.app import app

    out = folder.with_suffix(".json")
    more = ["--data", str(data)] if data is not None else []
    done = CliRunner().invoke(app, ["eval", "run", suite, "--outputs", str(folder), "-o", str(out), *more])
    if done.exit_code not in (0, 1):
        raise UserError(f"{suite} on {folder}: {done.exception or done.stderr}")
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


def _rows(result: Mapping[str, Any]) -> dict[str, float]:
    """What is judged -> the share that holds, of the suites that tell it."""
    rows = {p["prompt"]: p["passed"] for p in result.get("prompts", [])}
    rows |= {i["id"]: i["done"] for i in result.get("instructions", [])}
    return {k: float(np.mean(v)) for k, v in rows.items() if v}


def compared(suite: evaluation.Suite, clips: Mapping[str, Any], data: Path | None, room: Path) -> dict[str, Any]:
    """Figures of every format and of every degradation."""
    results: dict[str, dict[str, Any]] = {}

    def run(name: str, write: Write, made: Mapping[str, Any]) -> dict[str, Any]:
        folder = room / f"{suite.name} {len(results)}"
        folder.mkdir()
        for key, clip in made.items():
            write(clip, folder / key)
        result = scored(suite.name, folder, data)
        wrong = [f for f in result.get("failed", []) if not f["reason"].startswith("no file")]
        row: dict[str, Any] = {"figures": {f: result["results"].get(f, {}).get("mean") for f in MAIN[suite.name]},
                               "judged": len(_rows(result)), "failed": len(wrong)}  # fmt: skip
        if wrong:
            row["first_failure"] = wrong[0]["reason"]
        if result.get("unjudged"):
            row["unjudged"] = len(result["unjudged"])
        results[name] = result
        print(f"{suite.name}, {name}: {row}", file=sys.stderr)
        return row

    formats = {name: run(name, write, clips) for name, write in FORMATS[suite.name].items()}
    first = next(iter(FORMATS[suite.name]))
    for name, row in formats.items():
        mine, theirs = _rows(results[name]), _rows(results[first])
        both = [k for k in mine if k in theirs]
        if both:
            row["difference"] = abs(float(np.mean([mine[k] - theirs[k] for k in both])))
            row["rows_that_differ"] = sum(mine[k] != theirs[k] for k in both)
        else:
            pairs = [(row["figures"][f], formats[first]["figures"][f]) for f in MAIN[suite.name]]
            row["difference"] = max(abs(a - b) / max(abs(b), 1.0) for a, b in pairs if a is not None and b is not None)
        row["alike"] = row["difference"] <= ALIKE
    write = FORMATS[suite.name][first]
    worse = {
        name: run(name, write, {k: degrade(m, name, i) for i, (k, m) in enumerate(clips.items())})
        for name in DEGRADATIONS
    }
    return {"clips": len(clips), "formats": formats, "degradations": worse}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=30, help="how many prompts are answered")
    parser.add_argument("--instructions", type=int, default=40, help="how many facial instructions")
    parser.add_argument("--data", type=Path, help="a folder with the folder gesture; without it no gestures")
    parser.add_argument("--only", choices=tuple(FORMATS), help="one suite")
    parser.add_argument("-o", "--output", type=Path, help="where to write the figures (.json)")
    args = parser.parse_args()
    out: dict[str, Any] = {}
    try:
        for name in FORMATS:
            if (args.only not in (None, name)) or (name == GESTURE and args.data is None):
                continue
            suite = evaluation.load(name)
            data = args.data / "gesture" if name == GESTURE else None
            clips = good(suite, args.prompts if name == PROMPTS else args.instructions, data)
            with tempfile.TemporaryDirectory() as room:
                out[name] = compared(suite, clips, data, Path(room))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    text = json.dumps(out, indent=1) + "\n"
    if args.output is not None:
        atomic_write(args.output, lambda p: p.write_text(text, encoding="utf-8"))
    print(text, end="")
    alike = [row["alike"] for one in out.values() for row in one["formats"].values()]
    return 0 if all(alike) else 1


if __name__ == "__main__":
    sys.exit(main())
