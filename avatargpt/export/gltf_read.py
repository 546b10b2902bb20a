"""Reading glTF 2.0: a body with our 22 joints or another humanoid's, a face of ARKit morph targets, an avatar of both.

Editors give every bone axes of its own: how joints are turned where the mesh is as modelled is taken from the skin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.formats import with_article
from instruct_data.sources.face_files import check_weights
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of
from vqvae.io import gltf_rigs
from vqvae.io.files import parsing
from vqvae.io.gltf import Document, Sampler, accessor_values, check_readable, node_transform, read_gltf
from vqvae.motion import Motion
from vqvae.posture import unit
from vqvae.retarget import leg_length
from vqvae.rig import joints_known
from vqvae.skeleton import FINGER_NAMES, SMPL22, SMPL52, Skeleton

if TYPE_CHECKING:
    from pygltflib import Skin

ACCEPTED = "accepted a .glb or .gltf with a humanoid's joints and one animation of their rotations"
ACCEPTED_EITHER = "accepted a .glb or .gltf with a humanoid's joints, or a mesh of ARKit morph targets, that move"
ACCEPTED_FACE = "accepted a .glb with a mesh of ARKit morph targets and one animation of their weights"
EVEN = 0.01  # the share by which a scale may differ between axes and key frames
SIZE = 0.02  # the share by which legs may differ from ours before the root is scaled
BODY = 10  # joints of a body by which a file is one that only has a face, too, unless that moves
UPRIGHT = 0.8  # least share of the way from pelvis to head that goes up
UP = np.array([0.0, 1, 0])
SAME = 0.98  # cosine between bones that lie alike


def read_glb(
    path: Path, animation: str | None = None, up: str | None = None, unit: float | None = None,
    joints: Mapping[str, str] | None = None,
) -> Motion | FaceMotion | AvatarMotion:  # fmt: skip
    """Read an avatar, a face or an animation of a body.

    A body has our joints (by node name; with the 30 of our fingers it is a gesture), or is another humanoid's and is
    brought to our skeleton, see `vqvae.io.gltf_rigs`.

    Args:
        animation: the name of the body's to read; None where there is only one.
        up, unit, joints: of another humanoid's body, as of `vqvae.io.bvh.read_bvh`.
    """
    known = {"up": up, "unit": unit, "joints": joints}
    names = {node.name for node in read_gltf(path, ACCEPTED_EITHER).nodes}
    face = _read_face(path)
    clip: FaceMotion | AvatarMotion | None = face
    if face is not None and set(SMPL52.names) <= names:
        body = _read_body(path, None, known)
        clip = AvatarMotion(body, face.resampled(body.fps), caption=body.caption)
    if clip is not None and (animation is not None or any(known.values())):
        option = "--animation" if animation is not None else f"--{next(k for k, v in known.items() if v)}"
        raise UserError(f"{path}: {with_article(clip.modality)} of one animation; {option} goes with bodies")
    return clip or _read_body(path, animation, known)


def _read_body(path: Path, animation: str | None, known: dict[str, Any]) -> Motion:
    gltf = read_gltf(path, ACCEPTED)
    if not set(SMPL22.names) <= {n.name for n in gltf.nodes} or any(known.values()):
        return gltf_rigs.read_foreign(gltf, path, animation, **known)
    with parsing(path, "a whole glTF", ACCEPTED):
        return _body(gltf, path, animation)


def _body(gltf: Document, path: Path, name: str | None) -> Motion:
    fingers = set(FINGER_NAMES) <= {n.name for n in gltf.nodes}
    skeleton = SMPL52 if fingers else SMPL22
    joints = _joints(gltf, path, skeleton)
    if not gltf.animations:
        raise UserError(f"{path}: no animation; {ACCEPTED}")
    # where no animation turns our joints the first one is read
    animations = gltf_rigs.animations_turning(gltf, set(joints)) or gltf.animations[:1]
    animation = gltf_rigs.choose_animation(animations, name, path, ACCEPTED)
    tracks = {(c.target.node, c.target.path): animation.samplers[c.sampler] for c in animation.channels}
    if not any(key in tracks for key in [*((j, "rotation") for j in joints), (joints[0], "translation")]):
        raise UserError(f"{path}: no joint is animated; {ACCEPTED}")
    parents = gltf.parents
    ways = [gltf.path_to(j, parents) for j in joints]
    above = ways[0][:-1]
    rotated = [(n, "rotation") for n in dict.fromkeys(n for way in ways for n in way)]
    scaled = list(dict.fromkeys(n for way in ways for n in way[:-1]))
    check_readable(path, gltf.extensionsRequired)
    scales = {n: _scale(gltf, n, tracks.get((n, "scale")), path) for n in scaled}
    rate, caption = gltf_rigs.extras_of(gltf.extras)
    moved = [*rotated, *((n, "translation") for n in ways[0])]
    track = gltf_rigs.Tracks(gltf, animation, moved, rate, joints=len(joints))
    fps = track.fps
    # editors put joints of their own between ours, and hang ours elsewhere: the file's tree counts, then ours
    world: dict[int, np.ndarray] = {}
    for way in ways:
        for parent, n in zip([-1, *way], way, strict=False):
            if n not in world:
                local = track(n, "rotation")
                world[n] = local if parent < 0 else rot.multiply(world[parent], local)
    turns, root = np.stack([world[j] for j in joints], 1), track(joints[0], "translation")
    for n in reversed(above):
        root = rot.rotate(track(n, "rotation"), scales[n] * root) + track(n, "translation")
    size = _size(gltf, ways, scales, path)
    root = root * size if abs(size - 1) > SIZE else root
    bind = _bind_matrices(gltf.skins or [], joints, lambda k: accessor_values(gltf, k))
    if bind is not None:
        axes = _joint_axes(bind, skeleton)
        turns = turns if axes is None else rot.multiply(turns, rot.conjugate(axes))
        rigs = {j for skin in gltf.skins or [] for j in skin.joints}
        nodes = [n for n in above if n not in rigs]
        if not nodes or rot.angle_between(world[nodes[-1]], rot.identity(())).max() < 1e-2:
            # glTF's vertical is Y, yet editors can write theirs, Z
            trunk = unit(bind[skeleton.names.index("head"), :3, 3] - bind[0, :3, 3])
            up = rot.between(np.array([0.0, 0, 1]), UP) if trunk[2] > UPRIGHT else rot.identity(())
            turns, root = rot.multiply(up, turns), rot.rotate(up, root)
    local, body = rot.below_parents(turns, skeleton.parents), len(SMPL22.names)
    if not fingers:
        return Motion(local, root, fps, "body", caption)
    return Motion(local[:, :body], root, fps, "gesture", caption, fingers=local[:, body:])


def _joints(gltf: Document, path: Path, skeleton: Skeleton) -> list[int]:
    """The nodes of our joints, by name."""
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
    # where nodes share a name those of a skin that has all, of several such skeletons the one that moves
    skins = [{gltf.nodes[j].name: j for j in skin.joints} for skin in gltf.skins or []]
    bodies = list(dict.fromkeys(tuple(s[n] for n in names) for s in skins if set(names) <= s.keys()))
    if not bodies:
        raise UserError(f"{path}: {len(named[shared[0]])} nodes called {shared[0]} and no skin to tell; {ACCEPTED}")
    if len(bodies) > 1:
        rotated = [(c.target.node, a.samplers[c.sampler].output) for a in gltf.animations or [] for c in a.channels
                   if c.target.path == "rotation"]  # fmt: skip
        turned = {n for n, output in rotated if np.ptp(accessor_values(gltf, output), 0).max() > 1e-3}
        moving = [b for b in bodies if turned & set(b)]
        if len(moving) != 1:
            raise UserError(f"{path}: of {len(bodies)} skeletons with these joints {len(moving)} move; accepted one")
        bodies = moving
    return list(bodies[0])


def _scale(gltf: Document, node: int, sampler: Sampler | None, path: Path) -> float:
    """A node's scale; it must be even and stay as it is, or what is below would be sheared."""
    stored = node_transform(gltf.nodes[node])["scale"][None]
    values = stored if sampler is None else accessor_values(gltf, sampler.output)
    if values.min() <= 0 or values.max() > values.min() * (1 + EVEN):
        low, high = (" ".join(f"{x:.4g}" for x in v) for v in (values.min(0), values.max(0)))
        scale = low if low == high else f"{low} to {high}"
        name = gltf.nodes[node].name or node
        raise UserError(f"{path}: {name} has scale {scale}; accepted one above 0 along all axes that stays")
    return float(values.mean())


