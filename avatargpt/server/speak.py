"""``/v1/speak``: speech to one avatar, with face, gestures and a body under them."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from pydantic import Field, JsonValue

from avatargpt.server.core import Server
from avatargpt.server.gestures import GestureBody
from avatargpt.server.jobs import post
from avatargpt.server.voices import MAX_INSTRUCTION, body_under, counter, doubts, feelings_of, one, sound_of, words_of
from avatargpt.server.worker import Job, Report

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
EXAMPLES = {
    "talk": {"value": {"sound": "UPLOAD", "transcript": "welcome to our shop", "emotion": "joyful:0.6"}},
    "on the way": {"value": {"sound": "UPLOAD", "body": "a person walks forward"}},
}  # fmt: skip


class SpeakBody(GestureBody):
    """What `/v1/speak` takes."""

    text: str = Field(default="", max_length=MAX_INSTRUCTION, description="What the face does: 'smile, then frown'.")
    emotion: str = Field(default="", max_length=400, description="'joyful:0.8', or '0:calm,2.5:angry'.")
    body: str = Field(default="", max_length=MAX_INSTRUCTION, description="What the legs do, in words; empty: stand.")
    motion: str = Field(default="", description="Id of a motion that the legs do in place of words.")


def speak(server: Server, body: SpeakBody) -> Job:
    """Face, hands, arms, body on one clock of 30 frames a second; the result is ``{"motions": [Motion]}``."""
    sound = sound_of(server, body.sound)
    under = body_under(server, body.body, body.motion)
    feelings = feelings_of(body.emotion, sound.seconds)

    def work(report: Report) -> JsonValue:
        from avatargpt.avatar.pipeline import Clip
        from avatargpt.gesture.semantics import Manner

        pipeline = server.model.avatars
        step = counter(report, sound.seconds, 2)
        words, moods = words_of(server, sound, body.transcript, feelings)
        legs = under(body.seed)
        score = pipeline.read_face(body.text, moods, sound.seconds, legs)
        avatar = pipeline.speak(
            sound.path, text=body.text, feelings=moods, score=score, body=legs, seed=body.seed, progress=step,
            words=None if words is None else words.words, semantics=Manner(None, body.calm, body.energy),
            speaker=body.speaker or None,
        )  # fmt: skip
        notes = [*(words.notes if words else ()), *doubts(pipeline.face, body.text, score)]
        notes += [f"body: {note}" for note in (legs.motion.notes if isinstance(legs, Clip) else ())]
        caption = body.transcript or body.text or body.body
        avatar = replace(avatar, caption=caption, sound=sound.path)
        return one(server, avatar, caption, body.seed, "speak", sound, notes)

    return server.submit("speak", work)


post(router, "/speak", "Speech to an avatar", speak, openapi_examples=EXAMPLES)
