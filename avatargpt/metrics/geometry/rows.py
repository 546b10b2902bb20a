"""Predicates that compare signals of a clip with bounds: the rows of ``predicates.yaml`` as functions.

A row states ``text``, what must hold in words; ``takes``, its parameters with their defaults, or with their type
(`TYPES`) and default; values, each an expression of parameters, other values and signals (`BODY`, `SIDED`); and
``holds``, a comparison of those. A value ``each NAME`` is computed for the left and for the right; a name that begins
with ``_`` is not reported. In ``each`` a sided signal is that of its side, ``other_SIGNAL`` that of the other; anywhere
``left_``, ``right_``, ``lower_`` and ``higher_`` go before one: of a side, or frame by frame of both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.acts import balance, edge, is_lying, is_seated, is_standing, trunk_twist
from avatargpt.metrics.geometry.common import (
    HANDS,
    AnySide,
    OneSide,
    Side,
    chest_yaw,
    find_flights,
    of_side,
    stance,
    together,
)
from avatargpt.metrics.geometry.gait import WALK_PHASE, gait_phase, has_steps, is_running, is_upright
from avatargpt.metrics.geometry.predicates import PREDICATES, Verdict
from vqvae.io.data_files import read_yaml
from vqvae.smoothing import longest, runs_of

TABLE = Path(__file__).with_name("predicates.yaml")
# Type of a parameter as the table writes it -> its annotation and usual default.
TYPES: dict[str, tuple[Any, Any]] = {
    "Side": (Side, "any"), "AnySide": (AnySide, "any"), "OneSide": (OneSide, inspect.Parameter.empty)
}  # fmt: skip
JOINTS = {"shoulder": 16, "knee": 4, "hip": 1, "ankle": 7}  # of the left; those of the right follow


def _joint(name: str, side: str) -> int:
    return JOINTS[name] + (side == "r")


def _gap(s: Signals, a: str, b: str) -> np.ndarray:
    return np.linalg.norm(s.at(a) - s.at(b), axis=1)


# Name -> (T,) signal, or one number of the clip; lengths in metres, angles in degrees.
BODY: dict[str, Callable[[Signals], Any]] = {
    **{name: attrgetter(name) for name in (
        "pitch", "yaw", "floor", "clearance", "reach", "travel_speed", "path", "net", "net_distance", "net_yaw",
        "gone_forward", "gone_left", "velocity")},
    "up": lambda s: s.uprightness, "farthest": lambda s: s.reach, "ground_speed": lambda s: s.speed,
    "length": lambda s: s.seconds, "count": len, "eighth": lambda s: max(len(s) // 8, 2),
    "third": lambda s: max(len(s) // 3, 2), "half": lambda s: max(len(s) // 2, 2), "edge": edge,
    "pelvis": lambda s: s.joints[:, 0, 1], "head_y": lambda s: s.joints[:, 15, 1],
    "root_x": lambda s: s.joints[:, 0, 0], "root_z": lambda s: s.joints[:, 0, 2],
    "feet_x": lambda s: 0.5 * (s.joints[:, 7, 0] + s.joints[:, 8, 0]),
    "lowest_foot": lambda s: s.joints[:, [7, 8, 10, 11], 1].min(1) - s.floor,
    "stance": stance,
    "shoulders_y": lambda s: 0.5 * (s.joints[:, 16, 1] + s.joints[:, 17, 1]),
    "feet_apart": lambda s: np.linalg.norm(s.local[:, 7, [0, 2]] - s.local[:, 8, [0, 2]], axis=1),
    "lead": lambda s: s.local[:, 7, 2] - s.local[:, 8, 2],
    "together": together, "hands_y": lambda s: (0.5 * (s.joints[:, 20] + s.joints[:, 21]))[:, 1],
    "hands_from_chest": lambda s: 0.5 * (s.local[:, 20] + s.local[:, 21]) - s.local[:, 9],
    "hands_speed": lambda s: s.relative_velocity[:, [20, 21]].max(1),
    "head_pitch": lambda s: s.head_turn[0], "head_yaw": lambda s: s.head_turn[1],
    "face": lambda s: chest_yaw(s) + s.head_turn[1], "trunk_twist": trunk_twist, "balance": balance,
    "seated": is_seated, "standing": is_standing, "lying": is_lying, "phase": gait_phase, "running": is_running,
    "walking": lambda s: not is_running(s, WALK_PHASE), "on_feet": is_upright, "has_steps": has_steps,
}  # fmt: skip
# The same of one side, l or r.
SIDED: dict[str, Callable[[Signals, str], Any]] = {
    "elbow": lambda s, h: s.bend(h, "arm"), "knee": lambda s, h: s.bend(h, "leg"),
    "height": lambda s, h: s.hand_height(h), "over_head": lambda s, h: s.hand_over_head(h),
    "over_floor": lambda s, h: s.hand_over_floor(h), "wrist_y": lambda s, h: s.at(f"{h}_wrist")[:, 1],
    "hand_speed": lambda s, h: s.hand_speed(h), "head_gap": lambda s, h: _gap(s, f"{h}_wrist", "head"),
    "elbow_gap": lambda s, h: _gap(s, f"{h}_wrist", f"{'lr'[h == 'l']}_elbow"),
    "elbow_y": lambda s, h: s.at(f"{h}_elbow")[:, 1], "shoulder_y": lambda s, h: s.at(f"{h}_shoulder")[:, 1],
    "arm_left": lambda s, h: s.arm(h)[:, 0], "arm_up": lambda s, h: s.arm(h)[:, 1],
    "ahead": lambda s, h: s.arm(h)[:, 2], 
    "ahead_speed": lambda s, h: np.gradient(s.arm(h)[:, 2]) * FPS if len(s) > 1 else np.zeros(len(s)),
    "arm_length": lambda s, h: np.linalg.norm(s.arm(h), axis=1),
    "extended": lambda s, h: np.linalg.norm(s.arm(h)[:, [0, 2]], axis=1),
    "hand_left": lambda s, h: s.hand(h)[:, 0], "hand_ahead": lambda s, h: s.hand(h)[:, 2],
    "outward": lambda s, h: (1 if h == "l" else -1) * s.hand(h)[:, 0],
    "before_chest": lambda s, h: s.hand(h)[:, 2] - s.local[:, 9, 2],
    "shrug": lambda s, h: s.joints[:, _joint("shoulder", h), 1] - s.joints[:, 9, 1],
    "knee_y": lambda s, h: s.joints[:, _joint("knee", h), 1], "hip_y": lambda s, h: s.joints[:, _joint("hip", h), 1],
    "ankle_y": lambda s, h: s.joints[:, _joint("ankle", h), 1],
    "toe_y": lambda s, h: s.joints[:, 10 + (h == "r"), 1],
    "ankle_ahead": lambda s, h: s.local[:, _joint("ankle", h), 2],
    "before_ankle": lambda s, h: s.local[:, :, 2].mean(1) - s.local[:, _joint("ankle", h), 2],
    "in_front": lambda s, h: s.local[:, _joint("ankle", h), 2] - s.local[:, 15 - _joint("ankle", h), 2],
    "hip_gap": lambda s, h: np.linalg.norm(s.at(f"{h}_wrist") - 0.5 * (s.at(f"{h}_hip") + s.at("pelvis")), axis=1),
    "elbow_out": lambda s, h: (1 if h == "l" else -1) * (s.local[:, 18 + (h == "r"), 0] - s.hand(h)[:, 0]),
    "elbow_away": lambda s, h: np.hypot(*(s.local[:, 18 + (h == "r")] - s.local[:, 16 + (h == "r")])[:, [0, 2]].T),
    "foot_speed": lambda s, h: s.relative_velocity[:, _joint("ankle", h)],
}  # fmt: skip


# Conditions that hold together, (T,).
def _all(*conditions: np.ndarray) -> np.ndarray:
    return np.logical_and.reduce(conditions)


FUNCTIONS: dict[str, Any] = {
    "min": np.min, "max": np.max, "sum": np.sum, "mean": np.mean, "median": np.median, "percentile": np.percentile,
    "ptp": np.ptp, "abs": np.abs, "any": np.any, "diff": np.diff, "argmin": np.argmin, "argmax": np.argmax,
    "maximum": np.maximum, "minimum": np.minimum, "where": np.where, "all": _all, "swing": swings,
    # Most half-swings of any of some signals within one stretch of a mask.
    "strokes": lambda amplitude, where, *signals, gap=4: float(
        max((swings(x[a:b], amplitude) for a, b in runs_of(where, gap) for x in signals), default=0)),
    "since": np.maximum.accumulate,  # from the first frame of a mask on
    "soon": lambda mask, n: np.array([mask[i : i + n].any() for i in range(len(mask))]),
    "held": lambda *conditions, gap=2: longest(_all(*conditions), gap),  # seconds of the longest stretch
    "frames": lambda *conditions: _all(*conditions).sum(), "runs": lambda mask, gap: len(runs_of(mask, gap)),
    "best": lambda sides: max(sides.values()), "least": lambda sides: min(sides.values()),
    "both": lambda sides: sum(sides.values()),
}  # fmt: skip


class Row:
    """One row of the table. `holds` and the values are compiled."""

    def __init__(self, name: str, about: Mapping[str, Any]) -> None:
        self.name, self.text = name, about["text"]
        stated = {k: str(v) for k, v in about.items() if k not in ("text", "takes")}
        code = {k: compile(v, f"{TABLE.name}: {name}", "eval") for k, v in stated.items()}
        self.holds = code.pop("holds")
        self.each = {k.removeprefix("each "): v for k, v in code.items() if k.startswith("each ")}
        self.values = {k: v for k, v in code.items() if not k.startswith("each ")}
        self.reported = [k for k in code if not k.removeprefix("each ").startswith("_")]
        first = inspect.Parameter("s", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Signals)
        parameters = []
        for parameter, default in about.get("takes", {}).items():
            annotation: Any = type(default)
            if isinstance(default, str):
                kind, _, own = default.partition(" ")
                annotation, usual = TYPES[kind]
                default = own or usual
            parameters.append(first.replace(name=parameter, default=default, annotation=annotation))
        self.signature = inspect.Signature([first, *parameters], return_annotation=Verdict)

    def judge(self, s: Signals, *given: Any, **parameters: Any) -> Verdict:
        """The verdict on a clip."""
        bound = self.signature.bind(s, *given, **parameters)
        bound.apply_defaults()
        names = _Names(self, s, {k: v for k, v in bound.arguments.items() if k != "s"})
        values: dict[str, float] = {}
        for key in self.reported:
            name = key.removeprefix("each ")
            sides = {f"{side}_{name}": v for side, v in names[name].items()} if name != key else {name: names[name]}
            values |= {k: float(v) for k, v in sides.items()}
        return Verdict(bool(names.compute(self.holds)), values)


class _Names(dict[str, Any]):
    """What the expressions of a row may name, each computed when it is first used; of the body, or of one side."""

    def __init__(self, row: Row, s: Signals, parameters: Mapping[str, Any], side: str = "") -> None:
        super().__init__({k: v for k, v in FUNCTIONS.items() if k not in row.values})
        self.row, self.s, self.side = row, s, side
        self.body, self.sides = self, dict[str, _Names]()
        self.update(parameters)
        if not side:
            self.sides |= {h: _Names(row, s, parameters, h) for h in "lr"}
            for names in self.sides.values():
                names.sides, names.body = self.sides, self
            self["of"] = lambda values: of_side(values, parameters["side"])
            self["pick"] = lambda left, right: of_side({"left": left, "right": right}, parameters["side"])
            self["count_flights"] = lambda height, rise: len(find_flights(s, height, rise))
            self["line"] = lambda first, last: np.linspace(first, last, len(s))

    def compute(self, code: CodeType) -> Any:
        """The value of an expression."""
        return eval(code, {"__builtins__": {}}, self)

    def __missing__(self, name: str) -> Any:
        self[name] = value = self._find(name)
        return value

    def _find(self, name: str) -> Any:
        if self.side and name in self.row.each:
            return self.compute(self.row.each[name])
        if self.side and name in SIDED:
            return SIDED[name](self.s, self.side)
        if name in self.row.each:
            return {side: self.sides[h][name] for side, h in HANDS.items()}
        before, _, after = name.partition("_")
        if before in HANDS and after in SIDED:
            return self.sides[HANDS[before]][after]
        if before == "other" and after in SIDED:
            return self.sides["lr"[self.side == "l"]][after]
        if before in ("lower", "higher"):
            choose = np.minimum if before == "lower" else np.maximum
            return choose(self.sides["l"][after], self.sides["r"][after])
        if self.side:
            return self.body[name]
        return self.compute(self.row.values[name]) if name in self.row.values else BODY[name](self.s)


def _register(row: Row) -> None:
    def function(s: Signals, *given: Any, **parameters: Any) -> Verdict:
        return row.judge(s, *given, **parameters)

    function.__name__ = function.__qualname__ = row.name
    function.__doc__ = row.text
    function.__annotations__ = {k: p.annotation for k, p in row.signature.parameters.items()}
    function.__signature__ = row.signature  # type: ignore[attr-defined]
    PREDICATES[row.name] = function


def add_rows(table: Mapping[str, Any]) -> None:
    """Register the predicates of a table as the file has it."""
    for name, about in table.items():
        if name != "shared":
            _register(Row(name, about))


add_rows(read_yaml(TABLE))
