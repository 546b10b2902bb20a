"""The gestures of a model folder as what the suite compares: as shipped, the network alone, its mean motion."""

from __future__ import annotations

import os

from avatargpt.evaluation.gesture.talks import Generator, Talk
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.gesture.semantics import Manner
from avatargpt.speech.audio import RATE
from vqvae.motion import Motion

ROWS = {"full": ("codes", Manner()), "network": ("codes", None), "mean motion": ("features", None)}
"""Row of the table -> head of the network, and how it is gestured: with all that is a rule, or as the network does."""


def networks(folder: str | os.PathLike[str]) -> dict[str, Generator]:
    """Generators by the name of their row.

    Raises:
        UserError: no gesture network there.
    """
    performer = GesturePipeline.load(folder)

    def generator(head: str, manner: Manner | None) -> Generator:
        def made(talk: Talk) -> Motion:
            other = talk.interlocutor
            told = talk.words is not None or talk.interlocutor_words is not None
            return performer.perform(
                talk.audio, RATE, talk.words.words if talk.words else (() if told else None), other, RATE,
                talk.interlocutor_words.words if talk.interlocutor_words and other is not None else None, head=head,
                semantics=manner,
            )  # fmt: skip

        return made

    return {name: generator(*how) for name, how in ROWS.items()}
