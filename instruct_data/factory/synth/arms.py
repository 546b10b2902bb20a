"""Hands and arms: wrist targets blended around the shoulder, then two-bone inverse kinematics."""

# A hand's place is a direction from the shoulder, a distance and the swivel of the elbow. Directions are blended in the
# azimuthal equidistant map about a point in front of the shoulder, so that a hand travels in arcs and never through the
# trunk; over small angles the blend is along the straight line instead.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruct_data.factory.synth.format import FRAMES
from instruct_data.factory.synth.geometry import (
    FOREARM,
    OFFSET,
    UPPER_ARM,
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
from instruct_data.factory.synth.timeline import (
    ANGLES,
    AT,
    H_ANGLES,
    H_AT,
    H_ELBOW,
    H_FRAME,
    H_MODE,
    H_PALM,
    H_SET,
    REST,
)
from instruct_data.factory.synth.tracks import ClipBatch, Mix
from vqvae.smoothing import smoothstep

DOWN = np.array([0.0, -1.0, 0.0])
FRONT, BACK = np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, -1.0])


def neutral_elbow(side: float, axis: Array) -> Array:
    """Direction of the elbow at swivel 0: behind a hanging arm, below one held forward or sideways, in front of a
    raised one, above one held back, behind one held low and outwards behind.
    """
    # directions square to an axis cannot be continuous everywhere; the singularity lies level and 60 degrees behind
    # the side, where no arm goes
    x, y, z = axis[:, 0], axis[:, 1], axis[:, 2]
    back = smoothstep(-2.5 * z)
    aside = back * smoothstep(2.5 * side * x)
    tall = y - 0.3 * aside
    out = 0.22 * (1 - aside) + 0.7 * aside * smoothstep((tall + 0.1) / 0.3)
    fore = np.where(tall < 0, 0.75, 0.35 + 0.5 * aside) * tall
    pole = np.stack([side * out, -z - (0.8 + 0.8 * back) * np.abs(x), fore], 1)
    return square_to(axis, pole, np.broadcast_to(BACK + np.array([0.5 * side, 0.0, 0.0]), pole.shape))


def from_angles(row: Array, side: float) -> tuple[Array, Array]:
    """Wrist relative to the shoulder (N, 3) in the chest's axes, and the direction of the elbow.

    `raise` and `forward` give the upper arm; the forearm bends to the front of a hanging arm, carried along as the arm
    is raised; `twist` turns it outwards.
    """
    lift, fore, flex, twist = (np.radians(row[:, H_ANGLES + i]) for i in range(4))
    flex = np.clip(flex, 0, np.radians(150))
    flat = np.stack([side * np.cos(fore), 0 * fore, np.sin(fore)], 1)
    upper = np.cos(lift)[:, None] * DOWN + np.sin(lift)[:, None] * flat
    # the shortest rotation of the hanging arm to `upper` (by `lift` about a level axis) carries the front along
    axis = cross(np.broadcast_to(DOWN, flat.shape), flat)
    c, s = np.cos(lift)[:, None], np.sin(lift)[:, None]
    front = c * FRONT + s * cross(axis, FRONT[None]) + (1 - c) * axis * dot(axis, FRONT[None])[:, None]
    # outwards: towards the side for a hanging arm, upwards for one raised sideways
    sideways = side * cross(front, upper)
    to = np.cos(twist)[:, None] * front + np.sin(twist)[:, None] * sideways
    forearm = np.cos(flex)[:, None] * upper + np.sin(flex)[:, None] * to
    return UPPER_ARM * upper + FOREARM * forearm, -to


UP = np.array([0.0, 1.0, 0.0])
COLLAR_REST = 18.0  # degrees: the shoulders a little forward, as in standing recordings
MIN_ARM = 0.14  # shoulder to wrist, metres: the elbow bends at most about 150 degrees
L_HAND, R_HAND = FRAMES.index("l_hand"), FRAMES.index("r_hand")
WRIST_REST = 22.0


def collar(side: float, up: Array, forward: Array) -> Array:
    """Matrix of a collar joint, degrees up and forward beyond rest."""
    return euler(0 * up, -side * (COLLAR_REST + forward), -side * up)


def shoulder_at_rest(side: float) -> Array:
    """Shoulder relative to spine3, in its axes, with the collar at rest."""
    p = "l_" if side > 0 else "r_"
    zero = np.zeros(1)
    return OFFSET[p + "collar"] + (collar(side, zero, zero)[0] @ OFFSET[p + "shoulder"])


