"""Motions in files to strips on an armature."""

import math
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import bpy
from mathutils import Matrix, Quaternion, Vector

from .rigs import Follow, Rig, choose

TRACK = "AvatarGPT"
STILL = (5e-4, 2e-3)  # metres and radians, up to which a bone has not moved
Poses = dict[str, Matrix]  # by shown bone where it is in the world


class Piece(NamedTuple):
    """What becomes a strip of its own."""

    name: str
    first: int  # frames
    last: int


@contextmanager
def undisturbed(context):
    """What is selected, the mode, the frame and the scene's range are afterwards as they were."""
    scene, active = context.scene, context.view_layer.objects.active
    chosen, mode = [*context.selected_objects], active.mode if active is not None else "OBJECT"
    kept = scene.frame_current, scene.frame_start, scene.frame_end
    if mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    try:
        yield
    finally:
        choose(context, chosen, active)
        scene.frame_start, scene.frame_end = kept[1:]
        scene.frame_set(kept[0])
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode=mode)


@contextmanager
def _imported(path: Path):
    """The armature in a .glb for a while; it leaves nothing behind."""
    kinds = (bpy.data.objects, bpy.data.actions, bpy.data.meshes, bpy.data.armatures)
    before = [set(kind) for kind in kinds]
    bpy.ops.import_scene.gltf(filepath=str(path))
    try:
        yield next(o for o in bpy.data.objects if o not in before[0] and o.type == "ARMATURE")
    finally:
        for kind, had in zip(kinds, before, strict=True):
            for one in [x for x in kind if x not in had]:
                kind.remove(one)


def import_character(path: Path, name: str) -> None:
    """Import our own character with its action."""
    before = set(bpy.data.objects)
    bpy.ops.import_scene.gltf(filepath=str(path))
    armature = next(o for o in bpy.data.objects if o not in before and o.type == "ARMATURE")
    armature.name = name
    if armature.animation_data is not None and armature.animation_data.action is not None:
        armature.animation_data.action.name = name


def read_poses(context, rig: Rig, path: Path, times: list[float]) -> list[Poses]:
    """Where the shown bones are at times (seconds) of a .glb that has them.

    The importer turns bones into axes of its own, so poses are carried over as what moves each bone from its rest.
    """
    scene, rests = context.scene, rig.rests()
    rate, out = scene.render.fps / scene.render.fps_base, []
    with _imported(path) as source:
        bones = {b.name: b for b in source.pose.bones if b.name in rests}
        for time in times:
            scene.frame_set(int(time * rate), subframe=time * rate - int(time * rate))
            place = source.matrix_world
            back = {n: (place @ b.bone.matrix_local).inverted() @ rig.world @ rests[n] for n, b in bones.items()}
            out.append({n: place @ b.matrix @ back[n] for n, b in bones.items()})
    return out


def find_moved(rig: Rig, poses: list[Poses]) -> tuple[list[str], list[str]]:
    """Bones that are ever turned or placed otherwise than at rest below their parents, and those of them that are
    placed; parents before their children. The body's way is in the first of these."""
    rests, turned, placed = rig.rests(), [], []
    for name in sorted(poses[0], key=lambda n: len(rig.armature.data.bones[rig.shown[n]].parent_recursive)):
        above = rig.parents.get(name)
        rest = (rests[above] if above in poses[0] else rig.world.inverted()).inverted() @ rests[name]
        for pose in poses:
            carried = pose[above] @ rest if above in poses[0] else rest
            angle = carried.to_quaternion().rotation_difference(pose[name].to_quaternion()).angle
            if (carried.translation - pose[name].translation).length > STILL[0]:
                placed.append(name)
                break
            if STILL[1] < angle < 2 * math.pi - STILL[1] and name not in turned:
                turned.append(name)
    return [n for n in poses[0] if n in turned or n in placed], placed


def move(scene, rig: Rig, hips: str, poses: list[Poses], frame: int) -> None:
    """Take poses from the middle of the world to where the hips of an armature are, and face, in a frame."""
    pose = rig.poses(scene, frame)[hips]
    world = rig.armature.matrix_world
    rest = world @ rig.rests()[hips]
    start = _level(pose @ rest.inverted(), rest.translation) @ _level(world, Vector())
    for one in poses:
        one.update({name: start @ matrix for name, matrix in one.items()})


def _level(matrix: Matrix, at: Vector) -> Matrix:
    """The part of a movement that is a turn about the upright axis and a way over the floor, of a point `at`."""
    turn = matrix.to_quaternion().to_swing_twist("Z")[1]
    turned = Matrix.Rotation(turn, 4, "Z")
    way = matrix @ at - turned @ at
    return Matrix.Translation((way.x, way.y, 0.0)) @ turned


def meet(poses: list[Poses], start: Poses, end: Poses) -> None:
    """Lead poses to those of both ends: what is missing there is added, ever less of one and more of the other."""
    for name in poses[0]:
        turns, ways = [], []
        for mine, wanted in ((poses[0][name], start[name]), (poses[-1][name], end[name])):
            turn = (mine.to_quaternion().inverted() @ wanted.to_quaternion()).normalized()
            turns.append(turn if turn.w >= 0 else -turn)
            ways.append(wanted.translation - mine.translation)
        for number, pose in enumerate(poses):
            share = number / max(len(poses) - 1, 1)
            share = share * share * (3 - 2 * share)
            place, turn, size = pose[name].decompose()
            place += ways[0].lerp(ways[1], share)
            pose[name] = Matrix.LocRotScale(place, turn @ turns[0].slerp(turns[1], share), size)


