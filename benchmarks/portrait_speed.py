"""CPU time of a picture of `avatargpt portrait`, on one core, for networks and pictures of several sizes."""

import time

import numpy as np
import torch

from avatargpt.export.head import head
from avatargpt.export.renderers import MeshRenderer
from avatargpt.face.portrait import Portrait, PortraitNetwork, PortraitShape, landmarks

SHAPES = (PortraitShape(size=128, width=16), PortraitShape(size=256, width=16, most=128))
FRAMES = 32


def run() -> dict[str, float]:
    """Milliseconds a picture."""
    torch.set_num_threads(1)
    renderer, rest = MeshRenderer(512, 512), head().points.astype(float)
    picture, here = renderer.frame(rest), renderer.project(landmarks(rest))
    points = here + np.random.default_rng(0).normal(0, 0.003, (FRAMES, *here.shape))
    out = {}
    for shape in SHAPES:
        portrait = Portrait(PortraitNetwork(shape))
        for size in (shape.size, 512):
            list(portrait.animate(picture, here, points[:2], size))
            begin = time.process_time()
            list(portrait.animate(picture, here, points, size))
            out[f"network of {shape.size}, pictures of {size}, ms"] = 1000 * (time.process_time() - begin) / FRAMES
    return out
