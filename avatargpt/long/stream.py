"""`MotionStream`: codes in, frames in the world out, with decoder, path, place, feet and floor as streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatargpt.body.contact import CONTACTS, FootLock, PenetrationStream
from vqvae.features import BodyFeatures, RootState
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

# of the path, see `PathKeeper`
# of the radius that is steered for; the rest is for the delay of the turn
INNER_SHARE = 0.85
# of the radius: wider circles than this need no bend
MAX_BEND_SHARE = 0.35
MIN_CURVE_METRES = 0.6
# share per frame by which curvature (twice) and direction of travel follow
SMOOTHING = 0.15
# by which the place is extrapolated, for the turn sets in late
LEAD_FRAMES = 12
# radians per frame (115 degrees a second): at 3 m/s no curve is tighter than 1.5 m
MAX_YAW_RATE = 0.1
# metres: the side of the turn changes only for so much more room
SIDE_MARGIN = 0.3


class StreamDecoder:
    """Decodes windows of the stream with the decoder's whole receptive field around them.

    Features come out as soon as nothing that follows can change them: `tokenizer.decoder_context` tokens later than
    their codes. State: at most twice that many tokens besides the last push.

    Args:
        tokenizer: of the stream's modality.
    """

    def __init__(self, tokenizer: MotionTokenizer) -> None:
        self.tokenizer, self.context = tokenizer, tokenizer.decoder_context
        self.codes = np.zeros((0, tokenizer.config.levels), np.int64)
        # index within `codes` of the first token whose features are still to come
        self.start = 0

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Add (N, R) codes; returns the features (M * downsample, D) that are final now, M >= 0 tokens."""
        self.codes = np.concatenate([self.codes, codes])
        return self._features(len(self.codes) - self.context)

    def finish(self) -> np.ndarray:
        """The remaining features, at the end of the stream."""
        return self._features(len(self.codes))

    def _features(self, stop: int) -> np.ndarray:
        """Features up to token `stop` of `codes`; drops the codes that no window needs any more."""
        if stop <= self.start:
            return np.zeros((0, self.tokenizer.spec.dim), np.float32)
        step = self.tokenizer.downsample
        out = self.tokenizer.decode_features(self.codes[: stop + self.context])[self.start * step : stop * step]
        drop = max(0, stop - self.context)
        self.codes, self.start = self.codes[drop:], stop - drop
        return out


class PathKeeper:
    """Bends body features (T, 269) so that their path stays within `radius` metres of the start of the stream.

    A rule: where the body travels outward, the largest circle inside the radius that touches the direction of travel is
    computed; when it gets narrow, the path is turned along it. The turn is a yaw rate in proportion to speed (a body at
    rest is not turned), sets in and fades over about half a second; positions are never shifted.

    State: the direction of travel and the curvature.
    """

    def __init__(self, radius: float) -> None:
        self.radius = INNER_SHARE * radius
        self.travel = np.zeros(2)  # metres per frame, world x and z, smoothed
        self.curvature = self.goal = 0.0  # 1 / metres, positive to the left

    def steer(self, features: np.ndarray, state: RootState) -> np.ndarray:
        """The features with the yaw rate (channel 3) bent.

        Args:
            features: (T, 269), the next of the stream.
            state: of `BodyFeatures.decode_chunk` before them.
        """
        out, yaw, place = features.copy(), state.yaw, state.position[[0, 2]].copy()
        for row in out:
            c, s = np.cos(yaw), np.sin(yaw)
            step = np.array([c * row[1] + s * row[2], c * row[2] - s * row[1]])
            place += step
            self.travel += SMOOTHING * (step - self.travel)
            speed = float(np.linalg.norm(self.travel))
            self.goal += SMOOTHING * (self._needed_curvature(place + LEAD_FRAMES * self.travel, speed) - self.goal)
            self.curvature += SMOOTHING * (self.goal - self.curvature)
            bend = float(np.clip(self.curvature * speed, -MAX_YAW_RATE, MAX_YAW_RATE))
            row[3] += bend
            yaw += float(row[3])
            c, s = np.cos(bend), np.sin(bend)
            self.travel = np.array([c * self.travel[0] + s * self.travel[1], c * self.travel[1] - s * self.travel[0]])
        return out

    def _needed_curvature(self, place: np.ndarray, speed: float) -> float:
        """Curvature of the widest turn that stays inside, 0 where there is room."""
        if speed < 1e-4 or float(self.travel @ place) <= 0:
            return 0.0
        along = self.travel / speed
        across = float(place[0] * along[1] - place[1] * along[0])  # how far to the left of the centre line
        side = 1.0 if across - SIDE_MARGIN * np.sign(self.curvature) <= 0 else -1.0
        room = self.radius**2 - float(place @ place)
        widest = room / (2 * max(self.radius - abs(across), 1e-6))
        max_bend = MAX_BEND_SHARE * self.radius
        if widest >= max_bend:
            return 0.0
        share = min(1.0, (max_bend - widest) / (0.3 * max_bend))
        return side * share / max(widest, MIN_CURVE_METRES)


