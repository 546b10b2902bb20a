"""Training of the driver: batches, losses, caches, gates, heads and text branches."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.face.audio_model.conditioning import Clause, Feeling
from avatargpt.face.audio_model.driver import PAIRED_CHANNELS, Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork, DriverOutput
from avatargpt.face.audio_model.visemes import viseme_curves
from avatargpt.metrics.face import Lips, find_closed_lips
from avatargpt.speech.phones import INDEX as INDEX_OF
from avatargpt.speech.phones import Phone
from avatargpt.train import audio_model
from avatargpt.train.loop import run
from avatargpt.train.pack import mean_of
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data import corpus, expressions
from avatargpt.train.speech_data.batches import SpeechBatches, SpeechSampling
from avatargpt.train.speech_data.expressions import ExpressionClip, compose
from avatargpt.train.speech_data.validation import SHIFTS, predict, settle_gate
from scripts import settle_gates
from tests.factories import PHONES, RandomGrounder, speech_clip
from vqvae.arkit import INDEX, expand
from vqvae.errors import UserError

MODEL = {"width": 16, "hidden": 16, "dilations": [1, 2], "text_width": 8, "inject": 1}
TRAIN = {"steps": 6, "batch": 4, "window": 40, "warmup": 2, "log_every": 2, "save_every": 3, "val_every": 6}
CPU = Runtime(0, 1, torch.device("cpu"), bf16=False)


pytestmark = pytest.mark.usefixtures("no_pictures")


def train(
    out: Path, start: Driver | None = None, clips: list[corpus.SpeechClip] | None = None,
    directed: list[ExpressionClip] | None = None, model: dict[str, Any] = MODEL, runtime: Runtime = CPU,
    until: int | None = None, **changes: Any,
) -> Driver:  # fmt: skip
    recipe = audio_model.DriverRecipe.read({"model": model, "train": {**TRAIN, **changes}}, "configuration")
    stage = audio_model.DriverStage(recipe, clips or all_clips(), directed or [], runtime, start)
    run(stage, out, runtime, until)
    return Driver(stage.network.to("cpu"))


def all_clips() -> list[corpus.SpeechClip]:
    kinds = [("train", "taught"), ("train", "taught"), ("train", "paired"), ("val", "taught"), ("val", "paired")]
    return [speech_clip(split, kind, seed) for seed, (split, kind) in enumerate(kinds, 1)]


def expression() -> ExpressionClip:
    curves = np.zeros((90, 55), np.float32)
    curves[30:60, INDEX["mouthSmileLeft"]] = 0.8
    curves[30:60, INDEX["jawOpen"]] = 0.6
    return ExpressionClip(curves, [Feeling(0, "happy", 0.7)], [Clause("smile widely", 1.0, 2.0)], name="made/0")


def copy_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items()}


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    runtime = Runtime(0, 1, torch.device("cpu"), bf16=True)
    uninterrupted = train(tmp_path / "one", runtime=runtime)
    train(tmp_path / "parts", runtime=runtime, until=3)
    resumed = train(tmp_path / "parts", runtime=runtime)
    assert uninterrupted.fingerprint == resumed.fingerprint
    log = (tmp_path / "parts" / "log.jsonl").read_text()
    assert '"made_hit"' in log and '"pairs_jaw"' in log
    assert (tmp_path / "parts" / "driver.safetensors").is_file()


def test_phones_that_are_told_are_learnt_and_only_help_where_they_are_known(tmp_path: Path) -> None:
    told = {**MODEL, "told": True}
    shares = {"sampling": {"told": 0.7, "paired": 0.0}}
    whole = train(tmp_path / "one", model=told, **shares)
    train(tmp_path / "parts", model=told, until=3, **shares)
    parts = train(tmp_path / "parts", model=told, **shares)
    assert torch.equal(whole.network.told.weight, parts.network.told.weight) and whole.network.told.weight.any()
    clip, network = speech_clip("val"), whole.network.eval()
    unknown = np.full_like(clip.phones, -1, dtype=np.int16)
    heard, hidden, known = (network.clip_output(clip.features, None, t).curves for t in (None, unknown, clip.phones))
    # silence is known to follow the clip
    assert torch.equal(heard[:, :-6], hidden[:, :-6]) and not torch.equal(heard, known)


def test_told_phones_are_those_of_the_clip_about_when_they_are_spoken() -> None:
    batches = SpeechBatches([speech_clip(seed=1)], sampling=SpeechSampling(told=1.0, paired=0.0))
    told, track = [], batches.clips[0].phones.ravel()
    for seed in range(20):
        batch = batches.draw(4, 40, 0, [seed])
        assert batch.told is not None and batch.told.shape == (4, 40, 12)
        told.append(batch.told)
    rows = torch.cat(told).flatten(0, 1)
    known = rows[(rows >= 0).all(1)].numpy()
    assert 0.4 < len(known) / len(rows) < 0.95  # of some words the times are not known
    windows = {tuple(w) for w in np.lib.stride_tricks.sliding_window_view(np.append(track, [0] * 12), 12).tolist()}
    assert np.mean([tuple(w) in windows for w in known.tolist()]) > 0.7  # the others lie before the clip
    rested = SpeechBatches(
        [dataclasses.replace(speech_clip(seed=1), name="still/1")], sampling=SpeechSampling(told=1.0, paired=0.0)
    ).draw(4, 40, 0, [1])
    assert rested.told is not None and (rested.told == -1).all()


def test_training_reduces_the_loss(tmp_path: Path) -> None:
    train(tmp_path, steps=60, log_every=10, lr=5e-3)
    rows = [json.loads(r) for r in (tmp_path / "log.jsonl").read_text().splitlines()]
    curve = [r["curves"] for r in rows if "curves" in r]
    assert curve[-1] < 0.7 * curve[0]


def test_mistakes_in_the_configuration(tmp_path: Path) -> None:
    for section, bad in (("train", {"stepz": 3}), ("model", {"widht": 3}), ("train", {"sampling": {"silent": "zero"}})):
        with pytest.raises(UserError):
            audio_model.DriverRecipe.read({section: bad}, "configuration")
    with pytest.raises(UserError, match="no training clips"):
        train(tmp_path, clips=[speech_clip("val")])


def test_batches_are_repeatable_and_aligned() -> None:
    sampling = SpeechSampling(level=0.0, masks=0.0)
    batches = SpeechBatches(all_clips()[:3], sampling=sampling)
    a, b = batches.draw(6, 50, 2, [0, 1, 0]), batches.draw(6, 50, 2, [0, 1, 0])
    assert torch.equal(a.features, b.features) and torch.equal(a.curves, b.curves)
    assert not torch.equal(a.features, batches.draw(6, 50, 2, [0, 2, 0]).features)
    assert a.paired.tolist() == [True] + [False] * 5
    assert (a.phones[0] == -1).all() and (a.phones[1:] >= 0).all()
    source = speech_clip(seed=1)
    batch = SpeechBatches([source], sampling=sampling).draw(1, 40, 2, [5])
    features = source.features.astype(np.float16).astype(np.float32)
    start = next(s for s in range(len(source)) if np.array_equal(features[s], batch.features[0, 0].numpy()))
    expected = source.curves[start : start + 30].astype(np.float16).astype(np.float32)
    assert np.array_equal(batch.curves[0, 2:32].numpy(), expected) and expected.max() > 0.1


def test_directed_rows() -> None:
    batch = SpeechBatches(all_clips()[:3], [expression()], RandomGrounder(), SpeechSampling(directed=0.75)).draw(
        8, 60, 2, [0]
    )
    assert batch.text is not None and not batch.features.isnan().any()
    directed = batch.text.timing[..., 4].flatten(1).any(1) | (batch.text.strength.flatten(1).amax(1) > 0)
    assert 5 <= int(directed.sum()) <= 6 and not directed[batch.paired].any()


def test_composition_keeps_closed_lips_closed() -> None:
    speech = viseme_curves(PHONES, 90).curves
    both = compose(speech, expression().curves)
    assert (find_closed_lips(both) >= find_closed_lips(speech)).all() and both[45, INDEX["mouthSmileLeft"]] >= 0.8
    assert np.allclose(compose(np.zeros_like(speech), expression().curves), expression().curves)


def losses(
    curves: torch.Tensor, target: torch.Tensor, phones: torch.Tensor, logits: torch.Tensor, scale: torch.Tensor,
    seal: torch.Tensor | None = None, **weights: float,
) -> dict[str, float]:  # fmt: skip
    output = DriverOutput(curves, curves, logits, seal)
    mask, paired = torch.ones(target.shape[:2]), torch.zeros(1, dtype=torch.bool)
    factors = audio_model.DriverLosses(**weights)
    terms = audio_model.driver_losses(output, target, phones, mask, paired, scale, scale, factors)
    return {k: float(v) for k, v in terms.items()}


def test_losses_are_zero_for_the_target_and_rise_with_each_error() -> None:
    target = torch.from_numpy(speech_clip().curves)[None]
    phones = torch.from_numpy(speech_clip().phones.astype(np.int64))[None]
    fixed = phones, torch.nn.functional.one_hot(phones, 40).float() * 50, audio_model.channel_scale(target[0].std(0))
    right = losses(target, target, *fixed)
    assert max(right[k] for k in ("curves", "velocity", "lips", "still", "phones")) < 1e-3
    opened = target.clone()
    opened[..., INDEX["jawOpen"]] += 0.2
    wrong = losses(opened, target, *fixed)
    assert wrong["curves"] > 0.05 and wrong["lips"] > 0.5 and wrong["still"] > 0.02
    assert wrong["action_units"] > right["action_units"]
    scale = audio_model.channel_scale(torch.ones(55), PAIRED_CHANNELS)  # recorded pairs train their channels alone
    assert scale[INDEX["jawOpen"]] > 0 and scale[INDEX["eyeBlinkLeft"]] == 0 and scale[52:].sum() == 0


def test_a_channel_that_was_not_measured_teaches_nothing() -> None:
    target = torch.rand(2, 8, 55)
    target[:, :, INDEX["mouthSmileLeft"]] = torch.nan
    given = torch.rand(2, 8, 55, requires_grad=True)
    output = DriverOutput(target.nan_to_num(), given, torch.zeros(2, 8, 2, 40))
    phones, mask, paired = torch.full((2, 8, 2), -1), torch.ones(2, 8), torch.tensor([True, False])
    scale, factors = torch.ones(55), audio_model.DriverLosses()
    terms = audio_model.driver_losses(output, target, phones, mask, paired, scale, scale, factors)
    torch.stack(list(terms.values())).sum().backward()
    assert given.grad is not None and given.grad.isfinite().all()
    still = given.grad.abs().sum((0, 1)) == 0
    assert still[INDEX["mouthSmileLeft"]] and not still[INDEX["jawOpen"]]


def test_a_missed_closure_costs_more_than_a_false_one() -> None:
    target = torch.zeros(1, 8, 55)
    press = [INDEX[n] for n in expand("mouthPress")]
    target[:, :, INDEX["jawOpen"]] = 0.2
    target[:, 2:4, press] = 0.4
    target[:, 2:4, INDEX["jawOpen"]] = 0.0

    def cost(frame: int, level: float, shut: float) -> float:
        curves = target.clone()
        curves[:, frame, press] = level
        phones, logits = torch.zeros(1, 8, 2, dtype=torch.long), torch.zeros(1, 8, 2, 40)
        return losses(curves, target, phones, logits, torch.ones(55), shut=shut)["curves"]

    missed, false = cost(2, 0.0, 1.0), cost(6, 0.4, 1.0)
    assert missed == pytest.approx(false)
    assert cost(2, 0.0, 5.0) == pytest.approx(5 * missed) and cost(6, 0.4, 5.0) == pytest.approx(false)


def test_a_sound_that_is_easily_confused_costs_more_to_close_for() -> None:
    phones = torch.full((1, 20, 2), INDEX_OF["N"])
    curves, gate = torch.zeros(1, 20, 55), torch.full((1, 20), 2.0)
    output = DriverOutput(curves, curves, torch.zeros(1, 20, 2, 40), gate, gate)
    cost = {}
    for confused in (1.0, 3.0):
        weights = audio_model.DriverLosses(confused=confused)
        rows, ones = torch.zeros(1, dtype=torch.bool), torch.ones(55)
        cost[confused] = audio_model.driver_losses(output, curves, phones, torch.ones(1, 20), rows, ones, ones, weights)
    assert cost[3.0]["seal"] == pytest.approx(3 * float(cost[1.0]["seal"])) and cost[3.0]["bite"] == cost[1.0]["bite"]


def test_concordance_depends_on_course_and_size() -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(500, 1) * 0.2 + 0.3 for _ in range(2))
    assert float(audio_model.concordance(x, x)) == pytest.approx(1, abs=1e-3)
    half = float(audio_model.concordance(0.5 * (x - x.mean()) + x.mean(), x))
    assert half == pytest.approx(2 * 0.5 / (0.25 + 1), abs=0.01)  # rightly timed, half as large: 0.8
    assert abs(float(audio_model.concordance(y, x))) < 0.15 and float(audio_model.concordance(x + 0.2, x)) < 0.75


def test_caches_are_stored_and_checked(tmp_path: Path) -> None:
    clips = all_clips()
    corpus.save(clips, tmp_path)
    loaded = corpus.load(tmp_path)
    assert [c.name for c in loaded] == [c.name for c in clips]
    assert np.allclose(loaded[2].features, clips[2].features, atol=0.01)
    assert loaded[3].phone_times == clips[3].phone_times
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
    phones = torch.tensor([[[0, 0], [1, 1], [INDEX_OF["P"], 1], [1, 1], [1, 1]]])
    assert audio_model.find_closing(phones).tolist() == [[False, True, True, True, False]]
    pressed = torch.zeros(1, 5, 55)
    pressed[:, 2, [INDEX[n] for n in expand("mouthPress")]] = 0.4
    fixed = pressed, pressed, phones, torch.zeros(1, 5, 2, 40), torch.ones(55)
    right = torch.tensor([[-9.0, -9.0, 9.0, -9.0, -9.0]])
    assert "seal" not in losses(*fixed)
    assert losses(*fixed, right)["seal"] < 1e-2 < 1 < losses(*fixed, -right)["seal"]
    start = train(tmp_path / "plain")
    assert not start.network.config.seal
    model = {**MODEL, "seal": True, "slow": 1.0, "feel": True}
    sealed = train(tmp_path / "sealed", start, model=model, false_closures=0.03).network
    assert sealed.config.seal and float(sealed.seal.weight.detach().abs().max()) > 0
    assert float(sealed.around.weight.detach().abs().max()) > 0
    config = Driver.load(tmp_path / "sealed").network.config
    assert config.seal and config.feel and config.slow == 1.0 and not config.bite
    assert '"seal_shift"' in (tmp_path / "sealed" / "log.jsonl").read_text()


def test_a_gate_is_calibrated_to_the_allowed_share_of_false_closures() -> None:
    torch.manual_seed(1)
    network = DriverNetwork(DriverConfig(**MODEL, seal=True))
    torch.nn.init.normal_(network.seal.weight, std=1.5)
    torch.nn.init.zeros_(network.seal.bias)
    validation = [speech_clip("val", seed=s) for s in (4, 6, 7, 8)]
    with torch.no_grad():
        logits = [network(torch.from_numpy(c.features)[None], torch.zeros(1, 8)).seal for c in validation]
        middle = -float(torch.cat([x for x in logits if x is not None], 1).quantile(0.85))

    def false_share(shift: float) -> float:
        network.seal.bias.data.fill_(middle + shift)
        lips = Lips()
        for c in validation:
            lips.add(predict(network, c.features, torch.device("cpu")), [Phone(*p) for p in c.phone_times])
        return float(np.mean(lips.closure_vowel))

    shares = [false_share(float(s)) for s in SHIFTS]
    assert shares[0] < shares[-1]
    limit = (shares[0] + shares[-1]) / 2
    false_share(0.0)
    shift = settle_gate(network, validation, limit)
    assert float(network.seal.bias.detach()) == pytest.approx(middle + shift)
    at = int(np.argmin(abs(SHIFTS - shift)))
    assert shares[at] <= limit < shares[at + 1]
    network.seal.bias.data.fill_(50.0)  # always shut
    for net, clips, gate, message in (
        (DriverNetwork(DriverConfig(**MODEL)), validation, "seal", "gate"),
        (network, [speech_clip()], "seal", "validation clips"),
        (network, validation, "seal", "more than 0.03 of the vowels"), (network, validation, "bite", "model: bite"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            settle_gate(net, clips, 0.03, gate)
    assert float(network.seal.bias.detach()) == 50.0
    network.grow(network.config.replace_fields(bite=True))
    assert settle_gate(network, validation, 1.0, "bite") == SHIFTS[-1]
    assert float(network.bite.bias.detach()) == -4 + SHIFTS[-1]


def test_a_head_of_recorded_pairs_begins_at_their_mean_with_its_own_rate(tmp_path: Path) -> None:
    pair = next(c for c in all_clips() if c.kind == "paired" and c.split == "train")
    start = train(tmp_path / "a", steps=1, lr=0.0)
    mean = torch.from_numpy(pair.curves.astype(np.float32).mean(0))
    assert torch.allclose(start.network.paired.bias, mean, atol=1e-4)
    before = copy_of(start.network)
    options = {"steps": 1, "warmup": 0, "lr": 1e-3, "weight_decay": 0.0, "sampling": {"paired": 1.0}}
    for rate in (1.0, 3.0):
        start.network.load_state_dict(before)
        after = train(tmp_path / f"b{rate}", start, model={"look_ahead": 3}, paired_rate=rate, **options).network
        assert after.config.look_ahead == 3
        state = after.state_dict()
        moved = [float((state[k] - before[k]).abs().max()) for k in ("enter.bias", "paired.bias")]
        assert moved == pytest.approx([1e-3, rate * 1e-3], rel=0.01)  # Adam's first step is as long as its rate


def test_training_begins_from_the_mean_of_drivers(tmp_path: Path) -> None:
    a, b = (DriverNetwork(DriverConfig(**MODEL)) for _ in range(2))
    for name, network in (("a", a), ("b", b)):
        Driver(network).save(tmp_path / name)
    mean = mean_of(f"{tmp_path / 'a'},{tmp_path / 'b'}", Driver.load).network.enter.weight
    assert torch.allclose(mean, (a.enter.weight + b.enter.weight) / 2, atol=1e-6)
    assert not torch.equal(a.enter.weight, b.enter.weight)


def test_the_gate_for_f_and_v_moves_the_lower_lip_and_yields_to_closed_lips() -> None:
    network = DriverNetwork(DriverConfig(**{**MODEL, "bite": True, "seal": True}))
    h, curves = torch.zeros(3, 16), torch.full((3, 55), 0.5)
    assert torch.equal(network.apply_bite(h, curves)[0], curves)  # practically open at first
    torch.nn.init.constant_(network.bite.bias, 5.0)
    bitten = network.apply_bite(h, curves)[0]
    roll, jaw = INDEX["mouthRollLower"], INDEX["jawOpen"]
    assert torch.allclose(bitten[:, roll], torch.tensor(0.4)) and torch.allclose(bitten[:, jaw], torch.tensor(0.08))
    assert torch.equal(bitten[:, INDEX["mouthFunnel"]], curves[:, 0])
    torch.nn.init.constant_(network.seal.bias, 5.0)
    shut = network.apply_seal(h, bitten)[0]
    assert shut[0, INDEX["mouthPressLeft"]] > 0.4 and shut[0, roll] == 0


def test_gates_of_a_mean_are_settled_in_eight_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = DriverNetwork(DriverConfig(**MODEL, seal=True, bite=True))
    Driver(network).save(tmp_path / "a")
    corpus.save([speech_clip("val", seed=4)], tmp_path / "cache")
    arguments = [f"{tmp_path / 'a'},{tmp_path / 'a'}", "--speech", str(tmp_path / "cache"), "--source", "made"]
    allowed = ["--false-closures", "1", "--false-contacts", "1"]
    assert settle_gates.main([*arguments, *allowed, "-o", str(tmp_path / "out")]) == 0
    settled = Driver.load(tmp_path / "out").network
    for gate in (settled.seal, settled.bite):
        assert float(gate.bias.detach()) == pytest.approx(-4 + SHIFTS[-1], abs=0.02)
    assert "seal: +2.00" in capsys.readouterr().out
    arguments[2] = str(tmp_path / "nowhere")
    assert settle_gates.main([*arguments, "-o", str(tmp_path / "further")]) == 2
    assert "no speech.safetensors" in capsys.readouterr().err and not (tmp_path / "further").exists()
