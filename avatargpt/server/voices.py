"""``/v1/faces``, ``/v1/gestures``, ``/v1/speak``, ``/v1/capture``: instructions, speech and films to motion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter
from pydantic import Field, JsonValue

from avatargpt.options import check_text
from avatargpt.server.core import Server
from avatargpt.server.errors import Refusal, bad
from avatargpt.server.jobs import post
from avatargpt.server.results import Clip, Stored
from avatargpt.server.services import body_of, check_json, check_length, keep
from avatargpt.server.worker import Job, Report
from avatargpt.verbs.face import ActFaceRequest
from avatargpt.verbs.files import CaptureRequest
from avatargpt.verbs.files import capture as capture_film
from avatargpt.verbs.request import resolve_sources, values_of
from avatargpt.verbs.speech import MAX_INSTRUCTION, MAX_WORDS, GestureRequest, SpeakRequest, read_feelings

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import Body

router = APIRouter(prefix="/v1", tags=["faces, gestures, speech"])
Instruction = Field(default="", max_length=MAX_INSTRUCTION)
FACES = {
    "instruction": {"value": {"text": "smile, then raise the left eyebrow", "seconds": 4}},
    "speech": {"value": {"sound": "UPLOAD", "emotion": "joyful:0.7"}},
    "at a word": {"value": {"sound": "UPLOAD", "transcript": "I really mean it",
                            "text": "raise the brows when you say really"}},
}  # fmt: skip
TALKS = {
    "talk": {"value": {"sound": "UPLOAD", "transcript": "welcome to our shop", "emotion": "joyful:0.6"}},
    "on the way": {"value": {"sound": "UPLOAD", "body": "a person walks forward"}},
}  # fmt: skip
STANDS = ("", "idle", None)  # values of `body` that are no words
PACKAGES = ("av", "mediapipe", "ai_edge_litert")
INSTALL = 'pip install -e ".[video-in]" && avatargpt data models video-in'


class UploadedSound(NamedTuple):
    """An uploaded sound: its id, file and length."""

    id: str
    path: Path
    seconds: float


def sound_of(server: Server, number: str) -> UploadedSound:
    """The sound of an upload. Raises Refusal for an unknown id, another kind, or a longer one than is accepted."""
    from avatargpt.speech.audio import inspect

    _, path = server.store.upload(number, "sound", ("sound",))
    seconds = inspect(path).seconds
    check_length(server, seconds, "sound")
    return UploadedSound(number, path, seconds)


def hear(server: Server, body: Any) -> tuple[Any, Callable[[], Any]]:
    """The sound of a request, None without one, and what gives the request with files and motions in place of ids.

    Its transcripts are texts: files of this machine are nobody's business here. Motions are read when the request is
    asked for, on the model's thread.
    """
    for name in ("transcript", "interlocutor_transcript"):
        said = getattr(body, name, None)
        if said is not None and not isinstance(said, str):
            raise bad(f"{name}: accepted a text", name)
        if said and len(said) > MAX_WORDS:
            raise bad(f"{name}: {len(said)} characters; accepted at most {MAX_WORDS}", name)
    check_json(body)
    sounds: dict[str, UploadedSound] = {}
    entries: dict[str, Stored] = {}

    def find(kind: str, value: str, name: str) -> Any:
        if kind == "sound":
            sounds[name] = sound_of(server, value)
            return sounds[name].path
        entries[name] = server.store.motion(value, name)
        return value

    found = replace(resolve_sources(body, find), files=False)
    empty = {name: None for name in ("sound", "motion") if getattr(found, name, None) == ""}
    if "sound" in empty and not hasattr(body, "seconds"):
        raise bad("sound: needed, the id of an upload", "sound")
    asked = replace(found, **empty)
    return sounds.get("sound"), lambda: resolve_sources(asked, lambda kind, value, name: body_of(entries[name], name))


def words_of_body(asked: SpeakRequest) -> str:
    """What the body does in words, empty where it stands or does a motion. Raises Refusal (400) for both."""
    if asked.body in STANDS:
        return ""
    check_text(asked.body)
    if asked.motion:
        raise bad("body and motion; accepted one of them", "body")
    if len(asked.body) > MAX_INSTRUCTION:
        raise bad(f"body: {len(asked.body)} characters; accepted at most {MAX_INSTRUCTION}", "body")
    return str(asked.body)


def body_under(server: Server, text: str, motion: str) -> Callable[[int], Body]:
    """The body under a live talk by its seed, made on the model's thread: of words, of a stored motion, or standing."""
    if text:
        return lambda seed: server.model.acted(text, seed)
    under = server.store.motion(motion, "motion") if motion else None

    def make(seed: int) -> Body:
        from avatargpt.avatar.pipeline import BodyClip, Standing

        return Standing(seed) if under is None else BodyClip(body_of(under, "motion"))

    return make


def counter(report: Report, seconds: float, passes: int = 1) -> Any:
    """Takes frames at 30 a second that are done, never beyond the total."""
    total = max(1, round(30 * seconds * passes))
    report(0, total)
    return lambda done: report(min(done, total), total)


def one(
    server: Server, clip: Clip, prompt: str, seed: int, operation: str, sound: UploadedSound | None = None,
    notes: Sequence[str] = (),
) -> JsonValue:  # fmt: skip
    """The answer with one motion, which goes into the store with its notes."""
    about: dict[str, Any] = {"notes": list(dict.fromkeys([*notes, *getattr(clip, "notes", ())]))}
    if sound is not None:
        about["sound_id"] = sound.id
    return {"motions": [server.store.motion_json(keep(server, clip, prompt, seed, operation=operation, **about))]}


def face(server: Server, body: ActFaceRequest) -> Job:
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


post(router, "/faces", "Instruction, feelings, speech to a face", face, openapi_examples=FACES)


def gesture(server: Server, body: GestureRequest) -> Job:
    """An upper body with fingers, 30 frames a second; the result is ``{"motions": [Motion]}``."""
    sound, load = hear(server, body)

    def work(report: Report) -> JsonValue:
        motion = server.model.gesture(**values_of(load()), progress=counter(report, sound.seconds))
        said = body.transcript or ""
        return one(server, motion.with_caption(said), said, body.seed, "gesture", sound)

    return server.submit("gesture", work)


post(router, "/gestures", "Speech to gestures", gesture,
     examples=[{"sound": "UPLOAD", "transcript": "we saw a huge fish"}])  # fmt: skip


def speak(server: Server, body: SpeakRequest) -> Job:
    """Face, hands, arms, body on one clock of 30 frames a second; the result is ``{"motions": [Motion]}``."""
    words = words_of_body(body)
    sound, load = hear(server, body)
    read_feelings(body.emotion, sound.seconds)

    def work(report: Report) -> JsonValue:
        from avatargpt.avatar.pipeline import names_file

        if words and names_file(words):
            raise bad("body: accepted words", "body")  # files of this machine are nobody's business here
        avatar = server.model.speak(**values_of(load()), progress=counter(report, sound.seconds, 2))
        caption = body.transcript or body.text or words
        avatar = replace(avatar, caption=caption, sound=sound.path)
        return one(server, avatar, caption, body.seed, "speak", sound)

    return server.submit("speak", work)


post(router, "/speak", "Speech to an avatar", speak, openapi_examples=TALKS)


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
        captured = capture_film(None, replace(asked, film=path, progress=report))
        caption = str(entry.about["name"])
        return one(server, captured.motion.with_caption(""), caption, 0, "capture", notes=captured.notes)

    return server.submit("capture", work)


post(router, "/capture", "A film to motion", capture, refused=(501,), examples=[{"film": "UPLOAD"}])
