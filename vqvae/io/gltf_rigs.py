"""Animations of humanoids in glTF files: key frames, tracks, skeletons, and the rigs or motions they give.

Skeletons may have bones of any names, axes and units, with other nodes between them. The rest pose is the one the mesh
is bound in, or, without a mesh, that of the nodes as stored, where that stands as at rest: nodes may be stored as in
any frame, and then joints are at rest along their own axes. VRM's extension takes precedence over names of nodes. Y is
up, unless a skeleton is modelled along Z and no node above it turns it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.files import parsing
from vqvae.io.gltf import (
    ACCEPTED,
    Animation,
    Document,
    Skin,
    accessor_values,
    check_readable,
    node_transform,
    read_gltf,
)
from vqvae.motion import MAX_FPS, MAX_FRAMES, MIN_FPS, Motion
from vqvae.posture import at_rest, posture
from vqvae.retarget import finger_map, retarget
from vqvae.rig import Rig, ancestors, joint_map, joints_known, rig_of, state_rig

FPS = 30.0  # where key frames are not evenly spaced
STEP = "STEP"  # the interpolation that holds a value until the next key frame
SPLINE = "CUBICSPLINE"  # the one whose key frames have slopes before and after the value
UNIT_TOLERANCE = 0.02  # by which the length of a rotation may differ from 1: editors store them in bytes
MAX_RESAMPLED, MAX_PER_KEY = 36_000, 300  # frames made between few key frames: 20 minutes, and 10 s for each of them
RATE_TOLERANCE = 0.02  # the share by which a stated frame rate may differ from the key frames'
WIDTHS = {"rotation": 4, "translation": 3, "scale": 3}
MAX_NAMES = 12  # animations that a message lists
MAX_ROTATIONS = 60_000_000  # of one animation
MAX_JOINTS = 2000
MIN_UPRIGHT = 0.8  # share of the distance from pelvis to head that lies along an axis
SOLE = (-0.02, 0.12)  # heights of a rest pose's lowest joint, of its total height, where 0 is taken for the floor
_T_POSED = "VRMC_vrm_animation"  # the format demands a T-pose at rest
_VRM = ("VRMC_vrm", _T_POSED, "VRM")
_World = tuple[np.ndarray, np.ndarray, np.ndarray]  # rotation (T, 4), linear map (T, 3, 3) and position (T, 3)


def extras_of(extras: Any) -> tuple[float | None, str]:
    """Frames per second (None without a usable rate) and caption ('') of ``extras``, which programs fill freely."""
    values: dict[str, Any] = extras if isinstance(extras, dict) else {}
    fps, caption = values.get("fps"), values.get("caption")
    rate = float(fps) if isinstance(fps, int | float) and MIN_FPS <= fps <= MAX_FPS else None
    return rate, caption if isinstance(caption, str) else ""


def common_times(
    lines: Sequence[np.ndarray], fps: float | None = None, steps: bool = False
) -> tuple[np.ndarray, float]:
    """The times at which all tracks are read, and how many there are a second.

    These are the times of the track with the most key frames where they are evenly spaced and those of all others lie
    among them, at least one a second; else 30 a second from the first key frame of all to the last.

    Args:
        lines: (n,) rising seconds of each track, at least one track. fps: stated in the file.
        steps: values are held or follow a curve between key frames: fewer than 15 a second would not show how.

    Raises:
        ValueError: times that do not rise, or more than `MAX_FRAMES` frames.
    """
    if any(len(t) < 1 or not np.isfinite(t).all() or (np.diff(t) <= 0).any() for t in lines):
        raise ValueError("times that do not rise")
    first, last = min(t[0] for t in lines), max(t[-1] for t in lines)
    longest = max(lines, key=len)
    key_rate = (len(longest) - 1) / (longest[-1] - longest[0]) if len(longest) > 1 else fps or FPS
    # editors change key frames and leave `extras`
    rate = fps if fps and abs(key_rate / fps - 1) <= RATE_TOLERANCE else key_rate
    # files hold seconds as float32: after an hour they are coarse beside a step, and the count decides
    counted = len(longest) == round((longest[-1] - longest[0]) * rate) + 1
    coarse = 2 * float(np.spacing(np.float32(longest[-1]))) if counted else 0.0
    even = len(longest) == 1 or np.allclose(np.diff(longest), 1 / rate, atol=0.05 / rate + coarse)
    inside = even and all(
        np.allclose((t - longest[0]) * rate, np.round((t - longest[0]) * rate), rtol=0, atol=0.05 + coarse * rate)
        for t in lines
    )
    slow = rate < (FPS / 2 if steps else MIN_FPS)
    if not inside or slow or last - first > longest[-1] - longest[0] + 1 / rate:
        rate = FPS
        count = min((last - first) * FPS + 1.5, MAX_FRAMES + 1)
        if count > MAX_RESAMPLED + MAX_PER_KEY * len(longest):
            raise ValueError(f"{len(longest)} key frames over {last - first:.4g} s")
        longest = first + np.arange(int(count)) / FPS
    if len(longest) > MAX_FRAMES:
        raise ValueError(f"more than {MAX_FRAMES} frames")
    return longest, rate


def interpolate(times: np.ndarray, keys: np.ndarray, values: np.ndarray, step: bool = False) -> np.ndarray:
    """Values (n, ...) of a track's key frames (n,) at `times` (T,), linear between them or held -> (T, ...)."""
    if len(keys) == len(times) and np.allclose(keys, times, atol=1e-6):
        return values
    if step:
        return np.asarray(values[_key_before(times, keys)])
    flat = values.reshape(len(keys), -1)
    return np.stack([np.interp(times, keys, v) for v in flat.T], 1).reshape(len(times), *values.shape[1:])


