"""``/v1/capture``: a film to motion, where the extra for films is installed."""

from __future__ import annotations

from importlib.util import find_spec

from fastapi import APIRouter
from pydantic import Field, JsonValue

from avatargpt.server.core import Server
from avatargpt.server.errors import Refusal, bad
from avatargpt.server.jobs import post
from avatargpt.server.services import Body, check_length
from avatargpt.server.voices import one
from avatargpt.server.worker import Job, Report

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
PACKAGES = ("av", "mediapipe", "ai_edge_litert")
INSTALL = 'pip install -e ".[video-in]" && avatargpt data models video-in'


class CaptureBody(Body):
    """What `/v1/capture` takes."""

    film: str  # id of an uploaded film
    face: bool = False  # read the face
    body: bool = True  # read the body; both = an avatar
    person: int = Field(default=1, ge=1, le=8)  # 1 = who is largest for longest
    start: float = Field(default=0.0, ge=0, le=1e5)  # second of the film
    end: float | None = Field(default=None, gt=0, le=1e5)


def capture(server: Server, body: CaptureBody) -> Job:
    """The motion of a person in a film; the result is ``{"motions": [Motion]}``.

    Raises:
        Refusal: 501 where the extra is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        text = f"films are not read here: the server has no {', '.join(missing)}; {INSTALL}"
        raise Refusal(501, text, "film", "not_installed")
    if not (body.face or body.body):
        raise bad("face and body: accepted one of them, or both", "body")
    entry, path = server.store.upload(body.film, "film", ("film",))

    def work(report: Report) -> JsonValue:
        from avatargpt.video import capture as films
        from avatargpt.video.frames import inspect

        seconds = (body.end or inspect(path).seconds) - body.start
        check_length(server, seconds, "film")
        read = films.capture_avatar if body.face and body.body else (
            films.capture_face if body.face else films.capture_body
        )  # fmt: skip
        captured = read(path, body.start, body.end, body.person, progress=report)
        caption = str(entry.about["name"])
        return one(server, captured.motion.with_caption(""), caption, 0, "capture", notes=captured.notes)

    return server.submit("capture", work)


post(router, "/capture", "A film to motion", capture, examples=[{"film": "UPLOAD"}])
