"""Streams of co-speech gestures, each built on the one before: feature rows, sound with words, and moving bodies.

`GestureStream` maps rows of features to motion features, `SpeechGestureStream` computes the rows from sound and words,
`GestureMotionStream` decodes the features into a body. Inputs come in chunks of any size; outputs are the same bits
whatever the chunks were, and memory does not grow.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from avatargpt.gesture.choice import DRAWS, DrawChooser
from avatargpt.gesture.features import (
    MAX_LENGTH_DIFFERENCE,
    PROSODY,
    ProsodyStream,
    TimedWord,
    WordEncoder,
    WordRows,
    row_width,
    unequal_lengths,
)
from avatargpt.gesture.network import DEFAULT_OPTIONS, HEADS, UNKNOWN, GestureDriver, GestureInput, GestureOptions
from avatargpt.gesture.overlay import Sway
from avatargpt.gesture.speech_file import NAME as FEATURES_BY_FILE
from avatargpt.gesture.speech_file import SpeechFile
from avatargpt.speech.audio import FPS, RATE
from avatargpt.speech.live import NO_SOUND, LiveRun, Sender, run_stream
from instruct_data.gesture.performing import decay_offsets
from instruct_data.gesture.strokes import ROTATIONS, TURNED, hinge_elbows, turns_in
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.motion import Motion, concatenate
from vqvae.smoothing import minimum_jerk

if TYPE_CHECKING:
    from avatargpt.gesture.features import InterlocutorAudio
    from avatargpt.gesture.overlay import SemanticOverlay
    from vqvae.tokenizer import MotionTokenizer

# Tokens of context on both sides of a decoded one. With two after it, frames are within 0.005 standard deviations of
# those of a whole talk, and jerk is a third higher (docs/experiments.md).
BEFORE, AFTER = 8, 2
BATCH = 2  # tokens decoded in one call: most of the time is call overhead
# Further tokens that may be needed before a token's frames are decoded.
DECODING_DELAY = AFTER + BATCH - 1
# Tokens are drawn from a product of two distributions (Hinton 2002): one knows the token before, the other does not.
# The first alone goes on as before, whatever is said; the second alone shakes. `FOLLOW` is the share of the first.
FOLLOW = 0.25
TOP_P = 0.95  # share of the probability, from the likeliest code down, that may be drawn
SMOOTHING_WINDOW, SMOOTHING_DEGREE = 9, 2
# Frames by which a smoothed stream lags.
SMOOTHING_DELAY = SMOOTHING_WINDOW // 2


class CodeSampler:
    """Nucleus sampling (Holtzman et al. 2020) of codes, one after the other; equal seeds draw equal codes.

    Args:
        temperature: 0 = always the likeliest code.
    """

    def __init__(self, temperature: float = 1.0, seed: int = 0) -> None:
        if not (np.isfinite(temperature) and temperature >= 0):
            raise UserError(f"temperature {temperature}; accepted: 0 or above")
        self.temperature = temperature
        self._rng = np.random.default_rng([seed, 30])

    def __call__(self, logits: np.ndarray) -> int:
        """(K,) logits -> a code."""
        chance = float(self._rng.random())  # one draw a code, at every temperature
        if self.temperature == 0:
            return int(logits.argmax())
        scaled = (logits.astype(np.float64) - logits.max()) / self.temperature
        likelihood = np.exp(scaled)
        order = np.argsort(-likelihood)
        total = np.cumsum(likelihood[order])
        last = int(np.searchsorted(total, TOP_P * total[-1]))  # the code that reaches it is still in
        at = np.searchsorted(total[: last + 1], chance * total[min(last, len(total) - 1)], side="right")
        return int(order[min(int(at), last)])


class WindowedDecoder:
    """Streaming decoder: codes (k, R) in, frames of the tokens whose window is complete out."""

    def __init__(self, decoder: MotionTokenizer, downsample: int, levels: int, features: int) -> None:
        self._decoder, self._frames, self._features = decoder, downsample, features
        self._codes = np.zeros((0, levels), np.int64)  # the last ones
        self._first = 0  # number of the first token in `_codes`
        self._decoded = 0  # tokens whose frames are out

    def follow(self, codes: np.ndarray) -> None:
        """Begin after `codes` (`BEFORE`, R), whose frames are not decoded."""
        self._codes, self._decoded = codes, len(codes)

    def push(self, codes: np.ndarray) -> np.ndarray:
        """(k, R) -> (j * n, F)."""
        self._codes = np.concatenate([self._codes, codes])
        return self._decode_until((self._first + len(self._codes) - AFTER) // BATCH * BATCH)

    def preview(self, codes: np.ndarray) -> np.ndarray:
        """(K, j, R) continuations -> (K, 1 + j * n, F) the frame before them and theirs, as far as they are known."""
        past = np.repeat(self._codes[None, -BEFORE:], len(codes), 0)
        out = self._decoder.decode_features(np.concatenate([past, codes], 1))
        return out[:, -codes.shape[1] * self._frames - 1 :]

    def end(self) -> np.ndarray:
        """The frames of the last tokens, which have no context after them."""
        return self._decode_until(self._first + len(self._codes))

    def _decode_until(self, stop: int) -> np.ndarray:
        out = [np.zeros((0, self._features), np.float32)]
        for token in range(self._decoded, stop, BATCH):
            start, after = max(token - BEFORE, 0), min(token + BATCH, stop)
            window = self._codes[start - self._first : after + AFTER - self._first]
            at = slice((token - start) * self._frames, (after - start) * self._frames)
            out.append(self._decoder.decode_features(window)[at])
        self._decoded = max(self._decoded, stop)
        drop = max(self._decoded - BEFORE, 0) - self._first
        if drop > 0:
            self._codes, self._first = self._codes[drop:].copy(), self._first + drop
        return np.concatenate(out)


def savitzky_golay(window: int) -> np.ndarray:
    """(window, window) float32: row i gives the fitted polynomial's value at frame i as a sum over all frames."""
    place = np.linspace(-1.0, 1.0, window) if window > 1 else np.zeros(1)
    basis, _ = np.linalg.qr(np.vander(place, min(SMOOTHING_DEGREE, window - 1) + 1))
    return np.asarray(basis @ basis.T, np.float32)


