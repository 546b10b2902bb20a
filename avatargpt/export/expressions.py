"""Expressions of VRM avatars from the 52 ARKit weights: the presets of VRM 0 and 1, and names of custom ones.

Rules, no network; the table is in docs/avatar_formats.md. A preset of a mood poses the whole face of an avatar, mouth
and teeth included: it yields while the mouth talks, never adds to a vowel, and lets p, b and m close.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from avatargpt.export.viseme_files import OCULUS, poses
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.rates import FACE_FPS

VISEMES = ("aa", "ih", "ou", "ee", "oh")
BLINKS = ("blink", "blinkLeft", "blinkRight")
MOODS = ("happy", "angry", "sad", "surprised")
PRESETS = (*VISEMES, *BLINKS, *MOODS)  # of VRM 1
POSED, NEUTRAL = (*VISEMES, *BLINKS), "neutral"  # what is held as a pose; moods are feelings of the same names
VRM0 = {
    "aa": "A", "ih": "I", "ou": "U", "ee": "E", "oh": "O", "blink": "Blink", "blinkLeft": "Blink_L",
    "blinkRight": "Blink_R", "happy": "Joy", "angry": "Angry", "sad": "Sorrow", "surprised": "Surprised",
}  # fmt: skip
SPELLINGS = ("camel", "pascal")
NAMES = ("all", "presets", *SPELLINGS)

CALMING = 0.75  # share of a mood that yields while somebody talks
ACTIVE, VERY_ACTIVE = 0.4, 1.6  # weights a second of jaw and lips at which talk begins, and is certain
ATTACK, RELEASE, HABIT = 0.06, 0.35, 1.5  # s: a mood yields, comes back; pressed lips become its usual pose
_MOVING = [arkit.INDEX[n] for n in ("jawOpen", "mouthFunnel", "mouthPucker", "mouthPressLeft", "mouthLowerDownLeft")]
# as `avatargpt.metrics.face.find_closed_lips` has it: jawOpen below 0.10 and mouthPress above 0.18
_PRESS, _JAW = (0.06, 0.18), (0.10, 0.16)


def check_names(names: str) -> None:
    """Raises UserError for an unknown choice of names."""
    if names not in NAMES:
        raise UserError(f"names {names!r}: accepted {', '.join(NAMES)}")


def spell_shape(name: str, spelling: str) -> str:
    """An ARKit shape as avatars with Perfect Sync spell it: ``jawOpen`` (camel) or ``JawOpen`` (pascal)."""
    return arkit.pascal(name) if spelling == "pascal" else name


def _mean(weights: np.ndarray, name: str) -> np.ndarray:
    return np.asarray(weights[:, [arkit.INDEX[n] for n in arkit.expand(name)]].mean(1), np.float64)


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.asarray(np.clip((values - low) / (high - low), 0, 1))


class PresetMixer:
    """Preset expressions of one face, frame after frame; equal for a clip and for its frames one by one."""

    def __init__(self, fps: float = FACE_FPS) -> None:
        self._fps = fps
        self._last: np.ndarray | None = None
        self._talking, self._usual = 0.0, -1.0

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The next frames, (T, 52) -> (T,) in [0, 1] of each of `PRESETS`."""
        press, jaw = _mean(weights, "mouthPress"), _mean(weights, "jawOpen")
        yielding, closure = self._speech(weights, press, jaw)
        out = _raw(weights)
        for name in VISEMES:
            out[name] = out[name] * (1 - closure)
        vowel = np.max([out[name] for name in VISEMES], 0)
        for name in MOODS:
            out[name] = np.minimum(out[name] * (1 - CALMING * yielding), 1 - vowel) * (1 - closure)
        return {name: np.clip(out[name], 0, 1) for name in PRESETS}

    def _speech(self, weights: np.ndarray, press: np.ndarray, jaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T,) how far moods yield to talk, and (T,) how far p, b or m closes the lips."""
        moving = weights[:, _MOVING].astype(np.float64)
        before = moving[:1] if self._last is None else self._last[None]
        speed = np.abs(np.diff(np.concatenate([before, moving]), axis=0)).sum(1) * self._fps
        self._last = moving[-1].copy() if len(moving) else self._last
        active = _ramp(speed, ACTIVE, VERY_ACTIVE)
        rates = [1 - float(np.exp(-1 / (s * self._fps))) for s in (ATTACK, RELEASE, HABIT)]
        if self._usual < 0 and len(weights):  # lips that begin pressed and rolled in are at a p, not at rest
            self._usual = max(float(press[0]) - 2 * float(_mean(weights[:1], "mouthRollLower")[0]), 0.0)
        yielding, usual = np.empty(len(weights)), np.empty(len(weights))
        for k in range(len(weights)):
            self._talking += rates[0 if active[k] > self._talking else 1] * (active[k] - self._talking)
            # lips that an expression keeps pressed are no p: only what comes on top of them closes the mouth
            self._usual = min(float(press[k]), self._usual + rates[2] * (float(press[k]) - self._usual))
            yielding[k], usual[k] = self._talking, self._usual
        return yielding, _ramp(press - usual, *_PRESS) * (1 - _ramp(jaw, *_JAW))


class HeldPresets:
    """Presets of lids and vowels that somebody holds on a face, frame after frame, beside what it does by itself."""

    def __init__(self, fps: float = FACE_FPS) -> None:
        self._rate = 1 - float(np.exp(-1 / (ATTACK * fps)))
        self._wanted, self._pose = np.zeros(arkit.COUNT), np.zeros(arkit.COUNT)
        self._held: dict[str, float] = {}

    def hold(self, preset: str, weight: float) -> None:
        """From the next frame on, until 0 lets it go. Raises UserError for another preset than `POSED`."""
        if preset not in POSED:
            raise UserError(f"preset {preset[:40]!r}: accepted {', '.join((*POSED, *MOODS, NEUTRAL))}")
        self._held[preset] = weight
        self._wanted = np.max([w * _pose_of(name) for name, w in self._held.items()], 0)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """The next frames (T, 52), each weight at least what the held presets say."""
        out = weights.copy()
        for row in out:
            self._pose += self._rate * (self._wanted - self._pose)
            np.maximum(row, self._pose, out=row)
        return out


def _pose_of(preset: str) -> np.ndarray:
    """(52,) of one of `POSED`."""
    if preset in VISEMES:
        return np.asarray(poses()[OCULUS.index("E" if preset == "ee" else preset)])
    out = np.zeros(arkit.COUNT)
    out[[arkit.INDEX[n] for n in arkit.expand("eyeBlink") if n.endswith(preset.removeprefix("blink"))]] = 1
    return out


def _raw(weights: np.ndarray) -> dict[str, np.ndarray]:
    """Presets of each frame on its own."""
    mean = partial(_mean, weights)
    left, right = mean("eyeBlinkLeft"), mean("eyeBlinkRight")
    both = np.minimum(left, right)
    opening = np.clip(1.6 * (mean("jawOpen") - mean("mouthClose")), 0, 1)
    rounded = np.clip(1.2 * np.maximum(mean("mouthPucker"), mean("mouthFunnel")), 0, 1)
    wide = np.clip(2.0 * mean("mouthStretch"), 0, 1)
    flat = (1 - rounded) * (1 - wide)
    return {
        "aa": opening * flat, "ih": (1 - rounded) * wide * (1 - opening), "ou": rounded * (1 - opening),
        "ee": (1 - rounded) * wide * opening, "oh": rounded * opening,
        "blink": both, "blinkLeft": left - both, "blinkRight": right - both,
        "happy": np.clip(0.75 * mean("mouthSmile") + 0.25 * mean("cheekSquint"), 0, 1),
        "angry": np.clip(0.75 * mean("browDown") + 0.25 * mean("noseSneer"), 0, 1),
        "sad": np.clip(0.5 * mean("browInnerUp") * (1 - mean("browOuterUp")) + 0.5 * mean("mouthFrown"), 0, 1),
        "surprised": np.clip(0.5 * mean("browOuterUp") + 0.5 * mean("eyeWide"), 0, 1),
    }  # fmt: skip


def name_values(weights: np.ndarray, presets: dict[str, np.ndarray], names: str) -> list[tuple[str, float]]:
    """Names and values of one frame (52,) for a receiver that knows some of them, each name once.

    Args:
        presets: of that frame (1,), of a `PresetMixer`. names: of `NAMES`; ``all`` is every kind.
    """
    out: dict[str, float] = {}
    if names in ("all", "presets"):
        out |= {VRM0[name]: float(value[0]) for name, value in presets.items()}
        out |= {name: float(value[0]) for name, value in presets.items()}
    for spelling in SPELLINGS:
        if names in ("all", spelling):
            out |= {spell_shape(n, spelling): float(v) for n, v in zip(arkit.NAMES, weights, strict=True)}
    return list(out.items())


def choose_names(available: Sequence[str]) -> dict[str, str]:
    """Our expressions -> their names in an avatar that has `available` ones, never two kinds.

    Perfect Sync where the jaw and half of the 52 are there, in the avatar's own spelling; else the presets of VRM.
    """
    shapes = {canonical: n for n in available if (canonical := arkit.canonical(n)) is not None}
    if "jawOpen" in shapes and len(shapes) >= arkit.COUNT // 2:
        return shapes
    lower = {n.lower(): n for n in available}
    out = {}
    for preset, old in VRM0.items():
        name = next((lower[n.lower()] for n in (preset, old) if n.lower() in lower), None)
        if name is not None:
            out[preset] = name
    return out
