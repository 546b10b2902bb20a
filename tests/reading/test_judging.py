"""How well texts are read: shares over texts, items and turns."""

from typing import Any

from avatargpt.reading.judging import judge_items, judge_turns, read_names
from avatargpt.reading.reader import MIN_KNOWN, Names, Reading, ReadItem
from instruct_data.reading.examples import Example, Item

KNOWN = {"bow", "walk", "wave"}


def gold(*items: tuple[str | None, dict[str, Any]]) -> Example:
    """A request whose items are named so, with these values."""
    made = tuple(Item({**({"action": name} if name else {}), **values}, {}) for name, values in items)
    return Example("", made)


def read(*items: tuple[Names, dict[str, Any]]) -> Reading:
    return Reading("", tuple(ReadItem(values, {}, names) for names, values in items))


def sure(name: str | None) -> Names:
    return (name, 0.9), ("bow" if name != "bow" else None, 0.1)


def test_a_name_that_is_hardly_likely_is_none() -> None:
    unsure = (("walk", MIN_KNOWN - 0.01), (None, 0.2))
    reading = read((sure("walk"), {}), (unsure, {}), (((None, 0.9),), {}), ((), {}))
    assert read_names(reading.items) == ["walk", None, None]
    assert read_names(reading.items, 0.1) == ["walk", "walk", None]


def test_requests_are_judged_by_names_and_by_values() -> None:
    rows = [
        gold(("walk", {"distance": 3}), ("wave", {"side": "left"})), gold(("bow", {"times": 2})),
        gold((None, {})), gold(("walk", {}), ("somersault", {})), gold(("walk", {}), ("bow", {"denied": True})),
    ]  # fmt: skip
    right = [
        read((sure("walk"), {"distance": 3.0}), (sure("wave"), {"side": "left"})), read((sure("bow"), {"times": 2.0})),
        read((sure(None), {})), read((sure("walk"), {}), (sure(None), {})),
        read((sure("walk"), {}), (sure("wave"), {"denied": True})),  # what is denied is not asked for
    ]
    every = judge_items(right, rows, KNOWN)
    assert every == {
        "full": 1, "single": 1, "silent": 0, "count": 1, "found": 1, "noticed": 1, "false": 0, "values": 1, "exact": 1,
    }  # fmt: skip
    wrong = [
        read((sure("walk"), {"distance": 2.0}), (sure("wave"), {"side": "left"})),  # another value
        read((sure("wave"), {"times": 2.0})),  # another name
        read((sure("walk"), {})),  # a name for what is not known
        read((sure("walk"), {})),  # an item less
        read((sure(None), {}), (sure(None), {})),  # none of them, and an item more
    ]
    figures = judge_items(wrong, rows, KNOWN)
    assert figures["full"] == 0.2 and figures["exact"] == 0 and figures["count"] == 0.6
    # two texts of one item are unknown or wrong, one has one that is to be done beside another
    assert figures["single"] == 0 and figures["silent"] == 0.4
    assert figures["found"] == 0.6  # walk, wave and walk of five
    assert figures["noticed"] == 0 and figures["false"] == 0.4
    assert figures["values"] == 0.75  # of four items in texts with the right number


def test_faces_are_judged_by_their_names() -> None:
    row = Example("", (Item({"name": "smile", "strength": "0.4"}, {}),))
    reading = read(((("smile", 0.9), (None, 0.1)), {"strength": "0.4"}))
    assert judge_items([reading], [row], {"smile"}, "score")["exact"] == 1
    assert judge_items([reading], [row], {"frown"}, "score")["full"] == 0, "a name that is not known is none"


def test_turns_are_judged_by_acts_places_and_numbers() -> None:
    acts = [{"do": "retime", "segment": 2, "seconds": 4.0}, {"do": "then"}]
    row = Example("", tuple(Item(a, {}) for a in acts))

    def turn(**changed: Any) -> Reading:
        return read(((), acts[0] | changed), ((), acts[1]))

    readings = [turn(), turn(seconds=4.0001), turn(seconds=5.0), turn(segment=1), turn(do="loop"), read(((), acts[0]))]
    figures = judge_turns(readings, [row] * len(readings))
    assert figures == {"acts": round(4 / 6, 4), "places": 0.5, "exact": round(2 / 6, 4)}
