"""SyncD and SyncC: distance and confidence of lips and sound by SyncNet (Chung & Zisserman 2016).

Network, input and search of the offset are those of github.com/joonson/syncnet_python; names of parameters are those of
its ``syncnet_v2.model``, which the user has. Pictures are faces of 224 x 224 pixels at 25 frames a second, five at a
time; sound is 13 MFCC a hundredth of a second, 20 at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.fft import dct
from torch import nn

from vqvae.errors import UserError

FPS, RATE, SIDE = 25, 16_000, 224
WINDOW, STEPS, CEPSTRA = 5, 20, 13  # pictures and rows of MFCC that the network sees at once
ROWS = 4  # of MFCC in a picture's time
MAX_SHIFT = 15  # pictures by which sound and picture are shifted against one another
SCALE = 0.4  # of the face around it, in halves of its side, which the crop shows
BATCH = 20


class Sync(NamedTuple):
    """What the network says of a film: lower distance and higher confidence are better.

    Attributes:
        distance: SyncD. confidence: SyncC. offset: pictures by which the sound comes before the lips.
    """

    distance: float
    confidence: float
    offset: int


def _layers(kind: Any, norm: Any, rows: list[tuple[tuple[Any, ...], nn.Module | None]]) -> nn.Sequential:
    """Convolution, norm and ReLU of each row, and its pooling where it has one."""
    layers: list[nn.Module] = []
    for convolution, pooling in rows:
        layers += [kind(*convolution), norm(convolution[1]), nn.ReLU()]
        layers += [pooling] if pooling is not None else []
    return nn.Sequential(*layers)


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 1024))


class SyncNet(nn.Module):
    """Two towers with outputs of 1,024 numbers each."""

    def __init__(self) -> None:
        super().__init__()
        pool2, pool3 = nn.MaxPool2d, nn.MaxPool3d
        self.netcnnaud = _layers(nn.Conv2d, nn.BatchNorm2d, [
            ((1, 64, 3, 1, 1), pool2(1, 1)), ((64, 192, 3, 1, 1), pool2(3, (1, 2))), ((192, 384, 3, 1, 1), None),
            ((384, 256, 3, 1, 1), None), ((256, 256, 3, 1, 1), pool2(3, 2)), ((256, 512, (5, 4)), None),
        ])  # fmt: skip
        flat = ((1, 3, 3), 1, (0, 1, 1))
        self.netcnnlip = _layers(nn.Conv3d, nn.BatchNorm3d, [
            ((3, 96, (5, 7, 7), (1, 2, 2)), pool3((1, 3, 3), (1, 2, 2))),
            ((96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)), pool3((1, 3, 3), (1, 2, 2), (0, 1, 1))),
            ((256, 256, *flat), None), ((256, 256, *flat), None), ((256, 256, *flat), pool3((1, 3, 3), (1, 2, 2))),
            ((256, 512, (1, 6, 6)), None),
        ])  # fmt: skip
        self.netfcaud, self.netfclip = _head(), _head()

    def sound(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, 1, 13, 20) MFCC -> (n, 1024)."""
        out: torch.Tensor = self.netfcaud(self.netcnnaud(rows).flatten(1))
        return out

    def lips(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, 3, 5, 224, 224), blue, green and red from 0 to 255 -> (n, 1024)."""
        out: torch.Tensor = self.netfclip(self.netcnnlip(pictures).flatten(1))
        return out

    @classmethod
    def load(cls, path: Path) -> SyncNet:
        """Of ``syncnet_v2.model``, or ``.safetensors`` of it. Raises UserError: missing, damaged, another network."""
        from safetensors.torch import load_file

        accepted = "accepted SyncNet's syncnet_v2.model, or its tensors as .safetensors"
        if not path.is_file():
            raise UserError(f"{path}: no such file; {accepted}")
        network = cls()
        try:
            # weights_only: nothing in the file is run
            state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
            network.load_state_dict(state)
        except Exception as e:
            raise UserError(f"{path}: {str(e).splitlines()[0][:120]}; {accepted}") from None
        return network.eval()


def mfcc(samples: np.ndarray) -> np.ndarray:
    """(n,) sound at 16 kHz, -1 to 1 -> (T, 13) a hundredth of a second, as python_speech_features computes them."""
    size, step, points = 400, 160, 512
    signal = samples.astype(np.float64) * 32768
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    count = 1 + max(0, -(-(len(signal) - size) // step))
    padded = np.concatenate([signal, np.zeros(max(0, (count - 1) * step + size - len(signal)))])
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: (count - 1) * step + 1 : step]
    power = np.abs(np.fft.rfft(frames, points)) ** 2 / points
    tiny = np.finfo(float).eps
    mels = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), 28)
    edges = np.floor((points + 1) * 700 * (10 ** (mels / 2595) - 1) / RATE)
    bins = np.arange(power.shape[1])
    rising = (bins - edges[:-2, None]) / np.maximum(edges[1:-1] - edges[:-2], 1)[:, None]
    falling = (edges[2:, None] - bins) / np.maximum(edges[2:] - edges[1:-1], 1)[:, None]
    filters = np.where(bins < edges[1:-1, None], rising, falling).clip(0)
    filters[(bins < edges[:-2, None]) | (bins >= edges[2:, None])] = 0
    rows = dct(np.log(np.maximum(power @ filters.T, tiny)), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    rows = rows * (1 + 11 * np.sin(np.pi * np.arange(CEPSTRA) / 22))
    rows[:, 0] = np.log(np.maximum(power.sum(1), tiny))
    return rows


def crop(picture: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of a picture that the network sees: (224, 224, 3).

    Args:
        picture: (H, W, 3) uint8. box: (4,) left, top, right, bottom of the face, in pixels.
    """
    from PIL import Image

    half = max(box[2] - box[0], box[3] - box[1]) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    wide = half * (1 + SCALE)
    # the face is at the upper part of the crop, grey beyond the picture
    margin = int(np.ceil(half * (1 + 2 * SCALE)))
    padded = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), constant_values=110)
    top, left = round(y - half) + margin, round(x - wide) + margin
    cut = padded[max(top, 0) : round(y + half * (1 + 2 * SCALE)) + margin, max(left, 0) : round(x + wide) + margin]
    return np.asarray(Image.fromarray(cut).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


@torch.no_grad()
def sync(network: SyncNet, pictures: np.ndarray, samples: np.ndarray) -> Sync:
    """Compare lips and sound.

    Args:
        pictures: (T, 224, 224, 3) uint8, red, green, blue, 25 a second. samples: (n,) at 16 kHz, -1 to 1.

    Raises:
        UserError: too short, or pictures of another shape.
    """
    if pictures.shape[1:] != (SIDE, SIDE, 3):
        raise UserError(f"pictures of shape {pictures.shape}; accepted (frames, {SIDE}, {SIDE}, 3)")
    count = min(len(pictures), len(samples) * FPS // RATE) - WINDOW
    if count < 2 * MAX_SHIFT:
        raise UserError(f"{max(count, 0)} windows of lips and sound; accepted at least {2 * MAX_SHIFT}, 1.4 s")
    rows = torch.from_numpy(mfcc(samples).T.astype(np.float32))
    colours = torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1].transpose(3, 0, 1, 2)))
    lips, sounds = [], []
    for start in range(0, count, BATCH):
        share = range(start, min(start + BATCH, count))
        lips.append(network.lips(torch.stack([colours[:, t : t + WINDOW] for t in share]).float()))
        sounds.append(network.sound(torch.stack([rows[None, :, ROWS * t : ROWS * t + STEPS] for t in share])))
    seen, heard = torch.cat(lips), torch.cat(sounds)
    # beyond the ends the sound's features are zero, as published
    padded = nn.functional.pad(heard, (0, 0, MAX_SHIFT, MAX_SHIFT))
    distances = torch.stack([
        nn.functional.pairwise_distance(seen, padded[k : k + count]).mean() for k in range(2 * MAX_SHIFT + 1)
    ])  # fmt: skip
    best = int(distances.argmin())
    confidence = float(distances.median() - distances[best])
    return Sync(float(distances[best]), confidence, MAX_SHIFT - best)
