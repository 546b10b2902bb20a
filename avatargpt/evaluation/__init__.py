"""The evaluation harness: suites in YAML, one function to run any of them, one results file per run.

``run("prompts_known", model, data, out)`` takes anything that has the public methods of `avatargpt.AvatarGPT`;
prompt suites also take a plain function (prompts, seeds) -> motions, so that baselines go through the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avatargpt.evaluation.suites import Suite, find, folder, list_suites, load, read

__all__ = ["Suite", "find", "folder", "list_suites", "load", "read", "run", "run_suite"]


SYNTHETIC = ("families", "describe_synthetic", "discriminator", "synthetic_physics")
"""Kinds of suites about synthetic clips."""
WITHOUT_MODEL = ("predicates", "families", "discriminator", "synthetic_physics", "retrieval_judge")
"""Kinds in which no model takes part."""
WITHOUT_DATA = (
    "prompts", "families", "describe_synthetic", "face_instructions", "face_language", "gesture_words",
    "requests", "chat_fresh",
)  # fmt: skip
"""Kinds that need no corpus."""
DATA = {
    "chat": "the recorded dialogues (a folder with val.jsonl)", "plans": "the planning corpus",
    "plan_cycle": "the planning corpus", "plan_coverage": "the planning corpus",
    "speech_face": "the recordings of speech and faces, or a speech cache with --store",
    "word_times": "the recordings of speech with word times",
    "gesture": "recorded talks (sounds with motions of the same name)",
}  # fmt: skip
"""Kind -> what its ``--data`` holds, where that is not the body corpus."""


def run(
    name: str, model: Any, data: Path | None = None, out: Path | None = None, store: Path | None = None,
    full: bool = False,
) -> dict[str, Any]:
    """Run a suite by name, print its table on stderr and write its results.

    Args:
        name: see `list_suites`.
        model: an `AvatarGPT` or anything with its methods; for prompt suites also a function
            (prompts, seeds) -> motions; for ``gesture`` also a function `Talk` -> Motion or several by name; None where
            only real clips and baselines are measured.
        data: the folder of the body corpus, needed by every suite but those of `WITHOUT_DATA`; for the coverage of
            plans a folder with the planning corpus.
        out: where to write the results (.json); charts and samples are put beside it. None: nothing is written.
        store: a prepared clip store, for synthetic clips that are not made on the spot; for the kinds ``retrieval`` and
            ``retrieval_judge`` the folder of the evaluator, default: the packaged weights.
        full: the large sample where a suite has two sizes.

    Returns:
        The results as written: plain JSON, without dates, equal for equal runs.

    Raises:
        UserError: unknown suite, missing corpus.
    """
    return run_suite(load(name), model, data, out, store, full)


def run_suite(
    suite: Suite, model: Any, data: Path | None = None, out: Path | None = None, store: Path | None = None,
    full: bool = False,
) -> dict[str, Any]:
    """:func:`run` for a suite that is already loaded (a file of one's own through `read`)."""
    from avatargpt.evaluation import report

    result = {**report.header(suite, model), **_score(suite, model, data, out, store, full)}
    report.show(result)  # first, so that it is seen even where it cannot be written
    if out is not None:
        report.write(Path(out), result)
    return result


def _score(
    suite: Suite, model: Any, data: Path | None, out: Path | None, store: Path | None, full: bool
) -> dict[str, Any]:
    if suite.kind == "prompts":
        from avatargpt.evaluation.body import prompts

        generate = model if callable(model) else lambda texts, seeds: model.body.generation.made(texts, seeds=seeds)
        return prompts.score(suite, generate)

    if suite.kind == "plan_coverage":
        from avatargpt.evaluation.text import plan_coverage

        count = int(suite.options["full" if full else "sample"])
        return plan_coverage.score(suite, plan_coverage.sample(plan_coverage.steps(data), count, suite.seeds[0]), model)
    if suite.kind == "gesture":
        from avatargpt.evaluation.gesture import comparison

        return comparison.run(suite, model, data, store)
    if suite.kind == "gesture_words":
        from avatargpt.evaluation.gesture import meant

        return meant.score(suite, model.source)
    if suite.kind == "speech_face":
        from avatargpt.evaluation.face import speech_face
        from avatargpt.face.audio_model.driver import Driver

        return speech_face.score(suite, Driver.load(Path(model.source) / "driver"), data, store)
    if suite.kind == "word_times":
        from avatargpt.evaluation.face import word_times
        from avatargpt.face.audio_model.driver import Driver

        return word_times.score(suite, Driver.load(Path(model.source) / "driver"), data, store)
    if suite.kind == "face_instructions":
        from avatargpt.evaluation.face import face_instructions
        from avatargpt.face.performer import FacePerformer

        performer = FacePerformer.load(Path(model.source) / "driver")
        if "rows" in suite.options:
            from avatargpt.evaluation.face import fresh

            return fresh.score(suite, performer)
        return face_instructions.score(suite, performer, data, store)
    if suite.kind == "face_language":
        from avatargpt.evaluation.face import face_language

        return face_language.score(suite, model, data)
    if suite.kind == "requests":
        from avatargpt.evaluation.text import requests

        return requests.score(suite, model)
    if suite.kind == "chat_fresh":
        from avatargpt.evaluation.text import chat_fresh

        return chat_fresh.score(suite, model)
    if suite.kind == "chat":
        from avatargpt.evaluation.text import chat

        return chat.score(suite, data, model)
    if suite.kind in ("plans", "plan_cycle"):
        from avatargpt.evaluation.text import planning

        return planning.run(suite, model, data, full)
    if suite.kind in SYNTHETIC:
        return _score_synthetic(suite, model, data, store, full)

    from avatargpt.evaluation.body import corpus

    clips = corpus.load_clips(data, str(suite.options.get("split", "val")))
    if suite.kind in ("retrieval", "retrieval_judge"):
        return _score_retrieval(suite, clips, model, data, store)
    if suite.kind == "tokenizer":
        from avatargpt.evaluation.body import reconstruction

        tokenizer = model.tokenizers["body"]
        size = int(tokenizer.codebooks.shape[1])
        chart = Path(out).with_suffix(".png") if out is not None else None
        from avatargpt.evaluation.body import synthetic

        keyframed = list(synthetic.made(int(suite.options.get("keyframed", 0))))
        return reconstruction.score(
            suite, clips, lambda motion: model.reconstruct(motion)[0], tokenizer.encode, size, chart, keyframed
        )
    if suite.kind == "describe":
        from avatargpt.evaluation.body import describe
        from vqvae.motion import atomic_write

        result = describe.score(suite, clips, model.describe)
        if out is not None:
            table = describe.markdown(result)
            atomic_write(Path(out).with_suffix(".md"), lambda p: p.write_text(table, encoding="utf-8"))
        return result
    if suite.kind == "predicates":
        from avatargpt.evaluation.body import predicates

        step = int(suite.options.get("bandai2_step", 1))
        # The big classes are thinned out evenly: thousands of raised hands add time, not information.
        kept = [c for i, c in enumerate(clips) if c.source != "bandai2" or i % step == 0]
        return predicates.score(suite, kept)
    if suite.kind == "seams":
        from avatargpt.evaluation.body import seams

        joints = [c.load().joints for c in clips]
        told = [(c.captions[0], len(j)) for c, j in zip(clips, joints, strict=True) if c.captions]
        return seams.score(suite, joints, seams.scenes(data), model, told)
    from avatargpt.evaluation.body import transitions

    return transitions.score(suite, clips, model)


def _score_retrieval(
    suite: Suite, clips: list[Any], model: Any, data: Path | None, store: Path | None
) -> dict[str, Any]:
    from avatargpt import resources
    from avatargpt.evaluation.body import corpus, synthetic
    from avatargpt.metrics.evaluator.evaluator import MotionEvaluator

    evaluator = MotionEvaluator.load(store or resources.weights())
    known = corpus.load_clips(data, "train")
    if suite.kind == "retrieval_judge":
        from avatargpt.evaluation.body import retrieval_judge

        keyframed = list(synthetic.made(int(suite.options["keyframed"])))
        # The linear regression has seen both kinds as well, keyframed ones of the seeds that training draws from.
        known = [*known[::3], *synthetic.made(int(suite.options["regression_keyframed"]), first=0)]
        return retrieval_judge.score(suite, clips, keyframed, known, evaluator)
    from avatargpt.evaluation.body import text_retrieval

    generate = model if model is None or callable(model) else lambda texts, seeds: model.generate(texts, seeds=seeds)
    return text_retrieval.score(suite, clips, known, evaluator, generate)


def _score_synthetic(suite: Suite, model: Any, data: Path | None, store: Path | None, full: bool) -> dict[str, Any]:
    from avatargpt.evaluation.body import corpus, synthetic

    options = suite.options
    per_family = int(options["full" if full and "full" in options else "per_family"])
    if suite.kind == "families":
        from avatargpt.evaluation.body import families

        return families.score(suite, synthetic.made(per_family))
    if suite.kind == "describe_synthetic":
        from avatargpt.evaluation.body import describe_synthetic

        held_out = synthetic.stored(store, "val", ["keyframed"])["keyframed"] if store is not None else None
        clips = held_out if held_out is not None else list(synthetic.made(per_family))
        return describe_synthetic.score(suite, clips, model.describe)
    from instruct_data.synth.idle import idle_stances

    real = corpus.load_clips(data, str(options.get("split", "train")))
    stances = idle_stances(real, int(options.get("stances", 64)))
    # As in training: from real standing poses and back to them.
    keyframed = synthetic.made(per_family, stances=stances if len(stances) else None)
    if suite.kind == "synthetic_physics":
        from avatargpt.evaluation.body import synthetic_physics

        step = max(len(real) // int(options.get("real_clips", 1000)), 1)
        return synthetic_physics.score(suite, real[::step], keyframed)
    from avatargpt.evaluation.body import discriminator

    kinds = {"keyframed": list(keyframed)}
    count = int(options["clips"])
    if "layered" in options["kinds"] and data is not None:
        kinds["layered"] = synthetic.layered(real, data, count)
    if "composed" in options["kinds"]:
        kinds["composed"] = synthetic.composed(real, count)
    if store is not None:
        found = synthetic.stored(store, None, [k for k in options["kinds"] if k in ("layered", "composed")])
        kinds |= {f"{kind} as in the store": clips for kind, clips in found.items()}
    matched = {}
    if "layered within classes" in options["kinds"]:
        from avatargpt.evaluation.body import within_classes

        matched["layered within classes"] = within_classes.pairs(real, count, synthetic.HELD_OUT)
    return discriminator.score(suite, real, kinds, matched)
