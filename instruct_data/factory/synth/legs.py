"""Feet and legs: soles in every frame, inverse kinematics to the ankles, and the pelvis' shift that keeps balance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.factory.synth.format import CONTACTS
from instruct_data.factory.synth.geometry import (
    ANKLE_HEIGHT,
    FLAT,
    HEEL_BACK,
    OFFSET,
    SHIN,
    THIGH,
    TOE,
    TOE_FORWARD,
    TOE_HEIGHT,
    Array,
    Trunk,
    apply,
    bend,
    cross,
    dot,
    euler,
    frame,
    length,
    square_to,
    unapply,
    unit,
)
from instruct_data.factory.synth.timeline import AT, F_AT, F_BEND, F_HIGH, F_HIP, F_KNEE, F_LIFT, F_MODE, F_PITCH, F_YAW
from instruct_data.factory.synth.tracks import ClipBatch, Mix
from vqvae.smoothing import smoothstep

REACH = 0.9975 * (THIGH + SHIN)
MIN_LEG = 0.24  # hip to ankle, metres; the knee bends at most about 147 degrees
DOWN, FRONT = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])


@dataclass(eq=False)
class Foot:
    """One foot in every frame."""

    side: float  # 1 left, -1 right
    mix: Mix  # the blend of its keys
    sole: Array  # (N, 5) x, height of the sole, z, yaw, pitch of a foot that is placed in the stage
    placed: Array  # (N,) 1 where the foot is placed, 0 where its leg is given by angles; between on the way
    knee: Array  # (N,) swivel, degrees
    ground: Array  # (N,) 1 where it stands, 0 where it is in the air
    stood: tuple[Array, Array] | None = None  # ankle (N, 3) and matrix (N, 3, 3) of the placed foot, once known


def _stagger(batch: ClipBatch) -> dict[str, tuple[Array, Array, Array]]:
    """When both feet step in one segment, one goes after the other, the one on the side of the step first."""
    # feet that both keep to the floor (a lift of 0) turn and glide together
    places = {c: batch.place(c) for c in ("l_foot", "r_foot")}
    left, right, s = places["l_foot"]
    moves, ahead, glide = {}, 0.0, np.ones(len(s), bool)
    for c in ("l_foot", "r_foot"):
        a, b = batch.rows[c][left], batch.rows[c][right]
        way = b[:, F_AT : F_AT + 3] - a[:, F_AT : F_AT + 3]
        placed = (a[:, F_MODE] == AT) & (b[:, F_MODE] == AT)
        low = (a[:, F_HIGH] < 0.03) & (b[:, F_HIGH] < 0.03)
        far = (length(way[:, [0, 0, 2]] * np.array([0.7071, 0.7071, 1.0])) > 0.02) | (np.abs(b - a)[:, F_YAW] > 12)
        moves[c] = placed & low & far
        glide &= b[:, F_LIFT] == 0
        yaw = np.radians(a[:, F_YAW])
        ahead = ahead + way[:, 0] * np.cos(yaw) - way[:, 2] * np.sin(yaw) + 0.002 * (b[:, F_YAW] - a[:, F_YAW])
    both = moves["l_foot"] & moves["r_foot"] & ~batch.air[right] & ~glide
    first = {"l_foot": ahead > 0.01, "r_foot": ahead <= 0.01}
    out = {}
    for c in ("l_foot", "r_foot"):
        staggered = np.where(first[c], np.clip(s / 0.54, 0, 1), np.clip((s - 0.46) / 0.54, 0, 1))
        out[c] = (left, right, np.where(both, staggered, s))
    return out


def feet_tracks(batch: ClipBatch) -> dict[str, Foot]:
    """Both feet before the body is posed."""
    out = {}
    for name, place in _stagger(batch).items():
        side = 1.0 if name == "l_foot" else -1.0
        rows = batch.rows[name]
        mix = batch.mix(name, place)
        a, b, s = rows[mix.left], rows[mix.right], mix.s
        numbers = mix.numbers(rows)
        at, flying = (rows[:, F_MODE] == AT).astype(float), batch.air[mix.right]
        placed = np.clip(sum(mix.weight[:, j] * at[mix.index[:, j]] for j in range(4)), 0, 1)
        on_stage = (a[:, F_MODE] == AT) & (b[:, F_MODE] == AT)
        sole = numbers[:, [F_AT, F_AT + 1, F_AT + 2, F_YAW, F_PITCH]]
        far = length(b[:, F_AT : F_AT + 3] * np.array([1, 0, 1]) - a[:, F_AT : F_AT + 3] * np.array([1, 0, 1]))
        pivot = np.abs(b[:, F_YAW] - a[:, F_YAW]) / 90
        set_lift = b[:, F_LIFT]
        usual = np.where((far > 0.015) | (pivot > 0.1), np.clip(0.035 + 0.11 * far + 0.03 * pivot, 0.0, 0.13), 0.0)
        low = (a[:, F_HIGH] < 0.03) & (b[:, F_HIGH] < 0.03)
        # from or to the floor, or in the air: the height changes before the place
        edge = np.where(far > 0.04, 0.05, 0.0)
        lift = np.where(set_lift >= 0, set_lift, np.where(low & ~flying, usual, edge)) * on_stage
        arc = 16 * s * s * (1 - s) * (1 - s)
        sole[:, 1] += lift * arc
        # the heel leaves first and lands first
        roll = np.where((far > 0.1) & low & on_stage & ~flying, np.clip(far, 0, 0.7), 0.0)
        sole[:, 4] += roll * 45 * (smoothstep(s / 0.3) * (1 - smoothstep((s - 0.3) / 0.35)))
        sole[:, 4] -= roll * 25 * smoothstep((s - 0.55) / 0.3) * (1 - smoothstep((s - 0.85) / 0.15))
        sole[:, 1] = np.maximum(sole[:, 1], 0)
        out[name] = Foot(side, mix, sole, placed, numbers[:, F_KNEE], np.where(on_stage & ~flying, 1.0, 0.0))
        out[name].ground *= placed > 0.999
    # the lower foot stands, also on a step; the other one stands too when it is as low
    heights = {n: np.where(f.placed > 0.999, f.sole[:, 1], np.inf) for n, f in out.items()}
    level = np.minimum(heights["l_foot"], heights["r_foot"])
    for name, foot in out.items():
        above = np.where(np.isfinite(heights[name]), heights[name], 1.0) - np.where(np.isfinite(level), level, 0.0)
        foot.ground *= np.clip(1 - above / 0.025, 0, 1)
    return out


def place_foot(sole: Array, lifted: Array) -> tuple[Array, Array]:
    """Ankle (N, 3) and matrix (N, 3, 3) of a foot from x, height, z, yaw, pitch (degrees).

    Heel up turns about the ball of the foot, toes up about the heel. `lifted` (N,) is added to the height.
    """
    yaw, pitch = sole[:, 3], np.clip(sole[:, 4], -45, 150)
    zero = np.zeros_like(yaw)
    matrix = euler(pitch + FLAT, yaw, zero)
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    floor = np.stack([sole[:, 0], sole[:, 1] + lifted, sole[:, 2]], 1)
    toe = floor + np.stack([s * TOE_FORWARD, zero + TOE_HEIGHT, c * TOE_FORWARD], 1)
    on_toe = toe - matrix @ TOE
    heel = floor - np.stack([s * HEEL_BACK, zero, c * HEEL_BACK], 1)
    tilt = np.radians(pitch)
    up = ANKLE_HEIGHT * np.cos(tilt) - HEEL_BACK * np.sin(tilt)
    fore = HEEL_BACK * np.cos(tilt) + ANKLE_HEIGHT * np.sin(tilt)
    on_heel = heel + np.stack([s * fore, up, c * fore], 1)
    return np.where((pitch >= 0)[:, None], on_toe, on_heel), matrix


def hang_leg(row: Array, trunk: Trunk, side: float, at: Array) -> tuple[Array, Array]:
    """Ankle and foot matrix of a leg given by angles of hip and knee, on the frames `at`."""
    flex, abduct, twist = (row[:, F_HIP + i] for i in range(3))
    knee = np.clip(row[:, F_BEND], 0, 148)
    base, zero = trunk.matrix["pelvis"][at], np.zeros_like(flex)
    thigh = base @ euler(-flex, zero, -side * abduct) @ euler(zero, side * twist, zero)
    shin = thigh @ euler(knee, zero, zero)
    name = "l_hip" if side > 0 else "r_hip"
    ankle = trunk.position[name][at] + apply(thigh, THIGH * DOWN[None]) + apply(shin, SHIN * DOWN[None])
    return ankle, shin @ euler(row[:, F_PITCH] + 14.0, zero, zero)


def ankles(batch: ClipBatch, name: str, foot: Foot, trunk: Trunk, lifted: Array) -> tuple[Array, Array]:
    """Ankle targets (N, 3) and foot matrices (N, 3, 3) for the body as it stands now."""
    if foot.stood is None:
        foot.stood = place_foot(foot.sole, lifted)
    hung = np.flatnonzero(foot.placed < 0.9999)
    if len(hung) == 0:
        return foot.stood
    target, matrix = foot.stood[0].copy(), foot.stood[1].copy()
    rows = batch.rows[name]
    position, columns = np.zeros((len(hung), 3)), np.zeros((len(hung), 3, 3))
    # between two legs that hang, angles are blended: a straight leg stays straight on its way
    swings = np.flatnonzero(foot.placed[hung] < 1e-9)
    position[swings], columns[swings] = hang_leg(foot.mix.numbers(rows)[hung[swings]], trunk, foot.side, hung[swings])
    lands = np.flatnonzero(foot.placed[hung] >= 1e-9)
    at = hung[lands]
    for j in range(4):
        weight, row = foot.mix.weight[at, j], rows[foot.mix.index[at, j]]
        stands = row[:, F_MODE] == AT
        p_at, m_at = place_foot(row[:, [F_AT, F_AT + 1, F_AT + 2, F_YAW, F_PITCH]], lifted[at])
        p_hung, m_hung = hang_leg(row, trunk, foot.side, at)
        position[lands] += weight[:, None] * np.where(stands[:, None], p_at, p_hung)
        columns[lands] += weight[:, None, None] * np.where(stands[:, None, None], m_at, m_hung)
    set_lift, s = rows[foot.mix.right[hung], F_LIFT], foot.mix.s[hung]
    stands = (rows[:, F_MODE] == AT) & (rows[:, F_HIGH] < 0.03)
    edge = np.where(stands[foot.mix.left[hung]] | stands[foot.mix.right[hung]], 0.05, 0.0)
    lift = np.where(set_lift >= 0, set_lift, edge) * 16 * (s * (1 - s)) ** 2
    x = unit(columns[..., 0])
    z = unit(columns[..., 2] - x * dot(x, columns[..., 2])[:, None])
    turned = frame(x, cross(z, x), z)
    toe = position[:, 1] + (turned @ TOE)[:, 1]
    position[:, 1] += lift
    position[:, 1] += np.maximum(np.maximum(TOE_HEIGHT - toe - lift, 0.04 - position[:, 1]), 0)
    target[hung], matrix[hung] = position, turned
    return target, matrix


def knee_pole(trunk: Trunk, foot: Foot, hip: Array, ankle: Array, matrix: Array) -> Array:
    """Unit direction in which the knee stands off: the pelvis' front carried along by the leg, turned with the toes."""
    base = trunk.matrix["pelvis"]
    axis = unapply(base, unit(ankle - hip))
    # the rotation from hanging to `axis`, applied to the front
    turned = cross(DOWN[None], axis)
    cosine = np.maximum(-axis[:, 1], -0.93)
    front = FRONT[None] + cross(turned, FRONT[None]) + cross(turned, cross(turned, FRONT[None])) / (1 + cosine)[:, None]
    front = square_to(axis, front, np.broadcast_to(FRONT, front.shape))
    toes = unapply(base, matrix[..., 2])
    sideways = np.arctan2(toes[:, 0], np.maximum(toes[:, 2], 0.35)) * np.clip(-axis[:, 1], 0, 1)
    turn = np.clip(0.6 * sideways, -0.7, 0.7) + foot.side * np.radians(foot.knee + 3)
    # outwards for the left leg is +X: about the axis pointing down that is a negative turn
    turn = -turn
    pole = front * np.cos(turn)[:, None] + cross(axis, front) * np.sin(turn)[:, None]
    return apply(base, pole)


