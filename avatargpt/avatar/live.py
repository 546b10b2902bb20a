"""A live avatar: the recording of a run, and a talk of events on one stream, so that pose and blinks go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.avatar.events import EventSound, Sentence
from avatargpt.export.avatar import AvatarMotion
from avatargpt.gesture.stream import Live
from avatargpt.speech.audio import FPS, frames_in
from avatargpt.speech.live import NO_SOUND
from vqvae import face as faces
from vqvae.errors import UserError
from vqvae.motion import concatenate

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import AvatarPipeline, AvatarStream

Report = Callable[[dict[str, Any]], None]


def joined(pieces: Iterable[AvatarMotion], sound: Path | None = None) -> AvatarMotion:
    """Consecutive pieces as one. Raises UserError where there is none."""
    parts = list(pieces)
    if not parts:
        raise UserError(NO_SOUND)
    body, face = concatenate([p.body for p in parts]), faces.concatenate([p.face for p in parts])
    return AvatarMotion(body, face, sound, parts[0].caption, parts[0].notes)


@dataclass
class AvatarTake(Live):
    """The state of a live run of an avatar, and its pieces where these are recorded."""

    sound: Path | None = None

    def motion(self) -> AvatarMotion:
        """The recorded clip. Raises UserError where there is none."""
        return joined(self.pieces, self.sound)


@dataclass
class EventTalk:
    """Sentences, as they begin, on the stream of an avatar: words, gestures and feelings at the talk's seconds.

    Args:
        report: takes ``{"line", "start", "frame", "seconds", "text"}`` of each sentence when it begins, and what is
            wrong with one, ``{"line", "error"}``.
    """

    pipeline: AvatarPipeline
    stream: AvatarStream
    report: Report
    sentences: int = field(default=0, init=False)
    _refused: list[str] = field(default_factory=list, init=False)  # of the planned sentence

    def plan(self, sentence: Sentence, second: float) -> None:
        """Words and gesture of a sentence whose sound will begin at that second of the talk."""
        shifted = [replace(w, start=w.start + second, end=w.end + second, phones=()) for w in sentence.words]
        if shifted:
            self.stream.say(shifted)
        self._refused = []
        if sentence.gesture and sentence.gesture_word is not None:
            word = sentence.gesture_word
            at = replace(word, start=word.start + second, end=word.end + second, phones=())
            try:
                self.stream.cue(sentence.gesture, at)
            except UserError as e:
                self._refused.append(str(e))

    def begin(self, sentence: Sentence, second: float) -> None:
        """Feelings and report of a planned sentence whose sound begins now."""
        if sentence.feelings:
            self.stream.direct(self.pipeline.face.direction(None, sentence.feelings))
        notes = [*sentence.notes, *self._refused]
        self.sentences += 1
        row: dict[str, Any] = {
            "line": sentence.line, "start": round(second, 4), "frame": round(second * FPS),
            "seconds": round(len(sentence.samples) / self._rate, 4), "text": sentence.text,
        }  # fmt: skip
        self.report(row | ({"notes": notes} if notes else {}))

    def end(self, second: float) -> None:
        """The talk will be over at that second, hands at rest."""
        self.stream.end_at(frames_in(round(second * self._rate), self._rate))

    def sound(self, lines: Iterable[str], rate: int, live: bool) -> Iterable[np.ndarray]:
        """Blocks of the talk's sound; a faulty line ends a talk that is not live."""
        self._rate = rate
        fault = (lambda number, text: self.report({"line": number, "error": text})) if live else None
        return EventSound(lines, rate, self.pipeline.face.driver, self, fault, live).blocks()
