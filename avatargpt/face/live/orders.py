"""What a face is told while it runs: the messages of `avatargpt.face.live.inbox`, read on a thread beside the frames.

The answer is ``{"told": ..., "frame": N, ...}`` before that frame is made, or ``{"error": ONE LINE}``.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avatargpt.face.audio_model.blinks import told as told_lids
from avatargpt.face.audio_model.conditioning import Direction
from avatargpt.face.audio_model.idle import calm_spans, jaw_spans
from avatargpt.face.live.inbox import Answer, Inbox, Order
from avatargpt.speech.audio import FPS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.controls import LiveControls
    from avatargpt.face.audio_model.stream import FaceStream
    from avatargpt.face.performer import FacePerformer
    from instruct_data.face.score import Score


@dataclass(frozen=True)
class _Change:
    """An order that was read: what is told from now on, seconds counted from now."""

    order: Order
    score: Score | None
    direction: Direction
    answer: Answer


class Orders:
    """Reads what comes into an inbox on a thread of its own, and tells the stream between two frames.

    Args:
        inbox: of which everything is read, also what came before.
        performer: reads instructions. stream: of which the direction changes; `told` is what it was told so far.
        lively: controls that keep off what is told.
        shown: what of a score goes into the answer.
    """

    def __init__(
        self, inbox: Inbox, performer: FacePerformer, stream: FaceStream, told: Direction,
        lively: Sequence[LiveControls], shown: Callable[[Score], dict[str, Any]] = lambda score: {},
    ) -> None:  # fmt: skip
        self._performer, self._stream, self._told, self._lively = performer, stream, told, lively
        self._shown, self._inbox = shown, inbox
        self._read: deque[_Change] = deque()
        self._fault: BaseException | None = None
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        import torch

        torch.set_num_threads(1)  # of this thread: frames are made beside it
        while True:
            order, answer = self._inbox.next()
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
