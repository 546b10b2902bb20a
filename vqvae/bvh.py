"""Biovision hierarchy files: a strict reader for any humanoid, and a writer with a T-pose rest."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import MAX_FRAMES, Motion, atomic_write
from vqvae.retarget import Rig, retarget

_AXES = {"xrotation": 0, "yrotation": 1, "zrotation": 2}
_POSITIONS = {"xposition": 0, "yposition": 1, "zposition": 2}
MAX_JOINTS = 1000
# Where bones end that have no child joint, metres.
_ENDS = {"head": (0.0, 0.12, 0.02), "l_wrist": (0.16, 0.0, 0.0), "r_wrist": (-0.16, 0.0, 0.0),
         "l_foot": (0.0, 0.0, 0.07), "r_foot": (0.0, 0.0, 0.07)}  # fmt: skip


class _Tokens:
    """The words of the hierarchy with their line numbers."""

    def __init__(self, lines: list[str]) -> None:
        self.items = [(w, n) for n, line in enumerate(lines, 1) for w in line.split()]
        self.at = 0

    def next(self, what: str) -> str:
        if self.at >= len(self.items):
            raise UserError(f"ends where {what} is expected")
        self.at += 1
        return self.items[self.at - 1][0]

    def expect(self, word: str) -> None:
        got = self.next(repr(word))
        if got.upper() != word:
            raise UserError(f"line {self.items[self.at - 1][1]}: {got!r} where {word!r} is expected")

    def number(self, what: str) -> float:
        got = self.next(what)
        try:
            value = float(got)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise UserError(f"line {self.items[self.at - 1][1]}: {got!r} where {what} is expected")
        return value


def _hierarchy(tokens: _Tokens) -> tuple[list[str], list[int], list[list[float]], list[list[str]]]:
    """Joint names, parents, offsets and channel names, in the order of the file."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    tokens.expect("HIERARCHY")
    tokens.expect("ROOT")
    stack: list[int] = []  # open joints; -1 stands for an end site
    opening: str | None = "joint"
    while True:
        if opening == "joint":
            word = tokens.next("a joint name")
            while tokens.at < len(tokens.items) and tokens.items[tokens.at][0] != "{":
                word += " " + tokens.next("'{'")
            names.append(word)
            parents.append(stack[-1] if stack else -1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append([])
            stack.append(len(names) - 1)
            tokens.expect("{")
            if len(names) > MAX_JOINTS:
                raise UserError(f"more than {MAX_JOINTS} joints")
        opening = None
        word = tokens.next("'}'").upper()
        if word == "OFFSET":
            value = [tokens.number("an offset") for _ in range(3)]
            if stack[-1] >= 0:
                offsets[stack[-1]] = value
        elif word == "CHANNELS" and stack[-1] >= 0:
            count = int(tokens.number("a number of channels"))
            if not 0 <= count <= 6:
                raise UserError(f"joint {names[stack[-1]]}: {count} channels; accepted 0 to 6")
            here = [tokens.next("a channel").lower() for _ in range(count)]
            if bad := [c for c in here if c not in _AXES and c not in _POSITIONS]:
                raise UserError(f"joint {names[stack[-1]]}: channel {bad[0]!r}; accepted X, Y, Z position and rotation")
            channels[stack[-1]] = here
        elif word == "JOINT" and stack[-1] >= 0:
            opening = "joint"
        elif word == "END" and stack[-1] >= 0:
            tokens.expect("SITE")
            tokens.expect("{")
            stack.append(-1)
        elif word == "}":
            stack.pop()
            if not stack:
                return names, parents, offsets, channels
        else:
            raise UserError(f"line {tokens.items[tokens.at - 1][1]}: unexpected {word!r}")


def _rotations(values: np.ndarray, order: list[int]) -> np.ndarray:
    """(T, k) degrees about the axes `order`, applied right to left -> quaternions (T, 4)."""
    q = rot.identity((len(values),))
    for k, axis in enumerate(order):
        half = np.radians(values[:, k]) / 2
        turn = np.zeros((len(values), 4))
        turn[:, 0], turn[:, 1 + axis] = np.cos(half), np.sin(half)
        q = rot.multiply(q, turn)
    return q


def parse_bvh(text: str) -> Rig:
    """Read the text of a BVH file into its own joints.

    Raises:
        UserError: what is wrong and in which line.
    """
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if start is None:
        raise UserError("no MOTION section; a BVH has HIERARCHY and MOTION")
    names, parents, offsets, channels = _hierarchy(_Tokens(lines[:start]))
    head = [line.split() for line in lines[start + 1 : start + 20] if line.strip()]
    if len(head) < 2 or head[0][0].lower() != "frames:" or [w.lower() for w in head[1][:2]] != ["frame", "time:"]:
        raise UserError("MOTION needs the lines 'Frames: N' and 'Frame Time: seconds'")
    try:
        frames, step = int(head[0][1]), float(head[1][2])
    except (ValueError, IndexError):
        raise UserError("MOTION: the number of frames or the frame time is not a number") from None
    if not 2 <= frames <= MAX_FRAMES:
        raise UserError(f"{frames} frames; accepted 2 to {MAX_FRAMES}")
    if not 1e-3 <= step <= 10:
        raise UserError(f"frame time {step} s; accepted 0.001 to 10")
    first = next(i for i in range(start, len(lines)) if lines[i].lower().replace(" ", "").startswith("frametime:")) + 1
    width = sum(map(len, channels))
    rows = [line for line in lines[first:] if line.strip()]
    if len(rows) != frames:
        raise UserError(f"{len(rows)} lines of data where 'Frames:' says {frames}")
    try:
        data = np.array(" ".join(rows).split(), np.float64)
    except ValueError as e:
        raise UserError(f"the data holds something that is no number ({str(e).split(':')[-1].strip()})") from None
    if data.size != frames * width:
        bad = next((i for i, r in enumerate(rows) if len(r.split()) != width), 0)
        raise UserError(f"frame {bad}: {len(rows[bad].split())} values; the hierarchy has {width} channels")
    data = data.reshape(frames, width)
    if not np.isfinite(data).all():
        raise UserError(f"NaN or infinity in frame {int(np.argmin(np.isfinite(data).all(1)))}")
    rest = np.array(offsets, np.float64)
    rotations = rot.identity((frames, len(names)))
    translations = np.repeat(rest[None], frames, 0)
    column = 0
    for j, here in enumerate(channels):
        values = data[:, column : column + len(here)]
        column += len(here)
        turns = [k for k, c in enumerate(here) if c in _AXES]
        rotations[:, j] = _rotations(values[:, turns], [_AXES[here[k]] for k in turns])
        for k, c in enumerate(here):
            # positions replace the offset; some writers leave them all zero below the root, meaning "as at rest"
            if c in _POSITIONS and (j == 0 or np.abs(values[:, k]).max() > 0):
                translations[:, j, _POSITIONS[c]] = values[:, k]
    return Rig(tuple(names), tuple(parents), rest, rotations, translations, 1 / step)


def read_bvh(path: str | os.PathLike[str]) -> Motion:
    """Read a BVH file of any humanoid as a Motion at the file's frame rate.

    Joint names of CMU, Mixamo, 3ds Max, Blender, Bandai-Namco and SMPL rigs are known; the unit follows from the legs.

    Raises:
        UserError: names the file and what is wrong (missing joint, NaN, no frames, broken hierarchy).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8", errors="strict")
    except OSError as e:
        raise UserError(f"{path}: cannot be read ({e.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; accepted a BVH") from None
    try:
        return retarget(parse_bvh(text))
    except UserError as e:
        raise UserError(f"{path}: {e}") from None


def _euler_zyx(q: np.ndarray) -> np.ndarray:
    """Quaternions (..., 4) -> degrees (..., 3) about Z, Y, X with R = Rz Ry Rx. Exact at the poles too."""
    m = rot.to_matrix(q)
    flat = np.hypot(m[..., 0, 0], m[..., 1, 0])
    y = np.arctan2(-m[..., 2, 0], flat)
    pole = flat < 1e-9
    z = np.where(pole, 0.0, np.arctan2(m[..., 1, 0], m[..., 0, 0]))
    x = np.where(pole, np.arctan2(-m[..., 1, 2], m[..., 1, 1]), np.arctan2(m[..., 2, 1], m[..., 2, 2]))
    return np.degrees(np.stack([z, y, x], -1))


def write_bvh(motion: Motion, path: str | os.PathLike[str], scale: float = 1.0) -> Path:
    """Write a BVH whose rest pose is the T-pose facing +Z.

    Args:
        scale: units per metre (100 = centimetres).

    Raises:
        UserError: the folder cannot be written.
    """
    skeleton = motion.skeleton
    children: list[list[int]] = [[] for _ in skeleton.names]
    for j, p in enumerate(skeleton.parents):
        if p >= 0:
            children[p].append(j)
    lines = ["HIERARCHY"]
    order: list[int] = []

    def number(v: np.ndarray) -> str:
        return " ".join(f"{x:.6f}" for x in np.asarray(v) * scale)

    def joint(j: int, depth: int) -> None:
        order.append(j)
        pad = "  " * depth
        lines.extend([f"{pad}{'JOINT' if j else 'ROOT'} {skeleton.names[j]}", f"{pad}{{",
                      f"{pad}  OFFSET {number(skeleton.offsets[j])}"])  # fmt: skip
        turns = "Zrotation Yrotation Xrotation"
        lines.append(f"{pad}  CHANNELS 3 {turns}" if j else f"{pad}  CHANNELS 6 Xposition Yposition Zposition {turns}")
        for c in children[j]:
            joint(c, depth + 1)
        if not children[j]:
            end = np.array(_ENDS.get(skeleton.names[j], (0.0, 0.05, 0.0)))
            lines.extend([f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {number(end)}", f"{pad}  }}"])
        lines.append(f"{pad}}}")

    joint(0, 0)
    angles = _euler_zyx(motion.rotations[:, order].astype(np.float64)).reshape(len(motion), -1)
    rows = np.concatenate([motion.root * scale, angles], 1)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.8f}"]

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
            np.savetxt(f, rows, fmt="%.6f")

    return atomic_write(path, write)
