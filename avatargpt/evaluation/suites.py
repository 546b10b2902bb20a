"""Suites: their YAML files, lists of prompts, and the kinds of suites with the functions that measure them."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, TypeVar

from avatargpt import resources
from avatargpt.options import is_text
from vqvae.errors import UserError
from vqvae.io.data_files import read_json, read_yaml
from vqvae.io.files import parsing, read_text
from vqvae.strict import Strict

if TYPE_CHECKING:
    from avatargpt.evaluation.cache import RunCache

Settings = TypeVar("Settings", bound=Strict)

PROMPT_KINDS = (
    "single", "side", "turn", "style", "count", "two", "seconds", "tempo", "negation", "clauses", "sidestep",
)  # fmt: skip
PROMPT_KEYS = ("prompt", "kind", "checks", "neutral", "unseen", "seen_in", "note")
# How far the words of a prompt are known from training -> the figure that counts such prompts.
SEEN_IN = {
    "requests": "all words in requests", "texts": "a word in no request", "nowhere": "a word in no training text"
}  # fmt: skip
SUITE_KEYS = (
    "name", "version", "kind", "description", "seeds", "metrics", "targets", "prompts", "options", "classes"
)  # fmt: skip
KIND_KEYS = ("measure", "data", "model", "method")  # of all kinds but prompts
LIST_COLUMNS = ("prompt", "action", "category")
LIST_FIGURES = ("named", "named_by_action", "named_by_prompt", "top1", "top2", "top3")
LIST_ACCEPTED = (
    "accepted a CSV with the columns prompt, action, category, or JSON: a list of texts or of objects with these"
)
MAX_PROMPTS, MAX_LIST_BYTES = 100_000, 64 << 20


@dataclass(frozen=True)
class SuitePrompt:
    """One prompt of a prompt suite."""

    prompt: str  # the words
    kind: str  # one of `PROMPT_KINDS`; figures are broken down by it
    checks: list[Any]  # all must hold, see `avatargpt.metrics.geometry.predicates`
    neutral: str = ""  # the plain prompt that style checks compare with
    unseen: tuple[str, ...] = ()  # words of the prompt that no training caption contains
    note: str = ""  # for readers
    # ``requests``: every word is in some caption, lexicon entry or request of the training texts; ``texts``: a word is
    # in none of these, but all are in the wider training texts; ``nowhere``: a word is in no training text; "": not
    # stated
    seen_in: str = ""


@dataclass(frozen=True)
class Suite:
    """A suite as written."""

    name: str
    version: int
    kind: str
    description: str
    # Figure, or figure and row (``refused/others``) where rows differ -> ``{higher_is_better, unit}``; read by `about`.
    # None is better: as real
    metrics: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = (0,)
    entries: tuple[SuitePrompt, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    classes: list[dict[str, Any]] = field(default_factory=list)
    # Figure (with its part after a slash) -> the number to reach, or the baseline to beat; of figures with a direction
    # alone
    targets: dict[str, float | str] = field(default_factory=dict)
    measure: str = ""  # what is measured, of kinds that measure several things
    data: str = ""  # what has to be named by ``--data``; "" = nothing
    # Whether a model takes part; ``optional``: without one the rows of recordings and baselines alone
    model: bool | str = True
    method: str = ""  # of `avatargpt.AvatarGPT` under test, whose defaults are the settings of decoding

    def evaluate(self, run: Run) -> dict[str, Any]:
        """Measure the suite."""
        place = "prompts:evaluate_list" if self.kind == "prompt_list" else f"{self.kind}:evaluate"
        function = resolve_name(f"{__package__}.{place}{self.measure and '_'}{self.measure}")
        result: dict[str, Any] = function(run)
        return result

    def settings(self, kind: type[Settings]) -> Settings:
        """Those of its options that `kind` has; the others are for gathering the clips."""
        return kind.read({k: v for k, v in self.options.items() if k in kind.model_fields}, self.name)


@dataclass(frozen=True)
class Run:
    """One run of a suite."""

    suite: Suite
    model: Any  # an `AvatarGPT`, anything with its methods, or None
    # data, store: folders, see `evaluation.run`
    data: Path | None = None
    out: Path | None = None  # of the result, None = nothing is written
    store: Path | None = None
    full: bool = False  # the large sample where a suite has two sizes
    # Of the model's answers
    cache: RunCache = field(default_factory=lambda: resolve_name(f"{__package__}.cache:NO_CACHE"))

    @property
    def generate(self) -> Callable[..., Any]:
        """(texts, seeds) -> motions with their spans: the model itself where it is a function."""
        if callable(self.model):
            function: Callable[..., Any] = self.model
            return function
        return lambda texts, seeds: self.model.body.generation.results(texts, seeds=seeds)


# Kinds of suites, as their YAML states them: modules of this package, in which ``evaluate``, or ``evaluate_MEASURE``
# where the suite states a measure, gives the results of a `Run`. A list of prompts is one of `prompts`.
KINDS = (
    "prompts", "prompt_list", "requests", "turns", "tokenizer", "describe", "contrast", "seams", "retrieval", "plans",
    "scene_plans", "face_instructions", "speech", "gesture", "judges",
)  # fmt: skip


def about(metrics: Mapping[str, Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """The metric of a figure: that of the longest prefix of its name that `metrics` has, {} where there is none."""
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
    """The file of a suite; raises UserError for an unknown one, with the nearest name."""
    available = list_suites()
    if name not in available:
        close = difflib.get_close_matches(name, available, 1)
        hint = f", did you mean {close[0]}?" if close else "."
        raise UserError(f"no suite called {name}{hint} Available: {', '.join(available)}")
    return folder() / f"{name}.yaml"


def load(name: str) -> Suite:
    """Read a suite by name, a prompt suite by its file (``.yaml``), or a list of prompts (``.csv``, ``.json``)."""
    suffix = Path(name).suffix.lower()
    if suffix in (".csv", ".json"):
        return read_list(Path(name))
    if suffix in (".yaml", ".yml"):
        with parsing(Path(name), "a prompt suite"):
            suite = read(Path(name))
        if suite.kind != "prompts":
            raise UserError(f"{name}: kind {suite.kind!r}; accepted a file of kind 'prompts', others by name")
        return suite
    if suffix:
        raise UserError(f"{name}: no suite and no list of prompts; accepted a name from `eval ls`, a prompt suite as "
                        ".yaml, or a list as .csv or .json")  # fmt: skip
    return read(find(name))


def read_list(path: Path) -> Suite:
    """A list of prompts as a suite of kind ``prompt_list``.

    Its option ``prompts`` has a row for each, with ``prompt``, ``action`` and ``category`` ("" = not stated), in the
    order of the file.
    """
    if path.suffix.lower() == ".json":
        value = read_json(path, MAX_LIST_BYTES, LIST_ACCEPTED)
        if not isinstance(value, list):
            raise UserError(f"{path}: no list; {LIST_ACCEPTED}")
        rows: list[tuple[str, Any]] = [
            (f"entry {i}", {"prompt": v} if isinstance(v, str) else v) for i, v in enumerate(value, 1)
        ]
    else:
        rows = [(f"line {line}", row) for line, row in csv_rows(path, LIST_ACCEPTED)]
    prompts = []
    for where, row in rows:
        if not isinstance(row, dict) or not row.get("prompt"):
            raise UserError(f"{path}: {where}: no prompt; {LIST_ACCEPTED}")
        cells = {name: row.get(name) or "" for name in LIST_COLUMNS}
        strange = [name for name, text in cells.items() if not isinstance(text, str) or not is_text(text)]
        if strange:
            raise UserError(f"{path}: {where}: {strange[0]} is no text; {LIST_ACCEPTED}")
        prompts.append({name: text.strip() for name, text in cells.items()})
    if not 1 <= len(prompts) <= MAX_PROMPTS:
        raise UserError(f"{path}: {len(prompts)} prompts; accepted 1 to {MAX_PROMPTS}")
    share = {"higher_is_better": True, "unit": "share"}
    metrics: dict[str, Any] = {**dict.fromkeys(LIST_FIGURES, share), "mm_dist": {"higher_is_better": False}}
    description = f"Whether motions fit the prompts of {path.name}, and their descriptions name the actions"
    return Suite(path.stem, 1, "prompt_list", description, metrics, options={"prompts": prompts})


def csv_rows(path: Path, accepted: str) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV by the names of its first line, with their line numbers; cells without a name are left out."""
    reader = csv.DictReader(io.StringIO(read_text(path, MAX_LIST_BYTES, accepted)), strict=True)
    out = []
    try:
        for row in reader:
            cells = {k.strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(k, str)}
            out.append((reader.line_num, cells))
    except csv.Error as e:
        raise UserError(f"{path}: line {reader.line_num}: {e}; {accepted}") from None
    return out


