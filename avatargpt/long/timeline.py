"""Which frames belong to which activity and step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Span:
    """Frames [start, end) of one step.

    Attributes:
        activity: number of the activity, from 0. task: its text.
        step: number of the step within it, from 0. text: as planned.
        caption: the plain words it was generated from, clauses joined by "then".
        transition: how many of the frames, at the start, lead over from what came before.
        described: what the model's motion-to-text says of the frames; empty until the activity is over.
        note: what was shown in place of the step, or that it may not look as it reads; else empty.
    """

    start: int
    end: int
    activity: int
    task: str
    step: int
    text: str
    caption: str
    transition: int = 0
    described: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def timeline(scene: str, fps: float, frames: int, spans: Iterable[Span], about: dict[str, Any]) -> dict[str, Any]:
    """The timeline as JSON: activities in order, each with its steps, spans cut at `frames`.

    Args:
        about: further keys of the head (seed, planner, ...).
    """
    activities: list[dict[str, Any]] = []
    for span in spans:
        if span.start >= frames:
            break
        if not activities or activities[-1]["number"] != span.activity:
            activities.append({"number": span.activity, "task": span.task, "start": span.start, "steps": []})
        end = min(span.end, frames)
        activities[-1]["end"] = end
        activities[-1]["steps"].append({
            "text": span.text, "caption": span.caption, "described": span.described, "start": span.start, "end": end,
            "transition": min(span.transition, end - span.start), **({"note": span.note} if span.note else {}),
        })  # fmt: skip
    return {"scene": scene, "fps": fps, "frames": frames, **about, "activities": activities}
