"""CPU time of a picture of `avatargpt portrait`, on one core, for networks and pictures of several sizes.

    python benchmarks/portrait_speed.py
"""

import time

import numpy as np
import torch

from avatargpt.export.head import head
from avatargpt.export.renderers import MeshRenderer
from avatargpt.face.portrait import Portrait, PortraitNetwork, PortraitShape, landmarks

SHAPES = (PortraitShape(size=128, width=16), PortraitShape(size=256, width=16, most=128))
FRAMES = 32


def main() -> None:
    """Print a line for each."""
    torch.set_num_threads(1)
    renderer, rest = MeshRenderer(512, 512), head().points.astype(float)
    picture, here = renderer.frame(rest), renderer.project(landmarks(rest))
    points = here + np.random.default_rng(0).normal(0, 0.003, (FRAMES, *here.shape))
    for shape in SHAPES:
        portrait = Portrait(PortraitNetwork(shape))
        for size in (shape.size, 512):
            list(portrait.animate(picture, here, points[:2], size))
            begin = time.process_time()
            list(portrait.animate(picture, here, points, size))
            each = (time.process_time() - begin) / FRAMES
            print(f"network of {shape.size}, pictures of {size}: {1000 * each:.0f} ms a picture")


if __name__ == "__main__":
    main()
