"""What guesses of a word's class are worth, on words that the table of classes does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.report import figure
from avatargpt.gesture.semantics import ClassGuesser, packaged_guesser
from instruct_data.gesture.classes import WordClasses, word_classes
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

WORDS = "gesture_guesses.jsonl"


def guesses(path: Path, guess: ClassGuesser | None = None, classes: WordClasses | None = None) -> dict[str, Any]:
    """Precision over the words that are given a class, recall over those that have one, and the share of those with
    none that are given one.

    Args:
        path: rows of a ``word``, a ``text`` that has it, and its ``class``, empty = none.
        guess, classes: default: those of run time.

    Raises:
        UserError: a word that the table holds: it is not guessed.
    """
    table, guess = classes or word_classes(), guess or packaged_guesser()
    right: list[bool] = []
    found: list[bool] = []
    false: list[bool] = []
    for line, row in json_rows(path):
        word, wanted = row["word"], row["class"]
        if (word,) in table.words or (wanted and wanted not in table.classes):
            raise UserError(f"{path}: line {line}: {word}, {wanted or 'none'}; accepted: a word that the table lacks, "
                            "with a class of it or none")  # fmt: skip
        given = guess(word)
        if given:
            right.append(given == wanted)
        (found if wanted else false).append(given == wanted if wanted else bool(given))
    return {
        "guess_precision": figure(np.array(right, float)), "guess_recall": figure(np.array(found, float)),
        "guess_false": figure(np.array(false, float)),
    }  # fmt: skip
