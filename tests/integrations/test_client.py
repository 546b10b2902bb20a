"""The Python client against a running server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from avatargpt import export
from avatargpt.client import Client, ServerError, verbs
from tests.factories import write_character
from tests.server.running import StandIn


def test_motions_come_back_as_they_were_made(address: str, model: StandIn, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    with Client(address) as client:
        (walk,) = client.generate("a person walks", seconds=3, seed=1)
        (wave,) = client.generate("a person waves", progress=lambda done, total: steps.append((done, total)))
        made = client.fetch(walk)
        assert np.allclose(made.root, model.motion("a person walks", 3).root, atol=1e-5)
        assert (walk.prompt, walk.seconds, walk.frames, walk.caption) == ("a person walks", 3.0, 60, "a person walks")
        assert steps and client.motion(wave.id) == wave
        assert len(client.generate("a person runs", num=2)) == 2
        assert client.in_between(walk, wave, 1)[0].seconds == 6 and client.extend(walk, 1.5)[0].seconds == 4.5
        assert client.describe(walk, 2) == ["60 frames, version 0", "60 frames, version 1"]
        assert export.load(client.save(walk, tmp_path / "walk.bvh")).seconds == pytest.approx(3, abs=0.1)
        assert client.health()["status"] == "ok"


def test_files_go_to_the_server(address: str, model: StandIn, tmp_path: Path) -> None:
    export.save(model.motion("a person walks", 2), tmp_path / "walk.npz")
    character = write_character(tmp_path / "child.glb")
    with Client(address) as client:
        clip = client.load(tmp_path / "walk.npz")
        assert (clip.frames, clip.kind) == (40, "body") and client.describe(clip) == ["40 frames, version 0"]
        worn = client.save(clip, tmp_path / "worn.glb", character=client.upload(character))
        direct = export.save(export.load(tmp_path / "walk.npz"), tmp_path / "direct.glb", character=character)
        assert abs(worn.stat().st_size - direct.stat().st_size) < 200
        (tmp_path / "odd.bin").write_bytes(b"\0" * 100)
        with pytest.raises(ServerError):
            client.load(tmp_path / "odd.bin")
        with pytest.raises(ValueError, match="no such file"):
            client.upload(tmp_path / "nowhere.npz")


def test_jobs_are_followed(address: str) -> None:
    with Client(address) as client:
        job = client.submit("motions", prompt="a person walks")
        names = [name for name, _ in client.job_events(job["id"])]
        assert names[-1] == "done"
        assert client.follow(job["id"])["motions"][0]["prompt"] == "a person walks"
        assert client.cancel(job["id"])["status"] == "done"


def test_refusals_are_one_line_with_code_and_place(address: str) -> None:
    with Client(address) as client:
        with pytest.raises(ServerError, match="seconds") as e:
            client.generate("a person walks", seconds=-1)
        assert (e.value.status, e.value.code) == (400, "bad_request") and "\n" not in str(e.value)
        with pytest.raises(ServerError) as e:
            client.motion("no-such-motion-anywhere")
        assert e.value.status == 404
        with pytest.raises(ServerError) as e:
            client.generate("a person walks", nonsense=1)
        assert e.value.status == 400
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerError, match="no answer"):
        client.health()
    with pytest.raises(ValueError, match="accepted http"):
        Client("ftp://example.org")


def test_a_busy_server_is_asked_again_and_a_key_is_sent() -> None:
    answers: list[Any] = [
        httpx.Response(429, headers={"Retry-After": "0.1"}, json={"error": {"code": "busy", "message": "busy"}}),
        httpx.Response(200, json={"status": "ok"}),
    ]
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Authorization"])
        return answers.pop(0)

    with Client("http://server", "secret", transport=httpx.MockTransport(answer)) as client:
        assert client.health() == {"status": "ok"} and keys == ["Bearer secret"] * 2
    full = httpx.Response(429, headers={"Retry-After": "30"}, json={"error": {"code": "busy", "message": "busy"}})
    short = Client("http://server", timeout=1, transport=httpx.MockTransport(lambda _: full))
    with short as client, pytest.raises(ServerError, match="busy"):
        client.health()


ALONE = """
import sys
sys.modules |= dict.fromkeys(("torch", "avatargpt", "vqvae", "instruct_data", "pydantic"))  # not there
import avatargpt_client
with avatargpt_client.Client(sys.argv[1]) as client:
    (walk,) = client.generate("a person walks", seconds=2)
    client.save(walk, sys.argv[2])
"""


def test_the_client_alone_needs_no_torch(address: str, tmp_path: Path) -> None:
    """As `integrations/python` packs it: the folder under another name."""
    shutil.copytree(Path(verbs.__file__).parent, tmp_path / "avatargpt_client")
    target = tmp_path / "walk.npz"
    program = [sys.executable, "-c", ALONE, address, target]
    subprocess.run(program, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=60)
    assert export.load(target).seconds == 2


def test_verbs_are_those_of_the_document() -> None:
    names = [row[0] for row in verbs.list_verbs()]
    assert len(names) == 14 and all(getattr(Client, name).__doc__ for name in names)
    fields = {name: list(fields) for name, _, _, fields, _ in verbs.list_verbs()}
    assert fields["face"][:2] == ["sound", "text"] and fields["describe"][:2] == ["motion", "num"]
