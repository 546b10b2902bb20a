"""The caption bank, composition, everyday wording and rewrites."""

from __future__ import annotations

import json

import numpy as np
import pytest

from instruct_data.text.captions import CaptionBank, bank_style, compose, infer_action
from instruct_data.text.english import side_of, split
from instruct_data.text.everyday import everyday, lexicon, predicates
from instruct_data.text.rewrites import Rewrites
from vqvae.errors import UserError

BANK = {
    "actions": {
        "walk": [
            "{person} walks forward {manner}",
            "{person} makes about three steps",
            "with bent arms, {person} walks",
        ],
        "wave_left_hand": ["{person} waves the left hand {manner}", "{person} waves above the head with the left arm"],
        "wave_right_hand": ["{person} waves the right hand {manner}"],
        "guide": ["{person} shows the way with the right hand", "{person} shows the way {manner}"],
    },
    "styles": {
        "normal": {"adverbs": ["calmly"], "phrases": ["as usual"], "person": ["a person", "someone", "the figure"]},
        "elderly": {"adverbs": ["slowly"], "phrases": ["with a stoop"], "person": ["an old man"]},
        "sad": {"adverbs": ["sadly"], "phrases": ["in a sad mood"], "person": ["a person", "someone", "the figure"]},
    },
    "compose": ["{a}, then {b}", "first {a}; after that {b}", "{a}, then {b}, then {c}"],
}
LINES = [
    {"prompt": "off you go", "plain": ["a person walks forward"], "actions": ["walk"], "styles": [None], "side": None},
    {"prompt": "funeral pace", "plain": ["a person walks sadly"], "actions": ["walk"], "styles": ["sad"], "side": None},
    {"prompt": "hail the bus", "plain": ["a person waves the left hand"], "actions": ["wave_left_hand"],
     "styles": [None], "side": "left"},
    {"prompt": "tightrope", "plain": ["a person walks with outstretched wings"], "actions": ["walk"], "styles": [None],
     "side": None},
    {"prompt": "hi and bye", "plain": ["a person waves the left hand", "a person walks"],
     "actions": ["wave_left_hand", "walk"], "styles": [None, None], "side": "left"},
]  # fmt: skip


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "bank.json"
    path.write_text(json.dumps(BANK))
    return CaptionBank(path)


@pytest.fixture
def rewrites(tmp_path, bank):
    path = tmp_path / "rewrites.jsonl"
    path.write_text("\n".join(json.dumps(x) for x in LINES))
    return Rewrites(path, bank)


def test_templates_that_claim_too_much_are_left_out(bank):
    assert all("three" not in t for t in bank.templates("walk"))
    assert bank.templates("guide") == ["{person} shows the way {manner}"]
    assert len(bank.templates("guide", side="right")) == 2
    assert len(bank.templates("guide", side="left")) == 1
    assert len(bank.templates("wave_left_hand")) == 1
    assert len(bank.templates("wave_left_hand", high=True)) == 2


def test_paraphrases_say_the_style_and_the_side(bank):
    for s in range(100):
        text = bank.paraphrase("wave-left-hand", "old", np.random.default_rng(s))
        assert side_of(text) == "left"
        assert any(w in text for w in ("slowly", "stoop", "old man"))
        assert "{" not in text and "  " not in text
    assert bank.paraphrase("fly", "normal", np.random.default_rng(0)) is None
    assert bank_style("masculinity") == "masculinity-exaggerated" and bank_style("") == "normal"


def test_infer_action():
    assert infer_action(["a person dances salsa.", "someone performs salsa steps."]) == "salsa_dance"
    assert infer_action(["a person walks.", "someone is walking forward."]) == "walk"
    assert infer_action(["a person walks and turns left."]) == "walk_turn_left"
    assert infer_action(["a person walks and climbs up a frame."]) == ""
    assert infer_action(["a person does jumping jacks."]) == ""
    assert infer_action(["a person walks.", "a person dances salsa."]) == ""
    assert infer_action([]) == ""


