"""Damaged BVH files are refused with one line that says what is wrong."""

import re
from pathlib import Path

import pytest

from avatargpt import export
from vqvae.errors import UserError
from vqvae.motion import Motion


def edit(motion: Motion, path: Path, change: str) -> None:
    text = export.save(motion.slice(0, 4), path).read_text()
    lines = text.rstrip("\n").split("\n")
    if change == "nan":
        lines[-2] = "nan " + lines[-2].split(" ", 1)[1]
    elif change == "word":
        lines[-2] = "abc " + lines[-2].split(" ", 1)[1]
    elif change == "zero":
        lines = [re.sub(r"Frames: \d+", "Frames: 0", x) for x in lines[:-4]]
    elif change == "one":
        lines = [re.sub(r"Frames: \d+", "Frames: 1", x) for x in lines[:-3]]
    elif change == "truncated":
        lines = lines[:-1] + [lines[-1][: len(lines[-1]) // 2]]
    elif change == "cut":
        lines = lines[:20]
    elif change == "missing":
        lines = [x.replace("l_elbow", "bone7") for x in lines]
    elif change == "time":
        lines = [re.sub(r"Frame Time: .*", "Frame Time: 0", x) for x in lines]
    elif change == "channel":
        lines = [x.replace("Zrotation", "Wrotation", 1) for x in lines]
    elif change == "empty":
        lines = [""]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("change", "says"),
    [("nan", "NaN"), ("word", "not numbers"), ("zero", "0 frames"), ("one", "1 frames"), ("truncated", "frame 3:"),
     ("cut", "MOTION"), ("missing", "l_elbow"), ("time", "frame time"), ("channel", "Wrotation"),
     ("empty", "HIERARCHY")],
)  # fmt: skip
def test_bad_files(motion: Motion, tmp_path: Path, change: str, says: str) -> None:
    path = tmp_path / "bad.bvh"
    edit(motion, path, change)
    with pytest.raises(UserError) as e:
        export.load(path)
    message = str(e.value)
    assert says in message and str(path) in message and "accepted" in message and "\n" not in message


def test_binary_file(tmp_path: Path) -> None:
    (tmp_path / "b.bvh").write_bytes(bytes(range(256)) * 4)
    with pytest.raises(UserError, match="not UTF-8 text"):
        export.load(tmp_path / "b.bvh")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_bad_scale(motion: Motion, tmp_path: Path, scale: float) -> None:
    with pytest.raises(UserError, match="scale"):
        export.save(motion, tmp_path / "a.bvh", scale=scale)
    assert not list(tmp_path.iterdir())
