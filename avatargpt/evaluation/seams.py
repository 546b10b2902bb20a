"""The suites `inbetween`, `continuation` and `seams`: transitions, and jerk around them (Barquero et al. 2024)."""
# Transitions of the closed loop stand beside those of simpler ways to chain clips, and real motion. The jerk of a frame
# is the third difference of the joints, L1 over xyz, largest joint, at 20 fps and not divided by time
# (`avatargpt.kinematics.measures.jerk`). Its mean over many transitions, frame by frame of a window of 60 frames, is
# the profile; PJ is the profile's maximum, AUJ the sum over frames of its distance to the mean jerk of real motion.

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.evaluation import corpus
from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.plans import validation_plans
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.kinematics import measures
from avatargpt.metrics.statistics import kinematic_fid
from avatargpt.options import GenerationConfig, mix
from avatargpt.planning.types import Activity
from instruct_data.clip import Clip
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT
    from avatargpt.long.pipeline import Candidate, ClauseCodes, StepClause, StepPipeline

TOKEN_FRAMES = 4
POP = 3.0  # times the real clips' 95th percentile: jerk above it is seen as a pop
FIGURES = ("ade", "fde", "length_exact", "seam_jerk_ratio", "speed")
LONG = 2.5  # seconds of a middle from which its error is also stated separately
SEAM_POP, SEAM_FRAMES = 1.5, 5  # times the clip's own 99th percentile of acceleration, in so many frames before the end
MIN_ACCELERATION = 0.0083  # of such a clip, 5 m/s^2 in all: less is seen in no clip
BETWEEN_FIGURES = ("joint_error", "pops", "seam_pops", "largest_step", "skate", "noted")  # of in-between alone


def evaluate_transitions(run: Run) -> dict[str, Any]:
    """In-between or continuation on a corpus."""
    clips = corpus.load_clips(run.data, str(run.suite.options.get("split", "val")))
    return score_transitions(run.suite, clips, run.model, run.cache)


def interpolate(start: Motion, end: Motion, frames: int) -> Motion:
    """Spherical interpolation: `frames` frames between the last of `start` and the first of `end`.

    Rotations by slerp along the shorter arc (Shoemake 1985), root linearly, at t = (i + 1) / (frames + 1); both clips
    as they stand in the world.
    """
    if abs(start.fps - end.fps) > 1e-6:
        raise UserError(f"clips at {start.fps} and {end.fps} fps; both need the same rate")
    if frames < 1:
        raise UserError(f"{frames} frames; at least 1 is needed")
    t = (np.arange(frames) + 1) / (frames + 1)
    a, b = start.rotations[-1:].astype(np.float64), end.rotations[:1].astype(np.float64)
    root = start.root[-1] + (end.root[0] - start.root[-1]) * t[:, None]
    return replace(start, rotations=rot.slerp(a, b, t[:, None]), root=root, caption="")


def hold(motion: Motion, frames: int) -> Motion:
    """The last pose, standing still for `frames` frames ("zero velocity" of Martinez et al. 2017)."""
    if frames < 1:
        raise UserError(f"{frames} frames; at least 1 is needed")
    rotations, root = np.repeat(motion.rotations[-1:], frames, 0), np.repeat(motion.root[-1:], frames, 0)
    return replace(motion, rotations=rotations, root=root, caption="")


def extrapolate(motion: Motion, frames: int, window: int = 4) -> Motion:
    """Goes on at constant linear and angular velocity: the mean over the last `window` steps.

    Every joint turns on about the axis and at the rate of its relative rotation over the window; the root keeps its
    velocity. A clip of one frame is held.
    """
    back = min(window, len(motion) - 1)
    if min(back, frames) < 1:
        return hold(motion, frames)
    last, before = motion.rotations[-1].astype(np.float64), motion.rotations[-1 - back].astype(np.float64)
    rate = rot.to_axis_angle(rot.multiply(rot.conjugate(before), last)) / back
    t = np.arange(1, frames + 1)
    rotations = rot.multiply(last, rot.from_axis_angle(rate * t[:, None, None]))
    root = motion.root[-1] + (motion.root[-1] - motion.root[-1 - back]) / back * t[:, None]
    return replace(motion, rotations=rotations, root=root, caption="")


