"""The hair of our head: locks that fall from the crown, parted in front. Metres."""

from __future__ import annotations

import numpy as np

from avatargpt.export.head.parts import HAIR, Part, sheet
from avatargpt.export.head.shape import CENTRE, cast, smooth

_HAIRLINE = np.array([  # longitude, height
    (0.0, 0.0770), (0.25, 0.0740), (0.45, 0.0650), (0.62, 0.0500), (0.78, 0.0330), (0.98, 0.0130), (1.16, -0.0060),
    (1.28, -0.0210), (1.36, -0.0200), (1.46, 0.0110), (1.62, 0.0215), (1.84, 0.0120), (2.02, -0.0260),
    (2.22, -0.0560), (2.60, -0.0780), (np.pi, -0.0840),
])  # fmt: skip
_STRANDS = 4  # columns of a lock
_HALF = 12 * _STRANDS + 1  # columns from the middle in front to the middle behind
_DOWN = np.array([0.05, 0.14, 0.24, 0.34, 0.44, 0.54, 0.63, 0.72, 0.80, 0.87, 0.93, 0.975, 1.0, 1.0])
"""Share of the way from the crown to the hair's edge, row by row; the last row tucks the edge in."""
_LIFT = np.array([
    0.0125, 0.0132, 0.0140, 0.0146, 0.0150, 0.0150, 0.0146, 0.0138, 0.0126, 0.0110, 0.0088, 0.0062, 0.0036, -0.0030,
])  # fmt: skip
"""Metres that it stands off the skull."""


def hairline(half: np.ndarray) -> np.ndarray:
    """Height of the hair's edge by longitude (0 in front, pi behind)."""
    from scipy.interpolate import PchipInterpolator

    out: np.ndarray = PchipInterpolator(*_HAIRLINE.T)(half)
    return out


def hair() -> Part:
    """Short hair as one shell: columns are strands, every `_STRANDS` of them a lock, a ridge with a tip of its own."""
    half, number = np.linspace(0, np.pi, _HALF), np.arange(_HALF)
    ridge = 0.5 - 0.5 * np.cos(2 * np.pi * number / _STRANDS)  # 0 in the groove between two locks, 1 on a lock
    lock = number // _STRANDS
    long = 0.55 + 0.45 * np.cos(2.4 * lock + 0.6)  # locks differ; the golden angle repeats nothing
    uneven = np.interp(half, [0, 0.25, 0.5, 0.9, 1.1, 1.7, 2.1, np.pi], [0.3, 0.7, 1, 0.8, 0.35, 0.25, 1, 1])
    tip = 0.0100 * ridge * long * uneven
    elevation = np.linspace(np.pi / 2, -1.2, 160)
    height = np.minimum.accumulate(cast(half[:, None], elevation[None])[..., 1], 1)
    height = height - 1e-8 * np.arange(len(elevation))
    ends = hairline(half) - tip
    end = np.array([np.interp(-h, -row, elevation) for h, row in zip(ends, height, strict=True)])
    down = _DOWN[:, None]
    swept = 0.20 * np.sin(np.pi * np.minimum(half / 1.5, 1)) * (down * (1 - down) * 2)  # from the parting to the sides
    points = cast(half + swept * (number > 0) * (number < _HALF - 1), np.pi / 2 + down * (end - np.pi / 2))
    out = points - CENTRE
    relief = 0.0034 * (ridge - 0.6) * np.sin(np.pi * np.minimum(0.12 + down, 1)) ** 0.5
    relief = relief + 0.0012 * np.cos(2.4 * lock) * down * ridge - 0.0030 * np.exp(-((half / 0.10) ** 2)) * (down < 0.9)
    thin = 1 - 0.40 * np.exp(-(((half - 1.25) / 0.30) ** 2)) * down  # over the ears
    thin = thin * (1 - 0.35 * smooth(0.75, 1.0, down) * (1 - smooth(0.6, 1.0, half)))  # and at the forehead
    lift = np.where(_LIFT[:, None] > 0, np.maximum(_LIFT[:, None] * thin + relief, 0.0012), _LIFT[:, None])
    points = points + out / np.linalg.norm(out, axis=-1, keepdims=True) * lift[..., None]
    other = np.concatenate([number, number[-2:0:-1]])
    sign = np.where(np.arange(len(other)) < _HALF, 1.0, -1.0)
    around = points[:, other] * np.stack([sign, np.ones(len(other)), np.ones(len(other))], -1)
    around[:, [0, _HALF - 1], 0] = 0
    shade = 0.66 + 0.50 * ridge + 0.20 * np.cos(2.4 * number) + 0.10 * np.cos(1.7 * lock) * np.ones_like(down)
    shade = shade * np.interp(down, [0, 0.6, 1], [1.0, 1.06, 0.82])
    colours = np.clip(np.array(HAIR) * shade[:, other][..., None], 0, 1).reshape(-1, 3)
    top = cast(np.zeros(1), np.full(1, np.pi / 2)) + [0, _LIFT[0] - 0.0010, 0]
    last, k = len(colours), np.arange(len(other))
    cap = np.stack([np.full(len(other), last), k, (k + 1) % len(other)], 1)
    return Part(
        "hair", np.concatenate([around.reshape(-1, 3), top]),
        np.concatenate([sheet(len(_DOWN), len(other), closed=True), cap]), np.concatenate([colours, [HAIR]]),
    )  # fmt: skip
