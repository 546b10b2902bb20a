"""Controls after the fact: pure functions from one face clip to another, as animators know them.

They are rules, not networks, and touch nothing but what they name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np

from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

MOST_GAIN, MOST_STRENGTH, MOST_SMOOTH, MOST_BLINKS = 5.0, 3.0, 1.0, 60.0
_BLINK = np.array([0.30, 0.85, 1.0, 0.95, 0.62, 0.32, 0.14, 0.04])  # a lid at 30 fps: closes fast, opens slowly
_BLINK_FPS = 30.0
_SHUT, _LONGEST_BLINK = 0.45, 0.55  # weight above which a lid counts as closing; seconds
_LEAST_GAP = 0.6  # seconds between two blinks
MOUTH = tuple(n for n in arkit.NAMES if n.startswith(("jaw", "mouth")) or n == "tongueOut")
BROWS = tuple(n for n in arkit.NAMES if n.startswith("brow"))
_EYES = tuple(n for n in arkit.NAMES if n.startswith(("eyeBlink", "eyeLook")))


@dataclass(frozen=True)
class Controls:
    """What to change; the defaults change nothing.

    Attributes:
        gain: factor for each shape, 0 to 5. A name without its side means both sides.
        offset: added to each shape, -1 to 1.
        mouth, brow: factors of all shapes of jaw, mouth and tongue, and of the brows, 0 to 3.
        symmetry: 0 as it is, 1 both halves alike. Winks and gaze stay.
        smooth: seconds, standard deviation of a Gaussian over time without delay, 0 to 1.
        blink_rate: blinks a minute that replace the clip's own; None keeps these.
        eye_contact: 0 the clip's own gaze, 1 eyes to the viewer whatever the head does.
    """

    gain: Mapping[str, float] = field(default_factory=dict)
    offset: Mapping[str, float] = field(default_factory=dict)
    mouth: float = 1.0
    brow: float = 1.0
    symmetry: float = 0.0
    smooth: float = 0.0
    blink_rate: float | None = None
    eye_contact: float = 0.0

    def check(self) -> None:
        """Raises UserError for an unknown shape or a value out of range."""
        for name, value in self.gain.items():
            shapes(name)
            _range(f"gain of {name}", value, 0, MOST_GAIN)
        for name, value in self.offset.items():
            shapes(name)
            _range(f"offset of {name}", value, -1, 1)
        limits: tuple[tuple[str, float | None, float], ...] = (
            ("mouth", self.mouth, MOST_STRENGTH), ("brow", self.brow, MOST_STRENGTH), ("symmetry", self.symmetry, 1),
            ("smooth", self.smooth, MOST_SMOOTH), ("blink rate", self.blink_rate, MOST_BLINKS),
            ("eye contact", self.eye_contact, 1),
        )  # fmt: skip
        for label, number, most in limits:
            if number is not None:
                _range(label, number, 0, most)


def _range(label: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN never is
        raise UserError(f"{label} {value:g}: accepted {low:g} to {high:g}")


def apply(motion: FaceMotion, controls: Controls, seed: int = 0) -> FaceMotion:
    """All controls in this order: symmetry, smoothing, strengths, gains, offsets, blinks, eye contact.

    Raises:
        UserError: see `Controls.check`.
    """
    controls.check()
    motion = symmetric(motion, controls.symmetry)
    motion = smoothed(motion, controls.smooth)
    motion = scaled(motion, MOUTH, controls.mouth)
    motion = scaled(motion, BROWS, controls.brow)
    for name, factor in controls.gain.items():
        motion = scaled(motion, shapes(name), factor)
    for name, value in controls.offset.items():
        motion = shifted(motion, shapes(name), value)
    if controls.blink_rate is not None:
        motion = blinking(motion, controls.blink_rate, seed)
    return looking(motion, controls.eye_contact)


def shapes(name: str) -> tuple[str, ...]:
    """The shapes that a name stands for, in any spelling: ``mouthSmile`` is both sides.

    Raises:
        UserError: unknown, with the nearest name.
    """
    whole = arkit.canonical(name)
    if whole is not None:
        return (whole,)
    letters = "".join(c for c in name.lower() if c.isalnum())
    for stem in arkit.SIDED:
        if stem.lower() == letters:
            return arkit.expand(stem)
    known = [*arkit.NAMES, *arkit.SIDED]
    near = get_close_matches(letters, [k.lower() for k in known], 1)
    hint = f"; did you mean {next(k for k in known if k.lower() == near[0])}?" if near else ""
    raise UserError(f"blendshape {name!r}: unknown{hint}; accepted ARKit's 52 names, such as jawOpen or mouthSmileLeft")


def scaled(motion: FaceMotion, names: Sequence[str], factor: float) -> FaceMotion:
    """Weights of these shapes times `factor`, cut at 1."""
    weights = motion.weights.copy()
    weights[:, [arkit.INDEX[n] for n in names]] *= factor
    return replace(motion, weights=weights)


def shifted(motion: FaceMotion, names: Sequence[str], value: float) -> FaceMotion:
    """Weights of these shapes plus `value`, kept within [0, 1]."""
    weights = motion.weights.copy()
    weights[:, [arkit.INDEX[n] for n in names]] += value
    return replace(motion, weights=weights)


def symmetric(motion: FaceMotion, amount: float) -> FaceMotion:
    """Each side moved towards the mean of both, jaw and mouth towards the middle; lids' blinks and gaze stay."""
    if amount == 0:
        return motion
    mean = (motion.weights + motion.weights[:, arkit.MIRROR]) / 2
    for left, right in (("jawLeft", "jawRight"), ("mouthLeft", "mouthRight")):  # the two cancel each other
        mean[:, [arkit.INDEX[left], arkit.INDEX[right]]] = 0
    keep = [arkit.INDEX[n] for n in _EYES]
    mean[:, keep] = motion.weights[:, keep]
    return replace(motion, weights=motion.weights + amount * (mean - motion.weights))