def hang_wrist(trunk: Trunk, side: float) -> Array:
    """Wrist of a hanging arm from the shoulder, chest axes (N, 3): by gravity as far as the trunk leans forward."""
    chest = trunk.matrix["spine3"]
    front_up = chest[:, 1, 2]
    share = 0.75 * (1 - smoothstep(front_up / 0.35)) * smoothstep((0.9 + chest[:, 1, 1]) / 0.6)
    level = unapply(chest, np.broadcast_to(DOWN, (len(chest), 3)))
    way = unit(share[:, None] * level + (1 - share)[:, None] * DOWN)
    way = unit(way + np.array([side * 0.19, 0.0, 0.1]))
    return way * (0.953 * (UPPER_ARM + FOREARM))


@dataclass(eq=False)
class Wrist:
    """One hand before inverse kinematics, in the chest's axes from the resting shoulder."""

    place: Array  # (N, 3) wrist
    swivel: Array  # (N,) degrees
    palm: Array  # (N, 3) degrees
    placed: Array  # (N,) 1 where the hand keeps to a point of the stage or of the body, 0 where it hangs free


class Reach:
    """Evaluates hand rows on the posed body."""

    def __init__(self, batch: ClipBatch, mixes: dict[str, Mix], trunk: Trunk, frames: dict[str, tuple[Array, Array]],
                 swing: dict[str, Array]) -> None:  # fmt: skip
        """`frames`: joint name -> position (N, 3) and axes (N, 3, 3); `swing`: hand -> (N,) degrees of arm swing."""
        self.batch, self.mixes, self.trunk, self.swing = batch, mixes, trunk, swing
        self.key_frames = {h: batch.key_frames(h) for h in mixes}
        size = len(trunk.position["pelvis"])
        eye = np.broadcast_to(np.eye(3), (size, 3, 3))
        self.origin = np.zeros((len(FRAMES), size, 3))
        self.axes = np.zeros((len(FRAMES), size, 3, 3))
        self.axes[0] = eye
        for i, name in enumerate(FRAMES):
            if name in frames:
                self.origin[i], self.axes[i] = frames[name]
        self.angled = {}
        for hand in mixes:
            side = 1.0 if hand == "l_hand" else -1.0
            place, elbow = from_angles(batch.rows[hand], side)
            axis = unit(place)
            e0 = neutral_elbow(side, axis)
            swivel = np.degrees(np.arctan2(dot(elbow, side * cross(axis, e0)), dot(elbow, e0)))  # of its direction
            self.angled[hand] = place, swivel
        self.rest = {}
        for hand, side in (("l_hand", 1.0), ("r_hand", -1.0)):
            x, y, z = hang_wrist(trunk, side).T
            c, s = np.cos(np.radians(swing[hand])), np.sin(np.radians(swing[hand]))
            self.rest[hand] = np.stack([x, c * y + s * z, c * z - s * y], 1)

    def world(self, hand: str, place: Array, at: Array) -> Array:
        """Chest-relative wrist -> stage."""
        home = shoulder_at_rest(1.0 if hand[0] == "l" else -1.0)
        return self.trunk.position["spine3"][at] + apply(self.trunk.matrix["spine3"][at], place + home)

    def rows(self, hand: str, keys: Array, at: Array, deep: bool = False) -> tuple[Array, Array]:
        """Wrist (n, 3) relative to the resting shoulder and swivel (n,) of the `keys` (n,) on the frames `at` (n,)."""
        side = 1.0 if hand == "l_hand" else -1.0
        row = self.batch.rows[hand][keys]
        staged = (row[:, H_FRAME] == 0) & (row[:, H_MODE] == AT)
        # A target in the stage is related to the trunk of its key's frame for a hand on the way there or away (one that
        # the trunk has turned away from would swing out), else to that of the frame itself.
        key_frame = self.key_frames[hand][keys]
        way = self.mixes[hand].moves[at]
        related = np.where(staged & way, key_frame + np.clip(at - key_frame, -1, 1), at)
        chest, base = self.trunk.matrix["spine3"][related], self.trunk.position["spine3"][related]
        which = row[:, H_FRAME].astype(int)
        origin, axes = self.origin[which, at], self.axes[which, at]
        for code, other_hand in ((L_HAND, "l_hand"), (R_HAND, "r_hand")):
            pick = np.flatnonzero((which == code) & (row[:, H_MODE] == 1))
            if len(pick) and not deep:
                place, _ = self.rows(other_hand, keys[pick], at[pick], deep=True)
                origin[pick], axes[pick] = self.world(other_hand, place, at[pick]), chest[pick]
        target = origin + apply(axes, row[:, H_AT : H_AT + 3])
        place = unapply(chest, target - base) - shoulder_at_rest(side)
        angled, turned = self.angled[hand]
        mode = row[:, H_MODE]
        place = np.where((mode == ANGLES)[:, None], angled[keys], place)
        place = np.where((mode == REST)[:, None], self.rest[hand][at], place)
        axis = unit(place)
        # further out for hands that are high or across the body
        usual = 14 + 26 * smoothstep((axis[:, 1] + 0.3) / 1.1) + 22 * np.clip(-axis[:, 0] * side, 0, 1)
        swivel = np.where(row[:, H_SET] > 0, row[:, H_ELBOW], usual)
        swivel = np.where(mode == ANGLES, turned[keys], swivel)
        return place, np.where(mode == REST, 12.0, swivel)

    def blend(self, hand: str) -> Wrist:
        """The hand in every frame."""
        side = 1.0 if hand == "l_hand" else -1.0
        mix, rows = self.mixes[hand], self.batch.rows[hand]
        size = len(mix.left)
        middle = unit(np.array([0.62 * side, -0.25, 0.74]))
        e1 = unit(cross(UP[None], middle[None]))[0]
        e2 = cross(middle[None], e1[None])[0]
        flat, straight, far = np.zeros((size, 2)), np.zeros((size, 3)), np.zeros(size)
        swivel, palm, placed = np.zeros(size), np.zeros((size, 3)), np.zeros(size)
        ends = np.zeros((2, size, 3))
        for j in (1, 2, 0, 3):
            at = np.flatnonzero(mix.weight[:, j] != 0)
            keys, w = mix.index[at, j], mix.weight[at, j]
            row = rows[keys]
            place, turn = self.rows(hand, keys, at)
            reach = length(place)
            way = place / np.maximum(reach, 1e-9)[:, None]
            if j in (1, 2):
                ends[j - 1, at] = way
            turn = (turn + 150) % 360 - 150  # the cut lies where no elbow points: up and inwards
            angle = np.arccos(np.clip(dot(way, middle), -1, 1))
            scale = angle / np.maximum(np.sin(angle), 1e-6)
            flat[at] += (w * scale)[:, None] * np.stack([dot(way, e1), dot(way, e2)], 1)
            straight[at] += w[:, None] * place
            far[at] += w * reach
            swivel[at] += w * turn
            palm[at] += w[:, None] * row[:, H_PALM : H_PALM + 3]
            placed[at] += w * (row[:, H_MODE] == 1)
        angle = np.sqrt(flat[:, 0] ** 2 + flat[:, 1] ** 2)
        sinc = np.where(angle < 1e-6, 1.0, np.sin(angle) / np.maximum(angle, 1e-6))
        way = np.cos(angle)[:, None] * middle + (flat[:, :1] * e1 + flat[:, 1:] * e2) * sinc[:, None]
        still = np.abs(mix.weight).max(1) > np.abs(mix.weight).sum(1) - 1e-6
        angle_between = np.where(still, 0.0, np.arccos(np.clip(dot(ends[0], ends[1]), -1, 1)))
        curved = smoothstep((angle_between - 0.7) / 0.7)[:, None]
        place = curved * way * np.maximum(far, 0.05)[:, None] + (1 - curved) * straight
        return Wrist(place, swivel, palm, np.clip(placed, 0, 1))


