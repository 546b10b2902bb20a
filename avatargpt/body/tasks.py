"""`Body`: the tasks of the body on one `BodyModel`."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from avatargpt.body.describe import MotionDescription
from avatargpt.body.edit import MotionEditing
from avatargpt.body.generate import MotionGeneration
from avatargpt.body.model import BodyModel
from avatargpt.kinematics.measures import mpjpe_heading
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.requests.phrase_index import PhraseIndex
from vqvae.ground import floor_of, raised
from vqvae.motion import Motion

REFINE_STEPS = 40  # of analysis-by-synthesis


class Body:
    """All tasks of bodies: `generation` text to motion, `description` motion to text, `editing` motion to motion."""

    def __init__(
        self, loaded: LoadedModel, phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:  # fmt: skip
        self.model = BodyModel(loaded, phrase_index, motion_scorer)

    @cached_property
    def generation(self) -> MotionGeneration:
        return MotionGeneration(self.model)

    @cached_property
    def description(self) -> MotionDescription:
        return MotionDescription(self.model)

    @cached_property
    def editing(self) -> MotionEditing:
        return MotionEditing(self.model, self.generation)


def reconstruct(loaded: LoadedModel, motion: Motion) -> tuple[Motion, dict[str, float]]:
    """A clip through its tokens and back.

    Returns:
        The reconstruction (canonical, as many frames at 20 fps, on the clip's floor) and figures: `mpjpe_mm` mean
        joint error in the heading frame, `drift_mm` planar root error of the last frame, `tokens`, `seconds`.
    """
    tokenizer = loaded.tokenizer(motion.modality)
    floor = floor_of(motion)
    source = raised(motion.resampled(tokenizer.spec.fps).canonical(), -floor)
    codes = tokenizer.encode(source, REFINE_STEPS)
    rebuilt = tokenizer.decode(codes, motion.caption).slice(0, len(source))
    drift = float(np.linalg.norm((rebuilt.root[-1] - source.root[-1])[[0, 2]])) * 1000
    error = float(mpjpe_heading(rebuilt.joints, source.joints))
    figures = {"mpjpe_mm": error, "drift_mm": drift, "tokens": len(codes), "seconds": source.seconds}
    return raised(rebuilt, floor), figures