def solve_leg(trunk: Trunk, foot: Foot, ankle: Array, matrix: Array) -> dict[str, tuple[Array, Array]]:
    """Knee and ankle: positions and global matrices of hip, knee and ankle, by joint name."""
    p = "l_" if foot.side > 0 else "r_"
    hip = trunk.position[p + "hip"]
    pole = knee_pole(trunk, foot, hip, ankle, matrix)
    knee, end = bend(hip, ankle, pole, THIGH, SHIN, MIN_LEG, 0.002)
    upper, lower = unit(hip - knee), unit(knee - end)
    side_axis = unit(cross(upper, pole))
    thigh = frame(side_axis, upper, cross(side_axis, upper))
    shin = frame(side_axis, lower, cross(side_axis, lower))
    return {p + "hip": (hip, thigh), p + "knee": (knee, shin), p + "ankle": (end, matrix),
            p + "foot": (end + matrix @ OFFSET[p + "foot"], matrix)}  # fmt: skip


# Balance: the pelvis moves until the centre of mass is over the feet that carry.
DIRECTIONS = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], 1)
MARGIN = 0.02  # metres inside the support
MAX_SHIFT = 0.16  # metres


def mass_centre(trunk: Trunk, feet: dict[str, Foot]) -> Array:
    """Approximate centre of mass, (N, 2) x and z; arms hang with the chest."""
    p = trunk.position
    legs = sum(0.5 * f.sole[:, [0, 2]] + 0.5 * p["pelvis"][:, [0, 2]] for f in feet.values()) / 2
    return (
        0.2 * p["pelvis"][:, [0, 2]] + 0.16 * p["spine2"][:, [0, 2]] + 0.26 * p["neck"][:, [0, 2]]
        + 0.08 * p["head"][:, [0, 2]] + 0.3 * legs
    )  # fmt: skip


