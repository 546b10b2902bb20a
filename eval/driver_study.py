"""The ablations of the speech driver, configs/driver/ablations.yaml: what is trained, and what it is asked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from avatargpt import evaluation
from avatargpt.config import resolve
from avatargpt.evaluation.face import driver_ablations, speech_face
from avatargpt.face.audio_model.driver import Driver
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.audio_model import DriverRecipe, train
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data import corpus, expressions
from vqvae.errors import UserError

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "driver" / "ablations.yaml"
COMMAND = (
    "python eval/ablations.py driver --speech out/speech --expressions out/expressions --texts TEXTS/face_text "
    "-o out/ablations"
)
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


class DriverStudy:
    """What each choice in the speech driver is worth: all trainings over the same caches, and what they are asked.

    Raises:
        UserError: a cache or texts that are not there.
    """

    command = COMMAND
    groups, shown = GROUPS, SHOWN

    def __init__(self, args: argparse.Namespace) -> None:
        self.voices = Path(str(args.speech).split(",")[0])
        self.runtime = Runtime.start(args.threads, args.device)
        self.clips = [c for folder in str(args.speech).split(",") for c in corpus.load(folder)]
        self.told = expressions.load(args.expressions)
        if args.texts and not (args.texts / "val.jsonl").is_file():
            raise UserError(f"{args.texts}: no val.jsonl in it; the folder of facial instructions is needed")
        self.material = driver_ablations.Material.load(args.texts, self.clips, SentenceGrounder())
        self.suite = replace(evaluation.load("speech_face"), options={"drift_minutes": 0})

    def address(self, name: str) -> str:
        return address_of(name)

    def queue(self, seeds: int) -> Iterator[tuple[str, int]]:
        return queue(seeds)

    def run(self, name: str, seed: int, out: Path) -> dict[str, float] | None:
        recipe = DriverRecipe.read(resolve(address_of(name), [f"train.seed={seed}"]), address_of(name))
        first = begins(name, seed)
        start = Driver.load(out.parent / first) if first else None
        driver = train(recipe, self.clips, self.told if start else [], out, self.runtime, start, where=address_of(name))
        if self.runtime.world > 1 and not self.runtime.main:
            return None
        found: dict[str, Any] = dict(speech_face.score(self.suite, driver, None, self.voices)["results"])
        if start:
            found |= driver_ablations.directed(driver, self.material, recipe.train.sampling)
        figures = {k: v["mean"] for k, v in found.items() if v["mean"] is not None and k != "drift"}
        return figures | early(out / "log.jsonl")

    def about(self) -> dict[str, Any]:
        m = self.material
        return {
            "speech_clips": {s: sum(c.split == s for c in self.clips) for s in ("train", "val")},
            "speech_minutes": round(sum(len(c) for c in self.clips if c.split == "train") / 1800, 1),
            "expression_clips": {s: sum(c.split == s for c in self.told) for s in ("train", "val")},
            "instructions": len(m.scores), "events": sum(len(s.events) for s in m.scores), "voices": len(m.voices),
        }  # fmt: skip
