"""`Driver`: speech (and text) to face, from the packaged or a trained folder, as a clip or while it is being spoken.

`FaceStream` takes samples at any rate and chunk size and gives frames. `Backbone` runs a network frame by frame, with
weights of eight bits where the machine is faster with them. `RecordedMouth` adds the mouth of the network that learnt
from recorded pairs.
"""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.face.audio_model import network as networks
from avatargpt.face.audio_model.conditioning import HEADS, MAX_WORD_PIECES, Direction
from avatargpt.face.audio_model.idle import LidClosing
from avatargpt.face.audio_model.visemes import STYLE, WIDTH, place_phones
from avatargpt.lm.checkpoint import driver_folder, in_eight_bits, load_part, remove_part, save_part
from avatargpt.options import UnheededText
from avatargpt.speech.audio import FPS, RATE, FrameBlocks, frames_in
from avatargpt.speech.features import SpeechFeatures
from avatargpt.speech.phones import ARPABET, SILENCE
from vqvae.arkit import COUNT, INDEX, expand
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.tensors import quantise

if TYPE_CHECKING:
    from avatargpt.gesture.features import TimedWord

MAX_TURN = 0.8  # rad of the head
PHONES = 2 * len(ARPABET)  # logits of a frame
MIN_ROW = np.array([0.0] * COUNT + [-MAX_TURN] * (WIDTH - COUNT), np.float32)
MAX_ROW = np.array([1.0] * COUNT + [MAX_TURN] * (WIDTH - COUNT), np.float32)
COLUMN_STEP = 32  # columns that torch's product with eight-bit weights takes at once; it reads past the end of others
TOGETHER = 16  # frames of a product with eight-bit weights, which takes half as long a frame as one alone
FAST_CPUS = ("AVX2", "AVX512")  # twice as fast with eight-bit weights as in float32; others take twice as long

# The recorded pairs are single words with pauses between them: neither silence nor noise, and no connected speech.
MIN_PHONE, MAX_PHONE = 0.02, 0.06  # probability of any phone at which nobody speaks, and from which on somebody does
RISE, FALL = 0.9, 0.07  # share of the way to it that is gone each frame
# Share of about a second with speech up to which words stand alone, and from which on speech is connected: of the takes
# trained on, 95 of 100 frames have less than the first.
APART, CONNECTED = 0.6, 0.75
# Connected speech rounds the lips SIZE x rounding ** POWER far: less far where they are round (undershoot, Lindblom,
# JASA 35, 1963), and they hardly come back in between. Chosen on the first half of the one take of connected speech.
POWER, SIZE = 0.4, 0.7
# The jaw opens OPENS x jaw ** OPENING far: recorded jaws less far where the network opens them widely, as it does to
# have the size of a movement right. The first was chosen on the same half take, the second keeps the amplitude.
OPENING, OPENS = 0.9, 0.92
MIN_ROUNDING = 0.1  # rounding below which the factor is that of this rounding: lips that hardly begin do not jump
PRESS_JAW, FULL_PRESS_JAW = 0.18, 0.12  # jawOpen up to which lips of a p, b or m press together a little, and fully
LIGHT_PRESS = 0.6  # times the rule's pressing and rolling: recorded lips do it less
FUNNEL, PUCKER, JAW = INDEX["mouthFunnel"], INDEX["mouthPucker"], INDEX["jawOpen"]
RECORDED = (
    "jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthPress", "mouthLowerDown",
    "mouthUpperUp", "mouthStretch", "mouthSmile", "mouthShrugLower", "mouthShrugUpper", "mouthFrown",
)  # fmt: skip
# Columns of the curves that recorded pairs have.
PAIRED_CHANNELS = tuple(INDEX[n] for name in RECORDED for n in expand(name))
# What a speaker's own recordings teach where they move it.
OWN = tuple(n for name in (*RECORDED, "browDown", "browInnerUp", "browOuterUp") for n in expand(name))
PRESSING = [INDEX[n] for name in ("mouthPress", "mouthRollLower", "mouthRollUpper") for n in expand(name)]

TextBranch = Callable[[Tensor], tuple[Tensor, Tensor | None]]


