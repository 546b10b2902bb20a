"""How the motion of a clip stands in a row of a store.

Bodies are kept as rotations (int16 = round(32767 q)) and root (float32), faces as weights (uint16 = round(65535 w)) and
head (float32), motions of every other registered modality as the float32 features of its `FeatureSpec`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from instruct_data.clip import Clip
from vqvae import arkit, modalities
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

KINDS = {"body": "motion", "face": "face"}  # kinds of store; the other modalities' is FEATURES
FEATURES = "features"
COLUMNS = {
    "motion": [("rotations", pa.binary()), ("root", pa.binary())],
    "face": [("weights", pa.binary()), ("head", pa.binary())],
    FEATURES: [("features", pa.binary())],
}


def modality_of(motion: Any) -> str:
    """The registered modality of a motion.

    Raises:
        UserError: a modality that is not registered.
    """
    return modalities.get(motion.modality).name


def to_row(clip: Clip, modality: str) -> tuple[int, float, str, dict[str, bytes]]:
    """Frames, frame rate, modality and columns of a clip's motion.

    Raises:
        UserError: a motion of another modality than the store's, or features that are not what the modality promises.
    """
    motion: Any = clip.load()
    if (found := modality_of(motion)) != modality:
        raise UserError(f"clip {clip.id}: {found} in a store of {modality}; accepted: one store for each")
    if modality == "face":
        weights = np.round(motion.weights.astype(np.float64) * 65535).astype("<u2")
        return len(motion), motion.fps, modality, {"weights": weights.tobytes(), "head": _floats(motion.head)}
    if modality == "body":
        rotations = np.round(motion.rotations.astype(np.float64) * 32767).astype("<i2")
        columns = {"rotations": rotations.tobytes(), "root": _floats(motion.root)}
        return len(motion), motion.fps, motion.modality, columns
    spec = modalities.get(modality).features()
    features = np.asarray(spec.encode(motion))
    if features.ndim != 2 or features.shape[1] != spec.dim or not len(features) or not np.isfinite(features).all():
        raise UserError(f"clip {clip.id}: features {features.shape} of {modality}; accepted finite (T, {spec.dim})")
    return len(features), spec.fps, modality, {"features": _floats(features)}


def from_row(row: dict[str, Any], modality: str) -> Motion | Callable[[], Any]:
    """The motion of a row, or what loads it where it is no `Motion`; readers and tokenizers use what all offer.

    Raises:
        UserError: features of another width than the modality has by now, or a modality that is not registered.
    """
    caption = (row["captions"] or [""])[0]
    if modality == "body":
        rotations = np.frombuffer(row["rotations"], "<i2").reshape(-1, len(SMPL22.names), 4).astype(np.float32) / 32767
        root = np.frombuffer(row["root"], "<f4").reshape(-1, 3)
        return Motion(rotations, root.copy(), row["fps"], row["modality"], caption)
    if modality == "face":
        weights = np.frombuffer(row["weights"], "<u2").reshape(-1, arkit.COUNT).astype(np.float32) / 65535
        head = np.frombuffer(row["head"], "<f4").reshape(-1, 3)
        motion = FaceMotion(weights, head.copy(), row["fps"], caption)
        return lambda: motion
    spec = modalities.get(modality).features()
    features = np.frombuffer(row["features"], "<f4").reshape(row["frames"], -1).copy()
    if features.shape[1] != spec.dim:
        raise UserError(f"clip {row['id']}: {features.shape[1]} features; modality {modality} has {spec.dim}")
    return lambda: spec.decode(features, caption)


def _floats(values: np.ndarray) -> bytes:
    return values.astype("<f4").tobytes()
