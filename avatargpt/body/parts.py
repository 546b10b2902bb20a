"""`Body`: all that the model does with bodies."""

from __future__ import annotations

from avatargpt.body.describe import MotionDescription
from avatargpt.body.edit import MotionEditing
from avatargpt.body.generate import MotionGeneration
from avatargpt.body.model import BodyModel
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.requests.phrases import PhraseIndex


class Body:
    """The tasks of the body, each a part, on one `BodyModel`.

    Attributes:
        model: the network and what stands beside it.
        generation: text to motion. description: motion to text. editing: motion to motion.
    """

    def __init__(
        self, loaded: LoadedModel, phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:  # fmt: skip
        self.model = BodyModel(loaded, phrase_index, motion_scorer)
        self.generation = MotionGeneration(self.model)
        self.description = MotionDescription(self.model)
        self.editing = MotionEditing(self.model, self.generation)