class Smoothing:
    """Streaming Savitzky-Golay filter (1964): the parabola through nine frames, evaluated at its middle.

    Window 9 and degree 2 as in LLAniMation (arXiv 2405.08042). The last four frames are evaluated on the parabola of
    the last nine, as ``scipy.signal.savgol_filter(mode="interp")`` does; the first four on those of the frames up to
    four later, so that their delay is no longer.
    """

    def __init__(self) -> None:
        self._filter = savitzky_golay(SMOOTHING_WINDOW)
        self._window: list[np.ndarray] = []  # the last nine frames at most
        self._count = 0

    def push(self, frames: np.ndarray) -> np.ndarray:
        """(k, F) -> (j, F) frames that are due."""
        out = []
        for frame in frames:
            self._window = [*self._window[-(SMOOTHING_WINDOW - 1) :], frame]
            self._count += 1
            if self._count > SMOOTHING_DELAY:
                window, row = np.stack(self._window), len(self._window) - 1 - SMOOTHING_DELAY
                weights = self._filter if len(window) == SMOOTHING_WINDOW else savitzky_golay(len(window))
                out.append(weights[row] @ window)
        return np.stack(out) if out else frames[:0]

    def end(self) -> np.ndarray:
        """The frames still due, (j, F)."""
        frames, self._window = self._window, []
        if not frames:
            return np.zeros((0, 0), np.float32)
        window, due = np.stack(frames), min(len(frames), SMOOTHING_DELAY)
        return np.stack([row @ window for row in savitzky_golay(len(window))[-due:]])


