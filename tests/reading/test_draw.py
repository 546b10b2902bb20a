"""What the reading network learns from: joined and misspelt texts, drawn by shares of their kinds."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from instruct_data.factory.draw import (
    CAPTION_FIELDS,
    CONCURRENT,
    JOINTS,
    PHRASING_FIELDS,
    Draw,
    Drawn,
    caption_example,
    forget,
    join,
    lengthen,
    misspell,
)
from instruct_data.reading.examples import WORD, Example, request_example, turn_examples, write_turn


def request(text: str, *words: str, author: str = "a", unknown: tuple[str, ...] = ()) -> Example:
    """A request whose clauses have these words; ``walk=walk`` = of an action."""
    clauses = []
    for clause in words:
        said, _, action = clause.partition("=")
        clauses.append({"words": said, "do": f"a person {said}s", "action": action or None, "side": "left"})
    made = request_example({"text": text, "clauses": clauses, "unknown": unknown, "seconds": 9}, author)
    assert made is not None
    return made


def said(example: Example) -> list[list[str]]:
    """The words of each item, and those that nothing shows."""
    spans = [*(i.words["words"] for i in example.items), example.unknown]
    return [[example.text[a:b] for a, b in row] for row in spans]


FIRST = request("Walk on, in the rain.", "Walk=walk", unknown=("in the rain",))
SECOND = request("wave slowly; bow in the sun", "wave slowly=wave", "bow=bow", author="b", unknown=("the sun",))


def test_one_text_stands_behind_the_other() -> None:
    both = join(FIRST, SECOND, ", then ")
    assert both.text == "Walk on, in the rain, then wave slowly; bow in the sun" and both.whole == {}
    assert said(both) == [["Walk"], ["wave", "slowly"], ["bow"], ["in", "the", "rain", "the", "sun"]]
    assert [i.values for i in both.items] == [i.values for i in (*FIRST.items, *SECOND.items)]
    assert both.author == "a" and both.labelled_words
    assert not join(FIRST, caption_example("he sits", "sit"), " and ").labelled_words
    beside = join(SECOND, FIRST, " while ", together=True)
    assert [i.values.get("together", False) for i in beside.items] == [False, False, True]
    assert "together" not in FIRST.items[0].values


def test_misspelt_words_stay_those_of_their_items() -> None:
    """A letter more or less, or another one, within a word; every span still is that word."""
    text = "Gently raises (both) hands, then waves - 33 times - slowly like a tired ghost in heavy rain"
    plain = request(text, "raises both hands=raise", "then waves slowly=wave", unknown=("in heavy rain",))
    lengths, rng = Counter[int](), np.random.default_rng(0)
    for _ in range(300):
        wrong = misspell(plain, rng, 2)
        lengths[len(wrong.text) - len(text)] += 1
        assert [i.values for i in wrong.items] == [i.values for i in plain.items] and " 33 " in wrong.text
        for row, before in zip(said(wrong), said(plain), strict=True):
            for new, old in zip(row, before, strict=True):
                assert new[0] == old[0] and abs(len(new) - len(old)) <= 2 and (new == old or len(old) >= 4)
        words = {m.span() for m in WORD.finditer(wrong.text)}
        assert {s for i in wrong.items for s in i.words["words"]} | {*wrong.unknown} <= words
        assert len(words) == len(WORD.findall(text))
    assert set(lengths) == {-2, -1, 0, 1, 2}
    assert misspell(request("nod", "nod"), rng, 3).text == "nod"


def test_what_a_turn_is_about_is_never_misspelt() -> None:
    text, places, asked = write_turn(["1 walks forward 3s"], "faster please", [("walk", "Made: walks forward.")])
    turn = Example(text, (), places=places, asked=asked, labelled_words=False)
    rng = np.random.default_rng(0)
    found = {misspell(turn, rng, 3).text for _ in range(50)}
    assert len(found) > 30 and {t[:asked] for t in found} == {text[:asked]}


def test_what_was_said_before_is_forgotten_and_the_timeline_stays() -> None:
    text, places, asked = write_turn(["1 walks 3s", "2 bows 2s"], "longer", [("walk", "Made: walks.")], ["then 2"])
    made = forget(Example(text, (), places=places, asked=asked))
    assert made.text == "1 walks 3s\n2 bows 2s\nlast: none\nnow: longer" and made.text[made.asked :] == "longer"
    assert made.places == places


def test_a_turn_is_drawn_behind_a_longer_timeline() -> None:
    row = {
        "before": ["1 walks 3s", "2 bows 2s", "3 waves 2s", "4 hops 1s", "5 spins 2s"],
        "turns": [{"user": "the wave longer", "acts": [{"do": "retime", "segment": 3, "seconds": 4}], "timeline": []}],
    }
    others = ["1 sits down 4s", "2 waves with both hands 2s", "7 [end] drinks 3s"]
    (turn,) = turn_examples(row)
    rng = np.random.default_rng(0)
    found = {made.text: made for made in (lengthen(turn, others, rng) for _ in range(40))}
    # what is like a word of the turn is not added, and what stood beside its segment still does
    starts = {text.split("\nlast")[0] for text in found}
    assert starts == {
        "1 sits down 4s\n2 [end] drinks 3s\n3 walks 3s\n4 bows 2s\n5 waves 2s\n6 hops 1s\n7 spins 2s",
        "1 walks 3s\n2 sits down 4s\n3 [end] drinks 3s\n4 bows 2s\n5 waves 2s\n6 hops 1s\n7 spins 2s",
        "1 walks 3s\n2 bows 2s\n3 waves 2s\n4 hops 1s\n5 sits down 4s\n6 [end] drinks 3s\n7 spins 2s",
        "1 walks 3s\n2 bows 2s\n3 waves 2s\n4 hops 1s\n5 spins 2s\n6 sits down 4s\n7 [end] drinks 3s",
    }
    for made in found.values():
        line = made.items[0].values["segment"]
        assert made.text[made.places[line - 1][0] :].startswith(f"{line} waves 2s")
        assert made.text[made.asked :] == "the wave longer" and len(made.places) == 7
    (counted,) = turn_examples({**row, "turns": [{**row["turns"][0], "user": "number 3 longer"}]})
    assert lengthen(counted, others, rng) is counted
    assert lengthen(turn, ["1 waves 2s"], rng) is turn


PHRASINGS = [("a person strolls", "walk"), ("someone hops", "hop"), ("he jumps up", "jump")]


def draw(kind: str, count: int = 400, people: list[Example] | None = None, **about: object) -> list[Drawn]:
    maker = Draw(people or [FIRST, SECOND], PHRASINGS, {kind: 1.0}, 0.0, **about)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    return [maker.draw(rng) for _ in range(count)]


def test_kinds_are_labelled_in_what_they_say() -> None:
    people = draw("people")
    assert {d.example.text for d in people} == {FIRST.text, SECOND.text} and {d.fields for d in people} == {None}
    # a text of two items comes more often, by the root of their number
    share = np.mean([len(d.example.items) == 2 for d in people])
    assert share == pytest.approx(2**0.5 / (1 + 2**0.5), abs=0.06)
    captions = draw("captions")
    assert {d.fields for d in captions} == {CAPTION_FIELDS} and not any(d.example.labelled_words for d in captions)
    texts = {d.example.text: d.example.items for d in captions}
    assert set(texts) == {"a person Walks", "a person wave slowlys", "a person bows"}
    (walk,) = texts["a person Walks"]
    assert walk.values == {"action": "walk", "side": "left"} and len(walk.words["words"]) == 3
    phrasings = draw("phrasings")
    assert {d.fields for d in phrasings} == {PHRASING_FIELDS}
    assert {(d.example.text, d.example.items[0].values["action"]) for d in phrasings} == {*PHRASINGS}
    given = draw("templates", 5, templates=[FIRST], template_fields=frozenset(["side"]))
    assert {(d.example.text, d.fields) for d in given} == {(FIRST.text, frozenset(["side"]))}


def test_two_texts_of_one_author_are_joined() -> None:
    drawn = draw("joined")
    assert {len(d.example.items) for d in drawn} == {2, 4}  # each with itself: an author has one text here
    assert all(any(d.example.text == join(e, e, j).text for e in (FIRST, SECOND) for j in JOINTS) for d in drawn)
    long = replace(FIRST, text=FIRST.text + " on" * 60)
    assert {d.example.text for d in draw("joined", 20, [long])} == {long.text}  # too long for two


def test_phrasings_are_composed_in_order_and_beside_one_another() -> None:
    drawn = draw("composed")
    counts = Counter(len(d.example.items) for d in drawn)
    assert set(counts) == {2, 3, 4} and counts[2] > counts[3] > counts[4]
    actions = dict(PHRASINGS) | {"strolls": "walk", "hops": "hop", "jumps up": "jump"}
    beside = 0
    for example in (d.example for d in drawn):
        for number, item in enumerate(example.items):
            (first, _), (_, last) = item.words["words"][0], item.words["words"][-1]
            assert actions[example.text[first:last]] == item.values["action"]
            if number and item.values.get("together"):
                beside += 1
                assert example.text[:first].endswith(CONCURRENT)
    assert 0.1 < beside / sum(len(d.example.items) - 1 for d in drawn) < 0.2


def test_shares_are_those_of_the_kinds_and_some_are_misspelt() -> None:
    shares = {"people": 0.5, "phrasings": 0.3, "captions": 0.2, "composed": 0.0}
    maker, rng = Draw([FIRST, SECOND], PHRASINGS, shares, 0.25), np.random.default_rng(2)
    drawn = [maker.draw(rng) for _ in range(1500)]
    kinds = Counter(d.fields for d in drawn)
    for fields, share in ((None, 0.5), (PHRASING_FIELDS, 0.3), (CAPTION_FIELDS, 0.2)):
        assert kinds[fields] / len(drawn) == pytest.approx(share, abs=0.05)
    right = {FIRST.text, SECOND.text, *(i.caption for e in (FIRST, SECOND) for i in e.items), *dict(PHRASINGS)}
    # a doubled or an exchanged letter may be the same one
    assert 0.17 < np.mean([d.example.text not in right for d in drawn]) <= 0.28
    rng = np.random.default_rng(2)
    assert [maker.draw(rng) for _ in range(1500)] == drawn


def test_rare_actions_come_oftener_than_by_their_phrasings() -> None:
    phrasings = [(f"walks {n}", "walk") for n in range(81)] + [("bows", "bow")]
    maker, rng = Draw([], phrasings, {"phrasings": 1.0}, 0.0), np.random.default_rng(3)
    share = np.mean([maker.draw(rng).example.text == "bows" for _ in range(800)])
    assert share == pytest.approx(0.1, abs=0.04)  # 9 to 1, the roots of 81 and 1
