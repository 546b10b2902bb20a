"""The upper face of who speaks: brows, lids, cheeks and nose, drawn frame by frame from a learnt distribution.

A driver that learns from a sound alone learns the mean of an upper face, which does not move: no sound says which brow
is raised. This network gives, for every tenth of a second, a mixture of Gaussians over poses, by its own past and the
mouth, which stands for the sound: speech opens the jaw further where it is stressed, and stops at the ends of phrases.
It learns from recorded faces, which need no sound for that (`avatargpt.train.upper_face`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit, ndtr
from torch import Tensor, nn
from torch.nn import functional as F

from avatargpt.face.audio_model.idle import Span, free_share
from avatargpt.lm.checkpoint import driver_folder, load_part, save_part
from vqvae.arkit import COUNT, INDEX, expand
from vqvae.strict import PositiveInt, Rate, Share, Strict

# Shapes of a pose, and last the opening of the lids: eyeWide less eyeBlink, the mean of both sides.
SHAPES = tuple(
    n for name in ("browInnerUp", "browDown", "browOuterUp", "eyeSquint", "cheekSquint", "noseSneer")
    for n in expand(name)
)  # fmt: skip
COLUMNS = [INDEX[n] for n in SHAPES]
WIDE, SHUT = ([INDEX[n] for n in expand(name)] for name in ("eyeWide", "eyeBlink"))
POSE = len(SHAPES) + 1
# What is seen of the mouth: sums of shapes, each between its values at rest and wide open.
MOUTH = (
    ("jawOpen",), ("mouthFunnel", "mouthPucker"), ("mouthSmile", "mouthStretch", "mouthDimple"),
    ("mouthLowerDown", "mouthUpperUp"), ("mouthPress", "mouthRollLower", "mouthRollUpper"),
)  # fmt: skip
_GROUPS = np.zeros((COUNT, len(MOUTH)), np.float32)
for _k, _names in enumerate(MOUTH):
    for _name in _names:
        _GROUPS[[INDEX[n] for n in expand(_name)], _k] = 1 / len(expand(_name))
SEEN = 3 * len(MOUTH)  # numbers of a step: envelopes of the mouth, their quick and their slow means
MEANS = 2 * len(MOUTH)
STEP = 0.1  # s between two poses that are drawn; in between the face moves along a cubic curve
FALL, QUICK, SLOW = 0.15, 0.1, 1.2  # time constants of the envelopes' fall and of their means, in seconds
KEEPS = 0.7  # correlation of chance from step to step: faces do not change their mind ten times a second
LOWERED = 0.1  # weight by which lids are lowered at most: with 0.25 who looks ahead seems half asleep
# Growth of a mood by how much further the mouth was open lately than on the whole, and the most of it
SWELLS, MAX_SWELL = 0.8, 0.25
CALMING = 0.08  # s, time constant of the driver's own upper face
SOFT = 0.04  # weight around which movements below zero end softly
ARRIVING = 0.5  # share of a step's mean speed with which its pose is reached
MAX_SEEN = 1.6  # of the mouth
MAX_LATENT = 6.0  # standard deviations
WIDTH = 1.5  # of a Gaussian at first: softplus of less this
MIN_SPREAD = 0.01  # of a Gaussian, in standard deviations of a pose: faces hold one still
NAME, VERSION = "upper", 2  # of the files


class UpperConfig(Strict):
    """The section `model` of `configs/upper_face.yaml`."""

    latent: PositiveInt = 8  # principal components of a pose
    hidden: PositiveInt = 160  # of the recurrent layer
    mixtures: PositiveInt = 8
    dropout: Share = 0.2
    style: float = 0.0  # how lively the speaker is: standard deviations from the mean of the takes, on a log scale
    size: Rate = 1.0  # of movements; makes up for components that are left out


class UpperNetwork(nn.Module):
    """Poses so far and what is seen of the mouth -> the distribution of the next pose.

    A pose is the answer to the mouth, linear in the means of what is seen of it, and a rest that is drawn: an answer to
    every syllable would tremble, where real faces hold a pose and then change it briskly. Legend: B takes, S steps
    of 0.1 s, D principal components, K Gaussians.
    """

    answer: Tensor
    basis: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, config: UpperConfig) -> None:
        super().__init__()
        self.config = config
        d, h = config.latent, config.hidden
        self.register_buffer("answer", torch.zeros(d, 2 * MEANS))
        self.register_buffer("basis", torch.zeros(d, POSE))  # of components to deviations from rest
        # low, high: (5,) the driver's mouth at rest and open, see `MOUTH`
        self.register_buffer("low", torch.zeros(len(MOUTH)))
        self.register_buffer("high", torch.ones(len(MOUTH)))
        self.enter = nn.Linear(2 * d + SEEN + 1, h)
        self.cell = nn.GRU(h, h, batch_first=True)
        self.leave = nn.Linear(2 * h, config.mixtures * (1 + 2 * d))
        nn.init.normal_(self.leave.weight, std=0.02)

    def embed(self, past: Tensor, seen: Tensor, style: Tensor) -> Tensor:
        """Last and last but one rest (.., 2 D), mouth (.., 15), style (.., 1) -> (.., H)."""
        d = self.config.latent
        moved = past[..., :d] - past[..., d:]
        return F.gelu(self.enter(torch.cat((past[..., :d], moved, seen, style), -1)))

    def mixture(self, x: Tensor, h: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """-> log weights (.., K), means (.., K, D) and spreads (.., K, D) of the next rest."""
        k, d = self.config.mixtures, self.config.latent
        out = self.leave(F.dropout(torch.cat((x, h), -1), self.config.dropout, self.training))
        weights, moves, spreads = out.split([k, k * d, k * d], -1)
        means = past[..., None, :d] + moves.unflatten(-1, (k, d))
        return weights.log_softmax(-1), means, MIN_SPREAD + F.softplus(spreads.unflatten(-1, (k, d)) - WIDTH)

    def forward(self, past: Tensor, seen: Tensor, style: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rests (B, S, 2 D) before each step, the mouth (B, S, 15) in it, styles (B, S, 1) -> see `mixture`."""
        x = self.embed(past, seen, style)
        return self.mixture(x, self.cell(x)[0], past)


