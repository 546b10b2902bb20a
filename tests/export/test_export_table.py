"""The table of formats: suffixes, targets, options, and files that stay whole."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from avatargpt import export
from vqvae.errors import UserError
from vqvae.motion import Motion


def test_suffixes() -> None:
    films, files = [".gif", ".mov", ".mp4"], [".bvh", ".csv", ".glb", ".json", ".npy", ".npz", ".png", ".vrma"]
    assert export.writable() == sorted([*films, *files])
    assert export.readable() == [".bvh", ".csv", ".glb", ".gltf", ".json", ".npy", ".npz", ".vrma"]


@pytest.mark.parametrize("name", ["a.fbx", "a", "a.bvh.gz", ".bvh"])
def test_unknown_suffix_is_refused_both_ways(motion: Motion, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"accepted .*\.bvh .*\.npz"):
        export.save(motion, tmp_path / name)
    with pytest.raises(UserError, match=r"accepted .*\.bvh .*\.npz"):
        export.load(tmp_path / name)


def test_suffix_in_capitals(motion: Motion, tmp_path: Path) -> None:
    assert len(export.load(export.save(motion, tmp_path / "A.BVH"))) == len(motion)


def test_a_gesture_is_written_wherever_a_body_is(motion: Motion, tmp_path: Path) -> None:
    gesture = replace(motion.slice(0, 3), modality="gesture")
    for suffix in export.writable("body"):
        assert export.save(gesture, tmp_path / f"a{suffix}").is_file()
    assert export.load(tmp_path / "a.npz").modality == "gesture"
    assert export.writable("gesture") == export.writable("body")


def test_check_target(tmp_path: Path) -> None:
    assert export.check_target(tmp_path / "new" / "deep" / "a.glb") == tmp_path / "new" / "deep" / "a.glb"
    assert not (tmp_path / "new").exists()
    (tmp_path / "folder.bvh").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        export.check_target(tmp_path / "folder.bvh")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="not a folder"):
        export.check_target(tmp_path / "file" / "a.bvh")


def test_unwritable_folder(motion: Motion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *a, **k: False)
    with pytest.raises(UserError, match="no permission"):
        export.save(motion, tmp_path / "a.npz")
    assert not list(tmp_path.iterdir())


def test_unknown_option(motion: Motion, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no option 'colour' for .bvh; accepted scale"):
        export.save(motion, tmp_path / "a.bvh", colour=1)
    assert not list(tmp_path.iterdir())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        export.load(tmp_path / "a.bvh")


@pytest.mark.parametrize("suffix", [".bvh", ".gif", ".glb", ".npy", ".npz", ".png"])
def test_a_failed_write_leaves_the_old_file(
    motion: Motion, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / f"a{suffix}"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(UserError, match="No space left"):
        export.save(motion.slice(0, 4), target)
    assert [p.name for p in tmp_path.iterdir()] == [target.name] and target.read_text() == "old"


def test_importing_the_table_is_light() -> None:
    code = "import sys, avatargpt.export; print([m for m in ('numpy', 'PIL', 'torch', 'scipy') if m in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
