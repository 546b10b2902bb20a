"""The suites `inbetween` and `continuation`: predicted middles and ends against real ones and simple baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avatargpt.evaluation import corpus
from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from instruct_data.clip import Clip
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

TOKEN_FRAMES = 4
POP = 3.0  # times the real clips' 95th percentile: jerk above it is seen as a pop
FIGURES = ("ade", "fde", "length_exact", "seam_jerk_ratio", "speed")
LONG = 2.5  # seconds of a middle from which its error is also stated separately
BETWEEN_FIGURES = ("joint_error", "pops", "largest_step", "skate", "noted")  # of in-between alone


def evaluate(run: Run) -> dict[str, Any]:
    """In-between or continuation on a corpus."""
    clips = corpus.load_clips(run.data, str(run.suite.options.get("split", "val")))
    return score(run.suite, clips, run.model, run.cache)


def _checked_count(frames: int) -> int:
    if frames < 1:
        raise UserError(f"{frames} frames; at least 1 is needed")
    return frames


def interpolate(start: Motion, end: Motion, frames: int) -> Motion:
    """Spherical interpolation: `frames` frames between the last of `start` and the first of `end`.

    Rotations by slerp along the shorter arc (Shoemake 1985), root linearly, at t = (i + 1) / (frames + 1); both clips
    as they stand in the world.
    """
    if abs(start.fps - end.fps) > 1e-6:
        raise UserError(f"clips at {start.fps} and {end.fps} fps; both need the same rate")
    t = (np.arange(_checked_count(frames)) + 1) / (frames + 1)
    a, b = start.rotations[-1:].astype(np.float64), end.rotations[:1].astype(np.float64)
    root = start.root[-1] + (end.root[0] - start.root[-1]) * t[:, None]
    return replace(start, rotations=rot.slerp(a, b, t[:, None]), root=root, caption="")


def hold(motion: Motion, frames: int) -> Motion:
    """The last pose, standing still for `frames` frames ("zero velocity" of Martinez et al. 2017)."""
    n = _checked_count(frames)
    rotations, root = np.repeat(motion.rotations[-1:], n, 0), np.repeat(motion.root[-1:], n, 0)
    return replace(motion, rotations=rotations, root=root, caption="")


def extrapolate(motion: Motion, frames: int, window: int = 4) -> Motion:
    """Goes on at constant linear and angular velocity: the mean over the last `window` steps.

    Every joint turns on about the axis and at the rate of its relative rotation over the window; the root keeps its
    velocity. A clip of one frame is held.
    """
    n, back = _checked_count(frames), min(window, len(motion) - 1)
    if back < 1:
        return hold(motion, n)
    last, before = motion.rotations[-1].astype(np.float64), motion.rotations[-1 - back].astype(np.float64)
    rate = rot.to_axis_angle(rot.multiply(rot.conjugate(before), last)) / back
    t = np.arange(1, n + 1)
    rotations = rot.multiply(last, rot.from_axis_angle(rate * t[:, None, None]))
    root = motion.root[-1] + (motion.root[-1] - motion.root[-1 - back]) / back * t[:, None]
    return replace(motion, rotations=rotations, root=root, caption="")


@dataclass(frozen=True)
class Task:
    """One clip, of which the frames [first, last) are to be predicted."""

    real: Motion
    first: int
    last: int

    @property
    def seconds(self) -> float:
        return (self.last - self.first) / self.real.fps


def cut(clips: list[Clip], kind: str, given_share: float, shortest: int) -> list[Task]:
    """Tasks of clips of at least `shortest` frames, cut on token boundaries.

    Args:
        given_share: of each clip that is given, at either end or before.
    """
    tasks = []
    for clip in clips:
        real = clip.load().canonical()
        if len(real) < shortest:
            continue
        # The model completes whole tokens.
        real = real.slice(0, len(real) // TOKEN_FRAMES * TOKEN_FRAMES)
        first = max(TOKEN_FRAMES, round(given_share * len(real) / TOKEN_FRAMES) * TOKEN_FRAMES)
        tasks.append(Task(real, first, len(real) - first if kind == "inbetween" else len(real)))
    return tasks


def methods(kind: str, model: Any) -> dict[str, Callable[[Task, int], Motion]]:
    """The model (if any) and the baselines as functions of (task, seed) -> the completed clip."""

    def start(t: Task) -> Motion:
        return t.real.slice(0, t.first)

    def end(t: Task) -> Motion:
        return t.real.slice(t.last, len(t.real))

    out: dict[str, Callable[[Task, int], Motion]] = {}
    if kind == "inbetween":
        if model is not None:
            # The end keeps its place in the world, so that the middle has to lead there.
            out["model"] = lambda t, seed: model.in_between(start(t), end(t), t.seconds, seed=seed, keep_place=True)
        out["interpolation"] = lambda t, seed: concatenate(
            [start(t), interpolate(start(t), end(t), t.last - t.first), end(t)]
        )
        return out
    if model is not None:
        out["model"] = lambda t, seed: model.extend(start(t), t.seconds, seed=seed)
    out["hold"] = lambda t, seed: concatenate([start(t), hold(start(t), t.last - t.first)])
    out["constant velocity"] = lambda t, seed: concatenate(
        [start(t), extrapolate(start(t), t.last - t.first)]
    )
    return out


def score(suite: Suite, clips: list[Clip], model: Any, cache: AnswerCache = NO_CACHE) -> dict[str, Any]:
    """All figures of the model and of the baselines, see `judged`."""
    return judged(suite, tasks_of(suite, clips), methods(suite.kind, model), cache)


def tasks_of(suite: Suite, clips: list[Clip]) -> list[Task]:
    """The tasks of a suite."""
    options = suite.options
    tasks = cut(clips, suite.kind, float(options["kept"]), int(options["shortest"]))
    if len(tasks) < 2:
        raise UserError(f"suite {suite.name}: {len(tasks)} clips of at least {options['shortest']} frames; needs 2")
    return tasks


def judged(
    suite: Suite, tasks: Sequence[Task], compared: Mapping[str, Callable[[Task, int], Motion]],
    cache: AnswerCache = NO_CACHE,
) -> dict[str, Any]:
    """All figures; names are ``figure`` for the method called ``model`` and ``figure/method`` for the others.

    Clips are compared in the frame of their first pose. A clip counts once, by the mean of its seeds; the FID is
    the mean of those of each seed.
    """
    from avatargpt.kinematics.measures import ade, fde, jerk, peak_speeds
    from avatargpt.metrics.statistics import kinematic_fid

    usual = float(np.percentile(np.concatenate([jerk(t.real.joints, 20.0) for t in tasks]), 95))
    results: dict[str, Any] = {}
    extra_figures = BETWEEN_FIGURES if suite.kind == "inbetween" else ()
    for name, method in compared.items():
        suffix = "" if name == "model" else f"/{name}"
        # Baselines do not depend on the seed.
        seeds = suite.seeds if name == "model" else suite.seeds[:1]
        rows: dict[str, list[list[float]]] = {k: [] for k in (*FIGURES, *extra_figures)}
        predicted: dict[int, list[np.ndarray]] = {seed: [] for seed in seeds}
        real_middles = [task.real.joints[task.first : task.last] for task in tasks]
        calls = [(task, seed) for task in tasks for seed in seeds]
        answers = iter((cache if name == "model" else NO_CACHE).map(suite.kind, method, calls))
        for task in tasks:
            real = task.real.joints
            here: dict[str, list[float]] = {k: [] for k in rows}
            for seed in seeds:
                answer = next(answers)
                completed = answer.canonical()
                exact = abs(len(completed) - len(task.real)) < TOKEN_FRAMES
                here["length_exact"].append(float(exact))
                joints = _fitted(completed.joints, len(real))
                middle, true = joints[task.first : task.last], real[task.first : task.last]
                here["ade"].append(ade(middle, true))
                here["fde"].append(fde(middle, true))
                here["seam_jerk_ratio"].append(_seams(joints, task) / usual)
                fast, slow = peak_speeds(middle, 20.0), peak_speeds(true, 20.0)
                if extra_figures:
                    for key, value in _between(joints, task, usual, answer.notes).items():
                        here[key].append(value)
                # Ratios of slow limbs would be noise.
                here["speed"] += [fast[k] / slow[k] for k in slow if slow[k] > 1.0]
                predicted[seed].append(middle)
            for k, values in here.items():
                if values:
                    rows[k].append(values)
        fids = [kinematic_fid(middle, real_middles, 20.0) for middle in predicted.values()]
        worst = np.percentile(np.concatenate(rows["seam_jerk_ratio"]), 95)
        results |= {
            f"ade{suffix}": _over_clips(rows["ade"]), f"fde{suffix}": _over_clips(rows["fde"]),
            f"kinematic_fid{suffix}": plain(float(np.mean(fids))),
            f"length_exact{suffix}": _over_clips(rows["length_exact"]),
            f"seam_jerk_ratio{suffix}": _over_clips(rows["seam_jerk_ratio"]),
            f"seam_jerk_ratio/95th percentile{suffix}": plain(float(worst)),
            f"peak_speed_ratio{suffix}": _over_clips(rows["speed"]),
        }  # fmt: skip
        if extra_figures:
            results |= {f"{k}{suffix}": _over_clips(rows[k]) for k in extra_figures}
            far = [r for r, t in zip(rows["joint_error"], tasks, strict=True) if t.seconds >= LONG]
            results[f"joint_error/{LONG:g} s and more{suffix}"] = _over_clips(far)
    if extra_figures:
        true_rows = [_between(t.real.joints, t, usual, ()) for t in tasks]
        results |= {f"{k}/real": figure([r[k] for r in true_rows]) for k in ("pops", "largest_step", "skate")}
    results["seam_jerk_ratio/real"] = figure([_seams(t.real.joints, t) / usual for t in tasks])
    baselines = [name for name in compared if name != "model"]
    return {"results": results, "clips": len(tasks), "baselines": baselines,
            "real_jerk_95th_percentile": round(usual, 5)}  # fmt: skip


# The seeds of one clip are no samples of their own: intervals are over clips.
def _over_clips(rows: list[list[float]]) -> dict[str, Any]:
    return figure([float(np.mean(r)) for r in rows])


# `BETWEEN_FIGURES` of the middle of (T, 22, 3) joints, with the frames that third differences reach.
def _between(joints: np.ndarray, task: Task, usual: float, notes: tuple[str, ...]) -> dict[str, float]:
    from avatargpt.kinematics.measures import TOES, foot_skate, jerk

    # Third differences at the seam reach three frames into what was kept.
    around = slice(max(0, task.first - 3), task.last + 3)
    middle, true = joints[task.first : task.last], task.real.joints[task.first : task.last]
    steps = np.linalg.norm(np.diff(joints[around][:, TOES], axis=0), axis=-1)
    return {
        "joint_error": float(np.linalg.norm(middle - true, axis=-1).mean()),
        "pops": float(jerk(joints[around], 20.0).max() > POP * usual), "largest_step": float(steps.max()),
        "skate": foot_skate(joints[around], 20.0), "noted": float(bool(notes)),
    }  # fmt: skip


# The largest `seam_jerk` at any seam of the task.
def _seams(joints: np.ndarray, task: Task) -> float:
    from avatargpt.kinematics.measures import seam_jerk

    return max(seam_jerk(joints, 20.0, s) for s in (task.first, task.last) if s < len(task.real.joints))


# The last pose repeated, or the end cut off: a wrong length then worsens every other figure too.
def _fitted(joints: np.ndarray, frames: int) -> np.ndarray:
    if len(joints) >= frames:
        return joints[:frames]
    return np.concatenate([joints, np.repeat(joints[-1:], frames - len(joints), 0)])
