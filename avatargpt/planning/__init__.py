"""Planning: scene -> activities -> steps, by retrieval, by a language model of this package or by one elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.planning.types import Activity, MotionSide, Plan, Planner
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.llm import LanguageModel
    from avatargpt.planning.executable import Checked, Executable
    from avatargpt.planning.fallback import Tell

__all__ = ["ACCEPTED", "Activity", "Plan", "Planner", "check_spec", "described", "load_planner"]
ACCEPTED = "retrieval, model, endpoint, a folder of a fine-tuned T5, or an address https://..."
_URLS = ("http://", "https://")


def check_spec(spec: str | None) -> str:
    """What `spec` means: ``retrieval``, ``model``, ``endpoint``, ``url`` or ``folder``.

    Raises:
        UserError: none of them.
    """
    said = (spec or "retrieval").strip()
    if said in ("retrieval", "model", "endpoint"):
        return said
    if said.startswith(_URLS):
        return "url"
    if (Path(said) / "config.json").is_file():
        return "folder"
    raise UserError(f"planner {said!r}: no such folder with a config.json; accepted: {ACCEPTED}")


def described(weights: Path) -> dict[str, str]:
    """Which planners this installation has, for people: name -> what answers. No key is shown.

    Args:
        weights: the folder of the model.
    """
    from avatargpt.llm.endpoint import MODEL, URL, setting
    from avatargpt.planning.store import FILE

    there = (weights / FILE).is_file()
    url, name = setting(URL), setting(MODEL)
    return {
        "retrieval": f"the default; {FILE} of these weights" if there else f"none; these weights have no {FILE}",
        "model": "the text head of these weights",
        "folder": "a fine-tuned T5 or Flan-T5",
        "endpoint": f"{name or f'{MODEL} is not set'} at {url}" if url else f"none; {URL} is not set",
    }


def load_planner(
    spec: str | None, model: MotionSide, llm: LanguageModel | None = None, tell: Tell | None = None
) -> Checked | Planner:
    """The planner that `spec` names; its notes say which steps the motion side of `model` does not know.

    Args:
        spec: ``retrieval``: whole plans of the planning library; ``model``: the text head of `model`; a folder: a
            fine-tuned T5 or Flan-T5, or another model of this package; an address or ``endpoint``: an OpenAI-compatible
            server, see `avatargpt.llm`. None or empty: `llm` where there is one, with retrieval behind it,
            else retrieval.
        model: whose motions are planned.
        llm: a language model that plans where `spec` names nobody.
        tell: takes the line that says that `llm` gave no answer; None = it is logged.

    Raises:
        UserError: an unknown planner, missing or damaged files, or settings missing from the environment.
    """
    named = (spec or "").strip()
    executable = _executable(model)
    planner: Planner
    if llm is not None and not named:
        from avatargpt.planning.fallback import Fallback

        planner = Fallback(_asking(llm, model, executable), lambda: _of_kind("", model, executable), tell or _logged)
    else:
        planner = _of_kind(named, model, executable)
    if executable is None:
        return planner
    from avatargpt.planning.executable import Checked

    executable.ready()
    return Checked(planner, executable)


def _executable(model: MotionSide) -> Executable | None:
    """Knows what the motion side can show, or None where it cannot tell."""
    if model.phrase_index is None or model.loaded.grounder is None:
        return None
    from avatargpt.planning.executable import Executable

    return Executable(model.phrase_index, model.loaded.grounder)


def _of_kind(spec: str, model: MotionSide, executable: Executable | None) -> Planner:
    kind, loaded = check_spec(spec), model.loaded
    if kind == "retrieval":
        from avatargpt.planning.retrieval_planner import RetrievalPlanner

        if loaded.grounder is None:
            raise UserError(f"{loaded.source}: a model without a sentence encoder cannot look plans up; {ACCEPTED}")
        weak = None if executable is None else executable.weak
        planner = RetrievalPlanner.from_folder(loaded.source, loaded.grounder, weak)
        planner.retriever.ready()
        return planner
    if kind == "model":
        from avatargpt.planning.model_planner import ModelPlanner

        return ModelPlanner(loaded)
    if kind == "folder":
        from avatargpt.planning.model_planner import folder_planner

        return folder_planner(Path(spec), str(loaded.device))
    from avatargpt.llm import load_llm

    return _asking(load_llm(spec), model, executable)


def _asking(llm: LanguageModel, model: MotionSide, executable: Executable | None) -> Planner:
    """A planner that asks a language model, with all that the weights know of scenes and movements."""
    from avatargpt.planning.language_planner import LanguagePlanner
    from avatargpt.planning.ranking import Ranker
    from avatargpt.planning.retrieval_planner import RetrievalPlanner
    from avatargpt.planning.showable import Showable
    from avatargpt.planning.store import FILE, PlanLibrary

    loaded, showable, ranker, written = model.loaded, None, None, None
    if loaded.grounder is not None:
        there = (Path(loaded.source) / FILE).is_file()
        library = PlanLibrary.load(loaded.source) if there else None
        if library is not None:
            ranker = Ranker(library, loaded.grounder, None if executable is None else executable.can_do)
            written = RetrievalPlanner(library, loaded.grounder, None if executable is None else executable.weak)
        if model.phrase_index is not None:
            showable = Showable(model.phrase_index, loaded.grounder, library)
    return LanguagePlanner(llm, showable, ranker, written)


def _logged(line: str) -> None:
    logging.getLogger(__name__).warning("%s", line)
