"""A clip through its tokens and back, and what is lost on the way."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.measures import mpjpe_heading
from avatargpt.lm.loaded import LoadedModel
from vqvae.ground import floor_of, raised
from vqvae.motion import Motion

REFINE = 40  # steps of analysis-by-synthesis


def reconstruct(loaded: LoadedModel, motion: Motion) -> tuple[Motion, dict[str, float]]:
    """A clip through its tokens and back.

    Returns:
        The reconstruction (canonical, as many frames at 20 fps, on the clip's floor) and figures: `mpjpe_mm` mean
        joint error in the heading frame, `drift_mm` planar root error of the last frame, `tokens`, `seconds`.
    """
    tokenizer = loaded.tokenizer(motion.modality)
    floor = floor_of(motion)
    source = raised(motion.resampled(tokenizer.spec.fps).canonical(), -floor)
    codes = tokenizer.encode(source, REFINE)
    rebuilt = tokenizer.decode(codes, motion.caption).slice(0, len(source))
    drift = float(np.linalg.norm((rebuilt.root[-1] - source.root[-1])[[0, 2]])) * 1000
    error = float(mpjpe_heading(rebuilt.joints, source.joints))
    figures = {"mpjpe_mm": error, "drift_mm": drift, "tokens": len(codes), "seconds": source.seconds}
    return raised(rebuilt, floor), figures
