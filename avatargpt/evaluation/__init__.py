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


WITHOUT_MODEL = ("predicates", "families", "retrieval_judge")
"""Kinds in which no model takes part."""
BASELINES_ALONE = ("inbetween", "continuation", "gesture", "humanml3d", "retrieval")
"""Kinds that can be measured without a model: their rows of recordings and baselines alone."""
WITHOUT_DATA = (
    "prompts", "families", "describe_synthetic", "face_instructions", "face_language", "gesture_words",
    "requests", "chat_fresh", "prompt_list",
)  # fmt: skip
"""Kinds that need no corpus."""
SHARED = (
    "prompts", "prompt_list", "describe", "describe_synthetic", "inbetween", "continuation", "plan_coverage",
    "plan_cycle", "retrieval", "humanml3d",
)  # fmt: skip
"""Kinds that several processes may share: what the model is asked is known beforehand."""
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

    What the model answers is kept beside `out` until the result is written: the same call goes on after an
    interruption. `outputs` are read anew, and suites in which no model takes part begin anew.

    Args:
        outputs: another system's files, measured in place of the model.
        shard: (k, n): of n processes that write the same `out` the one with the number k; the last to end writes.

    Raises:
        UserError: also a shard of a suite that cannot be shared, parts of another run. parts.Waiting: other shards are
            not done.
    """
    from avatargpt.evaluation import parts, provenance, report

    keeps = out is not None and outputs is None and model is not None and suite.kind not in WITHOUT_MODEL
    if shard != (0, 1) and not (keeps and suite.kind in SHARED):
        raise UserError(f"--shard: {suite.name} is not shared, or nothing is made and written; "
                        f"accepted suites of kind {', '.join(SHARED)} with a model and -o")  # fmt: skip
    answers = outputs is None or suite.kind == "prompt_list"  # where others did, a model describes lists alone
    head = report.header(suite, model if answers else None)
    kept = parts.UNKEPT
    if keeps and out is not None:
        key = provenance.key(suite, head, data, store, full)
        kept = parts.Parts.beside(Path(out), key, shard)
    result = {**head, **_scores(suite, model, data, out, store, full, outputs, kept)}
    report.show(result)  # first, so that it is seen even where it cannot be written
    if out is not None:
        report.write(Path(out), result)
        provenance.write(Path(out), result, model, data, store)
    if shard[1] == 1:  # another shard may still be reading
        kept.remove()
    return result


def _scores(
    suite: Suite, model: Any, data: Path | None, out: Path | None, store: Path | None, full: bool,
    outputs: Outputs | None, kept: Parts,
) -> dict[str, Any]:  # fmt: skip
    if outputs is not None:
        from avatargpt.evaluation.outputs import scoring

        return scoring.score(suite, outputs, data, store, model)
    from avatargpt.evaluation.scores import score

    return score(suite, model, data, out, store, full, kept)
