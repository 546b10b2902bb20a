"""How codes enter the language model, configs/language/ablation_codes.yaml: what is trained, and what it is asked."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avatargpt.evaluation.body import code_ablation
from avatargpt.metrics.evaluator.evaluator import MotionEvaluator
from avatargpt.train.command import run_stage
from vqvae.tokenizer import MotionTokenizer

CONFIGS = Path(__file__).resolve().parents[1] / "configs" / "language" / "ablation_codes.yaml"
COMMAND = (
    "python eval/ablations.py codes --tokenizer avatargpt/weights/body --codes out/codes --texts TEXTS --data CORPUS "
    "--evaluator out/evaluator -o out/code_ablation"
)
GROUPS = {"codes": ("base", "learnt", "learnt_level_0")}
SHOWN = {
    "codes": (
        "loss/text_to_motion", "loss/motion_to_text", "loss/continuation", "loss/in_between", "kinematic_fid",
        "kinematic_fid/median", "evaluator_fid", "top1", "top3", "mm_dist",
        "joint_error/continuation", "joint_error/in_between",
    )
}  # fmt: skip


class CodeStudy:
    """What the adapter over code vectors is worth against a learnt vocabulary of codes.

    Raises:
        UserError: a missing folder.
    """

    command = COMMAND
    groups, shown = GROUPS, SHOWN

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        evaluator = MotionEvaluator.load(args.evaluator) if args.evaluator else None
        self.tokenizer = MotionTokenizer.load(args.tokenizer)
        self.material = code_ablation.Material.load(args.data, args.codes, self.tokenizer, evaluator)

    def address(self, name: str) -> str:
        return str(CONFIGS) if name == "base" else f"{CONFIGS}:{name}"

    def queue(self, seeds: int) -> Iterator[tuple[str, int]]:
        return ((name, seed) for seed in range(seeds) for name in GROUPS["codes"])

    def run(self, name: str, seed: int, out: Path) -> dict[str, float] | None:
        a = self.args
        given = {"tokenizer": a.tokenizer, "codes": a.codes, "texts": a.texts, "threads": a.threads, "device": a.device}
        options = [w for k, v in given.items() if v is not None for w in (f"--{k}", str(v))]
        address = self.address(name)
        run_stage(["language", "--config", address, "--set", f"train.seed={seed}", *options, "-o", str(out)])
        return code_ablation.measured(code_ablation.load_trained(out, self.tokenizer), self.material)

    def about(self) -> dict[str, Any]:
        evaluator = self.material.evaluator
        return {
            "held_out": len(self.material.clips), "samples": code_ablation.SAMPLES,
            "tokenizer": self.tokenizer.fingerprint, "evaluator": evaluator.fingerprint if evaluator else None,
            "limits": self.material.limits(),
        }  # fmt: skip
