"""Ways that a request names: which shape, and a path that has it."""

import numpy as np
import pytest

from avatargpt import AvatarGPT
from avatargpt.body.paths import along
from avatargpt.language.paths import SHAPES, TURN, route_asked, walking_turn
from vqvae.features.body import BodyFeatures


@pytest.mark.parametrize(("text", "told", "words"), [
    ("walk in a circle", "in a circle to the left", "walk"),
    ("a person walks in a circle clockwise", "in a circle to the right", "a person walks"),
    ("he runs in circles", "in two circles to the left", "he runs"),
    ("jog in a small circle twice", "in two small circles to the left", "jog"),
    ("a person takes five steps forward", "5 steps ahead", "walk"),
    ("walk forward 3 steps", "3 steps ahead", "walk"),
    ("walk in a circle 3 times", "in three circles to the left", "walk"),
    ("walk in a circle waving with the right hand", "in a circle to the left", "walk waving with the right hand"),
    ("he walks like a zombie in a circle", "in a circle to the left", "he walks like a zombie"),
    ("walks in a figure 8 pattern", "in a figure eight to the left", "walks"),
    ("run in a zigzag", "in a zigzag to the left", "run"),
    ("walks in a half circle to the right", "in a half circle to the right", "walks"),
    ("walk in an arc to the right", "in a quarter circle to the right", "walk"),
    ("go in a square", "in a square to the left", "walks"),
    ("walk in a wavy line", "in a winding line to the left", "walk"),
    ("walk in a straight line", "in a straight line", "walk"),
    ("a person walks in a triangle like a zombie", "in a triangle to the left", "a person walks like a zombie"),
])  # fmt: skip
def test_ways_are_read(text, told, words):
    route = route_asked(text)
    assert route is not None and (route.told, route.words) == (told, words)


@pytest.mark.parametrize("text", [
    "circle the arms", "walk around the circle of chairs", "sits in a circle", "draws a circle in the air",
    "walk and circle the arms", "dance in a circle", "walk in a circle to the left and to the right", "walk",
    "takes two steps back", "take a step", "climb three steps", "moves his arms in circles",
    "moves into a forward bend", "walk to the square", "walks into the ring",
    "the man moves the square box",
])  # fmt: skip
def test_other_circles_are_no_ways(text):
    assert route_asked(text) is None


def test_sizes_and_speeds_take_their_time():
    tokens = [route_asked(t).tokens for t in ("run in a small circle", "run in a circle", "walk in a circle")]
    assert tokens[0] < tokens[1] < tokens[2] == SHAPES["circle"][1]
    assert route_asked("walk in a straight line").tokens == 0


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

    def path(text):
        return along(straight, route_asked(text), spec).root[:, [0, 2]]

    circle = path("walk in a circle")
    assert np.linalg.norm(circle[-1] - circle[0]) < 0.5
    middle = circle.mean(0)
    assert np.ptp(np.linalg.norm(circle - middle, axis=1)) < 0.5 and middle[0] > 1  # to the left, which is +X
    assert path("walk in a circle clockwise").mean(0)[0] < -1
    line = path("walk in a straight line")
    assert np.abs(line[:, 0]).max() < 0.3 and line[-1, 1] > 9
    eight = path("walk in a figure eight")
    assert np.linalg.norm(eight[-1] - eight[0]) < 0.8 and eight[:, 0].min() < -0.7 and eight[:, 0].max() > 0.7


def test_too_short_a_way_makes_a_part_of_the_shape(straight):
    yaw = np.degrees(np.unwrap(along(straight[:20], route_asked("walk in a circle"), BodyFeatures()).heading))
    assert 60 < yaw[-1] - yaw[0] < 130  # 1.2 m at a radius of 0.6 m is two radians


def test_a_turn_in_the_midst_of_a_walk(straight):
    route = walking_turn("he walks on and turns 60 degrees to the right", "right")
    assert (route.shape, route.degrees) == (TURN, 60)
    yaw = np.degrees(np.unwrap(along(straight, route, BodyFeatures()).heading))
    assert abs(yaw[-1] - yaw[0] + 60) < 6 and abs(yaw[50] - yaw[0]) < 12


def test_the_model_walks_in_a_circle_and_around_a_corner():
    model = AvatarGPT.from_pretrained()
    assert model.read_as(["walk to the table", "stroll on and take the first clockwise bend"]) == [
        ["a person walks"], ["a person walks, with a turn of 90 degrees to the right"],
    ]  # fmt: skip
    asked = ["walk in a circle to the right", "a person walks and turns left"]
    assert model.read_as(asked) == [
        ["a person walks, in a circle to the right"], ["a person walks, with a turn of 90 degrees to the left"],
    ]  # fmt: skip
    circle, corner = model.generate(asked, seed=2)
    way = np.linalg.norm(np.diff(circle.root[:, [0, 2]], axis=0), axis=1).sum()
    assert np.linalg.norm((circle.root[-1] - circle.root[0])[[0, 2]]) < 0.15 * way
    turned = [float(np.degrees(np.unwrap(m.heading))[-1]) for m in (circle, corner)]
    assert abs(turned[0] + 360) < 45 and abs(turned[1] - 90) < 25
