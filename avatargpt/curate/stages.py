"""A stage is a pure function of what its address is made of: name, version, options and inputs.

Its result is a JSON file, and arrays or sound beside it, under the SHA-256 of these; it is complete when the JSON file
is there. So every stage can be cut off at any moment, run twice, or run on several machines that share a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from avatargpt.curate.recipe import Curation
from avatargpt.llm.model import IllFormed
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, reason

if TYPE_CHECKING:
    from avatargpt.llm import LanguageModel

REJECTED = "rejected"  # key of a result that says why there is none
Result = dict[str, Any]
# outcome of a task: its number, its result, why it failed, and whether the run has to stop for it
Outcome = tuple[int, Result, str, bool]


class Rejected(Exception):
    """The content cannot be used; the message is the reason, in a few words."""


class Stopped(UserError):
    """The run has to end here, for a reason that the same command can meet again; what is done stays."""


def reason_about(path: Path, error: Exception) -> str:
    """The message of an error about a file, the same wherever the file lies."""
    text = str(error).removeprefix(f"{path}: ")
    return text.replace(str(path.absolute()), path.name).replace(str(path), path.name)


@dataclass(frozen=True)
class CurateStage:
    """A row of `STAGES`.

    Attributes:
        version: a change of the function that changes its results gets a new one.
        place: ``module:function`` of ``f(task, shop) -> JSON object``.
        sections: of the configuration, which its results depend on.
        model: it asks a language model.
    """

    name: str
    version: int
    place: str
    sections: tuple[str, ...] = ()
    model: bool = False


STAGES = {s.name: s for s in (
    CurateStage("shots", 1, "avatargpt.curate.shots:shots_of", ("shots",)),
    CurateStage("tracks", 2, "avatargpt.curate.tracks:tracks_of", ("tracks",)),
    CurateStage("sound", 1, "avatargpt.curate.sound:sound_of", ("sound",)),
    CurateStage("segments", 1, "avatargpt.curate.segments:segments_of", ("segments",)),
    CurateStage("descriptions", 1, "avatargpt.curate.questions:description_of", ("text",), model=True),
    CurateStage("scenes", 1, "avatargpt.curate.questions:scene_of", ("text",), model=True),
    CurateStage("instructions", 1, "avatargpt.curate.questions:instruction_of", ("text",), model=True),
    CurateStage("describer", 2, "avatargpt.curate.describer:describe_clip"),
    CurateStage("pictures", 1, "avatargpt.curate.report:picture_of"),
)}  # fmt: skip


@dataclass(frozen=True)
class StageTask:
    """What one call of a stage works on.

    Attributes:
        inputs: JSON values, contents by their SHA-256; part of the address.
        files: paths of these contents here, which are not.
    """

    stage: str
    inputs: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StageSettings:
    """All that a process needs to run tasks; plain values, to be sent."""

    folder: str  # of results
    recipe: dict[str, Any]
    llm: str = ""  # as ``--llm`` has it

    def workshop(self) -> Workshop:
        """A new workshop of these settings."""
        return Workshop(Path(self.folder), Curation.read(self.recipe, "curate"), self.llm)


class Workshop:
    """Results by address, and what stages work with, loaded once in a process."""

    def __init__(self, folder: Path, recipe: Curation, llm: str = "") -> None:
        self.folder, self.recipe, self.llm = folder, recipe, llm
        self.tools: dict[str, Any] = {}

    def address(self, task: StageTask) -> str:
        """SHA-256 of name, version, options, inputs and, of questions, the model."""
        stage = STAGES[task.stage]
        options = {name: getattr(self.recipe, name).model_dump(mode="json") for name in stage.sections}
        parts = [stage.name, stage.version, options, task.inputs, self.model.backend.fingerprint if stage.model else ""]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def path(self, task: StageTask, suffix: str = ".json") -> Path:
        """Where a result is, or a file beside it."""
        address = self.address(task)
        return self.folder / task.stage / address[:2] / f"{address}{suffix}"

    def result(self, task: StageTask) -> Result | None:
        """The result of a task, None where there is none yet."""
        path = self.path(task)
        return read_object(path) if path.is_file() else None

    def run(self, task: StageTask) -> Result:
        """The result of a task, which is computed and stored where there is none yet."""
        if (present := self.result(task)) is not None:
            return present
        function: Callable[[StageTask, Workshop], Result] = resolve_name(STAGES[task.stage].place)
        try:
            result = function(task, self)
        except Rejected as e:
            result = {REJECTED: str(e)}
        text = json.dumps(result, sort_keys=True, ensure_ascii=False, indent=1)
        atomic_write(self.path(task), lambda p: p.write_text(text, encoding="utf-8"))
        # as it is read back: with its keys in order
        again: Result = json.loads(text)
        return again

    def tool(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` makes, once in this process."""
        if name not in self.tools:
            self.tools[name] = make()
        return self.tools[name]

    @property
    def model(self) -> LanguageModel:
        """The language model, with its answers and costs in this folder. Raises UserError where none is named."""
        model: LanguageModel = self.tool("model", self._load_model)
        return model

    def _load_model(self) -> LanguageModel:
        from avatargpt.llm import LanguageModel, load_llm
        from avatargpt.llm.ledger import Remembered

        limits = self.recipe.limits
        backend = load_llm(self.llm, limits, cached=False).backend
        # tokens and money hold for the folder, not for each process
        unbounded = limits.replace_fields(tokens=10**12, money=None)
        return LanguageModel(Remembered(backend, self.folder / "calls", limits), unbounded)


def attempt(shop: Workshop, number: int, task: StageTask) -> Outcome:
    """Run a task; a failure that is the content's own is a result, any other stops the run.

    What no check foresaw leaves one film out and not the others undone; it is tried again by the next run.
    """
    try:
        return number, shop.run(task), "", False
    except IllFormed as e:  # the answers are kept, so it stays the same
        return number, {REJECTED: str(e)}, "", False
    except UserError as e:
        return number, {}, str(e), True
    except Exception as e:
        return number, {REJECTED: f"it cannot be processed ({type(e).__name__}: {reason(e)})"}, "", False
