"""Motion files of other systems: match with the items of a suite, reading, and signs of a wrong frame or scale."""
# A file is named after its item, or the item and the number of the sample: ``017.npy``; ``017_0.npy``, ``017_1.npy``.
# Or a list names the prompt of each file: a CSV with the columns name and prompt, or JSON, ``{name: prompt}``; names
# with the same prompt are its samples, in the order of names.
# Bodies are judged by their positions. Files of positions alone, ``.npy`` (T, 22, 3) and (T, 263), keep their own
# skeleton and do not show where the head looks. All others have rotations.

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatargpt import export
from avatargpt.evaluation.suites import MAX_LIST_BYTES, csv_rows
from avatargpt.kinematics.joints import FPS, Signals
from instruct_data.sources.face_files import read_json as read_face_json
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io import hml263, ms272
from vqvae.io.data_files import map_array, read_json
from vqvae.io.files import parsing, real_path
from vqvae.motion import MAX_FRAMES, Motion, check_fps
from vqvae.skeleton import SMPL22

SUFFIXES = (".npy", ".npz", ".bvh", ".glb", ".gltf", ".vrma", ".csv", ".json")
LISTS = ("prompts.csv", "prompts.json")
ARRAYS = "(T, 22, 3) positions, (T, 263) HumanML3D, (T, 272) MotionStreamer, (T, 22, 7) positions with quaternions"
MIN_FRAMES = 4
MIN_CLIPS = 3  # a folder with fewer gets no warnings
MAX_FLOOR_OFFSET = 0.25  # m of the lowest joint of a clip from height 0
MIN_PATH = 0.005  # m; a pelvis that moves less never leaves its place
USUAL_SIZE = (0.8, 1.25)  # times the bones of our skeleton: people of different height
METRE_SIZE = (0.7, 1.4)  # times the bones of our skeleton: outside, positions are not in metres
RATE_TOLERANCE = 0.01  # relative difference of two frame rates that count as equal
UP = "+Y"
_J = {name: i for i, name in enumerate(SMPL22.names)}
_ANKLES, _TOES = [_J["l_ankle"], _J["r_ankle"]], [_J["l_foot"], _J["r_foot"]]
_AXES = ("+X", "+Y", "+Z", "-X", "-Y", "-Z")
_BONES_LENGTH = float(np.linalg.norm(SMPL22.offsets[1:], axis=-1).sum())


@dataclass(frozen=True)
class ExpectedFile:
    """One answer that a suite expects: the name of its file, and the prompt."""

    id: str
    text: str


