"""The server over HTTP, with Python's own library: Blender's Python has no other."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

DEFAULT = "http://127.0.0.1:8765"
SECONDS = 600.0  # for a motion in all
WAIT = 30.0  # seconds of one exchange


class Failed(Exception):
    """What went wrong, in one line."""


class Server:
    """A server by its address."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url, self.key = url.rstrip("/"), key
        if not self.url.startswith(("http://", "https://")):
            raise Failed(f"{url}: no address of a server; accepted http://HOST:PORT")

    def motion(self, asked: dict) -> dict:
        """The motion of a request: its id, frames, notes."""
        return self._made("/v1/motions", asked)

    def between(self, asked: dict, start: Path, end: Path) -> tuple[dict, list[float]]:
        """A motion from one pose to another, and the seconds at which it is in them."""
        before, after = (self._upload(path)["motion"]["id"] for path in (start, end))
        made = self._made("/v1/inbetween", {**asked, "start": before, "end": after, "keep_place": True})
        middle = max(1, round(asked["seconds"] * made["fps"]))
        held = (made["frames"] - middle) // 2
        return made, [(held - 1) / made["fps"], (held + middle) / made["fps"]]

    def export(self, motion: dict, fps: float, character: Path | None, target: Path) -> None:
        """Write a motion as .glb, on a character's own skeleton."""
        query = {"fps": fps}
        if character is not None:
            query["character"] = self._upload(character)["id"]
        target.write_bytes(self._exchange(f"/v1/exports/{motion['id']}.glb", query))

    def _upload(self, path: Path) -> dict:
        return self._json("/v1/uploads", {"name": path.name}, path.read_bytes())

    def _made(self, path: str, asked: dict) -> dict:
        answer = self._json(path, {"wait": WAIT}, json.dumps(asked).encode(), "application/json")
        until = time.monotonic() + SECONDS
        while "motions" not in answer or answer.get("status", "done") != "done":
            job = answer.get("job", answer)
            if job.get("status") in ("failed", "cancelled"):
                raise Failed((job.get("error") or {}).get("message", "cancelled"))
            if time.monotonic() > until:
                raise Failed(f"no motion within {SECONDS:g} s")
            time.sleep(0.3)
            answer = self._json(f"/v1/jobs/{job['id']}")
        (motion,) = answer["motions"]
        return motion

    def _json(self, path: str, query: dict | None = None, body: bytes | None = None, kind: str = "") -> dict:
        try:
            value = json.loads(self._exchange(path, query, body, kind))
        except ValueError:
            raise Failed(f"{self.url}: an answer that is not JSON; is this AvatarGPT's server?") from None
        if not isinstance(value, dict):
            raise Failed(f"{self.url}: an answer that is no object; is this AvatarGPT's server?")
        return value

    def _exchange(self, path: str, query: dict | None = None, body: bytes | None = None, kind: str = "") -> bytes:
        request = urllib.request.Request(f"{self.url}{path}?{urllib.parse.urlencode(query or {})}", body)
        request.add_header("Content-Type", kind or "application/octet-stream")
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        try:
            with urllib.request.urlopen(request, timeout=WAIT + 60) as response:
                return response.read()
        except urllib.error.HTTPError as e:
            raise Failed(_message(e)) from None
        except OSError as e:
            raise Failed(f"{self.url}: no server ({getattr(e, 'reason', e)}); start one: avatargpt serve") from None


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"
