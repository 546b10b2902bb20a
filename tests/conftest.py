"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test `quick` that is not marked `slow`."""
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker("quick")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real corpora; tests that need it are skipped where it is not there."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real corpora in ../shared, which are not part of the project")
    return SHARED


@pytest.fixture
def driver() -> Driver:
    """A small speech-to-face driver with random weights."""
    from tests.factories import small_driver

    return small_driver()
