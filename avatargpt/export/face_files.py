"""Text files of a face: Live Link Face's CSV, which Unreal and most face tools read; JSON of Audio2Face and BEAT."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.export import viseme_files
from avatargpt.export.avatar import AvatarMotion, body_and_face
from instruct_data.sources.face_files import COMMON_RATES, HEAD_SIGNS
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_json as read_data
from vqvae.motion import atomic_write

MIN_RATE = 20  # above which readers take FF to count in a common rate
MIN_FRACTIONAL_RATE = 8  # the same for rates that are not whole
UP_DEGREES = 27.0  # gaze of a full eyeLookUp: 25 to 29.5 in real takes, where a full eyeLookDown is 35
DIGITS = 6  # of numbers in JSON
JSON_FORMS = "accepted BEAT (names, frames), Audio2Face (facsNames, weightMat), visemes of Oculus or Azure"
COUNTS = ("BlendShapeCount", "BlendshapeCount")  # spellings of the second column: of the app, and of other tools
HEADER = ("Timecode", "BlendShapeCount", *arkit.LIVE_LINK)


def timecodes(count: int, fps: float) -> list[str]:
    """``HH:MM:SS:FF.sub`` of every frame, FF counting in the next rate that cameras have from `fps` up.

    Readers see in which rate FF counts where it begins anew: a take of less than a second and a half, in which it might
    not, begins in the middle of a second, as takes do that begin at the time of day.
    """
    base = int(np.ceil(fps - 1e-6))
    if base > MIN_RATE or (fps >= MIN_FRACTIONAL_RATE and abs(fps - round(fps)) > 1e-6):
        base = int(next(r for r in COMMON_RATES if r >= base))
    start = 3600 - (count // 2) / fps if 1 < count < 1.5 * fps else 0.0
    thousandths = np.round((start + np.arange(count) / fps) * base * 1000).astype(np.int64)
    frames, sub = np.divmod(thousandths, 1000)
    seconds, frames = np.divmod(frames, base)
    minutes, seconds = np.divmod(seconds, 60)
    hours, minutes = np.divmod(minutes, 60)
    rows = zip(hours, minutes, seconds, frames, sub, strict=True)
    return [f"{h:02d}:{m:02d}:{s:02d}:{f:02d}.{u:03d}" for h, m, s, f, u in rows]


def angles(motion: FaceMotion) -> np.ndarray:
    """(T, 9) yaw, pitch and roll of the head, the left and the right eye in radians with the file's signs.

    The eyes' angles are what their look weights say; an eye's roll is 0.
    """
    scale = np.radians(arkit.EYE_DEGREES)
    w = {n: motion.weights[:, arkit.INDEX[n]] for n in arkit.NAMES if n.startswith("eyeLook")}
    eyes = []
    for side, to_right, to_left in (("Left", "In", "Out"), ("Right", "Out", "In")):
        yaw = (w[f"eyeLook{to_right}{side}"] - w[f"eyeLook{to_left}{side}"]) * scale
        pitch = w[f"eyeLookDown{side}"] * scale - w[f"eyeLookUp{side}"] * np.radians(UP_DEGREES)
        eyes += [yaw, pitch, np.zeros(len(motion))]
    return np.concatenate([motion.head * HEAD_SIGNS, np.stack(eyes, 1)], 1)


def write_livelink(motion: FaceMotion | AvatarMotion, path: Path, layout: str = COUNTS[0]) -> Path:
    """Write a CSV with Live Link Face's header; see :mod:`instruct_data.sources.face_files` for the angles' signs.

    `layout`: how the second column is spelt, see `COUNTS`.
    """
    face = body_and_face(motion)[1]
    assert face is not None
    if face.fps > 120:
        raise UserError(f"{path}: {face.fps:g} frames per second; a Live Link timecode counts at most 120")
    order = [arkit.INDEX[n[:1].lower() + n[1:]] for n in arkit.LIVE_LINK[: arkit.COUNT]]
    rows = np.concatenate([face.weights[:, order], angles(face)], 1)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow([HEADER[0], layout, *HEADER[2:]])
    for code, row in zip(timecodes(len(face), face.fps), rows, strict=True):
        table.writerow([code, len(row), *(f"{v:.10f}" for v in row)])
    text = out.getvalue()
    return atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_json(motion: FaceMotion, path: Path, layout: str = "audio2face") -> Path:
    """Write JSON as of Audio2Face, of BEAT (``layout="beat"``), or visemes (`viseme_files.LAYOUTS`)."""
    weights, head = (x.astype(float).round(DIGITS).tolist() for x in (motion.weights, motion.head))
    content: dict[str, Any]
    if layout in viseme_files.LAYOUTS:
        text = json.dumps(viseme_files.content(motion, layout))
        return atomic_write(path, lambda p: p.write_text(text + "\n", encoding="utf-8"))
    if layout == "beat":
        rows = zip(weights, head, strict=True)
        frames = [{"weights": w, "time": round(i / motion.fps, 6), "rotation": h} for i, (w, h) in enumerate(rows)]
        content = {"names": list(arkit.NAMES), "frames": frames}
    else:
        # the head's rotation has no place in Audio2Face's
        content = {
            "exportFps": motion.fps, "trackPath": motion.caption, "numPoses": arkit.COUNT, "numFrames": len(motion),
            "facsNames": list(arkit.NAMES), "weightMat": weights,
        }  # fmt: skip
    text = json.dumps(content)
    return atomic_write(path, lambda p: p.write_text(text + "\n", encoding="utf-8"))


def read_json(path: Path) -> FaceMotion:
    """Read any form, recognised by its keys."""
    from instruct_data.sources import face_files

    raw = read_data(path, face_files.MAX_JSON_BYTES, JSON_FORMS)
    if viseme_files.is_visemes(raw):
        return viseme_files.read(raw, path)
    data = face_files.read_json(path)
    if "facsNames" in data or "weightMat" in data:
        return face_files.from_audio2face(data, path)
    if "names" in data and "frames" in data:
        return face_files.from_beat(data, path)
    raise UserError(f"{path}: keys {', '.join(list(data)[:4]) or 'none'}; {JSON_FORMS}")
