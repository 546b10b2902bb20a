"""Ways by their shape: the path of a motion bent to a `Route` (`avatargpt.requests.paths` reads which)."""

from __future__ import annotations

import numpy as np

from avatargpt.requests.paths import Route
from vqvae.features import FeatureSpec
from vqvae.motion import Motion
from vqvae.smoothing import gaussian

TREND = 0.7  # seconds: what the heading does more slowly is its way, the rest belongs to the gait
EASE = 0.3  # seconds in which a bend sets in
STRIDES = (0.7, 1.35)  # factors of the way
NARROWEST = 0.6  # metres: radius below which nobody walks, in the mean


def along(features: np.ndarray, route: Route, spec: FeatureSpec, caption: str = "") -> Motion:
    """Body features (T, 269) as a motion whose path has the route's shape.

    What the heading does slowly is replaced by the shape; what it does with each step stays.
    """
    out = features.copy()
    speed = np.hypot(out[:, 1], out[:, 2])
    far = max(float(speed.sum()), 1e-6)
    if route.metres:  # as far as was asked for, by somewhat longer or shorter steps
        size = float(np.clip(route.metres / far, *STRIDES))
        out[:, 1:3] *= size
        speed, far = speed * size, far * size
    shape = np.radians(route.heading(np.cumsum(speed) / far))
    turned = float(np.abs(np.diff(shape)).sum())
    if turned:
        shape *= min(1.0, far / (NARROWEST * turned))  # too short a way makes a part of the shape
    own = np.cumsum(out[:, 3])
    gait = own - gaussian(own, TREND * spec.fps)
    wanted = gaussian(shape, EASE * spec.fps) + gait
    out[:, 3] = np.diff(wanted, prepend=wanted[:1])
    return spec.decode(out, caption)
