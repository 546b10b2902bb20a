"""FBX by way of Blender: which program is taken, what is said without one or where it fails, and a round trip."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export import fbx
from tests.clips import gliding
from vqvae.errors import UserError

# A program in Blender's place that copies a .glb, whatever it is called, and fails with others.
PROGRAM = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
if head -c 4 "$2" | grep -q glTF; then cp "$2" "$3"; else echo oops >&2; exit 3; fi
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "blender"
    path.write_text(PROGRAM)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(fbx.BLENDER, str(path))
    return path


def test_one_line_without_blender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fbx.BLENDER, raising=False)
    monkeypatch.setattr(fbx, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"a\.fbx: \.fbx needs Blender; install .*pip install bpy"):
        export.check_target(tmp_path / "a.fbx")
    monkeypatch.setenv(fbx.BLENDER, str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="no such program"):
        export.check_target(tmp_path / "a.fbx")


def test_which_command(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fbx.find_blender("a.fbx")[:2] == [str(program), "--background"]
    python = program.with_name("python3.11")
    os.symlink(program, python)
    monkeypatch.setenv(fbx.BLENDER, str(python))
    assert fbx.find_blender("a.fbx") == [str(python), str(fbx.SCRIPT), "--"]


def test_there_and_back(program: Path, tmp_path: Path) -> None:
    motion = gliding(12)
    read = export.load(export.save(motion, tmp_path / "a.fbx"))
    np.testing.assert_allclose(read.joints, motion.joints, atol=1e-4)


def test_what_blender_refuses_is_one_line(program: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fbx").write_bytes(b"no FBX")
    with pytest.raises(UserError, match=r"a\.fbx: Blender could not convert it \(oops\)$"):
        export.load(tmp_path / "a.fbx")


def test_there_and_back_through_blender(tmp_path: Path) -> None:
    try:
        fbx.find_blender("a.fbx")
    except UserError as e:
        pytest.skip(str(e))
    motion = gliding(24)
    read = export.load(export.save(motion, tmp_path / "a.fbx"))
    assert len(read) == len(motion) and read.fps == motion.fps
    np.testing.assert_allclose(read.joints, motion.joints, atol=1e-3)
