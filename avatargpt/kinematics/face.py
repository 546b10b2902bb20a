"""Signals of facial actions: one per action, computed from ARKit weights and head angles.

The table is independent of the renderer of clips. A signal is 1 where the action is done fully by a lively face;
intensities of instructions are shares of that. One-sided actions are measured as the difference of the two sides, so
the opposite side gives a negative signal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vqvae import arkit
from vqvae.face import FaceMotion

Signal = Callable[[FaceMotion], np.ndarray]
DEGREE = np.pi / 180


@dataclass(frozen=True)
class ActionSignal:
    """The signal of one action."""

    signal: Signal  # FaceMotion -> (T,), 1 = fully done
    # ``hold``, ``pulse`` (over within a moment), ``beat`` (a rhythm), ``shut`` (the mouth closes) or ``rest`` (the face
    # comes to rest)
    form: str = "hold"
    both: str = ""  # shapes of which both sides must take part
    power: float = 1.0  # expected signal = intensity ** power
    free: bool = False  # the number of repetitions is open where a score has one (laughing, chewing)
    brief: bool = False  # a movement that ends before its time
    # Of a one-sided action, its side alone, for clips that do the opposite side at the same time
    one_side: Signal | None = None


def _mean(name: str, full: float) -> Signal:
    return lambda m: m.channel(name) / full


def _side(names: dict[str, float], side: str) -> Signal:
    # The largest over shapes of (this side - opposite side) / full.
    opposite = {"Left": "Right", "Right": "Left"}[side]
    return lambda m: np.max(
        [(m.channel(f"{n}{side}") - m.channel(f"{n}{opposite}")) / full for n, full in names.items()], axis=0
    )


def _one_sided(names: dict[str, float], side: str, form: str = "hold", power: float = 1.0) -> ActionSignal:
    def one_side(m: FaceMotion) -> np.ndarray:
        return np.mean([m.channel(f"{n}{side}") / full for n, full in names.items()], axis=0)

    return ActionSignal(_side(names, side), form, power=power, one_side=one_side)


def _head(axis: str, degrees: float) -> Signal:
    return lambda m: m.channel(axis) / (degrees * DEGREE)


def gaze(m: FaceMotion) -> tuple[np.ndarray, np.ndarray]:
    """(T,), (T,): gaze, x (+ the person's left) and y (+ up), in eyeLook weights."""
    c = m.channel
    x = (c("eyeLookOutLeft") - c("eyeLookInLeft") + c("eyeLookInRight") - c("eyeLookOutRight")) / 2
    return x, c("eyeLookUp") - c("eyeLookDown")


def _sum(*parts: tuple[str, float]) -> Signal:
    return lambda m: np.sum([m.channel(n) * w for n, w in parts], axis=0)


def _lean(m: FaceMotion) -> np.ndarray:
    # Forward lean in angles alone: the head dips while the eyes stay on the viewer.
    dip = np.clip(-m.channel("headPitch") / (9 * DEGREE), 0, 1.3)
    return np.minimum(dip, np.clip(gaze(m)[1] / 0.25, 0, 1.3))


def _circle(m: FaceMotion) -> np.ndarray:
    # Rolling eyes: upward gaze while they move sideways.
    x, y = gaze(m)
    wander = np.ptp(x[y > 0.2]) if (y > 0.2).any() else 0.0
    return np.clip(y / 0.7, 0, 1.3) * min(1.0, wander / 0.3)


LOOKS: dict[str, ActionSignal] = {
    "smile": ActionSignal(_mean("mouthSmile", 0.85), both="mouthSmile"),
    "broad_smile": ActionSignal(
        _sum(("mouthSmile", 0.6), ("mouthLowerDown", 0.5), ("mouthUpperUp", 0.6)), both="mouthSmile"),
    "frown": ActionSignal(_mean("mouthFrown", 0.7), both="mouthFrown"),
    "raise_brows": ActionSignal(_sum(("browInnerUp", 0.5), ("browOuterUp", 0.6)), both="browOuterUp"),
    "raise_inner_brows": ActionSignal(_sum(("browInnerUp", 1.15), ("browOuterUp", -0.6))),
    "raise_left_brow": _one_sided({"browOuterUp": 0.92}, "Left"),
    "raise_right_brow": _one_sided({"browOuterUp": 0.92}, "Right"),
    "lower_brows": ActionSignal(_mean("browDown", 0.95), both="browDown"),
    "widen_eyes": ActionSignal(_mean("eyeWide", 0.9), both="eyeWide"),
    "squint": ActionSignal(_mean("eyeSquint", 0.78), both="eyeSquint"),
    "close_eyes": ActionSignal(_mean("eyeBlink", 1.0), both="eyeBlink", power=0.8),
    "raise_cheeks": ActionSignal(_mean("cheekSquint", 0.87), both="cheekSquint"),
    "wrinkle_nose": ActionSignal(lambda m: np.minimum(m.channel("noseSneerLeft"), m.channel("noseSneerRight")) / 0.88),
    "sneer_left": _one_sided({"noseSneer": 0.72, "mouthUpperUp": 0.7}, "Left"),
    "sneer_right": _one_sided({"noseSneer": 0.72, "mouthUpperUp": 0.7}, "Right"),
    "smirk_left": _one_sided({"mouthSmile": 0.75}, "Left"),
    "smirk_right": _one_sided({"mouthSmile": 0.75}, "Right"),
    "press_lips": ActionSignal(_mean("mouthPress", 0.62), both="mouthPress"),
    "pucker_lips": ActionSignal(_mean("mouthPucker", 0.85)),
    "funnel_lips": ActionSignal(_mean("mouthFunnel", 0.8)),
    "stretch_lips": ActionSignal(_mean("mouthStretch", 0.78), both="mouthStretch"),
    "suck_lips": ActionSignal(_sum(("mouthRollUpper", 0.625), ("mouthRollLower", 0.625))),
    "bite_lower_lip": ActionSignal(_sum(("mouthRollLower", 1.28), ("mouthRollUpper", -1.0))),
    "chin_raise": ActionSignal(_mean("mouthShrugLower", 0.85)),
    "puff_cheeks": ActionSignal(_mean("cheekPuff", 0.85)),
    "open_mouth": ActionSignal(_mean("jawOpen", 0.62)),
    "wide_open_mouth": ActionSignal(_mean("jawOpen", 0.97)),
    "close_mouth": ActionSignal(_mean("jawOpen", 0.62), "shut"),
    "jaw_forward": ActionSignal(_mean("jawForward", 0.8)),
    "jaw_left": ActionSignal(_sum(("jawLeft", 1.25), ("jawRight", -1.25))),
    "jaw_right": ActionSignal(_sum(("jawRight", 1.25), ("jawLeft", -1.25))),
    "stick_out_tongue": ActionSignal(_mean("tongueOut", 1.0), power=0.7),
    "return_to_neutral": ActionSignal(_mean("mouthSmile", 1.0), "rest"),
    "look_left": ActionSignal(lambda m: gaze(m)[0] / 0.8, power=0.7),
    "look_right": ActionSignal(lambda m: -gaze(m)[0] / 0.8, power=0.7),
    "look_up": ActionSignal(lambda m: gaze(m)[1] / 0.75, power=0.7),
    "look_down": ActionSignal(lambda m: -gaze(m)[1] / 0.6, power=0.7),
    "turn_head_left": ActionSignal(_head("headYaw", 32)),
    "turn_head_right": ActionSignal(_head("headYaw", -32)),
    "tilt_head_left": ActionSignal(_head("headRoll", -20)),
    "tilt_head_right": ActionSignal(_head("headRoll", 20)),
    "look_up_head": ActionSignal(_head("headPitch", 22)),
    "look_down_head": ActionSignal(_head("headPitch", -22)),
    "lean_forward": ActionSignal(_lean),
    "blink": ActionSignal(_mean("eyeBlink", 1.0), "pulse", both="eyeBlink", power=0.4),
    "wink_left": _one_sided({"eyeBlink": 0.95}, "Left", "pulse", 0.4),
    "wink_right": _one_sided({"eyeBlink": 0.95}, "Right", "pulse", 0.4),
    "roll_eyes": ActionSignal(_circle, brief=True, power=0.6),
    "gasp": ActionSignal(_sum(("jawOpen", 0.8), ("eyeWide", 0.4), ("browInnerUp", 0.37)), brief=True),
    "sigh": ActionSignal(_sum(("mouthFunnel", 1.2), ("jawOpen", 1.2), ("mouthPucker", 1.4)), brief=True),
    "yawn": ActionSignal(_mean("jawOpen", 0.98), brief=True, power=0.7),
    "laugh": ActionSignal(_sum(("mouthSmile", 0.6), ("jawOpen", 1.0)), "beat", both="mouthSmile", free=True),
    "chew": ActionSignal(_sum(("jawOpen", 3.3)), "beat", power=0.7, free=True),
    "blow": ActionSignal(_sum(("mouthPucker", 0.86), ("mouthFunnel", 0.7), ("cheekPuff", 0.74))),
    "nod": ActionSignal(_head("headPitch", -16), "beat", power=0.8),
    "shake_head": ActionSignal(_head("headYaw", 18), "beat", power=0.8),
}  # fmt: skip
EXPRESSIVE = [
    i for i, n in enumerate(arkit.NAMES) if not n.startswith(("eyeLook", "eyeBlink", "eyeSquint"))
]  # shapes that are zero in a neutral face
