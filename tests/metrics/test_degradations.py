"""Degradations of bodies and faces: length, repeatability, and what each changes."""

import numpy as np
import pytest

from avatargpt.metrics.degradations import DEGRADATIONS, degrade
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion


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
