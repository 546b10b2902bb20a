"""Codes in, frames of the world out: the decoder, the path, the place in the world, feet and floor, all as streams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatargpt.body.contact import CONTACTS, FootLock, PenetrationStream
from avatargpt.long.decoding import StreamDecoder
from avatargpt.long.path import PathKeeper
from vqvae.features import BodyFeatures, RootState
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer


@dataclass(frozen=True)
class Frames:
    """Frames of the stream: `rotations` (T, 22, 4) local quaternions, `root` (T, 3) metres in the world."""

    rotations: np.ndarray
    root: np.ndarray

    def __len__(self) -> int:
        return len(self.root)

    def motion(self, fps: float, caption: str = "") -> Motion:
        """The frames as a clip, where they stand."""
        return Motion(self.rotations, self.root, fps, "body", caption)


class MotionStream:
    """One continuous motion from codes that arrive in pieces. Its state does not grow with its length.

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
        """The stream ends: all that is still to come."""
        parts = [self._placed(self.decoder.finish())]
        if self.feet is not None:
            parts.append(self._on_floor(*self.feet.finish()))
        if self.floor is not None:
            parts.append(Frames(*self.floor.finish()))
        return Frames(np.concatenate([p.rotations for p in parts]), np.concatenate([p.root for p in parts]))

    def ahead(self, codes: np.ndarray) -> np.ndarray:
        """Planar path (F, 2), metres, that the frames not yet out and then `codes` would take, unbent."""
        window = np.concatenate([self.decoder.codes, codes])
        features = self.tokenizer.decode_features(window)[self.decoder.start * self.tokenizer.downsample :]
        return np.asarray(self.spec.decode_chunk(features, self.state)[1][:, [0, 2]])

    def _placed(self, features: np.ndarray) -> Frames:
        if not len(features):
            return Frames(np.zeros((0, 22, 4)), np.zeros((0, 3)))
        if self.state is None:  # the first frame is at rest above the origin and faces +Z
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
