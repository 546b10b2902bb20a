"""`Span`, the frames of a step with what it came to, and the timeline of all of them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True)
class Span:
    """Frames [start, end) of one step."""

    start: int
    end: int
    activity: int  # number of the activity, from 0
    task: str  # its text
    step: int  # number of the step within it, from 0
    text: str  # as planned
    caption: str  # that it was generated from, clauses joined by "then"
    transition: int = 0  # number of frames at the start that are a transition from the step before
    described: str = ""  # the model's description of the frames; empty until the activity is over
    note: str = ""  # other words or another action shown in its place, or that it may not look as it reads; else empty
    # shown, partly or not, by the text-motion scorer and, where a check is known, by geometry; empty = not judged
    verdict: str = ""
    takes: int = 1  # how often its clauses were made, the most
    posture: str = ""  # at its end, one of `instruct_data.attributes.POSTURES`
    hand: str = ""  # that acts: left, right, both, or empty
    # x, z, facing: at its end, metres and degrees, positive = to the left; all begins at the origin and faces +Z
    x: float = 0.0
    z: float = 0.0
    facing: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The span of a line. Raises ValueError, TypeError or RecursionError for a damaged one."""
        span = cls(**json.loads(line))
        if not all(type(getattr(span, f.name)) is f.type for f in fields(cls)) or not 0 <= span.start <= span.end:
            raise ValueError(f"a step from frame {span.start} to {span.end}")
        json.dumps(span.to_json(), ensure_ascii=False).encode()  # halves of characters cannot be written again
        return span


def timeline(scene: str, fps: float, frames: int, spans: Iterable[Span], about: dict[str, Any]) -> dict[str, Any]:
    """The timeline as JSON: activities in order, each with its steps, spans cut at `frames`."""
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
        if span.verdict:
            activities[-1]["steps"][-1]["outcome"] = {
                "verdict": span.verdict, "takes": span.takes, "posture": span.posture, "hand": span.hand,
                "place": [span.x, span.z], "facing": span.facing,
            }  # fmt: skip
    return {"scene": scene, "fps": fps, "frames": frames, **about, "activities": activities}
