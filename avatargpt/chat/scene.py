"""The context and the result of an act, and the table of the functions that do acts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.chat.timeline import FPS, Segment, Timeline
from avatargpt.chat.turn_text import simplified
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.planning.types import Plan, Planner
    from vqvae.motion import Motion

Progress = Callable[[int, int], object] | None


@dataclass
class Scene:
    """The context of an act.

    Attributes:
        model: an `avatargpt.AvatarGPT`, or anything with its methods.
        planner: gives the planner when it is first needed.
        outputs: folder that names of files are relative to. previews: folder of pictures and films for viewing.
        bounded: nothing is written outside of the outputs.
        state: the timeline.
        seed: of this act.
        request: the turn in the user's own words.
        saved: name of the last written file, relative to the outputs, may be empty.
        progress: called with (done, total) during long work.
    """

    model: Any
    planner: Callable[[], Planner]
    outputs: Path
    previews: Path
    state: Timeline
    seed: int
    request: str
    saved: str = ""
    progress: Progress = None
    bounded: bool = False

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

    def generate(self, caption: str, seconds: float | None, seed: int) -> Motion:
        """The model's motion for a caption."""
        motions: list[Motion] = self.model.generate([caption], seconds=seconds, seed=seed)
        return motions[0]


@dataclass(frozen=True)
class ActResult:
    """The result of an act.

    Attributes:
        state: the new timeline; the same object when nothing changed.
        text: one or two sentences.
        motion: that the act was about, if any.
        files: that were written.
    """

    state: Timeline
    text: str
    motion: Motion | None = None
    files: tuple[Path, ...] = field(default=())


def with_segment(state: Timeline, at: int, segment: Segment) -> Timeline:
    """Segment `at` exchanged."""
    segments = list(state.segments)
    segments[at] = segment
    return state.replaced(segments)


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


def plan_lines(plan: Plan) -> str:
    """A plan as numbered lines."""
    lines = []
    for i, activity in enumerate(plan.activities, 1):
        lines.append(f"  {i}. {activity.task}")
        lines += [f"     {i}.{k} {step}" for k, step in enumerate(activity.steps, 1)]
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

    motion = state.round
    rows = list(enumerate(zip(state.segments, state.spans, strict=True), 1))[-SHEET_ROWS:]
    clips = [motion.slice(a, b) for _, (_, (a, b)) in rows]
    captions = [f"{n}  {s.caption}  ({a / FPS:.1f} s)" for n, (s, (a, _)) in rows]
    contact_sheet(clips, captions, path)
    return path
