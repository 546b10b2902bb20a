"""The stages that ask a language model: descriptions of segments by pictures, scenes of a film, facial instructions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, Field, StringConstraints

from avatargpt.curate.recipe import TextOptions
from avatargpt.curate.stages import Rejected, Result, StageTask, Workshop
from avatargpt.curate.tracks import read_tracks
from avatargpt.llm.model import Malformed, prompt
from avatargpt.metrics.face import MIN_UNIT_LEVEL, three_times
from avatargpt.video.frames import frames, inspect
from instruct_data.face.emotions import UNITS, read_units
from instruct_data.planning import tidy
from vqvae.face import FaceMotion

ATTEMPTS = 2  # an answer that does not fit is asked for once more
MARGIN = 0.15  # of a person's box on every side, in shares of the picture
# Strengths of a unit by its intensity, 1 = FACS intensity E: A to E in words.
STRENGTHS = ((0.3, "slightly"), (0.5, "clearly"), (0.8, "strongly"), (np.inf, "as far as possible"))
Sentence = Annotated[str, StringConstraints(max_length=400)]
Text = Annotated[str, StringConstraints(min_length=3, max_length=400)]


class Description(BaseModel):
    """What pictures of a segment show."""

    visible: bool
    face: bool
    caption: Sentence
    again: Sentence
    place: Sentence


class Step(BaseModel):
    """The third level: what the body does in one segment."""

    number: int
    step: Text


class SceneActivity(BaseModel):
    """The second level."""

    task: Text
    steps: list[Step] = Field(min_length=1)


class Scene(BaseModel):
    """The first level, with the other two."""

    scene: Text
    activities: list[SceneActivity] = Field(min_length=1)


class FaceInstruction(BaseModel):
    """An instruction with further wordings."""

    instruction: Text
    paraphrases: list[Text]


def description_of(task: StageTask, shop: Workshop) -> Result:
    """``caption``, ``again``, ``place`` and ``face`` of a segment, by a model that sees pictures of it."""
    inputs, options = task.inputs, shop.recipe.text
    times, pictures = pictures_of(Path(task.files["film"]), inputs["span"], inputs["box"], options)
    values = {
        "times": [round(t - inputs["span"][0], 1) for t in times], "words": inputs["words"], "about": inputs["about"],
    }  # fmt: skip

    def check(answer: Description) -> None:
        if answer.visible and min(len(answer.caption.split()), len(answer.again.split())) < 3:
            raise Malformed("caption and again: a sentence each, where a person is seen")

    answer = _answer(shop, "describe_segment", values, Description, check, pictures)
    if not answer.visible:
        raise Rejected("the model sees nobody, or nothing that could be described")
    return {**answer.model_dump(), "caption": _lower(answer.caption), "again": _lower(answer.again)}


def scene_of(task: StageTask, shop: Workshop) -> Result:
    """``scene`` and ``activities`` of consecutive segments; every segment has a step, by its number from 1 on."""
    stretches = [{"number": k, **s} for k, s in enumerate(task.inputs["stretches"], 1)]
    values = {"title": task.inputs["title"], "captions": task.inputs["captions"], "stretches": stretches}

    def check(answer: Scene) -> None:
        numbers = [s.number for a in answer.activities for s in a.steps]
        if numbers != list(range(1, len(stretches) + 1)):
            raise Malformed(f"steps of the stretches {numbers}; needed: each of 1 to {len(stretches)} once, in order")
        if any(";" in s.step for a in answer.activities for s in a.steps):
            raise Malformed("a semicolon in a step")

    answer = _answer(shop, "write_scene", values, Scene, check)
    activities = [
        {"task": tidy(a.task), "steps": [{"number": s.number, "step": tidy(s.step)} for s in a.steps]}
        for a in answer.activities
    ]
    return {"scene": tidy(answer.scene), "activities": activities}


def instruction_of(task: StageTask, shop: Workshop) -> Result:
    """``units`` with their strengths, and an ``instruction`` with ``paraphrases`` for them."""
    (track,) = read_tracks(Path(task.files["arrays"]), [dict(task.inputs["track"])])
    units = draw_units(track.piece(*task.inputs["span"]), shop.recipe.text.seed)
    if not units:
        raise Rejected("no action unit is active in all of three frames")
    count = shop.recipe.text.paraphrases
    values = {"units": units, "words": task.inputs["words"], "count": count}

    def check(answer: FaceInstruction) -> None:
        if len({t.casefold() for t in (answer.instruction, *answer.paraphrases)}) != count + 1:
            raise Malformed(f"{len(answer.paraphrases)} paraphrases; needed are {count}, all different")

    answer = _answer(shop, "write_instruction", values, FaceInstruction, check)
    return {
        "units": units, "instruction": tidy(answer.instruction), "paraphrases": [tidy(p) for p in answer.paraphrases],
    }  # fmt: skip


def draw_units(face: FaceMotion, seed: int) -> list[dict[str, Any]]:
    """Units that are active in all of three frames drawn from a clip, the strongest first, each with its strength.

    After InstructAvatar (arXiv 2405.15758, section 3.1); the strength is the mean of the three.
    """
    times = three_times(np.random.default_rng(seed), face)
    chosen = np.minimum((times * face.fps).astype(int), len(face) - 1)
    levels = {n: v[chosen] for n, v in read_units(face).items()}
    active = {n: float(v.mean()) for n, v in levels.items() if v.min() >= MIN_UNIT_LEVEL}
    ordered = sorted(active.items(), key=lambda item: (-item[1], item[0]))
    return [
        {"unit": UNITS[n].name, "strength": next(word for bound, word in STRENGTHS if level < bound)}
        for n, level in ordered
    ]


def pictures_of(
    path: Path, span: Sequence[float], box: Sequence[float], options: TextOptions
) -> tuple[list[float], list[bytes]]:
    """Seconds and JPEG files of frames from the middles of equal parts of a segment, cut to the person's box."""
    from PIL import Image

    film, count = inspect(path), options.pictures
    start, end = span
    targets = start + (np.arange(count) + 0.5) * (end - start) / count
    x0, y0, x1, y1 = (max(0.0, box[0] - MARGIN), max(0.0, box[1] - MARGIN), min(1.0, box[2] + MARGIN),
                      min(1.0, box[3] + MARGIN))  # fmt: skip
    share = max((x1 - x0) * film.width, (y1 - y0) * film.height) / max(film.width, film.height)
    times: list[float] = []
    files: list[bytes] = []
    # the first frame from each moment on; a film that ends early gives fewer
    for frame in frames(film, start, end, rate=max(film.fps, 1.0), longest=round(options.size / share)):
        if len(files) < count and frame.time >= targets[len(files)] - 0.5 / max(film.fps, 1.0):
            height, width = frame.picture.shape[:2]
            cut = frame.picture[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)]
            file = io.BytesIO()
            Image.fromarray(cut).save(file, "JPEG", quality=options.quality)
            times.append(frame.time)
            files.append(file.getvalue())
    if not files:
        raise Rejected("no picture of it can be decoded")
    return times, files


def _answer(
    shop: Workshop, name: str, values: dict[str, Any], schema: Any, check: Any, pictures: Sequence[bytes] = ()
) -> Any:
    """One checked answer to the question of a prompt file."""
    options = shop.recipe.text
    return shop.model.ask(
        prompt(name), values, schema, options.seed, temperature=options.temperature, check=check, pictures=pictures,
        attempts=ATTEMPTS,
    )[0].value  # fmt: skip


def _lower(text: str) -> str:
    """A caption as those of the other corpora: one line, no final stop, first letter small."""
    text = tidy(text)
    return text[:1].lower() + text[1:]
