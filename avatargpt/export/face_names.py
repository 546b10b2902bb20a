"""Names that makers of characters give to shapes of a face, and what of our face each of them follows.

One table for ARKit's 52 in all spellings, Oculus' visemes, VRM's presets, and the names of Character Creator,
MetaHuman, Adobe Fuse (Mixamo), VRoid and MMD. Case and separators do not count, and what stands before a name with a
separator behind it is left out: ``blendShape1.jawOpen``, ``Head_eyeBlink_L``, ``CTRL_expressions_jawOpen``.
"""

from __future__ import annotations

import re

from avatargpt.export.expressions import PRESETS, VRM0
from avatargpt.export.viseme_files import OCULUS, VISEME_NUMBERS
from vqvae import arkit

VISEMES = tuple(f"viseme_{n}" for n in OCULUS)
SOURCES = (*arkit.NAMES, *VISEMES, *PRESETS)  # what a shape may follow
# Our shape, of both sides where it has sides -> other names of it, to which the side is added (left, l)
_OTHERS = {
    "eyeBlink": "blink eyesclosed eyeclose eyeclosed", "eyeSquint": "squint eyesquintinner",
    "eyeWide": "eyeswide eyewiden", "eyeLookUp": "eyeslookup", "eyeLookDown": "eyeslookdown",
    "jawOpen": "jawdown mouthopen", "jawForward": "jawforeward jawfwd",
    "mouthClose": "mouthlipstogetheru mouthlipstogetherd",
    "mouthFunnel": "mouthfunnelu mouthfunneld mouthfunnelup mouthfunneldown",
    "mouthPucker": "mouthpuckerup mouthpuckerdown mouthlipspurseu mouthlipspursed mouthnarrow",
    "mouthSmile": "smile mouthcornerpull", "mouthFrown": "frown mouthcornerdepress",
    "mouthRollLower": "mouthrollinlower mouthlowerliprollin lowerlipin",
    "mouthRollUpper": "mouthrollinupper mouthupperliprollin upperlipin",
    "mouthShrugLower": "jawchinraised", "mouthShrugUpper": "jawchinraiseu", "mouthPress": "mouthlipspress",
    "mouthLowerDown": "mouthdownlower mouthlowerlipdepress lowerlipdown",
    "mouthUpperUp": "mouthupupper mouthupperlipraise upperlipup", "browDown": "browdrop browsdown",
    "browInnerUp": "browraiseinner browraisein", "browOuterUp": "browraiseouter browsup", "cheekPuff": "mouthcheekblow",
    "cheekSquint": "cheekraise cheekraiser eyecheekraise", "noseSneer": "nosewrinkle nosescrunch",
}  # fmt: skip
# names with the side elsewhere, and those of one side of the face without an end of their own
_WHOLE_SHAPES = {
    "eyellookup": "eyeLookUpLeft", "eyerlookup": "eyeLookUpRight", "eyellookdown": "eyeLookDownLeft",
    "eyerlookdown": "eyeLookDownRight", "eyellookr": "eyeLookInLeft", "eyellookl": "eyeLookOutLeft",
    "eyerlookl": "eyeLookInRight", "eyerlookr": "eyeLookOutRight", "eyelookrightl": "eyeLookInLeft",
    "eyelookleftl": "eyeLookOutLeft", "eyelookleftr": "eyeLookInRight", "eyelookrightr": "eyeLookOutRight",
    "midmouthleft": "mouthLeft", "midmouthright": "mouthRight",
}  # fmt: skip
_PRESET_SHAPES = {
    "fclmtha": "aa", "fclmthi": "ih", "fclmthu": "ou", "fclmthe": "ee", "fclmtho": "oh", "fcleyeclose": "blink",
    "fcleyeclosel": "blinkLeft", "fcleyecloser": "blinkRight", "fclalljoy": "happy", "fclallangry": "angry",
    "fclallsorrow": "sad", "fclallsurprised": "surprised", "あ": "aa", "い": "ih", "う": "ou", "え": "ee", "お": "oh",
    "まばたき": "blink", "ウィンク": "blinkLeft", "ウィンク右": "blinkRight",
}  # fmt: skip
_VISEME_SHAPES = {
    "vopen": "aa", "vexplosive": "PP", "vdentallip": "FF", "vtighto": "ou", "vwide": "E", "vaffricate": "CH",
}  # fmt: skip


def _letters(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _table() -> dict[str, tuple[str, ...]]:
    """Names in small letters -> the sources whose mean each follows."""
    out: dict[str, tuple[str, ...]] = {key: (name,) for key, name in _WHOLE_SHAPES.items()}
    for ours in (*arkit.SIDED, *(n for n in arkit.NAMES if n in _OTHERS)):
        both = arkit.expand(ours)
        for other in (ours.lower(), *_OTHERS.get(ours, "").split()):
            out[other] = both
            for side in ("left", "right"):
                out[other + side] = out[other + side[0]] = (both[0] if side == "left" else both[-1],)
    out |= {f"{prefix}{n}": (f"viseme_{OCULUS[k]}",) for n, k in VISEME_NUMBERS.items() for prefix in ("viseme", "v")}
    out |= {key: (f"viseme_{n}",) for key, n in _VISEME_SHAPES.items()} | {k: (n,) for k, n in _PRESET_SHAPES.items()}
    return out


_BY_LETTERS = _table()
# VRM's presets, which are names by themselves only: ``A`` of ``Hair_A`` is none
_PRESET_NAMES = {n.lower(): new for new, old in VRM0.items() for n in (new, _letters(old))}


def read_preset(name: str) -> str:
    """VRM 1's name of a preset by the name of either version; others as they are."""
    return _PRESET_NAMES.get(_letters(name), name)


def read_name(name: str, preset: bool = False) -> tuple[str, ...]:
    """What of `SOURCES` a shape of that name follows, the mean of several; empty where nothing of our face does.

    `preset`: whether it is the name of a VRM's expression, where ``blink`` and ``blink_l`` are presets.
    """
    whole = _letters(name)
    if whole in _PRESET_NAMES and (preset or whole not in _BY_LETTERS):
        return (_PRESET_NAMES[whole],)
    parts = re.split(r"[^\w]|_", name)
    for first in range(len(parts)):
        letters = _letters("".join(parts[first:]))
        if (shape := arkit.canonical(letters)) is not None:
            return (shape,)
        if letters in _BY_LETTERS:
            return _BY_LETTERS[letters]
    return ()


def is_own_name(name: str, names: tuple[str, ...]) -> bool:
    """Whether a target's name is, behind what stands before it, that of the one shape of ARKit that it follows."""
    own = names[0].lower() if len(names) == 1 else ""
    return own != "" and _letters(name).endswith((own, own.replace("left", "l").replace("right", "r")))
