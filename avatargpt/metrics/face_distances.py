"""Distances of a face from the recorded one: lips (LVE), dynamics of the upper face (FDD), sets of clips (FID).

The first two compare vertices of one mesh over time; which vertices are lips and which are the upper face belongs to
the mesh. The third is a Frechet distance of hand-made statistics of the curves, no network's features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.metrics.statistics import fid
from vqvae.face import FaceMotion

FPS = 30.0
LEAST = 3  # frames


def _pair(made: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(made, np.float64), np.asarray(real, np.float64)
    if a.shape != b.shape or a.ndim != 3 or a.shape[-1] != 3 or 0 in a.shape:
        raise ValueError(f"vertices {a.shape} and {b.shape}; accepted (T, V, 3) of both")
    return a, b


def lve(made: np.ndarray, real: np.ndarray) -> float:
    """Lip vertex error: the largest distance of a lip vertex from the real one, averaged over frames.

    Source: Richard et al. 2021 (MeshTalk), "maximal L2 error of all lip vertices" per frame; FaceFormer and CodeTalker
    publish it with squared distances under the same name.

    Args:
        made: (T, V, 3) lip vertices. real: (T, V, 3), the same vertices of the same head.

    Returns:
        In the unit of the vertices.

    Raises:
        ValueError: shapes that differ.
    """
    a, b = _pair(made, real)
    return float(np.linalg.norm(a - b, axis=-1).max(1).mean())


def fdd(made: np.ndarray, real: np.ndarray, rest: np.ndarray) -> float:
    """Upper-face dynamics deviation: mean over vertices of dyn(real) - dyn(made), where dyn is the standard deviation
    over time of the vertex' squared distance from rest.

    Source: Xing et al. 2023 (CodeTalker), section 4.2; its code squares the displacement and takes the signed mean
    with the real one first, as here. Positive: the upper face moves less than the real one.

    Args:
        made: (T, V, 3) vertices of the upper face. real: (T, V, 3). rest: (V, 3), the face at rest.

    Returns:
        In the squared unit of the vertices.

    Raises:
        ValueError: shapes that differ.
    """
    a, b = _pair(made, real)
    still = np.asarray(rest, np.float64)
    if still.shape != a.shape[1:]:
        raise ValueError(f"rest {still.shape}; accepted {a.shape[1:]}")
    dynamics = [((x - still) ** 2).sum(-1).std(0) for x in (b, a)]
    return float((dynamics[0] - dynamics[1]).mean())


def face_features(motion: FaceMotion) -> np.ndarray:
    """Statistics of one clip at 30 fps (definition of this project).

    Of each of the 55 curves (52 weights, then yaw, pitch, roll in radians): 0:55 mean, 55:110 standard deviation,
    110:165 mean absolute change per second.

    Raises:
        ValueError: fewer than three frames.
    """
    curves = motion.resampled(FPS).curves.astype(np.float64)
    if len(curves) < LEAST:
        raise ValueError(f"{len(curves)} frames; accepted at least {LEAST}")
    speed = np.abs(np.diff(curves, axis=0)).mean(0) * FPS
    return np.concatenate([curves.mean(0), curves.std(0), speed])


def face_fid(made: Sequence[FaceMotion], real: Sequence[FaceMotion]) -> float:
    """Frechet distance of `face_features`, each divided by its deviation over the real clips; per feature.

    Covariances are shrunk (`distribution.ledoit_wolf`): compare only figures against the same real clips at similar
    numbers. **Not the FID of rendered pictures** that papers on talking heads publish.

    Args:
        made: at least 2 clips. real: at least 2.

    Raises:
        ValueError: fewer, or real clips that are all the same.
    """
    if min(len(made), len(real)) < 2:
        raise ValueError(f"{len(made)} and {len(real)} clips; accepted at least 2 of both")
    a, b = (np.stack([face_features(m) for m in some]) for some in (made, real))
    scale = b.std(0)
    used = scale > 1e-4
    if not used.any():
        raise ValueError("face_fid: the real clips are all the same")
    return fid(a[:, used] / scale[used], b[:, used] / scale[used], shrink=True) / int(used.sum())
