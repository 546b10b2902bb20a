"""The network that says what people in films do, and its stage."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from avatargpt import AvatarGPT, resources
from avatargpt.kinematics.measures import SIZE, motion_signature
from avatargpt.train.command import STAGES
from avatargpt.train.film_landmarks import Detector
from avatargpt.train.film_words import Examples, WordsRecipe, WordsStage, clips_of, film_motions
from avatargpt.train.loop import run
from avatargpt.train.pack import _pack_parts
from avatargpt.train.runtime import Runtime
from avatargpt.verbs.describe import DescribeRequest, describe
from avatargpt.video.film_words import FilmWords, WordsNet, WordsShape, packaged_words
from tests.video.test_body_training import corpus as corpus
from tests.video.test_lifting import stepping
from vqvae.errors import UserError
from vqvae.motion import Motion

SMALL = {
    "model": {"width": 8, "dim": 4},
    "train": {"steps": 4, "batch": 2, "block": 4, "blocks": 2, "held": 1, "keyframes": 0, "save_every": 2},
}


@pytest.fixture(scope="module")
def model() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


def test_a_filmed_motion_is_read_as_a_film_is(corpus) -> None:
    torch.manual_seed(0)
    (got,) = film_motions([stepping()], Detector.load(corpus))
    assert Motion.load(got.save(corpus / "filmed.npz")).filmed
    assert got.filmed and len(got) == len(stepping()) and np.allclose(got.root[0, ::2], 0)


def test_shares_are_those_of_sources(corpus) -> None:
    recipe = WordsRecipe.read({"train": {"keyframes": 1, "shares": {"made": 0.25, "synthetic": 0.75}}}, "test")
    clips, chance = clips_of(str(corpus), "train", recipe.train)
    assert chance[[c.source == "made" for c in clips]].sum() == pytest.approx(0.25)
    recipe = WordsRecipe.read({"train": {"keyframes": 0, "shares": {"made": 0}}}, "test")
    with pytest.raises(UserError, match="no clips"):
        clips_of(str(corpus), "train", recipe.train)


def test_a_run_resumes_to_the_bit_and_chooses_what_it_learnt(corpus, tmp_path) -> None:
    recipe, detector = WordsRecipe.read(SMALL, "test"), Detector.load(corpus)
    learnt, held = (Examples(str(corpus), split, detector, recipe.train, tmp_path) for split in ("train", "val"))
    assert learnt.signatures.shape == (8, SIZE) and learnt.captions == [[0]] * 8
    again = Examples("nowhere", "train", detector, recipe.train, tmp_path)  # from the run's folder
    assert torch.equal(again.signatures, learnt.signatures)
    sentences = np.stack([learnt.vectors[0].numpy(), *np.eye(384, dtype=np.float32)[:20]])
    for out, stops in (("whole", [4]), ("parts", [2, 4])):
        for stop in stops:
            stage = WordsStage(recipe, learnt, held, sentences)
            run(stage, tmp_path / out, Runtime.start(1, "cpu"), stop)
    files = [(tmp_path / out / "film_words.safetensors").read_bytes() for out in ("whole", "parts")]
    assert files[0] == files[1]
    longer = WordsRecipe.read(json.loads(json.dumps(SMALL)) | {"train": {**SMALL["train"], "steps": 80}}, "test")
    run(WordsStage(longer, learnt, held, sentences), tmp_path / "long", Runtime.start(1, "cpu"), 80)
    chosen = FilmWords.load(tmp_path / "long").choose(held.signatures.numpy(), sentences)
    assert chosen.shape == (4, 1) and not chosen.any()


def test_it_is_packed_as_it_was_learnt(tmp_path) -> None:
    options = {flag.replace("-", "_"): None for flag in STAGES["pack"].options}
    _pack_parts(SimpleNamespace(**options | {"film_words": str(resources.weights())}), tmp_path)
    signature, sentences = motion_signature(stepping().joints)[None], np.eye(384, dtype=np.float32)
    packed, source = (FilmWords.load(folder).choose(signature, sentences) for folder in (tmp_path, resources.weights()))
    assert np.array_equal(packed, source)
    with pytest.raises(UserError, match="no film_words.json"):
        FilmWords.load(tmp_path / "nothing")


def test_films_have_words_of_their_own(model) -> None:
    walk = replace(stepping(), filmed=True)
    said = describe(model, DescribeRequest([walk, stepping()]))
    assert said[0] == packaged_words().describe([walk], model.body.model)[0]
    assert said[0] in model.body.description._captions[0]
    several = describe(model, DescribeRequest(walk, num=3))
    assert several[0][0] == said[0] and len({*several[0]}) == 3
    with pytest.raises(UserError, match="best_of"):
        describe(model, DescribeRequest(walk, best_of=2))


def test_what_is_long_is_said_in_parts(model) -> None:
    network = WordsNet(WordsShape(width=4, dim=4))
    motion = replace(stepping(), filmed=True)
    long = motion.at_frames(np.arange(401) % len(motion))
    captions = model.body.description._captions[0]
    (text,) = FilmWords(network).describe([long], model.body.model)
    assert all(part in captions for part in text.split(", then ")) and len(text.split(", then ")) <= 3
