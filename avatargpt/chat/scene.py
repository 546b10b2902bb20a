"""The context and the result of an act, the table of the functions that do acts, and the acts that make motion."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

from avatargpt.body.stitch import retimed
from avatargpt.chat.timeline import FPS, MAX_SEGMENTS, MAX_TAKES, Segment, Timeline, segment_of
from avatargpt.chat.turn_text import CONTINUES, as_caption, changed, simplified
from avatargpt.options import mix
from avatargpt.planning.types import Activity, Plan, Planner
from instruct_data.dialogue.acts import MIN_SECONDS, TAKE_LETTERS, Act
from instruct_data.text.english import mirror_text
from vqvae.errors import UserError
from vqvae.motion import Motion

Progress = Callable[[int, int], object] | None


@dataclass
class Scene:
    """The context of an act."""

    model: Any  # an `avatargpt.AvatarGPT`, or anything with its methods
    planner: Callable[[], Planner]  # gives the planner when it is first needed
    outputs: Path  # folder that names of files are relative to
    previews: Path  # folder of pictures and films for viewing
    state: Timeline  # the timeline
    seed: int  # of this act
    request: str  # the turn in the user's own words
    saved: str = ""  # name of the last written file, relative to the outputs, may be empty
    progress: Progress = None  # called with (done, total) during long work
    bounded: bool = False  # nothing is written outside of the outputs

    def within(self, path: Path, folder: Path | None = None) -> Path:
        """The path, if it is within the outputs or another folder (where these are bounded); raises UserError else."""
        folder = self.outputs if folder is None else folder
        try:
            inside = path.resolve().is_relative_to(folder.resolve())
        except (OSError, RuntimeError):  # links in a circle
            inside = False
        if self.bounded and not inside:
            raise UserError(f"{path}: outside of the outputs; accepted names within {folder}")
        return path

    def preview(self, name: str) -> Path:
        """The path of a picture for viewing; raises as `within`."""
        return self.within(self.previews / name, None if self.previews.is_relative_to(self.outputs) else self.previews)

    def generate(self, caption: str, seconds: float | None, seed: int, after: Segment | None = None) -> Motion:
        """The model's motion for a caption, which goes on from a segment."""
        before = None if after is None else after.motion
        motions: list[Motion] = self.model.generate([caption], seconds=seconds, seed=seed, after=before)
        return motions[0]


@dataclass(frozen=True)
class ActResult:
    """The result of an act."""

    state: Timeline  # the new timeline; the same object when nothing changed
    text: str  # one or two sentences
    motion: Motion | None = None  # that the act was about, if any
    files: tuple[Path, ...] = field(default=())  # that were written


def with_segment(state: Timeline, at: int, segment: Segment) -> Timeline:
    """Segment `at` exchanged."""
    segments = list(state.segments)
    segments[at] = segment
    return state.replaced(segments, at)


def inserted(state: Timeline, at: int, new: Sequence[Segment]) -> Timeline:
    """Segments put in before index `at`; between two of one loop or activity they become part of it."""
    segments = state.segments
    loops: tuple[tuple[int, int], ...] = ()
    activity = ""
    if 0 < at < len(segments):
        a, b = segments[at - 1], segments[at]
        loops = tuple(x for x, y in takewhile(lambda xy: xy[0] == xy[1], zip(a.loops, b.loops, strict=False)))
        activity = a.activity if a.activity == b.activity else ""
    put = [replace(s, loops=(*loops, *s.loops), activity=s.activity or activity) for s in new]
    return state.replaced([*segments[:at], *put, *segments[at:]], at + len(put) - 1)


def without_loops(state: Timeline, at: int) -> Segment:
    """Segment `at` with those loops that it alone is in."""
    segment = state.segments[at]
    others = {n for i, s in enumerate(state.segments) if i != at for n, _ in s.loops}
    return replace(segment, loops=tuple(x for x in segment.loops if x[0] not in others))


def short(caption: str) -> str:
    """A caption within a sentence."""
    words = caption.removeprefix("a person ").split()
    return " ".join(words[:14]) + ("..." if len(words) > 14 else "")


def duration(seconds: float) -> str:
    """``3.5 s``, ``2 min 5 s``."""
    if seconds < 120:
        return f"{seconds:.4g} s" if seconds == round(seconds, 2) else f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    return f"{minutes} min {left} s" if left else f"{minutes} min"


def find_file(scene: Scene, name: str) -> Path:
    """The path of a name: as typed, or relative to the outputs; of a pack with the named animation.

    Raises:
        UserError: no such file. A folder or a pipe is returned: its reader reports it.
    """
    from avatargpt import export

    typed = simplified(scene.request)[1].get(name.lower(), name)
    file, animation = export.named_animation(typed)
    path = file.expanduser()
    for candidate in (path, scene.outputs / path):
        if candidate.exists():
            return candidate if animation is None else Path(f"{candidate}#{animation}")
    raise UserError(f"{typed}: no such file")


