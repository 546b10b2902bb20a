"""Faces that others made for the instructions of a suite, against the scores that people wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatargpt.evaluation.face.face_instructions import EVERYDAY, OWN, instructions_of, measured
from avatargpt.evaluation.suites import Suite, folder
from avatargpt.metrics.face_events import check_score, looks_at_head
from instruct_data.face.score import Score, parse_score, read_instructions
from vqvae.face import FaceMotion
from vqvae.io.data_files import json_rows


def sources(suite: Suite, data: Path | None) -> dict[str, list[Score]]:
    """Source -> what its instructions mean, in order.

    Args:
        suite: of kind ``face_instructions``. data: the corpus, for suites that measure on one, or None.
    """
    if "rows" in suite.options:
        rows = [row for _, row in json_rows(folder() / suite.options["rows"])]
        return {"fresh": [parse_score(row, str(row.get("text"))) for row in rows]}
    paths = {"own": folder() / OWN, "everyday": folder() / EVERYDAY}
    if data is not None:
        paths["corpus"] = instructions_of(data)
    return {name: [one.score for one in read_instructions(path)] for name, path in paths.items()}


def of_the_head(suite: Suite, data: Path | None) -> set[str]:
    """``SOURCE_NNN`` of the instructions with an event that the head alone shows."""
    return {
        f"{source}_{n:03d}" for source, scores in sources(suite, data).items() for n, s in enumerate(scores, 1)
        if any(looks_at_head(e.action) for e in s.events)
    }  # fmt: skip


def score(suite: Suite, made: Mapping[str, FaceMotion], data: Path | None = None) -> dict[str, Any]:
    """Events, feelings, action units, and distances from the rendered scores, per source.

    Args:
        made: ``SOURCE_NNN`` -> the clip; instructions without one do not count.

    Returns:
        ``results`` and one row per instruction: ``done`` says which of its events are seen.
    """
    results: dict[str, Any] = {}
    rows = []
    for source, scores in sources(suite, data).items():
        ids = [f"{source}_{n:03d}" for n in range(1, len(scores) + 1)]
        pairs = [(i, made[i], s) for i, s in zip(ids, scores, strict=True) if i in made]
        if not pairs:
            continue
        clips, wanted = [m for _, m, _ in pairs], [s for _, _, s in pairs]
        results |= measured(source, clips, wanted)
        rows += [{"id": i, "text": s.text, "done": [int(x.done) for x in check_score(m, s)]} for i, m, s in pairs]
    return {"results": results, "instructions": rows}
