"""`FacePipeline`: instructions, feelings and speech -> a face clip, by the parser and the driver of one folder."""

from __future__ import annotations

import json
import os
import queue
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.audio_model.conditioning import Direction, Feeling, parse_emotions
from avatargpt.face.audio_model.controls import Controls, apply_controls
from avatargpt.face.audio_model.idle import Spans
from avatargpt.face.instructions import scores as score_times
from avatargpt.face.instructions.scores import WordTimes, anchor_time, arrange, is_beyond, is_timed
from avatargpt.options import UnheededText, is_text
from avatargpt.requests.english import is_emoji, spell_emoji
from avatargpt.speech.audio import FPS, MAX_SECONDS, check_rate, inspect
from avatargpt.speech.live import NO_SOUND, LiveRun, Sender, run_stream
from vqvae.errors import UserError
from vqvae.face import FaceMotion

if TYPE_CHECKING:
    from avatargpt.face.audio_model.controls import LiveControls
    from avatargpt.face.audio_model.driver import Driver, FaceStream
    from avatargpt.face.audio_model.upper import UpperNetwork
    from avatargpt.face.instructions.parser import InstructionParser
    from avatargpt.requests.reader import RequestReader
    from instruct_data.face.score import Score
    from instruct_data.requests.spec import FaceClause, FaceRequest

SILENT_SECONDS = 4.0  # length without sound, words or a length
HOLD = 1.5  # s of the last of several feelings
# Certainty of a request's clauses from which they are read one by one: where the parser cannot write their times, and
# where it can.
MIN_CERTAINTY, MIN_CERTAINTY_READABLE = 0.5, 0.7
SURE_AGREEMENT = 0.97  # of the parser's readings, from which an instruction that it can read is not taken apart


def driver_folder(model: Path | None) -> Path:
    """The driver's folder of a model folder: ``driver`` in it, or itself; None = the packaged weights."""
    from avatargpt.lm.checkpoint import check_model, find_part
    from avatargpt.resources import PACKAGE

    check_model(model)
    if (folder := find_part(model, "driver")) is None:
        where = (model or PACKAGE / "weights") / "driver"
        raise UserError(f"{where}: no driver weights; train them with `python scripts/train.py driver` "
                        "(docs/avatar_training.md), or name a folder that has them with --model")
    return folder


