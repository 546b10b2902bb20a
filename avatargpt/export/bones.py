"""Our joints under the names of others: VRM 1.0, Unity's humanoid, Mixamo."""

from vqvae import arkit

_OF_JOINTS = {
    "pelvis": "hips", "spine1": "spine", "spine2": "chest", "spine3": "upperChest", "neck": "neck", "head": "head",
    "collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand", "hip": "UpperLeg",
    "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes",
}  # fmt: skip
_OF_FINGERS = {"thumb": "Thumb", "index": "Index", "middle": "Middle", "ring": "Ring", "pinky": "Little"}
_OF_PHALANGES = ("Proximal", "Intermediate", "Distal")
_OF_THUMBS = ("Metacarpal", "Proximal", "Distal")


def bone_of(joint: str) -> str:
    """The humanoid bone of VRM 1.0 that is one of our joints, or one of our fingers'."""
    side = {"l_": "left", "r_": "right"}.get(joint[:2], "")
    name = joint[2:] if side else joint
    if name in _OF_JOINTS:
        return side + _OF_JOINTS[name]
    finger, number = name[:-1], int(name[-1]) - 1
    return side + _OF_FINGERS[finger] + (_OF_THUMBS if finger == "thumb" else _OF_PHALANGES)[number]


# VRM 1.0 renamed the bones of the thumb
_THUMBS = {"Metacarpal": "Proximal", "Proximal": "Intermediate", "Distal": "Distal"}


def unity_name(bone: str) -> str:
    """Unity's name (``HumanBodyBones``) of a humanoid bone of VRM 1.0: ``LeftUpperArm``."""
    side, thumb, part = bone.partition("Thumb")
    return arkit.pascal(f"{side}{thumb}{_THUMBS.get(part, part)}")


def unity_bone(joint: str) -> str:
    """Unity's name of one of our joints."""
    return unity_name(bone_of(joint))


_MIXAMO = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head",
    "collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand", "hip": "UpLeg", "knee": "Leg",
    "ankle": "Foot", "foot": "ToeBase",
}  # fmt: skip


def mixamo_bone(joint: str) -> str:
    """Mixamo's name of one of our joints: ``mixamorig:LeftArm``."""
    side = {"l_": "Left", "r_": "Right"}.get(joint[:2], "")
    name = joint[2:] if side else joint
    if name in _MIXAMO:
        return f"mixamorig:{side}{_MIXAMO[name]}"
    return f"mixamorig:{side}Hand{arkit.pascal(name)}"  # thumb1, pinky3
