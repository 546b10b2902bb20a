"""A live face: the loop that sends its frames, and the commands that clients send while it runs.

A command is a JSON object with ``text`` (an instruction as for ``avatargpt face --text``; empty ends the current one),
``emotion`` (as for ``--emotion``), or both. Their seconds count from the frame at which they come into force. The reply
is ``{"told": ..., "frame": N, ...}`` before that frame is made, or ``{"error": ONE LINE}``.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.audio_model.conditioning import Direction, Feeling, parse_emotions
from avatargpt.face.audio_model.idle import calm_spans, jaw_spans, lid_spans
from avatargpt.options import is_text
from avatargpt.requests.english import is_emoji
from avatargpt.speech.audio import FPS
from avatargpt.speech.live import NO_SOUND, LiveRun, Sender, run_stream
from vqvae.errors import UserError
from vqvae.face import FaceMotion

if TYPE_CHECKING:
    from avatargpt.face.audio_model.controls import LiveControls
    from avatargpt.face.audio_model.driver import FaceStream
    from avatargpt.face.pipeline import FacePipeline
    from instruct_data.face.score import Score

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
                self._changes.append(_Change(command, score, direction, reply))
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
            self._direction = self._direction.followed(change.direction, at, has_text)
            self._stream.direct(self._direction)
            if has_text:
                for controls in self._controls:
                    controls.direct(at, lid_spans(change.score), calm_spans(change.score), jaw_spans(change.score))
            change.reply(self._answer(change))

    def _answer(self, change: _Change) -> dict[str, Any]:
        command, score = change.command, change.score
        fields = {"text": command.text, "emotion": command.emotion}
        out: dict[str, Any] = {"told": {k: v for k, v in fields.items() if v is not None}, "frame": self._stream.frames}
        if score is not None:
            out |= self._details(score)
        if command.text and score is not None and (doubt := self._pipeline.doubt(command.text, score)):
            out["warning"] = doubt
        return out
