"""The whole way through the command line with the packaged weights."""

import json

import numpy as np
import pytest

from avatargpt import resources
from avatargpt.metrics.face import read_emotions
from instruct_data.face.described import FaceDescription, parse_description
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score
from vqvae.face import FaceMotion
from vqvae.motion import Motion

pytestmark = pytest.mark.skipif(
    not (resources.PACKAGE / "weights" / "config.json").is_file(), reason="this checkout carries no weights"
)


@pytest.fixture(scope="module")
def loaded():
    """One load for all tests of this file."""
    import avatargpt

    model = avatargpt.AvatarGPT.from_pretrained(threads=1)
    assert model.facial is not model.loaded  # the face's own model, loaded now
    return model


@pytest.fixture(autouse=True)
def one_load(loaded, monkeypatch):
    monkeypatch.setattr(type(loaded), "from_pretrained", classmethod(lambda cls, *a, **k: loaded))


def test_generate_describe_extend_inbetween_reconstruct_export(cli, tmp_path):
    names = [tmp_path / n for n in ("walk.npz", "bow.npz", "longer.npz", "filled.npz", "rebuilt.npz", "copy.bvh")]
    walk, bow, longer, filled, rebuilt, bvh = names
    fast = ("--best-of", 1, "--seed", 3)
    assert cli("generate", "a person walks forward", "--seconds", 3, *fast, "-o", walk).code == 0
    assert cli("generate", "a person bows", "--seconds", 2, *fast, "-o", bow).code == 0
    first = Motion.load(walk)
    assert abs(first.seconds - 3) <= 0.5 and first.caption == "a person walks forward"
    assert np.linalg.norm((first.root[-1] - first.root[0])[[0, 2]]) > 0.5  # it goes somewhere
    assert abs(first.heading[0]) < np.radians(30) and 0.5 < first.root[:, 1].mean() < 1.2

    r = cli("describe", walk)
    assert r.code == 0 and "walk" in r.out and len(r.lines) == 1

    assert cli("extend", walk, "--seconds", 2, *fast, "-o", longer).code == 0
    assert abs(Motion.load(longer).seconds - first.seconds - 2) <= 0.3
    assert cli("inbetween", walk, bow, "--seconds", 2, *fast, "-o", filled).code == 0
    assert abs(Motion.load(filled).seconds - first.seconds - Motion.load(bow).seconds - 2) <= 0.3

    r = cli("reconstruct", walk, "-o", rebuilt)
    assert r.code == 0 and " mm" in r.out and abs(len(Motion.load(rebuilt)) - len(first)) <= 4

    assert cli("export", walk, bvh).code == 0
    assert cli("describe", bvh).code == 0


def test_same_seed_same_motion(cli, tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        out = tmp_path / f"{name}.npz"
        r = cli("generate", "a person waves", "--seconds", 2, "--seed", seed, "--best-of", 1, "-o", out)
        assert r.code == 0
    a, b, c = (Motion.load(tmp_path / f"{n}.npz").joints for n in "abc")
    assert np.array_equal(a, b) and not (a.shape == c.shape and np.array_equal(a, c))


def test_faces_in_tokens(cli, tmp_path):

    smile, sad, filled = (tmp_path / n for n in ("smile.csv", "sad.npz", "filled.npz"))
    r = cli("face", "--by", "language", "--text", "Smile broadly.", "--seconds", 3, "--json", "-o", smile)
    assert r.code == 0 and "read as: broad_smile" in r.err
    assert [e["action"] for e in json.loads(r.out)["results"][0]["score"]["events"]] == ["broad_smile"]
    assert cli("face", "--by", "language", "--emotion", "sad:1", "--seconds", 3, "-o", sad).code == 0
    assert parse_description(cli("describe", smile).out) != FaceDescription((), ())
    anger = render(Score(3.0, (), (Emotion("angry", 1.0, 0.0, 3.0),)), 5)
    angry = anger.save(tmp_path / "angry.npz")
    r = cli("describe", "--feeling", smile, angry)
    assert r.code == 0 and r.lines[1].endswith("\textremely angry")
    assert cli("inbetween", smile, sad, "--seconds", 1, "-o", filled).code == 0
    assert len(FaceMotion.load(filled)) == 90 + 30 + 90
    body = tmp_path / "walk.npz"
    assert cli("generate", "a person walks forward", "--seconds", 2, "--best-of", 1, "-o", body).code == 0
    assert "one kind" in cli("inbetween", smile, body, "--seconds", 1, "-o", filled).err
    assert cli("describe", "--feeling", body).code == 2 and cli("describe", smile, "-n", 2).code == 2


def test_actions_are_described_in_their_order(loaded):
    for pair in (("smile", "nod"), ("nod", "smile"), ("open_mouth", "pucker_lips"), ("pucker_lips", "open_mouth")):
        first, second = pair
        face = render(Score(4.0, (Event(first, 0.3, 1.0), Event(second, 2.3, 1.0))), 0)
        assert tuple(a for a, _ in parse_description(loaded.describe_face(face)[0]).actions) == pair


def test_strengths_of_a_feeling(loaded):
    shares = [read_emotions(loaded.emotion_face("happy", s, 2.0)[0], 1.0)["happy"] for s in (0.0, 0.3, 0.7, 1.0)]
    assert shares[0] < 0.1 < shares[1] < shares[2] < shares[3]


def test_no_jump_where_the_middle_of_two_faces_meets_them(loaded):
    start, end = (render(Score(3.0, (Event(a, 0.5, 2.3),)), i) for i, a in enumerate(("smile", "open_mouth")))
    rows = loaded.face_in_between(start, end, 31 / 30).weights  # no whole number of tokens
    assert np.abs(np.diff(rows, axis=0)).max(1)[[89, 120]].max() < 0.15
