"""What a pixel sees of tapered capsules, against spheres set close together along their axes."""

import numpy as np
import pytest

from avatargpt.export.capsules import Capsules, rasterise


@pytest.mark.parametrize("rise", [-90.0, -60.0, 0.0, 45.0, 120.0])
@pytest.mark.parametrize("radii", [(16.0, 9.0), (7.0, 15.0), (10.0, 10.0), (30.0, 2.0)])
def test_a_capsule_is_what_its_spheres_cover(rise: float, radii: tuple[float, float]) -> None:
    x, y, r = np.array([20.0, 34.0]), np.array([24.0, 29.0]), np.array(radii) / 2
    one = [np.array(v, np.float32)[None, None] for v in (x, y, r)]
    seen = rasterise(Capsules(*one, *(np.array([[v]], np.float32) for v in (rise / 2, 200.0))), 52, 52)
    assert seen is not None
    t = np.linspace(0, 1, 400)[:, None]
    row, column = np.divmod(np.arange(52 * 52), 52)
    off_x, off_y = column + 0.5 - (x[0] + t * (x[1] - x[0])), row + 0.5 - (y[0] + t * (y[1] - y[0]))
    radius = r[0] + t * (r[1] - r[0])
    away = np.hypot(off_x, off_y)
    margin = (radius - away).max(0)
    cover = np.zeros(52 * 52)
    cover[seen.pixel] = seen.cover
    assert (cover[margin > 0.6] > 0.5).all() and (cover[margin < -0.6] == 0).all()  # no hole; edges are soft
    front = np.where(radius > away, t * rise / 2 - np.sqrt(np.maximum(radius**2 - away**2, 0)), np.inf).argmin(0)
    at = np.flatnonzero(margin[seen.pixel] > 0.6)
    k, pixel = front[seen.pixel[at]], seen.pixel[at]
    expected = np.stack([off_x[k, pixel], -off_y[k, pixel]], 1) / radius[k]
    assert np.abs(seen.normal[at, :2] - expected).max() < 0.03
