"""Open exported files in a real Blender and compare what it shows with the clip itself.

    python -m pip install bpy numpy          # Blender as a Python module, 350 MB; in an environment of its own
    python scripts/check_blender.py clip.npz clip.glb clip.bvh

The .npz is the clip that `avatargpt` wrote beside the others. A body: heads of Blender's 22 bones against `joints`,
metres. A face (.glb): values of its 52 shape keys against `weights`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def imported(path: Path, fps: float, joints: list[str], shapes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds (T,) of Blender's frames, and its bone heads (T, 22, 3), metres, Y up, or shape keys (T, 52)."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = round(fps)  # a .glb's key frames are put on the scene's frames
    if path.suffix == ".bvh":
        bpy.ops.import_anim.bvh(filepath=str(path), update_scene_fps=True, update_scene_duration=True)
        first = 1  # where Blender puts a .bvh's first frame
    else:
        bpy.ops.import_scene.gltf(filepath=str(path))
        first = 0
    scene = bpy.context.scene
    last = int(max(action.frame_range[1] for action in bpy.data.actions))
    keys = [k for k in bpy.data.shape_keys if all(name in k.key_blocks for name in shapes)] if shapes else []
    body = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    rows = []
    for frame in range(first, last + 1):
        scene.frame_set(frame)
        if shapes:
            rows.append([keys[0].key_blocks[name].value for name in shapes])
        else:
            heads = [body.matrix_world @ body.pose.bones[name].head for name in joints]
            rows.append([(h.x, h.z, -h.y) for h in heads])
    rate = scene.render.fps / scene.render.fps_base
    return np.arange(last + 1 - first) / rate, np.array(rows)


def main() -> None:
    clip, *files = (Path(a) for a in sys.argv[1:])
    with np.load(clip, allow_pickle=False) as data:
        face = str(data["modality"]) == "face"
        truth, fps = data["weights" if face else "joints"], float(data["fps"])
        names = [str(n) for n in data["names" if face else "joint_names"]]
    for path in files:
        times, values = imported(path, fps, [] if face else names, names if face else [])
        inside = times <= (len(truth) - 1) / fps + 1e-6
        flat = truth.reshape(len(truth), -1)
        at = np.stack([np.interp(times, np.arange(len(flat)) / fps, column) for column in flat.T], 1)
        error = np.abs(values.reshape(len(values), -1) - at)[inside]
        print(f"{path}: {int(inside.sum())} frames, error {error.max():.2g} at most, {error.mean():.2g} in the mean")


if __name__ == "__main__":
    main()
