"""Readers for faces: BEAT's and Audio2Face's JSON, MediaPipe's `.npz`, takes of Live Link Face."""

# BEAT (Liu et al. 2022): `{"names": [...], "frames": [{"weights": [...], "time": t, "rotation": [...]}]}`, 51 or 52
# ARKit shapes at 60 frames per second, without the tongue in some files. `time` is in seconds; frames that are missing
# are interpolated linearly. `rotation` is the head's where it is there: a quaternion x, y, z, w (ARKit's order), or
# three angles in radians yaw, pitch, roll as this project writes them; a frame without one gets it from its neighbours.
#
# Audio2Face: `exportFps, numPoses, numFrames, facsNames, weightMat`, without a head.
#
# MediaPipe, as voice2motion's preprocessing of video writes it:
# - `blendshapes`: (T, 52), `_neutral` and MediaPipe's 51 shapes by alphabet; no tongue, and the cheeks never puff.
# - `head_angles`: (T, 3) pitch, yaw, roll in degrees, turned as its renderer does (Rz Rx Ry: + pitch down, + yaw to the
#   person's left, + roll to the right shoulder). Their zero depends on the camera, so the clip's median is taken off.
# - `bad_frames`: frames without a face, filled in from their neighbours here.
# - `fps`: the video's frame rate; voice2motion does not write it.
#
# Live Link Face: `Timecode,BlendShapeCount` and 61 named columns.
# Columns are found by name in any case and order. Rows of another length are left out, but a file that ends with one
# was cut and is refused. `HH:MM:SS:FF.sub` counts FF in the app's time base, which need not be the row rate: the base
# is read from where FF starts again, the frame rate from the times. Rows that are missing are filled in linearly.
#
# Angles are in radians with the signs of the file's eye angles: positive yaw to the person's right, positive pitch
# down, positive roll to the person's left shoulder. `FaceMotion` has all three the other way round. These are ARKit's
# turns (X to the person's left, Y up, Z out of the face) about X, -Y and -Z, as Unreal's conversion of axes and its
# rotators make them (docs/avatar_formats.md).

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.clip import Clip, face_clip
from instruct_data.sources.corpus import Report
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of
from vqvae.io.data_files import array_names, plain_number, read_arrays, read_object
from vqvae.io.files import parsing, regular_file
from vqvae.motion import MAX_FRAMES

MAX_JSON_BYTES = 1 << 28  # about four hours of curves; parsed, they take some ten times as much memory
MIN_WEIGHT, MAX_WEIGHT = -0.5, 1.5  # real takes go to 1.08; beyond these, numbers are of another kind (percent, angles)
MIN_NAMES = 20  # ARKit shapes that a file needs
BEAT_FPS, AUDIO2FACE_FPS = 60.0, 30.0  # where a file does not say its rate
COMMON_RATES = (24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 90.0, 100.0, 120.0)
NTSC = 1000 / 1001  # of 24, 30, 60 and 120
DEFAULT_RATE = 30.0
JITTER = 0.004  # of a step: what rounding to a thousandth of a count makes of even rows
COUNTED_TOLERANCE, MEASURED_TOLERANCE = 2e-4, 0.03  # distance at which a common rate is taken, of even and uneven rows
MAX_GAP_SECONDS = 600.0  # between two rows; more means damaged times


def check_weights(weights: np.ndarray, names: Sequence[str], rows: Sequence[int] | None = None) -> None:
    """Weights as a file has them, (T, n) of its columns `names`, must not be far outside 0 to 1. `rows`: T numbers for
    messages; None = counted from 1.
    """
    bad = np.argwhere((weights < MIN_WEIGHT) | (weights > MAX_WEIGHT))
    if len(bad):
        t, column = bad[0]
        row = int(t) + 1 if rows is None else rows[t]
        where = f"row {row}, {names[column]}: {weights[t, column]:g}"
        raise UserError(f"{where}; accepted weights from 0 to 1 ({MIN_WEIGHT} to {MAX_WEIGHT}, cut to these)")


