"""A running server for the clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.running import StandIn, running


@pytest.fixture
def model() -> StandIn:
    return StandIn()


@pytest.fixture
def address(model: StandIn, tmp_path: Path) -> Iterator[str]:
    """The address of a running server without a key."""
    pytest.importorskip("fastapi", reason="needs the extra serve")
    with running(tmp_path / "store", model) as url:
        yield url
