"""`Consequences`: whether what was seen to happen calls for an answer before the plan goes on, and which.

A network that people's pairs taught (`instruct_data/plans/consequences.jsonl.xz`): a step, what was seen, and what
somebody would do next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import nn

from avatargpt.lm.text_encoder import WIDTH, SentenceGrounder, TunedSentences
from avatargpt.planning.library import StoryPart, pack_units, unpack_units, word_for_encoder
from avatargpt.requests.vector_index import StoredVectors, inflate, read_file, write_file, xz

FILE = "consequences.safetensors"
# the plan goes on; an answer comes first; the step is done once more; an answer takes the place of the activity
Then = Literal["go_on", "first", "again", "instead"]
THEN: tuple[Then, ...] = get_args(Then)
ANSWERS = 8  # that are looked at, the likeliest first
ALIKE_WEIGHT = 0.5  # of how like what an answer answered is to what was seen, beside the answer itself
STATE_SCALE = 10.0  # of a unit vector that is read linearly


class ConsequenceNet(nn.Module):
    """Reads a step and what was seen as one text."""

    def __init__(self, rank: int = 16, dim: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.reader = TunedSentences(rank, dropout)
        self.then = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTH, len(THEN)))
        self.query = nn.Sequential(nn.Dropout(0.2), nn.Linear(4 * WIDTH, dim))
        self.key = nn.Sequential(nn.Dropout(0.2), nn.Linear(3 * WIDTH, dim))

    def forward(self, said: Sequence[str], seen: Sequence[str]) -> torch.Tensor:
        """Pairs of texts -> (B, 384) vectors of length `STATE_SCALE`."""
        read: torch.Tensor = self.reader([f"{a.rstrip('.')}. seen: {b}" for a, b in zip(said, seen, strict=True)])
        return STATE_SCALE * read

    def ask(self, read: torch.Tensor, said: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """What `forward` gave, and sentence vectors (B, 384) -> (B, D) unit vectors that are near fitting answers."""
        parts = [seen, said, STATE_SCALE * said * seen, read / STATE_SCALE]
        return nn.functional.normalize(self.query(torch.cat(parts, -1)), dim=-1)

    def index(self, said: torch.Tensor, seen: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Sentence vectors of what was answered, and of answers (B, 384) -> (B, D) unit vectors."""
        return nn.functional.normalize(self.key(torch.cat([seen, said, answers], -1)), dim=-1)


@dataclass(frozen=True)
class Consequence:
    """What follows from what was seen."""

    then: Then
    needed: float  # probability that it calls for an answer
    answers: tuple[StoryPart, ...] = ()  # the likeliest first, whether or not one is called for


def answer_text(part: StoryPart) -> str:
    """An answer in the words that the sentence encoder reads."""
    return " ".join(word_for_encoder(t) for t in (part.task, *part.steps))


class Consequences:
    """The network with the answers that it chooses from.

    Args:
        parts: answers, marks in place of the actor. keys: (N, D) unit vectors of them.
        mishaps: (N, 384) unit vectors of what they answered, as the network reads it.
        min_needed: probability from which an answer is called for.
    """

    def __init__(
        self, network: ConsequenceNet, parts: Sequence[StoryPart], keys: np.ndarray, mishaps: np.ndarray,
        min_needed: float,
    ) -> None:  # fmt: skip
        self.network, self.parts, self.min_needed = network.eval(), tuple(parts), min_needed
        self.keys, self.mishaps = keys, mishaps

    @torch.inference_mode()
    def read(self, said: Sequence[str], seen: str, grounder: SentenceGrounder) -> Consequence:
        """What follows where one of the steps `said` was to be shown, and `seen` is what was seen."""
        read = self.network(said, [seen] * len(said))
        shares = self.network.then(read).softmax(-1)
        row = int(shares[:, 0].argmax())  # the step that it shows best
        needed = 1 - float(shares[row, 0])
        then = "go_on" if needed < self.min_needed else THEN[1 + int(shares[row, 1:].argmax())]
        vectors = torch.from_numpy(grounder.sentence([said[row], seen]))
        asked = self.network.ask(read[row : row + 1], vectors[:1], vectors[1:])[0].numpy()
        alike = self.mishaps @ read[row].numpy() / STATE_SCALE
        order = np.argsort(-(self.keys @ asked + ALIKE_WEIGHT * alike), kind="stable")[:ANSWERS]
        return Consequence(then, needed, tuple(self.parts[i] for i in order))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``consequences.safetensors`` into a folder."""
        texts = json.dumps([[p.task, *p.steps] for p in self.parts])
        arrays = {f"network/{k}": v.numpy().astype(np.float16) for k, v in self.network.state_dict().items()}
        arrays |= {"keys": self.keys.astype(np.float16), "mishaps": pack_units(self.mishaps)}
        arrays["texts"] = xz(texts.encode(), 9)
        return write_file(Path(folder) / FILE, {"min_needed": self.min_needed}, arrays, xz)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Consequences | None:
        """Those of a model folder, None where it has none; raises UserError for a damaged file."""
        return read_file(Path(folder) / FILE, "consequences", cls._from)

    @classmethod
    def _from(cls, stored: StoredVectors) -> Consequences:
        data = stored.arrays
        rows = json.loads(inflate(data["texts"]).decode())
        parts = [StoryPart(str(task), tuple(map(str, steps)), frozenset()) for task, *steps in rows]
        state = {k: torch.from_numpy(v) for k, v in stored.list_named("network/").items()}
        network = ConsequenceNet(len(state["reader.layers.layers.0.query.down"]), len(state["query.1.bias"]))
        network.load_state_dict(state)
        keys, mishaps = data["keys"].astype(np.float32), unpack_units(data["mishaps"])
        fits = keys.shape == (len(parts), len(state["query.1.bias"])) and mishaps.shape == (len(parts), WIDTH)
        if not fits or not all(p.steps for p in parts):
            raise ValueError(f"{len(parts)} answers for {len(keys)} keys and {len(mishaps)} mishaps")
        return cls(network, parts, keys, mishaps, float(stored.about["min_needed"]))
