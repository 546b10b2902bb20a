"""Constraints of a clause besides its words (count, length, speed, size, direction, side), and rules that meet them."""
# The network gets an action in plain words. Of its candidates those that meet the constraints come first
# (`constraint_cost`), and rules correct the best one (`constrain_motion`): a cycle is repeated or left out, a motion is
# mirrored, scaled or retimed. Whatever is not met in the end becomes a note (`unmet`).

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

from avatargpt.body.model import REST_TOKENS, turn_cost
from avatargpt.body.repetition import counter, repeat_action
from avatargpt.body.stitch import retime_motion
from avatargpt.kinematics.joints import FPS, Signals
from avatargpt.kinematics.measures import foot_skate
from avatargpt.lm.loaded import CHUNK
from avatargpt.metrics.checks import CaptionChecks
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.geometry.counts import jumps
from avatargpt.metrics.geometry.measures import off_course
from avatargpt.options import frames_of, share_tokens, tokens_of
from avatargpt.requests.clause_spec import LIMBS, ClauseSpec, Route, Turn, goes, is_above
from avatargpt.requests.english import lemmas
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.attributes import DIRECTIONS, POSTURES, Measures, describe_figures
from instruct_data.requests.spec import Clause
from instruct_data.text.english import side_of
from vqvae import rotations as rot
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.smoothing import gaussian

TEMPI = {"very_slow": 0.55, "slow": 0.75, "fast": 1.35, "very_fast": 1.75}
SIZES = {"slight": 0.55, "small": 0.65, "large": 1.3, "very_large": 1.45}
# times as fast at the end as at the beginning, where it speeds up; as long as before
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
        motion = retime_motion(motion, max(2, round(len(motion) / factor)))
    if clause.tempo in ("speeding_up", "slowing_down"):
        n, change = len(motion), (TEMPO_CHANGE if clause.tempo == "speeding_up" else 1 / TEMPO_CHANGE) ** 0.5
        t = np.insert(np.geomspace(1 / change, change, max(n - 1, 1)).cumsum(), 0, 0.0)
        motion = motion.sampled(t * (n - 1) / max(t[-1], 1e-9))
    return motion


def resize_movement(motion: Motion, factor: float) -> Motion:
    """A larger or smaller movement, by the factor of joints' distances from a standing pose; it knows no objects."""
    # feet rise as much higher, the way is as much longer; a body that lies or sits keeps legs and way
    if factor == 1:
        return motion
    q = motion.rotations.astype(np.float64)
    upright = bool(np.median(motion.joints[:, 0, 1]) > MIN_UPRIGHT)
    out = q.copy()
    standing = _build_stand()
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
def _build_stand() -> np.ndarray:
    """(22, 4) local rotations of a standing body with hanging arms."""
    angles = np.zeros((len(SMPL22.names), 3))
    for side, sign in (("l", 1.0), ("r", -1.0)):
        for joint, degrees in HANGING_ARM.items():
            angles[SMPL22.index(f"{side}_{joint}")] = np.array(degrees) * (1, sign, sign)
    return np.asarray(rot.from_axis_angle(np.radians(angles)))


MIN_TOKENS, TOKEN_DEGREES = 5, 30.0  # of a clause; degrees of a turn with a motion token
JOIN_TOKENS = 3  # that a clause takes from the pose in which the one before ends
LOOPED = 1.5  # usual lengths of what is looped: more cycles to choose from
USUAL_TOKENS = 20  # of a clause whose usual length is not known


@dataclass(frozen=True)
class MotionSpec:
    """A motion that is generated in one go."""

    caption: str  # for the network
    tokens: int  # motion tokens, -1 = the model decides
    turn: Turn | None = None  # a turn by a measure
    route: Route | None = None  # the shape of the path
    concurrent: MotionSpec | None = None  # action at the same time
    upper_body: bool = False  # arms or the head alone do it
    action: str = ""  # class of the nearest phrasing
    clause: Clause | None = None  # as it was typed
    frames: int | None = None  # of the result, None = free
    notes: tuple[str, ...] = ()  # on parts of the clause that cannot be shown
    # Other captions and actions that the clause may mean, tried in this order where this one fails it
    alternatives: tuple[MotionSpec, ...] = ()
    avoid: tuple[tuple[str, str], ...] = ()  # actions that were denied, and their captions
    attributes: Mapping[str, str] = field(default_factory=dict)  # for the network (`instruct_data.attributes`)
    tentative: bool = False  # a concurrent action, where the motions go together

    @property
    def rests(self) -> bool:
        """Whether it keeps the posture of the motion before it."""
        return self.clause is not None and self.clause.hold

    @property
    def settles(self) -> bool:
        """Whether it comes to another posture than standing, in which it stays: it is not done twice to last longer."""
        start, end = (self.attributes.get(name, POSTURES[0]) for name in ("start", "end"))
        return self.turn is None and self.route is None and end not in (start, POSTURES[0])

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
    usual = [int(rng.choice(c.lengths)) + (JOIN_TOKENS if n else 0) if c.lengths else -1 for n, c in enumerate(clauses)]
    if request.typed is not None and request.typed.loop:
        usual = [round(LOOPED * n) if n > 0 else n for n in usual]
    tokens = []
    for c, n in zip(clauses, usual, strict=True):
        # A turn takes as long as its degrees need (-1), a path as long as its shape, two actions as long as the longer.
        own = -1 if c.turn else c.route.tokens or n if c.route else n
        tokens.append(min(CHUNK, max(own, *c.concurrent.lengths, USUAL_TOKENS)) if c.concurrent else own)
    if seconds is not None:
        total = tokens_of(seconds, rate)
        if len(clauses) > 1 and total < MIN_TOKENS * len(clauses):  # no room for all of it one by one
            note = f"{seconds:g} s: too short for {len(clauses)} actions one after another"
            return [MotionSpec(request.text, total, notes=(note,))]
        lengths = [t if t > 0 else USUAL_TOKENS for t in tokens]
        seconds_each = [c.clause.seconds if c.clause is not None else None for c in clauses]
        tokens = share_tokens(total, lengths, seconds_each, rate, MIN_TOKENS)
    return [_spec(c, t, rate, seconds is not None) for c, t in zip(clauses, tokens, strict=True)]


