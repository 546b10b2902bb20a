"""Streams of co-speech gestures: rows of features, or sound and words, in; motion features, or a body, out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from avatargpt.gesture.config import HEADS, UNKNOWN
from avatargpt.gesture.decoding import HALF, WAIT, Decodes, Decoding, Sampler, Smoothing
from avatargpt.gesture.features import PROSODY, ProsodyStream, checked_rows
from avatargpt.gesture.network import GestureNetwork, Heard
from avatargpt.gesture.words import TimedWord, WordEncoder, WordRows
from avatargpt.speech.audio import FPS, RATE, AudioInfo, Sound
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.motion import Motion


class Trained(Protocol):
    """What a stream needs of an `avatargpt.gesture.driver.GestureDriver`."""

    network: GestureNetwork
    source: str

    @property
    def tokenizer(self) -> Decodes:
        """Raises UserError where there is none."""
        ...

    def style(self, speaker: str | int | Sequence[float] | np.ndarray | None) -> np.ndarray: ...


@dataclass(frozen=True)
class Gestures:
    """Some of what a stream gives: features (k, F) float32 and codes (j, R) int64; with smoothing, features lag behind
    codes by four frames, and with the head ``features`` there are no codes."""

    features: np.ndarray
    codes: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Gestures]) -> Gestures:
        """One after the other."""
        return cls(np.concatenate([p.features for p in parts]), np.concatenate([p.codes for p in parts]))


class GestureStream:
    """Recurrent state of one talk, fed with rows of features at 30 fps.

    Every token is computed by the same operations on arrays of the same shape, so frames are equal bit for bit whatever
    the chunks were; a whole file is one push. Memory does not grow.

    Args:
        driver: the trained network.
        speaker: a name or number of its table, eight numbers, or None: nobody's own style.
        head: one of `HEADS`. sampler: of the tokens.
        words, other, other_words: whether rows of these are pushed, too.
        smooth: Savitzky-Golay smoothing, four frames behind.

    Attributes:
        frames: given out so far. finished: whether the stream has ended.

    Raises:
        UserError: a head or a speaker that is not accepted, or the head ``codes`` of a network without its tokenizer.
    """

    def __init__(
        self, driver: Trained, speaker: str | int | Sequence[float] | np.ndarray | None = None, head: str = "codes",
        sampler: Sampler | None = None, words: bool = False, other: bool = False, other_words: bool = False,
        smooth: bool = False,
    ) -> None:  # fmt: skip
        if head not in HEADS:
            raise UserError(f"head {head!r}; accepted: {', '.join(HEADS)}")
        if other_words and not other:
            raise UserError("words of an interlocutor who is not heard; accepted: with the sound of both")
        self._net, self._config = driver.network, driver.network.config
        c = self._config
        self._decoding = None
        if head == "codes":
            self._decoding = Decoding(driver.tokenizer, c.downsample, c.levels, c.features)
        self._sampler = sampler or Sampler()
        self._style = torch.from_numpy(driver.style(speaker))[None]
        taken = (("audio", c.audio_width, True), ("words", c.word_width, words),
                 ("other_audio", c.audio_width, other), ("other_words", c.word_width, other_words))  # fmt: skip
        self._widths = {name: width for name, width, given in taken if given}
        self._wait = {name: np.zeros((0, width), np.float32) for name, width in self._widths.items()}
        self._pushed = dict.fromkeys(self._widths, 0)
        self._no_words = torch.zeros(1, c.downsample, c.word_width)
        self._before = torch.full((1, 1, c.levels), UNKNOWN)
        self._last: dict[str, np.ndarray] = {}  # row of each kind that went through the network
        self._smoothing = Smoothing() if smooth else None
        self._steps = 0  # tokens heard
        self._made = 0  # frames before smoothing
        self.finished = False
        self.frames = 0
        with torch.inference_mode():
            self._state = self._net.begin(1)

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the end of the last row that it needs: its token and those that are decoded
        with it, look-ahead, smoothing."""
        behind = HALF if self._smoothing is not None else 0
        tokens = 1 + (WAIT if self._decoding is not None else 0)
        return (tokens * self._config.downsample + self._config.ahead + behind) / FPS

    def push(
        self, audio: np.ndarray, words: np.ndarray | None = None, other_audio: np.ndarray | None = None,
        other_words: np.ndarray | None = None,
    ) -> Gestures:  # fmt: skip
        """Rows of the next frames, (k, A), (k, V), (k, A), (k, V) -> what is ready.

        Rows of one kind may come before those of another (two microphones): a token waits for all kinds.

        Raises:
            UserError: rows of a kind that the stream was not begun with, of another shape, or after the end.
        """
        if self.finished:
            raise UserError("rows for a stream that is finished; accepted: rows for another one")
        given = {"audio": audio, "words": words, "other_audio": other_audio, "other_words": other_words}
        checked = {}
        for name, rows in given.items():
            if rows is not None and name not in self._widths:
                raise UserError(f"{name}: the stream was begun without it; accepted: {', '.join(self._widths)}")
            if rows is not None:
                checked[name] = checked_rows(rows, name, self._widths[name], empty=True)
        for name, rows in checked.items():
            self._wait[name] = np.concatenate([self._wait[name], rows])
            self._pushed[name] += len(rows)
        return self._work(None)

    def finish(self, beyond: np.ndarray | None = None) -> Gestures:
        """The frames still due: as many in all as rows of audio were pushed. The stream ends.

        Args:
            beyond: (k, A) rows of what is heard after the end; None = the last row, held.

        Raises:
            UserError: fewer rows of one kind than of audio; what is more is left out.
        """
        due = self._pushed["audio"]
        for name, count in self._pushed.items():
            if count < due and not self.finished:
                raise UserError(f"{name}: {count} frames beside {due} of audio; accepted: as many")
            self._wait[name] = self._wait[name][: len(self._wait[name]) - (count - due)]
        if self.finished or not due:
            self.finished = True
            c = self._config
            return Gestures(np.zeros((0, c.features), np.float32), np.zeros((0, c.levels), np.int64))
        self.finished = True
        n = self._config.downsample
        missing = -due % n + self._config.ahead
        for name, width in self._widths.items():
            last = self._wait[name][-1:] if len(self._wait[name]) else self._last[name]
            rows = np.repeat(last if "audio" in name else np.zeros((1, width), np.float32), missing, 0)
            if name == "audio" and beyond is not None:
                after = checked_rows(beyond, "audio beyond the end", width, empty=True)[:missing]
                rows[: len(after)] = after
            self._wait[name] = np.concatenate([self._wait[name], rows])
        out = self._work(due)
        if self._smoothing is None:
            return out
        rest = self._smoothing.end()
        self.frames += len(rest)
        return Gestures(np.concatenate([out.features, rest]), out.codes)

    @torch.inference_mode()
    def _work(self, due: int | None) -> Gestures:
        """All whole tokens that wait; `due`: frames in all, where that is known."""
        n = self._config.downsample
        tokens = min(len(rows) for rows in self._wait.values()) // n
        frames = [np.zeros((0, self._config.features), np.float32)]
        codes = []
        for token in range(tokens):
            told = {name: torch.from_numpy(rows[token * n : token * n + n])[None] for name, rows in self._wait.items()}
            h = self._step(told)
            if h is not None and self._decoding is not None:
                codes.append(self._drawn(h))
            elif h is not None:
                frames.append(self._net.motion(h, self._before)[0].numpy())
        if tokens:
            self._last = {name: rows[tokens * n - 1 : tokens * n].copy() for name, rows in self._wait.items()}
            self._wait = {name: rows[tokens * n :].copy() for name, rows in self._wait.items()}
        drawn = np.stack(codes) if codes else np.zeros((0, self._config.levels), np.int64)
        if self._decoding is not None:
            frames += [self._decoding.push(drawn), *([self._decoding.end()] if due is not None else [])]
        made = np.concatenate(frames)
        if due is not None:
            made = made[: due - self._made]
        self._made += len(made)
        shown = made if self._smoothing is None else self._smoothing.push(made)
        self.frames += len(shown)
        return Gestures(shown, drawn)

    def _step(self, told: dict[str, Tensor]) -> Tensor | None:
        """One token's rows through the network -> hidden states (1, n, D); None before the first that is spoken for."""
        heard = Heard(told["audio"], told.get("words", self._no_words), self._style, told.get("other_audio"),
                      told.get("other_words"))  # fmt: skip
        h, self._state = self._net.states(heard, self._before, self._state)
        self._steps += 1
        return h if self._steps > self._config.look_ahead else None

    def _drawn(self, h: Tensor) -> np.ndarray:
        """(R,) codes of a token, fed back to the next one."""
        said = np.full(self._config.levels, UNKNOWN, np.int64)
        z = self._net.token_states(h, self._before)
        for number in range(len(said)):
            said[number] = self._sampler(self._net.level_logits(number, z)[0, 0].numpy())
            if number + 1 < len(said):
                z = self._net.level_state(number, z, torch.from_numpy(said[None, None, number]))
        self._before = torch.from_numpy(said)[None, None]
        return said


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


