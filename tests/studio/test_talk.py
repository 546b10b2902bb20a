"""The page in which a microphone moves a face: features, curves, voice and avatars, in Chromium without a server."""

import base64
import functools
import http.server
import json
import threading

import numpy as np
import pytest

from avatargpt import resources
from avatargpt.face.audio_model.driver import Driver
from avatargpt.server.talk import write_page
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import WIDTH, extract
from tests.factories import voice
from tests.studio.conftest import until
from tests.studio.test_files import a_vrm
from vqvae import arkit
from vqvae.errors import UserError

OVER = "!!window.talk && talk.state !== 'loading'"
SMALL = {"width": 320, "height": 240}  # drawn without a GPU
CALL = """async ([name, text, rate]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return (await talk[name](new Float32Array(bytes.buffer), rate)).map((row) => [...row]);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(browser, tmp_path_factory):
    """The page as a folder, with the packaged driver."""
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    if not (resources.PACKAGE / "weights" / "driver").is_dir():
        pytest.skip("this checkout carries no weights")
    made = tmp_path_factory.mktemp("page")
    write_page(made)
    return made


@pytest.fixture(scope="module")
def address(folder):
    """Of a server of files alone."""
    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=files.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{files.server_port}/"
    files.shutdown()


def press(page, label):
    """Press a button, whatever is being drawn."""
    page.evaluate("(label) => document.querySelector(`[aria-label=${label}]`).click()", label)


def compute(page, name, sound, rate):
    """Rows that a function of the page gives for a sound."""
    return np.array(page.evaluate(CALL, [name, base64.b64encode(sound.tobytes()).decode(), rate]), np.float32)


@pytest.mark.parametrize("rate", [RATE, 44_100, 48_000])
def test_features_are_those_of_python(open_page, address, rate):
    page = open_page(address, OVER, viewport=SMALL)
    sound = voice(1.5, rate)
    sound[: rate // 3] = 0
    rows, right = compute(page, "features", sound, rate), extract(sound, rate)
    assert rows.shape[1] == WIDTH and len(right) - 1 <= len(rows) <= len(right)
    assert np.abs(rows - right[: len(rows)]).max() < 2e-3 and np.ptp(right, 0).max() > 1


def test_curves_are_those_of_the_driver(open_page, address):
    page, packaged = open_page(address, OVER, viewport=SMALL), Driver.load()
    assert page.evaluate("talk.state") == "ready" and page.evaluate("talk.names") == list(arkit.NAMES)
    sound = voice(3.0)
    curves = compute(page, "drive", sound, RATE)
    right = Driver(packaged.network).stream(RATE).push(sound)
    assert curves.shape == right.shape and np.ptp(right, 0).max() > 0.1
    assert np.abs(curves - right).max() < 1e-4


def test_a_microphone_moves_the_face(open_page, server, folder):
    # from our own server: its policy allows what the page needs
    page = open_page(f"{server.address}talk.html", OVER, viewport=SMALL)
    assert page.evaluate("talk.state") == "ready", page.inner_text("#toast")
    press(page, "Speak")
    page.evaluate(
        """() => {
          window.seen = [];
          const look = () => { window.seen.push(talk.morphs().jawOpen); requestAnimationFrame(look); };
          look();
        }"""
    )
    until(page, "talk.frames() >= 90", told="document.body.innerText")
    assert page.inner_text("#link") == "Listening" and "ms a frame" in page.inner_text("#figures")
    jaw = Driver.load().drive(voice(4.0), RATE).weights[:, arkit.INDEX["jawOpen"]]
    assert np.ptp(page.evaluate("window.seen")) > 0.5 * np.ptp(jaw) > 0.02
    press(page, "Stop")
    heard = page.evaluate("talk.frames()")
    page.wait_for_timeout(300)
    assert page.inner_text("#link") == "Ready" and page.evaluate("talk.frames()") == heard


def test_takes_a_vrm_and_refuses_what_has_no_face(open_page, address, folder):
    page = open_page(address, OVER, viewport=SMALL)

    def take(name, content):
        text = base64.b64encode(content).decode()
        script = """async ([name, text]) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          return talk.take(new File([bytes], name)).then(() => "", (error) => error.message);
        }"""
        return page.evaluate(script, [name, text])

    ours = page.evaluate("Object.keys(talk.morphs()).length")
    assert ours == arkit.COUNT and take("hero.vrm", a_vrm()) == ""
    until(page, "Object.keys(talk.morphs()).length === 0", told="JSON.stringify(talk.morphs())")  # bones alone
    gltf = json.dumps({"asset": {"version": "2.0"}, "scenes": [{"nodes": []}], "scene": 0}).encode()
    assert "morph targets" in take("box.glb", gltf)
    assert "accepted .vrm" in take("a.txt", b"") and "noise.wav" in take("noise.wav", b"none")
    assert take("ours.glb", (folder / "v1" / "avatar.glb").read_bytes()) == ""
    assert page.evaluate("Object.keys(talk.morphs()).length") == ours


def test_a_folder_that_is_used_stays(folder, tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UserError, match="is there already"):
        write_page(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
