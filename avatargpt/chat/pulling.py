"""The act `pull`: a hand or foot led to a place at a second of the timeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatargpt.body.keys import PIN_CHAINS, pin_limbs
from avatargpt.chat.scene import ActContext, ActResult, performs
from avatargpt.chat.segments import with_segment
from avatargpt.chat.timeline import FPS, MAX_CUT_SECONDS
from instruct_data.dialogue.acts import Act
from instruct_data.requests.spec import Pin
from vqvae.errors import UserError
from vqvae.motion import Motion

MAX_PLACE = 1000.0  # metres from the origin of the timeline


@performs("pull")
def pull(scene: ActContext, act: Act) -> ActResult:
    """The segment that is played then, as it is played, with the limb at that place; it keeps its length."""
    limb, second, place = _pin(str(act.pin))
    state = scene.state
    state.index(None)
    if not 0 <= second < state.seconds:
        raise UserError(f"pull at {second:g} s; accepted 0 to {state.seconds:g}, the length of the timeline")
    at = next((i for i, (a, b) in enumerate(state.spans) if a <= second * FPS < b), None)
    if at is None:
        raise UserError(f"pull at {second:g} s: a repetition there; accepted: the first time that a loop is played")
    old = state.segments[at]
    frame, local = _within(state.motion, state.spans[at][0], round(second * FPS), old.motion, np.array(place))
    motion, notes = pin_limbs(old.motion, [Pin(limb=limb, second=frame / FPS, place=tuple(local))])  # type: ignore[arg-type]
    new = replace(old, motion=motion)
    text = f"The {limb.replace('_', ' ')} is led there at {second:.1f} s, in segment {at + 1}."
    lines = [text, *(f"It stays {n.rsplit(': ', 1)[1]}." for n in notes)]
    return ActResult(with_segment(state, at, new), "\n".join(lines))


def _within(whole: Motion, start: int, frame: int, segment: Motion, place: np.ndarray) -> tuple[int, np.ndarray]:
    """A frame and a place (3,) of the timeline as those of one of its segments, which is played from frame `start` on.
    """
    # a seam may have given up its first frames; the local turns of joints are the same wherever it is played
    first = min(max(frame - start, 0), len(segment) - 1)
    rows = segment.rotations[first : first + round(MAX_CUT_SECONDS * FPS) + 1, 1:]
    frame_there = first + int(np.abs(rows - whole.rotations[frame, 1:]).max((1, 2)).argmin())
    angle = float(segment.heading[frame_there] - whole.heading[frame])
    c, s = np.cos(angle), np.sin(angle)
    x, y, z = place - whole.root[frame]
    return frame_there, np.array([c * x + s * z, y, c * z - s * x]) + segment.root[frame_there]


def _pin(text: str) -> tuple[str, float, tuple[float, float, float]]:
    limb, *numbers = text.split()
    try:
        second, x, y, z = map(float, numbers)
    except ValueError:
        raise UserError(f"pull: {text}; accepted a limb, a second and x y z in metres") from None
    if limb not in PIN_CHAINS or not all(abs(v) <= MAX_PLACE for v in (second, x, y, z)):
        accepted = f"{', '.join(PIN_CHAINS)}, numbers up to {MAX_PLACE:g}"
        raise UserError(f"pull: {text}; accepted {accepted}")
    return limb, second, (x, y, z)
