"""What of an armature the server is shown, and which of its bones the motion is put on.

The server tells bones by their names, as Mixamo, VRM, Unreal, MetaHuman and our own exports have them; all of those are
shown as they are. A rig that Rigify has made is shown as the skeleton that it was made from, and moved by its controls.
"""

from pathlib import Path
from typing import NamedTuple

import bpy
from mathutils import Matrix

LIMBS = {"shoulder": "", "upper_arm": "shoulder", "forearm": "upper_arm", "hand": "forearm",
         "thigh": "spine", "shin": "thigh", "foot": "shin", "toe": "foot"}  # fmt: skip
HELD = 4  # frames of a pose that the server is shown


class Missing(Exception):
    """Bones that a rig lacks, in one line."""


class Follow(NamedTuple):
    """A bone that is keyed: it turns as a shown bone does, and goes along with another one, or with none."""

    bone: str
    turn: str
    place: str | None


class Rig:
    """An armature as the server is shown it.

    Attributes:
        world: of the armature when it is shown.
        shown: bones of the shown skeleton, each with the bone of the armature that is where it should be.
        parents: of the shown bones. switches: bones whose property IK_FK has to be 1.
        resets: bones that have to be as at rest.
    """

    def __init__(self, armature) -> None:
        self.armature, self.name, self.world = armature, armature.name, armature.matrix_world.copy()
        bones, names = armature.data.bones, {b.name for b in armature.data.bones}
        self.rigify = "torso" in bones and any(n.startswith("ORG-") for n in names)
        self.switches: list[str] = []
        self.resets: list[str] = []
        if self.rigify:
            self._read_rigify(bones)
        else:
            self.shown = {b.name: b.name for b in bones}
            self.parents = {b.name: b.parent.name for b in bones if b.parent is not None}

    def _read_rigify(self, bones) -> None:
        made_from = [b.name.removeprefix("ORG-") for b in bones if b.name.startswith("ORG-")]
        spine = sorted(n for n in made_from if n.split(".")[0] == "spine")
        self.parents = dict(zip(spine[1:], spine, strict=False))
        for side in (".L", ".R"):
            self.parents |= {n + side: above + side * (above != "spine") for n, above in LIMBS.items() if above}
        limbs = [n + side for side in (".L", ".R") for n in LIMBS]
        lacking = [f"ORG-{n}" for n in ["spine", *limbs] if "ORG-" + n not in bones]
        if not lacking:
            for side in (".L", ".R"):
                above = [b.name.removeprefix("ORG-") for b in bones["ORG-shoulder" + side].parent_recursive]
                self.parents["shoulder" + side] = next((n for n in above if n in spine), spine[0])
            chest = spine.index(self.parents["shoulder.L"])
            self.shown = {n: "ORG-" + n for n in [*spine, *limbs]}
            self.controls = {n: _fk(n) for n in [*spine[: chest + 1], *limbs]}
            if spine[chest + 1 :]:
                self.controls |= {spine[chest + 1]: "neck", spine[-1]: "head"}
            self.controls |= {n: n for n in ("shoulder.L", "shoulder.R")}
            lacking = [n for n in self.controls.values() if n not in bones]
        if lacking:
            raise Missing(f"{self.armature.name}: a rig of Rigify without {', '.join(lacking)}; accepted: a human one")
        self.resets = [n for n in ("hips", "chest", "upper_arm_parent.L", "upper_arm_parent.R", "thigh_parent.L",
                                   "thigh_parent.R") if n in bones]  # fmt: skip
        self.switches = [b.name for b in self.armature.pose.bones if "IK_FK" in b and b.name.split("_parent")[0] in
                         ("upper_arm", "thigh")]  # fmt: skip

    def follow(self, moved: list[str], placed: list[str]) -> list[Follow]:
        """What is keyed where shown bones move, and some of them are placed anew; parents before their children."""
        bones = self.armature.data.bones
        depth = {b.name: len(b.parent_recursive) for b in bones}
        if not self.rigify:
            return sorted((Follow(n, n, n if n in placed else None) for n in moved), key=lambda r: depth[r.bone])
        pivot = bones["torso"].head_local
        nearest = min((n for n in self.shown if n.split(".")[0] == "spine"),
                      key=lambda n: (bones[self.shown[n]].head_local - pivot).length)  # fmt: skip
        rows = [Follow("torso", "spine", nearest)]
        # a spine may be longer in a pose than at rest, limbs are not
        rows += [Follow(c, n, n if c.startswith("spine") else None) for n, c in self.controls.items()]
        for side in (".L", ".R"):  # so that hands and feet stay where they are when IK is switched on again
            for limb, end in (("upper_arm", "hand"), ("thigh", "foot")):
                hold = end + side
                rows += [Follow(f"{limb}_ik{side}", limb + side, None), Follow(f"{end}_ik{side}", hold, hold)]
        return sorted((r for r in rows if r.bone in bones), key=lambda r: depth[r.bone])

    def rests(self) -> dict[str, Matrix]:
        """Of every shown bone how it rests in the armature."""
        return {n: self.armature.data.bones[b].matrix_local.copy() for n, b in self.shown.items()}

    def poses(self, scene, frame: int) -> dict[str, Matrix]:
        """Of every shown bone where it is in a frame, in the world."""
        scene.frame_set(frame)
        world = self.armature.matrix_world
        return {n: world @ self.armature.pose.bones[b].matrix for n, b in self.shown.items()}


