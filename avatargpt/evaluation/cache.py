"""A cache of a model's answers beside a result, so that an interrupted run can be continued."""
# Every finished call is one file in ``RESULT.parts``, named by its arguments and by how many times it was made; the
# same command continues after an interruption. The result is always computed from the files, so it is the same bytes.
# An answer is a tree of texts, numbers, lists, tables, NumPy arrays and the data classes of `STORABLE`. It becomes an
# ``.npz``: ``tree``, JSON in which arrays stand by their numbers, and the arrays ``0``, ``1``, .. as they are. Nothing
# is pickled, and everything comes back to the last bit.

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, partial, wraps
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Self, TypeVar

import numpy as np

from avatargpt.lm.text_encoder import forget_states
from vqvae.errors import UserError
from vqvae.io.data_files import parse_json, read_arrays, read_object
from vqvae.io.files import atomic_write, parsing
from vqvae.skeleton import SMPL22, SMPL52

# ``module:name`` of the data classes that a file may hold.
STORABLE = frozenset({
    "vqvae.motion:Motion", "vqvae.face:FaceMotion", "avatargpt.evaluation.prompts:Answer",
    "avatargpt.evaluation.requests:JudgedReading", "instruct_data.dialogue.acts:Act", "avatargpt.planning.types:Plan",
    "avatargpt.planning.types:Activity", "instruct_data.face.score:Score", "instruct_data.face.score:Event",
    "instruct_data.face.score:Emotion", "avatargpt.speech.words:Words", "avatargpt.speech.words:Word",
    "avatargpt.speech.phones:Phone",
})  # fmt: skip
SKELETONS = {"SMPL22": SMPL22, "SMPL52": SMPL52}
KEY_FILE, SUFFIX = "key.json", ".parts"
Answer = TypeVar("Answer")
Function = TypeVar("Function", bound=Callable[..., Any])
_PLAIN = (str, int, float, bool, type(None))


class NotStorableError(UserError):
    """An answer of a type that cannot be stored."""


def save_answer(path: Path, answer: Any) -> Path:
    """Write an answer; raises NotStorableError for a type that comes back as something else."""
    arrays: dict[str, Any] = {}
    tree = json.dumps(_to_tree(answer, arrays, STORABLE))
    return atomic_write(path, lambda p: np.savez(p, tree=np.array(tree), **arrays))


def load_answer(path: Path) -> Any:
    """Read what `save_answer` wrote."""
    try:
        data = read_arrays(path)
        with parsing(path, "an answer of a suite"):
            return _from_tree(parse_json(str(data["tree"]), path), data)
    except UserError as e:
        raise UserError(f"{e}; remove this file, and its part is made anew") from None


def answer_digest(*values: Any) -> str:
    """SHA-256 of values as `save_answer` takes them, also with other data classes."""
    arrays: dict[str, Any] = {}
    total = hashlib.sha256(json.dumps(_to_tree(values, arrays, None)).encode())
    for array in arrays.values():
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


# JSON of a value, its arrays put into `arrays`. `classes`: names of data classes, None = any.
def _to_tree(value: Any, arrays: dict[str, Any], classes: frozenset[str] | None) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.kind not in "biufU":
            raise NotStorableError(f"an array of {value.dtype} cannot be stored")
        arrays[str(len(arrays))] = np.asarray(value)
        return {"array" if isinstance(value, np.ndarray) else "number": str(len(arrays) - 1)}
    if type(value) in (list, tuple):
        inside = [_to_tree(v, arrays, classes) for v in value]
        return inside if type(value) is list else {"tuple": inside}
    if type(value) is dict:
        pairs = value.items()
        return {"dict": [[_to_tree(k, arrays, classes), _to_tree(v, arrays, classes)] for k, v in pairs]}
    for name, skeleton in SKELETONS.items():
        if value is skeleton:
            return {"skeleton": name}
    name = f"{type(value).__module__}:{type(value).__qualname__}"
    if is_dataclass(value) and (classes is None or name in classes):
        values = {f.name: getattr(value, f.name) for f in fields(value)}
        return {"is": name, "fields": {k: _to_tree(v, arrays, classes) for k, v in values.items()}}
    raise NotStorableError(f"an answer of type {type(value).__name__} cannot be stored")


