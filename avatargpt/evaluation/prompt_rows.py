"""Prompts of others in a file: with the column ``prompt`` and, where known, ``action`` and ``category``.

A CSV, or JSON: a list of texts, or of objects with these keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avatargpt.evaluation.outputs.folder import csv_rows
from avatargpt.options import is_text
from vqvae.errors import UserError
from vqvae.io.data_files import read_json

COLUMNS = ("prompt", "action", "category")
MOST_PROMPTS, MOST_BYTES = 100_000, 64 << 20
ACCEPTED = "accepted a CSV with the columns prompt, action, category, or JSON: a list of texts or of objects with these"


def read_prompts(path: Path) -> list[dict[str, str]]:
    """Rows with ``prompt``, ``action`` and ``category`` ("" = not given), in the order of the file.

    Raises:
        UserError: not readable, no such columns, an empty prompt, or nothing in it.
    """
    if path.suffix.lower() == ".json":
        value = read_json(path, MOST_BYTES, ACCEPTED)
        if not isinstance(value, list):
            raise UserError(f"{path}: no list; {ACCEPTED}")
        rows: list[tuple[str, Any]] = [
            (f"entry {i}", {"prompt": v} if isinstance(v, str) else v) for i, v in enumerate(value, 1)
        ]
    else:
        rows = [(f"line {line}", row) for line, row in csv_rows(path, ACCEPTED)]
    out = []
    for where, row in rows:
        if not isinstance(row, dict) or not row.get("prompt"):
            raise UserError(f"{path}: {where}: no prompt; {ACCEPTED}")
        kept = {name: row.get(name) or "" for name in COLUMNS}
        strange = [name for name, text in kept.items() if not isinstance(text, str) or not is_text(text)]
        if strange:
            raise UserError(f"{path}: {where}: {strange[0]} is no text; {ACCEPTED}")
        out.append({name: text.strip() for name, text in kept.items()})
    if not 1 <= len(out) <= MOST_PROMPTS:
        raise UserError(f"{path}: {len(out)} prompts; accepted 1 to {MOST_PROMPTS}")
    return out
