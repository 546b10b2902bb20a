"""The in-between and continuation suites: predicted middles and ends against real ones and simple baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite
from avatargpt.metrics import baselines
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

TOKEN_FRAMES = 4
POP = 3.0  # times the real clips' 95th percentile: jerk above it is seen as a pop
FIGURES = ("ade", "fde", "length_exact", "seam_jerk_ratio", "speed")
FAR = 2.5  # seconds of a middle whose error is told by itself, too
BETWEEN = ("joint_error", "pops", "largest_step", "skate", "noted")  # of in-between alone

Middle = Callable[[Motion, Motion, float, int], Motion]
"""(start, end, seconds, seed) -> start + `seconds` of middle + end, or a longer or shorter whole."""
More = Callable[[Motion, float, int], Motion]
"""(motion, seconds, seed) -> motion + `seconds` more."""


@dataclass(frozen=True)
class Task:
    """One clip cut up: `real` whole, the predicted frames are [first, last)."""

    real: Motion
    first: int
    last: int

    @property
    def seconds(self) -> float:
        return (self.last - self.first) / self.real.fps


def cut(clips: list[Clip], kind: str, kept: float, shortest: int) -> list[Task]:
    """Clips of at least `shortest` frames, cut on token boundaries, `kept` of each given (at either end or before)."""
    tasks = []
    for clip in clips:
        real = clip.load().canonical()
        if len(real) < shortest:
            continue
        real = real.slice(0, len(real) // TOKEN_FRAMES * TOKEN_FRAMES)
        first = max(TOKEN_FRAMES, round(kept * len(real) / TOKEN_FRAMES) * TOKEN_FRAMES)
        tasks.append(Task(real, first, len(real) - first if kind == "inbetween" else len(real)))
    return tasks


def methods(kind: str, model: Any) -> dict[str, Callable[[Task, int], Motion]]:
    """The model (if any) and the baselines as functions of (task, seed) -> the whole clip."""

    def start(t: Task) -> Motion:
        return t.real.slice(0, t.first)

    def end(t: Task) -> Motion:
        return t.real.slice(t.last, len(t.real))

    out: dict[str, Callable[[Task, int], Motion]] = {}
    if kind == "inbetween":
        if model is not None:
            # The end is handed over where it stands in the world, so that the middle has to lead there.
            out["model"] = lambda t, seed: model.in_between(start(t), end(t), t.seconds, seed=seed, keep_place=True)
        out["interpolation"] = lambda t, seed: concatenate(
            [start(t), baselines.interpolate(start(t), end(t), t.last - t.first), end(t)]
        )
        return out
    if model is not None:
        out["model"] = lambda t, seed: model.extend(start(t), t.seconds, seed=seed)
    out["hold"] = lambda t, seed: concatenate([start(t), baselines.hold(start(t), t.last - t.first)])
    out["constant velocity"] = lambda t, seed: concatenate(
        [start(t), baselines.extrapolate(start(t), t.last - t.first)]
    )
    return out


def score(suite: Suite, clips: list[Clip], model: Any, parts: Parts = UNKEPT) -> dict[str, Any]:
    """All figures of the model and of the baselines, see `judged`."""
    return judged(suite, tasks_of(suite, clips), methods(suite.kind, model), parts)


def tasks_of(suite: Suite, clips: list[Clip]) -> list[Task]:
    """The clips cut up as the suite says.

    Raises:
        UserError: fewer than two that are long enough.
    """
    options = suite.options
    tasks = cut(clips, suite.kind, float(options["kept"]), int(options["shortest"]))
    if len(tasks) < 2:
        raise UserError(f"suite {suite.name}: {len(tasks)} clips of at least {options['shortest']} frames; needs 2")
    return tasks


def judged(
    suite: Suite, tasks: Sequence[Task], compared: Mapping[str, Callable[[Task, int], Motion]],
    parts: Parts = UNKEPT,
) -> dict[str, Any]:
    """All figures; names are ``figure`` for the method called ``model`` and ``figure/method`` for the others.

    Clips are compared in the frame of their first pose. A clip counts once, by the mean of its seeds; the FID is
    the mean of those of each seed.
    """
    from avatargpt.kinematics.measures import ade, fde, jerk, peak_speeds
    from avatargpt.metrics.statistics import kinematic_fid

    usual = float(np.percentile(np.concatenate([jerk(t.real.joints, 20.0) for t in tasks]), 95))
    results: dict[str, Any] = {}
    more = BETWEEN if suite.kind == "inbetween" else ()
    for name, method in compared.items():
        suffix = "" if name == "model" else f"/{name}"
        seeds = suite.seeds if name == "model" else suite.seeds[:1]
        rows: dict[str, list[list[float]]] = {k: [] for k in (*FIGURES, *more)}
        made_middles: dict[int, list[np.ndarray]] = {seed: [] for seed in seeds}
        real_middles = [task.real.joints[task.first : task.last] for task in tasks]
        asked = [(task, seed) for task in tasks for seed in seeds]
        answers = iter((parts if name == "model" else UNKEPT).each(suite.kind, method, asked))
        for task in tasks:
            real = task.real.joints
            here: dict[str, list[float]] = {k: [] for k in rows}
            for seed in seeds:
                made_whole = next(answers)
                whole = made_whole.canonical()
                exact = abs(len(whole) - len(task.real)) < TOKEN_FRAMES
                here["length_exact"].append(float(exact))
                joints = _fitted(whole.joints, len(real))
                made, true = joints[task.first : task.last], real[task.first : task.last]
                here["ade"].append(ade(made, true))
                here["fde"].append(fde(made, true))
                here["seam_jerk_ratio"].append(_seams(joints, task) / usual)
                fast, slow = peak_speeds(made, 20.0), peak_speeds(true, 20.0)
                if more:
                    for key, value in _between(joints, task, usual, made_whole.notes).items():
                        here[key].append(value)
                here["speed"] += [fast[k] / slow[k] for k in slow if slow[k] > 1.0]
                made_middles[seed].append(made)
            for k, values in here.items():
                if values:
                    rows[k].append(values)
        fids = [kinematic_fid(made, real_middles, 20.0) for made in made_middles.values()]
        worst = np.percentile(np.concatenate(rows["seam_jerk_ratio"]), 95)
        results[f"ade{suffix}"] = _over_clips(rows["ade"])
        results[f"fde{suffix}"] = _over_clips(rows["fde"])
        results[f"kinematic_fid{suffix}"] = plain(float(np.mean(fids)))
        results[f"length_exact{suffix}"] = _over_clips(rows["length_exact"])
        results[f"seam_jerk_ratio{suffix}"] = _over_clips(rows["seam_jerk_ratio"])
        results[f"seam_jerk_ratio/95th percentile{suffix}"] = plain(float(worst))
        results[f"peak_speed_ratio{suffix}"] = _over_clips(rows["speed"])
        if more:
            results |= {f"{k}{suffix}": _over_clips(rows[k]) for k in more}
            far = [r for r, t in zip(rows["joint_error"], tasks, strict=True) if t.seconds >= FAR]
            results[f"joint_error/{FAR:g} s and more{suffix}"] = _over_clips(far)
    if more:
        true_rows = [_between(t.real.joints, t, usual, ()) for t in tasks]
        results |= {f"{k}/real": figure([r[k] for r in true_rows]) for k in ("pops", "largest_step", "skate")}
    results["seam_jerk_ratio/real"] = figure([_seams(t.real.joints, t) / usual for t in tasks])
    others = [name for name in compared if name != "model"]
    return {"results": results, "clips": len(tasks), "baselines": others,
            "real_jerk_95th_percentile": round(usual, 5)}  # fmt: skip


def _over_clips(rows: list[list[float]]) -> dict[str, Any]:
    """The seeds of one clip are no samples of their own: intervals are over clips."""
    return figure([float(np.mean(r)) for r in rows])


def _between(joints: np.ndarray, task: Task, usual: float, notes: tuple[str, ...]) -> dict[str, float]:
    """What `BETWEEN` names, of the middle of the whole (T, 22, 3) with the frames that third differences reach."""
    from avatargpt.kinematics.measures import TOES, foot_skate, jerk

    about = slice(max(0, task.first - 3), task.last + 3)
    made, true = joints[task.first : task.last], task.real.joints[task.first : task.last]
    steps = np.linalg.norm(np.diff(joints[about][:, TOES], axis=0), axis=-1)
    return {
        "joint_error": float(np.linalg.norm(made - true, axis=-1).mean()),
        "pops": float(jerk(joints[about], 20.0).max() > POP * usual), "largest_step": float(steps.max()),
        "skate": foot_skate(joints[about], 20.0), "noted": float(bool(notes)),
    }  # fmt: skip


def _seams(joints: np.ndarray, task: Task) -> float:
    """The most jerk at any seam of the task, m/s^3 per joint as `seam_jerk` has it."""
    from avatargpt.kinematics.measures import seam_jerk

    return max(seam_jerk(joints, 20.0, s) for s in (task.first, task.last) if s < len(task.real.joints))


def _fitted(joints: np.ndarray, frames: int) -> np.ndarray:
    """The last pose repeated, or the end cut off: a wrong length then costs in every other figure too."""
    if len(joints) >= frames:
        return joints[:frames]
    return np.concatenate([joints, np.repeat(joints[-1:], frames - len(joints), 0)])
