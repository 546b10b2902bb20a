"""A plan to motion: strokes on their frames, hands kept up or at rest between them, head, breath and posture."""

# Tracks follow one another without a seam: the offset of the old one from the new one dies out (D. Bollo,
# Inertialization: High-Performance Animation Transitions in Gears of War, GDC 2018), along a quintic that begins with
# the offset's place, speed and acceleration and ends with none of them.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from instruct_data.factory.gesture.bank import Bank
from instruct_data.factory.gesture.trunk import outside
from instruct_data.gesture.performing import (
    BACK,
    BEFORE,
    MIN_BLEND,
    REACH,
    RISE,
    SETTLE,
    decay_offsets,
    stroke_poses,
    through,
)
from instruct_data.gesture.plan import Placed, Plan
from instruct_data.gesture.strokes import ARM, FPS, LIMB, SIDES, TRUNK, TURNED, Turns, within
from vqvae import rotations as rot
from vqvae.smoothing import gaussian, minimum_jerk


@dataclass(frozen=True, eq=False)
class PoseSegment:
    """A stretch in which a track follows `poses`."""

    start: int  # frame
    poses: np.ndarray  # (N, J, 4) from two frames before `start` up to where the next segment starts
    blend: int  # frames in which the offset dies out


def join_segments(segments: Sequence[PoseSegment], frames: int) -> np.ndarray:
    """(frames, J, 4) through all segments, the first of which starts at 0."""
    out = np.zeros((frames, *segments[0].poses.shape[1:]))
    stops = [*(s.start for s in segments[1:]), frames]
    for number, (segment, stop) in enumerate(zip(segments, stops, strict=True)):
        poses = segment.poses[BEFORE : BEFORE + stop - segment.start]
        if number == 0 or segment.start < BEFORE:
            out[segment.start : stop] = poses
            continue
        previous = out[segment.start - BEFORE : segment.start]
        offsets = rot.to_axis_angle(rot.multiply(rot.conjugate(segment.poses[:BEFORE]), previous))
        decay = decay_offsets(offsets, stop - segment.start, segment.blend)
        out[segment.start : stop] = rot.multiply(poses, rot.from_axis_angle(decay))
    return rot.normalize(out)


BREATH = 0.24  # breaths a second
CHEST, COLLAR = 0.005, 0.008  # radians of a breath in spine2 and in the collars
DRIFT = np.radians([1.3, 1.8, 1.0])  # of the trunk: nodding, turning, tilting
WANDER, WANDERS = (0.02, 0.05, 0.06, 0.06), 0.45
# radians by which collar, shoulder, elbow and wrist of raised arms wander, and seconds for which they keep to a place
STARTS = 9  # frames in which movement begins with speech and ends after it
ALONG = 0.65  # share of the way to an emphasis in which hands come to the stroke's own path
ARRIVED = 3  # frames after an emphasis from which on the hand may wander again
SOFT = 1.0  # frames of a Gaussian over all of it: what is left of corners
# frames from the stress: up, down with the hand fastest on it, and back
BEAT_KEYS = ((-12, 0.0), (-5, 1.0), (3, -0.6), (13, 0.0))
SWING, FLICK = 0.4, 0.3  # of shoulder and wrist, as shares of the elbow's angle
SWEEP = (0.0, 0.7, 0.35)  # outwards about the upper arm, in the poses
TURN = 0.33  # share of a look that the chest takes
BENT = {"l": np.array([0.0, -1.0, 0.0]), "r": np.array([0.0, 1.0, 0.0])}  # axes about which elbows bend
FLICKED = {"l": np.array([0.0, 0.0, 1.0]), "r": np.array([0.0, 0.0, -1.0])}  # about which wrists bend back
OUTWARDS = np.array([-1.0, 0.0, 0.0])  # about which upper arms take their forearms outwards