def _size(gltf: Document, ways: Sequence[Sequence[int]], scales: dict[int, float], path: Path) -> float:
    """How much longer our legs are than the file's, in the world."""
    places = np.zeros((len(ways), 3))
    for j, way in enumerate(ways):
        turn, scale = rot.identity(()), 1.0
        for n in way:
            local = node_transform(gltf.nodes[n])
            places[j] += scale * rot.rotate(turn, local["translation"])
            turn, scale = rot.multiply(turn, local["rotation"]), scale * scales.get(n, 1.0)
    at_name = {n: j for j, n in enumerate(SMPL22.names)}
    try:
        return leg_length(SMPL22.rest_joints, at_name) / leg_length(places, at_name)
    except UserError as e:
        raise UserError(f"{path}: {e}") from None


def rotation_above(gltf: Document, node: int, parents: Mapping[int, int]) -> np.ndarray:
    """(4,) rotation in the world, w first, of a node's parents together, as stored."""
    turn = rot.identity(())
    for _ in gltf.nodes:  # no more steps than nodes: damaged files may go in circles
        if node in parents:
            node = parents[node]
            turn = rot.multiply(node_transform(gltf.nodes[node])["rotation"], turn)
    return turn


def world_turns(local: np.ndarray, above: np.ndarray, initial: np.ndarray) -> np.ndarray:
    """Rotations (T, 4) of a node below `above` (4,), w first, as turns in the world away from `initial` (4,)."""
    return rot.multiply(rot.multiply(above, rot.multiply(local, rot.conjugate(initial))), rot.conjugate(above))


