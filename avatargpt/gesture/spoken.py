"""Sound and words to gestures while they are being spoken, in chunks of any size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from avatargpt.gesture.features import PROSODY, ProsodyStream
from avatargpt.gesture.sampling import Sampler
from avatargpt.gesture.stream import Gestures, GestureStream, Trained
from avatargpt.gesture.words import TimedWord, WordEncoder, WordRows
from avatargpt.speech.audio import FPS, RATE
from vqvae.errors import UserError

UNEVEN = 0.5  # s by which two voices may differ in length


class SpokenGestures:
    """A `GestureStream` fed with prosody of one or two voices, and words with times.

    Args:
        driver: a network that hears prosody. rate: of what is pushed. encoder: of words; None = words are off.
        words, other_words: those known by now, in order. other: whether the interlocutor is heard, too.
        other_rate: of the interlocutor's sound; None = the same. options: of `GestureStream`.

    Raises:
        UserError: a network that hears otherwise, or an encoder of other words than it was trained with.
    """

    def __init__(
        self, driver: Trained, rate: int = RATE, encoder: WordEncoder | None = None,
        words: Iterable[TimedWord] = (), other: bool = False, other_words: Iterable[TimedWord] = (),
        speaker: str | int | Sequence[float] | np.ndarray | None = None, head: str = "codes",
        sampler: Sampler | None = None, smooth: bool = False, other_rate: int | None = None,
    ) -> None:  # fmt: skip
        c = driver.network.config
        if c.audio != PROSODY:
            raise UserError(f"{driver.source}: hears by {c.audio!r}, which needs the whole sound; accepted here: "
                            f"a network that hears by {PROSODY!r}")  # fmt: skip
        if encoder is not None and (encoder.name, encoder.width) != (c.words, c.word_width):
            raise UserError(f"words read by {encoder.name!r} ({encoder.width} numbers); {driver.source} accepts those "
                            f"read by {c.words!r} ({c.word_width})")  # fmt: skip
        self._voices = [ProsodyStream(r) for r in (rate, other_rate or rate)[: 1 + other]]
        self._words = [] if encoder is None else [WordRows(encoder, w) for w in (words, other_words)[: 1 + other]]
        self._told, self._ahead = len(self._words), c.ahead + c.downsample
        self.gestures = GestureStream(driver, speaker, head, sampler, bool(self._words), other, other and
                                      bool(self._words), smooth)  # fmt: skip

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return self.gestures.latency + max(voice.delay for voice in self._voices)

    @property
    def repaired(self) -> int:
        """Samples so far that were not numbers and counted as silence."""
        return sum(voice.repaired for voice in self._voices)

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Further words of the speaker, or of the interlocutor, in order.

        Raises:
            UserError: words are off, times that make no sense.
        """
        if other >= self._told:
            raise UserError("words for a stream without them; accepted: with an encoder, and of voices that are heard")
        self._words[other].say(words)

    def push(self, pcm: np.ndarray, other_pcm: np.ndarray | None = None) -> Gestures:
        """Samples (n,) or (n, channels) of one or both voices -> what is ready.

        Raises:
            UserError: samples of another shape or type, after the end, or of a voice that the stream was begun without.
        """
        if other_pcm is not None and len(self._voices) == 1:
            raise UserError("sound of an interlocutor for a stream without one; accepted: begin it with other=True")
        rows = [self._voices[0].push(pcm)]
        if len(self._voices) > 1:
            nothing = np.zeros((0, rows[0].shape[1]), np.float32)
            rows.append(nothing if other_pcm is None else self._voices[1].push(other_pcm))
        return self._push(rows)

    def _push(self, rows: list[np.ndarray]) -> Gestures:
        said = [track.take(len(heard)) for track, heard in zip(self._words, rows, strict=False)]
        both = [*zip(rows, said, strict=True)] if said else [(heard, None) for heard in rows]
        other = both[1] if len(both) > 1 else (None, None)
        return self.gestures.push(*both[0], *other)

    def finish(self) -> Gestures:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends.

        Raises:
            UserError: the interlocutor's sound is longer or shorter by more than half a second.
        """
        if self.gestures.finished:
            return self.gestures.finish()
        frames = self._voices[0].frames
        rows, beyond = self._voices[0].end(self._ahead)
        parts, frames = [rows], frames + len(rows)
        for voice in self._voices[1:]:
            if abs(voice.frames - frames) > UNEVEN * FPS:
                raise UserError(f"the interlocutor's sound lasts {voice.frames / FPS:.1f} s, the speaker's "
                                f"{frames / FPS:.1f} s; accepted: the same, within {UNEVEN} s")  # fmt: skip
            parts.append(voice.end(frames=frames)[0])
        first = self._push(parts)
        return Gestures.joined([first, self.gestures.finish(beyond)])
