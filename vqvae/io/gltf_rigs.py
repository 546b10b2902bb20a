"""Animations of humanoids in glTF files: key frames, tracks, skeletons, and the rigs or motions they give.

Skeletons may have bones of any names, axes and units, with other nodes between them. The rest pose is the one the mesh
is bound in, or, without a mesh, that of the nodes as stored. VRM's extension takes precedence over names of nodes. Y is
up, unless a skeleton is modelled along Z and no node above it turns it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.files import parsing
from vqvae.io.gltf import ACCEPTED, Animation, Document, Skin, check_readable, placed, read_gltf, values_of
from vqvae.motion import LEAST_FPS, MAX_FRAMES, MOST_FPS, Motion
from vqvae.retarget import finger_map, retarget
from vqvae.rig import Rig, joint_map, joints_known, rig_of

FPS = 30.0  # where key frames are not evenly spaced
STEP = "STEP"  # the interpolation that holds a value until the next key frame
SPLINE = "CUBICSPLINE"  # the one whose key frames have slopes before and after the value
UNIT = 0.02  # by which the length of a rotation may differ from 1: editors store them in bytes
LONGEST, PER_KEY = 36_000, 300  # frames that are made between few key frames: 20 minutes, and 10 s for each of them
AGREES = 0.02  # the share by which what a file says of its rate may differ from its key frames


def said(extras: Any) -> tuple[float | None, str]:
    """Frames per second and caption from a glTF's ``extras``, which other programs fill with what they like.

    Returns:
        None where no usable rate, '' where no caption stands there.
    """
    about: dict[str, Any] = extras if isinstance(extras, dict) else {}
    fps, caption = about.get("fps"), about.get("caption")
    rate = float(fps) if isinstance(fps, int | float) and LEAST_FPS <= fps <= MOST_FPS else None
    return rate, caption if isinstance(caption, str) else ""


def frames(lines: Sequence[np.ndarray], fps: float | None = None, steps: bool = False) -> tuple[np.ndarray, float]:
    """The times at which all tracks are read, and how many there are a second.

    These are the times of the track with the most key frames where they are evenly spaced and those of all others lie
    among them, at least one a second; else 30 a second from the first key frame of all to the last.

    Args:
        lines: (n,) rising seconds of each track, at least one track.
        fps: what the file says of itself; taken where the key frames agree.
        steps: values are held or follow a curve between key frames: fewer than 15 a second would not show how.

    Raises:
        ValueError: times that do not rise, or more than `MAX_FRAMES` frames.
    """
    if any(len(t) < 1 or not np.isfinite(t).all() or (np.diff(t) <= 0).any() for t in lines):
        raise ValueError("times that do not rise")
    first, last = min(t[0] for t in lines), max(t[-1] for t in lines)
    longest = max(lines, key=len)
    own = (len(longest) - 1) / (longest[-1] - longest[0]) if len(longest) > 1 else fps or FPS
    rate = fps if fps and abs(own / fps - 1) <= AGREES else own  # editors change key frames and leave `extras`
    # Files hold seconds as float32: after an hour they are coarse beside a step, and the count has to tell.
    counted = len(longest) == round((longest[-1] - longest[0]) * rate) + 1
    coarse = 2 * float(np.spacing(np.float32(longest[-1]))) if counted else 0.0
    even = len(longest) == 1 or np.allclose(np.diff(longest), 1 / rate, atol=0.05 / rate + coarse)
    inside = even and all(
        np.allclose((t - longest[0]) * rate, np.round((t - longest[0]) * rate), rtol=0, atol=0.05 + coarse * rate)
        for t in lines
    )
    slow = rate < (FPS / 2 if steps else LEAST_FPS)
    if not inside or slow or last - first > longest[-1] - longest[0] + 1 / rate:
        rate = FPS
        count = min((last - first) * FPS + 1.5, MAX_FRAMES + 1)
        if count > LONGEST + PER_KEY * len(longest):
            raise ValueError(f"{len(longest)} key frames over {last - first:.4g} s")
        longest = first + np.arange(int(count)) / FPS
    if len(longest) > MAX_FRAMES:
        raise ValueError(f"more than {MAX_FRAMES} frames")
    return longest, rate


def at(times: np.ndarray, keys: np.ndarray, values: np.ndarray, held: bool = False) -> np.ndarray:
    """Values (n, ...) of a track's key frames (n,) at `times` (T,), linear between them or held -> (T, ...)."""
    if len(keys) == len(times) and np.allclose(keys, times, atol=1e-6):
        return values
    if held:
        return np.asarray(values[_before(times, keys)])
    flat = values.reshape(len(keys), -1)
    return np.stack([np.interp(times, keys, v) for v in flat.T], 1).reshape(len(times), *values.shape[1:])


