"""What runs left behind about their data and figures, for the card of the model that is packed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avatargpt.lm.card import Origin
from avatargpt.train.running.plot import read_log
from avatargpt.train.running.record import RECORD
from vqvae.io.json_file import read_object

MANIFEST = "manifest.json"
CLIPS = ("codes", "store")
"""Options of stages that name folders of clips."""


def origin_of(runs: Sequence[str | Path]) -> Origin:
    """Sources of the clips and last validation of several runs; what was not recorded, or is gone, is left out.

    Raises:
        UserError: a record, manifest or log that cannot be read.
    """
    sources: dict[str, Mapping[str, Any]] = {}
    figures: dict[str, float] = {}
    for run in map(Path, runs):
        sources |= _sources(run)
        figures |= {f"{run.name}: {name}": value for name, value in _figures(run).items()}
    return Origin(sources, figures)


def _sources(run: Path) -> dict[str, Mapping[str, Any]]:
    out: dict[str, Mapping[str, Any]] = {}
    starts = read_object(run / RECORD).get("starts", []) if (run / RECORD).is_file() else []
    for name, given in (starts[-1].get("inputs", {}) if starts else {}).items():
        manifest = Path(given["path"]) / MANIFEST
        if name.partition("[")[0] in CLIPS and manifest.is_file():
            out |= read_object(manifest).get("sources", {})
    return out


def _figures(run: Path) -> dict[str, float]:
    curves = read_log(run / "log.jsonl") if (run / "log.jsonl").is_file() else {}
    return {name: curve[max(curve)] for name, curve in curves.items() if name.startswith("val_")}
