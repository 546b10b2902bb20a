"""A browser, a server with a model of known answers, and pages of the studio."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile

from avatargpt.speech.audio import RATE
from tests.factories import voice

ROOT = Path(__file__).resolve().parents[2]
# what Chromium says of software rendering, of a server that a test has ended, and of what a server refuses
NOISE = (
    "responded with a status of 40",
    "GPU stall due to ReadPixels",
    "Automatic fallback to software WebGL",
    "ERR_CONNECTION_REFUSED",
    "ERR_CONNECTION_RESET",
)
STATE = "JSON.stringify([studio.studio.state, studio.studio.lines.slice(-3)])"  # what a page says that is waited for
READY = "!!window.studio && studio.studio.state === 'ready'"
START = 120.0  # seconds in which a server is there


def until(page: Any, expression: str, seconds: float = 30.0, told: str = STATE) -> float:
    """Wait for an expression of the page to hold, and return how long that took."""
    begun = time.monotonic()
    while not page.evaluate(expression):  # the page's policy forbids Playwright's own waiting
        if time.monotonic() - begun > seconds * stretch():
            raise AssertionError(f"{expression}: not within {seconds:g} s; {page.evaluate(told)}")
        time.sleep(0.02)
    return time.monotonic() - begun


def stretch() -> float:
    """How much longer things take on this machine because others work on it; 1 where it is free."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Server:
    """The stand-in in a process of its own, which can be killed and started again on its port."""

    def __init__(self, store: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.store, self.options, self.address = store, options, f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.studio.stand_in", str(self.port), str(self.store), *self.options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment)
        end = time.monotonic() + START * stretch()
        while time.monotonic() < end:
            try:
                if httpx.get(f"{self.address}healthz", timeout=5).status_code == 200:
                    return self.warm()
            except httpx.HTTPError:
                time.sleep(0.1)
        self.kill()
        raise AssertionError(f"no server within {START * stretch():g} s")

    def warm(self) -> None:
        """One turn: what is loaded for the first one is not what the tests measure."""
        made = httpx.post(f"{self.address}v1/sessions", timeout=START).json()
        turn = {"text": "a person stands"}
        httpx.post(f"{self.address}v1/sessions/{made['id']}/turns", json=turn, timeout=START).raise_for_status()
        httpx.get(f"{self.address}v1/avatar.glb", timeout=START).raise_for_status()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium for the tests of this folder, which are skipped where there is none.

    It ends with the folder: while Playwright runs, no other test of the process can start an event loop.
    """
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright, of the extra dev")
    path = next((p for n in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(n))), None)
    if path is None:
        pytest.skip("needs Chromium on the path")
    # a microphone that says the same over and over
    heard = tmp_path_factory.mktemp("microphone") / "voice.wav"
    soundfile.write(heard, voice(4.0), RATE)
    flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--use-fake-ui-for-media-stream",
             "--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={heard}"]  # fmt: skip
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def server(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the stand-in."""
    running = Server(tmp_path_factory.mktemp("store"))
    yield running
    running.kill()


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Opens a page that is ready; whatever goes wrong in its scripts fails the test."""
    contexts, wrong = [], []

    def opened(address: str = "", ready: str = READY, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 960, "height": 640}, **options})
        context.set_default_timeout(30_000 * stretch())
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda e: wrong.append(str(e)))
        page.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
        page.goto(address or server.address)
        until(page, ready, told="document.body.innerText")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not [line for line in wrong if not any(noise in line for noise in NOISE)]


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """An empty studio."""
    return open_page()


@pytest.fixture
def tell(page: Any) -> Callable[[str], None]:
    """Enters a line into the prompt and waits until it is done."""

    def told(text: str) -> None:
        version = page.evaluate("studio.studio.session?.version ?? -1")
        page.fill("#words", text)
        page.press("#words", "Enter")
        until(page, f"!studio.studio.busy && (studio.studio.session?.version ?? -1) !== {version}")

    return told
