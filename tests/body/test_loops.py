"""Loops that close in place, speed and posture, begin at the origin, and cycles in place that keep their stride."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt import AvatarGPT
from avatargpt.body.loops import DRIFT, PLANE, loop_at_rate, loop_motion, on_treadmill
from avatargpt.evaluation.corpus import make_keyframed_clips
from avatargpt.requests.clause_spec import cycles_in_place
from instruct_data.cycles import extend, find_cycle
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae import rotations as rot
from vqvae.contact import standing
from vqvae.motion import Motion, concatenate
from vqvae.moving_ground import ground_note
from vqvae.skeleton import TOES


def key(family: str) -> Motion:
    return next(iter(make_keyframed_clips(1, only=[family]))).load()


def marching(speed: float = 0.5) -> Motion:
    """Six seconds of a march straight ahead, faster than its feet step."""
    march = key("march")
    cycle = find_cycle(march, True)
    assert cycle is not None
    march = extend(march, cycle, 6.0)
    return replace(march, root=march.root + 0.1 * speed / march.fps * np.arange(len(march))[:, None] * [0, 0, 1])


def local(motion: Motion) -> np.ndarray:
    """(T, 22, 3) joints about the pelvis' place in the plane, heading frame."""
    about = (motion.joints - motion.joints[:, :1] * PLANE).astype(np.float64)
    return rot.rotate(rot.about_y(-motion.heading)[:, None], about)


def shares(loop: Motion) -> list[float]:
    """Steps over the seam of place, velocity and posture, shares of the 95th percentile of the loop's own."""
    x, q = local(loop), loop.rotations[:, 1:].astype(np.float64)
    step = np.diff(np.concatenate([x, x[:2]]), axis=0)
    moved, jolt = (np.linalg.norm(v, axis=-1).mean(-1) for v in (step, np.diff(step, axis=0)))
    bent = rot.angle_between(np.roll(q, -1, 0), q).mean(-1)
    rows = ((moved, len(loop) - 1), (jolt, len(loop) - 2), (bent, len(loop) - 1))
    return [float(x[first:].max() / np.percentile(x[:first], 95)) for x, first in rows]


@pytest.mark.parametrize("family", ["march", "walk_on_the_spot", "clap", "jumping_jack", "dance_step", "wave"])
@pytest.mark.parametrize("seconds", [None, 4.0])
def test_a_loop_closes_and_begins_at_the_origin(family: str, seconds: float | None) -> None:
    source = key(family).moved(0.7, np.array([1.0, 0, 2]))
    loop, way = loop_motion(source, seconds)
    assert max(shares(loop)) < 1
    assert np.abs(loop.root[0, [0, 2]]).max() < 1e-5 and abs(loop.heading[0]) < 1e-4
    assert seconds is None or len(loop) == 80
    end = loop.root[0] + way - loop.root[-1]
    assert np.linalg.norm(end) < 1.2 * np.linalg.norm(np.diff(loop.root, axis=0), axis=-1).max() + 1e-3


def test_all_of_a_motion_is_kept_where_it_counts() -> None:
    motion = key("kick")
    assert len(loop_motion(motion, whole=True)[0]) == len(motion)


def test_a_march_goes_on_and_a_drift_does_not() -> None:
    _, way = loop_motion(marching())
    assert way[2] > 0.3 and abs(way[0]) < 0.1
    wave = key("wave")
    drift = 0.5 * DRIFT / wave.fps * np.arange(len(wave))[:, None] * [1, 0, 0]
    loop, way = loop_motion(replace(wave, root=wave.root + drift))
    on = standing(np.concatenate([loop.joints] * 2))
    assert np.abs(way).max() < 1e-6 and on.all()
    slow = marching(0.0)
    slow = replace(slow, root=slow.root - 0.9 * (slow.root - slow.root[0]) * [1, 0, 1])
    assert [loop_motion(slow, gait=gait)[1][2] > 0.05 for gait in (False, True)] == [False, True]
    assert np.ptp(loop.joints[:, TOES], axis=0).max() < 0.02


