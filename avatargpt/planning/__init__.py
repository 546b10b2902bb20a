"""Planning: scene -> activities -> steps, by retrieval, by a language model of this package or by one elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avatargpt.planning.types import Activity, MotionSide, Plan, Planner
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.planning.executable import Checked

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
    import os

    from avatargpt.planning.remote import MODEL, URL
    from avatargpt.planning.store import FILE

    there = (weights / FILE).is_file()
    url, name = os.environ.get(URL, "").strip(), os.environ.get(MODEL, "").strip()
    return {
        "retrieval": f"the default; {FILE} of these weights" if there else f"none; these weights have no {FILE}",
        "model": "the text head of these weights",
        "folder": "a fine-tuned T5 or Flan-T5",
        "endpoint": f"{name or f'{MODEL} is not set'} at {url}" if url else f"none; {URL} is not set",
    }


def load_planner(spec: str | None, model: MotionSide) -> Checked | Planner:
    """The planner that `spec` names; its steps are checked for what the motion side of `model` can show.

    Args:
        spec: ``retrieval`` (also None): whole plans of the planning library;
            ``model``: the text head of `model`; a folder: a fine-tuned T5 or Flan-T5, or another model of this
            package; an address or ``endpoint``: an OpenAI-compatible server, see `avatargpt.planning.remote`.
        model: whose motions are planned.

    Raises:
        UserError: an unknown planner, missing or damaged files, or settings missing from the environment.
    """
    kind, loaded = check_spec(spec), model.loaded
    executable = None
    if model.phrase_index is not None and loaded.grounder is not None:
        from avatargpt.planning.executable import Executable

        executable = Executable(model.phrase_index, loaded.grounder)
    planner: Planner
    if kind == "retrieval":
        from avatargpt.planning.retrieval_planner import RetrievalPlanner

        if loaded.grounder is None:
            raise UserError(f"{loaded.source}: a model without a sentence encoder cannot look plans up; {ACCEPTED}")
        planner = RetrievalPlanner.from_folder(loaded.source, loaded.grounder)
        planner.retriever.ready()
    elif kind == "model":
        from avatargpt.planning.model_planner import ModelPlanner

        planner = ModelPlanner(loaded)
    elif kind == "folder":
        from avatargpt.planning.model_planner import folder_planner

        planner = folder_planner(Path(str(spec).strip()), str(loaded.device))
    else:
        from avatargpt.planning.remote import RemotePlanner

        planner = RemotePlanner.from_environment(str(spec).strip() if kind == "url" else "")
    if executable is None:
        return planner
    from avatargpt.planning.executable import Checked

    executable.ready()
    return Checked(planner, executable)
