"""Run by a Python with bpy: the add-on puts a motion on a character; where its bones then are goes into an .npz.

python run_in_blender.py ADDON_FOLDER SERVER CHARACTER.glb OUT.npz
"""

import importlib
import math
import sys

import bpy
import numpy as np
from mathutils import Matrix

folder, url, character, out = sys.argv[1:]
sys.path.insert(0, folder)
addon = importlib.import_module("avatargpt")
bpy.ops.wm.read_factory_settings(use_empty=True)
addon.register()
scene = bpy.context.scene
scene.render.fps = 20


def generate(prompt: str = "", **options) -> set[str]:
    return bpy.ops.avatargpt.generate(prompt=prompt, seconds=2, **options)


def heads(armature) -> dict[str, np.ndarray]:
    """Bone -> places of its head (T, 3), metres, Y up."""
    first, last = (round(f) for f in armature.animation_data.action.frame_range)
    places = {b.name: [] for b in armature.pose.bones}
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        for bone in armature.pose.bones:
            x, y, z = armature.matrix_world @ bone.head
            places[bone.name].append((x, z, -y))
    return {name: np.array(rows) for name, rows in places.items()}


def keeping(armature) -> dict[str, np.ndarray]:
    """What becomes of the action that an armature has, under a second one from frame 30 on, and on the disk."""
    walk, hips = armature.animation_data.action, armature.pose.bones[0]
    scene.frame_start, scene.frame_end = 2, 40
    places = []
    for _ in range(2):
        for frame in (20, 30):
            scene.frame_set(frame)
            places.append((armature.matrix_world @ hips.head).to_tuple())
        if len(places) == 2:
            assert generate("a person waves") == {"FINISHED"}
            assert scene.frame_current == 30 and (scene.frame_start, scene.frame_end) == (2, 40)
    assert armature.animation_data.action != walk and walk.use_fake_user
    assert walk in [s.action for t in armature.animation_data.nla_tracks for s in t.strips]
    name, path = walk.name, out + ".blend"
    bpy.ops.wm.save_as_mainfile(filepath=path, copy=True)
    with bpy.data.libraries.load(path) as (stored, _):
        assert name in stored.actions
    return {"before": np.array(places[:2]), "after": np.array(places[2:])}


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
assert round(armature.animation_data.action.frame_range[0]) == 5 == scene.frame_current
result = heads(armature)
kept = keeping(armature)
armature.select_set(False)
bpy.context.view_layer.objects.active = None
assert generate("a person waves") == {"FINISHED"}
new = next(o for o in bpy.data.objects if o.type == "ARMATURE" and o != armature)
ours = heads(new)
try:
    generate("...")
    raise SystemExit("a refused request went through")
except RuntimeError as e:
    error = str(e)
addon.unregister()
addon.register()
addon.unregister()
named = {"character": result, "kept": kept, "ours": ours}
places = {f"{name}/{bone}": place for name, bones in named.items() for bone, place in bones.items()}
np.savez(out, error=error, **places)
