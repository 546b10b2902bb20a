"""Biovision hierarchy files: a strict reader for any humanoid, and a writer with a T-pose rest.

Every written joint has the rotation channels Z, X, Y (the order most tools write), the root three position channels
before them. A rotation is R = Rz Rx Ry, degrees.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import plain_number, plain_numbers
from vqvae.io.files import parsing, read_text
from vqvae.motion import MAX_FRAMES, Motion, atomic_write
from vqvae.rest import GivesMeans
from vqvae.retarget import retarget
from vqvae.rig import Rig, state_rig
from vqvae.skeleton import FINGER_NAMES, finger_ends

ORDER = "ZXY"
MAX_JOINTS = 1000
UNMOVED = 1e-5  # radians, or the file's unit, that a joint without channels may differ
MAX_BYTES = 1 << 30
ACCEPTED = "accepted a BVH with HIERARCHY and MOTION, at least 2 frames of finite numbers"
# End sites of our leaves, metres: crown, fingertips, toes.
_ENDS = {
    "head": (0.0, 0.17, -0.03), "l_wrist": (0.17, 0.0, 0.0), "r_wrist": (-0.17, 0.0, 0.0),
    "l_foot": (0.0, 0.0, 0.07), "r_foot": (0.0, 0.0, 0.07),
}  # fmt: skip
_AXES = {"xrotation": 0, "yrotation": 1, "zrotation": 2}
_POSITIONS = {"xposition": 0, "yposition": 1, "zposition": 2}


class _Tokens:
    """Words of the hierarchy with their line numbers."""

    def __init__(self, lines: list[str]) -> None:
        self.items = [(w, n) for n, line in enumerate(lines, 1) for w in line.split()]
        self.at = 0

    def next(self, what: str) -> str:
        if self.at >= len(self.items):
            raise UserError(f"the hierarchy ends where {what} is expected; {ACCEPTED}")
        self.at += 1
        return self.items[self.at - 1][0]

    def expect(self, word: str) -> None:
        got = self.next(repr(word))
        if got.upper() != word:
            raise UserError(f"line {self.items[self.at - 1][1]}: {got!r} where {word!r} is expected")

    def number(self, what: str) -> float:
        got = self.next(what)
        try:
            value = plain_number(got)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise UserError(f"line {self.items[self.at - 1][1]}: {got!r} where {what} is expected")
        return value


def _hierarchy(
    tokens: _Tokens,
) -> tuple[list[str], list[int], list[list[float]], list[list[str]], dict[int, np.ndarray]]:
    """Joint names, parents, offsets and channel names, in the order of the file, and where joints' bones end."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    tips: dict[int, np.ndarray] = {}
    tokens.expect("HIERARCHY")
    tokens.expect("ROOT")
    stack: list[int] = []  # open joints; -1 stands for an end site
    opening: str | None = "joint"
    while True:
        if opening == "joint":
            word = tokens.next("a joint name")
            # names may contain spaces
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
            else:
                tips[stack[-2]] = np.array(value)
        elif word == "CHANNELS" and stack[-1] >= 0:
            count = int(tokens.number("a number of channels"))
            if not 0 <= count <= 6:
                raise UserError(f"joint {names[stack[-1]]}: {count} channels; accepted 0 to 6")
            here = [tokens.next("a channel") for _ in range(count)]
            if bad := [c for c in here if c.lower() not in _AXES | _POSITIONS]:
                raise UserError(f"joint {names[stack[-1]]}: channel {bad[0]!r}; accepted X, Y, Z position and rotation")
            channels[stack[-1]] = [c.lower() for c in here]
        elif word == "JOINT" and stack[-1] >= 0:
            opening = "joint"
        elif word == "END" and stack[-1] >= 0:
            tokens.expect("SITE")
            tokens.expect("{")
            stack.append(-1)
        elif word == "}":
            stack.pop()
            if not stack:
                if tokens.at < len(tokens.items):
                    word, line = tokens.items[tokens.at]
                    raise UserError(f"line {line}: {word!r} after the skeleton; accepted one ROOT per file")
                return names, parents, offsets, channels, tips
        else:
            raise UserError(f"line {tokens.items[tokens.at - 1][1]}: unexpected {word!r}")


