"""What faces, gestures and avatars are made of: uploaded sound, its words, feelings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, JsonValue

from avatargpt.options import check_text
from avatargpt.server.core import Server
from avatargpt.server.errors import bad
from avatargpt.server.results import Clip, Stored
from avatargpt.server.services import body_of, check_json, check_length, keep
from avatargpt.server.worker import Report
from avatargpt.verbs.request import resolve_sources
from avatargpt.verbs.speech import MAX_INSTRUCTION, MAX_WORDS

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import Body

Instruction = Field(default="", max_length=MAX_INSTRUCTION)


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


def body_under(server: Server, text: str, motion: str) -> Callable[[int], Body]:
    """The body under a live talk by its seed, made on the model's thread: of words, of a stored motion, or standing."""
    if text and motion:
        raise bad("body and motion; accepted one of them", "body")
    if text:
        check_text(text)
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