def outside_trunk(place: Array, side: float, share: Array) -> Array:
    """Push a wrist out of an elliptic trunk (half 0.155 m wide, 0.135 m deep), chest axes from the resting shoulder."""
    base = shoulder_at_rest(side)
    p = place + base
    inside = np.sqrt((p[:, 0] / 0.155) ** 2 + ((p[:, 2] + 0.0) / 0.135) ** 2)
    height = smoothstep((0.2 - p[:, 1]) / 0.06) * smoothstep((p[:, 1] + 0.55) / 0.1)
    grow = np.maximum(1 - inside, 0) / np.maximum(inside, 0.2) * height * share
    out = p.copy()
    out[:, 0] += p[:, 0] * grow + side * 0.02 * (inside < 0.2) * height * share
    out[:, 2] += np.where(p[:, 2] >= -0.02, np.maximum(p[:, 2], 0.05), p[:, 2]) * grow
    return out - base


def solve_arm(trunk: Trunk, hand: str, wrist: Wrist, noise: Array, shrug: Array) -> dict[str, tuple[Array, Array]]:
    """Collar to wrist: positions and global matrices by joint name. `noise`: (N, 4) metres on the place and degrees on
    the swivel. `shrug`: (N, 2) degrees by which the shoulder is lifted and brought forward; a free hand moves along.
    """
    p, side = hand[:2], 1.0 if hand[0] == "l" else -1.0
    chest, base = trunk.matrix["spine3"], trunk.position["spine3"]
    place = wrist.place + noise[:, :3]
    place = outside_trunk(place, side, 1 - 0.6 * wrist.placed)
    way = unit(place)
    up = 26 * smoothstep((way[:, 1] + 0.25) / 1.25)
    stretched = smoothstep((length(place) / (UPPER_ARM + FOREARM) - 0.75) / 0.3)
    ahead = 14 * np.clip(way[:, 2], 0, 1) * stretched + 8 * np.clip(-way[:, 0] * side, 0, 1)
    ahead = ahead - 8 * np.clip(-way[:, 2] - 0.2, 0, 1)
    shrug = np.clip(shrug, -20, 35)
    turned = collar(side, up + shrug[:, 0], ahead + shrug[:, 1])
    collar_at = trunk.position[p + "collar"]
    shoulder = OFFSET[p + "collar"] + turned @ OFFSET[p + "shoulder"]
    carried = shoulder - OFFSET[p + "collar"] - collar(side, up, ahead) @ OFFSET[p + "shoulder"]
    target = place + shoulder_at_rest(side) + carried * (1 - wrist.placed)[:, None]
    # the wrist stays above the floor
    level = base + apply(chest, target)
    sunk = np.maximum(0.035 - level[:, 1], 0)
    target = target + unapply(chest, np.stack([0 * sunk, sunk, 0 * sunk], 1))
    axis = unit(target - shoulder)
    e0 = neutral_elbow(side, axis)
    e1 = side * cross(axis, e0)
    angle = np.radians(wrist.swivel + noise[:, 3])
    reach = np.clip(length(target - shoulder), MIN_ARM, UPPER_ARM + FOREARM - 1e-4)
    along = (UPPER_ARM**2 - FOREARM**2 + reach**2) / (2 * reach)
    off = np.sqrt(np.maximum(UPPER_ARM**2 - along**2, 1e-8))
    for _ in range(2):  # the elbow out of the trunk
        pole = np.cos(angle)[:, None] * e0 + np.sin(angle)[:, None] * e1
        elbow = shoulder + axis * along[:, None] + pole * off[:, None]
        depth = np.sqrt((elbow[:, 0] / 0.185) ** 2 + (elbow[:, 2] / 0.17) ** 2)
        lack = np.maximum(1 - depth, 0) * 0.185 * smoothstep((0.24 - elbow[:, 1]) / 0.12)
        angle = angle + np.clip(1.2 * lack / np.maximum(off, 0.06), 0, 0.5)
    # and above the floor: the part of its circle that is high enough
    tall = (base + apply(chest, shoulder + axis * along[:, None]))[:, 1]
    y0, y1 = apply(chest, e0)[:, 1], apply(chest, e1)[:, 1]
    room = np.maximum(off * np.sqrt(y0 * y0 + y1 * y1), 1e-6)
    widest = np.arccos(np.clip((0.04 - tall) / room, -1, 1))
    top = np.arctan2(y1, y0)
    offset = (angle - top + np.pi) % (2 * np.pi) - np.pi
    angle = np.where((0.04 - tall) / room > -1, top + np.clip(offset, -widest, widest), angle)
    pole = np.cos(angle)[:, None] * e0 + np.sin(angle)[:, None] * e1
    elbow, end = bend(shoulder, target, pole, UPPER_ARM, FOREARM, MIN_ARM, 0.03)
    upper, lower = unit(elbow - shoulder), unit(end - elbow)
    z = lower - upper * dot(lower, upper)[:, None]
    z = unit(np.where((length(z) > 0.02)[:, None], z, -pole))
    z = unit(z - upper * dot(z, upper)[:, None])
    x = side * upper
    arm = frame(x, cross(z, x), z)
    hinge = arm[..., 1]
    x2 = side * lower
    fore = frame(x2, hinge, cross(x2, hinge))
    palm = np.clip(wrist.palm, [-75, -35, -95], [75, 35, 95])
    # bone along X: roll about it, pitch bends towards the palm (-Y), yaw towards the thumb
    roll = np.radians(WRIST_REST * (1 - wrist.placed) - palm[:, 2])
    c, s, zero = np.cos(roll), np.sin(roll), np.zeros_like(roll)
    spin = np.stack([zero + 1, zero, zero, zero, c, -s, zero, s, c], 1).reshape(-1, 3, 3)
    hand_turn = euler(zero, -side * palm[:, 1], side * palm[:, 0])
    inside = {p + "collar": turned, p + "shoulder": arm, p + "elbow": fore, p + "wrist": fore @ spin @ hand_turn}
    places = {p + "collar": None, p + "shoulder": shoulder, p + "elbow": elbow, p + "wrist": end}
    out = {}
    for name, matrix in inside.items():
        local = places[name]
        at = collar_at if local is None else base + apply(chest, local)
        out[name] = (at, chest @ matrix)
    return out
