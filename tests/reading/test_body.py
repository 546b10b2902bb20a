"""What was read of a request, as a typed one: bounds, parts, places, and what is remembered."""

from collections.abc import Sequence
from typing import Any

import pytest

from avatargpt.reading import body
from avatargpt.reading.body import AT_ONCE, BOUNDS, MAX_SENTENCE, MAX_WORDS, BodyReader, to_request
from avatargpt.reading.reader import Names, Reading, ReadItem
from instruct_data.reading.examples import find_words
from vqvae.errors import UserError

NAMES: Names = (("wave", 0.8), ("bow", 0.15), (None, 0.01))


def item(text: str, words: str, names: Names = NAMES, **values: Any) -> ReadItem:
    places = {k: find_words(text, values.pop(k)) for k in ("style", "target", "other") if k in values}
    return ReadItem(values, {"words": find_words(text, words), **places}, names)


def read(text: str, *items: ReadItem, unshown: str = "", counted: str = "", **whole: Any) -> Reading:
    return Reading(text, items, whole, find_words(text, unshown), find_words(text, counted))


def test_clauses_have_their_words_values_and_names() -> None:
    text = "Wave the doctor's hand at me, 2 times, happily, with him, while you hum"
    waved = item(text, "wave the doctor's hand", style="happily", target="me", other="him", times=2.0, side="left",
                 denied=True, distance=0.0)  # fmt: skip
    hummed = item(text, "hum", ((None, 0.6), ("sing", 0.25), ("bow", 0.1)), together=True)
    unsure = item(text, "you", (("sing", 0.15), (None, 0.1), ("bow", 0.05)))
    wave, hum, other = to_request(read(text, waved, hummed, unsure)).clauses
    assert (wave.action, wave.style, wave.target, wave.other) == ("Wave the doctor's hand", "happily", "me", "him")
    assert (wave.times, wave.side, wave.denied, wave.distance) == (2, "left", True, None)
    assert (wave.name, wave.known, wave.others) == ("wave", True, {"bow": 0.15})
    assert wave.sure == pytest.approx(0.99), "one of the known ones, whichever it is"
    assert (hum.name, hum.known, hum.sure, hum.together, hum.others) == ("sing", False, 0.6, True, {"bow": 0.1})
    assert (other.name, other.known, other.sure) == ("sing", False, 0.85)
    first = read(text, hummed)
    assert not to_request(first).clauses[0].together, "nothing is before it"


@pytest.mark.parametrize(("name", "value"), [(n, most) for n, most in BOUNDS.items()])
def test_measures_end_at_their_bounds(name: str, value: float) -> None:
    for given, kept in ((value + 1, value), (value / 2, value / 2)):
        (clause,) = to_request(read("go", item("go", "go", **{name: given}))).clauses
        assert getattr(clause, name) == kept


@pytest.mark.parametrize(("times", "told"), [(101.0, "101"), (1e6, "1000000"), (0.5, "0.5")])
def test_counts_that_no_request_has_are_refused(times: float, told: str) -> None:
    with pytest.raises(UserError, match=f"^{told} times; accepted 1 to 100"):
        to_request(read("go", item("go", "go", times=times)))


def test_what_is_lost_is_told() -> None:
    text = "wave 3 times in the heavy rain 45 at 12:30, 7 and not in rain"
    told = to_request(read(text, item(text, "wave times 7", times=3.0), unshown="heavy rain 12 30 rain", counted="3"))
    assert told.unshown == ["heavy rain", "12", "30", "rain"]
    assert told.unread == ["45", "7"]  # 3 was read, and 12:30 is not shown
    whole = to_request(read("go", item("go", "go"), seconds=700.0, loop=True))
    assert (whole.seconds, whole.loop) == (600.0, True)


class Reads:
    """Reads every sentence as a clause of all its words but the last, which is its style."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, texts: Sequence[str], near: int) -> list[Reading]:
        self.asked += texts
        return [self._one(t) for t in texts]

    def _one(self, text: str) -> Reading:
        sentences = [s for s in text.split(".") if s.strip()]
        items, at = [], 0
        for sentence in sentences:
            *first, last = [(a + at, b + at) for a, b in find_words(sentence, sentence)]
            items.append(ReadItem({}, {"words": tuple(first), "style": (last,)}, NAMES))
            at += len(sentence) + 1
        return Reading(text, tuple(items), {"seconds": 2.0})

    def name(self, texts: Sequence[str], near: int) -> list[Names]:
        self.asked += texts
        return [((t, 0.9), (None, 0.1)) for t in texts]


@pytest.fixture
def reader() -> BodyReader:
    return BodyReader(Reads())  # type: ignore[arg-type]


def test_long_requests_are_read_in_parts_of_whole_sentences(reader: BodyReader) -> None:
    """Equal ones, too: each has its own place in the text."""
    sentence = "walk to the old man by the window and wave at him slowly."
    text = " ".join([sentence] * 12)
    request = reader.read(text)
    asked = reader.reader.asked  # type: ignore[attr-defined]
    assert "".join(asked) == text and len(asked) == 6 and max(len(t.split()) for t in asked) <= AT_ONCE
    assert len(request.clauses) == 12 and request.text == text and request.seconds == 12.0
    found = reader.places(text)
    starts = [action[0][0] for action, _ in found]
    assert starts == [k * (len(sentence) + 1) for k in range(12)]
    for action, every in found:
        assert [text[a:b] for a, b in action] == sentence[:-1].split()[:-1] and text[slice(*every[-1])] == "slowly"
    reader.read(text)
    assert len(asked) == 6, "remembered"


def test_a_part_never_ends_within_a_number(reader: BodyReader) -> None:
    text = "walk on " * 21 + "for 1.5 m slowly. turn left. sit down"
    reader.read(text)
    asked = reader.reader.asked  # type: ignore[attr-defined]
    assert asked == ["walk on " * 21 + "for 1.5 m slowly.", " turn left. sit down."]


@pytest.mark.parametrize(("text", "told"), [
    ("", "request of 0 words"), ("?! ... -", "request of 3 words; accepted: 1 to 1000, with a letter"),
    ("go on. " * (MAX_WORDS // 2) + "go", "request of 1001 words"),
    ("walk " * (MAX_SENTENCE + 1), "a sentence of 181 words; accepted: 1 to 180"),
])  # fmt: skip
def test_what_cannot_be_read(text: str, told: str, reader: BodyReader) -> None:
    with pytest.raises(UserError, match=told):
        reader.read(text)


def test_as_many_clauses_as_a_request_may_have(reader: BodyReader) -> None:
    text = "walk slowly. " * 110
    assert len(reader.read(text).clauses) == len(reader.places(text)) == 100


def test_what_is_remembered_is_bounded(reader: BodyReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_REMEMBERED", 3)
    asked = reader.reader.asked  # type: ignore[attr-defined]
    reader.names(["a", "b", "a"])
    assert asked == ["a", "b"]
    # more than are remembered, the first of them forgotten meanwhile
    assert [names[0][0] for names in reader.names(["a", "c", "d", "e", "a"])] == ["a", "c", "d", "e", "a"]
    assert asked == ["a", "b", "c", "d", "e"]
    reader.names(["e", "a"])
    assert asked[5:] == ["a"]
    for k in range(5):
        reader.read(f"walk {k}")
    asked.clear()
    assert reader.places("walk 0") and asked == ["walk 0."] and reader.read("walk 4").text == "walk 4"
    assert asked == ["walk 0."]
