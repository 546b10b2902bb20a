"""The mouth as in recorded pairs of speech and face: a network of its own, and the rules around it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.evaluation.speech import _still
from avatargpt.face.audio_model import driver as model
from avatargpt.face.audio_model.conditioning import Clause, Direction
from avatargpt.face.audio_model.driver import FUNNEL, JAW, PRESSING, PUCKER, Driver
from avatargpt.face.audio_model.driver import PAIRED_CHANNELS as PAIRED
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import extract
from avatargpt.train.speech_data.validation import as_recorded, predict
from tests.factories import RandomGrounder, voice
from vqvae.errors import UserError

OTHERS = [i for i in range(55) if i not in PAIRED]


def mouth_network(seed: int, std: float, **options: Any) -> DriverNetwork:
    torch.manual_seed(seed)
    network = DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1, 2], text_width=8, inject=1, **options))
    with torch.no_grad():
        network.paired.weight.normal_(std=std)
        network.paired.bias.fill_(0.3)
    return network


def speaking(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Phone logits (T, 2, 40) -> share (T,), connected (T,)."""
    detector, rows = model.VoiceActivity(), []
    for frame in logits:
        detector.step(frame)
        rows.append((detector.share, detector.connected))
    share, connected = np.array(rows).T
    return share, connected


def test_a_network_of_its_own_moves_the_mouth_as_in_recorded_pairs(driver: Driver, tmp_path: Path) -> None:
    network = mouth_network(1, 0.3)
    both, sound = Driver(driver.network, network), voice(1.0)
    mouth, taught = both.drive(sound, head="recorded").curves, both.drive(sound).curves
    assert np.array_equal(taught, driver.drive(sound).curves)
    trained = predict(network, extract(sound, RATE), torch.device("cpu"), "paired")
    assert np.abs(trained - mouth)[5:20, PAIRED].max() < 2e-3 and np.abs(taught - mouth)[:, PAIRED].max() > 0.05
    assert np.abs(as_recorded(both, extract(sound, RATE)) - mouth)[:-2, PAIRED].max() < 1e-5
    assert np.allclose(taught[:, OTHERS], mouth[:, OTHERS], atol=1e-6)
    clause = Direction.make([], [Clause("smile", 0.3, 0.7)], RandomGrounder())
    changed = np.abs(both.drive(sound, RATE, clause, head="recorded").curves - mouth)[:, PAIRED].max(1) > 1e-6
    assert changed[10:20].all() and not changed[:8].any()  # a clause moves that mouth, too
    driver.network.grow(driver.network.config.replace_fields(slow=0.5))
    with torch.no_grad():
        driver.network.around.weight.normal_(std=0.1)
    before, after = (both.drive(sound, RATE, c, head="recorded").curves for c in (None, clause))
    assert np.array_equal(before[:8], after[:8])  # the trunk without a direction goes on by itself
    assert (np.abs(before - after)[10:20, PAIRED].max(1) > 1e-6).all()
    both.save(tmp_path)
    loaded = Driver.load(tmp_path)
    assert np.array_equal(loaded.drive(sound, head="recorded").curves, before)
    assert loaded.fingerprint == both.fingerprint != driver.fingerprint
    driver.save(tmp_path)
    assert Driver.load(tmp_path).fingerprint == driver.fingerprint  # nothing of the pairs is left
    with pytest.raises(UserError, match="only 1"):
        Driver(driver.network, DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1], inject=1, look_ahead=1)))


def test_a_driver_that_has_seen_no_pairs(driver: Driver, tmp_path: Path) -> None:
    sound = voice(0.5)
    driver.save(tmp_path / "paired")
    with torch.no_grad():
        driver.network.paired.bias.zero_()  # as it begins
    driver.save(tmp_path / "untrained")
    untrained = Driver.load(tmp_path / "untrained")
    assert Driver.load(tmp_path / "paired").heads == ("rule", "recorded") and untrained.heads == ("rule",)
    untrained.drive(sound)
    with pytest.raises(UserError, match="untrained: has seen no recorded pairs; accepted: --lips rule, or a folder"):
        untrained.drive(sound, head="recorded")
    assert {"still/noise", "still/silence"} == set(_still(untrained))


def test_a_recorded_mouth_may_look_further_ahead(driver: Driver) -> None:
    both, sound = Driver(driver.network, mouth_network(4, 0.1, look_ahead=3)), voice(1.5)
    assert both.stream(head="recorded").latency == pytest.approx(4 / 30)
    assert both.stream().latency == pytest.approx(0.1)
    taught, paired = driver.drive(sound).curves, both.drive(sound, head="recorded").curves
    assert paired.shape == taught.shape and np.abs(paired - taught)[:, OTHERS].max() < 1e-5
    trained = as_recorded(both, extract(sound, RATE))
    assert np.abs(paired - trained)[:-4, PAIRED].max() < 1e-4 < 0.05 < np.abs(paired - taught)[:, PAIRED].max()
    stream = both.stream(head="recorded")
    parts = [stream.push(sound[k : k + 377]) for k in range(0, len(sound), 377)] + [stream.finish()]
    assert np.array_equal(np.concatenate(parts), paired)