def _spec(spec: ClauseSpec, tokens: int, rate: float, timed: bool) -> MotionSpec:
    """The spec of a clause; `timed`: the length of the whole request is fixed, so that each part has its frames."""
    clause, frames = spec.clause, None
    if timed and tokens > 0:
        frames = round(tokens / rate * FPS)
    elif clause is not None and clause.seconds is not None:
        frames = frames_of(clause.seconds, FPS)
    if frames is not None and clause is not None:
        tokens = tokens_of(frames / FPS * tempo_factor(clause), rate)
        if spec.turn is not None and tokens < REST_TOKENS + spec.turn.degrees / TOKEN_DEGREES:
            tokens = -1  # it takes its time, and is then made faster
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
        spec.not_shown, tuple(alternatives), spec.avoid, spec.attributes, spec.tentative,
    )  # fmt: skip


# Attributes that are measured on a candidate; the others are relative to an action, or hold throughout
TRUTHS = CaptionChecks()
VERIFIED = ("support", "kneel", "rise", "hand", "direction", "turn", "through", "end")
CARRYING = {"support", "kneel"}  # attributes of the legs that carry the body
ATTRIBUTE_COST = 0.25  # of each that a candidate does not show
# Costs beside the scorer's cosine
# of each time too many or too few; of not doing it at all
COUNT_COST, MAX_COUNT_COST, UNDONE_COST = 0.1, 0.5, 1.0
# of each action that is not seen, or seen and was denied
ACTION_COST = 0.4
COURSE_COST = 1.5  # of 90 degrees from the direction
GONE_COST = 0.3  # of a metre of what is done on the spot
MOVING_COST = 2.0  # of a mean speed of all joints of 1 m/s where a posture is to be kept
# degrees that count as the direction, and from which they do not
COURSE_TOLERANCE, MAX_COURSE = 10.0, 15.0
MIN_TRAVEL = 0.25  # metres from which a motion goes anywhere
# between the ways of both sides, from which one of them acts alone
MIN_SIDE_RATIO = 1.6
MIN_LIMB_TRAVEL = 0.25  # metres of the way of a hand or foot that acts
# share of what was asked for, and at least so many degrees and metres, from which a note says what is missed
MISSED, MIN_DEGREES, MIN_METRES = 0.2, 20.0, 0.5
GLIDES = 0.8  # share of a way in which a foot slides: steps .2 to .5, none 1
COURSES = {name: name.replace("_", " ").replace("backward", "back") for name in DIRECTIONS}


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
    cost += GONE_COST * clause.in_place * max(signals.net_distance - MIN_TRAVEL, 0)
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
    gone = clause.in_place and signals.net_distance > 2 * MIN_TRAVEL
    if wrong_actions(signals, spec) or _other_side(signals, spec) or undone or gone:
        return True
    return (off_direction(signals, spec) or 0.0) > MAX_COURSE


def other_attributes(motion: Motion, attributes: Mapping[str, str]) -> list[str]:
    """Names of the attributes of which a motion measurably shows another value, or none."""
    names = [n for n in VERIFIED if attributes.get(n)]
    figures = describe_figures(Measures.of(motion).figures()) if names else {}
    return [n for n in names if figures.get(n) != attributes[n]]


@lru_cache(maxsize=4096)
def _checks(action: str, caption: str, upper_body: bool) -> tuple[Any, ...]:
    # arms wave over any legs: those of a walk, or of who has sat down
    return tuple(c for c in TRUTHS.of_action(action, caption) if not (upper_body and c == "stands"))