def activities_of(state: Timeline) -> list[tuple[str, int, int]]:
    """Name, first and last index of each activity that stands."""
    runs = groupby(enumerate(state.segments), key=lambda row: row[1].activity)
    rows = [(activity, [i for i, _ in run]) for activity, run in runs if activity]
    return [(activity, numbers[0], numbers[-1]) for activity, numbers in rows]


def plan_lines(state: Timeline, start: int = 0, end: int = MAX_SEGMENTS) -> str:
    """The activities that begin among segments `start` to `end` (indices), with their segments."""
    lines = []
    for activity, first, last in activities_of(state):
        if not start <= first < end:
            continue
        which = f"{first + 1}" if first == last else f"{first + 1} to {last + 1}"
        lines.append(f"  {activity} (segment{'' if first == last else 's'} {which})")
        lines += [f"    {n + 1}. {state.segments[n].caption}" for n in range(first, last + 1)]
    return "\n".join(lines)


Action = Callable[[Scene, Act], ActResult]
_ACTIONS: dict[str, Action] = {}


def performs(*names: str) -> Callable[[Action], Action]:
    """Register a function for these acts."""

    def register(function: Action) -> Action:
        _ACTIONS.update(dict.fromkeys(names, function))
        return function

    return register


def perform(scene: Scene, act: Act) -> ActResult:
    """Do one act, all but undo and redo; raises UserError, with nothing changed, where it cannot be done."""
    if act.do not in _ACTIONS:
        raise UserError(f"nobody does {act.do}; accepted: {', '.join(sorted(_ACTIONS))}")
    return _ACTIONS[act.do](scene, act)


SHEET_ROWS = 12
TURN_PICTURE = "turn.png"  # the picture of a turn, among the previews


def desktop() -> bool:
    """Whether a picture can be opened in a window."""
    if sys.platform in ("darwin", "win32"):
        return not os.environ.get("SSH_CONNECTION")
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) and bool(shutil.which("xdg-open"))


