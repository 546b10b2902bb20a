"""From keys to frames: which keys a frame mixes, with which weights, and the noise, lags and flights of a clip."""

# Between two keys the weights are those of quintic Hermite interpolation. Where a control stops at a key (it stays
# there, turns round the corner of a hold, or stands on the floor) velocity and acceleration are zero there, which
# makes the way a minimum-jerk one; elsewhere they come from the neighbouring keys (via-points).

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from instruct_data.factory.synth.format import CONTACTS, CONTROLS, EASES, FEET, FRAMES, HANDS
from instruct_data.factory.synth.geometry import Array, Layout
from instruct_data.factory.synth.timeline import (
    ANGLES,
    AT,
    F_AT,
    F_HIGH,
    F_LIFT,
    F_MODE,
    H_ANGLES,
    H_AT,
    H_FRAME,
    H_MODE,
    KeyTimeline,
)
from vqvae.rates import BODY_FPS
from vqvae.smoothing import minimum_jerk, smoothstep

# standard deviations: metres for places, degrees for angles
_PELVIS, _TURN, _SPINE, _HEAD = (0.004, 0.0015, 0.004), (0.5, 0.7, 0.5), (1.0, 1.2, 0.7), (1.6, 2.0, 1.0)
_HAND = (0.012, 0.01, 0.012, 4.0)
_STEP = 4


@dataclass(eq=False)
class Noise:
    """Offsets for every frame: pelvis (N, 3) m, turn, spine, head (N, 3) degrees, hands (N, 4) m and swivel degrees."""

    pelvis: Array
    turn: Array
    spine: Array
    head: Array
    hands: dict[str, Array]

    def scale(self, share: Array) -> Noise:
        """The noise times (N,) a share."""
        by = share[:, None]
        hands = {hand: part * by for hand, part in self.hands.items()}
        return Noise(self.pelvis * by, self.turn * by, self.spine * by, self.head * by, hands)


def lags(rngs: Sequence[np.random.Generator]) -> dict[str, Array]:
    """Seconds by which controls come late: the head leads, the hands follow. ``settle``: overshoot of a hand."""
    drawn = np.stack([r.normal(0, 0.02, 5) for r in rngs])
    return {"head": drawn[:, 0] - 0.06, "gaze": drawn[:, 0] - 0.08, "spine": drawn[:, 1] * 0.5 + 0.01,
            "l_hand": drawn[:, 2] + 0.02, "r_hand": drawn[:, 3] + 0.02,
            "settle": 0.012 + 0.5 * np.abs(drawn[:, 4])}  # fmt: skip


def noises(layout: Layout, rngs: Sequence[np.random.Generator]) -> Noise:
    """Low-pass noise of every clip from its own generator; columns are scaled by the tables above."""
    scale = np.array([*_PELVIS, *_TURN, *_SPINE, *_HEAD, *_HAND, *_HAND])
    sizes = layout.counts // _STEP + 12
    parts, posture = [], []
    for rng, size in zip(rngs, sizes.tolist(), strict=True):
        parts.append(rng.standard_normal((size, len(scale))))
        posture.append(rng.standard_normal(12))
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    values = _spline(np.concatenate(parts), layout.frame / _STEP + 4, before[layout.clip]) * scale
    lean = np.stack(posture)[layout.clip]
    turn, spine, head = values[:, 3:6], values[:, 6:9] + 0, values[:, 9:12] + 0
    turn = turn + lean[:, 0:3] * np.array([0.6, 0.8, 0.5])
    spine = spine + lean[:, 3:6] * np.array([1.8, 1.0, 0.8])
    head = head + lean[:, 6:9] * np.array([2.5, 1.5, 1.2])
    hands = {}
    for i, hand in enumerate(("l_hand", "r_hand")):
        part = values[:, 12 + 4 * i : 16 + 4 * i].copy()
        part[:, 3] += 6 * lean[:, 9 + i]
        part[:, 2] += 0.012 * lean[:, 11]
        hands[hand] = part
    return Noise(values[:, 0:3], turn, spine, head, hands)


