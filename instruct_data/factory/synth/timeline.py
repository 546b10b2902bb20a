"""One clip of a family drawn from its seed: complete key states in world numbers."""

# Every key holds a row of numbers per control. Rows of hands and feet carry their mode, so that a later stage can
# evaluate them on the body as it stands in a frame.

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np

from instruct_data.factory.synth import format as fmt
from instruct_data.factory.synth.loading import pose_name, poses
from instruct_data.factory.synth.stances import Stance, foot_offsets
from vqvae.errors import UserError

# Columns of a hand's row.
REST, AT, ANGLES = 0, 1, 2
H_MODE, H_FRAME, H_AT, H_ELBOW, H_SET, H_PALM, H_ANGLES, H_SIZE = 0, 1, 2, 5, 6, 7, 10, 14
# Columns of a foot's row; F_HIGH is the height within the stage frame of its round.
F_MODE, F_AT, F_YAW, F_PITCH, F_LIFT, F_KNEE, F_HIP, F_BEND, F_HIGH, F_SIZE = 0, 1, 4, 5, 6, 7, 8, 11, 12, 13
SIZES = {"pelvis": 3, "pelvis_rot": 3, "spine": 3, "head": 3, "gaze": 4, "l_shoulder": 2, "r_shoulder": 2,
         "l_hand": H_SIZE, "r_hand": H_SIZE, "l_foot": F_SIZE, "r_foot": F_SIZE}  # fmt: skip
_POOL = 128


@dataclass
class KeyTimeline:
    """Keys of one clip. K keys; a hold is two keys alike."""

    times: np.ndarray  # (K,) seconds, the first 0
    # Control -> (K, size) numbers, see the column constants; lengths in metres, angles in degrees
    rows: dict[str, np.ndarray]
    ease: np.ndarray  # (K,) index into EASES of the way to this key
    # anticipate, overshoot: (K,) shares
    anticipate: np.ndarray
    overshoot: np.ndarray
    air: np.ndarray  # (K,) whether the body flies on the way to this key
    contacts: np.ndarray  # (K, 7) booleans in the order of CONTACTS
    balance: np.ndarray  # (K,) whether the centre of mass is kept over the contacts
    still: np.ndarray  # (K,) whether the body hardly sways
    seconds: float  # length
    params: dict[str, Any]  # drawn values; words for choices with words
    scope: dict[str, Any]  # values as expressions see them
    stretched: float = 1.0  # factor by which the times were changed to fit the limits
    stands: tuple[bool, bool] = (False, False)  # whether the clip starts and ends in the stand pose
    follow: float = 0.0  # how strongly the trunk goes with the hands
    lifted: float = 0.0  # metres by which the clip is raised while it is solved: its lowest foothold is the floor


@dataclass
class Variation:
    """Random variation of one clip beside its parameters."""

    tempo: float
    size: Mapping[str, float]
    feet: Mapping[str, tuple[float, float, float]]
    pool: Iterator[float]
    rng: np.random.Generator
    times: dict[int, float] = field(default_factory=dict)

    @classmethod
    def draw(
        cls, rng: np.random.Generator, stance: Stance | None, usual: Mapping[str, tuple[float, float, float]]
    ) -> Variation:
        """Draw a variation; `usual` is the place (x, z, yaw) of the feet in the stand pose."""
        draws = zip(fmt.CONTROLS, rng.standard_normal(11), strict=True)
        size = {c: min(max(1 + 0.06 * n, 0.88), 1.12) for c, n in draws}
        wide, fore, turn = float(rng.uniform(-0.015, 0.035)), float(rng.normal(0, 0.014)), float(rng.normal(2, 4))
        feet = {"l_foot": (wide, fore, turn), "r_foot": (-wide, -fore, -turn)}
        if stance is not None:
            feet = foot_offsets(stance, usual)
        tempo = min(max(float(rng.normal(1, 0.07)), 0.85), 1.18)
        return cls(tempo, size, feet, iter(rng.standard_normal(_POOL).tolist()), rng)

    def normal(self) -> float:
        """The next standard normal number."""
        drawn = next(self.pool, None)
        if drawn is None:
            self.pool = iter(self.rng.standard_normal(_POOL).tolist())
            drawn = next(self.pool)
        return drawn


