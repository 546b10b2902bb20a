"""The reader: a facial instruction in anybody's words -> its score, by a small sequence-to-sequence network.

It reads token states of the sentence encoder, whose upper layers it changes a little for itself (`tuned_layers`), and
writes the score as tokens (`score_tokens`). A grammar keeps the order of fields while decoding; everything else is the
network's choice.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from avatargpt.face.instructions.consensus import agreed, agreement
from avatargpt.face.instructions.fitting import Named, filled
from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
from avatargpt.face.instructions.sampling import MOST_WORDS, Reading
from avatargpt.face.instructions.score_tokens import ScoreTokens
from avatargpt.lm.checkpoint import load_part, remove_part, save_part
from avatargpt.requests.english import below_zero, worded
from instruct_data.face.score import Score, mirror_words
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Grounder
    from avatargpt.lm.text_encoder import SentenceGrounder

NAME = "reader"  # of the files
VERSION = 3  # of the folder's layout and of the tokens
REMEMBERED = 1000  # instructions whose readings' agreement is kept
SAMPLES = 16  # readings that are drawn beside the likeliest, of each wording and network


def reading_grounder(config: ParserConfig) -> SentenceGrounder:
    """A sentence encoder that keeps all of an instruction that can be read, and a piece more to see what is longer."""
    from avatargpt.lm.text_encoder import SentenceGrounder

    return SentenceGrounder(max_tokens=MOST_WORDS + 1, cache_size=500, layers=config.layers)


def wordings(text: str, sided: bool) -> list[tuple[str, bool]]:
    """Other words for one instruction, and whether they ask for its mirror image.

    Politely, with another end, and, where it has a side, with left and right exchanged.
    """
    bare = text.strip().rstrip(".!")
    out = [(f"Please {bare[:1].lower()}{bare[1:]}.", False), (bare if bare != text.strip() else f"{bare}.", False)]
    other = mirror_words(text)
    return out + ([(other, True)] if sided and other != text else [])


class InstructionParser:
    """A trained reader: one network, or several that are asked alike.

    Args:
        network: gives the likeliest reading.
        others: further ones, of any shape, whose readings count beside those of the first: networks that err
            differently agree on less that is wrong.

    Raises:
        UserError: networks that read different layers of the sentence encoder.
    """

    def __init__(self, network: ParserNetwork, *others: ParserNetwork) -> None:
        self.network, self.others, self.tokens = network.eval(), others, ScoreTokens()
        if any(one.config.layers != network.config.layers for one in others):
            layers = ", ".join(str(one.config.layers) for one in (network, *others))
            raise UserError(f"readers of the encoder's layers {layers}; accepted: all of the same")
        self.readings = [Reading(one.eval(), self.tokens) for one in (network, *others)]
        self._agreements: dict[str, float] = {}

    def agreement(self, text: str) -> float | None:
        """How much the readings of an instruction agreed that was read lately (`consensus.agreement`); None = it was
        not, or without samples."""
        return self._agreements.get(text)

    @torch.inference_mode()
    def read(
        self, texts: Sequence[str], grounder: Grounder, samples: int = SAMPLES,
        seconds: Sequence[float | None] | None = None, named: Named = "",
    ) -> list[Score]:  # fmt: skip
        """The score of each instruction; its `text` is the instruction.

        What is read is what `avatargpt.requests.english.worded` makes of it: emoji are words, "!!!" is no count.

        Token by token the likeliest field that the grammar allows is chosen, all its values together, then the
        likeliest of these. Beside this reading `samples` more are drawn, of the instruction and of each of its other
        `wordings`, and the one is taken that all agree with most (`face.instructions.consensus`). Where a length is
        wanted, a rule has each of them fill it first (`language.face.scores.filled`). The same instruction is
        always read alike.

        Args:
            samples: readings that are drawn of each wording; 0 = the likeliest token by token alone.
            grounder: one that keeps at least `MOST_WORDS` + 1 word pieces and gives the layers that the network reads
                (`reading_grounder`).
            seconds: wanted length of each clip, None = as the instruction takes. A reader that learnt to heed it
                (`ParserConfig.lengths`) reads when things happen in its light; others do not look at it.
            named: how the instructions name seconds, if at all.

        Raises:
            UserError: an empty instruction, one of more than 96 word pieces, or times and counts below zero in it.
        """
        asked = [worded(text) for text in texts]
        given = grounder.states(asked) if texts else []
        for text, states in zip(asked, given, strict=True):
            if not text.strip():
                raise UserError("an empty facial instruction; accepted: what the face shall do, in words")
            if len(states) > MOST_WORDS:
                start = f"{text[:40]}..."
                raise UserError(f"facial instruction {start!r}: {len(states)} word pieces; accepted up to {MOST_WORDS}")
            if said := below_zero(text, shares=False):  # "lip corners at minus fifty percent" hang
                raise UserError(f"facial instruction {text[:40]!r}: {said}; accepted numbers above zero")
        # one by one: what is read must not depend on the other instructions of a file
        together = zip(given, asked, texts, seconds or [None] * len(texts), strict=True)
        read = [self._agreed(*one, named, grounder, samples) for one in together]
        return [replace(score, text=text) for score, text in zip(read, texts, strict=True)]

    def _agreed(
        self, states: np.ndarray, text: str, as_typed: str, seconds: float | None, named: Named, grounder: Grounder,
        samples: int,
    ) -> Score:  # fmt: skip
        first = self.tokens.decode(self.readings[0].likeliest(states, seconds), text)
        if not samples:
            return first if seconds is None else filled(first, seconds, named)
        others = wordings(text, first.sided)
        found = [(s, flip) for s, (_, flip) in zip(grounder.states([t for t, _ in others]), others, strict=True)
                 if len(s) <= MOST_WORDS]  # fmt: skip
        said = [first]
        for reading in self.readings:
            rows = reading.drawn([states, *(s for s, _ in found)], seconds, samples)
            for some, flip in zip(rows, (False, *(flip for _, flip in found)), strict=True):
                drawn = [self.tokens.decode(row, text) for row in some]
                said += [replace(s.mirrored(), text=text) for s in drawn] if flip else drawn
        said = said if seconds is None else [filled(s, seconds, named) for s in said]
        chosen = agreed(said)
        while len(self._agreements) >= REMEMBERED:
            self._agreements.pop(next(iter(self._agreements)))
        self._agreements[as_typed] = agreement(chosen, said)
        return chosen

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype | None = None) -> Path:
        """Write the folder, in place of a reader that is there; `dtype` bfloat16 halves it."""
        for number, network in enumerate(self.others, 2):
            save_part(network, folder, f"{NAME}_{number}", VERSION, dtype)
        number = 2 + len(self.others)
        while remove_part(folder, f"{NAME}_{number}"):
            number += 1
        return save_part(self.network, folder, NAME, VERSION, dtype)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> InstructionParser:
        """Read ``parser.json`` and ``parser.safetensors``, and ``reader_2``, ``reader_3``, ... where they are.

        Raises:
            UserError: missing, damaged, or of another version.
        """

        def made(about: dict[str, Any]) -> ParserNetwork:
            if about.get("countdown") is False:  # of a form of length conditioning that readers once could have
                del about["countdown"]
            return ParserNetwork(ParserConfig.read(about, "shape"))

        names = [NAME]
        while (Path(folder) / f"{NAME}_{len(names) + 1}.json").exists():
            names.append(f"{NAME}_{len(names) + 1}")
        return cls(*(load_part(folder, name, VERSION, made) for name in names))
