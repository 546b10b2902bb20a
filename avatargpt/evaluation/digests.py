"""What files are known by in results."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path


def digest_of(paths: Iterable[Path], root: Path, whole: float = math.inf) -> str:
    """SHA-256 over names below `root`, sizes, and the contents of files of up to `whole` bytes."""
    total = hashlib.sha256()
    for path in sorted(paths):
        size = path.stat().st_size
        total.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode(errors="surrogateescape"))
        if size <= whole:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    total.update(block)
    return total.hexdigest()
