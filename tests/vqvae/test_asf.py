"""Acclaim's skeletons and motions, written by a test of its own, and bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.instruct_data import corpus_trees as trees
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.asf import parse_amc, parse_asf, read_amc, read_asf
from vqvae.motion import Motion
from vqvae.retarget import retarget
from vqvae.rig import world

SMALL = """:units
  length 0.45
  angle deg
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 1 2 3
   orientation 0 0 0
:bonedata
  begin
     id 1
     name shin
     direction 0 -1 0
     length 4
     axis 0 0 90 XYZ
     dof rx
     limits (-160 20)
  end
  begin
     id 2
     name foot
     direction 0 0 1
     length 1
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root shin
    shin foot
  end
"""


def test_axes_turn_as_the_format_says() -> None:
    """A turn about the bone's own X, which lies along the world's Y, brings its foot from +Z to +X."""
    amc = ":DEGREES\n1\nroot 0 0 0 0 0 0\nshin 0\n2\nroot 5 0 0 0 90 0\nshin 90\n"
    rig = parse_amc(amc, parse_asf(SMALL), 120.0)
    assert rig.names == ("root", "shin", "foot") and rig.parents == (-1, 0, 1) and rig.fps == 120
    places, turns = world(rig)
    assert places[0].tolist() == [[1, 2, 3], [1, 2, 3], [1, -2, 3]]
    assert np.allclose(places[1, 0], [6, 2, 3])
    assert np.allclose(turns[0, 1] @ [0, 0, 1], [0, 0, 1]) and np.allclose(turns[1, 0] @ [0, 0, 1], [1, 0, 0])
    assert np.allclose(turns[1, 1] @ [0, 0, 1], [0, 0, -1], atol=1e-9)  # root's 90 degrees about Y and the shin's


def test_a_body_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    motion = trees.walking(40)
    more = rot.from_axis_angle(rng.uniform(-0.15, 0.15, (1, 22, 3)) * np.ones((40, 1, 1)))
    motion = Motion(rot.multiply(motion.rotations.astype(float), more), motion.root, 20.0)
    trees.acclaim(tmp_path, motion)
    rig = read_amc(tmp_path / "01_01.amc", read_asf(tmp_path / "01.asf"), 20.0)
    assert {"left_femur", "right_hand", "lowerback", "root"} <= set(rig.names)
    got = retarget(rig)
    assert np.abs(got.joints - motion.joints).max() < 0.02 and got.fps == 20


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":hierarchy", ":other", "no :hierarchy section"),
        ("root shin", "root thigh", "names thigh, which is no bone"),
        ("shin foot", "foot shin", "does not lead from root"),
        ("length 4", "length four", "bone shin: length: 'four'"),
        ("axis 0 0 90 XYZ", "axis 0 0 90 XXZ", "axis order 'XXZ'"),
        ("dof rx", "dof rw", "dof 'rw'"),
        ("     direction 0 -1 0", "     direction 0 nan 0", "direction"),
    ],
)
def test_bad_skeletons(tmp_path: Path, old: str, new: str, said: str) -> None:
    trees.text(tmp_path / "a.asf", SMALL.replace(old, new, 1))
    with pytest.raises(UserError, match=said) as e:
        read_asf(tmp_path / "a.asf")
    assert str(tmp_path / "a.asf") in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\nroot 0 0 0 0 0 0\nshin 0\n", "1 frames"),
        ("1\nroot 0 0 0 0 0 0\nshin 0\n2\nroot 0 0 0 0 0 0\n", "frame 2: no values of shin"),
        ("1\nroot 0 0 0\nshin 0\n", "line 2: root"),
        ("1\nroot 0 0 0 0 0 0\nknee 0\n", "line 3: 'knee' is no bone"),
    ],
)
def test_bad_motions(tmp_path: Path, text: str, said: str) -> None:
    trees.text(tmp_path / "a.amc", text)
    with pytest.raises(UserError, match=said) as e:
        read_amc(tmp_path / "a.amc", parse_asf(SMALL), 120.0)
    assert str(tmp_path / "a.amc") in str(e.value)
