"""Outputs of the product are those stored: a sample of every kind; `scripts/goldens.py check --all` for all rows."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from golden_kinds import KINDS
from golden_store import SHOWN, check

SAMPLED = [kind for kind in KINDS.values() if kind.every]


@pytest.mark.parametrize("kind", SAMPLED, ids=lambda kind: kind.name)
def test_outputs_are_those_stored(kind) -> None:  # type: ignore[no-untyped-def]
    found = check(kind)
    for line in found.skipped:
        print(line)
    assert not found.differences, "\n".join(found.differences[:SHOWN])
    if found.skipped and not found.compared:
        pytest.skip(found.skipped[0])
    assert found.compared
