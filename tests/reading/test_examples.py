"""Labelled texts: where words stand, numbers with their units, and the items of each kind of line."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from instruct_data.reading.examples import (
    LINE,
    MAX_REPLY,
    Example,
    Shown,
    Span,
    events_example,
    find_words,
    numerals,
    read_authors,
    read_lines,
    request_example,
    score_example,
    turn_examples,
    write_timeline,
    write_turn,
)
from instruct_data.reading.programs import PROGRAMS
from vqvae.errors import UserError


def at(text: str, spans: tuple[Span, ...]) -> list[str]:
    return [text[a:b] for a, b in spans]


@pytest.mark.parametrize(("text", "words", "near", "spans"), [
    ("He waves, then WAVES again", "waves", 0, ((3, 8),)), ("He waves, then WAVES again", "waves", 9, ((15, 20),)),
    ("waves waves", "waves", 99, ((6, 11),)),  # behind there is none: the nearest one before
    ("walks to the door and to the left", "walks left", 0, ((0, 5), (29, 33))),
    ("raise a hand, raise it high", "raise high", 0, ((14, 19), (23, 27))),  # the tightest place
    ("don't walk", "Don't", 0, ((0, 5),)), ("she's got it", "she", 0, ()),  # whole words alone
    ("wave left", "left wave", 0, ()), ("wave", "wave wave", 0, ()), ("wave", "...", 0, ()),
])  # fmt: skip
def test_words_are_found_in_their_order(text: str, words: str, near: int, spans: tuple[Span, ...]) -> None:
    assert find_words(text, words, near) == spans


@pytest.mark.parametrize(("text", "found"), [
    ("walk for 3 seconds, then 1.5 min", [("3", 3.0, "seconds"), ("1.5", 1.5, "min")]),
    ("twenty five jumps, 2 hundred more", [("twenty five", 25.0, "jumps"), ("2 hundred", 200.0, "more")]),
    ("5 10", [("5", 5.0, "10"), ("10", 10.0, "")]), ("1:30 in all", [("1:30", 90.0, "in")]),
    ("2,5 m", [("2,5", 2.5, "m")]), ("often and at once", []),
])  # fmt: skip
def test_numbers_have_the_word_behind_them(text: str, found: list[tuple[str, float, str]]) -> None:
    assert [(text[n.span[0] : n.span[1]], n.value, n.unit) for n in numerals(text)] == found


@pytest.mark.parametrize(("text", "field", "value"), [
    ("2 minutes", "seconds", 120.0), ("500 ms", "seconds", 0.5), ("2 m", "seconds", 120.0), ("2 m", "distance", 2.0),
    ("10 Feet", "distance", 3.048), ("30 cm", "distance", 0.3), ("2 minutes", "times", 2.0),
    ("90 degrees", "turn", 90.0), ("3 seconds", "seconds", 3.0),
])  # fmt: skip
def test_a_unit_is_that_of_the_field(text: str, field: str, value: float) -> None:
    (number,) = numerals(text)
    assert number.of(field) == pytest.approx(value)


def test_a_request_has_its_clauses_where_their_words_stand() -> None:
    text = "Wave twice with the left hand, wave like a bear at me, don't bow. 20 s, on a loop, in the rain"
    row = {
        "text": text, "seconds": 20, "loop": True, "unknown": ["in the rain"],
        "clauses": [
            {"words": "wave left hand", "do": "a person waves the left hand", "action": "wave", "side": "left",
             "times": 2},
            {"words": "wave at me", "do": "a person waves", "action": None, "style": "like a bear", "target": "me",
             "rel": "while", "other": "nobody there"},
            {"words": "bow", "do": "a person bows", "action": "bow", "denied": True},
        ],
    }  # fmt: skip
    made = request_example(row, "me")
    assert made is not None and (made.text, made.author, made.labelled_words) == (text, "me", True)
    assert [i.values for i in made.items] == [
        {"times": 2, "side": "left", "action": "wave"}, {"together": True}, {"denied": True, "action": "bow"},
    ]  # fmt: skip
    assert [{k: at(text, v) for k, v in i.words.items()} for i in made.items] == [
        {"words": ["Wave", "left", "hand"]},
        {"words": ["wave", "at", "me"], "style": ["like", "a", "bear"], "target": ["me"]}, {"words": ["bow"]},
    ]  # fmt: skip
    assert [i.caption for i in made.items] == [c["do"] for c in row["clauses"]]  # type: ignore[attr-defined]
    assert at(text, made.unknown) == ["in", "the", "rain"] and made.whole == {"seconds": 20, "loop": True}
    row["clauses"][0]["words"] = "wave right hand"  # type: ignore[index]
    assert request_example(row) is None
    first = {"words": "wave", "do": "", "action": "wave", "rel": "while"}  # nothing is before it
    alone = request_example({"text": "wave", "clauses": [first]})
    assert alone is not None and alone.items[0].values == {"action": "wave"}


def test_a_turn_stands_behind_its_timeline() -> None:
    timeline = ["1 walks 3s", "  a note", "2 bows 2s"]
    before = [("a", "b"), ("walk", "Made: walks."), ("then bow", "x" * (MAX_REPLY + 9))]
    text, places, asked = write_turn(timeline, "longer", before, ["then 2", "undo"])
    assert text[asked:] == "longer" and at(text, places) == ["1 walks 3s", "2 bows 2s"]
    assert text.splitlines() == [
        *timeline, "before: walk / Made: walks.", f"before: then bow / {'x' * MAX_REPLY}", "last: then 2, undo",
        "now: longer",
    ]  # fmt: skip
    text, places, asked = write_turn([], "walk")
    assert (text, places, asked) == ("last: none\nnow: walk", (), 16)


def test_a_timeline_has_names_rounds_and_faces() -> None:
    shown = [Shown("a woman waves", 2.0, times=3), Shown("a knight bows", 1.234, "greeting", face="smile")]
    assert write_timeline(shown, 2) == ["1 waves 2s x3", "2 [greeting] a knight bows 1.23s (face: smile)", "(1-2 x2)"]
    assert [m[1] for line in write_timeline(shown) if (m := LINE.fullmatch(line))] == ["waves", "a knight bows"]


def test_the_turns_of_a_dialogue_point_at_their_segments() -> None:
    row = {"turns": [
        {"user": "walk", "acts": [{"do": "make", "text": "a person walks", "segment": 1}], "reply": "Made.",
         "timeline": ["1 walks 3s", "2 bows 2s"]},
        {"user": "twice as fast, swap", "acts": [
            {"do": "speed", "factor": 2, "segment": 1}, {"do": "move", "segment": 2, "to": 1, "at": "end"},
            {"do": "replace", "segment": 3, "change": "slower", "seconds": 0.0},
        ], "timeline": []},
        {"user": "why?", "acts": [{"do": "question", "topic": "history", "about": "speed"}], "timeline": ["1 bows 2s"]},
        {"user": "sadly", "acts": [{"do": "edit", "change": "sadly", "segment": 1}], "timeline": ["1 bows sadly 3s"]},
        {"user": "no, 2 s of it fast", "acts": [{"do": "edit", "change": "fast", "from": 0, "to_s": 2}],
         "timeline": ["1 bows fast 2s", "2 bows sadly 1s (face: sad)"]},
    ]}  # fmt: skip
    first, second, third, fourth, fifth = turn_examples(row, "me")
    assert first.text == "last: none\nnow: walk" and first.places == ()
    assert (first.items[0].values, first.items[0].caption) == ({"do": "make"}, "a person walks"), "no segment yet"
    assert second.text.startswith("1 walks 3s\n2 bows 2s\nbefore: walk / Made.\nlast: make 1\nnow: ")
    assert at(second.text, second.places) == ["1 walks 3s", "2 bows 2s"]
    assert second.text[second.asked :] == "twice as fast, swap"
    assert [i.values for i in second.items] == [
        {"do": "speed", "factor": 2, "segment": 1}, {"do": "move", "segment": 2, "to": 1},
        {"do": "replace", "seconds": 0.0},
    ]  # fmt: skip
    assert [i.caption for i in second.items] == ["", "", "slower"]
    assert "last: speed 1, move 2, replace 3\n" in third.text and third.items[0].values["topic"] == "history"
    assert (fourth.items[0].caption, fifth.items[0].caption) == ("bows sadly", "bows fast"), "what is done then"
    assert not any(e.labelled_words for e in (first, second, third))


def test_the_same_done_to_neighbours_is_one_item() -> None:
    slow = [{"do": "speed", "factor": 0.5, "segment": n} for n in (2, 3, 4, 6)]
    acts = [*slow, {"do": "speed", "factor": 2, "segment": 7}, *({"do": "delete", "segment": n} for n in (1, 2))]
    lines = [f"{n} bows 2s" for n in range(1, 8)]
    first = {"user": "x", "acts": [], "timeline": lines}
    _, turn = turn_examples({"turns": [first, {"user": "all slower", "acts": acts, "timeline": lines}]})
    assert [i.values for i in turn.items] == [
        {"do": "speed", "factor": 0.5, "segment": 2, "to": 4}, {"do": "speed", "factor": 0.5, "segment": 6},
        {"do": "speed", "factor": 2, "segment": 7}, {"do": "delete", "segment": 1}, {"do": "delete", "segment": 3},
    ]  # fmt: skip
    (drawn,) = turn_examples({"written": False, "turns": [{"user": "x", "acts": [{"do": "make", "text": "walk"}],
                                                           "timeline": []}]})  # fmt: skip
    assert drawn.items[0].caption == ""


def test_an_instruction_to_a_face_has_tenths_of_strength() -> None:
    text = "slight smile at 2 s, at the word now wink with the left eye, in the wind"
    row: dict[str, Any] = {"text": text, "unknown": ["in the wind"], "face": [
        {"words": "slight smile", "name": "smile", "strength": 0.34, "at": 0, "course": "rising"},
        {"words": "wink left eye", "name": "wink", "side": "left", "strength": 3, "rel": "while", "word": "now",
         "wait": None},
        {"words": "in the wind", "name": None, "strength": 0.0, "denied": True},
    ]}  # fmt: skip
    made = score_example(row)
    assert made is not None and made.labelled_words
    assert [i.values for i in made.items] == [
        {"name": "smile", "strength": "0.3", "at": 0, "course": "rising"},
        {"name": "wink", "side": "left", "strength": "1", "together": True}, {"strength": "0.1", "denied": True},
    ]  # fmt: skip
    strengths = next(f for f in PROGRAMS["score"].items if f.name == "strength").choices
    assert {i.values["strength"] for i in made.items} <= {*strengths}
    assert at(text, made.items[1].words["word"]) == ["now"] and at(text, made.unknown) == ["in", "the", "wind"]
    beside = score_example(row | {"clauses": [{"words": "walk"}]})
    assert beside is not None and not beside.labelled_words, "the other words are the body's"
    assert score_example(row | {"face": []}) is None
    assert score_example(row | {"face": [{"words": "frown", "name": "frown"}]}) is None


def test_a_scene_has_its_events_in_the_order_of_time() -> None:
    scene = "Before he bows to the king in the hall, a page kneels for ten seconds."
    row: dict[str, Any] = {"scene": scene, "person": "he", "seconds": 60, "events": [
        {"words": "kneels", "do": "he kneels", "action": "kneel", "seconds": 10},
        {"words": "bows", "do": "he bows to the king", "action": None, "where": "in the hall"},
    ]}  # fmt: skip
    made = events_example(row, "me")
    assert made is not None and made.whole == {"person": "he", "seconds": 60} and not made.labelled_words
    assert [(i.values, i.caption) for i in made.items] == [
        ({"seconds": 10, "action": "kneel"}, "kneels"), ({}, "bows to the king"),
    ]  # fmt: skip
    assert at(scene, made.items[1].words["where"]) == ["in", "the", "hall"]
    situation = events_example({"scene": "I wait.", "person": "I", "events": []})
    assert situation is not None and (situation.items, situation.whole) == ((), {"person": "i"})
    assert events_example(row | {"events": [{"words": "sings", "do": "he sings"}]}) is None


def test_authors_files_are_read_by_task(tmp_path: Path) -> None:
    clause = {"words": "wave", "do": "a person waves", "action": "wave"}
    body = [{"text": "wave", "clauses": [clause]}, {"text": "bow", "clauses": [clause]}, {"text": "smile"}]
    (tmp_path / "body_a.jsonl").write_text("\n\n".join(map(json.dumps, body)))
    face = {"text": "smile and wave", "clauses": [clause], "face": [{"words": "smile", "name": "smile"}]}
    (tmp_path / "face_b.jsonl.xz").write_bytes(lzma.compress(json.dumps(face).encode()))
    turn = {"user": "wave", "acts": [{"do": "make"}], "timeline": []}
    (tmp_path / "chat_c.jsonl").write_text(json.dumps({"turns": [turn, turn]}))
    (tmp_path / "scenes_d.jsonl").write_text(json.dumps({"scene": "Rain.", "events": []}))

    def rows(task: str) -> list[tuple[str, str, int]]:
        found: list[Example] = read_authors([tmp_path, tmp_path / "none"], task)
        return [(e.author, e.text[e.asked :], len(e.items)) for e in found]

    # of which the others cannot be placed, or say nothing of a body
    assert rows("read") == [("body_a", "wave", 1), ("face_b", "smile and wave", 1)]
    assert rows("score") == [("face_b", "smile and wave", 1)]
    assert rows("turn") == [("chat_c", "wave", 1)] * 2 and rows("events") == [("scenes_d", "Rain.", 0)]
    (tmp_path / "body_e.jsonl").write_text('{"text": "a"}\n\n{"text": \n')
    with pytest.raises(UserError, match=r"body_e\.jsonl:3: not JSON"):
        list(read_lines(tmp_path / "body_e.jsonl"))