def smoothed(motion: FaceMotion, seconds: float) -> FaceMotion:
    """Weights and head through a Gaussian of this standard deviation, without delay; ends are held."""
    from scipy.ndimage import gaussian_filter1d

    sigma = seconds * motion.fps
    if sigma < 1e-3:
        return motion
    weights, head = (gaussian_filter1d(x, sigma, axis=0, mode="nearest") for x in (motion.weights, motion.head))
    return replace(motion, weights=weights, head=head)


def blinking(motion: FaceMotion, per_minute: float, seed: int = 0) -> FaceMotion:
    """Other blinks: short closures of both eyes are taken out, new ones come at random moments.

    Winks and closures longer than half a second stay, and no blink falls on them. Gaps between blinks are drawn from a
    gamma distribution (shape 3), at least 0.6 s.
    """
    from avatargpt.metrics.geometry_signals import runs_of

    lids = [arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]
    weights = motion.weights.copy()
    for start, stop in runs_of(weights[:, lids].min(1) > _SHUT):
        if (stop - start) / motion.fps <= _LONGEST_BLINK:
            _take_out(weights, lids, start, stop, motion.fps)
    if per_minute > 0:
        busy = weights[:, lids].max(1) > _SHUT
        for first in _moments(len(motion) / motion.fps, per_minute, seed):
            at = round(first * motion.fps)
            count = max(2, round(len(_BLINK) * motion.fps / _BLINK_FPS))
            if at + count > len(motion) or busy[max(at - count, 0) : at + 2 * count].any():
                continue
            lid = np.interp(np.linspace(0, len(_BLINK) - 1, count), np.arange(len(_BLINK)), _BLINK)
            weights[at : at + count, lids] = np.maximum(weights[at : at + count, lids], lid[:, None])
    return replace(motion, weights=weights)


def _take_out(weights: np.ndarray, lids: list[int], start: int, stop: int, fps: float) -> None:
    """A straight line instead of the closure around [start, stop), from where the lids leave rest to their return."""
    reach = max(1, round(0.3 * fps))
    low, high = max(start - reach, 0), min(stop + reach, len(weights))
    for lid in lids:
        before, after = weights[low:start, lid], weights[stop:high, lid]
        a = low + int(before.argmin()) if len(before) else None
        b = stop + int(after.argmin()) if len(after) else None
        here = weights[a, lid] if a is not None else weights[b, lid] if b is not None else 0.0
        there = weights[b, lid] if b is not None else here
        first, last = a if a is not None else 0, b if b is not None else len(weights) - 1
        weights[first : last + 1, lid] = np.linspace(here, there, last - first + 1)


def _moments(seconds: float, per_minute: float, seed: int) -> list[float]:
    rng = np.random.default_rng([seed, 52])
    mean = 60.0 / per_minute
    out, now = [], float(rng.uniform(0, mean))
    while now < seconds:
        out.append(now)
        now += _LEAST_GAP + float(rng.gamma(3.0, max(mean - _LEAST_GAP, 0.05) / 3.0))
    return out


def looking(motion: FaceMotion, amount: float) -> FaceMotion:
    """Gaze moved towards a viewer straight ahead of the unturned head, by `amount` in [0, 1].

    At 1 the eyes undo the head's yaw and pitch as far as a full eyeLook weight goes (35 degrees).
    """
    if amount == 0:
        return motion
    weights = motion.weights.astype(np.float64)
    own = {n: weights[:, arkit.INDEX[n]].copy() for n in _EYES}
    wanted = -motion.head[:, :2].astype(np.float64) / np.radians(arkit.EYE_DEGREES)  # left, up
    for side, left, right in (("Left", "Out", "In"), ("Right", "In", "Out")):
        for axis, plus, minus in ((0, left, right), (1, "Up", "Down")):
            now = own[f"eyeLook{plus}{side}"] - own[f"eyeLook{minus}{side}"]
            new = now + amount * (wanted[:, axis] - now)
            weights[:, arkit.INDEX[f"eyeLook{plus}{side}"]] = np.maximum(new, 0)
            weights[:, arkit.INDEX[f"eyeLook{minus}{side}"]] = np.maximum(-new, 0)
    return replace(motion, weights=weights)