class FacePipeline:
    """Instructions, feelings and speech to a face.

    Args:
        driver: the network that moves the face. parser: the network that reads instructions.
        grounder: the sentence encoder of the driver's words; None loads the installed one when it is needed.
        reading: the one of the parser, with the layers that it reads (`parser.make_reading_grounder`); likewise.
    """

    def __init__(
        self, driver: Driver, parser: InstructionParser | None = None, grounder: Any = None, reading: Any = None
    ) -> None:  # fmt: skip
        self.driver, self._parser, self._grounder, self._reading = driver, parser, grounder, reading
        self._folder: Path | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> FacePipeline:
        """From a folder with a driver and a parser; None = the packaged weights.

        Raises UserError: missing or damaged weights.
        """
        from avatargpt.face.audio_model.driver import Driver
        from avatargpt.lm import checkpoint

        path = checkpoint.driver_folder() if folder is None else Path(folder)
        pipeline = cls(Driver.load(path))
        pipeline._folder = path
        return pipeline

    @cached_property
    def parser(self) -> InstructionParser:
        """Loaded with the first instruction."""
        from avatargpt.face.instructions.parser import InstructionParser

        return self._parser or InstructionParser.load(self._folder or "")

    @cached_property
    def requests(self) -> RequestReader | None:
        """Reads the clauses of an instruction and their times; None where the folder has none."""
        from avatargpt.requests.reader import RequestReader

        folders = [self._folder, self._folder.parent] if self._folder else []
        return next((reader for f in folders if (reader := RequestReader.of(f)) is not None), None)

    @cached_property
    def grounder(self) -> Any:
        """Sentence encoder of the driver."""
        from avatargpt.lm.text_encoder import SentenceGrounder

        return self._grounder or SentenceGrounder()

    @cached_property
    def reading(self) -> Any:
        """Sentence encoder of the parser, with several layers."""
        from avatargpt.face.instructions.parser import make_reading_grounder

        return self._reading or make_reading_grounder(self.parser.network.config)

    def request(self, text: str) -> FaceRequest | None:
        """The clauses of an instruction and their times; None without a reader of requests."""
        words = spell_emoji(text)
        return self.requests.read_face(words) if self.requests and any(c.isalnum() for c in words) else None

    def read(
        self, texts: Sequence[str], seconds: Sequence[float | None] | None = None, sound: float | None = None,
        words: Sequence[WordTimes] | None = None,
    ) -> list[Score]:  # fmt: skip
        """The scores of instructions: actions with times, strengths and counts, feelings, and a length in seconds.

        Args:
            seconds: requested lengths, which influence times; None = as long as it takes.
            sound: seconds of the speech that they go with; actions are then not spread over it.
            words: of the speech of each, with times (`avatargpt.speech.words.Word`).
        """
        lengths = seconds or [None] * len(texts)
        speech = words or [()] * len(texts)
        return [self._read_one(t, s, sound, w) for t, s, w in zip(texts, lengths, speech, strict=True)]

    def _read_one(self, text: str, seconds: float | None, sound: float | None, words: WordTimes) -> Score:
        request = self.request(text)
        clauses = request.clauses if request is not None else []
        read: score_times.Read = cache(lambda clause: self.parser.read([clause], self.reading)[0])
        certainty = min((c.sure for c in clauses), default=0.0)
        if len(clauses) > 1 and any(c.course for c in clauses):
            read = score_times.in_context(clauses, read(text), read)
        # Times that the parser's tokens cannot write: the clauses are read one by one and placed by the request.
        beyond = request is not None and certainty >= MIN_CERTAINTY and (
            is_beyond(request, words) or any(
                # Feelings alone: their courses the parser's tokens cannot write.
                (alone := read(c.action)).emotions and not alone.events for c in clauses if c.course
            )
        )
        if beyond and (arranged := self._by_clauses(text, request, sound or seconds, words, read)) is not None:
            return arranged
        named: score_times.NamedTimes = ""
        for c in clauses:
            if c.at is not None or c.until is not None:
                named = "clock"
            elif c.seconds and not named:
                named = "lasting"
        score = self.parser.read([text], self.reading, seconds=[None if sound else seconds], named=named)[0]
        # Other times on which the parser's readings differ: the same. All others are read as one.
        differ = (self.parser.agreement(text) or 0.0) < SURE_AGREEMENT
        readable = certainty >= MIN_CERTAINTY_READABLE
        by_clauses = request is not None and is_timed(request) and readable and differ
        if by_clauses and (arranged := self._by_clauses(text, request, sound or seconds, words, read)) is not None:
            return arranged
        if certainty >= MIN_CERTAINTY:
            score = score_times.slow_actions(score, clauses, read, extend=not (sound or seconds))
            score = score_times.deny(score, score_times.read_denied(clauses, read))
        return replace(score, timed=named == "clock", unheard=_unspoken(clauses, words) if readable else ())

    @staticmethod
    def _by_clauses(
        text: str, request: FaceRequest | None, seconds: float | None, words: WordTimes, read: score_times.Read
    ) -> Score | None:
        """The score of the request's clauses, read one by one; None where they are empty or have no room."""
        if request is None:
            return None
        score = arrange(request, read, seconds, words)
        if not score or not (score.events or score.emotions or any(c.denied for c in request.clauses)):
            return None
        clauses = [c for c in request.clauses if not c.denied]
        return replace(score, text=text, read_by=tuple(c.action for c in clauses), unheard=_unspoken(clauses, words))

    def place(
        self, texts: Sequence[str], seconds: float | None, has_sound: bool, feelings: Sequence[Feeling] = (),
        scores: Sequence[Score] | None = None, words: WordTimes = (),
    ) -> list[Score | None]:  # fmt: skip
        """The scores of instructions in clips of so many seconds, None for an empty one.

        Readings are squeezed into sound and spread over requested seconds; times of `scores` stay as written.
        """
        reads = scores is None and any(texts)
        if reads:
            lengths = None if has_sound else [seconds] * len(texts)
            scores = self.read(texts, lengths, seconds if has_sound else None, [words] * len(texts))
        out: list[Score | None] = [*scores] if scores else [None] * len(texts)
        for k, score in enumerate(out):
            if score is not None:
                length = seconds or self.default_seconds(score, feelings)
                spreads = reads and (length < score.length or (not has_sound and seconds is not None))
                out[k] = score_times.place_score(score, length, spreads, bool(feelings))
        return out

    @property
    def upper(self) -> UpperNetwork:
        """The network of the upper face."""
        from avatargpt.face.audio_model.upper import load_upper

        return load_upper(self._folder)

    def with_controls(self, clip: FaceMotion, controls: Controls, score: Score | None, seed: int = 0) -> FaceMotion:
        """A clip of `perform` with controls, whose blinks and idle motion keep off the score."""
        return apply_controls(clip, controls, seed, *Spans.of(score), self.upper if controls.upper else None)

    def doubt(self, text: str, score: Score | None) -> str:
        """Why a score may not be what the text means (`parser.doubt`); empty = no reason, or nothing was read."""
        from avatargpt.face.instructions.parser import doubt

        if score is None:
            return ""
        if score.unheard:
            words = ", ".join(map(repr, score.unheard))
            return f"when {words} is said is not known; it takes speech in which it is, and its transcript"
        agreements = [a for t in score.read_by or (text,) if (a := self.parser.agreement(t)) is not None]
        return doubt(text, score, min(agreements, default=None))

    def warn(self, text: str, score: Score | None, stacklevel: int = 2) -> None:
        """Warn (`UnheededText`) where a score may not be what the text means; `stacklevel`: of the caller."""
        if text and (reason := self.doubt(text, score)):
            warnings.warn(f"{text[:60]!r}: {reason}", UnheededText, stacklevel=stacklevel + 1)

    def direction(
        self, score: Score | None, feelings: Sequence[Feeling] = (), seconds: float | None = None
    ) -> Direction:
        """A score, fitted to `seconds`, as a direction of the driver; `feelings` replace the score's own."""
        if score is not None and seconds is not None:
            score = score_times.fit_score(score, seconds)
        keyframes = list(feelings) or (score_times.feelings_of(score) if score is not None else [])
        clauses = score_times.clauses_of(score) if score is not None else []
        return Direction.make(keyframes, clauses, self.grounder) if keyframes or clauses else Direction()

    def default_seconds(self, score: Score | None, feelings: Sequence[Feeling] = ()) -> float:
        """Seconds of a clip without sound and requested length: all of the score, and the last feeling."""
        length = score.length if score is not None else SILENT_SECONDS
        last = max((f.second for f in feelings), default=0.0)
        return max(length, last + HOLD) if last > 0 else length

    def perform(
        self, text: str = "", audio: str | os.PathLike[str] | np.ndarray | None = None, rate: int = 16_000,
        feelings: Sequence[Feeling] = (), seconds: float | None = None, score: Score | None = None,
        progress: Callable[[int], None] | None = None, head: str = "rule", words: WordTimes = (),
    ) -> FaceMotion:  # fmt: skip
        """One clip of T frames, 30 a second: weights (T, 52), head (T, 3) in radians.

        Args:
            text: a facial instruction, with a warning (`UnheededText`) where its reading is doubtful; not read where
                there is a `score`.
            audio: speech, a file or samples (n,) at `rate`.
            feelings: emotion keyframes, instead of those of the text.
            seconds: length without sound, over which the score is spread (`scores.spread_score`); None = as long as the
                instruction takes, else 4 s.
            head: ``rule`` or ``recorded``, see `avatargpt.face.audio_model.driver.FaceStream`.
            words: of the speech (`avatargpt.speech.words.Word`), for "when you say ..." and the mouth, see `head`.

        Raises:
            UserError: bad sound, text, length or head.
        """
        length = seconds
        if isinstance(audio, np.ndarray):
            check_rate(rate, 1, "sound")
            if audio.size == 0:
                raise UserError("the sound is 0 s long; at least one sample is needed")
            length = len(audio) / rate
        elif audio is not None:
            length = inspect(audio).seconds
        requested = seconds if audio is None else None
        if score is None and text:
            score = self.read([text], [requested], length if audio is not None else None, [words])[0]
            self.warn(text, score)
            score_times.check_times(score, length or score.length)
        if length is None:
            length = self.default_seconds(score, feelings)
        if not 0 < length <= MAX_SECONDS:
            raise UserError(f"{length:g} s; accepted: above 0, at most {MAX_SECONDS / 3600:g} hours")
        if score is not None and requested is not None:
            score = score_times.spread_score(score, requested)
        direction = self.direction(score, feelings, length)
        clip_seconds = None if audio is not None else length
        clip = self.driver.drive(audio, rate, direction, None, clip_seconds, head, progress, words)
        return clip.with_caption(text)