@dataclass(frozen=True)
class OutputFiles:
    """Files by item, in the order of samples, and what does not match, ``{item, reason}``."""

    files: Mapping[str, Sequence[Path]]
    failed: Sequence[dict[str, str]]

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents."""
        total = hashlib.sha256()
        for path in sorted({p for paths in self.files.values() for p in paths}):
            total.update(path.name.encode(errors="surrogateescape") + b"\0")
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()


def normalise_prompt(text: str) -> str:
    """A prompt without what lists change in it: case, spaces, the point at its end."""
    return " ".join(text.split()).rstrip(".").casefold()


def match_files(folder: Path, items: Sequence[ExpectedFile], names: Path | None = None) -> OutputFiles:
    """Match the files of a folder with the items of a suite."""
    if not folder.is_dir():
        raise UserError(f"--outputs {folder}: no such folder; accepted one of {', '.join(SUFFIXES)}")
    if names is None:
        names = next((folder / n for n in LISTS if (folder / n).is_file()), None)
    prompts_by_name = None if names is None else read_names(names)
    keys = [i.id if prompts_by_name is None else normalise_prompt(i.text) for i in items]
    expected = _Expected(dict(zip(keys, items, strict=True)), prompts_by_name, "" if names is None else names.name)
    files: dict[str, Path] = {}
    failed: list[dict[str, str]] = []
    ignored: list[Path] = []
    # Sorted, so that of two files with one name the same one is always refused.
    for path in sorted(folder.iterdir()):
        if path.name in LISTS or (names and real_path(path) == real_path(names)):
            continue
        if path.is_dir() or path.suffix.lower() not in SUFFIXES:
            ignored.append(path)
        elif path.stem in files:
            failed.append({"item": path.name, "reason": f"{files[path.stem].name} has its name; accepted one of both"})
        else:
            files[path.stem] = path
    failed += _list_overlooked(ignored, expected, files)
    if names is not None:
        failed += [{"item": n, "reason": f"no file of this name, which {names.name} lists"}
                   for n in prompts_by_name or () if n not in files]  # fmt: skip
    samples: dict[str, list[tuple[int, str, Path]]] = defaultdict(list)
    for name, path in files.items():
        match = expected.item(name)
        if match is None:
            failed.append({"item": name, "reason": expected.why_not(name)})
        else:
            samples[match[0].id].append((match[1], name, path))
    failed += [{"item": i.id, "reason": f"no file; asked was: {i.text}"} for i in items if i.id not in samples]
    return OutputFiles({k: [path for *_, path in sorted(v)] for k, v in sorted(samples.items())}, failed)


# Reasons for unread folders and formats that hold an expected name of which there is no other file.
def _list_overlooked(
    ignored: Sequence[Path], expected: _Expected, files: Mapping[str, Path]
) -> Iterator[dict[str, str]]:
    def is_expected(path: Path) -> bool:
        return path.is_file() and path.stem not in files and bool(expected.item(path.stem) or expected.item(path.name))

    for path in ignored:
        if path.is_dir():
            if count := sum(map(is_expected, path.rglob("*"))):
                reason = f"{count} file{'s' * (count > 1)} with names that are asked; accepted files beside this folder"
                yield {"item": f"{path.name}/", "reason": reason}
        elif is_expected(path):
            yield {"item": path.name, "reason": f"no format that is read; accepted {', '.join(SUFFIXES)}"}


@dataclass(frozen=True)
class _Expected:
    """Items by the names of their files."""

    items: Mapping[str, ExpectedFile]  # by id, or by their words where there is a list
    prompts_by_name: Mapping[str, str] | None  # of the list; None = names are ids
    list_name: str  # of the list's file

    def item(self, name: str) -> tuple[ExpectedFile, int] | None:
        """What a file of this name answers, and its number among the samples; None = nothing."""
        if self.prompts_by_name is not None:
            prompt = self.prompts_by_name.get(name)
            item = None if prompt is None else self.items.get(normalise_prompt(prompt))
            return None if item is None else (item, 0)
        stem, _, sample = name.rpartition("_")
        if name in self.items:
            return self.items[name], 0
        return (self.items[stem], int(sample)) if sample.isdecimal() and stem in self.items else None

    def why_not(self, name: str) -> str:
        """Why a name answers nothing."""
        if self.prompts_by_name is not None:
            prompt = self.prompts_by_name.get(name)
            return f"{self.list_name} does not name it" if prompt is None else f"the suite does not ask: {prompt}"
        def strip_zeros(name: str) -> str:
            """A name with its numbers as integers: 007 and 7 are equal."""
            return re.sub(r"\d+", lambda m: str(int(m[0])), name)

        unpadded_ids = {strip_zeros(i): i for i in self.items}
        stem, _, sample = name.rpartition("_")
        hint = unpadded_ids.get(strip_zeros(name)) or (
            unpadded_ids.get(strip_zeros(stem)) if sample.isdecimal() else None
        )
        suggestion = f", did you mean {hint}?" if hint else ""
        return f"the suite has no such item{suggestion}; accepted ids of `eval ask`"


def read_names(path: Path) -> dict[str, str]:
    """Name -> prompt."""
    accepted = "accepted a CSV with the columns name and prompt, or JSON {name: prompt}"
    if path.suffix.lower() == ".json":
        value = read_json(path, MAX_LIST_BYTES, accepted)
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise UserError(f"{path}: no object of texts; {accepted}")
        return {str(Path(k).stem if Path(k).suffix.lower() in SUFFIXES else k): v for k, v in value.items()}
    rows = csv_rows(path, accepted)
    out: dict[str, str] = {}
    for line, row in rows:
        name = row.get("name") or row.get("id") or ""
        if not name or not row.get("prompt"):
            raise UserError(f"{path}: line {line}: no name or no prompt; {accepted}")
        name = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name
        if name in out:
            raise UserError(f"{path}: line {line}: {name} a second time; accepted every name once")
        out[name] = row["prompt"]
    return out


@dataclass(frozen=True)
class ClipSigns:
    """Signs of frame and scale in one clip."""

    up: str  # axis along which the head is over the pelvis and the pelvis over the ankles in most frames, "" = none
    exchanged: bool  # whether toes point backwards by left, right and up
    lowest: float  # height of the lowest joint, metres: the 5th percentile over frames
    pelvis: float  # its median height
    way: float  # extent of the pelvis' path on the ground, metres
    size: float  # length of all bones, times ours


def size(joints: np.ndarray) -> float:
    """Length of all bones of (T, 22, 3) positions, times that of ours: the median over frames."""
    bones = np.linalg.norm(joints[:, 1:] - joints[:, list(SMPL22.parents[1:])], axis=-1)
    return float(np.median(bones.sum(1))) / _BONES_LENGTH


def clip_signs(joints: np.ndarray) -> ClipSigns:
    """The signs of one clip. `joints`: (T, 22, 3) as the file has them, taken for metres, Y up."""
    x = np.asarray(joints, np.float64)[:, : len(SMPL22.names)]
    ankles, pelvis = x[:, _ANKLES].mean(1), x[:, 0]
    upper, lower = x[:, _J["head"]] - pelvis, pelvis - ankles
    body = x[:, _J["head"]] - ankles
    axis = np.abs(body).argmax(1)
    at = np.arange(len(x)), axis
    # Along the dominant axis, of whatever sign: an upside-down body is found as well.
    side = np.sign(body[at])
    straight = (upper[at] * side > 0) & (lower[at] * side > 0)
    axes = Counter(_AXES[a + 3 * (s < 0)] for a, s in zip(axis[straight], side[straight], strict=True))
    name, times = axes.most_common(1)[0] if axes else ("", 0)
    forward = np.cross(x[:, _J["l_hip"]] - x[:, _J["r_hip"]], body)
    toes = (x[:, _TOES] - x[:, _ANKLES]).mean(1)
    return ClipSigns(
        name if 2 * times > len(x) else "", bool(np.median((forward * toes).sum(1)) < 0),
        float(np.percentile(x[..., 1].min(1), 5)), float(np.median(pelvis[:, 1])),
        float(np.ptp(pelvis[:, [0, 2]], axis=0).max()), size(x),
    )  # fmt: skip


def frame_warnings(clips: Sequence[ClipSigns]) -> list[str]:
    """A sentence for each sign of a wrong frame or scale in most clips; none for fewer than `MIN_CLIPS`."""
    count = len(clips)
    if count < MIN_CLIPS:
        return []

    def is_most(number: int) -> bool:
        return 2 * number > count

    def share(number: int) -> str:
        return f"in {number} of {count} clips"

    out = []
    wrong = Counter(c.up for c in clips if c.up not in ("", UP))
    turned = is_most(wrong.total())
    if turned:
        axes = " or ".join(name for name, _ in sorted(wrong.items(), key=lambda w: (-w[1], w[0])))
        out.append(f"heads are above pelvis and ankles along {axes} {share(wrong.total())}; accepted Y up")
    if is_most(exchanged := sum(c.exchanged for c in clips)):
        out.append(f"toes point backwards by the left and right hip {share(exchanged)}, as where left and right joints "
                   "are exchanged or one axis is flipped; accepted left = +X when facing +Z, Y up")  # fmt: skip
    off = [c.lowest for c in clips if abs(c.lowest) > MAX_FLOOR_OFFSET]
    centred = sum(abs(c.pelvis) < MAX_FLOOR_OFFSET and c.lowest < -MAX_FLOOR_OFFSET for c in clips)
    # Heights mean nothing along a wrong axis: one fault is reported, not its consequences.
    if is_most(centred) and not turned:
        out.append(f"the pelvis is at height 0 {share(centred)}; accepted heights over a floor at 0")
    elif is_most(len(off)) and not turned:
        high = float(np.median(off))
        out.append(f"the lowest joint is {abs(high):.2g} m {'above' if high > 0 else 'below'} height 0 "
                   f"{share(len(off))}; accepted a floor at height 0, within {MAX_FLOOR_OFFSET:g} m")  # fmt: skip
    if all(c.way < MIN_PATH for c in clips):
        out.append("the pelvis never leaves its place in any clip; accepted positions with the way of the body")
    if is_most(sum(not USUAL_SIZE[0] <= c.size <= USUAL_SIZE[1] for c in clips)):
        times = float(np.median([c.size for c in clips]))
        out.append(f"bones are {times:.2g} times as long as those of a person of 1.7 m; accepted metres")
    return out


def lacks_head(path: Path) -> bool:
    """Whether a face's file has no place for the head's rotation, as Audio2Face's JSON."""
    return path.suffix.lower() == ".json" and "weightMat" in read_face_json(path)


