"""``/v1/gestures``: speech to the gestures of who speaks."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field, JsonValue

from avatargpt.server.core import Server
from avatargpt.server.jobs import post
from avatargpt.server.services import Body
from avatargpt.server.voices import MAX_WORDS, Seed, counter, one, sound_of, words_of
from avatargpt.server.worker import Job, Report

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])


class GestureBody(Body):
    """What `/v1/gestures` takes."""

    sound: str = Field(description="Id of an uploaded sound of speech (POST /v1/uploads).")
    transcript: str = Field(default="", max_length=MAX_WORDS, description="What is said, in English.")
    speaker: str = Field(default="", max_length=80, description="A style of the network; empty: nobody's.")
    calm: bool = Field(default=False, description="Hands rest.")
    energy: float = Field(default=1.0, ge=0.2, le=2.0, description="Size of the movements.")
    seed: int = Seed


def gestures(server: Server, body: GestureBody) -> Job:
    """An upper body with fingers, 30 frames a second; the result is ``{"motions": [Motion]}``."""
    sound = sound_of(server, body.sound)

    def work(report: Report) -> JsonValue:
        from avatargpt.gesture.semantics import Manner

        words, _ = words_of(server, sound, body.transcript)
        motion = server.model.avatars.gestures.perform(
            sound.path, words=None if words is None else words.words, semantics=Manner(None, body.calm, body.energy),
            progress=counter(report, sound.seconds), speaker=body.speaker or None, seed=body.seed,
        )  # fmt: skip
        notes = words.notes if words else ()
        return one(server, motion.with_caption(body.transcript), body.transcript, body.seed, "gesture", sound, notes)

    return server.submit("gesture", work)


post(router, "/gestures", "Speech to gestures", gestures,
     examples=[{"sound": "UPLOAD", "transcript": "we saw a huge fish"}])  # fmt: skip