def _unspoken(clauses: Sequence[FaceClause], words: WordTimes) -> tuple[str, ...]:
    """Words of speech that clauses name and that are not among `words`."""
    return tuple(c.word for c in clauses if c.word and anchor_time(c, words) is None)


# A live face: the loop that sends its frames, and the commands that clients send while it runs.
# A command is a JSON object with ``text`` (an instruction as for ``avatargpt face --text``; empty ends the current
# one), ``emotion`` (as for ``--emotion``), or both. Their seconds count from the frame at which they come into force.
# The reply is ``{"told": ..., "frame": N, ...}`` before that frame is made, or ``{"error": ONE LINE}``.

MAX_WAITING = 4  # commands
MAX_CHARACTERS = 1000
_FORM = 'accepted {"text": INSTRUCTION}, {"emotion": NAME[:0..1]}, or both'

Reply = Callable[[dict[str, Any]], None]


# The loop
@dataclass
class LiveTake(LiveRun):
    """A live run and its recording: (55,) rows, where they were wanted."""

    recording: list[np.ndarray] = field(default_factory=list)

    def motion(self) -> FaceMotion:
        """The recording as a clip. Raises UserError where it is empty."""
        if not self.recording:
            raise UserError(NO_SOUND)
        return FaceMotion.from_curves(np.stack(self.recording), float(FPS))