def _bind_matrices(
    skins: Sequence[Skin], joints: Sequence[int], values: Callable[[int], np.ndarray]
) -> np.ndarray | None:
    """(J, 4, 4) float64 of joints (node numbers) in the mesh's space; `values` gives the (N, 16) of an accessor."""
    for skin in skins:
        if set(joints) <= set(skin.joints) and skin.inverseBindMatrices is not None:
            matrices = values(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
            return np.asarray(np.linalg.inv(matrices[[skin.joints.index(j) for j in joints]]))
    return None


def _rotations_of(matrices: np.ndarray) -> np.ndarray:
    """(..., 4) rotations, w first, of matrices (..., 4, 4) with a scale."""
    axes = matrices[..., :3, :3]
    return rot.from_matrix(axes / np.linalg.norm(axes, axis=-2, keepdims=True))


def _joint_axes(bind: np.ndarray, skeleton: Skeleton) -> np.ndarray | None:
    """(J, 4) axes of the joints where the skeleton has no rotation, from bind matrices (J, 4, 4); None: as ours."""
    turns = _rotations_of(bind)
    places = bind[:, :3, 3]
    bones = unit(places - places[[max(p, 0) for p in skeleton.parents]])  # of a joint from its parent
    ours = unit(np.asarray(skeleton.offsets, np.float64))
    below = [[k for k, p in enumerate(skeleton.parents) if p == j] for j in range(len(bones))]
    along = [float(rot.rotate(turns[p], ours[j]) @ bones[j]) for j, p in enumerate(skeleton.parents) if p >= 0]
    # In our own files the offsets, turned by the joints, lead along the bones as modelled. Elsewhere the skeleton is
    # laid along the bones, from the pelvis on without a twist: what is left of the joints' rotations are their axes.
    if min(along) > SAME:
        return None
    pose = np.zeros((len(bones), 4))
    for j, p in enumerate(skeleton.parents):
        pose[j] = rot.identity(()) if p < 0 else pose[p]
        if below[j]:
            pose[j] = rot.multiply(_align(rot.rotate(pose[j], ours[below[j]]), bones[below[j]]), pose[j])
    return np.asarray(rot.multiply(rot.conjugate(pose), turns))


def _align(directions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(4,) rotation that lays unit vectors (N, 3) on targets best, the shortest one for a single vector."""
    if len(targets) > 1:  # Kabsch, Acta Cryst. A32, 1976
        u, _, v = np.linalg.svd(targets.T @ directions)
        return np.asarray(rot.from_matrix(u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v))
    return rot.between(directions[0], targets[0])


def _read_face(path: Path) -> FaceMotion | None:
    """The animation of morph targets with ARKit names; None without such, or where a whole body's stay still."""
    # Targets may come in any order and spelling; those that are missing stay 0, and so does the head without a rotated
    # node ``head``. What that node turns at rest is no turn of the head.
    gltf = read_gltf(path, ACCEPTED_FACE)
    with parsing(path, "a whole glTF", ACCEPTED_FACE):
        mesh = _face_mesh(gltf)
        animated = any(c.target.path == "weights" for a in gltf.animations for c in a.channels)
        if mesh is None or (not animated and joints_known(n.name for n in gltf.nodes) >= BODY):
            return None
        return _face(gltf, *mesh, path)


def _face_mesh(gltf: Document) -> tuple[int, dict[int, int], int] | None:
    """The mesh with ARKit targets: its number, our index -> its target, how many targets it has."""
    # of several meshes the first one whose weights are animated
    channels = [c.target for a in gltf.animations or [] for c in a.channels]
    moved = {gltf.nodes[t.node].mesh for t in channels if t.path == "weights"}
    for i, mesh in sorted(enumerate(gltf.meshes or []), key=lambda numbered: numbered[0] not in moved):
        names = list((mesh.extras or {}).get("targetNames", []))
        columns = arkit.columns([str(n) for n in names])
        if len(columns) >= arkit.COUNT // 2:
            return i, columns, len(names)
    return None


def _face(gltf: Document, mesh: int, columns: dict[int, int], targets: int, path: Path) -> FaceMotion:
    nodes = gltf.nodes
    clips = [[(c.target, a.samplers[c.sampler]) for c in a.channels] for a in gltf.animations or []]

    def weights_sampler(tracks: list[tuple[Any, Any]]) -> Any:
        return next((s for t, s in tracks if t.path == "weights" and nodes[t.node].mesh == mesh), None)

    clips.sort(key=lambda tracks: weights_sampler(tracks) is None)  # the head may turn in another animation, too
    moved = weights_sampler(clips[0]) if clips else None
    if moved is None:
        raise UserError(f"{path}: no animation of the morph targets' weights; {ACCEPTED_FACE}")
    tracks = [track for clip in clips for track in clip]
    heads = ((s, t.node) for t, s in tracks if t.path == "rotation" and (nodes[t.node].name or "").lower() == "head")
    turned, bone = next(heads, (None, -1))
    read = [s for s in (moved, turned) if s is not None]
    check_readable(path, gltf.extensionsRequired, [s.interpolation for s in read])
    lines = [accessor_values(gltf, s.input)[:, 0].astype(np.float64) for s in read]
    rate, caption = gltf_rigs.extras_of(gltf.extras)
    keys = accessor_values(gltf, moved.output).reshape(len(lines[0]), targets)
    try:
        check_weights(keys[:, list(columns.values())], [arkit.NAMES[i] for i in columns])
    except UserError as e:
        raise UserError(f"{path}: key frame {str(e).removeprefix('row ')}") from None
    steps = [s.interpolation == gltf_rigs.STEP for s in read]
    times, fps = gltf_rigs.common_times(lines, rate, any(steps))
    table = gltf_rigs.interpolate(times, lines[0], keys, steps[0])
    weights = np.zeros((len(times), arkit.COUNT), np.float32)
    for ours, theirs in columns.items():
        weights[:, ours] = table[:, theirs]
    head = np.zeros((len(times), 3))
    if turned is not None:
        local = gltf_rigs.check_unit(np.roll(accessor_values(gltf, turned.output), 1, axis=-1))
        away = world_turns(local, *_head_at_rest(gltf, bone))
        head = gltf_rigs.interpolate(times, lines[1], angles_of(away), steps[1])
    return FaceMotion(weights, head, fps, caption)


def _head_at_rest(gltf: Document, bone: int) -> tuple[np.ndarray, np.ndarray]:
    """(4,) rotation of the joints above a bone together, and (4,) its own, where its mesh is as modelled."""
    # A skin has both for the upright rig, however that is placed in its scene. Nodes may stand as in the first frame,
    # as in our own files, and serve only where there is no skin.
    for skin in gltf.skins or []:
        parent = next((j for j in skin.joints if bone in (gltf.nodes[j].children or [])), None)
        bind = None if parent is None else _bind_matrices([skin], [parent, bone], lambda k: accessor_values(gltf, k))
        if bind is not None:
            local = np.linalg.inv(bind[0]) @ bind[1]
            axes = rotation_above(gltf, bone, {n: p for n, p in gltf.parents.items() if p in skin.joints})
            # the axis nearest to the way from neck to head, which may lean, is the vertical one
            way = rot.rotate(axes, local[:3, 3])
            k = int(np.abs(way).argmax())
            upright = rot.between(np.eye(3)[k] * np.sign(way[k]), UP) if way[k] else rot.identity(())
            return rot.multiply(upright, axes), _rotations_of(local)
    return rotation_above(gltf, bone, gltf.parents), node_transform(gltf.nodes[bone])["rotation"]
