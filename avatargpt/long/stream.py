"""Long motion on disk while it grows: shards (each a motion file), a list of spans, and the result joined from them."""
# Beside OUT.npz lies a folder OUT.parts with 000000.npz, 000001.npz ... (each a motion of its own, in the world's
# frame), spans.jsonl (one line per finished activity's steps) and about.json. Everything is written atomically or by
# appending whole lines, so that a killed run leaves files that `join` turns into the result. While a process writes or
# joins the parts, the folder is locked.

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from avatargpt.body.contact import FootLock, PenetrationStream
from avatargpt.long.spans import Span, timeline
from vqvae.errors import UserError
from vqvae.features import MIN_RISE_RATE, BodyFeatures, RootState
from vqvae.io.data_files import read_arrays, read_object
from vqvae.io.files import LOCK, folder_lock, parsing, read_text
from vqvae.motion import Motion, atomic_write, check_fps
from vqvae.skeleton import SMPL22
from vqvae.tokenizer import MotionTokenizer

# of the path, see `PathKeeper`
# of the radius that is steered for; the rest is for the delay of the turn
INNER_SHARE = 0.85
# of the radius: wider circles than this need no bend
MAX_BEND_SHARE = 0.35
MIN_CURVE_METRES = 0.6
# share per frame by which curvature (twice) and direction of travel follow
SMOOTHING = 0.15
# by which the place is extrapolated, for the turn sets in late
LEAD_FRAMES = 12
# radians per frame (115 degrees a second): at 3 m/s no curve is tighter than 1.5 m
MAX_YAW_RATE = 0.1
# metres: the side of the turn changes only for so much more room
SIDE_MARGIN = 0.3
# metres of ground below which who walks, faster than so many metres a frame, comes down by so many a frame
MAX_LOW, MIN_WALK, EASE = 0.3, 0.02, 1.1 * MIN_RISE_RATE