def run_live(
    stream: FaceStream, parts: Iterable[np.ndarray], senders: Sequence[Sender] = (),
    change: Callable[[FaceMotion], FaceMotion] = lambda frame: frame, record: int = 0, take: LiveTake | None = None,
    before: Callable[[], None] = lambda: None,
) -> LiveTake:  # fmt: skip
    """Push sound and send every frame at once; what is still due follows when the sound ends.

    Args:
        senders: get each frame.
        change: from a clip of one frame to another (controls).
        record: so many frames are recorded; then the run is over.
        take: filled while it runs, so that an interrupted run has its frames.
        before: called before each block, for example to apply commands.
    """
    take = take or LiveTake()

    def send(rows: np.ndarray) -> bool:
        for row in rows:
            frame = change(FaceMotion.from_curves(row[None], float(FPS)))
            for sender in senders:
                sender.send(take.frames, frame)
            take.frames += 1
            if record:
                take.recording.append(np.concatenate([frame.weights[0], frame.head[0]]))
                if len(take.recording) >= record:
                    return False
        return True

    run_stream(stream, parts, send, take, before)
    return take


# Commands
@dataclass(frozen=True)
class Command:
    """A client's command; None = unchanged. An empty `text` ends the current instruction."""

    text: str | None = None
    emotion: str | None = None
    feelings: tuple[Feeling, ...] = ()


