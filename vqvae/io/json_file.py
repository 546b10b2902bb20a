"""The one reader of JSON files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from vqvae.errors import UserError
from vqvae.io.guard import read_bytes, reason

MOST_BYTES = 32 << 20  # parsed, JSON takes up to twenty times as much memory


def parse_json(text: str | bytes, where: str | os.PathLike[str], accepted: str = "") -> Any:
    """The value of a JSON text.

    Args:
        where: it is from, for the message. accepted: what is, in words.

    Raises:
        UserError: not JSON, not UTF-8, nested too deeply, a number of thousands of digits.
    """
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as e:
        raise UserError(f"{where}: not JSON ({reason(e)}){'; ' * bool(accepted)}{accepted}") from None


def read_json(path: str | os.PathLike[str], most: int = MOST_BYTES, accepted: str = "") -> Any:
    """The value of a JSON file of at most `most` bytes.

    Raises:
        UserError: no regular file, larger, or as `parse_json`.
    """
    return parse_json(read_bytes(path, most, accepted), path, accepted)


def read_object(path: str | os.PathLike[str], most: int = MOST_BYTES, accepted: str = "") -> dict[str, Any]:
    """As `read_json`, of a file that holds an object."""
    value = read_json(Path(path), most, accepted)
    if not isinstance(value, dict):
        found = type(value).__name__
        raise UserError(f"{path}: not a JSON object but a {found}{'; ' * bool(accepted)}{accepted}")
    return value
