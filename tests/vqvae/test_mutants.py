"""What mutants of the readers have outlived."""

import numpy as np
import pytest

from tests.vqvae.test_bvh import SMALL
from vqvae.io.asf import parse_amc, parse_asf


@pytest.mark.parametrize(("head", "turn"), [(":DEGREES", 90.0), (":radians", np.pi / 2), ("", 90.0)])
def test_angles_of_an_amc_are_in_the_unit_that_it_says(head: str, turn: float) -> None:
    amc = f"{head}\n1\nroot 0 0 0 0 0 0\nshin 0\n2\nroot 0 0 0 0 {turn} 0\nshin {turn}\n"
    rig = parse_amc(amc, parse_asf(SMALL), 120.0)
    assert np.abs(rig.rotations[1, :2, 0]) == pytest.approx(np.cos(np.pi / 4))
