"""A request cut into what is done one after the other."""

import pytest

from avatargpt.requests.clauses import clauses


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A person walks forward. He sits down. He waves.", ["a person walks forward", "he sits down", "he waves"]),
        ("walk forward; turn left; sit", ["walk forward", "turn left", "sit"]),
        ("Walk. Then she waves! The man bows?", ["walk", "she waves", "the man bows"]),
        ("A man walks. The left arm hangs down.", ["a man walks, the left arm hangs down"]),  # says more of the first
        ("He bends at 2.5 degrees", ["he bends at 2.5 degrees"]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert clauses(text) == parts
