"""Ways that a request names: which shape, and a path that has it."""

import numpy as np
import pytest

from avatargpt import AvatarGPT
from avatargpt.body.generate import along
from avatargpt.requests.clause_spec import SHAPES, TURN, Route
from vqvae.errors import UserError
from vqvae.features import BodyFeatures


@pytest.fixture
def straight() -> np.ndarray:
    """Eight seconds (160, 269) straight ahead at 1.2 m/s, that sway and drift to the right."""
    spec = BodyFeatures()
    features = np.zeros((160, spec.dim), np.float32)
    features[:, 0], features[:, 2] = 0.95, 0.06
    features[:, 3] = 0.02 * np.cos(np.arange(160) * 2 * np.pi / 20) - 0.004
    for at in range(4, 4 + 22 * 6, 6):  # joints as they are at rest: the two first columns of the unit matrix
        features[:, at], features[:, at + 4] = 1, 1
    return features


def test_a_path_gets_its_shape(straight):
    spec = BodyFeatures()

    def path(shape, side="left"):
        return along(straight, Route(shape, side, 1, 1.0, "walk"), spec).root[:, [0, 2]]

    circle = path("circle")
    assert np.linalg.norm(circle[-1] - circle[0]) < 0.5
    middle = circle.mean(0)
    assert np.ptp(np.linalg.norm(circle - middle, axis=1)) < 0.5 and middle[0] > 1  # to the left, which is +X
    assert path("circle", "right").mean(0)[0] < -1
    line = path("straight line")
    assert np.abs(line[:, 0]).max() < 0.3 and line[-1, 1] > 9
    eight = path("figure eight")
    assert np.linalg.norm(eight[-1] - eight[0]) < 0.8 and eight[:, 0].min() < -0.7 and eight[:, 0].max() > 0.7


def test_sizes_and_speeds_take_their_time():
    run, walk = (Route("circle", "left", 1, 1.0, words) for words in ("run", "walk"))
    assert Route("circle", "left", 1, 0.7, "run").tokens < run.tokens < walk.tokens == SHAPES["circle"][1]
    assert Route("straight line", "left", 1, 1.0, "walk").tokens == 0


def test_waypoints_are_met(straight):
    points = [(0.0, 3.0), (2.0, 3.0), (2.0, 6.0)]
    route = Route.through(points, "walk")
    root = along(straight, route, BodyFeatures()).root[:, [0, 2]] - 0.0
    assert np.linalg.norm(root[-1] - root[0] - points[-1]) < 0.8 and route.metres == 8
    with pytest.raises(UserError, match="waypoints"):
        Route.through([(0.0, 0.1)], "walk")


def test_too_short_a_way_makes_a_part_of_the_shape(straight):
    yaw = np.degrees(np.unwrap(along(straight[:20], Route("circle", "left", 1, 1.0, "walk"), BodyFeatures()).heading))
    assert 60 < yaw[-1] - yaw[0] < 130  # 1.2 m at a radius of 0.6 m is two radians


def test_a_turn_in_the_midst_of_a_walk(straight):
    route = Route(TURN, "right", 1, 1.0, "walk", 60.0)
    yaw = np.degrees(np.unwrap(along(straight, route, BodyFeatures()).heading))
    assert abs(yaw[-1] - yaw[0] + 60) < 6 and abs(yaw[50] - yaw[0]) < 12


def test_the_model_walks_in_a_circle_and_around_a_corner():
    model = AvatarGPT.from_pretrained()
    assert model.read_as(["walk to the table"]) == [["a person walks"]]
    asked = ["walk in a circle to the right", "walk in a curve to the left"]
    assert model.read_as(asked) == [
        ["a person walks, in a circle to the right"], ["a person walks, in a quarter circle to the left"],
    ]  # fmt: skip
    circle, corner = model.generate(asked, seed=2)
    way = np.linalg.norm(np.diff(circle.root[:, [0, 2]], axis=0), axis=1).sum()
    assert np.linalg.norm((circle.root[-1] - circle.root[0])[[0, 2]]) < 0.15 * way
    turned = [float(np.degrees(np.unwrap(m.heading))[-1]) for m in (circle, corner)]
    assert abs(turned[0] + 360) < 45 and abs(turned[1] - 90) < 25
