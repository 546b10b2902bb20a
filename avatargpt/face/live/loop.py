"""The loop of a live face: sound in, every frame to whoever is to have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from avatargpt.face.audio_model.stream import FaceStream
from avatargpt.speech.audio import FPS
from avatargpt.speech.live.loop import Run, run
from avatargpt.speech.live.sources import NOTHING_CAME
from vqvae.errors import UserError
from vqvae.face import FaceMotion


class Sender(Protocol):
    """Takes frames as they come: `avatargpt.export.udp_senders`, `avatargpt.export.websocket`."""

    failed: int

    def send(self, frame: int, motion: FaceMotion) -> None: ...

    def close(self) -> None: ...


@dataclass
class Live(Run):
    """What a live run has done.

    Attributes:
        kept: (55,) rows, where they were wanted.
    """

    kept: list[np.ndarray] = field(default_factory=list)

    def motion(self) -> FaceMotion:
        """What was kept, as a clip.

        Raises:
            UserError: nothing.
        """
        if not self.kept:
            raise UserError(NOTHING_CAME)
        rows = np.stack(self.kept)
        return FaceMotion.from_curves(rows, float(FPS))


def perform(
    stream: FaceStream, parts: Iterable[np.ndarray], senders: Sequence[Sender] = (),
    change: Callable[[FaceMotion], FaceMotion] = lambda frame: frame, keep: int = 0, live: Live | None = None,
    before: Callable[[], None] = lambda: None,
) -> Live:  # fmt: skip
    """Push sound, hand on every frame at once; what is still due follows when the sound ends.

    Args:
        stream: of the sound's rate.
        parts: blocks of samples.
        senders: get each frame.
        change: from a clip of one frame to another (controls).
        keep: so many frames are kept for a file; when they are there, it is over.
        live: filled while it runs, so that an interrupted run has its frames.
        before: called before each block, so that what the stream is told may change.

    Raises:
        UserError: not one sample came.
    """
    live = live or Live()

    def hand_on(rows: np.ndarray) -> bool:
        for row in rows:
            frame = change(FaceMotion.from_curves(row[None], float(FPS)))
            for sender in senders:
                sender.send(live.frames, frame)
            live.frames += 1
            if keep:
                live.kept.append(np.concatenate([frame.weights[0], frame.head[0]]))
                if len(live.kept) >= keep:
                    return False
        return True

    run(stream, parts, hand_on, live, before)
    return live
