"""Bodies that turn as far as was asked (`avatargpt.requests.turns` reads how far).

The network turns bodies, but does not count the degrees: what it draws for "turn around" ends anywhere between 100 and
450. So a rule cuts what turns further where it has come so far, and lets the network bring it to rest from there; of
all these the one that is nearest and fits the words best is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatargpt.lm.loaded import CONTEXT, LoadedModel
from avatargpt.options import mix
from avatargpt.requests.turns import Turn
from vqvae.motion import Motion

REST = "a person stands still"
RESTING = 6  # motion tokens in which a turn comes to rest
LEAD = 30.0  # degrees before the goal from which a turn may be cut, for a body goes on turning
BEYOND = 25.0  # degrees after it up to which it may
DRAWS = 4  # ways to come to rest that are drawn for each cut
SLACK = 5.0  # degrees that nobody sees
COST = 2.0  # what a turn that misses its goal by 90 degrees loses, beside the matcher's cosine
STILL, STIRRING = 0.8, 0.5  # seconds at the end, and what a fastest joint of 1 m/s there costs


def headings(model: LoadedModel, codes: np.ndarray) -> np.ndarray:
    """Degrees turned since the first frame, (T,), positive to the left, from codes (N, R)."""
    yaw = np.degrees(np.unwrap(model.tokenizer("body").decode(codes).heading))
    return np.asarray(yaw - yaw[0])


def miss(motion: Motion, turn: Turn) -> float:
    """What a motion loses for not turning as far as it should, and for what it does after that, in the scorer's
    cosine."""
    yaw = np.degrees(np.unwrap(motion.heading))
    tail = motion.joints[-round(STILL * motion.fps) - 1 :]
    moved = np.linalg.norm(np.diff(tail, axis=0), axis=-1).max(-1).mean() * motion.fps  # m/s, the fastest joint
    return COST * max(turn.missed(float(yaw[-1] - yaw[0])) - SLACK, 0.0) / 90 + STIRRING * float(moved)


def cuts(yaw: np.ndarray, turn: Turn, tokens: int) -> list[int]:
    """Numbers of tokens after which (T,) degrees are near the goal for the first time, at most two."""
    ends = yaw[np.minimum(np.arange(1, tokens + 1) * len(yaw) // tokens, len(yaw)) - 1]
    signed = {"left": ends, "right": -ends}.get(turn.side, ends * np.sign(ends[np.abs(ends).argmax()]))
    near = np.flatnonzero(signed >= turn.degrees - min(LEAD, turn.degrees / 2))
    if not len(near):
        return []
    some = [int(i) + 1 for i in (near[0], near[0] + 1) if i < tokens and signed[i] <= turn.degrees + BEYOND]
    return [n for n in some if 2 <= n < tokens]


def with_rests(
    model: LoadedModel, found: Sequence[list[np.ndarray]], turns: Sequence[Turn | None], tokens: Sequence[int],
    seeds: Sequence[int], guidance: float, temperature: float,
) -> list[list[np.ndarray]]:  # fmt: skip
    """Every prompt's candidates; of prompts that ask for a turn also those that turn as far or further once more: cut
    there and brought to rest.

    Args:
        found: codes (N, R) for each prompt. tokens: their length, -1 = as it comes.
    """
    every = zip(found, turns, tokens, seeds, strict=True)
    return [s if t is None else _rested(model, s, t, n, seed, guidance, temperature) for s, t, n, seed in every]


def _rested(
    model: LoadedModel, found: Sequence[np.ndarray], turn: Turn, tokens: int, seed: int, guidance: float,
    temperature: float,
) -> list[np.ndarray]:  # fmt: skip
    """One prompt's candidates and their ways to come to rest."""
    rate = model.tokenizer("body").tokens_per_second
    parts = [c[:n] for c in found for n in cuts(headings(model, c), turn, len(c))]
    lengths = [tokens - len(c) if tokens > 0 else RESTING for c in parts]
    if not parts:
        return list(found)
    prompts = [
        model.prompt("continuation", {"motion": c[-CONTEXT:], "seconds": n / rate, "caption": REST})
        for c, n in zip(parts, lengths, strict=True)
    ]
    seeds = [mix(seed, 900 + i) for i in range(len(parts))]
    rests = model.sample(prompts, lengths, seeds, DRAWS, guidance, temperature)
    more = [np.concatenate([c, r]) for c, some in zip(parts, rests, strict=True) for r in some]
    return [*found, *more]
