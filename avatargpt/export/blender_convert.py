"""Turns .fbx into .glb, or .glb into .fbx: ``blender_convert.py -- SOURCE TARGET [FPS]``, run by Blender's Python."""

import sys

import bpy


def main(source: str, target: str, fps: float | None) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    if fps is not None:  # times become frames on reading
        scene.render.fps = max(1, round(fps))
        scene.render.fps_base = scene.render.fps / fps
    if source.lower().endswith(".fbx"):
        bpy.ops.import_scene.fbx(filepath=source)
        if not any(o.type == "ARMATURE" for o in bpy.data.objects):
            sys.exit("no skeleton")
        bpy.ops.export_scene.gltf(
            filepath=target, export_format="GLB", export_animations=True, export_animation_mode="ACTIONS",
            export_force_sampling=True, export_optimize_animation_size=False, export_rest_position_armature=True,
            export_materials="NONE", export_morph=False,
        )  # fmt: skip
        return
    bpy.ops.import_scene.gltf(filepath=source, disable_bone_shape=True)
    ranges = [action.frame_range for action in bpy.data.actions]
    if ranges:
        scene.frame_start, scene.frame_end = round(min(r[0] for r in ranges)), round(max(r[1] for r in ranges))
    bpy.ops.export_scene.fbx(
        filepath=target, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False, bake_anim_use_nla_strips=False,
        bake_anim_use_all_actions=False, bake_anim_simplify_factor=0.0, path_mode="COPY", embed_textures=True,
    )  # fmt: skip


if __name__ == "__main__":
    given = sys.argv[sys.argv.index("--") + 1 :]
    main(given[0], given[1], float(given[2]) if len(given) > 2 else None)
