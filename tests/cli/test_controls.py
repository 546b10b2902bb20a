"""Controls beside words: what they set, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatargpt.cli.generate import Controls
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.errors import UserError


def test_controls_set_every_movement(tmp_path: Path) -> None:
    way = tmp_path / "way.csv"
    way.write_text("# x,z\n0,2\n1,2\n")
    request = MotionRequest(clauses=[Clause(action="walk", times=2, tempo="slow"), Clause(action="bow", denied=True)])
    controls = Controls(3, -90.0, None, way, 1.5, True, True, ("right_hand@1.5=0.4,1.3,0.3",))
    controls.check()
    done = controls.on(request)
    walk, bow = done.clauses
    assert (walk.times, walk.turn, walk.side, walk.factor, walk.tempo) == (3, 90.0, "right", 1.5, None)
    assert walk.waypoints == [(0, 2), (1, 2)] and walk.in_place and bow == request.clauses[1]
    assert done.loop and done.pins[0].place == (0.4, 1.3, 0.3)
    assert Controls(path="circle:left:2").on(request).clauses[0].path == "circle"


@pytest.mark.parametrize(("controls", "said"), [
    (Controls(path="heart"), "--path heart: accepted SHAPE"), (Controls(path="circle:up"), "--path circle:up"),
    (Controls(turn=3.0), "--turn"), (Controls(tempo=9.0), "--tempo"), (Controls(pins=("nose@1=0,0,0",)), "--pin nose"),
    (Controls(pins=("left_hand@1=0,0",)), "--pin left_hand@1=0,0: accepted LIMB@SECOND=X,Y,Z"),
])  # fmt: skip
def test_what_is_refused(controls: Controls, said: str) -> None:
    with pytest.raises(UserError) as caught:
        controls.check()
    assert said in str(caught.value)


@pytest.mark.parametrize("text", ["", "1;2\n", "0,0\n", "a,b\n"])
def test_waypoints_that_are_none(text: str, tmp_path: Path) -> None:
    file = tmp_path / "way.csv"
    file.write_text(text)
    with pytest.raises(UserError, match="waypoints"):
        Controls(waypoints=file).check()