def mouth_of(weights: np.ndarray) -> np.ndarray:
    """(.., 52) -> (.., 5) sums of shapes, see `MOUTH`."""
    return np.asarray(weights @ _GROUPS)


class MouthSteps:
    """What is seen of the mouth, frame by frame.

    Mouths of single words open for as long as a whole phrase takes; in connected speech they open with each syllable.
    Their envelopes, which fall slowly, are alike.

    Args:
        low, high: (5,) the envelopes of closed and of open mouths; None = as they are, in weights.
    """

    def __init__(self, fps: float, low: np.ndarray | None = None, high: np.ndarray | None = None) -> None:
        self._low = np.zeros(len(MOUTH)) if low is None else low
        self._scale = 1 / ((np.ones(len(MOUTH)) if high is None else high) - self._low)
        self._fall, *shares = (1 - np.exp(-1 / (s * fps)) for s in (FALL, QUICK, SLOW))
        self._shares = np.array(shares)[:, None]
        # envelope, and below it its means
        self._state, self._envelope = np.zeros((3, len(MOUTH))), np.zeros(len(MOUTH))

    def add(self, mouth: np.ndarray, share: float = 1.0) -> np.ndarray:
        """The next frame (5,), which counts as far as `share` of it is speech -> (15,) envelopes and their means."""
        self._envelope = np.maximum(share * mouth, (1 - self._fall) * self._envelope)
        open_ = np.minimum(np.maximum((self._envelope - self._low) * self._scale, 0), MAX_SEEN)
        self._state[1:] += self._shares * (open_ - self._state[1:])
        self._state[0] = open_
        return self._state.ravel().astype(np.float32)


def add_style(seen: np.ndarray, style: float) -> np.ndarray:
    """(.., 15) -> (.., 20): what an answer is linear in."""
    means = seen[..., -MEANS:]
    return np.concatenate((means, style * means), -1)


