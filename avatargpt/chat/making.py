"""Acts that make motion: make, then, before, replace, edit, again, keep, load, plan, long."""

from __future__ import annotations

from dataclasses import replace

from avatargpt.chat.heard import GOES_ON
from avatargpt.chat.looping import long_motion
from avatargpt.chat.registry import does
from avatargpt.chat.rewording import changed
from avatargpt.chat.scene import Done, Scene, find_file, plan_lines, said_seconds, short, with_segment
from avatargpt.chat.segments import faster, lasting, mirrored, new_segment, remade
from avatargpt.chat.timeline import FPS, MOST_TAKES, Segment, Timeline, made_segment
from instruct_data.dialogue.acts import LEAST_SECONDS, TAKE_LETTERS, Act
from vqvae.errors import UserError
from vqvae.motion import Motion

MORE_SECONDS = 4.0  # of a continuation that names no length
ACTIVITIES = 3


def _about(segment: Segment) -> str:
    return f"{short(segment.caption)} ({said_seconds(segment.motion.seconds)})"


@does("make")
def make(scene: Scene, act: Act) -> Done:
    segment = new_segment(scene, str(act.text), act.seconds, scene.seed)
    state = Timeline(plan=scene.state.plan, files=scene.state.files).replaced([segment])
    return Done(state, f"Made: {_about(segment)}.", state.whole)


@does("then")
def then(scene: Scene, act: Act) -> Done:
    before = scene.state.segments
    if act.text == GOES_ON:
        segment = _continued(scene, act)
    else:
        segment = new_segment(scene, str(act.text), act.seconds, scene.seed)
    state = scene.state.replaced([*before, segment])
    return Done(state, f"Segment {len(before) + 1}: {_about(segment)}.", state.whole)


def _continued(scene: Scene, act: Act) -> Segment:
    """What the model makes of the end of the motion, without words."""
    whole = scene.state.round
    longer: Motion = scene.model.extend(whole, act.seconds or MORE_SECONDS, seed=scene.seed)
    new = longer.slice(len(longer) - round((act.seconds or MORE_SECONDS) * FPS), len(longer))
    # its beginning follows exactly on the end: a fixed length keeps the seam uncut
    return made_segment(GOES_ON, new, scene.seed, True)


@does("before")
def before(scene: Scene, act: Act) -> Done:
    at = scene.state.index(act.segment)
    segment = new_segment(scene, str(act.text), act.seconds, scene.seed)
    state = scene.state.replaced([*scene.state.segments[:at], segment, *scene.state.segments[at:]])
    return Done(state, f"Segment {at + 1} is now: {_about(segment)}.", state.whole)


@does("replace")
def replaced(scene: Scene, act: Act) -> Done:
    at = scene.state.index(act.segment)
    old = scene.state.segments[at]
    segment = new_segment(scene, str(act.text), old.motion.seconds if old.fixed else None, scene.seed)
    return _exchanged(scene, at, segment, f"Segment {at + 1} is now: {_about(segment)}.")


def _exchanged(scene: Scene, at: int, segment: Segment, said: str) -> Done:
    state = with_segment(scene.state, at, segment)
    return Done(state, said, state.whole)


@does("edit")
def edit(scene: Scene, act: Act) -> Done:
    at = scene.state.index(act.segment)
    old = scene.state.segments[at]
    book = getattr(scene.model, "phrase_index", None)
    parts = book.reader.read_turn(str(act.change)) if book is not None and book.reader is not None else ()
    change = changed(old.caption, str(act.change), parts)
    if not change.remake:
        if change.length != 1 or change.seconds:
            return _lengthened(scene, at, old.motion.seconds * change.length + change.seconds)
        new = faster(mirrored(old) if change.mirror else old, change.tempo)
        how = "mirrored" if change.mirror else f"at {change.tempo:g} times the speed"
        return _exchanged(scene, at, new, f"Segment {at + 1}, {how}: {_about(new)}.")
    if old.kind != "made":
        raise UserError(
            f"segment {at + 1} was not made from a caption, so it cannot be made {act.change}; "
            "accepted: mirror, speed, length, replace, or a text to continue it"
        )
    new = remade(scene, old, change.caption, old.motion.seconds if old.fixed else None, scene.seed)
    new = faster(new, change.tempo)
    return _exchanged(scene, at, new, f"Segment {at + 1}, {act.change}: {_about(new)}.")


