"""Films that tests draw, people that are known beforehand, and an endpoint that answers by rule and writes a log."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.curate.tracks import Track
from instruct_data.face.emotions import targets
from tests.llm.conftest import completion, reply
from vqvae.face import FaceMotion
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

FPS = 10
SIZE = (160, 120)


def write_film(path: Path, seconds: float = 5.0, seed: int = 0, sound: bool = True, shots: int = 1) -> Path:
    """Blocks that move over a picture of noise; another picture in each shot; a tone that swells."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    count = round(seconds * FPS)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", FPS)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *SIZE, "yuv420p", 800_000
        audio = container.add_stream("aac", 16_000, layout="mono") if sound else None
        areas = [rng.integers(0, 255, (12, 16, 3)) for _ in range(shots)]
        backs = [np.kron(a, np.ones((10, 10, 1))).astype(np.uint8) for a in areas]
        for k in range(count):
            picture = backs[k * shots // count].copy()
            x = 10 + (7 * k) % 120
            picture[40:100, x : x + 20] = rng.integers(0, 255, 3)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
        if audio is not None:
            t = np.arange(round(seconds * 16_000)) / 16_000
            wave = (0.3 * np.sin(2 * np.pi * (180 + 20 * seed) * t) * np.sin(2 * np.pi * t) ** 2).astype(np.float32)
            for start in range(0, len(wave), 1024):
                frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16_000, start
                for packet in audio.encode(frame):
                    container.mux(packet)
            for packet in audio.encode(None):
                container.mux(packet)
    return path


class KnownPeople:
    """A capture: everybody waves, and smiles in the second half, at a pace that depends on the film's bytes."""

    fingerprint = "known people 1"

    def __init__(self, options: Any) -> None:
        self.options = options

    def ready(self) -> None: ...

    def people(self, film: Path, start: float, end: float) -> Sequence[Track]:
        pace = 0.5 + hashlib.sha256(film.read_bytes()).digest()[0] / 255
        body, face = waving(end - start, pace), smiling(end - start, pace)
        return [
            Track(body, start, 0, 0.8, np.full(len(body), 0.9), (0.1, 0.1, 0.9, 0.9)),
            Track(face, start, 0, 0.4, np.full(len(face), 0.8), reliability=np.ones(52)),
        ]


def waving(seconds: float, pace: float) -> Motion:
    """The right arm goes up and down; after the half, the left one does."""
    t = np.arange(round(seconds * 20)) / 20
    rotations = np.zeros((len(t), 22, 4), np.float32)
    rotations[..., 0] = 1
    angle = np.sin(2 * np.pi * pace * t)
    for joint, now in ((17, t < seconds / 2), (16, t >= seconds / 2)):
        half = np.where(now, angle, 0) / 2
        rotations[:, joint, 0], rotations[:, joint, 3] = np.cos(half), np.sin(half)
    height = -(SMPL22.offsets[1] + SMPL22.offsets[4] + SMPL22.offsets[7])[1]
    return Motion(rotations, np.tile([0, height, 0], (len(t), 1)), 20.0)


def smiling(seconds: float, pace: float) -> FaceMotion:
    t = np.arange(round(seconds * 30)) / 30
    smile = targets("6C 12D")[:52]
    weights = smile * np.linspace(0.8, 1, len(t))[:, None]
    weights[:, 17] = 0.3 * np.abs(np.sin(2 * np.pi * pace * t))  # the jaw
    return FaceMotion(weights, np.zeros((len(t), 3)), 30.0)


class StandIn:
    """An OpenAI-compatible endpoint that answers by the question alone, and logs every question."""

    def __init__(self, delay: float = 0.0) -> None:
        self.log: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.delay, self.bad, self.tokens = delay, 0, 100
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw)
                owner.log.append(hashlib.sha256(raw).hexdigest())
                owner.bodies.append(body)
                time.sleep(owner.delay)
                owner.bad -= 1
                answer: Any = "well ..." if owner.bad >= 0 else owner.answer(body)
                try:
                    usage = {"prompt_tokens": owner.tokens, "completion_tokens": 20}
                    reply(self, 200, completion(answer) | {"usage": usage})
                except OSError:  # who asked has gone
                    self.close_connection = True

            def log_message(self, *args: Any) -> None: ...

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    @staticmethod
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        # the question itself, not what may follow where its answer was refused
        content = next(m["content"] for m in reversed(body["messages"]) if "<data>" in json.dumps(m["content"]))
        if isinstance(content, list):
            key = hashlib.sha256(json.dumps(content[1:]).encode()).hexdigest()[:4]
            caption = f"a person waves with the right arm, picture {key}"
            again = f"somebody waves, picture {key}"
            return {"visible": True, "face": False, "caption": caption, "again": again, "place": "a room"}
        if "stretches" in content:
            numbers = range(1, content.split("</data>")[0].count('"description"') + 1)
            steps = [{"number": n, "step": f"the person waves for time {n}"} for n in numbers]
            return {"scene": "A person greets somebody.", "activities": [{"task": "They wave", "steps": steps}]}
        return {"instruction": "Smile.", "paraphrases": ["Give a smile.", "Look happy.", "Smile a little."]}