class FaceStream:
    """Recurrent state of one speaker. Frames are equal bit for bit whatever the chunks are; memory does not grow.

    Args:
        driver: the trained network.
        rate: samples a second of what is pushed.
        direction: emotion and instructions over time, see `direct`.
        style: (8,) see `avatargpt.face.audio_model.visemes.STYLE`; None = usual.
        head: ``rule``, curves learnt from rules, every channel; ``recorded``, the mouth as in recorded pairs, all other
            channels by the rule head.
        words: of the speech, with times in the stream. Their phones, where they are trusted (`visemes.place_phones`),
            are told to the network; with head ``recorded`` it then closes the lips and brings the lower one to the
            teeth wherever it is sure.

    Raises:
        UserError: a rate, style or head that is not accepted, or a head that was never trained.
    """

    # Products with eight-bit weights sum a row's terms in one order however many rows there are: frames that come with
    # one push are computed together. In float32 sums differ, so that frames are computed one by one.

    def __init__(
        self, driver: Driver, rate: int = RATE, direction: Direction | None = None, style: np.ndarray | None = None,
        head: str = "rule", words: Iterable[TimedWord] = (),
    ) -> None:  # fmt: skip
        if head not in HEADS:
            raise UserError(f"head {head!r}; accepted: {', '.join(HEADS)}")
        if head not in driver.heads:
            raise UserError(f"{driver.source}: has seen no recorded pairs; accepted: --lips rule, or a folder packed "
                            "with --paired")  # fmt: skip
        self._net, self._pairs = driver.network, driver.paired
        gates = self._net.gates()
        # One product for the curves and all that is needed beside them.
        heads = [self._net.curves, *(layer for layer, _, _ in gates)]
        if head == "recorded":
            heads.append(self._net.phones)
        self._gates = [(acting.numpy(), pose.numpy()) for _, acting, pose in gates]
        self._heads = torch.cat([h.weight for h in heads]).detach(), torch.cat([h.bias for h in heads]).detach()
        self._blocks = FrameBlocks(rate)
        self._features = SpeechFeatures()
        usual = np.zeros(len(STYLE), np.float32) if style is None else np.asarray(style, np.float32)
        if usual.shape != (len(STYLE),) or not np.isfinite(usual).all():
            raise UserError(f"style of shape {usual.shape}; accepted: {len(STYLE)} numbers ({', '.join(STYLE)})")
        eight = driver.eight_bits
        self._backbone = self._undirected = Backbone(self._net, usual, eight)  # the same until there is a direction
        self._mouth = Backbone(driver.paired, np.zeros_like(usual), eight) if head == "recorded" else None
        ahead = driver.paired.config.look_ahead - self._net.config.look_ahead
        self._behind = ahead if head == "recorded" else 0  # frames by which the mouth's network looks further ahead
        self._recorded = RecordedMouth(self._net, self._behind, driver.paired.config.own)
        self._feature_frames = 0
        self.frames = 0  # video frames returned so far
        self._finished = False
        self._closing = LidClosing()
        self._told = np.zeros((0, networks.TOLD), np.int64)  # phones of each video frame
        if (phones := place_phones(words)) is not None:
            if not self._net.config.told:
                phones = phones[:0]
                warnings.warn(f"{driver.source}: words do not shape its mouth; it was trained without `model: told`",
                              UnheededText, stacklevel=3)  # fmt: skip
            after = np.full((networks.TOLD_FRAMES, 2), -1)
            self._told = networks.tell_ahead(np.concatenate([phones, after]))[: len(phones)]
        self.direct(direction or Direction())

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs: the frame itself, look-ahead, resampling."""
        return (self._net.config.look_ahead + self._behind + 1) / FPS + self._blocks.delay

    @property
    def repaired(self) -> int:
        """Samples so far that were not numbers and counted as silence."""
        return self._blocks.repaired

    def direct(self, direction: Direction) -> None:
        """Emotion and instructions from the next frame on; their seconds count from the stream's start."""
        self._directed = bool(len(direction.seconds) or len(direction.spans))
        if self._mouth is not None and self._undirected is self._backbone and self._directed:
            self._undirected = self._backbone.copy()
        self._direction = direction
        self._closing.direct(direction)
        self._clauses = tuple(torch.from_numpy(a)[None] for a in (direction.states, direction.words, direction.kinds))
        self._select = direction.words.sum() > MAX_WORD_PIECES  # then only active clauses go through the network

    @torch.inference_mode()
    def push(self, pcm: np.ndarray) -> np.ndarray:
        """Samples (n,) or (n, channels), floats in [-1, 1] or integers -> (k, 55) frames that are ready, k may be 0.

        Samples that are not finite count as silence and in `repaired`.

        Raises:
            UserError: samples of another shape or type, or after the end.
        """
        if self._finished:
            raise UserError("sound for a stream that is finished; accepted: sound for another one")
        return self._push(pcm)

    def _push(self, pcm: np.ndarray) -> np.ndarray:
        rows: list[np.ndarray] = []
        blocks = self._blocks.push(pcm)
        # What a direction adds depends on the second.
        alone = self._directed or self._undirected is not self._backbone
        count = 1 if alone else min(b.together for b in (self._backbone, self._mouth) if b is not None)
        while part := [self._features(block) for block in islice(blocks, count)]:
            rows += [row for row in self._step(part) if row is not None]
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    @torch.inference_mode()
    def finish(self) -> np.ndarray:
        """The frames still due, (k, 55): as many as complete frames lie in the sound, at least one; the stream ends."""
        if self._finished:
            return np.zeros((0, WIDTH), np.float32)
        self._finished = True
        due = frames_in(self._blocks.samples, self._blocks.rate) - self.frames
        rows: list[np.ndarray] = []
        quiet = np.zeros(self._blocks.rate // FPS + 1, np.float32)
        while len(rows) < due:
            rows += list(self._push(quiet)[: due - len(rows)])
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    def _step(self, features: Sequence[np.ndarray]) -> Iterator[np.ndarray | None]:
        """Feature frames through the network -> a video frame of each, or None while there is none."""
        net = self._net
        first = self._feature_frames - net.config.look_ahead  # of the video frames
        numbers = [max(first + k, 0) for k in range(len(features))]
        phones = [self._told[n] if n < len(self._told) else None for n in numbers]
        told = [None if p is None else net.tell(torch.from_numpy(p)) for p in phones]  # the same for both states
        time = numbers[0] / FPS
        h, extra = self._backbone.step(features, told, (lambda x: self._add_text(x, time)) if self._directed else None)
        plain = None if self._undirected is self._backbone else self._undirected.step(features, told)[0]
        mouth = None if self._mouth is None else self._mouth.step(features)[0]
        for k, known in enumerate(phones):
            self._feature_frames += 1
            if self._feature_frames <= net.config.look_ahead:
                yield None
            else:
                rest, lips = (None if x is None else x[k] for x in (plain, mouth))
                yield self._finish_row(h[k], rest, lips, extra, known)

    def _finish_row(
        self, h: Tensor, plain: Tensor | None, mouth: Tensor | None, extra: Tensor | None, phones: np.ndarray | None
    ) -> np.ndarray | None:
        """States of the backbones, `plain` the one without direction where there is one, -> a video frame or None."""
        out = F.linear(h, *self._heads)
        row = (out[:WIDTH] if extra is None else out[:WIDTH] + extra).numpy()
        shares = [networks.gate_share(float(x)) for x in out[WIDTH : WIDTH + len(self._gates)]]
        if mouth is not None:
            undirected = out if plain is None else F.linear(plain, *self._heads)
            known, paired = phones is not None and bool((phones[:2] >= 0).all()), self._pairs.paired(mouth).numpy()
            rule, heard = undirected[:WIDTH].numpy(), undirected[-PHONES:]
            mixed = self._recorded.step(row, rule, heard, shares, paired, known)
            if mixed is None:
                return None
            row = mixed
        else:
            row = apply_gates(row, shares, self._gates)
        row = self._closing(np.minimum(np.maximum(row, MIN_ROW), MAX_ROW), self.frames / FPS)
        self.frames += 1
        return row

    def _add_text(self, x: Tensor, time: float) -> tuple[Tensor, Tensor | None]:
        """The backbone's state with the direction, and what is added to the curves."""
        at = np.array([time])
        direction, out, extra = self._direction, x, None
        if len(direction.seconds):
            vector, strength = direction.feeling(at)
            added, extra = self._net.emotion(torch.from_numpy(vector[0]), torch.from_numpy(strength[0]))
            out = out + added
        if len(direction.spans):
            timing = torch.from_numpy(direction.time_clauses(at))[None]
            if timing[..., 4].any():
                # As in training, the clauses do not depend on the feeling.
                h = self._net.motion_norm(x)[None, None]
                clauses = self._clauses
                if self._select:
                    active = timing[0, 0, :, 4].nonzero()[:, 0]
                    clauses, timing = tuple(a[:, active] for a in clauses), timing[:, :, active]
                moved, curves = self._net.motion(h, *clauses, timing)
                out, extra = out + moved[0, 0], curves[0, 0] if extra is None else extra + curves[0, 0]
        return out, extra


# The backbone, frame by frame
def eight_bits_faster(width: int, hidden: int) -> bool:
    """Whether this machine multiplies faster with eight-bit weights, and blocks of this shape allow it."""
    faster = torch.backends.cpu.get_cpu_capability() in FAST_CPUS and hasattr(torch, "_weight_int8pack_mm")
    return faster and not (width % COLUMN_STEP or hidden % COLUMN_STEP)


class Exact:
    """(1, n) float32 -> (1, m) float32: weight (m, n) times it, plus bias."""

    dtype = torch.float32

    def __init__(self, layer: nn.Linear) -> None:
        self._weight, self._bias = layer.weight.detach(), layer.bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = F.linear(x[0], self._weight, self._bias)
        return out[None]


class EightBits:
    """(k, n) bfloat16 -> (k, m) bfloat16: the same with int8 weights and a scale for each row."""

    # Such a product takes as long as its weights take to read. Weights that were stored in eight bits
    # (`vqvae.io.tensors`) are recovered to the bit, others are rounded.

    dtype = torch.bfloat16

    def __init__(self, layer: nn.Linear) -> None:
        if layer.in_features % COLUMN_STEP:
            raise ValueError(f"{layer.in_features} columns; accepted: multiples of {COLUMN_STEP}")
        self._weight, scale = quantise(layer.weight.detach())
        self._scale, self._bias = scale[:, 0].to(self.dtype), layer.bias.detach().to(self.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x, self._weight, self._scale).add_(self._bias)


@dataclass(frozen=True)
class _BlockWeights:
    """The weights of a block: looking modules up takes longer than multiplying."""

    dilation: int
    shape: tuple[int, ...]
    norm_weight: Tensor
    norm_bias: Tensor
    taps: Exact | EightBits
    out: Exact | EightBits

    @classmethod
    def of(cls, block: Any, kind: type[Exact | EightBits]) -> _BlockWeights:
        assert isinstance(block, networks.ConvBlock)
        norm = block.norm
        shape = tuple(norm.normalized_shape)
        return cls(block.dilation, shape, norm.weight, norm.bias, kind(block.taps), kind(block.out))


class Backbone:
    """A driver network's backbone, frame by frame: the state of one speaker."""

    def __init__(self, network: networks.DriverNetwork, style: np.ndarray, eight_bits: bool = False) -> None:
        fast = eight_bits and eight_bits_faster(network.config.width, network.config.hidden)
        kind: type[Exact | EightBits] = EightBits if fast else Exact
        self.network, self._dtype = network, kind.dtype
        self._layers = [_BlockWeights.of(b, kind) for b in network.blocks]
        self.together = TOGETHER if fast else 1  # frames that are computed at once, with the same bits as one by one
        wide = network.config.width
        self._past = [torch.zeros(2 * b.dilation, wide, dtype=self._dtype) for b in self._layers]
        self._spectrum = networks.LongTermSpectrum(network.config.slow) if network.config.slow else None
        enters = [network.enter.weight] + ([network.around.weight] if self._spectrum else [])
        with torch.inference_mode():  # one product for all inputs, the style in its bias
            self._enter = torch.cat(enters, 1), network.enter.bias + network.style(torch.from_numpy(style))
        self._mean, self._std = network.mean.numpy(), network.std.numpy()
        self._leave = (network.config.width,), network.leave.weight, network.leave.bias

    def copy(self) -> Backbone:
        """An independent copy of the state."""
        twin = copy(self)
        twin._past = [*self._past]
        twin._spectrum = None if self._spectrum is None else self._spectrum.copy()
        return twin

    def step(
        self, features: Sequence[np.ndarray], told: Sequence[Tensor | None] = (), add_text: TextBranch | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features (332,) of k frames -> their hidden states (k, D), and what text adds to the curves (55,).

        Args:
            told: (D,) of each frame, what `DriverNetwork.tell` makes of the phones; None = none is known.
            add_text: of a single frame: changes the state (D,) where text is added, and returns what it adds to the
                curves.
        """
        x = torch.stack([self._enter_row(*pair) for pair in zip_longest(features, told)])
        extra: Tensor | None = None
        for number, layer in enumerate(self._layers, 1):
            y = torch.layer_norm(x, layer.shape, layer.norm_weight, layer.norm_bias).to(self._dtype)
            seen = torch.cat((self._past[number - 1], y))
            taps = layer.taps(torch.cat((seen[: len(y)], seen[layer.dilation :][: len(y)], y), 1))
            self._past[number - 1] = seen[len(y) :]
            x = x + layer.out(F.gelu(taps, approximate="tanh"))
            if add_text is not None and number == self.network.config.inject:
                row, extra = add_text(x[0])
                x = row[None]
        return torch.layer_norm(x, *self._leave), extra

    def _enter_row(self, features: np.ndarray, told: Tensor | None) -> Tensor:
        # Features (332,) of a frame -> what enters the blocks (D,).
        normal = (features - self._mean) / self._std
        # Half the time of `clip`.
        np.minimum(np.maximum(normal, -networks.MAX_DEVIATION, out=normal), networks.MAX_DEVIATION, out=normal)
        if self._spectrum is not None:
            normal = np.concatenate((normal, self._spectrum(normal)))
        x: Tensor = F.linear(torch.from_numpy(normal), *self._enter)
        return x if told is None else x + told


# The recorded mouth
class VoiceActivity:
    """Voice activity from the phone logits of one frame after the other."""

    def __init__(self) -> None:
        # share: how certainly somebody speaks, 0 to 1: there at once, half gone after a third of a second
        # connected: 0 where words stand alone, 1 in connected speech
        self.share = self._recent = self.connected = 0.0

    def step(self, logits: Tensor) -> None:
        """The next frame's phone logits (2, 40)."""
        voiced = 1.0 - float(logits.softmax(-1)[:, SILENCE].mean())
        now = min(max((voiced - MIN_PHONE) / (MAX_PHONE - MIN_PHONE), 0.0), 1.0)
        self.share += (RISE if now > self.share else FALL) * (now - self.share)
        self._recent += (now - self._recent) / FPS
        self.connected = min(max((self._recent - APART) / (CONNECTED - APART), 0.0), 1.0)


def undershoot(curves: np.ndarray, connected: float) -> np.ndarray:
    """A frame's curves (55,) of single words -> with the rounding of speech that is so connected."""
    lips = float(curves[FUNNEL] + curves[PUCKER])
    if connected <= 0 or lips <= 0:
        return curves
    out = curves.copy()
    out[[FUNNEL, PUCKER]] *= (SIZE * max(lips, MIN_ROUNDING) ** (POWER - 1)) ** connected
    return out


def open_jaw(curves: np.ndarray) -> np.ndarray:
    """A frame's curves (55,) -> with the jaw as far open as recorded ones."""
    out = curves.copy()
    out[JAW] = OPENS * max(float(curves[JAW]), 0.0) ** OPENING
    return out


def press_lips(curves: np.ndarray, certainty: float, acting: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """A frame's curves (55,) -> with lips that are nearly shut pressed together for a p, b or m.

    Args:
        certainty: of such a sound by the rule head's network, 0 to 1.
        acting: (55,) 1 where a closure sets the channel. pose: (55,) of the closure, see `light_closure`.
    """
    # A mouth open further is left alone: the network that hears these sounds learnt them from other languages.
    share = certainty * min(max((PRESS_JAW - float(curves[JAW])) / (PRESS_JAW - FULL_PRESS_JAW), 0.0), 1.0)
    return apply_gates(curves, [share], [(acting, pose)])


def light_closure(pose: np.ndarray) -> np.ndarray:
    """The rule head's pose of a closure (55,) -> as lightly pressed as recorded ones."""
    out = pose.copy()
    out[PRESSING] *= LIGHT_PRESS
    return out


def list_paired_channels(own: Sequence[str]) -> tuple[int, ...]:
    """Columns that a head of recorded pairs has learnt, by `DriverConfig.own`."""
    return tuple(INDEX[n] for n in own) if own else PAIRED_CHANNELS


Gates = Sequence[tuple[np.ndarray, np.ndarray]]  # (55,) 1 where a gate acts, and its pose (55,)


def apply_gates(row: np.ndarray, shares: Sequence[float], gates: Gates) -> np.ndarray:
    """A frame's curves (55,) -> with each gate as far closed as its share says, in order."""
    for share, (acting, pose) in zip(shares, gates, strict=True):
        if share > 0:
            row = row + share * acting * (pose - row)
    return row


class RecordedMouth:
    """Curves with a mouth as in recorded pairs, for one speaker, frame after frame.

    Args:
        network: of the rule head.
        behind: frames by which the network of the pairs is later, because it looks further ahead.
        own: `DriverConfig.own` of that network. A speaker's own jaw and rounding stay as they were learnt.
    """

    def __init__(self, network: networks.DriverNetwork, behind: int, own: Sequence[str] = ()) -> None:
        self._speaking, self._behind, self._columns = VoiceActivity(), behind, list(list_paired_channels(own))
        self._own, self._seals = bool(own), network.config.seal
        self._waiting: deque[tuple[np.ndarray, np.ndarray, Sequence[float], bool]] = deque()
        self._gates = [(acting.numpy(), light_closure(pose.numpy())) for _, acting, pose in network.gates()]

    def step(
        self, row: np.ndarray, undirected: np.ndarray, phones: Tensor, shares: Sequence[float], paired: np.ndarray,
        known: bool = False,
    ) -> np.ndarray | None:  # fmt: skip
        """The next frame.

        Args:
            row: curves (55,) of the rule head's newest frame; changed in place when its turn comes.
            undirected: its curves (55,) without a direction. phones: its phone logits (80,).
            shares: how far each of its gates is closed, 0 to 1.
            paired: curves (55,) of the pairs' network, `behind` frames before.
            known: whether the network was told the phones of the newest frame.

        Returns:
            Curves (55,) of that earlier frame; None while there is none.
        """
        self._speaking.step(phones.view(2, -1))
        self._waiting.append((row, undirected, shares, known))
        if len(self._waiting) <= self._behind:
            return None
        row, rule, shares, known = self._waiting.popleft()
        # Where nobody speaks, the mouth is that of the rule head. Instructions in `row` move both mouths alike.
        learnt = paired if self._own else open_jaw(undershoot(paired, self._speaking.connected))
        difference = self._speaking.share * (learnt - rule)
        row[self._columns] += difference[self._columns]
        if known:
            return apply_gates(row, shares, self._gates)
        return press_lips(row, shares[-1], *self._gates[-1]) if self._seals else row


NAME, NAME_OF_PAIRS = "driver", "paired"  # of the files
VERSION = 2  # of the folder's layout


class Driver:
    """A trained driver network."""

    def __init__(
        self, network: networks.DriverNetwork, paired: networks.DriverNetwork | None = None, eight_bits: bool = False,
        source: str = "this driver",
    ) -> None:  # fmt: skip
        # network: `avatargpt.face.audio_model.network.DriverNetwork` in evaluation mode, float32, on the CPU
        # paired: the one whose `paired` head has the mouth as in recorded pairs: a network of its own, which
        # may look further ahead, or `network`
        # eight_bits: whether streams multiply with weights of eight bits, as they are stored in the folder
        self.network, self.paired, self.eight_bits = network.eval(), (paired or network).eval(), eight_bits
        self.source = source  # where it comes from, for messages
        # One stream of features serves both networks, with the delay of the one of pairs.
        ahead = [net.config.look_ahead for net in (self.network, self.paired)]
        if ahead[0] > ahead[1]:
            raise UserError(f"a driver that looks {ahead[0]} frames ahead, and one of pairs that looks only {ahead[1]}")

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> Driver:
        """Read ``driver.json`` and ``driver.safetensors``, and the two files called ``paired`` where they exist.

        Args:
            folder: of a driver; None = the packaged one.

        Raises:
            UserError: missing, damaged, or of another version.
        """
        folder = driver_folder() if folder is None else folder

        def build(about: dict[str, Any]) -> networks.DriverNetwork:
            return networks.DriverNetwork(networks.DriverConfig.read(about, "shape"))

        separate = (Path(folder) / f"{NAME_OF_PAIRS}.json").exists()
        paired = load_part(folder, NAME_OF_PAIRS, VERSION, build) if separate else None
        return cls(load_part(folder, NAME, VERSION, build), paired, in_eight_bits(folder, NAME), str(folder))

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder, in place of a driver that is there; `dtype` bfloat16 halves all but feature statistics."""
        if self.paired is not self.network:
            self.save_paired(folder, dtype)
        else:
            remove_part(folder, NAME_OF_PAIRS)
        return save_part(self.network, folder, NAME, VERSION, dtype)

    def save_paired(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the network of recorded pairs alone, beside a driver that is or will be there."""
        return save_part(self.paired, folder, NAME_OF_PAIRS, VERSION, dtype)

    @property
    def heads(self) -> tuple[str, ...]:
        """Those of `HEADS` that were trained: the bias of the recorded one is zero before."""
        return HEADS if bool(self.paired.paired.bias.any()) else HEADS[:1]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        from avatargpt.lm.checkpoint import fingerprint

        separate = self.paired is not self.network
        return fingerprint(nn.ModuleList([self.network, self.paired]) if separate else self.network)

    @property
    def look_ahead(self) -> int:
        """Feature frames beyond a frame that its output needs."""
        return self.network.config.look_ahead

    def phone_scores(self, features: np.ndarray) -> np.ndarray:
        """Features (T, 332) of a complete sound -> (2 T, 40) log-probabilities of the phones in each half frame."""
        out = self.network.clip_output(features)
        return np.asarray(torch.log_softmax(out.phones[0], -1).flatten(0, 1).numpy())

    def stream(self, rate: int = 16_000, **options: Any) -> FaceStream:
        """A live stream, see `FaceStream`."""
        return FaceStream(self, rate, **options)

    def drive(
        self, audio: str | os.PathLike[str] | np.ndarray | None = None, rate: int = 16_000,
        direction: Direction | None = None, style: np.ndarray | None = None, seconds: float | None = None,
        head: str = "rule", progress: Callable[[int], None] | None = None, words: Iterable[TimedWord] = (),
    ) -> FaceMotion:  # fmt: skip
        """A complete clip, with the same frames as a stream.

        Args:
            audio: a sound file, samples (n,) or (n, channels) at `rate`, or None: no speech, `seconds` of it.
            words: of the speech, see `FaceStream`.

        Raises:
            UserError: a file that is no sound, samples that are not finite, neither sound nor seconds, more than 2 h.
        """
        from avatargpt.speech import audio as sound

        parts: Iterable[np.ndarray]
        if audio is None:
            if not seconds or not 0 < seconds <= sound.MAX_SECONDS:
                raise UserError(f"without sound a length is needed: {seconds!r}; accepted: seconds above 0, up to 2 h")
            # Rounded before the ceiling: 31 / 30 s are a hair more than 31 frames of samples.
            rate, parts = sound.RATE, [np.zeros(math.ceil(round(seconds * sound.RATE, 3)), np.float32)]
        else:
            source = sound.open_sound(audio, rate)
            rate, parts = source.about.rate, source.parts
        stream = self.stream(rate, direction=direction, style=style, head=head, words=words)
        frames = []
        for part in parts:
            frames.append(stream.push(part))
            if progress is not None:
                progress(stream.frames)
        curves = np.concatenate([*frames, stream.finish()])
        return FaceMotion.from_curves(curves, float(sound.FPS))
