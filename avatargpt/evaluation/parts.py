"""Work that can be interrupted and shared: what is made lies beside the result until the result is written.

A run over N chunks writes one file per finished chunk into ``RESULT.parts``; the same command goes on where it ended,
and processes with different shards fill the same folder. The result is always made from the files, so that it is the
same bytes however the work was cut. Which items stand in one chunk does not depend on the shards: networks answer a
little differently in other company.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.body.generate import Made
from vqvae.errors import UserError
from vqvae.io.arrays import read_arrays
from vqvae.io.atomic import atomic_write
from vqvae.io.guard import understanding
from vqvae.io.json_file import parse_json, read_object
from vqvae.motion import Motion

KEY = "key.json"


class Waiting(UserError):
    """This shard is done, others are not."""


@dataclass(frozen=True)
class Answer:
    """What was made for one item: a motion with the seconds of its seams (None = not said), or why there is none."""

    motion: Motion | None
    seams: tuple[float, ...] | None = None
    reason: str = ""


def answer_of(made: Motion | Made | str) -> Answer:
    """A generator's answer, or the reason of its failure. Rotations are brought to length 1 once more."""
    if isinstance(made, str):
        return Answer(None, None, made)
    motion = made if isinstance(made, Motion) else made.motion
    seams = None if isinstance(made, Motion) else tuple(start / motion.fps for start, _ in made.spans[1:])
    return Answer(Motion(motion.rotations, motion.root, motion.fps), seams)


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
        folder: ``RESULT.parts``.
        key: what the parts depend on; parts of another key are refused.
        shard: (k, n): this process makes the chunks whose number leaves k when divided by n.
    """

    folder: Path
    key: dict[str, Any]
    shard: tuple[int, int] = (0, 1)

    @classmethod
    def beside(cls, out: Path, key: dict[str, Any], shard: tuple[int, int] = (0, 1)) -> Parts:
        return cls(out.with_suffix(".parts"), key, shard)

    @property
    def digest(self) -> str:
        text = json.dumps(self.key, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def _begin(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UserError(f"cannot make {self.folder}: {e.strerror or e}") from None
        path = self.folder / KEY
        if path.exists():
            if read_object(path).get("digest") != self.digest:
                raise UserError(f"{self.folder}: parts of another suite, model or version; "
                                "remove the folder, or write the result elsewhere")  # fmt: skip
            return
        text = json.dumps({"digest": self.digest, "key": self.key}, indent=1, ensure_ascii=False, default=str)
        atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))

    def _path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.npz"

    def made(self, count: int, work: Callable[[int], list[Answer]]) -> list[Answer]:
        """The clips of all `count` chunks, those of this shard made where they are missing.

        Args:
            work: number of a chunk -> its clips.

        Raises:
            UserError: parts of another run. Waiting: chunks of other shards are missing.
        """
        self._begin()
        k, n = self.shard
        for number in range(k, count, n):
            if not self._path(number).exists():
                save(self._path(number), work(number))
        missing = [i for i in range(count) if not self._path(i).exists()]
        if missing:
            shards = sorted({i % n + 1 for i in missing})
            raise Waiting(f"{self.folder}: {count - len(missing)} of {count} parts are made; "
                          f"the result follows from --shard {', '.join(f'{s}/{n}' for s in shards)}")  # fmt: skip
        return [clip for i in range(count) for clip in load(self._path(i))]

    def remove(self) -> None:
        """Take the folder away once the result is written; files of others in it stay."""
        for path in [*self.folder.glob("part-*.npz"), self.folder / KEY]:
            path.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def save(path: Path, clips: list[Answer]) -> Path:
    """The clips of one chunk as arrays ``rotations/I`` (T, 22, 4), ``root/I`` (T, 3), and ``about``, JSON."""
    arrays: dict[str, Any] = {}
    about = []
    for i, clip in enumerate(clips):
        about.append({"reason": clip.reason, "seams": clip.seams, "fps": clip.motion.fps if clip.motion else None})
        if clip.motion is not None:
            arrays |= {f"rotations/{i}": clip.motion.rotations, f"root/{i}": clip.motion.root}
    arrays["about"] = np.array(json.dumps(about))
    return atomic_write(path, lambda p: np.savez(p, **arrays))


def load(path: Path) -> list[Answer]:
    """Read what `save` wrote.

    Raises:
        UserError: damaged.
    """
    data = read_arrays(path)
    with understanding(path, "a part of a suite", "remove it"):
        out = []
        for i, about in enumerate(parse_json(str(data["about"]), path)):
            seams = None if about["seams"] is None else tuple(float(t) for t in about["seams"])
            motion = None
            if about["fps"] is not None:
                # As they were: dividing by the length again would change last bits.
                motion = _exactly(data[f"rotations/{i}"], data[f"root/{i}"], float(about["fps"]))
            out.append(Answer(motion, seams, str(about["reason"])))
        return out


def _exactly(rotations: np.ndarray, root: np.ndarray, fps: float) -> Motion:
    motion = Motion(rotations, root, fps)
    object.__setattr__(motion, "rotations", np.asarray(rotations, np.float32))
    return motion
