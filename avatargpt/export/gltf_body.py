"""Reading the body's motion from a binary glTF 2.0 that has our 22 joints: ours, or an editor's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.export.gltf_rest import bind_matrices, local_of, stood_up, turns_at_rest
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.glb import MOST_BYTES, check_readable, parsed, placed, values_of
from vqvae.io.guard import read_bytes, understanding
from vqvae.io.keyframes import STEP, at, frames, said, turned_at, unit
from vqvae.motion import MAX_FRAMES, Motion
from vqvae.retarget import leg_length
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52, Skeleton

if TYPE_CHECKING:
    from pygltflib import GLTF2, Animation, AnimationSampler

ACCEPTED = "accepted a .glb with the 22 SMPL joints and one animation of their rotations"
EVEN = 0.01  # the share by which a scale may differ between axes and key frames
SIZE = 0.02  # the share by which legs may differ from ours before the root is scaled


def read_glb(path: Path) -> Motion:
    """Read the animation of a .glb that has our joints (by node name) back; see :func:`write_glb`.

    With the 30 joints of the fingers it is a gesture.

    Raises:
        UserError: not a .glb, joints missing, none animated, several skeletons or animations of them, a scale that is
            uneven or changes, cubic splines, extensions for the data, times that do not rise.
    """
    raw = read_bytes(path, MOST_BYTES)
    if raw[:4] != b"glTF":
        raise UserError(f"{path}: not a binary glTF; {ACCEPTED}")
    with understanding(path, "a whole binary glTF", ACCEPTED):
        return _animation(parsed(raw), path)


def _animation(gltf: GLTF2, path: Path) -> Motion:
    fingers = set(FINGER_NAMES) <= {n.name for n in gltf.nodes}
    skeleton = SMPL52 if fingers else SMPL22
    joints = _joints(gltf, path, skeleton)
    animation = _chosen(gltf, set(joints), path)
    tracks = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    if not any(w in tracks for w in [*((j, "rotation") for j in joints), (joints[0], "translation")]):
        raise UserError(f"{path}: no joint is animated; {ACCEPTED}")
    parents = {child: n for n, parent in enumerate(gltf.nodes) for child in parent.children or []}
    ways = [_way(parents, j) for j in joints]
    above = ways[0][:-1]
    turned = [(n, "rotation") for n in dict.fromkeys(n for way in ways for n in way)]
    moved = [w for w in [*turned, *((n, "translation") for n in ways[0])] if w in tracks]
    scaled = [(n, "scale") for n in dict.fromkeys(n for way in ways for n in way[:-1])]
    read = [tracks[w].interpolation for w in [*moved, *scaled] if w in tracks]
    check_readable(path, gltf.extensionsRequired, read)
    scales = {w[0]: _scale(gltf, w[0], tracks.get(w), path) for w in scaled}
    lines = {w: values_of(gltf, tracks[w].input)[:, 0].astype(np.float64) for w in moved}
    rate, caption = said(gltf.extras)
    steps = any(tracks[w].interpolation == STEP and np.ptp(values_of(gltf, tracks[w].output), 0).any() for w in moved)
    try:
        times, fps = frames(list(lines.values()), rate, steps)
    except ValueError as e:
        raise UserError(f"{path}: key frames: {e}; accepted 1 to {MAX_FRAMES} with rising times") from None
    # Editors leave out what does not move: such a joint stays as its node is.

    def track(n: int, what: str) -> np.ndarray:
        if (n, what) not in lines:
            return np.repeat(placed(gltf.nodes[n])[what][None], len(times), 0)
        sampler = tracks[n, what]
        values, held = values_of(gltf, sampler.output), sampler.interpolation == STEP
        if what == "rotation":
            return turned_at(times, lines[n, what], unit(np.roll(values, 1, axis=-1)), held)
        return at(times, lines[n, what], values, held)

    # Editors put joints of their own between ours, and hang ours elsewhere: the file's tree counts, then ours.
    world: dict[int, np.ndarray] = {}
    for way in ways:
        for parent, n in zip([-1, *way], way, strict=False):
            if n not in world:
                own = track(n, "rotation").astype(np.float64)
                world[n] = own if parent < 0 else rot.multiply(world[parent], own)
    turns, root = np.stack([world[j] for j in joints], 1), track(joints[0], "translation")
    for n in reversed(above):
        root = rot.rotate(track(n, "rotation"), scales[n] * root) + track(n, "translation")
    size = _size(gltf, ways, scales, path)
    root = root * size if abs(size - 1) > SIZE else root
    bind = bind_matrices(gltf.skins or [], joints, lambda k: values_of(gltf, k))
    if bind is not None:
        rest = turns_at_rest(bind, skeleton)
        turns = turns if rest is None else rot.multiply(turns, rot.conjugate(rest))
        rigs = {j for skin in gltf.skins or [] for j in skin.joints}
        nodes = [n for n in above if n not in rigs]
        if not nodes or rot.angle_between(world[nodes[-1]], rot.identity(())).max() < 1e-2:
            up = stood_up(bind, skeleton)
            turns, root = rot.multiply(up, turns), rot.rotate(up, root)
    local, body = local_of(turns, skeleton.parents), len(SMPL22.names)
    if not fingers:
        return Motion(local, root, fps, "body", caption)
    return Motion(local[:, :body], root, fps, "gesture", caption, fingers=local[:, body:])


def _joints(gltf: GLTF2, path: Path, skeleton: Skeleton) -> list[int]:
    """The nodes of our joints, by name. Where nodes share a name, those of a skin that has all; of several such
    skeletons the one that moves."""
    named: dict[str, list[int]] = {}
    for i, node in enumerate(gltf.nodes):
        named.setdefault(node.name, []).append(i)
    names = skeleton.names
    missing = [n for n in names if n not in named]
    if missing:
        raise UserError(f"{path}: no joint {', '.join(missing[:4])}; {ACCEPTED}")
    shared = [n for n in names if len(named[n]) > 1]
    if not shared:
        return [named[n][0] for n in names]
    skins = [{gltf.nodes[j].name: j for j in skin.joints} for skin in gltf.skins or []]
    bodies = list(dict.fromkeys(tuple(s[n] for n in names) for s in skins if set(names) <= s.keys()))
    if not bodies:
        raise UserError(f"{path}: {len(named[shared[0]])} nodes called {shared[0]} and no skin to tell; {ACCEPTED}")
    if len(bodies) > 1:
        rotated = [(c.target.node, a.samplers[c.sampler].output) for a in gltf.animations or [] for c in a.channels
                   if c.target.path == "rotation"]  # fmt: skip
        turned = {n for n, output in rotated if np.ptp(values_of(gltf, output), 0).max() > 1e-3}
        moving = [b for b in bodies if turned & set(b)]
        if len(moving) != 1:
            raise UserError(f"{path}: of {len(bodies)} skeletons with these joints {len(moving)} move; accepted one")
        bodies = moving
    return list(bodies[0])


def _chosen(gltf: GLTF2, joints: set[int], path: Path) -> Animation:
    """The one animation that turns our joints; the first where none does."""
    if not gltf.animations:
        raise UserError(f"{path}: no animation; {ACCEPTED}")
    ours = [
        a for a in gltf.animations if any(c.target.node in joints and c.target.path == "rotation" for c in a.channels)
    ]
    if len(ours) > 1:
        named = ", ".join(a.name or "without a name" for a in ours[:4]) + ", ..." * (len(ours) > 4)
        raise UserError(f"{path}: {len(ours)} animations turn the joints ({named}); {ACCEPTED}")
    return ours[0] if ours else gltf.animations[0]


def _way(parents: Mapping[int, int], node: int) -> list[int]:
    """The nodes from the topmost above one down to itself."""
    out = [node]
    while out[0] in parents:
        if len(out) > len(parents):
            raise ValueError("nodes in a circle")
        out.insert(0, parents[out[0]])
    return out


def _scale(gltf: GLTF2, node: int, sampler: AnimationSampler | None, path: Path) -> float:
    """A node's scale; it must be even and stay as it is, or what is below would be sheared."""
    own = gltf.nodes[node]
    values = placed(own)["scale"][None] if sampler is None else values_of(gltf, sampler.output)
    if values.min() <= 0 or values.max() > values.min() * (1 + EVEN):
        least, most = (" ".join(f"{x:.4g}" for x in v) for v in (values.min(0), values.max(0)))
        said = least if least == most else f"{least} to {most}"
        raise UserError(f"{path}: {own.name or node} has scale {said}; accepted one above 0 along all axes that stays")
    return float(values.mean())


def _size(gltf: GLTF2, ways: Sequence[Sequence[int]], scales: dict[int, float], path: Path) -> float:
    """How much longer our legs are than the file's, in the world."""
    places = np.zeros((len(ways), 3))
    for j, way in enumerate(ways):
        turn, scale = rot.identity(()), 1.0
        for n in way:
            own = placed(gltf.nodes[n])
            places[j] += scale * rot.rotate(turn, own["translation"])
            turn, scale = rot.multiply(turn, own["rotation"]), scale * scales.get(n, 1.0)
    at_name = {n: j for j, n in enumerate(SMPL22.names)}
    try:
        return leg_length(SMPL22.rest_joints, at_name) / leg_length(places, at_name)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None
