"""What the packaged reader makes of wordings that it was not trained with: shares, for a network errs now and then."""

from __future__ import annotations

from typing import Any

import pytest

from avatargpt.requests.clause_spec import lookup_of
from avatargpt.requests.reader import RequestReader
from avatargpt.resources import weights

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
def reader() -> RequestReader:
    return RequestReader.load(weights())


def share(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    wrong = {t: (found[t], wanted[t]) for t in wanted if found[t] != wanted[t]}
    print(wrong)
    return 1 - len(wrong) / len(wanted)


def test_turns(reader: RequestReader) -> None:
    turns = {t: lookup_of(reader.read(t).clauses[0]).turn for t in TURNS}
    assert share({t: turn and (turn.degrees, turn.side) for t, turn in turns.items()}, TURNS) >= 0.75


def test_paths(reader: RequestReader) -> None:
    routes = {t: lookup_of(reader.read(t).clauses[0]).route for t in PATHS}
    assert share({t: route and (route.shape, route.side) for t, route in routes.items()}, PATHS) >= 0.8


def test_clauses(reader: RequestReader) -> None:
    assert share({t: [c.action for c in reader.read(t).done] for t in CLAUSES}, CLAUSES) >= 0.8


def test_counts(reader: RequestReader) -> None:
    assert share({t: reader.read(t).clauses[0].times for t in COUNTS}, COUNTS) >= 0.8


def test_long_requests_are_read_sentence_by_sentence(reader: RequestReader) -> None:
    text = " ".join(["He walks to the window and waves."] * 12)
    request = reader.read(text)
    assert 18 <= len(request.clauses) <= 24 and request.text == text