def _along(places: Array) -> Array:
    """Extent of places (N, 2) in each of the directions, (12, N)."""
    return DIRECTIONS[:, :1] * places[:, 0] + DIRECTIONS[:, 1:] * places[:, 1]


def support_shift(batch: ClipBatch, trunk: Trunk, feet: dict[str, Foot]) -> Array:
    """(N, 3) shift of the pelvis that brings the centre of mass over the feet, smooth and ahead of time."""
    left, right, s = batch.place("pelvis")
    size = len(s)
    names = {c: i for i, c in enumerate(CONTACTS)}
    flags = batch.contacts
    active_key = (batch.only_feet & batch.balance).astype(float)
    active = np.minimum(active_key[left], active_key[right]) * ~batch.air[right]
    if not active.any():
        return np.zeros((size, 3))
    centre = mass_centre(trunk, feet)
    points, weights = [], []
    for name, foot in feet.items():
        carries = flags[:, names[name]].astype(float)
        weight = foot.ground * np.minimum(carries[left], carries[right])
        yaw = np.radians(foot.sole[:, 3])
        ahead = np.stack([np.sin(yaw), np.cos(yaw)], 1)
        middle = foot.sole[:, [0, 2]]
        points += [middle + ahead * (TOE_FORWARD + 0.02), middle - ahead * HEEL_BACK]
        weights += [weight, weight]
    largest = np.maximum(weights[0], weights[2])
    active = active * (largest > 0.5)
    total = np.maximum(weights[0] + weights[2], 1e-6)
    middle = (weights[0][:, None] * (points[0] + points[1]) + weights[2][:, None] * (points[2] + points[3])) / (
        2 * total[:, None]
    )
    shift = np.zeros((size, 2))
    # extent of the support in every direction
    mid, far = _along(middle), np.full((len(DIRECTIONS), size), -np.inf)
    for point, weight in zip(points, weights, strict=True):
        far = np.maximum(far, mid + weight * (_along(point) - mid))
    for _ in range(2):
        excess = _along(centre + shift) - far
        worst = DIRECTIONS[excess.argmax(0)]
        over = excess.max(0)
        # a foot alone carries on its width, two feet between them
        shift = shift - worst * np.clip(over + MARGIN, 0, None)[:, None] / 0.85
    shift *= active[:, None]
    size_of = np.sqrt(shift[:, 0] ** 2 + shift[:, 1] ** 2)
    shift *= (np.minimum(size_of, MAX_SHIFT) / np.maximum(size_of, 1e-9))[:, None]
    shift = batch.layout.smooth(shift, 3.0)
    return np.stack([shift[:, 0], np.zeros(size), shift[:, 1]], 1)
