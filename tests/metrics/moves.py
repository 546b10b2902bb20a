"""Moves made by hand for the tests of geometry, of the bodies in `bodies`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from bodies import Body, T, blended, bump, hand, lowered, moved, standing, wave

from vqvae import rotations as rot

BACK = np.cos(4 * np.pi * np.arange(T) / T)  # from one side to the other and back, twice
UP = np.clip(np.arange(T) / 30, 0, 1)
SAT = lowered(standing(), 0.42, 0.4)
Make = Callable[[], Body]


def body(joints: np.ndarray) -> Make:
    return lambda: Body(joints)


def head(pitch: np.ndarray | float = 0.0, yaw: np.ndarray | float = 0.0) -> Make:
    axis = np.stack([np.broadcast_to(np.deg2rad(x), T) for x in (pitch, yaw, 0.0)], -1)
    return lambda: Body(standing(), rot.from_axis_angle(axis))


def hands(offset: list[float], amount: np.ndarray | None = None, mirror: bool = True) -> np.ndarray:
    """Both hands, `offset` for the left one."""
    out = hand(standing(), "l", offset, amount)
    return hand(out, "r", [-offset[0], *offset[1:]] if mirror else offset, amount)


def shaken(side: str, base: list[float], axis: int, size: float, cycles: float) -> np.ndarray:
    """One hand held at `base` from its shoulder, going to and fro along an axis."""
    offset = np.tile(base, (T, 1)).astype(float)
    offset[:, axis] += size * wave(cycles)
    return hand(standing(), side, offset)


def both_shaken(base: list[float], axis: int, size: float, cycles: float, same: bool = True) -> np.ndarray:
    out = standing()
    for side, sign in (("l", 1), ("r", -1)):
        offset = np.tile([sign * base[0], *base[1:]], (T, 1)).astype(float)
        offset[:, axis] += (1 if same else sign) * size * wave(cycles)
        out = hand(out, side, offset)
    return out


def shoulders_up(rise: float, times: float) -> np.ndarray:
    out = standing()
    out[:, [16, 17, 18, 19, 20, 21], 1] += (rise * np.abs(wave(times / 2)))[:, None]
    return out


def gripped(path: np.ndarray) -> np.ndarray:
    """Both wrists at a path (T, 3) from the middle between the shoulders."""
    out = standing()
    middle = 0.5 * (out[:, 16] + out[:, 17])
    for side, x in (("l", 0.08), ("r", -0.08)):
        j = 16 if side == "l" else 17
        out = hand(out, side, middle + path + np.array([x, 0, 0]) - out[:, j])
    return out


def kneeling() -> np.ndarray:
    out = lowered(standing(), 0.42)
    out[:, 5] = out[:, 2] + np.array([0, -0.36, 0.05])
    out[:, 5, 1] = 0.08
    return out


def lunging() -> np.ndarray:
    out = standing()
    out[:, [7, 10], 2] += 0.45
    out[:, [8, 11], 2] -= 0.35
    return blended(standing(), lowered(out, 0.25), bump())


def knees_up(height: float) -> np.ndarray:
    out = standing()
    for knee, ankle, toe, sign in ((4, 7, 10, 1), (5, 8, 11, -1)):
        lift = np.clip(sign * wave(3), 0, None)
        out[:, [knee, ankle, toe], 1] += (height * lift)[:, None]
        out[:, [knee, ankle, toe], 2] += (0.3 * lift)[:, None]
    return out


def jumping(times: int, height: float = 0.2) -> np.ndarray:
    y = np.zeros(T)
    for start in range(5, 5 + 16 * times, 16):
        y[start : start + 8] = height * np.sin(np.pi * (np.arange(8) + 0.5) / 8)
    return moved(standing(), up=y)


def swung(side: str, low: float, speed: float) -> np.ndarray:
    """A stretched arm from behind the hip forward."""
    angle = np.clip((np.arange(T) - 20) * speed, 0, 1) * 2.2 - 0.9
    offset = np.stack([0 * angle, -0.5 * np.cos(angle) - low, 0.5 * np.sin(angle)], -1)
    return lowered(hand(standing(), side, offset), 0.1 * bump())


def pedalling() -> np.ndarray:
    out = SAT.copy()
    for knee, ankle, sign in ((4, 7, 1), (5, 8, -1)):
        out[:, [knee, ankle], 1] += (0.1 * sign * wave(3))[:, None]
    return out


def stairs(rise: float) -> np.ndarray:
    out = moved(standing(), forward=np.linspace(0, 1, T), up=np.linspace(0, rise, T))
    return out


def twisted(joints: np.ndarray, degrees: float) -> np.ndarray:
    """Shoulders and arms turned to the left about the spine."""
    out = joints.copy()
    a = np.deg2rad(degrees) * bump()
    c, s = np.cos(a)[:, None], np.sin(a)[:, None]
    upper = list(range(12, 22))
    v = out[:, upper] - out[:, 9:10]
    out[:, upper] = out[:, 9:10] + np.stack(
        [v[..., 0] * c + v[..., 2] * s, v[..., 1], -v[..., 0] * s + v[..., 2] * c], -1
    )
    return out


def turned(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees) * UP
    c, s = np.cos(a)[:, None], np.sin(a)[:, None]
    x = standing()
    return np.stack([x[..., 0] * c + x[..., 2] * s, x[..., 1], -x[..., 0] * s + x[..., 2] * c], -1)


def akimbo() -> np.ndarray:
    out = hands([0.0, -0.42, 0.02])
    for elbow, sign in ((18, 1), (19, -1)):
        out[:, elbow] = out[:, elbow - 2] + np.array([0.15 * sign, -0.2, -0.05])
    return out


def hugging() -> np.ndarray:
    wide = hands([0.3, -0.05, 0.3])
    return blended(blended(standing(), wide, np.clip(UP * 3, 0, 1)), hands([-0.1, -0.05, 0.3]), UP**4)


FRONT = [-0.05, -0.2, 0.35]
