"""`generate`: text to body motion, or to a body with a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from avatargpt.options import FPS, GUIDANCE, TEMPERATURE, GenerationConfig
from avatargpt.verbs.controls import Controls, Waypoints, read_pin
from avatargpt.verbs.request import NUMBER, SEED, Count, Flag, InPython, Number, Refers, Seconds, Seed, Source, request
from instruct_data.requests.spec import MAX_TIMES, MotionRequest, Pin
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.avatar.composition import Division
    from avatargpt.body.generate import Progress
    from avatargpt.requests.resolver import ResolvedRequest
    from avatargpt.verbs.model import Model

KINDS = {"body": "body", "body,face": "avatar"}  # value of `modalities` -> kind of motion
_DEFAULT = GenerationConfig()


def _join_names(value: Any) -> Any:
    """``body,face`` of names in any order, as Python gives them or as text."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Sequence) or {str(n).strip() for n in names} not in ({"body"}, {"body", "face"}):
        raise ValueError(f"{str(value)[:40]!r}; accepted body, or body,face; a face alone: the verb face")
    return "body,face" if len(names) > 1 else "body"


def _read_pins(value: Any) -> Any:
    """Pins in words as pins."""
    rows = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return [read_pin(row) if isinstance(row, str) else row for row in rows]


def _list_values(value: Any) -> Any:
    """Values of a NumPy array as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


Lengths = Annotated[list[Seconds | None], BeforeValidator(_list_values)]  # of several texts
Pose = Annotated[Any, Refers("pose")]


@request
class GenerateRequest:
    """Text to body motion, or to a body with a face."""

    prompt: Annotated[Any, Flag(), WithJsonSchema({"type": "string"})] = Field(
        default="", description="What happens, in words; in Python also several, typed ones (`MotionRequest`) too."
    )
    seconds: Annotated[Seconds, Flag("--seconds S")] | SkipJsonSchema[Lengths] | None = Field(
        default=None, description="Length, kept to the frame, in Python also one per text; left out: as usual."
    )
    seed: Seed = SEED
    guidance: Annotated[Number, Flag("--guidance G")] = Field(
        default=_DEFAULT.guidance,
        ge=GUIDANCE[0],
        le=GUIDANCE[1],
        description="How strongly the text counts; 1 is none.",
    )
    best_of: Annotated[Count, Flag("--best-of K")] = Field(
        default=_DEFAULT.best_of, le=64, description="Candidates the model chooses from."
    )
    temperature: Annotated[Number, Flag("--temperature T")] = Field(
        default=_DEFAULT.temperature, ge=TEMPERATURE[0], le=TEMPERATURE[1], description="Variety."
    )
    num: Annotated[Count, Flag("-n --num K")] = Field(default=1, le=100, description="Results per text.")
    progress: InPython = Field(default=None, description="Called with (done, total).")
    seeds: InPython = Field(default=None, description="One per text instead of `seed`.")
    literal: Annotated[bool, Flag("--literal")] = Field(
        default=False, description="The words as they are: no plain wording first, no clause by clause."
    )
    after: Annotated[Source, Flag("--after FILE")] = Field(
        default=None, description="A motion that the results go on from, in its posture; it is no part of them."
    )
    request: Annotated[MotionRequest | None, Flag()] = Field(
        default=None, description="What happens, typed, in place of the prompt."
    )
    modalities: Annotated[str, BeforeValidator(_join_names), Flag("--modalities body|body,face")] = Field(
        default="body", description="body,face: with a face, on one clock."
    )
    times: Annotated[int, Field(ge=1, le=MAX_TIMES), NUMBER, Flag("--times N")] | None = Field(
        default=None, description="How often each movement is done."
    )
    turn: Annotated[Number, Flag("--turn DEGREES")] | None = Field(
        default=None, description="Turn: to the left above 0, to the right below."
    )
    path: Annotated[str, Flag("--path SHAPE[:SIDE[:N]]")] | None = Field(
        default=None,
        description="Way of every movement: circle, half_circle, figure_eight, square, triangle, zigzag, curve, line.",
    )
    waypoints: Annotated[Waypoints, Flag()] | None = Field(
        default=None, description="Places to go by: x, z in metres, z ahead, x to the left."
    )
    tempo: Annotated[Number, Flag("--tempo X")] | None = Field(
        default=None, description="Times as fast as usual, 0.2 to 4."
    )
    loop: Annotated[bool, Flag("--loop")] = Field(default=False, description="The end leads into the beginning.")
    in_place: Annotated[bool, Flag("--in-place")] = Field(
        default=False, description="The way is taken out: the ground moves."
    )
    pins: Annotated[list[Pin], BeforeValidator(_read_pins), Flag("--pin LIMB@S=X,Y,Z", list[str])] | None = Field(
        default=None, description="A hand or foot at a place and time, metres: right_hand@1.5=0.4,1.3,0.3. Repeatable."
    )
    start_pose: Annotated[Pose, Flag("--start-pose FILE[:S]")] = Field(
        default=None, description="Begin as this motion is at S, else at its beginning."
    )
    end_pose: Annotated[Pose, Flag("--end-pose FILE[:S]")] = Field(
        default=None, description="End as this motion is at S, else at its beginning."
    )
    fps: Annotated[float, Field(ge=FPS[0], le=FPS[1], allow_inf_nan=False), NUMBER, Flag("--fps F")] | None = Field(
        default=None, description="Frames a second, else 20."
    )
    strict: Annotated[bool, Flag("--strict")] = Field(
        default=False, description="Refuse requests with an action that is not known."
    )

    @property
    def controls(self) -> Controls:
        """What is set of every movement beside the words."""
        return Controls(
            self.times, self.turn, self.path, self.waypoints, self.tempo, self.loop, self.in_place, self.pins
        )

    @property
    def config(self) -> GenerationConfig:
        """How it is sampled."""
        return GenerationConfig(self.seed, self.guidance, self.temperature, self.best_of, self.num, self.literal)

    @property
    def kind(self) -> str:
        """The kind of motion: ``body`` or ``avatar``."""
        return KINDS[self.modalities]

    def check(self) -> None:
        """Raises UserError for fields that do not go together."""
        self.controls.check()
        poses = any(p is not None for p in (self.start_pose, self.end_pose))
        if self.literal and self.controls:
            raise UserError("literal: the words go as they are; accepted: without times, turn and the like")
        if self.loop and poses:
            raise UserError("loop and start_pose or end_pose: accepted one of them, for a loop ends as it begins")
        if self.kind == "avatar" and (self.literal or poses or self.controls or self.request is not None):
            raise UserError(f"modalities {self.modalities}: accepted without literal, poses, times and the like")


@dataclass(frozen=True)
class Reading:
    """Prompts as they were understood; `generate` takes it in place of the prompts.

    Attributes:
        requests: of each prompt. divisions: what of it the body does and what the face, of avatars alone.
    """

    requests: Sequence[ResolvedRequest]
    divisions: Sequence[Division] = ()


def read_prompts(model: Model, asked: GenerateRequest) -> Reading:
    """What prompts are understood as, with the controls of the request.

    Raises:
        UserError: as `generate`; an action that is not known, where the request is strict.
    """
    asked.check()
    if asked.request is not None and asked.prompt:
        raise UserError("a prompt and a request; accepted: one of both")
    single = isinstance(asked.prompt, str) or not isinstance(asked.prompt, Sequence)
    prompts: list[Any] = [asked.request or asked.prompt] if single else list(asked.prompt)
    if asked.kind == "avatar":
        divisions = [model.composer.divide(text) for text in prompts]
        reading = Reading([d.request for d in divisions], divisions)
    else:
        if asked.controls:
            prompts = [asked.controls.on(model.body.model.request(text)) for text in prompts]
        reading = Reading(model.body.generation.resolve(prompts, asked.seconds, asked.literal))
    unknown = [line for r in reading.requests for line in r.unknown] if asked.strict else []
    if unknown:
        raise UserError(f"{unknown[0]}; accepted: other words, or without strict")
    return reading


@dataclass(frozen=True)
class Made:
    """A motion, and of an avatar what each part of its prompt became (`Composition.rows`)."""

    motion: Any
    parts: Sequence[dict[str, Any]] = ()


def make_motions(model: Model, asked: GenerateRequest, reading: Reading, progress: Progress = None) -> list[Made]:
    """The motions of prompts that were read, `num` of each."""
    how = asked.seconds, asked.config, asked.seeds, progress, asked.after
    if reading.divisions:
        composed = model.composer.compose(reading.divisions, *how)
        made = [Made(model.composer.perform(c.body, c.score, c.seed), c.rows) for c in composed]
    else:
        made = [Made(motion) for motion in model.body.generation.generate(reading.requests, *how)]
    poses = asked.start_pose, asked.end_pose
    if any(pose is not None for pose in poses):
        editing = model.body.editing
        made = [Made(editing.pose_ends(m.motion, *poses, seed=asked.seed + k)) for k, m in enumerate(made)]
    if asked.fps is None:
        return made
    from avatargpt.body.loops import loop_at_rate

    typed = [r.typed for r in reading.requests for _ in range(asked.num)]
    loops = [not reading.divisions and t is not None and t.loop for t in typed]
    return [
        Made(loop_at_rate(m.motion, asked.fps) if loop else m.motion.resampled(asked.fps), m.parts)
        for m, loop in zip(made, loops, strict=True)
    ]


def generate(model: Model, asked: GenerateRequest) -> list[Any]:
    """Text to body motion, or to a body with a face.

    Unless `literal`, each clause of a prompt is replaced by a caption that the network knows
    (`avatargpt.requests.phrase_index`); clauses are generated one by one and joined at a blended seam. A turn by a
    measure ("turn left 90 degrees") is cut where it has come so far and brought to rest; a path ("walk in a circle") is
    bent to its shape. Feet that stand hold, and bodies neither sink into the floor nor hang above it
    (`avatargpt.body.contact`). What a face does in a clause is shown by it at the time of that clause
    (`avatargpt.avatar.composition`).

    Returns:
        `num` Motions for each prompt, in order, or with a face as many AvatarMotions of T frames at 30 per second;
        first frame above the origin facing +Z. Their `notes` name what is not shown: actions that are not known, with
        what is shown instead, and parts of others. Each is also a warning `avatargpt.options.UnheededText`.

    Raises:
        UserError: an empty text, values out of bounds, fields that do not go together, and with a face a typed request
            or a model folder without a driver.
    """
    reading = asked.prompt if isinstance(asked.prompt, Reading) else read_prompts(model, asked)
    return [made.motion for made in make_motions(model, asked, reading, asked.progress)]
