"""Ablations of the driver: every configuration is in the queue and is accepted, figures and comparisons are right."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from avatargpt.config import resolve
from avatargpt.evaluation.ablations import compared
from avatargpt.evaluation.face import driver_ablations
from avatargpt.evaluation.face.driver_ablations import Material, directed
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.train.audio_model import DriverRecipe
from avatargpt.train.speech_data.batches import Sampling
from instruct_data.face.score import Emotion, Event, Score
from tests.speech.conftest import Words, clip
from vqvae.io.data_files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SCORES = [
    Score(3.0, (Event("raise_brows", 0.5, 1.5),), (), "Raise your brows."),
    Score(2.0, (), (Emotion("happy", 0.8, 0.0, 2.0),), "Look happy."),
]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "eval")
    return importlib.import_module("driver_study")


@pytest.fixture
def ablations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "eval")
    return importlib.import_module("ablations")


def test_every_configuration_is_trained_on_equal_terms(study: ModuleType) -> None:
    names = {study.TRUNK, *read_yaml(study.CONFIGS)["variants"]}
    order = list(study.queue(2))
    assert {n for n, _ in order} == names and len(order) == len(set(order)) == 2 * len(names)
    for i, run in enumerate(order):
        first = study.begins(*run)
        assert first is None or first in [f"{name}.{seed}" for name, seed in order[:i]]
    for group in study.GROUPS.values():
        rows = []
        for name in group:
            t = DriverRecipe.read(resolve(study.address_of(name)), name).train
            assert (t.fresh == "text") == (name in study.GROUPS["text"])
            rows.append((t.steps, t.batch, t.window, t.lr, t.warmup, t.sampling.directed))
        assert len(set(rows)) == 1


def test_chance_is_what_equal_trainings_differ_by() -> None:
    runs = {
        "base": [{"a": 0.50, "b": 1.0}, {"a": 0.52, "b": 1.0}],
        "near": [{"a": 0.51, "b": 1.0}, {"a": 0.53, "b": 1.0}],
        "far": [{"a": 0.80, "b": 1.0}, {"a": 0.82}],
    }
    row = compared(runs, "base")["a"]
    assert row["df"] == 3 and row["sd"] == pytest.approx(0.02 / np.sqrt(2))
    near, far = row["others"]["near"], row["others"]["far"]
    assert near["difference"] == pytest.approx(0.01) and not near["outside"]
    assert far["difference"] == pytest.approx(0.30) and far["outside"]
    assert near["within"] == pytest.approx(3.18245 * row["sd"], rel=1e-4)
    alone = compared({k: v[:1] for k, v in runs.items()}, "base")["a"]
    assert alone["sd"] is None and alone["others"]["far"]["within"] is None and "outside" not in alone["others"]["far"]


def test_the_table_marks_what_chance_does_not_do(ablations: ModuleType) -> None:
    runs = {"base": [{"a": 0.5}, {"a": 0.52}], "near": [{"a": 0.51}, {"a": 0.53}], "far": [{"a": 0.8}, {"a": 0.82}]}
    lines = ablations.table(compared(runs, "base"), ("a", "missing")).splitlines()
    assert lines == ["| figure | base | sd | near | far |", "| --- | --- | --- | --- | --- |",
                     "| `a` | 0.510 | 0.0141 | 0.520 | **0.810** |"]  # fmt: skip
    assert ablations.table(compared({"base": [{"a": 12.34}]}, "base"), ("a",)).splitlines()[2] == "| `a` | 12.3 | - |"


def test_who_is_told_nothing_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1, 2], text_width=8, inject=1))
    torch.nn.init.zeros_(network.curves.weight)
    material = Material(SCORES, [clip("val")], Words())
    found = {k: v["mean"] for k, v in directed(Driver(network), material, Sampling(silent="token")).items()}
    assert found["events/own"] == found["events/silence"] == found["emotions/own"] == found["speech_events"] == 0.0
    assert found["rest/own"] == 0.0 and found["speech_closure/directed"] == 0.0
    assert min(found["error_events/own"], found["error_feelings/own"]) > 0.02

    def right(network: object, features: np.ndarray, *_: object, direction: object = None, **__: object) -> np.ndarray:
        known = {id(material.direction(s, True)): c for s, c in zip(SCORES, material.curves, strict=True)}
        known |= {id(material.direction(s, True)): right for _, s, right in material.spoken}
        curves = known.get(id(direction), np.zeros((len(features), 55), np.float32))
        return np.concatenate([curves, np.zeros((max(0, len(features) - len(curves)), 55), np.float32)])

    monkeypatch.setattr(driver_ablations, "predict", right)
    found = {k: v["mean"] for k, v in directed(Driver(network), material, Sampling(emotion="tokens")).items()}
    assert found["events/own"] == found["emotions/own"] == found["speech_closure/directed"] == 1.0
    assert found["error_events/own"] == found["error_feelings/own"] == found["speech_error"] == 0.0


def test_feelings_are_told_as_in_training() -> None:
    material = Material(SCORES, [], Words())
    pooled, words = (material.direction(SCORES[1], tokens) for tokens in (False, True))
    assert len(pooled.spans) == 0 and len(pooled.seconds) > 0
    assert len(words.spans) > 0 and len(words.seconds) == 0
