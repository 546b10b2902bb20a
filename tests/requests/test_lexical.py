"""Word overlap and named manners."""

import pytest

from avatargpt.requests.english import SEVERAL, Manners, WordIndex, lemmas, times

TEXTS = ["a person walks forward", "a person sneaks about", "someone touches the toes", "a person walks and waves"]


def test_rare_words_decide() -> None:
    index = WordIndex.of(TEXTS)
    assert index.scores("please sneak up on him").argmax() == 1
    assert index.scores("bend over and touch your toes").argmax() == 2
    assert index.scores("walking forward").argmax() == 0
    assert index.scores("a person walks forward")[0] == pytest.approx(1.0, abs=1e-4)
    assert index.scores("xyzzy").max() == 0


def test_unknown_words_lower_the_score() -> None:
    index = WordIndex.of(TEXTS)
    assert index.scores("walks forward into the xyzzy")[0] < index.scores("walks forward")[0]


@pytest.mark.parametrize(
    ("text", "style", "rest"),
    [
        ("an old person runs", "elderly", "an person runs"),
        ("she walks, full of energy", "active", "she walks, of"),
        ("someone without confidence bows", "shy", "someone bows"),
        ("a man waves", "", "a man waves"),
        ("old", "elderly", "old"),  # nothing would be left to look up
        ("climb the playground frame", "", "climb the playground frame"),  # one word of a longer phrase
        ("he walks slowly", "", "he walks slowly"),  # two styles claim the word
    ],
)
def test_manners(text: str, style: str, rest: str) -> None:
    manners = Manners({
        "an old man": "elderly", "like an old person": "elderly", "full of energy": "active", "slowly": "elderly",
        "without confidence": "shy", "like a man": "masculine", "a slowly": "tired",
        "in the playground": "childlike",
    })  # fmt: skip
    assert manners.find(text) == (style, rest)


def test_lemmas_drop_what_says_nothing() -> None:
    assert lemmas("A person is waving with both of her arms") == ["wave", "both", "arm"]


@pytest.mark.parametrize(("text", "count", "more"), [
    ("she claps twice", 2, False), ("jump 5 times", 5, False), ("three jumps or more", 3, True),
    ("throw punches, at least three of them", 3, True), ("kick the air several times", SEVERAL, True),
    ("he keeps jumping", SEVERAL, True), ("turns around once", 1, False), ("do just one spin", 1, False),
    ("wave with both hands", 0, False), ("wave two hands", 0, False), ("stand on one leg", 0, False),
    ("a one-two of the fists", 0, False), ("lift the knees one after the other", 0, False), ("walk on", 0, False),
])  # fmt: skip
def test_how_often_a_text_says(text: str, count: int, more: bool) -> None:
    assert times(text) == (count, more)
