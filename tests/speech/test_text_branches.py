"""The driver's text branches: begun anew, trained alone, told word by word."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.conditioning import Clause, Direction, Feeling
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig
from avatargpt.speech.audio import RATE
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data.expressions import ExpressionClip
from tests.speech.conftest import Words, together, voice
from tests.speech.test_training import CONFIG, clips, expression, no_pictures, train
from vqvae.errors import UserError

__all__ = ["no_pictures"]


def test_text_branches_begin_anew_and_the_rest_goes_on(tmp_path: Path) -> None:
    runtime = Runtime(0, 1, torch.device("cpu"), bf16=False)
    heard = train(CONFIG, clips(), [], tmp_path / "heard", runtime)
    before = {k: v.clone() for k, v in heard.network.state_dict().items()}
    config = {"model": {"gates": "open"}, "train": {**CONFIG["train"], "steps": 1, "lr": 0.0, "fresh": "text"}}
    after = train(config, clips(), [], tmp_path / "fresh", runtime, heard).network
    assert after.config == DriverConfig(**CONFIG["model"], gates="open")
    assert before["emotion.gate.weight"].abs().max() == 0 < after.state_dict()["emotion.gate.weight"].abs().max()
    for name, value in after.state_dict().items():
        text = name.startswith(("emotion.", "motion."))
        assert torch.equal(value, before[name]) != (text and "direct" not in name and "norm" not in name), name
    with pytest.raises(UserError, match="fresh: 'ears'; accepted: nothing, text"):
        train({"train": {"fresh": "ears"}}, clips(), [], tmp_path / "x", runtime, heard)
    with pytest.raises(UserError, match="needed"):
        train({"train": {"fresh": "text"}}, clips(), [], tmp_path / "x", runtime)


def test_feelings_word_by_word() -> None:
    clauses = [Clause("nod", 0.0, 1.0)]
    curves = np.zeros((90, 55), np.float32)
    felt = [Feeling(0, "happy", 0.7), Feeling(1, "neutral", 0.0), Feeling(2, "sad", 0.5)]
    spans = [Clause("feel happy", 0, 1, 0.7), Clause("feel sad", 2, 3, 0.5)]
    assert ExpressionClip(curves, felt, clauses).told(True) == ([], [*clauses, *spans])
    assert ExpressionClip(curves, [], clauses).told(True) == ([], clauses)
    mixed = [Feeling(0, "sad", 0.5, (("angry", 0.6),))]
    assert ExpressionClip(curves, mixed, []).told(True) == ([], [Clause("feel sad and angry", 0, 3, 0.6)])


def test_the_text_branches_are_trained_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatargpt.lm.text_encoder.SentenceGrounder", lambda **_: Words())
    runtime = Runtime(0, 1, torch.device("cpu"), bf16=False)
    heard = train(CONFIG, clips(), [], tmp_path / "heard", runtime)
    before = {k: v.clone() for k, v in heard.network.state_dict().items()}
    alone = {"only": "text", "sampling": {"directed": 1.0, "paired": 0.0}}
    config = {"train": {**CONFIG["train"], **alone, "steps": 2, "warmup": 0, "lr": 0.01}}
    after = train(config, clips(), [expression()], tmp_path / "told", runtime, heard).network
    changed = {k for k, v in after.state_dict().items() if not torch.equal(v, before[k])}
    assert "emotion.gate.weight" in changed and "motion.direct.weight" in changed
    assert all(k.startswith(("emotion.", "motion.", "motion_norm.")) for k in changed)
    felt = {"train": {**config["train"], "only": "feelings"}}
    again = train(felt, clips(), [expression()], tmp_path / "felt", runtime, Driver.load(tmp_path / "heard")).network
    changed = {k for k, v in again.state_dict().items() if not torch.equal(v, before[k])}
    assert "emotion.gate.weight" in changed and all(k.startswith("emotion.") for k in changed)
    for only, message in (("ears", "accepted: everything, text, feelings"), ("feelings", "feelings: .*directed: 1")):
        with pytest.raises(UserError, match=message):
            train({"train": {"only": only}}, clips(), [expression()], tmp_path / "x", runtime, heard)
    with pytest.raises(UserError, match="needed"):
        train({"train": alone}, clips(), [expression()], tmp_path / "x", runtime)


def test_of_many_clauses_only_what_is_seen_goes_through_the_network(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    clauses = [Clause("smile", k, k + 0.5) for k in range(3)] + [Clause("wink the left eye", 0.2, 2.0)]
    told, sound = Direction.make([], clauses, Words()), voice(3.0)
    whole = together(driver.drive(sound, RATE, told))
    monkeypatch.setattr("avatargpt.face.audio_model.stream.MAX_WORD_PIECES", 2)
    assert np.abs(together(driver.drive(sound, RATE, told)) - whole).max() < 1e-5
    often = [Clause("blink now", 2 * k, 2 * k + 0.3) for k in range(300)]
    assert len(Direction.make([], often, Words()).spans) == 300
    with pytest.raises(UserError, match="900 word pieces of facial instructions at once; accepted: up to 512"):
        Direction.make([], [Clause("blink once now", 0.1 * k, 60.0) for k in range(300)], Words())
    with pytest.raises(UserError, match="4001 facial actions; accepted: up to 4000"):
        Direction.make([], [Clause("blink", k, k + 0.3) for k in range(4001)], Words())