class StreamDecoder:
    """Decodes windows of the stream with the decoder's whole receptive field around them.

    Features come out as soon as nothing that follows can change them: `tokenizer.decoder_context` tokens later than
    their codes. State: at most twice that many tokens besides the last push.
    """

    def __init__(self, tokenizer: MotionTokenizer) -> None:
        self.tokenizer, self.context = tokenizer, tokenizer.decoder_context
        self.codes = np.zeros((0, tokenizer.config.levels), np.int64)
        # index within `codes` of the first token whose features are still to come
        self.start = 0

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Add (N, R) codes; returns the features (M * downsample, D) that are final now, M >= 0 tokens."""
        self.codes = np.concatenate([self.codes, codes])
        return self._features(len(self.codes) - self.context)

    def finish(self) -> np.ndarray:
        """The remaining features, at the end of the stream."""
        return self._features(len(self.codes))

    def _features(self, stop: int) -> np.ndarray:
        """Features up to token `stop` of `codes`; drops the codes that no window needs any more."""
        if stop <= self.start:
            return np.zeros((0, self.tokenizer.spec.dim), np.float32)
        step = self.tokenizer.downsample
        out = self.tokenizer.decode_features(self.codes[: stop + self.context])[self.start * step : stop * step]
        drop = max(0, stop - self.context)
        self.codes, self.start = self.codes[drop:], stop - drop
        return out


class PathKeeper:
    """Bends body features (T, 270) so that their path stays within `radius` metres of the start of the stream.

    A rule: where the body travels outward, the largest circle inside the radius that touches the direction of travel is
    computed; when it gets narrow, the path is turned along it. The turn is a yaw rate in proportion to speed (a body at
    rest is not turned), sets in and fades over about half a second; positions are never shifted.

    State: the direction of travel and the curvature.
    """

    def __init__(self, radius: float) -> None:
        self.radius = INNER_SHARE * radius
        self.travel = np.zeros(2)  # metres per frame, world x and z, smoothed
        self.curvature = self.goal = 0.0  # 1 / metres, positive to the left

    def steer(self, features: np.ndarray, state: RootState) -> np.ndarray:
        """The features with the yaw rate (channel 3) bent.

        Args:
            features: (T, 270), the next of the stream.
            state: of `BodyFeatures.decode_chunk` before them.
        """
        out, yaw, place = features.copy(), state.yaw, state.position[[0, 2]].copy()
        for row in out:
            c, s = np.cos(yaw), np.sin(yaw)
            step = np.array([c * row[1] + s * row[2], c * row[2] - s * row[1]])
            place += step
            self.travel += SMOOTHING * (step - self.travel)
            speed = float(np.linalg.norm(self.travel))
            self.goal += SMOOTHING * (self._find_curvature(place + LEAD_FRAMES * self.travel, speed) - self.goal)
            self.curvature += SMOOTHING * (self.goal - self.curvature)
            bend = float(np.clip(self.curvature * speed, -MAX_YAW_RATE, MAX_YAW_RATE))
            row[3] += bend
            yaw += float(row[3])
            c, s = np.cos(bend), np.sin(bend)
            self.travel = np.array([c * self.travel[0] + s * self.travel[1], c * self.travel[1] - s * self.travel[0]])
        return out

    def _find_curvature(self, place: np.ndarray, speed: float) -> float:
        """Curvature of the widest turn that stays inside, 0 where there is room."""
        if speed < 1e-4 or float(self.travel @ place) <= 0:
            return 0.0
        along = self.travel / speed
        across = float(place[0] * along[1] - place[1] * along[0])  # how far to the left of the centre line
        side = 1.0 if across - SIDE_MARGIN * np.sign(self.curvature) <= 0 else -1.0
        room = self.radius**2 - float(place @ place)
        widest = room / (2 * max(self.radius - abs(across), 1e-6))
        max_bend = MAX_BEND_SHARE * self.radius
        if widest >= max_bend:
            return 0.0
        share = min(1.0, (max_bend - widest) / (0.3 * max_bend))
        return side * share / max(widest, MIN_CURVE_METRES)


@dataclass(frozen=True)
class BodyFrames:
    """Frames: `rotations` (T, 22, 4) local quaternions, `root` (T, 3) metres in the world."""

    rotations: np.ndarray
    root: np.ndarray

    def __len__(self) -> int:
        return len(self.root)

    def motion(self, fps: float, caption: str = "") -> Motion:
        """The frames as a clip, where they stand."""
        return Motion(self.rotations, self.root, fps, "body", caption)


class MotionStream:
    """One continuous motion from codes that arrive in pieces, with a state of constant size.

    Args:
        radius: metres around the start that the path stays within; None = anywhere.
        lock_feet: hold feet that stand (`avatargpt.body.contact`).
        lift: raise a body that has sunk into the floor (`avatargpt.body.contact`), and let the ground fall no lower
            than the floor.
    """

    def __init__(
        self, tokenizer: MotionTokenizer, radius: float | None = None, lock_feet: bool = True, lift: bool = True
    ) -> None:
        assert isinstance(tokenizer.spec, BodyFeatures)
        self.spec, self.tokenizer = tokenizer.spec, tokenizer
        self.decoder = StreamDecoder(tokenizer)
        self.keeper = PathKeeper(radius) if radius is not None else None
        self.feet = FootLock() if lock_feet else None
        self.floor = PenetrationStream() if lift else None
        self.state: RootState | None = None
        self.ground = np.zeros(0)  # height of the ground below the frames that are not out yet

    def push(self, codes: np.ndarray) -> BodyFrames:
        """Add (N, R) codes; the frames that are final now."""
        return self._place_frames(self.decoder.push(codes))

    def finish(self) -> BodyFrames:
        """The remaining frames, at the end of the stream."""
        parts = [self._place_frames(self.decoder.finish())]
        if self.floor is not None:
            parts.append(self._on_feet(*self.floor.finish()))
        if self.feet is not None:
            parts.append(BodyFrames(*self.feet.finish()))
        return BodyFrames(np.concatenate([p.rotations for p in parts]), np.concatenate([p.root for p in parts]))

    def ahead(self, codes: np.ndarray) -> np.ndarray:
        """Planar path (F, 2), metres, of the frames not yet out and then of `codes`, unbent."""
        window = np.concatenate([self.decoder.codes, codes])
        features = self.tokenizer.decode_features(window)[self.decoder.start * self.tokenizer.downsample :]
        return np.asarray(self.spec.decode_chunk(features, self.state)[1][:, [0, 2]])

    def here(self) -> tuple[np.ndarray, float, float]:
        """Place (x, z), metres, degrees of heading to the left, metres of the ground below, after all codes so far."""
        features = self.tokenizer.decode_features(self.decoder.codes)[self.decoder.start * self.tokenizer.downsample :]
        if not len(features):
            raise ValueError("no codes yet")
        rotations, root, _ = self.spec.decode_chunk(features, self.state)
        heading = float(np.degrees(Motion(rotations[-1:], root[-1:]).heading[0]))
        return root[-1, [0, 2]], heading, max(0.0, float(root[-1, 1] - features[-1, 0]))

    def _place_frames(self, features: np.ndarray) -> BodyFrames:
        if not len(features):
            return BodyFrames(np.zeros((0, 22, 4)), np.zeros((0, 3)))
        # the first frame is at rest above the origin and faces +Z
        if self.state is None:
            rotations, root, _ = self.spec.decode_chunk(features[:1], None)
            self.state = RootState(-float(Motion(rotations, root).heading[0]), np.zeros(3))
            features = features.copy()
            features[0, 1:4] = 0
            features[0, self.spec.slices().get("rise", slice(0))] = 0
        if self.keeper is not None:
            features = self.keeper.steer(features, self.state)
        if self.floor is not None:
            features = self._above_floor(features)
        rotations, root, self.state = self.spec.decode_chunk(features, self.state)
        ground = root[:, 1] - features[:, 0]
        self.ground = np.concatenate([self.ground, ground])
        if self.floor is not None:
            rotations, root = self.floor.push(rotations, root, ground)
        return self._on_feet(rotations, root)

    def _above_floor(self, features: np.ndarray) -> np.ndarray:
        """Features (F, 270) whose ground falls no lower than the floor: who climbs down there steps on the spot.

        Who walks on, not much above the floor, comes down to it by and by.
        """
        channel = self.spec.slices().get("rise")
        if channel is None or self.state is None:
            return features
        start, rise = self.state.position[1], features[:, channel][:, 0]
        walks = np.hypot(*features[:, self.spec.slices()["velocity"]].T) > MIN_WALK
        level, levels = start, []
        for step, goes in zip(np.where(np.abs(rise) < MIN_RISE_RATE, 0, rise), walks, strict=True):
            level = max(0.0, level + (-EASE if goes and not step and level < MAX_LOW else step))
            levels.append(level)
        out = features.copy()
        out[:, channel] = np.diff(levels, prepend=start)[:, None]
        return out

    def _on_feet(self, rotations: np.ndarray, root: np.ndarray) -> BodyFrames:
        ground, self.ground = self.ground[: len(root)], self.ground[len(root) :]
        if self.feet is not None:
            rotations, root = self.feet.push(rotations, root, ground)
        return BodyFrames(rotations, root)


SHARD_FRAMES = 200
ABOUT, SPANS = "about.json", "spans.jsonl"
_TIMELINE = ("scene", "fps", "frames", "activities")  # keys of a timeline that its head does not give
_SHAPES = {"rotations": (22, 4), "root": (3,), "joints": (22, 3)}  # of a frame
MAX_SPANS_BYTES = 64 << 20
BUSY = "a run is writing it, or its parts are being joined; wait until that is over, or choose another -o"


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
        self.pending: list[BodyFrames] = []
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

    def add(self, frames: BodyFrames, spans: Sequence[Span] = ()) -> None:
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
        frames = BodyFrames(
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
        UserError: no parts, none that can be read, or a damaged head.
    """
    folder = parts_folder(target)
    if not (folder / ABOUT).is_file():
        raise UserError(f"{folder}: no parts of an interrupted run here; accepted -o of the run to be joined")
    about = _read_head(folder / ABOUT)
    shards: list[Path] = []
    while (path := folder / f"{len(shards):06d}.npz").is_file():
        shards.append(path)
    try:
        for last in shards[-1:]:
            Motion.load(last)
    except UserError as e:
        if len(shards) == 1:
            raise UserError(
                f"{e}; the run was interrupted before it had made another part; remove the folder"
            ) from None
        shards.pop()
        note(f"{e}; left out")
    if not shards:
        raise UserError(f"{folder}: the run was interrupted before it had made anything; remove the folder")
    spans = []
    if (folder / SPANS).is_file():
        for line in read_text(folder / SPANS, MAX_SPANS_BYTES).split("\n"):
            try:
                spans.append(Span.from_json(line))
            except (ValueError, TypeError, RecursionError):  # the last line may be cut short
                break
    return shards, spans, about


