"""Requests of motion read through the door."""

from __future__ import annotations

import json
from typing import Any

import pytest

from avatargpt import AvatarGPT
from avatargpt.body.language_reader import LanguageReader
from avatargpt.llm import LanguageModel
from avatargpt.llm.model import Completion, LlmFailed


class Reads:
    """Answers with the first movement that it was shown whose words are in `movement`."""

    name, fingerprint, local = "reads", "reads 1", False

    def __init__(self, *clauses: dict[str, Any]) -> None:
        self.clauses = clauses

    def ready(self) -> None: ...

    def complete(self, messages: Any, schema: Any, *_: Any) -> Completion:
        known = schema["$defs"]["Clause"]["properties"]["movement"]["enum"]
        rows = []
        for one in self.clauses:
            found = next((k for k in known if one["movement"] in k), None)
            assert found, known
            rows.append({"side": None, "count": None, "seconds": None, **one, "movement": found})
        return Completion(json.dumps({"clauses": rows}))


class Dead(Reads):
    def complete(self, *_: Any) -> Completion:
        raise LlmFailed("nobody answers", lasting=True)


@pytest.fixture(scope="module")
def packaged() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


@pytest.fixture
def told() -> list[str]:
    return []


def test_movements_sides_and_lengths(packaged: AvatarGPT, told: list[str]) -> None:
    llm = LanguageModel(Reads(
        {"words": "greets with the left", "movement": "wave", "side": "left", "seconds": 3.0},
        {"words": "plays the harp", "movement": "none"},
    ))  # fmt: skip
    wave, harp = LanguageReader(llm, packaged.body.model, told.append)("she waves with the left, plays the harp")
    assert wave.clause and (wave.clause.side, wave.clause.seconds) == ("left", 3)
    assert "wave" in wave.caption and wave.action
    assert harp.caption == "plays the harp" and not harp.action
    assert told == ["not known: 'plays the harp'; it is made from these very words and may show something else"]


def test_the_index_reads_where_nobody_answers(packaged: AvatarGPT, told: list[str]) -> None:
    body = packaged.body.model
    reader = LanguageReader(LanguageModel(Dead()), body, told.append)
    assert tuple(reader("walk, then sit down")) == body.clauses("walk, then sit down")
    reader("jump")
    assert len(told) == 1 and told[0].endswith("the phrase index reads the request by itself")
