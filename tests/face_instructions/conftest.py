"""Small instruction parsers for the tests; the driver and the words are those of `tests/speech`."""

from __future__ import annotations

from typing import Any

import torch

from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from instruct_data.face.score import OWN, Score, read_instructions
from tests.speech.conftest import Words, driver

__all__ = ["Words", "driver", "own", "small"]


def own(count: int) -> list[Score]:
    """The first of our written instructions."""
    return [one.score for one in list(read_instructions(OWN))[:count]]


def small(lengths: bool = False, **about: Any) -> InstructionParser:
    """A parser with random weights, always the same."""
    torch.manual_seed(1)
    shape = ParserConfig(width=16, hidden=16, heads=2, decoder=1, layers=[6], rank=0, lengths=lengths, **about)
    return InstructionParser(ParserNetwork(shape))
