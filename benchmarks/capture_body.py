"""Bodies of films against truth: held-out clips of CLIPS, before still cameras at random places, by our renderer.

CLIPS are folders of quantised clips, with commas between, of whose split `val` clips are drawn. Of each: PA-MPJPE (mm
of 22 joints after the best turn, shift and size of every frame), MPJPE about the pelvis in the level axes of the
camera, error of the heading and of the camera's tilt in degrees, jerk against the truth's, speed of toes that stand in
truth in m/s, and where a path of a metre or more ends, in shares of its length. Needs avatargpt[video-in] and the
networks of `avatargpt data models video-in`.
"""

from typing import Any

import numpy as np

from avatargpt.train.film_detector import Take, render_takes
from avatargpt.video.paths import motion_of
from vqvae import rotations as rot
from vqvae.features import smooth_heading
from vqvae.skeleton import SMPL22, TOES

RATE, SEED = 30.0, 11
STANDS, LOW = 0.25, 0.07  # m/s and m of a toe that stands
WALKED = 1.0  # m


def aligned(joints: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(T, J) metres between joints and the truth after the best similarity of each frame (Umeyama 1991)."""
    a, b = (x - x.mean(1, keepdims=True) for x in (joints, truth))
    u, s, vt = np.linalg.svd(np.einsum("tja,tjb->tab", a, b))
    proper = np.ones_like(s)
    proper[:, 2] = np.sign(np.linalg.det(u @ vt))
    size = (s * proper).sum(1) / (a**2).sum((1, 2))
    turned = np.einsum("tja,tab->tjb", a, (u * proper[:, None]) @ vt) * size[:, None, None]
    return np.asarray(np.linalg.norm(turned - b, axis=-1))


def compare(take: Take) -> dict[str, float]:
    """Figures of one clip."""
    got = motion_of(take.person)
    fps = got.motion.fps
    times = got.start + np.arange(len(got.motion)) / fps
    times = times[times <= (len(take.motion) - 1) / take.motion.fps + 1e-6]
    at = times * take.motion.fps
    joints = got.motion.joints[: len(at)].astype(np.float64)
    flat = SMPL22.fk(take.motion.rotations, take.motion.root).reshape(len(take.motion), -1).astype(np.float64)
    truth = np.stack([np.interp(at, np.arange(len(flat)), x) for x in flat.T], -1).reshape(len(at), -1, 3)
    truth = rot.rotate(rot.about_y(-np.arctan2(take.axes[2, 0], take.axes[2, 2])), truth)
    off = smooth_heading(joints) - smooth_heading(truth)
    jerk = [np.linalg.norm(np.diff(x, 3, axis=0), axis=-1).mean() for x in (joints, truth)]
    speed, slid = (np.linalg.norm(np.diff(x[:, TOES], axis=0), axis=-1) * fps for x in (truth, joints * [1, 0, 1]))
    stands = (speed < STANDS) & (truth[1:, TOES, 1] < LOW)
    path = truth[:, 0] * [1, 0, 1]
    length = float(np.linalg.norm(np.diff(path, axis=0), axis=-1).sum())
    end = np.linalg.norm((joints[-1, 0] - joints[0, 0]) * [1, 0, 1] - path[-1] + path[0])
    return {
        "pa_mpjpe": float(aligned(joints, truth).mean() * 1000),
        "mpjpe": float(np.linalg.norm(joints - joints[:, :1] - truth + truth[:, :1], axis=-1).mean() * 1000),
        "heading": float(np.degrees(np.abs((off + np.pi) % (2 * np.pi) - np.pi)).mean()),
        "tilt": float(abs(got.tilt - np.degrees(np.arcsin(take.axes[2, 1])))),
        "jerk": float(jerk[0] / jerk[1]), "slides": float(slid[stands].mean()) if stands.any() else float("nan"),
        "end": float(end / length) if length > WALKED else float("nan"),
    }  # fmt: skip


def run(clips: str, count: int = 20) -> dict[str, Any]:
    """Measure."""
    rows = [compare(take) for take in render_takes(clips, "val", count, RATE, SEED)]
    return {"clips": rows, "all": {k: round(float(np.nanmean([r[k] for r in rows])), 3) for k in rows[0]}}
