"""A server with a stand-in for the model, and clients of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("prometheus_client", reason="needs the extra serve")

from starlette.testclient import TestClient

from avatargpt.server.app import create_app
from avatargpt.server.settings import ServerSettings
from tests.chat.stand_ins import LineIntent
from tests.server.stand_ins import StandIn


@pytest.fixture
def model() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.go.set()


@pytest.fixture
def serve(tmp_path, model) -> Iterator[Callable[..., TestClient]]:
    """Starts a server with these settings; gives a client of it."""
    with ExitStack() as stack:

        def start(**settings: Any) -> TestClient:
            values = {"store": tmp_path / "store", "grace_seconds": 2.0, **settings}
            app = create_app(ServerSettings(**values), model, LineIntent())
            return stack.enter_context(TestClient(app, base_url="http://localhost", raise_server_exceptions=False))

        yield start
        model.go.set()


@pytest.fixture
def client(serve) -> TestClient:
    return serve()
