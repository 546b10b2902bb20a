"""Requests as people type them: clauses, counts, turns, paths, signs."""

from typing import Any

import pytest

from avatargpt import AvatarGPT
from avatargpt.face.pipeline import FacePipeline
from avatargpt.reading.body import BodyReader
from avatargpt.requests.clause_spec import lookup_of, with_bends
from avatargpt.requests.english import meaningless, spell_emoji
from avatargpt.resources import suites, weights
from instruct_data.face.score import OWN
from instruct_data.requests.spec import Clause, MotionRequest
from vqvae.io.data_files import json_rows

TURNS: dict[str, tuple[float, str] | None] = {
    "turn right 90 degrees": (90, "right"), "rotate 45deg to the left": (45, "left"),
    "a person turns ninety degrees to the right": (90, "right"), "turn one hundred and eighty degrees": (180, ""),
    "turn forty-five degrees left": (45, "left"), "do a 360": (360, ""), "half turn right": (180, "right"),
    "three-quarter turn left": (270, "left"), "make two full turns to the left": (720, "left"),
    "turn all the way around": (360, ""), "turn around slowly": (180, ""), "turn left": (90, "left"),
    "turn in a circle to the left": (360, "left"), "angrily turn left": (90, "left"),
    "turn left 22.5 degrees": (22.5, "left"), "turn around right now": (180, ""), "turn the page": None,
    "turn on your left foot": None, "turn over": None, "walk left": None, "left hand turn": (90, "left"),
}  # fmt: skip
PATHS: dict[str, tuple[str, str] | None] = {
    "walk in a circle": ("circle", "left"), "he runs in circles": ("circle", "left"),
    "walk in a circle waving with the right hand": ("circle", "left"),
    "walks in a figure 8 pattern": ("figure eight", "left"),
    "he walks like a zombie in a circle": ("circle", "left"), "run in a zigzag": ("zigzag", "left"),
    "walks in a half circle to the right": ("half circle", "right"), "walk in a square": ("square", "left"),
    "walk in a straight line": ("straight line", "left"),
    "a person walks in a triangle like a zombie": ("triangle", "left"),
    "circle the arms": None, "sits in a circle": None, "draws a circle in the air": None, "walk to the square": None,
    "the man moves the square box": None, "walk": None,
}  # fmt: skip
CLAUSES: dict[str, list[str]] = {
    "A person walks forward. He sits down. He waves.": ["walks", "sits down", "waves"],
    "walk; turn left; sit": ["walk", "turn", "sit"],
    "a person walks, runs, jumps and kicks": ["walks", "runs", "jumps", "kicks"],
    "after he sits down he waves": ["sits down", "waves"],
    "he waves after sitting down": ["sitting down", "waves"],
    "sits down before waving": ["sits down", "waving"],
    "before sitting down, wave": ["wave", "sitting down"],
    "First take a bow and after that walk on.": ["take a bow", "walk on"],
    "walk while waving": ["walk", "waving"],
    "walk and wave": ["walk", "wave"],
    "a person walks and waves at the same time": ["walks", "waves"],
    "don't walk, just wave": ["wave"],
    "wave and do not bow": ["wave"],
    "wave with both hands": ["wave hands"],
}
COUNTS = {"wave twice": 2, "wave three times": 3, "wave once": 1, "clap 12 times": 12, "wave 4 seconds": None,
          "do three jumps": 3, "two nods": 2, "jump, then jump again": None}  # fmt: skip


@pytest.fixture(scope="module")
def reader() -> BodyReader:
    found = BodyReader.of(weights())
    assert found is not None
    return found


def share(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    wrong = {t: (found[t], wanted[t]) for t in wanted if found[t] != wanted[t]}
    print(wrong)
    return 1 - len(wrong) / len(wanted)


def test_turns(reader: BodyReader) -> None:
    turns = {t: lookup_of(reader.read(t).clauses[0]).turn for t in TURNS}
    assert share({t: turn and (turn.degrees, turn.side) for t, turn in turns.items()}, TURNS) >= 0.75


def test_paths(reader: BodyReader) -> None:
    routes = {t: lookup_of(reader.read(t).clauses[0]).route for t in PATHS}
    assert share({t: route and (route.shape, route.side) for t, route in routes.items()}, PATHS) >= 0.8


def test_clauses(reader: BodyReader) -> None:
    """As many in the order of time, each of which holds the words of its action and of no other one."""
    found = {}
    for text, wanted in CLAUSES.items():
        clauses, verbs = [set(c.action.split()) for c in reader.read(text).done], [set(w.split()) for w in wanted]
        of_others = [set().union(*verbs[:i], *verbs[i + 1 :]) - v for i, v in enumerate(verbs)]
        same = len(clauses) == len(verbs) and all(
            v <= c and not c & others for c, v, others in zip(clauses, verbs, of_others, strict=True)
        )
        found[text] = wanted if same else [c.action for c in reader.read(text).done]
    assert share(found, CLAUSES) >= 0.6


def test_counts(reader: BodyReader) -> None:
    assert share({t: reader.read(t).clauses[0].times for t in COUNTS}, COUNTS) >= 0.8


def test_long_requests_are_read_sentence_by_sentence(reader: BodyReader) -> None:
    text = " ".join(["He walks to the window and waves."] * 12)
    request = reader.read(text)
    assert 18 <= len(request.clauses) <= 24 and request.text == text


@pytest.mark.parametrize("sign", ["\u2764\ufe0f", "\u200d"])
def test_signs_that_the_encoder_leaves_out_are_read_over(reader: BodyReader, sign: str) -> None:
    """A variation selector and a joiner have no word piece, not even at the end of a request."""
    assert [c.name for c in reader.read(f"wave {sign}").clauses] == ["wave"]


@pytest.fixture(scope="module")
def performer() -> FacePipeline:
    return FacePipeline.load()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("😀 then 😭", "grinning face then loudly crying face"), ("😀😭", "grinning face, then loudly crying face"),
        ("😂😂😂", "laughing face"), ("do the 🤔 thing", "do the thinking face thing"), ("👍🏽", "thumbs up sign"),
        ("❤️", "loving face"), ("WINK!!! RIGHT EYE!!!", "WINK! RIGHT EYE!"), ("what???  smile", "what?  smile"),
        ("wait... wait... aha!", "wait... wait... aha!"), ("eyes → left, AU12 ×2", "eyes → left, AU12 ×2"),
    ],
)  # fmt: skip
def test_what_people_type_in_words(typed: str, words: str) -> None:
    assert spell_emoji(typed) == words


