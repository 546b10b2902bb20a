"""The example action of docs/actions.md: shown as it is, and a sound one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from instruct_data.synth import actions, families, keyframed, load_family
from scripts.preview_synth import figures

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))


def test_the_page_shows_the_example_every_family_and_every_entry() -> None:
    page = (DOCS / "actions.md").read_text(encoding="utf-8")
    shown = {b.strip() for b in re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)}
    assert EXAMPLES and all(p.read_text(encoding="utf-8").strip() in shown for p in EXAMPLES)
    assert set(re.findall(r"^\| \w+ \| `(\w+)` \|", page, re.M)) == set(actions())
    told = page.split("## All entries of the lexicon")[1]
    assert set(re.findall(r"`(\w+)`", told)) == set(families()) - set(actions())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_are_sound_and_new(path: Path) -> None:
    family = load_family(path)
    assert family.name == path.stem and family.name not in families()
    clips = keyframed(family, range(12))
    got = figures(clips)
    assert got["skate"] < 1 and got["below"] < 0.1 and got["bent"] == 0 and got["jump"] < 60
    assert {c.extra["side"] for c in clips} == {"left", "right"}
    by_hand = {c.extra["params"]["hands"]: c.load().joints[:, 20:22, 1].max(0) for c in clips}
    assert (by_hand["both"] > 1.6).all() and by_hand["one"].max() > 1.8 > 1.5 > by_hand["one"].min()
