"""Visemes of Oculus and Azure, iFacialMocap's packets, names of joints and of a column."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export.udp_senders import IFacialMocapSender
from avatargpt.export.viseme_files import OCULUS, poses, visemes_of
from tests.avatar.conftest import gestures
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion


def spoken() -> FaceMotion:
    """Each viseme of Oculus for a fifth of a second."""
    weights = np.repeat(poses(), 6, 0)
    return FaceMotion(weights, np.zeros((len(weights), 3)), 30.0)


def test_each_viseme_is_found_in_its_own_pose() -> None:
    shares = visemes_of(spoken().weights)[3::6]
    assert np.array_equal(shares.argmax(1), np.arange(len(OCULUS)))
    assert shares[np.arange(len(OCULUS)), np.arange(len(OCULUS))].min() > 0.9


def test_oculus_there_and_back(tmp_path: Path) -> None:
    clip = spoken()
    data = json.loads(export.save(clip, tmp_path / "a.json", layout="oculus").read_text())
    assert data["visemes"] == list(OCULUS) and data["fps"] == 30 and len(data["frames"]) == len(clip)
    np.testing.assert_allclose(export.load(tmp_path / "a.json").weights, clip.weights, atol=0.06)
    events = {"visemes": ["PP", "aa", "sil"], "vtimes": [100, 300, 700], "vdurations": [200, 400, 100]}
    (tmp_path / "b.json").write_text(json.dumps(events))
    back = export.load(tmp_path / "b.json")
    assert len(back) == 24 and back.channel("mouthPress")[6] > 0.4 and back.channel("jawOpen")[15] > 0.5
    assert back.channel("jawOpen")[-1] < 0.1


def test_azure_there_and_back(tmp_path: Path) -> None:
    clip = spoken()
    events = json.loads(export.save(clip, tmp_path / "a.json", layout="azure").read_text())
    assert events[0] == {"audioOffset": 0, "visemeId": 0} and {e["visemeId"] for e in events} >= {21, 18, 2, 7, 15}
    bilabial = next(e for e in events if e["visemeId"] == 21)
    assert bilabial["audioOffset"] == 2_000_000  # ticks of 100 ns: 0.2 s
    back = export.load(tmp_path / "a.json")
    assert back.channel("mouthPress")[9] > 0.4 and back.channel("jawOpen")[3 + 6 * OCULUS.index("aa")] > 0.5
    (tmp_path / "c.json").write_text(json.dumps([{"offset": 200, "viseme_id": 21}, {"offset": 400, "viseme_id": 2}]))
    assert export.load(tmp_path / "c.json").channel("mouthPress")[9] > 0.4
    shapes = json.loads(export.save(clip, tmp_path / "b.json", layout="azure_shapes").read_text())
    assert {len(row) for row in shapes["BlendShapes"]} == {55}
    again = export.load(tmp_path / "b.json")
    assert again.fps == 60
    np.testing.assert_allclose(again.resampled(30.0).weights[: len(clip)], clip.weights, atol=0.35)
    np.testing.assert_allclose(again.weights[::2], clip.weights, atol=1e-5)


@pytest.mark.parametrize(
    "data",
    [
        [{"offset": 1, "visemeId": 22}], {"visemes": ["QQ"], "frames": [[1]]}, {"visemes": ["aa"], "frames": [[1, 2]]},
        {"BlendShapes": [[1, 2]]}, [{"audioOffset": "x", "visemeId": 1}], {"visemes": [], "frames": []}, [],
        [{"offset": 5, "visemeId": 1}, {"offset": 1, "visemeId": 2}], {"visemes": ["aa"], "vtimes": [1]},
        {"visemes": []},
    ],
)  # fmt: skip
def test_damaged_visemes_are_one_line(data: object, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(UserError) as caught:
        export.load(tmp_path / "a.json")
    assert "a.json" in str(caught.value) and "\n" not in str(caught.value)


def test_ifacialmocap_gets_percent_and_degrees() -> None:
    weights = np.zeros((1, 52))
    for name, value in (("mouthSmileLeft", 0.63), ("jawLeft", 0.5), ("eyeLookDownLeft", 1.0)):
        weights[0, arkit.INDEX[name]] = value
    motion = FaceMotion(weights, np.radians([[10.0, 20.0, 5.0]]))  # to the left, up, to the right shoulder
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        sender = IFacialMocapSender("127.0.0.1", listener.getsockname()[1])
        sender.send(0, motion)
        text = listener.recv(4096).decode()
        sender.close()
    fields = text.rstrip("|").split("|")
    shapes = dict(f.rsplit("-", 1) for f in fields[:52])
    assert shapes["mouthSmile_L"] == "63" and shapes["jawLeft"] == "50" and shapes["browInnerUp"] == "0"
    bones = dict(f.split("#") for f in fields[52:])
    assert [float(v) for v in bones["=head"].split(",")] == pytest.approx([-20, 10, 5, 0, 0, 0], abs=1e-3)
    assert float(bones["leftEye"].split(",")[0]) == pytest.approx(arkit.EYE_DEGREES, abs=0.1)


def test_a_column_spelt_both_ways_and_joints_named_as_elsewhere(tmp_path: Path) -> None:
    clip = spoken()
    for layout in ("BlendShapeCount", "BlendshapeCount"):
        export.save(clip, tmp_path / "a.csv", layout=layout)
        assert (tmp_path / "a.csv").read_text().split(",")[1] == layout
        np.testing.assert_allclose(export.load(tmp_path / "a.csv").weights, clip.weights, atol=1e-6)
    body = gestures(12)
    for layout, names in (("mixamo", ("mixamorig:LeftForeArm", "mixamorig:RightHandPinky3", "mixamorig:Spine2")),
                          ("unity", ("LeftLowerArm", "RightLittleDistal", "LeftThumbProximal", "UpperChest")),
                          ("smpl", ("l_elbow", "spine3"))):  # fmt: skip
        export.save(body, tmp_path / "b.bvh", layout=layout)
        text = (tmp_path / "b.bvh").read_text()
        assert all(f"JOINT {n}\n" in text for n in names)
        np.testing.assert_allclose(export.load(tmp_path / "b.bvh").joints, body.joints, atol=0.02)