def test_exclamation_marks_are_no_count(performer: FacePipeline) -> None:
    score = performer.read(["WINK!!! RIGHT EYE!!!"])[0]
    assert [(e.action, e.repeat) for e in score.events] == [("wink_right", 1)]
    assert score.text == "WINK!!! RIGHT EYE!!!"


@pytest.mark.parametrize(
    ("emoji", "does"),
    [
        ("😭", "sad"), ("😢", "sad"), ("😡", "angry"), ("😱", "fearful"), ("😲", "surprised"), ("😂", "laugh"),
        ("🙂", "smile"), ("😀", "broad_smile"), ("😉", "wink_right"), ("🙄", "roll_eyes"), ("🥱", "yawn"),
        ("😴", "close_eyes"), ("😛", "stick_out_tongue"), ("😘", "pucker_lips"), ("🤢", "disgusted"),
    ],
)  # fmt: skip
def test_emoji_do_what_they_show(performer: FacePipeline, emoji: str, does: str) -> None:
    score = performer.read([emoji])[0]
    assert does in [e.action for e in score.events] + [f.name for f in score.emotions] and score.text == emoji


def test_what_has_no_word() -> None:
    assert all(meaningless(t) for t in ("asdf qwer zxcv", "12345", "3", "lkjh", "hsjdkf sdkjfh", "asdf jkl"))
    files = [*OWN.parent.glob("*.jsonl.xz"), *suites().glob("face_*.jsonl")]
    rows = [row for file in files for _, row in json_rows(file)]
    texts = [t for row in rows for t in (row.get("text"), *row.get("texts", ())) if t]
    assert len(texts) > 1000 and [t for t in texts if meaningless(t)] == []


WALK, TURN = Clause(action="walk", tempo="slow"), Clause(action="turn", side="left")
JOG = Clause(action="jog", together=True)


@pytest.mark.parametrize("clauses", [
    [WALK, TURN.model_copy(update={"together": True})], [TURN, WALK.model_copy(update={"together": True})],
])  # fmt: skip
def test_a_turn_while_walking_is_a_way_with_a_bend(clauses: list[Clause]) -> None:
    (one,) = with_bends(clauses)
    assert (one.action, one.turn, one.side, one.tempo, one.together) == ("walk", 90.0, "left", "slow", False)
    route = lookup_of(one).route
    assert route is not None and (route.side, route.degrees) == ("left", 90.0)


@pytest.mark.parametrize("clauses", [
    [WALK, TURN], [WALK, JOG], [TURN.model_copy(update={"denied": True}), JOG],
    [WALK, Clause(action="turn the page", side="left", together=True)], [WALK, Clause(action="turn", together=True)],
])  # fmt: skip
def test_other_clauses_stay(clauses: list[Clause]) -> None:
    assert with_bends(clauses) == clauses


@pytest.fixture(scope="module")
def model():
    return AvatarGPT.from_pretrained()


READINGS = {
    "nods politely to the left": ["nod"], "he runs away to the right with a lowered head": ["run"],
    "she spins on the spot with arms folded": ["a person spins", "cross_arms"],
    "an old man bends forward and swings his right arm": ["bow", "raise_up_right_hand"],
    "he ducks and runs on bent over": ["duck", "run"], "he stands and waves": ["hold_still", "wave"],
    "he sits down, then stands and walks away": ["sit_down", "stand_up", "walk"],
    "he turns right, then quickly left": ["turn_around", "turn_around"],
    "walk on, make a turn to the left and carry on": ["walk", "walk_turn_left"],
    "raise both hands, then bow": ["raise_up_both_hands", "bow"],
}  # fmt: skip

SAME = {"a person runs forward": "run"}  # actions of the lexicon that are those of recordings


def test_the_verb_decides(model):
    """A share, for the reader is a network."""
    found = {t: [SAME.get(p.action, p.action) for p in model.phrase_index.clauses(t, model.grounder)] for t in READINGS}
    wrong = {t: actions for t, actions in found.items() if actions != READINGS[t]}
    assert len(wrong) <= 0.5 * len(READINGS), wrong


def test_what_moves_says_what_is_meant(model):
    assert model.phrase_index.clauses("roll your shoulders", model.grounder)[0].action == "roll_shoulders"


def test_once_around_is_a_full_turn(model):
    request = MotionRequest(clauses=[Clause(action="spins", turn=360.0, side="right", tempo="slow")])
    (plain,) = model.phrase_index.resolve(request, model.grounder)
    assert plain.turn is not None and (plain.turn.degrees, plain.turn.side) == (360, "right")