def _spline(coarse: Array, at: Array, first: Array) -> Array:
    """Twice-smoothed samples read at `first` + `at` by a uniform cubic B-spline; about unit variance."""
    smooth = 0.25 * coarse[:-2] + 0.5 * coarse[1:-1] + 0.25 * coarse[2:]
    i = first + at.astype(int) - 1
    u = (at - at.astype(int))[:, None]
    w0, w1 = (1 - u) ** 3 / 6, (3 * u**3 - 6 * u**2 + 4) / 6
    w2, w3 = (-3 * u**3 + 3 * u**2 + 3 * u + 1) / 6, u**3 / 6
    return 2.2 * (w0 * smooth[i - 1] + w1 * smooth[i] + w2 * smooth[i + 1] + w3 * smooth[i + 2])


def hand_places(rows: dict[str, Array], hand: str) -> Array:
    """Approximate place of a hand relative to its shoulder (K, 3) in the chest's axes, from the keys alone."""
    row, side = rows[hand], 1.0 if hand == "l_hand" else -1.0
    pelvis, yaw = rows["pelvis"], np.radians(rows["pelvis_rot"][:, 1])
    mode, which, at = row[:, H_MODE], row[:, H_FRAME].astype(int), row[:, H_AT : H_AT + 3]
    x, z, c, s = at[:, 0] - pelvis[:, 0], at[:, 2] - pelvis[:, 2], np.cos(yaw), np.sin(yaw)
    staged = np.stack([c * x - s * z - 0.19 * side, at[:, 1] - pelvis[:, 1] - 1.45, s * x + c * z], 1)
    on_body = at + _FROM[which] - np.array([0.19 * side, 0, 0])
    lift, fore = np.radians(row[:, H_ANGLES]), np.radians(row[:, H_ANGLES + 1])
    out = np.sin(lift)
    angled = 0.5 * np.stack([side * out * np.cos(fore), -np.cos(lift), out * np.sin(fore)], 1)
    place = np.where((which == 0)[:, None], staged, on_body)
    place = np.where((mode == ANGLES)[:, None], angled, place)
    return np.where((mode == AT)[:, None] | (mode == ANGLES)[:, None], place, np.array([0.1 * side, -0.5, 0.07]))


def follow_hands(rows: dict[str, Array], strength: Array) -> None:
    """Turn and tilt the trunk a little with the hands, away from the arm that reaches out or up; in place.

    About 6 degrees for one arm stretched out, times (K,) strength.
    """
    places = [hand_places(rows, hand) for hand in ("l_hand", "r_hand")]
    ahead = [np.clip(p[:, 2], -0.3, 0.6) for p in places]
    up = [np.clip(p[:, 1] + 0.1, 0, 0.6) for p in places]
    upright = np.clip(np.cos(np.radians(rows["pelvis_rot"][:, 0])), 0, 1) * strength
    turn, tilt = 12 * (ahead[1] - ahead[0]) * upright, 5 * (up[1] - up[0]) * upright
    rows["spine"][:, 1] += turn
    rows["spine"][:, 2] += tilt
    rows["head"][:, 1] -= 0.8 * turn
    rows["head"][:, 2] -= 0.6 * tilt


# approximate origins of hand targets relative to the middle between the shoulders, without the stage
_ORIGINS = {"pelvis": (0, -0.45, 0), "chest": (0, -0.14, 0), "head": (0, 0.17, 0.05), "l_shoulder": (0.19, 0, 0),
            "r_shoulder": (-0.19, 0, 0), "l_hand": (0.1, -0.2, 0.3), "r_hand": (-0.1, -0.2, 0.3),
            "l_knee": (0.1, -0.9, 0.2), "r_knee": (-0.1, -0.9, 0.2)}  # fmt: skip
_FROM = np.array([_ORIGINS.get(n, (0, 0, 0)) for n in FRAMES], np.float64)


_APART = 1000.0  # seconds between the clips on one common time axis