@dataclass(frozen=True)
class GestureChunk:
    """A piece of a stream's output: features (k, F) float32 and codes (j, R) int64.

    With smoothing, features lag four frames behind codes; with the head ``features`` there are no codes.
    """

    features: np.ndarray
    codes: np.ndarray

    @classmethod
    def concatenate(cls, chunks: Sequence[GestureChunk]) -> GestureChunk:
        """Consecutive chunks as one."""
        return cls(np.concatenate([c.features for c in chunks]), np.concatenate([c.codes for c in chunks]))


class GestureStream:
    """The network at work on one talk, fed with rows of features at 30 fps."""

    def __init__(
        self, driver: GestureDriver, options: GestureOptions = DEFAULT_OPTIONS, words: bool = False,
        other: bool = False, other_words: bool = False, frames: int | None = None, start: np.ndarray | None = None,
        chooser: DrawChooser | None = None,
    ) -> None:  # fmt: skip
        """`frames` of the sound, where that is known; `start`: (F,) the pose before the first frame, None = at rest;
        `chooser`: chooses among several draws, None = a single one.
        """
        if options.head not in HEADS:
            raise UserError(f"head {options.head!r}; accepted: {', '.join(HEADS)}")
        if other_words and not other:
            raise UserError("words of an interlocutor who is not heard; accepted: with the sound of both")
        self._net, self._config = driver.network, driver.network.config
        c = self._config
        self._decoder = None
        if options.head == "codes":
            self._decoder = WindowedDecoder(driver.tokenizer, c.downsample, c.levels, c.features)
        self._sampler = CodeSampler(options.temperature, seed=options.seed)
        self._style = torch.from_numpy(driver.style(options.speaker))[None]
        wide = row_width(c.word_width)
        inputs = (("audio", c.audio_width, True), ("words", wide, words), ("other_audio", c.audio_width, other),
                  ("other_words", wide, other_words))  # fmt: skip
        self._widths = {name: width for name, width, used in inputs if used}
        self._waiting = {name: np.zeros((0, width), np.float32) for name, width in self._widths.items()}
        self._pushed = dict.fromkeys(self._widths, 0)
        self._no_words = torch.zeros(1, c.downsample, wide)
        self._chooser = chooser if self._decoder is not None else None
        self._draws = 1 if self._chooser is None else DRAWS
        self._drawn: list[np.ndarray] = []  # (draws, R) of the tokens that wait for a choice
        self._before = torch.full((self._draws, 1, c.levels), UNKNOWN)
        if self._decoder is not None:
            pose = self._net.rest.numpy() if start is None else start
            held = np.repeat(np.asarray(pose, np.float32)[None], BEFORE * c.downsample, 0)
            past = driver.tokenizer.encode_features(held)
            self._decoder.follow(past)
            self._before = torch.from_numpy(past[-1:].astype(np.int64)).expand(self._draws, 1, -1)
        self.end = frames  # of the sound, None = not known
        self._last: dict[str, np.ndarray] = {}  # the last processed row of each kind
        self._smoothing = Smoothing() if options.smooth else None
        self._tokens = 0  # of input
        self._unsmoothed = 0  # frames before smoothing
        self.finished = False  # whether the stream has ended
        self.frames = 0  # given out so far
        self._unknown = torch.full((1, 1, c.levels), UNKNOWN)
        with torch.inference_mode():
            self._state = self._net.initial_state(1, 1 if self._decoder is None else self._draws + 1)

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the end of the last row that it needs: its token and those decoded with it,
        look-ahead, smoothing."""
        behind = SMOOTHING_DELAY if self._smoothing is not None else 0
        tokens = 1 + (DECODING_DELAY if self._decoder is not None else 0)
        return (tokens * self._config.downsample + self._config.ahead + behind) / FPS

    def push(
        self, audio: np.ndarray, words: np.ndarray | None = None, other_audio: np.ndarray | None = None,
        other_words: np.ndarray | None = None,
    ) -> GestureChunk:  # fmt: skip
        """Rows of the next frames, (k, A), (k, V), (k, A), (k, V) -> the frames that are ready.

        Rows of one kind may arrive before those of another (two microphones): a token waits for all kinds.
        """
        if self.finished:
            raise UserError("rows for a stream that is finished; accepted: rows for another one")
        inputs = {"audio": audio, "words": words, "other_audio": other_audio, "other_words": other_words}
        for name, rows in inputs.items():
            if rows is None:
                continue
            if name not in self._widths:
                raise UserError(f"{name}: the stream was begun without it; accepted: {', '.join(self._widths)}")
            self._waiting[name] = np.concatenate([self._waiting[name], rows])
            self._pushed[name] += len(rows)
        return self._process(None)

    def finish(
        self, beyond: np.ndarray | None = None, beyond_words: dict[str, np.ndarray] | None = None
    ) -> GestureChunk:
        """The frames still due: as many in all as rows of audio were pushed. The stream ends.

        Args:
            beyond: (k, A) rows of the sound after the end; None = the last row, repeated.
            beyond_words: (k, `row_width(V)`) rows of ``words`` and ``other_words`` after it; without words where none.
        """
        due = self._pushed["audio"]
        for name, count in self._pushed.items():
            if count < due and not self.finished:
                raise UserError(f"{name}: {count} frames beside {due} of audio; accepted: as many")
            self._waiting[name] = self._waiting[name][: len(self._waiting[name]) - (count - due)]
        if self.finished or not due:
            self.finished = True
            c = self._config
            return GestureChunk(np.zeros((0, c.features), np.float32), np.zeros((0, c.levels), np.int64))
        self.finished = True
        # The network looks ahead of the end: there the last row of the sound is repeated.
        missing = -due % self._config.downsample + self._config.ahead
        for name, width in self._widths.items():
            last = self._waiting[name][-1:] if len(self._waiting[name]) else self._last[name]
            rows = np.repeat(last if "audio" in name else np.zeros((1, width), np.float32), missing, 0)
            if beyond_words is not None and name in beyond_words:
                rows[: len(beyond_words[name])] = beyond_words[name][:missing]
            if name == "audio" and beyond is not None:
                rows[: len(beyond)] = beyond[:missing]
            self._waiting[name] = np.concatenate([self._waiting[name], rows])
        out = self._process(due)
        if self._smoothing is None:
            return out
        tail = self._smoothing.end()
        self.frames += len(tail)
        return GestureChunk(np.concatenate([out.features, tail]), out.codes)

    @torch.inference_mode()
    def _process(self, due: int | None) -> GestureChunk:
        # All whole tokens that are waiting; `due`: frames in all, at the end.
        n = self._config.downsample
        tokens = min(len(rows) for rows in self._waiting.values()) // n
        frames = [np.zeros((0, self._config.features), np.float32)]
        codes = [np.zeros((0, self._config.levels), np.int64)]
        # Token by token: equal shapes, and so equal bits, for chunks of any size.
        for token in range(tokens):
            rows = {name: torch.from_numpy(x[token * n : token * n + n])[None] for name, x in self._waiting.items()}
            h = self._step(rows)
            if h is not None and self._decoder is not None:
                self._draw(h)
                if len(self._drawn) == BATCH:
                    codes.append(self._choose())
                    frames.append(self._decoder.push(codes[-1]))
            elif h is not None:
                frames.append(self._net.motion(h, self._before)[0].numpy())
        if tokens:
            self._last = {name: x[tokens * n - 1 : tokens * n].copy() for name, x in self._waiting.items()}
            self._waiting = {name: x[tokens * n :].copy() for name, x in self._waiting.items()}
        if due is not None and self._decoder is not None:
            if self._drawn:
                codes.append(self._choose())
                frames.append(self._decoder.push(codes[-1]))
            frames.append(self._decoder.end())
        features = np.concatenate(frames)
        if due is not None:
            features = features[: due - self._unsmoothed]
        self._unsmoothed += len(features)
        if self._smoothing is not None:
            features = self._smoothing.push(features)
        self.frames += len(features)
        return GestureChunk(features, np.concatenate(codes))

    def _step(self, rows: dict[str, Tensor]) -> Tensor | None:
        # One token's rows -> hidden states (1 or 2, n, D); None before the first predicted token.
        left = None
        if self.end is not None:
            n, ahead = self._config.downsample, self._config.ahead
            at = self._tokens * n + np.arange(n) - ahead
            left = torch.from_numpy(((self.end - at) / FPS).astype(np.float32))[None]
        if self._chooser is not None:
            self._chooser.hear(rows["audio"][0].numpy())
        inputs = GestureInput(rows["audio"], rows.get("words", self._no_words), self._style, rows.get("other_audio"),
                              rows.get("other_words"), left=left)  # fmt: skip
        h, self._state = self._net.states(inputs, self._get_preceding(), self._state)
        self._tokens += 1
        return h if self._tokens > self._config.look_ahead else None

    def _get_preceding(self) -> Tensor:
        # The code before in each draw, and an unknown one; for the mean motion an unknown one.
        return self._before if self._decoder is None else torch.cat((self._before, self._unknown))

    def _draw(self, h: Tensor) -> None:
        # (draws + 1, n, D) states -> (draws, R) codes of a token, fed back to the next one.
        codes = np.full((self._draws, self._config.levels), UNKNOWN, np.int64)
        z = self._net.token_states(h, self._get_preceding())
        share = FOLLOW * float(self._net.kind_logits(z)[-1, 0].softmax(-1)[-1])
        z = torch.cat((z[:-1], z[-1:].expand(self._draws, -1, -1)))
        for level in range(codes.shape[1]):
            following, free = self._net.level_logits(level, z)[:, 0].log_softmax(-1).chunk(2)
            logits = (share * following + (1 - share) * free).numpy()
            if level == 0 and self._chooser is not None:
                logits[:, self._chooser.banned] = -np.inf
            codes[:, level] = [self._sampler(row) for row in logits]
            if level + 1 < codes.shape[1]:
                z = self._net.level_state(level, z, torch.from_numpy(np.tile(codes[:, level], 2))[:, None])
        self._before = torch.from_numpy(codes)[:, None]
        self._drawn.append(codes)

    def _choose(self) -> np.ndarray:
        # (k, R) codes of the draw that goes on; all others go on from it, too.
        drawn, best = np.stack(self._drawn, 1), 0
        if self._chooser is not None and self._decoder is not None:
            best = self._chooser(self._decoder.preview(drawn), drawn)
            ways = torch.tensor([best] * self._draws + [self._draws])
            for memory in self._state.memory[self._config.layers :]:
                memory[:] = [m[ways] for m in memory]
            self._before = self._before[best].expand(self._draws, 1, -1)
        self._drawn = []
        return drawn[best]


def _check_heard(driver: GestureDriver, heard: Sequence[SpeechFile], voices: int) -> None:
    c = driver.network.config
    if c.audio == PROSODY and heard:
        raise UserError(f"{heard[0].name}: {driver.source} hears prosody; accepted: without features of the sound")
    if c.audio == FEATURES_BY_FILE and len(heard) != voices:
        accepted = "--speech NAME.npy with a sound file, and --interlocutor-speech with an interlocutor"
        raise UserError(
            f"{driver.source}: hears features of the sound by file ({c.audio_width} numbers); accepted: {accepted}"
        )
    if c.audio not in (PROSODY, FEATURES_BY_FILE):
        raise UserError(f"{driver.source}: hears by {c.audio!r}; accepted: {PROSODY!r}, {FEATURES_BY_FILE!r}")
    if other := next((h for h in heard if h.width != c.audio_width), None):
        raise UserError(f"{other.name}: {other.width} numbers a row; {driver.source} accepts {c.audio_width}")


class SpeechGestureStream:
    """A `GestureStream` fed with the prosody of one or two voices, and words with times.

    Args:
        driver: a network that hears prosody, or features of files. rate: samples a second of what is pushed.
        encoder: of words; None = words are off. words, other_words: those known by now, in order.
        other: whether the interlocutor's sound is pushed, too; other_rate: its rate, None = the same.
        heard: features by file of the voices, for a network that hears these.
        frames: of the whole sound, None = not known. start: (F,) the pose before the first frame, None = at rest.
    """

    def __init__(
        self, driver: GestureDriver, rate: int = RATE, encoder: WordEncoder | None = None,
        words: Iterable[TimedWord] = (), other: bool = False, other_words: Iterable[TimedWord] = (),
        other_rate: int | None = None, options: GestureOptions = DEFAULT_OPTIONS, heard: Sequence[SpeechFile] = (),
        frames: int | None = None, start: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        c = driver.network.config
        _check_heard(driver, heard, 2 if other else 1)
        if encoder is not None and (encoder.name, encoder.width) != (c.words, c.word_width):
            raise UserError(f"words read by {encoder.name!r} ({encoder.width} numbers); {driver.source} accepts those "
                            f"read by {c.words!r} ({c.word_width})")  # fmt: skip
        voices = 2 if other else 1
        self._voices: list[ProsodyStream | SpeechFile] = [*heard]
        self._voices += [ProsodyStream(r) for r in (rate, other_rate or rate)[len(heard) : voices]]
        self._words = [] if encoder is None else [WordRows(encoder, w, c.ahead) for w in (words, other_words)[:voices]]
        self._beyond = c.ahead + c.downsample
        with_words = encoder is not None
        chooser = DrawChooser() if c.audio == PROSODY and c.features == GestureFeatures.dim else None
        self.gestures = GestureStream(driver, options, with_words, other, other and with_words, frames, start, chooser)

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return self.gestures.latency + max(voice.delay for voice in self._voices)

    @property
    def repaired(self) -> int:
        """Samples so far that were not finite and were replaced by silence."""
        return sum(voice.repaired for voice in self._voices)

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Add words of the speaker, or of the interlocutor, in order."""
        if other >= len(self._words):
            raise UserError("words for a stream without them; accepted: with an encoder, and of voices that are heard")
        self._words[other].say(words)

    def push(self, pcm: np.ndarray, other_pcm: np.ndarray | None = None) -> GestureChunk:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready."""
        if other_pcm is not None and len(self._voices) == 1:
            raise UserError("sound of an interlocutor for a stream without one; accepted: begin it with other=True")
        rows = [self._voices[0].push(pcm)]
        if len(self._voices) > 1:
            nothing = np.zeros((0, rows[0].shape[1]), np.float32)
            rows.append(nothing if other_pcm is None else self._voices[1].push(other_pcm))
        return self._push_rows(rows)

    def _push_rows(self, rows: list[np.ndarray]) -> GestureChunk:
        words = [track.take(len(audio)) for track, audio in zip(self._words, rows, strict=False)]
        pairs = [*zip(rows, words, strict=True)] if words else [(audio, None) for audio in rows]
        interlocutor = pairs[1] if len(pairs) > 1 else (None, None)
        return self.gestures.push(*pairs[0], *interlocutor)

    def finish(self) -> GestureChunk:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends."""
        if self.gestures.finished:
            return self.gestures.finish()
        frames = self._voices[0].frames
        rows, beyond = self._voices[0].end(self._beyond)
        parts, frames = [rows], frames + len(rows)
        # The interlocutor's rows are cut or extended to the length of the speaker's sound.
        for voice in self._voices[1:]:
            if abs(voice.frames - frames) > MAX_LENGTH_DIFFERENCE * FPS:
                raise unequal_lengths(frames / FPS, voice.frames / FPS)
            parts.append(voice.end(frames=frames)[0])
        first = self._push_rows(parts)
        after = {name: track.take(self._beyond) for name, track in
                 zip(("words", "other_words"), self._words, strict=False)}  # fmt: skip
        return GestureChunk.concatenate([first, self.gestures.finish(beyond, after)])


