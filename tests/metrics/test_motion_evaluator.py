"""The evaluator of text and motion: its features, its network, its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.metrics.evaluator import CHANNELS, FILE, EvaluatorNetwork, MotionEvaluator, joint_features, padded
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion


def walk(frames: int = 50) -> Motion:
    """A figure in T-pose that glides ahead and turns left, one knee swinging."""
    t = np.arange(frames) / 20
    q = np.array(rot.identity((frames, 22)), np.float64)
    q[:, 0] = rot.from_axis_angle(np.outer(0.3 * t, [0, 1.0, 0]))
    q[:, 4] = rot.from_axis_angle(np.outer(0.5 * np.sin(6 * t), [1.0, 0, 0]))
    return Motion(q, np.stack([0 * t, 0 * t + 0.95, 1.2 * t], -1), 20.0)


def evaluator(seed: int = 0) -> MotionEvaluator:
    torch.manual_seed(seed)
    return MotionEvaluator(EvaluatorNetwork(16, 12, 8, 2))


def test_features_are_what_they_are_called() -> None:
    x = joint_features(walk().joints)
    assert x.shape == (50, CHANNELS) and x.dtype == np.float32
    assert np.allclose(x[:, 0], 0.95, atol=1e-5)
    assert np.allclose(np.linalg.norm(x[1:, 1:3], axis=1), 1.2, atol=1e-4)
    assert np.allclose(x[2:-2, 3], 0.3, atol=1e-3)
    assert np.isclose(x[-1, 135], np.sin(0.3 * 49 / 20), atol=2e-2)


def test_features_do_not_know_where_a_clip_stands() -> None:
    moved = walk().moved(1.1, np.array([3.0, 0.0, -2.0]))
    assert np.allclose(joint_features(walk().joints), joint_features(moved.joints), atol=1e-4)


@pytest.mark.parametrize("joints", [np.zeros((5, 21, 3)), np.zeros((1, 22, 3)), np.full((5, 22, 3), np.nan)])
def test_what_is_no_clip_is_refused(joints: np.ndarray) -> None:
    with pytest.raises(UserError, match="accepted"):
        joint_features(joints)


def test_padding_changes_nothing() -> None:
    judge = evaluator()
    rows = [joint_features(walk(n).joints) for n in (2, 7, 33, 50)]
    with torch.inference_mode():
        together = judge.network.encode_motions(*padded(rows)).numpy()
    alone = np.concatenate([judge.frames([r]) for r in rows])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(np.linalg.norm(alone, axis=1) - 1).max() < 1e-5
    assert np.abs(judge.frames(rows) - alone).max() < 1e-5


def test_file(tmp_path: Path) -> None:
    judge = evaluator()
    path = judge.save(tmp_path)
    back = MotionEvaluator.load(tmp_path)
    assert path.name == FILE and path.stat().st_size < 60_000
    assert (judge.motions([walk()]) * back.motions([walk()])).sum() > 0.99
    vectors = np.eye(3, 384, dtype=np.float32)
    assert (judge.sentences(vectors) * back.sentences(vectors)).sum(1).min() > 0.99
    assert back.fingerprint == MotionEvaluator.load(tmp_path).fingerprint != evaluator(1).fingerprint


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no evaluator.safetensors"):
        MotionEvaluator.load(tmp_path)
    path = evaluator().save(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="evaluator"):
        MotionEvaluator.load(tmp_path)
