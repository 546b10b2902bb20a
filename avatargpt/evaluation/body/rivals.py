"""Sentences for clips without a model, which a description has to beat: of the nearest training clip, and of any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.kinematics.measures import kinematic_features
from instruct_data.clip import Clip

NEAREST, RANDOM = "nearest clip", "random caption"


def nearest(clips: Sequence[Clip], known: Sequence[Clip]) -> np.ndarray:
    """(n,) of each clip the number of the known one nearest to it.

    Nearest is the smallest Euclidean distance of `kinematic_features`, each divided by its deviation over the known
    clips.
    """
    a, b = (
        np.stack([kinematic_features(m.joints, m.fps) for m in (c.load() for c in some)]) for some in (clips, known)
    )
    scale = b.std(0)
    used = scale > 1e-6
    a, b = a[:, used] / scale[used], b[:, used] / scale[used]
    return np.array([np.linalg.norm(b - row, axis=1).argmin() for row in a])


def sentences(clips: Sequence[Clip], known: Sequence[Clip], seed: int) -> dict[str, list[str]]:
    """Name of the baseline -> a caption for each clip; nothing where no clip is known.

    Args:
        clips: to describe. known: training clips; those without captions do not count. seed: chooses among captions.
    """
    known = [c for c in known if c.captions]
    if not known:
        return {}
    rng = np.random.default_rng([seed, 2])

    def one_of(clip: Clip) -> str:
        return clip.captions[int(rng.integers(len(clip.captions)))]

    return {
        NEAREST: [one_of(known[int(i)]) for i in nearest(clips, known)],
        RANDOM: [one_of(known[int(i)]) for i in rng.integers(len(known), size=len(clips))],
    }