START, END = 18, 24  # frames in which the first pose goes over to the network's, and the network's to rest


@dataclass(frozen=True)
class Edges:
    """Poses (270,) of features at the ends of a clip: before its first frame, and in its last, of `frames`."""

    start: np.ndarray
    rest: np.ndarray
    frames: int | None = None  # None = the end is not known


class GestureMotionStream:
    """A `SpeechGestureStream` decoded to a body: 30 fps, upright at the origin, facing +Z, straight legs, with fingers.

    Args:
        edges: from where the motion sets out and where it ends; None = as the network does.
    """

    def __init__(
        self, speech: SpeechGestureStream, overlay: SemanticOverlay | None = None, edges: Edges | None = None
    ) -> None:
        self._speech, self._overlay, self._layout = speech, overlay, GestureFeatures()
        self._sway, self._edges, self._offsets = Sway(), edges, np.zeros((0, TURNED, 3))
        self._ending = END  # frames of going over to rest
        self.frames = 0  # given out so far

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return self._speech.latency

    @property
    def repaired(self) -> int:
        """Samples so far that were not finite and were replaced by silence."""
        return self._speech.repaired

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Add words of the speaker or of the interlocutor, in order; frames that have passed are not changed."""
        items = list(words)
        self._speech.say(items, other)
        if self._overlay is not None and not other:
            self._overlay.say(items)

    def cue(self, gesture: str, word: TimedWord) -> None:
        """Add a gesture of the bank at a word, also where words are off. Raises UserError for an unknown gesture."""
        if self._overlay is None:
            raise UserError(f"gesture {gesture!r}: no bank of gestures beside the network; accepted: with one")
        self._overlay.cue(gesture, word)

    def end_at(self, frames: int) -> None:
        """The sound will have so many frames, which was not known: the last ones go over to rest, as far as they may.

        Raises UserError where the body sets out from no pose, and so ends at none.
        """
        if self._edges is None:
            raise UserError("an end for a stream without edges; accepted: with them")
        self._edges, self._ending = replace(self._edges, frames=frames), max(min(END, frames - self.frames), 1)
        self._speech.gestures.end = frames

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> Motion | None:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready, None where none are.

        Raises:
            UserError: samples of another shape or type, after the end, or of a voice that the stream was begun without.
        """
        chunk = self._speech.push(pcm, other)
        if self._overlay is not None:
            self._overlay.hear(pcm, other)
        return self._decode(chunk)

    def finish(self) -> Motion | None:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends.

        Raises UserError: the interlocutor's sound is longer or shorter by more than half a second.
        """
        return self._decode(self._speech.finish())

    def _decode(self, chunk: GestureChunk) -> Motion | None:
        rows = self._sway.push(chunk.features)
        rows = rows if self._overlay is None else self._overlay.push(rows)
        if self._edges is not None and len(rows):
            rows = self._with_edges(rows, self._edges)
        self.frames += len(rows)
        if not len(rows):
            return None
        motion = self._layout.decode(rows)
        return replace(motion, rotations=hinge_elbows(motion.rotations))

    def _with_edges(self, rows: np.ndarray, edges: Edges) -> np.ndarray:
        # What the first pose is away from the network's dies out over the first frames, rest comes in over the last.
        if self.frames == 0:
            first, pose = (turns_in(x) for x in (rows[0], edges.start))
            offset = rot.to_axis_angle(rot.multiply(rot.conjugate(first), pose))
            self._offsets = decay_offsets(np.repeat(offset[None], 3, 0), START, START)
        out = rows.copy()
        for k, row in enumerate(out):
            frame = self.frames + k
            turns = turns_in(row)
            if frame < START:
                turns = rot.multiply(turns, rot.from_axis_angle(self._offsets[frame]))
            late = 0.0 if edges.frames is None else (frame + 1 - edges.frames + self._ending) / self._ending
            if late > 0:
                turns = rot.slerp(turns, turns_in(edges.rest), float(minimum_jerk(np.array(late))))
            if frame < START or late > 0:
                row[ROTATIONS] = rot.to_6d(turns).reshape(-1)
        return out


# Live co-speech gestures: frames to senders, one by one, each when it is due.


@dataclass
class Live(LiveRun):
    """The state of a live run, and the pieces of its motion where these are recorded."""

    pieces: list[Any] = field(default_factory=list)

    def motion(self) -> Any:
        """The recorded clip. Raises UserError where there is none."""
        if not self.pieces:
            raise UserError(NO_SOUND)
        return concatenate(self.pieces)


class Moving(Protocol):
    """A stream of motion: `GestureMotionStream`, `avatargpt.avatar.pipeline.AvatarStream`."""

    frames: int

    @property
    def latency(self) -> float: ...

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> Any: ...

    def finish(self) -> Any: ...


class _EvenStream:
    """A stream that releases each frame when the sound has reached its latency.

    The network produces all frames of a token at once; sent like that, a body would jerk forward and wait.
    """

    def __init__(
        self, stream: Moving, rate: int, interlocutor: InterlocutorAudio | None, live: Live, record: bool,
        one_by_one: bool,
    ) -> None:  # fmt: skip
        self._stream, self._rate, self._interlocutor, self._live = stream, rate, interlocutor, live
        self._record, self._one_by_one = record, one_by_one
        self._delay = math.ceil(round(stream.latency * FPS, 3))
        self._waiting: deque[Any] = deque()
        self._samples = 0

    def push(self, pcm: np.ndarray) -> list[Any]:
        self._samples += len(pcm)
        self._take(self._stream.push(pcm, None if self._interlocutor is None else self._interlocutor(pcm)))
        due = self._samples * FPS // self._rate - self._delay + 1 - self._live.frames
        return [self._waiting.popleft() for _ in range(min(max(due, 0), len(self._waiting)))]

    def finish(self) -> list[Any]:
        for part in () if self._interlocutor is None else self._interlocutor.drain_blocks():
            self._take(self._stream.push(np.zeros(0, np.float32), part))
        self._take(self._stream.finish())
        return list(self._waiting)

    def _take(self, piece: Any) -> None:
        if piece is None:
            return
        if self._record:
            self._live.pieces.append(piece)
        if self._one_by_one:
            self._waiting.extend(piece.slice(k, k + 1) for k in range(len(piece)))
        else:
            self._live.frames += len(piece)


def perform(
    stream: Moving, rate: int, parts: Iterable[np.ndarray], senders: Sequence[Sender] = (),
    interlocutor: InterlocutorAudio | None = None, keep: int = 0, live: Live | None = None,
) -> Live:  # fmt: skip
    """Push sound and send every frame when it is due; the frames still due follow when the sound ends.

    Args:
        stream: of sound at `rate`. parts: blocks of samples, for even frames of at most one frame each.
        interlocutor: their sound, where the stream was begun with one.
        keep: frames to record for a file, after which the run ends; 0 = record nothing, run until the sound ends.
        live: filled while it runs, so that an interrupted run has its frames.
    """
    result = live or Live()
    even = _EvenStream(stream, rate, interlocutor, result, keep > 0, bool(senders))

    def send(frames: list[Any]) -> bool:
        for frame in frames:
            for sender in senders:
                sender.send(result.frames, frame)
            result.frames += 1
        return not keep or stream.frames < keep

    run_stream(even, parts, send, result)
    return result
