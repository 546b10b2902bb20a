"""How deep bodies sink in ten minutes of `long`, with and without the ground-penetration correction.

Every scene is made once; its codes then pass through the stream with the correction and without. A pop is a frame
with more jerk than three times the recordings' 95th percentile (`avatargpt.body.edit.roughness`).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

SCENES: tuple[tuple[str, float | None], ...] = (
    ("a tired gardener finishes the day's work", 10.0),
    ("a child plays in the park and falls asleep on the grass", None),
    ("a dancer warms up, stretches on the floor and practises jumps", None),
    ("a goalkeeper trains dives and falls", None),
)
"""Scenes with the radius (metres) they stay within; the seed is the number in the row."""
PERCENTILES = (50, 95, 99, 99.9, 100)


def measure(model: Any, scene: str, radius: float | None, seed: int, seconds: float) -> dict[str, Any]:
    """Figures of one scene: {"before": ..., "after": ..., "raised": share of frames, "new_pops": frames}."""
    from avatargpt import planning
    from avatargpt.body.edit import MAX_JERK
    from avatargpt.kinematics.measures import jerk
    from avatargpt.long.loop import Director, Loop, manner_of
    from avatargpt.long.pipeline import StepPipeline
    from avatargpt.long.stream import MotionStream
    from avatargpt.options import GenerationConfig
    from vqvae.ground import SUNK
    from vqvae.motion import concatenate

    codes: list[np.ndarray] = []

    class Kept(MotionStream):
        def push(self, part: np.ndarray) -> Any:
            codes.append(part)
            return super().push(part)

    tokenizer, body = model.tokenizers["body"], model.body
    phrases, planner = body.model.phrase_index, planning.load_planner(None, body.model)
    director = Director(planner, scene, seed, (), manner_of(scene, phrases), phrases)
    pipeline = StepPipeline(body, GenerationConfig(best_of=4))  # as `long` does
    run = Loop(director, pipeline, Kept(tokenizer, radius), seed, radius)
    frames = sum(len(c.motion) for c in run.chunks(seconds))
    motions, jerks = {}, {}
    out: dict[str, Any] = {"scene": scene, "seed": seed}
    for name, lift in (("before", False), ("after", True)):
        stream = MotionStream(tokenizer, radius, lift=lift)
        parts = [*(stream.push(c) for c in codes), stream.finish()]
        motion = concatenate([p.motion(20.0) for p in parts if len(p)]).slice(0, frames)
        motions[name], jerks[name] = motion, jerk(motion.joints, 20.0)
        low = motion.joints[..., 1].min(1)
        out[name] = {
            "lowest_m": round(float(low.min()), 4), "below_3_cm": round(float((low < -SUNK).mean()), 5),
            "jerk": [round(float(np.percentile(jerks[name], q)), 3) for q in PERCENTILES],
        }  # fmt: skip
    out["raised"] = round(float((np.abs(motions["after"].root - motions["before"].root)[:, 1] > 1e-6).mean()), 4)
    out["new_pops"] = int(((jerks["after"] > MAX_JERK) & (jerks["before"] <= MAX_JERK)).sum())
    return out


def run(seconds: float = 600.0, model: str | None = None, threads: int | None = None) -> Iterator[dict[str, Any]]:
    """Figures of one scene after the other."""
    from avatargpt import AvatarGPT

    loaded = AvatarGPT.from_pretrained(model, threads=threads)
    for seed, (scene, radius) in enumerate(SCENES):
        yield measure(loaded, scene, radius, seed, seconds)
