"""Cleaning of clips: the floor, clips that begin in the air, sliding and jittering recordings, the report."""

from dataclasses import replace

import numpy as np
import pytest

from instruct_data.attributes import Measures
from instruct_data.factory.cleaning import (
    CleaningReport,
    QualityLimits,
    clean_clips,
    measure_clip,
    on_the_floor,
    without_artefacts,
)
from instruct_data.factory.synth.families import families, keyframed
from tests.instruct_data.synthetic import J, clip_of, hanging
from vqvae import rotations as rot
from vqvae.ground import raise_motion
from vqvae.motion import Motion


def motion_of(name: str, seed: int = 0) -> Motion:
    return keyframed(families()[name], [seed])[0].load()


def gliding(speed: float, frames: int = 60) -> Motion:
    """Stands on both feet that slide along the floor."""
    low = -Motion(hanging(1), np.zeros((1, 3))).joints[..., 1].min()
    t = np.arange(frames) / 20
    return Motion(hanging(frames), np.stack([0 * t, 0 * t + low + 0.006, speed * t], -1))


def floored(motion: Motion, report: CleaningReport) -> Motion | None:
    """The motion on the floor; its figures are those of a second measurement."""
    result = on_the_floor(motion, report, "a clip")
    if result is None:
        return None
    assert result[1].figures() == Measures.of(result[0]).figures()
    return result[0]


def test_a_clip_above_or_below_the_floor_is_moved_to_it() -> None:
    report = CleaningReport()
    for height in (0.08, 0.3, -0.15):
        motion = floored(raise_motion(motion_of("wave"), height), report)
        assert motion is not None and len(motion) == len(motion_of("wave"))
        assert Measures.of(motion).floor == pytest.approx(0, abs=0.005)
        np.testing.assert_allclose(motion.root, motion_of("wave").root, atol=0.01)
    assert report.counts == {"moved to the floor": 3}
    assert str(report) == "       3 moved to the floor (for example a clip)"


def test_a_clip_on_the_floor_stays_as_it_is() -> None:
    report = CleaningReport()
    for name in ("wave", "jump", "squat", "lie_down", "climb_stairs", "step_down_from_box"):
        motion = motion_of(name)
        assert QualityLimits().quality(Measures.of(motion).figures()) == "good"
        np.testing.assert_allclose(floored(motion, report).root, motion.root, atol=1e-6)  # type: ignore[union-attr]
    assert not report.counts


def test_stairs_are_moved_as_a_whole() -> None:
    motion = motion_of("climb_stairs", 1)
    back = floored(raise_motion(motion, 0.4), CleaningReport())
    assert back is not None
    np.testing.assert_allclose(back.root, motion.root, atol=0.01)


@pytest.mark.parametrize(("frames", "kept"), [(20, True), (80, False)])
def test_a_clip_that_begins_in_the_air_begins_later_or_is_dropped(frames: int, kept: bool) -> None:
    report = CleaningReport()
    standing = gliding(0.0, 100)
    fall = np.clip(frames - np.arange(100), 0, None) * 0.05
    falling = replace(standing, root=standing.root + fall[:, None] * [0, 1, 0])
    motion = floored(falling.resampled(30), report)
    if not kept:
        assert motion is None and report.counts == {"dropped: begins in the air": 1}
        return
    assert motion is not None and report.counts == {"begins later, on the floor": 1}
    assert motion.seconds == pytest.approx(4.0, abs=0.1) and abs(Measures.of(motion).begins) < 0.05


def test_what_sinks_is_lifted() -> None:
    standing, report = gliding(0.0, 100), CleaningReport()
    dip = -np.clip(5 - np.abs(np.arange(100) - 50), 0, None) * 0.04
    motion = floored(replace(standing, root=standing.root + dip[:, None] * [0, 1, 0]), report)
    assert motion is not None and report.counts == {"lifted out of the floor": 1}
    assert motion.joints[..., 1].min() > -0.06


def test_cleaned_clips_are_measured() -> None:
    report = CleaningReport()
    air = raise_motion(motion_of("wave"), 0.1)
    clips = [clip_of("a", air, "wave", ["x"]), clip_of("b", motion_of("bow"), "bow", ["y"])]
    out = list(clean_clips(clips, report))
    assert [c.id for c in out] == ["a", "b"] and report.counts.total() == 1
    for clip in out:
        assert clip.extra["figures"] == Measures.of(clip.load()).figures()
        assert abs(clip.extra["figures"]["floor"]) < 0.01


def test_recordings_that_slide_or_jitter_are_dropped() -> None:
    rng = np.random.default_rng(0)
    still = gliding(0.0)
    shaken = still.rotations.astype(np.float64)
    shaken[:, J("l_shoulder")] = rot.from_axis_angle(rng.normal(scale=0.1, size=(60, 3)))
    noisy = Motion(shaken, still.root)
    motions = {"slides": gliding(0.3), "jitters": noisy}
    motions |= {f"ok{i}": gliding(0.001 * i) for i in range(60)}
    clips = [measure_clip(clip_of(name, m, "stand", ["x"])) for name, m in motions.items()]
    figures = {c.id: c.extra["figures"] for c in clips}
    assert figures["slides"]["skate"] == pytest.approx(0.3, abs=0.01) and figures["ok0"]["skate"] < 1e-6
    limits, report = QualityLimits(skate=0.2, jerk=figures["jitters"]["jerk"] - 1), CleaningReport()
    kept = {c.id for c in without_artefacts(clips, limits, lambda c: c.action, report)}
    assert kept == set(motions) - {"slides", "jitters"}
    assert report.counts == {"dropped: feet slide": 1, "dropped: jitter": 1}
    assert report.examples == {"dropped: feet slide": "slides", "dropped: jitter": "jitters"}
    flips = [replace(c, action="flip") if c.id == "slides" else c for c in clips]
    report = CleaningReport()
    kept = {c.id for c in without_artefacts(flips, limits, lambda c: c.action, report)}
    assert kept == set(motions) - {"jitters"}  # no other clip shows a flip
    assert report.counts == {"kept as the only ones of their action: feet slide": 1, "dropped: jitter": 1}
    limits = QualityLimits.of(list(figures.values()))
    assert limits.good_skate < limits.skate < 0.3 and limits.jerk < figures["jitters"]["jerk"]
    assert [limits.quality(figures[n]) for n in ("ok1", "ok59", "slides", "jitters")] == ["good", *["fair"] * 3]
    assert limits.quality({**figures["ok1"], "floor": 0.05}) == "fair"
    assert limits.quality({**figures["ok1"], "sunk": 0.05}) == "fair"
    assert QualityLimits.of([]).quality(figures["ok1"]) == "good" and QualityLimits.of([]).skate == np.inf
