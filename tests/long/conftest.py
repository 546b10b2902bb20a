"""A model of random weights, small enough to act out minutes in seconds, and planners whose answers are known."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from avatargpt.api import AvatarGPT
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.long.loop import Chunk
from avatargpt.long.spans import Span
from avatargpt.planning.types import Activity, Plan
from tests.factories import CODES, LEVELS, body_model, body_tokenizer
from vqvae.motion import Motion, concatenate
from vqvae.tokenizer import MotionTokenizer


class ListPlanner:
    """Goes through a list of activities, over and over; remembers what it was asked."""

    name = "list"

    def __init__(self, activities: Sequence[Activity]) -> None:
        self.activities, self.asked = list(activities), []
        self.at = 0
        self.planned: list[Activity] = []

    def next_activity(
        self, scene: str, done: Sequence[Activity], described: str = "", temperature: float = 0.7, seed: int = 0,
        posture: str = "",
    ) -> Activity:  # fmt: skip
        self.asked.append({"scene": scene, "done": list(done), "described": described, "temperature": temperature,
                           "seed": seed})  # fmt: skip
        self.at += 1
        return self.activities[(self.at - 1) % len(self.activities)]

    def plan(
        self, scene: str, activities: int | None = 3, temperature: float = 0.7, seed: int = 0,
        seconds: float | None = None,
    ) -> Plan:  # fmt: skip
        """Nothing: all activities come one after the other, unless `planned` holds some."""
        return Plan(scene, tuple(self.planned), self.name)

    def answer(self, *args: Any, **more: Any) -> Any:
        raise AssertionError("the loop asks for activities only")


def collect(chunks: Iterable[Chunk]) -> tuple[Motion, list[Span]]:
    """A complete run: the motion and its spans."""
    parts = list(chunks)
    return concatenate([c.motion for c in parts]), [s for c in parts for s in c.spans]


@pytest.fixture(scope="session")
def tokenizer() -> MotionTokenizer:
    tokenizer = body_tokenizer(0, 0.05)
    tokenizer.mean[0] = 0.9  # the root's usual height
    return tokenizer


@pytest.fixture(scope="session")
def gpt(tokenizer: MotionTokenizer) -> AvatarGPT:
    text = TextTokenizer.train(["a person walks forward", "someone waves", "a man turns left and sits down"] * 5, 300)
    return AvatarGPT(LoadedModel(body_model(text, tokenizer), text, {"body": tokenizer}))


@pytest.fixture
def planner() -> ListPlanner:
    return ListPlanner([
        Activity("sweep the floor", ("he sweeps", "he wipes his brow")),
        Activity("water flowers", ("he lifts a can", "he walks along", "he pours")),
        Activity("rest on a bench", ("he sits down",)),
    ])  # fmt: skip


@pytest.fixture
def codes() -> np.ndarray:
    return np.random.default_rng(0).integers(0, CODES, (150, LEVELS))
