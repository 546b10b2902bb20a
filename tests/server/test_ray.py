"""Two replicas under Ray Serve answer for one another."""

import os
import socket
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from avatargpt.server.ray_app import app, application
from avatargpt.server.settings import ServerSettings
from tests.server.running import StandIn
from vqvae.errors import UserError


class Numbered(StandIn):
    """Says in its descriptions in which process it is."""

    def describe(self, motion: list, num: int = 1, seed: int = 0, **_: object) -> list:
        return [f"process {os.getpid()}" for _ in motion]


def test_options_in_words_are_checked(tmp_path: Path) -> None:
    for options, words in (({}, "store: needed"), ({"store": "x", "colour": "red"}, "colour: no option"),
                           ({"store": "x", "replicas": "two"}, "accepted a number")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            app(options)


def test_two_replicas_share_motions_uploads_jobs_and_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine needs longer than the 5 s that Serve waits for its proxy's process.
    for check in ("READY", "HEALTH"):
        monkeypatch.setenv(f"RAY_SERVE_PROXY_{check}_CHECK_TIMEOUT_S", "60")
    serve = pytest.importorskip("ray.serve", reason="needs the extra ray")
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": False})
        settings = ServerSettings(store=tmp_path / "store")
        serve.run(application(settings, 2, 0.1, load=Numbered), name="avatargpt")
        processes, statuses = set(), set()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for k in range(60):
                body = {"prompt": f"a person walks {k}", "best_of": 1}
                (motion,) = client.post("/v1/motions", json=body).json()["motions"]
                (description,) = client.post("/v1/describe", json={"motion": motion["id"]}).json()["descriptions"]
                processes.add(description)
                statuses |= {client.get(motion["links"]["npz"]).status_code for _ in range(2)}
                job = client.post("/v1/motions?wait=0", json=body).json()["job"]["id"]
                statuses |= {client.get(f"/v1/jobs/{job}").status_code for _ in range(3)}
                session = client.post("/v1/sessions").json()["id"]
                statuses |= {client.get(f"/v1/sessions/{session}").status_code for _ in range(3)}
                if len(processes) == 2 and k >= 10:
                    break
        assert len(processes) == 2 and statuses == {200}
    finally:
        serve.shutdown()
        ray.shutdown()
