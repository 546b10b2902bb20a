"""Reading a body's motion from a glTF 2.0: with our 22 joints, ours or an editor's, or those of another humanoid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avatargpt.export.gltf_rest import bind_matrices, local_of, stood_up, turns_at_rest
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.files import parsing
from vqvae.io.gltf import Animation, Document, Sampler, check_readable, placed, read_gltf, values_of
from vqvae.io.gltf_rigs import Tracks, chosen, read_foreign, said, turning
from vqvae.motion import Motion
from vqvae.retarget import leg_length
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52, Skeleton

ACCEPTED = "accepted a .glb or .gltf with a humanoid's joints and one animation of their rotations"
EVEN = 0.01  # the share by which a scale may differ between axes and key frames
SIZE = 0.02  # the share by which legs may differ from ours before the root is scaled


def read_glb(path: Path, animation: str | None = None) -> Motion:
    """Read an animation of a .glb or .gltf: one with our joints (by node name) back, see :func:`write_glb`, one of
    another humanoid brought to our skeleton, see `vqvae.io.gltf_rigs`.

    With the 30 joints of our fingers it is a gesture.

    Args:
        animation: the name of the one to read; None where there is only one.

    Raises:
        UserError: not a glTF, joints missing, none animated, several skeletons, several animations and none named, a
            scale that is uneven or changes, extensions for the data, times that do not rise.
    """
    gltf = read_gltf(path, ACCEPTED)
    if not set(SMPL22.names) <= {n.name for n in gltf.nodes}:
        return read_foreign(gltf, path, animation)
    with parsing(path, "a whole glTF", ACCEPTED):
        return _animation(gltf, path, animation)


def _animation(gltf: Document, path: Path, wanted: str | None) -> Motion:
    fingers = set(FINGER_NAMES) <= {n.name for n in gltf.nodes}
    skeleton = SMPL52 if fingers else SMPL22
    joints = _joints(gltf, path, skeleton)
    animation = _chosen(gltf, set(joints), path, wanted)
    tracks = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    if not any(w in tracks for w in [*((j, "rotation") for j in joints), (joints[0], "translation")]):
        raise UserError(f"{path}: no joint is animated; {ACCEPTED}")
    parents = gltf.parents
    ways = [gltf.way(j, parents) for j in joints]
    above = ways[0][:-1]
    turned = [(n, "rotation") for n in dict.fromkeys(n for way in ways for n in way)]
    scaled = list(dict.fromkeys(n for way in ways for n in way[:-1]))
    check_readable(path, gltf.extensionsRequired)
    scales = {n: _scale(gltf, n, tracks.get((n, "scale")), path) for n in scaled}
    rate, caption = said(gltf.extras)
    track = Tracks(gltf, animation, [*turned, *((n, "translation") for n in ways[0])], rate, joints=len(joints))
    fps = track.fps
    # Editors put joints of their own between ours, and hang ours elsewhere: the file's tree counts, then ours.
    world: dict[int, np.ndarray] = {}
    for way in ways:
        for parent, n in zip([-1, *way], way, strict=False):
            if n not in world:
                own = track(n, "rotation")
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


def _joints(gltf: Document, path: Path, skeleton: Skeleton) -> list[int]:
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


def _chosen(gltf: Document, joints: set[int], path: Path, wanted: str | None) -> Animation:
    """The animation of our joints that is asked for; without a name the only one, or the first if none turns them."""
    if not gltf.animations:
        raise UserError(f"{path}: no animation; {ACCEPTED}")
    return chosen(turning(gltf, joints) or gltf.animations[:1], wanted, path, ACCEPTED)


def _scale(gltf: Document, node: int, sampler: Sampler | None, path: Path) -> float:
    """A node's scale; it must be even and stay as it is, or what is below would be sheared."""
    own = gltf.nodes[node]
    values = placed(own)["scale"][None] if sampler is None else values_of(gltf, sampler.output)
    if values.min() <= 0 or values.max() > values.min() * (1 + EVEN):
        least, most = (" ".join(f"{x:.4g}" for x in v) for v in (values.min(0), values.max(0)))
        said = least if least == most else f"{least} to {most}"
        raise UserError(f"{path}: {own.name or node} has scale {said}; accepted one above 0 along all axes that stays")
    return float(values.mean())


def _size(gltf: Document, ways: Sequence[Sequence[int]], scales: dict[int, float], path: Path) -> float:
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