def _lengthened(scene: Scene, at: int, seconds: float) -> Done:
    old = scene.state.segments[at]
    before = said_seconds(old.motion.seconds)
    if seconds < LEAST_SECONDS:
        raise UserError(f"segment {at + 1} lasts {before}; accepted: what leaves at least {LEAST_SECONDS:g} s of it")
    new = lasting(scene, old, round(seconds * FPS) / FPS)
    return _exchanged(scene, at, new, f"Segment {at + 1} lasts {said_seconds(new.motion.seconds)}, it was {before}.")


@does("again")
def again(scene: Scene, act: Act) -> Done:
    state = scene.state
    open_ = bool(state.takes) and (act.segment is None or act.segment - 1 == state.chosen)
    at = state.chosen if open_ else state.index(act.segment)
    old = state.segments[at]
    if old.kind != "made" or old.caption == GOES_ON:
        raise UserError(f"segment {at + 1} has no caption to make another take of; accepted: segments made from words")
    takes = state.takes if open_ else (old,)
    if len(takes) >= MOST_TAKES:
        raise UserError(f"there are {len(takes)} takes already; keep one of a to {TAKE_LETTERS[len(takes) - 1]}")
    new = remade(scene, old, old.caption, old.motion.seconds if old.fixed else None, scene.seed)
    takes = (*takes, new)
    changed_ = replace(with_segment(state, at, new), takes=takes, chosen=at)
    letter = TAKE_LETTERS[len(takes) - 1]
    letters = "a or b" if len(takes) == 2 else f"a to {letter}"
    said = f"Take {letter} of segment {at + 1}: {_about(new)}. Keep {letters}? Take {letter} is in place."
    return Done(changed_, said, changed_.whole)


@does("keep")
def keep(scene: Scene, act: Act) -> Done:
    takes, at = scene.state.takes, scene.state.chosen
    if not takes:
        raise UserError("there are no takes to choose among; say: another take")
    number = TAKE_LETTERS.find(str(act.choice))
    if not 0 <= number < len(takes):
        raise UserError(f"there is no take {act.choice}; accepted a to {TAKE_LETTERS[len(takes) - 1]}")
    return _exchanged(scene, at, takes[number], f"Kept take {act.choice} of segment {at + 1}.")


@does("load")
def load(scene: Scene, act: Act) -> Done:
    from avatargpt import export

    path = find_file(scene, str(act.file))
    motion = export.load(path)
    try:
        segment = made_segment(motion.caption or f"the motion in {path.name}", motion, 0, False, "file")
    except UserError as e:
        raise UserError(f"{path.name}: {e}") from None
    state = Timeline(plan=scene.state.plan, files=(*scene.state.files, str(path))[-20:]).replaced([segment])
    return Done(state, f"Loaded {path.name}: {said_seconds(segment.motion.seconds)}.", state.whole)


@does("plan")
def plan(scene: Scene, act: Act) -> Done:
    made = scene.planner().plan(str(act.scene), activities=act.activities or ACTIVITIES, seed=scene.seed)
    state = replace(scene.state, plan=made, takes=())
    count = len(made.activities)
    said = f"Planned {made.scene} with {count} {'activity' if count == 1 else 'activities'} ({made.planner}):\n"
    return Done(state, said + plan_lines(made))


@does("long")
def long(scene: Scene, act: Act) -> Done:
    motion = long_motion(scene, str(act.scene), float(act.seconds or 0))
    segment = made_segment(str(act.scene), motion, scene.seed, True, "long")
    state = Timeline(plan=scene.state.plan, files=scene.state.files).replaced([segment])
    return Done(state, f"Made {said_seconds(segment.motion.seconds)} of {act.scene}.", state.whole)