def interpolate_rotations(times: np.ndarray, keys: np.ndarray, turns: np.ndarray, step: bool = False) -> np.ndarray:
    """As `interpolate`, of rotations (n, 4), w first, along the shorter arc -> (T, 4)."""
    if len(keys) == len(times) and np.allclose(keys, times, atol=1e-6):
        return turns
    if step:
        return np.asarray(turns[_key_before(times, keys)])
    if len(keys) == 1:
        return np.repeat(turns, len(times), 0)
    inside = np.clip(times, keys[0], keys[-1])
    left = np.clip(np.searchsorted(keys, inside, side="right") - 1, 0, len(keys) - 2)
    share = (inside - keys[left]) / (keys[left + 1] - keys[left])
    return rot.slerp(turns[left].astype(np.float64), turns[left + 1].astype(np.float64), share).astype(turns.dtype)


def interpolate_spline(times: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of a cubic Hermite spline at `times` (T,) -> (T, k): glTF 2.0, appendix C.5.

    Of each of the key frames (n,) `values` (3 n, k) has the slope before it, the value, the slope after it; a
    `ValueError` where it has not.
    """
    if len(values) != 3 * len(keys):
        raise ValueError(f"{len(values)} values of {len(keys)} key frames of a spline")
    before, value, after = values.reshape(len(keys), 3, -1).astype(np.float64).transpose(1, 0, 2)
    if len(keys) == 1:
        return np.repeat(value, len(times), 0)
    inside = np.clip(times, keys[0], keys[-1])
    left = np.clip(np.searchsorted(keys, inside, side="right") - 1, 0, len(keys) - 2)
    length = keys[left + 1] - keys[left]
    u = (inside - keys[left]) / length
    u, length = u[:, None], length[:, None]
    start, end = (2 * u**3 - 3 * u**2 + 1), (3 * u**2 - 2 * u**3)
    leaving, arriving = (u**3 - 2 * u**2 + u) * length, (u**3 - u**2) * length
    return np.asarray(start * value[left] + leaving * after[left] + end * value[left + 1] + arriving * before[left + 1])


def check_unit(turns: np.ndarray) -> np.ndarray:
    """Rotations (n, 4) as they are. Raises ValueError: a length that is not 1, beyond rounding to bytes."""
    off = np.abs(np.linalg.norm(turns.astype(np.float64), axis=-1) - 1)
    if not off.max(initial=0) <= UNIT_TOLERANCE:
        raise ValueError(f"key frame {int(off.argmax())}: a rotation is not a unit quaternion")
    return turns


def _key_before(times: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(T,) the last of rising key frames (n,) at or before each time; the first where there is none."""
    return np.clip(np.searchsorted(keys, times + 1e-4, side="right") - 1, 0, len(keys) - 1)


def choose_animation(animations: list[Animation], name: str | None, path: Path, accepted: str) -> Animation:
    """The animation of that name in any case (the first of several), or the only one; `accepted` is for the message."""
    names = [a.name or f"{n}" for n, a in enumerate(animations)]
    listed = ", ".join(names[:MAX_NAMES]) + ", ..." * (len(names) > MAX_NAMES)
    if name is None:
        if len(animations) == 1:
            return animations[0]
        several = f"{len(animations)} animations turn the joints ({listed})"
        raise UserError(f"{path}: {several}; {accepted}; name one as {path}#NAME")
    for same in (lambda n: n == name, lambda n: n.casefold() == name.casefold()):
        hit = next((a for a, n in zip(animations, names, strict=True) if same(n)), None)
        if hit is not None:
            return hit
    raise UserError(f"{path}: no animation {name!r}; accepted: {listed}")


def animations_turning(gltf: Document, joints: set[int]) -> list[Animation]:
    """The animations that turn at least one of the joints."""
    return [a for a in gltf.animations if any(c.target.node in joints and c.target.path == "rotation"
                                              for c in a.channels)]  # fmt: skip


class Tracks:
    """The values of nodes in an animation, at common `times` (T,), `fps` a second; `moved` are the channels with a
    track.

    Args:
        channels: (node, ``rotation``, ``translation`` or ``scale``) to read where there are tracks of them.
        rate: frames a second stated in the file. joints: how many joints the frames are kept for.
        steps: at least 15 a second, else 30: for a rig whose pose between two key frames is not the one halfway.
    """

    def __init__(
        self, gltf: Document, animation: Animation, channels: Iterable[tuple[int, str]], rate: float | None = None,
        steps: bool = False, joints: int = 1,
    ) -> None:  # fmt: skip
        self.gltf = gltf
        channels = set(channels)
        samplers = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
        self._samplers = {w: s for w, s in samplers.items() if w in channels}
        self.moved = set(self._samplers)
        if not self._samplers:
            raise UserError("none of the joints moves; accepted key frames of their rotations")
        self._lines = {w: accessor_values(gltf, s.input)[:, 0].astype(np.float64) for w, s in self._samplers.items()}
        leaps = [s for w, s in self._samplers.items() if s.interpolation in (STEP, SPLINE) and len(self._lines[w]) > 1]
        steps = steps or any(np.ptp(accessor_values(gltf, s.output), 0).any() for s in leaps)
        try:
            self.times, self.fps = common_times(list(self._lines.values()), rate, steps)
        except ValueError as e:
            raise UserError(f"key frames: {e}; accepted 1 to {MAX_FRAMES} with rising times") from None
        if len(self.times) * joints > MAX_ROTATIONS:
            raise UserError(f"{len(self.times)} frames of {joints} joints; accepted {MAX_ROTATIONS // joints}")

    def __call__(self, node: int, what: str) -> np.ndarray:
        """(T, 4) rotations, w first, or (T, 3) translations or scales; the node's own where there is no track."""
        channel = (node, what)
        if channel not in self._samplers:
            return np.repeat(node_transform(self.gltf.nodes[node])[what][None].astype(np.float64), len(self.times), 0)
        sampler, keys = self._samplers[channel], self._lines[channel]
        values = accessor_values(self.gltf, sampler.output)
        if values.shape[1] != WIDTHS[what] or not np.isfinite(values).all():
            raise ValueError(f"a {what} of {values.shape[1]} numbers, or of some that are not finite")
        spline, step = sampler.interpolation == SPLINE, sampler.interpolation == STEP
        if len(values) != len(keys) * (3 if spline else 1):
            raise ValueError(f"{len(values)} values of {len(keys)} key frames")
        if what == "rotation":
            values = np.roll(values, 1, axis=-1)
            if spline:
                check_unit(values[1::3])
                return np.asarray(rot.normalize(interpolate_spline(self.times, keys, values)))
            return interpolate_rotations(self.times, keys, check_unit(values).astype(np.float64), step)
        if spline:
            return interpolate_spline(self.times, keys, values)
        return interpolate(self.times, keys, values.astype(np.float64), step)


def humanoid_bones(extension: dict[str, Any]) -> dict[str, int]:
    """VRM's name of each bone -> its node, from the extension of VRM 1, of VRM animations or of VRM 0."""
    entries: Any = extension.get("humanoid", {}).get("humanBones", {})
    if isinstance(entries, dict):
        entries = [{"bone": bone, **entry} for bone, entry in entries.items()]
    return {str(entry["bone"]): int(entry["node"]) for entry in entries if int(entry.get("node", -1)) >= 0}


class GltfSkeleton:
    """The joints of a file's humanoid that matter, parents before children, with their rest pose.

    `nodes` (J) are the joints' nodes, -1 for one that stands for the file, where the skeleton has several roots;
    `joint_parents` (J); `rest`: rotations (J, 4), positions (J, 3) in the world; `up`, `floor`, `bound` as in
    `vqvae.rig.Rig`, `up` None where no pose of the file stands as at rest.
    """

    def __init__(self, gltf: Document, hands: bool = False, joints: Mapping[str, str] | None = None) -> None:
        self.gltf, self._parents = gltf, gltf.parents
        self._paths: dict[int, list[int]] = {}
        named = (humanoid_bones(gltf.extensions.get(key, {})) for key in _VRM)
        bones = {node: bone for bone, node in next(filter(None, named), {}).items()}
        skin, nodes = self._candidates(bones)
        if len(nodes) > MAX_JOINTS:
            raise UserError(f"{len(nodes)} joints; accepted at most {MAX_JOINTS}")
        names = [bones.get(n, f"_{n}") if bones else gltf.nodes[n].name or f"_{n}" for n in nodes]
        nodes, parents, names = self._one_tree(nodes, names)
        turns, places = self._rest_pose(nodes, parents, skin)
        # a rig at rest is enough to find our joints by name and place
        rig = rig_of(tuple(names), tuple(parents), (turns, places), turns[None], places[None], 1.0)
        mapped = joint_map(state_rig(rig, joints=joints))
        stored = places
        self.bound = (skin is not None and skin.inverseBindMatrices is not None) or _T_POSED in gltf.extensions
        is_rest = self.bound or bool(at_rest(posture(places, mapped), exactly=True))
        if not is_rest:
            turns, places = _along_own_axes(turns, places, parents)
        # only our joints and those above them are kept
        used = set(mapped.values())
        if hands:
            with suppress(UserError):  # hands of two or three fingers are hands without fingers
                used |= set(finger_map(rig.names).values())
        order = sorted({j for k in used for j in ancestors(parents, k)})
        index = {j: k for k, j in enumerate(order)}
        self.nodes = [nodes[j] for j in order]
        self.joint_parents = [index.get(parents[j], -1) for j in order]
        self._names = tuple(names[j] for j in order)
        self.rest = turns[order], places[order]
        up, self.floor = self._upright(mapped, nodes, stored)
        self.up = up if is_rest else None

    def path(self, node: int) -> list[int]:
        """The nodes from the topmost one down to `node`."""
        if node not in self._paths:
            self._paths[node] = self.gltf.path_to(node, self._parents) if node >= 0 else []
        return self._paths[node]

    def animations(self) -> list[Animation]:
        """Those that turn the joints."""
        animations = animations_turning(self.gltf, {n for n in self.nodes if n >= 0})
        if not animations:
            raise UserError("no animation of its joints; accepted a file with one")
        return animations

    def _candidates(self, bones: dict[int, str]) -> tuple[Skin | None, list[int]]:
        """The skin with the most joints of a body, and the nodes that may be joints, parents before children."""
        gltf = self.gltf

        def body_joints(nodes: list[int]) -> int:
            return joints_known([bones.get(n, "") if bones else gltf.nodes[n].name for n in nodes])

        skins = [s for s in gltf.skins if s.joints]
        skin = max(skins, key=lambda s: body_joints(s.joints), default=None)
        plain = {n for n, node in enumerate(gltf.nodes) if node.mesh is None and node.camera is None}
        if skin is not None and body_joints(skin.joints):
            # skins of clothes and hair have some of the joints; leaves that carry no mesh are in no skin
            tops = {self.path(j)[0] for j in skin.joints}
            joints = {n for s in skins for n in s.joints}
            nodes = {n for n in plain | joints if self.path(n)[0] in tops}
            nodes = {n for n in nodes if any(m in joints for m in self.path(n))}
        else:
            skin, nodes = None, plain
        nodes |= set(bones)
        return skin, sorted(nodes, key=lambda n: (len(self.path(n)), n))

    def _one_tree(self, nodes: list[int], names: list[str]) -> tuple[list[int], list[int], list[str]]:
        """Nodes, parents and names of the tree with a body's joints, below one more joint where several have some."""
        place = {n: k for k, n in enumerate(nodes)}
        above = [next((place[m] for m in reversed(self.path(n)[:-1]) if m in place), -1) for n in nodes]
        top = list(range(len(nodes)))
        for k, p in enumerate(above):
            top[k] = top[p] if p >= 0 else k
        trees = {t: [k for k, root in enumerate(top) if root == t] for t in dict.fromkeys(top)}
        useful = [t for t, members in trees.items() if joints_known([names[k] for k in members])]
        if not useful:
            useful = list(trees)[:1]
        chosen = [k for k in range(len(nodes)) if top[k] in useful]
        index = {k: i for i, k in enumerate(chosen)}
        if len(useful) == 1:
            parents = [index.get(above[k], -1) for k in chosen]
            return [nodes[k] for k in chosen], parents, [names[k] for k in chosen]
        # several trees: the lowest node above all of them becomes the root
        paths = [self.path(nodes[t])[:-1] for t in useful]
        shared = [level[0] for level in zip(*paths, strict=False) if len(set(level)) == 1]
        parents = [-1, *(index[above[k]] + 1 if above[k] >= 0 else 0 for k in chosen)]
        return [shared[-1] if shared else -1, *(nodes[k] for k in chosen)], parents, ["", *(names[k] for k in chosen)]

    def read_stored_pose(self, node: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rotation (4,), linear map (3, 3) and position (3,) of a node in the world, as stored; -1 is the world."""
        turn, linear, place = rot.identity(()).astype(np.float64), np.eye(3), np.zeros(3)
        for n in self.path(node):
            local = {k: v.astype(np.float64) for k, v in node_transform(self.gltf.nodes[n]).items()}
            place = place + linear @ local["translation"]
            linear = linear @ rot.to_matrix(_unit(local["rotation"])) * local["scale"]
            turn = rot.multiply(turn, _unit(local["rotation"]))
        return turn, linear, place

    def _read_stored_poses(self, nodes: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (J, 4) and positions (J, 3) of nodes in the world, as stored."""
        stored = [self.read_stored_pose(n) for n in nodes]
        return np.stack([s[0] for s in stored]), np.stack([s[2] for s in stored])

    def read_stored_rig(self) -> Rig:
        """The joints as their nodes are stored: one frame."""
        turns, places = self._read_stored_poses(self.nodes)
        return self._rig(turns[None], places[None], FPS)

    def _rig(self, turns: np.ndarray, places: np.ndarray, fps: float) -> Rig:
        rig = rig_of(self._names, tuple(self.joint_parents), self.rest, turns, places, fps)
        return replace(rig, up=self.up, floor=self.floor, bound=self.bound)

    def _rest_pose(self, nodes: list[int], parents: list[int], skin: Skin | None) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (J, 4) and positions (J, 3) at rest in the unit of the world, up to a turn and shift of all."""
        turns, places = self._read_stored_poses(nodes)
        if not np.isfinite(places).all():
            raise ValueError("places that are not finite")
        if skin is None or skin.inverseBindMatrices is None:
            return turns, places
        inverse = accessor_values(self.gltf, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        bind = dict(zip(skin.joints, np.linalg.inv(inverse.astype(np.float64)), strict=False))
        bound = [k for k, n in enumerate(nodes) if n in bind]
        axes = np.stack([bind[nodes[k]][:3, :3] for k in bound])
        rest_turns, rest_places = turns.copy(), places.copy()
        rest_turns[bound] = rot.from_matrix(axes / np.linalg.norm(axes, axis=1, keepdims=True))
        rest_places[bound] = np.stack([bind[nodes[k]][:3, 3] for k in bound])
        # the unit of the mesh, from the lengths of bones of which both ends are bound
        pairs = [(k, parents[k]) for k in bound if parents[k] in set(bound)]
        mesh = np.array([np.linalg.norm(rest_places[k] - rest_places[p]) for k, p in pairs])
        world = np.array([np.linalg.norm(places[k] - places[p]) for k, p in pairs])
        unit = float(np.median(world[mesh > 1e-9] / mesh[mesh > 1e-9])) if (mesh > 1e-9).any() else 1.0
        rest_places[bound] *= unit
        # a joint without weights is where its node stands below the one above it, or above the one below it
        for k, p in enumerate(parents):
            if k in set(bound):
                continue
            neighbour = p if p >= 0 else next((b for b in bound if k in ancestors(parents, b)), bound[0])
            back = rot.multiply(rest_turns[neighbour], rot.conjugate(turns[neighbour]))
            rest_turns[k] = rot.multiply(back, turns[k])
            rest_places[k] = rest_places[neighbour] + rot.rotate(back, places[k] - places[neighbour])
        return rest_turns, rest_places

    def _upright(self, mapped: dict[str, int], nodes: list[int], places: np.ndarray) -> tuple[np.ndarray, float | None]:
        """The up axis of the world (3,), and the height of the floor in the rest pose, along its own up axis."""
        high = next(mapped[n] for n in ("head", "neck", "spine3") if n in mapped)
        trunk = places[high] - (places[mapped["l_ankle"]] + places[mapped["r_ankle"]]) / 2
        axis = int(np.abs(trunk).argmax())
        stored = {n: self.read_stored_pose(nodes[mapped[n]])[2] for n in ("l_ankle", "r_ankle")}
        now = self.read_stored_pose(nodes[high])[2] - (stored["l_ankle"] + stored["r_ankle"]) / 2
        free = [self.gltf.nodes[n] for n in self.path(self.nodes[0])[:-1] if n not in self.nodes]
        turned = any(not np.allclose(np.abs(node_transform(n)["rotation"]), (1, 0, 0, 0)) for n in free)
        lying = axis == 2 and now[2] > MIN_UPRIGHT * np.linalg.norm(now) and not turned
        up = np.array([0.0, 0, 1]) if lying else np.array([0.0, 1, 0])
        heights = places[:, axis] * np.sign(trunk[axis])
        low, size = heights.min(), np.ptp(heights)
        return up, 0.0 if SOLE[0] * size <= low <= SOLE[1] * size else None

    def play_animation(self, animation: Animation) -> Rig:
        """One animation of the joints."""
        joints = set(self.nodes)
        nodes = {n: None for joint in self.nodes for n in self.path(joint)}
        channels = [(n, what) for n in nodes for what in ("rotation", "translation", "scale")]
        rate = extras_of(self.gltf.extras)[0]
        track = Tracks(self.gltf, animation, channels, rate, steps=True, joints=4 * len(self.nodes))
        count = len(track.times)
        world: dict[int, _World] = {
            -1: (rot.identity((count,)), np.repeat(np.eye(3)[None], count, 0), np.zeros((count, 3)))
        }
        for joint in self.nodes:
            for above, node in zip([-1, *self.path(joint)], self.path(joint), strict=False):
                if node not in world:
                    world[node] = self._child(track, world[above], node, node in joints)
        # nodes between joints are no longer needed
        for n in [n for n in world if n not in joints]:
            del world[n]
        turns, places = (np.stack([world[j][k] for j in self.nodes], 1) for k in (0, 2))
        if not np.isfinite(places).all():
            raise ValueError("places that are not finite")
        return self._rig(turns, places, track.fps)

    def _child(self, track: Tracks, above: _World, node: int, joint: bool) -> _World:
        """The transforms of a node below another."""
        turn, linear, place = above
        local, scale = _unit(track(node, "rotation").astype(np.float64)), track(node, "scale")
        if scale.min() <= 0 or (not joint and (np.ptp(scale, -1) > 0.01 * scale.max(-1)).any()):
            name, values = self.gltf.nodes[node].name or node, " ".join(f"{x:.4g}" for x in scale[0])
            raise UserError(f"{name} has scale {values}; accepted one above 0, above the joints along all axes")
        place = place + (linear @ track(node, "translation")[..., None])[..., 0]
        return rot.multiply(turn, local), (linear @ rot.to_matrix(local)) * scale[:, None, :], place


def _along_own_axes(
    turns: np.ndarray, places: np.ndarray, parents: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (J, 4) and positions (J, 3) of a skeleton none of whose joints is turned."""
    out = places.copy()
    for j, p in enumerate(parents):
        if p >= 0:
            out[j] = out[p] + rot.rotate(rot.conjugate(turns[p]), places[j] - places[p])
    return rot.identity((len(parents),)), out


def _unit(q: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(q, axis=-1)
    if not (np.abs(length - 1) < 0.1).all():
        raise ValueError("a node's rotation is not a unit quaternion")
    return rot.normalize(q)


@dataclass(frozen=True)
class AnimatedRig:
    """One animation of a file, read when it is called; its `name` may be empty."""

    name: str
    path: Path
    skeleton: GltfSkeleton
    animation: Animation

    def __call__(self) -> Rig:
        """Raises UserError for data that are not read."""
        with parsing(self.path, f"an animation {self.name!r} of its skeleton"):
            return self.skeleton.play_animation(self.animation)


def read_rigs(path: str | os.PathLike[str]) -> list[AnimatedRig]:
    """Every animation of a file's humanoid."""
    path = Path(path)
    gltf = read_gltf(path)
    with parsing(path, "a whole glTF", ACCEPTED):
        check_readable(path, gltf.extensionsRequired)
        skeleton = GltfSkeleton(gltf, hands=True)
        return [AnimatedRig(a.name, path, skeleton, a) for a in skeleton.animations()]


def read_rig(
    gltf: Document, path: Path, animation: str | None = None, hands: bool = False, up: str | None = None,
    unit: float | None = None, joints: Mapping[str, str] | None = None, still: bool = False,
) -> Rig:  # fmt: skip
    """An animation of a file's humanoid, by its name, None where there is only one; the others as of `read_bvh`.

    `still`: of a file without animations the joints as they are stored, one frame.
    """
    check_readable(path, gltf.extensionsRequired)
    skeleton = GltfSkeleton(gltf, hands, joints)
    if still and animation is None and not gltf.animations:
        return state_rig(skeleton.read_stored_rig(), up, unit, joints)
    chosen = choose_animation(skeleton.animations(), animation, path, "accepted one")
    return state_rig(skeleton.play_animation(chosen), up, unit, joints)


def read_foreign(gltf: Document, path: Path, animation: str | None = None, hands: bool = False, **known: Any) -> Motion:
    """An animation of a file's humanoid as a Motion in metres, at the rate of its key frames, at least 15 a second.

    `hands` makes a gesture, with the file's fingers if any; the others as of `read_rig`.
    """
    with parsing(path, "a humanoid with an animation", ACCEPTED):
        motion = retarget(read_rig(gltf, path, animation, hands, **known), hands)
    caption = extras_of(gltf.extras)[1]
    return motion.with_caption(caption) if caption else motion
