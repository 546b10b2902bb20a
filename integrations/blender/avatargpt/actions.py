"""Armatures to files, and motions in files to actions."""

from pathlib import Path

import bpy
from mathutils import Matrix, Vector


def write_character(context, armature, path: Path) -> None:
    """Write an armature in its rest pose as .glb, with the meshes that it moves."""
    chosen, active = [*context.selected_objects], context.view_layer.objects.active
    parts = [armature, *(o for o in context.scene.objects if o.type == "MESH" and _moves(armature, o))]
    _choose(context, parts, armature)
    try:
        bpy.ops.export_scene.gltf(
            filepath=str(path), export_format="GLB", use_selection=True, export_animations=False, export_morph=False,
            export_materials="NONE", export_rest_position_armature=True, export_current_frame=False,
        )  # fmt: skip
    finally:
        _choose(context, chosen, active)


def _moves(armature, mesh) -> bool:
    return any(m.type == "ARMATURE" and m.object == armature for m in mesh.modifiers)


def _choose(context, objects, active) -> None:
    for one in context.scene.objects:
        one.select_set(one in objects)
    context.view_layer.objects.active = active


def _imported(path: Path):
    """The armature in a .glb, and all objects that came with it."""
    before = set(bpy.data.objects)
    bpy.ops.import_scene.gltf(filepath=str(path))
    new = [o for o in bpy.data.objects if o not in before]
    return next(o for o in new if o.type == "ARMATURE"), new


def import_character(path: Path, name: str) -> None:
    """Import our own character with its action."""
    armature, _ = _imported(path)
    armature.name = name
    if armature.animation_data is not None and armature.animation_data.action is not None:
        armature.animation_data.action.name = name


def put_on(context, armature, path: Path, name: str, first: int) -> int:
    """Give an armature a new action with the motion of a .glb that has its bones, from frame `first` on, where it
    stands then; its last frame.

    What the armature had stays below it as a strip, and plays before and after it. The importer turns bones into axes
    of its own, so poses are carried over as what moves each bone from its rest.
    """
    scene = context.scene
    current, span, active = scene.frame_current, (scene.frame_start, scene.frame_end), context.view_layer.objects.active
    chosen = [o for o in context.selected_objects]
    actions_before = set(bpy.data.actions)
    source, new = _imported(path)
    try:
        last = max((a.frame_range[1] for a in bpy.data.actions if a not in actions_before), default=0.0)
        poses = [_movement(scene, source, frame) for frame in range(round(last) + 1)]
    finally:
        for one in new:
            bpy.data.objects.remove(one)
        for action in [a for a in bpy.data.actions if a not in actions_before]:
            bpy.data.actions.remove(action)
        _choose(context, chosen, active)
        scene.frame_start, scene.frame_end = span
    moved = [b.name for b in _ordered(armature) if b.name in poses[0]]
    # the body's way is in the first bone that moves; others may be above it
    hips = next((n for n in moved if any(p[n] != poses[0][n] for p in poses)), moved[0])
    start = _standing(scene, armature, hips, first)
    worlds = [_world(scene, armature, first + number) for number in range(len(poses))]
    data = armature.animation_data or armature.animation_data_create()
    _keep(data)
    data.action = bpy.data.actions.new(name)
    for number, pose in enumerate(poses):
        _set_pose(armature, worlds[number], {n: start @ m @ worlds[0] for n, m in pose.items()}, moved, first + number)
    scene.frame_set(current)
    return first + len(poses) - 1


def _keep(data) -> None:
    """Put the action of an armature into a strip, so that another one can be above it."""
    old = data.action
    if old is not None:
        old.use_fake_user = True
        track = data.nla_tracks.new()
        track.name = old.name
        strip = track.strips.new(old.name, round(old.frame_range[0]), old)
        if hasattr(strip, "action_slot"):  # Blender 4.4 and newer
            strip.action_slot = data.action_slot
    if data.nla_tracks:
        data.action_extrapolation = "NOTHING"


def _world(scene, armature, frame: int) -> Matrix:
    scene.frame_set(frame)
    return armature.matrix_world.copy()


def _standing(scene, armature, root: str, frame: int) -> Matrix:
    """What takes a motion from the middle of the world to where an armature stands, and faces, in a frame."""
    world = _world(scene, armature, frame)
    bone = armature.pose.bones[root]
    moved = world @ bone.matrix @ (world @ bone.bone.matrix_local).inverted()
    return _level(moved, world @ bone.bone.head_local) @ _level(world, Vector())


def _level(matrix: Matrix, at: Vector) -> Matrix:
    """The part of a movement that is a turn about the upright axis and a way over the floor, of a point `at`."""
    turn = matrix.to_quaternion().to_swing_twist("Z")[1]
    turned = Matrix.Rotation(turn, 4, "Z")
    way = matrix @ at - turned @ at
    return Matrix.Translation((way.x, way.y, 0.0)) @ turned


def _movement(scene, source, frame: int) -> dict[str, Matrix]:
    """By bone what takes it from its rest to its pose, in the world."""
    scene.frame_set(frame)
    world = source.matrix_world
    out = {}
    for bone in source.pose.bones:
        rest = world @ bone.bone.matrix_local
        out[bone.name] = (world @ bone.matrix) @ rest.inverted()
    return out


def _ordered(armature):
    """Bones with parents before their children."""
    return sorted(armature.pose.bones, key=lambda b: len(b.parent_recursive))


def _set_pose(armature, world: Matrix, pose: dict[str, Matrix], names: list[str], frame: int) -> None:
    back = world.inverted()
    places: dict[str, Matrix] = {}
    for bone in _ordered(armature):
        rest = bone.bone.matrix_local
        parent = bone.parent
        carried = rest if parent is None else places[parent.name] @ parent.bone.matrix_local.inverted() @ rest
        if bone.name not in pose:
            places[bone.name] = carried
            continue
        wanted = back @ pose[bone.name] @ rest
        turn = (carried.to_quaternion().inverted() @ wanted.to_quaternion()).normalized()
        place = (carried.inverted() @ wanted).translation if parent is None or parent.name not in names else None
        _key(bone, turn, place, frame)
        basis = turn.to_matrix().to_4x4()
        basis.translation = place if place is not None else (0, 0, 0)
        places[bone.name] = carried @ basis


def _key(bone, turn, place, frame: int) -> None:
    """Key frames of a bone, in the way in which it is turned."""
    if bone.rotation_mode == "QUATERNION":
        # the nearer of two equal rotations, or curves between the keys would go the long way round
        bone.rotation_quaternion = -turn if frame and turn.dot(bone.rotation_quaternion) < 0 else turn
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