def draw_params(params: tuple[fmt.Param, ...], rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values for expressions, and what captions and records say."""
    scope: dict[str, Any] = {}
    record: dict[str, Any] = {}
    for p in params:
        u = float(rng.random())
        if p.values:
            weights = p.weights or (1 / len(p.values),) * len(p.values)
            i = min(bisect_right(list(accumulate(weights)), u), len(p.values) - 1)
            value, word = p.values[i], p.words[i]
            numeric = not isinstance(value, str) and word == (f"{value:g}" if isinstance(value, float) else str(value))
            scope[p.name], record[p.name] = value, value if numeric else word
        else:
            low, high = fmt.resolve(p.low, {}, p.name), fmt.resolve(p.high, {}, p.name)
            scope[p.name] = record[p.name] = low + (high - low) * u
    return scope, record


def vary_angle(angle: float, size: float, right: float) -> float:
    """An angle (degrees) times `size`; beyond `right` / 2, only its distance to the nearest multiple of `right` varies,
    so that a body that is upside down or on its side stays so."""
    if abs(angle) <= right / 2:
        return angle * size
    return angle + (angle - right * round(angle / right)) * (size - 1)


def raise_floor(rows: dict[str, np.ndarray]) -> float:
    """Lift a clip that goes below its start (stairs down) so that its lowest foothold is at 0; by how many metres."""
    lowest = min(float(np.where(rows[f][:, F_MODE] == AT, rows[f][:, F_AT + 1], 0).min()) for f in ("l_foot", "r_foot"))
    if lowest >= 0:
        return 0.0
    rows["pelvis"][:, 1] -= lowest
    rows["gaze"][:, 2] -= lowest * rows["gaze"][:, 0]
    for foot in ("l_foot", "r_foot"):
        rows[foot][rows[foot][:, F_MODE] == AT, F_AT + 1] -= lowest
    for hand in ("l_hand", "r_hand"):
        staged = (rows[hand][:, H_MODE] == AT) & (rows[hand][:, H_FRAME] == 0)
        rows[hand][staged, H_AT + 1] -= lowest
    return -lowest


# rows of base poses before the stage frame has moved, without the feet, which differ from clip to clip
_at_home: dict[str, dict[str, list[float]]] = {}
_HAND_FRAMES = (fmt.FRAMES.index("l_hand"), fmt.FRAMES.index("r_hand"))
MIN_SECONDS, MAX_SECONDS = 1.2, 12.0  # of a clip
MAX_KEYS = 400


@cache
def _flags(contacts: tuple[str, ...]) -> tuple[bool, ...]:
    """Which of CONTACTS are among them."""
    return tuple(c in contacts for c in fmt.CONTACTS)


@cache
def _usual_feet() -> dict[str, tuple[float, float, float]]:
    """x, z and yaw of the feet of the stand pose."""
    out = {}
    for foot in ("l_foot", "r_foot"):
        numbers = poses()["stand"]["controls"][foot][0].numbers
        (x, _, z), yaw = numbers["at"], numbers["yaw"][0]
        out[foot] = (x, z, yaw)
    return out


class _Writer:
    """Writes the states of a family's keys in order."""

    def __init__(self, family: fmt.Family, scope: dict[str, Any], drawn: Variation) -> None:
        scope = {**scope, "i": 0}
        self.family, self.scope, self.drawn, self.rng = family, scope, drawn, drawn.rng
        self.offset, self.yaw = [0.0, 0.0, 0.0], 0.0
        self.base = pose_name(family.starts, scope, f"{family.name}: starts")
        if self.base != "stand":  # in legs that lie or kneel side by side every difference is visible in the knees
            drawn.feet = {foot: (wide, 0.3 * fore, turn) for foot, (wide, fore, turn) in drawn.feet.items()}
        self.state: dict[str, list[float]] = {}
        self.posed: dict[tuple[Any, ...], dict[str, list[float]]] = {}
        self.contacts, self.balance = poses()[self.base]["contacts"], poses()[self.base]["balance"]
        self.now, self.still = 0.0, False
        self.out: list[tuple[Any, ...]] = []
        self.standing = self.base == "stand"
        self._pose(self.base)
        self._emit(0.0, 0, 0.0, 0.0, False)
        self.now = float(self.rng.uniform(0.1, 0.4))
        self._emit(self.now, 0, 0.0, 0.0, False)

    def _emit(self, time: float, ease: int, anticipate: float, overshoot: float, air: bool) -> None:
        if len(self.out) > MAX_KEYS:
            raise UserError(f"{self.family.name}: more than {MAX_KEYS} keys in a clip; repeat less")
        left, right = self.state["l_hand"], self.state["r_hand"]
        placed = {name: row[H_FRAME] for name, row in zip(fmt.HANDS, (left, right), strict=True) if row[H_MODE] == AT}
        circular = any(placed[h] == fmt.FRAMES.index(h) for h in placed)
        if circular or sum(f in _HAND_FRAMES for f in placed.values()) == 2:
            raise UserError(f"{self.family.name}: at {time:.1f} s each hand is placed from the other; place one")
        rows = [self.state[c] for c in fmt.CONTROLS]
        self.out.append((time, rows, ease, anticipate, overshoot, air, _flags(self.contacts), self.balance, self.still))
        for foot in fmt.FEET:  # a lift belongs to the way to its own key
            if self.state[foot][F_LIFT] >= 0:
                self.state[foot] = list(self.state[foot])
                self.state[foot][F_LIFT] = -1.0

    def _value(self, number: fmt.Number, where: str) -> float:
        return fmt.resolve(number, self.scope, where) if callable(number) else number

    def _point(self, x: float, y: float, z: float) -> list[float]:
        c, s = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        return [self.offset[0] + c * x + s * z, self.offset[1] + y, self.offset[2] - s * x + c * z]

    def _vector(self, name: str, numbers: tuple[fmt.Number, ...] | None, vary: bool, where: str) -> list[float]:
        size = self.drawn.size[name] if vary else 1.0
        if numbers is None:  # only gaze
            return [0.0] * SIZES[name]
        if name.endswith("shoulder"):
            return [self._value(n, where) * size for n in numbers]
        x, y, z = (self._value(n, where) for n in numbers)
        if name == "pelvis":
            size = 1 + 0.5 * (size - 1)
            return self._point(x * size, y * size, z * size)
        if name == "gaze":
            return [1.0, *self._point(x, y, z)]
        if name == "pelvis_rot":
            return [vary_angle(x, size, 180), y + self.yaw, vary_angle(z, size, 90)]
        # a full turn of the head or trunk stays nearly full
        return [x * size, y * (1 + 0.5 * (size - 1)), z * size]

    def _numbers(self, limb: fmt.Limb, where: str) -> dict[str, list[float]]:
        if limb.plain is not None:
            return limb.plain
        return {k: [self._value(n, where) for n in v] for k, v in limb.numbers.items()}

    def _hand(self, name: str, limb: fmt.Limb, vary: bool, where: str) -> list[float]:
        value = self._numbers(limb, where)
        row = list(self.state[name]) if limb.mode == "palm" else [0.0] * H_SIZE
        size = self.drawn.size[name] if vary else 1.0
        if limb.mode == "at":
            row[H_MODE], row[H_FRAME] = AT, limb.frame(self.scope, where)
            at = value["at"]
            if vary:
                at = [a + 0.004 * self.drawn.normal() for a in at]
            row[H_AT : H_AT + 3] = self._point(*at) if row[H_FRAME] == 0 else at
            if "elbow" in value:
                row[H_ELBOW], row[H_SET] = value["elbow"][0] + (size - 1) * 80, 1.0
        elif limb.mode == "angles":
            row[H_MODE] = ANGLES
            four = [value.get(k, [d])[0] for k, d in (("raise", 10), ("forward", 20), ("bend", 12), ("twist", 0))]
            row[H_ANGLES : H_ANGLES + 4] = [
                four[0] * (1 + 0.6 * (size - 1)), four[1] + (size - 1) * 40, four[2] * size, four[3],
            ]  # fmt: skip
        if "palm" in value:
            row[H_PALM : H_PALM + 3] = value["palm"]
        return row

    def _foot(self, name: str, limb: fmt.Limb, vary: bool, where: str) -> list[float]:
        value = self._numbers(limb, where)
        row = [0.0] * F_SIZE
        side = 1.0 if name == "l_foot" else -1.0
        row[F_KNEE] = value.get("knee", [0.0])[0]
        row[F_PITCH] = value.get("pitch", [0.0])[0]
        row[F_LIFT] = value.get("lift", [-1.0])[0]
        if limb.mode == "at":
            row[F_MODE] = AT
            x, y, z = value["at"]
            wide, fore, turn = self.drawn.feet[name]
            row[F_AT : F_AT + 3] = self._point(x + wide, y, z + fore)
            row[F_HIGH] = y
            row[F_YAW] = value.get("yaw", [side * 6.0])[0] + turn + self.yaw
        else:
            row[F_MODE] = ANGLES
            size = 1 + 0.6 * (self.drawn.size[name] - 1) if vary else 1.0
            row[F_HIP : F_HIP + 3] = [v * size for v in value.get("hip", [0.0, 3.0, 0.0])]
            row[F_BEND] = value.get("bend", [0.0])[0] * size
            row[F_YAW] = self.yaw
        return row

    def _set(self, name: str, setting: Any, vary: bool, where: str) -> None:
        if isinstance(setting, tuple) and isinstance(setting[0], fmt.Limb):
            setting = next((limb for limb in setting if limb.when is None or limb.when(self.scope)), "unchanged")
            if setting == "unchanged":
                return
        free = setting is None or (isinstance(setting, fmt.Limb) and setting.mode == "free")
        if free and name != "gaze":
            setting, vary = poses()[self.base]["controls"][name], False
            setting = setting[0] if isinstance(setting[0], fmt.Limb) else setting
        if name.endswith("hand"):
            self.state[name] = self._hand(name, setting, vary, where)
        elif name.endswith("foot"):
            self.state[name] = self._foot(name, setting, vary, where)
        else:
            self.state[name] = self._vector(name, setting, vary, where)

    def _pose(self, name: str) -> None:
        self.base = name
        pose = poses()[name]
        place = (name, *self.offset, self.yaw)
        if place not in self.posed:
            home = place[1:] == (0.0, 0.0, 0.0, 0.0)
            cached = _at_home.get(name) if home else None
            for control, setting in pose["controls"].items():
                if cached is None or control in fmt.FEET:
                    self._set(control, setting, False, f"pose {name}")
                else:
                    self.state[control] = cached[control]
            self.posed[place] = {c: self.state[c] for c in pose["controls"]}
            if home and cached is None:
                _at_home[name] = {c: row for c, row in self.posed[place].items() if c not in fmt.FEET}
        self.state |= self.posed[place]
        self.contacts, self.balance = pose["contacts"], pose["balance"]

    def seconds(self, span: tuple[fmt.Number, fmt.Number], key: fmt.Key, kind: int) -> float:
        """Seconds drawn from a span; the same key takes about as long in every round."""
        low, high = (self._value(v, key.where) for v in span)
        wobble = min(max(1 + 0.035 * self.drawn.normal(), 0.9), 1.1)
        if high <= low:
            return max(low * wobble, 0.0)
        name = id(key) * 2 + kind
        if name not in self.drawn.times:
            self.drawn.times[name] = float(self.rng.random())
        return max(min(max((low + (high - low) * self.drawn.times[name]) * wobble, low), high), 0.0)

    def key(self, key: fmt.Key) -> None:
        if key.when is not None and not key.when(self.scope):
            return
        self.now += max(self.seconds(key.after, key, 0) * self.drawn.tempo, 0.05)
        if key.pose is not None:
            self._pose(pose_name(key.pose, self.scope, key.where))
        for name, setting in key.controls.items():
            self._set(name, setting, True, key.where)
        self.standing = key.pose is not None and self.base == "stand" and not key.controls
        self.contacts = key.contacts if key.contacts is not None else self.contacts
        self.balance = key.balance if key.balance is not None else self.balance
        self.still = key.still if key.still is not None else self.still
        shares = (self._value(key.anticipate, key.where), self._value(key.overshoot, key.where))
        self._emit(self.now, fmt.EASES.index(key.ease), *shares, key.air)
        if key.hold is not None:
            hold = self.seconds(key.hold, key, 1) * self.drawn.tempo
            if hold > 0.02:
                self.now += hold
                self._emit(self.now, 0, 0.0, 0.0, False)

    def items(self, items: tuple[fmt.Key | fmt.KeyBlock, ...]) -> None:
        for item in items:
            if isinstance(item, fmt.Key):
                self.key(item)
                continue
            if item.when is not None and not item.when(self.scope):
                continue
            outer = self.scope["i"]
            for i in range(max(0, round(self._value(item.repeat, item.where)))):
                self.scope["i"] = i
                self.items(item.keys)
                self.offset = self._point(*(self._value(v, item.where) for v in item.advance))
                self.yaw += self._value(item.turn, item.where)
            self.scope["i"] = outer


def draw(family: fmt.Family, rng: np.random.Generator, stance: Stance | None = None) -> KeyTimeline:
    """Draw a clip's keys; with a `stance`, its feet are where the feet of that pose are."""
    scope, record = draw_params(family.params, rng)
    names = {p: p for p in poses()} | fmt.FRAME_NAMES
    for name, compute in (*family.tables, *family.derived):
        scope[name] = compute({**names, **scope})
    record |= {name: scope[name] for name, _ in family.derived if not family.schema}
    writer = _Writer(family, scope, Variation.draw(rng, stance, _usual_feet()))
    standing = writer.standing
    writer.items(family.keys)
    settle = writer.seconds(family.settle, fmt.Key(f"{family.name}: settle", (0.0, 0.0), None, {}), 0)
    out = writer.out
    times = np.array([o[0] for o in out])
    seconds = float(times[-1]) + settle
    rows = {c: np.array([o[1][i] for o in out], np.float64) for i, c in enumerate(fmt.CONTROLS)}
    lifted = raise_floor(rows)
    follow = float(rng.uniform(0.4, 1.2))
    stretch = float(np.clip(seconds, MIN_SECONDS, MAX_SECONDS)) / seconds
    return KeyTimeline(
        times * stretch, rows, np.array([o[2] for o in out]), np.array([o[3] for o in out]),
        np.array([o[4] for o in out]), np.array([o[5] for o in out]), np.array([o[6] for o in out]),
        np.array([o[7] for o in out]), np.array([o[8] for o in out]), seconds * stretch, record, scope, stretch,
        (standing, writer.standing), follow, lifted,
    )  # fmt: skip
