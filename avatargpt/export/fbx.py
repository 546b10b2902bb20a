"""``.fbx`` by way of ``.glb`` and Blender, which reads and writes it: an installed one, or the Python module bpy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from avatargpt.export.gltf_read import read_glb
from avatargpt.export.gltf_write import write_glb
from vqvae.errors import UserError
from vqvae.io.files import atomic_write
from vqvae.motion import Motion

BLENDER = "AVATARGPT_BLENDER"  # environment variable: a Blender, or a Python that has bpy
SCRIPT = Path(__file__).with_name("blender_convert.py")
SECONDS = 600.0  # of one conversion
HOW = (f"install Blender (`blender` on the PATH, or {BLENDER}=PROGRAM), or its module in an environment of its own: "
       f"python3.11 -m venv BPY && BPY/bin/pip install bpy, {BLENDER}=BPY/bin/python")  # fmt: skip


def find_blender(path: str | os.PathLike[str]) -> list[str]:
    """The command, without its files, that converts: of ``$AVATARGPT_BLENDER``, bpy beside us, ``blender`` on the PATH.

    Args:
        path: of the .fbx, for the message.

    Raises:
        UserError: none is there.
    """
    stated = os.environ.get(BLENDER)
    if stated and shutil.which(stated) is None:
        raise UserError(f"{path}: {BLENDER}={stated}: no such program; accepted a Blender, or a Python that has bpy")
    if not stated and find_spec("bpy") is not None:
        return [sys.executable, str(SCRIPT), "--"]
    program = shutil.which(stated or "blender")
    if program is None:
        raise UserError(f"{path}: .fbx needs Blender; {HOW}")
    if Path(program).name.lower().startswith("python"):
        return [program, str(SCRIPT), "--"]
    return [program, "--background", "--factory-startup", "--python-exit-code", "1", "--python", str(SCRIPT), "--"]


def write_fbx(motion: Motion, path: Path) -> None:
    """Write the mesh and animation of the .glb as FBX, key frames at the motion's rate."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "clip.glb")
        write_glb(motion, source)
        write_as_fbx(source, path, motion.fps)


def write_as_fbx(glb: Path, path: Path, fps: float) -> None:
    """Write a .glb as FBX (binary, 7.4): meshes, materials, skeleton and all animations, key frames at a rate."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "clip.fbx")
        _convert(path, glb, target, repr(float(fps)))
        atomic_write(path, lambda temporary: shutil.copyfile(target, temporary))


def read_fbx(
    path: Path, animation: str | None = None, up: str | None = None, unit: float | None = None,
    joints: Mapping[str, str] | None = None,
) -> Motion:  # fmt: skip
    """Read the body of any humanoid in an FBX; options as of `read_glb`."""
    with as_glb(path) as converted:
        motion = read_glb(converted, animation, up, unit, joints)
    assert isinstance(motion, Motion)  # morph targets are not converted
    return replace(motion, fps=round(motion.fps, 3))  # as FBX states it, times are single precision


@contextmanager
def as_glb(path: Path, whole: bool = False) -> Iterator[Path]:
    """A .glb with the skeleton, meshes and animations of an FBX, `whole` with materials and morph targets; errors
    about it name the .fbx."""
    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder, "clip.glb")
        _convert(path, path.resolve(), converted, *["whole"] * whole)
        try:
            yield converted
        except UserError as e:
            raise UserError(str(e).replace(str(converted), str(path))) from None


def _convert(named: Path, source: Path, target: Path, *options: str) -> None:
    """Run Blender on a file; `named` is the .fbx, for messages."""
    command = [*find_blender(named), str(source), str(target), *options]
    # What lies in Python's variables is ours, not Blender's.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD")}
    try:
        run = subprocess.run(command, capture_output=True, env=environment, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{named}: Blender took more than {SECONDS:g} s; accepted a smaller file") from None
    except OSError as e:
        raise UserError(f"{named}: {command[0]} cannot be run ({e.strerror or e})") from None
    if run.returncode or not target.is_file():
        lines = (run.stderr or run.stdout).decode("utf-8", "replace").strip().splitlines()
        raise UserError(f"{named}: Blender could not convert it ({lines[-1].strip()[:200] if lines else 'no output'})")
