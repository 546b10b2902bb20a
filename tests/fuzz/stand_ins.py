"""What stands in for networks, so that thousands of cases take seconds."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from avatargpt.planning.types import Activity, Plan
from avatargpt.requests.resolver import ResolvedRequest
from instruct_data.dialogue.acts import Act, read
from tests.fuzz.seeds import body
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate


class Motions:
    """A model that answers with the same short clip."""

    grounder = None
    phrase_index = None
    source = ""

    @classmethod
    def from_pretrained(cls, *_: Any, **__: Any) -> Motions:
        return cls()

    def generate(self, texts: Any, seconds: Any = None, seed: Any = 0, num: int = 1, **_: Any) -> list[Motion]:
        return [body(8).with_caption(getattr(t, "source", t)) for t in texts for _ in range(num)]

    def extend(self, motion: Motion, seconds: Any = None, **_: Any) -> Motion:
        return concatenate([motion.resampled(20), body(8)])

    def in_between(self, start: Motion, end: Motion, seconds: Any = None, **_: Any) -> Motion:
        return concatenate([start.resampled(20), end.resampled(20)])

    def describe(self, motions: Any, num: int = 1, **_: Any) -> Any:
        answers = [[f"a person walks {len(m)} frames"] * num for m in motions]
        return answers if num > 1 else [a[0] for a in answers]

    def read_as(self, texts: Any, *_: Any, **__: Any) -> Any:
        return [[t] for t in texts]

    @property
    def body(self) -> Any:
        return types.SimpleNamespace(generation=self)

    def resolve(self, texts: Any, *_: Any, **__: Any) -> list[ResolvedRequest]:
        return [ResolvedRequest(t, captions=(t,)) for t in texts]


class Plans:
    """A planner with one plan."""

    name = "stand-in"

    def plan(self, scene: str, activities: int = 3, **_: Any) -> Plan:
        return Plan(scene, tuple(Activity(f"activity {i}", ("walk", "sit")) for i in range(activities)), self.name)


class Lines:
    """Understands turns that are lines of acts."""

    name = "line"

    def understand(self, heard: Any) -> list[Act] | None:
        try:
            return read(heard.request)
        except UserError:
            return None


class Vectors:
    """A sentence encoder without a network."""

    width = 384

    def sentence(self, texts: Any) -> np.ndarray:
        out = np.array([np.random.default_rng(len(t)).normal(size=384) for t in texts], np.float32)
        return out / np.linalg.norm(out, axis=1, keepdims=True)
