"""A planner that is a language model of this package: its own small T5, or a fine-tuned T5 / Flan-T5 folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from avatargpt.lm.loaded import LoadedModel
from avatargpt.options import mix, plain
from avatargpt.planning.listing import Listing
from avatargpt.planning.parse import Malformed, alike, check_sentence, parse_steps
from avatargpt.planning.types import Activity, Plan
from avatargpt.requests.english import MAX_STEPS, check_plan, check_scene, check_slots, spoken
from instruct_data.planning import STEP_TASKS, join_steps
from vqvae.errors import UserError

SAMPLES = 8  # answers per try
LEAST_STEPS = 2  # fewer is no way to do anything
ITEM = (2, 28)  # word pieces of a step or sentence under constrained decoding, at least and at most
TOKENS = 160  # longest free answer
TOP_P = 0.9
# task -> (the task that leads back, the slot there that takes the answer, the slot here that it should give back)
INVERSE = {
    "scene_to_activity": ("activity_to_scene", "activity", "scene"),
    "activity_to_scene": ("scene_to_activity", "scene", "activity"),
    "activity_to_steps": ("steps_to_activity", "steps", "activity"),
    "steps_to_activity": ("activity_to_steps", "activity", "steps"),
}

Accept = Callable[[list[str]], bool]


class ModelPlanner:
    """Samples answers to the planning tasks and takes the best well-formed one.

    A try samples `samples` answers; of the well-formed ones the likeliest wins, its own mean log-probability per word
    piece and that of the way back (`INVERSE`: how well the activity follows from the steps) added up. Where none is
    well-formed a second try decodes under a rule (`Listing`) and without repeated phrases, a third does so at a
    temperature of at least 1; where that fails too there is an error.

    Args:
        model: with a text head that has learnt the planning tasks.
        samples: answers per try.
        name: who answered, in plans.
    """

    def __init__(self, model: LoadedModel, samples: int = SAMPLES, name: str = "model") -> None:
        self.model, self.samples, self.name = model, samples, name

    @cached_property
    def _pieces(self) -> tuple[int, tuple[int, ...]]:
        """(piece that separates steps, pieces that a constrained answer never holds: no words, or a separator too).

        Raises:
            UserError: the vocabulary has no semicolon.
        """
        text, config = self.model.text, self.model.model.config
        mark = [i for i in text.encode("a; b") if text.decode([i]) == ";"]
        if not mark:
            raise UserError(f"{self.model.source}: its vocabulary has no piece for a semicolon; steps need one")
        said = [text.decode([i]) for i in range(text.size)]
        never = [i for i, s in enumerate(said) if not (spoken(s) or i in (mark[0], config.end_id("text")))]
        return mark[0], (*never, *range(text.size, config.vocab_size))  # T5 keeps rows beyond its vocabulary

    def _rule(self, steps: bool) -> Listing:
        mark, never = self._pieces
        least, most = (LEAST_STEPS, MAX_STEPS // 2) if steps else (1, 1)
        return Listing(mark, self.model.model.config.end_id("text"), least, most, *ITEM, never=never)

    def _said(
        self, task: str, asked: Sequence[dict[str, str]], temperature: float, seed: int, constrained: bool, samples: int
    ) -> list[list[tuple[str, float, bool]]]:
        """(text, mean log-probability per piece, ended) of every sample, for every row of slots."""
        prompt = self.model.encode([self.model.prompt(task, dict(slots)) for slots in asked])
        rule = self._rule(task in STEP_TASKS) if constrained else None
        count = samples if temperature > 0 else 1
        found = self.model.generator.decode(
            prompt, "text", max_tokens=rule.tokens if rule else TOKENS, samples=count, temperature=temperature,
            top_p=TOP_P if temperature > 0 else 1.0, rule=rule,
            seed=[mix(seed, k) for k in range(count * len(asked))],
            no_repeat=3 if constrained else 0,
        )  # fmt: skip
        texts = [self.model.text.decode([i for i in row if i >= 0]) for row in found.codes.tolist()]
        means = (found.scores / (found.lengths + 1)).tolist()
        rows = list(zip(texts, means, found.ended.tolist(), strict=True))
        return [rows[i : i + count] for i in range(0, len(rows), count)]

    def _back(self, task: str, slots: dict[str, str], answers: Sequence[str]) -> list[float]:
        """Mean log-probability per piece of what was asked, given each answer; 0 where no task leads back."""
        if task not in INVERSE or not answers:
            return [0.0] * len(answers)
        inverse, takes, gives = INVERSE[task]
        prompts = self.model.encode([self.model.prompt(inverse, {takes: a}) for a in answers])
        wanted = self.model.text.encode(plain(slots[gives]))
        return self.model.generator.score(prompts, [wanted] * len(answers), "text").mean.tolist()

    def _answer(
        self, task: str, slots: dict[str, str], temperature: float, seed: int, accept: Accept | None = None
    ) -> list[str]:
        reason = ""
        tries = ((temperature, False), (temperature, True), (max(temperature, 1.0), True))
        for attempt, (heat, constrained) in enumerate(tries):
            good: dict[str, tuple[list[str], float]] = {}
            rows = self._said(task, [slots], heat, mix(seed, attempt), constrained, self.samples)[0]
            for text, mean, ended in rows:
                try:
                    found = _read(task, text, ended)
                except Malformed as e:
                    reason = str(e)
                    continue
                if accept is not None and not accept(found):
                    reason = f"what was there before: {found[0][:60]!r}"
                    continue
                good.setdefault(join_steps(found), (found, mean))
            if good:
                back = self._back(task, slots, list(good))
                ranked = zip(good.values(), back, strict=True)
                return max(ranked, key=lambda row: row[0][1] + row[1])[0][0]
        raise UserError(
            f"planner {self.name}: no well-formed answer to {task} in {len(tries)} tries (last: {reason}); "
            "accepted: another seed, temperature or planner"
        )

    def answer(self, task: str, slots: dict[str, str], temperature: float = 0.7, seed: int = 0) -> list[str]:
        """See `avatargpt.planning.types.Planner.answer`.

        Raises:
            UserError: an unknown task, missing or bad slots, or no well-formed answer after all tries.
        """
        return self._answer(task, check_slots(task, slots), temperature, seed)

    def plan(self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0) -> Plan:
        """See `avatargpt.planning.types.Planner.plan`.

        Raises:
            UserError: a bad scene or number of activities, or no well-formed answer after all tries.
        """
        scene = check_plan(scene, activities)
        done: list[Activity] = []
        for k in range(activities):
            done.append(self._next(scene, done, "", temperature, mix(seed, 100 + k)))
        return Plan(scene, tuple(done), self.name)

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0
    ) -> Activity:
        """See `avatargpt.planning.types.Planner.next_activity`.

        Raises:
            UserError: a bad scene, or no well-formed answer after all tries.
        """
        return self._next(check_scene(scene), done, described, temperature, seed)

    def _next(
        self, scene: str, done: Sequence[Activity], described: str, temperature: float, seed: int
    ) -> Activity:
        tasks = {alike(a.task) for a in done}
        steps = {alike(join_steps(a.steps)) for a in done}
        if not done:
            way, slots = "scene_to_activity", {"scene": scene}
        elif described:
            way, slots = "scene_steps_to_next_activity", {"scene": scene, "steps": described}
        else:
            way, slots = "activity_to_next_activity", {"scene": scene, "activity": done[-1].task}
        task = self._answer(way, slots, temperature, seed, lambda a: alike(a[0]) not in tasks)[0]
        found = self._answer(
            "activity_to_steps", {"activity": task}, temperature, mix(seed, 7),
            lambda a: alike(join_steps(a)) not in steps,
        )  # fmt: skip
        return Activity(task, tuple(found))


def _read(task: str, text: str, ended: bool) -> list[str]:
    """An answer as steps, or as a list of one sentence."""
    if not ended:
        raise Malformed("it did not end")
    if task in STEP_TASKS:
        steps = parse_steps(text)
        if len(steps) < LEAST_STEPS:
            raise Malformed(f"{len(steps)} step; at least {LEAST_STEPS}")
        return list(steps)
    said = check_sentence(text, "scene" if task.endswith("_scene") else "task")
    return [said[0].upper() + said[1:]]


def folder_planner(folder: Path, device: str = "cpu") -> ModelPlanner:
    """The planner of a folder: a T5 or Flan-T5 as Hugging Face writes it (with ``spiece.model``), or a language run.

    Raises:
        UserError: missing or damaged files, or a model of another kind.
    """
    from avatargpt.lm.checkpoint import start_from_t5
    from avatargpt.lm.text_encoder import TextTokenizer
    from vqvae.io.data_files import read_object
    from vqvae.io.files import parsing

    kind = read_object(folder / "config.json").get("model_type")
    name = f"model {folder.name}"
    if kind == "avatargpt":
        return ModelPlanner(LoadedModel.from_pretrained(folder, device), name=name)
    if kind != "t5":
        raise UserError(f"{folder}: a model of type {kind!r}; accepted: t5 or a folder that `train.py language` wrote")
    text = TextTokenizer.load(folder)
    with parsing(folder, "a readable T5"):
        model: Any = start_from_t5(folder)
    return ModelPlanner(LoadedModel(model.to(device).eval(), text, {}, source=str(folder)), name=name)
