"""SyncNet: shapes, files, features of the sound, and the offset of towers that only look for loudness."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from avatargpt.metrics import syncnet
from vqvae.errors import UserError


def test_shapes_and_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = syncnet.SyncNet().eval()
    lips, sound = torch.rand(2, 3, 5, 224, 224) * 255, torch.randn(2, 1, 13, 20)
    with torch.no_grad():
        assert network.lips(lips).shape == network.sound(sound).shape == (2, 1024)
        save_file(network.state_dict(), tmp_path / "net.safetensors")
        torch.save(network.state_dict(), tmp_path / "net.model")
        for name in ("net.safetensors", "net.model"):
            assert torch.equal(syncnet.SyncNet.load(tmp_path / name).sound(sound), network.sound(sound))
    # the published file's names
    names = set(network.state_dict())
    assert {"netcnnaud.18.weight", "netcnnlip.18.weight", "netfcaud.3.bias", "netfclip.1.running_mean"} <= names
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.model")
    for name, problem in (("none.model", "no such file"), ("other.model", "Error")):
        with pytest.raises(UserError, match=problem):
            syncnet.SyncNet.load(tmp_path / name)


def test_features_of_the_sound() -> None:
    t = np.arange(16_000) / 16_000
    rows = syncnet.mfcc(0.3 * np.sin(2 * np.pi * 300 * t) * (t > 0.5))
    assert rows.shape == (99, 13) and np.isfinite(rows).all()
    # half of the squares of 400 samples, whose amplitude is changed by the pre-emphasis
    gain = abs(1 - 0.97 * np.exp(-2j * np.pi * 300 / 16_000)) ** 2
    expected = np.log(0.5 * 400 * gain * (0.3 * 32768) ** 2 / 2)
    assert np.abs(rows[60:95, 0] - expected).max() < 0.1 and rows[20, 0] < -30


class Loudness(syncnet.SyncNet):
    """Towers that give the brightness of the middle picture and the loudness of the sound's middle."""

    def lips(self, pictures: torch.Tensor) -> torch.Tensor:
        return (pictures[:, :, 2].mean((1, 2, 3)) / 128)[:, None].repeat(1, 4)

    def sound(self, rows: torch.Tensor) -> torch.Tensor:
        return (rows[:, 0, 0, 8:12].mean(1) / 16)[:, None].repeat(1, 4)


@pytest.mark.parametrize("late", [0, 4, -6])
def test_the_offset(late: int) -> None:
    rng = np.random.default_rng(0)
    level = 10 ** rng.uniform(-3, 0, 100)
    samples = np.repeat(level, 640) * np.sin(2 * np.pi * 400 * np.arange(64_000) / 16_000)
    shown = np.log(np.roll(level, late))
    bright = 8 * (syncnet.mfcc(samples)[:, 0].mean() + 2 * (shown - shown.mean()))
    pictures = np.broadcast_to(bright.clip(0, 255).astype(np.uint8)[:, None, None, None], (100, 224, 224, 3))
    found = syncnet.sync(Loudness(), pictures, samples)
    assert found.offset == late and found.confidence > 0
    with pytest.raises(UserError, match="windows of lips and sound"):
        syncnet.sync(Loudness(), pictures[:20], samples)


def test_the_crop() -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[50:90, 100:140] = 255
    cut = syncnet.crop(picture, np.array([100, 50, 140, 90.0]))
    assert cut.shape == (224, 224, 3)
    white = np.argwhere(cut[..., 0] > 128)
    # the face's side is 1 of 1.4 in width, in the middle, and 1 of 1.4 in height, at the top
    assert np.abs(white.min(0) - [0, 32]).max() <= 2 and np.abs(white.max(0) - [160, 192]).max() <= 3
    assert (syncnet.crop(picture, np.array([-30, -30, 10, 10.0])) == 110).any()
