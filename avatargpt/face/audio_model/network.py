"""The driver's network: causal dilated convolutions from speech features to face curves, steered by text.

One trunk with a bounded look-ahead: the hidden state after feature frame n speaks for video frame n - look_ahead. The
same weights run over whole windows (`forward`, training) and frame by frame (`avatargpt.face.audio_model.stream`).
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

from avatargpt.face.audio_model.features import BANDS, silence
from avatargpt.face.audio_model.features import WIDTH as FEATURES
from avatargpt.face.audio_model.long_term_spectrum import long_term_spectrum
from avatargpt.face.audio_model.steering import EmotionBranch, MotionBranch, Text
from avatargpt.face.audio_model.visemes import STYLE
from avatargpt.face.audio_model.visemes import WIDTH as CURVES
from avatargpt.speech.phones import ARPABET
from vqvae.arkit import INDEX, expand
from vqvae.errors import UserError
from vqvae.strict import Flag, NonNegativeInt, PositiveInt, Rate, Strict

KERNEL = 3
SEALED = tuple(
    INDEX[n]
    for name in ("jawOpen", "mouthClose", "mouthPress", "mouthRollLower", "mouthRollUpper", "mouthLowerDown",
                 "mouthUpperUp", "tongueOut")
    for n in expand(name)
)  # fmt: skip
"""Channels that a closure of the lips decides; whether they are round or spread meanwhile is left to the rest."""
LEAST = 0.12
"""Share of the gate below which it does not show, and this far from 1 it is shut: noise is no closure."""
PRESSED = 0.45  # of mouthPress in a closure, to begin with
BITTEN = {"jawOpen": 0.08, "mouthRollLower": 0.4, "mouthPress": 0.0}
"""The lower lip at the teeth, as the teacher has it in the middle of an f or v."""
WIDEST = 6.0  # standard deviations of what is heard
Gates = Literal["zero", "open"]


class DriverConfig(Strict):
    """What `configs/driver/*.yaml` may set under `model`.

    Attributes:
        width, hidden: channels of the trunk and inside its blocks.
        dilations: one block each, kernel 3.
        look_ahead: feature frames beyond the frame that is spoken for; 2 = 100 ms behind the sound.
        text_width: channels of the two text branches.
        inject: block after which text comes in.
        gates: ``zero``, the branches begin silent; ``open``, without that (an ablation).
        seal: a gate of its own closes the lips. A linear head says half a closure where it half hears one; p, b and m
            are shut or they are not.
        bite: the same for the lower lip at the teeth in f and v.
        feel: feelings reach the curves directly, too, not through the trunk alone.
        slow: seconds over which the spectrum is averaged beside each frame, 0 = not at all. It tells a short trunk how
            the room, the line and the noise sound.
    """

    width: PositiveInt = 192
    hidden: PositiveInt = 256
    dilations: list[PositiveInt] = [1, 2, 4, 8, 16, 1]
    look_ahead: NonNegativeInt = 2
    text_width: PositiveInt = 160
    inject: PositiveInt = 2
    gates: Gates = "zero"
    seal: Flag = False
    bite: Flag = False
    feel: Flag = False
    slow: Rate = 0.0

    @model_validator(mode="after")
    def _check_inject(self) -> Self:
        if self.inject > len(self.dilations):
            raise UserError(f"inject: {self.inject}; accepted: 1 to {len(self.dilations)}, the number of blocks")
        return self


class Block(nn.Module):
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
class Said:
    """What the network says for each hidden state: curves, curves as recorded pairs have them, phone logits."""

    curves: Tensor  # (B, T, 55)
    paired: Tensor  # (B, T, 55)
    phones: Tensor  # (B, T, 2, 40)
    seal: Tensor | None = None  # (B, T) logits of closed lips
    bite: Tensor | None = None  # (B, T) logits of the lower lip at the teeth


class DriverNetwork(nn.Module):
    """Features (B, T, 332) -> `Said`; frame t speaks for video frame t - look_ahead."""

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
        self.nothing = nn.Parameter(torch.zeros(config.width))  # stands for features that are not numbers: no sound
        self.style = nn.Linear(len(STYLE), config.width, bias=False)
        self.blocks = nn.ModuleList(Block(config.width, config.hidden, d) for d in config.dilations)
        self.begin_text(config.gates)
        self.leave = nn.LayerNorm(config.width)
        self.curves = nn.Linear(config.width, CURVES)
        self.paired = nn.Linear(config.width, CURVES)
        self.phones = nn.Linear(config.width, 2 * len(ARPABET))
        for head in (self.curves, self.paired):
            nn.init.normal_(head.weight, std=0.02)  # less, and what goes left or right hardly leaves the middle
            nn.init.zeros_(head.bias)
        biting, bitten = torch.zeros(CURVES), torch.zeros(CURVES)
        for name, level in BITTEN.items():
            columns = [INDEX[n] for n in expand(name)]
            biting[columns], bitten[columns] = 1, level
        self.register_buffer("biting", biting, persistent=False)
        self.register_buffer("bitten", bitten, persistent=False)
        self.config = config.changed(seal=False, bite=False, slow=0.0)
        self.grow(config)

    def begin_text(self, gates: Gates) -> None:
        """Text branches with random weights, in place of those that are there; what hears and speaks stays."""
        c = self.config = self.config.changed(gates=gates)
        self.emotion = EmotionBranch(c.width, c.text_width, gates == "zero", CURVES * c.feel)
        self.motion_norm = nn.LayerNorm(c.width)
        self.motion = MotionBranch(c.width, c.text_width, CURVES, gates == "zero")

    def grow(self, shape: DriverConfig) -> None:
        """Begin what `shape` has of gates and ways to hear and feel, and this network lacks; none says anything yet. It
        looks as far ahead as `shape`, if that is further: its states then speak for earlier frames.
        """
        self.config = self.config.changed(look_ahead=max(self.config.look_ahead, shape.look_ahead))
        if shape.seal and not self.config.seal:
            self.begin_seal()
        if shape.bite and not self.config.bite:
            self.begin_bite()
        if shape.feel and not self.config.feel:
            self.begin_feel()
        if shape.slow and not self.config.slow:
            self.begin_slow(shape.slow)

    def begin_feel(self) -> None:
        """A direct way from feelings to the curves, nothing at first; what the emotion branch knows stays."""
        self.config = self.config.changed(feel=True)
        known = self.emotion.state_dict()
        self.emotion = EmotionBranch(self.config.width, self.config.text_width, True, CURVES)
        self.emotion.load_state_dict(known, strict=False)

    def begin_seal(self) -> None:
        """A gate that closes the lips, as good as open at first."""
        self.config = self.config.changed(seal=True)
        self.seal = nn.Linear(self.config.width, 1)
        nn.init.zeros_(self.seal.weight)
        nn.init.constant_(self.seal.bias, -4.0)
        pose = torch.zeros(CURVES)
        pose[[INDEX[n] for n in expand("mouthPress")]] = PRESSED
        self.sealed = nn.Parameter(pose)

    def begin_bite(self) -> None:
        """A gate that brings the lower lip to the teeth, as good as open at first."""
        self.config = self.config.changed(bite=True)
        self.bite = nn.Linear(self.config.width, 1)
        nn.init.zeros_(self.bite.weight)
        nn.init.constant_(self.bite.bias, -4.0)

    def begin_slow(self, seconds: float) -> None:
        """Hear the slow average of the spectrum, too; nothing comes of it at first."""
        self.config = self.config.changed(slow=seconds)
        self.around = nn.Linear(2 * BANDS, self.config.width, bias=False)
        nn.init.zeros_(self.around.weight)

    def gates(self) -> list[tuple[nn.Linear, Tensor, Tensor]]:
        """The gates there are, in the order in which they act: the logit's layer, channels (55,), their pose (55,)."""
        found = [(self.bite, self.biting, self.bitten)] if self.config.bite else []
        return found + ([(self.seal, self.sealing, self.sealed.detach())] if self.config.seal else [])

    def touch(self, h: Tensor, curves: Tensor) -> tuple[Tensor, Tensor | None]:
        """Hidden states (.., D) and curves (.., 55) -> curves with the lower lip as near the teeth as an f or v is
        heard, and the logits of that (..).
        """
        if not self.config.bite:
            return curves, None
        logits = self.bite(h)
        return curves + _sure(logits) * self.biting * (self.bitten - curves), logits[..., 0]

    def close(self, h: Tensor, curves: Tensor) -> tuple[Tensor, Tensor | None]:
        """Hidden states (.., D) and curves (.., 55) -> curves with the lips as closed as a p, b or m is heard, and the
        logits of that (..).
        """
        if not self.config.seal:
            return curves, None
        logits = self.seal(h)
        share = _sure(logits) * self.sealing
        return curves + share * (self.sealed - curves), logits[..., 0]

    def normalise(self, features: Tensor) -> Tensor:
        return ((features - self.mean) / self.std).clamp(-WIDEST, WIDEST)

    def listen(self, features: Tensor) -> Tensor:
        """(B, T, 332) -> (B, T, D); rows that are not numbers become the learnt token for no sound at all."""
        missing = features[..., :1].isnan()
        some = bool(missing.any())
        normal = self.normalise(features.nan_to_num() if some else features)
        heard: Tensor = self.enter(normal)
        if self.config.slow:
            heard = heard + self.around(long_term_spectrum(normal, self.config.slow))
        return torch.where(missing, self.nothing.to(heard.dtype), heard) if some else heard

    @torch.no_grad()
    def whole(self, features: np.ndarray, text: Text | None = None) -> Said:
        """A clip's features (T, 332), settled silence after them, in one pass: (1, T, ..), frame by frame of the video.

        Args:
            text: of T + look_ahead frames.
        """
        return self.say(*self.listened(features, text))

    def listened(self, features: np.ndarray, text: Text | None = None) -> tuple[Tensor, Tensor | None]:
        """The same up to `say`: hidden states (1, T, D) of the video's frames, and what text adds to the curves."""
        ahead = self.config.look_ahead
        heard = np.concatenate([features.astype(np.float32), silence(30)[-1:].repeat(ahead, 0)])
        x = torch.from_numpy(heard).to(self.mean.device)[None]
        h, beside = self.states(x, torch.zeros(1, len(STYLE), device=x.device), text)
        return h[:, ahead:], None if beside is None else beside[:, ahead:]

    def forward(self, features: Tensor, style: Tensor, text: Text | None = None) -> Said:
        """(B, T, 332) features as extracted, (B, 8) styles."""
        return self.say(*self.states(features, style, text))

    def states(self, features: Tensor, style: Tensor, text: Text | None) -> tuple[Tensor, Tensor | None]:
        """Hidden states (B, T, D) of the features' frames, and what text adds to the curves (B, T, 55)."""
        x = self.listen(features) + self.style(style)[:, None]
        beside: Tensor | None = None
        for i, block in enumerate(self.blocks):
            x = block(x)
            if text is not None and i + 1 == self.config.inject:
                added, felt = self.emotion(text.emotion, text.strength)
                moved, beside = self.motion(self.motion_norm(x), text.states, text.words, text.kinds, text.timing)
                x, beside = x + added + moved, beside if felt is None else beside + felt
        return self.leave(x), beside

    def say(self, h: Tensor, beside: Tensor | None) -> Said:
        """Hidden states (B, T, D) and what text adds to the curves (B, T, 55) -> what all heads say."""
        curves, bite = self.touch(h, self.curves(h) if beside is None else self.curves(h) + beside)
        curves, seal = self.close(h, curves)  # after it: a p, b or m is shut even next to an f
        return Said(curves, self.paired(h), self.phones(h).unflatten(-1, (2, len(ARPABET))), seal, bite)


def _sure(logits: Tensor) -> Tensor:
    """A gate's logits -> how far it is closed, 0 to 1; nothing where it is hardly meant."""
    return ((torch.sigmoid(logits) - LEAST) / (1 - 2 * LEAST)).clamp(0, 1)


def sure(logit: float) -> float:
    """The same of one number."""
    return min(max((1 / (1 + math.exp(-max(logit, -60.0))) - LEAST) / (1 - 2 * LEAST), 0.0), 1.0)
