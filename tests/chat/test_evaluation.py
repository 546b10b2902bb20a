"""How understanding is scored."""

import json

import pytest

from avatargpt.evaluation import turns
from avatargpt.evaluation.suites import Run, Suite
from instruct_data.dialogue.acts import read
from vqvae.errors import UserError

TURNS = [
    ("a person walks", [{"do": "make", "text": "a person walks forward"}]),
    ("undo that, load Walk.bvh", [{"do": "undo"}, {"do": "load", "file": "Walk.bvh"}]),
    ("make it 5 s", [{"do": "retime", "segment": 1, "seconds": 5}]),
    ("mirror it", [{"do": "mirror"}]),
]


@pytest.fixture
def folder(tmp_path):
    rows = [{"turns": [{"user": u, "acts": a, "reply": ""} for u, a in TURNS]}]
    for name in ("train", "val"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return tmp_path


@pytest.mark.parametrize(("given", "wanted", "same"), [
    ("make: a person walks forward", "make: someone is walking forward", True),
    ("make: a person walks", "make: a person falls", False), ("edit: slower", "edit 2: slower", True),
    ("mirror", "mirror 2", False), ("retime 1 5s", "retime 1 6s", False), ("export glb", "export bvh", False),
])  # fmt: skip
def test_acts_that_do_the_same(given, wanted, same):
    assert turns.same_act(read(given)[0], read(wanted)[0], 2) == same


def test_scores_of_known_answers(folder, monkeypatch):
    answers = {
        "a person walks": "make: a person walks forward",
        "undo that, load walk.bvh": "undo | load: walk.bvh",
        "make it 5 s": "total 5s",  # of the only segment
    }

    class Known:
        name = "known"

        def understand(self, said):
            return read(answers[said.request.lower()]) if said.request.lower() in answers else None

    monkeypatch.setattr(turns, "open_intent", lambda model: Known())
    suite = Suite("chat", 1, "turns", "", {})
    result = turns.evaluate(Run(suite, None, folder))
    figures = {k: v["mean"] for k, v in result["results"].items()}
    assert figures["kinds/turns"] == figures["acts/turns"] == 0.75 and figures["clarified/turns"] == 0.25
    assert figures["acts/turns/undo"] == 1.0 and figures["kinds/turns/mirror"] == 0.0
    assert [r["turns"] for r in result["turns"]] == [*answers.values(), "-"]
    with pytest.raises(UserError, match="--data"):
        turns.evaluate(Run(suite, None, folder / "none"))
