"""Acts that arrange what is there: retime, total, speed, mirror, delete, move, loop. No network but for lengths."""

from __future__ import annotations

from avatargpt.chat.registry import does
from avatargpt.chat.scene import Done, Scene, said_seconds, short, with_segment
from avatargpt.chat.segments import faster, lasting, mirrored
from avatargpt.chat.timeline import FPS
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError


@does("retime")
def retime(scene: Scene, act: Act) -> Done:
    at = scene.state.index(act.segment)
    seconds = float(act.seconds or 0)
    state = with_segment(scene.state, at, lasting(scene, scene.state.segments[at], seconds))
    return Done(state, f"Segment {at + 1} lasts {said_seconds(seconds)}.", state.whole)


@does("total")
def total(scene: Scene, act: Act) -> Done:
    state = scene.state
    state.index(None)
    frames = round(float(act.seconds or 0) * FPS / state.loops)
    lengths = [b - a for a, b in state.spans]
    if frames < 4 * len(lengths):
        raise UserError(f"{act.seconds:g} seconds are too short for {len(lengths)} segments; at least 0.2 s each")
    ends = [round(sum(lengths[: i + 1]) * frames / sum(lengths)) for i in range(len(lengths))]
    wanted = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    segments = [lasting(scene, s, max(n, 2) / FPS) for s, n in zip(state.segments, wanted, strict=True)]
    new = state.replaced(segments)
    return Done(new, f"All of it lasts {said_seconds(new.seconds)}.", new.whole)


@does("speed")
def speed(scene: Scene, act: Act) -> Done:
    state, factor = scene.state, float(act.factor or 1)
    at = state.index(act.segment)
    some = range(len(state.segments)) if act.segment is None else [at]
    new = state.replaced([faster(s, factor) if i in some else s for i, s in enumerate(state.segments)])
    what = "All of it" if act.segment is None else f"Segment {at + 1}"
    return Done(new, f"{what} runs {factor:g} times as fast: {said_seconds(new.seconds)} in all.", new.whole)


@does("mirror")
def mirror(scene: Scene, act: Act) -> Done:
    state = scene.state
    at = state.index(act.segment)
    some = range(len(state.segments)) if act.segment is None else [at]
    new = state.replaced([mirrored(s) if i in some else s for i, s in enumerate(state.segments)])
    what = "Left and right are exchanged everywhere" if act.segment is None else f"Segment {at + 1} is mirrored"
    return Done(new, f"{what}.", new.whole)


@does("delete")
def delete(scene: Scene, act: Act) -> Done:
    state = scene.state
    at = state.index(act.segment)
    left = [s for i, s in enumerate(state.segments) if i != at]
    new = state.replaced(left)
    said = f"Removed segment {at + 1}, {short(state.segments[at].caption)}."
    if not left:
        return Done(new, f"{said} Nothing is left; undo brings it back.")
    return Done(new, f"{said} {len(left)} {'is' if len(left) == 1 else 'are'} left.", new.whole)


@does("move")
def move(scene: Scene, act: Act) -> Done:
    state = scene.state
    at, to = state.index(act.segment), state.index(act.to)
    if at == to:
        raise UserError(f"segment {at + 1} is in that place already")
    segments = list(state.segments)
    segments.insert(to, segments.pop(at))
    new = state.replaced(segments)
    return Done(new, f"Moved: {short(segments[to].caption)} is segment {to + 1}.", new.whole)


@does("loop")
def loop(scene: Scene, act: Act) -> Done:
    state = scene.state
    state.index(None)
    if act.times == state.loops == 1:
        return Done(state, "It plays once already.")
    new = state.replaced(state.segments, loops=int(act.times or 1))
    often = "once" if new.loops == 1 else f"{new.loops} times"
    return Done(new, f"It plays {often}, {said_seconds(new.seconds)} in all.", new.whole)