def evenly_spaced(values: np.ndarray, times: np.ndarray, rounding: float = 0.0) -> tuple[np.ndarray, float]:
    """Rows with times -> frames at the row rate: that of evenly counted rows, else a common one near the median step's.

    Args:
        values: (T, n). times: (T,) seconds from the first row; rows that do not rise are left out.
        rounding: seconds to which the times are rounded; rows that are as even as this allows count as even.
    """
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(times)) > 0])
    values, times = values[rising], times[rising]
    if len(times) < 2:
        return values, DEFAULT_RATE
    steps = np.diff(times)
    mean = float(steps.mean())
    rates: tuple[float, ...] = (*COMMON_RATES, *(NTSC * r for r in (24.0, 30.0, 60.0, 120.0)))
    if np.abs(steps - mean).max() < JITTER * mean:  # counted, not measured: the rate is in the file
        fps, rates, tolerance = 1 / mean, (*rates, round(1 / mean, 1)), max(COUNTED_TOLERANCE, 0.002 / len(steps))
    elif np.abs(times - mean * np.arange(len(times))).max() <= rounding:
        fps, tolerance = 1 / mean, 2 * rounding / float(times[-1])
    else:
        fps, rates, tolerance = 1 / float(np.median(steps)), COMMON_RATES, MEASURED_TOLERANCE
    closest = min(rates, key=lambda r: abs(r - fps))
    fps = closest if abs(closest - fps) / closest < tolerance else fps
    count = round(times[-1] * fps) + 1
    if count == len(times):
        return values, fps
    if count > MAX_FRAMES:
        raise UserError(f"{count} frames; at most {MAX_FRAMES}")
    at = np.arange(count) / fps
    return np.stack([np.interp(at, times, v) for v in values.T], 1), fps


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    return read_object(path, MAX_JSON_BYTES, "accepted BEAT (names, frames), Audio2Face (facsNames, weightMat)")


def from_columns(
    path: Path, names: list[str], rows: list[Any], fps: float, head: np.ndarray | None = None
) -> FaceMotion:
    """Named columns to a clip; shapes that the file does not have stay at 0.

    Args:
        path: for messages.
        names: of the columns.
        rows: T rows of weights.
        head: (T, 3) yaw, pitch, roll in radians, ours; None = still.
    """
    columns = arkit.columns(names)
    if len(columns) < MIN_NAMES:
        raise UserError(
            f"{path}: {len(columns)} of its {len(names)} names are ARKit shapes; accepted at least {MIN_NAMES}"
        )
    if not 0 < len(rows) <= MAX_FRAMES:
        raise UserError(f"{path}: {len(rows)} frames; accepted 1 to {MAX_FRAMES}")
    try:
        values = np.array(rows, np.float64)
        if values.ndim != 2 or values.shape[1] != len(names):
            raise ValueError(f"shape {values.shape}")
        used = list(columns.values())
        check_weights(values[:, used], [names[c] for c in used])
        weights = np.zeros((len(values), arkit.COUNT))
        weights[:, list(columns)] = values[:, used]
        return FaceMotion(weights, np.zeros((len(values), 3)) if head is None else head, fps)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
    except (TypeError, ValueError, OverflowError) as e:
        raise UserError(f"{path}: rows of weights differ from the {len(names)} names ({e})") from None


def from_audio2face(data: dict[str, Any], path: Path) -> FaceMotion:
    """A parsed Audio2Face file. ``facsNames`` may be ARKit names in any spelling."""
    names, rows = data.get("facsNames"), data.get("weightMat")
    if not isinstance(names, list) or not isinstance(rows, list):
        raise UserError(f"{path}: no facsNames and weightMat; accepted an Audio2Face file")
    try:
        fps = float(data.get("exportFps", AUDIO2FACE_FPS))
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: exportFps is no number") from None
    return from_columns(path, [str(n) for n in names], rows, fps)


def from_beat(data: dict[str, Any], path: Path) -> FaceMotion:
    """A parsed BEAT file, at the rate of its times (60 where no frame has one)."""
    names, frames = data.get("names"), data.get("frames")
    if not isinstance(names, list) or not isinstance(frames, list) or not frames:
        raise UserError(f"{path}: no names and frames; accepted a BEAT face file")
    try:
        rows = [f["weights"] for f in frames]
        timed = any("time" in f for f in frames) and len(frames) > 1
        times = np.array([float(f["time"]) for f in frames]) if timed else None
        rotations = [f.get("rotation") or [] for f in frames]
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as e:
        raise UserError(f"{path}: frames need weights and time ({type(e).__name__}: {e})") from None
    face = from_columns(path, [str(n) for n in names], rows, BEAT_FPS, _beat_head(rotations, path))
    if times is None:
        return face
    _check_beat_times(times, path)
    # seconds to which the times are rounded, 0 where they have six decimals or more
    rounding = next((10.0**-d for d in range(1, 6) if np.abs(times - times.round(d)).max() < 1e-9), 0.0)
    with parsing(path, "a face"):
        return FaceMotion.from_curves(*evenly_spaced(face.curves, times - times[0], rounding))