@dataclass(frozen=True, eq=False)
class Mix:
    """Weights of four neighbouring keys for every frame."""

    index: Array  # (N, 4) rows in the stacked keys
    weight: Array  # (N, 4), summing to 1
    left: Array  # (N,) key before the frame (stacked), right: the one after
    right: Array
    s: Array  # (N,) position between them, 0..1
    moves: Array  # (N,) whether the two keys differ

    def numbers(self, rows: Array) -> Array:
        """Weighted sum of rows (K, D) -> (N, D)."""
        out = rows[self.left]
        at = np.flatnonzero(self.moves)
        if len(at):
            index, weight = self.index[at], self.weight[at]
            out[at] = sum(weight[:, j, None] * rows[index[:, j]] for j in range(4))
        return out


class ClipBatch:
    """Keys of several clips stacked, and the frames between them. `timelines`: one per clip. `lags`: control -> (B,)
    seconds by which the control comes late (negative: leads).
    """

    def __init__(self, timelines: Sequence[KeyTimeline], lags: dict[str, Array]) -> None:
        self.timelines = timelines
        self.sizes = np.array([len(t.times) for t in timelines])
        self.first = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        self.last = self.first + self.sizes - 1
        self.layout = Layout(np.array([round(t.seconds * BODY_FPS) + 1 for t in timelines]))
        self.key_clip = np.repeat(np.arange(len(timelines)), self.sizes)
        self.times = np.concatenate([t.times for t in timelines])
        self.rows = {c: np.concatenate([t.rows[c] for t in timelines]) for c in CONTROLS}
        for name in ("ease", "anticipate", "overshoot", "air", "contacts", "balance", "still"):
            setattr(self, name, np.concatenate([getattr(t, name) for t in timelines]))
        follow_hands(self.rows, np.repeat([t.follow for t in timelines], self.sizes))
        self.lags = dict(lags)
        for hand, other_hand in (HANDS, HANDS[::-1]):  # a hand placed from the other comes with it
            if hand in lags:
                after = np.zeros(len(timelines), bool)
                np.logical_or.at(after, self.key_clip, self.is_placed_from_other(hand))
                self.lags[hand] = np.where(after, lags[other_hand], self.lags[hand])
        self._places: dict[str, tuple[Array, Array, Array]] = {}
        self.axis = self.times + self.key_clip * _APART

    @cached_property
    def only_feet(self) -> Array:
        """(K,) whether nothing but feet carries the body."""
        columns = [i for i, c in enumerate(CONTACTS) if c not in FEET]
        return ~np.asarray(self.contacts[:, columns].any(1))

    ease: Array
    anticipate: Array
    overshoot: Array
    air: Array
    contacts: Array
    balance: Array
    still: Array

    def place(self, control: str) -> tuple[Array, Array, Array]:
        """Left key, right key and position between them of every frame."""
        name = control if control in self.lags else ""
        if name not in self._places:
            self._places[name] = self._place(control)
        return self._places[name]

    def _place(self, control: str) -> tuple[Array, Array, Array]:
        clip = self.layout.clip
        time = self.layout.frame / BODY_FPS
        if control in self.lags:
            time = np.maximum(time - self.lags[control][clip], 0)
        left = np.searchsorted(self.axis, time + clip * _APART + 1e-9, side="right") - 1
        left = np.clip(left, self.first[clip], self.last[clip])
        right = np.minimum(left + 1, self.last[clip])
        span = np.maximum(self.times[right] - self.times[left], 1e-6)
        s = np.where(right > left, np.clip((time - self.times[left]) / span, 0, 1), 0.0)
        return left, right, s

    def is_placed_from_other(self, hand: str) -> Array:
        """(K,) whether the hand's place is given from the other hand."""
        other_hand = FRAMES.index("r_hand" if hand == "l_hand" else "l_hand")
        return (self.rows[hand][:, H_MODE] == AT) & (self.rows[hand][:, H_FRAME] == other_hand)

    def key_frames(self, control: str) -> Array:
        """(K,) stacked frame at which a control is at each key, its lag included."""
        late = self.lags[control][self.key_clip] if control in self.lags else 0.0
        frame = np.rint((self.times + late) * BODY_FPS).astype(int)
        return np.clip(frame, 0, self.layout.counts[self.key_clip] - 1) + self.layout.starts[self.key_clip]

    def _neighbours(self) -> tuple[Array, Array]:
        k = np.arange(len(self.times))
        return np.maximum(k - 1, self.first[self.key_clip]), np.minimum(k + 1, self.last[self.key_clip])

    def _slopes(self, control: str) -> tuple[Array, Array, Array]:
        """Velocity and acceleration of every key as weights of (previous, itself, next): (K, 3) each; and moved."""
        rows = self.rows[control]
        before, after = self._neighbours()
        k = np.arange(len(rows))
        change = np.abs(rows[after] - rows)
        if control.endswith("foot"):
            change[:, F_LIFT] = 0  # belongs to the way, not to the place
        step = change.max(1) > 1e-9
        if not (step.any() or control in HANDS):
            return np.zeros((len(rows), 3)), np.zeros((len(rows), 3)), step
        if control in HANDS:
            other_hand, follows = HANDS[control == HANDS[0]], self.is_placed_from_other(control)
            moves = np.abs(self.rows[other_hand][after] - self.rows[other_hand]).max(1) > 1e-9
            step |= (follows | follows[after]) & moves
        came = step[before] & (before != k)
        h1 = np.maximum(self.times - self.times[before], 1e-3)
        h2 = np.maximum(self.times[after] - self.times, 1e-3)
        shaped = (self.ease != 0) | (self.ease[after] != 0) | self.air | self.air[after]
        shaped |= (self.overshoot > 0) | (self.anticipate[after] > 0)
        stop = ~(came & step) | (before == k) | (after == k) | shaped
        if control.endswith("foot"):
            stop |= (rows[:, F_MODE] == AT) & (rows[:, F_HIGH] < 0.03)
            place = rows[:, F_AT : F_AT + 3]
        elif control.endswith("hand"):
            place = hand_places(self.rows, control)
            if follows.any():
                place = np.where(follows[:, None], hand_places(self.rows, other_hand), place)
        else:
            place = rows
        fast1 = np.linalg.norm(place - place[before], axis=1) / h1
        fast2 = np.linalg.norm(place[after] - place, axis=1) / h2
        # a small move after a large one must not be overshot
        even = np.minimum(fast1, fast2) / np.maximum(np.maximum(fast1, fast2), 1e-9)
        go = np.where(stop, 0.0, np.minimum(1.0, 2.0 * even))
        a, b = h2 / (h1 * (h1 + h2)) * go, h1 / (h2 * (h1 + h2)) * go
        velocity = np.stack([-a, a - b, b], 1)
        curve = 2.6 / (h1 + h2) * np.where(stop, 0.0, even)
        acceleration = np.stack([curve / h1, -curve / h1 - curve / h2, curve / h2], 1)
        return velocity, acceleration, step

    def mix(self, control: str, place: tuple[Array, Array, Array] | None = None) -> Mix:
        """The weights of one control in every frame; `place` overrides :meth:`place`."""
        left, right, s = place if place is not None else self.place(control)
        velocity, acceleration, step = self._slopes(control)
        before, after = self._neighbours()
        index = np.stack([before[left], left, right, after[right]], 1)
        weight = np.zeros((len(s), 4))
        weight[:, 1] = 1
        moves = step[left]
        at = np.flatnonzero(moves)
        if len(at):
            part = left[at], right[at], s[at]
            weight[at] = self._weights(control, part, velocity, acceleration, self.layout.clip[at])
        return Mix(index, weight, left, right, s, moves)

    def _weights(
        self, control: str, place: tuple[Array, Array, Array], velocity: Array, acceleration: Array, clip: Array
    ) -> Array:
        """(n, 4) weights of frames between two keys that differ."""
        left, right, s = place
        h = np.maximum(self.times[right] - self.times[left], 1e-3)
        e = minimum_jerk(s)
        s2, s3 = s * s, s * s * s
        v0 = (s - s3 * (6 - s * (8 - 3 * s))) * h
        v1 = s3 * (-4 + s * (7 - 3 * s)) * h
        a0 = 0.5 * s2 * (1 - s * (3 - s * (3 - s))) * h * h
        a1 = 0.5 * s3 * (1 - s * (2 - s)) * h * h
        e, shaped = self._shape(left, right, s, e, control)
        keep = np.where(shaped, 0.0, 1.0)
        w = np.stack([np.zeros_like(e), 1 - e, e, np.zeros_like(e)], 1)
        for j in range(3):
            w[:, j] += keep * (v0 * velocity[left, j] + a0 * acceleration[left, j])
            w[:, j + 1] += keep * (v1 * velocity[right, j] + a1 * acceleration[right, j])
        if control.endswith("hand"):  # a hand that stops goes a little too far and comes back
            ends = ~shaped & (velocity[right] == 0).all(1) & (s > 0)
            much = self.lags["settle"][clip] * ends
            beyond = much * np.sin(np.pi * np.clip((s - 0.68) / 0.32, 0, 1)) ** 2
            w[:, 1] -= beyond
            w[:, 2] += beyond
        return w

    def _shape(self, left: Array, right: Array, s: Array, e: Array, control: str) -> tuple[Array, Array]:
        """The way in time of shaped segments, and which frames are in one."""
        ease = self.ease[right]
        out = np.select(
            [ease == EASES.index(n) for n in ("snap", "linear", "drop", "swing")],
            [0.5 * e + 0.5 * (1 - (1 - s) ** 2.5) * smoothstep(s / 0.25), s, s * s * (1.6 - 0.6 * s),
             0.5 - 0.5 * np.cos(np.pi * s)], e,
        )  # fmt: skip
        over = self.overshoot[right]
        if control.endswith("foot") or control == "gaze":
            return out, ease != 0
        out = np.where(over > 0, minimum_jerk(np.minimum(s / 0.72, 1)), out)
        out = out + over * np.where(s > 0.4, np.sin(np.pi * np.clip((s - 0.4) / 0.6, 0, 1)) ** 2, 0)
        back = self.anticipate[right]
        early = np.clip(s / 0.45, 0, 1)
        late = np.where(back > 0, np.clip((s - 0.12) / 0.88, 0, 1), s)
        out = np.where((back > 0) & (ease == 0) & (over <= 0), minimum_jerk(late), out)
        out = out - back * np.sin(np.pi * early) ** 2 * (1 - 0.3 * early)
        return out, (ease != 0) | (over > 0) | (back > 0)


