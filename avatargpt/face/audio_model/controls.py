"""Controls of a finished face clip, by rules: gains, symmetry, smoothing, blinks, idle motion and eye contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.face.audio_model import idle
from avatargpt.face.audio_model.idle import Span
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.rotations import conjugate
from vqvae.smoothing import gaussian

if TYPE_CHECKING:
    from avatargpt.face.audio_model.upper import UpperFace, UpperNetwork

MAX_GAIN, MAX_STRENGTH, MAX_SMOOTH, MAX_BLINKS, MAX_IDLE, MAX_UPPER = 5.0, 3.0, 1.0, 60.0, 3.0, 2.0
MOUTH = tuple(n for n in arkit.NAMES if n.startswith(("jaw", "mouth")) or n == "tongueOut")
BROWS = tuple(n for n in arkit.NAMES if n.startswith("brow"))
_EYES = tuple(n for n in arkit.NAMES if n.startswith(("eyeBlink", "eyeLook")))


@dataclass(frozen=True)
class Controls:
    """What to change; the defaults change nothing."""

    # gain: factor for each shape, 0 to 5. A name without its side means both sides.
    gain: Mapping[str, float] = field(default_factory=dict)
    offset: Mapping[str, float] = field(default_factory=dict)  # added to each shape, -1 to 1
    # mouth, brow: factors of all shapes of jaw, mouth and tongue, and of the brows, 0 to 3
    mouth: float = 1.0
    brow: float = 1.0
    symmetry: float = 0.0  # 0 as it is, 1 both halves alike. Winks and gaze stay.
    smooth: float = 0.0  # seconds, standard deviation of a Gaussian over time without delay, 0 to 1
    # blink_rate: blinks a minute that replace the clip's own, except those of a score; None keeps the clip's
    blink_rate: float | None = None
    idle: float = 0.0  # small movements of head and eyes that are added, 0 none, 1 as usual, to 3 (`Idler`)
    upper: float = 0.0  # brows, lids, cheeks, nose that live with speech, 0 none, 1 as learnt, to 2 (`UpperFace`)
    eye_contact: float = 0.0  # 0 the clip's own gaze, 1 eyes to the viewer whatever the head does

    def check(self) -> None:
        """Raises UserError for an unknown shape or a value out of range."""
        for name, value in self.gain.items():
            shapes(name)
            _range(f"gain of {name}", value, 0, MAX_GAIN)
        for name, value in self.offset.items():
            shapes(name)
            _range(f"offset of {name}", value, -1, 1)
        limits: tuple[tuple[str, float | None, float], ...] = (
            ("mouth", self.mouth, MAX_STRENGTH), ("brow", self.brow, MAX_STRENGTH), ("symmetry", self.symmetry, 1),
            ("smooth", self.smooth, MAX_SMOOTH), ("blink rate", self.blink_rate, MAX_BLINKS),
            ("idle", self.idle, MAX_IDLE), ("upper", self.upper, MAX_UPPER), ("eye contact", self.eye_contact, 1),
        )  # fmt: skip
        for label, number, high in limits:
            if number is not None:
                _range(label, number, 0, high)


# The usual controls: the driver by itself blinks only where a score says so, and holds head, eyes and brows still.
LIVELY = Controls(blink_rate=idle.USUAL_RATE, idle=idle.USUAL_IDLE, upper=1.0)


def _range(label: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # NaN never is
        raise UserError(f"{label} {value:g}: accepted {low:g} to {high:g}")


def apply_controls(
    motion: FaceMotion, controls: Controls, seed: int = 0, lids: Sequence[Span] | None = None,
    calm: Sequence[Span] = (), jaw: Sequence[Span] = (), held: Sequence[Span] = (), upper: UpperNetwork | None = None,
) -> FaceMotion:  # fmt: skip
    """All controls: symmetry, smoothing, idle motion, upper face, blinks, strengths, gains and offsets, eye contact.

    Args:
        seed: of new blinks and of idle motion.
        lids: spans without new blinks (`idle.lid_spans`); no blink is removed then, for all are the score's. None where
            nothing is known of the clip.
        calm, jaw, held: spans with little idle motion, without speech, in which the upper face is set (`idle.Spans`).
        upper: the network of the upper face; None = the packaged one.
    """
    controls.check()
    rate = controls.blink_rate
    # The clip's own blinks are removed first, so that no other control hides one.
    if rate is not None and lids is None:
        motion = replace(motion, weights=idle.remove_blinks(motion.weights, motion.fps))
    motion = symmetric(motion, controls.symmetry)
    if (sigma := controls.smooth * motion.fps) >= 1e-3:  # without delay; ends are held
        weights, head = (gaussian(x, sigma) for x in (motion.weights, motion.head))
        motion = replace(motion, weights=weights, head=head)
    motion = idle.Idler(motion.fps, controls.idle, seed, calm, jaw)(motion)
    if (face := _start_upper(controls, motion.fps, seed, held, jaw, upper)) is not None:
        motion = replace(motion, weights=np.array([face(row) for row in motion.weights]))
    if rate is not None:
        motion = replace(motion, weights=idle.add_blinks(motion.weights, motion.fps, rate, seed, lids))
    motion = scale_face(motion, controls)
    return with_eye_contact(motion, controls.eye_contact)


def _start_upper(
    controls: Controls, fps: float, seed: int, held: Sequence[Span], jaw: Sequence[Span], network: UpperNetwork | None
) -> UpperFace | None:
    """The upper face as the controls have it, None where it does not move by itself."""
    if not controls.upper:
        return None
    from avatargpt.face.audio_model.upper import UpperFace, load_upper  # loads torch

    return UpperFace(network or load_upper(), fps, controls.upper, seed, held, jaw)


class LiveControls:
    """`apply_controls` for frames as they come; the same blinks and idle motion at the same frames."""

    def __init__(
        self, controls: Controls, fps: float, seed: int = 0, lids: Sequence[Span] = (), calm: Sequence[Span] = (),
        jaw: Sequence[Span] = (), held: Sequence[Span] = (), upper: UpperNetwork | None = None,
    ) -> None:  # fmt: skip
        controls.check()
        if controls.smooth:
            raise UserError("smoothing needs the whole clip; accepted where the face is not live")
        self._controls = controls
        self._upper = _start_upper(controls, fps, seed, held, jaw, upper)
        self._idler = idle.Idler(fps, controls.idle, seed, calm, jaw)
        self._blinker = idle.Blinker(fps, controls.blink_rate or 0.0, seed, lids)

    def direct(
        self, at: float, lids: Sequence[Span], calm: Sequence[Span], jaw: Sequence[Span], held: Sequence[Span] = ()
    ) -> None:
        """Other spans from second `at` on, from which their seconds count; earlier ones end there."""
        self._blinker.spans = spans_after(self._blinker.spans, lids, at)
        self._idler.calm = spans_after(self._idler.calm, calm, at)
        self._idler.jaw = spans_after(self._idler.jaw, jaw, at)
        if self._upper is not None:
            self._upper.held, self._upper.jaw = spans_after(self._upper.held, held, at), self._idler.jaw

    def __call__(self, frame: FaceMotion) -> FaceMotion:
        """The next frame, a clip of one."""
        frame = self._idler(symmetric(frame, self._controls.symmetry))
        weights = frame.weights[0] if self._upper is None else self._upper(frame.weights[0])
        frame = replace(frame, weights=self._blinker(weights)[None])
        return with_eye_contact(scale_face(frame, self._controls), self._controls.eye_contact)


def spans_after(spans: Sequence[Span], new: Sequence[Span], at: float) -> tuple[Span, ...]:
    """Spans up to second `at` and new ones that count from there."""
    return (*((a, min(b, at)) for a, b in spans if a < at), *((at + a, at + b) for a, b in new))


# The controls one by one
def shapes(name: str) -> tuple[str, ...]:
    """The shapes that a name stands for, in any spelling: ``mouthSmile`` is both sides."""
    shape = arkit.canonical(name)
    if shape is not None:
        return (shape,)
    letters = "".join(c for c in name.lower() if c.isalnum())
    for stem in arkit.SIDED:
        if stem.lower() == letters:
            return arkit.expand(stem)
    names = [*arkit.NAMES, *arkit.SIDED]
    matches = get_close_matches(letters, [k.lower() for k in names], 1)
    hint = f"; did you mean {next(k for k in names if k.lower() == matches[0])}?" if matches else ""
    raise UserError(f"blendshape {name!r}: unknown{hint}; accepted ARKit's 52 names, such as jawOpen or mouthSmileLeft")


def scale_face(motion: FaceMotion, controls: Controls) -> FaceMotion:
    """Every shape times its strength and gains, then its offsets added; cut to [0, 1] once, at the end."""
    factor, added = np.ones(arkit.COUNT), np.zeros(arkit.COUNT)
    for group, strength in ((MOUTH, controls.mouth), (BROWS, controls.brow)):
        factor[_columns(group)] *= strength
    for name, value in controls.gain.items():
        factor[_columns(shapes(name))] *= value
    for name, value in controls.offset.items():
        added[_columns(shapes(name))] += value
    if (factor == 1).all() and not added.any():
        return motion
    return replace(motion, weights=motion.weights * factor + added)


def _columns(names: Sequence[str]) -> list[int]:
    return [arkit.INDEX[n] for n in names]


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


def with_eye_contact(motion: FaceMotion, amount: float) -> FaceMotion:
    """Gaze moved towards a viewer straight ahead of the unturned head, by `amount` in [0, 1]."""
    if amount == 0:
        return motion
    # The eyes undo the head's turn, tilt included, as far as a full eyeLook weight goes (35 degrees).
    back = angles_of(conjugate(turns(motion.head)))  # the viewer in the turned head's frame
    viewer = back[:, None, :2] / np.radians(arkit.EYE_DEGREES)  # left, up
    now = idle.gaze(motion.weights.astype(np.float64))
    return replace(motion, weights=idle.with_gaze(motion.weights.astype(np.float64), now + amount * (viewer - now)))
