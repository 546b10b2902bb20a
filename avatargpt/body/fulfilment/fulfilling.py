"""What a clause asks for beyond its words, as said: how often, how long, how fast, how large, where to, which side.

The network is asked for an action in plain words; of its candidates those that do what was asked come first (`misses`),
and rules make up for what the best one lacks (`fulfilled`): a cycle is repeated or left out, a motion is mirrored,
scaled, played in another time, kept on its spot. What is not so in the end is told.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatargpt.body.fulfilment.looping import looped
from avatargpt.body.fulfilment.pinning import pinned
from avatargpt.body.fulfilment.repeating import counted, counter, repeated
from avatargpt.body.fulfilment.scaling import SIZES, in_tempo, sized
from avatargpt.body.fulfilment.verifying import amiss
from avatargpt.body.spec import MotionSpec
from avatargpt.body.stitch import retimed
from avatargpt.body.turns import miss
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry.counts import jumps
from avatargpt.metrics.geometry.measures import off_course
from avatargpt.requests.asked import LIMBS
from avatargpt.requests.concurrent import goes
from avatargpt.requests.lexical import lemmas
from instruct_data.requests.spec import MotionRequest
from instruct_data.text.mirror import side_of
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

COUNT, NONE = 0.1, 1.0  # what each time too many or too few costs, and not doing it at all, beside the scorer's cosine
UNSEEN = 0.4  # what each action costs that is not seen, or seen and was denied
ASTRAY, GOES = 1.5, 0.25  # what 90 degrees from the direction cost; metres from which something goes anywhere
NEARLY, FAR = 10.0, 15.0  # degrees that count as the direction, and from which they do not
CLEARLY = 1.6  # times as much as the other side's: then one hand or foot does it
STIRS = 0.25  # metres of the way of a hand or foot that does something
ON_THE_SPOT, SWAY = 0.5, 0.6  # metres that still are one spot; seconds of what stays of the way
PLANAR = {"forward": "forward", "backward": "back", "left": "left", "right": "right", "forward_left": "forward left",
          "forward_right": "forward right", "backward_left": "back left", "backward_right": "back right"}  # fmt: skip


def misses(motion: Motion, spec: MotionSpec) -> float:
    """What a candidate loses for what it does not do as asked, in the scorer's cosine."""
    less = 0.0 if spec.turn is None else miss(motion, spec.turn)
    asked = spec.asked
    if asked is None or spec.turn is not None or spec.route is not None:
        return less
    s = Signals(motion)
    less += UNSEEN * (amiss(s, spec) + _other_side(s, spec))
    if asked.times:
        has = counter(spec.action)(s)
        less += min(COUNT * abs(has - asked.times), 0.5) + NONE * (has == 0)
    off = astray(s, spec)
    if off is not None:
        less += ASTRAY * max(off - NEARLY, 0) / 90
    return less


def fails(motion: Motion, spec: MotionSpec) -> bool:
    """Whether a motion does not do at all what was asked, or goes elsewhere: rules cannot make up for it."""
    asked = spec.asked
    if asked is None or spec.turn is not None or spec.route is not None:
        return False
    s = Signals(motion)
    if amiss(s, spec) or _other_side(s, spec) or (asked.times and not counter(spec.action)(s)):
        return True
    return (astray(s, spec) or 0.0) > FAR


def _other_side(s: Signals, spec: MotionSpec) -> bool:
    """Whether the hand or foot of the other side alone acts, where the caption tells one."""
    told = side_of(spec.caption)
    return told in ("left", "right") and not _steps(spec.action) and acting(s) not in ("", told)


def astray(s: Signals, spec: MotionSpec) -> float | None:
    """Degrees between where a motion goes and the direction that was asked for.

    None where none was, or where it stays and is none of steps; steps that go forward go backward when played so.
    """
    to = PLANAR.get(_way(spec))
    if to is None or spec.above:
        return None
    if s.net_distance < GOES:
        return 180.0 if _steps(spec.action) or (spec.asked and goes(spec.asked.action)) else None
    off = off_course(s, to)
    return min(off, 180 - off + NEARLY) if _reversible(spec) else off


