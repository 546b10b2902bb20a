"""Train and measure the ablations of the speech driver: configs/driver/ablation_*.yaml, with several seeds each.

    python eval/ablations.py --speech out/speech --expressions out/expressions --texts TEXTS/face_text -o out/ablations

What is finished is not done again, and a training that was stopped goes on. The results file is written after every
run; the table of docs/ablations.md goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from avatargpt import evaluation
from avatargpt.config import resolve
from avatargpt.evaluation import report
from avatargpt.evaluation.face import driver_ablations, speech_face
from avatargpt.face.audio_model.driver import Driver
from avatargpt.model.text_encoder import SentenceGrounder
from avatargpt.train.audio_model import DriverRecipe, train
from avatargpt.train.running.runtime import Runtime
from avatargpt.train.speech_data import corpus, expressions
from vqvae.errors import UserError
from vqvae.io.json_file import read_object

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs" / "driver" / "ablations.yaml"
TRUNK = "look_ahead_2"  # hears, and was never conditioned: what the text branches begin on; the file as it stands
GROUPS = {
    "text": (
        "base", "gates", "emotion_tokens", "silent_zero", "silent_noise", "silent_token", "action_units", "composed",
    ),
    "look_ahead": (TRUNK, "look_ahead_0", "look_ahead_3"),
    "longer": ("base_longer", "emotion_tokens_longer"),
}  # fmt: skip
"""Trainings that are compared with the first of their group."""
SHOWN = {
    "text": (
        "events/own", "events/silence", "emotions/own", "emotions/silence", "auf1/own", "auf1_frames/own",
        "error_events/own", "error_feelings/own", "rest/own",
        "closure/clean", "false_closure_vowel/clean", "speech_closure/directed", "speech_false_closure/directed",
        "speech_events", "speech_error", "still/silence", "still/noise", "loss_curves/100", "loss_curves/last",
    ),
    "look_ahead": tuple(
        f"{name}/{source}"
        for source in ("clean", "recorded")
        for name in (
            "closure", "false_closure_vowel", "false_closure_consonant", "contact", "rounding", "jaw", "silence",
            "onset_lag", "closure_lag",
        )
    ) + ("still/silence", "still/noise", "loss_curves/last"),
}  # fmt: skip
SHOWN["longer"] = SHOWN["text"]
"""Figures of the table, in its order."""


def address_of(name: str) -> str:
    """The configuration of an ablation: a variant, or the file itself."""
    return str(CONFIGS) if name == TRUNK else f"{CONFIGS}:{name}"


def queue(seeds: int) -> Iterator[tuple[str, int]]:
    """Names and seeds in the order in which they are trained; the trunk comes before what begins on it."""
    yield TRUNK, 0
    for seed in range(seeds):
        for name in (n for names in GROUPS.values() for n in names):
            if (name, seed) != (TRUNK, 0):
                yield name, seed


def begins(name: str, seed: int) -> str | None:
    """The run whose driver a training begins from: None, the trunk, or the same training with fewer steps."""
    if name in GROUPS["longer"]:
        return f"{name.removesuffix('_longer')}.{seed}"
    return f"{TRUNK}.0" if name in GROUPS["text"] else None


def early(log: Path) -> dict[str, float]:
    """Distance of the curves in training: over the 25 steps until step 100, and over the last 25."""
    rows = [row for line in log.read_text().splitlines() if "curves" in (row := json.loads(line))]
    found = {f"loss_curves/{r['step']}": r["curves"] for r in rows if r["step"] == 100}
    return found | {"loss_curves/last": rows[-1]["curves"]}


class Ablations:
    """All trainings over the same caches, and what they are asked.

    Raises:
        UserError: a cache or texts that are not there.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.runtime = Runtime.start(args.threads, args.device)
        self.clips = [c for folder in str(args.speech).split(",") for c in corpus.load(folder)]
        self.told = expressions.load(args.expressions)
        if args.texts and not (args.texts / "val.jsonl").is_file():
            raise UserError(f"{args.texts}: no val.jsonl in it; the folder of facial instructions is needed")
        self.material = driver_ablations.Material.load(args.texts, self.clips, SentenceGrounder())
        self.suite = replace(evaluation.load("speech_face"), options={"drift_minutes": 0})

    def run(self, name: str, seed: int) -> dict[str, float]:
        """Train and measure one, unless that is done: figures by name."""
        out = self.args.output / f"{name}.{seed}"
        done = out / "figures.json"
        if done.is_file():
            return dict(read_object(done))
        address = address_of(name)
        recipe = DriverRecipe.read(resolve(address, [f"train.seed={seed}"]), address)
        first = begins(name, seed)
        start = Driver.load(self.args.output / first) if first else None
        driver = train(recipe, self.clips, self.told if start else [], out, self.runtime, start, where=address)
        if self.runtime.world > 1 and not self.runtime.main:
            return {}
        voices = Path(str(self.args.speech).split(",")[0])
        found: dict[str, Any] = dict(speech_face.score(self.suite, driver, None, voices)["results"])
        if start:
            found |= driver_ablations.directed(driver, self.material, recipe.train.sampling)
        figures = {k: v["mean"] for k, v in found.items() if v["mean"] is not None and k != "drift"}
        report.write(done, figures | early(out / "log.jsonl"))
        return dict(read_object(done))


