"""The suite `templates`: whether the model follows an instruction in words that no training had.

Held-out keyframed bodies and rendered faces. A task's prompt is written with templates of its YAML file, all of which
training draws from, and with the suite's, which it does not have. ``TASK/seen``, ``TASK/unseen``: share of clips whose
answer is likelier under their own prompt than under those of `others` further clips (text to motion), or whose own
text is the likeliest answer of as many (motion to text); ``TASK/*_nats``: mean likelihood of the right answer, nats a
token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.evaluation import corpus
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Run
from avatargpt.lm.loaded import CHUNK, LoadedModel
from avatargpt.options import plain
from avatargpt.train.data.faces import LONGEST
from instruct_data.cleaning import CleaningReport, cleaned
from instruct_data.face.compose import composed
from instruct_data.face.described import described
from instruct_data.face.render import render
from instruct_data.registry import Prompt, Task, get_task
from instruct_data.synth.families import families
from vqvae.errors import UserError

SEED = 91_000  # of faces that no training renders


@dataclass(frozen=True)
class Pairs:
    """Motions as codes (N, R) and their texts, of one modality: `captions` for prompts, `answers` for descriptions."""

    loaded: LoadedModel
    codes: list[np.ndarray]
    captions: list[str]
    answers: list[str]


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's model."""
    options = run.suite.options
    count, others = int(options["clips"]), int(options["others"])
    results: dict[str, Any] = {}
    pairs = {"body": _bodies(run.model, count), "face": _faces(run.model, count)}
    for name, unseen in options["unseen"].items():
        task = get_task(name)
        if set(unseen) & set(task.templates):
            raise UserError(f"suite templates: {name}: a template that training has, too")
        modality = task.output if task.output != "text" else task.inputs[0].modality
        drawn = pairs[str(modality)]
        usable = task.eligible({s.name for s in task.inputs if s.required})
        for kind, templates in (("seen", [task.templates[i] for i in usable[: len(unseen)]]), ("unseen", unseen)):
            rows = [_likelihoods(drawn, task.model_copy(update={"templates": [t]}), others) for t in templates]
            results[f"{name}/{kind}"] = figure([float(x) for nats in rows for x in nats[:, 0] > nats[:, 1:].max(1)])
            results[f"{name}/{kind}_nats"] = figure([float(x) for nats in rows for x in nats[:, 0]])
    return {"results": results}


def _bodies(model: Any, count: int) -> Pairs:
    names = [str(n) for n in np.random.default_rng(SEED).permutation(sorted(families()))[:count]]
    clips = list(cleaned(corpus.keyframed_clips(1, corpus.HELD_OUT, names), CleaningReport()))[:count]
    codes = [model.tokenizers["body"].encode(c.load())[:CHUNK] for c in clips]
    captions = [c.captions[0] for c in clips]
    return Pairs(model.loaded, codes, captions, captions)


def _faces(model: Any, count: int) -> Pairs:
    scores = [s for s in composed(4 * count, SEED) if s.length <= LONGEST and s.text][:count]
    tokenizer = model.facial.tokenizer("face")
    codes = [tokenizer.encode(render(s, SEED + i))[:CHUNK] for i, s in enumerate(scores)]
    return Pairs(model.facial, codes, [s.text for s in scores], [described(s) for s in scores])


def _likelihoods(pairs: Pairs, task: Task, others: int) -> np.ndarray:
    """(N, 1 + others) mean log-likelihood: of each clip under its own prompt, then under those of the next clips; or of
    its own text, then of theirs, as its description."""
    n, slot = len(pairs.codes), task.inputs[0].name
    prompts: list[Prompt] = []
    answers: list[list[int]] = []
    for i in range(n):
        for other in ((i + k) % n for k in range(1 + others)):
            if task.output == "text":
                prompts.append(task.render({slot: pairs.codes[i]}))
                answers.append(pairs.loaded.text.encode(plain(pairs.answers[other])))
            else:
                first = pairs.loaded.model.config.first_id(task.output)
                prompts.append(task.render({slot: pairs.captions[other]}))
                answers.append((pairs.codes[i][:, 0] + first).tolist())
    return pairs.loaded.score(prompts, answers).reshape(n, 1 + others)
