"""Planning: scene -> activities -> steps, by retrieval, by a language model of this package or by one elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.planning.types import Activity, MotionSide, Plan, Planner
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.llm import LanguageModel
    from avatargpt.planning.events import EventReader
    from avatargpt.planning.language_planner import CheckedPlanner, StepChecker, Tell
    from avatargpt.planning.situation import Situations

__all__ = ["ACCEPTED", "Activity", "Plan", "Planner", "check_spec", "describe_planners", "load_planner"]
ACCEPTED = "retrieval, endpoint or an address https://..."
_URLS = ("http://", "https://")


def check_spec(spec: str | None) -> str:
    """The kind of planner: ``retrieval``, ``endpoint`` or ``url``; raises UserError for any other."""
    name = (spec or "retrieval").strip()
    if name in ("retrieval", "endpoint"):
        return name
    if name.startswith(_URLS):
        return "url"
    raise UserError(f"planner {name!r}; accepted: {ACCEPTED}")


def describe_planners(weights: Path) -> dict[str, str]:
    """The planners of this installation, for people: name -> source, without keys; `weights`: the model's folder."""
    from avatargpt.llm.endpoint import MODEL, URL, setting
    from avatargpt.planning.library import FILE

    present = (weights / FILE).is_file()
    url, name = setting(URL), setting(MODEL)
    return {
        "retrieval": f"the default; {FILE} of these weights" if present else f"none; these weights have no {FILE}",
        "endpoint": f"{name or f'{MODEL} is not set'} at {url}" if url else f"none; {URL} is not set",
    }


def load_planner(
    spec: str | None, model: MotionSide, llm: LanguageModel | None = None, tell: Tell | None = None
) -> CheckedPlanner | Planner:
    """The planner named `spec`; its notes name steps that the motion side of `model` does not know.

    Args:
        spec: ``retrieval``: whole plans of the planning library; an address or ``endpoint``: an OpenAI-compatible
            server, see `avatargpt.llm`. None or empty: `llm`, if any, with retrieval behind it, else retrieval.
        model: generates the motions.
        llm: a language model that plans where `spec` is empty.
        tell: takes the line about a missing answer of `llm`; None = it is logged.

    Raises:
        UserError: an unknown planner, missing or damaged files, or settings missing from the environment.
    """
    name, executable = (spec or "").strip(), None
    if model.phrase_index is not None and model.loaded.grounder is not None:
        from avatargpt.planning.language_planner import StepChecker

        executable = StepChecker(model.phrase_index, model.loaded.grounder)
    planner: Planner
    if llm is not None and not name:
        from avatargpt.planning.language_planner import Fallback

        tell = tell or logging.getLogger(__name__).warning
        planner = Fallback(_build_asking_planner(llm, model, executable), lambda: _of_kind("", model, executable), tell)
    else:
        planner = _of_kind(name, model, executable)
    if executable is None:
        return planner
    from avatargpt.planning.language_planner import CheckedPlanner

    executable.ready()
    return CheckedPlanner(planner, executable, _words(model)[1])


def _words(model: MotionSide) -> tuple[EventReader | None, Situations | None]:
    """The readers of the events of scenes and of descriptions of motion."""
    if model.phrase_index is None or model.loaded.grounder is None:
        return None, None
    from avatargpt.planning.events import EventReader
    from avatargpt.planning.situation import Situations

    reads = model.phrase_index.reads
    return None if reads is None else EventReader(reads.reader), Situations(model.phrase_index, model.loaded.grounder)


def _of_kind(spec: str, model: MotionSide, executable: StepChecker | None) -> Planner:
    kind, loaded = check_spec(spec), model.loaded
    if kind == "retrieval":
        from avatargpt.planning.retrieval_planner import RetrievalPlanner

        if loaded.grounder is None:
            raise UserError(f"{loaded.source}: a model without a sentence encoder cannot look plans up; {ACCEPTED}")
        planner = RetrievalPlanner.from_folder(loaded.source, loaded.grounder, executable, *_words(model))
        planner.retriever.ready()
        return planner
    from avatargpt.llm import load_llm

    return _build_asking_planner(load_llm(spec), model, executable)


def _build_asking_planner(llm: LanguageModel, model: MotionSide, executable: StepChecker | None) -> Planner:
    """A planner that asks a language model, with all that the weights know of scenes and movements."""
    from avatargpt.planning.language_planner import LanguagePlanner, SceneMovements
    from avatargpt.planning.library import FILE, PlanLibrary
    from avatargpt.planning.retrieval_planner import RetrievalPlanner
    from avatargpt.planning.scorer import Ranker

    loaded, showable, ranker, written = model.loaded, None, None, None
    if loaded.grounder is not None:
        stored = (Path(loaded.source) / FILE).is_file()
        library = PlanLibrary.load(loaded.source) if stored else None
        if library is not None:
            ranker = Ranker(library, loaded.grounder, None if executable is None else executable.can_do)
            written = RetrievalPlanner(library, loaded.grounder, executable, *_words(model))
        if model.phrase_index is not None:
            showable = SceneMovements(model.phrase_index, loaded.grounder, library)
    return LanguagePlanner(llm, showable, ranker, written)
