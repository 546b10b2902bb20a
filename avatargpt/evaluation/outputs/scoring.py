"""Suites on other systems' outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from avatargpt.evaluation.body import prompts
from avatargpt.evaluation.outputs import plausible, reading
from avatargpt.evaluation.outputs.folder import Given, Item, gather
from avatargpt.evaluation.suites import Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from instruct_data.clip import Clip
from vqvae.errors import UserError

KINDS = ("prompts", "prompt_list", "retrieval", "face_instructions", "gesture")
UNSEEN = "its checks look at where the head looks, which positions alone do not show"
HEADLESS = "its events turn the head, which Audio2Face's JSON does not hold"
T = TypeVar("T")


@dataclass(frozen=True)
class Outputs:
    """A folder of another system.

    Attributes:
        folder: of motion files. names: the list of names and prompts, or None. fps: rate of files that state none.
    """

    folder: Path
    names: Path | None = None
    fps: float | None = None


def items(suite: Suite, data: Path | None = None) -> list[Item]:
    """What a suite asks, by the names that files are expected to have.

    Prompt suites number their prompts from 1, the neutral ones of style checks behind the others; a suite of faces
    calls its instructions by source and number, one of gestures its talks by their names.

    Raises:
        UserError: a kind of suite that takes no outputs.
    """
    if suite.kind == "prompts":
        texts = [e.prompt for e in suite.entries]
        texts += [t for t in dict.fromkeys(e.neutral for e in suite.entries if e.neutral) if t not in texts]
        return [Item(f"{n:03d}", text) for n, text in enumerate(texts, 1)]
    if suite.kind == "prompt_list":
        return [Item(f"{n:03d}", str(row["prompt"])) for n, row in enumerate(suite.options["prompts"], 1)]
    if suite.kind == "retrieval":
        return [Item(f"{n:03d}", c.captions[0]) for n, c in enumerate(_captioned(suite, data), 1)]
    if suite.kind == "face_instructions":
        from avatargpt.evaluation.face.given import sources

        return [Item(f"{name}_{n:03d}", s.text)
                for name, scores in sources(suite, data).items() for n, s in enumerate(scores, 1)]  # fmt: skip
    if suite.kind == "gesture":
        from avatargpt.evaluation.gesture.talks import read_talks

        if data is None:
            raise UserError(f"{suite.name}: measured on recorded talks; name their folder with --data")
        return [Item(t.name, f"{len(t.audio) / 16000:.1f} s of talk") for t in read_talks(data)]
    raise UserError(f"{suite.name}: takes no outputs of others; accepted suites of kind {', '.join(KINDS)}")


def score(suite: Suite, outputs: Outputs, data: Path | None = None, store: Path | None = None, model: Any = None
          ) -> dict[str, Any]:  # fmt: skip
    """The figures of the clips that are there; what is missing or damaged stands under ``failed``, and under
    ``warnings`` what most of them show and bodies do not (`plausible`).

    Args:
        data: recorded talks of a gesture suite, or the corpus of a face suite. store: encoder of the FGD.
        model: what describes the motions of a list of prompts.

    Raises:
        UserError: a suite that takes no outputs, or no such folder.
    """
    asked = items(suite, data)
    given = gather(outputs.folder, asked, outputs.names)
    bodies: list[plausible.Signs] = []

    def show(joints: np.ndarray) -> None:
        bodies.append(plausible.signs(joints))

    if suite.kind == "prompts":
        result = _prompts(suite, outputs, given, show, asked)
    elif suite.kind == "prompt_list":
        result = _prompt_list(suite, outputs, given, show, model)
    elif suite.kind == "retrieval":
        result = _retrieval(suite, outputs, given, show, data, store)
    elif suite.kind == "face_instructions":
        result = _faces(suite, outputs, given, data)
    else:
        result = _gestures(suite, outputs, given, show, data, store)
    failed = [*result.pop("failed", []), *given.failed]  # what is damaged, before what is not there
    counted = {"asked": len(asked), "answered": len(given.files)}
    told = {"warnings": plausible.warnings(bodies), "failed": failed}
    return {"outputs": given.digest, **counted, **result, **{k: v for k, v in told.items() if v}}


def _read(
    given: Given, take: Callable[[Path, float | None], T], fps: float | None, failed: list[dict[str, str]]
) -> dict[str, list[T]]:  # fmt: skip
    """Item -> its clips; files that cannot be read go to `failed`, each with the reason."""
    out: dict[str, list[T]] = {}
    for name, paths in given.files.items():
        clips = []
        for path in paths:
            try:
                clips.append(take(path, fps))
            except UserError as e:
                failed.append({"item": path.name, "reason": str(e).removeprefix(f"{path}: ")})
        if clips:
            out[name] = clips
    return out


def _prompts(
    suite: Suite, outputs: Outputs, given: Given, show: reading.Seen, asked: Sequence[Item]
) -> dict[str, Any]:
    failed: list[dict[str, str]] = []
    clips = _read(given, partial(reading.body, seen=show), outputs.fps, failed)
    texts = {i.id: i.text for i in asked}
    made = {texts[name]: dict(enumerate(some)) for name, some in clips.items()}
    unjudged = [{"item": e.prompt, "reason": UNSEEN} for e in suite.entries
                if any(predicates.needs_head(c) for c in e.checks) and _blind(made, e.prompt, e.neutral)]  # fmt: skip
    lost = [{"item": e.prompt, "reason": f"no clip for its neutral prompt: {e.neutral}"}
            for e in suite.entries if e.neutral and e.prompt in made and e.neutral not in made]  # fmt: skip
    chosen = replace(prompts.Chosen.of(suite), counters={})  # of the harness, not of what it measures
    return prompts.judged(suite, chosen, made, [*failed, *lost], unjudged)


def _blind(made: Mapping[str, Mapping[int, Signals]], *texts: str) -> bool:
    return any(s.motion is None and s.nose is None for text in texts for s in made.get(text, {}).values())


def _prompt_list(
    suite: Suite, outputs: Outputs, given: Given, show: reading.Seen, model: Any
) -> dict[str, Any]:  # fmt: skip
    from avatargpt.evaluation.text import prompt_list

    failed: list[dict[str, str]] = []
    clips = _read(given, partial(reading.both, seen=show), outputs.fps, failed)
    numbered = {int(name) - 1: some for name, some in clips.items()}
    told = prompt_list.judged(suite, {n: [m for m, _ in some] for n, some in numbered.items()}, model)
    # Positions as they are: rotations of our own skeleton put other bones only nearly there.
    told["results"] |= prompt_list.fitting(suite, {n: [s.joints for _, s in some] for n, some in numbered.items()})
    return {**told, "failed": failed}


def _captioned(suite: Suite, data: Path | None) -> list[Clip]:
    from avatargpt.evaluation.body.corpus import load_clips

    if data is None:
        raise UserError(f"{suite.name}: asks captions of the body corpus; name its folder with --data")
    return [c for c in load_clips(data, str(suite.options.get("split", "val"))) if c.captions]


def _retrieval(
    suite: Suite, outputs: Outputs, given: Given, show: reading.Seen, data: Path | None, store: Path | None
) -> dict[str, Any]:  # fmt: skip
    from avatargpt.evaluation.body import text_retrieval
    from avatargpt.metrics.evaluator import MotionEvaluator

    failed: list[dict[str, str]] = []
    seen = _read(given, partial(reading.body, seen=show), outputs.fps, failed)
    rows = [(c, seen[f"{n:03d}"]) for n, c in enumerate(_captioned(suite, data), 1) if f"{n:03d}" in seen]
    evaluator = MotionEvaluator.load(store)
    if len(rows) < text_retrieval.pool(suite):
        said = f"{len(rows)} captions answered; at least {text_retrieval.pool(suite)} are needed"
        return {"results": {}, "failed": [*failed, {"item": suite.name, "reason": said}]}
    real = evaluator.motions([c.load() for c, _ in rows])
    made = evaluator.joints([some[0].joints for _, some in rows])
    vectors = {**text_retrieval.recorded(suite, real), text_retrieval.MODEL: made}
    told = [c.captions[0] for c, _ in rows]
    return {**text_retrieval.result(suite, told, evaluator, vectors), "failed": failed}


def _faces(suite: Suite, outputs: Outputs, given: Given, data: Path | None) -> dict[str, Any]:
    from avatargpt.evaluation.face import given as faces

    failed: list[dict[str, str]] = []
    clips = _read(given, reading.face, outputs.fps, failed)
    turned = faces.of_the_head(suite, data)
    blind = [name for name in clips if name in turned and reading.headless(given.files[name][0])]
    result = faces.score(suite, {name: some[0] for name, some in clips.items() if name not in blind}, data)
    unjudged = [{"item": name, "reason": HEADLESS} for name in blind]
    return {**result, **({"unjudged": unjudged} if unjudged else {}), "failed": failed}


def _gestures(
    suite: Suite, outputs: Outputs, given: Given, show: reading.Seen, data: Path | None, store: Path | None
) -> dict[str, Any]:  # fmt: skip
    from avatargpt.evaluation.gesture import comparison
    from avatargpt.evaluation.gesture.talks import read_talks
    from avatargpt.metrics.gesture.fgd import GestureFeatures
    from avatargpt.speech.audio import RATE

    assert data is not None  # `items` has asked for it
    failed: list[dict[str, str]] = []
    read = _read(given, partial(reading.motion, seen=show), outputs.fps, failed)
    clips = {name: some[0] for name, some in read.items()}
    talks = []
    for talk in read_talks(data):
        if talk.name not in clips:
            continue
        needed = talk.motion.seconds if talk.motion is not None else len(talk.audio) / RATE
        if clips[talk.name].seconds < needed - 0.5:
            said = f"{clips[talk.name].seconds:.1f} s of motion for a talk of {needed:.1f} s; accepted as long"
            failed.append({"item": talk.name, "reason": said})
            continue
        talks.append(talk)
    if not talks:
        return {"results": {}, "failed": failed}
    features = GestureFeatures.load(store)
    network = {"outputs": lambda talk: clips[talk.name]}
    return {**comparison.score(suite, talks, network, (), features, less=False), "failed": failed}


def lines(failed: Sequence[Mapping[str, str]]) -> list[str]:
    """What is missing, one line each, at most twenty."""
    said = [f"{f['item']}: {f['reason']}" for f in failed]
    return said if len(said) <= 20 else [*said[:20], f"... and {len(said) - 20} more; the result names them all"]