def _check_beat_times(times: np.ndarray, path: Path) -> None:
    """Raises UserError for times (T,), T > 1, that are not seconds rising from frame to frame."""
    steps = np.diff(times)
    wrong = ~(np.isfinite(steps) & (steps > 0) & (steps <= MAX_GAP_SECONDS))
    if wrong.any():
        at = int(wrong.argmax()) + 1
        raise UserError(f"{path}: frame {at + 1}: time {times[at]:g} after {times[at - 1]:g}; accepted seconds that "
                        f"rise, by at most {MAX_GAP_SECONDS:g}")  # fmt: skip
    if np.median(steps) > 1:
        raise UserError(f"{path}: times {np.median(steps):g} apart; accepted seconds, at least one frame in each")


def _beat_head(rotations: list[Any], path: Path) -> np.ndarray | None:
    """(T, 3) yaw, pitch, roll; None where no frame has a rotation. Frames without one get it from their neighbours."""
    try:
        lengths = np.array([len(r) for r in rotations])
    except TypeError:
        raise UserError(f"{path}: rotation is not numbers") from None
    present = np.flatnonzero(lengths)
    if not len(present):
        return None
    width = int(lengths[present[0]])
    odd = np.flatnonzero((lengths > 0) & ((lengths != width) | (width not in (3, 4))))
    if len(odd):
        raise UserError(f"{path}: frame {odd[0] + 1}: rotation of {lengths[odd[0]]} numbers; accepted 4 (x, y, z, w) "
                        "or 3 (yaw, pitch, roll) in all frames")  # fmt: skip
    if len(present) < len(rotations) / 2:
        raise UserError(f"{path}: rotation in {len(present)} of {len(rotations)} frames, not in frame "
                        f"{int(lengths.argmin()) + 1}; accepted in most of them")  # fmt: skip
    try:
        r = np.array([rotations[i] for i in present], np.float64)
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{path}: rotation is not numbers") from None
    if width == 4:
        empty = np.flatnonzero(np.linalg.norm(r, axis=1) < 1e-6)
        if len(empty):
            raise UserError(f"{path}: frame {present[empty[0]] + 1}: rotation 0, 0, 0, 0 is no quaternion")
        r = angles_of(r[:, [3, 0, 1, 2]])
    return np.stack([np.interp(np.arange(len(rotations)), present, column) for column in r.T], 1)


SHAPES, RATE = "blendshapes", "fps"
DEFAULT_FPS = 30.0
SIGNS = np.array([1.0, -1.0, 1.0])  # of yaw, pitch, roll in the file relative to ours


def mediapipe_kind(path: Path) -> tuple[bool, bool]:
    """Whether an `.npz` has MediaPipe's shapes, and whether it has their frame rate."""
    names = array_names(path)
    return SHAPES in names, RATE in names


