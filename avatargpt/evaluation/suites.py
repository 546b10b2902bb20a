"""Suites: one YAML file each, read strictly."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from avatargpt import resources
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.strict import Strict

Settings = TypeVar("Settings", bound=Strict)

KINDS = (
    "prompts", "tokenizer", "describe", "inbetween", "continuation", "predicates", "families", "describe_synthetic",
    "plan_coverage", "seams", "plans", "plan_cycle", "chat",
    "speech_face", "word_times", "face_instructions", "face_language", "gesture",
    "gesture_words", "requests", "chat_fresh", "prompt_list", "humanml3d", "retrieval", "retrieval_judge",
)  # fmt: skip
PROMPT_KINDS = (
    "single", "side", "turn", "style", "count", "two", "seconds", "tempo", "negation", "clauses", "sidestep",
)  # fmt: skip
PROMPT_KEYS = ("prompt", "kind", "checks", "neutral", "unseen", "seen_in", "note")
SEEN_IN = {
    "requests": "all words in requests", "texts": "a word in no request", "nowhere": "a word in no training text"
}  # fmt: skip
"""How far the words of a prompt are known from training -> the figure that counts such prompts."""
SUITE_KEYS = (
    "name", "version", "kind", "description", "seeds", "metrics", "targets", "prompts", "options", "classes"
)  # fmt: skip
NAMED = ("named", "named_by_action", "named_by_prompt", "top1", "top2", "top3")
SHARE = {"higher_is_better": True, "unit": "share"}
"""Figures of lists of prompts, and what they are."""


@dataclass(frozen=True)
class Entry:
    """One prompt of a prompt suite.

    Attributes:
        prompt: the words.
        kind: one of `PROMPT_KINDS`; figures are broken down by it.
        checks: all must hold, see `avatargpt.metrics.geometry.predicates`.
        neutral: the plain prompt that style checks compare with.
        unseen: words of the prompt that no training caption contains.
        seen_in: ``requests``: every word is in some caption, lexicon entry or request of the training texts; ``texts``:
            a word is in none of these, but all are in the wider training texts; ``nowhere``: a word is in no training
            text; "": not said.
        note: for readers.
    """

    prompt: str
    kind: str
    checks: list[Any]
    neutral: str = ""
    unseen: tuple[str, ...] = ()
    note: str = ""
    seen_in: str = ""


@dataclass(frozen=True)
class Suite:
    """A suite as written.

    Attributes:
        metrics: figure, or figure and row (``refused/others``) where rows differ -> ``{higher_is_better, unit}``; read
            by `about`. None is better: as real.
        targets: figure (with its part after a slash) -> the number to reach, or the baseline to beat; of figures with a
            direction alone.
    """

    name: str
    version: int
    kind: str
    description: str
    metrics: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = (0,)
    entries: tuple[Entry, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    classes: list[dict[str, Any]] = field(default_factory=list)
    targets: dict[str, float | str] = field(default_factory=dict)

    def settings(self, kind: type[Settings]) -> Settings:
        """Those of its options that `kind` knows; the others are for whoever gathers the clips.

        Raises:
            UserError: a value of the wrong type or out of bounds.
        """
        return kind.read({k: v for k, v in self.options.items() if k in kind.model_fields}, self.name)


def about(metrics: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """What is said of a figure: that of the longest front part of its name which `metrics` has, {} where none is."""
    while name not in metrics and "/" in name:
        name = name.rpartition("/")[0]
    return metrics.get(name, {})


def folder() -> Path:
    """Where the suites lie."""
    return resources.suites()


def list_suites() -> list[str]:
    """Names of all suites."""
    return sorted(p.stem for p in folder().glob("*.yaml"))


def find(name: str) -> Path:
    """The file of a suite.

    Raises:
        UserError: no such suite; names the nearest and what there is.
    """
    known = list_suites()
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f", did you mean {close[0]}?" if close else "."
        raise UserError(f"no suite called {name}{hint} Available: {', '.join(known)}")
    return folder() / f"{name}.yaml"


def load(name: str) -> Suite:
    """Read a suite by name, or a list of prompts by its file (``.csv``, ``.json``).

    Raises:
        UserError: no such suite, or a file of another kind.
    """
    suffix = Path(name).suffix.lower()
    if suffix in (".csv", ".json"):
        return listed(Path(name))
    if suffix:
        raise UserError(f"{name}: no suite and no list of prompts; accepted a name from `eval ls`, or a list as .csv "
                        "or .json")  # fmt: skip
    return read(find(name))


def listed(path: Path) -> Suite:
    """A list of prompts as a suite of kind ``prompt_list``; its rows lie under the option ``prompts``.

    Raises:
        UserError: see `prompt_rows.read_prompts`.
    """
    from avatargpt.evaluation.prompt_rows import read_prompts

    rows = read_prompts(path)
    said = f"Whether motions fit the prompts of {path.name}, and their descriptions name the actions"
    metrics: dict[str, Any] = {**dict.fromkeys(NAMED, SHARE), "mm_dist": {"higher_is_better": False}}
    return Suite(path.stem, 1, "prompt_list", said, metrics, options={"prompts": rows})


def read(path: Path) -> Suite:
    """Read and validate one suite file.

    Raises:
        UserError: not YAML, unknown keys, unknown checks or parameters, missing parts.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: accepted a mapping with {', '.join(SUITE_KEYS)}")
    unknown = set(data) - set(SUITE_KEYS)
    missing = {"name", "version", "kind", "description", "metrics"} - set(data)
    if unknown or missing:
        raise UserError(f"{path}: unknown keys {sorted(unknown)}, missing {sorted(missing)}")
    if data["kind"] not in KINDS or data["name"] != path.stem:
        raise UserError(f"{path}: kind {data['kind']!r} (accepted {', '.join(KINDS)}), name must be {path.stem!r}")
    for name, said in data["metrics"].items():
        if not isinstance(said, dict) or not isinstance(said.get("higher_is_better", ""), bool | None):
            raise UserError(f"{path}: metric {name} needs higher_is_better: true, false, or null for as real")
    targets = data.get("targets") or {}
    for target, value in targets.items():
        if not (metric := about(data["metrics"], target)):
            raise UserError(f"{path}: target {target}: no such metric; accepted {', '.join(data['metrics'])}")
        if metric["higher_is_better"] is None:
            raise UserError(f"{path}: target {target}: neither higher nor lower is better; accepted targets of metrics "
                            f"with higher_is_better true or false, also of a row alone, as {target}")  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise UserError(f"{path}: target {target}: {value!r}; accepted a number or the name of a baseline")
    entries = tuple(_entry(path, i, e) for i, e in enumerate(data.get("prompts") or []))
    if data["kind"] == "prompts" and not entries:
        raise UserError(f"{path}: a prompt suite needs prompts")
    return Suite(
        data["name"], int(data["version"]), data["kind"], data["description"], data["metrics"],
        tuple(int(s) for s in data.get("seeds") or (0,)), entries, data.get("options") or {},
        data.get("classes") or [], targets,
    )  # fmt: skip