@dataclass(frozen=True)
class Frames:
    """Frames: `rotations` (T, 22, 4) local quaternions, `root` (T, 3) metres in the world."""

    rotations: np.ndarray
    root: np.ndarray

    def __len__(self) -> int:
        return len(self.root)

    def motion(self, fps: float, caption: str = "") -> Motion:
        """The frames as a clip, where they stand."""
        return Motion(self.rotations, self.root, fps, "body", caption)


class MotionStream:
    """One continuous motion from codes that arrive in pieces, with a state of constant size.

    Args:
        tokenizer: of the body.
        radius: metres around the start that the path stays within; None = anywhere.
        lock_feet: hold feet that stand (`avatargpt.body.contact`).
        lift: raise a body that has sunk into the floor (`avatargpt.body.contact`).
    """

    def __init__(
        self, tokenizer: MotionTokenizer, radius: float | None = None, lock_feet: bool = True, lift: bool = True
    ) -> None:
        assert isinstance(tokenizer.spec, BodyFeatures)
        self.spec, self.tokenizer = tokenizer.spec, tokenizer
        self.decoder = StreamDecoder(tokenizer)
        self.keeper = PathKeeper(radius) if radius is not None else None
        self.feet = FootLock() if lock_feet else None
        self.floor = PenetrationStream() if lift else None
        self.state: RootState | None = None

    def push(self, codes: np.ndarray) -> Frames:
        """Add (N, R) codes; the frames that are final now."""
        return self._placed(self.decoder.push(codes))

    def finish(self) -> Frames:
        """The remaining frames, at the end of the stream."""
        parts = [self._placed(self.decoder.finish())]
        if self.feet is not None:
            parts.append(self._on_floor(*self.feet.finish()))
        if self.floor is not None:
            parts.append(Frames(*self.floor.finish()))
        return Frames(np.concatenate([p.rotations for p in parts]), np.concatenate([p.root for p in parts]))

    def ahead(self, codes: np.ndarray) -> np.ndarray:
        """Planar path (F, 2), metres, of the frames not yet out and then of `codes`, unbent."""
        window = np.concatenate([self.decoder.codes, codes])
        features = self.tokenizer.decode_features(window)[self.decoder.start * self.tokenizer.downsample :]
        return np.asarray(self.spec.decode_chunk(features, self.state)[1][:, [0, 2]])

    def _placed(self, features: np.ndarray) -> Frames:
        if not len(features):
            return Frames(np.zeros((0, 22, 4)), np.zeros((0, 3)))
        # the first frame is at rest above the origin and faces +Z
        if self.state is None:
            rotations, root, _ = self.spec.decode_chunk(features[:1], None)
            self.state = RootState(-float(Motion(rotations, root).heading[0]), np.zeros(3))
            features = features.copy()
            features[0, 1:4] = 0
        if self.keeper is not None:
            features = self.keeper.steer(features, self.state)
        rotations, root, self.state = self.spec.decode_chunk(features, self.state)
        if self.feet is not None:
            rotations, root = self.feet.push(rotations, root, features[:, CONTACTS])
        return self._on_floor(rotations, root)

    def _on_floor(self, rotations: np.ndarray, root: np.ndarray) -> Frames:
        return Frames(rotations, root) if self.floor is None else Frames(*self.floor.push(rotations, root))