def _way(spec: MotionSpec) -> str:
    """The direction of travel that was asked for, empty = none: of steps the side is one ("sidesteps to the left")."""
    asked = spec.asked
    if asked is None:
        return ""
    stepping = asked.side in ("left", "right") and goes(spec.action) and not LIMBS & {*lemmas(asked.action)}
    return asked.direction or (asked.side or "") * stepping


def _steps(action: str) -> bool:
    """Whether an action takes the feet somewhere."""
    return goes(action) or counter(action) is jumps


def _reversible(spec: MotionSpec) -> bool:
    return spec.asked is not None and spec.asked.direction == "backward" and goes(spec.action)


def reversed_way(motion: Motion, spec: MotionSpec) -> Motion:
    """The motion played backwards where it is to step backward and steps forward."""
    if not _reversible(spec) or off_course(Signals(motion), "back") < 90:
        return motion
    return motion.taken(np.arange(len(motion))[::-1]).canonical()


def fulfilled(motion: Motion, spec: MotionSpec) -> tuple[Motion, list[str]]:
    """The motion made to be what its clause asks for, and a line for each thing that it is not."""
    asked, notes = spec.asked, []
    if asked is not None:
        free = spec.turn is None and spec.route is None
        sided = free and asked.side in ("left", "right") and side_of(spec.caption) is None
        if sided and acting(Signals(motion)) not in ("", asked.side):
            motion = motion.mirrored()
        if free:
            motion = reversed_way(motion, spec)
        if free and asked.times:
            count = counter(spec.action)
            if (made := repeated(motion, asked.times, count)) is not None:
                motion = made
            elif (has := counted(motion, count)) != asked.times:
                notes.append(f"{asked.action!r}: {asked.times} times asked for, about {has} shown")
        if free and (off := astray(Signals(motion), spec)) is not None and off > 3 * FAR:
            notes.append(f"{asked.action!r}: goes {off:.0f} degrees off {PLANAR[_way(spec)]}")
        motion = sized(motion, SIZES.get(asked.size or "", 1.0))
        if asked.in_place:
            motion = on_the_spot(motion)
        motion = in_tempo(motion, asked)
    if spec.frames is not None and len(motion) != spec.frames:
        long = len(motion) > spec.frames and not (asked and asked.times)
        motion = motion.slice(0, spec.frames) if long else retimed(motion, spec.frames)
    return motion, notes


def acting(s: Signals) -> str:
    """The side whose hand, or else foot, alone does something: left, right, or empty."""
    for left, right in ((20, 21), (7, 8)):
        ways = [float(np.linalg.norm(np.ptp(s.local[:, j], axis=0))) for j in (left, right)]
        if max(ways) > STIRS and max(ways) > CLEARLY * min(ways):
            return ("left", "right")[int(np.argmax(ways))]
    return ""


def on_the_spot(motion: Motion) -> Motion:
    """The motion without its way, what sways about it kept."""
    root = motion.root.astype(np.float64).copy()
    plane = root[:, [0, 2]]
    if float(np.linalg.norm(plane - plane[0], axis=1).max()) < ON_THE_SPOT:
        return motion
    root[:, [0, 2]] = plane[0] + plane - gaussian(plane, SWAY * motion.fps)
    return replace(motion, root=root)


def finished(motion: Motion, request: MotionRequest, cut: bool = True) -> tuple[Motion, list[str]]:
    """The whole with its hands and feet where they are pinned, and as a loop where it is to be one.

    Args:
        cut: whether a loop may be shorter.
    """
    motion, notes = pinned(motion, request.pins)
    if request.loop:
        motion = looped(motion, cut and not request.pins)
    notes += [f"{name} {said!r}: not shown" for name in ("start", "end") if (said := getattr(request, name))]
    return motion, notes