def _table(text: str, width: int) -> tuple[np.ndarray, float]:
    """The text after the word MOTION -> channel values (T, width) and seconds per frame."""
    head = re.match(r"\s*Frames:\s*(\S+)\s+Frame\s+Time:\s*(\S+)", text, re.IGNORECASE)
    if head is None:
        raise UserError(f"MOTION needs the lines 'Frames: N' and 'Frame Time: seconds'; {ACCEPTED}")
    try:
        frames, step = int(plain_number(head[1])), plain_number(head[2])
    except (ValueError, OverflowError):
        raise UserError(f"'Frames: {head[1]}' or 'Frame Time: {head[2]}' is not a number; {ACCEPTED}") from None
    if not 2 <= frames <= MAX_FRAMES:
        raise UserError(f"{frames} frames; accepted 2 to {MAX_FRAMES}")
    if not 1e-3 <= step <= 100:
        raise UserError(f"frame time {head[2]} s; accepted 0.001 to 100")
    rows = [line for line in text[head.end() :].splitlines() if line.strip()]
    try:
        values = plain_numbers(" ".join(rows))
    except ValueError as e:
        raise UserError(f"motion data are not numbers ({str(e).split(':')[-1].strip()}); {ACCEPTED}") from None
    # find the line that is wrong, for the message
    if len(values) != frames * width:
        if len(rows) != frames:
            raise UserError(f"{len(rows)} lines of data where {frames} frames are announced; {ACCEPTED}")
        bad = next(i for i, r in enumerate(rows) if len(r.split()) != width)
        raise UserError(f"frame {bad}: {len(rows[bad].split())} values; the hierarchy has {width} channels; {ACCEPTED}")
    values = values.reshape(frames, width)
    if not np.isfinite(values).all():
        raise UserError(f"NaN or infinity in frame {int(np.argmin(np.isfinite(values).all(1)))}; {ACCEPTED}")
    return values, step


def parse_bvh(text: str) -> Rig:
    """The rig of a BVH's text: any skeleton, any channels in any order."""
    if not text.lstrip().upper().startswith("HIERARCHY"):
        raise UserError(f"no HIERARCHY at its start; {ACCEPTED}")
    head, table = _sections(text)
    names, parents, offsets, channels, tips = _hierarchy(_Tokens(head))
    data, step = _table("\n".join(table), sum(map(len, channels)))
    frames, rest_offsets = len(data), np.array(offsets, np.float64)
    rotations = rot.identity((frames, len(names)))
    translations = np.repeat(rest_offsets[None], frames, 0)
    # channels stand side by side in the order of the hierarchy
    column = 0
    for j, here in enumerate(channels):
        values = data[:, column : column + len(here)]
        column += len(here)
        turns = [k for k, c in enumerate(here) if c in _AXES]
        rotations[:, j] = rot.from_euler(np.radians(values[:, turns]), [_AXES[here[k]] for k in turns])
        for k, c in enumerate(here):
            # positions replace the offset; some writers leave them zero below the root, meaning "as at rest"
            if c in _POSITIONS and (j == 0 or np.abs(values[:, k]).max() > 0):
                translations[:, j, _POSITIONS[c]] = values[:, k]
    return Rig(tuple(names), tuple(parents), rest_offsets, rotations, translations, 1 / step, tips=tips)


def _sections(text: str) -> tuple[list[str], list[str]]:
    """The lines before and after MOTION."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    if start is None:
        raise UserError(f"no MOTION section; {ACCEPTED}")
    return lines[:start], lines[start + 1 :]


def channels_of(text: str) -> list[list[str]]:
    """Names of every joint's channels in lower case, in the order of the file."""
    return _hierarchy(_Tokens(_sections(text)[0]))[3]


def has_places(channels: list[str]) -> bool:
    """Whether a joint's place can change."""
    return set(_POSITIONS) <= set(channels)


def read_bvh(
    path: str | os.PathLike[str], hands: bool = False, up: str | None = None, unit: float | None = None,
    joints: Mapping[str, str] | None = None, means: GivesMeans | None = None,
) -> Motion:  # fmt: skip
    """Read a BVH file of any humanoid as a Motion at the file's frame rate.

    Joint names of CMU, Mixamo, 3ds Max, Blender, Bandai-Namco and SMPL rigs are known; the unit follows from the legs.
    `hands` makes a gesture, with the file's fingers if it has some (`vqvae.retarget`). `up` (``x`` to ``-z``), `unit`
    (metres) and `joints` (our joint -> the file's) state what is else found by evidence; `means`: see
    `vqvae.rest.rest_of`.

    Raises:
        UserError: names the file and what is wrong (missing joint, NaN, no frames, broken hierarchy).
    """
    rig = read_bvh_rig(path, up, unit, joints)
    with parsing(path, "a readable BVH", ACCEPTED):
        return retarget(rig, hands, means)


def read_bvh_rig(
    path: str | os.PathLike[str], up: str | None = None, unit: float | None = None,
    joints: Mapping[str, str] | None = None,
) -> Rig:  # fmt: skip
    """The rig of a BVH file, with what is stated of it; see `read_bvh`."""
    path = Path(path)
    text = read_text(path, MAX_BYTES, ACCEPTED, latin=True)
    with parsing(path, "a readable BVH", ACCEPTED):
        return state_rig(parse_bvh(text), up, unit, joints)


