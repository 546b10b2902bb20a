"""What mutants of the client have outlived."""

from pathlib import Path

import httpx
import pytest

from avatargpt.client import Client
from avatargpt.client.results import ServerError


def test_a_file_that_was_read_is_not_sent_again(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((request.url.path, len(request.read())))
        error = {"error": {"code": "busy", "message": "later", "where": ""}}
        busy = httpx.Response(429, json=error, headers={"Retry-After": "0"})
        return busy if len(seen) < 3 else httpx.Response(200, json={"status": "ok"})

    (tmp_path / "a.wav").write_bytes(b"x" * 100)
    with Client("http://localhost", transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(ServerError, match="later"):
            client.upload(tmp_path / "a.wav")
        assert seen == [("/v1/uploads", 100)]
        assert client.health() == {"status": "ok"} and [path for path, _ in seen[1:]] == ["/healthz"] * 2
