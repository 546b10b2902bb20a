"""Clips that go on from a pose: it is held, or arms act while the body sits or kneels."""

from pathlib import Path

import numpy as np
import pytest

from instruct_data.attributes import Measures
from instruct_data.clip import Clip
from instruct_data.factory.cleaning import measure_clip
from instruct_data.factory.synth.families import families, keyframed
from instruct_data.factory.synth.resting import HELD, HELD_FRAMES, HELD_TEXTS, make_resting_clips
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.layering import activity
from instruct_data.resting import at_rest, lay_beside, layer_arms
from tests.instruct_data.synthetic import J, walking, waving
from tests.train.conftest import write_texts
from vqvae.motion import Motion

LEGS = [J(f"{side}_{name}") for side in "lr" for name in ("hip", "knee", "ankle", "foot")]
NAMES = ("sit_down", "kneel_on_both_knees", "wave", "nod", "salute", "bow")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [measure_clip(c) for name in NAMES for c in keyframed(families()[name], range(3))]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> CaptionBank:
    folder: Path = tmp_path_factory.mktemp("bank") / "texts"
    write_texts(folder)
    return CaptionBank(folder / "body_captions.json")


@pytest.fixture(scope="module")
def resting(clips: list[Clip], bank: CaptionBank) -> list[Clip]:
    return list(make_resting_clips(clips, bank, 40, 0, 300, "as its sources"))


def parts(clip: Clip) -> tuple[Motion, int]:
    return clip.load(), int(clip.extra["seams"][0])


def test_half_of_them_hold_the_pose_and_the_others_act(resting: list[Clip], clips: list[Clip]) -> None:
    known = {c.id: c for c in clips}
    assert len(resting) == 40 == len({c.id for c in resting})
    held = [c for c in resting if c.extra["parts"][1] == HELD]
    assert 10 <= len(held) <= 30
    for clip in resting:
        motion, seam = parts(clip)
        first, second = known[clip.extra["parts"][0]], known.get(clip.extra["parts"][1])
        assert (clip.source, clip.split, clip.licence) == ("composed", "train", "as its sources")
        assert clip.extra["mirrored"] == [False, False] and len(motion) <= 300 and seam == len(first.load())
        assert clip.action == f"{first.action}+{second.action if second else HELD}"
        assert clip.captions == clip.extra["prompts"][:1] and len(clip.extra["prompts"]) == 4
        before, clause = clip.extra["clauses"]
        assert before is None and clause["action"] == clip.action.split("+")[1]
        assert set(clause["captions"]) <= set(second.captions if second else HELD_TEXTS) and clause["captions"]
        assert clause["figures"] == Measures.of(motion.slice(seam, len(motion))).figures()
    assert {c.action.split("+")[1] for c in resting} >= {HELD, "wave", "nod", "salute"}
    assert any(c.action == f"bow+{HELD}" for c in held)  # standing, too


def test_the_first_part_stays_as_it_is_and_nothing_jumps(resting: list[Clip], clips: list[Clip]) -> None:
    known = {c.id: c for c in clips}
    for clip in resting:
        motion, seam = parts(clip)
        first = known[clip.extra["parts"][0]].load().canonical()
        np.testing.assert_allclose(motion.joints[:seam], first.joints, atol=1e-3)
        step = np.linalg.norm(np.diff(motion.joints[seam - 2 : seam + 3], axis=0), axis=-1)
        assert step.max() < 0.05


def test_a_held_pose_is_the_last_one_of_the_clip_before(resting: list[Clip]) -> None:
    for clip in resting:
        motion, seam = parts(clip)
        after = motion.joints[seam:] - motion.joints[seam - 1]
        assert np.linalg.norm(after[:, LEGS], axis=-1).max() < 0.03  # the legs rest
        figures = clip.extra["clauses"][1]["figures"]
        if clip.extra["parts"][1] == HELD:
            assert HELD_FRAMES[0] <= len(after) < HELD_FRAMES[1] and np.linalg.norm(after, axis=-1).max() < 0.08
            assert figures["rest"] == pytest.approx(len(after) / 20, abs=0.3)
        elif clip.action.endswith("wave"):
            assert np.linalg.norm(after[:, [J("l_wrist"), J("r_wrist")]], axis=-1).max() > 0.2
            assert figures["end"] in ("sitting", "kneeling") and figures["hand"]


def test_they_are_made_again_and_none_without_a_pose_to_hold(
    resting: list[Clip], clips: list[Clip], bank: CaptionBank
) -> None:
    again = list(make_resting_clips(clips, bank, 5, 0, 300, "as its sources"))
    assert [(c.id, c.extra) for c in again] == [(c.id, c.extra) for c in resting[:5]]
    restless = [measure_clip(Clip("w", walking(60), ["a person walks"], "test", "", "train", "walk"))]
    assert list(make_resting_clips(restless, bank, 5, 0, 300, "")) == []
    assert list(make_resting_clips(clips, bank, 0, 0, 300, "")) == []
    assert list(make_resting_clips(clips, bank, 3, 0, 20, "")) == []  # none is so short


def test_a_body_that_stands_is_not_at_rest(clips: list[Clip]) -> None:
    rng = np.random.default_rng(0)
    assert at_rest(walking(40), waving(), rng) is None
    sitting = next(c for c in clips if c.action == "sit_down").load()
    longer, fixed = (at_rest(sitting, waving(), rng, more) for more in (True, False))
    assert longer is not None and fixed is not None and len(longer) > len(fixed) == len(waving())
    nothing = walking(40, speed=0.0, arms=0.0)
    assert len(layer_arms(sitting, nothing)) == len(sitting)


def test_two_motions_at_once_where_one_keeps_its_feet(clips: list[Clip]) -> None:
    motions = {c.action: c.motion for c in clips}
    steps, waves, nods, bows = walking(100), motions["wave"], motions["nod"], motions["sit_down"]
    both = lay_beside(waves, steps)  # in either order the legs are those that step
    assert both is not None and both.root.shape == steps.root.shape and activity(both).arms()
    np.testing.assert_array_equal(both.joints[:, LEGS], steps.joints[:, LEGS])
    again = lay_beside(waves, nods)  # the arms wave on while the head nods
    assert again is not None and activity(again).arms() == activity(waves).arms()
    assert lay_beside(waves, waves) is None, "the same arm"
    assert lay_beside(steps, bows) is None, "both need the legs"
