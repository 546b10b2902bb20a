"""The face driver's network: causal dilated convolutions from speech features to face curves, conditioned on text.

One backbone with a bounded look-ahead: the hidden state after feature frame n gives video frame n - look_ahead. The
same weights run over complete windows (`forward`, training) and frame by frame (`avatargpt.face.audio_model.driver`).
Two branches add text: feelings as pooled vectors, and facial actions as clauses with their words and times. Where the
words are known, so are the phones around a frame, a further input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.face.audio_model.visemes import STYLE
from avatargpt.face.audio_model.visemes import WIDTH as CURVES
from avatargpt.speech.audio import FPS
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, silence
from avatargpt.speech.features import WIDTH as FEATURES
from avatargpt.speech.phones import ARPABET, SILENCE
from instruct_data.face.actions import action_names
from vqvae.arkit import INDEX, expand
from vqvae.errors import UserError
from vqvae.strict import Flag, NonNegativeInt, PositiveInt, Rate, Strict

KERNEL = 3
# Channels that a closure of the lips sets; rounding and spreading are left to the curves.
SEALED = tuple(
    INDEX[n]
    for name in ("jawOpen", "mouthClose", "mouthPress", "mouthRollLower", "mouthRollUpper", "mouthLowerDown",
                 "mouthUpperUp", "tongueOut")
    for n in expand(name)
)  # fmt: skip
GATE_MARGIN = 0.12  # share of a gate that counts as open, and as far from 1 as closed: noise is no closure
PRESSED = 0.45  # of mouthPress in a closure, to begin with
# The lower lip at the teeth, as the viseme rules have it in the middle of an f or v.
BITTEN = {"jawOpen": 0.08, "mouthRollLower": 0.4, "mouthPress": 0.0}
MAX_DEVIATION = 6.0  # standard deviations of a feature
# Phones that a frame is told, two a frame: from its own time on, and so many frames ahead, for lips are round early.
TOLD_FRAMES = 6
TOLD = 2 * TOLD_FRAMES
SENTENCE = 384  # width of the sentence encoder's states
PERIODS = 10  # of the clause clock
HARMONICS = 3  # of the beat
TIMING = 5  # since, left, strength, repeat, active
KIND_SCALE = 8.0  # an action's vector is trained only when the action is there; so it learns about as fast as the rest
CLOCK = 4 * PERIODS + 2 * HARMONICS + 4
Gates = Literal["zero", "open"]


class DriverConfig(Strict):
    """What `configs/driver/*.yaml` may set under `model`."""

    # width, hidden: channels of the backbone and inside its blocks
    width: PositiveInt = 192
    hidden: PositiveInt = 256
    dilations: list[PositiveInt] = [1, 2, 4, 8, 16, 1]  # one block each, kernel 3
    # look_ahead: feature frames beyond a video frame that it depends on; 2 = 100 ms behind the sound
    look_ahead: NonNegativeInt = 2
    text_width: PositiveInt = 160  # channels of the two text branches
    inject: PositiveInt = 2  # block after which text is added
    gates: Gates = "zero"  # ``zero``, the branches begin without effect; ``open``, without that (an ablation)
    # seal: bilabial gate, closes the lips. A linear head gives half a closure where it is half certain of one.
    seal: Flag = False
    bite: Flag = False  # labiodental gate, the same for the lower lip at the teeth in f and v
    feel: Flag = False  # feelings reach the curves directly as well as through the backbone
    # slow: seconds of the long-term spectral average that is a further input, 0 = none. It tells a short backbone
    # about room, line and noise.
    slow: Rate = 0.0
    told: Flag = False  # phones of known words are a further input (`DriverNetwork.tell`)
    # own: channels that the head of recorded pairs learnt from a speaker's own recordings, which are connected speech;
    # none = the mouth of the packaged pairs, which are single words
    own: list[str] = []

    @model_validator(mode="after")
    def _check_inject(self) -> Self:
        if self.inject > len(self.dilations):
            raise UserError(f"inject: {self.inject}; accepted: 1 to {len(self.dilations)}, the number of blocks")
        return self


class ConvBlock(nn.Module):
    """x + W gelu(causal convolution of norm(x)); (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.norm = nn.LayerNorm(width)
        self.taps = nn.Linear(KERNEL * width, hidden)  # oldest tap first
        self.out = nn.Linear(hidden, width)
        nn.init.normal_(self.out.weight, std=0.5 * hidden**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        past = F.pad(y, (0, 0, (KERNEL - 1) * self.dilation, 0))
        frames = x.shape[1]
        taps = [past[:, k * self.dilation : k * self.dilation + frames] for k in range(KERNEL)]
        return x + self.out(F.gelu(self.taps(torch.cat(taps, -1)), approximate="tanh"))


@dataclass
class DriverOutput:
    """The heads' output for each hidden state: curves, curves as in recorded pairs, phone logits."""

    curves: Tensor  # (B, T, 55)
    paired: Tensor  # (B, T, 55)
    phones: Tensor  # (B, T, 2, 40)
    seal: Tensor | None = None  # (B, T) logits of closed lips
    bite: Tensor | None = None  # (B, T) logits of the lower lip at the teeth


class DriverNetwork(nn.Module):
    """Features (B, T, 332) -> `DriverOutput`; frame t gives video frame t - look_ahead."""

    mean: Tensor
    std: Tensor
    sealing: Tensor
    biting: Tensor
    bitten: Tensor

    def __init__(self, config: DriverConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("std", torch.ones(FEATURES))
        sealing = torch.zeros(CURVES)
        sealing[list(SEALED)] = 1
        self.register_buffer("sealing", sealing, persistent=False)
        self.enter = nn.Linear(FEATURES, config.width)
        self.nothing = nn.Parameter(torch.zeros(config.width))  # in place of features that are NaN: no sound
        self.style = nn.Linear(len(STYLE), config.width, bias=False)
        self.blocks = nn.ModuleList(ConvBlock(config.width, config.hidden, d) for d in config.dilations)
        self.begin_text(config.gates)
        self.leave = nn.LayerNorm(config.width)
        self.curves = nn.Linear(config.width, CURVES)
        self.paired = nn.Linear(config.width, CURVES)
        self.phones = nn.Linear(config.width, 2 * len(ARPABET))
        for head in (self.curves, self.paired):
            # With less, one-sided channels are hardly learnt.
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        biting, bitten = torch.zeros(CURVES), torch.zeros(CURVES)
        for name, level in BITTEN.items():
            columns = [INDEX[n] for n in expand(name)]
            biting[columns], bitten[columns] = 1, level
        self.register_buffer("biting", biting, persistent=False)
        self.register_buffer("bitten", bitten, persistent=False)
        self.config = config.replace_fields(seal=False, bite=False, slow=0.0, told=False)
        self.grow(config)

    def begin_text(self, gates: Gates) -> None:
        """New text branches with random weights; all else stays."""
        c = self.config = self.config.replace_fields(gates=gates)
        self.emotion = EmotionBranch(c.width, c.text_width, gates == "zero", CURVES * c.feel)
        self.motion_norm = nn.LayerNorm(c.width)
        self.motion = MotionBranch(c.width, c.text_width, CURVES, gates == "zero")

    def grow(self, shape: DriverConfig) -> None:
        """Adds the gates and inputs that `shape` has and this network lacks, without effect at first.

        A larger `look_ahead` is taken over: the states then give earlier frames.
        """
        self.config = self.config.replace_fields(look_ahead=max(self.config.look_ahead, shape.look_ahead))
        if shape.seal and not self.config.seal:
            self.config = self.config.replace_fields(seal=True)
            self.seal = self._open_gate()
            pose = torch.zeros(CURVES)
            pose[[INDEX[n] for n in expand("mouthPress")]] = PRESSED
            self.sealed = nn.Parameter(pose)
        if shape.bite and not self.config.bite:
            self.config = self.config.replace_fields(bite=True)
            self.bite = self._open_gate()
        if shape.feel and not self.config.feel:
            self.config = self.config.replace_fields(feel=True)
            state = self.emotion.state_dict()
            self.emotion = EmotionBranch(self.config.width, self.config.text_width, True, CURVES)
            self.emotion.load_state_dict(state, strict=False)
        if shape.slow and not self.config.slow:
            self.config = self.config.replace_fields(slow=shape.slow)
            self.around = nn.Linear(2 * BANDS, self.config.width, bias=False)
            nn.init.zeros_(self.around.weight)
        if shape.told and not self.config.told:
            self.config = self.config.replace_fields(told=True)
            self.told = nn.Embedding(TOLD * len(ARPABET), self.config.width)
            nn.init.zeros_(self.told.weight)

    def _open_gate(self) -> nn.Linear:
        """The logit of a gate that is practically open at first."""
        gate = nn.Linear(self.config.width, 1)
        nn.init.zeros_(gate.weight)
        nn.init.constant_(gate.bias, -4.0)
        return gate

    def gates(self) -> list[tuple[nn.Linear, Tensor, Tensor]]:
        """The present gates in the order in which they act: layer of the logit, channels (55,), their pose (55,)."""
        gates = [(self.bite, self.biting, self.bitten)] if self.config.bite else []
        return gates + ([(self.seal, self.sealing, self.sealed.detach())] if self.config.seal else [])

    def apply_bite(self, h: Tensor, curves: Tensor) -> tuple[Tensor, Tensor | None]:
        """Hidden states (.., D) and curves (.., 55) -> curves after the labiodental gate, and its logits (..)."""
        if not self.config.bite:
            return curves, None
        logits = self.bite(h)
        return curves + _gate_shares(logits) * self.biting * (self.bitten - curves), logits[..., 0]

    def apply_seal(self, h: Tensor, curves: Tensor) -> tuple[Tensor, Tensor | None]:
        """The same of the bilabial gate."""
        if not self.config.seal:
            return curves, None
        logits = self.seal(h)
        share = _gate_shares(logits) * self.sealing
        return curves + share * (self.sealed - curves), logits[..., 0]

    def normalise(self, features: Tensor) -> Tensor:
        return ((features - self.mean) / self.std).clamp(-MAX_DEVIATION, MAX_DEVIATION)

    def embed(self, features: Tensor) -> Tensor:
        """(B, T, 332) -> (B, T, D); rows of NaN become the learnt vector for no sound."""
        missing = features[..., :1].isnan()
        any_missing = bool(missing.any())
        normal = self.normalise(features.nan_to_num() if any_missing else features)
        x: Tensor = self.enter(normal)
        if self.config.slow:
            x = x + self.around(long_term_spectrum(normal, self.config.slow))
        return torch.where(missing, self.nothing.to(x.dtype), x) if any_missing else x

    def tell(self, told: Tensor) -> Tensor:
        """Phones (.., 12) of a video frame and of those after it, -1 = unknown -> (.., D) for its hidden state."""
        places = told.clamp(min=0) + len(ARPABET) * torch.arange(TOLD, device=told.device)
        return (self.told(places) * (told >= 0)[..., None]).sum(-2)

    @torch.no_grad()
    def clip_output(
        self, features: np.ndarray, text: TextBatch | None = None, told: np.ndarray | None = None
    ) -> DriverOutput:
        """Features (T, 332) of a clip, followed by silence -> outputs (1, T, ..) of the video's frames.

        Args:
            told: (T, 2) phones of the video's frames, -1 = unknown; None = all are.
        """
        return self.apply_heads(*self.clip_states(features, text, told))

    def clip_states(
        self, features: np.ndarray, text: TextBatch | None = None, told: np.ndarray | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The same before `apply_heads`: hidden states (1, T, D), and what text adds to the curves."""
        ahead = self.config.look_ahead
        padded = np.concatenate([features.astype(np.float32), silence(30)[-1:].repeat(ahead, 0)])
        x = torch.from_numpy(padded).to(self.mean.device)[None]
        known = None
        if told is not None and self.config.told:
            rows = np.concatenate([np.full((ahead, TOLD), -1), tell_ahead(told)])
            known = torch.from_numpy(rows).to(x.device)[None]
        h, extra = self.states(x, torch.zeros(1, len(STYLE), device=x.device), text, known)
        return h[:, ahead:], None if extra is None else extra[:, ahead:]

    def forward(
        self, features: Tensor, style: Tensor, text: TextBatch | None = None, told: Tensor | None = None
    ) -> DriverOutput:
        """(B, T, 332) features as extracted, (B, 8) styles, (B, T, 12) phones, see `tell`."""
        return self.apply_heads(*self.states(features, style, text, told))

    def states(
        self, features: Tensor, style: Tensor, text: TextBatch | None, told: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Hidden states (B, T, D) of the features' frames, and what text adds to the curves (B, T, 55)."""
        x = self.embed(features) + self.style(style)[:, None]
        if told is not None:
            x = x + self.tell(told)
        extra: Tensor | None = None
        for i, block in enumerate(self.blocks):
            x = block(x)
            if text is not None and i + 1 == self.config.inject:
                added, direct = self.emotion(text.emotion, text.strength)
                moved, extra = self.motion(self.motion_norm(x), text.states, text.words, text.kinds, text.timing)
                x, extra = x + added + moved, extra if direct is None else extra + direct
        return self.leave(x), extra

    def apply_heads(self, h: Tensor, extra: Tensor | None) -> DriverOutput:
        """Hidden states (B, T, D) and what text adds to the curves (B, T, 55) -> the output of all heads."""
        curves, bite = self.apply_bite(h, self.curves(h) if extra is None else self.curves(h) + extra)
        # The lips last: a p, b or m is shut even next to an f.
        curves, seal = self.apply_seal(h, curves)
        return DriverOutput(curves, self.paired(h), self.phones(h).unflatten(-1, (2, len(ARPABET))), seal, bite)


def tell_ahead(phones: np.ndarray) -> np.ndarray:
    """Phones (T, 2) of frames, -1 = unknown -> (T, 12) int64 as `DriverNetwork.tell` takes them; silence follows."""
    after = np.full((TOLD_FRAMES - 1, 2), SILENCE)
    flat = np.concatenate([phones.astype(np.int64), after]).ravel()
    return np.lib.stride_tricks.sliding_window_view(flat, TOLD)[::2].copy()


def _gate_shares(logits: Tensor) -> Tensor:
    """A gate's logits -> how far it is closed, 0 to 1; 0 up to `GATE_MARGIN`."""
    return ((torch.sigmoid(logits) - GATE_MARGIN) / (1 - 2 * GATE_MARGIN)).clamp(0, 1)


def gate_share(logit: float) -> float:
    """The same of one number."""
    return min(max((1 / (1 + math.exp(-max(logit, -60.0))) - GATE_MARGIN) / (1 - 2 * GATE_MARGIN), 0.0), 1.0)


# Long-term spectral average
def share_of_new(frame: int, seconds: float) -> float:
    """Weight of frame `frame`, counted from 0, in the running average: a plain mean until it is `seconds` long."""
    return max(1 / (frame + 1), 1 / (seconds * FPS))


@torch.no_grad()
def long_term_spectrum(normal: Tensor, seconds: float) -> Tensor:
    """Normalised features (B, T, 332) -> (B, T, 160): the usual and approximately the lowest level of each band so far.

    The usual level is a running average over `seconds`.
    """
    # The lowest is -log of the average of exp(-level), which quiet frames dominate: the noise.
    bands = normal.float().unflatten(-1, (QUARTERS, PER_QUARTER))[..., :BANDS].mean(-2)
    now = torch.cat((bands, torch.exp(-bands)), -1)
    out = torch.empty_like(now)
    state = now[:, 0]
    for n in range(now.shape[1]):
        state = state + share_of_new(n, seconds) * (now[:, n] - state)
        out[:, n] = state
    usual, low = out.tensor_split(2, -1)
    return torch.cat((usual, -low.log()), -1)


class LongTermSpectrum:
    """`long_term_spectrum` frame by frame."""

    # NumPy, because for so few numbers a call of PyTorch takes longer than the arithmetic.

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._state, self._now = np.zeros((2, 2, BANDS), np.float32)
        self._frames = 0

    def copy(self) -> LongTermSpectrum:
        """An independent copy of the state."""
        twin = LongTermSpectrum(self.seconds)
        twin._state, twin._frames = self._state.copy(), self._frames
        return twin

    def __call__(self, normal: np.ndarray) -> np.ndarray:
        """Normalised features (332,) -> (160,)."""
        now = self._now
        np.add.reduce(normal.reshape(QUARTERS, PER_QUARTER)[:, :BANDS], 0, out=now[0])
        now[0] *= 1 / QUARTERS
        np.exp(np.negative(now[0], out=now[1]), out=now[1])
        now -= self._state
        now *= share_of_new(self._frames, self.seconds)
        self._state += now
        self._frames += 1
        out = self._state.copy()
        np.negative(np.log(out[1], out=out[1]), out=out[1])
        return out.reshape(-1)


# Text branches
def clause_clock(timing: Tensor) -> Tensor:
    """(..., 5) seconds since a clause began, until it ends, its strength, count, and 1 -> (..., CLOCK).

    Sines and cosines of both times with periods from 0.4 to 40 s and of the beat, which turns `count` times within the
    clause, with its first harmonics; progress of clause and beat; strength and its square.
    """
    since, left, strength, count = (timing[..., i] for i in range(4))
    rate = 2 * torch.pi / (0.4 * 100 ** (torch.arange(PERIODS, device=timing.device) / (PERIODS - 1)))
    angles = torch.cat([since[..., None].clamp(-2, 40) * rate, left[..., None].clamp(-2, 40) * rate], -1)
    progress = (since / (since + left).clamp(min=1e-3)).clamp(0, 1)
    turns = progress * count
    beat = 2 * torch.pi * turns[..., None] * torch.arange(1, HARMONICS + 1, device=timing.device)
    share = (turns - turns.floor()) * (progress < 1)
    clock = torch.stack([progress, share, strength, strength**2], -1)
    return torch.cat([angles.sin(), angles.cos(), beat.sin(), beat.cos(), clock], -1)


class EmotionBranch(nn.Module):
    """Pooled sentence vector and its strength -> (.., D) for the backbone, and curves; zero at strength 0."""

    def __init__(self, width: int, inner: int, zero: bool, curves: int = 0) -> None:
        super().__init__()
        self.inner = nn.Linear(SENTENCE + 1, inner)
        self.outer = nn.Linear(inner, width)
        self.gate = _gate(width, zero)
        # Through the backbone alone feelings on one side of the face (contempt, doubt) are hardly learnt.
        self.direct = nn.Linear(inner, curves, bias=False) if curves else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)

    def forward(self, vector: Tensor, strength: Tensor) -> tuple[Tensor, Tensor | None]:
        """(.., 384) unit vectors times strength, and (.., 1) strengths in [0, 1]."""
        # Unit vectors would hardly move the layer.
        scale = 384**0.5 / 4
        y = F.gelu(self.inner(torch.cat([vector * scale, strength], -1)), approximate="tanh")
        there = torch.tanh(3 * strength)
        return self.gate(self.outer(y)) * there, None if self.direct is None else self.direct(y) * there


class MotionBranch(nn.Module):
    """Words and times of the clauses -> (.., D) for the backbone, and curves, for each frame.

    For every clause that is active in a frame, the clause's clock and the backbone's state attend to its words. The
    result, a vector of the action and the clock give the clause's part; parts of simultaneous clauses add up.
    """

    heads = 4

    def __init__(self, width: int, inner: int, curves: int, zero: bool) -> None:
        super().__init__()
        self.inner = inner
        self.query, self.query_clock = nn.Linear(width, inner), nn.Linear(CLOCK, inner, bias=False)
        self.key, self.value = nn.Linear(SENTENCE, inner, bias=False), nn.Linear(SENTENCE, inner, bias=False)
        # A vector for each known action: sentence encoders hardly distinguish left from right.
        self.kinds = nn.Embedding(len(action_names()) + 1, inner, padding_idx=0)
        self.first = nn.Linear(inner + CLOCK, 2 * inner)
        self.second = nn.Linear(2 * inner, 2 * inner)
        self.outer = nn.Linear(2 * inner, width)
        self.gate = _gate(width, zero)
        # One-sided movements of the mouth are hardly learnt through the backbone.
        self.direct = nn.Linear(2 * inner, curves, bias=False)
        nn.init.zeros_(self.direct.weight)

    def forward(self, h: Tensor, states: Tensor, words: Tensor, kinds: Tensor, timing: Tensor) -> tuple[Tensor, Tensor]:
        """What the text adds to each frame: (B, T, D) to the backbone and (B, T, curves) to the curves.

        Args:
            h: (B, T, D) normalised backbone states.
            states: (B, C, N, 384) token states of C clauses.
            words: (B, C, N) 1 for words, 0 for padding; a clause that is ever active has at least one.
            kinds: (B, C) which of the known actions a clause is, counted from 1; 0 = none.
            timing: (B, T, C, 5), see `clause_clock`; the last is 1 where the clause is active.
        """
        size = self.inner // self.heads
        rows, frames, clauses = timing.shape[:3]
        # Rows are taken by index_select and put by index_copy: their gradients are summed in a fixed order.
        row, frame, clause = timing[..., 4].nonzero(as_tuple=True)
        if not len(row):
            return torch.zeros_like(h), h.new_zeros(rows, frames, self.direct.out_features)
        index = row * clauses + clause
        clock = clause_clock(timing[row, frame, clause])
        states_here = h.flatten(0, 1).index_select(0, row * frames + frame)
        query = (self.query(states_here) + self.query_clock(clock)).unflatten(-1, (self.heads, size))
        shape = (-1, states.shape[2], self.heads, size)
        key = self.key(states).view(shape).index_select(0, index)  # (M, N, heads, size)
        value = self.value(states).view(shape).index_select(0, index)
        score = torch.einsum("mhs,mnhs->mnh", query, key).float() * size**-0.5
        weight = score.masked_fill(words[row, clause, :, None] == 0, -1e9).softmax(1).to(value.dtype)
        kind = KIND_SCALE * self.kinds(kinds).flatten(0, 1).index_select(0, index)
        context = torch.einsum("mnh,mnhs->mhs", weight, value).flatten(1) + kind.to(value.dtype)
        y = F.gelu(self.first(torch.cat([context, clock.to(context.dtype)], -1)), approximate="tanh")
        y = F.gelu(self.second(y), approximate="tanh")
        place = (row * frames + frame) * clauses + clause

        def put(part: Tensor) -> Tensor:
            parts = torch.zeros(rows * frames * clauses, part.shape[-1], dtype=h.dtype, device=h.device)
            return parts.index_copy(0, place, part.to(h.dtype)).view(rows, frames, clauses, -1).sum(2)

        return put(self.gate(self.outer(y))), put(self.direct(y))


def _gate(width: int, zero: bool) -> nn.Linear:
    gate = nn.Linear(width, width, bias=False)
    if zero:
        nn.init.zeros_(gate.weight)
    return gate


@dataclass
class TextBatch:
    """Text for a batch, in the hidden states' time; states, words, kinds and timing as in `MotionBranch`."""

    emotion: Tensor  # (B, T, 384) unit vectors times strength
    strength: Tensor  # (B, T, 1)
    states: Tensor
    words: Tensor
    kinds: Tensor
    timing: Tensor
