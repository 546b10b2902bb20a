"""Signs, sides, orders and limits of the face's files and figures, one small case each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.export.readers import contents, floats
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

I = arkit.INDEX  # noqa: E741


def test_gaze_of_a_vrma_goes_to_the_persons_own_side() -> None:
    from avatargpt.export import vrma

    weights = np.zeros((1, 52))
    weights[0, [I["eyeLookOutLeft"], I["eyeLookInRight"]]] = 1  # to the person's left
    weights[0, [I["eyeLookUpLeft"], I["eyeLookUpRight"]]] = 0.5
    yaw, pitch = vrma.gaze(FaceMotion(weights, np.zeros((1, 3))))[0]
    assert np.degrees([yaw, pitch]) == pytest.approx([arkit.EYE_DEGREES, arkit.EYE_DEGREES / 2])


def test_left_limbs_of_a_vrma_are_on_the_left(tmp_path: Path) -> None:
    from avatargpt import export

    gltf, _ = contents(export.save(FaceMotion(np.zeros((2, 52)), np.zeros((2, 3))), tmp_path / "a.vrma"))
    bones = gltf["extensions"]["VRMC_vrm_animation"]["humanoid"]["humanBones"]
    for part in ("UpperArm", "UpperLeg"):  # a T-pose that faces +Z: left is +X
        for side, sign in (("left", 1), ("right", -1)):
            assert sign * gltf["nodes"][bones[side + part]["node"]]["translation"][0] > 0


def test_beat_quaternions_are_x_y_z_w() -> None:
    from instruct_data.sources.face_files import from_beat

    turn = [0.0, np.sin(0.15), 0.0, np.cos(0.15)]  # x, y, z, w: 0.3 rad to the person's left
    frames = [{"weights": [0.0] * 52, "time": i / 60, "rotation": turn} for i in range(3)]
    head = from_beat({"names": list(arkit.NAMES), "frames": frames}, Path("f.json")).head
    assert np.allclose(head, [0.3, 0, 0], atol=1e-6)


def test_timecodes_an_hour_apart_are_no_take(tmp_path: Path) -> None:
    from instruct_data.sources.livelink import read_livelink

    codes = [f"{h}:00:00:{f:02d}.0" for h in (10, 11) for f in range(30)]
    rows = ["Timecode,BlendShapeCount," + ",".join(arkit.LIVE_LINK), *(f"{c},61" + ",0" * 61 for c in codes)]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    with pytest.raises(UserError, match="do not rise"):
        read_livelink(tmp_path / "t.csv")


def test_frames_without_a_face_do_not_move_the_rest_of_the_head(tmp_path: Path) -> None:
    from instruct_data.sources.mediapipe_npz import read_mediapipe

    angles = np.full((10, 3), 7.0)
    angles[4:] = 60.0  # most frames show no face
    np.savez(tmp_path / "f.npz", blendshapes=np.zeros((10, 52)), head_angles=angles, bad_frames=np.arange(4, 10))
    assert np.allclose(read_mediapipe(tmp_path / "f.npz").head, 0, atol=1e-6)


def test_the_hello_of_a_websocket_tells_its_rate() -> None:
    pytest.importorskip("websockets")
    from avatargpt.export.websocket import FaceSender

    sender = FaceSender("127.0.0.1", 0, fps=60.0)
    assert json.loads(sender._hello)["fps"] == 60
    sender.close()


def skin(path: Path):
    from avatargpt import export

    gltf, blob = contents(export.save(FaceMotion(np.zeros((2, 52)), np.zeros((2, 3))), path))

    return gltf, lambda index: floats(gltf, blob, index)


def test_the_skin_of_a_glb_follows_the_head(tmp_path: Path) -> None:
    from avatargpt.export.head import head

    gltf, read = skin(tmp_path / "a.glb")
    share = read(gltf["meshes"][0]["primitives"][0]["attributes"]["WEIGHTS_0"])
    assert np.allclose(share[:, 1], head().follow, atol=1e-6) and np.allclose(share.sum(1), 1)


def test_a_glb_is_bound_where_its_joints_are(tmp_path: Path) -> None:
    gltf, read = skin(tmp_path / "a.glb")
    inverse = read(gltf["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    place = np.zeros(3)
    for joint, matrix in zip(gltf["skins"][0]["joints"], inverse, strict=True):  # each is the child of the one before
        place = place + gltf["nodes"][joint]["translation"]
        assert np.allclose(matrix[:3, 3], -place, atol=1e-6)


def test_live_link_files_hold_120_frames_a_second(tmp_path: Path) -> None:
    from avatargpt import export

    with pytest.raises(UserError, match="at most 120"):
        export.save(FaceMotion(np.zeros((2, 52)), np.zeros((2, 3)), 240.0), tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def smiles(level: np.ndarray) -> FaceMotion:
    weights = np.zeros((len(level), 52))
    weights[:, [I["mouthSmileLeft"], I["mouthSmileRight"]]] = 0.6 * np.clip(level, 0, 1)[:, None]
    return FaceMotion(weights, np.zeros((len(level), 3)))


def smile_faults(level: np.ndarray, start: float, duration: float) -> list[str]:
    from avatargpt.metrics.face_events import check_score
    from instruct_data.face.score import Event, Score

    return check_score(smiles(level), Score(len(level) / 30, (Event("smile", start, duration),)))[0].faults


T = np.arange(150) / 30


def test_what_begins_too_late_fails() -> None:
    assert smile_faults((T - 2.3) / 0.1, 2.0, 1.0) == []
    assert "begins at 2.80 s instead of 2.00 s" in smile_faults((T - 2.75) / 0.1, 2.0, 1.0)


def test_what_is_let_go_too_early_fails() -> None:
    assert smile_faults(np.where(T < 2.5, T - 1, 0) * 10, 1.0, 3.0) == []
    assert smile_faults(np.where(T < 1.85, T - 1, 0) * 10, 1.0, 3.0) == ["let go too early"]


def test_three_times_lie_in_the_shorter_clip() -> None:
    from avatargpt.metrics.face import three_times

    short, long = (FaceMotion(np.zeros((n, 52)), np.zeros((n, 3))) for n in (15, 300))
    for seed in range(5):
        assert three_times(np.random.default_rng(seed), short, long).max() < 0.5


def test_a_hint_of_a_feeling_is_not_a_strong_one() -> None:
    from avatargpt.metrics.face import emotions_shown
    from instruct_data.face.render import render
    from instruct_data.face.score import Emotion, Score

    weak, strong = (Score(4.0, (), (Emotion("happy", level, 0, 4),)) for level in (0.2, 1.0))
    assert emotions_shown(render(weak, 1), strong) == [False]
    assert emotions_shown(render(weak, 1), weak) == [True]


def test_feelings_behind_actions_are_not_judged() -> None:
    from avatargpt.metrics.face import emotions_shown
    from instruct_data.face.score import Emotion, Event, Score

    still = FaceMotion(np.zeros((120, 52)), np.zeros((120, 3)))
    feeling = (Emotion("happy", 0.8, 0, 4),)
    assert emotions_shown(still, Score(4.0, (Event("smile", 1.0, 1.0),), feeling)) == []
    assert emotions_shown(still, Score(4.0, (), feeling)) == [False]


def test_blinks_are_no_feeling() -> None:
    from dataclasses import replace

    from avatargpt.metrics.face import read_emotions

    plain = smiles(np.ones(60))
    weights = plain.weights.copy()
    weights[5:25, [I["eyeBlinkLeft"], I["eyeBlinkRight"]]] = 1
    assert read_emotions(replace(plain, weights=weights)) == pytest.approx(read_emotions(plain), abs=1e-6)


def test_one_sided_feelings_lie_on_either_side() -> None:
    from instruct_data.face.emotions import prototypes
    from instruct_data.face.render import render
    from instruct_data.face.score import Emotion, Score

    name = max(prototypes(), key=lambda n: np.abs(np.subtract(*prototypes()[n].pose[:, :52])).max())
    way = np.subtract(*prototypes()[name].pose[:, :52])
    clips = [render(Score(2.0, (), (Emotion(name, 1.0, 0, 2),)), s) for s in range(10)]
    lean = np.sign([float(c.weights.mean(0) @ way) for c in clips])
    assert {-1.0, 1.0} == set(lean)


def test_leaning_is_told_from_dipping_the_head() -> None:
    from avatargpt.kinematics.face import LOOKS

    head = np.zeros((5, 3))
    head[:, 1] = -np.radians(9)  # the head dips
    weights = np.zeros((5, 52))
    assert not LOOKS["lean_forward"].signal(FaceMotion(weights, head)).any()  # and the eyes with it
    weights[:, [I["eyeLookUpLeft"], I["eyeLookUpRight"]]] = 0.25
    assert np.allclose(LOOKS["lean_forward"].signal(FaceMotion(weights, head)), 1, atol=1e-5)
