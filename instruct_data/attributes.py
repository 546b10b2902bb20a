"""Attributes that a clip measurably shows: side, standing leg, travel, turn, rise, postures, stillness, quality.

They stand behind a caption in the prompts of the language model, each as one symbol (``side=left``), are measured on
training clips, and judge what the model generates. Joints (T, 22, 3) are metres, Y up, at 20 frames a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from instruct_data.text.english import mirror_action
from vqvae.ground import MIN_RISE, SOLE, lowest_step, support_level
from vqvae.motion import Motion, smooth_yaw
from vqvae.rates import BODY_FPS
from vqvae.skeleton import SMPL22
from vqvae.smoothing import average_window, longest, runs_of

_J = {name: i for i, name in enumerate(SMPL22.names)}
_LEGS = [(_J[f"{s}_ankle"], _J[f"{s}_foot"]) for s in "lr"]  # left, right
_HANDS = (_J["l_wrist"], _J["r_wrist"])
_SIDES = ("left", "right")
_KNEEL = {"kneeling": "both", "kneeling_left": "left", "kneeling_right": "right"}
ANKLE = 0.06  # metres, of an ankle above the toes of a flat foot

# Symbols: name -> values. Numbers are put into the nearest of them.
DIRECTIONS = (
    "forward", "forward_left", "left", "backward_left", "backward", "backward_right", "right", "forward_right",
)  # fmt: skip
DISTANCES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
TURNS = (45, 90, 135, 180, 270, 360, 540, 720)
MAX_TIMES = 8
POSTURES = (
    "standing", "bent_over", "squatting", "lunging", "kneeling", "kneeling_left", "kneeling_right", "sitting",
    "sitting_on_floor", "on_all_fours", "plank", "lying_face_up", "lying_face_down", "lying_on_side", "upside_down",
)  # fmt: skip
VALUES: dict[str, tuple[str, ...]] = {
    "side": ("left", "right", "both", "alternating"),
    "hand": ("left", "right", "both"),  # that acts
    "support": _SIDES,  # leg that the body stands on
    "kneel": (*_SIDES, "both"),  # knee on the floor
    "direction": DIRECTIONS,
    "distance": tuple(f"{d:g}" for d in DISTANCES),
    "turn": tuple(f"{side}_{d}" for side in _SIDES for d in TURNS),
    "rise": ("up", "down"),
    "times": tuple(str(n) for n in range(1, MAX_TIMES + 1)),
    "tempo": ("slow", "fast"),
    "size": ("small", "large"),
    "start": POSTURES,
    "through": POSTURES,  # the posture that lasts longest but standing
    "end": POSTURES,
    "rest": ("still", "moving"),  # at the end
    "quality": ("good", "fair"),  # of floor, feet and smoothness
}
# Of a continuation: those that do not depend on where it begins.
ONWARD = ("action", "side", "hand", "kneel", "times", "tempo", "size", "through", "end", "rest", "quality")
SIDED = ("side", "hand", "support", "kneel", "direction", "turn", "start", "through", "end")

# Thresholds of the measurements: metres, metres a second, degrees, seconds.
MIN_PATH, MIN_TURN = 0.4, 25.0
SUPPORT_SECONDS, SUPPORT_RATIO = 0.9, 1.5
STILL_SPEED, FOOT_SPEED, FOOT_HEIGHT = 0.25, 0.35, 0.07
HAND_REACH, HAND_RATIO = 0.2, 1.8
STILL_SECONDS, MOVING_SECONDS = 1.0, 0.3  # of the end
FLIGHT, STAIRS_FLIGHT = 0.035, 0.12  # metres that soles rise, on one level and where the ground rises
POSTURE_EVERY, POSTURE_SECONDS = 4, 0.6  # frames; seconds that count


def _between(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees of the segment from `a` to `b` from straight down."""
    v = b - a
    return float(np.degrees(np.arccos(np.clip(-v[1] / max(float(np.linalg.norm(v)), 1e-6), -1, 1))))