# Gets the joints (T, 22, 3) of a body as its file has them.
JointsCallback = Callable[[np.ndarray], object]


def read_body(path: Path, fps: float | None = None, on_joints: JointsCallback | None = None) -> Signals:
    """The signals that predicates use.

    Args:
        fps: rate of files that do not state theirs (20 without it); those that do must state the same.
        on_joints: is called where the file can be read.
    """
    positions = _positions(path, fps, on_joints)
    return Signals(_motion(path, fps, on_joints)) if positions is None else Signals.of_joints(*positions)


def read_motion(path: Path, fps: float | None = None, on_joints: JointsCallback | None = None) -> Motion:
    """A body with rotations; of positions alone those that put the bones there (`hml263.swing_rotations`)."""
    return read_both(path, fps, on_joints)[0]


def read_both(path: Path, fps: float | None = None, on_joints: JointsCallback | None = None) -> tuple[Motion, Signals]:
    """`read_motion` and `read_body` of a file that is read once."""
    positions = _positions(path, fps, on_joints)
    if positions is None:
        loaded = _motion(path, fps, on_joints)
        return loaded, Signals(loaded)
    joints, rate, _ = positions
    with parsing(path, "a body of 22 joints"):
        motion = Motion(hml263.swing_rotations(joints), joints[:, 0], rate)
    return motion, Signals.of_joints(*positions)