def test_a_cycle_in_place_keeps_its_stride_on_ground_of_one_velocity() -> None:
    loop, way = loop_motion(marching())
    there, notes = on_treadmill(loop, [(0, len(loop))], way)
    if not notes:  # a round shorter than the spot's radius
        pytest.fail("a march that goes on has a velocity")
    feet = [np.ptp(local(m)[:, TOES, 2], axis=0) for m in (loop, there)]
    np.testing.assert_allclose(feet[0], feet[1], atol=1e-5)
    on = standing(loop.joints)
    held = on[1:] & on[:-1]
    back = (np.diff(there.joints[:, TOES, 2], axis=0) * there.fps)[held]
    velocity = float(notes[0].split("z ")[1].split()[0])
    assert velocity == pytest.approx(-way[2] / len(loop) * loop.fps, abs=0.006)
    assert np.percentile(np.abs(back - velocity), 90) < 0.1, "metres a second"
    assert np.linalg.norm((there.root - there.root[0]) * PLANE, axis=-1).max() < 0.2


def test_a_note_names_the_axes_that_are_level() -> None:
    note = ground_note("in place", np.array([0.002, -0.0341, 0]), np.array([0, 0, 1.0]), "units of a.bvh")
    assert note == "in place: the ground moves by x +0.0020, y -0.0341 units of a.bvh a second"
    note = ground_note("in place", np.array([0.0, -1, 160]), np.array([0, 0.8, 0.6]), "metres")
    assert note == "in place: the ground moves by x +0.00, y -1.00, z +160.00 metres a second"


def test_parts_in_place_are_led_on_from_one_another() -> None:
    march, wave = marching(), key("wave")
    both = concatenate([march, replace(wave, root=wave.root - wave.root[0] * PLANE + march.root[-1] * PLANE)])
    there, notes = on_treadmill(both, [(0, len(march))])
    assert len(notes) == 1 and notes[0].startswith(f"in place, 0 to {march.seconds:g} s: the ground")
    assert np.linalg.norm(np.diff(there.root, axis=0), axis=-1).max() < 0.1
    assert on_treadmill(wave, [(0, len(wave))])[1] == [], "who stands needs no treadmill"


def test_a_way_that_bends_is_taken_out_and_named() -> None:
    march = marching()
    t = np.linspace(0, 2 * np.pi, len(march))
    circle = replace(march, root=march.root * [0, 1, 0] + np.stack([np.cos(t), 0 * t, np.sin(t)], -1) * 1.5)
    there, notes = on_treadmill(circle, [(0, len(circle))])
    assert "bends" in notes[0]
    assert np.linalg.norm((there.root - there.root[0]) * PLANE, axis=-1).max() < 0.7


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_another_frame_rate_leaves_no_rest_at_the_seam(fps: float) -> None:
    loop, _ = loop_motion(marching())
    finer = loop_at_rate(loop, fps)
    assert len(finer) == round(len(loop) * fps / 20) and max(shares(finer)) < 1.2
    last = np.linalg.norm(np.diff(local(finer), axis=0), axis=-1).mean(-1)
    assert last[-1] > 0.2 * np.median(last)


def test_gaits_in_place_are_cycles_where_a_loop_is_asked_for() -> None:
    walk, wave = Clause(action="walk", in_place=True), Clause(action="wave", in_place=True)
    plain = MotionRequest(clauses=[walk, wave])
    assert cycles_in_place(plain) is plain
    cycle = cycles_in_place(plain.model_copy(update={"loop": True}))
    assert cycle.treadmill and [c.in_place for c in cycle.clauses] == [False, True]


@pytest.fixture(scope="module")
def model() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


@pytest.mark.parametrize("action", ["walk", "walk backward"])
def test_generated_cycles_in_place_take_steps(model: AvatarGPT, action: str) -> None:
    with pytest.warns(UserWarning, match="in place: the ground moves"):
        (loop,) = model.generate(
            MotionRequest(clauses=[Clause(action=action, in_place=True)], loop=True), seed=0, best_of=4
        )
    stride = np.percentile(np.linalg.norm((loop.joints[:, 7] - loop.joints[:, 8])[:, [0, 2]], axis=-1), 95)
    assert stride > 0.35, "steps on the spot have 0.2 m"
    assert "metres a second" in loop.notes[-1] and max(shares(loop)) < 1
