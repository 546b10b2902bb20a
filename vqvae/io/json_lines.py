"""One reader of JSON lines for every corpus, log and list."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vqvae.errors import UserError


def json_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, Any]]:
    """The values of a file of JSON lines with their line numbers (from 1); empty lines are left out.

    Raises:
        UserError: a file that cannot be read, a line that is not JSON; names file and line.
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8").split("\n")  # splitlines() also cuts at U+2028, which JSON may hold
    except OSError as e:
        raise UserError(f"{file}: cannot be read ({e.strerror})") from None
    except UnicodeDecodeError as e:
        raise UserError(f"{file}: not UTF-8 text (byte {e.start})") from None
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise UserError(f"{file}: line {i}: not JSON ({e})") from None
        yield i, row
