"""Requests of several clients generated together, here or in a process of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from avatargpt.options import GenerationConfig
from avatargpt.server.errors import bad
from avatargpt.server.results import Stored
from avatargpt.server.worker import Report
from instruct_data.requests.spec import MotionRequest
from vqvae.motion import Motion


class GenerationItem(NamedTuple):
    """One request among those that are generated together."""

    request: str | MotionRequest
    seconds: float | None
    seed: int


@dataclass(frozen=True)
class GenerationBatch:
    """What requests that are generated together have in common.

    Attributes:
        config: how they are sampled; its seed is not looked at. after: the motion that they go on from. most: seconds
            of motion that one of them may ask for.
    """

    config: GenerationConfig
    after: Stored | None
    most: float

    def generate(self, model: Any, items: Sequence[GenerationItem], report: Report) -> list[Any]:
        """For each request its motions and captions, or its error; those that can be done are decoded together."""
        config, out = self.config, list[Any]([None] * len(items))
        resolved: list[Any] = []
        good: list[int] = []
        for i, item in enumerate(items):
            try:
                (one,) = model.resolve([item.request], [item.seconds], config.literal)
                (length,) = model.expected_seconds([one], [item.seconds])
                check_seconds_of(length * config.num, self.most, "prompt" if item.seconds is None else "seconds")
            except Exception as e:
                out[i] = e
            else:
                resolved.append(one)
                good.append(i)
        if good:
            clips = model.generate(
                resolved, seconds=[items[i].seconds for i in good], seeds=[items[i].seed for i in good],
                guidance=config.guidance, temperature=config.temperature, best_of=config.best_of, num=config.num,
                literal=config.literal, progress=report,
                after=None if self.after is None else body_of(self.after, "after"),
            )  # fmt: skip
            for k, i in enumerate(good):
                out[i] = clips[k * config.num : (k + 1) * config.num], tuple(resolved[k].captions)
        return out


def check_seconds_of(seconds: float, most: float, where: str = "seconds") -> None:
    """Raises Refusal (400) for more seconds of motion than one request may ask for."""
    if seconds > most:
        raise bad(f"{seconds:g} seconds of motion; accepted at most {most:g} in one request", where)


def body_alone(entry: Stored, where: str) -> Motion:
    """The body of a stored motion that has no other part. Raises Refusal (400) for a face and an avatar."""
    if entry.about["kind"] not in ("body", "gesture"):
        raise bad(f"{where}: a {entry.about['kind']}; accepted a body motion", where)
    return body_of(entry, where)


def body_of(entry: Stored, where: str) -> Motion:
    """The body of a stored motion. Raises Refusal (400) for a face."""
    clip = entry.clip()
    if hasattr(clip, "body"):
        clip = clip.body
    if not isinstance(clip, Motion):
        raise bad(f"{where}: a {entry.about['kind']}; accepted a motion with a body", where)
    return Motion(clip.rotations, clip.root, clip.fps, "body", clip.caption)