def test_compose_keeps_order_and_everything(bank):
    for s in range(300):
        text = bank.compose(
            ["A person walks forward.", "someone waves the left hand."], np.random.default_rng(s)
        ).lower()
        walk, wave = text.find("walk"), text.find("wav")
        assert 0 <= walk < wave, text
        assert "left hand" in text and ".," not in text and "{" not in text and not text.endswith(".")


def test_compose_makes_what_people_type(bank):
    texts = {
        compose(["a person walks forward", "a person waves with the left hand"], np.random.default_rng(s))
        for s in range(400)
    }
    assert "a person walks forward and waves with the left hand" in texts
    assert "walk forward, then wave with the left hand" in texts
    assert any("before waving" in t for t in texts)
    assert any(t.startswith("after walking forward, wave") for t in texts)
    assert not any("like a person" in t for t in texts)


def test_compose_three_and_unsplittable(bank):
    for s in range(100):
        text = bank.compose(
            ["a person walks", "the left arm rises as a person stands", "someone bows"], np.random.default_rng(s)
        )
        assert text.find("walk") < text.find("left arm rises") < text.find("bow")
    assert compose(["a slow walk.", "jump"], np.random.default_rng(0)) == "a slow walk, then jump"


def test_later_styles_survive(bank):
    for s in range(200):
        text = bank.compose(["a person walks", "an old man bows"], np.random.default_rng(s))
        assert "old man" in text


def test_lexicon_is_sound():
    data = lexicon()
    for action in data["actions"]:
        own = side_of(action.replace("_", " "))
        for side in ("left", "right"):
            for p in predicates(action, side):
                assert split(f"a person {p}") is not None, p
                assert "SIDE" not in p
                if own in ("left", "right"):
                    assert side_of(p) == own, p
        assert predicates(action)
    assert set(predicates("walk-turn-left")).isdisjoint(predicates("walk-turn-right"))
    rng = np.random.default_rng(0)
    assert everyday("juggle", "normal", rng) is None
    assert {everyday("bow", "sad", rng).split()[-1] for _ in range(50)} - {
        w.split()[-1] for w in data["styles"]["sad"]
    } == set()
    with pytest.raises(UserError, match="no style 'purple'"):
        everyday("walk", "purple", rng)


def test_rewrites_fit_action_style_and_side(rewrites):
    assert rewrites.for_action("walk", "normal") == ["off you go"]
    assert rewrites.for_action("walk", "sad") == ["funeral pace"]
    assert rewrites.for_action("wave-left-hand", "normal") == ["hail the bus"]
    assert rewrites.for_action("wave-left-hand", "normal", "right") == []
    # the request of the other side serves it mirrored; without a side in its words it is the same
    assert rewrites.for_action("wave-right-hand", "normal") == ["hail the bus"]
    assert rewrites.pairs()[-1] == ("hi and bye", "a person waves the left hand; a person walks")


def test_bad_files(tmp_path, bank):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "x"}\n')
    with pytest.raises(UserError, match="bad.jsonl: line 1"):
        Rewrites(bad, bank)
    (tmp_path / "bank2.json").write_text('{"actions": {}}')
    with pytest.raises(UserError, match="not a caption bank"):
        CaptionBank(tmp_path / "bank2.json")
    with pytest.raises(UserError, match="no such file"):
        CaptionBank(tmp_path / "none.json")


def test_real_bank_covers_the_corpus(shared):
    bank = CaptionBank(shared / "data/text/body_captions.json")
    rows = [json.loads(line) for line in (shared / "data/body/captions.jsonl").open(encoding="utf-8")]
    rng = np.random.default_rng(0)
    for action, style in sorted({(r["action"], r["style"]) for r in rows if r.get("action")}):
        assert bank_style(style) in bank.styles
        text = bank.paraphrase(action, style, rng)
        own = side_of(action.replace("-", " "))
        assert text and "{" not in text
        if own in ("left", "right"):
            assert side_of(text) in (own, "both") or "clockwise" in text, text
        else:
            assert side_of(text) in (None, "both"), text
        assert everyday(action, style, rng, "left")
    rewrites = Rewrites(shared / "data/text/rewrites_train.jsonl", bank)
    fits = [bool(rewrites.for_action(r["action"], r["style"])) for r in rows if r.get("action")]
    assert np.mean(fits) > 0.5
