"""A talk as lines of JSON while it is written: sentences with text, sound, word times, emotions and gesture cues.

One line is one sentence or a part of one, an object with any of these fields:

| field | holds |
|---|---|
| `text` | what is said; ``[happy]`` or ``[sad:0.5]`` before a word changes the feeling there |
| `file` | its sound, a path; or `wav`, a sound file in base64; or `pcm`, raw 16 bit mono at the talk's rate in base64 |
| `words` | times within this line's sound: ``[TEXT, START, END]`` or ``{"word", "start", "end"}`` each, as of a TTS |
| `emotion` | of this line on, as for ``--emotion`` |
| `gesture` | the name of a gesture at the line's beginning, or ``WORD=GESTURE`` |
| `pause` | seconds of silence after the sound |
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import os
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from avatargpt.face.audio_model.conditioning import CALM, Feeling, hold_feelings, parse_emotions
from avatargpt.options import is_text
from avatargpt.requests.english import check_spoken
from avatargpt.speech import alignment, transcripts
from avatargpt.speech import audio as sound
from avatargpt.speech.words import Word, Words
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import AvatarPipeline, AvatarStream
    from avatargpt.speech.phone_times import PhoneModel

FIELDS = ("text", "file", "wav", "pcm", "words", "emotion", "gesture", "pause")
SOUNDS = ("file", "wav", "pcm")
MAX_LINE = 64 << 20  # bytes
MAX_LINE_SECONDS, MAX_PAUSE = 600.0, 60.0
MAX_TEXT = 10_000  # characters of a line
MAX_WAITING = 64  # sentences that were read and not begun
AHEAD = 2.0  # s before its sound at which a sentence is asked for: hands set out for a word up to 1.1 s before it
LATE = 0.2  # s beyond a sound by which its last word may end
_TAG = re.compile(r"\[([^\[\]\n]{1,60})\]")


# Emotion tags
def strip_tags(text: str) -> tuple[str, list[tuple[int, Feeling]], list[str]]:
    """A text without its emotion tags, the number of the word before which each stands, and notes.

    Only what ``--emotion`` takes is a tag; anything else in brackets stays, with a note.
    """
    parts, feelings, last = [], [], 0
    notes: list[str] = []
    for match in _TAG.finditer(text):
        try:
            feeling = parse_emotions(match[1].strip())[-1]
        except UserError as e:
            notes.append(f"{match[0]} stays among the words: {e}")
            continue
        if feeling.second:
            notes.append(f"{match[0]} stays among the words: a tag takes no second")
            continue
        parts.append(text[last : match.start()])
        last = match.end()
        feelings.append((_count_words(" ".join(parts)), feeling))
    return " ".join((" ".join(parts) + " " + text[last:]).split()), feelings, notes


def _count_words(text: str) -> int:
    return sum(any(map(str.isalnum, w)) for w in text.split())


def feelings_at(
    tags: Sequence[tuple[int, Feeling]], words: Sequence[Word], before: Sequence[Feeling] = ()
) -> list[Feeling]:
    """Keyframes of tags, behind those `before`: each feeling from its word on, held until the next; words without times
    change at once. Before the first tag, where nothing else is asked for, the face is neutral.
    """
    out = list(before)
    for number, feeling in tags:
        second = 0.0 if number == 0 else words[min(number, len(words) - 1)].start if words else 0.0
        if not out and second > 0:
            out = [CALM]
        out = hold_feelings(out, [replace(feeling, second=second)])
    return out


def read_spoken(
    transcript: str | os.PathLike[str] | Words, audio: str | os.PathLike[str] | np.ndarray, model: PhoneModel,
    feelings: Sequence[Feeling] = (), rate: int = sound.RATE, files: bool = True,
    progress: alignment.Progress | None = None,
) -> tuple[Words, list[Feeling]]:  # fmt: skip
    """The words of a transcript in a sound, see `transcripts.words_of`, and `feelings` followed by those of its tags.

    Args:
        files: whether a transcript may name a file of this machine; else it is the text itself.
    """
    if not isinstance(transcript, Words):
        text, times = transcripts.parse_transcript(os.fspath(transcript)) if files else (str(transcript), None)
        if times is None:
            check_spoken(text)
            plain, tags, notes = strip_tags(text)
            words = alignment.align(audio, plain if tags else text, model, rate, progress=progress)
            return replace(words, notes=(*notes, *words.notes)), feelings_at(tags, words.words, feelings)
    return transcripts.words_of(transcript, audio, model, rate, progress), list(feelings)


# Lines
def lines_of(file: BinaryIO) -> Iterator[str]:
    """Lines of UTF-8 as they arrive. `file`: as of `avatargpt.speech.live.pipe_blocks`.

    Raises UserError: a line above `MAX_LINE`.
    """
    data = b""
    while chunk := file.read(1 << 16):
        *lines, data = (data + chunk).split(b"\n")
        yield from (line.decode("utf-8", "surrogateescape") for line in lines)
        if len(data) > MAX_LINE:
            raise UserError(f"--events: a line above {MAX_LINE >> 20} MiB; accepted a sentence a line")
    if data:
        yield data.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class SpokenLine:
    """A line that was read. Seconds count from the beginning of its sound."""

    line: int
    samples: np.ndarray  # (n,) float32 at the talk's rate
    words: tuple[Word, ...] = ()
    feelings: tuple[Feeling, ...] = ()
    gesture: str = ""
    gesture_word: Word | None = None  # at which the gesture falls
    pause: float = 0.0
    text: str = ""
    notes: tuple[str, ...] = ()


def read_sentence(line: str, number: int, rate: int, model: PhoneModel) -> SpokenLine:
    """The sentence of a line. `model` lays a text without word times along its sound.

    Raises UserError: no JSON, unknown or mistyped fields, a sound that cannot be read, words beyond it.
    """
    where = f"line {number}"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise UserError(f"{where}: no JSON; accepted an object with {', '.join(FIELDS)}") from None
    if not isinstance(value, dict) or not value:
        raise UserError(f"{where}: no JSON object; accepted {', '.join(FIELDS)}")
    for name in value:
        if name not in FIELDS:
            raise UserError(f"{where}: {ascii(name[:40])} unknown; accepted {', '.join(FIELDS)}")
    for name in ("text", *SOUNDS, "emotion", "gesture"):
        if name in value and not (isinstance(value[name], str) and is_text(value[name])):
            raise UserError(f"{where}: {name}: accepted text")
    if len(value.get("text", "")) > MAX_TEXT:
        raise UserError(f"{where}: text of {len(value['text'])} characters; accepted {MAX_TEXT}")
    if sum(name in value for name in SOUNDS) > 1:
        raise UserError(f"{where}: more than one sound; accepted one of {', '.join(SOUNDS)}")
    samples = _samples(value, where, rate)
    seconds = len(samples) / rate
    pause = _seconds(value.get("pause", 0.0), f"{where}: pause", MAX_PAUSE)
    text, tags, doubts = strip_tags(value.get("text", ""))
    words, notes = _words(value, text, samples, rate, where, model)
    notes = (*(f"{where}: {doubt}" for doubt in doubts), *notes)
    given: list[Feeling] = []
    if "emotion" in value:
        try:
            given = parse_emotions(" ".join(value["emotion"].split()), option="emotion")
        except UserError as e:
            raise UserError(f"{where}: {e}") from None
    feelings = feelings_at(tags, words, given)
    if text and not (seconds or pause):
        notes = (*notes, f"{where}: without a sound nothing is said; accepted beside the text: {', '.join(SOUNDS)}")
    gesture, at = value.get("gesture", ""), None
    if gesture:
        word, equals, name = gesture.rpartition("=")
        gesture = name.strip()
        if equals:
            spoken = [w for w in words if _letters(w.text) == _letters(word)]
            if not spoken:
                raise UserError(f"{where}: gesture: {word.strip()!r} has no time; accepted a word of the line that has")
            at = spoken[0]
        elif not (seconds or pause):
            raise UserError(f"{where}: gesture: the line takes no time; accepted with a sound or a pause")
        else:
            at = Word(name, 0.0, min(0.3, max(seconds, 0.1)))
    return SpokenLine(number, samples, words, tuple(feelings), gesture, at, pause, text, notes)


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _samples(value: dict[str, Any], where: str, rate: int) -> np.ndarray:
    """(n,) at the talk's rate; empty without a sound."""
    name = next((n for n in SOUNDS if n in value), None)
    if name is None:
        return np.zeros(0, np.float32)
    if name == "file":
        samples, own = sound.load(Path(value[name]))
    else:
        try:
            data = base64.b64decode(value[name], validate=True)
        except (binascii.Error, ValueError):
            raise UserError(f"{where}: {name}: no base64") from None
        if name == "pcm":
            samples, own = np.frombuffer(data[: len(data) // 2 * 2], "<i2").astype(np.float32) / 32768, rate
        else:
            import soundfile

            try:
                samples, own = soundfile.read(io.BytesIO(data), dtype="float32")
            except (soundfile.SoundFileError, RuntimeError, ValueError):
                kinds = "accepted .wav, .flac, .ogg in base64"
                raise UserError(f"{where}: wav: {len(data)} bytes that are no sound file; {kinds}") from None
    mono = sound.to_mono(samples).astype(np.float32)
    if not len(mono) or len(mono) > MAX_LINE_SECONDS * own:
        raise UserError(f"{where}: {name}: {len(mono) / own:g} s; accepted more than 0, at most {MAX_LINE_SECONDS:g}")
    if not np.isfinite(mono).all():
        raise UserError(f"{where}: {name}: samples that are not numbers")
    return mono if own == rate else sound.convert_rate(mono, own, rate)


def _seconds(value: Any, where: str, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise UserError(f"{where} {value!r}: accepted seconds from 0 to {most:g}")
    return float(value)


def _words(
    value: dict[str, Any], text: str, samples: np.ndarray, rate: int, where: str, model: PhoneModel
) -> tuple[tuple[Word, ...], tuple[str, ...]]:
    """Words with times, by the line or laid along its sound, and notes."""
    rows = value.get("words")
    if rows is None:
        if not text or not len(samples):
            return (), ()
        try:
            check_spoken(text)
            found = alignment.align(samples, text, model, rate)
        except UserError as e:
            return (), (f"{where}: words are off ({e})",)
        return found.words, found.notes
    if not isinstance(rows, list):
        raise UserError(f"{where}: words: accepted a list of [TEXT, START, END]")
    out: list[Word] = []
    for k, row in enumerate(rows, 1):
        parts = [row.get(n) for n in ("word", "start", "end")] if isinstance(row, dict) else row
        if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[0], str) or not is_text(parts[0]):
            raise UserError(f"{where}: word {k}: accepted [TEXT, START, END] in seconds")
        start, end = (_seconds(v, f"{where}: word {k}", MAX_LINE_SECONDS) for v in parts[1:])
        if end < start or (out and start < out[-1].end - 1e-6):
            raise UserError(f"{where}: word {k}, {parts[0]!r}: {start:g} to {end:g} s; accepted one after another")
        if len(samples) and start > (length := len(samples) / rate):
            raise UserError(f"{where}: word {k}, {parts[0]!r}: at {start:g} s, and the sound is {length:g} s long")
        if any(c.isalnum() for c in parts[0]):
            out.append(Word(parts[0], start, max(end, start)))
    notes = []
    if len(samples) and out and out[-1].end > len(samples) / rate + LATE:
        notes.append(f"{where}: {out[-1].text!r} ends at {out[-1].end:g} s, and the sound at {len(samples) / rate:g}")
    if (said := _count_words(text)) > len(out):
        notes.append(f"{where}: {said} words of text, {len(out)} with times")
    return tuple(out), tuple(notes)


# The talk
@dataclass
class EventTalk:
    """Sentences, as they begin, on the stream of an avatar: words, gestures and feelings at the talk's seconds.

    Args:
        report: takes ``{"line", "start", "frame", "seconds", "text"}`` of each sentence when it begins, and what is
            wrong with one, ``{"line", "error"}``.
    """

    pipeline: AvatarPipeline
    stream: AvatarStream
    report: Callable[[dict[str, Any]], None]
    sentences: int = field(default=0, init=False)
    _refused: list[str] = field(default_factory=list, init=False)  # of the planned sentence

    def plan(self, sentence: SpokenLine, second: float) -> None:
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

    def begin(self, sentence: SpokenLine, second: float) -> None:
        """Feelings and report of a planned sentence whose sound begins now."""
        if sentence.feelings:
            self.stream.direct(self.pipeline.face.direction(None, sentence.feelings))
        notes = [*sentence.notes, *self._refused]
        self.sentences += 1
        row: dict[str, Any] = {
            "line": sentence.line, "start": round(second, 4), "frame": round(second * sound.FPS),
            "seconds": round(len(sentence.samples) / self._rate, 4), "text": sentence.text,
        }  # fmt: skip
        self.report(row | ({"notes": notes} if notes else {}))

    def end(self, second: float) -> None:
        """The talk will be over at that second, hands at rest."""
        self.stream.end_at(sound.frames_in(round(second * self._rate), self._rate))

    def sound(self, lines: Iterable[str], rate: int, live: bool) -> Iterable[np.ndarray]:
        """Blocks of the talk's sound; a faulty line ends a talk that is not live."""
        self._rate = rate
        fault = (lambda number, text: self.report({"line": number, "error": text})) if live else None
        return EventSound(lines, rate, self.pipeline.face.driver, self, fault, live).blocks()


@dataclass
class EventSound:
    """The sound of a talk: what lines bring, one after the other.

    Args:
        lines: of JSON; read on a thread of its own. rate: samples a second of the talk. model: see `read_sentence`.
        talk: hears of each sentence as soon as its place is known, `AHEAD` of it where the line has come by then.
        report: called with a fault's line and message; a fault ends the talk where it is None.
        live: whether sound comes out at its own speed, silence where there is none; else as fast as it is taken.
    """

    lines: Iterable[str]
    rate: int
    model: PhoneModel
    talk: EventTalk
    report: Callable[[int, str], None] | None = None
    live: bool = False
    samples: int = field(default=0, init=False)  # given out

    def __post_init__(self) -> None:
        self._waiting: queue.Queue[SpokenLine | BaseException | None] = queue.Queue(MAX_WAITING)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        import torch

        torch.set_num_threads(1)  # of this thread: frames are made on another
        try:
            for number, line in enumerate(self.lines, 1):
                if not line.strip():
                    continue
                try:
                    self._waiting.put(read_sentence(line, number, self.rate, self.model))
                except UserError as e:
                    if self.report is None:
                        raise
                    self.report(number, " ".join(str(e).split()))
        except BaseException as e:  # raised where the sound is taken
            self._waiting.put(e)
            return
        self._waiting.put(None)

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks (n,) float32 of at most a frame; live each when it is over."""
        needed, start = sound.FrameBlocks(self.rate).count_needed, time.monotonic()
        parts: deque[np.ndarray] = deque()
        coming: SpokenLine | None = None
        frame, over = 0, False
        while True:
            if coming is None and not over:
                coming, over = self._next(parts)
            if not parts and coming is not None:
                self.talk.begin(coming, self.samples / self.rate)
                quiet = np.zeros(round(coming.pause * self.rate), np.float32)
                parts.extend(p for p in (coming.samples, quiet) if len(p))
                coming = None
                continue
            if not parts and over:
                return
            size = needed(frame) - self.samples
            block = self._take(parts, size) if parts else np.zeros(size, np.float32)
            self.samples += len(block)
            frame += self.samples == needed(frame)
            if self.live:
                time.sleep(max(start + self.samples / self.rate - time.monotonic(), 0.0))
            yield block

    def _next(self, parts: deque[np.ndarray]) -> tuple[SpokenLine | None, bool]:
        """The sentence after those `parts`, where there is one by now, and whether the lines are over."""
        due = self.samples + sum(map(len, parts))
        try:
            item = self._waiting.get(not self.live and due - self.samples < AHEAD * self.rate)
        except queue.Empty:
            return None, False
        if isinstance(item, BaseException):
            raise item
        if item is None:
            self.talk.end(due / self.rate)
            return None, True
        self.talk.plan(item, due / self.rate)
        return item, False

    @staticmethod
    def _take(parts: deque[np.ndarray], size: int) -> np.ndarray:
        block, rest = parts[0][:size], parts[0][size:]
        if len(rest):
            parts[0] = rest
        else:
            parts.popleft()
        return block
