"""The suite `tokenizer`: clips through the codes and back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation import corpus, suites
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.kinematics.joints import Signals
from avatargpt.kinematics.measures import drift, foot_skate, heading_frame, mpjpe_heading, peak_speeds, start_aligned
from avatargpt.metrics.geometry import predicates
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.io.files import atomic_write
from vqvae.motion import Motion, concatenate

TAIL = 60  # frames
Reconstruct = Callable[[Motion], Motion]


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's tokenizer of bodies; the chart lies beside the result."""
    options, tokenizer = run.suite.options, run.model.tokenizers["body"]
    coder = run.cache.wrap_model(run.model, "reconstruct")
    return score(
        run.suite, corpus.load_clips(run.data, str(options.get("split", "val"))),
        lambda motion: coder.reconstruct(motion)[0], run.cache.wrap("codes", tokenizer.encode),
        int(tokenizer.codebooks.shape[1]), None if run.out is None else Path(run.out).with_suffix(".png"),
        list(corpus.make_keyframed_clips(int(options.get("keyframed", 0)))),
    )  # fmt: skip


def join(motions: list[Motion]) -> Motion:
    """Clips one after another, cut where they fit best and blended."""
    from instruct_data.joining import join_best

    out = motions[0]
    for motion in motions[1:]:
        # Only the tail takes part in the search, so that joining stays linear in the total length.
        keep = max(0, len(out) - TAIL)
        tail, _ = join_best(out.slice(keep, len(out)), motion)
        out = concatenate([out.slice(0, keep), tail]) if keep else tail
    return out


