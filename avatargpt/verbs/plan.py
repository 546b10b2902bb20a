"""`plan` and `long`: a scene to activities and steps, and to motion of minutes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from avatargpt.options import GUIDANCE, TEMPERATURE, GenerationConfig
from avatargpt.verbs.request import NUMBER, SEED, Count, Flag, Number, Seed, request
from instruct_data.requests.script import read_script

if TYPE_CHECKING:
    from avatargpt.long.loop import Chunk
    from avatargpt.planning import Plan
    from avatargpt.verbs.model import Model

MAX_LENGTH = 14_400  # seconds: four hours
Scene = Annotated[str, Flag(), Field(max_length=1000)]
Planner = Annotated[Any, Flag("--planner NAME"), WithJsonSchema({"type": "string"})]
Length = Annotated[float, Field(ge=1, le=MAX_LENGTH, allow_inf_nan=False), NUMBER, Flag("--seconds S")]
PLANNER = Field(default=None, description="Who plans: retrieval, endpoint, or https://...; left out: as is usual.")
SCENE = Field(
    description='One or two sentences: who does what, and where; or a script: "[0-5s] he walks [5-9s] he sits down".'
)


@request
class PlanRequest:
    """A scene to activities and their steps."""

    scene: Scene = SCENE
    activities: Annotated[int, Field(ge=1, le=50), NUMBER, Flag("--activities N")] | None = Field(
        default=None, description="How many; left out: one for each event that the scene names, else 3."
    )
    temperature: Annotated[Number, Flag("--temperature T")] = Field(default=0.7, ge=0, le=2, description="Variety.")
    seed: Seed = SEED
    planner: Planner = PLANNER
    seconds: Length | None = Field(default=None, description="Of all steps together.")


def plan(model: Model, asked: PlanRequest) -> Plan:
    """A scene in a sentence or two to activities and their steps.

    Raises:
        UserError: a scene that is empty, too long or not English, an unknown planner.
    """
    from avatargpt import planning

    planner = planning.load_planner(asked.planner, model.body.model)
    return planner.plan(asked.scene, asked.activities, asked.temperature, asked.seed, asked.seconds)


def _read_activities(value: Any) -> Any:
    """Activities as objects, from the JSON of a plan, too."""
    from avatargpt.planning.types import Activity

    return [Activity.from_json(row) if isinstance(row, dict) else row for row in value]


@request
class LongRequest:
    """Motion of minutes from one sentence: plan, act, describe, plan again."""

    scene: Scene = SCENE
    seconds: Length = Field(default=60.0, description="Length, exact to the frame; a script ends by itself.")
    planner: Planner = PLANNER
    seed: Seed = SEED
    radius: Annotated[float, Field(ge=2, le=1000, allow_inf_nan=False), NUMBER, Flag("--radius R")] | None = Field(
        default=None, description="Stay within so many metres of the start."
    )
    activities: Annotated[list[Any], BeforeValidator(_read_activities), Flag()] = Field(
        default=[], description="Activities of a plan that are done first, in place of the scene's own."
    )
    best_of: Annotated[Count, Flag("--best-of K")] = Field(default=4, le=16, description="Candidates of each clause.")
    guidance: Annotated[Number, Flag("--guidance G")] = Field(
        default=GenerationConfig.guidance, ge=GUIDANCE[0], le=GUIDANCE[1], description="How strongly words count."
    )
    temperature: Annotated[Number, Flag("--temperature T")] = Field(
        default=GenerationConfig.temperature, ge=TEMPERATURE[0], le=TEMPERATURE[1], description="Variety."
    )

    @model_validator(mode="after")
    def _end_with_script(self) -> Self:
        if script := read_script(self.scene):
            object.__setattr__(self, "seconds", min(self.seconds, script[-1].end))
        return self


def long(model: Model, asked: LongRequest) -> Iterator[Chunk]:
    """Motion of any length from one sentence, as chunks of frames while it runs; see `avatargpt.long.loop.long`.

    Raises:
        UserError: at the call, not at the first chunk: a scene, length, radius or planner that is not accepted.
    """
    from avatargpt.long import loop

    return loop.long(
        model, asked.scene, asked.seconds, asked.planner, asked.seed, asked.radius, asked.activities, asked.best_of,
        asked.guidance, asked.temperature,
    )  # fmt: skip
