"""Constraints of a clause besides its words (count, length, speed, size, direction, side), and rules that meet them."""
# The network gets an action in plain words. Of its candidates those that meet the constraints come first
# (`constraint_cost`), and rules correct the best one (`constrained`): a cycle is repeated or left out, a motion is
# mirrored, scaled or retimed. Whatever is not met in the end becomes a note.

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from avatargpt.body.model import turn_cost
from avatargpt.body.repetition import counter, repeated
from avatargpt.body.stitch import retimed
from avatargpt.kinematics.joints import FPS, Signals
from avatargpt.lm.loaded import CHUNK
from avatargpt.metrics.checks import CaptionChecks
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.geometry.counts import jumps
from avatargpt.metrics.geometry.measures import off_course
from avatargpt.options import frames_of, timed, tokens_of
from avatargpt.requests.clause_spec import LIMBS, ClauseSpec, Route, Turn, goes, is_above
from avatargpt.requests.english import lemmas
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.attributes import Measures, described
from instruct_data.requests.spec import Clause
from instruct_data.text.english import side_of
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

TEMPI = {"very_slow": 0.55, "slow": 0.75, "fast": 1.35, "very_fast": 1.75}
SIZES = {"slight": 0.55, "small": 0.65, "large": 1.3, "very_large": 1.45}
# times as fast at the end as at the beginning, where it speeds up
TEMPO_CHANGE = 1.8
MIN_TEMPO, MAX_TEMPO = 0.2, 4.0
# seconds, of what is done to the height of the pelvis
HEIGHT_SMOOTHING = 0.1
# metres: a pelvis that is higher in the median stands
MIN_UPRIGHT = 0.6
# Degrees about each axis of the left arm's joints where it hangs, as keyframed clips begin.
HANGING_ARM = {"collar": (0, -19, 0), "shoulder": (16, 5, -78), "elbow": (0, -28, 0), "wrist": (22, 0, 0)}
LEG_JOINTS = (1, 2, 4, 5, 7, 8, 10, 11)


def tempo_factor(clause: Clause) -> float:
    """Tempo of a clause, 1 = usual or changing."""
    return min(max((clause.factor or 1.0) * TEMPI.get(clause.tempo or "", 1.0), MIN_TEMPO), MAX_TEMPO)


def in_tempo(motion: Motion, clause: Clause) -> Motion:
    """The motion as fast as the clause asks for."""
    factor = tempo_factor(clause)
    if factor != 1:
        motion = retimed(motion, max(2, round(len(motion) / factor)))
    if clause.tempo in ("speeding_up", "slowing_down"):
        motion = _changing(motion, TEMPO_CHANGE if clause.tempo == "speeding_up" else 1 / TEMPO_CHANGE)
    return motion


def _changing(motion: Motion, factor: float) -> Motion:
    """As long as before, but at the end `factor` times as fast as at the beginning."""
    n = len(motion)
    speeds = np.geomspace(factor**-0.5, factor**0.5, max(n - 1, 1))
    t = np.concatenate([[0.0], np.cumsum(speeds)])
    return motion.sampled(t * (n - 1) / max(t[-1], 1e-9))


def sized(motion: Motion, factor: float) -> Motion:
    """A larger or smaller movement, by the factor of joints' distances from a standing pose; it knows no objects."""
    # feet rise as much higher, the way is as much longer; a body that lies or sits keeps legs and way
    if factor == 1:
        return motion
    q = motion.rotations.astype(np.float64)
    upright = bool(np.median(motion.joints[:, 0, 1]) > MIN_UPRIGHT)
    out = q.copy()
    standing = _standing()
    for j in range(1, q.shape[1]):
        if upright or j not in LEG_JOINTS:
            offset = rot.to_axis_angle(rot.multiply(rot.conjugate(standing[j]), q[:, j]))
            out[:, j] = rot.multiply(standing[j], rot.from_axis_angle(offset * _angle_factors(offset, factor)))
    heading = rot.about_y(motion.heading)
    tilt = rot.to_axis_angle(rot.multiply(rot.conjugate(heading), q[:, 0]))
    if upright:
        out[:, 0] = rot.multiply(heading, rot.from_axis_angle(tilt * _angle_factors(tilt, factor)))
    scaled = replace(motion, rotations=out)
    if not upright:
        return scaled
    lowest, new_lowest = motion.joints[..., 1].min(1), scaled.joints[..., 1].min(1)
    floor = float(np.percentile(lowest, 5))
    height = floor + np.maximum(lowest - floor, 0) * factor + np.minimum(lowest - floor, 0)
    root = motion.root.astype(np.float64).copy()
    root[:, 1] += gaussian((height - new_lowest)[:, None], HEIGHT_SMOOTHING * motion.fps)[:, 0]
    steps = np.diff(root[:, [0, 2]], axis=0, prepend=root[:1, [0, 2]])
    stride = _stride(scaled) / max(_stride(motion), 1e-6)
    root[:, [0, 2]] = root[:1, [0, 2]] + np.cumsum(steps * stride, axis=0)
    return replace(scaled, root=root)


