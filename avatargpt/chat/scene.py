"""The context and the result of an act, the table of the functions that do acts, and words and pictures about both."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from avatargpt.chat.maker import MotionMaker
from avatargpt.chat.timeline import FPS, MAX_SEGMENTS, Timeline
from avatargpt.chat.turn_text import simplify_paths
from avatargpt.planning.types import Planner
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError
from vqvae.io.files import real_path
from vqvae.motion import Motion

Progress = Callable[[int, int], object] | None
OnSegment = Callable[[Timeline, int], object] | None
OnDraft = Callable[[Timeline], object] | None


@dataclass
class ActContext:
    """The context of an act."""

    model: Any  # an `avatargpt.AvatarGPT`, or anything with its methods
    maker: MotionMaker  # of motions
    planner: Callable[[], Planner]  # gives the planner when it is first needed
    outputs: Path  # folder that names of files are relative to
    previews: Path  # folder of pictures and films for viewing
    state: Timeline  # the timeline
    seed: int  # of this act
    request: str  # the turn in the user's own words
    saved: str = ""  # name of the last written file, relative to the outputs, may be empty
    progress: Progress = None  # called with (done, total) during long work
    bounded: bool = False  # nothing is written outside of the outputs
    served: bool = False  # for a user at another machine: nothing is read outside either, nothing is opened here
    on_segment: OnSegment = None  # called with the timeline so far and the number of its segment that is finished
    on_draft: OnDraft = None  # called with a timeline that ends with a segment as far as it has come
    turns: Sequence[tuple[str, str]] = ()  # what was said before, with the replies

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

    def open_file(self, path: Path) -> bool:
        """Hand a file to the desktop of the user; False where there is none."""
        return not self.served and open_file(path)


@dataclass(frozen=True)
class ActResult:
    """The result of an act."""

    state: Timeline  # the new timeline; the same object when nothing changed
    text: str  # one or two sentences
    motion: Motion | None = None  # that the act was about, None = the whole where it was changed, else none
    files: tuple[Path, ...] = field(default=())  # that were written


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


def find_file(scene: ActContext, name: str) -> Path:
    """The path of a name: as typed, or relative to the outputs; of a pack with the named animation.

    Raises:
        UserError: no such file. A folder or a pipe is returned: its reader reports it.
    """
    from avatargpt import export

    typed = simplify_paths(scene.request)[1].get(name.lower(), name)
    file, animation = export.split_animation_name(typed)
    path = file if scene.served else file.expanduser()
    for candidate in (scene.outputs / path,) if scene.served else (path, scene.outputs / path):
        inside = real_path(candidate).is_relative_to(real_path(scene.outputs))
        if (inside or not scene.served) and candidate.exists():
            return candidate if animation is None else Path(f"{candidate}#{animation}")
    raise UserError(f"{typed}: no such file")


def activities_of(state: Timeline) -> list[tuple[str, int, int]]:
    """Name, first and last index of each activity that stands; without a name what no plan made."""
    runs = groupby(enumerate(state.segments), key=lambda row: row[1].activity)
    rows = [(activity, [i for i, _ in run]) for activity, run in runs]
    return [(activity, numbers[0], numbers[-1]) for activity, numbers in rows]


def plan_lines(state: Timeline, start: int = 0, end: int = MAX_SEGMENTS) -> str:
    """The activities that begin among segments `start` to `end` (indices), with their segments."""
    lines = []
    for activity, first, last in activities_of(state):
        if not start <= first < end:
            continue
        which = f"{first + 1}" if first == last else f"{first + 1} to {last + 1}"
        if activity:
            lines.append(f"  {activity} (segment{'' if first == last else 's'} {which})")
        lines += [f"{'    ' if activity else '  '}{n + 1}. {s.caption}{f'  [{s.note}]' * bool(s.note)}"
                  for n, s in enumerate(state.segments[first : last + 1], first)]  # fmt: skip
    return "\n".join(lines)


Action = Callable[[ActContext, Act], ActResult]
_ACTIONS: dict[str, Action] = {}
_SPANNING: set[str] = set()  # acts that take a span of time as it is


def performs(*names: str, spans: bool = False) -> Callable[[Action], Action]:
    """Register a function for these acts; `spans`: it does what an act does to a span of time, too."""

    def register(function: Action) -> Action:
        _ACTIONS.update(dict.fromkeys(names, function))
        _SPANNING.update(names if spans else ())
        return function

    return register


def perform(scene: ActContext, act: Act) -> ActResult:
    """Do one act, all but undo and redo; raises UserError, with nothing changed, where it cannot be done."""
    if act.do not in _ACTIONS:
        raise UserError(f"nobody does {act.do}; accepted: {', '.join(sorted(_ACTIONS))}")
    if (act.start is None and act.end is None) or act.do in _SPANNING:
        return _ACTIONS[act.do](scene, act)
    return _perform_between(scene, act)


def _perform_between(scene: ActContext, act: Act) -> ActResult:
    """An act on a span of time: segments are divided at its ends, and those within get it."""
    start, end = act.start or 0.0, scene.state.seconds if act.end is None else act.end
    state = divide_timeline(divide_timeline(scene.state, start), end)
    inside = [n for n, (a, b) in enumerate(state.spans, 1) if a >= round(start * FPS) and b <= round(end * FPS)]
    if not inside:
        raise UserError(f"nothing from {start:g} to {end:g} s; all of it lasts {duration(scene.state.seconds)}")
    seconds = float(act.seconds or 0) / len(inside) if act.do == "retime" else act.seconds
    lines, result = [], ActResult(state, "")
    for n in reversed(inside) if act.do == "delete" else inside:
        one = replace(act, start=None, end=None, segment=n, seconds=seconds)
        result = _ACTIONS[act.do](replace(scene, state=result.state), one)
        lines.append(result.text)
    if act.do == "delete" and (left := result.state).segments:
        text = f"Cut out {start:g} to {end:g} s; {duration(left.seconds)} are left."
        return replace(result, state=_follow_cut(left, inside[0] - 1, scene.state), text=text)
    return replace(result, text="\n".join(lines))


def _follow_cut(state: Timeline, at: int, before: Timeline) -> Timeline:
    """The timeline where what a cut left of a segment `at` (index) follows on the one before, and is not made again."""
    if not 0 < at < len(state.segments) or any(state.segments[at] is s for s in before.segments):
        return state
    segments = list(state.segments)
    segments[at] = replace(segments[at], follows=segments[at - 1].key)
    return replace(state, segments=tuple(segments))


def divide_timeline(state: Timeline, second: float) -> Timeline:
    """A timeline whose segment at a second is two, one until then and one from then on."""
    frame = round(second * FPS)
    at = next((i for i, (a, b) in enumerate(state.spans) if a < frame < b), None)
    if at is None:
        return state
    segment, (start, end) = state.segments[at], state.spans[at]
    if state.rounds[at] > 1:
        raise UserError(f"second {second:g} is within a loop; accepted: segments, or seconds outside of loops")
    cut = round((frame - start) * len(segment.motion) / (end - start))
    if not 2 <= cut <= len(segment.motion) - 2:
        return state
    parts = segment.divide(cut)
    return state.replace_segments([*state.segments[:at], *parts, *state.segments[at + 1 :]], at)


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
