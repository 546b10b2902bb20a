"""ASE's .npy: poselib's motions, whose pickle is read without unpickling."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import export
from tests.vqvae.rigs import as_rig, limbs_off, motion, places_of, reparented, world_of
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.skeleton import SMPL22

# Our joint -> AMP's humanoid, which has neither collars nor toes.
AMP = {"pelvis": "pelvis", "spine2": "torso", "head": "head"} | {
    f"{s}_{ours}": f"{side}_{theirs}"
    for s, side in (("l", "left"), ("r", "right"))
    for ours, theirs in (("shoulder", "upper_arm"), ("elbow", "lower_arm"), ("wrist", "hand"), ("hip", "thigh"),
                         ("knee", "shin"), ("ankle", "foot"))
}  # fmt: skip


def skeleton_motion(is_local: bool, arms_down: float = 80.0, **changed: Any) -> dict[str, Any]:
    """A clip as poselib's `SkeletonMotion.to_dict` has it, of the humanoid without collars, arms down, Z up."""
    full = as_rig(motion(12), {n: AMP.get(n, n) for n in SMPL22.names}, arms_down, z_up=True, scale=1.0, facing=90)
    turns, places = world_of(full)
    rest = full.rest_joints
    kept = [full.names.index(n) for n in AMP.values()]
    parents = reparented(full.parents, kept)
    offsets = np.array([rest[j] - rest[kept[p]] if p >= 0 else rest[j] for j, p in zip(kept, parents, strict=True)])
    local = turns[:, kept].copy()
    for k, p in enumerate(parents):
        if p >= 0:
            local[:, k] = rot.multiply(rot.conjugate(turns[:, kept[p]]), turns[:, kept[k]])
    stored = (local if is_local else turns[:, kept])[..., [1, 2, 3, 0]]

    def tensor(values: Any, kind: str = "float32") -> dict[str, Any]:
        return {"arr": np.asarray(values, kind), "context": {"dtype": kind}}

    tree = OrderedDict(node_names=list(AMP.values()), parent_indices=tensor(parents, "int64"),
                       local_translation=tensor(offsets))  # fmt: skip
    return OrderedDict(rotation=tensor(stored), root_translation=tensor(places[:, kept[0]]), skeleton_tree=tree,
                       is_local=is_local, global_velocity=tensor(np.zeros((12, 15, 3))), fps=60,
                       __name__="SkeletonMotion") | changed  # fmt: skip


def saved(path: Path, value: Any) -> Path:
    np.save(path, value, allow_pickle=True)
    return path


@pytest.mark.parametrize("is_local", [True, False])
def test_limbs_point_as_in_the_file(tmp_path: Path, is_local: bool) -> None:
    read, truth = export.load(saved(tmp_path / "a.npy", skeleton_motion(is_local))), motion(12)
    assert read.fps == 60
    # the file faces +X, ours +Z: as_rig was told to turn by 90 degrees
    assert limbs_off(places_of(read.joints), places_of(rot.rotate(rot.about_y(np.pi / 2), truth.joints))) < 3


class Runs:
    """Unpickled, it makes a folder."""

    def __reduce__(self) -> Any:
        return (__import__("os").mkdir, (self.place,))

    place = ""


def test_nothing_in_the_file_runs(tmp_path: Path) -> None:
    Runs.place = str(tmp_path / "ran")
    for value in (Runs(), skeleton_motion(True, fps=Runs())):
        with pytest.raises(UserError, match=r"a\.npy: not a SkeletonMotion.*mkdir.*; accepted .*np\.save"):
            export.load(saved(tmp_path / "a.npy", value))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "changed, line",
    [({"rotation": {"arr": np.zeros((4, 3, 4))}}, r"rotation \(4, 3, 4\); accepted \(T, 15, 4\)"),
     ({"root_translation": {"arr": np.full((12, 3), np.nan)}}, "root_translation: NaN"),
     ({"fps": float("nan")}, "fps nan"), ({"skeleton_tree": 3}, "not a SkeletonMotion"),
     ({"rotation": {"arr": np.full((12, 15, 4), 0.9)}}, "another length than 1")],
)  # fmt: skip
def test_other_tables_are_refused(tmp_path: Path, changed: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        export.load(saved(tmp_path / "a.npy", skeleton_motion(True, **changed)))


def test_rate_that_is_stated(tmp_path: Path) -> None:
    assert export.load(saved(tmp_path / "a.npy", skeleton_motion(True)), fps=30).fps == 30