def read(path: Path) -> Suite:
    """Read and validate one suite file."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: accepted a mapping with {', '.join(SUITE_KEYS)}")
    # Mistakes are reported when the file is read, not after hours of generation.
    unknown = set(data) - {*SUITE_KEYS, *(KIND_KEYS if data.get("kind") != "prompts" else ())}
    missing = {"name", "version", "kind", "description", "metrics"} - set(data)
    if unknown or missing:
        raise UserError(f"{path}: unknown keys {sorted(unknown)}, missing {sorted(missing)}")
    if data["kind"] not in KINDS or data["name"] != path.stem:
        raise UserError(f"{path}: kind {data['kind']!r} (accepted {', '.join(KINDS)}), name must be {path.stem!r}")
    for name, metric in data["metrics"].items():
        if not isinstance(metric, dict) or not isinstance(metric.get("higher_is_better", ""), bool | None):
            raise UserError(f"{path}: metric {name} needs higher_is_better: true, false, or null for as real")
    targets = data.get("targets") or {}
    for target, value in targets.items():
        metric = about(data["metrics"], target)
        if not metric:
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
        data.get("classes") or [], targets, str(data.get("measure") or ""), str(data.get("data") or ""),
        data.get("model", True), str(data.get("method") or ""),
    )  # fmt: skip


def _entry(path: Path, index: int, data: Any) -> SuitePrompt:
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
    return SuitePrompt(
        str(data["prompt"]), data["kind"], data["checks"], str(data.get("neutral") or ""),
        tuple(str(w) for w in data.get("unseen") or ()), str(data.get("note") or ""),
        str(data.get("seen_in") or ""),
    )  # fmt: skip
