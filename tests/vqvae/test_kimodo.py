"""kimodo's .npz: joints by number or name, places that follow from the rotations."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import export
from tests.clips import swaying
from tests.vqvae.rigs import limbs_off, places_of
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.kimodo import _SOMA30, _SOMA30_PARENTS

# Metres of SOMA's joints from their parents at rest, where the limbs are concerned, roughly.
OFFSETS = {"Spine": (0, 0.08, 0), "Chest": (0, 0.08, 0), "Neck1": (0, 0.26, 0), "Neck2": (0, 0.08, 0),
           "Head": (0, 0.06, 0.02), "Shoulder": (0.02, 0.23, 0), "Arm": (0.15, 0, 0), "ForeArm": (0.29, 0, 0),
           "Hand": (0.27, 0, 0), "Leg": (0.1, -0.08, 0), "Shin": (0, -0.43, 0),
           "Foot": (0, -0.42, 0), "ToeBase": (0, -0.05, 0.13)}  # fmt: skip


def soma(frames: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """A clip of SOMA's thirty joints, each turned by up to half a radian."""
    rng = np.random.default_rng(seed)
    local = rot.from_axis_angle(rng.uniform(-0.3, 0.3, (frames, 30, 3)))
    local[:, 0] = rot.identity((frames,))
    turns, places = np.empty((frames, 30, 4)), np.zeros((frames, 30, 3))
    places[:, 0] = [0, 1.0, 0]
    for j, (name, p) in enumerate(zip(_SOMA30, _SOMA30_PARENTS, strict=True)):
        turns[:, j] = local[:, j] if p < 0 else rot.multiply(turns[:, p], local[:, j])
        core = name.removeprefix("Left").removeprefix("Right")
        offset = np.array(OFFSETS.get(core) or OFFSETS.get(core.rstrip("12")) or (0, 0.03, 0.03), float)
        offset[0] *= -1 if name.startswith("Right") else 1
        if p >= 0:
            places[:, j] = places[:, p] + rot.rotate(turns[:, p], offset)
    return {"posed_joints": places, "global_rot_mats": rot.to_matrix(turns)}


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("batch", [False, True])
def test_limbs_of_thirty_joints_point_as_in_the_file(tmp_path: Path, batch: bool) -> None:
    arrays = soma()
    motion = export.load(saved(tmp_path / "a.npz", **{k: v[None] if batch else v for k, v in arrays.items()}))
    assert motion.fps == 30
    names = {"shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand", "hip": "Leg", "knee": "Shin", "ankle": "Foot"}
    wanted = {f"{s}_{ours}": arrays["posed_joints"][:, _SOMA30.index(word + theirs)]
              for s, word in (("l", "Left"), ("r", "Right")) for ours, theirs in names.items()}  # fmt: skip
    assert limbs_off(places_of(motion.joints), wanted) < 2.5


def test_22_joints_are_ours(tmp_path: Path) -> None:
    motion = swaying(10, fps=30.0)
    places, turns = motion.skeleton.fk_full(motion.rotations, motion.root)
    read = export.load(saved(tmp_path / "a.npz", posed_joints=places, global_rot_mats=turns))
    np.testing.assert_allclose(read.joints, motion.joints, atol=1e-4)


def test_rate_and_joints_of_the_file(tmp_path: Path) -> None:
    named = {"joint_names": np.array(_SOMA30), "joint_parents": np.array(_SOMA30_PARENTS), "fps": np.float32(60)}
    read = export.load(saved(tmp_path / "a.npz", **soma(), **named))
    assert read.fps == 60
    assert export.load(saved(tmp_path / "b.npz", **soma()), fps=24).fps == 24


@pytest.mark.parametrize(("change", "message"), [
    (lambda a: a | {k: v[:, :7] for k, v in a.items()}, "7 joints without joint_names and joint_parents; accepted"),
    (lambda a: a | {"posed_joints": a["posed_joints"] * [1, 1, np.nan]}, "NaN"),
    (lambda a: a | {"global_rot_mats": 2 * a["global_rot_mats"]}, "not rotations"),
    (lambda a: a | {"posed_joints": a["posed_joints"][::-1]}, "in the frame of"),
    (lambda a: a | {"joint_names": np.array(["x"] * 30), "joint_parents": np.array(_SOMA30_PARENTS)}, "none twice"),
    (lambda a: a | {"joint_names": np.array(_SOMA30), "joint_parents": np.arange(30)}, "a joint before it"),
])  # fmt: skip
def test_what_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        export.load(saved(tmp_path / "a.npz", **change(soma())))
