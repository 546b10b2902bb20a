"""Run by a Python with bpy: the add-on puts a motion on a character; where its bones then are goes into an .npz.

python run_in_blender.py ADDON_FOLDER SERVER CHARACTER.glb OUT.npz
"""

import importlib
import math
import os
import sys

import bpy
import numpy as np
from mathutils import Euler, Matrix

folder, url, character, out = sys.argv[1:]
sys.path.insert(0, folder)
addon = importlib.import_module("avatargpt")
bpy.ops.wm.read_factory_settings(use_empty=True)
addon.register()
scene = bpy.context.scene
scene.render.fps = 20


def generate(prompt: str = "", **options) -> set[str]:
    return bpy.ops.avatargpt.generate(prompt=prompt, seconds=2, **options)


def strips(armature) -> list[tuple[str, int, int]]:
    """Strips by the order of their tracks: name, first and last frame."""
    found = [s for track in armature.animation_data.nla_tracks for s in track.strips]
    return [(s.name, round(s.frame_start), round(s.frame_end)) for s in found]


def heads(armature, frames=None) -> dict[str, np.ndarray]:
    """Bone -> places of its head (T, 3), metres, Y up, in the frames of its first strip or in others."""
    first, last = strips(armature)[0][1:]
    places = {b.name: [] for b in armature.pose.bones}
    for frame in range(first, last + 1) if frames is None else frames:
        scene.frame_set(frame)
        for bone in armature.pose.bones:
            x, y, z = armature.matrix_world @ bone.head
            places[bone.name].append((x, z, -y))
    return {name: np.array(rows) for name, rows in places.items()}


def keeping(armature) -> dict[str, np.ndarray]:
    """What becomes of the action that an armature has, under a strip from frame 30 on, and on the disk."""
    track = armature.animation_data.nla_tracks[0]
    walk, hips = track.strips[0].action, armature.pose.bones[0]
    armature.animation_data.nla_tracks.remove(track)
    armature.animation_data.action = walk
    if hasattr(armature.animation_data, "action_slot"):
        armature.animation_data.action_slot = walk.slots[0]
    scene.frame_start, scene.frame_end = 2, 40
    places = []
    for _ in range(2):
        for frame in (20, 30):
            scene.frame_set(frame)
            places.append((armature.matrix_world @ hips.head).to_tuple())
        if len(places) == 2:
            assert generate("a person waves") == {"FINISHED"}
            assert scene.frame_current == 30 and (scene.frame_start, scene.frame_end) == (2, 40)
    assert armature.animation_data.action is None and walk.use_fake_user
    assert [name for name, *_ in strips(armature)] == ["a person walks", "a person waves"]
    name, path = walk.name, out + ".blend"
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    with bpy.data.libraries.load(path) as (stored, _):
        assert name in stored.actions
    return {"before": np.array(places[:2]), "after": np.array(places[2:])}


def spanning(armature) -> dict[str, np.ndarray]:
    """Strips by a range and by markers, at 24 frames a second, and between the poses of an action of the animator's."""
    scene.render.fps = 24
    scene.use_preview_range, scene.frame_preview_start, scene.frame_preview_end = True, 100, 151
    assert bpy.ops.avatargpt.generate(prompt="a person turns", span="RANGE") == {"FINISHED"}
    before = heads(armature, (99, 120, 152))
    scene.frame_preview_start, scene.frame_preview_end = 110, 160
    for frame, name in ((112, "a person bows"), (130, "F_130"), (136, "a person sits down")):
        scene.timeline_markers.new(name, frame=frame)
    assert bpy.ops.avatargpt.generate(span="MARKERS") == {"FINISHED"}
    assert strips(armature)[2:] == [
        ("a person turns", 100, 151), ("a person bows", 112, 136), ("a person sits down", 136, 160)
    ]  # fmt: skip
    scene.frame_preview_start, scene.frame_preview_end = 200, 233
    armature.animation_data.action = bpy.data.actions.new("keyed")
    limb = next(b for b in armature.pose.bones if b.name.endswith("LeftArm"))
    for frame, angle in ((200, 0.3), (233, -0.4)):
        limb.rotation_quaternion = Euler((angle, 0.2, angle)).to_quaternion()
        limb.keyframe_insert("rotation_quaternion", frame=frame)
        armature.pose.bones[1].location = (angle, 0, angle / 2)
        armature.pose.bones[1].keyframe_insert("location", frame=frame)
    keyed = heads(armature, (200, 233))
    assert bpy.ops.avatargpt.generate(prompt="", span="BETWEEN") == {"FINISHED"}
    assert strips(armature)[5:] == [("keyed", 200, 233), ("in-between", 200, 233)]
    reached = heads(armature, (200, 233))
    still = heads(armature, (99, 120, 152))
    moved = [np.abs(still[n] - before[n]).max(1) for n in before]
    return {
        "missed": np.array([np.abs(reached[n] - keyed[n]).max() for n in keyed]),
        "outside": np.array([m[0] for m in moved]), "inside": np.array([m[1] for m in moved]),
    }  # fmt: skip


addon.server.DEFAULT = url
bpy.ops.import_scene.gltf(filepath=character)
armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
armature.animation_data_clear()
for bone in armature.pose.bones:
    bone.matrix_basis.identity()
# As an FBX comes in: bones in centimetres and Y up under an object that turns and shrinks them.
turn = Matrix.Rotation(math.radians(90), 4, "X") @ Matrix.Scale(0.01, 4)
armature.data.transform(turn.inverted())
armature.matrix_world = turn @ armature.matrix_world
for mesh in [o for o in bpy.data.objects if o.type == "MESH"]:
    bpy.data.objects.remove(mesh)
bpy.context.view_layer.objects.active = armature
armature.select_set(True)
euler = armature.pose.bones[3]
euler.rotation_mode = "XYZ"
objects, actions = len(bpy.data.objects), len(bpy.data.actions)
scene.frame_set(5)
assert generate("a person walks") == {"FINISHED"}
assert len(bpy.data.objects) == objects and len(bpy.data.actions) == actions + 1
assert strips(armature) == [("a person walks", 5, 44)] and scene.frame_current == 5
result = heads(armature)
kept = keeping(armature)
spans = spanning(armature)
scene.render.fps, scene.use_preview_range = 20, False
armature.select_set(False)
bpy.context.view_layer.objects.active = None
assert generate("a person waves") == {"FINISHED"}
new = next(o for o in bpy.data.objects if o.type == "ARMATURE" and o != armature)
ours = heads(new, range(40))
try:
    generate("...")
    raise SystemExit("a refused request went through")
except RuntimeError as e:
    error = str(e)
bones = bpy.data.objects.new("bare", bpy.data.armatures.new("bare"))
scene.collection.objects.link(bones)
bpy.context.view_layer.objects.active = bones
try:
    generate("a person walks")
    raise SystemExit("an armature without bones went through")
except RuntimeError as e:
    missing = str(e)
addon.unregister()
addon.register()
addon.unregister()
named = {"character": result, "kept": kept, "spans": spans, "ours": ours}
places = {f"{name}/{bone}": place for name, bones in named.items() for bone, place in bones.items()}
np.savez(out, error=error, missing=missing, **places)
sys.stdout.flush()
os._exit(0)  # bpy 4.2 crashes as Python ends, after any import of a .glb
