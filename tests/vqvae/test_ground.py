"""The ground below a body: level floors, stairs up and down, and what is built on it."""

import numpy as np
import pytest

from instruct_data.factory.synth.families import families, keyframed
from instruct_data.joining import join_motions
from tests.instruct_data.synthetic import walking
from vqvae.features import BodyFeatures
from vqvae.ground import lowest_step, raise_motion, settle_motion, support_level, without_penetration
from vqvae.motion import Motion

SPEC = BodyFeatures()


def climbing() -> list[tuple[Motion, float]]:
    """Clips on stairs, some up and some down, and the metres that each climbs."""
    clips = keyframed(families()["climb_stairs"], range(6))
    return [(c.load(), c.extra["params"]["h"] * c.extra["params"]["steps"]) for c in clips]


def test_stairs_go_up_and_down_by_the_steps_that_are_climbed() -> None:
    heights = [height for _, height in climbing()]
    assert min(heights) < -0.5 and max(heights) > 0.5
    for motion, height in climbing():
        level = support_level(motion.joints)
        assert level[0] == pytest.approx(0, abs=1e-3) and level[-1] == pytest.approx(height, abs=0.01)
        assert (np.diff(level) * np.sign(height) > -0.005).all()
        low = motion.joints[..., 1].min(1)
        assert (low - level).max() < 0.1 and (low - lowest_step(level)).min() > 0
        np.testing.assert_allclose(support_level(raise_motion(motion, 0.3).joints), level + 0.3, atol=1e-5)


@pytest.mark.parametrize("name", ["jump", "lie_down", "sidestep", "kneel_on_one_knee", "sit_down", "kick", "squat"])
def test_what_stays_on_one_level_has_none(name: str) -> None:
    for clip in keyframed(families()[name], range(4)):
        motion = clip.load()
        assert not support_level(motion.joints).any()
        assert not support_level(raise_motion(motion, 0.5).joints).any()
        features = SPEC.encode(motion)
        assert not features[:, SPEC.slices()["rise"]].any()
        np.testing.assert_allclose(features[:, 0], motion.root[:, 1], atol=1e-6)
        np.testing.assert_allclose(SPEC.decode(features).joints, motion.canonical().joints, atol=1e-4)


def test_a_walk_and_a_single_frame_are_level() -> None:
    assert not support_level(walking().joints).any()
    assert support_level(walking(1).joints).tolist() == [0.0]


@pytest.mark.parametrize("fps", [30, 60, 120])
def test_the_frame_rate_makes_no_difference(fps: float) -> None:
    motion, _ = climbing()[0]
    finer = motion.resampled(fps)
    level = support_level(finer.joints, finer.fps)
    at = np.arange(len(finer)) / finer.fps
    expected = np.interp(at, np.arange(len(motion)) / 20, support_level(motion.joints))
    np.testing.assert_allclose(level, expected, atol=0.02)


def test_features_on_stairs_come_back_within_a_centimetre() -> None:
    for motion, height in climbing():
        features = SPEC.encode(motion)
        back = SPEC.decode(features)
        assert np.linalg.norm(back.joints - motion.canonical().joints, axis=-1).max() < 0.01
        assert np.abs(np.diff(features[:, 0])).max() < 0.1 and np.ptp(features[:, 0]) < 0.35  # above the ground below
        assert features[:, 269].sum() == pytest.approx(height, abs=0.01)


def test_noise_in_the_rise_does_not_add_up() -> None:
    features = SPEC.encode(walking(200))
    features[:, 269] = 0.002
    np.testing.assert_allclose(SPEC.decode(features).root[:, 1], features[:, 0], atol=1e-6)


def test_stairs_begin_on_the_floor_and_keep_their_steps() -> None:
    for motion, height in climbing():
        level = support_level(settle_motion(raise_motion(motion, 0.7)).joints)
        assert level[0] == pytest.approx(0, abs=0.01) and level[-1] == pytest.approx(height, abs=0.02)
        assert without_penetration(motion) is motion  # steps below the first one are no floor that a foot sinks into
    sunk = raise_motion(walking(), -0.2)
    assert without_penetration(sunk).joints[..., 1].min() > sunk.joints[..., 1].min() + 0.1


def test_a_clip_goes_on_on_the_step_that_the_one_before_has_come_to() -> None:
    for motion, height in climbing()[:3]:
        joined = join_motions(motion, walking())
        seam = joined.joints[len(motion) - 1 : len(motion) + 1]
        assert np.linalg.norm(np.diff(seam, axis=0), axis=-1).max() < 0.12
        end = joined.root[-1, 1] - walking().root[-1, 1]
        assert end == pytest.approx(height, abs=0.05)