class Measures:
    """Measurements of one clip at 20 frames a second; T frames, all computed on first use."""

    def __init__(self, joints: np.ndarray) -> None:
        self.joints = np.asarray(joints, np.float64).copy()
        self.level = support_level(self.joints)
        self.joints[..., 1] -= self.level[:, None]

    @classmethod
    def of(cls, motion: Motion) -> Measures:
        """Measurements of a motion at any rate."""
        return cls(motion.resampled(BODY_FPS).joints)

    @cached_property
    def speeds(self) -> np.ndarray:
        """(T, 22) metres a second."""
        if len(self.joints) < 2:
            return np.zeros((1, len(SMPL22.names)))
        return np.asarray(np.linalg.norm(np.gradient(self.joints, axis=0), axis=-1) * BODY_FPS)

    @cached_property
    def yaw(self) -> np.ndarray:
        """(T,) degrees, positive = to the left; see `smooth_yaw`."""
        return smooth_yaw(self.joints)

    @cached_property
    def feet(self) -> np.ndarray:
        """(T, 2) height of the left and the right sole, metres."""
        return np.stack([np.minimum(self.joints[:, t, 1], self.joints[:, a, 1] - ANKLE) for a, t in _LEGS], 1)

    @cached_property
    def contact(self) -> np.ndarray:
        """(T, 2) whether the left and the right foot stand: slow, and near the lowest point of the body."""
        slow = np.stack([np.minimum(self.speeds[:, a], self.speeds[:, t]) for a, t in _LEGS], 1)
        low = self.joints[..., 1].min(1)
        return (average_window(slow, 3) < FOOT_SPEED) & (average_window(self.feet, 3) - low[:, None] < FOOT_HEIGHT)

    @cached_property
    def flights(self) -> list[tuple[int, int]]:
        """[start, stop) of the stretches in which nothing touches the floor: both soles rise from where they stood and
        come down again within 1.2 seconds.
        """
        low = self.joints[..., 1].min(1)
        count, reach = len(low), 15
        left = np.array([low[max(0, i - reach) : i + 1].min() for i in range(count)])
        right = np.array([low[i : i + reach + 1].min() for i in range(count)])
        base = np.maximum(left, right)
        # crouching lowers the pelvis, not the soles: only the lowest point tells a flight
        up = np.minimum(low, self.feet.min(1)) - base > (STAIRS_FLIGHT if self.level.any() else FLIGHT)
        return [(a, b) for a, b in runs_of(up, 1) if 2 <= b - a <= 24]

    def posture(self, frame: int) -> str:
        """One of `POSTURES`."""
        flies = any(a <= frame < b for a, b in self.flights)
        j = self.joints[frame] - np.array([0, 0 if flies else self.joints[frame, :, 1].min(), 0])
        up = j[_J["neck"]] - j[_J["pelvis"]]
        up = up / max(float(np.linalg.norm(up)), 1e-6)
        pelvis, head = j[_J["pelvis"], 1], j[_J["head"], 1]
        hips, knees, ankles = ([_J[f"{s}_{n}"] for s in "lr"] for n in ("hip", "knee", "ankle"))
        wrists = j[list(_HANDS), 1]
        if up[1] < -0.5 and j[ankles, 1].max() > pelvis:
            return "upside_down"
        if abs(up[1]) < 0.5 and pelvis < 0.35 and head < 0.45:
            across = j[_J["l_shoulder"]] - j[_J["r_shoulder"]]
            front = np.cross(across, up)
            facing = front[1] / max(float(np.linalg.norm(front)), 1e-6)
            return "lying_face_up" if facing > 0.5 else "lying_face_down" if facing < -0.5 else "lying_on_side"
        if up[1] < 0.6 and wrists.min() < 0.2 and pelvis < 0.8:
            if j[knees, 1].min() < 0.2:
                return "on_all_fours"
            return "plank" if up[1] > -0.3 and pelvis < 0.55 else "bent_over"
        if pelvis < 0.3:
            return "sitting_on_floor"
        down = j[knees, 1] < 0.18
        if down.all() and pelvis < 0.75:
            return "kneeling"
        if down.any() and pelvis < 0.75 and j[ankles[1 - int(down[1])], 1] < 0.2:
            return "kneeling_left" if down[0] else "kneeling_right"
        thighs = [_between(j[h], j[k]) for h, k in zip(hips, knees, strict=True)]
        if pelvis < 0.72 and min(thighs) > 55 and up[1] > 0.6:
            yaw = np.radians(self.yaw[frame])
            ahead = (j[ankles].mean(0) - j[_J["pelvis"]]) @ np.array([np.sin(yaw), 0, np.cos(yaw)])
            return "sitting" if ahead > 0.22 else "squatting"
        if pelvis < 0.78 and max(thighs) > 35:
            return "squatting" if min(thighs) > 35 else "lunging"
        return "bent_over" if up[1] < 0.72 else "standing"

    @cached_property
    def postures(self) -> list[str]:
        """The posture of every `POSTURE_EVERY`th frame."""
        return [self.posture(i) for i in range(0, len(self.joints), POSTURE_EVERY)]

    def find_longest(self, names: Sequence[str]) -> str:
        """The posture among `names` that lasts longest, `POSTURE_SECONDS` at least, or empty."""
        counts = {n: self.postures.count(n) for n in names}
        name = max(counts, key=lambda n: counts[n])
        return name if counts[name] * POSTURE_EVERY >= POSTURE_SECONDS * BODY_FPS else ""

    @cached_property
    def travel(self) -> dict[str, float]:
        """Metres: `distance` from first to last frame, `path` along the way; `forward` and `left` of the body."""
        plane = average_window(self.joints[:, 0][:, [0, 2]], 5)
        net, step = plane[-1] - plane[0], np.diff(plane, axis=0)
        yaw = np.radians(self.yaw[1:])
        left = step[:, 0] * np.cos(yaw) - step[:, 1] * np.sin(yaw)
        forward = step[:, 0] * np.sin(yaw) + step[:, 1] * np.cos(yaw)
        return {
            "distance": float(np.hypot(*net)), "path": float(np.linalg.norm(step, axis=1).sum()),
            "left": float(left.sum()), "forward": float(forward.sum()),
        }  # fmt: skip

    @cached_property
    def turn(self) -> float:
        """Degrees from the first to the last heading, positive = to the left."""
        return float(self.yaw[-1] - self.yaw[0])

    @cached_property
    def rise(self) -> float:
        """Metres that the ground rises below the body."""
        return float(self.level[-1] - self.level[0])

    @cached_property
    def support(self) -> str:
        """The leg that alone carries a standing body for long; empty where neither does."""
        alone = [self.contact[:, k] & ~self.contact[:, 1 - k] for k in (0, 1)]
        times = [longest(a) for a in alone]
        if max(times) < SUPPORT_SECONDS or max(times) < SUPPORT_RATIO * min(times):
            return ""
        return _SIDES[int(np.argmax(times))]

    @cached_property
    def reaches(self) -> tuple[float, float]:
        """Metres that the left and the right hand go from where they begin, relative to the chest."""
        yaw = np.radians(self.yaw)
        around = self.joints - self.joints[:, [_J["spine3"]]]
        out = []
        for hand in _HANDS:
            x, y, z = around[:, hand].T
            local = np.stack([x * np.cos(yaw) - z * np.sin(yaw), y, x * np.sin(yaw) + z * np.cos(yaw)], 1)
            out.append(float(np.percentile(np.linalg.norm(local - np.median(local[:5], 0), axis=1), 90)))
        return out[0], out[1]

    @cached_property
    def hand(self) -> str:
        """The hand that acts: left, right, both, or empty where neither goes far."""
        left, right = self.reaches
        if max(left, right) < HAND_REACH:
            return ""
        return "left" if left > HAND_RATIO * right else "right" if right > HAND_RATIO * left else "both"

    @cached_property
    def rest(self) -> float:
        """Seconds of the end in which the body is still."""
        body = self.speeds[:, [0, *_HANDS, 7, 8, _J["head"]]].max(1)
        last = runs_of(average_window(body, 3) < STILL_SPEED, 2)
        return (len(body) - last[-1][0]) / BODY_FPS if last and last[-1][1] == len(body) else 0.0

    @cached_property
    def speed(self) -> float:
        """Mean speed of hands, feet and pelvis, metres a second."""
        return float(self.speeds[:, [0, *_HANDS, 7, 8]].mean())

    @cached_property
    def extent(self) -> float:
        """How far hands, feet and head go in the body's frame, metres: the mean of their ranges."""
        around = self.joints[:, [*_HANDS, 7, 8, _J["head"]]] - self.joints[:, :1] * np.array([1, 0, 1])
        return float(np.linalg.norm(np.percentile(around, 95, 0) - np.percentile(around, 5, 0), axis=-1).mean())

    @cached_property
    def floor(self) -> float:
        """Metres of the standing soles above the floor, median; 0 where no foot ever stands."""
        standing = self.feet[self.contact]
        return float(np.median(standing) - SOLE) if len(standing) > 3 else 0.0

    @cached_property
    def begins(self) -> float:
        """Metres of the lowest joint above the floor in the first frame."""
        return float(self.joints[0, :, 1].min() - SOLE)

    @cached_property
    def sunk(self) -> float:
        """Metres of the lowest joint below the floor, 98th percentile."""
        low = self.joints[..., 1].min(1) + self.level - lowest_step(self.level)
        return float(max(0.0, -np.percentile(low, 2)))

    @cached_property
    def skate(self) -> float:
        """Metres a second of the standing feet along the floor, mean."""
        if len(self.joints) < 2:
            return 0.0
        slides = []
        for k, (_, toe) in enumerate(_LEGS):
            step = np.linalg.norm(np.diff(self.joints[:, toe][:, [0, 2]], axis=0), axis=1) * BODY_FPS
            slides.append(step[self.contact[1:, k] & self.contact[:-1, k]])
        steps = np.concatenate(slides)
        return float(steps.mean()) if len(steps) else 0.0

    @cached_property
    def jerk(self) -> float:
        """Third derivative of the joints, 95th percentile, m/s^3."""
        if len(self.joints) < 5:
            return 0.0
        return float(np.percentile(np.linalg.norm(np.diff(self.joints, 3, axis=0), axis=-1) * BODY_FPS**3, 95))

    def figures(self) -> dict[str, Any]:
        """All measurements, JSON types."""
        last = len(self.joints) - 1
        way = self.travel
        direction = ""
        if way["path"] > MIN_PATH and abs(way["forward"]) + abs(way["left"]) > 0.35:
            direction = DIRECTIONS[round(float(np.degrees(np.arctan2(way["left"], way["forward"]))) / 45) % 8]
        return {
            "start": self.posture(min(1, last)), "through": self.find_longest(POSTURES[1:]),
            "kneel": self.find_longest(tuple(_KNEEL)), "end": self.posture(max(last - 1, 0)), "direction": direction,
            "distance": round(way["distance"], 2), "turn": round(self.turn, 1), "rise": round(self.rise, 3),
            "support": self.support, "hand": self.hand, "flights": len(self.flights), "rest": round(self.rest, 2),
            "speed": round(self.speed, 3), "extent": round(self.extent, 3), "floor": round(self.floor, 4),
            "begins": round(self.begins, 4), "sunk": round(self.sunk, 4), "skate": round(self.skate, 4),
            "jerk": round(self.jerk, 1),
        }  # fmt: skip


