"""Distances of faces from reference clips on our own head (LVE, FDD, FID of curves), and faces that need no model."""
# LVE and FDD compare vertices of one mesh over time; the third is a Frechet distance of hand-made statistics of the
# curves, no network's features.

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from avatargpt.evaluation.report import figure, plain
from avatargpt.metrics.degradations import fit_length
from avatargpt.metrics.statistics import scaled_fid
from instruct_data.face.score import Score
from vqvae import arkit
from vqvae.face import FaceMotion

FPS = 30.0
MIN_FRAMES = 3
MM = 1000.0
WIDTH = 55
WINDOW = 5  # s of a recorded take that count as one clip
BASELINE_SEED = 2  # of a rendering; the reference has another
RENDERED, SHUFFLED, NEUTRAL = "rendered score", "shuffled score", "neutral face"
REAL, SHUFFLED_TAKE, MEAN = "real", "shuffled recording", "mean face"


def _pair(generated: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(generated, np.float64), np.asarray(real, np.float64)
    if a.shape != b.shape or a.ndim != 3 or a.shape[-1] != 3 or 0 in a.shape:
        raise ValueError(f"vertices {a.shape} and {b.shape}; accepted (T, V, 3) of both")
    return a, b


def lve(generated: np.ndarray, real: np.ndarray) -> float:
    """Lip vertex error: the largest distance of a lip vertex from the real one, averaged over frames.

    Source: Richard et al. 2021 (MeshTalk), "maximal L2 error of all lip vertices" per frame; FaceFormer and CodeTalker
    publish it with squared distances under the same name.

    Args:
        generated: (T, V, 3) lip vertices. real: (T, V, 3), the same vertices of the same head.

    Returns:
        In the unit of the vertices.
    """
    a, b = _pair(generated, real)
    return float(np.linalg.norm(a - b, axis=-1).max(1).mean())


def fdd(generated: np.ndarray, real: np.ndarray, rest_points: np.ndarray) -> float:
    """Upper-face dynamics deviation: mean over vertices of dyn(real) - dyn(generated), where dyn is the standard
    deviation over time of the vertex' squared distance from rest.

    Source: Xing et al. 2023 (CodeTalker), section 4.2; its code squares the displacement and takes the signed mean
    with the real one first, as here. Positive: the upper face moves less than the real one.

    Args:
        generated: (T, V, 3) vertices of the upper face. real: (T, V, 3). rest_points: (V, 3), the face at rest.

    Returns:
        In the squared unit of the vertices.
    """
    a, b = _pair(generated, real)
    still = np.asarray(rest_points, np.float64)
    if still.shape != a.shape[1:]:
        raise ValueError(f"rest {still.shape}; accepted {a.shape[1:]}")
    dynamics = [((x - still) ** 2).sum(-1).std(0) for x in (b, a)]
    return float((dynamics[0] - dynamics[1]).mean())


def face_features(motion: FaceMotion) -> np.ndarray:
    """Statistics of one clip at 30 fps (definition of this project).

    Of each of the 55 curves (52 weights, then yaw, pitch, roll in radians): 0:55 mean, 55:110 standard deviation,
    110:165 mean absolute change per second.
    """
    curves = motion.resampled(FPS).curves.astype(np.float64)
    if len(curves) < MIN_FRAMES:
        raise ValueError(f"{len(curves)} frames; accepted at least {MIN_FRAMES}")
    speed = np.abs(np.diff(curves, axis=0)).mean(0) * FPS
    return np.concatenate([curves.mean(0), curves.std(0), speed])


def face_fid(faces: Sequence[FaceMotion], real: Sequence[FaceMotion]) -> float:
    """Frechet distance of `face_features`, each divided by its deviation over the real clips; per feature.

    Covariances are shrunk (`statistics.ledoit_wolf`): compare only figures against the same real clips at similar
    numbers. **Not the FID of rendered pictures** that papers on talking heads publish.

    Args:
        faces: at least 2 clips. real: at least 2.
    """
    if min(len(faces), len(real)) < 2:
        raise ValueError(f"{len(faces)} and {len(real)} clips; accepted at least 2 of both")
    a, b = (np.stack([face_features(m) for m in clips]) for clips in (faces, real))
    return scaled_fid(a, b, "face_fid", 1e-4)


def score_baselines(scores: Sequence[Score]) -> dict[str, list[FaceMotion]]:
    """Baseline -> a clip per instruction: its score with another seed (the ceiling), a distant one's score, rest."""
    from instruct_data.face.render import render

    rendered = [render(s, BASELINE_SEED) for s in scores]
    offset = max(len(rendered) // 2, 1)
    return {
        RENDERED: rendered,
        SHUFFLED: [fit_length(rendered[(i + offset) % len(rendered)], len(m)) for i, m in enumerate(rendered)],
        NEUTRAL: [FaceMotion.from_curves(np.zeros((len(m), WIDTH), np.float32), m.fps) for m in rendered],
    }


def make_baselines(recorded: Sequence[np.ndarray], training: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Baseline -> curves per recorded take.

    Returns:
        The takes themselves, the curves of training takes in their place (begun anew where these are shorter), their
        mean pose, and a face at rest.
    """
    mean = np.concatenate(training).mean(0)
    shuffled = [training[i % len(training)] for i in range(len(recorded))]
    return {
        REAL: [*recorded],
        SHUFFLED_TAKE: [np.resize(o, x.shape) for o, x in zip(shuffled, recorded, strict=True)],
        MEAN: [np.tile(mean, (len(x), 1)) for x in recorded],
        NEUTRAL: [np.zeros_like(x) for x in recorded],
    }


# Vertices of the lips, and those of the upper face that weights of brows, eyes, cheeks or nose move.
@cache
def _measure_vertices() -> tuple[np.ndarray, np.ndarray]:
    from avatargpt.export.head import head

    shape = head()
    lips = np.flatnonzero(shape.lips)
    upper = [i for i, n in enumerate(arkit.NAMES) if n.startswith(("brow", "eye", "cheek", "nose"))]
    moved = np.abs(shape.morphs[upper]).max((0, 2)) > 0
    return lips, np.flatnonzero(moved & shape.part("skin") & (shape.points[:, 1] > shape.points[lips, 1].max()))


def vertices(motion: FaceMotion, indices: np.ndarray) -> np.ndarray:
    """(T, V, 3) float64 millimetres of some vertices of our head, unturned, at 30 fps."""
    from avatargpt.export.head import head

    weights = motion.resampled(FPS).weights.astype(np.float64)
    moved = np.tensordot(weights, head().morphs[:, indices].astype(np.float64), 1)
    return np.asarray((head().points[indices] + moved) * MM)


def distances(name: str, faces: Sequence[FaceMotion], real: Sequence[FaceMotion]) -> dict[str, Any]:
    """LVE (mm), FDD (mm^2) and face FID of clips against their references, over the frames that both have."""
    from avatargpt.export.head import head

    lips, upper = _measure_vertices()
    rest_points = head().points[upper].astype(np.float64) * MM
    errors, dynamics = [], []
    for m, r in zip(faces, real, strict=True):
        count = min(len(m.resampled(FPS)), len(r.resampled(FPS)))
        errors.append(lve(vertices(m, lips)[:count], vertices(r, lips)[:count]))
        dynamics.append(fdd(vertices(m, upper)[:count], vertices(r, upper)[:count], rest_points))
    try:
        distance = face_fid(faces, real)
    except ValueError:  # too few clips, or references that are all the same: there is no such figure
        distance = float("nan")
    return {f"lve/{name}": figure(errors), f"fdd/{name}": figure(dynamics), f"face_fid/{name}": plain(distance)}


def measure_recordings(
    faces: Mapping[str, Sequence[np.ndarray]], recorded: Sequence[np.ndarray], training: Sequence[np.ndarray]
) -> dict[str, Any]:
    """`distances` of faces generated for recorded takes and of `make_baselines`.

    Args:
        faces: row -> (T, 55) curves at 30 fps per held-out take. recorded: (T, 55) of these. training: of other takes.

    Returns:
        ``FIGURE/ROW``, over windows of `WINDOW` seconds.
    """
    real = _windows(recorded)
    rows = {**faces, **make_baselines(recorded, training)}
    return {k: v for row, takes in rows.items() for k, v in distances(row, _windows(takes), real).items()}


def _windows(takes: Sequence[np.ndarray]) -> list[FaceMotion]:
    width = round(WINDOW * FPS)
    return [FaceMotion.from_curves(np.asarray(take[i : i + width], np.float32), FPS)
            for take in takes for i in range(0, len(take) - width + 1, width)]  # fmt: skip