def _entry(path: Path, index: int, data: Any) -> Entry:
    from avatargpt.metrics.geometry import predicates

    where = f"{path} prompt {index + 1}"
    if not isinstance(data, dict) or set(data) - set(PROMPT_KEYS) or not {"prompt", "kind", "checks"} <= set(data):
        raise UserError(f"{where}: accepted keys {', '.join(PROMPT_KEYS)}; prompt, kind and checks are needed")
    if data["kind"] not in PROMPT_KINDS:
        raise UserError(f"{where}: kind {data['kind']!r}; accepted {', '.join(PROMPT_KINDS)}")
    if data.get("seen_in", "nowhere") not in SEEN_IN:
        raise UserError(f"{where}: seen_in {data['seen_in']!r}; accepted {', '.join(SEEN_IN)}")
    if not isinstance(data["checks"], list) or not data["checks"]:
        raise UserError(f"{where}: checks must be a list with at least one check")
    for check in data["checks"]:
        try:
            predicates.validate(check)
        except UserError as e:
            raise UserError(f"{where}: {e}") from None
    needs = any(predicates.needs_reference(c) for c in data["checks"])
    if needs and not data.get("neutral"):
        raise UserError(f"{where}: its checks compare with a neutral motion; give the prompt for it as `neutral`")
    return Entry(
        str(data["prompt"]), data["kind"], data["checks"], str(data.get("neutral") or ""),
        tuple(str(w) for w in data.get("unseen") or ()), str(data.get("note") or ""),
        str(data.get("seen_in") or ""),
    )  # fmt: skip
