"""HumanML3D's clips as its evaluation protocol takes them: 263 features with captions as tagged words.

Source: Guo et al. 2022 (`Text2MotionDatasetV2` of their code). A clip takes part when it has 40 to 199 frames; a
caption of a part of it makes a clip of its own when that part has. Where the published code drops a whole clip without
a word (a file that is missing, a line of another form), what is left out is said in a `Report`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import SPLITS
from instruct_data.sources.humanml3d import FPS, MOST_TEXT
from instruct_data.sources.report import Report
from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.files import read_text

SHORTEST, LONGEST = 40, 199
DIM = 263
FOLDERS = ("new_joint_vecs", "texts")


@dataclass(frozen=True)
class Caption:
    """What is said of a clip.

    Attributes:
        text: as written. tokens: ``word/TAG``, as the corpus has them. start, end: seconds; both 0 for the whole clip.
    """

    text: str
    tokens: tuple[str, ...]
    start: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class Pair:
    """A clip with its captions; frames `start` to `stop` of the file at `path`."""

    id: str
    path: Path
    start: int
    stop: int
    captions: tuple[Caption, ...]

    def __len__(self) -> int:
        return self.stop - self.start

    def features(self, start: int = 0, frames: int | None = None) -> np.ndarray:
        """(frames, 263) float32 from frame `start` of the clip; None = all that are left. Read from the file."""
        begin = self.start + start
        stop = self.stop if frames is None else min(begin + frames, self.stop)
        return np.array(map_array(self.path)[begin:stop], np.float32)


def parse_caption(line: str) -> Caption:
    """A line ``caption#tokens#start#end``; NaN counts as 0.

    Raises:
        ValueError: another form, no word, or an end before the start.
    """
    parts = line.strip().split("#")
    if len(parts) < 4:
        raise ValueError("not caption#tokens#start#end")
    start, end = (0.0 if math.isnan(x) else x for x in map(float, parts[2:4]))
    tokens = tuple(parts[1].split())
    if not tokens or not all("/" in t for t in tokens):
        raise ValueError("its tokens are not word/TAG")
    if (start, end) != (0.0, 0.0) and not 0 <= start < end < math.inf:
        raise ValueError("its end is before its start")
    return Caption(parts[0], tokens, start, end)


def read_pairs(folder: str | os.PathLike[str], split: str = "test", report: Report | None = None) -> list[Pair]:
    """The clips of a split that take part, in the order of their names whatever that of the list.

    Every feature file of the split is looked through once, for numbers that are not finite.

    Args:
        report: filled with what was read and left out.

    Raises:
        UserError: unknown split, a folder or the split's list is missing, or no clip is left.
    """
    here = Path(folder)
    if split not in SPLITS:
        raise UserError(f"split {split!r}; accepted {', '.join(SPLITS)}")
    for name in FOLDERS:
        if not (here / name).is_dir():
            raise UserError(f"{here / name}: no such folder; accepted: a HumanML3D folder with new_joint_vecs, texts "
                            f"and {split}.txt")  # fmt: skip
    report = Report() if report is None else report
    names = sorted(set(read_text(here / f"{split}.txt", MOST_TEXT).split()))
    out = [pair for name in names for pair in _pairs(here, name, report)]
    report.read += len(out)
    if not out:
        raise UserError(f"{here / f'{split}.txt'}: none of its {len(names)} clips takes part "
                        f"({'; '.join(report.reasons()[:3]) or 'it is empty'})")  # fmt: skip
    return out


def _pairs(folder: Path, name: str, report: Report) -> Iterator[Pair]:
    path = folder / "new_joint_vecs" / f"{name}.npy"
    try:
        frames = _frames(path)
        text = read_text(folder / "texts" / f"{name}.txt", MOST_TEXT)
    except (UserError, ValueError) as e:
        report.skip(name, str(e).removeprefix(f"{path}: "))
        return
    if not SHORTEST <= frames <= LONGEST:
        report.skip(name, f"not {SHORTEST} to {LONGEST} frames")
        return
    whole: list[Caption] = []
    for number, line in enumerate(line for line in text.splitlines() if line.strip()):
        try:
            caption = parse_caption(line)
        except ValueError as e:
            report.notes[f"caption left out: {e}"] += 1
            continue
        if caption.end == 0:
            whole.append(caption)
            continue
        start, stop = int(caption.start * FPS), min(int(caption.end * FPS), frames)
        if SHORTEST <= stop - start <= LONGEST:
            yield Pair(f"{name}_{number}", path, start, stop, (caption,))
        else:
            report.notes[f"caption of a part that is not {SHORTEST} to {LONGEST} frames"] += 1
    if whole:
        yield Pair(name, path, 0, frames, tuple(whole))


def _frames(path: Path) -> int:
    x = map_array(path)
    if x.ndim != 2 or x.shape[1] != DIM:
        raise ValueError(f"not (T, {DIM}) features")
    if not np.isfinite(x).all():
        raise ValueError("features that are not finite")
    return len(x)
