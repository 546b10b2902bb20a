"""The judge stage of `scripts/train.py`: clips that people looked at -> `avatargpt.body.judge`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from avatargpt.api import AvatarGPT
from avatargpt.body.judge import MEASURES, JudgeWeights, Shown, StepJudge, measure, standardise
from avatargpt.resources import weights
from avatargpt.train.runtime import Runtime
from instruct_data import judged
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.io.files import atomic_write

CLIPS = Path(judged.__file__).parent / "clips.jsonl.xz"
RIDGE = 30.0  # of the weights of standardised measures
# shares of clips below a score that people did not see shown as said
NOT_PRECISION, PARTLY_PRECISION = 0.9, 0.8
AS_SAID = 1.75  # mean label, 0 to 2, from which a clip counts as shown


def judge_stage(args: SimpleNamespace) -> None:
    """Fit the judge and print how well it tells the clips of others apart."""
    Runtime.start(args.threads, args.device)
    model = AvatarGPT.from_pretrained(args.start or str(weights())).body.model
    rows = [row for _, row in json_rows(args.clips or CLIPS)]
    tokenizer = model.tokenizer
    if not rows or any(row["tokenizer"] != tokenizer.fingerprint for row in rows):
        raise UserError(f"{args.clips or CLIPS}: clips of another tokenizer than that of {args.start or weights()}")
    measures = []
    for row in rows:
        codes = np.array(row["codes"], np.int64)
        captions, actions = zip(*row["clauses"], strict=True)
        shown = Shown(row["text"], captions, actions, row["known"], row["unshown"])
        measures.append(measure(model, tokenizer.decode(codes), shown, codes))
    labels = np.array([np.mean(list(row["labels"].values())) for row in rows])
    fitted, figures = fit_judge(np.stack(measures), labels, [min(row["labels"]) for row in rows],
                                np.array([bool(row.get("held")) for row in rows]))  # fmt: skip
    out = Path(args.output)
    StepJudge(fitted).save(out)
    text = json.dumps(figures, indent=1) + "\n"
    atomic_write(out / "figures.json", lambda p: p.write_text(text, encoding="utf-8"))
    print(text, end="")


def fit_judge(
    measures: np.ndarray, labels: np.ndarray, people: Sequence[str], held: np.ndarray
) -> tuple[JudgeWeights, dict[str, Any]]:
    """The judge, and its figures on clips that are held out.

    Args:
        measures: (N, F). labels: (N,) 0 = not shown, 1 = partly, 2 = as said. people: who labelled each; thresholds are
            chosen by the scores that each one's clips have by a fit to those of the others. held: (N,) of those that
            are for the figures alone.
    """
    learnt, names = ~held, np.array(people)
    mean, scale = measures[learnt].mean(0), measures[learnt].std(0) + 1e-6
    z = standardise(measures, mean, scale)

    def fit(rows: np.ndarray) -> np.ndarray:
        target = labels[rows] / 2
        return np.linalg.solve(z[rows].T @ z[rows] + RIDGE * np.eye(z.shape[1]), z[rows].T @ (target - target.mean()))

    scores = np.zeros(len(labels))
    for name in sorted(set(names[learnt])):
        rows = learnt & (names == name)
        scores[rows] = z[rows] @ fit(learnt & (names != name))
    missed = labels < AS_SAID
    not_below, partly_below = (
        find_threshold(scores[learnt], missed[learnt], p) for p in (NOT_PRECISION, PARTLY_PRECISION)
    )
    found = fit(learnt)
    scores[held] = z[held] @ found
    out = JudgeWeights(
        measures=list(MEASURES), mean=_round(mean), scale=_round(scale), weights=_round(found),
        not_below=round(not_below, 4), partly_below=round(partly_below, 4),
    )  # fmt: skip
    told = scores < out.partly_below
    return out, {
        name: {
            "auc_shown": area(scores[rows], ~missed[rows]), "auc_at_all": area(scores[rows], labels[rows] >= 0.5),
            "clips": int(rows.sum()), "shown": round(float(1 - missed[rows].mean()), 3),
            "told": round(float(told[rows].mean()), 3), "precision": round(float(missed[rows & told].mean()), 3),
            "recall": round(float(told[rows & missed].mean()), 3),
        }
        for name, rows in (("learnt", learnt), ("held", held)) if rows.any()
    }  # fmt: skip


def _round(values: np.ndarray) -> list[float]:
    return [float(f"{v:.6g}") for v in values]


def find_threshold(scores: np.ndarray, missed: np.ndarray, precision: float) -> float:
    """The highest score below which at least this share is missed; below all where there is none."""
    order = np.argsort(scores)
    shares = missed[order].cumsum() / np.arange(1, len(order) + 1)
    good = np.flatnonzero(shares >= precision)
    return float(scores[order[good[-1]]]) if len(good) else float(scores.min())


def area(scores: np.ndarray, right: np.ndarray) -> float:
    """Area under the curve: how often a right one has the higher score of two."""
    a, b = scores[right][:, None], scores[~right][None]
    return round(float(((a > b) + 0.5 * (a == b)).mean()), 3)
