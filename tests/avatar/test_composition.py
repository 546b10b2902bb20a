"""A prompt divided into a body and a face, on one clock, by the packaged networks."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatargpt import AvatarGPT, export
from avatargpt.avatar.description import avatar_sentence
from avatargpt.avatar.division import Division
from avatargpt.avatar.moods import mood_of
from avatargpt.chat import Conversation
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.instructions.scores import FAINT
from instruct_data.dialogue.acts import Act
from instruct_data.face.score import Emotion, Score
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.features import relax_fingers


@pytest.fixture(scope="module")
def model() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


def faces(division: Division) -> list[tuple[list[str], list[str], bool]]:
    """Actions and feelings of the face in each part, and whether the body waits for it."""
    return [
        (
            [e.action for a in part.face for e in a.score.events],
            [f.name for a in part.face for f in a.score.emotions], part.waits,
        ) for part in division.parts
    ]  # fmt: skip


def test_clauses_go_to_the_body_the_face_or_both(model: AvatarGPT) -> None:
    division = model.composer.divide("walks in angrily, stops and smiles")
    assert faces(division) == [([], ["angry"], False), ([], [], False), (["smile"], [], True)]
    assert [s.action for s in division.request.clauses] == ["walk", "stop_walking", "hold_still"]
    assert division.lines[-1] == "smiles -> body: keeps its posture; face: smile"
    assert faces(model.composer.divide("walk forward while smiling")) == [(["smile"], [], False)]
    # what the body surely knows it does, whatever it feels
    for text in ("walks in sadly", "runs in scared", "strolls in proudly"):
        ((_, feelings, waits),) = faces(model.composer.divide(text))
        assert feelings and not waits
    (actions, _, waits), *_ = faces(model.composer.divide("yawn and stretch your arms"))
    assert actions[0] == "yawn" and not waits
    # a body alone: arms are no lips
    assert faces(model.composer.divide("stretch your arms, then bow")) == [([], [], False), ([], [], False)]


def test_a_feeling_of_the_subject_lasts_throughout(model: AvatarGPT) -> None:
    division = model.composer.divide("a tired waitress wipes the table and smiles")
    assert [f.name for f in division.feelings] == ["tired"]
    score = division.score([(0.0, 4.0), (4.0, 7.0)], 7.0)
    assert score is not None and [(f.start, f.end) for f in score.emotions] == [(0.0, 7.0)]
    assert [e.start >= 4 for e in score.events] == [True]


def test_a_mood_changes_over_an_action_of_the_body(model: AvatarGPT) -> None:
    def moods(text: str) -> list[list[str]]:
        division = model.composer.divide(text)
        return [[f.name for a in part.face for f in a.score.emotions] for part in division.parts]

    tired = model.composer.divide("he waves, growing tired").score([(0.0, 4.0)], 4.0)
    assert tired is not None and {f.name for f in tired.emotions} == {"tired"}
    # what a body surely does is not taken for a mood, and a feeling of each action is its own
    assert moods("he runs happily, then falls down")[0] == ["happy"]
    assert moods("walks in happily and then sits down sadly") == [["happy"], ["sad"]]
    (note,) = model.composer.divide("walks sadly, then slowly cheers up").notes
    assert "how the face changes meanwhile is not shown" in note


def test_what_is_denied_beside_an_action_is_not_shown(model: AvatarGPT) -> None:
    for text, action in (("don't blink, smile", "smile"), ("nod five times and never blink", "nod")):
        (score,) = model.composer.face.read([text])
        assert "blink" in score.denied and {e.action for e in score.events} == {action}, text


def test_what_only_the_face_reader_reads_is_shown_in_its_place(model: AvatarGPT) -> None:
    division = model.composer.divide("shakes her head no, rolls her eyes and shrugs")
    assert faces(division)[1:] == [(["roll_eyes"], [], True), ([], [], False)]


def test_feelings_cross_over_or_change_at_once() -> None:
    read = Score(4.0, (), (Emotion("sad", 0.7, 0.0, 2.0), Emotion("happy", 0.5, 2.0, 4.0)))
    assert mood_of(read, gradual=False).emotions == read.emotions
    sad, happy = mood_of(read, gradual=True).emotions
    assert (sad.start, sad.end, sad.to) == (0.0, 4.0, FAINT) and (happy.intensity, happy.to) == (FAINT, 0.5)
    growing = Score(4.0, (), (Emotion("sad", 0.3, 0.0, 2.0), Emotion("sad", 0.7, 2.0, 4.0)))
    assert [(f.intensity, f.to) for f in mood_of(growing, gradual=False).emotions] == [(0.3, 0.7)]
    assert mood_of(Score(4.0, (), (Emotion("sad", 0.7, 0.0, 4.0),)), gradual=True) is None


def test_body_and_face_share_a_clock(model: AvatarGPT, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (made,) = model.composer.compose("walks in angrily @2, stops and smiles")
        again = model.composer.compose(["smile", made.division], seeds=[3, 0])
    assert [c.seed for c in again] == [3, 0] and np.array_equal(again[1].body.rotations, made.body.rotations)
    (walk, stop, smile), avatar = made.spans, model.composer.perform(made.body, made.score, 3)
    assert walk[0] == 0 and walk[1] == stop[0] and stop[1] == smile[0] and abs(smile[1] - made.body.seconds) < 1e-6
    assert isinstance(avatar, AvatarMotion) and avatar.fps == 30 and abs(avatar.seconds - made.body.seconds) < 0.05
    weights, second = avatar.face.weights, np.arange(len(avatar)) / 30
    angry, smiles = (weights[:, arkit.INDEX[n]] for n in ("browDownLeft", "mouthSmileLeft"))
    assert angry[(second > 0.5) & (second < walk[1] - 0.3)].min() > 0.3 > angry[second > smile[0]].max()
    assert smiles[second > smile[0] + 0.8].max() > 0.4 > smiles[second < smile[0] - 0.3].max()
    moved = np.linalg.norm(np.diff(avatar.body.root[:, [0, 2]], axis=0), axis=1) * 30
    assert moved[second[1:] < walk[1] - 0.3].mean() > 0.4 > moved[second[1:] > smile[0]].mean()
    (sentence,) = model.describe(avatar, best_of=1, transcript="hello there")
    assert "; says 'hello there', shows " in sentence and "smile" in sentence and "angry" in sentence
    several = model.describe([made.body, avatar], best_of=1, transcript=["", "hello there"])
    assert several == [*model.describe(made.body, best_of=1), sentence]
    assert model.describe([avatar.face, avatar.face], transcript="unheard") == [*model.describe_face(avatar.face)] * 2
    gestures = replace(made.body, modality="gesture", fingers=np.repeat(relax_fingers()[None], len(made.body), 0))
    assert model.describe(gestures, best_of=1) == several[:1]
    with pytest.raises(UserError, match="a face gets one sentence; num goes with bodies"):
        model.describe([made.body, avatar.face], num=2)
    for name in ("walk.glb", "walk.vrma", "walk.bvh", "walk.csv", "walk.npz"):
        assert avatar.save(tmp_path / name).stat().st_size > 1000
    assert export.load(tmp_path / "walk.npz").modality == "avatar"


def test_a_conversation_saves_what_its_segments_say_of_the_face(model: AvatarGPT, tmp_path: Path) -> None:
    talk = Conversation(model, outputs=tmp_path, faces=True)
    reply = talk.do("make: smile", "save: film.npz", "save: film.bvh")
    assert reply.ok and "with a face" in reply.text and talk.timeline.segments[0].score is not None
    avatar = AvatarMotion.load(tmp_path / "film.npz")
    assert avatar.face.weights[:, arkit.INDEX["mouthSmileLeft"]].max() > 0.4 and avatar.fps == 30
    assert np.ptp(avatar.body.root, axis=0).max() < 0.1  # it stands meanwhile


def test_turns_change_the_face_of_a_segment(model: AvatarGPT, tmp_path: Path) -> None:
    talk = Conversation(model, tmp_path / "talk", outputs=tmp_path, faces=True)
    assert talk.do("make: a girl walks forward").ok
    reply = talk.do("face 1: raises her eyebrows")
    assert [a.do for a in reply.acts] == ["face"] and "face: raise brows" in reply.text
    key = talk.timeline.segments[0].key
    assert talk.do("edit: happily; a girl walks forward happily").ok  # made anew, and still with the brows up
    (segment,) = talk.timeline.segments
    assert segment.key != key and segment.score is not None and segment.faces
    assert [e.action for e in segment.score.events] == ["raise_brows"] and segment.score.emotions[0].name == "happy"
    assert "face: smile" in talk.do("face 1: smiles").text and len(talk.timeline.segments) == 1
    assert talk.do("then: a person sits down and yawns").ok and talk.timeline.segments[1].score is not None
    # what a face shall not show is taken away, and stays away
    assert "without happy" in talk.do("face 1: does not look happy").text
    assert talk.do("again 1").ok and "happy" not in talk.timeline.segments[0].score.names
    assert not talk.do("face 1: no wink").ok  # which it does not show
    assert talk.do("face 2: no yawn").ok  # nothing is left of that face
    segment, bare = talk.timeline.segments
    talk.close()
    again = Conversation(model, tmp_path / "talk", faces=True)
    assert again.timeline.segments[0].faces == segment.faces and again.timeline.segments[1].score is None
    assert again.timeline.segments[1].faces == bare.faces == (Act("face", 2, text="no yawn"),) and again.say("/undo").ok
    # what asks nothing of a face
    assert not again.do("face: walk away").ok
    bodies = Conversation(model)
    assert not bodies.do("make: a person waves", "face: smile").ok


def test_a_face_does_more_or_less_of_it(model: AvatarGPT) -> None:
    def strengths() -> dict[str, float]:
        (segment,) = talk.timeline.segments
        return {e.action: round(e.intensity, 3) for e in segment.score.events} if segment.score else {}

    talk = Conversation(model, faces=True)
    assert talk.do("make: a person waves", "face: smile").ok and strengths() == {"smile": 0.7}
    assert talk.do("face x1.4: smile").ok and strengths() == {"smile": 0.98}
    assert talk.do("face x0.6: smile").ok and strengths() == {"smile": 0.588}
    assert talk.do("face x0.6: frown").ok and strengths()["frown"] < 0.5 and strengths()["smile"] == 0.588
    assert "face: frown and smile" in talk.do("show timeline").text
    # one is taken away, and what is wanted instead comes
    assert talk.do("face: a wink instead of the smile").ok and {*strengths()} == {"frown", "wink_right"}
    assert talk.do("again").ok and {*strengths()} == {"frown", "wink_right"}


def test_one_sentence_of_what_an_avatar_does_says_and_feels() -> None:
    for face, words, line in (
        ("smile, then wink left; very happy", "", "; shows smile, then wink left, looks very happy"),
        ("smile; neutral", "", "; shows smile"), ("calm, then sad", "", "; looks calm, then sad"), ("neutral", "", ""),
        ("speak and raise brows; happy", "hi", "; says 'hi', shows raise brows, looks happy"),
        ("speak; neutral", "", "; speaks (words not read)"),
    ):  # fmt: skip
        assert avatar_sentence("a person bows.", face, words) == f"a person bows{line}"


def test_what_is_refused(model: AvatarGPT) -> None:
    typed = MotionRequest(clauses=[Clause(action="walk")])
    for texts, modalities, line in (
        ("walk", ("face",), "a face alone"), (typed, ("body", "face"), "a text"), ("", ("body", "face"), "text"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=line):
            model.generate(texts, modalities=modalities)  # type: ignore[call-overload]
    with pytest.raises(UserError, match="literal"):
        model.generate("walk", literal=True, modalities=("body", "face"))
