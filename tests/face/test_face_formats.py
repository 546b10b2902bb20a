"""Face files: Live Link CSV, BEAT and Audio2Face json, MediaPipe npz; and the table that chooses by suffix."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.face_files import timecodes
from instruct_data.sources.corpus import Report
from instruct_data.sources.livelink import read_livelink, read_livelink_folder
from instruct_data.sources.mediapipe_npz import read_mediapipe
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of
from vqvae.motion import Motion

HEADER = "Timecode," + ",".join(arkit.LIVE_LINK) + "\n"


@pytest.fixture
def face() -> FaceMotion:
    rng = np.random.default_rng(3)
    return FaceMotion(rng.random((75, 52)), rng.normal(0, 0.2, (75, 3)), 30.0)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".npz"])
def test_round_trip_by_suffix(face, tmp_path, suffix):
    export.save(face, tmp_path / f"f{suffix}")
    again = export.load(tmp_path / f"f{suffix}")
    assert again.modality == "face" and again.fps == 30.0
    assert np.allclose(again.weights, face.weights, atol=1e-6)
    if suffix != ".json":  # Audio2Face has no place for the head
        assert np.allclose(again.head, face.head, atol=1e-6)


def test_beat_keeps_the_head(face, tmp_path):
    export.save(face, tmp_path / "f.json", layout="beat")
    data = json.loads((tmp_path / "f.json").read_text())
    assert data["names"] == list(arkit.NAMES) and set(data["frames"][0]) == {"weights", "time", "rotation"}
    again = export.load(tmp_path / "f.json")
    assert np.allclose(again.head, face.head, atol=1e-6) and again.fps == 30.0


def test_csv_is_as_live_link_writes_it(face, tmp_path):
    export.save(face, tmp_path / "f.csv")
    with (tmp_path / "f.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert list(rows[0])[:2] == ["Timecode", "BlendShapeCount"] and list(rows[0])[2:] == list(arkit.LIVE_LINK)
    assert rows[31]["Timecode"] == "00:00:01:01.000" and rows[0]["BlendShapeCount"] == "61"
    assert float(rows[4]["JawRight"]) == pytest.approx(face.channel("jawRight")[4], abs=1e-6)
    assert float(rows[4]["MouthSmileLeft"]) == pytest.approx(face.channel("mouthSmileLeft")[4], abs=1e-6)
    assert float(rows[4]["HeadYaw"]) == pytest.approx(-face.head[4, 0], abs=1e-6)  # to the right in the file


def test_eye_angles_follow_the_look_weights(tmp_path):
    weights = np.zeros((2, 52))
    right_and_down = ("eyeLookInLeft", "eyeLookOutRight", "eyeLookDownLeft", "eyeLookDownRight")
    weights[:, [arkit.INDEX[n] for n in right_and_down]] = 1
    export.save(FaceMotion(weights, np.zeros((2, 3))), tmp_path / "f.csv")
    row = next(csv.DictReader((tmp_path / "f.csv").open()))
    for side in ("Left", "Right"):  # the person's right and down are positive
        assert float(row[f"{side}EyeYaw"]) > 0.5 and float(row[f"{side}EyePitch"]) > 0.5


def test_timecodes_of_other_rates():
    assert timecodes(92, 60)[-1] == "00:00:01:31.000"
    assert timecodes(46, 29.97)[1] == "00:00:00:01.001"
    assert timecodes(3, 29.97) == ["00:59:59:28.999", "01:00:00:00.000", "01:00:00:01.001"]  # FF begins anew
    assert timecodes(61, 22)[22] == "00:00:01:00.000" and timecodes(61, 22)[1] == "00:00:00:01.091"  # of 24
    assert timecodes(30 * 3661 + 1, 30)[-1] == "01:01:01:00.000"


def write_take(path, codes, header=None, cut=None):
    header = header or ["Timecode", "BlendshapeCount", *arkit.LIVE_LINK]
    lines = [",".join(header)]
    for i, code in enumerate(codes):
        values = [f"{0.001 * i:.4f}"] * 61
        lines.append(",".join([code, "61", *values][: 20 if i == cut else None]))
    text = "\n".join(lines) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def test_every_second_frame_of_a_sixty_base_is_thirty(tmp_path):
    codes = [f"10:00:{s:02d}:{f:02d}.500" for s in range(3) for f in range(0, 60, 2)]
    write_take(tmp_path / "t.csv.gz", codes, cut=7)
    take = read_livelink(tmp_path / "t.csv.gz")
    assert take.fps == 30.0 and len(take) == 90  # the cut row is filled in
    assert take.channel("jawOpen")[7] == pytest.approx(0.007, abs=1e-4)


def test_past_midnight_and_a_sixty_take(tmp_path):
    codes = [f"23:59:59:{f:02d}.0" for f in range(60)] + [f"00:00:00:{f:02d}.0" for f in range(60)]
    write_take(tmp_path / "t.csv", codes)
    take = read_livelink(tmp_path / "t.csv")
    assert take.fps == 60.0 and len(take) == 120


@pytest.mark.parametrize(("fps", "frames"), [(12.5, 7), (14.985, 2), (17.5, 13), (8.33, 40)])
def test_fractional_rates_come_back_from_short_takes(tmp_path, fps, frames):
    again = export.load(export.save(FaceMotion(np.zeros((frames, 52)), np.zeros((frames, 3)), fps), tmp_path / "a.csv"))
    assert len(again) == frames and again.fps == pytest.approx(fps, rel=2e-3)


@pytest.mark.parametrize("fps", [10, 15, 20, 24, 25, 29.97, 30, 50, 60, 100])
@pytest.mark.parametrize(("suffix", "options"), [(".csv", {}), (".json", {}), (".json", {"layout": "beat"})])
def test_frame_rates_come_back(tmp_path, fps, suffix, options):
    n = round(2.5 * fps)
    motion = FaceMotion(np.random.default_rng(0).random((n, 52)), np.zeros((n, 3)), fps)
    again = export.load(export.save(motion, tmp_path / f"a{suffix}", **options))
    assert len(again) == n and np.abs(again.weights - motion.weights).max() < 1e-5
    assert again.fps == pytest.approx(fps, abs=1e-3 if fps == 29.97 else 1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "empty"), ("a,b\n1,2\n", "0 ARKit columns"), (HEADER, "no complete row"),
     (HEADER + "00:00:00:00.0" + ",x" * 61, "not a number"), (HEADER + "00:00:00:00.0" + ",nan" * 61, "NaN"),
     (HEADER + "now" + ",0" * 61, "timecode"),
     (HEADER + "00:00:00:00" + ",0" * 61 + "\nnan:00:00:01" + ",0" * 61, "timecode nan:00:00:01; accepted")],
)  # fmt: skip
def test_bad_csv(tmp_path, text, message):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        export.load(tmp_path / "f.csv")
    assert "f.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("number", "message"),
    [("abc", "row 9, JawOpen: 'abc' is not a number"), ("nan", "row 9, JawOpen: NaN or infinity"),
     ("7.5", "row 9, JawOpen: 7.5; accepted weights from 0 to 1"), ("-2", "row 9, JawOpen: -2; accepted"),
     ("1.2", "")],
)  # fmt: skip
def test_a_bad_number_is_found(tmp_path, number, message):
    write_take(tmp_path / "t.csv", [f"10:00:00:{f:02d}.0" for f in range(12)], cut=3)  # a row that is left out counts
    lines = (tmp_path / "t.csv").read_text().splitlines()
    row = lines[8].split(",")
    row[lines[0].split(",").index("JawOpen")] = number
    (tmp_path / "t.csv").write_text("\n".join([*lines[:8], ",".join(row), *lines[9:]]))
    if not message:  # as real takes have it
        assert read_livelink(tmp_path / "t.csv").channel("jawOpen").max() == 1
        return
    with pytest.raises(UserError, match="t.csv: " + message):
        read_livelink(tmp_path / "t.csv")


def test_only_the_tongue_may_be_missing(tmp_path):
    for gone, message in ((["tongueOut"], ""), (["EyeBlinkLeft"], "no column eyeBlinkLeft; accepted"),
                          (["JawOpen", "EyeBlinkLeft"], "no column eyeBlinkLeft, jawOpen; accepted")):  # fmt: skip
        names = [n for n in arkit.LIVE_LINK if n.lower() not in [g.lower() for g in gone]]
        head, zeros = ",".join(["Timecode", "BlendShapeCount", *names]), ",0" * len(names)
        (tmp_path / "t.csv").write_text(f"{head}\n1:00:00:00.0,61{zeros}\n1:00:00:01.0,61{zeros}\n")
        if not message:
            assert len(read_livelink(tmp_path / "t.csv")) == 2
            continue
        with pytest.raises(UserError, match=message):
            read_livelink(tmp_path / "t.csv")


def test_a_folder_of_takes_reports_what_it_skips(tmp_path):
    write_take(tmp_path / "good.csv", [f"10:00:00:{f:02d}.0" for f in range(30)])
    (tmp_path / "bad.csv").write_text("a,b\n")
    report = Report()
    clips = list(read_livelink_folder(tmp_path, report=report))
    assert [c.id for c in clips] == ["good"] and report.skipped[0][0] == "bad"
    assert len(clips[0].load()) == 30


@pytest.mark.parametrize(
    ("data", "message"),
    [([1], "accepted BEAT"), ({}, "accepted BEAT"), ({"facsNames": ["a"], "weightMat": [[1]]}, "0 of its 1 names"),
     ({"facsNames": list(arkit.NAMES), "weightMat": [[0.0] * 51]}, "rows of weights"),
     ({"facsNames": list(arkit.NAMES), "weightMat": []}, "0 frames"),
     ({"facsNames": list(arkit.NAMES), "weightMat": [[0.0] * 52, [75.0] * 52]}, "row 2, eyeBlinkLeft: 75"),
     ({"names": ["jawOpen"], "frames": [{}]}, "frames need")],
)  # fmt: skip
def test_bad_json(tmp_path, data, message):
    (tmp_path / "f.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match=message):
        export.load(tmp_path / "f.json")


def test_not_json_at_all(tmp_path):
    (tmp_path / "f.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        export.load(tmp_path / "f.json")


def test_quaternions_become_our_angles():
    for yaw, pitch, roll in ((0.3, 0.2, 0.1), (-0.5, -0.1, 0.3)):
        turn = rot.about_y(np.array([yaw]))
        nod = rot.from_axis_angle(np.array([[-pitch, 0, 0]]))  # left is +X: positive about it looks down
        tilt = rot.from_axis_angle(np.array([[0, 0, roll]]))
        q = rot.multiply(rot.multiply(turn, nod), tilt)
        assert np.allclose(angles_of(q), [[yaw, pitch, roll]])
        top = rot.rotate(tilt, np.array([[0, 1.0, 0]]))[0]
        assert np.sign(top[0]) == -np.sign(roll)  # positive roll: towards the right shoulder


def test_mediapipe_file(tmp_path):
    shapes = np.random.default_rng(0).random((10, 52))
    angles = np.zeros((10, 3)) + [178.0, 5.0, 0.0]
    angles[3] = [-178.0, 15.0, 10.0]
    shapes[5], angles[5] = 0, 0
    np.savez(tmp_path / "f.npz", blendshapes=shapes, head_angles=angles, bad_frames=np.array([5]), original_fname="x")
    face = export.load(tmp_path / "f.npz")
    column = arkit.MEDIAPIPE.index("jawOpen")
    assert face.channel("jawOpen")[2] == pytest.approx(shapes[2, column])
    assert face.channel("jawOpen")[5] == pytest.approx((shapes[4, column] + shapes[6, column]) / 2, abs=1e-6)
    assert np.allclose(np.degrees(face.head[3]), [10, -4, 10], atol=1e-4) and np.allclose(face.head[2], 0)
    assert face.channel("tongueOut").max() == 0 and read_mediapipe(tmp_path / "f.npz", fps=25).fps == 25


@pytest.mark.parametrize(
    ("data", "message"),
    [({"blendshapes": np.zeros((4, 51))}, "accepted"),
     ({"blendshapes": np.zeros((2, 52)), "bad_frames": np.arange(2)}, "no frame"),
     ({"blendshapes": np.zeros((2, 52)), "bad_frames": np.array([9])}, "frame numbers")],
)  # fmt: skip
def test_bad_mediapipe(tmp_path, data, message):
    np.savez(tmp_path / "f.npz", **data)
    with pytest.raises(UserError, match=message):
        export.load(tmp_path / "f.npz")


def test_faces_and_bodies_keep_to_their_formats(face, tmp_path):
    with pytest.raises(UserError, match="cannot be written as .bvh"):
        export.save(face, tmp_path / "f.bvh")
    with pytest.raises(UserError, match="layout"):
        export.save(face, tmp_path / "f.npz", layout="smplx")
    with pytest.raises(UserError, match="layout"):
        export.save(face, tmp_path / "f.json", layout="csv")
    body = Motion(np.tile([1.0, 0, 0, 0], (2, 22, 1)), np.zeros((2, 3)))
    for suffix in (".csv", ".json"):
        with pytest.raises(UserError, match="a body cannot be written as"):
            export.save(body, tmp_path / f"f{suffix}")
    body.save(tmp_path / "b.npz")
    assert export.load(tmp_path / "b.npz").modality == "body"


def test_the_command_converts_faces(face, tmp_path, capsys):
    from avatargpt.cli.motion import export as command

    export.save(face, tmp_path / "take.csv")
    command(tmp_path / "take.csv", [tmp_path / "out.npz", tmp_path / "beat.json"], fps=60.0)
    assert capsys.readouterr().out.split() == [str(tmp_path / "out.npz"), str(tmp_path / "beat.json")]
    again = FaceMotion.load(tmp_path / "out.npz")
    assert again.fps == 60.0 and np.allclose(again.weights[::2], face.weights, atol=1e-6)
    assert np.allclose(export.load(tmp_path / "beat.json").weights, again.weights, atol=1e-6)


def test_real_takes(shared):
    clips = list(read_livelink_folder(shared / "data" / "face" / "livelink_alexdjulin"))
    assert len(clips) == 5
    for clip in clips:
        take = clip.load()
        assert take.fps == 30.0 and take.seconds > 60 and take.weights.max() > 0.9


@pytest.mark.parametrize(("frames", "fps"), [(36, 60), (59, 60), (95, 120), (15, 30), (2, 25), (12, 60), (20, 25),
                                              (9, 10), (90, 22)])  # fmt: skip
def test_takes_within_one_second_keep_their_rate(tmp_path, frames, fps):
    clip = FaceMotion(np.random.default_rng(0).random((frames, 52)), np.zeros((frames, 3)), fps)
    back = export.load(export.save(clip, tmp_path / "a.csv"))
    assert (len(back), back.fps) == (frames, fps) and np.allclose(back.weights, clip.weights, atol=1e-6)


def test_layouts_of_a_body(face, tmp_path):
    with pytest.raises(UserError, match="layout 'smplx'; accepted for a face: motion"):
        export.save(face, tmp_path / "a.npz", layout="smplx")


def test_damaged_archives(face, tmp_path):
    whole = face.save(tmp_path / "a.npz").read_bytes()
    for at in range(1, 300, 7):
        (tmp_path / "a.npz").write_bytes(whole[:-at] + bytes([whole[-at] ^ 0x5A]) + whole[len(whole) - at + 1 :])
        try:
            assert export.load(tmp_path / "a.npz").modality == "face"
        except UserError as e:
            assert "a.npz" in str(e)


@pytest.mark.parametrize(
    "text",
    [
        '{"names":["jawOpen"],"frames":[{"weights":[0],"time":0,"rotation":1.5}]}',
        '{"names":["jawOpen"],"frames":[{"weights":[0],"time":1' + "0" * 400 + "}]}",
        '{"names":["jawOpen"],"frames":[{"weights":[1' + "0" * 400 + '],"time":0}]}',
        '{"exportFps":1' + "0" * 400 + ',"facsNames":["jawOpen"],"weightMat":[[0]]}',
    ],
)
def test_numbers_of_the_wrong_kind(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError):
        export.load(tmp_path / "a.json")


@pytest.mark.parametrize("fps", [1e-9, 0.0001, 1001])
def test_rates_that_no_clip_has(face, tmp_path, fps):
    export.save(face, tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    (tmp_path / "a.json").write_text(json.dumps(data | {"exportFps": fps}))
    with pytest.raises(UserError, match=r"a\.json: .*accepted 1 to 1000"):
        export.load(tmp_path / "a.json")
