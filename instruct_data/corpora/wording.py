"""Words in the names of files."""

from __future__ import annotations


def words_of(name: str) -> list[str]:
    """``fallAndGetUp``, ``fall_and_get-up`` and ``Fall_And_Get_Up`` -> fall, and, get, up; lower case."""
    parted = "".join(
        f" {c}" if c.isupper() and k and not name[k - 1].isupper() else c for k, c in enumerate(name)
    )  # fmt: skip
    return parted.replace("_", " ").replace("-", " ").lower().split()
