"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real corpora; tests that need it are skipped where it is not there."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real corpora in ../shared, which are not part of the project")
    return SHARED
