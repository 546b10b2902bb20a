"""What a model makes: whether the user's words show, and whether it still goes on with motions as before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.kinematics.measures import kinematic_features
from avatargpt.metrics.statistics import kinematic_fid
from instruct_data.clip import Clip
from vqvae.motion import Motion

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT

ASKED = 20  # captions of the user's that are asked for
CONTINUED = 32  # clips that are gone on with
SHARE, TOKEN = 0.5, 4  # of a clip that is given; frames of a token
SHORTEST = 32  # frames of a clip that is gone on with


def shown(model: AvatarGPT, clips: Sequence[Clip], seed: int = 0) -> float:
    """Share of the user's captions (held-out clips first) whose motion is nearest, by `kinematic_features` in units
    of their deviation, to a clip of that action.

    Returns:
        0..1; NaN where all clips are of one action.
    """
    actions = [c.action for c in clips]
    if len(set(actions)) < 2:
        return float("nan")
    known = np.stack([kinematic_features(c.load().joints, c.load().fps) for c in clips])
    scale = known.std(0)
    used = scale > 1e-6
    asked = sorted(clips, key=lambda c: c.split != "val")[:ASKED]
    hits = []
    for number, clip in enumerate(asked):
        text = clip.captions[number % len(clip.captions)]
        made = model.generate(text, seed=seed + number)[0]
        far = (known - kinematic_features(made.joints, made.fps))[:, used] / scale[used]
        hits.append(actions[int(np.square(far).sum(1).argmin())] == clip.action)
    return float(np.mean(hits))


def continuation_fid(model: AvatarGPT, clips: Sequence[Clip], seed: int = 0) -> float:
    """Kinematic FID of the second halves of clips, as the model goes on with the first halves, against the true ones.

    Returns:
        NaN where fewer than two clips are long enough.
    """
    made: list[np.ndarray] = []
    real: list[np.ndarray] = []
    for number, clip in enumerate(clips):
        motion: Motion = clip.load().canonical()
        if len(motion) < SHORTEST or len(made) == CONTINUED:
            continue
        first = max(TOKEN, round(SHARE * len(motion) / TOKEN) * TOKEN)
        rest = len(motion) - first
        whole = model.extend(motion.slice(0, first), rest / motion.fps, seed=seed + number).canonical()
        end = whole.joints[first : first + rest]
        if len(end) >= 3:
            made.append(end)
            real.append(motion.joints[first:])
    return kinematic_fid(made, real, 20.0) if len(made) > 1 else float("nan")