def _read_head(path: Path) -> dict[str, Any]:
    """The head of a run: a text `scene`, a number `fps`, and what else fits into JSON."""
    accepted = 'accepted {"scene": "...", "fps": 20.0, ...}, as the run wrote it'
    about = read_object(path, accepted=accepted)
    with parsing(path, "the head of a run", accepted):
        # neither NaN nor halves of characters can be written again
        json.dumps(about, ensure_ascii=False, allow_nan=False).encode()
        if not isinstance(about["scene"], str) or not isinstance(about["fps"], int | float):
            raise ValueError("scene is no text, or fps no number")
        check_fps(about["fps"], "run")
    return about


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
    with lock_parts(target):
        shards, spans, about = read_parts(target, note)
        scene, fps = about["scene"], float(about["fps"])
        # nothing is written, and nothing removed, of parts that do not belong together
        frames = sum(_length(p, fps) for p in shards)
        head = {k: v for k, v in about.items() if k not in _TIMELINE}
        result = timeline(scene, fps, frames, spans, head)
        atomic_write(output or target, lambda p: _write_joined(p, shards, frames, fps, scene))
        text = json.dumps(result, ensure_ascii=False, indent=1) + "\n"
        atomic_write(timeline_file(target), lambda p: p.write_text(text, encoding="utf-8"))
        if output is None:
            remove_parts(target)
    return result


