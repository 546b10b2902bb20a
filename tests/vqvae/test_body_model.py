"""Body models: a tiny made one, whose joints are known by forward kinematics."""

import sys
from pathlib import Path

import numpy as np
import pytest

from avatargpt.__main__ import main
from tests.instruct_data.corpus_trees import walking
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.smplx import SmplModel, find_model, fit_poses, read_parameters, write_smplx
from vqvae.skeleton import SMPL22

NEEDED = 'needs pip install "avatargpt[smplx]"'


def made_model(path: Path, joints: int = 55) -> Path:
    """A vertex at every joint of our skeleton; what it lacks hangs on the head. The first shape makes bodies wider."""
    parents = np.array([*SMPL22.parents, *([15] * (joints - 22))])
    places = np.zeros((joints, 3))
    for j in range(1, joints):
        places[j] = places[parents[j]] + (SMPL22.offsets[j] if j < 22 else [0, 0.01, 0])
    shapes = np.zeros((joints, 3, 16))
    shapes[:, 0, 0] = places[:, 0]
    table = np.stack([parents, np.arange(joints)])
    table[0, 0] = 2**32 - 1
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path, v_template=places, shapedirs=shapes, posedirs=np.zeros((joints, 3, 9 * (joints - 1))), f=[[0, 1, 2]],
        J_regressor=np.eye(joints), weights=np.eye(joints), kintree_table=table.astype(np.uint32),
        part2num=np.array({"unread": 1}, dtype=object),
    )  # fmt: skip
    return path


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    return write_smplx(walking(50), tmp_path / "walk.npz")


def test_joints_are_those_of_forward_kinematics(tmp_path: Path, walk: Path) -> None:
    pytest.importorskip("smplx", reason=NEEDED)
    made_model(tmp_path / "models" / "smplx" / "SMPLX_NEUTRAL.npz")
    out = tmp_path / "joints.npz"
    assert main(["data", "body", str(walk), "--models", str(tmp_path / "models"), "-o", str(out), "--quiet"]) == 0
    found = np.load(out)
    assert found["joints"].shape == (50, 55, 3) and found["fps"] == 20
    assert np.abs(found["joints"][:, :22] - walking(50).joints).max() < 1e-4


def test_shape_and_poses_of_other_models(tmp_path: Path, walk: Path) -> None:
    pytest.importorskip("smplx", reason=NEEDED)
    data = dict(np.load(walk))
    data["betas"] = np.array([1.0, 0, 0])
    np.savez(tmp_path / "wide.npz", **data)
    body = read_parameters(tmp_path / "wide.npz")
    for joints in (24, 52, 55):
        model = SmplModel.load(made_model(tmp_path / f"{joints}.npz", joints))
        rest = body.at_frames([0])
        still = model.joints_of(type(body)(0 * rest.poses, 0 * rest.trans, rest.betas, "male", 20.0), "y")
        assert still.shape == (1, joints, 3)
        assert np.allclose(still[0, 20, 0], 2 * SMPL22.rest_joints[20, 0], atol=1e-5), "twice as wide"
    poses = np.arange(165.0)[None]
    assert fit_poses(poses, 55).tolist() == poses.tolist()
    assert fit_poses(poses, 52)[0, [65, 66, 155]].tolist() == [65, 75, 164]
    assert fit_poses(poses[:, :156], 55)[0, [65, 66, 74, 75]].tolist() == [65, 0, 0, 66]
    assert fit_poses(poses[:, :72], 24)[0, 66:].tolist() == [0] * 6


def test_meshes(tmp_path: Path, walk: Path) -> None:
    pytest.importorskip("smplx", reason=NEEDED)
    model = made_model(tmp_path / "m.npz")
    for out, more in (("one.obj", ["--frame", "7"]), ("many", ["--every", "20"])):
        assert (
            main(["data", "body", str(walk), "--models", str(model), "-o", str(tmp_path / out), "--quiet", *more]) == 0
        )
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == ["00000.obj", "00020.obj", "00040.obj"]
    lines = (tmp_path / "one.obj").read_text().splitlines()
    places = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert np.abs(places[:22] - walking(50).joints[7]).max() < 1e-4 and lines[-1] == "f 1 2 3"


def test_z_up_is_turned(tmp_path: Path, walk: Path) -> None:
    pytest.importorskip("smplx", reason=NEEDED)
    model, body = SmplModel.load(made_model(tmp_path / "m.npz")), read_parameters(walk)
    as_it_is, turned = model.joints_of(body, "y"), model.joints_of(body)
    back = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))
    assert np.abs(rot.rotate(back, as_it_is.astype(float)) - turned).max() < 1e-5


def test_what_is_missing_is_said(tmp_path: Path, walk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no body model of smplx, neutral; accepted one of smplx/SMPLX_NEUTRAL\.npz"):
        find_model(tmp_path, "smplx", "neutral")
    (tmp_path / "SMPLX_MALE.pkl").write_bytes(b"\x80")
    with pytest.raises(UserError, match=r"pickles are never opened"):
        find_model(tmp_path / "SMPLX_MALE.pkl", "smplx", "male")
    with pytest.raises(UserError, match="gender 'they'"):
        find_model(tmp_path, "smplx", "they")
    monkeypatch.setitem(sys.modules, "smplx.lbs", None)
    with pytest.raises(UserError, match=r'pip install "avatargpt\[smplx\]", and the models'):
        SmplModel.load(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("weights", np.eye(54), r"weights \(54, 54\) of 55 vertices"),
        ("f", np.array([[0, 1, 99]]), "f names vertices"),
        ("kintree_table", np.zeros((2, 30)), r"kintree_table \(2, 30\)"),
        ("v_template", None, "no 'v_template'"),
    ],
)
def test_bad_models(tmp_path: Path, key: str, value: np.ndarray | None, said: str) -> None:
    pytest.importorskip("smplx", reason=NEEDED)
    path = made_model(tmp_path / "m.npz")
    data = {k: v for k, v in np.load(path, allow_pickle=True).items() if k != key}
    np.savez(path, **data, **({} if value is None else {key: value}))
    with pytest.raises(UserError, match=said) as e:
        SmplModel.load(path)
    assert str(path) in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["-o", "a.fbx"], "accepted .npz, .obj"),
        (["-o", "a.obj", "--frame", "50"], "accepted 0 to 49"),
        (["-o", "a.npz", "--up", "x"], "up 'x'"),
        (["-o", "a.npz", "--gender", "female"], "no body model of smplx, female"),
    ],
)
def test_bad_commands(
    tmp_path: Path, walk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str],
    said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    assert main(["data", "body", str(walk), "--models", "models", *more]) == 2
    told = capsys.readouterr()
    assert said in told.err and len(told.err.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models", "walk.npz"]
