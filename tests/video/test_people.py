"""Sides, legs and doubts of people in real films, by the landmarks that MediaPipe Pose gave of some of their frames.

`films.npz` holds these landmarks alone: "balance" of Pose2Sim's demo and "jumping_jack" of Sports2D's (D. Pagnon, BSD
3-Clause), "desk" and "aisle" of sample-videos (Intel, CC BY 4.0). Which frames have their sides exchanged was said by
somebody who looked at them; frames that show neither are left out.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatargpt.video.frames import Shots
from avatargpt.video.paths import motion_of
from avatargpt.video.people import Person
from avatargpt.video.poses import AT, MIRROR
from tests.video.landmarks import person_of
from tests.video.test_lifting import stepping
from vqvae.skeleton import SMPL22

FILMS = np.load(Path(__file__).with_name("films.npz"))
ANKLES = [SMPL22.index("l_ankle"), SMPL22.index("r_ankle")]


def person_in(film: str) -> Person:
    about = {k: FILMS[f"{film}/{k}"].astype(float) for k in ("times", "score", "points", "world", "visible")}
    size = int(FILMS[f"{film}/size"][0]), int(FILMS[f"{film}/size"][1])
    about |= {"world": about["world"] / 1000, "visible": about["visible"] / 255}
    return Person(**about, size=size).inside


@pytest.mark.parametrize("film", ["balance", "jumping_jack"])
def test_sides_are_those_that_a_person_sees(film: str) -> None:
    raw = person_in(film)
    truth = np.isin(np.arange(len(raw.times)), FILMS[f"{film}/exchanged"])
    clear = ~np.isin(np.arange(len(raw.times)), FILMS[f"{film}/unclear"])
    sided = raw.world.copy()
    sided[truth] = sided[truth][:, MIRROR]
    across = (sided[:, [AT["l_hip"], AT["l_shoulder"]]] - sided[:, [AT["r_hip"], AT["r_shoulder"]]]).sum(1)
    lifted = motion_of(raw)
    row = np.round((raw.times - lifted.start) * lifted.motion.fps).astype(int).clip(0, len(lifted.motion) - 1)
    joints = lifted.motion.joints[row]
    left = (joints[:, [1, 16]] - joints[:, [2, 17]]).sum(1)
    agree = (left[:, ::2] * across[:, ::2]).sum(1) > 0
    assert agree[clear].mean() > 0.98


def test_a_man_at_a_desk_sits() -> None:
    lifted = motion_of(person_in("desk"))
    (note,) = lifted.notes
    assert "legs are not seen" in note and note.endswith("they sit")
    assert lifted.motion.joints[:, 0, 1] == pytest.approx(0.6, abs=0.12)  # the pelvis
    assert lifted.reliability[ANKLES].max() < 0.3 < 0.9 < lifted.reliability[0]


def test_a_woman_whose_legs_are_hidden_stands_and_is_one_person() -> None:
    woman, man = person_in("aisle").steady.stretches()
    assert woman.times[-1] == pytest.approx(2.67, abs=0.1) and man.times[-1] == pytest.approx(3.47, abs=0.1)
    lifted = motion_of(woman)
    assert len(lifted.notes) == 1 and lifted.notes[0].endswith("they stand")
    assert lifted.motion.joints[30:, ANKLES, 1].max() < 0.35


def test_who_walks_goes_on_walking_while_the_legs_are_outside_the_picture() -> None:
    whole = person_of(stepping())
    assert motion_of(whole.inside).notes == ()
    low = whole.points[:, [23, 24], 1].max() + 5
    cut = replace(whole, size=(whole.size[0], int(low))).inside
    lifted = motion_of(cut)  # who walks away, until most of the legs come into the picture
    assert lifted.notes[0].startswith("the legs are not seen from 0.0 to 2.7 s")
    near, truth = (np.ptp(m.root[:40, [0, 2]], axis=0) for m in (lifted.motion, stepping()))
    assert near == pytest.approx(truth, rel=0.2)
    assert lifted.motion.joints[:40, ANKLES, 1].max() < 0.25


def test_doubts() -> None:
    person = person_of(stepping())
    assert person.doubts == []
    turned = replace(person, points=np.array(person.size) - person.points)
    assert "upright" in turned.doubts[0]
    assert "camera" in replace(person, moving=True).doubts[0]


def test_a_camera_moves_and_a_person_before_a_wall_does_not_make_it_so() -> None:
    rng = np.random.default_rng(0)
    areas = Image.fromarray(rng.integers(0, 255, (12, 36, 3)).astype(np.uint8))
    wide = np.asarray(areas.resize((1440, 480), Image.Resampling.BICUBIC))
    plain = np.full((480, 640, 3), 200, np.uint8)
    panned, still = Shots(), Shots()
    for k in range(60):
        panned.of(wide[:, 6 * k : 6 * k + 640])
        picture = plain.copy()
        picture[90:420, 200 + 2 * k : 400 + 2 * k] = wide[:330, :200]
        still.of(picture)
    assert panned.is_moving(0) and not still.is_moving(0)
