import json

import pytest

from avatargpt.face.pipeline import FacePipeline
from avatargpt.requests.english import meaningless, worded
from avatargpt.resources import suites
from instruct_data.face.score import OWN


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
    assert worded(typed) == words


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
    files = [*OWN.parent.glob("*.jsonl"), *suites().glob("face_*.jsonl")]
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    texts = [t for row in rows for t in (row.get("text"), *row.get("texts", ())) if t]
    assert len(texts) > 1000 and [t for t in texts if meaningless(t)] == []
