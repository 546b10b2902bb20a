"""The suites `retrieval` and `retrieval_judge` on made clips and an untrained evaluator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt import evaluation
from avatargpt.evaluation import judges, outputs, retrieval
from avatargpt.metrics.degradations import DEGRADATIONS
from avatargpt.metrics.evaluator import EvaluatorNetwork, MotionEvaluator
from instruct_data.clip import Clip
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

WORDS = ("walks", "bows", "waves", "hops", "sits", "turns", "runs", "kneels", "claps", "nods")


def stroll(kind: int, frames: int) -> Motion:
    """A glide ahead at a speed that says its kind, one arm swinging."""
    t = np.arange(frames) / 20
    q = np.array(rot.identity((frames, 22)), np.float64)
    q[:, 16] = rot.from_axis_angle(np.outer(0.4 * np.sin((3 + kind) * t), [1.0, 0, 0]))
    return Motion(q, np.stack([0 * t, 0 * t + 0.96, 0.2 * kind * t], -1), 20.0)


def clips(count: int, start: int = 0) -> list[Clip]:
    return [
        Clip(f"c{i}", stroll(i % 10, 30 + i % 7), [f"a person {WORDS[i % 10]}.", f"someone {WORDS[i % 10]} slowly"],
             "bandai1", "", "val", "walk" if i % 10 else "bow")
        for i in range(start, start + count)
    ]  # fmt: skip


def judge() -> MotionEvaluator:
    torch.manual_seed(0)
    return MotionEvaluator(EvaluatorNetwork(16, 12, 8, 1))


def test_rows_of_answers() -> None:
    suite = replace(evaluation.load("retrieval"), options={"pool": 8, "repeats": 2, "several": 3, "samples": 4})
    asked: list[int] = []

    def answer(prompts: list[str], seeds: list[int]) -> list[Motion]:
        asked.append(len(prompts))
        return [stroll(seed + len(p) % 5, 40) for p, seed in zip(prompts, seeds, strict=True)]

    found = retrieval.score(suite, clips(16), clips(20, 100), judge(), answer)
    assert asked == [16, 12] and found["clips"] == 16
    assert found["baselines"] == ["real", "random pairing", "nearest caption"]
    for row in ("/real", "/random pairing", "/nearest caption", ""):
        assert 0 <= found["results"][f"top1{row}"]["mean"] <= found["results"][f"top3{row}"]["mean"] <= 1
    assert found["results"]["fid/nearest caption"]["mean"] > 0
    assert found["results"]["multimodality"]["mean"] > 0
    assert set(k.split("/")[0] for k in found["results"]) == set(suite.metrics)
    again = retrieval.score(suite, clips(16), clips(20, 100), judge(), None)["results"]
    assert again["top1/real"] == found["results"]["top1/real"] and "top1" not in again
    with pytest.raises(UserError, match="at least 8"):
        retrieval.score(suite, clips(5), clips(20), judge(), None)


def test_answers_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatargpt.evaluation import corpus

    held = clips(10)
    monkeypatch.setattr(corpus, "load_clips", lambda data, split: held)
    suite = replace(evaluation.load("retrieval"), options={"pool": 8, "repeats": 2})
    judge().save(tmp_path / "judge")
    for item, clip in zip(outputs.items(suite, tmp_path), held, strict=True):
        assert item.text == clip.captions[0]
        np.save(tmp_path / f"{item.id}.npy", clip.load().joints)
    found = outputs.score(suite, outputs.Outputs(tmp_path), tmp_path, tmp_path / "judge")
    for name in ("top1", "top3", "mm_dist", "diversity"):
        assert found["results"][name]["mean"] == pytest.approx(found["results"][f"{name}/real"]["mean"], abs=0.02)
    assert found["results"]["fid"]["mean"] < 1e-3 and found["baselines"] == ["real", "random pairing"]
    for number in range(1, 4):
        (tmp_path / f"{number:03d}.npy").unlink()
    few = outputs.score(suite, outputs.Outputs(tmp_path), tmp_path, tmp_path / "judge")
    assert few["results"] == {} and {f["item"] for f in few["failed"]} == {"001", "002", "003", "retrieval"}
    with pytest.raises(UserError, match="--data"):
        outputs.items(suite)


def test_judge_is_judged() -> None:
    options = {"pool": 8, "repeats": 2, "captions": 2, "keyframed": 1}
    suite = replace(evaluation.load("retrieval_judge"), options=options)
    found = judges.score_evaluator(suite, clips(16), [], judge())["results"]
    for name in (judges.AS_IT_IS, *DEGRADATIONS):
        assert found[f"geometry/{name}"]["n"] == 16 and found[f"top3/{name}"]["mean"] is not None
    assert found["fid/as it is"]["mean"] < 1e-6 < found["fid/noise"]["mean"]
    assert {f"agreement/{k}" for k in judges.FIGURES} <= set(found)