def perform(plan: Plan, bank: Bank, rng: np.random.Generator) -> Turns:
    """The plan as `Turns` of `plan.frames` frames; strokes arrive on their frames exactly."""
    rest_pose = bank.rests[plan.style.rest % len(bank.rests)]
    out = np.repeat(rest_pose[None], plan.frames, 0)
    raised = _raise_hands(plan)
    # 1 while the person speaks, half of it while the other one does, 0 in silence, smooth between
    speaks, hears = (_inside(spans, plan.frames, STARTS, STARTS) for spans in (plan.speech, plan.heard))
    moving = np.maximum(speaks, 0.5 * hears)
    kept_up = _poses(plan, bank, rest_pose)
    for side in SIDES:
        out[:, LIMB[side]] = _arm(plan, side, rest_pose, kept_up)
    vectors = np.zeros((plan.frames, TURNED, 3))
    for side in SIDES:
        _add_beats(vectors, plan, side, raised)
        wander = _noise(plan.frames, 4 * 3, WANDERS, rng).reshape(plan.frames, 4, 3)
        free = moving * raised * (1 - _busy(plan, side))
        vectors[:, ARM[side]] += wander * np.array(WANDER)[:, None] * free[:, None, None]
    trunk = _trunk(plan, moving, rng)
    vectors[:, TRUNK] += trunk
    phase = BREATH * np.arange(plan.frames) / FPS + rng.random() + 0.1 * _noise(plan.frames, 1, 4.0, rng)[:, 0]
    breath = np.sin(2 * np.pi * phase)
    vectors[:, TRUNK[1], 0] -= CHEST * breath
    for side, sign in (("l", 1.0), ("r", -1.0)):
        vectors[:, ARM[side][0], 2] += sign * COLLAR * breath
    moved = rot.multiply(out, rot.from_axis_angle(vectors))
    return outside(within(rot.normalize(gaussian(rot.continuous(moved), SOFT))))


