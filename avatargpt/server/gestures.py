"""``/v1/gestures``: speech to the gestures of who speaks."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import JsonValue

from avatargpt.server.core import Server
from avatargpt.server.jobs import post
from avatargpt.server.voices import counter, hear, one
from avatargpt.server.worker import Job, Report
from avatargpt.verbs.request import values_of
from avatargpt.verbs.speech import GestureRequest

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])


def gestures(server: Server, body: GestureRequest) -> Job:
    """An upper body with fingers, 30 frames a second; the result is ``{"motions": [Motion]}``."""
    sound, load = hear(server, body)

    def work(report: Report) -> JsonValue:
        motion = server.model.gesture(**values_of(load()), progress=counter(report, sound.seconds))
        said = body.transcript or ""
        return one(server, motion.with_caption(said), said, body.seed, "gesture", sound)

    return server.submit("gesture", work)


post(router, "/gestures", "Speech to gestures", gestures,
     examples=[{"sound": "UPLOAD", "transcript": "we saw a huge fish"}])  # fmt: skip
