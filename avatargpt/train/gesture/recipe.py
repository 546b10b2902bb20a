"""The configuration of the gesture-corpus stage, `configs/gesture/corpus.yaml`."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from avatargpt.gesture.words import SENTENCE
from instruct_data.gesture.plan import Style
from vqvae.errors import UserError
from vqvae.strict import NonNegativeInt, Rate, Share, Strict

PERFORMERS = ("ChrBrad", "ChrBrad2", "ChrGarza", "ChrConnor", "keyed")


class Speaker(Strict):
    """The style of a speaker, see `instruct_data.gesture.plan.Style`."""

    performers: list[str] = list(PERFORMERS)
    rate: Share = 0.6
    semantic: Share = 0.9
    size: Rate = 1.0
    tempo: Rate = 1.1
    left: Share = 0.25
    both: Share = 0.5
    head: Rate = 1.0
    drift: Rate = 1.0
    rest: NonNegativeInt = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = sorted(set(self.performers) - set(PERFORMERS))
        if unknown:
            raise UserError(f"performers: {', '.join(unknown)}; accepted: {', '.join(PERFORMERS)}")
        if not 0.5 <= self.size <= 1.1 or not 0.7 <= self.tempo <= 1.6:
            raise UserError(f"size {self.size:g}, tempo {self.tempo:g}; accepted: 0.5 to 1.1, 0.7 to 1.6")
        return self

    def style(self, name: str) -> Style:
        """As the style of a plan."""
        return Style(**{**self.model_dump(), "name": name, "performers": tuple(self.performers)})


class CorpusData(Strict):
    """The section `data`.

    Attributes:
        minutes: of motion in all. dyadic: share of it that is one side of a conversation; both sides are stored.
        recorded: share of the monologues with recorded speech; a recording is reused with other speakers' gestures.
        flite: share of flite among the synthetic voices. ours: share of our own sentences.
        situated: share of the sounds with a simulated recording situation (noise, echo, telephone).
        val: share of the talks for validation; their sentences also occur in training.
        store: minutes of motion for a tokenizer.
        words: encoder of words, as in `avatargpt.gesture.words`.
    """

    minutes: Rate = 120.0
    dyadic: Share = 0.4
    recorded: Share = 0.25
    flite: Share = 0.5
    ours: Share = 0.7
    situated: Share = 0.5
    val: Share = 0.06
    store: Rate = 60.0
    words: str = SENTENCE
    seed: NonNegativeInt = 0


class CorpusRecipe(Strict):
    """A configuration of the gesture-corpus stage."""

    data: CorpusData = CorpusData()
    speakers: dict[str, Speaker] = {"usual": Speaker()}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.speakers:
            raise UserError("speakers: none; accepted: at least one")
        return self