def read_mediapipe(path: str | os.PathLike[str], fps: float | None = None) -> FaceMotion:
    """One file. `fps`: of the video; None: what the file says, `DEFAULT_FPS` where it does not."""
    path = Path(path)
    data = read_arrays(path, (SHAPES, "head_angles", "bad_frames", RATE))
    if SHAPES not in data:
        raise UserError(f"{path}: no {SHAPES} in it; accepted what voice2motion's preprocessing writes")
    try:
        shapes = np.asarray(data[SHAPES], np.float64)
        angles = np.asarray(data.get("head_angles", np.zeros((len(shapes), 3))), np.float64)
    except (TypeError, ValueError) as e:
        raise UserError(f"{path}: not numbers ({e})") from None
    if shapes.ndim != 2 or shapes.shape[1] != len(arkit.MEDIAPIPE) or angles.shape != (len(shapes), 3):
        raise UserError(f"{path}: {SHAPES} {shapes.shape}, head_angles {angles.shape}; accepted (T, 52) and (T, 3)")
    good = _good(data.get("bad_frames"), len(shapes), path)
    where = arkit.columns(list(arkit.MEDIAPIPE))
    weights = np.zeros((len(shapes), arkit.COUNT))
    weights[:, list(where)] = shapes[:, list(where.values())]
    turned = angles[:, [1, 0, 2]]
    # about their mean direction first: the median of angles on both sides of 180 degrees is neither's
    turned = _wrap_degrees(turned - np.degrees(np.angle(np.exp(1j * np.radians(turned[good])).mean(0))))
    turned = _wrap_degrees(turned - np.median(turned[good], 0))
    both = np.concatenate([weights, np.radians(turned) * SIGNS], 1)
    every = np.arange(len(both))
    both = np.stack([np.interp(every, every[good], column[good]) for column in both.T], 1)
    with parsing(path, "a face"):
        used = list(where.values())
        names, rows = [arkit.MEDIAPIPE[c] for c in used], [int(t) + 1 for t in every[good]]
        check_weights(shapes[good][:, used], names, rows)
        return FaceMotion.from_curves(both, _rate(data.get(RATE), fps))


def _wrap_degrees(degrees: np.ndarray) -> np.ndarray:
    out: np.ndarray = (degrees + 180) % 360 - 180
    return out


def _rate(in_file: Any, fps: float | None) -> float:
    """Frames per second: that of the file, `fps` where it has none."""
    if in_file is None:
        return DEFAULT_FPS if fps is None else fps
    try:
        rate = float(in_file)
    except (TypeError, ValueError):
        raise UserError(f"{RATE} is no number") from None
    if fps is not None and abs(fps - rate) > 1e-6 * rate:
        raise UserError(f"{fps:g} frames a second; accepted {rate:g}, which the file says")
    return rate


def _good(bad: Any, count: int, path: Path) -> np.ndarray:
    """(T,) bool: frames in which a face was seen."""
    good = np.ones(count, bool)
    listed = np.asarray([] if bad is None else bad)
    if listed.size:
        if listed.dtype.kind not in "iu" or listed.min() < 0 or listed.max() >= count:
            raise UserError(f"{path}: bad_frames are not frame numbers below {count}")
        good[listed] = False
    if not good.any():
        raise UserError(f"{path}: no frame with a face")
    return good


HEAD_SIGNS = np.array([-1.0, -1.0, -1.0])  # file <-> FaceMotion, yaw pitch roll
USUAL_BASES = (30.0, 60.0, 120.0)  # of takes that lie within one second
MAX_SKIPPED_COUNTS = 3  # counts that no row of a take has at the end of a second
OPTIONAL_SHAPES = ("tongueOut",)  # MediaPipe, and files made with it, know no tongue
_HEAD = ("headyaw", "headpitch", "headroll")


