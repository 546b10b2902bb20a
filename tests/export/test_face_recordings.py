"""Recordings of faces: Live Link CSV, BEAT and Audio2Face json, MediaPipe npz; as others write them, and damaged."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import export
from avatargpt.__main__ import main
from avatargpt.export.face_files import angles, timecodes
from instruct_data.sources.corpus import Report
from instruct_data.sources.face_files import HEAD_SIGNS, from_beat, read_livelink, read_livelink_folder, read_mediapipe
from tests.export.avatars import face_weights
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of
from vqvae.motion import Motion

HEADER = "Timecode," + ",".join(arkit.LIVE_LINK) + "\n"
AXES = ("Yaw", "Pitch", "Roll")
NAMES = list(arkit.NAMES)
TAKES = ("data", "face", "livelink_alexdjulin")


def clip(frames: int = 75, fps: float = 30.0, head: float = 0.0) -> FaceMotion:
    rng = np.random.default_rng(3)
    return FaceMotion(rng.random((frames, 52)), head * rng.normal(0, 1, (frames, 3)), fps)


def refused(path: Path, message: str, read: Callable[[Path], Any] = export.load) -> None:
    with pytest.raises(UserError, match=message) as error:
        read(path)
    assert path.name in str(error.value)


@pytest.mark.parametrize(
    ("suffix", "options"), [(".csv", {}), (".json", {}), (".json", {"layout": "beat"}), (".npz", {})]
)
def test_round_trip_by_suffix(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    face = clip(head=0.2)
    loaded = export.load(export.save(face, tmp_path / f"f{suffix}", **options))
    assert loaded.modality == "face" and loaded.fps == 30.0
    assert np.allclose(loaded.weights, face.weights, atol=1e-6)
    if suffix != ".json" or options:  # Audio2Face has no place for the head
        assert np.allclose(loaded.head, face.head, atol=1e-6)
    if options:
        data = json.loads((tmp_path / "f.json").read_text())
        assert data["names"] == NAMES and set(data["frames"][0]) == {"weights", "time", "rotation"}


@pytest.mark.parametrize("fps", [10, 15, 20, 24, 25, 29.97, 30, 50, 60, 100])
@pytest.mark.parametrize(("suffix", "options"), [(".csv", {}), (".json", {}), (".json", {"layout": "beat"})])
def test_frame_rates_come_back(tmp_path: Path, fps: float, suffix: str, options: dict[str, str]) -> None:
    motion = clip(round(2.5 * fps), fps)
    loaded = export.load(export.save(motion, tmp_path / f"a{suffix}", **options))
    assert len(loaded) == len(motion) and np.abs(loaded.weights - motion.weights).max() < 1e-5
    assert loaded.fps == pytest.approx(fps, abs=1e-3 if fps == 29.97 else 1e-9)


@pytest.mark.parametrize(
    ("frames", "fps", "tolerance"),
    [
        (36, 60, 0), (59, 60, 0), (95, 120, 0), (15, 30, 0), (2, 25, 0), (12, 60, 0), (20, 25, 0), (9, 10, 0),
        (90, 22, 0), (7, 12.5, 2e-3), (2, 14.985, 2e-3), (13, 17.5, 2e-3), (40, 8.33, 2e-3),
    ],
)  # fmt: skip
def test_short_takes_keep_their_rate(tmp_path: Path, frames: int, fps: float, tolerance: float) -> None:
    motion = clip(frames, fps)
    loaded = export.load(export.save(motion, tmp_path / "a.csv"))
    assert len(loaded) == frames and loaded.fps == pytest.approx(fps, rel=tolerance, abs=0)
    assert np.allclose(loaded.weights, motion.weights, atol=1e-6)


def test_timecodes_of_other_rates() -> None:
    assert timecodes(92, 60)[-1] == "00:00:01:31.000"
    assert timecodes(46, 29.97)[1] == "00:00:00:01.001"
    assert timecodes(3, 29.97) == ["00:59:59:28.999", "01:00:00:00.000", "01:00:00:01.001"]  # FF begins anew
    assert timecodes(61, 22)[22] == "00:00:01:00.000" and timecodes(61, 22)[1] == "00:00:00:01.091"  # of 24
    assert timecodes(30 * 3661 + 1, 30)[-1] == "01:01:01:00.000"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as f:
        return list(csv.DictReader(f))


def test_csv_is_as_live_link_writes_it(tmp_path: Path) -> None:
    face = clip(head=0.2)
    rows = rows_of(export.save(face, tmp_path / "f.csv"))
    assert list(rows[0]) == ["Timecode", "BlendShapeCount", *arkit.LIVE_LINK]
    assert rows[31]["Timecode"] == "00:00:01:01.000" and rows[0]["BlendShapeCount"] == "61"
    for name in ("jawRight", "mouthSmileLeft"):
        assert float(rows[4][name[0].upper() + name[1:]]) == pytest.approx(face.channel(name)[4], abs=1e-6)
    with pytest.raises(UserError, match="at most 120"):
        export.save(clip(2, 240.0), tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_eye_angles_follow_the_look_weights(tmp_path: Path) -> None:
    right, down, up = [1, 0], [1, 0], [0, 1]
    weights = face_weights(2, eyeLookInLeft=right, eyeLookOutRight=right, eyeLookDown=down, eyeLookUp=up)
    face = FaceMotion(weights, np.zeros((2, 3)))
    row = rows_of(export.save(face, tmp_path / "f.csv"))[0]
    for side in ("Left", "Right"):  # the person's right and down are positive
        assert float(row[f"{side}EyeYaw"]) > 0.5 and float(row[f"{side}EyePitch"]) > 0.5
    assert np.degrees(angles(face)[:, [4, 7]]) == pytest.approx(np.array([[35, 35], [-27, -27]]))


@pytest.mark.parametrize(("axis", "name"), [([-1, 0, 0], "pitch up"), ([0, 1, 0], "left"), ([0, 0, 1], "right ear")])
def test_a_head_is_written_with_unreals_signs(tmp_path: Path, axis: list[int], name: str) -> None:
    """What is positive for `FaceMotion` is negative there: down, right and the left shoulder are positive."""
    head = angles_of(rot.from_axis_angle(0.2 * np.array([axis, axis], float)))
    row = rows_of(export.save(FaceMotion(np.zeros((2, 52)), head), tmp_path / "a.csv"))[0]
    q = np.roll(rot.from_axis_angle(0.2 * np.array(axis, float)), -1)  # x, y, z, w
    x, y, z, w = -q[2], q[0], q[1], -q[3]  # of Unreal's FQuat(-Z, X, Y, -W)
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))  # FQuat::Rotator
    pitch = np.arcsin(2 * (z * x - w * y))
    roll = np.arctan2(-2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    assert [float(row[f"Head{a}"]) for a in AXES] == pytest.approx([yaw, pitch, roll], abs=1e-6), name
    assert np.allclose(export.load(tmp_path / "a.csv").head, head, atol=1e-6)


def eye_angles(right: float, down: float) -> np.ndarray:
    """(3,) angles with the file's signs of an eye that turns about X, then about its own Y, as ARKit's do."""
    about_x, about_y = (rot.from_axis_angle(np.array([v])) for v in ([down, 0, 0], [0, -right, 0]))
    turned: np.ndarray = angles_of(rot.multiply(about_x, about_y))[0] * HEAD_SIGNS
    return turned


def test_an_eye_rolls_as_in_the_takes() -> None:
    for right, down in ((0.4, 0.3), (-0.4, 0.3), (0.4, -0.3)):
        assert eye_angles(right, down)[2] == pytest.approx(right * down, rel=0.05)


def test_real_takes(shared: Path) -> None:
    takes = [c.load() for c in read_livelink_folder(shared.joinpath(*TAKES))]
    assert len(takes) == 5 and all(t.fps == 30.0 and t.seconds > 60 and t.weights.max() > 0.9 for t in takes)


def test_eyes_of_real_takes(shared: Path) -> None:
    for path in sorted(shared.joinpath(*TAKES).glob("*.csv.gz")):
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
            rolls = np.array([eye_angles(*a)[2] for a in zip(yaw[::20], pitch[::20], strict=True)])
            assert np.corrcoef(rolls, roll[::20])[0, 1] > 0.99
            weights = face_weights(len(down), **{f"eyeLookDown{side}": down, f"eyeLookUp{side}": up})
            written = angles(FaceMotion(weights, np.zeros((len(weights), 3))))[:, 4 if side == "Left" else 7]
            assert np.degrees(np.abs(written - pitch)).max() < 4


def write_take(path: Path, codes: list[str], cut: int | None = None) -> Path:
    """A take whose weights rise by a thousandth with each row; row `cut` ends early."""
    lines = [",".join(["Timecode", "BlendshapeCount", *arkit.LIVE_LINK])]
    for i, code in enumerate(codes):
        lines.append(",".join([code, "61", *[f"{0.001 * i:.4f}"] * 61][: 20 if i == cut else None]))
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def second(clock: str = "10:00:00", frames: int = 60) -> list[str]:
    return [f"{clock}:{f:02d}.0" for f in range(frames)]


@pytest.mark.parametrize(
    ("name", "codes", "fps", "frames"),
    [
        ("t.csv.gz", [f"10:00:{s:02d}:{f:02d}.500" for s in range(3) for f in range(0, 60, 2)], 30.0, 90),
        ("t.csv", second("23:59:59") + second("00:00:00"), 60.0, 120),  # past midnight
    ],
)  # fmt: skip
def test_rates_and_gaps_of_takes(tmp_path: Path, name: str, codes: list[str], fps: float, frames: int) -> None:
    take = read_livelink(write_take(tmp_path / name, codes, cut=7))
    assert take.fps == fps and len(take) == frames
    assert take.channel("jawOpen")[7] == pytest.approx(0.007, abs=1e-4)  # the cut row is filled in


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"), ("a,b\n1,2\n", "0 ARKit columns"), (HEADER, "no complete row"),
        (HEADER + "00:00:00:00.0" + ",x" * 61, "not a number"), (HEADER + "00:00:00:00.0" + ",nan" * 61, "NaN"),
        (HEADER + "now" + ",0" * 61, "timecode"),
        (HEADER + "00:00:00:00" + ",0" * 61 + "\nnan:00:00:01" + ",0" * 61, "timecode nan:00:00:01; accepted"),
        (HEADER + "\n".join(c + ",0" * 61 for c in second("10:00:00", 30) + second("11:00:00", 30)), "do not rise"),
    ],
)  # fmt: skip
def test_bad_csv(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "f.csv").write_text(text)
    refused(tmp_path / "f.csv", message)


@pytest.mark.parametrize(
    ("number", "message"),
    [("abc", "'abc' is not a number"), ("0_1", ".* is not a number"), ("\u0660", ".* is not a number"),
     ("0.5x", ".* is not a number"), ("nan", "NaN or infinity"), ("7.5", "7.5; accepted weights from 0 to 1"),
     ("-2", "-2; accepted"), ("1.2", "")],
)  # fmt: skip
def test_a_bad_number_is_found(tmp_path: Path, number: str, message: str) -> None:
    path = write_take(tmp_path / "t.csv", second(frames=12), cut=3)  # a row that is left out counts
    lines = path.read_text().splitlines()
    row = lines[8].split(",")
    row[lines[0].split(",").index("JawOpen")] = number
    path.write_text("\n".join([*lines[:8], ",".join(row), *lines[9:]]), "utf-8")
    if message:
        refused(path, "t.csv: row 9, JawOpen: " + message, read_livelink)
    else:  # as real takes have it
        assert read_livelink(path).channel("jawOpen").max() == 1


@pytest.mark.parametrize(
    ("missing", "message"),
    [(["tongueOut"], ""), (["EyeBlinkLeft"], "no column eyeBlinkLeft; accepted"),
     (["JawOpen", "EyeBlinkLeft"], "no column eyeBlinkLeft, jawOpen; accepted")],
)  # fmt: skip
def test_only_the_tongue_may_be_missing(tmp_path: Path, missing: list[str], message: str) -> None:
    names = [n for n in arkit.LIVE_LINK if n.lower() not in [m.lower() for m in missing]]
    header, zeros, path = ",".join(["Timecode", "BlendShapeCount", *names]), ",0" * len(names), tmp_path / "t.csv"
    path.write_text(f"{header}\n1:00:00:00.0,61{zeros}\n1:00:00:01.0,61{zeros}\n")
    if message:
        refused(path, message, read_livelink)
    else:
        assert len(read_livelink(path)) == 2


def test_a_folder_of_takes_reports_what_it_skips(tmp_path: Path) -> None:
    write_take(tmp_path / "good.csv", second(frames=30))
    (tmp_path / "bad.csv").write_text("a,b\n")
    report = Report()
    clips = list(read_livelink_folder(tmp_path, report=report))
    assert [c.id for c in clips] == ["good"] and report.skipped[0][0] == "bad" and len(clips[0].load()) == 30


def test_a_take_that_is_cut_short(tmp_path: Path) -> None:
    path = export.save(clip(30), tmp_path / "a.csv")
    text = path.read_text()
    rows = text.splitlines()
    for accepted in (text, text.rstrip("\n"), "\n".join([*rows[:9], rows[9][:50], *rows[10:]]) + "\n"):
        path.write_text(accepted)
        assert len(export.load(path)) == 30
    for left in (40, 150, 300):
        path.write_text(text[:-left])
        refused(path, r"a\.csv: its last row has \d+ of \d+ columns")


BIG = "1" + "0" * 400
AUDIO2FACE = {"facsNames": NAMES, "weightMat": [[0.0] * 52]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "accepted BEAT"), ({}, "accepted BEAT"), ({"facsNames": ["a"], "weightMat": [[1]]}, "0 of its 1 names"),
        ({"facsNames": NAMES, "weightMat": [[0.0] * 51]}, "rows of weights"),
        ({"facsNames": NAMES, "weightMat": []}, "0 frames"),
        ({"facsNames": NAMES, "weightMat": [[0.0] * 52, [75.0] * 52]}, "row 2, eyeBlinkLeft: 75"),
        ({"names": ["jawOpen"], "frames": [{}]}, "frames need"), ("{", "not JSON"),
        *(({**AUDIO2FACE, "exportFps": fps}, "accepted 1 to 1000") for fps in (1e-9, 1e-4, 1001)),
        ('{"names":["jawOpen"],"frames":[{"weights":[0],"time":0,"rotation":1.5}]}', "f.json"),
        ('{"names":["jawOpen"],"frames":[{"weights":[0],"time":' + BIG + "}]}", "f.json"),
        ('{"names":["jawOpen"],"frames":[{"weights":[' + BIG + '],"time":0}]}', "f.json"),
        ('{"exportFps":' + BIG + ',"facsNames":["jawOpen"],"weightMat":[[0]]}', "f.json"),
    ],
)  # fmt: skip
def test_bad_json(tmp_path: Path, data: Any, message: str) -> None:
    (tmp_path / "f.json").write_text(data if isinstance(data, str) else json.dumps(data))
    refused(tmp_path / "f.json", message)


def beat(path: Path, times: list[float], rotations: list[Any] | None = None) -> Path:
    """A file whose jaw opens evenly from the first time to the last."""
    frames = []
    for i, t in enumerate(times):
        share = (t - times[0]) / (times[-1] - times[0])
        frames.append({"weights": [share if 0 <= share <= 1 else 0.0] * arkit.COUNT, "time": t})
        if rotations is not None:
            frames[-1]["rotation"] = rotations[i]
    path.write_text(json.dumps({"names": NAMES, "frames": frames}))
    return path


SIXTIETHS = [i / 60 for i in range(601)]


@pytest.mark.parametrize(
    ("times", "frames"),
    [
        ([t for i, t in enumerate(SIXTIETHS) if i % 3 or i == 600], 600),  # every third is lost
        ([t for i, t in enumerate(SIXTIETHS) if not 150 <= i < 450], 601),
        ([round(t, 2) for t in SIXTIETHS], 601), ([round(t, 3) for t in SIXTIETHS], 601),
        ([round(100 + t, 2) for t in SIXTIETHS[:7]], 7),
    ],
)  # fmt: skip
def test_beat_frames_stand_at_their_times(tmp_path: Path, times: list[float], frames: int) -> None:
    face = export.load(beat(tmp_path / "a.json", times))
    assert face.fps == 60.0 and len(face) == frames
    assert np.allclose(face.channel("jawOpen"), np.linspace(0, 1, frames), atol=0.006 / (times[-1] - times[0]) + 1e-6)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 0.1, float("nan"), 0.3], "frame 3: time nan after 0.1; accepted seconds that rise"),
        ([0.0, 0.1, 0.1, 0.3], "frame 3: time 0.1 after 0.1"), ([0.2, 0.1, 0.3], "frame 2: time 0.1 after 0.2"),
        ([t * 1000 for t in SIXTIETHS[:9]], "times 16.6667 apart; accepted seconds"),
        ([0.0, 0.1, 1e9], "frame 3: time 1e\\+09 after 0.1"),
    ],
)  # fmt: skip
def test_beat_times_that_are_none(tmp_path: Path, times: list[float], message: str) -> None:
    refused(beat(tmp_path / "a.json", times), f"a.json: {message}")


def test_beat_without_times(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"names": NAMES, "frames": [{"weights": [0.5] * 52}] * 2}))
    face = export.load(tmp_path / "a.json")
    assert (face.fps, len(face)) == (60.0, 2)


def test_beat_rotations(tmp_path: Path) -> None:
    # x, y, z, w
    rotations: list[Any] = [[0.0, float(np.sin(0.05 * i)), 0.0, float(np.cos(0.05 * i))] for i in range(9)]
    frames = [{"weights": [0.0] * 52, "time": i / 60, "rotation": rotations[3]} for i in range(3)]
    assert np.allclose(from_beat({"names": NAMES, "frames": frames}, Path("f.json")).head, [0.3, 0, 0], atol=1e-6)
    rotations[4], rotations[8] = [], None
    face = export.load(beat(tmp_path / "a.json", SIXTIETHS[:9], rotations))
    assert np.allclose(face.head[:, 0], 0.1 * np.minimum(np.arange(9), 7), atol=1e-5)
    assert not export.load(beat(tmp_path / "b.json", SIXTIETHS[:9], [[]] * 9)).head.any()


@pytest.mark.parametrize(
    ("odd", "other", "message"),
    [
        (slice(4, 5), [0.0] * 16, "frame 5: rotation of 16 numbers; accepted 4"),
        (slice(0, 9), [0.0] * 16, "frame 1: rotation of 16"),
        (slice(6, 7), [0.0] * 4, "frame 7: rotation 0, 0, 0, 0 is no"),
        (slice(1, 9), [], "rotation in 1 of 9 frames, not in frame 2"),
        (slice(2, 3), [0.0] * 3, "frame 3: rotation of 3 numbers"),
    ],
)  # fmt: skip
def test_beat_rotations_of_other_kinds(tmp_path: Path, odd: slice, other: list[float], message: str) -> None:
    rotations = [other if i in range(9)[odd] else [0.0, 0.0, 0.0, 1.0] for i in range(9)]
    refused(beat(tmp_path / "a.json", SIXTIETHS[:9], rotations), f"a.json: {message}")


def mediapipe(path: Path, frames: int = 301, **others: Any) -> Path:
    np.savez(path, **{"blendshapes": np.zeros((frames, 52)), "head_angles": np.zeros((frames, 3)), **others})
    return path


def test_mediapipe_file(tmp_path: Path) -> None:
    shapes = np.random.default_rng(0).random((10, 52))
    head = np.zeros((10, 3)) + [178.0, 5.0, 0.0]
    head[3] = [-178.0, 15.0, 10.0]
    shapes[5], head[5] = 0, 0
    face = export.load(mediapipe(tmp_path / "f.npz", blendshapes=shapes, head_angles=head, bad_frames=np.array([5])))
    jaw = shapes[:, arkit.MEDIAPIPE.index("jawOpen")]
    assert face.channel("jawOpen")[[2, 5]] == pytest.approx([jaw[2], (jaw[4] + jaw[6]) / 2], abs=1e-6)
    assert np.allclose(np.degrees(face.head[3]), [10, -4, 10], atol=1e-4) and np.allclose(face.head[2], 0)
    assert face.channel("tongueOut").max() == 0 and read_mediapipe(tmp_path / "f.npz", fps=25).fps == 25
    head[:4], head[4:] = 7.0, 60.0  # most frames show no face, and do not move the rest of the head
    bad = mediapipe(tmp_path / "g.npz", blendshapes=shapes, head_angles=head, bad_frames=np.arange(4, 10))
    assert np.allclose(read_mediapipe(bad).head, 0, atol=1e-6)


@pytest.mark.parametrize("zero", [0, 90, 178, 180, -179])
def test_mediapipe_nods_around_any_angle(tmp_path: Path, zero: float) -> None:
    nods = 8 * np.sin(np.pi * np.arange(301) / 30)
    head = np.zeros((301, 3))
    head[:, 0] = (zero + nods + 180) % 360 - 180
    face = export.load(mediapipe(tmp_path / "a.npz", head_angles=head))
    assert np.allclose(np.degrees(face.head[:, 1]), -nods, atol=1e-4)


def test_mediapipe_rates(tmp_path: Path) -> None:
    without, named = mediapipe(tmp_path / "a.npz"), mediapipe(tmp_path / "b.npz", fps=25.0)
    assert [export.load(p).fps for p in (without, named)] == [30.0, 25.0] and export.load(without, fps=60).fps == 60
    face = clip(2).save(tmp_path / "c.npz")
    other = "60 frames a second; accepted 25, which the file says"
    for path, message in ((named, other), (face, "fps goes with MediaPipe")):
        with pytest.raises(UserError, match=message):
            export.load(path, fps=60)


JAW = arkit.MEDIAPIPE.index("jawOpen")
PERCENT = np.eye(52)[[JAW, JAW, JAW]] * [[1.02], [np.nan], [30]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"blendshapes": np.zeros((4, 51))}, "accepted"), ({"bad_frames": np.arange(3)}, "no frame"),
        ({"bad_frames": np.array([9])}, "frame numbers"), ({"fps": "fast"}, "f.npz: fps is no number"),
        ({"blendshapes": PERCENT, "bad_frames": np.array([1])}, "row 3, jawOpen: 30; accepted weights from 0 to 1"),
        ({"blendshapes": PERCENT[[0, 1, 0]], "bad_frames": np.array([1])}, ""),
    ],
)  # fmt: skip
def test_bad_mediapipe(tmp_path: Path, data: dict[str, Any], message: str) -> None:
    path = mediapipe(tmp_path / "f.npz", 3, **data)
    if message:
        refused(path, message)
    else:
        assert export.load(path).channel("jawOpen")[0] == 1


def test_layouts_are_those_of_the_format(tmp_path: Path) -> None:
    accepted = "layout 'smplx'; accepted for a face: motion"
    for name, layout, message in (("f.npz", "smplx", accepted), ("f.json", "csv", "layout")):
        with pytest.raises(UserError, match=message):
            export.save(clip(), tmp_path / name, layout=layout)
    body = Motion(np.tile([1.0, 0, 0, 0], (2, 22, 1)), np.zeros((2, 3)))
    with pytest.raises(UserError, match="a body cannot be written as"):
        export.save(body, tmp_path / "f.json")
    assert export.load(body.save(tmp_path / "b.npz")).modality == "body"


def test_the_command_converts_faces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = clip()
    export.save(face, tmp_path / "take.csv")
    names = [str(tmp_path / name) for name in ("take.csv", "out.npz", "beat.json")]
    assert main(["export", *names, "--fps", "60"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "out.npz"), str(tmp_path / "beat.json")]
    converted = FaceMotion.load(tmp_path / "out.npz")
    assert converted.fps == 60.0 and np.allclose(converted.weights[::2], face.weights, atol=1e-6)
    assert np.allclose(export.load(tmp_path / "beat.json").weights, converted.weights, atol=1e-6)
