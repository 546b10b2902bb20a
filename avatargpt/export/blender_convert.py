"""Turns .fbx into .glb, or .glb into .fbx: ``blender_convert.py -- SOURCE TARGET [FPS|whole]``, by Blender's Python.

FPS: of the key frames of a .fbx. whole: a .glb has materials and morph targets, too.
"""

import json
import struct
import sys

import bpy


def main(source: str, target: str, option: str) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if source.lower().endswith(".fbx"):
        _to_glb(source, target, option == "whole")
    else:
        _to_fbx(source, target, float(option))


def _to_glb(source: str, target: str, whole: bool) -> None:
    bpy.ops.import_scene.fbx(filepath=source)
    armatures = {o.name for o in bpy.data.objects if o.type == "ARMATURE"}
    if not armatures:
        sys.exit("no skeleton")
    for action in bpy.data.actions:  # a take is called OBJECT|ACTION by whoever writes it, and again on reading
        while "|" in action.name and action.name.split("|")[0] in armatures:
            action.name = action.name.split("|", 1)[1]
    bound = any(m.type == "ARMATURE" for o in bpy.data.objects for m in o.modifiers)
    bpy.ops.export_scene.gltf(
        filepath=target, export_format="GLB", export_animations=True, export_animation_mode="ACTIONS",
        export_force_sampling=True, export_optimize_animation_size=False, export_rest_position_armature=True,
        export_materials="EXPORT" if whole else "NONE", export_morph=whole, export_extras=whole,
    )  # fmt: skip
    if not bound:
        _without_skin(target)


def _without_skin(path: str) -> None:
    """Take the skin out of a .glb: of a file without a mesh its pose is no bind pose, but where the bones stood."""
    with open(path, "rb") as file:
        head, length, rest = file.read(12), struct.unpack("<I4s", file.read(8))[0], file.read()
    gltf = json.loads(rest[:length])
    gltf.pop("skins", None)
    for node in gltf["nodes"]:
        node.pop("skin", None)
    text = json.dumps(gltf).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + rest[length:]
    with open(path, "wb") as file:
        file.write(head[:8] + struct.pack("<I", 12 + len(body)) + body)


def _to_fbx(source: str, target: str, fps: float) -> None:
    scene = bpy.context.scene
    scene.render.fps = max(1, round(fps))  # times become frames on reading
    scene.render.fps_base = scene.render.fps / fps
    bpy.ops.import_scene.gltf(filepath=source, disable_bone_shape=True)
    ranges = [action.frame_range for action in bpy.data.actions]
    if ranges:
        scene.frame_start, scene.frame_end = round(min(r[0] for r in ranges)), round(max(r[1] for r in ranges))
    bpy.ops.export_scene.fbx(
        filepath=target, object_types={"ARMATURE", "MESH", "EMPTY"}, add_leaf_bones=False,
        bake_anim_use_nla_strips=False, bake_anim_use_all_actions=True, bake_anim_simplify_factor=0.0,
        path_mode="COPY", embed_textures=True,
    )  # fmt: skip


if __name__ == "__main__":
    given = sys.argv[sys.argv.index("--") + 1 :]
    main(given[0], given[1], given[2] if len(given) > 2 else "")
