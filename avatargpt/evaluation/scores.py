"""Who scores a suite of which kind, and on what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.evaluation.suites import Suite

if TYPE_CHECKING:
    from avatargpt.evaluation.parts import Parts

SYNTHETIC = ("families", "describe_synthetic")
"""Kinds of suites about synthetic clips."""


def score(
    suite: Suite, model: Any, data: Path | None, out: Path | None, store: Path | None, full: bool, kept: Parts
) -> dict[str, Any]:
    """What a suite finds.

    The arguments are those of `avatargpt.evaluation.run_suite`; `kept` holds the answers of the model.
    """
    if suite.kind == "prompt_list":
        from avatargpt.evaluation.text import prompt_list

        return prompt_list.score(suite, model, parts=kept)
    if suite.kind == "prompts":
        from avatargpt.evaluation.body import prompts

        generate = model if callable(model) else lambda texts, seeds: model.body.generation.results(texts, seeds=seeds)
        return prompts.score(suite, generate, parts=kept)

    if suite.kind == "plan_coverage":
        from avatargpt.evaluation.text import plan_coverage

        count = int(suite.options["full" if full else "sample"])
        chosen = plan_coverage.sample(plan_coverage.steps(data), count, suite.seeds[0])
        return plan_coverage.score(suite, chosen, model, parts=kept)
    if suite.kind == "gesture":
        from avatargpt.evaluation.gesture import comparison

        return comparison.run(suite, model, data, store, kept)
    if suite.kind == "humanml3d":
        from avatargpt.evaluation.body import humanml3d

        return humanml3d.run(suite, model, data, store, kept)
    if suite.kind == "gesture_words":
        from avatargpt.evaluation.gesture import meant

        return meant.score(suite, model.source, kept)
    if suite.kind == "speech_face":
        from avatargpt.evaluation.face import speech_face
        from avatargpt.face.audio_model.driver import Driver

        driver = kept.standing_in(Driver.load(Path(model.source) / "driver"), "drive")
        return speech_face.score(suite, driver, data, store, kept)
    if suite.kind == "word_times":
        from avatargpt.evaluation.face import word_times
        from avatargpt.face.audio_model.driver import Driver

        return word_times.score(suite, Driver.load(Path(model.source) / "driver"), data, store, kept)
    if suite.kind == "face_instructions":
        from avatargpt.evaluation.face import face_instructions
        from avatargpt.face.pipeline import FacePipeline

        performer = kept.standing_in(FacePipeline.load(Path(model.source) / "driver"), "read", "perform")
        if "rows" in suite.options:
            from avatargpt.evaluation.face import fresh

            return fresh.score(suite, performer)
        return face_instructions.score(suite, performer, data, store)
    if suite.kind == "face_language":
        from avatargpt.evaluation.face import face_language

        asked = kept.standing_in(model, "face", "describe_face", "feeling", "emotion_face", "face_in_between")
        return face_language.score(suite, asked, data)
    if suite.kind == "requests":
        from avatargpt.evaluation.text import requests

        return requests.score(suite, model, kept)
    if suite.kind == "chat_fresh":
        from avatargpt.evaluation.text import chat_fresh

        return chat_fresh.score(suite, model, kept)
    if suite.kind == "chat":
        from avatargpt.evaluation.text import chat

        return chat.score(suite, data, model, kept)
    if suite.kind in ("plans", "plan_cycle"):
        from avatargpt.evaluation.text import planning

        return planning.run(suite, model, data, full, kept)
    if suite.kind in SYNTHETIC:
        return _score_synthetic(suite, model, data, store, full, kept)

    from avatargpt.evaluation.body import corpus

    clips = corpus.load_clips(data, str(suite.options.get("split", "val")))
    if suite.kind in ("retrieval", "retrieval_judge"):
        return _score_retrieval(suite, clips, model, data, store, kept)
    if suite.kind == "tokenizer":
        from avatargpt.evaluation.body import reconstruction

        coder = kept.standing_in(model, "reconstruct")
        tokenizer = model.tokenizers["body"]
        size = int(tokenizer.codebooks.shape[1])
        chart = Path(out).with_suffix(".png") if out is not None else None
        from avatargpt.evaluation.body import synthetic

        keyframed = list(synthetic.made(int(suite.options.get("keyframed", 0))))
        return reconstruction.score(
            suite, clips, lambda motion: coder.reconstruct(motion)[0], kept.remembering("codes", tokenizer.encode),
            size, chart, keyframed,
        )
    if suite.kind == "describe":
        from avatargpt.evaluation.body import describe
        from vqvae.motion import atomic_write

        result = describe.score(suite, clips, model.describe, corpus.load_clips(data, "train"), kept)
        if out is not None:
            table = describe.markdown(result)
            atomic_write(Path(out).with_suffix(".md"), lambda p: p.write_text(table, encoding="utf-8"))
        return result
    if suite.kind == "predicates":
        from avatargpt.evaluation.body import predicates

        step = int(suite.options.get("bandai2_step", 1))
        # The big classes are thinned out evenly: thousands of raised hands add time, not information.
        some = [c for i, c in enumerate(clips) if c.source != "bandai2" or i % step == 0]
        return predicates.score(suite, some)
    if suite.kind == "seams":
        from avatargpt.evaluation.body import seams

        joints = [c.load().joints for c in clips]
        told = [(c.captions[0], len(j)) for c, j in zip(clips, joints, strict=True) if c.captions]
        return seams.score(suite, joints, seams.scenes(data), model, told, kept)
    from avatargpt.evaluation.body import transitions

    return transitions.score(suite, clips, model, kept)


def _score_retrieval(
    suite: Suite, clips: list[Any], model: Any, data: Path | None, store: Path | None, kept: Parts
) -> dict[str, Any]:
    from avatargpt.evaluation.body import corpus, synthetic
    from avatargpt.metrics.evaluator import MotionEvaluator

    evaluator = MotionEvaluator.load(store)
    if suite.kind == "retrieval_judge":
        from avatargpt.evaluation.body import retrieval_judge

        keyframed = list(synthetic.made(int(suite.options["keyframed"])))
        return retrieval_judge.score(suite, clips, keyframed, evaluator)
    from avatargpt.evaluation.body import text_retrieval

    known = corpus.load_clips(data, "train")
    generate = model if model is None or callable(model) else lambda texts, seeds: model.generate(texts, seeds=seeds)
    return text_retrieval.score(suite, clips, known, evaluator, generate, kept)


def _score_synthetic(
    suite: Suite, model: Any, data: Path | None, store: Path | None, full: bool, kept: Parts
) -> dict[str, Any]:
    from avatargpt.evaluation.body import synthetic

    options = suite.options
    per_family = int(options["full" if full and "full" in options else "per_family"])
    if suite.kind == "families":
        from avatargpt.evaluation.body import families

        return families.score(suite, synthetic.made(per_family))
    from avatargpt.evaluation.body import describe_synthetic

    if store is not None:
        held_out, known = (synthetic.stored(store, s) for s in ("val", "train"))
    else:  # training draws from the seeds from 0 on
        held_out, known = (list(synthetic.made(per_family, first)) for first in (synthetic.HELD_OUT, 0))
    return describe_synthetic.score(suite, held_out, model.describe, known, kept)