def write_bvh(
    motion: Motion, path: str | os.PathLike[str], scale: float = 1.0, names: Mapping[str, str] = MappingProxyType({})
) -> Path:
    """Write a BVH whose rest pose is the T-pose facing +Z; of a gesture with its fingers.

    Args:
        scale: file units per metre (1 = metres, 100 = centimetres). names: of joints in the file, for ours.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise UserError(f"{path}: scale {scale}; accepted a positive number of file units per metre")
    (skeleton, rotations), lines, order = motion.with_fingers, ["HIERARCHY"], []
    digits = max(0, 7 - round(np.log10(scale)))
    children: dict[int, list[int]] = {}
    for j, parent in enumerate(skeleton.parents):
        children.setdefault(parent, []).append(j)

    def offset(v: tuple[float, ...] | np.ndarray) -> str:
        return "OFFSET " + " ".join(f"{x * scale:.{digits}f}" for x in v)

    def joint(j: int, depth: int) -> None:
        pad, name = "\t" * depth, skeleton.names[j]
        order.append(j)
        lines.extend([f"{pad}{'JOINT' if depth else 'ROOT'} {names.get(name, name)}", pad + "{"])
        lines.append(f"{pad}\t{offset(skeleton.offsets[j])}")
        rotation = " ".join(f"{axis}rotation" for axis in ORDER)
        kinds = f"3 {rotation}" if depth else f"6 Xposition Yposition Zposition {rotation}"
        lines.append(f"{pad}\tCHANNELS {kinds}")
        for child in children.get(j, []):
            joint(child, depth + 1)
        if j not in children:
            tip = offset(finger_ends(j) if name in FINGER_NAMES else _ENDS.get(name, (0.0, 0.05, 0.0)))
            lines.extend([f"{pad}\tEnd Site", pad + "\t{", f"{pad}\t\t{tip}", pad + "\t}"])
        lines.append(pad + "}")

    # the hierarchy fixes the order of columns
    joint(0, 0)
    angles = euler_angles(rotations)[:, order].reshape(len(motion), -1)
    rows = np.concatenate([motion.root.astype(np.float64) * scale, angles], 1)
    return _write(path, lines, rows, motion.fps, [f"%.{digits}f"] * 3 + ["%.5f"] * angles.shape[1])


def write_frames(text: str, rig: Rig, path: str | os.PathLike[str]) -> Path:
    """Write the hierarchy of a BVH's text, line by line as it is, with the movement of a rig of its joints.

    Raises:
        UserError: a joint turns or moves that has no channels for it.
    """
    head = _sections(text)[0]
    channels = _hierarchy(_Tokens(head))[3]
    orders = [tuple(_AXES[c] for c in here if c in _AXES) for here in channels]
    angles = np.zeros((*rig.translations.shape[:2], 3))  # about X, Y, Z
    for order in set(orders):
        joints = [j for j, axes in enumerate(orders) if axes == order]
        if sorted(order) == [0, 1, 2]:
            angles[:, np.array(joints)[:, None], order] = euler_angles(rig.rotations[:, joints], order)
            continue
        turned = rot.angle_between(rig.rotations[:, joints], rot.identity(())).max(0)
        if turned.max() > UNMOVED:
            name = rig.names[joints[int(turned.argmax())]]
            raise UserError(f"{name} has {len(order)} rotation channels; accepted three for joints that turn")
    columns = []
    for j, here in enumerate(channels):
        if not has_places(here) and np.ptp(rig.translations[:, j], 0).max() > UNMOVED:
            raise UserError(f"{rig.names[j]} has no position channels; accepted three for a joint that moves")
        columns += [angles[:, j, _AXES[c]] if c in _AXES else rig.translations[:, j, _POSITIONS[c]] for c in here]
    return _write(path, head, np.stack(columns, -1), rig.fps, "%.6f")


def _write(
    path: str | os.PathLike[str], head: list[str], rows: np.ndarray, fps: float, fmt: str | list[str]
) -> Path:
    """Write a hierarchy's lines and the values of the channels, a row for each frame."""

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="utf-8", newline="\n") as f:
            f.write("\n".join([*head, "MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.9f}\n"]))
            np.savetxt(f, rows, fmt=fmt)

    return atomic_write(path, write)


def euler_angles(rotations: np.ndarray, order: Sequence[int] = (2, 0, 1)) -> np.ndarray:
    """(T, J, 4) -> (T, J, 3) degrees about three axes (X is 0), R = Ri Rj Rk, where possible without jumps.

    The default is Z, X, Y.
    """
    m = rot.to_matrix(np.asarray(rotations, np.float64))
    i, j, k = order
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    x = np.arcsin(np.clip(sign * m[..., i, k], -1, 1))
    locked = np.abs(m[..., i, k]) > 1 - 1e-12
    free = np.arctan2(-sign * m[..., j, k], m[..., k, k])
    z = np.where(locked, np.arctan2(sign * m[..., k, j], m[..., j, j]), free)
    y = np.where(locked, 0.0, np.arctan2(-sign * m[..., i, j], m[..., i, i]))
    first = np.stack([z, x, y], -1)
    # Both triples give the same rotation; the one nearer to the frame before is taken.
    second = np.stack([z + np.pi, np.pi - x, y + np.pi], -1)
    out = np.empty_like(first)
    out[0] = first[0]
    turn = 2 * np.pi
    for t in range(1, len(out)):
        both = np.stack([first[t], second[t]])
        # whole turns are added so that the angles do not jump
        both += turn * np.round((out[t - 1] - both) / turn)
        nearer = np.abs(both - out[t - 1]).sum(-1).argmin(0)
        out[t] = np.where(nearer[:, None] == 0, both[0], both[1])
    return np.degrees(out)
