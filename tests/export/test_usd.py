"""USD: the skeleton of a stage and its animation; without OpenUSD a line that says how to install it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import export
from avatargpt.export import usd
from tests.vqvae.rigs import CONVENTIONS, as_rig, limbs_off, motion, places_of
from vqvae import rotations as rot
from vqvae.errors import UserError


def test_one_line_without_openusd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usd, "find_spec", lambda name: None)
    (tmp_path / "a.usda").write_text("#usda 1.0\n")
    with pytest.raises(UserError, match=r'a\.usda: \.usda needs OpenUSD; install .* "avatargpt\[usd\]"$'):
        export.load(tmp_path / "a.usda")


def write_usd(path: Path, copies: int = 1, bind: bool = True, above: float = 0.0, frames: int = 30) -> Path:
    """A Mixamo-like skeleton in centimetres, Z up, arms 40 degrees down at rest, 24 frames a second; `above` degrees
    that the skeleton's own prim is turned about the vertical."""
    pxr = pytest.importorskip("pxr", reason="OpenUSD (extra usd) is not installed")
    from pxr import Gf, Usd, UsdGeom, UsdSkel

    assert pxr
    stage = Usd.Stage.CreateNew(str(path))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 0.01)
    stage.SetTimeCodesPerSecond(24)
    rig = as_rig(motion(frames), CONVENTIONS["mixamo without colons"], 40, z_up=True)
    parents = rig.parents
    paths: list[str] = []
    for j, name in enumerate(rig.names):
        paths.append(f"{paths[parents[j]]}/{name}" if parents[j] >= 0 else name)

    def matrix(turn: np.ndarray, place: np.ndarray) -> Any:
        return Gf.Matrix4d(1).SetRotate(Gf.Quatd(*map(float, turn))).SetTranslateOnly(Gf.Vec3d(*map(float, place)))

    one = rot.identity(())
    for k in range(copies):
        UsdSkel.Root.Define(stage, f"/Root{k}")
        skeleton = UsdSkel.Skeleton.Define(stage, f"/Root{k}/Skeleton")
        UsdGeom.Xformable(skeleton).AddRotateZOp().Set(above)
        skeleton.CreateJointsAttr(paths)
        if bind:
            skeleton.CreateBindTransformsAttr([matrix(one, p) for p in rig.rest_joints])
        skeleton.CreateRestTransformsAttr([matrix(one, p) for p in rig.offsets])
        animation = UsdSkel.Animation.Define(stage, f"/Root{k}/Skeleton/Walk")
        animation.CreateJointsAttr(paths)
        rotations, places = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
        animation.CreateScalesAttr().Set([Gf.Vec3h(1, 1, 1)] * len(paths))
        for t in range(len(rig.rotations)):
            rotations.Set([Gf.Quatf(*map(float, q)) for q in rig.rotations[t]], t)
            places.Set([Gf.Vec3f(*map(float, p)) for p in rig.translations[t]], t)
        UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    stage.GetRootLayer().Save()
    return path


@pytest.mark.parametrize("suffix, bind", [(".usda", True), (".usdc", False)])
def test_limbs_point_as_in_the_file(tmp_path: Path, suffix: str, bind: bool) -> None:
    read, truth = export.load(write_usd(tmp_path / f"a{suffix}", bind=bind)), motion(30)
    assert read.fps == 24 and len(read) == 30
    assert limbs_off(places_of(read.joints), places_of(truth.joints)) < 3
    np.testing.assert_allclose(read.root, truth.root, atol=0.02)


def test_turns_above_the_skeleton_count(tmp_path: Path) -> None:
    straight, turned = (export.load(write_usd(tmp_path / f"{a}.usda", above=a)) for a in (0, 90))
    np.testing.assert_allclose(turned.joints, rot.rotate(rot.about_y(np.pi / 2), straight.joints), atol=0.01)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.usda: .* \(2 skeletons .*/Root0/Skeleton, .*; accepted one"):
        export.load(write_usd(tmp_path / "a.usda", copies=2))
    with pytest.raises(UserError, match=r"b\.usda: .* \(0 skeletons with an animation; accepted one\)"):
        (tmp_path / "b.usda").write_text("#usda 1.0\n")
        export.load(tmp_path / "b.usda")
    with pytest.raises(UserError, match=r"c\.usdc: not read by OpenUSD"):
        (tmp_path / "c.usdc").write_bytes(b"PXR-USDC" + bytes(200))
        export.load(tmp_path / "c.usdc")
