"""Sound, lips and hands in one written file are at the same time, measured from what is in the file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pygltflib import GLTF2

from avatargpt import export
from avatargpt.avatar.pipeline import AvatarPipeline, BodyClip, compose_clip
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.pipeline import FacePipeline, driver_folder
from tests.factories import voice
from tests.gesture.conftest import pipeline
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.features import STANDING
from vqvae.io.gltf import accessor_values
from vqvae.motion import Motion

RATE, MOMENTS = 24_000, (12, 20, 31)  # frames at which a beep, an open jaw and a raised hand begin
JAW = arkit.INDEX["jawOpen"]


@pytest.fixture
def clicked(tmp_path: Path) -> AvatarMotion:
    """Beeps of two frames; the jaw is open and the hand is up as long."""
    on = np.isin(np.arange(40), [m + k for m in MOMENTS for k in (0, 1)])
    sound = np.repeat(on, RATE // 30) * np.sin(np.arange(40 * RATE // 30) * 0.7) * 0.8
    soundfile.write(tmp_path / "beeps.wav", sound.astype(np.float32), RATE)
    weights = np.zeros((40, 52))
    weights[on, JAW] = 1
    rotations = rot.identity((40, 22))
    for joint, side in ((16, 1), (17, -1)):
        rotations[:, joint] = rot.from_axis_angle(np.array([0, 0, -side * 1.3]))
    rotations[on, 19] = rot.from_axis_angle(np.array([0, 1.5, 0]))
    body = Motion(rotations, np.repeat(STANDING[None], 40, 0), 30.0, "gesture", fingers=rot.identity((40, 30)))
    talk = compose_clip(BodyClip(body.slice(0, 1)), body, FaceMotion(weights, np.zeros((40, 3))))
    return replace(talk, sound=tmp_path / "beeps.wav")


def beginnings(values: np.ndarray) -> np.ndarray:
    """Indices at which something exceeds half of its range that did not before."""
    on = values > (values.max() + values.min()) / 2
    return np.flatnonzero(on[1:] & ~on[:-1]) + 1


def energy_beginnings(samples: np.ndarray, rate: int) -> np.ndarray:
    """Seconds at which beeps begin."""
    loud = np.abs(samples) > 0.25 * np.abs(samples).max()
    at = np.flatnonzero(loud) / rate
    return at[np.concatenate([[True], np.diff(at) > 0.02])]


def test_sound_lips_and_hands_begin_together_in_a_glb(clicked: AvatarMotion, tmp_path: Path) -> None:
    gltf = GLTF2().load_binary(str(clicked.save(tmp_path / "a.glb")))
    assert gltf is not None
    animation = gltf.animations[0]
    named = {(gltf.nodes[c.target.node].name, c.target.path): c.sampler for c in animation.channels}
    tracks = {name: animation.samplers[k] for name, k in named.items()}
    lips, hand = tracks["face", "weights"], tracks["r_elbow", "rotation"]
    seconds = [accessor_values(gltf, s.input)[:, 0] for s in (lips, hand)]
    jaw = accessor_values(gltf, lips.output).reshape(-1, 52)[:, JAW]
    bend = 1 - np.abs(accessor_values(gltf, hand.output)[:, 3])
    beeps = energy_beginnings(*soundfile.read(clicked.sound))
    assert np.abs(seconds[0][beginnings(jaw)] - beeps).max() < 0.002
    assert np.abs(seconds[1][beginnings(bend)] - beeps).max() < 0.002


def test_sound_lips_and_hands_begin_together_in_a_film(clicked: AvatarMotion, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(clicked.save(tmp_path / "a.mp4", size=128))) as film:
        frames = [(float(f.time), f.to_ndarray(format="gray").astype(float)) for f in film.decode(video=0)]
    with av.open(str(tmp_path / "a.mp4")) as film:
        sound = [(float(f.time), f.to_ndarray()[0]) for f in film.decode(audio=0)]
    seconds, pictures = np.array([t for t, _ in frames]), np.stack([p for _, p in frames])
    changes = np.abs(pictures - pictures[0])
    height = pictures.shape[1]
    lips = changes[:, : height // 2].mean((1, 2))  # the head is in the upper half, the hand in the lower one
    hands = changes[:, height // 2 :].mean((1, 2))
    samples = np.concatenate([s for _, s in sound])
    beeps = sound[0][0] + energy_beginnings(samples, RATE)
    assert len(beeps) == len(MOMENTS) and seconds[1] == pytest.approx(1 / 30, abs=1e-3)
    for part in (lips, hands):
        assert np.abs(seconds[beginnings(part)] - beeps).max() < 0.005


def test_the_driver_opens_the_jaw_with_the_sound(tmp_path: Path) -> None:
    """The packaged driver on a voice of four syllables a second, read from the .glb."""
    pcm = voice(3.0, RATE)
    soundfile.write(tmp_path / "voice.wav", pcm, RATE)
    avatars = AvatarPipeline(FacePipeline.load(driver_folder(None)), pipeline())
    back = export.load(avatars.speak(tmp_path / "voice.wav").save(tmp_path / "a.glb"))
    assert isinstance(back, AvatarMotion)
    jaw = back.face.weights[15:, JAW].astype(float)
    energy = np.sqrt((pcm.reshape(len(back), -1) ** 2).mean(1))[15:]
    jaw, energy = jaw - jaw.mean(), energy - energy.mean()
    fits = [np.roll(energy, k)[4:-4] @ jaw[4:-4] for k in range(-3, 4)]  # a syllable takes seven and a half frames
    assert abs(int(np.argmax(fits)) - 3) <= 1
