"""What every act is done with, what it gives back, and what several acts need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.chat.filenames import simplified
from avatargpt.chat.timeline import Segment, Timeline
from avatargpt.options import mix
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.planning.types import Plan, Planner
    from vqvae.motion import Motion

Progress = Callable[[int, int], object] | None


@dataclass
class Scene:
    """What an act is done with.

    Attributes:
        model: an `avatargpt.AvatarGPT`, or anything with its methods.
        planner: gives the planner when it is first needed.
        outputs: folder that names of files are relative to. previews: where pictures and films for looking at go.
        bounded: nothing is written outside of the outputs.
        state: the timeline as it is.
        seed: of this act.
        request: the turn in the user's own words.
        saved: name of the file written last, relative to the outputs, may be empty.
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
        """The path itself, where it may be written: within the outputs, or another folder, if these are bounded.

        Raises:
            UserError: ``..``, a link or another root leads out of the folder.
        """
        folder = self.outputs if folder is None else folder
        try:
            inside = path.resolve().is_relative_to(folder.resolve())
        except (OSError, RuntimeError):  # links in a circle
            inside = False
        if self.bounded and not inside:
            raise UserError(f"{path}: outside of the outputs; accepted names within {folder}")
        return path

    def preview(self, name: str) -> Path:
        """Where a picture for looking at goes.

        Raises:
            UserError: see `within`.
        """
        return self.within(self.previews / name, None if self.previews.is_relative_to(self.outputs) else self.previews)

    def generate(self, caption: str, seconds: float | None, seed: int) -> Motion:
        """The model's motion for a caption."""
        made: list[Motion] = self.model.generate([caption], seconds=seconds, seed=seed)
        return made[0]

    def part(self, k: int) -> int:
        """A seed of its own for part `k` of the act."""
        return mix(self.seed, k) if k else self.seed


@dataclass(frozen=True)
class Done:
    """What came of an act.

    Attributes:
        state: the new timeline; the very object of before when nothing changed.
        said: one or two sentences.
        shown: the motion that the act was about, if any.
        files: that were written.
    """

    state: Timeline
    said: str
    shown: Motion | None = None
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


def said_seconds(seconds: float) -> str:
    """``3.5 s``, ``2 min 5 s``."""
    if seconds < 120:
        return f"{seconds:.4g} s" if seconds == round(seconds, 2) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def find_file(scene: Scene, name: str) -> Path:
    """What a name stands for: as it was typed, relative to the outputs; of a pack with the animation that is named.

    A folder or a pipe of that name is found as well: who reads it says that it is one.

    Raises:
        UserError: there is nothing of that name.
    """
    from avatargpt import export

    typed = simplified(scene.request)[1].get(name.lower(), name)
    file, animation = export.named_animation(typed)
    path = file.expanduser()
    for candidate in (path, scene.outputs / path):
        if candidate.exists():
            return candidate if animation is None else Path(f"{candidate}#{animation}")
    raise UserError(f"{typed}: no such file")


def plan_lines(made: Plan) -> str:
    """A plan as numbered lines."""
    lines = []
    for i, activity in enumerate(made.activities, 1):
        lines.append(f"  {i}. {activity.task}")
        lines += [f"     {i}.{k} {step}" for k, step in enumerate(activity.steps, 1)]
    return "\n".join(lines)
