"""Keys of the timeline are held where they are, and a stretch is made anew between what stands before and after it."""

import json

import numpy as np
import pytest

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.timeline import FPS
from tests.chat.stand_ins import FakeModel, LineIntent, say
from tests.clips import swaying
from vqvae import rotations as rot
from vqvae.motion import concatenate
from vqvae.skeleton import SMPL22

FRAME, WRIST = 90, SMPL22.index("l_wrist")


class Model(FakeModel):
    """Its middles sway, beginning where what stands before them ends."""

    def in_between(self, start, end, seconds, text="", seed=0, keep_place=False):
        self.calls.append(("in_between", len(start), len(end), seconds, text, keep_place))
        x, _, z = start.root[-1].tolist()
        return concatenate([start, swaying(round(seconds * FPS), start=(x, z)), end])


@pytest.fixture
def talk(tmp_path):
    talk = Conversation(Model(), outputs=tmp_path, intent=LineIntent())
    say(talk, "make: a person walks", "then: a person waves", "total 6s")
    return talk


def write(talk, **keys):
    (talk.outputs / "keys.json").write_text(json.dumps(keys))


def test_keys_are_held_in_a_movement_that_stands(talk):
    wanted = talk.motion.joints[30, WRIST] + [-0.15, 0.1, 0.1]
    x, z = talk.motion.root[FRAME, [0, 2]] + [0.2, 0.1]
    bent = rot.from_axis_angle(np.array([0.0, 0.9, 0])).tolist()
    write(
        talk, pins=[{"limb": "left_hand", "second": 1.5, "place": wanted.tolist()}],
        places=[{"second": FRAME / FPS, "place": [float(x), float(z)]}],
        poses=[{"second": FRAME / FPS, "rotations": {"neck": bent}}],
    )  # fmt: skip
    reply = talk.do("hold: keys.json")
    assert reply.ok and reply.text.startswith("3 keys are held, in segment 1 and 2."), reply.text
    assert np.linalg.norm(talk.motion.joints[30, WRIST] - wanted) < 0.02
    assert np.abs(talk.motion.root[FRAME, [0, 2]] - [x, z]).max() < 0.03
    np.testing.assert_allclose(talk.motion.rotations[FRAME, SMPL22.index("neck")], bent, atol=0.01)
    write(talk, pins=[{"limb": "left_hand", "second": 4.5, "place": [0, 4, 0]}])
    assert "left hand at 4.5 s" in talk.do("hold: keys.json").text and "out of reach" in talk.timeline.segments[1].note


def test_a_pose_is_held_where_two_segments_meet(talk):
    bent = rot.from_axis_angle(np.array([0.0, 0, 0.8])).tolist()
    for frame in (60, 62, 66):
        write(talk, poses=[{"second": frame / FPS, "rotations": {"l_shoulder": bent}}])
        reply = talk.do("hold: keys.json")
        there = talk.motion.rotations[frame, SMPL22.index("l_shoulder")]
        assert np.abs(there - bent).max() < 0.05 or "degrees away" in reply.text
        assert frame != 60 or np.abs(there - bent).max() < 0.05
        assert talk.say("undo").ok


def test_a_stretch_is_made_between_what_stands(talk):
    before = talk.motion
    write(talk, places=[{"second": 3.0, "place": [0.3, float(before.root[60, 2])]}])
    reply = talk.do("repaint from2.5s to4s: a person sways; keys.json")
    assert reply.ok, reply.text
    assert talk.model.calls[-1] == ("in_between", 50, 40, 1.5, "a person sways", True)
    captions = [s.caption for s in talk.timeline.segments]
    assert captions == ["a person walks", "a person sways", "a person waves"] and len(talk.motion) == len(before)
    np.testing.assert_allclose(talk.motion.joints[:50], before.joints[:50], atol=1e-4)
    assert np.abs(talk.motion.rotations[60] - before.rotations[60]).max() > 0.05
    assert abs(talk.motion.root[60, 0] - 0.3) < 0.03
    assert talk.say("undo").ok
    np.testing.assert_array_equal(talk.motion.joints, before.joints)


def test_a_stretch_at_the_end_and_at_the_beginning(talk):
    assert talk.do("repaint from5s to8s: in between").ok
    assert talk.model.calls[-1][:3] == ("extend", "", 3.0) and len(talk.motion) == 160
    reply = talk.do("repaint from0s to1s: in between")
    assert not reply.ok and "words" in reply.text
    empty = Conversation(Model(), outputs=talk.outputs, intent=LineIntent())
    write(empty, places=[{"second": 2.0, "place": [0.0, 1.5]}])
    assert empty.do("repaint from0s to3s: a person walks; keys.json").ok
    assert len(empty.motion) == 60 and abs(empty.motion.root[40, 2] - 1.5) < 0.03


@pytest.mark.parametrize(("act", "message"), [
    ("repaint from3s to3.05s: in between", "0.2 s or more"), ("repaint from7s to8s: in between", "0.2 s or more"),
    ("repaint from1s to2s: in between; keys.json", "outside of 1 to 2 s"), ("hold: keys.json", "accepted 0 to 6"),
    ("hold: none.json", "no such file"),
])  # fmt: skip
def test_what_is_not_done(talk, act, message):
    write(talk, pins=[{"limb": "left_hand", "second": 9, "place": [0, 1, 0]}])
    reply = talk.do(act)
    assert not reply.ok and message in reply.text, reply.text