def _noise(frames: int, channels: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """(frames, channels) smooth noise of standard deviation 1 that keeps for about so many seconds."""
    sigma = seconds * FPS
    # drawn four to the correlation length, then interpolated: filtering hours at 30 fps takes minutes
    step = max(1, int(sigma / 4))
    count = frames // step + 12
    coarse = gaussian(rng.standard_normal((count + 60, channels)), sigma / step)[30:-30]
    coarse /= np.sqrt(1 / (2 * np.sqrt(np.pi) * sigma / step))
    at = np.arange(frames) / step + 2
    return _spline(coarse, at)


def _spline(rows: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic Catmull-Rom through rows (N, C), read off at places (T,)."""
    i = np.clip(at.astype(int), 1, len(rows) - 3)
    u = (at - i)[:, None]
    a, b, c, d = (rows[i + k] for k in (-1, 0, 1, 2))
    return np.asarray(b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a))))


def _raise_hands(plan: Plan) -> np.ndarray:
    """(T,) 1 where hands are up, 0 where they rest, smooth between."""
    return _inside([(r.start, r.stop) for r in plan.raised], plan.frames, RISE, plan.sink, ends=True)


def _sink(plan_sink: int, frame: int, frames: int) -> int:
    """Frames in which hands sink from a frame on: they are at rest by the end."""
    return max(min(plan_sink, frames - frame - 2), 2)


def _inside(
    spans: Sequence[tuple[int, int]], frames: int, before: int, after: int, ends: bool = False
) -> np.ndarray:
    """(T,) 1 in spans, each entered in `before` frames from its start and left in `after` frames from its stop; `ends`:
    by the end at the latest.
    """
    out, at = np.zeros(frames), np.arange(frames)
    for start, stop in _merge_spans(spans):
        takes = _sink(after, stop, frames) if ends else after
        out = np.maximum(out, minimum_jerk((at - start) / before) * (1 - minimum_jerk((at - stop) / takes)))
    return out


def _busy(plan: Plan, side: str) -> np.ndarray:
    """(T,) 1 while a hand is on its way and where it arrives, 0 where it may wander, smooth between."""
    out, at = np.zeros(plan.frames), np.arange(plan.frames)
    for placed in plan.strokes:
        if side in placed.stroke.sides:
            window = minimum_jerk((at - placed.frame + REACH) / (REACH - 4))
            window = window * (1 - minimum_jerk((at - placed.frame - ARRIVED) / REACH))
            out = np.maximum(out, window)
    return out


def _merge_spans(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans [start, stop) in order, those that touch as one."""
    out: list[tuple[int, int]] = []
    for start, stop in spans:
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(stop, out[-1][1]))
        else:
            out.append((start, stop))
    return out


def _poses(plan: Plan, bank: Bank, rest_pose: np.ndarray) -> list[np.ndarray]:
    """The poses (43, 4) of raised hands that a speaker has."""
    share = float(np.clip(0.5 + 0.45 * plan.style.size, 0.5, 1.0))
    return [rot.slerp(rest_pose, bank.ready[k % len(bank.ready)], share) for k in plan.style.poses]


def _arm(plan: Plan, side: str, rest_pose: np.ndarray, kept_up: Sequence[np.ndarray]) -> np.ndarray:
    """(T, 19, 4) of one limb."""
    switches = _switches(plan, side)
    segments = []
    for number, (start, what, blend) in enumerate(switches):
        stop = switches[number + 1][0] if number + 1 < len(switches) else plan.frames
        if isinstance(what, Placed):
            poses = stroke_poses(what, start - BEFORE, stop, side)
        else:
            pose = rest_pose if what < 0 else kept_up[what % len(kept_up)]
            poses = np.repeat(pose[None, LIMB[side]], stop - start + BEFORE, 0)
        segments.append(PoseSegment(start, poses, blend))
    return join_segments(segments, plan.frames)


def _switches(plan: Plan, side: str) -> list[tuple[int, Placed | int, int]]:
    """(frame, track, frames of the blend): a stroke, the number of a pose of raised hands, or -1 for rest."""
    strokes = [p for p in plan.strokes if side in p.stroke.sides]
    begins = []
    for number, placed in enumerate(strokes):
        earlier = strokes[number - 1].frame + 2 if number else 0
        begins.append(max(placed.frame - min(max(placed.lead, REACH), placed.way), earlier, BEFORE))

    def between(frame: int) -> int:
        return next((r.pose for r in plan.raised if r.start <= frame < r.stop), -1)

    events: list[tuple[int, Placed | int, int]] = []
    for number, (placed, start) in enumerate(zip(strokes, begins, strict=True)):
        # the way from what was before is over some frames before the emphasis: a stroke is known by its last part
        events.append((start, placed, min(max(round(ALONG * (placed.frame - start)), MIN_BLEND), RISE)))
        let_go = placed.frame + max(placed.release, SETTLE)
        if number + 1 == len(strokes) or begins[number + 1] > let_go:
            span = between(let_go)
            events.append((let_go, span, _sink(plan.sink, let_go, plan.frames) if span < 0 else BACK))
    busy = [(start, placed.frame + max(placed.release, SETTLE)) for start, placed in zip(begins, strokes, strict=True)]
    for r in plan.raised:
        sinking = _sink(plan.sink, r.stop, plan.frames)
        for frame, what, blend in ((r.start, r.pose, r.blend), (r.stop, between(r.stop), sinking)):
            if not any(a <= frame < b for a, b in busy):
                events.append((frame, what, blend))
    out: list[tuple[int, Placed | int, int]] = [(0, -1, 1)]
    for event in sorted(events, key=lambda e: e[0]):
        same = not isinstance(event[1], Placed) and event[1] == out[-1][1]
        if BEFORE <= event[0] < plan.frames and event[0] > out[-1][0] and not same:
            out.append(event)
    return out


def _add_beats(vectors: np.ndarray, plan: Plan, side: str, raised: np.ndarray) -> None:
    shoulder, elbow, wrist = ARM[side][1:]
    for beat in plan.beats:
        if side not in beat.sides:
            continue
        a, b = max(beat.frame - 14, 0), min(beat.frame + 18, plan.frames)
        at = np.arange(a, b) - beat.frame
        up = through(BEAT_KEYS, at.astype(float)) * beat.size * raised[a:b]
        late = through(BEAT_KEYS, at - 1.5) * beat.size * raised[a:b]
        sweep = SWEEP[beat.pose % len(SWEEP)]
        vectors[a:b, elbow] += up[:, None] * BENT[side]
        vectors[a:b, shoulder] += SWING * up[:, None] * BENT[side] + sweep * up[:, None] * OUTWARDS
        vectors[a:b, wrist] += FLICK * late[:, None] * -FLICKED[side]


def _trunk(plan: Plan, moving: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(T, 5, 3) rotation vectors of spine1 to spine3, neck and head."""
    at = np.arange(plan.frames)
    out = np.zeros((plan.frames, 5, 3))
    sway = _noise(plan.frames, 3, 3.5, rng) * DRIFT * plan.style.drift * moving[:, None]
    out[:, :3] += sway[:, None] / 3 * 1.4
    small = _noise(plan.frames, 3, 1.1, rng) * np.radians([1.0, 1.6, 0.8]) * plan.style.head / 2 * moving[:, None]
    out[:, 3:] += small[:, None]
    for placed in plan.strokes:
        _add_bent(out, placed)
    looks = [(look.frame, look.yaw, look.pitch) for look in plan.looks]
    if looks:
        yaw = _steps([(f, y) for f, y, _ in looks], at, 16)
        pitch = _steps([(f, p) for f, _, p in looks], at, 16)
        out[:, 3:, 1] += 0.5 * yaw[:, None]
        out[:, 3:, 0] += 0.5 * pitch[:, None]
        out[:, :3, 1] += TURN / 3 * gaussian(yaw, 6.0)[:, None]
    if plan.leans:
        out[:, :3, 0] += _steps(list(plan.leans), at, 30)[:, None] / 3
    for nod in plan.nods:
        axis = {"nod": 0, "shake": 1, "tilt": 2}[nod.kind]
        width = {"nod": 6, "shake": 7, "tilt": 12}[nod.kind]
        keys: list[tuple[float, float]] = [(-width - 2, 0.0)]
        for k in range(nod.times):
            fade = 0.8**k
            keys += [(2 * k * width, nod.size * fade), ((2 * k + 1) * width, -0.25 * nod.size * fade)]
            if nod.kind == "shake":
                keys[-1] = ((2 * k + 1) * width, -0.9 * nod.size * fade)
            if nod.kind == "tilt":
                keys[-1] = ((2 * k + 1) * width, 0.8 * nod.size * fade)
        keys.append((keys[-1][0] + width + 3, 0.0))
        moved = through(keys, (at - nod.frame).astype(float))
        out[:, 4, axis] += 0.65 * moved
        out[:, 3, axis] += 0.35 * moved
    return out


def _steps(keys: list[tuple[int, float]], at: np.ndarray, width: int) -> np.ndarray:
    """(T,) from value to value, each reached `width` frames after its frame, the first from the start."""
    out = np.full(len(at), float(keys[0][1]))
    for (_, x), (frame, y) in zip(keys, keys[1:], strict=False):
        out += (y - x) * minimum_jerk((at - frame) / width)
    return out


def _add_bent(out: np.ndarray, placed: Placed) -> None:
    """What trunk and head do with a stroke, in and out with its arms."""
    s = placed.stroke
    start, let_go = placed.frame - placed.lead, placed.frame + placed.release
    a, b = max(start, 0), min(let_go + BACK, len(out))
    if b <= a:
        return
    at = np.arange(a, b)
    source = np.clip(s.emphasis + (at - placed.frame) * placed.tempo, 0, s.end)
    low = np.minimum(source.astype(int), len(s.bent) - 2)
    share = (source - low)[:, None, None]
    bent = s.bent[low] * (1 - share) + s.bent[low + 1] * share
    weight = minimum_jerk((at - start + 1) / max(placed.lead, 1)) * (1 - minimum_jerk((at - let_go) / BACK))
    out[a:b] += bent * weight[:, None, None] * np.array([0.8, 0.8, 0.8, 0.7, 0.7])[:, None] * placed.size
