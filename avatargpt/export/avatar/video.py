"""Moving pictures of an avatar, with the sound that it speaks to: .mp4, and .gif without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avatargpt.export.avatar.clip import AvatarMotion
from avatargpt.export.avatar.mesh import avatar_mesh, posed
from avatargpt.export.face.render import FaceRenderer
from avatargpt.export.head.morphs import morphs
from avatargpt.export.soundtrack import sound_of
from avatargpt.export.table import check_size
from avatargpt.export.video import GIF_FPS, encode_gif, encode_mp4
from vqvae.smoothing import gaussian

DISTANCE = 4.2  # m from the camera
YAW = 0.3  # radians that it stands to the person's left
STANDS = 0.08  # m that the pelvis of somebody who only stands moves at most
_FOLLOW_SECONDS = 0.35
_CROWN = 0.24  # m from the head's joint to above the hair
_HIPS = 0.16  # m below the pelvis that are seen of somebody who stands
_ABOVE_HIPS = [0, 3, 6, 9, 12, 15, *range(16, 22)]


def pictures(motion: AvatarMotion, size: int) -> Iterator[np.ndarray]:
    """Frames (size, size, 3) uint8: from the hips up where somebody stands, else the whole body, the camera following.

    About five pictures of 480 x 480 a second on one core.
    """
    body = motion.body
    path = gaussian(body.root.astype(np.float64) * [1, 0, 1], body.fps * _FOLLOW_SECONDS)
    stands = float(np.ptp(body.root, axis=0).max()) < STANDS
    joints = np.concatenate([body.joints[:, _ABOVE_HIPS] if stands else body.joints, body.finger_joints], 1)
    near = joints - path[:, None]
    high = max(float(body.joints[:, 15, 1].max()) + _CROWN, float(joints[..., 1].max()) + 0.08)
    low = float(body.root[:, 1].min()) - _HIPS if stands else min(float(joints[..., 1].min()), 0.0) - 0.08
    wide = 2 * (float(np.abs(near[..., [0, 2]]).max()) + 0.12)
    span, middle = max(high - low, wide), np.array([0.0, (high + low) / 2, 0.0])
    renderer = FaceRenderer(size, size, span, YAW, shape=avatar_mesh(), distance=DISTANCE)
    rotations, shapes = body.whole[1], morphs()
    for k, weights in enumerate(motion.face.weights):
        some = np.flatnonzero(weights > 1e-4)
        moved = np.einsum("k,kvc->vc", weights[some].astype(np.float64), shapes[some])
        renderer.aim = path[k] + middle
        yield renderer.frame(posed(rotations[k], body.root[k], moved))


def write_avatar_mp4(motion: AvatarMotion, path: Path, size: int = 480, audio: str | Path | None = None) -> Path:
    """H.264 (yuv420p) at the clip's frame rate, `size` pixels square, rounded up to even, with the sound as AAC.

    Args:
        audio: a sound file instead of the avatar's own. Sound and pictures both start at 0.

    Raises:
        UserError: PyAV is not installed, size outside 16..2048, no such sound, or the file cannot be written.
    """
    check_size(path, motion.modality, size)
    source = motion.sound if audio is None else audio
    return encode_mp4(path, lambda even: pictures(motion, even), motion.fps, size, sound_of(source, motion.seconds))


def write_avatar_gif(motion: AvatarMotion, path: Path, size: int = 360) -> Path:
    """A looping GIF of at most 20 frames a second, `size` pixels square.

    Raises:
        UserError: size outside 16..2048, or the file cannot be written.
    """
    check_size(path, motion.modality, size)
    clip = motion if motion.fps <= GIF_FPS else motion.resampled(GIF_FPS)
    return encode_gif(path, pictures(clip, size), len(clip), clip.fps, 192)
