"""Speech to gesture while it is being spoken: rows of features, or samples, in chunks of any size; motion out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from avatargpt.gesture.config import UNKNOWN
from avatargpt.gesture.features import PROSODY, ProsodyStream, checked_rows
from avatargpt.gesture.network import GestureNetwork, Heard
from avatargpt.gesture.sampling import Sampler
from avatargpt.gesture.smoothing import HALF, Smoothing
from avatargpt.gesture.words import TimedWord, WordEncoder, WordRows
from avatargpt.signals.audio import FPS, RATE
from vqvae.errors import UserError

UNEVEN = 0.5  # s by which two voices may differ in length
HEADS = ("codes", "features")
"""``codes``: tokens are sampled, and frames follow them; ``features``: the mean motion, without tokens."""


class Trained(Protocol):
    """What a stream needs of an `avatargpt.gesture.driver.GestureDriver`."""

    network: GestureNetwork
    source: str

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
        UserError: a head or a speaker that is not accepted.
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
        self._speaks = head == "codes"
        self._sampler = sampler or Sampler()
        self._style = torch.from_numpy(driver.style(speaker))[None]
        c = self._config
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
        """Seconds from a frame's time to the end of the last row that it needs: its token, look-ahead, smoothing."""
        behind = HALF if self._smoothing is not None else 0
        return (self._config.downsample + self._config.ahead + behind) / FPS

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
        frames, codes = [], []
        for token in range(tokens):
            told = {name: torch.from_numpy(rows[token * n : token * n + n])[None] for name, rows in self._wait.items()}
            motion, said = self._step(told)
            if motion is not None:
                frames.append(motion)
                codes += [said] if self._speaks else []
        if tokens:
            self._last = {name: rows[tokens * n - 1 : tokens * n].copy() for name, rows in self._wait.items()}
            self._wait = {name: rows[tokens * n :].copy() for name, rows in self._wait.items()}
        made = np.concatenate(frames) if frames else np.zeros((0, self._config.features), np.float32)
        if due is not None:
            made = made[: due - self._made]
        self._made += len(made)
        shown = made if self._smoothing is None else self._smoothing.push(made)
        self.frames += len(shown)
        said_codes = np.stack(codes) if codes else np.zeros((0, self._config.levels), np.int64)
        return Gestures(shown, said_codes)

    def _step(self, told: dict[str, Tensor]) -> tuple[np.ndarray | None, np.ndarray]:
        """One token's rows through the network -> its motion (n, F) and codes (R,); None before the first."""
        heard = Heard(told["audio"], told.get("words", self._no_words), self._style, told.get("other_audio"),
                      told.get("other_words"))  # fmt: skip
        h, self._state = self._net.states(heard, self._before, self._state)
        self._steps += 1
        said = np.full(self._config.levels, UNKNOWN, np.int64)
        if self._steps <= self._config.look_ahead:
            return None, said
        if self._speaks:
            z = self._net.token_states(h)
            for number in range(len(said)):
                said[number] = self._sampler(self._net.level_logits(number, z)[0, 0].numpy())
                if number + 1 < len(said):
                    z = self._net.level_state(number, z, torch.from_numpy(said[None, None, number]))
            self._before = torch.from_numpy(said)[None, None]
        return self._net.motion(h, torch.from_numpy(said)[None, None])[0].numpy(), said


class SpokenGestures:
    """The same from sound: prosody of one or two voices, and words with times.

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
