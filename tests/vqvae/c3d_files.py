"""Markers on our body where people wear them, and .c3d files of them, written independently of our reader."""

import struct
from pathlib import Path

import numpy as np

from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

# Markers of the left side and the middle: joint, and metres from it in the joint's axes (left, up, ahead).
_LEFT = {
    "FHD": ("head", (0.07, 0.12, 0.085)), "BHD": ("head", (0.07, 0.12, -0.085)),
    "SHO": ("l_collar", (0.12, 0.08, -0.01)),
    "ELB": ("l_shoulder", (0.26, 0.037, 0.0)), "WRA": ("l_wrist", (0.0, 0.0, 0.032)),
    "WRB": ("l_wrist", (0.0, 0.0, -0.032)),
    "FIN": ("l_wrist", (0.085, 0.014, 0.005)), "ASI": ("pelvis", (0.094, -0.014, 0.03)),
    "PSI": ("pelvis", (0.045, 0.017, -0.13)),
    "KNE": ("l_knee", (0.052, 0.0, 0.0)), "ANK": ("l_ankle", (0.036, 0.0, 0.0)),
    "HEE": ("l_ankle", (0.0, -0.045, -0.06)),
    "TOE": ("l_foot", (0.0, 0.012, 0.0)),
}  # fmt: skip
_MIDDLE = {
    "C7": ("spine3", (0.0, 0.22, -0.055)), "CLAV": ("spine3", (0.0, 0.16, 0.06)),
    "T10": ("spine3", (0.0, -0.06, -0.09)),
    "STRN": ("spine3", (0.0, -0.02, 0.10)), "RBAK": ("spine3", (-0.08, 0.02, -0.09)),
}  # fmt: skip
MACHINES = {84: "<", 85: "<", 86: ">"}  # Intel, DEC, MIPS


def markers_of(motion: Motion) -> dict[str, np.ndarray]:
    """Label of Plug-in Gait -> (T, 3) metres, Y up."""
    places, turns = motion.skeleton.fk_full(motion.rotations, motion.root)

    def on(joint: str, offset: tuple[float, float, float]) -> np.ndarray:
        j = SMPL22.index(joint)
        return np.asarray(places[:, j] + turns[:, j] @ np.array(offset))

    out = {name: on(*place) for name, place in _MIDDLE.items()}
    for name, (joint, offset) in _LEFT.items():
        out[f"L{name}"] = on(joint, offset)
        out[f"R{name}"] = on(joint.replace("l_", "r_"), (-offset[0], *offset[1:]))
    return out


def write_c3d(
    path: Path, points: dict[str, np.ndarray], fps: float = 100.0, machine: int = 84, scaled: bool = False,
    y_screen: str = "+Z",
) -> Path:  # fmt: skip
    """`points` label -> (T, 3), NaN where not seen; `scaled` as 16-bit integers of 0.1."""
    order, scale = MACHINES[machine], 0.1 if scaled else -0.1

    def number(value: float) -> bytes:
        data = struct.pack(f"{order}f", value * 4 if machine == 85 else value)
        return data[2:] + data[:2] if machine == 85 else data

    def integer(value: int) -> bytes:
        return struct.pack(f"{order}h", value)

    def parameter(name: str, kind: int, shape: tuple[int, ...], data: bytes, group: int = 1) -> bytes:
        body = struct.pack("bB", kind, len(shape)) + bytes(shape) + data + b"\0"
        return struct.pack("bb", len(name), group) + name.encode() + integer(len(body) + 2) + body

    labels, frames = list(points), len(next(iter(points.values())))
    width = max(map(len, labels))
    parameters = b"".join([
        struct.pack("bb", 5, -1) + b"POINT" + integer(3) + b"\0",
        parameter("USED", 2, (), integer(len(labels))), parameter("SCALE", 4, (), number(scale)),
        parameter("RATE", 4, (), number(fps)), parameter("FRAMES", 2, (), integer(frames)),
        parameter("LABELS", -1, (width, len(labels)), "".join(n.ljust(width) for n in labels).encode()),
        parameter("UNITS", -1, (2,), b"mm"), parameter("Y_SCREEN", -1, (len(y_screen),), y_screen.encode()),
        b"\0\0",
    ])  # fmt: skip
    blocks = -(-(len(parameters) + 4) // 512)
    parameters = (bytes([1, 0x50, blocks, machine]) + parameters).ljust(blocks * 512, b"\0")
    header = bytes([2, 0x50]) + b"".join(map(integer, (len(labels), 0, 1, frames, 0))) + number(scale)
    header += integer(2 + blocks) + integer(0) + number(fps)
    values = np.stack(list(points.values()), 1)
    seen = np.isfinite(values).all(-1, keepdims=True)
    rows = np.concatenate([np.where(seen, values, 0), np.where(seen, 0.0, -1.0)], -1)
    if scaled:
        data = np.round(rows * [10, 10, 10, 1]).astype(f"{order}i2").tobytes()
    else:
        data = b"".join(number(v) for v in rows.reshape(-1))
    path.write_bytes(header.ljust(512, b"\0") + parameters + data)
    return path
