"""Training batches of the driver: windows of speech, recorded pairs and directed expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from avatargpt.face.audio_model.conditioning import Direction
from avatargpt.face.audio_model.network import SENTENCE, TIMING, TOLD, TextBatch
from avatargpt.face.audio_model.visemes import WIDTH
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.speech.audio import FPS
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, silence
from avatargpt.train.speech_data.augment import Disturber
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.expressions import ExpressionClip, compose
from vqvae.errors import UserError
from vqvae.strict import Rate, Share, Strict, Weights

WARM_UP = 10  # first frames of a window from the middle of a clip, in which the network lacks its context
# Half frames by which told phones are early or late (standard deviation), and frames between independent errors.
TIME_ERROR, ERROR_FRAMES = 1.5, 12
# Sources of clips of recorded speech with aligned text.
RECORDED = ("lj", "real")
SILENT = ("still", "sound")  # sources of clips without speech


class SpeechSampling(Strict):
    """Shares of a batch."""

    paired: Share = 0.15  # rows of recorded pairs
    directed: Share = 0.5  # rows with text (if there is an expression cache), half of them silent, half over speech
    real: Rate = 2.0  # weight of a clip of recorded speech relative to a synthetic one
    # Of the rows with rule-based curves, by source (the first part of a clip's name); sources without a share divide
    # the rest
    shares: Weights = {}
    # told: share of the rows with speech whose phones are told, with errors of their times; half of these in part
    told: Share = 0.0
    masks: Share = 0.3  # share of rows with a masked frequency band
    level: Rate = 0.25  # standard deviation of the change in loudness, nepers of power
    # formants, colour, echo, noise, sounds: shares of disturbed rows, see `Disturber`; `sounds` by clips of the source
    # ``sound``
    formants: Share = 0.0
    colour: Share = 0.0
    echo: Share = 0.0
    noise: Share = 0.0
    sounds: Share = 0.0


@dataclass
class SpeechBatch:
    """Tensors on the training device; T frames, curves aligned with the hidden states after `look_ahead`."""

    features: Tensor  # (B, T, 332)
    style: Tensor  # (B, 8)
    curves: Tensor  # (B, T, 55); of recorded pairs NaN where a channel was not measured
    phones: Tensor  # (B, T, 2), -1 unknown
    mask: Tensor  # (B, T)
    paired: Tensor  # (B,)
    text: TextBatch | None = None
    told: Tensor | None = None  # (B, T, 12) phones that are known of words, -1 unknown


@dataclass
class SpeechBatches:
    """Draws windows; equal seeds give equal batches, so a resumed run equals an uninterrupted one. `clips`,
    `expressions`: for training; the latter, with text, may be empty. `grounder`: needed with expressions.
    """

    clips: Sequence[SpeechClip]
    expressions: Sequence[ExpressionClip] = ()
    grounder: SentenceGrounder | None = None
    sampling: SpeechSampling = field(default_factory=SpeechSampling)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        lengths = np.array([len(c) for c in self.clips])
        self._first = np.concatenate([[0], np.cumsum(lengths)])[:-1]
        self._lengths = lengths
        # An additional last row of silence stands for all frames beyond a clip.
        quiet = silence(30)[-1:].astype(np.float16)
        features = [c.features.astype(np.float16, copy=False) for c in self.clips]
        self._features = torch.from_numpy(np.concatenate([*features, quiet])).to(self.device)
        curves = [c.curves.astype(np.float16, copy=False) for c in self.clips]
        self._curves = torch.from_numpy(np.concatenate([*curves, np.zeros((1, WIDTH), np.float16)])).to(self.device)
        phones = [*(c.phones for c in self.clips), np.zeros((1, 2), np.uint8)]
        self._phones = torch.from_numpy(np.concatenate(phones)).to(self.device)
        self._style = torch.from_numpy(np.stack([c.style for c in self.clips])).to(self.device)
        kind = np.array([c.kind == "paired" for c in self.clips])
        # Longer clips are drawn more often, but less than in proportion.
        weight = np.sqrt(lengths) * np.array([self.sampling.real if c.source in RECORDED else 1.0 for c in self.clips])
        if not (~kind).any():
            raise UserError("no taught speech in the cache; the speech stage writes it")
        weight = _share_weight(weight, np.array([c.source for c in self.clips]), ~kind, self.sampling.shares)
        self._weights = {}
        for paired in (False, True):
            w = np.where(kind == paired, weight if not paired else lengths, 0.0)
            self._weights[paired] = w / w.sum() if w.sum() else None
        self._directions: dict[int, Direction] = {}
        s = self.sampling
        bank = [c.features.reshape(-1, QUARTERS, PER_QUARTER) for c in self.clips if c.source == "sound"]
        if s.sounds and not bank:
            raise UserError("sampling: sounds: no clips of 'sound' in the caches; see configs/driver/face.yaml")
        self._disturb = Disturber(s.formants, s.colour, s.echo, s.noise, s.sounds, bank)

    def statistics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean and std of the features, std of the taught and of the paired curves."""
        taught = [c for c in self.clips if c.kind == "taught"]
        rows = np.concatenate([c.features for c in taught])[::5].astype(np.float32)
        curves = np.concatenate([c.curves for c in taught]).astype(np.float32)
        paired = [c.curves.astype(np.float32) for c in self.clips if c.kind == "paired"]
        spread = _spread(np.concatenate(paired)) if paired else np.ones(WIDTH, np.float32)
        expressed = [c.curves.astype(np.float32) for c in self.expressions]
        both = np.concatenate([curves, *expressed]).std(0)
        return rows.mean(0), rows.std(0) + 0.1, both, spread

    def draw(self, rows: int, window: int, look_ahead: int, seed: Sequence[int]) -> SpeechBatch:
        """One batch of `rows` windows of `window` feature frames."""
        rng = np.random.default_rng(list(seed))
        s = self.sampling
        paired = np.zeros(rows, bool)
        if self._weights[True] is not None:
            paired[: round(rows * s.paired)] = True
        chosen = np.array([rng.choice(len(self.clips), p=self._weights[bool(p)]) for p in paired])
        # A start before the clip shows how sound sets in.
        start = np.array([int(rng.integers(-8, max(1, self._lengths[c] - window // 2))) for c in chosen])
        within = np.maximum(start, 0)[:, None] + np.arange(window)[None]
        end = self._lengths[chosen][:, None]
        target = within - look_ahead
        beyond = len(self._features) - 1
        first = self._first[chosen][:, None]
        target_rows = np.where((target < end) & (target >= 0), first + np.maximum(target, 0), beyond)
        input_rows = np.where(within < end, first + within, beyond)
        index, at = (torch.from_numpy(rows).to(self.device) for rows in (input_rows, target_rows))
        mask = (target >= 0) & ((start <= 0)[:, None] | (np.arange(window) >= WARM_UP)[None])
        mask &= ~paired[:, None] | (target < end)  # a recorded face is unknown after its clip
        curves, phones = self._curves[at].float(), self._phones[at].long()
        phones[torch.from_numpy(paired).to(self.device)] = -1
        style = self._style[torch.from_numpy(chosen).to(self.device)]
        features = self._augment_features(self._features[index].float(), rng)
        batch = SpeechBatch(
            features, style, curves, phones, torch.from_numpy(mask).to(self.device, torch.float32),
            torch.from_numpy(paired).to(self.device),
        )  # fmt: skip
        if s.told:
            spoken = [not p and self.clips[c].source not in SILENT for p, c in zip(paired, chosen, strict=True)]
            batch.told = self._tell(target, self._first[chosen], self._lengths[chosen], np.array(spoken), rng)
        if self.expressions and s.directed > 0:
            self._direct(batch, rng, look_ahead)
        return batch

    def _tell(
        self, target: np.ndarray, first: np.ndarray, lengths: np.ndarray, spoken: np.ndarray, rng: np.random.Generator
    ) -> Tensor:
        """(B, T, 12) the phones around frames (B, T) as an aligner would have them; -1 in rows that are not told."""
        rows, window = target.shape
        points = rng.normal(0, TIME_ERROR, (rows, window // ERROR_FRAMES + 2))
        at = np.arange(window) / ERROR_FRAMES
        late = np.stack([np.interp(at, np.arange(points.shape[1]), p) for p in points])
        half = 2 * target[..., None] + np.arange(TOLD) + np.rint(late)[..., None].astype(np.int64)
        inside = (half >= 0) & (half < 2 * lengths[:, None, None])
        places = torch.from_numpy(np.where(inside, 2 * first[:, None, None] + half, 2 * (len(self._phones) - 1)))
        told = self._phones.flatten()[places.to(self.device)].long()
        hidden = ~spoken | (rng.random(rows) >= self.sampling.told)
        unknown = np.repeat(hidden[:, None], window, 1)
        for row in np.flatnonzero(~hidden & (rng.random(rows) < 0.5)):  # of some words the times are not known
            a, b = np.sort(rng.integers(0, window, 2))
            unknown[row, a:b] = True
        told[torch.from_numpy(unknown).to(self.device)] = -1
        return told

    def _augment_features(self, features: Tensor, rng: np.random.Generator) -> Tensor:
        rows = len(features)
        s = self.sampling
        if max(s.formants, s.colour, s.echo, s.noise, s.sounds) > 0:
            disturbed = features.cpu().numpy().reshape(*features.shape[:2], QUARTERS, PER_QUARTER)
            self._disturb(disturbed, rng)
            features = torch.from_numpy(disturbed.reshape(features.shape)).to(features)
        parts = features.unflatten(-1, (QUARTERS, PER_QUARTER))
        level = torch.from_numpy(rng.normal(0, self.sampling.level, (rows, 1, 1, 1))).to(features)
        # Digital silence has no level that could change.
        parts[..., : BANDS + 1] += level * (parts[..., BANDS : BANDS + 1] > -15)
        low = rng.integers(0, BANDS - 20, rows)
        for i in np.flatnonzero(rng.random(rows) < self.sampling.masks):
            part = parts[i, :, :, low[i] : low[i] + int(rng.integers(4, 20))]
            part[:] = part.mean(0, keepdim=True)
        return features

    def _direct(self, batch: SpeechBatch, rng: np.random.Generator, look_ahead: int) -> None:
        # Turn a share of the rows into directed ones: expression alone, or composed with the row's speech.
        rows, window = batch.mask.shape
        free = np.flatnonzero(~batch.paired.cpu().numpy())
        chosen = rng.permutation(free)[: round(rows * self.sampling.directed)]
        directions: dict[int, tuple[Direction, np.ndarray]] = {}
        for i, row in enumerate(chosen):
            which = int(rng.integers(len(self.expressions)))
            clip = self.expressions[which]
            frames = len(clip.curves)
            start = int(rng.integers(0, max(1, frames - window // 2)))
            at = start + np.arange(window) - look_ahead
            inside = (at >= 0) & (at < frames)
            expressed = np.where(inside[:, None], clip.curves[np.clip(at, 0, frames - 1)], 0).astype(np.float32)
            # Half of the directed rows are silent.
            if i % 2 == 0:
                noise = self._disturb.room(window, rng)
                quiet = self._features[-1:].expand(window, -1) if noise is None else torch.from_numpy(noise).flatten(1)
                batch.features[row] = quiet.to(batch.features)
                batch.curves[row] = torch.from_numpy(expressed).to(self.device)
                batch.phones[row] = 0
                if batch.told is not None:
                    batch.told[row] = -1
                batch.style[row] = 0
            else:
                both = compose(batch.curves[row].cpu().numpy(), expressed)
                batch.curves[row] = torch.from_numpy(both).to(self.device)
            batch.mask[row] *= torch.from_numpy(inside.astype(np.float32)).to(self.device)
            directions[int(row)] = (self._direction(which), np.maximum(at, 0) / FPS)
        batch.text = text_of(directions, rows, window, self.device)

    def _direction(self, which: int) -> Direction:
        if which not in self._directions:
            assert self.grounder is not None
            clip = self.expressions[which]
            self._directions[which] = Direction.make(clip.feelings, clip.clauses, self.grounder)
        return self._directions[which]


def _spread(curves: np.ndarray) -> np.ndarray:
    # (55,) standard deviations of (N, 55) where they were measured, 0 of what never was.
    known = np.isfinite(curves)
    count, rows = np.maximum(known.sum(0), 1), np.where(known, curves, 0)
    off = np.where(known, rows - rows.sum(0) / count, 0)
    return np.asarray(np.sqrt((off**2).sum(0) / count), np.float32)


def _share_weight(weight: np.ndarray, sources: np.ndarray, taught: np.ndarray, shares: dict[str, float]) -> np.ndarray:
    # (clips,) weights, rescaled so that each named source has its share of the taught clips' total.
    if not shares:
        return weight
    total = sum(shares.values())
    unnamed = taught & ~np.isin(sources, list(shares))
    if total > 1 + 1e-9 or (total < 1 - 1e-9 and not unnamed.any()):
        raise UserError(f"sampling: shares: {shares}; accepted: parts of 1, the rest for sources that are not named")
    out = weight.copy()
    for name, share in shares.items():
        rows = taught & (sources == name)
        if not rows.any():
            names = ", ".join(sorted(set(sources[taught].tolist())))
            raise UserError(f"sampling: shares: no clips of {name!r} in the caches; take it out. There are {names}")
        out[rows] *= share / weight[rows].sum()
    if unnamed.any():
        out[unnamed] *= (1 - total) / weight[unnamed].sum()
    return out


def text_of(
    directions: dict[int, tuple[Direction, np.ndarray]], rows: int, frames: int, device: torch.device
) -> TextBatch:
    """Directions of some rows at their frames' times, padded; the other rows have none."""
    clauses = max([1, *(len(d.spans) for d, _ in directions.values())])
    tokens = max([1, *(d.states.shape[1] for d, _ in directions.values())])
    emotion, strength = np.zeros((rows, frames, SENTENCE), np.float32), np.zeros((rows, frames, 1), np.float32)
    states = np.zeros((rows, clauses, tokens, SENTENCE), np.float32)
    words, timing = np.zeros((rows, clauses, tokens), np.float32), np.zeros((rows, frames, clauses, TIMING), np.float32)
    kinds = np.zeros((rows, clauses), np.int64)
    for row, (direction, t) in directions.items():
        emotion[row], strength[row] = direction.feeling(t)
        c, n = direction.states.shape[:2]
        if c:
            states[row, :c, :n], words[row, :c, :n] = direction.states, direction.words
            kinds[row, :c], timing[row, :, :c] = direction.kinds, direction.time_clauses(t)
    return TextBatch(*(torch.from_numpy(a).to(device) for a in (emotion, strength, states, words, kinds, timing)))
