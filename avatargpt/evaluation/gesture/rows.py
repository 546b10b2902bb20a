"""The figures of one row of the gesture table; intervals are drawn from stretches of some seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.evaluation.gesture.talks import Talk
from avatargpt.evaluation.report import figure, plain
from avatargpt.metrics.gesture import beats
from avatargpt.metrics.gesture.beats import (
    UPPER,
    WRISTS,
    backtracked,
    emphases,
    hand_speed,
    hand_speeds,
    mean_acceleration,
    mean_jerk,
    onsets,
)
from avatargpt.speech.audio import FPS, RATE
from vqvae.motion import Motion


@dataclass(frozen=True, eq=False)
class Made:
    """A talk and a motion for it at 30 fps."""

    talk: Talk
    motion: Motion

    @property
    def seconds(self) -> float:
        """What sound and motion share."""
        return min(self.motion.seconds, len(self.talk.audio) / RATE)


_Beats = list[np.ndarray]
_Finder = Callable[[np.ndarray], np.ndarray]


def _emphases(audio: np.ndarray) -> np.ndarray:
    return emphases(audio)[0]


KINDS: dict[str, tuple[_Finder, Callable[[Motion, np.ndarray], _Beats]]] = {
    "beat_alignment": (onsets, beats.motion_beats),
    "beat_alignment_01": (onsets, lambda motion, usual: beats.motion_beats(motion, usual, beats.BARELY_MOVING)),
    "wrist_beat_alignment": (backtracked, lambda motion, usual: beats.wrist_beats(motion)),
    "emphasis_alignment": (_emphases, lambda motion, usual: beats.wrist_beats(motion, WRISTS)),
}
"""Figure -> beats of a sound, and beats of a motion given the usual speeds of joints."""


class Heard:
    """The beats of some sounds, found once for all rows."""

    def __init__(self, sounds: Sequence[np.ndarray]) -> None:
        self.sounds = sounds
        finders = dict.fromkeys(finder for finder, _ in KINDS.values())
        self.times = {finder: [finder(x) for x in sounds] for finder in finders}

    def split(self, finder: _Finder, audio: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Beats of one of the sounds, and those of the others."""
        number = next(i for i, x in enumerate(self.sounds) if x is audio)
        times = self.times[finder]
        return times[number], times[:number] + times[number + 1 :]


def beat_figures(name: str, row: Sequence[Made], heard: Heard, usual: np.ndarray, window: float) -> dict[str, Any]:
    """Beat alignment of a row, by how much it is above that with other sounds, and for ``real`` the row ``shuffled``.

    Other sounds are the talk's own, moved around by whole windows, and those of the other talks. A window's figure is
    the mean over the beats of the sound in it; both are taken over the same windows of the motion, so that their
    difference is paired.
    """
    out: dict[str, Any] = {}
    for kind, (finder, of_motion) in KINDS.items():
        own, others = [], []
        for made in row:
            moving, seconds = of_motion(made.motion, usual), made.seconds
            at, strange = heard.split(finder, made.talk.audio)
            own += _per_window([at], moving, seconds, window)
            shifts = np.arange(window, seconds - window + 1e-6, window)
            turned = [np.sort((at[at < seconds] + s) % seconds) for s in shifts]
            others += _per_window([*turned, *strange], moving, seconds, window)
        out[f"{kind}/{name}"] = figure(own)
        if name == "real":
            out[f"{kind}/shuffled"] = figure(others)
        out[f"{kind}_gain/{name}"] = figure(np.array(own) - np.array(others))
    return out


def _per_window(sounds: Sequence[np.ndarray], moving: _Beats, seconds: float, window: float) -> list[float]:
    """Mean score of the beats in each whole window, over some sounds; NaN where there are none."""
    values = [np.full(len(t), np.nan) if not len(t) else beats.scores(t, moving) for t in sounds]
    out = []
    for k in range(int(seconds // window)):
        inside = [v[(t >= k * window) & (t < (k + 1) * window)] for t, v in zip(sounds, values, strict=True)]
        means = [float(v.mean()) for v in inside if len(v)]
        out.append(float(np.mean(means)) if means else float("nan"))
    return out


def _cut(motion: Motion, window: float) -> list[Motion]:
    frames = round(window * FPS)
    return [motion.slice(i, i + frames) for i in range(0, len(motion) - frames + 1, frames)]


def moved(name: str, row: Sequence[Made], real: Sequence[Motion], window: float) -> dict[str, Any]:
    """Hand speed, its ratio to real talk, acceleration, jerk, and L1 diversity (about a whole clip's mean pose)."""
    pieces = [piece for made in row for piece in _cut(made.motion, window)]
    usual = float(np.concatenate([hand_speeds(m) for m in real]).mean())
    own = float(np.concatenate([hand_speeds(m.motion) for m in row]).mean())
    return {
        f"hand_speed/{name}": figure([hand_speed(m) for m in pieces]),
        f"hand_speed_ratio/{name}": plain(own / usual if usual > 0 else float("nan")),
        f"acceleration/{name}": figure([mean_acceleration(m) for m in pieces]),
        f"jerk/{name}": figure([mean_jerk(m) for m in pieces]),
        f"l1_diversity/{name}": figure([v for made in row for v in _spread(made.motion, window)]),
    }  # fmt: skip


def _spread(motion: Motion, window: float) -> list[float]:
    """How far poses are from the clip's mean pose, metres, window by window: L1 over the 13 joints against the pelvis.

    Source: `L1div` of BEAT2's evaluation code (Liu et al. 2024), there over all 55 joints of SMPL-X, 30 of them in the
    fingers: its published figures are therefore several times larger.
    """
    x = motion.joints[:, UPPER].astype(np.float64) - motion.joints[:, :1]
    far, frames = np.abs(x - x.mean(0)).sum((1, 2)), round(window * FPS)
    return [float(far[i : i + frames].mean()) for i in range(0, len(far) - frames + 1, frames)]


def strokes_moved(strokes: Sequence[Motion]) -> dict[str, Any]:
    """Speed, acceleration and jerk of single gestures: the row ``strokes``, which has no sound."""
    some = [m for m in (s.resampled(FPS) for s in strokes) if len(m) > 3]
    return {
        "hand_speed/strokes": figure([hand_speed(m) for m in some]),
        "acceleration/strokes": figure([mean_acceleration(m) for m in some]),
        "jerk/strokes": figure([mean_jerk(m) for m in some]),
    }  # fmt: skip