def _fk(name: str) -> str:
    stem, dot, rest = name.partition(".")
    return f"{stem}_fk{dot}{rest}"


def write_character(context, rig: Rig, path: Path) -> None:
    """Write what is shown of a rig in its rest pose as .glb, with the meshes that it moves."""
    if rig.rigify:
        write_pose(context, rig, None, path)
        return
    meshes = [o for o in context.scene.objects if o.type == "MESH" and _moves(rig.armature, o)]
    _export(context, rig.armature, meshes, path, False)


def write_pose(context, rig: Rig, pose: dict[str, Matrix] | None, path: Path) -> None:
    """Write the shown skeleton as .glb, held in a pose (bone -> where it is in the world), or at rest."""
    data = bpy.data.armatures.new("avatargpt")
    skeleton = bpy.data.objects.new("avatargpt", data)
    context.scene.collection.objects.link(skeleton)
    skeleton.matrix_world = rig.armature.matrix_world
    action = None
    try:
        _build(context, rig, skeleton)
        if pose is not None:
            back, rests = skeleton.matrix_world.inverted(), rig.rests()
            for name, bone in ((b.name, b) for b in skeleton.pose.bones):
                above = rig.parents.get(name)
                rest = rests[name] if above is None else rests[above].inverted() @ rests[name]
                place = back @ pose[name] if above is None else pose[above].inverted() @ pose[name]
                bone.location, bone.rotation_quaternion, _ = (rest.inverted() @ place).decompose()
                for frame in range(HELD):
                    bone.keyframe_insert("location", frame=frame)
                    bone.keyframe_insert("rotation_quaternion", frame=frame)
            action = skeleton.animation_data.action
        _export(context, skeleton, [], path, pose is not None)
    finally:
        bpy.data.objects.remove(skeleton)
        bpy.data.armatures.remove(data)
        if action is not None:
            bpy.data.actions.remove(action)


def _build(context, rig: Rig, skeleton) -> None:
    choose(context, [skeleton], skeleton)
    bpy.ops.object.mode_set(mode="EDIT")
    made = skeleton.data.edit_bones
    for name, rest in rig.rests().items():
        bone = made.new(name)
        bone.tail = (0.0, rig.armature.data.bones[rig.shown[name]].length, 0.0)
        bone.matrix = rest
    for name, above in rig.parents.items():
        made[name].parent = made[above]
    bpy.ops.object.mode_set(mode="OBJECT")


def _export(context, armature, meshes, path: Path, animated: bool) -> None:
    choose(context, [armature, *meshes], armature)
    bpy.ops.export_scene.gltf(
        filepath=str(path), export_format="GLB", use_selection=True, export_animations=animated, export_morph=False,
        export_materials="NONE", export_rest_position_armature=True, export_current_frame=False,
        export_animation_mode="ACTIVE_ACTIONS", export_optimize_animation_size=False, export_anim_single_armature=False,
    )  # fmt: skip


def _moves(armature, mesh) -> bool:
    return any(m.type == "ARMATURE" and m.object == armature for m in mesh.modifiers)


def choose(context, objects, active) -> None:
    """Select objects, and no others."""
    for one in context.scene.objects:
        one.select_set(one in objects)
    context.view_layer.objects.active = active