class Overlay(Protocol):
    """What changes features between the network and the body: all frames come out that went in, `delay` frames later.

    Frames are counted from 0 at the beginning of the talk; an overlay serves one talk.
    """

    @property
    def delay(self) -> int:
        """Frames by which what comes out is behind what goes in."""
        ...

    def push(self, features: np.ndarray) -> np.ndarray:
        """(k, 270) float32 of the next frames -> (j, 270) that are ready."""
        ...

    def say(self, words: Sequence[TimedWord]) -> None:
        """Further words of the speaker."""
        ...

    def hear(self, pcm: np.ndarray, other: np.ndarray | None) -> None:
        """Samples of the speaker and of the interlocutor, before the frames that are made of them."""
        ...

    def finish(self) -> np.ndarray:
        """The frames still due, (j, 270)."""
        ...


class MotionStream:
    """One talk, from samples to `Motion` pieces: 30 fps, upright at the origin, facing +Z, straight legs, with fingers.

    Pieces joined are the motion of the whole sound, bit for bit, whatever the chunks were; memory does not grow.

    Args:
        spoken: the network at work. overlay: between it and the body; None = none.

    Attributes:
        frames: given out so far.
    """

    def __init__(self, spoken: SpokenGestures, overlay: Overlay | None = None) -> None:
        self._spoken, self._overlay, self._layout = spoken, overlay, GestureFeatures()
        self.frames = 0

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return self._spoken.latency + (0 if self._overlay is None else self._overlay.delay) / FPS

    @property
    def repaired(self) -> int:
        """Samples so far that were not numbers and counted as silence."""
        return self._spoken.repaired

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Further words, in order, of the speaker or of the interlocutor; what is past is not shown.

        Raises:
            UserError: a stream that was begun with ``words=None``, or times that make no sense.
        """
        told = list(words)
        self._spoken.say(told, other)
        if self._overlay is not None and not other:
            self._overlay.say(told)

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> Motion | None:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready, None where none are.

        Raises:
            UserError: samples of another shape or type, after the end, or of a voice that the stream was begun without.
        """
        made = self._spoken.push(pcm, other)
        if self._overlay is not None:
            self._overlay.hear(pcm, other)
        return self._made(made, last=False)

    def finish(self) -> Motion | None:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends.

        Raises:
            UserError: the interlocutor's sound is longer or shorter by more than half a second.
        """
        return self._made(self._spoken.finish(), last=True)

    def _made(self, made: Gestures, last: bool) -> Motion | None:
        rows = made.features
        if self._overlay is not None:
            rows = self._overlay.push(rows)
            if last:
                rows = np.concatenate([rows, self._overlay.finish()])
        self.frames += len(rows)
        return self._layout.decode(rows) if len(rows) else None


def check_lengths(own: AudioInfo, other: AudioInfo) -> None:
    """Raises UserError before anything is made where `avatargpt.gesture.stream.SpokenGestures` would when all is."""

    if abs(own.seconds - other.seconds) > UNEVEN:
        raise UserError(f"the interlocutor's sound lasts {other.seconds:.1f} s, the speaker's {own.seconds:.1f} s; "
                        f"accepted: the same, within {UNEVEN} s")  # fmt: skip


class Beside:
    """Called with each block of the speaker, gives what the interlocutor says until it ends, whatever rates and blocks.

    Args:
        rate: of the speaker's sound. other: None = nobody.
    """

    def __init__(self, rate: int, other: Sound | None) -> None:
        self._rate, self._other = rate, other
        self._parts: Iterator[np.ndarray] = iter(()) if other is None else iter(other.parts)
        self._mine = self._theirs = 0  # samples

    def __call__(self, block: np.ndarray) -> np.ndarray | None:
        """(n,) of the speaker -> (m,) of the interlocutor, None without one."""
        if self._other is None:
            return None
        self._mine += len(block)
        taken = [np.zeros(0, np.float32)]
        while self._theirs * self._rate < self._mine * self._other.about.rate:
            if (part := next(self._parts, None)) is None:
                break
            self._theirs += len(part)
            taken.append(part)
        return np.concatenate(taken)

    def rest(self) -> Iterator[np.ndarray]:
        """What the interlocutor says when the speaker's sound is over, block by block."""
        return self._parts