def long_clips(clips: list[Clip], count: int, seconds: float, seed: int = 0) -> list[Motion]:
    """`count` joined clips of exactly `seconds`, drawn from `clips` in random orders."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * 20)
    out = []
    for _ in range(count):
        order = rng.permutation(len(clips)).tolist()
        motion = clips[order.pop()].load()
        while len(motion) < frames:  # joining cuts, so the number of clips is not known beforehand
            order = order or rng.permutation(len(clips)).tolist()
            motion = join([motion, clips[order.pop()].load()])
        out.append(motion.slice(0, frames))
    return out


def score(
    suite: Suite, clips: list[Clip], reconstruct: Reconstruct, codes: Callable[[Motion], np.ndarray] | None = None,
    codebook_size: int = 0, chart: Path | None = None, keyframed: Sequence[Clip] = (),
) -> dict[str, Any]:
    """All figures of the tokenizer suite.

    Args:
        reconstruct: Motion -> the same motion through the codes.
        codes: Motion -> (N, R) integer codes; without it code usage is left out.
        codebook_size: K, for code usage.
        chart: where to draw the error over clip length (.png), or None.
        keyframed: held-out keyframed clips: their error, and code usage over all held-out clips together.
    """
    options = suite.options
    natural = suites.load("predicates").classes  # none needs a neutral reference
    error, skate, skate_real, ratios, checks_kept = (list[float]() for _ in range(5))
    rare, used = list[bool](), list[np.ndarray]()
    for clip in clips:
        real = clip.load().canonical()
        rebuilt = reconstruct(real)
        if len(rebuilt) != len(real):
            raise UserError(f"reconstruct gave {len(rebuilt)} frames for {len(real)}")
        rebuilt = rebuilt.canonical()
        error.append(mpjpe_heading(rebuilt.joints, real.joints))
        rare.append(not clip.source.startswith("bandai"))  # those takes make up most of the corpus
        skate.append(foot_skate(rebuilt.joints, rebuilt.fps))
        skate_real.append(foot_skate(real.joints, real.fps))
        fast, slow = peak_speeds(rebuilt.joints, rebuilt.fps), peak_speeds(real.joints, real.fps)
        # Only limbs that move count: the ratio of two nearly resting hands says nothing.
        ratios += [float(fast[k] / v) for k, v in slow.items() if v > 1.0]
        source, result = Signals(real), Signals(rebuilt)
        checks_kept += [float(predicates.judge(c["check"], result).passed) for c in natural
                        if predicates.judge(c["check"], source).passed]  # fmt: skip
        if codes is not None:
            used.append(np.asarray(codes(real)))
    errors, mask = np.array(error), np.array(rare)
    results = {
        "mpjpe_heading": figure(errors),
        "mpjpe_heading/rare": figure(errors[mask]),
        "mpjpe_heading/common": figure(errors[~mask]),
        "foot_skate_ratio": plain(float(np.mean(skate)) / max(float(np.mean(skate_real)), 1e-9)),
        "peak_speed_ratio": figure(ratios),
        "checks_kept": figure(checks_kept),
    }
    if used and codebook_size:
        together = np.concatenate(used)
        for level in range(together.shape[1]):
            share = len(np.unique(together[:, level])) / codebook_size
            results["code_usage" if level == 0 else f"code_usage/level {level}"] = plain(share)
    if keyframed:
        synthetic = [clip.load().canonical() for clip in keyframed]
        results["mpjpe_heading/keyframed"] = figure(
            [mpjpe_heading(reconstruct(motion).canonical().joints, motion.joints) for motion in synthetic]
        )
        if codes is not None and codebook_size:
            first = np.concatenate([*(u[:, 0] for u in used), *(np.asarray(codes(m))[:, 0] for m in synthetic)])
            results["code_usage/with keyframed clips"] = plain(len(np.unique(first)) / codebook_size)
    length = float(options["drift_seconds"])
    drifting = long_clips(clips, 4 * int(options["long_clips"]), length + 0.5, seed=1)
    results["drift"] = figure([drift(reconstruct(m).joints, m.joints, 20.0, length) for m in drifting])
    curves = _curves(long_clips(clips, int(options["long_clips"]), float(options["long_seconds"])), reconstruct)
    seconds = curves.pop("seconds")
    results["long_mpjpe_heading/first minute"] = figure(curves["pose_mm"][:, seconds <= 60].mean(1))
    results["long_mpjpe_heading/last minute"] = figure(curves["pose_mm"][:, seconds > seconds[-1] - 60].mean(1))
    if chart is not None:
        _draw(chart, seconds, curves)
    series = {k: [round(float(x), 2) for x in v.mean(0)] for k, v in curves.items()}
    return {"results": results, "clips": len(clips), "over_length": {"seconds": seconds.tolist(), **series}}


# Pose error (heading frame) and distance of the root path over time, binned; (clips, bins), mm.
def _curves(long: list[Motion], reconstruct: Reconstruct, bin_seconds: float = 5.0) -> dict[str, np.ndarray]:
    pose, path = [], []
    for motion in long:
        rebuilt = reconstruct(motion)
        a, b = heading_frame(rebuilt.joints), heading_frame(motion.joints)
        per_frame = 1000 * np.linalg.norm(a - b, axis=-1).mean(1)
        gap = (start_aligned(rebuilt.joints) - start_aligned(motion.joints))[:, 0, [0, 2]]
        width = round(bin_seconds * motion.fps)
        bins = len(per_frame) // width
        pose.append(per_frame[: bins * width].reshape(bins, width).mean(1))
        path.append(1000 * np.linalg.norm(gap, axis=-1)[: bins * width].reshape(bins, width).mean(1))
    seconds = (np.arange(len(pose[0])) + 1) * bin_seconds
    return {"seconds": seconds, "pose_mm": np.array(pose), "root_mm": np.array(path)}


def _draw(path: Path, seconds: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(picture)
    top, bottom = picture.subplots(2, 1, sharex=True)
    for axis, key, label in ((top, "pose_mm", "pose error, mm"), (bottom, "root_mm", "root off its path, mm")):
        axis.plot(seconds, curves[key].T, color="0.75", lw=0.8)
        axis.plot(seconds, curves[key].mean(0), color="tab:blue", lw=2)
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    bottom.set_xlabel("seconds from the start of the clip")
    top.set_title("Reconstruction over clip length (grey: single clips, blue: mean)")
    atomic_write(path, lambda p: picture.savefig(p, dpi=110, metadata={"Software": None}))
