"""Questions drawn by rule: what asks a face for something, and what does not."""

import json
from pathlib import Path

from instruct_data.factory.face.questions import SHARES, questions, texts
from vqvae.io.data_files import json_rows

SUITE = Path("eval/suites/face_questions.jsonl")
DRAWN = questions(600, 3)


def test_every_text_once_and_the_same_again() -> None:
    assert questions(600, 3) == DRAWN != questions(600, 4)
    assert len({s.text.lower() for s in DRAWN}) == 600
    first = DRAWN[0].text
    assert first.lower() not in {s.text.lower() for s in questions(600, 3, [first])}
    assert not any(c in s.text for s in DRAWN for c in "{}<>|")


def test_what_is_asked_is_in_the_score() -> None:
    nothing = [s for s in DRAWN if not s.events and not s.emotions]
    assert abs(len(nothing) / len(DRAWN) - SHARES["nothing"]) < 0.08
    wordings = {t.lower().rstrip("?") for t in texts("nothing")}
    assert {s.text.lower().rstrip("?") for s in nothing} <= wordings
    eyes = [s for s in DRAWN if s.events and s.events[0].action == "raise_cheeks" and len(s.events) > 1]
    assert len(eyes) > 60
    for score in eyes:
        assert [e.action for e in score.events[:2]] == ["raise_cheeks", "squint"]
        assert score.events[0].end == score.events[1].end <= score.length


def test_held_out_questions_are_not_drawn() -> None:
    rows = [row for _, row in json_rows(SUITE)]
    assert len(rows) == 60 and {row["kind"] for row in rows} == {"nothing", "asked", "eyes"}
    held = {row["text"].lower().rstrip("?. ") for row in rows}
    drawn = {t.lower().rstrip("?. ") for kind in ("nothing", "eyes") for t in texts(kind)}
    drawn |= {s.text.lower().rstrip("?. ") for s in questions(5000)}
    assert not held & drawn, json.dumps(sorted(held & drawn))
