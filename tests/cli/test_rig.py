"""``avatargpt rig``: what is understood of a skeleton, as lines, a picture and JSON; options that state it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatargpt.export import rig_sheet
from avatargpt.export.sheet import CELL_HEIGHT, CELL_WIDTH
from tests.cli.conftest import Cli
from tests.export.readers import contents, repacked
from tests.factories import write_character
from tests.vqvae.rigs import MIXAMO, GltfFile, as_rig, bone_axes, bvh_text, motion


@pytest.fixture
def bvh(tmp_path: Path) -> Path:
    path = tmp_path / "a.bvh"
    path.write_text(bvh_text(as_rig(motion(), MIXAMO, arms_down=45)))
    return path


def without_animations(path: Path) -> Path:
    gltf, blob = contents(path)
    return repacked(path, gltf | {"animations": []}, blob)


def test_what_is_understood(cli: Cli, bvh: Path, tmp_path: Path) -> None:
    ran = cli("rig", bvh, "-o", tmp_path / "rig.png")
    assert ran.code == 0 and "joints: 22 of 22 joints" in ran.out and "rest: the rest pose" in ran.out
    with Image.open(tmp_path / "rig.png") as picture:
        assert picture.width > 800
    assert cli("rig", bvh, "-o", tmp_path / "rig.json").code == 0
    values = json.loads((tmp_path / "rig.json").read_text())
    assert values["joints"]["l_shoulder"] == "mixamorig:LeftArm" and values["confidence"] == 1
    assert max(b["max"] for b in values["bones_degrees"].values()) < 1 and values["up"] == "Y"
    character = json.loads(cli("rig", without_animations(write_character(tmp_path / "child.vrm")), "--json").out)
    assert character["joints"]["l_knee"] == "mixamorig:LeftLeg" and character["rest"] == "the pose of the mesh"
    pack = GltfFile({"Walk": as_rig(motion(), MIXAMO), "Run": as_rig(motion(), MIXAMO)}, bone_axes())
    pack.save(tmp_path / "pack.glb")
    assert json.loads(cli("rig", f"{tmp_path / 'pack.glb'}#Run", "--json").out)["rest"] == "the pose of the mesh"


def test_stated_joints(cli: Cli, bvh: Path, tmp_path: Path) -> None:
    table = tmp_path / "map.json"
    table.write_text(json.dumps({"spine3": "mixamorig:Spine1"}))
    assert json.loads(cli("rig", bvh, "--map", table, "--json").out)["joints"]["spine3"] == "mixamorig:Spine1"
    assert cli("export", bvh, tmp_path / "a.npz", "--map", table, "--unit", "cm", "--up", "y").code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "rig.gif"], "rig.gif: cannot write '.gif'; accepted .json .png"),
        (["--up", "w"], "up 'w'; accepted x, y, z, -x"),
        (["--unit", "0"], "--unit 0; accepted m, cm"),
        (["--unit", "nan"], "--unit nan; accepted m, cm"),
        (["--map", "list.json"], "list.json: no table of joints"),
        (["--map", "none.json"], "none.json: no such file"),
        (["--animation", "Walk"], "--animation goes with .glb"),
    ],
)
def test_bad_options(
    cli: Cli, bvh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("list.json").write_text("[1]")
    ran = cli("rig", bvh, *options)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1


def test_long_limbs_are_in_their_cells(cli: Cli, tmp_path: Path) -> None:
    """Arms three times as long as ours, stretched aside."""
    long = write_character(tmp_path / "long.bvh", elbow=3.0, wrist=3.0)
    assert cli("rig", long, "-o", tmp_path / "rig.png").code == 0
    with Image.open(tmp_path / "rig.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    table = 16 + -(-22 // rig_sheet.COLUMNS) * rig_sheet.LINE + 20
    top = len(pixels) - table - 2 * CELL_HEIGHT
    cells = pixels[top : top + CELL_HEIGHT, 12 : 12 + rig_sheet.FRAMES * CELL_WIDTH]
    cells = cells.reshape(CELL_HEIGHT, rig_sheet.FRAMES, CELL_WIDTH, 3).swapaxes(0, 1)
    ink = np.abs(cells - cells[:, :1, :1]).sum(-1) > 30
    assert ink.any((1, 2)).all()
    assert not (ink[:, [0, -1]].any() or ink[:, :, [0, -1]].any()), "drawn up to an edge"
