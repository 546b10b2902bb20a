"""Does a folder of bodies stand as bodies do? Signs of a wrong axis, side, size or floor, judged over all its clips.

One handstand is no fault; what most clips of a folder share is one of the file's frame, not of the motion.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqvae.skeleton import SMPL22

LEAST = 3  # clips from which a folder is judged
FLOOR = 0.25  # metres from height 0 at which the lowest joint of a clip may be
STILL = 0.005  # metres of the pelvis' whole way
SIZE = (0.8, 1.25)  # times our bones, which people of unlike height are
UP = "+Y"
_J = {name: i for i, name in enumerate(SMPL22.names)}
_ANKLES, _TOES = [_J["l_ankle"], _J["r_ankle"]], [_J["l_foot"], _J["r_foot"]]
_AXES = ("+X", "+Y", "+Z", "-X", "-Y", "-Z")
_OURS = float(np.linalg.norm(SMPL22.offsets[1:], axis=-1).sum())


@dataclass(frozen=True)
class Signs:
    """What one clip shows.

    Attributes:
        up: axis along which the head is over the pelvis and the pelvis over the ankles in most frames, "" = none.
        exchanged: whether toes point to where the back would be by left, right and up.
        lowest: height of the lowest joint, metres: the 5th percentile over frames. pelvis: its median height.
        way: extent of the pelvis' path on the ground, metres. size: length of all bones, times ours.
    """

    up: str
    exchanged: bool
    lowest: float
    pelvis: float
    way: float
    size: float


def size(joints: np.ndarray) -> float:
    """Length of all bones of (T, 22, 3) positions, times that of ours: the median over frames."""
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(SMPL22.parents[1:])], axis=-1)
    return float(np.median(bones.sum(1))) / _OURS


def signs(joints: np.ndarray) -> Signs:
    """Those of one clip.

    Args:
        joints: (T, 22, 3) as the file has them, taken for metres, Y up.
    """
    x = np.asarray(joints, np.float64)[:, : len(SMPL22.names)]
    ankles, pelvis = x[:, _ANKLES].mean(1), x[:, 0]
    upper, lower = x[:, _J["head"]] - pelvis, pelvis - ankles
    body = x[:, _J["head"]] - ankles
    axis = np.abs(body).argmax(1)
    at = np.arange(len(x)), axis
    side = np.sign(body[at])
    straight = (upper[at] * side > 0) & (lower[at] * side > 0)
    found = Counter(_AXES[a + 3 * (s < 0)] for a, s in zip(axis[straight], side[straight], strict=True))
    name, times = found.most_common(1)[0] if found else ("", 0)
    forward = np.cross(x[:, _J["l_hip"]] - x[:, _J["r_hip"]], body)
    toes = (x[:, _TOES] - x[:, _ANKLES]).mean(1)
    return Signs(
        name if 2 * times > len(x) else "", bool(np.median((forward * toes).sum(1)) < 0),
        float(np.percentile(x[..., 1].min(1), 5)), float(np.median(pelvis[:, 1])),
        float(np.ptp(pelvis[:, [0, 2]], axis=0).max()), size(x),
    )  # fmt: skip


def warnings(clips: Sequence[Signs]) -> list[str]:
    """What most clips show and bodies do not: a sentence each, with what is accepted; none of fewer than `LEAST`."""
    count = len(clips)
    if count < LEAST:
        return []

    def most(some: int) -> bool:
        return 2 * some > count

    def share(some: int) -> str:
        return f"in {some} of {count} clips"

    out = []
    wrong = Counter(c.up for c in clips if c.up not in ("", UP))
    turned = most(wrong.total())
    if turned:
        axes = " or ".join(name for name, _ in sorted(wrong.items(), key=lambda w: (-w[1], w[0])))
        out.append(f"heads are above pelvis and ankles along {axes} {share(wrong.total())}; accepted Y up")
    if most(exchanged := sum(c.exchanged for c in clips)):
        out.append(f"toes point backwards by the left and right hip {share(exchanged)}, as where left and right joints "
                   "are exchanged or one axis is flipped; accepted left = +X when facing +Z, Y up")  # fmt: skip
    off = [c.lowest for c in clips if abs(c.lowest) > FLOOR]
    centred = sum(abs(c.pelvis) < FLOOR and c.lowest < -FLOOR for c in clips)
    if most(centred) and not turned:
        out.append(f"the pelvis is at height 0 {share(centred)}; accepted heights over a floor at 0")
    elif most(len(off)) and not turned:
        high = float(np.median(off))
        out.append(f"the lowest joint is {abs(high):.2g} m {'above' if high > 0 else 'below'} height 0 "
                   f"{share(len(off))}; accepted a floor at height 0, within {FLOOR:g} m")  # fmt: skip
    if all(c.way < STILL for c in clips):
        out.append("the pelvis never leaves its place in any clip; accepted positions with the way of the body")
    if most(sum(not SIZE[0] <= c.size <= SIZE[1] for c in clips)):
        times = float(np.median([c.size for c in clips]))
        out.append(f"bones are {times:.2g} times as long as those of a person of 1.7 m; accepted metres")
    return out
