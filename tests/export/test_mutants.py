"""What mutants of pictures and of the command `export` have outlived."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from avatargpt.cli import app
from avatargpt.export.sheet import body_row
from tests.clips import gliding
from tests.export.readers import contents
from vqvae.face import FaceMotion


def test_the_distance_on_a_sheet_is_along_the_ground() -> None:
    clip = gliding(20, 0.0)
    rising = clip.root + np.linspace(0, 1, 20)[:, None] * np.array([0, 2.0, 0])
    assert [stamp for _, stamp in body_row(replace(clip, root=rising), 2)] == ["0.0 s", "0.9 s"]
    gone = clip.root + np.linspace(0, 1, 20)[:, None] * np.array([3.0, 2.0, 4.0])
    assert body_row(replace(clip, root=gone), 2)[1][1] == "0.9 s   5.0 m"


def test_a_layout_that_is_named_comes_before_that_of_the_names(tmp_path: Path) -> None:
    FaceMotion(np.full((30, 52), 0.5), np.zeros((30, 3))).save(tmp_path / "a.npz")
    run = ["export", str(tmp_path / "a.npz"), str(tmp_path / "a.vrma"), "--names", "camel"]
    for more, kinds in (([], {"custom"}), (["--layout", "both"], {"custom", "preset"})):
        assert app.run([*run, *more]) == 0
        gltf, _ = contents(tmp_path / "a.vrma")
        assert {*gltf["extensions"]["VRMC_vrm_animation"]["expressions"]} == kinds
