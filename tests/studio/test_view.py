"""`avatargpt view`: one motion in the viewer, without a model."""

import struct

import numpy as np
import pytest
from fastapi.testclient import TestClient

from avatargpt import export
from avatargpt.server.view import create_view, page
from tests.clips import swaying
from tests.studio.conftest import until
from vqvae.face import FaceMotion


@pytest.fixture
def motion():
    return swaying(40, seed=1)


@pytest.fixture
def client(motion):
    return TestClient(create_view(motion, "dance"), base_url="http://127.0.0.1")


def test_gives_the_page_the_avatar_and_the_frames(client, motion):
    answer = client.get("/")
    assert answer.status_code == 200 and "AvatarGPT Studio" in answer.text
    assert client.get("/v1/avatar.glb").content[:4] == b"glTF"
    content = client.get("/v1/exports/file.frames").content
    start = 8 + struct.unpack("<I", content[4:8])[0]
    rows = np.frombuffer(content[start:], "<f4").reshape(len(motion), 3 + 4 * 22)
    np.testing.assert_allclose(rows[:, :3], motion.root, atol=1e-6)
    assert page(motion) == "#view=file"


def test_exports_and_refuses(client, motion, tmp_path):
    (tmp_path / "back.bvh").write_bytes(client.get("/v1/exports/file.bvh").content)
    assert len(export.load(tmp_path / "back.bvh")) == len(motion)
    refused = client.get("/v1/exports/file.exe")
    assert refused.status_code == 400 and "accepted" in refused.json()["error"]["message"]
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert (
        TestClient(create_view(FaceMotion(np.zeros((4, 52)), np.zeros((4, 3)), 30.0)), base_url="http://127.0.0.1")
        .get("/v1/exports/file.csv")
        .content.startswith(b"Timecode")
    )


def test_plays_in_a_browser(browser, open_page, motion, tmp_path):
    import socket
    import threading

    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    viewer = uvicorn.Server(uvicorn.Config(create_view(motion), log_level="warning"))
    thread = threading.Thread(target=lambda: viewer.run(sockets=[listener]), daemon=True)
    thread.start()
    try:
        shown = open_page(f"http://127.0.0.1:{listener.getsockname()[1]}/{page(motion)}")
        until(shown, "studio.studio.player.playing && studio.time > 0.2")
        assert not shown.is_visible("#prompt") and not shown.is_visible("#undo")
        assert shown.evaluate("studio.studio.player.seconds") == pytest.approx(2.0)
        shown.context.close()
    finally:
        viewer.should_exit = True
        thread.join(20)