def open_file(path: Path) -> bool:
    """Hand a file to the desktop and go on at once; False where there is none."""
    if not desktop():
        return False
    if sys.platform == "win32":
        os.startfile(path)
        return True
    command = "open" if sys.platform == "darwin" else "xdg-open"
    subprocess.Popen(
        [command, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    return True


def sheet(state: Timeline, path: Path) -> Path:
    """One row of poses per segment, the last `SHEET_ROWS` of them, as a PNG; raises UserError where it cannot."""
    from avatargpt.export import contact_sheet

    motion = state.motion
    rows = list(enumerate(zip(state.segments, state.spans, strict=True), 1))[-SHEET_ROWS:]
    clips = [motion.slice(a, b) for _, (_, (a, b)) in rows]
    captions = [f"{n}  {s.caption}  ({a / FPS:.1f} s)" for n, (s, (a, _)) in rows]
    contact_sheet(clips, captions, path)
    return path


CHUNK_SECONDS = 600.0  # the most that one call makes
# within this the same movement is stretched; beyond, it is made anew at that length
STRETCH_RANGE = (0.75, 1.35)
# a movement that cannot be made anew is stretched at most so much
MAX_STRETCH = 5.0
MORE_SECONDS = 4.0  # of a continuation that names no length


def new_segment(
    scene: Scene, caption: str, seconds: float | None, seed: int, after: Segment | None = None
) -> Segment:
    """A segment that the model makes of a caption, going on from the posture in which another one ends."""
    if seconds is not None and seconds > CHUNK_SECONDS:
        raise UserError(f"{seconds:g} seconds in one segment; accepted at most {CHUNK_SECONDS:g}")
    motion = scene.generate(caption, seconds, seed, after)
    segment = segment_of(caption, motion, seed, seconds is not None)
    return replace(segment, follows="" if after is None else after.key, note="; ".join(motion.notes))


def before_index(state: Timeline, at: int) -> Segment | None:
    """The segment before index `at`."""
    return state.segments[at - 1] if at else None


def mirrored(segment: Segment) -> Segment:
    """The same movement with its sides exchanged, in the caption, too."""
    motion = segment.motion.mirrored().canonical()
    caption = mirror_text(segment.caption)
    if caption != segment.caption and segment.kind == "made":
        return replace(segment, motion=motion, caption=caption)
    return replace(segment, motion=motion, caption=caption, mirrored=not segment.mirrored)


def lasting(scene: Scene, segment: Segment, seconds: float) -> Segment:
    """A segment of another length: stretched, or generated again where that would show."""
    ratio = seconds / segment.motion.seconds
    if STRETCH_RANGE[0] <= ratio <= STRETCH_RANGE[1]:
        return segment.lasting(seconds)
    if segment.kind == "made" and segment.caption != CONTINUES:
        at = next(i for i, s in enumerate(scene.state.segments) if s is segment)
        return remade(scene, at, segment.caption, seconds, segment.seed)
    if not 1 / MAX_STRETCH <= ratio <= MAX_STRETCH:
        raise UserError(
            f"{duration(segment.motion.seconds)} from a file or a continuation cannot become "
            f"{duration(seconds)}; accepted up to {MAX_STRETCH:g} times longer or shorter"
        )
    return segment.lasting(seconds)


def remade(scene: Scene, at: int, caption: str, seconds: float | None, seed: int) -> Segment:
    """Segment `at` generated again, `seconds` as shown, with name, loops, speed and sides of the former one."""
    old = scene.state.segments[at]
    base = seconds * old.tempo if seconds is not None and old.tempo != 1 else seconds
    new = new_segment(scene, caption, base, seed, before_index(scene.state, at))
    new = replace(new, name=old.name, activity=old.activity, loops=old.loops)
    if old.mirrored:
        new = replace(new, motion=new.motion.mirrored().canonical(), mirrored=True)
    new = faster(new, old.tempo)
    return new if seconds is None else new.lasting(seconds)


def faster(segment: Segment, factor: float) -> Segment:
    """The same movement at `factor` times the speed."""
    if factor == 1.0:
        return segment
    frames = round(len(segment.motion) / factor)
    if frames < 4:
        raise UserError(f"{factor:g} times as fast leaves {frames} frames; accepted: slower, or a longer motion")
    return replace(segment, motion=retimed(segment.motion, frames), tempo=segment.tempo * factor)


def _about(segment: Segment) -> str:
    return f"{short(segment.caption)} ({duration(segment.motion.seconds)})"


@performs("make")
def make(scene: Scene, act: Act) -> ActResult:
    segment = new_segment(scene, str(act.text), act.seconds, scene.seed)
    state = Timeline(files=scene.state.files).replaced([segment])
    return ActResult(state, f"Made: {_about(segment)}.", state.motion)


@performs("then")
def then(scene: Scene, act: Act) -> ActResult:
    before = scene.state.segments
    if act.text == CONTINUES:
        segment = _continued(scene, act)
    else:
        segment = new_segment(scene, str(act.text), act.seconds, scene.seed, before[-1] if before else None)
    state = inserted(scene.state, len(before), [segment])
    return ActResult(state, f"Segment {len(before) + 1}: {_about(segment)}.", state.motion)


def _continued(scene: Scene, act: Act) -> Segment:
    """The model's continuation of the motion, without words."""
    seconds = act.seconds or MORE_SECONDS
    last = scene.state.segments[scene.state.index(len(scene.state.segments))]
    longer: Motion = scene.model.extend(last.motion, seconds, seed=scene.seed)
    new = longer.slice(len(longer) - round(seconds * FPS), len(longer))
    # its beginning follows exactly on the end: a fixed length keeps the seam uncut
    return replace(segment_of(CONTINUES, new, scene.seed, True), follows=last.key)


@performs("before")
def before(scene: Scene, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    segment = new_segment(scene, str(act.text), act.seconds, scene.seed, before_index(scene.state, at))
    state = inserted(scene.state, at, [segment])
    return ActResult(state, f"Segment {at + 1} is now: {_about(segment)}.", state.motion)


@performs("replace")
def replace_segment(scene: Scene, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    old = scene.state.segments[at]
    seconds = old.motion.seconds if old.fixed else None
    segment = new_segment(scene, str(act.text), seconds, scene.seed, before_index(scene.state, at))
    own = without_loops(scene.state, at).loops
    segment = replace(segment, activity=old.activity, loops=tuple(x for x in old.loops if x not in own))
    return _with(scene, at, segment, f"Segment {at + 1} is now: {_about(segment)}.")


def _with(scene: Scene, at: int, segment: Segment, text: str) -> ActResult:
    state = with_segment(scene.state, at, segment)
    return ActResult(state, text, state.motion)


@performs("edit")
def edit(scene: Scene, act: Act) -> ActResult:
    at = scene.state.index(act.segment)
    old = scene.state.segments[at]
    index = getattr(scene.model, "phrase_index", None)
    parts = index.reader.read_turn(str(act.change)) if index is not None and index.reader is not None else ()
    change = changed(old.caption, str(act.change), parts)
    if not change.remake:
        if change.length != 1 or change.seconds:
            return _lengthened(scene, at, old.motion.seconds * change.length + change.seconds)
        new = faster(mirrored(old) if change.mirror else old, change.tempo)
        how = "mirrored" if change.mirror else f"at {change.tempo:g} times the speed"
        return _with(scene, at, new, f"Segment {at + 1}, {how}: {_about(new)}.")
    if old.kind != "made":
        raise UserError(
            f"segment {at + 1} was not made from a caption, so it cannot be made {act.change}; "
            "accepted: mirror, speed, length, replace, or a text to continue it"
        )
    new = remade(scene, at, change.caption, old.motion.seconds if old.fixed else None, scene.seed)
    new = faster(new, change.tempo)
    return _with(scene, at, new, f"Segment {at + 1}, {act.change}: {_about(new)}.")


def _lengthened(scene: Scene, at: int, seconds: float) -> ActResult:
    old = scene.state.segments[at]
    before = duration(old.motion.seconds)
    if seconds < MIN_SECONDS:
        raise UserError(f"segment {at + 1} lasts {before}; accepted: what leaves at least {MIN_SECONDS:g} s of it")
    new = lasting(scene, old, round(seconds * FPS) / FPS)
    return _with(scene, at, new, f"Segment {at + 1} lasts {duration(new.motion.seconds)}, it was {before}.")


@performs("again")
def again(scene: Scene, act: Act) -> ActResult:
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
    text = f"Take {letter} of segment {at + 1}: {_about(new)}. Keep {letters}? Take {letter} is in place."
    return ActResult(new_state, text, new_state.motion)


@performs("keep")
def keep(scene: Scene, act: Act) -> ActResult:
    takes, at = scene.state.takes, scene.state.chosen
    if not takes:
        raise UserError("there are no takes to choose among; say: another take")
    number = TAKE_LETTERS.find(str(act.choice))
    if not 0 <= number < len(takes):
        raise UserError(f"there is no take {act.choice}; accepted a to {TAKE_LETTERS[len(takes) - 1]}")
    return _with(scene, at, takes[number], f"Kept take {act.choice} of segment {at + 1}.")


@performs("load")
def load(scene: Scene, act: Act) -> ActResult:
    from avatargpt import export

    path = find_file(scene, str(act.file))
    motion = export.load(path)
    try:
        segment = segment_of(motion.caption or f"the motion in {path.name}", motion, 0, False, "file")
    except UserError as e:
        raise UserError(f"{path.name}: {e}") from None
    count = len(scene.state.segments)
    state = replace(inserted(scene.state, count, [segment]), files=(*scene.state.files, str(path))[-20:])
    where = f" as segment {count + 1}" if count else ""
    return ActResult(state, f"Loaded {path.name}{where}: {duration(segment.motion.seconds)}.", state.motion)


@performs("plan")
def plan(scene: Scene, act: Act) -> ActResult:
    """Every step of the plan becomes a segment; what stands stays."""
    state = scene.state
    at = len(state.segments) if act.at is None else state.index(act.at)
    planned = _planned(scene, act)
    steps = [(a.task, step, seconds) for a in planned.activities for step, seconds in _timed(a, planned, act.seconds)]
    if len(state.segments) + len(steps) > MAX_SEGMENTS:
        raise UserError(
            f"{len(steps)} steps after {len(state.segments)} segments; accepted at most {MAX_SEGMENTS} in all"
        )
    new: list[Segment] = []
    for k, (task, step, seconds) in enumerate(steps):
        last = new[-1] if new else before_index(state, at)
        segment = new_segment(scene, as_caption(step), seconds, mix(scene.seed, k), last)
        new.append(replace(segment, activity=task))
        if scene.progress:
            scene.progress(k + 1, len(steps))
    state = inserted(state, at, new)
    which = f"Segment {at + 1} is" if len(new) == 1 else f"Segments {at + 1} to {at + len(new)} are"
    length = duration(sum(b - a for a, b in state.spans[at : at + len(new)]) / FPS)
    text = f"{which} {planned.scene} ({length}, {planned.planner}):\n{plan_lines(state, at, at + len(new))}"
    return ActResult(state, "\n".join([text, *planned.notes]), state.motion)


def _planned(scene: Scene, act: Act) -> Plan:
    """The planner's plan of as many activities and seconds as are asked for."""
    asked: dict[str, Any] = {} if act.activities is None else {"activities": act.activities}
    return scene.planner().plan(str(act.scene), **asked, seed=scene.seed)


def _timed(activity: Activity, planned: Plan, seconds: float | None) -> Sequence[tuple[str, float | None]]:
    """Steps with their lengths."""
    if activity.seconds:
        return tuple(zip(activity.steps, activity.seconds, strict=True))
    count = sum(len(a.steps) for a in planned.activities)
    return [(step, None if seconds is None else round(seconds / count * FPS) / FPS) for step in activity.steps]
