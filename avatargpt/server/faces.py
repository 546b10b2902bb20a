"""``/v1/faces``: an instruction, feelings and speech to a face."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import Field, JsonValue

from avatargpt.server.core import Server
from avatargpt.server.errors import bad
from avatargpt.server.jobs import post
from avatargpt.server.services import Body, check_length
from avatargpt.server.voices import Instruction, Seed, Transcript, counter, doubts, feelings_of, one, sound_of, words_of
from avatargpt.server.worker import Job, Report

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
EXAMPLES = {
    "instruction": {"value": {"text": "smile, then raise the left eyebrow", "seconds": 4}},
    "speech": {"value": {"sound": "UPLOAD", "emotion": "joyful:0.7"}},
    "at a word": {"value": {"sound": "UPLOAD", "transcript": "I really mean it",
                            "text": "raise the brows when you say really"}},
}  # fmt: skip


class FaceBody(Body):
    """What `/v1/faces` takes; at least one of `text`, `emotion` and `sound`."""

    text: str = Instruction  # what the face does
    emotion: str = Field(default="", max_length=400)  # ``joyful:0.8``, ``0:calm,2.5:angry``
    sound: str = ""  # id of an uploaded sound that it speaks
    transcript: str = Transcript  # of the sound, for its lips and "when you say ..."
    seconds: float | None = Field(default=None, gt=0, le=3600)  # without sound; None = as it takes
    seed: int = Seed  # of blinks and idle movement


def faces(server: Server, body: FaceBody) -> Job:
    """A face of 52 weights and its head, 30 frames a second; the result is ``{"motions": [Motion]}``."""
    if not (body.text.strip() or body.emotion.strip() or body.sound):
        raise bad("nothing to do; accepted text, emotion, sound, or any of them together", "text")
    if body.sound and body.seconds is not None:
        raise bad("seconds: accepted without sound, whose length counts", "seconds")
    if body.transcript and not body.sound:
        raise bad("transcript: accepted with sound", "transcript")
    sound = sound_of(server, body.sound) if body.sound else None
    length = sound.seconds if sound else body.seconds
    if length is not None:
        check_length(server, length)
    feelings = feelings_of(body.emotion, length)

    def work(report: Report) -> JsonValue:
        from avatargpt.avatar.pipeline import finish_face
        from avatargpt.face.audio_model.controls import LIVELY

        pipeline = server.model.avatars.face
        words, moods = words_of(server, sound, body.transcript, feelings) if sound else (None, feelings)
        times = words.words if words else ()
        score = pipeline.place([body.text], length, sound is not None, moods, words=times)[0]
        seconds = length or pipeline.default_seconds(score, moods)
        check_length(server, seconds, "text")
        notes = doubts(pipeline, body.text, score)
        clip = pipeline.perform(
            body.text, sound.path if sound else None, feelings=moods, seconds=None if sound else length,
            score=score, progress=counter(report, seconds), words=times,
        )  # fmt: skip
        caption = body.text or ", ".join(f.words for f in feelings)
        of_sound = (server.model.avatars.gestures, sound.path) if sound else ()
        clip = finish_face(pipeline, clip, LIVELY, score, body.seed, *of_sound).with_caption(caption)
        return one(server, clip, caption, body.seed, "face", sound, notes=[*(words.notes if words else ()), *notes])

    return server.submit("face", work)


post(router, "/faces", "Instruction, feelings, speech to a face", faces, openapi_examples=EXAMPLES)
