"""What mutants of the trainings have outlived."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from avatargpt.train.data.corpus import Folders, text_corpus
from avatargpt.train.stage import StepContext
from avatargpt.train.tokenizer import FaceObjective
from tests.train.conftest import Mini


def test_every_part_of_a_step_has_a_seed_of_its_own() -> None:
    places = list(product(range(3), range(2), range(4)))  # step, rank, part
    seeds = {StepContext(s, rank, 2, 5, part, 4).torch_seed for s, rank, part in places}
    assert seeds == set(range(5 << 32, (5 << 32) + len(places)))


def test_pairs_of_a_user_come_beside_our_own(mini: Mini, tmp_path: Path) -> None:
    own = text_corpus(Folders(mini.texts), [])[1]["rewrite"]
    row = {"slots": {"request": "do the floss"}, "answer": "a person dances"}
    (tmp_path / "rewrite.jsonl").write_text(json.dumps(row) + "\n")
    both = text_corpus(Folders(mini.texts, pairs=tmp_path), [])[1]["rewrite"]
    assert own and both == [*own, (row["slots"], row["answer"])]


def test_errors_of_a_face_are_weights_and_degrees() -> None:
    clip = np.zeros((30, 55), np.float32)
    decoded = clip.copy()
    decoded[:, :52], decoded[:, 52:] = 0.2, 0.1
    errors, figures = FaceObjective({}, "train", 4).measure([decoded], [clip])
    assert errors.tolist() == pytest.approx([0.2])
    assert figures["val_head_degrees"] == pytest.approx(np.degrees(0.1))
