"""Long motion on disk while it grows: shards (each a motion file), a list of spans, and the result joined from them.

Beside OUT.npz lies a folder OUT.parts with 000000.npz, 000001.npz ... (each a motion of its own, in the world's frame),
spans.jsonl (one line per finished activity's steps) and about.json. Everything is written atomically or by appending
whole lines, so that a killed run leaves files that `join` turns into the result. While a process
writes or joins the parts, the folder is locked.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from avatargpt.long.stream import Frames
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays, read_object
from vqvae.io.files import LOCK, folder_lock, parsing, read_text
from vqvae.motion import Motion, atomic_write
from vqvae.skeleton import SMPL22

SHARD_FRAMES = 200
ABOUT, SPANS = "about.json", "spans.jsonl"
MAX_SPANS_BYTES = 64 << 20
BUSY = "a run is writing it, or its parts are being joined; wait until that is over, or choose another -o"


@dataclass(frozen=True)
class Span:
    """Frames [start, end) of one step.

    Attributes:
        activity: number of the activity, from 0. task: its text.
        step: number of the step within it, from 0. text: as planned.
        caption: that it was generated from, clauses joined by "then".
        transition: number of frames at the start that are a transition from the step before.
        described: the model's description of the frames; empty until the activity is over.
        note: another action shown in place of the step, or that it may not look as it reads; else empty.
    """

    start: int
    end: int
    activity: int
    task: str
    step: int
    text: str
    caption: str
    transition: int = 0
    described: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def timeline(scene: str, fps: float, frames: int, spans: Iterable[Span], about: dict[str, Any]) -> dict[str, Any]:
    """The timeline as JSON: activities in order, each with its steps, spans cut at `frames`.

    Args:
        about: further keys of the head (seed, planner, ...).
    """
    activities: list[dict[str, Any]] = []
    for span in spans:
        if span.start >= frames:
            break
        if not activities or activities[-1]["number"] != span.activity:
            activities.append({"number": span.activity, "task": span.task, "start": span.start, "steps": []})
        end = min(span.end, frames)
        activities[-1]["end"] = end
        activities[-1]["steps"].append({
            "text": span.text, "caption": span.caption, "described": span.described, "start": span.start, "end": end,
            "transition": min(span.transition, end - span.start), **({"note": span.note} if span.note else {}),
        })  # fmt: skip
    return {"scene": scene, "fps": fps, "frames": frames, **about, "activities": activities}


def parts_folder(target: Path) -> Path:
    """Folder of the parts of `target` while it grows."""
    return target.with_suffix(".parts")


def timeline_file(target: Path) -> Path:
    """File of the timeline of `target`."""
    return target.with_suffix(".timeline.json")


class LongWriter:
    """Collects frames into shards on disk.

    Args:
        target: the file that `join` will write; its parts go beside it.
        about: head of the timeline: scene, fps and any further keys.

    Raises:
        UserError: another process is writing there, the parts of an interrupted run are there, or nothing can be
            written. A folder without any part is taken over.
    """

    def __init__(self, target: Path, about: dict[str, Any]) -> None:
        self.folder, self._lock = parts_folder(target), ExitStack()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UserError(f"cannot write {self.folder}: {e.strerror or e}") from None
        self._lock.enter_context(folder_lock(self.folder, BUSY))
        if next(self.folder.glob("*.npz"), None) is not None:
            self._lock.close()
            raise UserError(
                f"{self.folder}: parts of an interrupted run; `avatargpt long --join -o {target}` makes a file of "
                "them, or remove the folder"
            )
        (self.folder / SPANS).unlink(missing_ok=True)
        self.about, self.fps, self.caption = dict(about), float(about["fps"]), str(about["scene"])
        self.pending: list[Frames] = []
        self.shards = self.frames = 0
        try:
            self.update_head()
        except BaseException:
            self.abandon()
            raise

    def update_head(self, **values: Any) -> None:
        """Write the head, with further keys."""
        self.about |= values
        text = json.dumps(self.about, ensure_ascii=False) + "\n"
        atomic_write(self.folder / ABOUT, lambda p: p.write_text(text, encoding="utf-8"))

    def abandon(self) -> None:
        """Remove the folder where it has no shard yet; else leave it for `join`."""
        if not self.shards:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.close()

    def add(self, frames: Frames, spans: Sequence[Span] = ()) -> None:
        """Append frames, and spans with their descriptions.

        Raises:
            UserError: the disk is full or the folder has gone; earlier files stay complete.
        """
        if len(frames):
            self.pending.append(frames)
            self.frames += len(frames)
        if sum(map(len, self.pending)) >= SHARD_FRAMES:
            self.flush()
        if spans:
            lines = "".join(json.dumps(s.to_json(), ensure_ascii=False) + "\n" for s in spans)
            try:
                with open(self.folder / SPANS, "a", encoding="utf-8") as f:
                    f.write(lines)
            except OSError as e:
                raise UserError(f"cannot write {self.folder / SPANS}: {e.strerror or e}") from None

    def flush(self) -> None:
        """Write the pending frames as one shard."""
        if not self.pending:
            return
        frames = Frames(
            np.concatenate([f.rotations for f in self.pending]), np.concatenate([f.root for f in self.pending])
        )
        frames.motion(self.fps, self.caption).save(self.folder / f"{self.shards:06d}.npz")
        self.shards += 1
        self.pending = []


def read_parts(
    target: Path, note: Callable[[str], None] = lambda line: None
) -> tuple[list[Path], list[Span], dict[str, Any]]:
    """Shards in order, spans and head of the parts of `target`.

    Args:
        note: takes a line about an incomplete last shard, which is left out.

    Raises:
        UserError: no parts, or none that can be read.
    """
    folder = parts_folder(target)
    if not (folder / ABOUT).is_file():
        raise UserError(f"{folder}: no parts of an interrupted run here; accepted -o of the run to be joined")
    about = read_object(folder / ABOUT)
    shards: list[Path] = []
    while (path := folder / f"{len(shards):06d}.npz").is_file():
        shards.append(path)
    if shards and (broken := _broken(shards[-1])):
        if len(shards) == 1:
            raise UserError(f"{broken}; the run was interrupted before it had made another part; remove the folder")
        shards.pop()
        note(f"{broken}; left out")
    if not shards:
        raise UserError(f"{folder}: the run was interrupted before it had made anything; remove the folder")
    spans = []
    if (folder / SPANS).is_file():
        for line in read_text(folder / SPANS, MAX_SPANS_BYTES).split("\n"):
            try:
                spans.append(Span(**json.loads(line)))
            except (ValueError, TypeError, RecursionError):  # the last line may be cut short
                break
    return shards, spans, about


def join(
    target: Path, output: Path | None = None, note: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Write the motion (.npz) and the timeline of `target` from its parts, then remove these.

    Memory does not grow with length: every array is copied shard by shard.

    Args:
        output: of the motion instead of `target`; the parts stay then. note: see `read_parts`.

    Returns:
        The timeline.

    Raises:
        UserError: no parts, damaged ones, ones that a run is still writing, or the result cannot be written (the parts
            then stay).
    """
    with joining(target):
        return _join(target, output, note)


