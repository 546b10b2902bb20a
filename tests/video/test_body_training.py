"""The network of films: what it sees, the simulated detector, and its stage."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from avatargpt import resources
from avatargpt.train.command import STAGES
from avatargpt.train.film_bodies import Clips, FilmBodyStage, FilmRecipe, draw
from avatargpt.train.film_landmarks import DETECTOR, Detector, film, landmarks_of, sits
from avatargpt.train.loop import run
from avatargpt.train.pack import _pack_parts
from avatargpt.train.runtime import Runtime
from avatargpt.video.body_network import FilmReader, see
from avatargpt.video.paths import landmarks_of as landmarks_of_person
from avatargpt.video.poses import AT, MIRROR
from instruct_data.factory.synth.families import families, keyframed
from tests.video.landmarks import person_of
from tests.video.test_lifting import stepping
from vqvae.errors import UserError
from vqvae.rotations import matrix_from_quaternion
from vqvae.skeleton import SMPL22

SMALL = {
    "model": {"width": 8, "dilations": [1]},
    "train": {"steps": 4, "batch": 2, "linear": 2, "keyframes": 0, "save_every": 2},
}


@pytest.fixture
def corpus(tmp_path):
    """A folder with a clip of either split, and a detector that errs little."""
    motion = stepping()
    rows = [
        {"id": f"c{k}", "shard": "motions_00.npz", "index": k, "source": "made", "split": split, "captions": ["walks"]}
        for k, split in enumerate(("train", "val"))
    ]
    (tmp_path / "captions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "skeleton.json").write_text(
        json.dumps({"joint_names": SMPL22.names, "offsets": SMPL22.offsets.tolist(), "parents": SMPL22.parents})
    )
    turns = np.round(motion.rotations * 32767).astype(np.int16)
    twice = {"root": np.tile(motion.root, (2, 1)).astype(np.float32), "rot": np.tile(turns, (2, 1, 1))}
    np.savez(tmp_path / "motions_00.npz", **twice, offsets=np.array([0, len(motion), 2 * len(motion)]))
    errors, aside = torch.zeros(1, 80, 33, 3), torch.zeros(1, 80, 33, 2)
    save_file({"offsets": torch.zeros(33, 3), "errors": errors, "aside": aside}, tmp_path / DETECTOR)
    return tmp_path


def test_frames_whose_sides_are_exchanged_look_as_if_they_were_not() -> None:
    marks, _ = landmarks_of_person(person_of(stepping()), 0.9)
    other = marks._replace(world=marks.world.clone(), rays=marks.rays.clone())
    other.world[:, 30:40], other.rays[:, 30:40] = other.world[:, 30:40, MIRROR], other.rays[:, 30:40, MIRROR]
    plain, exchanged = see(marks), see(other)
    assert torch.allclose(plain.numbers, exchanged.numbers, atol=1e-3)
    assert torch.allclose(plain.heading, exchanged.heading, atol=1e-3)


def test_a_place_is_where_the_camera_has_it() -> None:
    marks, _ = landmarks_of_person(person_of(stepping(), tilt=0.0, distance=5.0), 0.9)
    place = see(marks).place[0, 0]
    assert place[2] == pytest.approx(-5.0, rel=0.06) and abs(float(place[0])) < 0.1


def test_landmarks_of_the_simulated_detector_lie_where_the_camera_sees_them(corpus) -> None:
    torch.manual_seed(0)
    motion = stepping()
    turns = matrix_from_quaternion(torch.from_numpy(motion.rotations[None, :48]).float())
    joints, turned = SMPL22.fk_global_torch(turns, torch.from_numpy(motion.root[None, :48]).float())
    detector = Detector.load(corpus)
    marks = landmarks_of(joints, turned, detector.offsets)
    assert torch.equal(marks[..., AT["l_knee"], :], joints[..., SMPL22.index("l_knee"), :])
    seen, _, axes = film(joints.repeat(64, 1, 1, 1), turned.repeat(64, 1, 1, 1, 1), detector)
    assert torch.allclose(axes @ axes.transpose(-1, -2), torch.eye(3).expand(64, 3, 3), atol=1e-5)
    size = (seen.world[..., AT["l_shoulder"], :] - seen.world[..., AT["l_hip"], :]).norm(dim=-1).median()
    assert float(size) == pytest.approx(0.53, abs=0.08)
    assert 0.4 < float(seen.visible.mean()) < 0.98


def test_something_often_hides_the_legs_of_who_sits_and_seldom_the_hips(corpus) -> None:
    torch.manual_seed(0)
    (clip,) = keyframed(families()["cross_legs_on_chair"], [0])
    hidden, hips = [], []
    for motion, seated in ((clip.load(), True), (stepping(), False)):
        turns = matrix_from_quaternion(torch.from_numpy(motion.rotations[None, :48]).float())
        joints, turned = SMPL22.fk_global_torch(turns, torch.from_numpy(motion.root[None, :48]).float())
        assert bool(sits(joints)) == seated
        seen, _, _ = film(joints.repeat(512, 1, 1, 1), turned.repeat(512, 1, 1, 1, 1), Detector.load(corpus))
        for shares, part in ((hidden, "knee"), (hips, "hip")):
            unseen = seen.visible[..., [AT[f"{s}_{part}"] for s in "lr"]].mean((1, 2)) < 0.5
            shares.append(float(unseen.float().mean()))
    assert hidden[0] > hidden[1] + 0.08 and hips[0] < hips[1]


def test_nothing_is_learnt_from_a_source_of_no_weight(corpus) -> None:
    recipe = FilmRecipe.read({"train": {"keyframes": 0, "weights": {"made": 0}}}, "test")
    with pytest.raises(UserError, match="no clips"):
        Clips(str(corpus), "train", recipe.train)


def test_truth_and_what_is_seen_are_in_one_frame(corpus) -> None:
    torch.manual_seed(0)
    recipe = FilmRecipe.read({"train": {"loose": 0.0, "keyframes": 0}}, "test")
    clips = Clips(str(corpus), "train", recipe.train)
    seen, truth = draw(clips, Detector.load(corpus), 32, np.random.default_rng(0))
    across = truth.joints[..., SMPL22.index("l_hip"), :] - truth.joints[..., SMPL22.index("r_hip"), :]
    ahead = (across[..., 0] > 0.5 * across.norm(dim=-1)).float().mean()  # the line's own left is +X
    assert float(ahead) > 0.7
    assert torch.allclose(truth.up.norm(dim=-1), torch.ones(32, 48), atol=1e-4) and torch.isfinite(seen.numbers).all()


def test_a_run_resumes_to_the_bit_and_its_network_reads(corpus, tmp_path) -> None:
    recipe, clips = FilmRecipe.read(SMALL, "test"), str(corpus)
    learnt, held = (Clips(clips, split, recipe.train) for split in ("train", "val"))
    for out, stops in (("whole", [4]), ("parts", [2, 4])):
        for stop in stops:
            stage = FilmBodyStage(recipe, learnt, held, Detector.load(corpus))
            run(stage, tmp_path / out, Runtime.start(1, "cpu"), stop)
    files = [(tmp_path / out / "film_bodies.safetensors").read_bytes() for out in ("whole", "parts")]
    assert files[0] == files[1]
    marks, _ = landmarks_of_person(person_of(stepping()), 0.9)
    _, body = FilmReader.load(tmp_path / "whole").read(marks)
    assert body.rotations.shape == (1, 80, 22, 3, 3) and torch.isfinite(body.height).all()


def test_it_is_packed_as_it_was_learnt(tmp_path) -> None:
    options = {flag.replace("-", "_"): None for flag in STAGES["pack"].options}
    weights = resources.weights()
    _pack_parts(SimpleNamespace(**options | {"film_bodies": str(weights)}), tmp_path)
    marks, _ = landmarks_of_person(person_of(stepping()), 0.9)
    packed, source = (FilmReader.load(folder).read(marks)[1] for folder in (tmp_path, weights))
    assert torch.allclose(packed.rotations, source.rotations, atol=1e-4)


def test_what_is_missing_is_said(tmp_path) -> None:
    with pytest.raises(UserError, match="film-detector"):
        Detector.load(tmp_path)
    with pytest.raises(UserError, match="no film_bodies.json"):
        FilmReader.load(tmp_path)
    assert {"film-detector", "film-bodies"} <= set(STAGES)
