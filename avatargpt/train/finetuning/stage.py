"""The language stage of a finished model: it is validated on what it learns and on what it knew, and ends early."""

from __future__ import annotations

import math
from collections.abc import Sequence

from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.train.data.examples import Example, ExampleOptions, Examples
from avatargpt.train.finetuning.early import Early
from avatargpt.train.language import LanguageRecipe, LanguageStage
from avatargpt.train.runtime import Runtime
from instruct_data.mixture import Draw, generator
from instruct_data.store import ClipCodes

OWN_TASKS = ("text_to_motion", "motion_to_text", "continuation")
KEPT_TASKS = ("text_to_motion", "continuation")
LEAST_ROWS = 24  # of the user's held-out clips, each with as many prompts as that takes
WHOLE = "val_whole"


def held_out(examples: Examples, own: Sequence[ClipCodes], kept: Sequence[ClipCodes]) -> dict[str, list[Example]]:
    """Fixed validation rows: ``own_TASK`` of the user's held-out clips, ``kept_TASK`` of the package's."""
    out: dict[str, list[Example]] = {}
    plainly = ExampleOptions(everyday=0.0, asked=0.0)
    for name, items, tasks in (("own", own, OWN_TASKS), ("kept", kept, KEPT_TASKS)):
        pool = Examples(items, [], {}, examples.text, examples.config, plainly, examples.rates)
        times = math.ceil(LEAST_ROWS / max(1, len(items)))
        for task in tasks:
            count = len(pool.pools(task))
            draws = [Draw(task, i, int(generator(5, i, k).integers(2**31))) for k in range(times) for i in range(count)]
            if draws:
                out[f"{name}_{task}"] = [pool.make(d) for d in draws]
    return out


class FinetuneStage(Early, LanguageStage):
    """See `avatargpt.train.loop.Stage`.

    Args:
        patience: validations without a better one that end the run.
        before: the figures of the model that it began from; None = they are taken now.

    Attributes:
        before: those figures; ``val_whole`` is what is lost on the user's clips and, where it grew, on the package's.
    """

    def __init__(
        self, recipe: LanguageRecipe, model: AvatarGPTModel, examples: Examples, val: dict[str, list[Example]],
        grounder: SentenceGrounder | None, runtime: Runtime, patience: int, before: dict[str, float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(recipe, model, examples, val, grounder, runtime)
        self.patience = patience
        self.before: dict[str, float] = {}
        self.before = self.validate() if before is None else before

    def validate(self) -> dict[str, float]:
        """Nats per token of every validation set, and `WHOLE` of them."""
        figures = super().validate()
        own = [v for k, v in figures.items() if k.startswith("val_own_text") or k.startswith("val_own_motion")]
        lost = [max(0.0, v - self.before.get(k, v)) for k, v in figures.items() if k.startswith("val_kept_")]
        figures[WHOLE] = sum(own) / max(1, len(own)) + sum(lost)
        if self.before:
            self.judged(figures[WHOLE])
        return figures
