"""`Client`: every method is one route; work that outlasts one exchange is followed as a job until its end."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import numpy as np

from .results import Clip, File, Frames, Progress, ServerError, Upload, frames_of, message, send_sound
from .verbs import Verbs

if TYPE_CHECKING:
    from . import verbs

URL, KEY = "AVATARGPT_URL", "AVATARGPT_KEY"  # environment variables
DEFAULT_URL = "http://127.0.0.1:8765"
WAIT = 30.0  # seconds of one exchange that waits for work
POLL = 0.2  # seconds between two looks at a job
ENDED = ("done", "failed", "cancelled")


class Client(Verbs):
    """A server. A context manager; without it call `close`.

    Args:
        url: its address; by default that of the variable AVATARGPT_URL, else ``http://127.0.0.1:8765``.
        key: the server's API key; by default AVATARGPT_KEY.
        timeout: seconds that a method may take in all, waiting for a busy server included.
        transport: of httpx, for tests.

    Raises:
        ValueError: an address that is not http or https.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, timeout: float = 600.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        address = url or os.environ.get(URL, "").strip() or DEFAULT_URL
        if not address.startswith(("http://", "https://")):
            raise ValueError(f"{address}: no address of a server; accepted http://HOST:PORT or https://HOST")
        self.url, self.timeout = address.rstrip("/"), timeout
        self.key = os.environ.get(KEY, "").strip() if key is None else key
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        limits = httpx.Timeout(WAIT + 30.0, connect=10.0)
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=limits, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def motion(self, id: str) -> Clip:
        """A motion by its id."""
        return Clip.of(self._json("GET", f"/v1/motions/{id}"))

    # Streams

    def live(self, blocks: Iterable[np.ndarray], rate: int = 16_000, **fields: Any) -> Iterator[Frames]:
        """A live avatar: blocks of int16 samples (n,) in, face, hands and body out as they are ready.

        Args:
            blocks: may come as slowly as a microphone; what comes faster waits.
            fields: text, emotion, body, motion (a `Clip`), speaker, calm, energy, seed, presets.

        Raises:
            ServerError: a mistake in the fields, too many streams, no server.
        """
        with self._socket() as socket:
            socket.send(json.dumps({"type": "start", "rate": rate, **_plain(fields)}))
            ready = message(socket)
            yield from send_sound(socket, blocks, rate, float(ready["latency"]))

    def long(self, scene: str, seconds: float, **fields: Any) -> Iterator[Frames]:
        """Long motion as it is made; it waits for a reader who is slow. `fields`: seed, radius, planner."""
        with self._socket() as socket:
            socket.send(json.dumps({"type": "long", "scene": scene, "seconds": seconds, **_plain(fields)}))
            message(socket)
            for frames in frames_of(socket):
                yield frames
                socket.send(json.dumps({"type": "ack", "frame": frames.start + len(frames.root)}))

    @contextmanager
    def _socket(self) -> Iterator[Any]:
        try:
            from websockets.exceptions import WebSocketException
            from websockets.sync.client import connect
        except ImportError:
            raise ValueError('streams need websockets; install it with pip install "avatargpt[live]"') from None
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        url = f"ws{self.url.removeprefix('http')}/v1/stream"
        try:
            socket = connect(url, additional_headers=headers, max_size=1 << 24)
        except (OSError, WebSocketException) as e:
            raise ServerError(f"{url}: no stream ({e})") from None
        with socket:
            try:
                yield socket
            except WebSocketException as e:
                raise ServerError(f"{url}: the stream has ended ({e})") from None

    # Files

    def upload(self, path: str | os.PathLike[str]) -> Upload:
        """Send a file."""
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"{file}: no such file")
        # read while it is sent: a film need not fit into the memory
        with file.open("rb") as data:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
            blocks = iter(partial(data.read, 1 << 16), b"")
            row = self._json("POST", "/v1/uploads", params={"name": file.name}, content=blocks, headers=headers)
        motion = Clip.of(row["motion"]) if row.get("motion") else None
        return Upload(row["id"], row["kind"], row["name"], int(row["bytes"]), motion)

    def load(self, path: str | os.PathLike[str]) -> Clip:
        """Send a motion's file, which becomes a motion of the server.

        Raises:
            ValueError: a file without motion.
        """
        sent = self.upload(path)
        if sent.motion is None:
            raise ValueError(f"{path}: the server takes it for a file of kind {sent.kind}; accepted a motion")
        return sent.motion

    def save(self, motion: Clip | str, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write a motion in the format of the suffix, with its options; `character`: an `Upload` that wears it."""
        target = Path(path)
        if not target.suffix:
            raise ValueError(f"{target}: no suffix; accepted that of a format, such as .glb")
        number = motion.id if isinstance(motion, Clip) else motion
        return self._download(f"/v1/exports/{number}{target.suffix.lower()}", target, options)

    def fetch(self, motion: Clip | str) -> Any:
        """A motion as the object that `avatargpt.export.load` gives: `Motion`, `FaceMotion` or `AvatarMotion`."""
        from avatargpt import export

        with tempfile.TemporaryDirectory() as folder:
            return export.load(self.save(motion, Path(folder) / "motion.npz"))

    # Jobs

    def job(self, id: str) -> verbs.Job:
        """The state of a job."""
        return self._json("GET", f"/v1/jobs/{id}")

    def cancel(self, id: str) -> verbs.Job:
        """Cancel a job."""
        return self._json("DELETE", f"/v1/jobs/{id}")

    def submit(self, route: str, **fields: Any) -> dict[str, Any]:
        """Begin work (``motions``, ``describe``, ``plans``, ``faces`` ...) without waiting for it; its job."""
        answer = self._json("POST", f"/v1/{route}", params={"wait": 0}, json=_plain(fields))
        job = answer.get("job")
        # what takes no time may be done already
        return job if isinstance(job, dict) else {"id": "", "status": "done"} | answer

    def follow(self, id: str, progress: Progress | None = None) -> Any:
        """Wait for the end of a job; what it gives.

        Raises:
            ServerError: it failed, was cancelled or takes longer than the timeout of the client.
        """
        until = time.monotonic() + self.timeout
        while True:
            row = self.job(id)
            if progress is not None:
                progress(int(row["progress"]["done"]), int(row["progress"]["total"]))
            if row["status"] == "done":
                return row
            if row["status"] in ENDED:
                error = row.get("error") or {"code": "cancelled", "message": "cancelled"}
                raise ServerError(error["message"], 0, error["code"], error.get("where", ""))
            if time.monotonic() > until:
                raise ServerError(f"job {id}: not done within {self.timeout:g} s", 0, "timeout")
            time.sleep(POLL)

    def job_events(self, id: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and data of the events of a job, until its end."""
        return self._events(f"/v1/jobs/{id}/events")

    # Sessions

    def session(self, id: str = "") -> Session:
        """A conversation over a timeline: a new one, or the one with an id."""
        row = self._json("GET", f"/v1/sessions/{id}") if id else self._json("POST", "/v1/sessions")
        return Session(self, row)

    # The server

    def health(self) -> verbs.Health:
        """What ``/healthz`` says."""
        return self._json("GET", "/healthz")

    # Exchanges

    def _work(self, path: str, fields: dict[str, Any], progress: Progress | None = None) -> Any:
        """The answer of a route that takes time."""
        wait = 0 if progress is not None else min(WAIT, self.timeout)
        answer = self._json("POST", path, params={"wait": wait}, json=_plain(fields))
        job = answer.get("job")
        return self.follow(job["id"], progress) if isinstance(job, dict) else answer

    def _json(self, method: str, path: str, **request: Any) -> Any:
        with self._answer(method, path, **request) as response:
            try:
                value = json.loads(response.read())
            except ValueError:
                raise ServerError(f"{self.url}{path}: an answer that is not JSON", response.status_code) from None
        if not isinstance(value, dict):
            raise ServerError(f"{self.url}{path}: an answer that is no object", response.status_code)
        return value

    @contextmanager
    def _answer(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """A successful response; a busy server is asked again after the time that it names."""
        until = time.monotonic() + self.timeout
        while True:
            try:
                with self._http.stream(method, path, **request) as response:
                    if response.is_success:
                        yield response
                        return
                    error, pause = _error(response), _pause(response)
            except httpx.HTTPError as e:
                raise ServerError(f"{self.url}: no answer ({str(e) or type(e).__name__})") from None
            # a stream that was read cannot be sent again
            if pause is None or "content" in request or time.monotonic() + pause > until:
                raise error
            time.sleep(pause)

    def _download(self, path: str, target: Path, options: dict[str, Any]) -> Path:
        """A file of the server, which appears under its name when it is complete."""
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".avatargpt-") as folder:
            part = Path(folder) / target.name
            with self._answer("GET", path, params=_plain(options)) as response, part.open("wb") as file:
                for block in response.iter_bytes():
                    file.write(block)
            return part.replace(target)

    def _events(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with self._answer("GET", path) as response:
            name = "message"
            for line in response.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "data":
                    yield name, json.loads(value)

    def _upload(self, file: File) -> str:
        """The id of a file, which is sent unless it was before."""
        return (file if isinstance(file, Upload) else self.upload(file)).id


class Session:
    """A conversation over a timeline on a server; `state` is its JSON after the last turn."""

    def __init__(self, client: Client, state: verbs.Session) -> None:
        self._client, self.state = client, state
        self.id: str = state["id"]

    @property
    def segments(self) -> list[verbs.Segment]:
        """What stands on the timeline."""
        return list(self.state["segments"])

    def say(self, text: str) -> verbs.Reply:
        """A turn in words; the reply."""
        return self._turn({"text": text})

    def do(self, *acts: str) -> verbs.Reply:
        """A turn of acts, such as ``edit 2: slower``; the reply."""
        return self._turn({"acts": list(acts)})

    def append(self, motion: Clip | str, caption: str = "") -> verbs.Session:
        """A motion at the end of the timeline; the session."""
        answer = self._client._work(f"/v1/sessions/{self.id}/motions", {"motion": motion, "caption": caption})
        self.state = answer.get("session", answer)
        return self.state

    def refresh(self) -> verbs.Session:
        """The state as it is now."""
        self.state = self._client._json("GET", f"/v1/sessions/{self.id}")
        return self.state

    def save(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the timeline; `first`, `last`: of its segments."""
        target = Path(path)
        return self._client._download(f"/v1/sessions/{self.id}/exports{target.suffix.lower()}", target, options)

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and data of what happens in the session, without end."""
        return self._client._events(f"/v1/sessions/{self.id}/events")

    def python(self) -> str:
        """What was done, as a script."""
        with self._client._answer("GET", f"/v1/sessions/{self.id}/python") as response:
            return response.read().decode()

    def _turn(self, body: dict[str, Any]) -> verbs.Reply:
        answer = self._client._work(f"/v1/sessions/{self.id}/turns", body)
        self.state = answer["session"]
        reply: verbs.Reply = answer["reply"]
        return reply


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields without those that are not set, clips and uploads by their ids."""
    return {k: v.id if isinstance(v, Clip | Upload) else v for k, v in fields.items() if v is not None and v != ""}


def _error(response: httpx.Response) -> ServerError:
    """The error in an answer."""
    response.read()
    try:
        error = response.json()["error"]
        message, code, where = str(error["message"]), str(error["code"]), str(error.get("where") or "")
    except (ValueError, KeyError, TypeError):
        message, code, where = f"HTTP {response.status_code}", "", ""
    return ServerError(f"{response.request.url.copy_with(query=None)}: {message}", response.status_code, code, where)


def _pause(response: httpx.Response) -> float | None:
    """Seconds after which the request may be sent again; None = never."""
    if response.status_code not in (429, 503):
        return None
    try:
        return min(60.0, max(0.1, float(response.headers["Retry-After"])))
    except (KeyError, ValueError):
        return None
