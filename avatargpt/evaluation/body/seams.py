"""The seams suite: transitions of the closed loop beside those of simpler ways to chain clips, and real motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import plain
from avatargpt.evaluation.suites import Suite
from avatargpt.evaluation.text.planning import corpus
from avatargpt.metrics import baselines, seams
from avatargpt.options import GenerationConfig, mix
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate

if TYPE_CHECKING:
    from avatargpt.api import AvatarGPT
    from avatargpt.long.performer import Candidate, Made, Performer

INTERPOLATED = 12  # frames of the interpolation baseline
STEPS = 6  # actions of a scene made of captions
Scene = list[list[str]]
"""Activities of a scene, each a list of steps."""
Told = Sequence[tuple[str, int]]
"""Captions of recordings and how many frames (20 per second) these have."""


def scenes(data: Path | None) -> list[Scene]:
    """The validation scenes of the planning corpus.

    Raises:
        UserError: not given, not found or damaged.
    """
    return [[list(a.steps) for a in row.activities] for row in corpus(data)]


def acted(
    model: AvatarGPT, scene: Scene, seed: int, best_of: int, frames: Sequence[int] = ()
) -> tuple[Motion, list[Made]]:
    """A scene's steps acted out by the closed loop: the motion and what it is made of, beat by beat.

    Args:
        frames: of every activity; then each is one caption that is taken as it stands. Default: steps are worded as
            always and last as long as such motion usually does.
    """
    from avatargpt.long.director import Director
    from avatargpt.long.loop import Loop
    from avatargpt.long.performer import LONGEST, SHORTEST, Beat, Performer
    from avatargpt.long.stream import MotionStream
    from avatargpt.planning.types import Activity

    made: list[Made] = []
    lengths = iter(frames)
    per = model.tokenizers["body"].downsample

    class Recorder(Performer):
        def beats(
            self, steps: Sequence[str], seed: int, room: int, seconds: Sequence[float] = ()
        ) -> Iterable[Beat]:
            if not frames:
                return super().beats(steps, seed, room, seconds)
            tokens = min(max(round(next(lengths) / per), SHORTEST), LONGEST)
            return [Beat(0, " ".join(steps), tokens, mix(seed, 0))]

        def choose(
            self, beat: Beat, found: Sequence[Candidate], tail: np.ndarray, detour: Callable[[np.ndarray], float]
        ) -> Made:
            made.append(super().choose(beat, found, tail, detour))
            return made[-1]

        def describe(self, codes: np.ndarray) -> str:
            return ""

    performer: Performer = Recorder(model.body, GenerationConfig(best_of=best_of))
    activities = [Activity(" ".join(steps), tuple(steps)) for steps in scene]
    director = Director(_Silent(), "a scene", seed, activities, phrase_index=None if frames else model.phrase_index)
    loop = Loop(director, performer, MotionStream(model.tokenizers["body"]), seed)
    parts = [c.motion for c in loop.acted(len(activities))]
    return concatenate(parts), made


class _Silent:
    """The plan is given: nobody is asked."""

    name = "none"

    def next_activity(self, *args: Any, **more: Any) -> Any:
        raise RuntimeError("the plan is over")

    plan = answer = next_activity


def chained(model: AvatarGPT, made: Sequence[Made], frames: int) -> tuple[Motion, list[float]]:
    """The same clips decoded one by one and put one after the other, with `frames` interpolated between (0 = none).

    Returns:
        The motion and the middles of its seams.
    """
    from avatargpt.body import stitch

    tokenizer = model.tokenizers["body"]
    clips = [tokenizer.decode(m.codes[m.transition :]) for m in made]
    parts, centres, at = [clips[0]], [], len(clips[0])
    for clip in clips[1:]:
        last = parts[-1]
        clip = stitch.place(clip, 0, last, len(last) - 1)
        if frames:
            parts.append(baselines.interpolate(last, clip, frames))
        centres.append(at + frames / 2)
        parts.append(clip)
        at += frames + len(clip)
    return concatenate(parts), centres


def real_windows(clips: Sequence[np.ndarray], count: int, seed: int) -> list[np.ndarray]:
    """`count` random windows of real clips (T, 22, 3)."""
    long_enough = [c for c in clips if len(c) >= seams.WINDOW]
    if not long_enough:
        raise UserError(f"no real clip of {seams.WINDOW} frames")
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        clip = long_enough[int(rng.integers(len(long_enough)))]
        start = int(rng.integers(len(clip) - seams.WINDOW + 1))
        out.append(clip[start : start + seams.WINDOW])
    return out


def told_scenes(captions: Told, transitions: int, seed: int) -> list[Told]:
    """Scenes of `STEPS` captions each, those of real clips in random order: all of them before one comes again."""
    rng = np.random.default_rng(seed)
    count = -(-transitions // (STEPS - 1))
    rounds = -(-count * STEPS // len(captions))
    order = np.concatenate([rng.permutation(len(captions)) for _ in range(rounds)])[: count * STEPS]
    return [[captions[i] for i in some] for some in order.reshape(count, STEPS)]


def score(
    suite: Suite, clips: Sequence[np.ndarray], plans: Sequence[Scene], model: AvatarGPT, captions: Told = (),
    parts: Parts = UNKEPT,
) -> dict[str, Any]:
    """All figures; names are ``figure`` for the loop and ``figure/other`` for the others.

    Args:
        suite: of kind ``seams``; options ``transitions``, ``best_of``, ``told``.
        clips: joints (T, 22, 3) of real clips at 20 fps.
        plans: scenes whose steps are acted out, in random order until there are enough transitions.
        captions: of the real clips. ``told`` transitions between these actions are measured as well (``/same
            actions``), for plans ask for quieter things than recordings show.
    """
    wanted, best_of = int(suite.options["transitions"]), int(suite.options["best_of"])
    per = model.tokenizers["body"].downsample
    cut: dict[str, list[np.ndarray]] = {"": [], "/concatenation": [], "/interpolation": []}

    def in_scene(number: int, scene: Scene) -> dict[str, list[np.ndarray]]:
        motion, made = acted(model, scene, mix(suite.seeds[0], number), best_of)
        found = {"": seams.windows(motion.joints, _centres(made, per))}
        for name, frames in (("/concatenation", 0), ("/interpolation", INTERPOLATED)):
            chain, middles = chained(model, made, frames)
            found[name] = seams.windows(chain.joints, middles)
        return found

    scene_of = parts.remembering("scene", in_scene)
    for number, scene in _order(plans, suite.seeds[0]):
        for name, windows in scene_of(number, scene).items():
            cut[name] += windows
        if min(map(len, cut.values())) >= wanted:
            break
    cut = {k: v[:wanted] for k, v in cut.items()}
    if captions and (told := int(suite.options.get("told", 0))):
        def captioned(number: int, row: Told) -> list[np.ndarray]:
            steps, lengths = [[caption] for caption, _ in row], [length for _, length in row]
            motion, made = acted(model, steps, mix(suite.seeds[0], 10_000 + number), best_of, lengths)
            return seams.windows(motion.joints, _centres(made, per))

        captioned_of = parts.remembering("captioned", captioned)
        rows = enumerate(told_scenes(captions, told, suite.seeds[0]))
        same = [window for number, row in rows for window in captioned_of(number, row)]
        cut["/same actions"] = same[:told]
    usual = seams.mean_jerk(clips)
    cut["/real"] = real_windows(clips, wanted, suite.seeds[0])
    counts = {k.lstrip("/") or "loop": len(v) for k, v in cut.items()}
    return {"results": judged(cut, usual), "transitions": counts, "real_mean_jerk": round(usual, 5)}


def judged(cut: Mapping[str, Sequence[np.ndarray]], usual: float) -> dict[str, Any]:
    """Figures of every way to make transitions.

    Args:
        cut: "" (what is under test), ``/real`` and others -> windows (60, 22, 3) with the transition in the middle.
        usual: mean jerk of real motion.
    """
    figures = {k: seams.seam_figures(v, usual) for k, v in cut.items()}
    results = {f"{name}{k}": plain(f[name]) for name in figures[""] for k, f in figures.items()}
    results["peak_jerk_ratio"] = plain(figures[""]["peak_jerk"] / figures["/real"]["peak_jerk"])
    results["foot_skate_excess"] = plain(figures[""]["foot_skate"] - figures["/real"]["foot_skate"])
    return results


def _centres(made: Sequence[Made], per: int) -> list[float]:
    """Middles of the loop's transitions in frames, `per` to a token."""
    ends = np.cumsum([len(m.codes) for m in made])
    return [float(e + m.transition / 2) * per for e, m in zip(ends[:-1], made[1:], strict=True)]


def _order(plans: Sequence[Scene], seed: int) -> Iterator[tuple[int, Scene]]:
    for i in np.random.default_rng(seed).permutation(len(plans)):
        yield int(i), plans[int(i)]
