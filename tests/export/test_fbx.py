"""FBX by way of Blender: which program is taken, what is said without one or where it fails, and a round trip."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export import fbx
from tests.clips import gliding
from tests.export.readers import contents
from tests.factories import marching, write_character
from tests.vqvae.rigs import angles
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


@pytest.mark.parametrize("suffix", [".fbx", ".glb"])
def test_a_character(program: Path, tmp_path: Path, suffix: str) -> None:
    hero, motion = write_character(tmp_path / "hero.glb").rename(tmp_path / "hero.fbx"), marching(8)
    path = export.save(motion, tmp_path / f"out{suffix}", character=hero)
    assert [a["name"] for a in contents(path)[0]["animations"]] == ["Idle", motion.caption]
    assert len(export.load(f"{path}#{motion.caption}")) == 8


def test_several_clips_are_named_by_the_files_own_name(program: Path, tmp_path: Path) -> None:
    hero = write_character(tmp_path / "hero.glb").rename(tmp_path / "hero.fbx")
    path = export.save(marching(8), tmp_path / "out.fbx", character=hero)
    with pytest.raises(UserError, match=r"name one as \S*out\.fbx#NAME$"):
        export.load(path)


def test_a_character_is_named_where_it_is_none(program: Path, tmp_path: Path) -> None:
    (tmp_path / "hero.fbx").write_bytes(b"glTF")
    with pytest.raises(UserError, match=r"hero\.fbx: ") as error:
        export.save(marching(8), tmp_path / "out.fbx", character=tmp_path / "hero.fbx")
    assert "clip.glb" not in str(error.value)


def test_a_character_without_blender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fbx.BLENDER, str(tmp_path / "nothing"))
    hero = write_character(tmp_path / "hero.glb")
    for out, character in (("a.fbx", hero), ("a.glb", hero.with_suffix(".fbx"))):
        with pytest.raises(UserError, match=r"\.fbx: .*no such program"):
            export.check_target(tmp_path / out, "body", character)


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
    hero = export.save(motion.with_caption("glides"), tmp_path / "a.fbx")
    read = export.load(hero)
    assert len(read) == len(motion) and read.fps == motion.fps
    np.testing.assert_allclose(read.joints, motion.joints, atol=1e-3)
    on = export.load(f"{export.save(marching(9), tmp_path / 'b.fbx', character=hero)}#a person marches")
    assert on.fps == 20 and np.degrees(angles(on.rotations[:, 0], marching(9).rotations[:, 0])).max() < 0.1