def shows(signals: Signals, action: str, caption: str, upper_body: bool = False) -> bool | None:
    """Whether an action is visible, on the side of its caption; None where no table (`metrics.checks`) has it."""
    checks = _checks(action, caption, upper_body)
    return all(predicates.judge(c, signals).passed for c in checks) if checks else None


def wrong_actions(signals: Signals, spec: MotionSpec) -> int:
    """1 if the action is not seen, and 1 for each denied one that is."""
    missing = shows(signals, spec.action, spec.caption, spec.upper_body) is False
    denied = (shows(signals, *action) is True for action in spec.avoid if action[0] != spec.action)
    return int(missing) + sum(denied)


def _other_side(signals: Signals, spec: MotionSpec) -> bool:
    """Whether the hand or foot of the other side acts alone; not where the words name the leg that carries the body."""
    if CARRYING & spec.attributes.keys():
        return False
    side = side_of(spec.caption)
    return side in ("left", "right") and not _steps(spec.action) and find_acting_side(signals) not in ("", side)


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


def reverse_steps(motion: Motion, spec: MotionSpec) -> Motion:
    """The motion played backwards where it is to step backward and steps forward."""
    if not _reversible(spec) or off_course(Signals(motion), "back") < 90:
        return motion
    return motion.at_frames(np.arange(len(motion))[::-1]).canonical()


def constrain_motion(motion: Motion, spec: MotionSpec) -> Motion:
    """The motion corrected towards the constraints of its clause."""
    clause = spec.clause
    if clause is not None:
        free = spec.turn is None and spec.route is None
        sided = free and clause.side in ("left", "right") and side_of(spec.caption) is None
        if sided and find_acting_side(Signals(motion)) not in ("", clause.side):
            motion = motion.mirrored()
        if free:
            motion = reverse_steps(motion, spec)
        if free and clause.times:
            motion = repeat_action(motion, clause.times, counter(spec.action)) or motion
        motion = resize_movement(motion, SIZES.get(clause.size or "", 1.0))
        motion = in_tempo(motion, clause)
    if spec.frames is not None and len(motion) != spec.frames:
        cut = len(motion) > spec.frames and not spec.measured
        motion = motion.slice(0, spec.frames) if cut else retime_motion(motion, spec.frames)
    return motion


def unmet(motion: Motion, spec: MotionSpec) -> list[str]:
    """A line for each measure of its clause that the finished motion of a spec does not show."""
    clause, signals = spec.clause, Signals(motion)
    if clause is None:
        return []
    out: list[str] = []
    free, yaw = spec.turn is None and spec.route is None, np.degrees(np.unwrap(motion.heading))
    turn = spec.turn if spec.route is None else spec.route.turn
    if turn is None and clause.turn and not clause.path:
        turn = Turn(clause.turn, clause.side if clause.side in ("left", "right") else "")
    if turn is not None and (missed := turn.measure_miss(float(yaw[-1] - yaw[0]))) > max(
        MISSED * turn.degrees, MIN_DEGREES
    ):
        out.append(f"misses a turn of {turn.degrees:g} degrees by {missed:.0f}")
    if clause.distance and not (clause.in_place or clause.path):
        gone = signals.net_distance
        if abs(gone - clause.distance) > max(MISSED * clause.distance, MIN_METRES):
            out.append(f"{clause.distance:g} m asked for, {gone:.1f} gone")
    if spec.route is not None and spec.route.places:
        away = np.linalg.norm(signals.joints[:, :1, [0, 2]] - np.array(spec.route.places), axis=-1).min(0)
        if away.max() > MIN_METRES:
            out.append(f"passes waypoint {away.argmax() + 1} at {away.max():.1f} m")
    if spec.route is not None and foot_skate(motion.joints, motion.fps) > GLIDES:
        out.append("glides along its way, without steps")
    if free and clause.times and (times := counter(spec.action)(signals)) != clause.times:
        out.append(f"{clause.times} times asked for, about {times} shown")
    if clause.seconds and abs(motion.seconds - clause.seconds) > MISSED * clause.seconds:
        out.append(f"{clause.seconds:g} s asked for, {motion.seconds:.1f} taken")
    if free and (degrees := off_direction(signals, spec) or 0.0) > 3 * MAX_COURSE:
        out.append(f"goes {degrees:.0f} degrees off {COURSES[_direction(spec)]}")
    if free and not clause.hold and shows(signals, spec.action, spec.caption, spec.upper_body) is False:
        out.append("hardly shows")
    return [f"{clause.action!r}: {line}" for line in out]


def find_acting_side(signals: Signals) -> str:
    """The side whose hand, or else foot, alone acts: left, right, or empty."""
    for left, right in ((20, 21), (7, 8)):
        ways = [float(np.linalg.norm(np.ptp(signals.local[:, j], axis=0))) for j in (left, right)]
        if max(ways) > MIN_LIMB_TRAVEL and max(ways) > MIN_SIDE_RATIO * min(ways):
            return ("left", "right")[int(np.argmax(ways))]
    return ""
