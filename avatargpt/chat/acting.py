"""Doing acts: what every act needs, what it gives back, and the table of functions that do them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.chat.timeline import Segment, Timeline
from avatargpt.requests import mix
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.planning.types import Planner
    from vqvae.motion import Motion

Progress = Callable[[int, int], object] | None


@dataclass
class Scene:
    """What an act is done with.

    Attributes:
        model: an `avatargpt.AvatarGPT`, or anything with its methods.
        planner: gives the planner when it is first needed.
        outputs: folder that names of files are relative to. previews: where pictures and films for looking at go.
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


Doer = Callable[[Scene, Act], Done]
_DOERS: dict[str, Doer] = {}


def does(*names: str) -> Callable[[Doer], Doer]:
    """Register a function as what does these acts."""

    def register(function: Doer) -> Doer:
        _DOERS.update(dict.fromkeys(names, function))
        return function

    return register


def perform(scene: Scene, act: Act) -> Done:
    """Do one act (all but undo and redo, which are the conversation's own).

    Raises:
        UserError: it cannot be done; nothing has changed then.
    """
    from avatargpt.chat import answering, arranging, filing, making

    assert making and arranging and answering and filing  # they fill the table
    if act.do not in _DOERS:
        raise UserError(f"nobody does {act.do}; accepted: {', '.join(sorted(_DOERS))}")
    return _DOERS[act.do](scene, act)


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