def read_livelink(path: str | os.PathLike[str]) -> FaceMotion:
    """One take, at the rate at which its rows come. `path`: ``.csv`` or ``.csv.gz``."""
    path = Path(path)
    with (
        parsing(regular_file(path), "a readable CSV"),
        (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8-sig", newline="") as f,
    ):
        codes, values, shapes, axes = _rows(csv.reader(f), path)
    full = np.zeros((len(values), arkit.COUNT + 3))
    full[:, shapes] = values[:, : len(shapes)]
    full[:, [arkit.COUNT + a for a in axes]] = values[:, len(shapes) :] * HEAD_SIGNS[axes]
    times = _times(codes, path)
    with parsing(path, "a face"):
        return FaceMotion.from_curves(*evenly_spaced(full, times))


def _rows(table: Iterator[list[str]], path: Path) -> tuple[list[str], np.ndarray, list[int], list[int]]:
    """Timecodes, (T, shapes + head) values, which shapes and which of yaw, pitch, roll the columns are."""
    header = next(table, None)
    if header is None:
        raise UserError(f"{path}: empty file")
    lower = [h.strip().lower() for h in header]
    where = arkit.columns(header)
    missing = [n for i, n in enumerate(arkit.NAMES) if i not in where and n not in OPTIONAL_SHAPES]
    if len(missing) > arkit.COUNT // 2 or "timecode" not in lower:
        raise UserError(f"{path}: {len(where)} ARKit columns; accepted a Live Link Face CSV with Timecode, "
                        "BlendShapeCount and the named shapes")  # fmt: skip
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; accepted all ARKit shapes, with or without tongueOut")
    time, shapes = lower.index("timecode"), sorted(where)
    axes = [i for i, h in enumerate(_HEAD) if h in lower]
    picked = [where[i] for i in shapes] + [lower.index(_HEAD[i]) for i in axes]
    codes: list[str] = []
    values: list[np.ndarray] = []
    rows: list[int] = []  # of the file, where the header is row 1
    last = header
    for number, row in enumerate(table, 2):
        last = row or last
        if len(row) != len(header):
            continue
        if len(values) == MAX_FRAMES:
            raise UserError(f"{path}: more than {MAX_FRAMES} frames")
        try:
            values.append(np.array([plain_number(row[c]) for c in picked], np.float32))
        except ValueError:
            column = next(c for c in picked if not _is_number(row[c]))
            raise UserError(f"{path}: row {number}, {header[column]}: {row[column]!r} is not a number") from None
        codes.append(row[time])
        rows.append(number)
    if not values:
        raise UserError(f"{path}: no complete row")
    if len(last) < len(header):
        raise UserError(f"{path}: its last row has {len(last)} of {len(header)} columns, so the file was cut short; "
                        "accepted whole files; without that row it is read")  # fmt: skip
    out = np.stack(values)
    bad = np.argwhere(~np.isfinite(out))
    if len(bad):
        raise UserError(f"{path}: row {rows[bad[0, 0]]}, {header[picked[bad[0, 1]]]}: NaN or infinity")
    with parsing(path, "a face"):
        check_weights(out[:, : len(shapes)], [header[c] for c in picked], rows)
    return codes, out, shapes, axes


def _is_number(text: str) -> bool:
    try:
        plain_number(text)
    except ValueError:
        return False
    return True


def _times(codes: list[str], path: Path) -> np.ndarray:
    """(T,) seconds from the first row, rising."""
    try:
        parts = np.array([[plain_number(x) for x in c.replace(";", ":").split(":")] for c in codes])
        if parts.ndim != 2 or parts.shape[1] != 4:
            raise ValueError(codes[0])
        if not np.isfinite(parts).all():
            raise ValueError(codes[int(np.argmin(np.isfinite(parts).all(1)))])
    except ValueError as e:
        raise UserError(f"{path}: timecode {e}; accepted HH:MM:SS:FF.sub") from None
    full_seconds = parts[:, :3] @ np.array([3600.0, 60.0, 1.0])
    seconds = full_seconds + parts[:, 3] / _time_base(full_seconds, parts[:, 3])
    seconds -= seconds[0]
    seconds += 86400 * np.cumsum(np.diff(seconds, prepend=0.0) < -43200)  # past midnight
    step = np.diff(seconds)
    if len(step) and (step.max() > MAX_GAP_SECONDS or (step <= 0).all()):
        raise UserError(f"{path}: timecodes do not rise row by row")
    return seconds


def _time_base(full_seconds: np.ndarray, frames: np.ndarray) -> float:
    """Frames per second that FF counts in: just above its largest value, at a common rate where one is near."""
    # rows may skip the last one or two counts of a second, as 30 rows a second in a base of 60 do
    top = np.floor(frames.max()) + 1
    if len(np.unique(full_seconds)) < 2:  # it never begins anew
        return next((r for r in USUAL_BASES if top <= r), float(top))
    return float(min((r for r in COMMON_RATES if top <= r <= top + MAX_SKIPPED_COUNTS), default=top))


def read_livelink_folder(folder: str | os.PathLike[str], report: Report | None = None) -> Iterator[Clip]:
    """Every ``*.csv`` and ``*.csv.gz`` below a folder as a clip without captions; unreadable ones go to `report`."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    report = Report() if report is None else report
    for path in sorted(p for p in folder.rglob("*.csv*") if p.name.endswith((".csv", ".csv.gz"))):
        name = str(path.relative_to(folder)).removesuffix(".gz").removesuffix(".csv")
        try:
            motion = read_livelink(path)
        except UserError as e:
            report.skip(name, str(e))
            continue
        report.read += 1
        yield face_clip(name, motion, [], "livelink", "not stated")