def _stride(motion: Motion) -> float:
    """Distance of the feet, metres: the 95th percentile."""
    offset = (motion.joints[:, 7] - motion.joints[:, 8])[:, [0, 2]]
    return float(np.percentile(np.linalg.norm(offset, axis=1), 95))


def _angle_factors(offset: np.ndarray, factor: float) -> np.ndarray:
    """(T, 1) factors of angles: large ones grow less, for joints have ends."""
    angle = np.linalg.norm(offset, axis=-1, keepdims=True)
    growth = np.ones_like(angle) if factor < 1 else 1 / (1 + (angle / np.radians(70)) ** 2)
    return np.asarray(1 + (factor - 1) * growth)


@cache
def _standing() -> np.ndarray:
    """(22, 4) local rotations of a standing body with hanging arms."""
    angles = np.zeros((len(SMPL22.names), 3))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joint, degrees in HANGING_ARM.items():
            angles[SMPL22.index(f"{side}_{joint}")] = np.array(degrees) * (1, sign, sign)
    return np.asarray(rot.from_axis_angle(np.radians(angles)))


MIN_TOKENS = 5  # of a clause
USUAL_TOKENS = 20  # of a clause whose usual length is not known


@dataclass(frozen=True)
class MotionSpec:
    """A motion that is generated in one go."""

    caption: str  # for the network
    tokens: int  # motion tokens, -1 = the model decides
    turn: Turn | None = None  # a turn by a measure
    route: Route | None = None  # the shape of the path
    concurrent: MotionSpec | None = None  # action of arms or head at the same time
    upper_body: bool = False  # arms or the head alone do it
    action: str = ""  # class of the nearest phrasing
    clause: Clause | None = None  # as it was typed
    frames: int | None = None  # of the result, None = free
    notes: tuple[str, ...] = ()  # on parts of the clause that cannot be shown
    # Other captions and actions that the clause may mean, tried in this order where this one fails it
    alternatives: tuple[MotionSpec, ...] = ()
    avoid: tuple[tuple[str, str], ...] = ()  # actions that were denied, and their captions
    attributes: Mapping[str, str] = field(default_factory=dict)  # for the network (`instruct_data.attributes`)

    @property
    def rests(self) -> bool:
        """Whether it keeps the posture of the motion before it."""
        return self.clause is not None and self.clause.hold

    @property
    def actions(self) -> tuple[MotionSpec, ...]:
        """The motions to generate: itself, and the concurrent action."""
        return (self,) if self.concurrent is None else (self, self.concurrent)

    @property
    def description(self) -> str:
        """All of it in words."""
        if self.concurrent is not None:
            return f"{replace(self, concurrent=None).description}, and at the same time {self.concurrent.description}"
        if self.turn is not None:
            return f"{self.caption}, by {self.turn.degrees:g} degrees"
        return self.caption if self.route is None else f"{self.caption}, {self.route.description}"

    @property
    def measured(self) -> bool:
        """Whether it has a turn, a path or a count."""
        return any(a.turn or a.route or (a.clause and a.clause.times) for a in self.actions)


def motion_specs(request: ResolvedRequest, seconds: float | None, seed: int, rate: float) -> list[MotionSpec]:
    """The motions of a request, one after another.

    Args:
        seconds: of all, None = usual lengths. rate: motion tokens a second.
    """
    clauses = request.clauses
    rng = np.random.default_rng([seed % 2**32, 77])
    usual = [int(rng.choice(c.lengths)) if c.lengths else -1 for c in clauses]
    tokens = [_clause_tokens(c, n) for c, n in zip(clauses, usual, strict=True)]
    if seconds is not None:
        total = tokens_of(seconds, rate)
        if len(clauses) > 1 and total < MIN_TOKENS * len(clauses):  # no room for all of it one by one
            note = f"{seconds:g} s: too short for {len(clauses)} actions one after another"
            return [MotionSpec(request.text, total, notes=(note,))]
        lengths = [t if t > 0 else USUAL_TOKENS for t in tokens]
        tokens = timed(total, lengths, [_seconds(c) for c in clauses], rate, MIN_TOKENS)
    return [_spec(c, t, rate, seconds is not None) for c, t in zip(clauses, tokens, strict=True)]


def _clause_tokens(clause: ClauseSpec, usual: int) -> int:
    """A turn takes as long as its degrees need (-1), a path as long as its shape, two actions as long as the longer."""
    tokens = usual
    if clause.turn:
        tokens = -1
    elif clause.route:
        tokens = clause.route.tokens or usual
    if clause.concurrent:
        tokens = min(CHUNK, max(tokens, *clause.concurrent.lengths, USUAL_TOKENS))
    return tokens


