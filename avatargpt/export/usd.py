"""``.usd``, ``.usda``, ``.usdc``, ``.usdz``: the skeleton of a stage (UsdSkel) and its animation, by OpenUSD."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.io.files import parsing, regular_file
from vqvae.motion import MAX_FRAMES, Motion, check_fps
from vqvae.retarget import retarget
from vqvae.rig import AXES, Rig, rig_of, state_rig

SUFFIXES = (".usd", ".usda", ".usdc", ".usdz")
SCRIPT = Path(__file__).with_name("usd_convert.py")
INSTALL = 'OpenUSD; install it with pip install "avatargpt[usd]"'
MEGABYTES, SECONDS = 768, 4  # of memory and processor time for a small file
PER_MEGABYTE = (8, 2)  # further ones for each MiB of a file
ACCEPTED = "accepted a USD stage with one animated UsdSkel skeleton of a humanoid"


def read_usd(
    path: Path, up: str | None = None, unit: float | None = None, joints: Mapping[str, str] | None = None
) -> Motion:
    """Read the body of any humanoid in a USD file; options as of `vqvae.io.bvh.read_bvh`."""
    rig = read_usd_rig(path, up, unit, joints)
    with parsing(path, "a humanoid's motion", ACCEPTED):
        return retarget(rig)


def read_usd_rig(
    path: Path, up: str | None = None, unit: float | None = None, joints: Mapping[str, str] | None = None
) -> Rig:
    """The rig of a USD file.

    Raises:
        UserError: OpenUSD is not installed, no such stage, not one animated skeleton, joints of no size.
    """
    if find_spec("pxr") is None:
        raise UserError(f"{path}: {path.suffix} needs {INSTALL}")
    size = regular_file(path).stat().st_size >> 20
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "skeleton.npz")
        _convert(path, target, *(a + b * size for a, b in zip((MEGABYTES, SECONDS), PER_MEGABYTE, strict=True)))
        arrays = read_arrays(target)
    with parsing(path, "a skeleton with an animation", ACCEPTED):
        return state_rig(_rig(arrays), up, unit, joints)


def _convert(path: Path, target: Path, megabytes: int, seconds: int) -> None:
    """Run OpenUSD on a file in a process of its own."""
    command = [sys.executable, "-P", str(SCRIPT), str(path.resolve()), str(target), str(megabytes), str(seconds)]
    try:
        run = subprocess.run(command, capture_output=True, timeout=20 * seconds, check=False)
    except subprocess.TimeoutExpired:
        raise UserError(f"{path}: OpenUSD took more than {20 * seconds} s; accepted a smaller file") from None
    if run.returncode or not target.is_file():
        lines = run.stderr.decode("utf-8", "replace").strip().splitlines()
        has_message = run.returncode == 1 and lines
        why = lines[-1].strip()[:200] if has_message else f"it ended with {run.returncode}"
        raise UserError(f"{path}: not read by OpenUSD ({why}); {ACCEPTED}")


def _rig(arrays: Mapping[str, np.ndarray]) -> Rig:
    names, parents = tuple(str(n) for n in arrays["names"]), [int(p) for p in arrays["parents"]]
    rest, moved = (np.asarray(arrays[k], np.float64) for k in ("rest", "moved"))
    if not 1 <= len(moved) <= MAX_FRAMES or rest.shape != (len(names), 4, 4) or moved.shape[1:] != rest.shape:
        raise UserError(f"rest {rest.shape} and motion {moved.shape} of {len(names)} joints; {ACCEPTED}")
    if not (np.isfinite(rest).all() and np.isfinite(moved).all()):
        raise UserError("NaN or infinity; accepted finite numbers")
    if parents.count(-1) > 1:  # several trees below one more joint
        names, parents = ("", *names), [-1, *(p + 1 for p in parents)]
        whole = np.eye(4)[None]
        rest, moved = np.concatenate([whole, rest]), np.concatenate([np.repeat(whole[None], len(moved), 0), moved], 1)
    check_fps(fps := float(arrays["fps"]), "the stage")
    rig = rig_of(names, tuple(parents), _parts(rest), *_parts(moved), fps)
    return replace(rig, up=AXES[str(arrays["up"])], bound=bool(arrays["bound"]))


def _parts(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (..., 4) and places (..., 3) of matrices (..., 4, 4) that stand behind row vectors."""
    axes = matrices[..., :3, :3]
    lengths = np.linalg.norm(axes, axis=-1, keepdims=True)
    if lengths.min() < 1e-9:
        raise UserError("a joint of no size; accepted scales above 0")
    return rot.from_matrix(np.swapaxes(axes / lengths, -1, -2)), matrices[..., 3, :3]
