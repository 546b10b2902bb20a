"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver

# Where the shell that starts the tests ignores Ctrl-C and the end of its terminal (`nohup`, `&`), commands do, too.
for _signal in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.default_int_handler if _signal is signal.SIGINT else signal.SIG_DFL)

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
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the losses takes longer than a training of a test, and is tested with the tokenizer."""
    monkeypatch.setattr("avatargpt.train.loop.plot_log", lambda out: None)


@pytest.fixture
def driver() -> Driver:
    """A small speech-to-face driver with random weights."""
    from tests.factories import small_driver

    return small_driver()
