"""``/v1/faces``: an instruction, feelings and speech to a face."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import JsonValue

from avatargpt.server.core import Server
from avatargpt.server.jobs import post
from avatargpt.server.services import check_length
from avatargpt.server.voices import counter, hear, one
from avatargpt.server.worker import Job, Report
from avatargpt.verbs.face import ActFaceRequest
from avatargpt.verbs.request import values_of
from avatargpt.verbs.speech import read_feelings

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
EXAMPLES = {
    "instruction": {"value": {"text": "smile, then raise the left eyebrow", "seconds": 4}},
    "speech": {"value": {"sound": "UPLOAD", "emotion": "joyful:0.7"}},
    "at a word": {"value": {"sound": "UPLOAD", "transcript": "I really mean it",
                            "text": "raise the brows when you say really"}},
}  # fmt: skip


def faces(server: Server, body: ActFaceRequest) -> Job:
    """A face of 52 weights and its head, 30 frames a second; the result is ``{"motions": [Motion]}``."""
    sound, load = hear(server, body)
    asked = load()
    asked.check()
    length = sound.seconds if sound else body.seconds
    if length is not None:
        check_length(server, length)
    read_feelings(body.emotion, length)

    def work(report: Report) -> JsonValue:
        if length is None:
            pipeline = server.model.avatars.face
            check_length(server, pipeline.default_seconds(pipeline.place([body.text], None, False)[0]), "text")
        clip = server.model.act_face(**values_of(asked), progress=counter(report, length or 0.0))
        return one(server, clip, clip.caption, body.seed, "face", sound)

    return server.submit("face", work)


post(router, "/faces", "Instruction, feelings, speech to a face", faces, openapi_examples=EXAMPLES)
