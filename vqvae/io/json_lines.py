"""One reader of JSON lines for every corpus, log and list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vqvae.io.guard import read_text
from vqvae.io.json_file import parse_json

MOST_BYTES = 2 << 30


def json_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines with their line numbers (from 1); empty lines are left out.

    Raises:
        UserError: a file that cannot be read, a line that is not JSON; names file and line.
    """
    file = Path(path)
    lines = read_text(file, MOST_BYTES).split("\n")  # splitlines() also cuts at U+2028, which JSON may hold
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        yield i, parse_json(line, f"{file}: line {i}")
