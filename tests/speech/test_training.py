import dataclasses
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.conditioning import Clause, Feeling
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork, DriverOutput
from avatargpt.face.audio_model.stream import PAIRED_CHANNELS
from avatargpt.speech.phones import INDEX as INDEX_OF
from avatargpt.train import audio_model
from avatargpt.train.pack import mean_of
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data import corpus, expressions
from avatargpt.train.speech_data.batches import Batches, Sampling, Silent, stand_in
from avatargpt.train.speech_data.expressions import ExpressionClip, compose
from avatargpt.train.speech_data.losses import ACTION_UNITS, DriverLosses, channel_scale, driver_losses
from tests.speech.conftest import Words, clip
from vqvae.arkit import INDEX, expand
from vqvae.errors import UserError

CONFIG = {
    "model": {"width": 16, "hidden": 16, "dilations": [1, 2], "text_width": 8, "inject": 1},
    "train": {"steps": 6, "batch": 4, "window": 40, "warmup": 2, "log_every": 2, "save_every": 3, "val_every": 6},
}


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing the losses takes longer than the training here, and is tested with the tokenizer."""
    monkeypatch.setattr("avatargpt.train.loop.plot_log", lambda out: None)


def train(config: dict[str, Any], *given: Any, **options: Any) -> Driver:
    """A driver trained by a configuration as a file holds it."""
    return audio_model.train(audio_model.DriverRecipe.read(config, "configuration"), *given, **options)


def clips() -> list[corpus.SpeechClip]:
    return [clip(seed=1), clip(seed=2), clip(kind="paired", seed=3), clip("val", seed=4), clip("val", "paired", seed=5)]


def expression() -> ExpressionClip:
    curves = np.zeros((90, 55), np.float32)
    curves[30:60, INDEX["mouthSmileLeft"]] = 0.8
    curves[30:60, INDEX["jawOpen"]] = 0.6
    return ExpressionClip(curves, [Feeling(0, "happy", 0.7)], [Clause("smile widely", 1.0, 2.0)], name="made/0")


def test_training_resumes_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    runtime = Runtime(0, 1, torch.device("cpu"), bf16=True)
    whole = train(CONFIG, clips(), [], tmp_path / "whole", runtime)
    train(CONFIG, clips(), [], tmp_path / "parts", runtime, until=3)
    parts = train(CONFIG, clips(), [], tmp_path / "parts", runtime)
    assert whole.fingerprint == parts.fingerprint
    log = (tmp_path / "parts" / "log.jsonl").read_text()
    assert '"made_hit"' in log and '"pairs_jaw"' in log
    assert (tmp_path / "parts" / "driver.safetensors").is_file()


def test_training_brings_the_loss_down(tmp_path: Path) -> None:
    import json

    config = {"model": CONFIG["model"], "train": {**CONFIG["train"], "steps": 60, "log_every": 10, "lr": 5e-3}}
    train(config, clips(), [], tmp_path, Runtime(0, 1, torch.device("cpu"), bf16=False))
    rows = [json.loads(r) for r in (tmp_path / "log.jsonl").read_text().splitlines()]
    curve = [r["curves"] for r in rows if "curves" in r]
    assert curve[-1] < 0.7 * curve[0]


def test_mistakes_in_the_configuration(tmp_path: Path) -> None:
    runtime = Runtime(0, 1, torch.device("cpu"))
    for section, bad in (("train", {"stepz": 3}), ("model", {"widht": 3}), ("train", {"sampling": {"silent": "loud"}})):
        with pytest.raises(UserError):
            train({**CONFIG, section: bad}, clips(), [], tmp_path, runtime)
    with pytest.raises(UserError, match="no training clips"):
        train(CONFIG, [clip("val")], [], tmp_path, runtime)


def test_batches_are_repeatable_and_in_step() -> None:
    batches = Batches(clips()[:3], sampling=Sampling(level=0.0, masks=0.0))
    a, b = batches.draw(6, 50, 2, [0, 1, 0]), batches.draw(6, 50, 2, [0, 1, 0])
    assert torch.equal(a.features, b.features) and torch.equal(a.curves, b.curves)
    assert not torch.equal(a.features, batches.draw(6, 50, 2, [0, 2, 0]).features)
    assert a.paired.tolist() == [True] + [False] * 5
    assert (a.phones[0] == -1).all() and (a.phones[1:] >= 0).all()


def test_targets_belong_to_the_features_two_hidden_states_earlier() -> None:
    source = clip(seed=1)
    batch = Batches([source], sampling=Sampling(level=0.0, masks=0.0)).draw(1, 40, 2, [5])
    features = source.features.astype(np.float16).astype(np.float32)
    start = next(s for s in range(len(source)) if np.array_equal(features[s], batch.features[0, 0].numpy()))
    expected = source.curves[start : start + 30].astype(np.float16).astype(np.float32)
    assert np.array_equal(batch.curves[0, 2:32].numpy(), expected)
    assert expected.max() > 0.1


@pytest.mark.parametrize("silent", ["silence", "zero", "noise", "token"])
@pytest.mark.parametrize("emotion", ["pooled", "tokens"])
def test_directed_rows(silent: str, emotion: str) -> None:
    sampling = Sampling(directed=0.75, silent=silent, emotion=emotion)
    batch = Batches(clips()[:3], [expression()], Words(), sampling).draw(8, 60, 2, [0])
    assert batch.text is not None
    speaks = batch.text.timing[..., 4].flatten(1).any(1) | (batch.text.strength.flatten(1).amax(1) > 0)
    assert 5 <= int(speaks.sum()) <= 6
    assert not speaks[batch.paired].any()
    assert bool(batch.features.isnan().any()) == (silent == "token")


def test_composition_keeps_closed_lips_closed() -> None:
    from avatargpt.face.audio_model.visemes import viseme_curves
    from avatargpt.metrics.lip_sync import closed
    from tests.speech.conftest import PHONES

    speech = viseme_curves(PHONES, 90).curves
    made = compose(speech, expression().curves)
    assert (closed(made) >= closed(speech)).all()
    assert made[45, INDEX["mouthSmileLeft"]] >= 0.8
    silent = compose(np.zeros_like(speech), expression().curves)
    assert np.allclose(silent, expression().curves)


def test_losses_are_zero_for_the_truth_and_see_each_fault() -> None:
    taught = torch.from_numpy(clip().curves)[None]
    frames = taught.shape[1]
    phones = torch.from_numpy(clip().phones.astype(np.int64))[None]
    logits = torch.nn.functional.one_hot(phones, 40).float() * 50
    ones, none = torch.ones(1, frames), torch.zeros(1, dtype=torch.bool)
    scale = channel_scale(taught[0].std(0))

    def run(curves: torch.Tensor) -> dict[str, float]:
        said = DriverOutput(curves, curves, logits)
        terms = driver_losses(said, taught, phones, ones, none, scale, scale, DriverLosses())
        return {k: float(v) for k, v in terms.items()}

    right = run(taught)
    assert max(right[k] for k in ("curves", "velocity", "lips", "still", "phones")) < 1e-3
    opened = taught.clone()
    opened[..., INDEX["jawOpen"]] += 0.2
    worse = run(opened)
    assert worse["curves"] > 0.05 and worse["lips"] > 0.5 and worse["still"] > 0.02
    assert worse["action_units"] > right["action_units"]


def test_a_missed_closure_counts_more_than_a_false_one() -> None:
    target = torch.zeros(1, 8, 55)
    seal = [INDEX[n] for n in expand("mouthPress")]
    target[:, :, INDEX["jawOpen"]] = 0.2
    target[:, 2:4, seal] = 0.4
    target[:, 2:4, INDEX["jawOpen"]] = 0.0
    phones, ones = torch.zeros(1, 8, 2, dtype=torch.long), torch.ones(1, 8)
    logits, none, scale = torch.zeros(1, 8, 2, 40), torch.zeros(1, dtype=torch.bool), torch.ones(55)

    def cost(frame: int, press: float, shut: float) -> float:
        said = target.clone()
        said[:, frame, seal] = press
        heard = DriverOutput(said, said, logits)
        terms = driver_losses(heard, target, phones, ones, none, scale, scale, DriverLosses(shut=shut))
        return float(terms["curves"])

    missed, false = cost(2, 0.0, 1.0), cost(6, 0.4, 1.0)
    assert missed == pytest.approx(false)
    assert cost(2, 0.0, 5.0) == pytest.approx(5 * missed) and cost(6, 0.4, 5.0) == pytest.approx(false)


def test_pairs_teach_only_what_they_show() -> None:
    scale = channel_scale(torch.ones(55), PAIRED_CHANNELS)
    assert scale[INDEX["jawOpen"]] > 0 and scale[INDEX["eyeBlinkLeft"]] == 0 and scale[52:].sum() == 0
    assert all(expand(name) for name in ACTION_UNITS.values())


def test_concordance_sees_course_and_size() -> None:
    from avatargpt.train.speech_data.losses import concordance

    torch.manual_seed(0)
    x = torch.randn(500, 1) * 0.2 + 0.3
    y = torch.randn(500, 1) * 0.2 + 0.3
    assert float(concordance(x, x)) == pytest.approx(1, abs=1e-3)
    half = float(concordance(0.5 * (x - x.mean()) + x.mean(), x))
    assert half == pytest.approx(2 * 0.5 / (0.25 + 1), abs=0.01)  # rightly timed, half as large: 0.8
    assert abs(float(concordance(y, x))) < 0.15 and float(concordance(x + 0.2, x)) < 0.75


def test_caches_come_back(tmp_path: Path) -> None:
    made = clips()
    corpus.save(made, tmp_path)
    again = corpus.load(tmp_path)
    assert [c.name for c in again] == [c.name for c in made]
    assert np.allclose(again[2].features, made[2].features, atol=0.01) and again[3].phone_times == made[3].phone_times
    expressions.save([expression()], tmp_path)
    back = expressions.load(tmp_path)[0]
    assert dataclasses.replace(back, curves=None) == dataclasses.replace(expression(), curves=None)
    for module, name in ((corpus, corpus.FILE), (expressions, expressions.FILE)):
        (tmp_path / name).write_bytes(b"x" * 100)
        with pytest.raises(UserError, match="not a whole cache"):
            module.load(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(UserError, match=name):
            module.load(tmp_path)


def test_a_gate_is_added_to_a_driver_and_learns_closures(tmp_path: Path) -> None:
    from avatargpt.train.speech_data.losses import closing

    phones = torch.tensor([[[0, 0], [1, 1], [INDEX_OF["P"], 1], [1, 1], [1, 1]]])
    assert closing(phones).tolist() == [[False, True, True, True, False]]
    logits, curves = torch.zeros(1, 5, 2, 40), torch.zeros(1, 5, 55)
    pressed = curves.clone()
    pressed[:, 2, [INDEX[n] for n in expand("mouthPress")]] = 0.4
    ones, none, scale = torch.ones(1, 5), torch.zeros(1, dtype=torch.bool), torch.ones(55)

    def cost(seal: torch.Tensor | None) -> float:
        said = DriverOutput(pressed, pressed, logits, seal)
        terms = driver_losses(said, pressed, phones, ones, none, scale, scale, DriverLosses())
        return float(terms.get("seal", torch.tensor(-1.0)))

    right = torch.tensor([[-9.0, -9.0, 9.0, -9.0, -9.0]])
    assert cost(None) == -1 and cost(right) < 1e-2 < 1 < cost(-right)
    start = train(CONFIG, clips(), [], tmp_path / "plain", Runtime(0, 1, torch.device("cpu"), bf16=False))
    assert not start.network.config.seal
    parts = {"seal": True, "slow": 1.0, "feel": True}
    more = {"model": {**CONFIG["model"], **parts}, "train": {**CONFIG["train"], "false_closures": 0.03}}
    made = train(more, clips(), [], tmp_path / "sealed", Runtime(0, 1, torch.device("cpu"), bf16=False), start)
    assert made.network.config.seal and float(made.network.seal.weight.detach().abs().max()) > 0
    assert float(made.network.around.weight.detach().abs().max()) > 0
    kept = Driver.load(tmp_path / "sealed").network.config
    assert kept.seal and kept.feel and kept.slow == 1.0 and not kept.bite
    assert '"seal_shift"' in (tmp_path / "sealed" / "log.jsonl").read_text()


def test_the_gate_is_as_ready_as_it_may_be() -> None:
    from avatargpt.metrics.lip_sync import Lips
    from avatargpt.speech.phones import Phone
    from avatargpt.train.speech_data.validation import SHIFTS, predict, settle_gate

    torch.manual_seed(1)
    network = DriverNetwork(DriverConfig(**CONFIG["model"], seal=True))
    torch.nn.init.normal_(network.seal.weight, std=1.5)
    torch.nn.init.zeros_(network.seal.bias)
    held = [clip("val", seed=s) for s in (4, 6, 7, 8)]
    with torch.no_grad():
        heard = [network(torch.from_numpy(c.features)[None], torch.zeros(1, 8)).seal for c in held]
        middle = -float(torch.cat([h for h in heard if h is not None], 1).quantile(0.85))

    def false(shift: float) -> float:
        with torch.no_grad():
            network.seal.bias.fill_(middle + shift)
        lips = Lips()
        for c in held:
            lips.add(predict(network, c.features, torch.device("cpu")), [Phone(*p) for p in c.phone_times])
        return float(np.mean(lips.closure_vowel))

    shares = [false(float(s)) for s in SHIFTS]
    assert shares[0] < shares[-1]
    limit = (shares[0] + shares[-1]) / 2
    false(0.0)
    found = settle_gate(network, held, limit)
    assert float(network.seal.bias.detach()) == pytest.approx(middle + found)
    at = int(np.argmin(abs(SHIFTS - found)))
    assert shares[at] <= limit < shares[at + 1]
    with pytest.raises(UserError, match="gate"):
        settle_gate(DriverNetwork(DriverConfig(**CONFIG["model"])), held, 0.03)
    with pytest.raises(UserError, match="validation clips"):
        settle_gate(network, [clip()], 0.03)
    with torch.no_grad():
        network.seal.bias.fill_(50.0)  # always shut
    with pytest.raises(UserError, match="more than 0.03 of the vowels"):
        settle_gate(network, held, 0.03)
    assert float(network.seal.bias.detach()) == 50.0
    with pytest.raises(UserError, match="model: bite"):
        settle_gate(network, held, 0.03, "bite")
    network.grow(network.config.changed(bite=True))
    assert settle_gate(network, held, 1.0, "bite") == SHIFTS[-1]
    assert float(network.bite.bias.detach()) == -4 + SHIFTS[-1]


def test_what_stands_for_silence() -> None:
    quiet = torch.randn(1, 332).expand(4, -1)
    rng = np.random.default_rng(0)
    made = {kind: stand_in(kind, quiet, rng) for kind in get_args(Silent)}
    assert torch.equal(made["silence"], quiet) and made["zero"].abs().max() == 0 and made["token"].isnan().all()
    assert 1.5 < (made["noise"] - quiet).std() < 2.5


def test_a_head_of_recorded_pairs_begins_at_their_mean_and_hurries(tmp_path: Path) -> None:
    runtime = Runtime(0, 1, torch.device("cpu"), bf16=False)
    pair = next(c for c in clips() if c.kind == "paired" and c.split == "train")
    begun = train({**CONFIG, "train": {**CONFIG["train"], "steps": 1, "lr": 0.0}}, clips(), [], tmp_path / "a", runtime)
    mean = torch.from_numpy(pair.curves.astype(np.float32).mean(0))
    assert torch.allclose(begun.network.paired.bias, mean, atol=1e-4)
    before = {k: v.clone() for k, v in begun.network.state_dict().items()}
    options = {"steps": 1, "warmup": 0, "lr": 1e-3, "weight_decay": 0.0, "sampling": {"paired": 1.0}}
    moved = {}
    for times in (1.0, 3.0):
        begun.network.load_state_dict(before)
        config = {"model": {"look_ahead": 3}, "train": {**CONFIG["train"], **options, "paired_rate": times}}
        after = train(config, clips(), [], tmp_path / f"b{times}", runtime, begun).network
        assert after.config.look_ahead == 3
        now = after.state_dict()
        moved[times] = [float((now[k] - before[k]).abs().max()) for k in ("enter.bias", "paired.bias")]
    assert moved[1.0] == pytest.approx([1e-3, 1e-3], rel=0.01)  # Adam's first step is as long as its rate
    assert moved[3.0] == pytest.approx([1e-3, 3e-3], rel=0.01)


def test_training_begins_from_the_mean_of_drivers(tmp_path: Path) -> None:
    drivers = []
    for seed, name in enumerate(("a", "b")):
        torch.manual_seed(seed)
        drivers.append(Driver(DriverNetwork(DriverConfig(**CONFIG["model"]))))
        drivers[-1].save(tmp_path / name)
    mean = mean_of(f"{tmp_path / 'a'},{tmp_path / 'b'}", Driver.load, "1,3").network.state_dict()
    a, b = (d.network.state_dict() for d in drivers)
    assert all(torch.allclose(v, 0.25 * a[k] + 0.75 * b[k], atol=1e-6) for k, v in mean.items())
    assert not torch.equal(a["enter.weight"], b["enter.weight"])
    other = Driver(DriverNetwork(DriverConfig(**{**CONFIG["model"], "width": 24})))
    other.save(tmp_path / "wide")
    with pytest.raises(UserError, match="different shape"):
        mean_of(f"{tmp_path / 'a'},{tmp_path / 'wide'}", Driver.load)


def test_the_gate_for_f_and_v_moves_the_lower_lip_and_gives_way_to_closed_lips() -> None:
    network = DriverNetwork(DriverConfig(**{**CONFIG["model"], "bite": True, "seal": True}))
    h, curves = torch.zeros(3, 16), torch.full((3, 55), 0.5)
    assert torch.equal(network.apply_bite(h, curves)[0], curves)  # as good as open at first
    torch.nn.init.constant_(network.bite.bias, 5.0)
    told = network.apply_bite(h, curves)[0]
    roll, jaw = INDEX["mouthRollLower"], INDEX["jawOpen"]
    assert torch.allclose(told[:, roll], torch.tensor(0.4)) and torch.allclose(told[:, jaw], torch.tensor(0.08))
    assert torch.equal(told[:, INDEX["mouthFunnel"]], curves[:, 0])
    torch.nn.init.constant_(network.seal.bias, 5.0)
    shut = network.apply_seal(h, told)[0]
    assert shut[0, INDEX["mouthPressLeft"]] > 0.4 and shut[0, roll] == 0
