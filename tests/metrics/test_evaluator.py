"""The learnt evaluator of motion, and degradations that it must see."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.metrics.degradations import DEGRADATIONS, degrade
from avatargpt.metrics.evaluator import CHANNELS, FILE, EvaluatorNetwork, MotionEvaluator, joint_features, padded
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion


class _Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("called",)


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


def test_degradations() -> None:
    n = 40
    q = rot.from_axis_angle(np.outer(np.linspace(0, 1, n), [0, 0, 1.0])[:, None] * (np.arange(22) == 16)[:, None])
    motion = Motion(q, np.stack([np.zeros(n), np.full(n, 0.95), np.arange(n) / 20], -1))
    length = {"half speed": 79, "double speed": 20, "half length": 20}
    for name in DEGRADATIONS:
        worse = degrade(motion, name, 3)
        assert len(worse) == length.get(name, n), name
        assert (degrade(motion, name, 3).joints == worse.joints).all()
        assert np.abs(worse.joints[0, 0, [0, 2]]).max() < 1e-6
        assert len(worse) != n or np.abs(worse.joints - motion.joints).max() > 0.05, name
    assert degrade(motion, "constant pose").joints.std(0).max() < 1e-6
    away = motion.moved(0.3, np.array([2.0, 0, 1]))
    assert np.abs(degrade(away, "half length", in_place=True).joints - away.joints[: n // 2]).max() < 1e-6
    with pytest.raises(UserError, match="accepted: noise"):
        degrade(motion, "upside down")


def test_degradations_of_faces() -> None:
    n = 40
    weights = np.zeros((n, arkit.COUNT), np.float32)
    weights[:, arkit.INDEX["mouthSmileLeft"]] = np.linspace(0, 1, n)
    face = FaceMotion(weights, np.outer(np.linspace(0, 0.5, n), [1.0, 0.5, -1.0]))
    worse = {name: degrade(face, name, 3) for name in DEGRADATIONS}
    assert {k: len(w) for k, w in worse.items() if len(w) != n} == {
        "half speed": 79, "double speed": 20, "half length": 20
    }  # fmt: skip
    assert all((degrade(face, k, 3).curves == w.curves).all() for k, w in worse.items())
    flipped = worse["mirrored"]
    np.testing.assert_array_equal(flipped.channel("mouthSmileRight"), face.channel("mouthSmileLeft"))
    np.testing.assert_allclose(flipped.head, face.head * [-1, 1, -1])
    np.testing.assert_allclose(worse["half speed"].curves[::2], face.curves, atol=1e-6)
    assert worse["half speed"].curves[1] == pytest.approx(face.curves[:2].mean(0), abs=1e-6)
    np.testing.assert_array_equal(worse["double speed"].curves, face.curves[::2])
    np.testing.assert_array_equal(worse["half length"].curves, face.curves[:20])
    np.testing.assert_array_equal(worse["constant pose"].curves, np.tile(face.curves[20], (n, 1)))
    order = worse["shuffled time"].channel("mouthSmileLeft")
    assert (order != face.channel("mouthSmileLeft")).any() and np.ptp(np.sort(order) - weights.max(1)) == 0
    assert 0.08 < (worse["noise"].head - face.head).std() < 0.12 and worse["noise"].weights.min() >= 0