def results(runs: dict[str, list[dict[str, float]]], ablations: Ablations) -> dict[str, Any]:
    """What the results file holds: the recipe, every run's figures, and the comparisons."""
    configs = {name: resolve(address_of(name)) for name in runs}
    m = ablations.material
    data = {
        "speech_clips": {s: sum(c.split == s for c in ablations.clips) for s in ("train", "val")},
        "speech_minutes": round(sum(len(c) for c in ablations.clips if c.split == "train") / 1800, 1),
        "expression_clips": {s: sum(c.split == s for c in ablations.told) for s in ("train", "val")},
        "instructions": len(m.scores), "events": sum(len(s.events) for s in m.scores), "voices": len(m.voices),
    }  # fmt: skip
    groups = {k: [n for n in names if n in runs] for k, names in GROUPS.items()}

    def shown(group: str, name: str) -> list[dict[str, float]]:
        return [{k: r[k] for k in SHOWN[group] if k in r} for r in runs[name]]

    return {
        "command": __doc__.split("\n\n")[1].strip() if __doc__ else "", "seeds": {k: len(v) for k, v in runs.items()},
        "data": data, "configs": configs, "runs": runs,
        "compared": {k: driver_ablations.compared({n: shown(k, n) for n in some}, some[0])
                     for k, some in groups.items() if some and some[0] == GROUPS[k][0]},
    }  # fmt: skip


def table(compared: dict[str, Any], names: tuple[str, ...]) -> str:
    """Markdown: a row for each figure; base, spread among seeds, the others, bold where chance does not reach."""
    there = [n for n in names if n in compared]
    others = list(dict.fromkeys(k for n in there for k in compared[n]["others"]))
    rows = [["figure", "base", "sd", *others], ["---"] * (len(others) + 3)]
    for name in there:
        row = compared[name]
        cells = [f"`{name}`", _digits(row["base"]), _digits(row["sd"])]
        for x in (row["others"].get(k, {}) for k in others):
            said = _digits(x.get("mean"))
            cells.append(f"**{said}**" if x.get("outside") else said)
        rows.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def _digits(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 5 else f"{value:.3f}" if abs(value) >= 0.1 else f"{value:.4f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--speech", required=True, help="folders of the speech stage, with commas between")
    parser.add_argument("--expressions", required=True, help="folder of the expressions stage")
    parser.add_argument("--texts", type=Path, help="folder with val.jsonl of the facial instructions")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "driver_ablations.json")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--finished", action="store_true", help="train nothing, compare what is finished")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default=None)
    args = parser.parse_args()
    try:
        ablations = Ablations(args)
        runs: dict[str, list[dict[str, float]]] = {}
        for name, seed in queue(args.seeds):
            if args.finished and not (args.output / f"{name}.{seed}" / "figures.json").is_file():
                continue
            runs.setdefault(name, []).append(ablations.run(name, seed))
            print(f"{name} {seed}", file=sys.stderr, flush=True)
            report.write(args.results, results(runs, ablations))
    except UserError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    for group, compared in read_object(args.results)["compared"].items():
        print(table(compared, SHOWN[group]), end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
