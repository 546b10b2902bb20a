"""Face files of others: BEAT's times and rotations, MediaPipe's angles, weights and rate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import export
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

SECOND = 1 / 60


def beat(path: Path, times: list[float], rotations: list[Any] | None = None) -> Path:
    """A file whose jaw opens evenly from the first time to the last."""
    frames = []
    for i, t in enumerate(times):
        share = (t - times[0]) / (times[-1] - times[0])
        frames.append({"weights": [share if 0 <= share <= 1 else 0.0] * arkit.COUNT, "time": t})
        if rotations is not None:
            frames[-1]["rotation"] = rotations[i]
    path.write_text(json.dumps({"names": list(arkit.NAMES), "frames": frames}))
    return path


@pytest.mark.parametrize(
    ("times", "frames"),
    [
        ([i * SECOND for i in range(601) if i % 3 or i == 600], 600),  # every third is lost
        ([i * SECOND for i in range(601) if not 150 <= i < 450], 601),
        ([round(i * SECOND, 2) for i in range(601)], 601),
        ([round(i * SECOND, 3) for i in range(601)], 601),
        ([round(100 + i * SECOND, 2) for i in range(7)], 7),
    ],
)
def test_beat_frames_stand_at_their_times(tmp_path: Path, times: list[float], frames: int) -> None:
    face = export.load(beat(tmp_path / "a.json", times))
    assert face.fps == 60.0 and len(face) == frames
    assert np.allclose(face.channel("jawOpen"), np.linspace(0, 1, frames), atol=0.006 / (times[-1] - times[0]) + 1e-6)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([0.0, 0.1, float("nan"), 0.3], "frame 3: time nan after 0.1; accepted seconds that rise"),
        ([0.0, 0.1, 0.1, 0.3], "frame 3: time 0.1 after 0.1"),
        ([0.2, 0.1, 0.3], "frame 2: time 0.1 after 0.2"),
        ([i * 1000 * SECOND for i in range(9)], "times 16.6667 apart; accepted seconds"),
        ([0.0, 0.1, 1e9], "frame 3: time 1e\\+09 after 0.1"),
    ],
)
def test_beat_times_that_are_none(tmp_path: Path, times: list[float], said: str) -> None:
    with pytest.raises(UserError, match=f"a.json: {said}"):
        export.load(beat(tmp_path / "a.json", times))


def test_beat_without_times(tmp_path: Path) -> None:
    path = beat(tmp_path / "a.json", [0.0, 1.0])
    data = json.loads(path.read_text())
    data["frames"] = [{"weights": f["weights"]} for f in data["frames"]]
    path.write_text(json.dumps(data))
    assert (export.load(path).fps, len(export.load(path))) == (60.0, 2)


def test_beat_rotations_that_are_missing(tmp_path: Path) -> None:
    times = [i * SECOND for i in range(9)]
    rotations: list[Any] = [[0.0, float(np.sin(0.05 * i)), 0.0, float(np.cos(0.05 * i))] for i in range(9)]
    rotations[4], rotations[8] = [], None
    face = export.load(beat(tmp_path / "a.json", times, rotations))
    assert np.allclose(face.head[:, 0], 0.1 * np.minimum(np.arange(9), 7), atol=1e-5)
    assert not export.load(beat(tmp_path / "b.json", times, [[]] * 9)).head.any()


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (slice(4, 5), "frame 5: rotation of 16 numbers; accepted 4"), (slice(0, 9), "frame 1: rotation of 16"),
        (slice(6, 7), "frame 7: rotation 0, 0, 0, 0 is no"), (slice(1, 9), "rotation in 1 of 9 frames, not in frame 2"),
        (slice(2, 3), "frame 3: rotation of 3 numbers"),
    ],
)  # fmt: skip
def test_beat_rotations_of_other_kinds(tmp_path: Path, odd: slice, said: str) -> None:
    other: list[Any] = {6: [0.0] * 4, 1: [], 2: [0.0] * 3}.get(odd.start, [0.0] * 16)
    rotations = [other if i in range(9)[odd] else [0.0, 0.0, 0.0, 1.0] for i in range(9)]
    with pytest.raises(UserError, match=f"a.json: {said}"):
        export.load(beat(tmp_path / "a.json", [i * SECOND for i in range(9)], rotations))


def mediapipe(path: Path, frames: int = 301, **others: Any) -> Path:
    arrays = {"blendshapes": np.zeros((frames, 52)), "head_angles": np.zeros((frames, 3)), **others}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("zero", [0, 90, 178, 180, -179])
def test_mediapipe_nods_around_any_angle(tmp_path: Path, zero: float) -> None:
    nods = 8 * np.sin(np.pi * np.arange(301) / 30)
    angles = np.zeros((301, 3))
    angles[:, 0] = (zero + nods + 180) % 360 - 180
    face = export.load(mediapipe(tmp_path / "a.npz", head_angles=angles))
    assert np.allclose(np.degrees(face.head[:, 1]), -nods, atol=1e-4)


def test_mediapipe_percentages_are_refused(tmp_path: Path) -> None:
    shapes = np.zeros((9, 52))
    shapes[:, arkit.MEDIAPIPE.index("jawOpen")] = [1.02, np.nan, 30, *[0] * 6]
    bad = np.array([1])
    path = mediapipe(tmp_path / "a.npz", 9, blendshapes=shapes, bad_frames=bad)
    with pytest.raises(UserError, match=r"a\.npz: row 3, jawOpen: 30; accepted weights from 0 to 1"):
        export.load(path)
    shapes[2] = 0
    assert export.load(mediapipe(path, 9, blendshapes=shapes, bad_frames=bad)).channel("jawOpen")[0] == 1


def test_mediapipe_rates(tmp_path: Path) -> None:
    silent, said = mediapipe(tmp_path / "a.npz"), mediapipe(tmp_path / "b.npz", fps=25.0)
    assert [export.load(p).fps for p in (silent, said)] == [30.0, 25.0] and export.load(silent, fps=60).fps == 60
    with pytest.raises(UserError, match="b.npz: 60 frames a second; accepted 25, which the file says"):
        export.load(said, fps=60)
    with pytest.raises(UserError, match="b.npz: fps is no number"):
        export.load(mediapipe(said, fps="fast"))
    with pytest.raises(UserError, match="fps goes with MediaPipe"):
        export.load(FaceMotion(np.zeros((2, 52)), np.zeros((2, 3))).save(tmp_path / "c.npz"), fps=60)


def test_a_take_that_is_cut_short(tmp_path: Path) -> None:
    weights = np.full((30, arkit.COUNT), 0.25)
    path = export.save(FaceMotion(weights, np.zeros((30, 3)), 30.0), tmp_path / "a.csv")
    text = path.read_text()
    assert len(export.load(path)) == 30
    path.write_text(text.rstrip("\n"))
    assert len(export.load(path)) == 30  # some programs end no line
    rows = text.splitlines()
    path.write_text("\n".join([*rows[:9], rows[9][:50], *rows[10:]]) + "\n")
    assert len(export.load(path)) == 30  # a row that a recording lost is filled in
    for left in (40, 150, 300):
        path.write_text(text[:-left])
        with pytest.raises(UserError, match=r"a\.csv: its last row has \d+ of \d+ columns"):
            export.load(path)


@pytest.mark.parametrize("number", ["0_1", "\u0660", "0.5x"])
def test_weights_that_no_program_writes(tmp_path: Path, number: str) -> None:
    path = export.save(FaceMotion(np.zeros((3, arkit.COUNT)), np.zeros((3, 3)), 30.0), tmp_path / "a.csv")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    rows[2][7] = number
    path.write_text("\n".join(map(",".join, rows)) + "\n", "utf-8")
    with pytest.raises(UserError, match=r"row 3, \w+: .* is not a number"):
        export.load(path)