def put_on(context, rig: Rig, poses: list[Poses], follows: list[Follow], pieces: list[Piece]) -> None:
    """Put poses, a frame each from the first piece's first frame on, on an armature as strips.

    What it had stays below: its action becomes a strip, and strips do not reach beyond their frames.
    """
    armature, first = rig.armature, pieces[0].first
    data = armature.animation_data or armature.animation_data_create()
    data.use_tweak_mode = False
    if data.action is not None:
        ours = any(track.name.startswith(TRACK) for track in data.nla_tracks)
        below = data.nla_tracks.new()
        below.name = data.action.name
        strip = _push_down(data, below, below.name)
        if ours:  # which it would hide before and after its own frames
            strip.extrapolation = "NOTHING"
    rows: list = []
    track = _free_track(data, first, pieces[-1].last)
    for piece in pieces:
        data.action = bpy.data.actions.new(piece.name)
        _key_controls(rig, piece.first)
        rows = rows or _bake(context, rig, follows, poses, first)
        for frame in range(piece.first, piece.last + 1):
            for follow, (turn, place) in zip(follows, rows[frame - first], strict=True):
                _key(armature.pose.bones[follow.bone], turn, place if follow.place else None, frame)
        _push_down(data, track, piece.name).extrapolation = "NOTHING"


def _key_controls(rig: Rig, frame: int) -> None:
    """What has to be as at rest, and FK on."""
    for name in rig.resets:
        _key(rig.armature.pose.bones[name], Quaternion(), Vector(), frame)
    for name in rig.switches:
        bone = rig.armature.pose.bones[name]
        usual, bone["IK_FK"] = bone["IK_FK"], 1.0
        bone.keyframe_insert('["IK_FK"]', frame=frame, group=name)
        bone["IK_FK"] = usual


def _push_down(data, track, name: str):
    """The strip that an armature's action becomes."""
    action, slot = data.action, getattr(data, "action_slot", None)
    action.use_fake_user = True
    data.action = None
    strip = track.strips.new(name, round(action.frame_range[0]), action)
    if slot is not None:  # Blender 4.4 and newer
        strip.action_slot = slot
    return strip


def _free_track(data, first: int, last: int):
    """Our track where it is the uppermost one and has these frames free, else a new one above all others."""
    top = data.nla_tracks[-1] if data.nla_tracks else None
    ours = top is not None and top.name.startswith(TRACK)
    if not ours or any(s.frame_start < last and s.frame_end > first for s in top.strips):
        top = data.nla_tracks.new()
        top.name = TRACK
    return top


def _bake(
    context, rig: Rig, follows: list[Follow], poses: list[Poses], first: int
) -> list[list[tuple[Quaternion, Vector]]]:
    """By frame and bone how it is turned and placed below its parents so that it is where it is led.

    Blender itself solves what is between: helpers lead the bones by constraints while this goes on.
    """
    armature, scene = rig.armature, context.scene
    rests, bones = rig.rests(), armature.data.bones
    offsets = [(rests[f.turn].inverted() @ bones[f.bone].matrix_local,
                rests[f.place or f.turn].inverted() @ bones[f.bone].matrix_local) for f in follows]  # fmt: skip
    helpers = [bpy.data.objects.new("avatargpt", None) for _ in follows]
    added, out = [], []
    try:
        for follow, helper in zip(follows, helpers, strict=True):
            scene.collection.objects.link(helper)
            helper.rotation_mode = "QUATERNION"
            bone = armature.pose.bones[follow.bone]
            for kind in ["COPY_ROTATION", *["COPY_LOCATION"] * (follow.place is not None)]:
                constraint = bone.constraints.new(kind)
                constraint.target = helper
                added.append((bone, constraint))
        for number, pose in enumerate(poses):
            scene.frame_set(first + number)
            for follow, helper, (turn, place) in zip(follows, helpers, offsets, strict=True):
                helper.rotation_quaternion = (pose[follow.turn] @ turn).to_quaternion()
                helper.location = (pose[follow.place or follow.turn] @ place).translation
            context.view_layer.update()
            row = []
            for follow in follows:
                bone = armature.pose.bones[follow.bone]
                local = armature.convert_space(pose_bone=bone, matrix=bone.matrix, from_space="POSE", to_space="LOCAL")
                row.append((local.to_quaternion(), local.translation.copy()))
            out.append(row)
    finally:
        for bone, constraint in added:
            bone.constraints.remove(constraint)
        for helper in helpers:
            bpy.data.objects.remove(helper)
    return out


def _key(bone, turn: Quaternion, place: Vector | None, frame: int) -> None:
    """Key frames of a bone, in the way in which it is turned."""
    if bone.rotation_mode == "QUATERNION":
        # the nearer of two equal rotations, or curves between the keys would go the long way round
        bone.rotation_quaternion = -turn if turn.dot(bone.rotation_quaternion) < 0 else turn
        bone.keyframe_insert("rotation_quaternion", frame=frame, group=bone.name)
    elif bone.rotation_mode == "AXIS_ANGLE":
        axis, angle = turn.to_axis_angle()
        bone.rotation_axis_angle = (angle, *axis)
        bone.keyframe_insert("rotation_axis_angle", frame=frame, group=bone.name)
    else:
        bone.rotation_euler = turn.to_euler(bone.rotation_mode, bone.rotation_euler)
        bone.keyframe_insert("rotation_euler", frame=frame, group=bone.name)
    if place is not None:
        bone.location = place
        bone.keyframe_insert("location", frame=frame, group=bone.name)
