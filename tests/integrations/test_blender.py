"""The Blender add-on in Blender's own Python, against a running server."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.export.test_character import moved
from tests.factories import write_character
from tests.server.running import StandIn
from vqvae.rig import world
from vqvae.skeleton import SMPL22

ADDON = Path(__file__).resolve().parents[2] / "integrations" / "blender"
SCRIPT = Path(__file__).with_name("run_in_blender.py")


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that has bpy."""
    named = shutil.which(os.environ.get("AVATARGPT_BLENDER", ""))
    if named is not None and Path(named).name.startswith("python"):
        return named
    if find_spec("bpy") is None:
        pytest.skip("needs bpy: AVATARGPT_BLENDER=PYTHON of an environment with it")
    return sys.executable


def test_a_prompt_becomes_a_strip_on_the_selected_armature(
    python: str, address: str, model: StandIn, tmp_path: Path
) -> None:
    character, out = write_character(tmp_path / "child.glb"), tmp_path / "places.npz"
    command = [python, str(SCRIPT), str(ADDON), address, str(character), str(out)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    places = np.load(out)
    motion = model.motion("a person walks", 2.0)
    rig = moved(export.save(motion, tmp_path / "direct.glb", character=character))
    expected = world(rig)[0]
    for k, name in enumerate(rig.names):
        assert np.abs(places[f"character/{name}"] - expected[:, k]).max() < 1e-3, name
    ours = model.motion("a person waves", 2.0).joints
    for k, name in enumerate(SMPL22.names):
        assert np.abs(places[f"ours/{name}"] - ours[:, k]).max() < 1e-4, name
    before, after = places["kept/before"], places["kept/after"]
    assert np.abs(after[0] - before[0]).max() < 1e-4  # what was there plays until the new one begins,
    assert np.linalg.norm((after[1] - before[1])[:2]) < 0.1  # where the character is then
    assert np.linalg.norm(before[1, :2]) > 0.3
    assert places["spans/missed"].max() < 0.01  # the ends of an in-between are the animator's poses,
    assert places["spans/outside"].max() < 1e-4  # and strips keep to their frames
    assert places["spans/inside"].max() > 0.01
    assert "empty" in str(places["error"])
    assert "joints not found: l_shoulder, l_elbow, l_hip" in str(places["missing"])