def nearest(name: str, value: float) -> str:
    """The symbol's value that is nearest to a number: of `distance` metres, of `turn` signed degrees, of `times`."""
    if name == "turn":
        degrees = TURNS[int(np.argmin([abs(abs(value) - d) for d in TURNS]))]
        return f"{'left' if value > 0 else 'right'}_{degrees}"
    if name == "distance":
        return f"{DISTANCES[int(np.argmin([abs(np.log(max(value, 0.1) / d)) for d in DISTANCES]))]:g}"
    return str(int(np.clip(round(value), 1, MAX_TIMES)))


def describe_figures(figures: Mapping[str, Any]) -> dict[str, str]:
    """The attributes that follow from a clip's `figures` alone; side, times, tempo and size need its action."""
    rest, rise = figures["rest"], figures["rise"]
    out = {
        **{k: figures[k] for k in ("start", "through", "end", "direction", "support", "hand")},
        "rest": "still" if rest >= STILL_SECONDS else "moving" if rest < MOVING_SECONDS else "",
        "rise": "up" if rise > MIN_RISE else "down" if rise < -MIN_RISE else "",
        "kneel": _KNEEL.get(figures["kneel"], ""),
    }  # fmt: skip
    if figures["direction"]:
        out["distance"] = nearest("distance", figures["distance"])
    if abs(figures["turn"]) > MIN_TURN:
        out["turn"] = nearest("turn", figures["turn"])
    return {k: v for k, v in out.items() if v}


def mirror_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes of the mirror image; of an action named after a side, the action of the other one."""
    return {k: mirror_action(v) if k in ("action", *SIDED) else v for k, v in attributes.items()}


def symbols(actions: Sequence[str]) -> list[str]:
    """Every symbol, one piece of the vocabulary each: those of the actions first, then ``name=value``."""
    return [*(f"action={a}" for a in actions), *(f"{k}={v}" for k, values in VALUES.items() for v in values)]


def write_attributes(attributes: Mapping[str, str]) -> list[str]:
    """Attributes in compact text, in the order of `VALUES`, the action first."""
    return [f"{k}={attributes[k]}" for k in ("action", *VALUES) if attributes.get(k)]
