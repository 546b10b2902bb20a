"""``/v1/speak``: speech to one avatar, with face, gestures and a body under them."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from pydantic import JsonValue

from avatargpt.options import check_text
from avatargpt.server.core import Server
from avatargpt.server.errors import bad
from avatargpt.server.jobs import post
from avatargpt.server.voices import counter, hear, one
from avatargpt.server.worker import Job, Report
from avatargpt.verbs.request import values_of
from avatargpt.verbs.speech import MAX_INSTRUCTION, SpeakRequest, read_feelings

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
EXAMPLES = {
    "talk": {"value": {"sound": "UPLOAD", "transcript": "welcome to our shop", "emotion": "joyful:0.6"}},
    "on the way": {"value": {"sound": "UPLOAD", "body": "a person walks forward"}},
}  # fmt: skip
STANDS = ("", "idle", None)  # values of `body` that are no words


def speak(server: Server, body: SpeakRequest) -> Job:
    """Face, hands, arms, body on one clock of 30 frames a second; the result is ``{"motions": [Motion]}``."""
    if body.body not in STANDS:
        check_text(body.body)
        if body.motion:
            raise bad("body and motion; accepted one of them", "body")
        if len(body.body) > MAX_INSTRUCTION:
            raise bad(f"body: {len(body.body)} characters; accepted at most {MAX_INSTRUCTION}", "body")
    sound, load = hear(server, body)
    read_feelings(body.emotion, sound.seconds)

    def work(report: Report) -> JsonValue:
        from avatargpt.avatar.pipeline import names_file

        if body.body not in STANDS and names_file(body.body):
            raise bad("body: accepted words", "body")  # files of this machine are nobody's business here
        avatar = server.model.speak(**values_of(load()), progress=counter(report, sound.seconds, 2))
        caption = body.transcript or body.text or (body.body if body.body not in STANDS else "")
        avatar = replace(avatar, caption=caption, sound=sound.path)
        return one(server, avatar, caption, body.seed, "speak", sound)

    return server.submit("speak", work)


post(router, "/speak", "Speech to an avatar", speak, openapi_examples=EXAMPLES)
