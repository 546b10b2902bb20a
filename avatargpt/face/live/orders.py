"""What a face is told while it runs: words and feelings in messages, read on a thread beside the frames.

A message is a JSON object with ``text`` (an instruction as for ``avatargpt face --text``; empty ends what is done),
``emotion`` (as for ``--emotion``), or both. Their seconds count from the frame at which they come into force. The
answer is ``{"told": ..., "frame": N, ...}`` before that frame is made, or ``{"error": ONE LINE}``.
"""

from __future__ import annotations

import json
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avatargpt.face.audio_model.blinks import told as told_lids
from avatargpt.face.audio_model.conditioning import Direction, Feeling
from avatargpt.face.audio_model.idle import calm_spans, jaw_spans
from avatargpt.face.feelings import emotions
from avatargpt.language.face.typed import is_emoji
from avatargpt.limits import is_text
from avatargpt.signals.audio import FPS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.controls import LiveControls
    from avatargpt.face.audio_model.stream import FaceStream
    from avatargpt.face.performer import FacePerformer
    from instruct_data.face.score import Score

MOST_WAITING = 4  # orders that wait to be read
MOST_CHARACTERS = 1000
_FORM = 'accepted {"text": INSTRUCTION}, {"emotion": NAME[:0..1]}, or both'

Answer = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Order:
    """What a message asks for; None = as it is. An empty `text` ends what is done."""

    text: str | None = None
    emotion: str | None = None
    feelings: tuple[Feeling, ...] = ()


def parse(message: str) -> Order:
    """A message of a client.

    Raises:
        UserError: no JSON object of `text` and `emotion`, or one of these is not accepted.
    """
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        raise UserError(f"a message that is not JSON; {_FORM}") from None
    if not isinstance(value, dict) or not value:
        raise UserError(f"a message that is no JSON object of orders; {_FORM}")
    for name, said in value.items():
        if name not in ("text", "emotion"):
            raise UserError(f"{ascii(name[:40])}: unknown; {_FORM}")
        if not isinstance(said, str) or not is_text(said) or len(said) > MOST_CHARACTERS:
            raise UserError(f"{name}: accepted a text of at most {MOST_CHARACTERS} characters")
    text, emotion = value.get("text"), value.get("emotion")
    if text is not None:
        text = " ".join(text.split())
        if text and not any(c.isalnum() or is_emoji(c) for c in text):
            raise UserError("text: signs alone; accepted an instruction in words, or nothing, which ends what is done")
    feelings = () if emotion is None else tuple(emotions(" ".join(emotion.split()), named="emotion"))
    return Order(text, emotion, feelings)


@dataclass(frozen=True)
class _Change:
    """An order that was read: what is told from now on, seconds counted from now."""

    order: Order
    score: Score | None
    direction: Direction
    answer: Answer


class Orders:
    """Takes messages from any thread, reads them on its own, and tells the stream between two frames.

    Args:
        performer: reads instructions. stream: of which the direction changes; `told` is what it was told so far.
        lively: controls that keep off what is told.
        shown: what of a score goes into the answer.
    """

    def __init__(
        self, performer: FacePerformer, stream: FaceStream, told: Direction, lively: Sequence[LiveControls],
        shown: Callable[[Score], dict[str, Any]] = lambda score: {},
    ) -> None:  # fmt: skip
        self._performer, self._stream, self._told, self._lively = performer, stream, told, lively
        self._shown = shown
        self._waiting: queue.Queue[tuple[Order, Answer]] = queue.Queue(MOST_WAITING)
        self._read: deque[_Change] = deque()
        self._fault: BaseException | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def hear(self, message: str, answer: Answer) -> None:
        """Takes a message, or answers with what is wrong with it; never waits."""
        try:
            self._waiting.put_nowait((parse(message), answer))
        except UserError as e:
            answer({"error": " ".join(str(e).split())})
        except queue.Full:
            answer({"error": f"{MOST_WAITING} orders are waiting; accepted again when one has been done"})

    def _work(self) -> None:
        import torch

        torch.set_num_threads(1)  # of this thread: frames are made beside it
        while True:
            order, answer = self._waiting.get()
            try:
                self._read.append(self._understood(order, answer))
            except (UserError, MemoryError) as e:
                answer({"error": " ".join(str(e).split()) or "too little memory for this"})
            except BaseException as e:  # a fault of ours: raised where frames are made
                self._fault = e
                return

    def _understood(self, order: Order, answer: Answer) -> _Change:
        score = self._performer.read([order.text])[0] if order.text else None
        return _Change(order, score, self._performer.direction(score, order.feelings), answer)

    def apply(self) -> None:
        """Tells the stream what was read since the last call, from its next frame on."""
        if self._fault is not None:
            raise self._fault
        while self._read:
            change = self._read.popleft()
            at = self._stream.frames / FPS
            words = change.order.text is not None
            self._told = self._told.followed(change.direction, at, words)
            self._stream.direct(self._told)
            if words:
                for one in self._lively:
                    one.direct(at, told_lids(change.score), calm_spans(change.score), jaw_spans(change.score))
            change.answer(self._answer(change))

    def _answer(self, change: _Change) -> dict[str, Any]:
        order, said = change.order, {}
        if order.text is not None:
            said["text"] = order.text
        if order.emotion is not None:
            said["emotion"] = order.emotion
        out: dict[str, Any] = {"told": said, "frame": self._stream.frames}
        if change.score is not None:
            out |= self._shown(change.score)
        if order.text and change.score is not None and (doubt := self._performer.doubt(order.text, change.score)):
            out["warning"] = doubt
        return out
