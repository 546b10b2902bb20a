"""Speech to face while it is being spoken: samples in at any rate and chunk size, frames out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from avatargpt.face.audio_model.backbone import Backbone
from avatargpt.face.audio_model.conditioning import HEADS, MOST_TOKENS, Direction
from avatargpt.face.audio_model.features import SpeechFeatures
from avatargpt.face.audio_model.lids import Closing
from avatargpt.face.audio_model.network import DriverNetwork, sure
from avatargpt.face.audio_model.speaking import RecordedMouth
from avatargpt.face.audio_model.visemes import STYLE, WIDTH
from avatargpt.speech.audio import FPS, RATE, FrameBlocks, frames_in
from avatargpt.speech.phones import ARPABET
from vqvae.arkit import COUNT
from vqvae.errors import UserError

MOST_TURN = 0.8  # rad of the head
PHONES = 2 * len(ARPABET)  # logits of a frame
LEAST = np.array([0.0] * COUNT + [-MOST_TURN] * (WIDTH - COUNT), np.float32)
MOST = np.array([1.0] * COUNT + [MOST_TURN] * (WIDTH - COUNT), np.float32)


class Trained(Protocol):
    """What a stream needs of an `avatargpt.face.audio_model.driver.Driver`."""

    network: DriverNetwork
    paired: DriverNetwork
    eight_bits: bool
    source: str

    @property
    def heads(self) -> tuple[str, ...]: ...


class FaceStream:
    """Recurrent state of one speaker.

    Every frame is computed by the same operations on arrays of the same shape, so frames are equal bit for bit whatever
    the chunks were; a whole file is one push. Memory does not grow.

    Args:
        driver: the trained network.
        rate: samples a second of what is pushed.
        direction: emotion and instructions over time, see `direct`.
        style: (8,) see `avatargpt.face.audio_model.visemes.STYLE`; None = usual.
        head: ``rule``, curves learnt from rules, every channel; ``recorded``, the mouth as in recorded pairs, all
            else as it was taught.

    Raises:
        UserError: a rate, style or head that is not accepted, or a head that was never trained.
    """

    def __init__(
        self, driver: Trained, rate: int = RATE, direction: Direction | None = None, style: np.ndarray | None = None,
        head: str = "rule",
    ) -> None:  # fmt: skip
        if head not in HEADS:
            raise UserError(f"head {head!r}; accepted: {', '.join(HEADS)}")
        if head not in driver.heads:
            raise UserError(f"{driver.source}: has seen no recorded pairs; accepted: --lips rule, or a folder packed "
                            "with --paired")  # fmt: skip
        self._net, self._pairs = driver.network, driver.paired
        gates = self._net.gates() if head == "rule" else []
        beside = [layer for layer, _, _ in gates]
        if head == "recorded":
            beside = [self._net.phones, self._net.seal] if self._net.config.seal else [self._net.phones]
        heads = [self._net.curves, *beside]  # one product for the curves and what is asked beside them
        self._gates = [(acting.numpy(), pose.numpy()) for _, acting, pose in gates]
        self._heads = torch.cat([one.weight for one in heads]).detach(), torch.cat([one.bias for one in heads]).detach()
        self._blocks = FrameBlocks(rate)
        self._features = SpeechFeatures()
        usual = np.zeros(len(STYLE), np.float32) if style is None else np.asarray(style, np.float32)
        if usual.shape != (len(STYLE),) or not np.isfinite(usual).all():
            raise UserError(f"style of shape {usual.shape}; accepted: {len(STYLE)} numbers ({', '.join(STYLE)})")
        eight = driver.eight_bits
        self._backbone = self._untold = Backbone(self._net, usual, eight)  # one until something is told
        self._mouth = Backbone(driver.paired, np.zeros_like(usual), eight) if head == "recorded" else None
        more = driver.paired.config.look_ahead - self._net.config.look_ahead
        self._behind = more if head == "recorded" else 0  # frames by which the mouth hears further than all else
        self._recorded = RecordedMouth(self._net, self._behind)
        self._heard = 0  # feature frames
        self.frames = 0  # video frames given out
        self._finished = False
        self._closing = Closing()
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
        self._steered = bool(len(direction.seconds) or len(direction.spans))
        if self._mouth is not None and self._untold is self._backbone and self._steered:
            self._untold = self._backbone.copied()
        self._direction = direction
        self._closing.direct(direction)
        self._told = tuple(torch.from_numpy(a)[None] for a in (direction.states, direction.words, direction.kinds))
        self._several = direction.words.sum() > MOST_TOKENS  # of these only what is seen goes through the network

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
        rows = [row for block in self._blocks.push(pcm) if (row := self._hear(block)) is not None]
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    @torch.inference_mode()
    def finish(self) -> np.ndarray:
        """The frames still due, (k, 55): as many as whole frames lie in the sound, at least one; the stream ends."""
        if self._finished:
            return np.zeros((0, WIDTH), np.float32)
        self._finished = True
        due = frames_in(self._blocks.samples, self._blocks.rate) - self.frames
        rows: list[np.ndarray] = []
        quiet = np.zeros(self._blocks.rate // FPS + 1, np.float32)
        while len(rows) < due:
            rows += list(self._push(quiet)[: due - len(rows)])
        return np.stack(rows) if rows else np.zeros((0, WIDTH), np.float32)

    def _hear(self, block: np.ndarray) -> np.ndarray | None:
        """One feature frame through the network; the video frame it speaks for, or None while there is none."""
        net, heard = self._net, self._features(block)
        time = max((self._heard - net.config.look_ahead) / FPS, 0.0)
        h, beside = self._backbone.hear(heard, (lambda x: self._steer(x, time)) if self._steered else None)
        plain = h if self._untold is self._backbone else self._untold.hear(heard)[0]
        mouth = None if self._mouth is None else self._mouth.hear(heard)[0]
        self._heard += 1
        if self._heard <= net.config.look_ahead:
            return None
        said = F.linear(h, *self._heads)
        row = (said[:WIDTH] if beside is None else said[:WIDTH] + beside).numpy()
        if mouth is not None:
            untold = said if plain is h else F.linear(plain, *self._heads)
            paired = self._pairs.paired(mouth).numpy()
            shown = self._recorded.show(row, untold[: WIDTH + PHONES], float(said[-1]), paired)
            if shown is None:
                return None
            row = shown
        for column, (acting, pose) in enumerate(self._gates, WIDTH):
            if (share := sure(float(said[column]))) > 0:
                row = row + share * acting * (pose - row)
        row = self._closing(np.minimum(np.maximum(row, LEAST), MOST), self.frames / FPS)
        self.frames += 1
        return row

    def _steer(self, x: Tensor, time: float) -> tuple[Tensor, Tensor | None]:
        """The trunk's state with what was told, and what is added to the curves."""
        at = np.array([time])
        told, out, beside = self._direction, x, None
        if len(told.seconds):
            vector, strength = told.feeling(at)
            added, beside = self._net.emotion(torch.from_numpy(vector[0]), torch.from_numpy(strength[0]))
            out = out + added
        if len(told.spans):
            timing = torch.from_numpy(told.timing(at))[None]
            if timing[..., 4].any():
                h = self._net.motion_norm(x)[None, None]  # as in training, the clauses do not see the feeling
                clauses = self._told
                if self._several:
                    seen = timing[0, 0, :, 4].nonzero()[:, 0]
                    clauses, timing = tuple(a[:, seen] for a in clauses), timing[:, :, seen]
                moved, done = self._net.motion(h, *clauses, timing)
                out, beside = out + moved[0, 0], done[0, 0] if beside is None else beside + done[0, 0]
        return out, beside
