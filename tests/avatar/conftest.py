"""Invented parts of an avatar."""

import numpy as np
import pytest

from avatargpt.avatar.pipeline import AvatarPipeline, Standing, compose_clip
from avatargpt.export.avatar import AvatarMotion
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.pipeline import FacePipeline
from tests.factories import RandomGrounder
from tests.gesture.conftest import pipeline
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.features import JOINTS, STANDING, relax_fingers
from vqvae.motion import Motion


def gestures(frames: int, seed: int = 0) -> Motion:
    """Standing, with smooth movements of every joint of the upper body and every finger."""
    rng, t = np.random.default_rng(seed), np.arange(frames)[:, None, None] / 30
    rate, size = rng.uniform(0.5, 2, (1, len(JOINTS), 3)), rng.uniform(-0.3, 0.3, (1, len(JOINTS), 3))
    rotations = rot.identity((frames, 22))
    rotations[:, JOINTS] = rot.from_axis_angle(size * np.sin(2 * np.pi * rate * t))
    fingers = rot.multiply(relax_fingers()[None], rot.from_axis_angle(0.2 * np.sin(t + rng.uniform(0, 6, (1, 30, 3)))))
    root = np.repeat(STANDING[None], frames, 0)
    return Motion(rotations, root, 30.0, "gesture", fingers=fingers)


def face(frames: int, seed: int = 0) -> FaceMotion:
    rng = np.random.default_rng(seed)
    return FaceMotion(rng.uniform(0, 1, (frames, 52)), rng.uniform(-0.2, 0.2, (frames, 3)), 30.0)


@pytest.fixture
def avatar() -> AvatarMotion:
    return compose_clip(Standing(), gestures(24), face(24), caption="somebody talks")


@pytest.fixture
def avatars(driver: Driver) -> AvatarPipeline:
    """Small networks of random weights."""
    return AvatarPipeline(FacePipeline(driver, grounder=RandomGrounder()), pipeline())
