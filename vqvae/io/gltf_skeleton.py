"""The skeleton of a glTF's humanoid: bones of any names, with axes, units and nodes between them of their own.

At rest a joint is as the mesh is bound to it, or, where no mesh tells, as its node stands in the file. Where VRM's
extension says which node is which bone, that counts, not the nodes' names. Y is up, unless nothing above a skeleton
that is modelled along Z turns it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.fingers import finger_map
from vqvae.io.glb import placed, values_of
from vqvae.io.gltf_document import Animation, Document, Skin
from vqvae.io.gltf_tracks import Tracks, turning
from vqvae.io.keyframes import said
from vqvae.rig import Rig, joint_map, joints_known, rig_of

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
