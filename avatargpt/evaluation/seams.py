"""The suite `seams`: jerk around the transitions of long motion, after FlowMDM (Barquero et al. 2024).

Transitions of the closed loop stand beside those of simpler ways to chain clips, and real motion. The jerk of a frame
is the third difference of the joints, L1 over xyz, largest joint, at 20 fps and not divided by time
(`avatargpt.kinematics.measures.jerk`). Its mean over many transitions, frame by frame of a window of 60 frames, is the
profile; PJ is the profile's maximum, AUJ the sum over frames of its distance to the mean jerk of real motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.evaluation import corpus, transitions
from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.plans import validation_plans
from avatargpt.evaluation.report import plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.kinematics.measures import contact_slide, foot_skate, jerk, transition_jerk
from avatargpt.options import GenerationConfig, mix
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT
    from avatargpt.long.pipeline import Candidate, ClauseCodes, StepClause, StepPipeline

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
    return score(run.suite, joints, scenes(run.data), run.model, captions, run.cache)


def seam_windows(joints: np.ndarray, centres: Sequence[float], size: int = WINDOW) -> list[np.ndarray]:
    """Stretches (size, 22, 3) of (T, 22, 3) joints about each centre (frame), those that lie within the motion."""
    starts = [round(c - size / 2) for c in centres]
    return [joints[s : s + size] for s in starts if 0 <= s <= len(joints) - size]


def mean_jerk(clips: Sequence[np.ndarray], fps: float = 20.0) -> float:
    """Mean `jerk` over all frames of clips (T, 22, 3), T >= 4 (shorter ones are left out)."""
    return float(np.concatenate([jerk(c, fps) for c in clips if len(c) >= 4]).mean())


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
    profile = np.mean([jerk(w, fps) for w in cut], axis=0)
    peak, area = transition_jerk(list(cut), fps, real)
    return {
        "peak_jerk": peak, "area_under_jerk": area,
        "area_above": float(np.maximum(profile - real, 0).sum()),
        "area_below": float(np.maximum(real - profile, 0).sum()), "mean_jerk": float(profile.mean()),
        "foot_skate": float(np.mean([foot_skate(w, fps) for w in cut])),
        "contact_slide": float(np.mean([contact_slide(w, fps) for w in cut])),
    }  # fmt: skip


def scenes(data: Path | None) -> list[Scene]:
    """The validation scenes of the planning corpus."""
    return [[list(a.steps) for a in row.activities] for row in validation_plans(data)]


def closed_loop(
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
    from avatargpt.planning.types import Activity

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
    parts = [c.motion for c in loop.acted(len(activities))]
    return concatenate(parts), performed


class _NoPlanner:
    """A planner that is never called, as the plan is given."""

    name = "none"

    def next_activity(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("the plan is over")

    plan = answer = next_activity


def chained(model: AvatarGPT, performed: Sequence[ClauseCodes], frames: int) -> tuple[Motion, list[float]]:
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
            parts.append(transitions.interpolate(last, clip, frames))
        centres.append(at + frames / 2)
        parts.append(clip)
        at += frames + len(clip)
    return concatenate(parts), centres


def real_windows(clips: Sequence[np.ndarray], count: int, seed: int) -> list[np.ndarray]:
    """`count` random windows of real clips (T, 22, 3)."""
    long_enough = [c for c in clips if len(c) >= WINDOW]
    if not long_enough:
        raise UserError(f"no real clip of {WINDOW} frames")
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        clip = long_enough[int(rng.integers(len(long_enough)))]
        start = int(rng.integers(len(clip) - WINDOW + 1))
        out.append(clip[start : start + WINDOW])
    return out


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
    captions: CaptionedLengths = (), cache: AnswerCache = NO_CACHE,
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
        motion, performed = closed_loop(model, scene, mix(suite.seeds[0], number), best_of)
        windows = {"": seam_windows(motion.joints, _centres(performed, per))}
        for name, frames in (("/concatenation", 0), ("/interpolation", INTERPOLATED)):
            chain, middles = chained(model, performed, frames)
            windows[name] = seam_windows(chain.joints, middles)
        return windows

    scene_of = cache.wrap("scene", in_scene)
    for number, scene in _order(plans, suite.seeds[0]):
        for name, windows in scene_of(number, scene).items():
            cut[name] += windows
        if min(map(len, cut.values())) >= count:
            break
    cut = {k: v[:count] for k, v in cut.items()}
    if captions and (caption_count := int(suite.options.get("told", 0))):
        def captioned(number: int, row: CaptionedLengths) -> list[np.ndarray]:
            steps, lengths = [[caption] for caption, _ in row], [length for _, length in row]
            motion, performed = closed_loop(model, steps, mix(suite.seeds[0], 10_000 + number), best_of, lengths)
            return seam_windows(motion.joints, _centres(performed, per))

        captioned_of = cache.wrap("captioned", captioned)
        rows = enumerate(caption_scenes(captions, caption_count, suite.seeds[0]))
        same = [window for number, row in rows for window in captioned_of(number, row)]
        cut["/same actions"] = same[:caption_count]
    usual = mean_jerk(clips)
    cut["/real"] = real_windows(clips, count, suite.seeds[0])
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


def _order(plans: Sequence[Scene], seed: int) -> Iterator[tuple[int, Scene]]:
    for i in np.random.default_rng(seed).permutation(len(plans)):
        yield int(i), plans[int(i)]
