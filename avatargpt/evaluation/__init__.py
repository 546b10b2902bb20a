"""The evaluation harness: suites in YAML, one function to run any of them, one results file per run.

``run("prompts_known", model, data, out)`` takes anything that has the public methods of `avatargpt.AvatarGPT`;
prompt suites also take a plain function (prompts, seeds) -> motions, so that baselines go through the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.evaluation.suites import Run, Suite, find, folder, list_suites, load, read

if TYPE_CHECKING:
    from avatargpt.evaluation.outputs import Outputs

__all__ = ["Suite", "find", "folder", "list_suites", "load", "read", "run", "run_suite"]


def run(
    name: str, model: Any, data: Path | None = None, out: Path | None = None, store: Path | None = None,
    full: bool = False, **options: Any,
) -> dict[str, Any]:
    """Run a suite by name, print its table on stderr and write its results.

    Args:
        name: see `list_suites`; or the file of a prompt suite (``.yaml``) or of a list of prompts (``.csv``,
            ``.json``).
        model: an `AvatarGPT` or anything with its methods; for prompt suites also a function
            (prompts, seeds) -> motions; for ``gesture`` also a function `Talk` -> Motion or several by name; for
            ``humanml3d`` also a `Maker`; None where only real clips and baselines, or another system's outputs, are
            measured.
        data: the folder of the corpus that the suite needs (its ``data``).
        out: where to write the results (.json); charts and samples go beside it, and what the run was made on
            (`report.write_provenance`). None: nothing is written.
        store: a prepared clip store, for keyframed clips that are not made on the spot; for ``humanml3d`` the folder of
            the evaluator, for ``retrieval`` and ``retrieval_judge`` likewise (default: the packaged weights).
        full: the large sample where a suite has two sizes.
        options: ``outputs`` of `run_suite`.

    Returns:
        The results as written: plain JSON, without dates, equal for equal runs. ``failed`` names what could not be
        generated or read.

    Raises:
        UserError: unknown suite, missing corpus.
    """
    return run_suite(load(name), model, data, out, store, full, **options)


def run_suite(
    suite: Suite, model: Any, data: Path | None = None, out: Path | None = None, store: Path | None = None,
    full: bool = False, outputs: Outputs | None = None,
) -> dict[str, Any]:
    """:func:`run` for a suite that is already loaded (a file of one's own through `read`).

    The model's answers are stored beside `out` until the result is written: the same call continues after an
    interruption. `outputs` are read anew, and suites in which no model takes part begin anew.
    """
    from avatargpt.evaluation import report
    from avatargpt.evaluation.cache import NO_CACHE, RunCache

    cached = out is not None and outputs is None and model is not None and suite.model is not False
    # Where another system answered, a model only describes the motions of a list of prompts.
    head = report.header(suite, model if outputs is None or suite.kind == "prompt_list" else None)
    cache = NO_CACHE
    if cached and out is not None:
        cache = RunCache.beside(Path(out), report.cache_key(suite, head, data, store, full))
    if outputs is not None:
        from avatargpt.evaluation.outputs import score

        results = score(suite, outputs, data, store, model)
    else:
        results = suite.evaluate(Run(suite, model, data, out, store, full, cache))
    result = {**head, **results}
    report.show(result)  # first, so that it is seen even where it cannot be written
    if out is not None:
        report.write(Path(out), result)
        report.write_provenance(Path(out), result, model, data, store)
    cache.remove()
    return result