# Flights: the pelvis is thrown, so that gravity decides its height.
GRAVITY = 9.81


def fly(batch: ClipBatch, pelvis: Array) -> tuple[Array, Array]:
    """The pelvis (N, 3) with a ballistic arc on flights (runs of ``air`` keys), and the rise of the feet (N,)."""
    lifted = np.zeros(len(pelvis))
    if not batch.air.any():
        return pelvis, lifted
    k = np.arange(len(batch.times))
    start, end = k.copy(), k.copy()
    # first and last key of the run of air keys that the segment before a key belongs to
    for i in k:
        if batch.air[i] and i > batch.first[batch.key_clip[i]]:
            start[i] = start[i - 1] if batch.air[i - 1] else i - 1
    for i in k[::-1]:
        if batch.air[i] and i < batch.last[batch.key_clip[i]] and batch.air[i + 1]:
            end[i] = end[i + 1]
    _, right, s = batch.place("pelvis")
    at = np.flatnonzero(batch.air[right] & (s > 0))
    if len(at) == 0:
        return pelvis, lifted
    a, b = start[right[at]], end[right[at]]
    time = batch.layout.frame[at] / BODY_FPS - batch.times[a]
    span = np.maximum(batch.times[b] - batch.times[a], 1e-3)
    u = np.clip(time / span, 0, 1)
    rows = batch.rows["pelvis"]
    blended = rows[a] + (rows[b] - rows[a]) * u[:, None]
    rise = 0.5 * GRAVITY * span * span * u * (1 - u)
    out = pelvis.copy()
    noise = pelvis[at] - batch.mix("pelvis").numbers(rows)[at]
    out[at] = blended + noise
    out[at, 1] += rise
    lifted[at] = rise
    return out, lifted
