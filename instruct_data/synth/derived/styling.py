"""The same action otherwise: slower or quicker, with larger or smaller arms, leaning, looking elsewhere, in a style.

A style is what separates clips of one action in two styles: the mean pose of trunk, head and hanging arms, how much the
arms swing, and how fast everything goes. It is learnt from pairs of clips and put on actions nobody recorded in it.
Legs and path are never touched, so that the feet stay where they stood.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from instruct_data.clip import Clip
from instruct_data.synth.derived.layering import ARMS, HEAD, SPINE
from instruct_data.text.captions import bank_style
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion

TRUNK = (*SPINE, *HEAD, 13, 14)
LIMBS = (16, 17, 18, 19)
_GAITS = {"walk", "run", "dash", "walk_back", "walk_left", "walk_right", "walk_turn_left", "walk_turn_right"}
_SHOWS = np.radians(14)  # a style is worth putting on when trunk, head and arms turn by this much altogether
_TEMPO_SHOWS = 0.12
_LARGEST_ARM = np.radians(32)
# What a style's words promise of its tempo, whatever a single recording happened to do.
_SLOWER = {"elderly", "exhausted", "tired", "sad", "giant", "not-confident"}
_FASTER = {"active", "youthful", "angry", "childlike", "happy"}


def retimed(motion: Motion, factor: float) -> Motion:
    """The same movement lasting `factor` times as long.

    Raises:
        UserError: a factor outside 0.2 to 5.
    """
    if not 0.2 <= factor <= 5:
        raise UserError(f"styling: duration times {factor:g}; accepted 0.2 to 5")
    return replace(motion.resampled(motion.fps * factor), fps=motion.fps)


def _smoothed(q: np.ndarray, frames: float | None) -> np.ndarray:
    """Low-passed quaternions (T, J, 4), or their mean for every frame where `frames` is None."""
    from scipy.ndimage import gaussian_filter1d

    q = rot.continuous(q)
    if frames is None:
        return np.broadcast_to(rot.normalize(q.mean(0)), q.shape)
    return rot.normalize(gaussian_filter1d(q, frames, axis=0, mode="nearest"))


def with_amplitude(motion: Motion, sides: Sequence[str], factor: float, around: float | None = None) -> Motion:
    """The arms' movement made larger or smaller.

    Args:
        sides: ``left``, ``right`` or both.
        factor: 0 = the arms stay in their mean pose, 1 = unchanged.
        around: seconds over which the pose that stays is averaged; None = the whole clip.
    """
    q = motion.rotations.astype(np.float64)
    joints = [j for side in sides for j in ARMS[side][1:]]
    base = _smoothed(q[:, joints], None if around is None else around * motion.fps)
    moved = rot.to_axis_angle(rot.multiply(rot.conjugate(base), q[:, joints])) * factor
    size = np.linalg.norm(moved, axis=-1, keepdims=True)
    moved *= np.minimum(1, 1.4 / np.maximum(size, 1e-9))
    q[:, joints] = rot.multiply(base, rot.from_axis_angle(moved))
    return replace(motion, rotations=q)


def leaned(
    motion: Motion, forward: float = 0.0, left: float = 0.0, head: tuple[float, float, float] = (0, 0, 0)
) -> Motion:
    """Bend the trunk and turn the head.

    Args:
        forward: degrees, over the three spine joints; negative = backward. The head makes up for half of it.
        left: likewise to the left.
        head: pitch (+ = down), yaw (+ = left), roll (+ = left), degrees, over neck and head.
    """
    q = motion.rotations.astype(np.float64)
    spine = rot.from_axis_angle(np.radians([forward, 0, -left]) / 3)
    for j in SPINE:
        q[:, j] = rot.multiply(spine, q[:, j])
    pitch, yaw, roll = head
    half = np.radians([pitch - forward / 2, 0, -roll + left / 2]) / 2
    turn = rot.about_y(np.radians(yaw) / 2)
    for j in HEAD:
        q[:, j] = rot.multiply(turn, rot.multiply(rot.from_axis_angle(half), q[:, j]))
    return replace(motion, rotations=q)


@dataclass(frozen=True)
class Style:
    """What a style does to an action.

    Attributes:
        name: the bank's.
        offset: (22, 3) rotation vectors added to the local mean pose, radians; 0 for joints left alone.
        swing: factor of the arms' movement.
        tempo: factor of speed.
    """

    name: str
    offset: np.ndarray
    swing: float
    tempo: float

    @property
    def shows(self) -> bool:
        """Whether one can see it."""
        return float(np.linalg.norm(self.offset, axis=-1).sum()) > _SHOWS or abs(np.log(self.tempo)) > _TEMPO_SHOWS


def _measured(motion: Motion) -> tuple[np.ndarray, float, float]:
    """Mean local pose (22, 4), spread of the arms (radians), mean speed of the joints (metres per second)."""
    q = rot.continuous(motion.rotations.astype(np.float64))
    mean = rot.normalize(q.mean(0))
    moved = rot.to_axis_angle(rot.multiply(rot.conjugate(mean)[None], q))[:, list(LIMBS)]
    speed = np.linalg.norm(np.diff(motion.joints.astype(np.float64), axis=0), axis=-1).mean() * motion.fps
    return mean, float(np.sqrt((moved**2).sum(-1).mean())), float(speed)


def learn_styles(clips: Sequence[Clip], per_pair: int = 6, seed: int = 0) -> dict[str, Style]:
    """Styles of a corpus that has clips of the same action in that style and in the normal one.

    Args:
        clips: training clips with `action` and `style`.
        per_pair: how many clips of every action and style are looked at.

    Returns:
        By the bank's name, only those that show; empty where nothing can be compared.
    """
    rng = np.random.default_rng([seed, 7])
    groups: dict[tuple[str, str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        if clip.action and clip.style:
            groups[clip.source, clip.action.replace("-", "_"), bank_style(clip.style)].append(clip)
    known = {}
    for key, members in groups.items():
        chosen = rng.permutation(len(members))[:per_pair]
        seen = [_measured(members[int(i)].load()) for i in chosen]
        pose = rot.continuous(np.stack([m[0] for m in seen]))
        swing, speed = (float(np.mean([m[k] for m in seen])) for k in (1, 2))
        known[key] = rot.normalize(pose.mean(0)), swing, speed
    apart: dict[str, list[tuple[np.ndarray, float, float, bool]]] = defaultdict(list)
    for (source, action, style), (pose, swing, speed) in known.items():
        plain = known.get((source, action, "normal"))
        if style == "normal" or plain is None:
            continue
        turned = rot.to_axis_angle(rot.multiply(pose, rot.conjugate(plain[0])))
        apart[style].append((turned, swing / plain[1], speed / plain[2], action in _GAITS))
    out = {}
    for name, rows in sorted(apart.items()):
        offset = np.zeros((22, 3))
        offset[list(TRUNK)] = np.mean([r[0][list(TRUNK)] for r in rows], 0)
        gaits = [r[0][list(LIMBS)] for r in rows if r[3]]
        if gaits:
            arms = np.mean(gaits, 0)
            size = np.linalg.norm(arms, axis=-1, keepdims=True)
            offset[list(LIMBS)] = arms * np.minimum(1, _LARGEST_ARM / np.maximum(size, 1e-9))
        ratio = float(np.clip(np.exp(np.mean([np.log(r[1]) for r in rows])), 0.6, 1.5))
        tempo = float(np.exp(0.6 * np.mean([np.log(r[2]) for r in rows])))  # shrunk: few pairs, whole paths in them
        tempo = min(tempo, 0.9) if name in _SLOWER else max(tempo, 1.05) if name in _FASTER else tempo
        tempo = float(np.clip(tempo, 0.7, 1.35))
        learnt = Style(name, offset, ratio, tempo)
        if learnt.shows:
            out[name] = learnt
    return out


def styled(motion: Motion, style: Style, strength: float = 1.0) -> Motion:
    """Put a style on a clip of another action.

    Trunk and head turn by the style's offset where the body is upright, the arms where they hang; the arms' movement is
    scaled and the whole is played at the style's tempo.
    """
    q = motion.rotations.astype(np.float64)
    _, turned = motion.skeleton.fk_full(q, motion.root.astype(np.float64))
    upright = np.clip((turned[:, 0, 1, 1] - 0.5) / 0.3, 0, 1) * strength  # how much the pelvis points upwards
    for j in TRUNK:
        q[:, j] = rot.multiply(rot.from_axis_angle(style.offset[j] * upright[:, None]), q[:, j])
    for side in ("left", "right"):
        _, shoulder, elbow, _ = ARMS[side]
        along = turned[:, shoulder, :, 0] * (1 if side == "left" else -1)  # direction of the upper arm
        hanging = np.clip((-along[:, 1] - 0.6) / 0.3, 0, 1) * upright
        for j in (shoulder, elbow):
            q[:, j] = rot.multiply(rot.from_axis_angle(style.offset[j] * hanging[:, None]), q[:, j])
    out = replace(motion, rotations=q)
    out = with_amplitude(out, ("left", "right"), 1 + (style.swing - 1) * strength, around=0.6)
    return retimed(out, style.tempo**-strength)