def read_face(path: Path, fps: float | None = None) -> FaceMotion:
    """A face: Live Link CSV, our own or MediaPipe's .npz, .json, .glb."""
    motion = export.load(path)
    if not isinstance(motion, FaceMotion):
        raise UserError(f"{path}: a motion of a body; accepted a face")
    _check_rate(path, motion.fps, fps)
    _check_frames(path, len(motion))
    return motion


def _motion(path: Path, fps: float | None, on_joints: JointsCallback | None) -> Motion:
    options = {"fps": fps} if path.suffix.lower() == ".npy" and fps is not None else {}
    motion = export.load(path, **options)
    if not isinstance(motion, Motion):
        raise UserError(f"{path}: a motion of a {motion.modality}; accepted a body")
    _check_rate(path, motion.fps, fps)
    _check_frames(path, len(motion))
    joints = motion.joints
    _check_size(path, joints)
    if on_joints is not None:
        on_joints(joints)
    return motion


# Joints (T, 22, 3), their rate, and where the face points; None for files of rotations.
def _positions(
    path: Path, fps: float | None, on_joints: JointsCallback | None
) -> tuple[np.ndarray, float, np.ndarray | None] | None:
    if path.suffix.lower() != ".npy":
        return None
    # Mapped: the shape is checked before anything large is read.
    array = map_array(path, f"accepted {ARRAYS}")
    reader = _ARRAYS.get(array.shape[1:])
    if reader is None:
        if array.shape[1:] in ((22, 7), (9, 7)):
            return None
        raise UserError(f"{path}: shape {array.shape}; accepted {ARRAYS}")
    rate, convert = reader
    if not MIN_FRAMES <= len(array) <= MAX_FRAMES:
        raise UserError(f"{path}: {len(array)} frames; accepted {MIN_FRAMES} to {MAX_FRAMES}")
    _check_rate(path, rate, fps)
    array = np.array(array, np.float64)
    finite = np.isfinite(array).reshape(len(array), -1).all(1)
    if not finite.all():
        raise UserError(f"{path}: NaN or infinity at frame {int(np.argmin(finite))}; accepted finite numbers")
    with parsing(path, "a body"):
        joints, nose = convert(array)
    _check_size(path, joints)
    rate = rate or fps or FPS
    check_fps(rate, str(path))
    if on_joints is not None:
        on_joints(joints)
    return joints, rate, nose


_Joints = tuple[np.ndarray, np.ndarray | None]
# Shape of a frame -> its frame rate (None = not fixed) and array -> joints and direction of the face.
_ARRAYS: dict[tuple[int, ...], tuple[float | None, Callable[[np.ndarray], _Joints]]] = {
    (22, 3): (None, lambda x: (x, None)),
    (263,): (hml263.HML263Features.fps, lambda x: (hml263.recover_joints(x), None)),
    (272,): (ms272.FPS, lambda x: (ms272.recover_joints(x), ms272.face_direction(x))),
}


def _check_rate(path: Path, stated: float | None, expected: float | None) -> None:
    if stated is not None and expected is not None and abs(stated - expected) > RATE_TOLERANCE * expected:
        raise UserError(f"{path}: {stated:g} frames a second; accepted {expected:g}, as --fps says")


def _check_frames(path: Path, count: int) -> None:
    if count < MIN_FRAMES:
        raise UserError(f"{path}: {count} frames; accepted at least {MIN_FRAMES}")


# Centimetres, inches and normalised features are not positions in metres.
def _check_size(path: Path, joints: np.ndarray) -> None:
    if not METRE_SIZE[0] <= (ratio := size(joints)) <= METRE_SIZE[1]:
        raise UserError(f"{path}: bones {ratio:.3g} times as long as a person's; accepted metres, "
                        f"{METRE_SIZE[0]:g} to {METRE_SIZE[1]:g} times")  # fmt: skip
