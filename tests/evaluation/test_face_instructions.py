"""The suite of facial instructions, with the score renderer in place of the networks: everything has to be found."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt import evaluation
from avatargpt.evaluation import face_instructions
from instruct_data.face.render import render
from instruct_data.face.score import Event, Score
from vqvae.face import FaceMotion

ROWS = [
    Score(4.0, (Event("wink_left", 0.4, 0.5), Event("nod", 1.4, 1.8, 0.7, 2)), (), "Wink left, then nod twice."),
    Score(3.0, (Event("raise_brows", 0.3, 1.5, 0.9),), (), "Raise your brows strongly."),
]


class Rendered:
    """Reads its own texts perfectly (others as a smile) and renders them."""

    def __init__(self, wrong: bool = False) -> None:
        self.wrong = wrong

    def read(self, texts: list[str], seconds: list[float] | None = None) -> list[Score]:
        known = {s.text: s for s in ROWS}
        smile = Score(3.0, (Event("smile", 0.4, 1.6),))
        return [smile if self.wrong else known.get(t, smile) for t in texts]

    def perform(self, text: str, score: Score, seconds: float, **_: Any) -> FaceMotion:
        return render(score, 3).slice(0, round(seconds * 30))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (face_instructions.OWN, face_instructions.EVERYDAY):
        (tmp_path / name).write_text("".join(json.dumps(s.to_json()) + "\n" for s in ROWS))
    (tmp_path / face_instructions.LEARNT).write_text("wink\n")
    monkeypatch.setattr(face_instructions, "folder", lambda: tmp_path)
    monkeypatch.setattr("instruct_data.face.actions.action_names", lambda: ["smile", "nod", "wink_left", "raise_brows"])
    monkeypatch.setattr("instruct_data.face.emotions.emotion_names", lambda: ["happy"])


def test_the_renderer_does_what_is_asked(small: None) -> None:
    suite = evaluation.load("face_instructions")
    result = face_instructions.score(suite, Rendered(), None, None)  # type: ignore[arg-type]
    figures = {k: v["mean"] for k, v in result["results"].items()}
    assert figures["events/own"] == figures["clips/own"] == figures["events_told/own"] == 1.0
    assert figures["events/everyday"] == 1.0
    assert figures["reading_actions/own"] == figures["reading_sequences/own"] == 1.0
    assert figures["rising/told"] == 1.0 and figures["rising/worded"] == 0.0
    assert figures["auf1/own"] > 0.8
    assert {k.split("/")[0] for k in figures} <= set(suite.metrics)
    assert result["baselines"] == ["rendered score", "shuffled score", "neutral face"]
    assert figures["events/own/rendered score"] == 1.0 > figures["events/own/shuffled score"]
    assert figures["events/own/neutral face"] == 0.0
    assert abs(figures["fdd/own"]) < figures["fdd/own/neutral face"] and "lve/own" in figures
    assert [row["faults"] for row in result["samples"]] == [{}, {}] * 2


def test_a_wrong_reading_is_seen(small: None) -> None:
    suite = evaluation.load("face_instructions")
    result = face_instructions.score(suite, Rendered(wrong=True), None, None)  # type: ignore[arg-type]
    assert result["results"]["events/own"]["mean"] == 0.0
    assert result["results"]["events_told/own"]["mean"] == 1.0
    assert result["results"]["reading_actions/own"]["mean"] == 0.0
    assert np.all([row["faults"] for row in result["samples"]])


def test_learnt_texts_are_left_out_of_a_share() -> None:
    done = [("smile", [1.0]), ("wink", [1.0, 1.0]), ("nod", [0.0])]
    figures = face_instructions.all_events(done, ["wink"])
    assert [figures[f"events/{k}"]["n"] for k in ("together", "unlearnt")] == [4, 2]
    assert [figures[f"events/{k}"]["mean"] for k in ("together", "unlearnt")] == [0.75, 0.5]


def test_a_corpus_is_measured_together_with_our_own(small: None, tmp_path: Path) -> None:
    (tmp_path / "val.jsonl").write_text("".join(json.dumps(s.to_json()) + "\n" for s in ROWS))
    suite = evaluation.load("face_instructions")
    results = face_instructions.score(suite, Rendered(), tmp_path, None)["results"]  # type: ignore[arg-type]
    assert results["events/together"]["n"] == 2 * results["events/own"]["n"]
    assert results["events/together"]["mean"] == results["events/unlearnt"]["mean"] == 1.0


def test_shipped_instructions_are_held_out() -> None:
    from instruct_data.face.score import EVERYDAY, FURTHER, OWN, SEQUENCES, SIBLINGS, read_instructions

    def texts(path: Path) -> set[str]:
        return {one.score.text.lower().strip(" .!*") for one in read_instructions(path)}

    taught = set().union(*(texts(path) for path in (OWN, SEQUENCES, FURTHER, SIBLINGS, EVERYDAY)))
    own, everyday = (texts(evaluation.folder() / n) for n in (face_instructions.OWN, face_instructions.EVERYDAY))
    assert len(own) == 100 and len(everyday) > 120 and len(taught) > 50_000 and not (own | everyday) & taught
