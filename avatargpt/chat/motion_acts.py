"""Acts that make motion: make, then, before, replace, edit, again, keep, load, plan."""

from __future__ import annotations

from dataclasses import replace

from avatargpt.chat import segments
from avatargpt.chat.scene import ActContext, ActResult, duration, find_file, performs, plan_lines, short
from avatargpt.chat.segments import insert_segments, new_segment, remade, with_segment
from avatargpt.chat.timeline import FPS, MAX_SEGMENTS, MAX_TAKES, Segment, Timeline, segment_of
from avatargpt.chat.turn_text import CONTINUES, Change, as_caption, change_caption
from avatargpt.options import mix
from avatargpt.planning.language_planner import CheckedPlanner
from instruct_data.dialogue.acts import MIN_SECONDS, TAKE_LETTERS, Act
from instruct_data.face.described import describe_score
from instruct_data.text.english import mirror_text
from vqvae.errors import OutOfTime, UserError
from vqvae.motion import Motion

MORE_SECONDS = 4.0  # of a continuation that names no length


def _about(segment: Segment) -> str:
    face = "" if segment.score is None else f"; face: {describe_score(segment.score)}"
    return f"{short(segment.caption)} ({duration(segment.motion.seconds)}{face})"


def _note_missing(text: str, segment: Segment) -> str:
    """An answer about a segment that was made, with what of its words is not shown."""
    return f"{text} {segment.remark}".rstrip()


@performs("make")
def make(scene: ActContext, act: Act) -> ActResult:
    segment = new_segment(scene, str(act.text), act.seconds, scene.seed)
    state = Timeline(files=scene.state.files).replace_segments([segment])
    return ActResult(state, _note_missing(f"Made: {_about(segment)}.", segment))


@performs("then")
def then(scene: ActContext, act: Act) -> ActResult:
    before = scene.state.segments
    if act.text == CONTINUES:  # without words
        last = before[scene.state.index(len(before))]
        seconds = act.seconds or MORE_SECONDS
        longer: Motion = scene.model.extend(last.motion, seconds, seed=scene.seed)
        new = longer.slice(len(longer) - round(seconds * FPS), len(longer))
        # its beginning follows exactly on the end: a fixed length keeps the seam uncut
        segment = replace(segment_of(CONTINUES, new, scene.seed, True), follows=last.key)
    else:
        segment = new_segment(scene, str(act.text), act.seconds, scene.seed, before)
    state = insert_segments(scene.state, len(before), [segment])
    return ActResult(state, _note_missing(f"Segment {len(before) + 1}: {_about(segment)}.", segment))


