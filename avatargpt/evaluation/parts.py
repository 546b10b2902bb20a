"""Work that can be interrupted and shared: a model's answers lie beside the result until the result is written.

Every finished call is one file in ``RESULT.parts``, named by what was asked, and for how many times; the same command
goes on where it ended, and processes with different shards fill the same folder. The result is always made from the
files, so that it is the same bytes however the work was cut. What is asked in one call does not depend on the shards:
networks answer a little differently in other company.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeVar

from avatargpt.evaluation import answers
from avatargpt.lm.text_encoder import forget_states
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write

KEY, SUFFIX = "key.json", ".parts"
Answer = TypeVar("Answer")
Asked = TypeVar("Asked", bound=Callable[..., Any])


class Waiting(UserError):
    """This shard is done, others are not."""


def read_shard(text: str) -> tuple[int, int]:
    """``2/4`` -> (1, 4): the second of four.

    Raises:
        UserError: something else.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= 4096):
        raise UserError(f"--shard {text}: accepted K/N, the K-th of N processes, such as 1/2")
    return int(number) - 1, int(count)


@dataclass(frozen=True)
class Parts:
    """The folder of one run's parts.

    Attributes:
        folder: ``RESULT.parts``; None = nothing is kept, every call is made.
        key: what the parts depend on beside what is asked; parts of another key are refused.
        shard: (k, n): of calls that are known beforehand this process makes those whose number leaves k when divided
            by n.
    """

    folder: Path | None = None
    key: dict[str, Any] = field(default_factory=dict)
    shard: tuple[int, int] = (0, 1)
    _times: Counter[str] = field(default_factory=Counter, repr=False, compare=False)

    @classmethod
    def beside(cls, out: Path, key: dict[str, Any], shard: tuple[int, int] = (0, 1)) -> Parts:
        """The parts of a result.

        Raises:
            UserError: there are parts of another run.
        """
        parts = cls(out.with_suffix(SUFFIX), key, shard)
        path = out.with_suffix(SUFFIX) / KEY
        again = "remove the folder, or write the result elsewhere"
        if path.exists() and read_object(path, accepted=again).get("digest") != parts.digest:
            raise UserError(f"{path.parent}: parts of another suite, model or version, or of other data; {again}")
        return parts

    @property
    def digest(self) -> str:
        return answers.digest(json.dumps(self.key, sort_keys=True, ensure_ascii=False, default=str))

    def kept(self, what: str, asked: Sequence[Any], work: Callable[[], Answer]) -> Answer:
        """The answer to one call: from its file, or made and written there.

        Args:
            what: is done. asked: what the answer depends on. work: makes it.
        """
        if self.folder is None:
            return _anew(work)
        try:
            path = self._path(self.folder, what, asked)
        except answers.Unkeepable:  # asked of somebody else's model: made anew each time
            return _anew(work)
        if not path.exists():
            made = _anew(work)
            self._begin(self.folder)
            try:
                answers.save(path, made)
            except answers.Unkeepable:
                return made
        kept: Answer = answers.load(path)
        return kept

    def each(self, what: str, work: Callable[..., Answer], asked: Sequence[tuple[Any, ...]]) -> list[Answer]:
        """The answers to calls that are all known now, in their order; those of this shard are made where missing.

        Args:
            what: is done. work: makes an answer. asked: the arguments of every call.

        Raises:
            Waiting: calls of other shards are missing.
        """
        k, n = self.shard
        if self.folder is None or n == 1:
            return [self.kept(what, some, partial(work, *some)) for some in asked]
        paths = [self._path(self.folder, what, some) for some in asked]
        self._begin(self.folder)
        for path, some in list(zip(paths, asked, strict=True))[k::n]:
            if not path.exists():
                answers.save(path, _anew(partial(work, *some)))
        missing = [i for i, path in enumerate(paths) if not path.exists()]
        if missing:
            shards = sorted({i % n + 1 for i in missing})
            raise Waiting(f"{self.folder}: {len(paths) - len(missing)} of {len(paths)} parts are made; "
                          f"the result follows from --shard {', '.join(f'{s}/{n}' for s in shards)}")  # fmt: skip
        return [answers.load(path) for path in paths]

    def remembering(self, what: str, work: Asked) -> Asked:
        """A function whose answers are kept."""

        @wraps(work)
        def asked(*some: Any, **named: Any) -> Any:
            return self.kept(what, (some, named), partial(work, *some, **named))

        return asked  # type: ignore[return-value]

    def standing_in(self, model: Any, *methods: str) -> Any:
        """A model in whose place the answers of some of its methods are kept; all else is the model's."""
        return model if self.folder is None else _StandIn(self, model, methods)

    def _path(self, folder: Path, what: str, asked: Sequence[Any]) -> Path:
        name = answers.digest(what, *asked)[:40]
        self._times[name] += 1
        return folder / f"part-{name}-{self._times[name]}.npz"

    def _begin(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UserError(f"cannot make {folder}: {e.strerror or e}") from None
        if not (folder / KEY).exists():
            text = json.dumps({"digest": self.digest, "key": self.key}, indent=1, ensure_ascii=False, default=str)
            atomic_write(folder / KEY, lambda p: p.write_text(text, encoding="utf-8"))

    def remove(self) -> None:
        """Take the folder away once the result is written; files of others in it stay."""
        if self.folder is None or not self.folder.is_dir():
            return
        for path in [*self.folder.glob("part-*.npz"), self.folder / KEY]:
            path.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _anew(work: Callable[[], Answer]) -> Answer:
    """An answer that does not depend on what was asked before, which a run that goes on does not ask."""
    forget_states()
    return work()


class _StandIn:
    def __init__(self, parts: Parts, model: Any, methods: Sequence[str]) -> None:
        self._parts, self._model, self._methods = parts, model, methods

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        return self._parts.remembering(name, found) if name in self._methods else found


UNKEPT = Parts()
"""No file is written: the work is done in memory."""