@contextmanager
def joining(target: Path) -> Iterator[None]:
    """A lock: no other process writes, joins or removes the parts of `target` meanwhile.

    Raises:
        UserError: there are none, or another process has them.
    """
    folder = parts_folder(target)
    if not folder.is_dir():
        raise UserError(f"{folder}: no parts of an interrupted run here; accepted -o of the run to be joined")
    with folder_lock(folder, BUSY):
        yield


def _join(target: Path, output: Path | None, note: Callable[[str], None]) -> dict[str, Any]:
    shards, spans, about = read_parts(target, note)
    frames = sum(len(_part(p, "root")) for p in shards)
    head = {k: v for k, v in about.items() if k not in ("scene", "fps")}
    with parsing(parts_folder(target) / ABOUT, "the head of a run"):
        scene, fps = str(about["scene"]), float(about["fps"])
    result = timeline(scene, fps, frames, spans, head)
    atomic_write(output or target, lambda p: _write_joined(p, shards, frames, fps, scene))
    text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
    atomic_write(timeline_file(target), lambda p: p.write_text(text, encoding="utf-8"))
    if output is None:
        remove_parts(target)
    return result


def remove_parts(target: Path) -> None:
    """Remove the folder of parts, from within `joining`."""
    for path in parts_folder(target).iterdir():
        if path.name != LOCK:
            path.unlink()
    shutil.rmtree(parts_folder(target), ignore_errors=True)  # Windows keeps the lock, which is no part


def _broken(shard: Path) -> str:
    """The error of reading a shard, empty where there is none."""
    try:
        Motion.load(shard)
    except UserError as e:
        return str(e)
    return ""


def _part(path: Path, key: str) -> np.ndarray:
    with parsing(path, "a readable part"):
        return np.asarray(read_arrays(path, (key,))[key])


def _write_joined(path: Path, shards: list[Path], frames: int, fps: float, caption: str) -> None:
    """The `.npz` form of `vqvae.motion.Motion.save`, arrays streamed from the shards."""
    scalars = {
        "modality": np.array("body"), "fps": np.array(fps), "caption": np.array(caption),
        "joint_names": np.array(SMPL22.names), "parents": np.array(SMPL22.parents, np.int64),
    }  # fmt: skip
    shapes = {"rotations": (22, 4), "root": (3,), "joints": (22, 3)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as z:
        for key, value in scalars.items():
            with _member(z, key) as f:
                np.lib.format.write_array(f, value, allow_pickle=False)
        for key, shape in shapes.items():
            with _member(z, key) as f:
                header = {"descr": "<f4", "fortran_order": False, "shape": (frames, *shape)}
                np.lib.format.write_array_header_1_0(f, header)
                for shard in shards:
                    f.write(np.ascontiguousarray(_part(shard, key), "<f4").tobytes())


def _member(archive: zipfile.ZipFile, key: str) -> IO[bytes]:
    info = zipfile.ZipInfo(f"{key}.npy")  # a fixed date: equal runs give equal files
    return archive.open(info, "w", force_zip64=True)
