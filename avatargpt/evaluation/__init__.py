"""The evaluation harness: suites in YAML, one function to run any of them, one results file per run.

``run("prompts_known", model, data, out)`` takes anything that has the public methods of `avatargpt.AvatarGPT`;
prompt suites also take a plain function (prompts, seeds) -> motions, so that baselines go through the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avatargpt.evaluation.suites import Suite, find, folder, list_suites, load, read

__all__ = ["Suite", "find", "folder", "list_suites", "load", "read", "run", "run_suite"]


def run(name: str, model: Any, data: Path | None = None, out: Path | None = None) -> dict[str, Any]:
    """Run a suite by name, print its table on stderr and write its results.

    Args:
        name: see `list_suites`.
        model: an `AvatarGPT` or anything with its methods; for prompt suites also a function
            (prompts, seeds) -> motions; None where only real clips and baselines are measured.
        data: the folder of the body corpus, needed by every suite but the prompt suites.
        out: where to write the results (.json); charts and samples are put beside it. None: nothing is written.

    Returns:
        The results as written: plain JSON, without dates, equal for equal runs.

    Raises:
        UserError: unknown suite, missing corpus.
    """
    return run_suite(load(name), model, data, out)


def run_suite(suite: Suite, model: Any, data: Path | None = None, out: Path | None = None) -> dict[str, Any]:
    """:func:`run` for a suite that is already loaded (a file of one's own through `read`)."""
    from avatargpt.evaluation import report

    result = {**report.header(suite, model), **_score(suite, model, data, out)}
    if out is not None:
        report.write(Path(out), result)
    report.show(result)
    return result


def _score(suite: Suite, model: Any, data: Path | None, out: Path | None) -> dict[str, Any]:
    if suite.kind == "prompts":
        from avatargpt.evaluation import prompts

        generate = model if callable(model) else lambda texts, seeds: model.generate(texts, seeds=seeds)
        return prompts.score(suite, generate)

    from avatargpt.evaluation import corpus

    clips = corpus.load_clips(data, str(suite.options.get("split", "val")))
    if suite.kind == "tokenizer":
        from avatargpt.evaluation import reconstruction

        tokenizer = model.tokenizers["body"]
        size = int(tokenizer.codebooks.shape[1])
        chart = Path(out).with_suffix(".png") if out is not None else None
        return reconstruction.score(
            suite, clips, lambda motion: model.reconstruct(motion)[0], tokenizer.encode, size, chart
        )
    if suite.kind == "describe":
        from avatargpt.evaluation import describe
        from vqvae.motion import atomic_write

        result = describe.score(suite, clips, model.describe)
        if out is not None:
            table = describe.markdown(result)
            atomic_write(Path(out).with_suffix(".md"), lambda p: p.write_text(table, encoding="utf-8"))
        return result
    if suite.kind == "predicates":
        from avatargpt.evaluation import predicates

        step = int(suite.options.get("bandai2_step", 1))
        # The big classes are thinned out evenly: thousands of raised hands add time, not information.
        kept = [c for i, c in enumerate(clips) if c.source != "bandai2" or i % step == 0]
        return predicates.score(suite, kept)
    from avatargpt.evaluation import transitions

    return transitions.score(suite, clips, model)