def _seconds(clause: ClauseSpec) -> float | None:
    return clause.clause.seconds if clause.clause is not None else None


def _spec(spec: ClauseSpec, tokens: int, rate: float, timed: bool) -> MotionSpec:
    """The spec of a clause; `timed`: the length of the whole request is fixed, so that each part has its frames."""
    clause, seconds = spec.clause, _seconds(spec)
    frames = None
    if timed and tokens > 0:
        frames = round(tokens / rate * FPS)
    elif seconds is not None:
        frames = frames_of(seconds, FPS)
    if frames is not None and clause is not None:
        tokens = tokens_of(frames / FPS * tempo_factor(clause), rate)
    concurrent = None if spec.concurrent is None else _spec(spec.concurrent, tokens, rate, False)
    alternatives: list[MotionSpec] = []
    if clause is not None and spec.turn is None and spec.route is None:
        for alternative in spec.alternatives:
            lengths = alternative.lengths
            length = tokens if frames is not None or not lengths else lengths[len(lengths) // 2]
            other_spec = _spec(replace(alternative, clause=clause, avoid=spec.avoid), length, rate, timed)
            alternatives.append(replace(other_spec, frames=frames))
    return MotionSpec(
        spec.caption, tokens, spec.turn, spec.route, concurrent, is_above(spec.action), spec.action, clause, frames,
        spec.not_shown, tuple(alternatives), spec.avoid, spec.attributes,
    )  # fmt: skip


# Attributes that are measured on a candidate; the others are relative to an action, or hold throughout
VERIFIED = ("support", "kneel", "rise", "hand", "direction", "turn", "through", "end")
CARRYING = {"support", "kneel"}  # attributes of the legs that carry the body
ATTRIBUTE_COST = 0.25  # of each that a candidate does not show
# Costs beside the scorer's cosine
# of each time too many or too few; of not doing it at all
COUNT_COST, MAX_COUNT_COST, UNDONE_COST = 0.1, 0.5, 1.0
# of each action that is not seen, or seen and was denied
ACTION_COST = 0.4
COURSE_COST = 1.5  # of 90 degrees from the direction
MOVING_COST = 2.0  # of a mean speed of all joints of 1 m/s where a posture is to be kept
# degrees that count as the direction, and from which they do not
COURSE_TOLERANCE, MAX_COURSE = 10.0, 15.0
MIN_TRAVEL = 0.25  # metres from which a motion goes anywhere
# between the ways of both sides, from which one of them acts alone
MIN_SIDE_RATIO = 1.6
MIN_LIMB_TRAVEL = 0.25  # metres of the way of a hand or foot that acts
COURSES = {
    "forward": "forward", "backward": "back", "left": "left", "right": "right", "forward_left": "forward left",
    "forward_right": "forward right", "backward_left": "back left", "backward_right": "back right",
}  # fmt: skip


def constraint_cost(motion: Motion, spec: MotionSpec) -> float:
    """Cost of a candidate for constraints that it violates, in the scorer's cosine."""
    cost = 0.0 if spec.turn is None else turn_cost(motion, spec.turn)
    cost += ATTRIBUTE_COST * len(other_attributes(motion, spec.attributes))
    clause = spec.clause
    if clause is None or spec.turn is not None or spec.route is not None:
        return cost
    if clause.hold:  # the posture is there: what moves least keeps it
        return cost + MOVING_COST * float(np.linalg.norm(np.diff(motion.joints, axis=0), axis=-1).mean()) * motion.fps
    signals = Signals(motion)
    cost += ACTION_COST * (wrong_actions(signals, spec) + _other_side(signals, spec))
    if clause.times:
        count = counter(spec.action)(signals)
        cost += min(COUNT_COST * abs(count - clause.times), MAX_COUNT_COST) + UNDONE_COST * (count == 0)
    degrees = off_direction(signals, spec)
    if degrees is not None:
        cost += COURSE_COST * max(degrees - COURSE_TOLERANCE, 0) / 90
    return cost


def violates(motion: Motion, spec: MotionSpec) -> bool:
    """Whether a motion lacks the action or its direction, which rules cannot correct."""
    clause = spec.clause
    if clause is None or spec.turn is not None or spec.route is not None:
        return False
    signals = Signals(motion)
    undone = clause.times and not counter(spec.action)(signals)
    if wrong_actions(signals, spec) or _other_side(signals, spec) or undone:
        return True
    return (off_direction(signals, spec) or 0.0) > MAX_COURSE


def other_attributes(motion: Motion, attributes: Mapping[str, str]) -> list[str]:
    """Names of the attributes of which a motion measurably shows another value, or none."""
    names = [n for n in VERIFIED if attributes.get(n)]
    figures = described(Measures.of(motion).figures()) if names else {}
    return [n for n in names if figures.get(n) != attributes[n]]


@cache
def _truths() -> CaptionChecks:
    return CaptionChecks()


@lru_cache(maxsize=4096)
def _checks(action: str, caption: str) -> tuple[Any, ...]:
    return tuple(_truths().of_action(action, caption))


def shows(signals: Signals, action: str, caption: str) -> bool | None:
    """Whether an action is visible, on the side of its caption; None where no table (`metrics.checks`) has it."""
    checks = _checks(action, caption)
    return all(predicates.judge(c, signals).passed for c in checks) if checks else None


def wrong_actions(signals: Signals, spec: MotionSpec) -> int:
    """1 if the action is not seen, and 1 for each denied one that is."""
    missing = shows(signals, spec.action, spec.caption) is False
    denied = (shows(signals, *action) is True for action in spec.avoid if action[0] != spec.action)
    return int(missing) + sum(denied)


def _other_side(signals: Signals, spec: MotionSpec) -> bool:
    """Whether the hand or foot of the other side acts alone; not where the words name the leg that carries the body."""
    if CARRYING & spec.attributes.keys():
        return False
    side = side_of(spec.caption)
    return side in ("left", "right") and not _steps(spec.action) and acting_side(signals) not in ("", side)


def off_direction(signals: Signals, spec: MotionSpec) -> float | None:
    """Degrees between the direction of a motion and that of its clause; None without one, or where it need not go."""
    # steps forward that are to go backward are played backwards later
    course = COURSES.get(_direction(spec))
    if course is None or spec.upper_body:
        return None
    if signals.net_distance < MIN_TRAVEL:
        return 180.0 if _steps(spec.action) or (spec.clause and goes(spec.clause.action)) else None
    degrees = off_course(signals, course)
    return min(degrees, 180 - degrees + COURSE_TOLERANCE) if _reversible(spec) else degrees


def _direction(spec: MotionSpec) -> str:
    """The requested direction of travel, or empty; of steps a side is one ("sidesteps to the left")."""
    clause = spec.clause
    if clause is None:
        return ""
    sidestep = clause.side in ("left", "right") and goes(spec.action) and not LIMBS & {*lemmas(clause.action)}
    return clause.direction or (clause.side or "") * sidestep


def _steps(action: str) -> bool:
    """Whether an action takes the feet somewhere."""
    return goes(action) or counter(action) is jumps


def _reversible(spec: MotionSpec) -> bool:
    return spec.clause is not None and spec.clause.direction == "backward" and goes(spec.action)


def reversed_steps(motion: Motion, spec: MotionSpec) -> Motion:
    """The motion played backwards where it is to step backward and steps forward."""
    if not _reversible(spec) or off_course(Signals(motion), "back") < 90:
        return motion
    return motion.at_frames(np.arange(len(motion))[::-1]).canonical()


def constrained(motion: Motion, spec: MotionSpec) -> tuple[Motion, list[str]]:
    """The motion corrected towards the constraints of its clause, and a line for each that is not met."""
    clause, notes = spec.clause, []
    if clause is not None:
        free = spec.turn is None and spec.route is None
        sided = free and clause.side in ("left", "right") and side_of(spec.caption) is None
        if sided and acting_side(Signals(motion)) not in ("", clause.side):
            motion = motion.mirrored()
        if free:
            motion = reversed_steps(motion, spec)
        if free and clause.times:
            count = counter(spec.action)
            if (edited := repeated(motion, clause.times, count)) is not None:
                motion = edited
            elif (times := count(Signals(motion))) != clause.times:
                notes.append(f"{clause.action!r}: {clause.times} times asked for, about {times} shown")
        degrees = off_direction(Signals(motion), spec) if free else None
        if degrees and degrees > 3 * MAX_COURSE:
            notes.append(f"{clause.action!r}: goes {degrees:.0f} degrees off {COURSES[_direction(spec)]}")
        motion = sized(motion, SIZES.get(clause.size or "", 1.0))
        motion = in_tempo(motion, clause)
    if spec.frames is not None and len(motion) != spec.frames:
        cut = len(motion) > spec.frames and not (clause and clause.times)
        motion = motion.slice(0, spec.frames) if cut else retimed(motion, spec.frames)
    return motion, notes


def acting_side(signals: Signals) -> str:
    """The side whose hand, or else foot, alone acts: left, right, or empty."""
    for left, right in ((20, 21), (7, 8)):
        ways = [float(np.linalg.norm(np.ptp(signals.local[:, j], axis=0))) for j in (left, right)]
        if max(ways) > MIN_LIMB_TRAVEL and max(ways) > MIN_SIDE_RATIO * min(ways):
            return ("left", "right")[int(np.argmax(ways))]
    return ""