@performs("before")
def before(scene: ActContext, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    segment = new_segment(scene, str(act.text), act.seconds, scene.seed, scene.state.segments[:at])
    state = insert_segments(scene.state, at, [segment])
    text = f"Segment {at + 1} is now: {_about(segment)}, from {state.spans[at][0] / FPS:g} s on."
    return ActResult(state, _note_missing(text, segment))


@performs("replace")
def replace_segment(scene: ActContext, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    old = scene.state.segments[at]
    seconds = old.motion.seconds if old.fixed else None
    segment = new_segment(scene, str(act.text), seconds, scene.seed, scene.state.segments[:at])
    loops_of_one = segments.without_loops(scene.state, at).loops
    segment = replace(segment, activity=old.activity, loops=tuple(x for x in old.loops if x not in loops_of_one))
    text = _note_missing(f"Segment {at + 1} is now: {_about(segment)}.", segment)
    return ActResult(with_segment(scene.state, at, segment), text)


@performs("edit")
def edit(scene: ActContext, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    old = scene.state.segments[at]
    if act.text is None:
        change = change_caption(old.caption, str(act.change))
    else:
        mirrored = act.text != old.caption and act.text == mirror_text(old.caption)
        change = Change(act.text, mirror=mirrored, remake=not mirrored)
    if not change.remake:
        if change.length != 1 or change.seconds:
            return _lengthen_segment(scene, at, old.motion.seconds * change.length + change.seconds)
        new = segments.faster(segments.mirror_segment(old) if change.mirror else old, change.tempo)
        how = "mirrored" if change.mirror else f"at {change.tempo:g} times the speed"
        return ActResult(with_segment(scene.state, at, new), f"Segment {at + 1}, {how}: {_about(new)}.")
    if old.kind != "made":
        raise UserError(
            f"segment {at + 1} was not made from a caption, so it cannot be made {act.change}; "
            "accepted: mirror, speed, length, replace, or a text to continue it"
        )
    new = remade(scene, at, change.caption, old.motion.seconds if old.fixed else None, scene.seed)
    new = segments.faster(new, change.tempo)
    how = " is now" if act.text else f", {act.change}"
    return ActResult(with_segment(scene.state, at, new), _note_missing(f"Segment {at + 1}{how}: {_about(new)}.", new))


def _lengthen_segment(scene: ActContext, at: int, seconds: float) -> ActResult:
    old = scene.state.segments[at]
    before = duration(old.motion.seconds)
    if seconds < MIN_SECONDS:
        raise UserError(f"segment {at + 1} lasts {before}; accepted: what leaves at least {MIN_SECONDS:g} s of it")
    new = segments.set_length(scene, old, round(seconds * FPS) / FPS)
    text = f"Segment {at + 1} lasts {duration(new.motion.seconds)}, it was {before}."
    return ActResult(with_segment(scene.state, at, new), text)


@performs("again")
def again(scene: ActContext, act: Act) -> ActResult:
    state = scene.state
    open_ = bool(state.takes) and (act.segment is None or act.segment - 1 == state.chosen)
    at = state.chosen if open_ else state.index(act.segment)
    old = state.segments[at]
    if old.kind != "made" or old.caption == CONTINUES:
        raise UserError(f"segment {at + 1} has no caption to make another take of; accepted: segments made from words")
    takes = state.takes if open_ else (old,)
    if len(takes) >= MAX_TAKES:
        raise UserError(f"there are {len(takes)} takes already; keep one of a to {TAKE_LETTERS[len(takes) - 1]}")
    new = remade(scene, at, old.caption, old.motion.seconds if old.fixed else None, scene.seed)
    takes = (*takes, new)
    new_state = replace(with_segment(state, at, new), takes=takes, chosen=at)
    letter = TAKE_LETTERS[len(takes) - 1]
    letters = "a or b" if len(takes) == 2 else f"a to {letter}"
    text = _note_missing(f"Take {letter} of segment {at + 1}: {_about(new)}.", new)
    return ActResult(new_state, f"{text} Keep {letters}? Take {letter} is in place.")


@performs("keep")
def keep(scene: ActContext, act: Act) -> ActResult:
    takes, at = scene.state.takes, scene.state.chosen
    if not takes:
        raise UserError("there are no takes to choose among; say: another take")
    number = TAKE_LETTERS.find(str(act.choice))
    if not 0 <= number < len(takes):
        raise UserError(f"there is no take {act.choice}; accepted a to {TAKE_LETTERS[len(takes) - 1]}")
    return ActResult(with_segment(scene.state, at, takes[number]), f"Kept take {act.choice} of segment {at + 1}.")


@performs("load")
def load(scene: ActContext, act: Act) -> ActResult:
    from avatargpt import export

    path = find_file(scene, str(act.file))
    motion = export.load(path)
    try:
        # a file is played whole: a path that begins where the body stands must not lose its beginning
        segment = segment_of(motion.caption or f"the motion in {path.name}", motion, 0, True, "file")
    except UserError as e:
        raise UserError(f"{path.name}: {e}") from None
    count = len(scene.state.segments)
    state = replace(insert_segments(scene.state, count, [segment]), files=(*scene.state.files, str(path))[-20:])
    where = f" as segment {count + 1}" if count else ""
    return ActResult(state, f"Loaded {path.name}{where}: {duration(segment.motion.seconds)}.")


@performs("plan")
def plan(scene: ActContext, act: Act) -> ActResult:
    """Every step of the plan becomes a segment, handed out as soon as it is finished; what stands stays."""
    state = scene.state
    at = len(state.segments) if act.at is None else state.index(act.at)
    planner = scene.planner()
    if isinstance(planner, CheckedPlanner) and scene.maker.verifier is not None:
        planner = planner.drop_notes()  # each segment is judged itself
    planned = planner.plan(str(act.scene), act.activities, seed=scene.seed, seconds=act.seconds)
    rows = [(a.task.rstrip(" ."), a.steps, a.seconds or [None] * len(a.steps)) for a in planned.activities]
    steps = [(task, *step) for task, words, lengths in rows for step in zip(words, lengths, strict=True)]
    if len(state.segments) + len(steps) > MAX_SEGMENTS:
        raise UserError(
            f"{len(steps)} steps after {len(state.segments)} segments; accepted at most {MAX_SEGMENTS} in all"
        )
    new: list[Segment] = []
    for k, (task, step, seconds) in enumerate(steps):
        present = (*state.segments[:at], *new)
        try:
            segment = new_segment(scene, as_caption(step), seconds, mix(scene.seed, k), present)
            new.append(replace(segment, activity=task))
            if scene.progress:
                scene.progress(k + 1, len(steps))
            if scene.on_segment:
                scene.on_segment(insert_segments(state, at, new), at + k + 1)
        except OutOfTime as e:
            if not new:
                raise
            planned = replace(planned, notes=(*planned.notes, f"{len(new)} of {len(steps)} steps: {e}."))
            break
    state = insert_segments(state, at, new)
    which = f"Segment {at + 1} is" if len(new) == 1 else f"Segments {at + 1} to {at + len(new)} are"
    length = duration(sum(b - a for a, b in state.spans[at : at + len(new)]) / FPS)
    text = f"{which} {planned.scene} ({length}, {planned.planner}):\n{plan_lines(state, at, at + len(new))}"
    return ActResult(state, "\n".join([text, *planned.notes]))