def test_a_recorded_mouth_rests_where_nobody_speaks(driver: Driver) -> None:
    logits = torch.zeros(40, 2, 40)
    logits[:, :, 0] = 9.0  # silence
    logits[10:25, :, 7] = 18.0
    share, connected = speaking(logits)
    assert not connected.any()
    assert share[:10].max() < 0.05 and share[11:25].min() > 0.9 and np.all(np.diff(share[24:]) < 0) and share[39] < 0.4
    sound = voice(1.0)
    with torch.no_grad():
        driver.network.paired.bias.fill_(0.5)
    spoken = driver.drive(sound, head="recorded").curves
    with torch.no_grad():
        driver.network.phones.bias[[0, 40]] = 30.0  # nobody speaks
    taught, mouth = driver.drive(sound).curves, driver.drive(sound, head="recorded").curves
    assert np.abs(mouth - taught)[:, PAIRED].max() < 1e-6 < 0.05 < np.abs(spoken - taught)[:, PAIRED].max()


def test_connected_speech_rounds_the_lips_less_far() -> None:
    logits = torch.zeros(240, 2, 40)
    logits[..., 0] = 9.0  # silence
    words = logits.clone()
    for start in range(0, 240, 30):
        words[start : start + 12, :, 7] = 18.0  # 0.4 s of each second
    assert speaking(words)[1].max() < 0.1
    logits[30:150, :, 7] = 18.0
    connected = speaking(logits)[1]
    assert not connected[:50].any() and (connected[80:150] == 1).all() and not connected[200:].any()
    curves = np.zeros(55, np.float32)
    curves[FUNNEL], curves[40] = 0.25, 0.3
    assert np.array_equal(model.undershoot(curves, 0.0), curves)
    rounded = model.undershoot(curves, 1.0)
    assert rounded[FUNNEL] == pytest.approx(model.SIZE * 0.25**model.POWER) and rounded[40] == np.float32(0.3)
    curves[PUCKER] = 0.39
    rounded = model.undershoot(curves, 1.0)
    assert rounded[FUNNEL] + rounded[PUCKER] == pytest.approx(model.SIZE * 0.64**model.POWER)
    assert rounded[PUCKER] / rounded[FUNNEL] == pytest.approx(0.39 / 0.25)
    assert rounded[FUNNEL] < model.undershoot(curves, 0.5)[FUNNEL] < curves[FUNNEL]
    curves[FUNNEL] = -0.5
    assert np.array_equal(model.undershoot(curves, 1.0), curves)
    curves[:] = 0
    curves[FUNNEL] = 0.01  # tiny roundings do not jump
    smallest = model.SIZE * model.MIN_ROUNDING ** (model.POWER - 1)
    assert model.undershoot(curves, 1.0)[FUNNEL] == pytest.approx(0.01 * smallest)


def test_lips_as_in_recorded_pairs_press_where_they_are_nearly_shut(driver: Driver) -> None:
    network, sound = driver.network, voice(1.0)
    network.grow(network.config.replace_fields(seal=True))
    ((_, acting, pose),) = network.gates()
    light = model.light_closure(pose.numpy())
    assert np.allclose(light[PRESSING], model.LIGHT_PRESS * pose.numpy()[PRESSING]) and light[JAW] == pose[JAW]
    curves = np.full(55, 0.3, np.float32)
    full, none = model.FULL_PRESS_JAW, model.PRESS_JAW
    for jaw, share in ((full - 0.01, 1.0), ((full + none) / 2, 0.5), (none, 0.0)):
        curves[JAW] = jaw
        pressed = model.press_lips(curves, 1.0, acting.numpy(), light)
        assert pressed == pytest.approx(curves + share * acting.numpy() * (light - curves), abs=1e-6)
    with torch.no_grad():
        network.paired.weight.zero_()
        network.paired.bias.fill_(0.1)
        network.paired.bias[JAW] = 0.02
        network.phones.bias[7] = 30.0  # somebody always speaks
        open_ = driver.drive(sound, head="recorded").curves
        network.seal.bias.fill_(9.0)
    shut = driver.drive(sound, head="recorded").curves
    assert np.abs(shut[5:, PRESSING] - light[PRESSING]).max() < 1e-4 and np.abs(open_[5:, PRESSING] - 0.1).max() < 1e-3
    assert np.abs(as_recorded(driver, extract(sound, RATE)) - shut)[:-2, :52].max() < 1e-4


def test_recorded_jaws_open_less_far_where_they_open_widely() -> None:
    curves = np.full(55, 0.5, np.float32)
    opened = model.open_jaw(curves)
    assert opened[JAW] == pytest.approx(model.OPENS * 0.5**model.OPENING)
    assert np.array_equal(np.delete(opened, JAW), curves[:-1])
    levels = [model.open_jaw(np.full(55, x, np.float32))[JAW] / x for x in (0.05, 0.2, 0.5, 1.0)]
    assert levels == sorted(levels, reverse=True) and model.open_jaw(np.full(55, -0.1, np.float32))[JAW] == 0
