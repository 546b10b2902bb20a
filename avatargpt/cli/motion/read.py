"""``avatargpt read``: what a request asks for, without making anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say

if TYPE_CHECKING:
    from instruct_data.requests.spec import MotionRequest


def read(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A request in words; @FILE gives one per line.")],
    face: Annotated[bool, typer.Option("--face", help="As an instruction to a face, not to a body.")] = False,
    model: common.Model = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """What a request asks for: actions in order with sides, counts, seconds, and whether they are known.

    A line per clause: its action and attributes, and the movement that it is shown by.
    """
    texts, batch = common.read_texts(text, emoji=face)
    common.warn_unreadable(texts)
    if face:
        _faces(texts, model, as_json)
        return
    found = _requests(texts, model, threads, quiet)
    if as_json:
        rows: list[Any] = [r.model_dump(exclude_defaults=True) for r in found]
        common.print_json(rows if batch else rows[0])
        return
    for one in found:
        for line in lines(one):
            say(line)


def lines(request: MotionRequest) -> list[str]:
    """A request in words, a line per clause."""
    out = []
    for i, clause in enumerate(request.clauses):
        sign = "not " if clause.denied else "with " if clause.together else "then " if i else ""
        shown = "" if clause.denied else f" -> {clause.nearest}" + " (not known)" * (clause.known is False)
        out.append(f"{sign}{clause.compact.removeprefix('!')}{shown}")
    whole = request.compact.partition(" | ")[2]
    return [*out, *([f"whole: {whole}"] if whole else [])]


def _requests(texts: Sequence[str], model: Path | None, threads: int | None, quiet: bool) -> list[MotionRequest]:
    import torch

    from avatargpt import resources
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.requests.resolver import RequestResolver

    check_model(model)
    if threads:
        torch.set_num_threads(threads)
    with common.progress("loading", quiet):
        known = RequestResolver.load(model or resources.weights())
    return [known.read(t) for t in texts]


def _faces(texts: Sequence[str], model: Path | None, as_json: bool) -> None:
    from avatargpt.cli import face_score
    from avatargpt.face.performer import FacePerformer, driver_folder

    found = FacePerformer.load(driver_folder(model)).read(texts)
    if as_json:
        rows = [face_score.row(s) for s in found]
        common.print_json(rows if len(rows) > 1 else rows[0])
        return
    for score in found:
        say(face_score.told(score))
