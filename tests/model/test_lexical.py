"""Word overlap and named manners."""

import pytest

from avatargpt.lexical import Manners, WordIndex, lemmas

TEXTS = ["a person walks forward", "a person sneaks about", "someone touches the toes", "a person walks and waves"]


def test_rare_words_decide() -> None:
    index = WordIndex(TEXTS)
    assert index.scores("please sneak up on him").argmax() == 1
    assert index.scores("bend over and touch your toes").argmax() == 2
    assert index.scores("walking forward").argmax() == 0
    assert index.scores("a person walks forward")[0] == pytest.approx(1.0, abs=1e-4)
    assert index.scores("xyzzy").max() == 0


def test_unknown_words_lower_the_score() -> None:
    index = WordIndex(TEXTS)
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
