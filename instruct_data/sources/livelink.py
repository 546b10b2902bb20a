"""Reader for Live Link Face takes: ``Timecode,BlendShapeCount`` and 61 named columns."""

# Columns are found by name in any case and order. Rows of another length are left out, but a file that ends with one
# was cut and is refused. `HH:MM:SS:FF.sub` counts FF in the app's time base, which need not be the row rate: the base
# is read from where FF starts again, the frame rate from the times. Rows that are missing are filled in linearly.
#
# Angles are in radians with the signs of the file's eye angles: positive yaw to the person's right, positive pitch
# down, positive roll to the person's left shoulder. `FaceMotion` has all three the other way round. These are ARKit's
# turns (X to the person's left, Y up, Z out of the face) about X, -Y and -Z, as Unreal's conversion of axes and its
# rotators make them (docs/face.md).

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip, face_clip
from instruct_data.sources.corpus import Report
from instruct_data.sources.face_files import COMMON_RATES, MAX_GAP_SECONDS, check_weights, evenly_spaced
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import plain_number
from vqvae.io.files import parsing, regular_file
from vqvae.motion import MAX_FRAMES

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
    try:
        return FaceMotion.from_curves(*evenly_spaced(full, times))
    except UserError as e:
        raise UserError(f"{path}: {e}") from None


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
    try:
        check_weights(out[:, : len(shapes)], [header[c] for c in picked], rows)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
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
