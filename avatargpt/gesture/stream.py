"""Speech to gesture while it is being spoken: rows of features in chunks of any size; motion features out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from avatargpt.gesture.config import HEADS, UNKNOWN
from avatargpt.gesture.decoding import WAIT, Decodes, Decoding
from avatargpt.gesture.features import checked_rows
from avatargpt.gesture.network import GestureNetwork, Heard
from avatargpt.gesture.sampling import Sampler
from avatargpt.gesture.smoothing import HALF, Smoothing
from avatargpt.speech.audio import FPS
from vqvae.errors import UserError


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
