"""Live avatars and long motion through the Python client, from the packaged networks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")
pytest.importorskip("websockets", reason="needs the extra live")

from avatargpt import AvatarGPT, resources
from avatargpt.client import Client, ServerError
from tests.server.running import running

pytestmark = pytest.mark.skipif(not (resources.PACKAGE / "weights" / "config.json").is_file(), reason="no weights")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("streams"), AvatarGPT.from_pretrained()) as address:
        yield address


def hum(seconds: float) -> Iterator[np.ndarray]:
    """Blocks of a tenth of a second at 16 kHz."""
    times = np.arange(round(16000 * seconds)) / 16000
    sound = np.round(6000 * np.sin(2 * np.pi * 140 * times) * (0.6 + 0.4 * np.sin(9 * times))).astype(np.int16)
    yield from np.array_split(sound, round(10 * seconds))


def test_sound_becomes_frames_on_its_clock(url: str) -> None:
    with Client(url) as client:
        pieces = list(client.live(hum(2.0), presets=True))
    starts = np.cumsum([0, *(len(p.root) for p in pieces)])
    assert [p.start for p in pieces] == starts[:-1].tolist() and starts[-1] == 60
    assert all(p.rotations.shape == (len(p.root), 52, 4) and p.weights.shape == (len(p.root), 52) for p in pieces)
    presets = np.concatenate([p.presets for p in pieces])
    assert presets.shape == (60, 12) and presets.min() >= 0 and 0 < presets.max() <= 1
    assert np.allclose(np.linalg.norm(pieces[0].rotations, axis=-1), 1, atol=1e-3)
    assert 0.5 < pieces[0].root[0, 1] < 1.2  # the pelvis of somebody who stands


def test_long_motion_comes_as_it_is_made(url: str) -> None:
    with Client(url) as client:
        pieces = list(client.long("a man waits for the bus", 5))
    frames = sum(len(p.root) for p in pieces)
    assert frames >= 100 and pieces[-1].start + len(pieces[-1].root) == frames
    assert pieces[0].weights.shape[1] == pieces[0].presets.shape[1] == 0


def test_mistakes_and_broken_microphones_are_told(url: str, tmp_path: Path) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield np.zeros(1600, np.int16)
        raise OSError("no microphone")

    with Client(url) as client:
        with pytest.raises(ServerError, match="energy"):
            list(client.live(hum(0.5), energy=100.0))
        with pytest.raises(OSError, match="no microphone"):
            list(client.live(broken()))
