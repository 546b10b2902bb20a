"""Scores of a face on the command line: printed as they were read, and taken back after they were edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.cli.common import say, warn
from avatargpt.options import is_text
from vqvae.errors import UserError

if TYPE_CHECKING:
    from instruct_data.face.score import Score

MAX_BYTES = 8 << 20
_FORMS = "a score, a list of scores, or what --json printed"
_SCORE_FIELDS = {"text": str, "kind": str, "length": float, "events": list, "emotion": list, "id": str}
_EVENT_FIELDS = {"action": str, "start": float, "duration": float, "intensity": float, "repeat": int, "rise": float}
_EMOTION_FIELDS = {"name": str, "intensity": float, "start": float, "end": float, "to": float}
_TYPE_NAMES = {str: "text", float: "a number", int: "a whole number", list: "a list"}


def read_scores(path: Path) -> tuple[list[Score], bool]:
    """Scores of a JSON file, and whether they are several: one, a list, or a document of ``avatargpt face --json``."""
    from instruct_data.face.score import parse_score
    from vqvae.io.data_files import read_json

    value = read_json(path, MAX_BYTES, f"accepted {_FORMS}")
    if isinstance(value, dict) and isinstance(value.get("score"), dict):  # the document of a live run
        value = value["score"]
    many = isinstance(value, list)
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        value = [result.get("score") if isinstance(result, dict) else None for result in value["results"]]
        many = len(value) > 1
    rows: list[Any] = value if isinstance(value, list) else [value]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--score {path}: accepted {_FORMS}")
    scores = []
    for i, row in enumerate(rows, 1):
        where = f"--score {path}: score {i}"
        _check_fields(row, _SCORE_FIELDS, {"length"}, where)
        for k, event in enumerate(row.get("events", ()), 1):
            _check_fields(event, _EVENT_FIELDS, {"action", "start", "duration"}, f"{where}: event {k}")
        for k, emotion in enumerate(row.get("emotion", ()), 1):
            _check_fields(emotion, _EMOTION_FIELDS, {*_EMOTION_FIELDS} - {"to"}, f"{where}: emotion {k}")
        scores.append(parse_score(row, where))
    return scores, many


def _check_fields(row: Any, kinds: dict[str, type], needed: set[str], where: str) -> None:
    """Refuse unknown, missing and mistyped fields of a row edited by hand."""
    if not isinstance(row, dict):
        raise UserError(f"{where}: accepted {{{', '.join(kinds)}}}")
    for name in [*row, *sorted(needed)]:
        if name not in kinds or name not in row:
            raise UserError(f"{where}: {'no' if name in kinds else 'unknown'} {name!r}; accepted {', '.join(kinds)}")
        value, kind = row[name], kinds[name]
        if isinstance(value, str) and not is_text(value):
            raise UserError(f"{where}: {name} {value!r}; accepted UTF-8 text")
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise UserError(f"{where}: {name} {value!r}; accepted {_TYPE_NAMES[kind]}")


def row(score: Score) -> dict[str, Any]:
    """As `read_scores` takes it, times and strengths to the thousandth."""

    def rounded(part: Any) -> Any:
        values = dict(vars(part))
        for name, value in values.items():
            if isinstance(value, float):
                low = 0.001 if name in ("duration", "intensity", "to") else 0.0
                values[name] = max(low, int(value * 1000) / 1000 if name == "start" else round(value, 3))
        if "end" in values:  # of a feeling, which may be shorter than a thousandth
            values["end"] = max(values["end"], round(values["start"] + 0.001, 3))
        return replace(part, **values)

    events, emotions = (tuple(map(rounded, parts)) for parts in (score.events, score.emotions))
    return replace(score, events=events, emotions=emotions).to_json()


def summary(score: Score) -> str:
    """One line: ``blink twice 0.2-1.2 s, smile 1.4-3.2 s at 0.35; joyful 0-4 s at 0.70; 4 s``."""
    from instruct_data.face.score import DEFAULT

    def times(count: int) -> str:
        return "" if count == 1 else " twice" if count == 2 else f" {count} times"

    def at(value: float) -> str:
        return "" if abs(value - DEFAULT) < 0.005 else f" at {value:.2f}"

    def span(start: float, end: float) -> str:
        return f"{round(start, 2):g}-{round(end, 2):g} s"

    events = ", ".join(
        f"{e.action}{times(e.repeat)} {span(e.start, e.end)}{at(e.intensity)}{' slowly' if e.rise else ''}"
        for e in sorted(score.events, key=lambda e: e.start)
    )
    emotions = ", ".join(
        f"{f.name} {span(f.start, f.end)}"
        + (at(f.intensity) if f.to is None else f" from {f.intensity:.2f} to {f.to:.2f}")
        for f in score.emotions
    )
    return "; ".join(part for part in (events, emotions, f"{round(score.length, 2):g} s") if part)


def report(
    scores: Sequence[Score | None], texts: Sequence[str], quiet: bool, doubt: Callable[[str, Score], str]
) -> None:  # fmt: skip
    """Print how instructions were read, and reasons for doubt beside those of `common.warn_unreadable`, on stderr."""
    from avatargpt.requests.english import unreadable

    for score, text in zip(scores, texts, strict=True):
        if score is not None and not quiet:
            which = f"read {text[:60]!r} as" if len(texts) > 1 else "read as"
            say(f"{which}: {summary(score)}", err=True)
        if score is not None and not unreadable(text) and (reason := doubt(text, score)):
            warn(f"{text[:60]!r}: {reason}")
