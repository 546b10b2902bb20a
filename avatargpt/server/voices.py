"""What faces, gestures and avatars are made of: uploaded sound, its words, feelings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, JsonValue

from avatargpt.options import check_text
from avatargpt.server.core import Server
from avatargpt.server.errors import bad
from avatargpt.server.results import Clip
from avatargpt.server.services import body_of, check_length, keep
from avatargpt.server.worker import Report

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import Body
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.pipeline import FacePipeline
    from avatargpt.speech.words import Words
    from instruct_data.face.score import Score

MAX_WORDS = 20_000  # characters of a transcript
MAX_INSTRUCTION = 1000  # characters
Transcript = Field(default="", max_length=MAX_WORDS)
Instruction = Field(default="", max_length=MAX_INSTRUCTION)
Seed = Field(default=0, ge=0, lt=2**32)


class Sound(NamedTuple):
    """An uploaded sound: its id, file and length."""

    id: str
    path: Path
    seconds: float


def sound_of(server: Server, number: str) -> Sound:
    """The sound of an upload. Raises Refusal for an unknown id, another kind, or a longer one than is accepted."""
    from avatargpt.speech.audio import inspect

    _, path = server.store.upload(number, "sound", ("sound",))
    seconds = inspect(path).seconds
    check_length(server, seconds, "sound")
    return Sound(number, path, seconds)


def words_of(
    server: Server, sound: Sound, transcript: str, feelings: Sequence[Feeling] = ()
) -> tuple[Words | None, Sequence[Feeling]]:
    """The words of a sound, None without a transcript, and feelings with those of its tags; on the model's thread."""
    from avatargpt.avatar.events import read_spoken

    if not transcript.strip():
        return None, feelings
    return read_spoken(transcript, sound.path, server.model.avatars.face.driver, feelings, files=False)


def body_under(server: Server, text: str, motion: str) -> Callable[[int], Body]:
    """The body under a talk by its seed, made on the model's thread: of words, of a stored motion, or standing."""
    if text and motion:
        raise bad("body and motion; accepted one of them", "body")
    if text:
        check_text(text)
        return lambda seed: server.model.acted(text, seed)
    under = server.store.motion(motion, "motion") if motion else None

    def make(seed: int) -> Body:
        from avatargpt.avatar.pipeline import Clip, Standing

        return Standing(seed) if under is None else Clip(body_of(under, "motion"))

    return make


def feelings_of(emotion: str, seconds: float | None) -> list[Feeling]:
    """The keyframes of ``joyful:0.8`` or ``0:calm,2.5:angry``; none for an empty text."""
    from avatargpt.face.audio_model.conditioning import parse_emotions

    return parse_emotions(emotion, seconds, "emotion") if emotion.strip() else []


def doubts(face: FacePipeline, text: str, score: Score | None) -> list[str]:
    """A note where the score of an instruction may not be what its text means."""
    return [f"text: {doubt}"] if text and (doubt := face.doubt(text, score)) else []


def counter(report: Report, seconds: float, passes: int = 1) -> Any:
    """Takes frames at 30 a second that are done, never beyond the total."""
    total = max(1, round(30 * seconds * passes))
    report(0, total)
    return lambda done: report(min(done, total), total)


def one(
    server: Server, clip: Clip, prompt: str, seed: int, operation: str, sound: Sound | None = None,
    notes: Sequence[str] = (),
) -> JsonValue:  # fmt: skip
    """The answer with one motion, which goes into the store with its notes."""
    about: dict[str, Any] = {"notes": list(dict.fromkeys([*notes, *getattr(clip, "notes", ())]))}
    if sound is not None:
        about["sound_id"] = sound.id
    return {"motions": [server.store.motion_json(keep(server, clip, prompt, seed, operation=operation, **about))]}
