"""docs/actions.md: its example is a sound action, and it lists the families that the weights have learnt."""

import re
from pathlib import Path

import pytest

from avatargpt import resources
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.factory.synth.families import actions, families, keyframed
from instruct_data.factory.synth.loading import load_family
from scripts.preview_synth import figures

DOCS = Path(__file__).resolve().parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.yaml"))


def test_the_page_shows_the_example_and_every_family_that_the_weights_have_learnt() -> None:
    page = (DOCS / "actions.md").read_text(encoding="utf-8")
    blocks = {b.strip() for b in re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)}
    assert EXAMPLES and all(p.read_text(encoding="utf-8").strip() in blocks for p in EXAMPLES)
    lexicon = {n for n, f in families().items() if f.schema}
    rows = re.findall(r"^\| \w+ \| (`.*) \|$", page.split("## All families")[1], re.M)
    listed = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert listed == set(actions()) | lexicon
    learnt = set(PhraseIndex.load(resources.weights()).classes)
    assert len(listed - learnt) <= 5  # of these the captions stand for another class as well


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