class UpperFace:
    """The upper face of one speaker, frame by frame; the same seed and mouth give the same, live and in a clip.

    Args:
        network: in evaluation mode. amount: of the deviations, 0 = none, 1 = as learnt.
        held: spans in which a score sets the upper face. jaw: spans in which one opens the jaw, which is no speech.
    """

    def __init__(
        self, network: UpperNetwork, fps: float, amount: float = 1.0, seed: int = 0, held: Sequence[Span] = (),
        jaw: Sequence[Span] = (),
    ) -> None:  # fmt: skip
        self._config, self._fps, self.held, self.jaw = network.config, fps, held, jaw
        self._weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        self._amount = amount * network.config.size
        d = network.config.latent
        self._answer, self._basis = network.answer.numpy(), network.basis.numpy()
        self._mouth = MouthSteps(fps, network.low.numpy(), network.high.numpy())
        self._rng = np.random.default_rng([seed, 54])
        self._calm: np.ndarray | None = None
        self._share = 1 - np.exp(-1 / (CALMING * fps))
        self._chance = self._rng.standard_normal(d + 1)
        self._state = np.zeros(network.config.hidden, np.float32)
        self._style = np.array([network.config.style], np.float32)
        # last, drawn: (D,) the last two rests
        self._last, self._drawn = np.zeros(d, np.float32), np.zeros(d, np.float32)
        # before, pose: (D,) the last two poses; speed: (D,) a step with which they are reached
        self._before, self._pose = np.zeros(d, np.float32), np.zeros(d, np.float32)
        self._from_speed, self._to_speed = np.zeros(d), np.zeros(d)
        self._frame = self._steps = 0

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """The next frame (52,) with its upper face."""
        second = self._frame / self._fps
        seen = self._mouth.add(mouth_of(weights), free_share(self.jaw, second))
        if second >= self._steps * STEP - 1e-6:
            self._draw(seen)
        self._frame += 1
        share = self._amount * free_share(self.held, second)
        u = min((second - (self._steps - 1) * STEP) / STEP + 1 / (self._fps * STEP), 1.0)
        # Cubic Hermite curve from the pose before to the one drawn.
        a, b, c, e = 2 * u**3 - 3 * u**2 + 1, u**3 - 2 * u**2 + u, 3 * u**2 - 2 * u**3, u**3 - u**2
        latent = a * self._before + b * self._from_speed + c * self._pose + e * self._to_speed
        moved = share * (latent @ self._basis)
        out = weights.copy()
        # The driver's own upper face trembles a little with each sound; moods do not change as fast.
        own = out[COLUMNS].astype(np.float64)
        self._calm = own if self._calm is None else self._calm + self._share * (own - self._calm)
        # Moods rise with a phrase and with its stresses, settle while it lasts, and sink where it ends.
        swells = 1 + min(max(SWELLS * float(seen[len(MOUTH)] - seen[2 * len(MOUTH)]), -MAX_SWELL), MAX_SWELL)
        goal = own + min(share, 1.0) * (self._calm * swells - own)
        out[COLUMNS] = np.minimum(np.maximum(goal + (_soften(goal + moved[:-1]) - _soften(goal)), 0), 1)
        # Wide eyes become less wide before lids are lowered.
        both = np.minimum(out[WIDE], out[SHUT])
        opening = out[WIDE] - out[SHUT] + max(moved[-1], -LOWERED)
        out[WIDE] = np.minimum(both + np.maximum(opening, 0), 1)
        out[SHUT] = np.minimum(both + np.maximum(-opening, 0), 1)
        return out

    def _draw(self, seen: np.ndarray) -> None:
        """Draw the pose of the next step."""
        config = self._config
        weights, means, spreads = self._step(seen)
        # The one of the mixture, and where in it.
        fresh = self._rng.standard_normal(config.latent + 1)
        self._chance = KEEPS * self._chance + (1 - KEEPS**2) ** 0.5 * fresh
        chances = np.cumsum(weights, dtype=np.float64)
        k = min(int(np.searchsorted(chances, ndtr(self._chance[0]) * chances[-1])), config.mixtures - 1)
        drawn = np.clip(means[k] + spreads[k] * self._chance[1:], -MAX_LATENT, MAX_LATENT).astype(np.float32)
        self._last, self._drawn = self._drawn, drawn
        pose = drawn + self._answer @ add_style(seen, config.style)
        self._before, self._pose = self._pose, pose.astype(np.float32)
        self._from_speed, self._to_speed = self._to_speed, ARRIVING * (self._pose - self._before).astype(np.float64)
        self._steps += 1

    def _step(self, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`UpperNetwork.forward` of one step, twice as fast: weights (K,), not logarithms, means and spreads (K, D)."""
        w, k, d = self._weights, self._config.mixtures, self._config.latent
        x = np.concatenate((self._drawn, self._drawn - self._last, seen, self._style))
        x = w["enter.weight"] @ x + w["enter.bias"]
        x = (x * ndtr(x)).astype(np.float32)  # gelu
        heard = w["cell.weight_ih_l0"] @ x + w["cell.bias_ih_l0"]
        told = w["cell.weight_hh_l0"] @ self._state + w["cell.bias_hh_l0"]
        n = len(self._state)
        reset, update = expit(heard[:n] + told[:n]), expit(heard[n : 2 * n] + told[n : 2 * n])
        new = np.tanh(heard[2 * n :] + reset * told[2 * n :])
        self._state = new + update * (self._state - new)
        out = w["leave.weight"] @ np.concatenate((x, self._state)) + w["leave.bias"]
        chances = np.exp(out[:k] - out[:k].max())
        moves, spreads = out[k:].reshape(2, k, d)
        return chances, self._drawn + moves, MIN_SPREAD + np.logaddexp(0, spreads - WIDTH)


def _soften(x: np.ndarray) -> np.ndarray:
    """The larger of x and 0, without a corner."""
    return np.asarray((x + np.sqrt(x * x + SOFT**2)) / 2)


@cache
def load_upper(folder: Path | None = None) -> UpperNetwork:
    """The network of a driver's folder; the packaged one where it has none.

    Raises UserError: damaged, or of another version.
    """
    if folder is None or not (folder / f"{NAME}.json").is_file():
        folder = driver_folder()
    return load_part(folder, NAME, VERSION, lambda about: UpperNetwork(UpperConfig.read(about, "shape"))).eval()


def save_upper(network: UpperNetwork, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
    """Write ``upper.json`` and ``upper.safetensors``."""
    return save_part(network, folder, NAME, VERSION, dtype)
