"""Predicates agree with the labels of `predicate_labels.yaml`: right clips, and wrong ones that look much alike."""

from pathlib import Path

import pytest

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry.predicates import judge
from tests.metrics.labelled_clips import is_recording, labels, motion_of

LABELS = labels()
AGREEMENT = 0.95


def disagreements(rows: list[tuple[object, str, bool]], recordings: Path) -> list[str]:
    signals = {recipe: Signals(motion_of(recipe, recordings)) for recipe in {recipe for _, recipe, _ in rows}}
    return [f"{recipe}: {check} must be {label}" for check, recipe, label in rows
            if judge(check, signals[recipe]).passed != label]  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_keyframed_clips(name: str) -> None:
    rows = [row for row in LABELS[name] if not is_recording(row[1])]
    wrong = disagreements(rows, Path())
    assert len(rows) >= 20
    assert len(wrong) <= (1 - AGREEMENT) * len(rows), "\n".join(wrong)


def test_recordings(shared: Path) -> None:
    rows = [row for of_predicate in LABELS.values() for row in of_predicate if is_recording(row[1])]
    wrong = disagreements(rows, shared / "data" / "body")
    assert len(rows) >= 30
    assert len(wrong) <= (1 - AGREEMENT) * len(rows), "\n".join(wrong)
