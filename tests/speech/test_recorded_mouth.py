"""The mouth as in recorded pairs of speech and face: a network of its own, and the rules beside it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.evaluation.speech_face import _still
from avatargpt.face.audio_model.conditioning import Clause, Direction
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.audio_model.stream import (
    FULL_PRESS_JAW,
    FUNNEL,
    JAW,
    LIGHT_PRESS,
    POWER,
    PRESS_JAW,
    PRESSING,
    PUCKER,
    SIZE,
    Speaking,
    light_closure,
    press_lips,
    undershoot,
)
from avatargpt.face.audio_model.stream import PAIRED_CHANNELS as PAIRED
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import extract
from avatargpt.train.speech_data.validation import as_recorded, predict
from tests.speech.conftest import Words, together, voice
from vqvae.errors import UserError


def speaking(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Phone logits (T, 2, 40) -> share (T,), connected (T,)."""
    one, rows = Speaking(), []
    for frame in logits:
        one.step(frame)
        rows.append((one.share, one.connected))
    share, connected = np.array(rows).T
    return share, connected


def test_a_network_of_its_own_moves_the_mouth_as_in_recorded_pairs(driver: Driver, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1, 2], text_width=8, inject=1))
    with torch.no_grad():
        network.paired.weight.normal_(std=0.3)
        network.paired.bias.fill_(0.3)
    both, sound = Driver(driver.network, network), voice(1.0)
    mouth, taught = together(both.drive(sound, head="recorded")), together(both.drive(sound))
    assert np.array_equal(taught, together(driver.drive(sound)))
    own = predict(network, extract(sound, RATE), torch.device("cpu"), "paired")
    assert np.abs(own - mouth)[5:20, PAIRED].max() < 2e-3 and np.abs(taught - mouth)[:, PAIRED].max() > 0.05
    assert np.abs(as_recorded(both, extract(sound, RATE)) - mouth)[:-2, PAIRED].max() < 1e-5
    others = [i for i in range(55) if i not in PAIRED]
    assert np.allclose(taught[:, others], mouth[:, others], atol=1e-6)
    clause = Direction.make([], [Clause("smile", 0.3, 0.7)], Words())
    changed = np.abs(together(both.drive(sound, RATE, clause, head="recorded")) - mouth)[:, PAIRED].max(1) > 1e-6
    assert changed[10:20].all() and not changed[:8].any()  # what is told moves that mouth, too
    driver.network.grow(driver.network.config.changed(slow=0.5))
    with torch.no_grad():
        driver.network.around.weight.normal_(std=0.1)
    before, after = (together(both.drive(sound, RATE, c, head="recorded")) for c in (None, clause))
    assert np.array_equal(before[:8], after[:8])  # the trunk that is told nothing goes on by itself
    changed = np.abs(before - after)[:, PAIRED].max(1) > 1e-6
    assert changed[10:20].all()
    mouth = before
    both.save(tmp_path)
    again = Driver.load(tmp_path)
    assert np.array_equal(together(again.drive(sound, head="recorded")), mouth)
    assert again.fingerprint == both.fingerprint != driver.fingerprint
    driver.save(tmp_path)
    assert Driver.load(tmp_path).fingerprint == driver.fingerprint  # nothing of the pairs is left
    with pytest.raises(UserError, match="only 1"):
        Driver(driver.network, DriverNetwork(DriverConfig(width=16, hidden=16, dilations=[1], inject=1, look_ahead=1)))


def test_a_driver_that_has_seen_no_pairs(driver: Driver, tmp_path: Path) -> None:
    sound = voice(0.5)
    driver.save(tmp_path / "seen")
    with torch.no_grad():
        driver.network.paired.bias.zero_()  # as it begins
    driver.save(tmp_path / "unseen")
    unseen = Driver.load(tmp_path / "unseen")
    assert Driver.load(tmp_path / "seen").heads == ("rule", "recorded") and unseen.heads == ("rule",)
    unseen.drive(sound)
    with pytest.raises(UserError, match="unseen: has seen no recorded pairs; accepted: --lips rule, or a folder"):
        unseen.drive(sound, head="recorded")
    assert {"still/noise", "still/silence"} == set(_still(unseen))