def turned_at(times: np.ndarray, keys: np.ndarray, turns: np.ndarray, held: bool = False) -> np.ndarray:
    """Rotations (n, 4), w first, of a track's key frames (n,) at `times` (T,), along the shorter arc between them or
    held -> (T, 4)."""
    if len(keys) == len(times) and np.allclose(keys, times, atol=1e-6):
        return turns
    if held:
        return np.asarray(turns[_before(times, keys)])
    if len(keys) == 1:
        return np.repeat(turns, len(times), 0)
    inside = np.clip(times, keys[0], keys[-1])
    left = np.clip(np.searchsorted(keys, inside, side="right") - 1, 0, len(keys) - 2)
    share = (inside - keys[left]) / (keys[left + 1] - keys[left])
    return rot.slerp(turns[left].astype(np.float64), turns[left + 1].astype(np.float64), share).astype(turns.dtype)


def splined_at(times: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of a cubic Hermite spline at `times` (T,) -> (T, k): glTF 2.0, appendix C.5.

    Args:
        keys: (n,) rising seconds.
        values: (3 n, k): of each key frame the slope before it, the value, the slope after it.

    Raises:
        ValueError: not three of each.
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


def unit(turns: np.ndarray) -> np.ndarray:
    """Rotations (n, 4) as they are.

    Raises:
        ValueError: one whose length is not 1, beyond what rounding to bytes does.
    """
    off = np.abs(np.linalg.norm(turns.astype(np.float64), axis=-1) - 1)
    if not off.max(initial=0) <= UNIT:
        raise ValueError(f"key frame {int(off.argmax())}: a rotation is not a unit quaternion")
    return turns


def _before(times: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """(T,) the last of rising key frames (n,) at or before each time; the first where there is none."""
    return np.clip(np.searchsorted(keys, times + 1e-4, side="right") - 1, 0, len(keys) - 1)


WIDTHS = {"rotation": 4, "translation": 3, "scale": 3}
MOST_NAMED = 12  # animations that a message lists
MOST_TURNS = 60_000_000  # rotations that are kept of one animation


def chosen(animations: list[Animation], wanted: str | None, path: Path, accepted: str) -> Animation:
    """The animation that is asked for, or the only one.

    Args:
        animations: those that turn a body's joints, at least one.
        wanted: its name, whatever its case; of several of one name the first.
        accepted: what is where there is one alone, for the message.

    Raises:
        UserError: no such name, or several and none named.
    """
    names = [a.name or f"{n}" for n, a in enumerate(animations)]
    if wanted is None:
        if len(animations) == 1:
            return animations[0]
        several = f"{len(animations)} animations turn the joints ({listed(names)})"
        raise UserError(f"{path}: {several}; {accepted}; name one as {path.name}#NAME")
    for same in (lambda n: n == wanted, lambda n: n.casefold() == wanted.casefold()):
        hit = next((a for a, name in zip(animations, names, strict=True) if same(name)), None)
        if hit is not None:
            return hit
    raise UserError(f"{path}: no animation {wanted!r}; accepted: {listed(names)}")


def listed(names: list[str]) -> str:
    """Names with commas between, the first few."""
    return ", ".join(names[:MOST_NAMED]) + ", ..." * (len(names) > MOST_NAMED)


def turning(gltf: Document, joints: set[int]) -> list[Animation]:
    """The animations that turn at least one of the joints."""
    return [a for a in gltf.animations if any(c.target.node in joints and c.target.path == "rotation"
                                              for c in a.channels)]  # fmt: skip


class Tracks:
    """What an animation does with nodes, at common times.

    Attributes:
        times: (T,) seconds. fps: frames a second. moved: (node, path) of every track there is of those asked for.
    """

    def __init__(
        self, gltf: Document, animation: Animation, wanted: Iterable[tuple[int, str]], rate: float | None = None,
        finely: bool = False, joints: int = 1,
    ) -> None:  # fmt: skip
        """
        Args:
            wanted: (node, ``rotation``, ``translation`` or ``scale``).
            rate: what the file says of its frames a second.
            finely: at least 15 a second, else 30: for a rig whose pose between two key frames is not the one halfway.
            joints: how many of them the frames are kept for.

        Raises:
            UserError: none of them has a track, times that do not rise, or too many frames.
        """
        self.gltf = gltf
        wanted = set(wanted)
        every = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
        self._samplers = {w: s for w, s in every.items() if w in wanted}
        self.moved = set(self._samplers)
        if not self._samplers:
            raise UserError("none of the joints moves; accepted key frames of their rotations")
        self._lines = {w: values_of(gltf, s.input)[:, 0].astype(np.float64) for w, s in self._samplers.items()}
        steps = finely or any(s.interpolation in (STEP, SPLINE) and len(self._lines[w]) > 1 and self._changes(w)
                              for w, s in self._samplers.items())  # fmt: skip
        try:
            self.times, self.fps = frames(list(self._lines.values()), rate, steps)
        except ValueError as e:
            raise UserError(f"key frames: {e}; accepted 1 to {MAX_FRAMES} with rising times") from None
        if len(self.times) * joints > MOST_TURNS:
            raise UserError(f"{len(self.times)} frames of {joints} joints; accepted {MOST_TURNS // joints}")

    def _changes(self, way: tuple[int, str]) -> bool:
        return bool(np.ptp(values_of(self.gltf, self._samplers[way].output), 0).any())

    def __call__(self, node: int, what: str) -> np.ndarray:
        """(T, 4) rotations, w first, or (T, 3) translations or scales; of what has no track as the node is."""
        way = (node, what)
        if way not in self._samplers:
            return np.repeat(placed(self.gltf.nodes[node])[what][None].astype(np.float64), len(self.times), 0)
        sampler, keys = self._samplers[way], self._lines[way]
        values = values_of(self.gltf, sampler.output)
        if values.shape[1] != WIDTHS[what] or not np.isfinite(values).all():
            raise ValueError(f"a {what} of {values.shape[1]} numbers, or of some that are not finite")
        spline = sampler.interpolation == SPLINE
        if len(values) != len(keys) * (3 if spline else 1):
            raise ValueError(f"{len(values)} values of {len(keys)} key frames")
        if what == "rotation":
            values = np.roll(values, 1, axis=-1)
            if spline:
                unit(values[1::3])
                return np.asarray(rot.normalize(splined_at(self.times, keys, values)))
            return turned_at(self.times, keys, unit(values).astype(np.float64), sampler.interpolation == STEP)
        if spline:
            return splined_at(self.times, keys, values)
        return at(self.times, keys, values.astype(np.float64), sampler.interpolation == STEP)


MOST_JOINTS = 2000
UPRIGHT = 0.8  # least share of the way from pelvis to head that goes along an axis
SOLE = (-0.02, 0.12)  # heights of a rest pose's lowest joint, of its whole height, where 0 is taken for the floor
_VRM = ("VRMC_vrm", "VRMC_vrm_animation", "VRM")


def _humanoid(gltf: Document) -> dict[int, str]:
    """Node -> VRM's name of the bone that it is, from the extensions of VRM 1, VRM animations and VRM 0."""
    for key in _VRM:
        found: Any = gltf.extensions.get(key, {}).get("humanoid", {}).get("humanBones", {})
        if isinstance(found, dict):
            found = [{"bone": bone, **about} for bone, about in found.items()]
        bones = {int(one["node"]): str(one["bone"]) for one in found if int(one.get("node", -1)) >= 0}
        if bones:
            return bones
    return {}


class Skeleton:
    """The joints of a file's humanoid that matter, parents before children, and how they are at rest.

    Attributes:
        nodes: (J) node of each joint; -1 for one that stands for the file, where the skeleton has several roots.
        up, floor: see `vqvae.rig.Rig`.
    """

    def __init__(self, gltf: Document, hands: bool = False) -> None:
        self.gltf, self._parents = gltf, gltf.parents
        self._ways: dict[int, list[int]] = {}
        bones = _humanoid(gltf)
        skin, nodes = self._candidates(bones)
        if len(nodes) > MOST_JOINTS:
            raise UserError(f"{len(nodes)} joints; accepted at most {MOST_JOINTS}")
        names = [bones.get(n, f"_{n}") if bones else gltf.nodes[n].name or f"_{n}" for n in nodes]
        nodes, parents, names = self._one_tree(nodes, names)
        turns, places = self._at_rest(nodes, parents, skin)
        whole = rig_of(tuple(names), tuple(parents), (turns, places), turns[None], places[None], 1.0)
        at = joint_map(whole)
        found = {*at.values(), *(_fingers(whole.names).values() if hands else ())}
        kept = sorted({j for k in found for j in _line(parents, k)})
        index = {j: k for k, j in enumerate(kept)}
        self.nodes = [nodes[j] for j in kept]
        self._above = [index.get(parents[j], -1) for j in kept]
        self._names = tuple(names[j] for j in kept)
        self._rest = turns[kept], places[kept]
        self.up, self.floor = self._standing(at, nodes, places)

    def way(self, node: int) -> list[int]:
        """The nodes from the topmost above one down to itself."""
        if node not in self._ways:
            self._ways[node] = self.gltf.way(node, self._parents) if node >= 0 else []
        return self._ways[node]

    def animations(self) -> list[Animation]:
        """Those that turn the joints.

        Raises:
            UserError: none.
        """
        found = turning(self.gltf, {n for n in self.nodes if n >= 0})
        if not found:
            raise UserError("no animation of its joints; accepted a file with one")
        return found

    def _candidates(self, bones: dict[int, str]) -> tuple[Skin | None, list[int]]:
        """The skin that has most of a body's joints, and the nodes that may be joints, parents before children."""
        gltf = self.gltf

        def known(nodes: list[int]) -> int:
            return joints_known([bones.get(n, "") if bones else gltf.nodes[n].name for n in nodes])

        skins = [s for s in gltf.skins if s.joints]
        skin = max(skins, key=lambda s: known(s.joints), default=None)
        shown = {n for n, node in enumerate(gltf.nodes) if node.mesh is None and node.camera is None}
        if skin is not None and known(skin.joints):
            # skins of clothes and hair have some of the joints; leaves that carry no mesh are in no skin
            tops = {self.way(j)[0] for j in skin.joints}
            joints = {n for s in skins for n in s.joints}
            nodes = {n for n in shown | joints if self.way(n)[0] in tops}
            nodes = {n for n in nodes if any(m in joints for m in self.way(n))}
        else:
            skin, nodes = None, shown
        nodes |= set(bones)
        return skin, sorted(nodes, key=lambda n: (len(self.way(n)), n))

    def _one_tree(self, nodes: list[int], names: list[str]) -> tuple[list[int], list[int], list[str]]:
        """Nodes, parents and names of one tree: the one that has a body's joints, below one more joint where it takes
        several."""
        here = {n: k for k, n in enumerate(nodes)}
        above = [next((here[m] for m in reversed(self.way(n)[:-1]) if m in here), -1) for n in nodes]
        top = list(range(len(nodes)))
        for k, p in enumerate(above):
            top[k] = top[p] if p >= 0 else k
        trees = {t: [k for k, own in enumerate(top) if own == t] for t in dict.fromkeys(top)}
        useful = [t for t, some in trees.items() if joints_known([names[k] for k in some])]
        if not useful:
            useful = list(trees)[:1]
        kept = [k for k in range(len(nodes)) if top[k] in useful]
        index = {k: i for i, k in enumerate(kept)}
        if len(useful) == 1:
            parents = [index.get(above[k], -1) for k in kept]
            return [nodes[k] for k in kept], parents, [names[k] for k in kept]
        ways = [self.way(nodes[t])[:-1] for t in useful]
        shared = [level[0] for level in zip(*ways, strict=False) if len(set(level)) == 1]
        parents = [-1, *(index[above[k]] + 1 if above[k] >= 0 else 0 for k in kept)]
        return [shared[-1] if shared else -1, *(nodes[k] for k in kept)], parents, ["", *(names[k] for k in kept)]

    def _as_stored(self, node: int) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (4,) and place (3,) in the world of a node as the file has it."""
        turn, linear, place = rot.identity(()).astype(np.float64), np.eye(3), np.zeros(3)
        for n in self.way(node):
            own = {k: v.astype(np.float64) for k, v in placed(self.gltf.nodes[n]).items()}
            place = place + linear @ own["translation"]
            linear = linear @ rot.to_matrix(_unit(own["rotation"])) * own["scale"]
            turn = rot.multiply(turn, _unit(own["rotation"]))
        return turn, place

    def _at_rest(self, nodes: list[int], parents: list[int], skin: Skin | None) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (J, 4) and places (J, 3) at rest, in the unit of the world; where the skeleton is as a whole turned
        and placed does not matter."""
        stored = [self._as_stored(n) for n in nodes]
        turns, places = np.stack([s[0] for s in stored]), np.stack([s[1] for s in stored])
        if not np.isfinite(places).all():
            raise ValueError("places that are not finite")
        if skin is None or skin.inverseBindMatrices is None:
            return turns, places
        inverse = values_of(self.gltf, skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        bound = dict(zip(skin.joints, np.linalg.inv(inverse.astype(np.float64)), strict=False))
        told = [k for k, n in enumerate(nodes) if n in bound]
        axes = np.stack([bound[nodes[k]][:3, :3] for k in told])
        ours, spots = turns.copy(), places.copy()
        ours[told] = rot.from_matrix(axes / np.linalg.norm(axes, axis=1, keepdims=True))
        spots[told] = np.stack([bound[nodes[k]][:3, 3] for k in told])
        both = [(k, parents[k]) for k in told if parents[k] in set(told)]
        own = np.array([np.linalg.norm(spots[k] - spots[p]) for k, p in both])
        world = np.array([np.linalg.norm(places[k] - places[p]) for k, p in both])
        unit = float(np.median(world[own > 1e-9] / own[own > 1e-9])) if (own > 1e-9).any() else 1.0
        spots[told] *= unit
        # a joint without weights is where its node stands below the one above it, or above the one below it
        for k, p in enumerate(parents):
            if k not in set(told) and p >= 0:
                back = rot.multiply(ours[p], rot.conjugate(turns[p]))
                ours[k], spots[k] = rot.multiply(back, turns[k]), spots[p] + rot.rotate(back, places[k] - places[p])
            elif k not in set(told):
                below = next((t for t in told if k in _line(parents, t)), told[0])
                back = rot.multiply(ours[below], rot.conjugate(turns[below]))
                ours[k] = rot.multiply(back, turns[k])
                spots[k] = spots[below] + rot.rotate(back, places[k] - places[below])
        return ours, spots

    def _standing(self, at: dict[str, int], nodes: list[int], places: np.ndarray) -> tuple[np.ndarray, float | None]:
        """Which way is up in the world (3,), and how high the floor is where the skeleton rests, along its own up."""
        high = next(at[n] for n in ("head", "neck", "spine3") if n in at)
        trunk = places[high] - (places[at["l_ankle"]] + places[at["r_ankle"]]) / 2
        axis = int(np.abs(trunk).argmax())
        stored = {n: self._as_stored(nodes[at[n]])[1] for n in ("l_ankle", "r_ankle")}
        now = self._as_stored(nodes[high])[1] - (stored["l_ankle"] + stored["r_ankle"]) / 2
        free = [n for n in self.way(self.nodes[0])[:-1] if n not in self.nodes]
        turned = any(not np.allclose(np.abs(placed(self.gltf.nodes[n])["rotation"]), (1, 0, 0, 0)) for n in free)
        lying = axis == 2 and now[2] > UPRIGHT * np.linalg.norm(now) and not turned
        up = np.array([0.0, 0, 1]) if lying else np.array([0.0, 1, 0])
        heights = places[:, axis] * np.sign(trunk[axis])
        low, size = heights.min(), np.ptp(heights)
        return up, 0.0 if SOLE[0] * size <= low <= SOLE[1] * size else None

    def moved(self, animation: Animation) -> Rig:
        """One animation of the joints.

        Raises:
            UserError: no key frames of them, a scale that mirrors, or one above the skeleton that differs between axes.
        """
        inside = set(self.nodes)
        every = {n: None for joint in self.nodes for n in self.way(joint)}
        wanted = [(n, what) for n in every for what in ("rotation", "translation", "scale")]
        rate = said(self.gltf.extras)[0]
        track = Tracks(self.gltf, animation, wanted, rate, finely=True, joints=4 * len(self.nodes))
        count = len(track.times)
        world: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {
            -1: (rot.identity((count,)), np.repeat(np.eye(3)[None], count, 0), np.zeros((count, 3)))
        }
        for joint in self.nodes:
            for above, node in zip([-1, *self.way(joint)], self.way(joint), strict=False):
                if node not in world:
                    world[node] = self._step(track, world[above], node, node in inside)
        for n in [n for n in world if n not in inside]:
            del world[n]
        turns, places = (np.stack([world[j][k] for j in self.nodes], 1) for k in (0, 2))
        if not np.isfinite(places).all():
            raise ValueError("places that are not finite")
        rig = rig_of(self._names, tuple(self._above), self._rest, turns, places, track.fps)
        return replace(rig, up=self.up, floor=self.floor)

    def _step(
        self, track: Tracks, above: tuple[np.ndarray, np.ndarray, np.ndarray], node: int, joint: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rotation, linear map and place in the world of a node below another."""
        turn, linear, place = above
        own, scale = _unit(track(node, "rotation").astype(np.float64)), track(node, "scale")
        if scale.min() <= 0 or (not joint and (np.ptp(scale, -1) > 0.01 * scale.max(-1)).any()):
            name, said_ = self.gltf.nodes[node].name or node, " ".join(f"{x:.4g}" for x in scale[0])
            raise UserError(f"{name} has scale {said_}; accepted one above 0, above the joints along all axes")
        place = place + (linear @ track(node, "translation")[..., None])[..., 0]
        return rot.multiply(turn, own), (linear @ rot.to_matrix(own)) * scale[:, None, :], place


def _fingers(names: tuple[str, ...]) -> dict[str, int]:
    try:
        return finger_map(names)
    except UserError:  # hands of two or three fingers are hands without fingers
        return {}


def _line(parents: list[int], joint: int) -> list[int]:
    """A joint and all above it."""
    line = [joint]
    while parents[line[-1]] >= 0:
        line.append(parents[line[-1]])
    return line


def _unit(q: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(q, axis=-1)
    if not (np.abs(length - 1) < 0.1).all():
        raise ValueError("a node's rotation is not a unit quaternion")
    return rot.normalize(q)


@dataclass(frozen=True)
class AnimatedRig:
    """One animation of a file, taken apart when it is called.

    Attributes:
        name: of the animation, empty where it has none.
    """

    name: str
    path: Path
    skeleton: Skeleton
    animation: Animation

    def __call__(self) -> Rig:
        """Raises UserError for data that are not read."""
        with parsing(self.path, f"an animation {self.name!r} of its skeleton"):
            return self.skeleton.moved(self.animation)


def read_rigs(path: str | os.PathLike[str]) -> list[AnimatedRig]:
    """Every animation of a file's humanoid.

    Raises:
        UserError: not a glTF, no humanoid, none of its animations turns it, compressed data.
    """
    path = Path(path)
    gltf = read_gltf(path)
    with parsing(path, "a whole glTF", ACCEPTED):
        check_readable(path, gltf.extensionsRequired)
        skeleton = Skeleton(gltf, hands=True)
        return [AnimatedRig(a.name, path, skeleton, a) for a in skeleton.animations()]


def read_foreign(gltf: Document, path: Path, animation: str | None = None, hands: bool = False) -> Motion:
    """An animation of a file's humanoid as a Motion in metres, at the rate of its key frames, at least 15 a second.

    Args:
        animation: its name; None where there is only one.
        hands: make a gesture, with the file's fingers if it has some.

    Raises:
        UserError: no humanoid (which joints are missing), several animations and none named, data that are not read.
    """
    with parsing(path, "a humanoid with an animation", ACCEPTED):
        check_readable(path, gltf.extensionsRequired)
        skeleton = Skeleton(gltf, hands)
        one = chosen(skeleton.animations(), animation, path, "accepted one")
        motion = retarget(skeleton.moved(one), hands)
    caption = said(gltf.extras)[1]
    return motion.with_caption(caption) if caption else motion
