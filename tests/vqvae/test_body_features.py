"""The body layout comes back to where it came from, whole and in chunks."""

from itertools import pairwise

import numpy as np
import pytest

from vqvae import rotations as rot
from vqvae.features import BodyFeatures, GestureFeatures
from vqvae.io.hml263 import HML263Features
from vqvae.motion import Motion

SPEC = BodyFeatures()


def assert_round_trip(motion: Motion) -> None:
    """Below 1 mm and 0.1 degrees. The layout forgets where the clip starts and, for lack of an earlier frame, faces
    it by the smoothed heading: both sides are made canonical."""
    back, reference = SPEC.decode(SPEC.encode(motion)), motion.canonical()
    assert len(back) == len(motion)
    assert np.linalg.norm(back.joints - reference.joints, axis=-1).max() < 1e-3
    angle = rot.angle_between(back.rotations.astype(np.float64), reference.rotations.astype(np.float64))
    assert np.degrees(angle).max() < 0.1


@pytest.mark.parametrize("turn", [0.0, 2.0, -4.0])
@pytest.mark.parametrize("frames", [2, 3, 120, 2000])
def test_round_trip_on_synthetic_motion(frames: int, turn: float, wander) -> None:
    assert_round_trip(wander(frames, seed=frames, turn=turn))


def test_round_trip_on_real_clips(real_clips: list[Motion]) -> None:
    assert len(real_clips) == 50
    for clip in real_clips:
        assert_round_trip(clip)


def test_one_frame(wander) -> None:
    assert_round_trip(wander(1))


def test_channels_add_up_and_say_what_they_are(wander) -> None:
    motion = wander(60)
    x, s = SPEC.encode(motion), SPEC.slices()
    assert x.shape == (60, SPEC.dim) and x.dtype == np.float32
    np.testing.assert_allclose(x[:, 0], motion.root[:, 1], atol=1e-6)
    planar = np.linalg.norm(np.diff(motion.root[:, [0, 2]], axis=0), axis=-1)
    np.testing.assert_allclose(np.linalg.norm(x[1:, s["velocity"]], axis=-1), planar, atol=1e-6)
    moved = np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1)
    velocity = x[1:, s["joint_velocity"]].reshape(59, 22, 3)
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=-1), moved, atol=1e-5)
    assert set(np.unique(x[:, s["contacts"]])) <= {0.0, 1.0}


@pytest.mark.parametrize("layout", [BodyFeatures(), GestureFeatures(), HML263Features()])
def test_slices_cover_every_channel_once(layout: BodyFeatures | GestureFeatures | HML263Features) -> None:
    edges = sorted((v.start, v.stop) for v in layout.slices().values())
    assert edges[0][0] == 0 and edges[-1][1] == layout.dim
    assert all(a[1] == b[0] for a, b in pairwise(edges))


def test_features_do_not_depend_on_place_or_direction(wander) -> None:
    motion = wander(60)
    elsewhere = motion.moved(2.5, np.array([4.0, 0, -3.0]))
    np.testing.assert_allclose(SPEC.encode(elsewhere), SPEC.encode(motion), atol=1e-5)


def test_other_frame_rates_are_resampled(wander) -> None:
    motion = wander(90, fps=30)
    np.testing.assert_array_equal(SPEC.encode(motion), SPEC.encode(motion.resampled(20)))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_chunks_equal_the_whole(size: int, wander) -> None:
    x = SPEC.encode(wander(200, turn=1.5))
    whole_q, whole_root, whole_state = SPEC.decode_chunk(x, None)
    state, parts = None, []
    for a in range(0, len(x), size):
        q, root, state = SPEC.decode_chunk(x[a : a + size], state)
        parts.append((q, root))
    np.testing.assert_allclose(np.concatenate([r for _, r in parts]), whole_root, atol=1e-9)
    np.testing.assert_allclose(np.concatenate([q for q, _ in parts]), whole_q, atol=1e-9)
    assert state is not None and state.yaw == pytest.approx(whole_state.yaw)
