"""Keys to motion: blends the controls of a batch of clips, poses the bodies, keeps feet, balance and floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from instruct_data.factory.synth.arms import Reach, shoulder_at_rest, solve_arm
from instruct_data.factory.synth.geometry import STAND, Array, Trunk, gaze_angles, pose_head, pose_trunk
from instruct_data.factory.synth.legs import REACH, Foot, ankles, feet_tracks, solve_leg, support_shift
from instruct_data.factory.synth.stances import UPPER, Stance, shares
from instruct_data.factory.synth.timeline import KeyTimeline
from instruct_data.factory.synth.tracks import ClipBatch, Noise, fly, lags, noises
from vqvae import rotations as rot
from vqvae.skeleton import RADIUS, SMPL22
from vqvae.smoothing import smoothstep

FEET = ("l_foot", "r_foot")


def _head(batch: ClipBatch, trunk: Trunk, noise: Noise) -> Array:
    """Head angles with the gaze, which wins over pitch and yaw where it is set."""
    mix = batch.mix("head")
    head = mix.numbers(batch.rows["head"])
    look = batch.rows["gaze"]
    if look[:, 0].any():
        gaze = batch.mix("gaze")
        total, share = np.zeros((len(head), 2)), np.zeros(len(head))
        for j in range(4):
            row = look[gaze.index[:, j]]
            weight = gaze.weight[:, j] * row[:, 0]
            pitch, yaw = gaze_angles(trunk, row[:, 1:4])
            total += weight[:, None] * np.stack([np.clip(pitch, -50, 55), np.clip(yaw, -75, 75)], 1)
            share += weight
        head = head.copy()
        head[:, :2] = head[:, :2] * (1 - share)[:, None] + total
    return head + noise.head


def _keep_reach(batch: ClipBatch, trunk: Trunk, feet: dict[str, Foot], lifted: Array) -> Array:
    """Shift (N, 3) of the pelvis, down and over, by which standing feet are reached without stretching."""
    # a body on its feet alone comes over them early; legs of one that hands or knees carry too may lie level
    layout = batch.layout
    left, right, _ = batch.place("pelvis")
    alone = batch.only_feet[left] & batch.only_feet[right]
    move = np.zeros((len(lifted), 3))
    for name, foot in feet.items():
        ankle, _ = ankles(batch, name, foot, trunk, lifted)
        way = ankle - trunk.position[name[:2] + "hip"]
        flat = np.sqrt(way[:, 0] ** 2 + way[:, 2] ** 2)
        level = np.sqrt(np.maximum(REACH**2 - way[:, 1] ** 2, 0))
        over = np.maximum(flat - np.where(alone, 0.82 * REACH, level), 0) * foot.ground
        move[:, [0, 2]] += (way[:, [0, 2]] / np.maximum(flat, 1e-6)[:, None]) * over[:, None]
    move = layout.smooth(move, 2.0)
    lower = np.zeros(len(lifted))
    for name, foot in feet.items():
        ankle, _ = ankles(batch, name, foot, trunk, lifted)
        way = ankle - trunk.position[name[:2] + "hip"] - move
        flat = np.minimum(np.sqrt(way[:, 0] ** 2 + way[:, 2] ** 2), np.where(alone, 0.9, 1.0) * REACH)
        height = np.sqrt(REACH**2 - flat**2)
        lower = np.maximum(lower, np.maximum(-way[:, 1] - height, 0) * foot.ground)
    move[:, 1] -= layout.envelope(lower)
    return move


def _floor(batch: ClipBatch, trunk: Trunk, limbs: dict[str, Array]) -> Array:
    """Rise (N,) of the body by which no joint is below its radius."""
    lack = np.zeros(len(trunk.position["pelvis"]))
    for name, radius in RADIUS.items():
        place = limbs.get(name, trunk.position.get(name))
        if name.endswith("shoulder"):
            home = shoulder_at_rest(1.0 if name[0] == "l" else -1.0)
            place = trunk.position["spine3"] + trunk.matrix["spine3"] @ home
        if place is not None:
            lack = np.maximum(lack, radius - place[:, 1])
    return batch.layout.envelope(lack)


def _frames(trunk: Trunk, legs: dict[str, tuple[Array, Array]]) -> dict[str, tuple[Array, Array]]:
    """Positions and axes that hand targets refer to."""
    chest = trunk.matrix["spine3"]
    out = {"pelvis": (trunk.position["pelvis"], trunk.matrix["pelvis"]), "chest": (trunk.position["spine3"], chest),
           "head": (trunk.position["head"], trunk.matrix["head"])}  # fmt: skip
    for p, side in (("l_", 1.0), ("r_", -1.0)):
        out[p + "shoulder"] = (trunk.position["spine3"] + chest @ shoulder_at_rest(side), chest)
        out[p + "knee"] = legs[p + "knee"]
    return out


def _swing(batch: ClipBatch, trunk: Trunk, legs: dict[str, tuple[Array, Array]]) -> dict[str, Array]:
    """Degrees by which a resting arm swings with the foot of the other side while the body travels."""
    place = trunk.position["pelvis"]
    step = place[batch.layout.shift(3)] - place[batch.layout.shift(-3)]
    speed = batch.layout.smooth(np.sqrt(step[:, 0] ** 2 + step[:, 2] ** 2) * 20 / 6, 5.0)
    travels = smoothstep((speed - 0.15) / 0.6)
    base = trunk.matrix["pelvis"]
    ahead = {}
    for p in ("l_", "r_"):
        way = legs[p + "ankle"][0] - trunk.position["pelvis"]
        ahead[p] = way[:, 0] * base[:, 0, 2] + way[:, 1] * base[:, 1, 2] + way[:, 2] * base[:, 2, 2]
    spread = np.clip(ahead["l_"] - ahead["r_"], -0.8, 0.8)
    return {"r_hand": 42 * spread * travels, "l_hand": -42 * spread * travels}


def solve(
    timelines: Sequence[KeyTimeline],
    rngs: Sequence[np.random.Generator],
    mirror: Sequence[bool],
    stances: Sequence[Stance | None],
) -> list[tuple[Array, Array]]:
    """Motion of every clip: local quaternions (T, 22, 4) and root (T, 3), float64, canonical frame, 20 fps."""
    batch = ClipBatch(timelines, lags(rngs))
    noise = noises(batch.layout, rngs)
    if batch.still.any():
        left, right, s = batch.place("pelvis")
        before, after = batch.still[left].astype(float), batch.still[right].astype(float)
        noise = noise.scale(1 - 0.9 * (before + (after - before) * smoothstep(s)))
    pelvis, turn, spine = (batch.mix(c).numbers(batch.rows[c]) for c in ("pelvis", "pelvis_rot", "spine"))
    pelvis, turn, spine = pelvis + np.array([0.0, STAND, 0.0]) + noise.pelvis, turn + noise.turn, spine + noise.spine
    share = _stand_in(batch, stances, pelvis, turn)
    pelvis, lifted = fly(batch, pelvis)
    trunk = pose_trunk(pelvis, turn, spine)
    pose_head(trunk, _head(batch, trunk, noise))
    feet = feet_tracks(batch)
    trunk.move(support_shift(batch, trunk, feet))
    trunk.move(_up(_floor(batch, trunk, {})))
    trunk.move(_keep_reach(batch, trunk, feet, lifted))
    for last in (False, False, True):
        legs: dict[str, tuple[Array, Array]] = {}
        for name in FEET:
            ankle, matrix = ankles(batch, name, feet[name], trunk, lifted)
            legs |= solve_leg(trunk, feet[name], ankle, matrix)
        rise = _floor(batch, trunk, {k: v[0] for k, v in legs.items()})
        rise *= np.isin(batch.layout.clip, batch.layout.clip[rise > 1e-4])  # clip by clip, whatever is beside it
        if last or not rise.any():
            break
        trunk.move(_up(rise))
    mixes = {h: batch.mix(h) for h in ("l_hand", "r_hand")}
    reach = Reach(batch, mixes, trunk, _frames(trunk, legs), _swing(batch, trunk, legs))
    joints = {n: (trunk.position[n], trunk.matrix[n]) for n in ("pelvis", "spine1", "spine2", "spine3", "neck", "head")}
    joints |= legs
    for hand in ("l_hand", "r_hand"):
        wrist = reach.blend(hand)
        control = hand[:2] + "shoulder"
        shrug = batch.mix(control).numbers(batch.rows[control])
        joints |= solve_arm(trunk, hand, wrist, noise.hands[hand] * (1 - 0.8 * wrist.placed)[:, None], shrug)
    return _finish(joints, batch, np.asarray(mirror, bool), stances, share)


def _up(rise: Array) -> Array:
    return np.stack([0 * rise, rise, 0 * rise], 1)


_FREE_JOINTS = [SMPL22.index(n) for n in ("pelvis", "l_shoulder", "r_shoulder")]  # joints that may turn by half a turn
_NAMES, _PARENTS = SMPL22.names, SMPL22.parents


def _local(joints: dict[str, tuple[Array, Array]]) -> Array:
    """Local quaternions (N, 22, 4) from global matrices."""
    size = len(joints["pelvis"][0])
    # element by element over all frames, which is several times faster than stacked products
    world = [np.ascontiguousarray(np.moveaxis(joints[n][1], 0, -1)) if n[2:] != "foot" else None for n in _NAMES]
    local = np.empty((3, 3, len(_NAMES), size))
    for j, (matrix, up) in enumerate(zip(world, _PARENTS, strict=True)):
        base = world[up] if j else None
        if matrix is None:
            local[:, :, j] = np.eye(3)[..., None]
        elif base is None:
            local[:, :, j] = matrix
        else:
            for i in range(3):
                local[i, :, j] = base[0, i] * matrix[0] + base[1, i] * matrix[1] + base[2, i] * matrix[2]
    m = local
    q = np.empty((size, len(_NAMES), 4))
    # w >= 0 and the other signs from the skew part; exact except near half a turn
    q[..., 0] = np.sqrt(np.maximum(1 + m[0][0] + m[1][1] + m[2][2], 0)).T
    q[..., 1] = np.copysign(np.sqrt(np.maximum(1 + m[0][0] - m[1][1] - m[2][2], 0)), m[2][1] - m[1][2]).T
    q[..., 2] = np.copysign(np.sqrt(np.maximum(1 - m[0][0] + m[1][1] - m[2][2], 0)), m[0][2] - m[2][0]).T
    q[..., 3] = np.copysign(np.sqrt(np.maximum(1 - m[0][0] - m[1][1] + m[2][2], 0)), m[1][0] - m[0][1]).T
    q *= 0.5
    q[:, _FREE_JOINTS] = np.swapaxes(rot.from_matrix(np.moveaxis(local[:, :, _FREE_JOINTS], (0, 1), (-2, -1))), 0, 1)
    return q


def _stand_in(batch: ClipBatch, stances: Sequence[Stance | None], pelvis: Array, turn: Array) -> Array:
    """Give pelvis and turn (changed in place) the stances' height and tilt; returns the stances' weights (N,)."""
    pairs = zip(batch.timelines, stances, strict=True)
    stands = np.array([t.stands if s is not None else (False, False) for t, s in pairs])
    share = shares(batch.layout, stands[:, 0].astype(float), stands[:, 1].astype(float))
    if share.any():
        tilt = np.array([(s.height, s.pitch, s.roll) if s is not None else (0.0, 0.0, 0.0) for s in stances])
        tilt = tilt[batch.layout.clip]
        pelvis[:, 1] += share * tilt[:, 0]
        turn[:, 0] += share * (tilt[:, 1] - turn[:, 0])
        turn[:, 2] += share * (tilt[:, 2] - turn[:, 2])
    return share


def _finish(
    joints: dict[str, tuple[Array, Array]],
    batch: ClipBatch,
    mirror: Array,
    stances: Sequence[Stance | None],
    share: Array,
) -> list[tuple[Array, Array]]:
    """Every clip in the canonical frame (its first frame above the origin, facing +Z), mirrored where asked."""
    layout = batch.layout
    first = layout.starts[:-1]
    q, root = _local(joints), joints["pelvis"][0]
    at = np.flatnonzero(share > 0)
    if len(at):
        upper = np.stack([s.upper if s is not None else np.zeros((len(UPPER), 4)) for s in stances])
        there = upper[layout.clip[at]]
        q[at[:, None], UPPER] = rot.slerp(q[at[:, None], UPPER], there, share[at, None])
    across = sum(joints["l_" + n][0][first] - joints["r_" + n][0][first] for n in ("hip", "shoulder"))
    yaw = -np.arctan2(-across[:, 2], across[:, 0])[layout.clip]
    c, s = np.cos(yaw), np.sin(yaw)
    x, z = (root[:, i] - root[first, i][layout.clip] for i in (0, 2))
    height = root[:, 1] - np.array([t.lifted for t in batch.timelines])[layout.clip]
    root = np.stack([c * x + s * z, height, c * z - s * x], 1)
    q[:, 0] = rot.multiply(rot.about_y(yaw), q[:, 0])
    flip = mirror[layout.clip]
    q[flip] = q[flip][:, SMPL22.mirror] * np.array([1, 1, -1, -1])
    root[flip, 0] *= -1
    # neighbouring frames in the same half-space, from each clip's first frame on
    rotations = q[:, _FREE_JOINTS]
    flips = np.where((rotations[1:] * rotations[:-1]).sum(-1) < 0, -1.0, 1.0)
    sign = np.cumprod(np.concatenate([np.ones((1, len(_FREE_JOINTS))), flips]), 0)
    q[:, _FREE_JOINTS] = rotations * (sign * sign[first][layout.clip])[..., None]
    return [(q[a:b], root[a:b]) for a, b in zip(layout.starts[:-1], layout.starts[1:], strict=True)]