@dataclass(frozen=True)
class SeamTask:
    """One clip, of which the frames [first, last) are to be predicted."""

    real: Motion
    first: int
    last: int

    @property
    def seconds(self) -> float:
        return (self.last - self.first) / self.real.fps


def tasks_of(suite: Suite, clips: list[Clip]) -> list[SeamTask]:
    """The tasks of a suite: clips of at least ``shortest`` frames, cut on token boundaries; of each the share ``kept``
    is given, at either end or before.
    """
    given_share, shortest = float(suite.options["kept"]), int(suite.options["shortest"])
    tasks = []
    for clip in clips:
        real = clip.load().canonical()
        if len(real) < shortest:
            continue
        # The model completes whole tokens.
        real = real.slice(0, len(real) // TOKEN_FRAMES * TOKEN_FRAMES)
        first = max(TOKEN_FRAMES, round(given_share * len(real) / TOKEN_FRAMES) * TOKEN_FRAMES)
        tasks.append(SeamTask(real, first, len(real) - first if suite.method == "in_between" else len(real)))
    if len(tasks) < 2:
        raise UserError(f"suite {suite.name}: {len(tasks)} clips of at least {shortest} frames; needs 2")
    return tasks


def methods(suite: Suite, model: Any) -> dict[str, Callable[[SeamTask, int], Motion]]:
    """The model (if any) and the baselines as functions of (task, seed) -> the completed clip."""

    def start(t: SeamTask) -> Motion:
        return t.real.slice(0, t.first)

    def end(t: SeamTask) -> Motion:
        return t.real.slice(t.last, len(t.real))

    out: dict[str, Callable[[SeamTask, int], Motion]] = {}
    if suite.method == "in_between":
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
    out["constant velocity"] = lambda t, seed: concatenate([start(t), extrapolate(start(t), t.last - t.first)])
    return out


def score_transitions(suite: Suite, clips: list[Clip], model: Any, cache: RunCache = NO_CACHE) -> dict[str, Any]:
    """All figures; names are ``figure`` for the model and ``figure/method`` for the baselines.

    Clips are compared in the frame of their first pose. A clip counts once, by the mean of its seeds; the FID is
    the mean of those of each seed.
    """
    tasks, compared = tasks_of(suite, clips), methods(suite, model)
    usual = float(np.percentile(np.concatenate([measures.jerk(t.real.joints, 20.0) for t in tasks]), 95))
    results: dict[str, Any] = {}
    extra_figures = BETWEEN_FIGURES if suite.method == "in_between" else ()
    for name, method in compared.items():
        suffix = "" if name == "model" else f"/{name}"
        # Baselines do not depend on the seed.
        seeds = suite.seeds if name == "model" else suite.seeds[:1]
        rows: dict[str, list[list[float]]] = {k: [] for k in (*FIGURES, *extra_figures)}
        predicted: dict[int, list[np.ndarray]] = {seed: [] for seed in seeds}
        real_middles = [task.real.joints[task.first : task.last] for task in tasks]
        calls = [(task, seed) for task in tasks for seed in seeds]
        answers = iter((cache if name == "model" else NO_CACHE).map(suite.method, method, calls))
        for task in tasks:
            real = task.real.joints
            here: dict[str, list[float]] = {k: [] for k in rows}
            for seed in seeds:
                answer = next(answers)
                completed = answer.canonical()
                exact = abs(len(completed) - len(task.real)) < TOKEN_FRAMES
                here["length_exact"].append(float(exact))
                # The last pose repeated, or the end cut off: a wrong length then worsens every other figure too.
                joints = completed.joints[np.minimum(np.arange(len(real)), len(completed) - 1)]
                middle, true = joints[task.first : task.last], real[task.first : task.last]
                here["ade"].append(measures.ade(middle, true))
                here["fde"].append(measures.fde(middle, true))
                here["seam_jerk_ratio"].append(_seams(joints, task) / usual)
                fast, slow = measures.peak_speeds(middle, 20.0), measures.peak_speeds(true, 20.0)
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
        results |= {f"{k}/real": figure([r[k] for r in true_rows]) for k in BETWEEN_FIGURES[1:5]}
    results["seam_jerk_ratio/real"] = figure([_seams(t.real.joints, t) / usual for t in tasks])
    baselines = [name for name in compared if name != "model"]
    return {"results": results, "clips": len(tasks), "baselines": baselines,
            "real_jerk_95th_percentile": round(usual, 5)}  # fmt: skip


# The seeds of one clip are no samples of their own: intervals are over clips.
def _over_clips(rows: list[list[float]]) -> dict[str, Any]:
    return figure([float(np.mean(r)) for r in rows])


# `BETWEEN_FIGURES` of the middle of (T, 22, 3) joints, with the frames that third differences reach.
def _between(joints: np.ndarray, task: SeamTask, usual: float, notes: tuple[str, ...]) -> dict[str, float]:
    # Third differences at the seam reach three frames into what was kept.
    around = slice(max(0, task.first - 3), task.last + 3)
    middle, true = joints[task.first : task.last], task.real.joints[task.first : task.last]
    steps = np.linalg.norm(np.diff(joints[around][:, measures.TOES], axis=0), axis=-1)
    # Row i of an acceleration is of frame i + 1; the last one here is of the first frame behind the middle.
    own = float(np.percentile(measures.acceleration(task.real.joints, 20.0), 99))
    seam = measures.acceleration(joints, 20.0)[max(0, task.last - 1 - SEAM_FRAMES) : task.last].max()
    return {
        "joint_error": float(np.linalg.norm(middle - true, axis=-1).mean()),
        "pops": float(measures.jerk(joints[around], 20.0).max() > POP * usual),
        "seam_pops": float(seam > SEAM_POP * max(own, MIN_ACCELERATION)), "largest_step": float(steps.max()),
        "skate": measures.foot_skate(joints[around], 20.0), "noted": float(bool(notes)),
    }  # fmt: skip


# The largest `seam_jerk` at any seam of the task.
def _seams(joints: np.ndarray, task: SeamTask) -> float:
    return max(measures.seam_jerk(joints, 20.0, s) for s in (task.first, task.last) if s < len(task.real.joints))


WINDOW = 60  # frames at 20 fps
INTERPOLATED = 12  # frames of the interpolation baseline
STEPS = 6  # actions of a scene composed of captions
# Activities of a scene, each a list of steps.
Scene = list[list[str]]
# Captions of recordings and how many frames (20 per second) these have.
CaptionedLengths = Sequence[tuple[str, int]]


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a body corpus with the planning corpus beside it."""
    clips = corpus.load_clips(run.data, str(run.suite.options.get("split", "val")))
    joints = [c.load().joints for c in clips]
    captions = [(c.captions[0], len(j)) for c, j in zip(clips, joints, strict=True) if c.captions]
    scenes = [[list(a.steps) for a in row.activities] for row in validation_plans(run.data)]
    return score(run.suite, joints, scenes, run.model, captions, run.cache)


def seam_windows(joints: np.ndarray, centres: Sequence[float], size: int = WINDOW) -> list[np.ndarray]:
    """Stretches (size, 22, 3) of (T, 22, 3) joints about each centre (frame), those that lie within the motion."""
    starts = [round(c - size / 2) for c in centres]
    return [joints[s : s + size] for s in starts if 0 <= s <= len(joints) - size]


def mean_jerk(clips: Sequence[np.ndarray], fps: float = 20.0) -> float:
    """Mean `jerk` over all frames of clips (T, 22, 3), T >= 4 (shorter ones are left out)."""
    return float(np.concatenate([measures.jerk(c, fps) for c in clips if len(c) >= 4]).mean())


def seam_figures(cut: Sequence[np.ndarray], real: float, fps: float = 20.0) -> dict[str, float]:
    """All figures of one way to make transitions.

    Args:
        cut: windows of equal length (W, 22, 3), the transition in the middle.
        real: mean jerk of real motion.
        fps: frames per second.

    Returns:
        ``peak_jerk`` PJ; ``area_under_jerk`` AUJ; ``area_above``, ``area_below``: its two parts, rougher and smoother
        than real motion; ``mean_jerk``; ``foot_skate`` (share of frames, see `measures.foot_skate`) and
        ``contact_slide`` (mm per frame), means over windows.
    """
    profile = np.mean([measures.jerk(w, fps) for w in cut], axis=0)
    peak, area = measures.transition_jerk(list(cut), fps, real)
    return {
        "peak_jerk": peak, "area_under_jerk": area,
        "area_above": float(np.maximum(profile - real, 0).sum()),
        "area_below": float(np.maximum(real - profile, 0).sum()), "mean_jerk": float(profile.mean()),
        "foot_skate": float(np.mean([measures.foot_skate(w, fps) for w in cut])),
        "contact_slide": float(np.mean([measures.contact_slide(w, fps) for w in cut])),
    }  # fmt: skip


def run_closed_loop(
    model: AvatarGPT, scene: Scene, seed: int, best_of: int, frames: Sequence[int] = ()
) -> tuple[Motion, list[ClauseCodes]]:
    """A scene's steps as motion of the closed loop: the motion, and its parts clause by clause.

    Args:
        frames: of every activity; then each is one caption, used unchanged. Default: steps are reworded as usual and
            last as long as such motion usually does.
    """
    from avatargpt.long.loop import Director, Loop
    from avatargpt.long.pipeline import MAX_TOKENS, MIN_TOKENS, StepClause, StepPipeline
    from avatargpt.long.stream import MotionStream

    performed: list[ClauseCodes] = []
    lengths = iter(frames)
    per = model.tokenizers["body"].downsample

    class Recorder(StepPipeline):
        def clauses(
            self, steps: Sequence[str], seed: int, room: int, seconds: Sequence[float] = ()
        ) -> Iterable[StepClause]:
            if not frames:
                return super().clauses(steps, seed, room, seconds)
            tokens = min(max(round(next(lengths) / per), MIN_TOKENS), MAX_TOKENS)
            return [StepClause(0, " ".join(steps), tokens, mix(seed, 0))]

        def choose(
            self, clause: StepClause, candidates: Sequence[Candidate], tail: np.ndarray,
            detour: Callable[[np.ndarray], float],
        ) -> ClauseCodes:
            performed.append(super().choose(clause, candidates, tail, detour))
            return performed[-1]

        # Descriptions choose no candidate here, so they are not computed.
        def describe(self, codes: np.ndarray) -> str:
            return ""

    pipeline: StepPipeline = Recorder(model.body, GenerationConfig(best_of=best_of))
    activities = [Activity(" ".join(steps), tuple(steps)) for steps in scene]
    director = Director(_NoPlanner(), "a scene", seed, activities, phrase_index=None if frames else model.phrase_index)
    loop = Loop(director, pipeline, MotionStream(model.tokenizers["body"]), seed)
    parts = [c.motion for c in loop.act_out(len(activities))]
    return concatenate(parts), performed


class _NoPlanner:
    """A planner that is never called, as the plan is given."""

    name = "none"

    def next_activity(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("the plan is over")

    plan = answer = next_activity


def chain_clips(model: AvatarGPT, performed: Sequence[ClauseCodes], frames: int) -> tuple[Motion, list[float]]:
    """The same clips decoded one by one and put one after the other, with `frames` interpolated between (0 = none).

    Returns:
        The motion and the middles of its seams.
    """
    from avatargpt.body import stitch

    tokenizer = model.tokenizers["body"]
    clips = [tokenizer.decode(m.codes[m.transition :]) for m in performed]
    parts, centres, at = [clips[0]], [], len(clips[0])
    for clip in clips[1:]:
        last = parts[-1]
        # Placed at the end of the last clip, so that only the pose jumps.
        clip = stitch.place(clip, 0, last, len(last) - 1)
        if frames:
            parts.append(interpolate(last, clip, frames))
        centres.append(at + frames / 2)
        parts.append(clip)
        at += frames + len(clip)
    return concatenate(parts), centres


def caption_scenes(captions: CaptionedLengths, transitions: int, seed: int) -> list[CaptionedLengths]:
    """Scenes of `STEPS` captions each, those of real clips in random order: all of them before one comes again."""
    rng = np.random.default_rng(seed)
    count = -(-transitions // (STEPS - 1))
    rounds = -(-count * STEPS // len(captions))
    # Every caption comes once before any comes twice.
    order = np.concatenate([rng.permutation(len(captions)) for _ in range(rounds)])[: count * STEPS]
    return [[captions[i] for i in group] for group in order.reshape(count, STEPS)]


def score(
    suite: Suite, clips: Sequence[np.ndarray], plans: Sequence[Scene], model: AvatarGPT,
    captions: CaptionedLengths = (), cache: RunCache = NO_CACHE,
) -> dict[str, Any]:
    """All figures; names are ``figure`` for the loop and ``figure/other`` for the others.

    Args:
        suite: of kind ``seams``; options ``transitions``, ``best_of``, ``told``.
        clips: joints (T, 22, 3) of real clips at 20 fps.
        plans: scenes whose steps are performed, in random order until there are enough transitions.
        captions: of the real clips. ``told`` transitions between these actions are measured as well (``/same
            actions``), for plans ask for quieter things than recordings show.
    """
    count, best_of = int(suite.options["transitions"]), int(suite.options["best_of"])
    per = model.tokenizers["body"].downsample
    cut: dict[str, list[np.ndarray]] = {"": [], "/concatenation": [], "/interpolation": []}

    def in_scene(number: int, scene: Scene) -> dict[str, list[np.ndarray]]:
        motion, performed = run_closed_loop(model, scene, mix(suite.seeds[0], number), best_of)
        windows = {"": seam_windows(motion.joints, _centres(performed, per))}
        for name, frames in (("/concatenation", 0), ("/interpolation", INTERPOLATED)):
            chain, middles = chain_clips(model, performed, frames)
            windows[name] = seam_windows(chain.joints, middles)
        return windows

    scene_of = cache.wrap("scene", in_scene)
    for number in np.random.default_rng(suite.seeds[0]).permutation(len(plans)).tolist():
        for name, windows in scene_of(number, plans[number]).items():
            cut[name] += windows
        if min(map(len, cut.values())) >= count:
            break
    cut = {k: v[:count] for k, v in cut.items()}
    if captions and (caption_count := int(suite.options.get("told", 0))):
        def embed_captions(number: int, row: CaptionedLengths) -> list[np.ndarray]:
            steps, lengths = [[caption] for caption, _ in row], [length for _, length in row]
            motion, performed = run_closed_loop(model, steps, mix(suite.seeds[0], 10_000 + number), best_of, lengths)
            return seam_windows(motion.joints, _centres(performed, per))

        captioned_of = cache.wrap("captioned", embed_captions)
        rows = enumerate(caption_scenes(captions, caption_count, suite.seeds[0]))
        same = [window for number, row in rows for window in captioned_of(number, row)]
        cut["/same actions"] = same[:caption_count]
    usual = mean_jerk(clips)
    long_enough, rng = [c for c in clips if len(c) >= WINDOW], np.random.default_rng(suite.seeds[0])
    if not long_enough:
        raise UserError(f"no real clip of {WINDOW} frames")
    cut["/real"] = []
    for _ in range(count):
        clip = long_enough[int(rng.integers(len(long_enough)))]
        start = int(rng.integers(len(clip) - WINDOW + 1))
        cut["/real"].append(clip[start : start + WINDOW])
    counts = {k.lstrip("/") or "loop": len(v) for k, v in cut.items()}
    return {"results": figures_of(cut, usual), "transitions": counts, "real_mean_jerk": round(usual, 5)}


def figures_of(cut: Mapping[str, Sequence[np.ndarray]], usual: float) -> dict[str, Any]:
    """Figures of every way to make transitions.

    Args:
        cut: "" (the closed loop), ``/real`` and others -> windows (60, 22, 3) with the transition in the middle.
        usual: mean jerk of real motion.
    """
    figures = {k: seam_figures(v, usual) for k, v in cut.items()}
    results = {f"{name}{k}": plain(f[name]) for name in figures[""] for k, f in figures.items()}
    results["peak_jerk_ratio"] = plain(figures[""]["peak_jerk"] / figures["/real"]["peak_jerk"])
    results["foot_skate_excess"] = plain(figures[""]["foot_skate"] - figures["/real"]["foot_skate"])
    return results


def _centres(performed: Sequence[ClauseCodes], per: int) -> list[float]:
    """Middles of the loop's transitions in frames, `per` to a token."""
    ends = np.cumsum([len(m.codes) for m in performed])
    return [float(e + m.transition / 2) * per for e, m in zip(ends[:-1], performed[1:], strict=True)]

