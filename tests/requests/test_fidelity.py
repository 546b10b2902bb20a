"""How surely a caption says what the words of a clause ask for."""

import numpy as np
import pytest

from avatargpt.requests.clause_spec import ClauseSpec, Turn
from avatargpt.requests.fidelity import HIGHEST, MIN_FIDELITY, fidelities


class Letters:
    """A sentence encoder whose vectors are shares of letters."""

    def sentence(self, texts: list[str]) -> np.ndarray:
        rows = np.array([[t.count(chr(c)) for c in range(97, 123)] for t in texts], float)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def spec(words: str, caption: str, **about: object) -> ClauseSpec:
    return ClauseSpec(caption, 1.0, words=words, **about)  # type: ignore[arg-type]


def test_the_same_words_of_a_known_action_have_the_highest() -> None:
    rows = [
        spec("waves", "a person waves"), spec("waves", "a person waves", known=0.2), spec("waves", "xyz xyz"),
        spec("turns", "a person turns", turn=Turn(90.0)), spec("nods", "a person nods", in_sequence=True),
    ]  # fmt: skip
    same, unknown, other, turn, after = fidelities(rows, Letters())  # type: ignore[arg-type]
    assert same == pytest.approx(HIGHEST) and turn == HIGHEST and after == 0.0
    assert unknown == pytest.approx(1.2) and other < MIN_FIDELITY < same
