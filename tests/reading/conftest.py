"""A small untrained reading network, and a few labelled texts of every task."""

from collections.abc import Sequence

import pytest
import torch

from avatargpt.reading.batches import PieceReader
from avatargpt.reading.network import ReadingConfig, ReadingNetwork
from instruct_data.reading.examples import Example, events_example, request_example, score_example, turn_examples

TABLES = {"actions": ["bow", "walk", "wave"], "faces": ["frown", "smile"]}
CAPTIONS = "a person waves the left hand", "a person bows", "he walks to the door", "someone walks in a circle"


def present(made: Example | None) -> Example:
    assert made is not None
    return made


REQUESTS = [
    present(request_example({
        "text": "Wave twice with the left hand for 3 seconds, then he bows to the king, in the rain", "seconds": 3,
        "unknown": ["in the rain"],
        "clauses": [
            {"words": "Wave left hand", "do": CAPTIONS[0], "action": "wave", "side": "left", "times": 2, "seconds": 3},
            {"words": "bows", "do": CAPTIONS[1], "action": "bow", "target": "the king"},
        ],
    })),
    present(request_example({
        "text": "levitate", "loop": True,
        "clauses": [{"words": "levitate", "do": "a person levitates", "action": None, "turn": 77}],
    })),
]  # fmt: skip
TURNS = [*turn_examples({"turns": [
    {"user": "walk", "acts": [{"do": "make", "text": CAPTIONS[3]}], "timeline": ["1 walks 3s", "2 bows 2s"]},
    {"user": "the 2nd takes 4 s", "acts": [{"do": "retime", "segment": 2, "seconds": 4}], "timeline": []},
]})]  # fmt: skip
SCORES = [
    present(score_example({
        "text": "smile at 2 s, frown on the word now", "face": [
            {"words": "smile", "name": "smile", "at": 2, "strength": 0.4},
            {"words": "frown", "name": "frown", "word": "now", "course": "rising", "rel": "while"},
        ],
    })),
]  # fmt: skip
SCENES = [
    present(events_example({"scene": "He walks to the door and bows for 5 seconds.", "person": "he", "events": [
        {"words": "walks", "do": CAPTIONS[2], "action": "walk", "where": "the door"},
        {"words": "bows", "do": "he bows", "action": "bow", "seconds": 5},
    ]})),
    present(events_example({"scene": "It is late.", "person": "it", "events": []})),
]  # fmt: skip
EXAMPLES = {"read": REQUESTS, "turn": TURNS, "score": SCORES, "events": SCENES}


@pytest.fixture(scope="session")
def pieces() -> PieceReader:
    return PieceReader()


def small_network(pieces: PieceReader, seed: int = 0, captions: Sequence[str] = CAPTIONS) -> ReadingNetwork:
    """One that knows the pieces of some captions."""
    spoken = sorted({p for caption in captions for p in pieces.write(caption)})
    torch.manual_seed(seed)
    shape = {"hidden": 32, "heads": 2, "layers": 1, "wide": 16, "writer": [5], "dropout": 0.0}
    return ReadingNetwork(ReadingConfig(tables=TABLES, spoken=spoken, **shape)).eval()  # type: ignore[arg-type]


@pytest.fixture
def network(pieces: PieceReader) -> ReadingNetwork:
    return small_network(pieces)
