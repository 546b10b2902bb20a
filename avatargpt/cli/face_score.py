"""Scores on the command line: what an instruction was read as, told and taken back after it was edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqvae.errors import UserError

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

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise UserError(f"--score {path}: cannot be read ({e.strerror})") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"--score {path}: larger than {MAX_BYTES >> 20} MiB")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as e:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise UserError(f"--score {path}: not JSON ({e}); accepted {_FORMS}") from None
    many = isinstance(value, list)
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        value = [one.get("score") if isinstance(one, dict) else None for one in value["results"]]
        many = len(value) > 1
    rows: list[Any] = value if isinstance(value, list) else [value]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--score {path}: accepted {_FORMS}")
    return [parse_score(row, f"--score {path}: score {i}") for i, row in enumerate(rows, 1)], many


def row(score: Score) -> dict[str, Any]:
    """As `take` reads it, times and strengths to the hundredth."""

    def near(value: Any) -> Any:
        return round(value, 2) if isinstance(value, float) else value

    def rounded(one: Any) -> Any:
        return replace(one, **{name: near(value) for name, value in vars(one).items()})

    events, felt = (tuple(rounded(one) for one in some) for some in (score.events, score.emotions))
    return replace(score, length=near(score.length), events=events, emotions=felt).to_json()


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
        f"{e.action}{times(e.repeat)} {span(e.start, e.end)}{at(e.intensity)}"
        for e in sorted(score.events, key=lambda e: e.start)
    )
    felt = ", ".join(f"{f.name} {span(f.start, f.end)}{at(f.intensity)}" for f in score.emotions)
    return "; ".join(part for part in (done, felt, f"{round(score.length, 2):g} s") if part)


def tell(scores: Sequence[Score | None], texts: Sequence[str], quiet: bool) -> None:
    """Say on stderr what instructions were read as."""
    import typer

    for score, text in zip(scores, texts, strict=True):
        if score is not None and not quiet:
            which = f"read {text[:60]!r} as" if len(texts) > 1 else "read as"
            typer.echo(f"{which}: {told(score)}", err=True)
