"""BVH text: writing ours, and parsing anybody's into plain arrays.

The written rest pose is the T-pose; every joint has the rotation channels Z, X, Y (the order most tools write),
the root three position channels before them. A rotation is R = Rz Rx Ry, degrees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import MAX_FRAMES, Motion, atomic_write

ORDER = "ZXY"
# End sites of our leaves, metres: crown, fingertips, toes.
END_SITES = {
    "head": (0.0, 0.17, -0.03), "l_wrist": (0.17, 0.0, 0.0), "r_wrist": (-0.17, 0.0, 0.0),
    "l_foot": (0.0, 0.0, 0.07), "r_foot": (0.0, 0.0, 0.07),
}  # fmt: skip
ACCEPTED = "accepted a BVH with HIERARCHY and MOTION, at least 2 frames of finite numbers"
_CHANNEL = re.compile(r"^([xyz])(position|rotation)$")


@dataclass(frozen=True)
class Bvh:
    """A parsed file: J joints, parents before children, T frames, the file's own units and axes.

    Attributes:
        path: where it came from, for messages.
        names: J joint names.
        parents: J parent indices, -1 for the root.
        offsets: (J, 3) rest offset from the parent.
        local: (T, J, 4) local rotations, quaternions w, x, y, z; identity = the file's rest pose.
        translation: (T, J, 3) translation from the parent (the offset, or the position channels where there are any).
        fps: frames per second.
    """

    path: Path
    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    local: np.ndarray
    translation: np.ndarray
    fps: float

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions (T, J, 3) and global rotations (T, J, 3, 3), file units."""
        local = rot.to_matrix(self.local)
        glob, pos = [local[:, 0]], [self.translation[:, 0]]
        for j in range(1, len(self.parents)):
            p = self.parents[j]
            pos.append(pos[p] + (glob[p] @ self.translation[:, j, :, None])[..., 0])
            glob.append(glob[p] @ local[:, j])
        return np.stack(pos, 1), np.stack(glob, 1)


def write_bvh(motion: Motion, path: Path, scale: float = 1.0) -> Path:
    """Write a .bvh. `scale`: file units per metre (1 = metres, 100 = centimetres).

    Raises:
        UserError: scale not a positive number, or the file cannot be written.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise UserError(f"{path}: scale {scale}; accepted a positive number of file units per metre")
    skeleton, lines, order = motion.skeleton, ["HIERARCHY"], []
    digits = max(0, 7 - round(np.log10(scale)))
    children: dict[int, list[int]] = {}
    for j, parent in enumerate(skeleton.parents):
        children.setdefault(parent, []).append(j)

    def offset(v: tuple[float, ...] | np.ndarray) -> str:
        return "OFFSET " + " ".join(f"{x * scale:.{digits}f}" for x in v)

    def joint(j: int, depth: int) -> None:
        pad, name = "\t" * depth, skeleton.names[j]
        order.append(j)
        lines.extend([f"{pad}{'JOINT' if depth else 'ROOT'} {name}", pad + "{"])
        lines.append(f"{pad}\t{offset(skeleton.offsets[j])}")
        rotation = " ".join(f"{axis}rotation" for axis in ORDER)
        kinds = f"3 {rotation}" if depth else f"6 Xposition Yposition Zposition {rotation}"
        lines.append(f"{pad}\tCHANNELS {kinds}")
        for child in children.get(j, []):
            joint(child, depth + 1)
        if j not in children:
            lines.extend([f"{pad}\tEnd Site", pad + "\t{", f"{pad}\t\t{offset(END_SITES[name])}", pad + "\t}"])
        lines.append(pad + "}")

    joint(0, 0)
    angles = euler_angles(motion.rotations)[:, order].reshape(len(motion), -1)
    lines += ["MOTION", f"Frames: {len(motion)}", f"Frame Time: {1 / motion.fps:.9f}"]

    def write(temporary: Path) -> None:
        with open(temporary, "w", encoding="ascii", newline="\n") as f:
            f.write("\n".join(lines) + "\n")
            rows = np.concatenate([motion.root.astype(np.float64) * scale, angles], 1)
            np.savetxt(f, rows, fmt=[f"%.{digits}f"] * 3 + ["%.5f"] * angles.shape[1])

    return atomic_write(path, write)


def euler_angles(rotations: np.ndarray) -> np.ndarray:
    """(T, J, 4) -> (T, J, 3) degrees about Z, X, Y with R = Rz Rx Ry, without jumps along time where possible.

    Of the two triples that give the same rotation, (a, b, c) and (a + 180, 180 - b, c + 180), the one nearer to the
    frame before is taken, then whole turns are added.
    """
    m = rot.to_matrix(np.asarray(rotations, np.float64))
    x = np.arcsin(np.clip(m[..., 2, 1], -1, 1))
    locked = np.abs(m[..., 2, 1]) > 1 - 1e-12
    z = np.where(locked, np.arctan2(m[..., 1, 0], m[..., 0, 0]), np.arctan2(-m[..., 0, 1], m[..., 1, 1]))
    y = np.where(locked, 0.0, np.arctan2(-m[..., 2, 0], m[..., 2, 2]))
    first = np.stack([z, x, y], -1)
    second = np.stack([z + np.pi, np.pi - x, y + np.pi], -1)
    out = np.empty_like(first)
    out[0] = first[0]
    turn = 2 * np.pi
    for t in range(1, len(out)):
        both = np.stack([first[t], second[t]])
        both += turn * np.round((out[t - 1] - both) / turn)
        nearer = np.abs(both - out[t - 1]).sum(-1).argmin(0)
        out[t] = np.where(nearer[:, None] == 0, both[0], both[1])
    return np.degrees(out)


def parse_bvh(path: Path) -> Bvh:
    """Read any .bvh: joints in any order, any channels in any order.

    Raises:
        UserError: not a BVH, truncated, NaN, fewer than two frames, no frame time.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not text; {ACCEPTED}") from None
    head, separator, tail = text.partition("MOTION")
    if not head.lstrip().upper().startswith("HIERARCHY") or not separator:
        raise UserError(f"{path}: no {'MOTION' if head.lstrip().startswith('HIERARCHY') else 'HIERARCHY'}; {ACCEPTED}")
    names, parents, offsets, channels = _hierarchy(head.split()[1:], path)
    match = re.match(r"\s*Frames:\s*(\S+)\s+Frame\s+Time:\s*(\S+)", tail, re.IGNORECASE)
    if match is None:
        raise UserError(f"{path}: 'Frames:' and 'Frame Time:' not found after MOTION; {ACCEPTED}")
    count, step = _number(match[1], "Frames", path), _number(match[2], "Frame Time", path)
    if not 2 <= count <= MAX_FRAMES or count != int(count):
        raise UserError(f"{path}: {match[1]} frames; accepted 2 to {MAX_FRAMES}")
    if not 1e-3 <= step <= 100:
        raise UserError(f"{path}: frame time {match[2]} s; accepted 0.001 to 100")
    try:
        values = np.array(tail[match.end() :].split(), np.float64)
    except ValueError as e:
        raise UserError(f"{path}: motion data are not numbers ({e}); {ACCEPTED}") from None
    width = sum(len(c) for c in channels)
    if len(values) != int(count) * width:
        found = len(values) / max(width, 1)
        raise UserError(f"{path}: {found:g} frames of {width} numbers where {int(count)} are announced; {ACCEPTED}")
    values = values.reshape(int(count), width)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: NaN or infinity at frame {int(np.argmin(np.isfinite(values).all(1)))}; {ACCEPTED}")
    local, translation = _apply(values, channels, np.array(offsets))
    return Bvh(path, tuple(names), tuple(parents), np.array(offsets), local, translation, 1 / step)


