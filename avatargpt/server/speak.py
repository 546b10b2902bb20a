"""``/v1/speak``: speech to one avatar, with face, gestures and a body under them."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from pydantic import Field, JsonValue

from avatargpt.options import check_text
from avatargpt.server.core import Server
from avatargpt.server.errors import bad
from avatargpt.server.gestures import GestureBody
from avatargpt.server.jobs import post
from avatargpt.server.services import body_of
from avatargpt.server.voices import Instruction, counter, doubts, feelings_of, one, sound_of, words_of
from avatargpt.server.worker import Job, Report

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
EXAMPLES = {
    "talk": {"value": {"sound": "UPLOAD", "transcript": "welcome to our shop", "emotion": "joyful:0.6"}},
    "on the way": {"value": {"sound": "UPLOAD", "body": "a person walks forward"}},
}  # fmt: skip


class SpeakBody(GestureBody):
    """What `/v1/speak` takes."""

    text: str = Instruction  # what the face does
    emotion: str = Field(default="", max_length=400)  # ``joyful:0.8``, ``0:calm,2.5:angry``
    body: str = Instruction  # what pelvis and legs do, in words; empty: they stand
    motion: str = ""  # id of the motion that they do in place of words


def speak(server: Server, body: SpeakBody) -> Job:
    """Face, hands, arms, body on one clock of 30 frames a second; the result is ``{"motions": [Motion]}``."""
    sound = sound_of(server, body.sound)
    if body.body and body.motion:
        raise bad("body and motion; accepted one of them", "body")
    if body.body:
        check_text(body.body)
    under = server.store.motion(body.motion, "motion") if body.motion else None
    feelings = feelings_of(body.emotion, sound.seconds)

    def work(report: Report) -> JsonValue:
        from avatargpt.avatar.pipeline import Clip, Standing
        from avatargpt.gesture.semantics import Manner

        pipeline, notes = server.model.avatars, []
        step = counter(report, sound.seconds, 2)
        words = words_of(server, sound, body.transcript)
        legs: Clip | Standing = Standing(body.seed)
        if under is not None:
            legs = Clip(body_of(under, "motion"))
        elif body.body:
            (motion,) = server.model.generate([body.body], seed=body.seed)
            legs, notes = Clip(motion), [f"body: {note}" for note in motion.notes]
        score = pipeline.face.place([body.text], sound.seconds, True, feelings)[0]
        notes += doubts(pipeline.face, body.text, score)
        avatar = pipeline.speak(
            sound.path, text=body.text, feelings=feelings, score=score, body=legs, seed=body.seed, progress=step,
            words=None if words is None else words.words, semantics=Manner(None, body.calm, body.energy),
            speaker=body.speaker or None,
        )  # fmt: skip
        caption = body.transcript or body.text or body.body
        avatar = replace(avatar, caption=caption, sound=sound.path)
        return one(server, avatar, caption, body.seed, "speak", sound, [*(words.notes if words else ()), *notes])

    return server.submit("speak", work)


post(router, "/speak", "Speech to an avatar", speak, openapi_examples=EXAMPLES)
