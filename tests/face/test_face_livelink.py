"""Live Link CSV: signs and sizes of the angles, against ARKit's axes and real takes."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.face_files import angles
from instruct_data.sources.livelink import HEAD_SIGNS
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion, angles_of

AXES = ("Yaw", "Pitch", "Roll")


def eye_angles(right: float, down: float) -> np.ndarray:
    """(3,) angles with the file's signs of an eye that turns about X, then about its own Y, as ARKit's do."""
    about_x, about_y = (rot.from_axis_angle(np.array([v])) for v in ([down, 0, 0], [0, -right, 0]))
    found: np.ndarray = angles_of(rot.multiply(about_x, about_y))[0] * HEAD_SIGNS
    return found


@pytest.mark.parametrize(("axis", "name"), [([-1, 0, 0], "pitch up"), ([0, 1, 0], "left"), ([0, 0, 1], "right ear")])
def test_a_head_is_written_with_unreals_signs(tmp_path: Path, axis: list[int], name: str) -> None:
    """What is positive for `FaceMotion` is negative there: down, right and the left shoulder are positive."""
    head = angles_of(rot.from_axis_angle(0.2 * np.array([axis, axis], float)))
    export.save(FaceMotion(np.zeros((2, 52)), head), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as f:
        row = next(csv.DictReader(f))
    q = np.roll(rot.from_axis_angle(0.2 * np.array(axis, float)), -1)  # x, y, z, w
    x, y, z = -q[2], q[0], q[1]  # of Unreal's FQuat(-Z, X, Y, -W)
    w = -q[3]
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))  # FQuat::Rotator
    pitch = np.arcsin(2 * (z * x - w * y))
    roll = np.arctan2(-2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    written = [float(row[f"Head{a}"]) for a in AXES]
    assert written == pytest.approx([yaw, pitch, roll], abs=1e-6), name
    assert np.allclose(export.load(tmp_path / "a.csv").head, head, atol=1e-6)


def test_an_eye_rolls_as_in_the_takes() -> None:
    for right, down in ((0.4, 0.3), (-0.4, 0.3), (0.4, -0.3)):
        assert eye_angles(right, down)[2] == pytest.approx(right * down, rel=0.05)


def test_eyes_of_real_takes(shared: Path) -> None:
    for path in sorted((shared / "data" / "face" / "livelink_alexdjulin").glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as f:
            header, *rows = csv.reader(f)
        values = np.array([[float(x) for x in r[2:]] for r in rows if len(r) == len(header)])
        column = dict(zip(header[2:], values.T, strict=True))
        for side, inwards in (("Left", 1), ("Right", -1)):
            yaw, pitch, roll = (column[f"{side}Eye{a}"] for a in AXES)
            looks = inwards * (column[f"EyeLookIn{side}"] - column[f"EyeLookOut{side}"])
            assert np.corrcoef(looks, yaw)[0, 1] > 0.9  # to the right
            down, up = column[f"EyeLookDown{side}"], column[f"EyeLookUp{side}"]
            assert np.corrcoef(down - up, pitch)[0, 1] > 0.9
            made = np.array([eye_angles(*a)[2] for a in zip(yaw[::20], pitch[::20], strict=True)])
            assert np.corrcoef(made, roll[::20])[0, 1] > 0.99
            ours = np.zeros((len(down), 52))
            ours[:, [arkit.INDEX[f"eyeLookDown{side}"], arkit.INDEX[f"eyeLookUp{side}"]]] = np.stack([down, up], 1)
            written = angles(FaceMotion(ours, np.zeros((len(ours), 3))))[:, 4 if side == "Left" else 7]
            assert np.degrees(np.abs(written - pitch)).max() < 4


def test_full_looks_up_turn_less_than_down(tmp_path: Path) -> None:
    weights = np.zeros((2, 52))
    weights[0, [arkit.INDEX[n] for n in arkit.expand("eyeLookUp")]] = 1
    weights[1, [arkit.INDEX[n] for n in arkit.expand("eyeLookDown")]] = 1
    assert np.degrees(angles(FaceMotion(weights, np.zeros((2, 3))))[:, [4, 7]]) == pytest.approx(
        np.array([[-27, -27], [35, 35]])
    )
