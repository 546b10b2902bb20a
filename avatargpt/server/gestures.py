"""``/v1/gestures``: speech to the gestures of who speaks."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field, JsonValue

from avatargpt.server.core import Server
from avatargpt.server.jobs import post
from avatargpt.server.services import Body
from avatargpt.server.voices import Seed, Transcript, counter, one, sound_of, spoken_in
from avatargpt.server.worker import Job, Report

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])


class GestureBody(Body):
    """What `/v1/gestures` takes."""

    sound: str  # id of an uploaded sound
    transcript: str = Transcript  # what is said, in English
    speaker: str = Field(default="", max_length=80)  # a style of the network
    calm: bool = False  # hands rest
    energy: float = Field(default=1.0, ge=0.2, le=2.0)  # size of the movements
    seed: int = Seed


def gestures(server: Server, body: GestureBody) -> Job:
    """An upper body with fingers, 30 frames a second; the result is ``{"motions": [Motion]}``."""
    sound = sound_of(server, body.sound)

    def work(report: Report) -> JsonValue:
        from avatargpt.gesture.semantics import Manner

        spoken = spoken_in(server, sound, body.transcript)
        motion = server.model.avatars.gestures.perform(
            sound.path, words=None if spoken is None else spoken.words.words,
            semantics=Manner(None, body.calm, body.energy), progress=counter(report, sound.seconds),
            speaker=body.speaker or None, seed=body.seed,
        )  # fmt: skip
        notes = spoken.notes if spoken else ()
        return one(server, motion.with_caption(body.transcript), body.transcript, body.seed, "gesture", sound, notes)

    return server.submit("gesture", work)


post(router, "/gestures", "Speech to gestures", gestures,
     examples=[{"sound": "UPLOAD", "transcript": "we saw a huge fish"}])  # fmt: skip
