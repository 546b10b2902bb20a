"""Scores on the command line: what an instruction was read as, told and taken back after it was edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.cli.output import say
from avatargpt.options import is_text
from vqvae.errors import UserError
from vqvae.io.data_files import read_json

if TYPE_CHECKING:
    from instruct_data.face.score import Score

MAX_BYTES = 8 << 20
_FORMS = "a score, a list of scores, or what --json printed"


def take(path: Path) -> tuple[list[Score], bool]:
    """Scores of a JSON file, and whether they are several: one, a list, or a document of ``avatargpt face --json``.

    Raises:
        UserError: the file cannot be read, is too large, is not JSON, or holds something else.
    """
    from instruct_data.face.score import parse_score

    value = read_json(path, MAX_BYTES, f"accepted {_FORMS}")
    if isinstance(value, dict) and isinstance(value.get("score"), dict):  # what is printed live
        value = value["score"]
    many = isinstance(value, list)
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        value = [one.get("score") if isinstance(one, dict) else None for one in value["results"]]
        many = len(value) > 1
    rows: list[Any] = value if isinstance(value, list) else [value]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--score {path}: accepted {_FORMS}")
    out = []
    for i, row in enumerate(rows, 1):
        where = f"--score {path}: score {i}"
        _check(row, where)
        out.append(parse_score(row, where))
    return out, many


_ROW = {"text": str, "kind": str, "length": float, "events": list, "emotion": list, "id": str}
_EVENT = {"action": str, "start": float, "duration": float, "intensity": float, "repeat": int, "rise": float}
_FELT = {"name": str, "intensity": float, "start": float, "end": float, "to": float}
_WORDS = {str: "text", float: "a number", int: "a whole number", list: "a list"}


def _check(row: dict[str, Any], where: str) -> None:
    """A row edited by hand: only known fields, all that are needed, each of its kind."""
    _fields(row, _ROW, {"length"}, where)
    for i, one in enumerate(row.get("events", ()), 1):
        _fields(one, _EVENT, {"action", "start", "duration"}, f"{where}: event {i}")
    for i, one in enumerate(row.get("emotion", ()), 1):
        _fields(one, _FELT, {*_FELT} - {"to"}, f"{where}: emotion {i}")


def _fields(row: Any, kinds: dict[str, type], needed: set[str], where: str) -> None:
    if not isinstance(row, dict):
        raise UserError(f"{where}: accepted {{{', '.join(kinds)}}}")
    for name in [*row, *sorted(needed)]:
        if name not in kinds or name not in row:
            raise UserError(f"{where}: {'no' if name in kinds else 'unknown'} {name!r}; accepted {', '.join(kinds)}")
        value, kind = row[name], kinds[name]
        fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        if isinstance(value, str) and not is_text(value):
            raise UserError(f"{where}: {name} {value!r}; accepted UTF-8 text")
        if not fits:
            raise UserError(f"{where}: {name} {value!r}; accepted {_WORDS[kind]}")


def row(score: Score) -> dict[str, Any]:
    """As `take` reads it, times and strengths to the thousandth."""

    def near(name: str, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        least = 0.001 if name in ("duration", "intensity", "to") else 0.0
        return max(least, int(value * 1000) / 1000 if name == "start" else round(value, 3))

    def rounded(one: Any) -> Any:
        values = {name: near(name, value) for name, value in vars(one).items()}
        if "end" in values:  # of a feeling, which may be shorter than a thousandth
            values["end"] = max(values["end"], round(values["start"] + 0.001, 3))
        return replace(one, **values)

    events, felt = (tuple(rounded(one) for one in some) for some in (score.events, score.emotions))
    return replace(score, events=events, emotions=felt).to_json()


def told(score: Score) -> str:
    """One line: ``blink twice 0.2-1.2 s, smile 1.4-3.2 s at 0.35; joyful 0-4 s at 0.70; 4 s``."""
    from instruct_data.face.score import DEFAULT

    def times(count: int) -> str:
        return "" if count == 1 else " twice" if count == 2 else f" {count} times"

    def at(value: float) -> str:
        return "" if abs(value - DEFAULT) < 0.005 else f" at {value:.2f}"

    def span(start: float, end: float) -> str:
        return f"{round(start, 2):g}-{round(end, 2):g} s"

    done = ", ".join(
        f"{e.action}{times(e.repeat)} {span(e.start, e.end)}{at(e.intensity)}{' slowly' if e.rise else ''}"
        for e in sorted(score.events, key=lambda e: e.start)
    )
    felt = ", ".join(
        f"{f.name} {span(f.start, f.end)}"
        + (at(f.intensity) if f.to is None else f" from {f.intensity:.2f} to {f.to:.2f}")
        for f in score.emotions
    )
    return "; ".join(part for part in (done, felt, f"{round(score.length, 2):g} s") if part)


def tell(
    scores: Sequence[Score | None], texts: Sequence[str], quiet: bool, doubt: Callable[[str, Score], str]
) -> None:  # fmt: skip
    """Say on stderr what instructions were read as, and what speaks against it; not again what was seen before."""
    from avatargpt.requests.english import unreadable

    for score, text in zip(scores, texts, strict=True):
        if score is not None and not quiet:
            which = f"read {text[:60]!r} as" if len(texts) > 1 else "read as"
            say(f"{which}: {told(score)}", err=True)
        if score is not None and not unreadable(text) and (said := doubt(text, score)):
            say(f"warning: {text[:60]!r}: {said}", err=True)