def _from_tree(tree: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(tree, list):
        return [_from_tree(v, arrays) for v in tree]
    if not isinstance(tree, dict):
        return tree
    kind, inside = next(iter(tree.items()))
    if kind == "array":
        return arrays[inside]
    if kind == "number":
        return arrays[inside][()]
    if kind == "tuple":
        return tuple(_from_tree(v, arrays) for v in inside)
    if kind == "dict":
        return {_from_tree(k, arrays): _from_tree(v, arrays) for k, v in inside}
    if kind == "skeleton":
        return SKELETONS[inside]
    values = {name: _from_tree(value, arrays) for name, value in tree["fields"].items()}
    instance = _answer_class(inside)(**values)  # checked
    for name, value in values.items():  # unchanged: normalising a rotation once more would alter its last bits
        object.__setattr__(instance, name, value)
    return instance


@cache
def _answer_class(name: str) -> type[Any]:
    if name not in STORABLE:
        raise UserError(f"{name}: no answer; accepted {', '.join(sorted(STORABLE))}")
    loaded: type[Any] = resolve_name(name)
    return loaded


@dataclass(frozen=True)
class RunCache:
    """The folder with one run's answers."""

    folder: Path | None = None  # ``RESULT.parts``; None = nothing is stored, every call is made
    # What the answers depend on beside the arguments of calls; a folder of another key is refused
    key: dict[str, Any] = field(default_factory=dict)
    _times: Counter[str] = field(default_factory=Counter, repr=False, compare=False)

    @classmethod
    def beside(cls, out: Path, key: dict[str, Any]) -> Self:
        """The cache of a result; raises UserError where there are answers of another run."""
        cache = cls(out.with_suffix(SUFFIX), key)
        path = out.with_suffix(SUFFIX) / KEY_FILE
        remedy = "remove the folder, or write the result elsewhere"
        if path.exists() and read_object(path, accepted=remedy).get("digest") != cache.digest:
            raise UserError(f"{path.parent}: parts of another suite, model or version, or of other data; {remedy}")
        return cache

    @property
    def digest(self) -> str:
        return answer_digest(json.dumps(self.key, sort_keys=True, ensure_ascii=False, default=str))

    def compute(self, what: str, arguments: Sequence[Any], work: Callable[[], Answer]) -> Answer:
        """The answer to one call: from its file, or computed and written there."""
        if self.folder is None:
            return _fresh(work)
        try:
            name = answer_digest(what, *arguments)[:40]
        except NotStorableError:  # arguments of a foreign model: computed every time
            return _fresh(work)
        # Equal calls are numbered: a model may answer the second one differently.
        self._times[name] += 1
        path = self.folder / f"part-{name}-{self._times[name]}.npz"
        if not path.exists():
            answer = _fresh(work)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as e:
                raise UserError(f"cannot make {self.folder}: {e.strerror or e}") from None
            if not (self.folder / KEY_FILE).exists():
                text = json.dumps({"digest": self.digest, "key": self.key}, indent=1, ensure_ascii=False, default=str)
                atomic_write(self.folder / KEY_FILE, lambda p: p.write_text(text, encoding="utf-8"))
            try:
                save_answer(path, answer)
            except NotStorableError:
                return answer
        stored: Answer = load_answer(path)
        return stored

    def map(self, what: str, work: Callable[..., Answer], calls: Sequence[tuple[Any, ...]]) -> list[Answer]:
        """`compute` for each tuple of arguments in `calls`."""
        return [self.compute(what, call, partial(work, *call)) for call in calls]

    def wrap(self, what: str, function: Function) -> Function:
        """A function whose answers are stored."""

        @wraps(function)
        def answer_from_cache(*arguments: Any, **keywords: Any) -> Any:
            return self.compute(what, (arguments, keywords), partial(function, *arguments, **keywords))

        return answer_from_cache  # type: ignore[return-value]

    def wrap_model(self, model: Any, *methods: str) -> Any:
        """A model with some methods whose answers are stored; all else is the model's."""
        return model if self.folder is None else _CachedModel(self, model, methods)

    def remove(self) -> None:
        """Remove the folder once the result is written; files of others in it stay."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in [*self.folder.glob("part-*.npz"), self.folder / KEY_FILE]:
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _fresh(work: Callable[[], Answer]) -> Answer:
    # A run that continues does not repeat earlier calls, so an answer must not depend on states they left behind.
    forget_states()
    return work()


class _CachedModel:
    def __init__(self, cache: RunCache, model: Any, methods: Sequence[str]) -> None:
        self._cache, self._model, self._methods = cache, model, methods

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._model, name)
        return self._cache.wrap(name, attribute) if name in self._methods else attribute


# No file is written: the work is done in memory.
NO_CACHE = RunCache()
