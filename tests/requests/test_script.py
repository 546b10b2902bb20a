"""Scripts: words with times, at every door."""

import pytest

from avatargpt.planning.types import plan_script
from avatargpt.reading.body import BodyReader
from avatargpt.resources import weights
from avatargpt.verbs.plan import LongRequest
from instruct_data.requests.script import read_script
from vqvae.errors import UserError

WALK_SIT = [(0, 5, "walks"), (5, 10, "sits down")]


@pytest.mark.parametrize("text, parts", [
    ("[0-5s] walks [5-10s] sits down", WALK_SIT),
    ("(0 - 5 s) walks; (5 - 10 s) sits down.", [(0, 5, "walks"), (5, 10, "sits down.")]),
    ("0-5s: walks, 5-10s: sits down", WALK_SIT),
    ("0:00-0:05 walks\n0:05-0:10 sits down", WALK_SIT),
    ("[00:00.0 --> 00:05.0] walks\n[00:05.0 --> 00:10.0] sits down", WALK_SIT),
    ("[0 to 5 seconds] walks [5 to 10 seconds] sits down", WALK_SIT),
    ("walks [0-5s], sits down [5-10s]", WALK_SIT),
    ("0-5s walks; 5-10s sits down", WALK_SIT),
    ("[1:02-1:04.5] bows", [(0, 62, ""), (62, 64.5, "bows")]),
    ("[0-2s] walks [3-4s] bows", [(0, 2, "walks"), (2, 3, ""), (3, 4, "bows")]),
    *[(text, []) for text in (
        "walk 3-5 steps", "do 10-12 squats", "he walks, then sits down", "from 0 to 3 seconds she walks",
        "walk [slowly] for 5-6 s", "5-6s walk", "0-5 s", "walk, 3-4 s long",
        "at 12:30-13:00 he eats", "raise one arm (0-90 degrees)",
    )],
])  # fmt: skip
def test_parts(text: str, parts: list[tuple[float, float, str]]) -> None:
    script = read_script(text)
    assert [(p.start, p.end, p.words) for p in script] == parts
    assert all(text[p.at :].startswith(p.words) for p in script)


@pytest.mark.parametrize("text", [
    "[5-5s] walks", "[5-3s] walks", "[0-5s] walks [4-8s] sits", "[0-5s] [5-8s] sits", "[0-5s] ...",
])  # fmt: skip
def test_damaged_ones_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="script"):
        read_script(text)


def test_movements_of_a_part_share_its_time() -> None:
    reader = BodyReader.of(weights())
    assert reader is not None
    text = "[0-3s] walks [4-8s] sits down, then waves with the left hand [8-10s] stands up while clapping"
    read = reader.read(text)
    assert [c.seconds for c in read.clauses if not c.together] == [3, 1, 2, 2, 2] and read.seconds is None
    assert read.clauses[1].hold and "left" in {c.side for c in read.clauses}
    assert len(reader.places(text)) == len(read.clauses)
    words = [text[a:b] for spans, _ in reader.places(text) for a, b in spans]
    assert "walks" in words and "clapping" in words
    assert reader.read("[2-4s] walks").clauses[0].seconds == 2


def test_a_script_is_a_plan() -> None:
    plan = plan_script("[0-30s] he walks [31-33s] he bows")
    assert plan is not None and plan_script("he walks") is None
    (activity,) = plan.activities
    assert activity.steps == ("he walks", "he walks", "stays still", "he bows") and activity.seconds == (15, 15, 1, 2)
    assert LongRequest("[0-3s] he walks [3-5s] he bows").seconds == 5
    assert LongRequest("he walks").seconds == 60 and LongRequest("[0-30s] he walks", seconds=4).seconds == 4
    with pytest.raises(UserError, match="14400"):
        plan_script("[0-300:00] he walks")
