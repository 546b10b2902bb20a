"""Strokes in few bytes are the strokes that they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from instruct_data.gesture.bank import keyed_strokes
from instruct_data.gesture.strokes import ARM, HAND, SIDES, Stroke, pack, packed_frames, unpack, wrists
from vqvae import rotations as rot
from vqvae.errors import UserError


def again(stroke: Stroke) -> Stroke:
    return unpack(pack(stroke), replace(stroke, turns=np.zeros((0, 43, 4))), stroke.rest_pose)


@pytest.mark.parametrize("name", ["count_two", "wave", "weigh", "big"])
@pytest.mark.parametrize("earlier", [0, 1])
def test_a_stroke_comes_back_to_the_millimetre(name: str, earlier: int) -> None:
    whole = keyed_strokes(0, 1, [name])[0]
    stroke = replace(whole, turns=whole.turns[earlier:], start=whole.start - earlier,
                     emphasis=whole.emphasis - earlier, end=whole.end - earlier)  # fmt: skip
    got, kept = again(stroke), packed_frames(stroke)
    assert kept <= len(got.turns) <= kept + 1 and got.emphasis == stroke.emphasis
    true = stroke.turns[:kept]
    acting = [SIDES.index(s) for s in stroke.sides]
    far = np.linalg.norm(wrists(true) - wrists(got.turns[:kept]), axis=-1)[:, acting]
    assert far[stroke.emphasis].max() < 0.004 and far.max() < 0.02
    for side in stroke.sides:
        bent = np.degrees(rot.angle_between(true[:, HAND[side]], got.turns[:kept, HAND[side]]))
        assert bent[stroke.emphasis].max() < 0.6
    assert np.degrees(rot.angle_between(got.rest_pose, stroke.rest_pose)).max() < 0.05


def test_bytes_are_few_and_the_other_arm_rests() -> None:
    stroke = keyed_strokes(0, 1, ["count_two"])[0]
    held, rest = pack(stroke), rot.identity((43,))
    frames = len(stroke.turns)
    assert held.keys.nbytes + held.base.nbytes + held.scale.nbytes < frames * 43 * 4  # a float16 of each angle: half
    got = unpack(held, stroke, rest)
    (idle,) = {*SIDES} - {*stroke.sides}
    assert (got.turns[:, [*ARM[idle], *HAND[idle]]] == rest[[*ARM[idle], *HAND[idle]]]).all()


def test_a_joint_that_passes_half_a_turn_is_refused() -> None:
    stroke = keyed_strokes(0, 1, ["wave"])[0]
    angles = np.linspace(0, 1.2 * np.pi, len(stroke.turns))[:, None] * np.array([0.0, 0.0, 1.0])
    turns, shoulder = stroke.turns.copy(), ARM["r"][1]
    turns[:, shoulder] = rot.multiply(stroke.rest_pose[shoulder], rot.from_axis_angle(angles))
    assert again(replace(stroke, turns=turns[: stroke.emphasis + 1], end=stroke.emphasis)).turns.shape[1:] == (43, 4)
    with pytest.raises(UserError, match="keyed/wave/0: a joint passes half a turn"):
        pack(replace(stroke, turns=turns, end=len(turns) - 1))
