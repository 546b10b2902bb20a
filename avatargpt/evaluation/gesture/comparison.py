"""The gesture suite: one row per way of making motion for the same talks, real motion first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.gesture.listeners import attention
from avatargpt.evaluation.gesture.rows import Heard, Made, beat_figures, moved, strokes_moved
from avatargpt.evaluation.gesture.talks import Generator, Talk, read_strokes, read_talks
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import plain
from avatargpt.evaluation.suites import Suite
from avatargpt.metrics.gesture import baselines, beats
from avatargpt.metrics.gesture.beats import hand_speed_distance
from avatargpt.metrics.gesture.fgd import FRAMES, GestureFeatures, fgd
from avatargpt.speech.audio import FPS, RATE, frames_in
from vqvae.errors import UserError
from vqvae.motion import Motion


def run(
    suite: Suite, model: Any, data: Path | None, store: Path | None, parts: Parts = UNKEPT
) -> dict[str, Any]:
    """The figures of a folder of talks.

    Args:
        suite: of kind ``gesture``.
        model: None, an `AvatarGPT`, whose gesture network is measured, a `Generator`, or several by name.
        data: see `read_talks`, `read_strokes`.
        store: folder of the fgd stage, None = the packaged encoder.

    Raises:
        UserError: no folder, or something else for a model.
    """
    if data is None:
        raise UserError("gesture: measured on recorded talks; name their folder")
    features = GestureFeatures.load(store)
    networks = {name: parts.remembering(f"gestures by {name}", make) for name, make in _named(model).items()}
    return score(suite, read_talks(data), networks, read_strokes(data), features)


def _named(model: Any) -> dict[str, Generator]:
    if model is None:
        return {}
    if isinstance(model, Mapping) and all(callable(make) for make in model.values()):
        return dict(model)
    if callable(model):
        return {"network": model}
    if hasattr(model, "source"):
        from avatargpt.evaluation.gesture.networks import networks

        return networks(model.source)
    raise UserError(f"gesture: a model of type {type(model).__name__}; accepted: an AvatarGPT, a function "
                    "Talk -> Motion, or several by name")  # fmt: skip


def score(
    suite: Suite, talks: Sequence[Talk], networks: Mapping[str, Generator], strokes: Sequence[baselines.Stroke] = (),
    features: GestureFeatures | None = None, less: bool = True,
) -> dict[str, Any]:
    """All figures, ``figure/row``.

    Rows: ``real``; ``mean pose``; ``shuffled`` (real motion under other sound: beats alone differ); ``retrieval``,
    where there is a bank; every network, and the first of them without words, without sound (silence) and without the
    interlocutor, where some talk has these. They are made for all talks, so that their intervals are narrower than
    those of ``real``, which has only the talks with a recorded motion.

    Args:
        suite: its option ``window`` is the seconds that count as one draw for intervals.
        talks: at least one with a motion; those without are only sound that motion is made for.
        networks: what is under test, by name.
        strokes: the bank of ``retrieval``, and the row ``strokes`` of figures that need no sound.
        features: for FGD.
        less: whether the first network is also told less; False where its motions are there already.

    Raises:
        UserError: no talk with a motion, or one of less than two windows.
    """
    window = float(suite.options.get("window", 10.0))
    recorded = [t for t in talks if t.motion is not None]
    if not recorded:
        raise UserError("gesture: no talk with a recorded motion; at least one is needed")
    real = [Made(t, t.motion.resampled(FPS)) for t in recorded if t.motion is not None]
    frames = [frames_in(len(t.audio), RATE) for t in talks]
    for made in real:
        frames[[t is made.talk for t in talks].index(True)] = len(made.motion)
    for talk, count in zip(talks, frames, strict=True):
        if min(count / FPS, len(talk.audio) / RATE) < 2 * window:
            raise UserError(f"{talk.name}: {count / FPS:.1f} s; accepted: talks of at least {2 * window:g} s")
    motions = [m.motion for m in real]
    usual = beats.mean_speeds(motions)
    rows = {"real": real}
    for name, make in _makers(talks, motions, networks, strokes, less).items():
        rows[name] = [Made(t, _fitting(name, make(t, n), n)) for t, n in zip(talks, frames, strict=True)]
    heard = Heard([t.audio for t in talks])
    results: dict[str, Any] = {}
    for name, row in rows.items():
        results |= beat_figures(name, row, heard, usual, window)
        results |= moved(name, row, motions, window)
        results |= attention(name, row)
        results |= _against(name, [m.motion for m in row], motions, features)
    if strokes:
        results |= strokes_moved([s.motion for s in strokes])
    return {
        "talks": len(recorded), "sounds": len(talks), "seconds": round(sum(m.seconds for m in real), 2),
        "results": _by_figure(results),
    }  # fmt: skip


def _by_figure(results: dict[str, Any]) -> dict[str, Any]:
    """The rows of one figure next to one another."""
    figures = dict.fromkeys(key.split("/")[0] for key in results)
    return {key: results[key] for name in figures for key in results if key.split("/")[0] == name}


_Maker = Callable[[Talk, int], Motion]


def _makers(
    talks: Sequence[Talk], motions: Sequence[Motion], networks: Mapping[str, Generator],
    strokes: Sequence[baselines.Stroke], less: bool = True,
) -> dict[str, _Maker]:  # fmt: skip
    """How the rows beside ``real`` are made: (talk, frames) -> motion."""
    out: dict[str, _Maker] = {"mean pose": lambda talk, frames: baselines.mean_pose(motions, frames)}
    if strokes:
        bank = baselines.StrokeBank(strokes)
        out["retrieval"] = lambda talk, frames: bank.gesticulate(talk.audio, frames)
    without: list[tuple[str, Callable[[Talk], Talk]]] = [
        ("", lambda talk: talk), (" without sound", lambda talk: replace(talk, audio=np.zeros_like(talk.audio)))
    ]  # fmt: skip
    if any(t.words is not None for t in talks):
        without.append((" without words", lambda talk: replace(talk, words=None, interlocutor_words=None)))
    if any(t.interlocutor is not None for t in talks):
        without.append((" without interlocutor", _alone))
    for number, (name, make) in enumerate(networks.items()):
        rows = without if less and number == 0 else without[:1]
        out |= {name + part: _told(make, leaving) for part, leaving in rows}
    return out


def _alone(talk: Talk) -> Talk:
    return replace(talk, interlocutor=None, interlocutor_words=None)


def _told(make: Generator, less: Callable[[Talk], Talk]) -> _Maker:
    """A network that is told less of a talk."""

    def made(talk: Talk, frames: int) -> Motion:
        return make(replace(less(talk), motion=None))

    return made


def _fitting(name: str, motion: Motion, frames: int) -> Motion:
    """A made motion at 30 fps, cut to the length of its talk.

    Raises:
        UserError: it ends more than half a second before.
    """
    out = motion.resampled(FPS)
    if len(out) < frames - FPS // 2:
        raise UserError(f"{name}: {len(out) / FPS:.1f} s of motion for a talk of {frames / FPS:.1f} s")
    return out.slice(0, min(frames, len(out)))


def _halves(motions: Sequence[Motion]) -> tuple[list[Motion], list[Motion]]:
    return [m.slice(0, len(m) // 2) for m in motions], [m.slice(len(m) // 2, len(m)) for m in motions]


def _against(
    name: str, made: list[Motion], real: list[Motion], features: GestureFeatures | None
) -> dict[str, Any]:  # fmt: skip
    """Distances from the real set; of the real one itself between the halves of its clips: what is no difference."""
    a, b = _halves(real) if name == "real" else (made, real)
    out = {f"hellinger/{name}": plain(hand_speed_distance(a, b))}
    if features is not None:
        if min(len(m) for m in (*a, *b)) < FRAMES:
            raise UserError(f"FGD of {name}: clips of less than {FRAMES} frames at 30 fps")
        out[f"fgd/{name}"] = plain(fgd(a, b, features))
    return out
