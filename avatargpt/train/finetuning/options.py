"""What `avatargpt finetune` may be told, and the recipes that follow from it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from avatargpt.train.data.examples import ExampleOptions
from avatargpt.train.language import LanguageRecipe, LanguageTraining
from avatargpt.train.lora import LoraOptions
from vqvae.strict import Flag, NonNegativeInt, PositiveInt, Rate, Strict

OWN = "own"
"""Source of the user's clips among those of the package."""
PLANNING = (
    "scene_to_activity", "activity_to_next_activity", "scene_steps_to_next_steps", "scene_activity_to_next_steps",
    "scene_steps_to_next_activity", "activity_to_steps", "steps_to_activity", "steps_to_next_steps",
)  # fmt: skip


class FinetuneOptions(Strict):
    """How a model goes on learning.

    Attributes:
        lora: low-rank updates of the T5 instead of all its weights; heads and codes of motion are trained in full.
        steps: at most. minutes: of training, at most; fewer steps are planned where they take longer.
        batch: rows per step.
        lr: peak of the learning rate; 0 = 4e-4, with `lora` 8e-4.
        own: share of the examples that are of the user's clips; the rest is the package's.
        rounds: validations over the run. patience: of them without a better one end it.
        keyframed: packaged clips made for every keyframed action, beside those of the exemplar bank.
        seed: decides everything that is drawn.
        licence: of the clips; stands in the result.
    """

    lora: Flag = False
    steps: PositiveInt = 240
    minutes: Annotated[Rate, Field(le=10_000)] = 6.0
    batch: PositiveInt = 24
    lr: Rate = 0.0
    own: Annotated[float, Field(gt=0, lt=1)] = 0.4
    rounds: PositiveInt = 6
    patience: PositiveInt = 2
    keyframed: NonNegativeInt = 1
    seed: NonNegativeInt = 0
    licence: str = "not stated"

    def schedule(self, steps: int, lr: float) -> dict[str, Any]:
        """What every network's run of so many steps has in common; `lr` where none was asked for."""
        every = max(1, steps // self.rounds)
        return {
            "steps": steps, "lr": self.lr or lr, "lr_floor": 1e-5, "warmup": min(20, max(1, steps // 10)),
            "seed": self.seed, "log_every": min(10, steps), "save_every": every, "val_every": every,
        }  # fmt: skip

    def recipe(self, steps: int) -> LanguageRecipe:
        """Of the language stage, for so many steps."""
        rest = 1 - self.own
        weights = {
            f"text_to_motion/{OWN}": 0.62 * self.own, f"motion_to_text/{OWN}": 0.2 * self.own,
            f"continuation/{OWN}": 0.1 * self.own, f"in_between/{OWN}": 0.08 * self.own,
            "text_to_motion": 0.4 * rest, "motion_to_text": 0.14 * rest, "continuation": 0.2 * rest,
            "in_between": 0.1 * rest, "rewrite": 0.02 * rest, "chat_turn": 0.06 * rest,
            **{name: 0.01 * rest for name in PLANNING},
        }  # fmt: skip
        balance = ("text_to_motion", "motion_to_text", "continuation", "in_between")
        alpha = {task: 0.5 for task in balance} | {f"{task}/{OWN}": 0.7 for task in balance}
        training = LanguageTraining(
            **self.schedule(steps, 8e-4 if self.lora else 4e-4), batch=self.batch, pool=4, refiner_rows=0.5,
            best="val_whole",
            options=ExampleOptions(weights=weights, alpha=alpha, only_ground=0.2, only_words=0.08, retrieve=0.05),
        )  # fmt: skip
        lora = LoraOptions(targets=["q", "k", "v", "o", "wi", "wi_0", "wi_1", "wo"]) if self.lora else None
        return LanguageRecipe(train=training, lora=lora)