@contextmanager
def lock_parts(target: Path) -> Iterator[None]:
    """A lock: no other process writes, joins or removes the parts of `target` meanwhile."""
    folder = parts_folder(target)
    if not folder.is_dir():
        raise UserError(f"{folder}: no parts of an interrupted run here; accepted -o of the run to be joined")
    with folder_lock(folder, BUSY):
        yield


def remove_parts(target: Path) -> None:
    """Remove the folder of parts, from within `lock_parts`."""
    for path in parts_folder(target).iterdir():
        if path.name != LOCK:
            path.unlink()
    shutil.rmtree(parts_folder(target), ignore_errors=True)  # Windows keeps the lock, which is no part


def _length(shard: Path, fps: float) -> int:
    """Frames of a part, each of its arrays as long. Raises UserError for a damaged one, or one of another run."""
    motion = Motion.load(shard)
    shapes = {key: _part(shard, key).shape for key in _SHAPES}
    if motion.fps != fps or shapes != {key: (len(motion), *shape) for key, shape in _SHAPES.items()}:
        raise UserError(f"{shard}: {motion.fps:g} frames a second, arrays {shapes}; accepted a part of the run with "
                        f"{fps:g}, its arrays equally long")  # fmt: skip
    return len(motion)


def _part(path: Path, key: str) -> np.ndarray:
    with parsing(path, "a readable part"):
        return np.asarray(read_arrays(path, (key,))[key])


def _write_joined(path: Path, shards: list[Path], frames: int, fps: float, caption: str) -> None:
    """The `.npz` form of `vqvae.motion.Motion.save`, arrays streamed from the shards."""
    scalars = {
        "modality": np.array("body"), "fps": np.array(fps), "caption": np.array(caption),
        "joint_names": np.array(SMPL22.names), "parents": np.array(SMPL22.parents, np.int64),
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as z:
        for key, value in scalars.items():
            with _member(z, key) as f:
                np.lib.format.write_array(f, value, allow_pickle=False)
        for key, shape in _SHAPES.items():
            with _member(z, key) as f:
                header = {"descr": "<f4", "fortran_order": False, "shape": (frames, *shape)}
                np.lib.format.write_array_header_1_0(f, header)
                for shard in shards:
                    f.write(np.ascontiguousarray(_part(shard, key), "<f4").tobytes())


def _member(archive: zipfile.ZipFile, key: str) -> IO[bytes]:
    info = zipfile.ZipInfo(f"{key}.npy")  # a fixed date: equal runs give equal files
    return archive.open(info, "w", force_zip64=True)
