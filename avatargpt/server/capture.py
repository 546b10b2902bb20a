"""``/v1/capture``: a film to motion, where the extra for films is installed."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

from fastapi import APIRouter
from pydantic import JsonValue

from avatargpt.server.core import Server
from avatargpt.server.errors import Refusal
from avatargpt.server.jobs import post
from avatargpt.server.services import check_json, check_length
from avatargpt.server.voices import one
from avatargpt.server.worker import Job, Report
from avatargpt.verbs import files
from avatargpt.verbs.files import CaptureRequest

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
PACKAGES = ("av", "mediapipe", "ai_edge_litert")
INSTALL = 'pip install -e ".[video-in]" && avatargpt data models video-in'


def capture(server: Server, body: CaptureRequest) -> Job:
    """The motion of a person in a film; the result is ``{"motions": [Motion]}``.

    Raises:
        Refusal: 501 where the extra is missing.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        text = f"films are not read here: the server has no {', '.join(missing)}; {INSTALL}"
        raise Refusal(501, text, "film", "not_installed")
    check_json(body)
    asked = replace(body, body=body.body is not False)
    asked.check()
    entry, path = server.store.upload(body.film, "film", ("film",))

    def work(report: Report) -> JsonValue:
        from avatargpt.video.frames import inspect

        seconds = (body.end or inspect(path).seconds) - body.start
        check_length(server, seconds, "film")
        captured = files.capture(None, replace(asked, film=path, progress=report))
        caption = str(entry.about["name"])
        return one(server, captured.motion.with_caption(""), caption, 0, "capture", notes=captured.notes)

    return server.submit("capture", work)


post(router, "/capture", "A film to motion", capture, examples=[{"film": "UPLOAD"}])