def test_a_mouth_as_in_recorded_pairs_may_look_further_ahead(driver: Driver) -> None:
    torch.manual_seed(4)
    shape = DriverConfig(width=16, hidden=16, dilations=[1, 2], inject=1, text_width=8, look_ahead=3)
    mouth = DriverNetwork(shape)
    with torch.no_grad():
        mouth.paired.weight.normal_(std=0.1)
        mouth.paired.bias.fill_(0.3)
    both, sound = Driver(driver.network, mouth), voice(1.5)
    assert both.stream(head="recorded").latency == pytest.approx(4 / 30)
    assert both.stream().latency == pytest.approx(0.1)
    taught, paired = together(driver.drive(sound)), together(both.drive(sound, head="recorded"))
    rest = [i for i in range(taught.shape[1]) if i not in PAIRED]
    assert paired.shape == taught.shape and np.abs(paired - taught)[:, rest].max() < 1e-5
    whole = as_recorded(both, extract(sound, RATE))
    assert np.abs(paired - whole)[:-4, PAIRED].max() < 1e-4 < 0.05 < np.abs(paired - taught)[:, PAIRED].max()
    stream = both.stream(head="recorded")
    parts = [stream.push(sound[k : k + 377]) for k in range(0, len(sound), 377)] + [stream.finish()]
    assert np.array_equal(np.concatenate(parts), paired)


def test_a_mouth_as_in_recorded_pairs_rests_where_nobody_speaks(driver: Driver) -> None:
    logits = torch.zeros(40, 2, 40)
    logits[:, :, 0] = 9.0  # silence
    logits[10:25, :, 7] = 18.0
    share, connected = speaking(logits)
    assert not connected.any()
    assert share[:10].max() < 0.05 and share[11:25].min() > 0.9 and np.all(np.diff(share[24:]) < 0) and share[39] < 0.4
    sound = voice(1.0)
    with torch.no_grad():
        driver.network.paired.bias.fill_(0.5)
    spoken = together(driver.drive(sound, head="recorded"))
    with torch.no_grad():
        driver.network.phones.bias[[0, 40]] = 30.0  # it hears nobody
    taught, mouth = together(driver.drive(sound)), together(driver.drive(sound, head="recorded"))
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
    assert np.array_equal(undershoot(curves, 0.0), curves)
    found = undershoot(curves, 1.0)
    assert found[FUNNEL] == pytest.approx(SIZE * 0.25**POWER) and found[40] == np.float32(0.3)
    curves[PUCKER] = 0.39
    found = undershoot(curves, 1.0)
    assert found[FUNNEL] + found[PUCKER] == pytest.approx(SIZE * 0.64**POWER)
    assert found[PUCKER] / found[FUNNEL] == pytest.approx(0.39 / 0.25)
    assert found[FUNNEL] < undershoot(curves, 0.5)[FUNNEL] < curves[FUNNEL]
    curves[FUNNEL] = -0.5
    assert np.array_equal(undershoot(curves, 1.0), curves)


def test_lips_as_in_recorded_pairs_press_where_they_are_nearly_shut(driver: Driver) -> None:
    network, sound = driver.network, voice(1.0)
    network.grow(network.config.changed(seal=True))
    ((_, acting, pose),) = network.gates()
    light = light_closure(pose.numpy())
    assert np.allclose(light[PRESSING], LIGHT_PRESS * pose.numpy()[PRESSING]) and light[JAW] == pose[JAW]
    curves = np.full(55, 0.3, np.float32)
    for jaw, share in ((FULL_PRESS_JAW - 0.01, 1.0), ((FULL_PRESS_JAW + PRESS_JAW) / 2, 0.5), (PRESS_JAW, 0.0)):
        curves[JAW] = jaw
        found = press_lips(curves, 1.0, acting.numpy(), light)
        assert found == pytest.approx(curves + share * acting.numpy() * (light - curves), abs=1e-6)
    with torch.no_grad():
        network.paired.weight.zero_()
        network.paired.bias.fill_(0.1)
        network.paired.bias[JAW] = 0.02
        network.phones.bias[7] = 30.0  # somebody always speaks
        open_ = together(driver.drive(sound, head="recorded"))
        network.seal.bias.fill_(9.0)
    shut = together(driver.drive(sound, head="recorded"))
    assert np.abs(shut[5:, PRESSING] - light[PRESSING]).max() < 1e-4 and np.abs(open_[5:, PRESSING] - 0.1).max() < 1e-3
    assert np.abs(as_recorded(driver, extract(sound, RATE)) - shut)[:-2, :52].max() < 1e-4