def _number(word: str, what: str, path: Path) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UserError(f"{path}: {what} '{word}' is not a number; {ACCEPTED}")
    return value


def _hierarchy(
    words: list[str], path: Path
) -> tuple[list[str], list[int], list[list[float]], list[list[tuple[str, int]]]]:
    """Names, parents, offsets and channels ((kind, axis), ...) per joint, in the order of the file."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[tuple[str, int]]] = []
    stack: list[int] = []
    i, pending = 0, -2  # pending: index of the block about to open; -2 is an end site
    try:
        while i < len(words):
            word = words[i].upper()
            if word in ("ROOT", "JOINT"):
                if word == "ROOT" and names:
                    raise UserError(f"{path}: more than one ROOT; accepted one skeleton per file")
                start = i + 1
                while words[i + 1] != "{":
                    i += 1
                names.append(" ".join(words[start : i + 1]))
                parents.append(stack[-1] if stack else -1)
                offsets.append([0.0, 0.0, 0.0])
                channels.append([])
                pending = len(names) - 1
            elif word == "END":
                i, pending = i + 1, -2
            elif word == "{":
                stack.append(pending)
            elif word == "}":
                stack.pop()
            elif word == "OFFSET":
                triple = [_number(w, "OFFSET", path) for w in words[i + 1 : i + 4]]
                if stack[-1] >= 0:
                    offsets[stack[-1]] = [triple[0], triple[1], triple[2]]
                i += 3
            elif word == "CHANNELS":
                n = int(words[i + 1])
                for w in words[i + 2 : i + 2 + n]:
                    match = _CHANNEL.match(w.lower())
                    if match is None:
                        raise UserError(f"{path}: channel '{w}'; accepted X, Y, Z with position or rotation")
                    channels[stack[-1]].append((match[2], "xyz".index(match[1])))
                i += 1 + n
            else:
                raise UserError(f"{path}: unexpected '{words[i]}' in the HIERARCHY; {ACCEPTED}")
            i += 1
    except (IndexError, ValueError) as e:
        if isinstance(e, UserError):
            raise
        raise UserError(f"{path}: HIERARCHY is cut off or malformed; {ACCEPTED}") from None
    if stack or not names:
        raise UserError(f"{path}: HIERARCHY is cut off or malformed; {ACCEPTED}")
    return names, parents, offsets, channels


def _apply(
    values: np.ndarray, channels: list[list[tuple[str, int]]], offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Channel values (T, W) -> local quaternions (T, J, 4) and translations (T, J, 3)."""
    local = rot.identity((len(values), len(channels)))
    translation = np.tile(offsets, (len(values), 1, 1))
    column = 0
    for j, own in enumerate(channels):
        for kind, axis in own:
            if kind == "position":
                translation[:, j, axis] = values[:, column]
            else:
                vector = np.zeros((len(values), 3))
                vector[:, axis] = np.radians(values[:, column])
                local[:, j] = rot.multiply(local[:, j], rot.from_axis_angle(vector))
            column += 1
    return local, translation