def parse_command(message: str) -> Command:
    """The command in a message."""
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        raise UserError(f"a message that is not JSON; {_FORM}") from None
    if not isinstance(value, dict) or not value:
        raise UserError(f"a message that is no JSON object of orders; {_FORM}")
    for name, field_text in value.items():
        if name not in ("text", "emotion"):
            raise UserError(f"{ascii(name[:40])}: unknown; {_FORM}")
        if not isinstance(field_text, str) or not is_text(field_text) or len(field_text) > MAX_CHARACTERS:
            raise UserError(f"{name}: accepted a text of at most {MAX_CHARACTERS} characters")
    text, emotion = value.get("text"), value.get("emotion")
    if text is not None:
        text = " ".join(text.split())
        if text and not any(c.isalnum() or is_emoji(c) for c in text):
            raise UserError("text: signs alone; accepted an instruction in words, or nothing, which ends what is done")
    feelings = () if emotion is None else tuple(parse_emotions(" ".join(emotion.split()), option="emotion"))
    return Command(text, emotion, feelings)


class CommandQueue:
    """Takes messages from any thread, also before weights are loaded; `CommandReader` reads them."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[Command, Reply]] = queue.Queue(MAX_WAITING)

    def put(self, message: str, reply: Reply) -> None:
        """Takes a message, or replies with what is wrong with it; never waits."""
        try:
            self._waiting.put_nowait((parse_command(message), reply))
        except UserError as e:
            reply({"error": " ".join(str(e).split())})
        except queue.Full:
            reply({"error": f"{MAX_WAITING} orders are waiting; accepted again when one has been done"})

    def get(self) -> tuple[Command, Reply]:
        """The oldest command, and its reply; waits for one."""
        return self._waiting.get()


@dataclass(frozen=True)
class _Change:
    """A command that was read: its direction and score, seconds counted from now."""

    command: Command
    score: Score | None
    direction: Direction
    reply: Reply
    details: Mapping[str, Any]  # of the answer


class CommandReader:
    """Reads commands on a thread of its own, and changes the stream's direction between two frames.

    Args:
        commands: all of them are read, also earlier ones.
        pipeline: reads instructions. stream: whose direction changes; `direction` is its present one.
        controls: keep off the spans of what is performed.
        details: of a score, for the reply.
    """

    def __init__(
        self, commands: CommandQueue, pipeline: FacePipeline, stream: FaceStream, direction: Direction,
        controls: Sequence[LiveControls], details: Callable[[Score], dict[str, Any]] = lambda score: {},
    ) -> None:  # fmt: skip
        self._commands, self._pipeline, self._stream, self._direction = commands, pipeline, stream, direction
        self._controls, self._details = controls, details
        self._changes: deque[_Change] = deque()
        self._fault: BaseException | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        import torch

        torch.set_num_threads(1)  # of this thread: frames are made on another
        while True:
            command, reply = self._commands.get()
            try:
                score = self._pipeline.read([command.text])[0] if command.text else None
                direction = self._pipeline.direction(score, command.feelings)
                self._changes.append(_Change(command, score, direction, reply, self._describe(command, score)))
            except (UserError, MemoryError) as e:
                reply({"error": " ".join(str(e).split()) or "too little memory for this"})
            except BaseException as e:  # a bug: raised where frames are made
                self._fault = e
                return

    def apply(self) -> None:
        """Applies the commands that were read since the last call, from the stream's next frame on."""
        if self._fault is not None:
            raise self._fault
        while self._changes:
            change = self._changes.popleft()
            at = self._stream.frames / FPS
            has_text = change.command.text is not None
            self._direction = self._direction.follow_with(change.direction, at, has_text)
            self._stream.direct(self._direction)
            if has_text:
                for controls in self._controls:
                    controls.direct(at, *Spans.of(change.score))
            change.reply({"told": change.details["told"], "frame": self._stream.frames, **change.details})

    def _describe(self, command: Command, score: Score | None) -> dict[str, Any]:
        """What the answer says of a command; slow, and so not done where frames are made."""
        fields = {"text": command.text, "emotion": command.emotion}
        out: dict[str, Any] = {"told": {k: v for k, v in fields.items() if v is not None}}
        if score is not None:
            out |= self._details(score)
        if doubt := self._pipeline.doubt(command.text or "", score):
            out["warning"] = doubt
        return out
