"""Clips that go on from a pose: arms that act while the body sits or kneels, and poses that are held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from instruct_data.attributes import Measures
from instruct_data.clip import Clip
from instruct_data.factory.mixture import balance_weights, clip_class
from instruct_data.factory.synth import phrases
from instruct_data.factory.text.captions import CaptionBank
from instruct_data.joining import join_motions
from instruct_data.resting import ARMS_ACT, HEAD_ACTS, at_rest, hold_pose, rests
from vqvae.motion import Motion, concatenate

HELD = "hold_still"  # the family whose words say that a pose is held
HELD_TEXTS = (
    "a person stays like that", "the person holds the pose", "someone holds still", "a person does not move",
    "the person remains in this position", "a person keeps still", "somebody freezes", "a person pauses", "stay there",
    "hold that pose", "freeze", "the person rests without moving",
)  # fmt: skip
STILL_END = 0.2  # seconds of a clip's end from which on it can be held
HELD_FRAMES = (24, 160)


def make_resting_clips(
    clips: Sequence[Clip], bank: CaptionBank, count: int, seed: int, longest: int, licence: str
) -> Iterator[Clip]:
    """Clips in two parts: one that ends at rest, and what follows from its last pose; half of the latter hold it.

    Args:
        longest: frames of a clip.
    """
    if not count:
        return
    rng = np.random.default_rng([seed, 11])
    still = [c for c in clips if c.captions and c.extra["figures"]["rest"] >= STILL_END]
    seated = [c for c in still if rests(c.load())]
    acting = [c for c in clips if c.captions and phrases.sure_class(c) in ARMS_ACT | HEAD_ACTS]
    groups = still, seated, acting
    weights = [balance_weights([clip_class(c) for c in g], 0.8) if g else None for g in groups]
    number = 0
    for _ in range(20 * count):
        if number == count or not still:
            return
        holds = rng.random() < 0.5 or not seated or not acting
        group, p = (still, weights[0]) if holds else (seated, weights[1])
        first = group[int(rng.choice(len(group), p=p))]
        before = first.load()
        if holds:
            frames = int(rng.integers(*HELD_FRAMES))
            after: Motion | None = hold_pose(before, frames, rng)
            texts, action, source = list(rng.permutation(HELD_TEXTS)[:4]), HELD, HELD
        else:
            second = acting[int(rng.choice(len(acting), p=weights[2]))]
            after = at_rest(before, second.load(), rng)
            texts, action, source = second.captions, clip_class(second), second.id
        if after is None or len(before) + len(after) > longest:
            continue
        motion = join_motions(before, after) if holds else concatenate([before, after])
        clause: dict[str, Any] = {
            "captions": [str(t) for t in texts], "action": action,
            "figures": Measures.of(motion.slice(len(before), len(motion))).figures(),
        }  # fmt: skip
        prompts = [bank.compose([str(rng.choice(first.captions)), str(rng.choice(texts))], rng) for _ in range(4)]
        yield Clip(
            f"rest_{number:05d}", replace(motion.canonical(), caption=prompts[0]), prompts[:1], "composed", licence,
            "train", f"{clip_class(first)}+{action}", "",
            {"prompts": prompts, "parts": [first.id, source], "mirrored": [False, False], "seams": [len(before)],
             "clauses": [None, clause]},
        )  # fmt: skip
        number += 1
