"""The talking page beside the driver in PyTorch: size, difference of the curves, milliseconds a frame.

Each sound of FOLDER goes through the driver in float32, through onnxruntime and, for the first PAGES of them, through
the page of `avatargpt talk-page` in Chromium, with graphs in float32, with weights stored in eight bits (the page's
own) and with onnxruntime's dynamic quantisation. Needs the extras `serve`, `onnx` and `dev`, and onnxruntime.
"""

import base64
import functools
import http.server
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

DRIVE = """async ([text, rate]) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return (await talk.drive(new Float32Array(bytes.buffer), rate)).map((row) => [...row]);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


def run(folder: Path, pages: int = 6, chromium: str = "/usr/bin/chromium") -> dict[str, Any]:
    """Measure."""
    from playwright.sync_api import sync_playwright

    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.server.talk import DRIVER, write_page
    from avatargpt.speech import audio
    from avatargpt.speech.features import extract

    packaged = Driver.load()
    exact = Driver(packaged.network)
    sounds = [audio.load(path) for path in sorted(folder.rglob("*.wav"))]
    features = [extract(*sound) for sound in sounds]
    right = [exact.stream(rate).push(sound) for sound, rate in sounds]
    figures: dict[str, Any] = {"frames": sum(map(len, features)), "load": os.getloadavg()[0]}
    for name, driver in (("PyTorch, float32", exact), ("PyTorch, eight bits", packaged)):
        begun, rows = time.process_time(), [driver.stream(rate).push(sound) for sound, rate in sounds]
        figures[name] = {**differences(rows, right), "ms a frame with features": passed(begun, rows)}
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        write_page(Path(place) / "page")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, graph in graphs(exact, packaged, Path(place)).items():
            (Path(place) / "page" / DRIVER).write_bytes(graph)
            begun, rows = time.process_time(), [step(graph, part, exact.look_ahead) for part in features]
            figures[name] = {"MB": len(graph) / 1e6, **differences(rows, right), "ms a frame": passed(begun, rows)}
            with served(Path(place) / "page") as address:
                page = browser.new_page()
                page.goto(address)
                page.wait_for_function("window.talk && talk.state !== 'loading'", timeout=120_000)
                given = [(base64.b64encode(s.astype(np.float32).tobytes()).decode(), r) for s, r in sounds[:pages]]
                rows = [np.array(page.evaluate(DRIVE, list(one)), np.float32) for one in given]
                cost = page.evaluate("talk.cost()")
                page.close()
            median = {f"ms of {k}, median": statistics.median(c[k] for c in cost) for k in ("features", "network")}
            figures[name]["in the page"] = {**differences(rows, right), **median}
        browser.close()
    return figures


def graphs(exact: Any, packaged: Any, place: Path) -> dict[str, bytes]:
    """The content of each kind of file."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from avatargpt.face.audio_model.onnx_graph import make_graph

    plain = make_graph(exact)
    (place / "plain.onnx").write_bytes(plain)
    quantize_dynamic(place / "plain.onnx", place / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8)
    return {"ONNX, float32": plain, "ONNX, stored in eight bits": make_graph(packaged),
            "ONNX, dynamic int8": (place / "int8.onnx").read_bytes()}  # fmt: skip


def step(graph: bytes, features: np.ndarray, ahead: int) -> np.ndarray:
    """Curves of a sound's features by onnxruntime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session, rows = onnxruntime.InferenceSession(graph, options), []
    state = np.zeros(session.get_inputs()[1].shape, np.float32)
    for row in features:
        curves, state = session.run(["curves", "next"], {"features": row[None], "state": state})
        rows.append(curves[0])
    return np.array(rows[ahead:])


def differences(rows: list[np.ndarray], right: list[np.ndarray]) -> dict[str, float]:
    """Largest and mean difference of the curves."""
    apart = np.concatenate([np.abs(a[: len(b)] - b[: len(a)]) for a, b in zip(rows, right, strict=False)])
    return {"largest difference": float(apart.max()), "mean difference": float(apart.mean())}


def passed(begun: float, rows: list[np.ndarray]) -> float:
    """Milliseconds of this process for each frame."""
    return 1000 * (time.process_time() - begun) / sum(map(len, rows))


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of files."""
    files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=files.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{files.server_port}/"
    files.shutdown()
