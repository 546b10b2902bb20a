"""The 52 ARKit blendshapes: names, orders, left and right.

Three orders are in use. `NAMES` is Apple's (the order of Live Link's network packets, and ours everywhere); Live Link
Face writes its CSV with ``JawRight`` before ``JawLeft`` and ``MouthRight`` before ``MouthLeft`` (`LIVE_LINK`);
MediaPipe's list is ``_neutral`` and the others by alphabet, without the tongue (`MEDIAPIPE`).
"""

from __future__ import annotations

import numpy as np

from vqvae.errors import UserError

NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
INDEX: dict[str, int] = {name: i for i, name in enumerate(NAMES)}
HEAD: tuple[str, ...] = ("headYaw", "headPitch", "headRoll")
COUNT = len(NAMES)
EYE_DEGREES = 35.0  # gaze of a full eyeLook weight


def pascal(name: str) -> str:
    """``eyeBlinkLeft`` -> ``EyeBlinkLeft``, as Live Link and Unreal write it."""
    return name[:1].upper() + name[1:]


_SWAPPED = {"JawLeft": "JawRight", "JawRight": "JawLeft", "MouthLeft": "MouthRight", "MouthRight": "MouthLeft"}
EYES = ("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll")
LIVE_LINK: tuple[str, ...] = (*(_SWAPPED.get(n, n) for n in map(pascal, NAMES)), *map(pascal, HEAD), *EYES)
MEDIAPIPE: tuple[str, ...] = ("_neutral", *sorted(n for n in NAMES if n != "tongueOut"))

_BY_LETTERS = {"".join(c for c in n.lower() if c.isalnum()): n for n in NAMES}
# Other spellings of a side: eyeBlink_L (Face Cap), browDown_left.
_BY_LETTERS |= {k.removesuffix("left") + "l": v for k, v in _BY_LETTERS.items() if k.endswith("left")} | {
    k.removesuffix("right") + "r": v for k, v in _BY_LETTERS.items() if k.endswith("right")
}


def canonical(name: str) -> str | None:
    """Our spelling of a shape's name in any case and separators, with ``L`` or ``Left``; None if unknown."""
    return _BY_LETTERS.get("".join(c for c in name.lower() if c.isalnum()))


# The shape that takes another one's place when left and right are exchanged. ``In`` and ``Out`` stay: looking in with
# one eye becomes looking in with the other, and both count from the nose.
_OTHER_SIDE = {n: n.replace("Left", "Right") if "Left" in n else n.replace("Right", "Left") for n in NAMES}
MIRROR: np.ndarray = np.array([INDEX[_OTHER_SIDE[n]] for n in NAMES])
LEFT: tuple[str, ...] = tuple(n for n in NAMES if n.endswith("Left"))
SIDED: tuple[str, ...] = tuple(n.removesuffix("Left") for n in LEFT if n not in ("jawLeft", "mouthLeft"))


def expand(name: str) -> tuple[str, ...]:
    """``mouthSmile`` -> both sides; a full name -> itself."""
    if name in INDEX:
        return (name,)
    if name in SIDED:
        return (f"{name}Left", f"{name}Right")
    raise UserError(f"blendshape {name!r}; accepted one of the 52 ARKit names such as {', '.join(NAMES[:3])}")


def columns(names: list[str]) -> dict[int, int]:
    """Where a table's columns go: our index -> its column. Unknown names are left out; the first of two is taken."""
    out: dict[int, int] = {}
    for column, name in enumerate(names):
        shape = canonical(name)
        if shape is not None:
            out.setdefault(INDEX[shape], column)
    return out
