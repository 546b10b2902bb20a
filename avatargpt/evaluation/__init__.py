"""The evaluation harness: suites in YAML, one function to run any of them, one results file per run.

``run("prompts_known", model, data, out)`` takes anything that has the public methods of `avatargpt.AvatarGPT`;
prompt suites also take a plain function (prompts, seeds) -> motions, so that baselines go through the same code.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.evaluation.suites import Suite, find, folder, list_suites, load, read
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.evaluation.outputs.scoring import Outputs
    from avatargpt.evaluation.parts import Parts

__all__ = ["Suite", "find", "folder", "list_suites", "load", "read", "run", "run_suite"]


WITHOUT_MODEL = ("predicates", "families", "discriminator", "synthetic_physics", "retrieval_judge")
"""Kinds in which no model takes part."""
WITHOUT_DATA = (
    "prompts", "families", "describe_synthetic", "face_instructions", "face_language", "gesture_words",
    "requests", "chat_fresh", "prompt_list", "degradations",
)  # fmt: skip
"""Kinds that need no corpus."""
SHARED = ("prompts", "prompt_list")
"""Kinds that go on after an interruption, and that several processes may share."""
DATA = {
    "chat": "the recorded dialogues (a folder with val.jsonl)", "plans": "the planning corpus",
    "plan_cycle": "the planning corpus", "plan_coverage": "the planning corpus",
    "speech_face": "the recordings of speech and faces, or a speech cache with --store",
    "word_times": "the recordings of speech with word times",
    "gesture": "recorded talks (sounds with motions of the same name)",
    "humanml3d": "HumanML3D (a folder with new_joint_vecs, texts and test.txt)",
}  # fmt: skip
"""Kind -> what its ``--data`` holds, where that is not the body corpus."""


def run(
    name: str, model: Any, data: Path | None = None, out: Path | None = None, store: Path | None = None,
    full: bool = False, **options: Any,
) -> dict[str, Any]:
    """Run a suite by name, print its table on stderr and write its results.

    Args:
        name: see `list_suites`; or a list of prompts, ``.csv`` or ``.json`` (`evaluation.text.prompt_list`).
        model: an `AvatarGPT` or anything with its methods; for prompt suites also a function
            (prompts, seeds) -> motions; for ``gesture`` also a function `Talk` -> Motion or several by name; for
            ``humanml3d`` also a `Maker`; None where only real clips and baselines, or another system's outputs, are
            measured.
        data: the folder of the body corpus, needed by every suite but those of `WITHOUT_DATA`; for the coverage of
            plans a folder with the planning corpus.
        out: where to write the results (.json); charts and samples are put beside it, and what the run was made on
            (`evaluation.provenance`). None: nothing is written.
        store: a prepared clip store, for synthetic clips that are not made on the spot; for ``humanml3d`` the folder of
            the evaluator, for the kinds ``retrieval`` and ``retrieval_judge`` likewise (default: the packaged weights).
        full: the large sample where a suite has two sizes.
        options: ``outputs`` and ``shard`` of `run_suite`.

    Returns:
        The results as written: plain JSON, without dates, equal for equal runs. ``failed`` names what could not be
        made or read.

    Raises:
        UserError: unknown suite, missing corpus.
    """
    return run_suite(load(name), model, data, out, store, full, **options)


def run_suite(
    suite: Suite, model: Any, data: Path | None = None, out: Path | None = None, store: Path | None = None,
    full: bool = False, outputs: Outputs | None = None, shard: tuple[int, int] = (0, 1),
) -> dict[str, Any]:
    """:func:`run` for a suite that is already loaded (a file of one's own through `read`).

    Suites in which prompts become motions (`SHARED`) keep what is made beside `out` until it is written: the same call
    goes on after an interruption. Others begin anew.

    Args:
        outputs: another system's files, measured in place of the model.
        shard: (k, n): of n processes that write the same `out` the one with the number k; the last to end writes.

    Raises:
        UserError: also a shard of a suite that cannot be shared. parts.Waiting: other shards are not done.
    """
    from avatargpt import __version__
    from avatargpt.evaluation import parts, provenance, report

    shared = suite.kind in SHARED and outputs is None and out is not None
    if shard != (0, 1) and not shared:
        raise UserError(f"--shard: {suite.name} is not made in parts, or written nowhere; "
                        f"accepted suites of kind {', '.join(SHARED)} with -o")  # fmt: skip
    if not shared or out is None:
        result = _result(suite, model, data, out, store, full, outputs, None)
        report.show(result)  # first, so that it is seen even where it cannot be written
        if out is not None:
            report.write(Path(out), result)
            provenance.write(Path(out), result, model, data, store)
        return result
    key = {**report.header(suite, model), "digest": report.digest(suite), "avatargpt": __version__}
    kept = parts.Parts.beside(Path(out), key, shard)
    result = _result(suite, model, data, out, store, full, None, kept)
    report.show(result)
    report.write(Path(out), result)
    provenance.write(Path(out), result, model, data, store)
    if shard[1] == 1:  # another shard may still be reading
        kept.remove()
    return result


def _result(
    suite: Suite, model: Any, data: Path | None, out: Path | None, store: Path | None, full: bool,
    outputs: Outputs | None, kept: Parts | None,
) -> dict[str, Any]:  # fmt: skip
    from avatargpt.evaluation import report
    from avatargpt.evaluation.scores import score

    if outputs is not None:
        from avatargpt.evaluation.outputs import scoring

        describer = model if suite.kind == "prompt_list" else None
        head = report.header(suite, describer)
        return {**head, **scoring.score(suite, outputs, data, store, model)}
    return {**report.header(suite, model), **score(suite, model, data, out, store, full, kept)}
