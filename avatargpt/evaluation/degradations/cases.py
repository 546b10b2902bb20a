"""What a suite's judges are shown: good clips of some corpora, as they are and made worse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from avatargpt.evaluation.body import corpus, synthetic
from avatargpt.metrics.degraded import AS_IT_IS, Either, degrade
from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.strict import PositiveInt, Strict


class Settings(Strict):
    """Options of the suite.

    Attributes:
        keyframed: clips of every family, from seeds that no training has seen.
        prompts: of a suite, at most, evenly chosen.
        tried: clips, nearest by caption first, that are tried for a prompt.
        of_class: recorded clips of a class of predicates, at most.
        compared: recorded training clips that are the corpus to a suite of physics.
        windows: stretches of recordings that stand for transitions.
        described: clips that a model describes.
    """

    keyframed: PositiveInt = 2
    prompts: PositiveInt = 60
    tried: PositiveInt = 24
    of_class: PositiveInt = 3
    compared: PositiveInt = 120
    windows: PositiveInt = 400
    described: PositiveInt = 60


@dataclass(frozen=True)
class Worse:
    """Makes clips worse in one way, or hands them on as they are.

    Attributes:
        name: of `DEGRADATIONS`, or `AS_IT_IS`. seed: decides what is random.
    """

    name: str
    seed: int

    def __call__(self, clip: Either, number: int = 0, in_place: bool = False) -> Either:
        """A body or a face; `number` tells clips of one set apart."""
        return clip if self.name == AS_IT_IS else degrade(clip, self.name, self.seed + number, in_place)


Judge = Callable[[Worse], Mapping[str, Any]]
"""-> results of a suite, figure by figure."""


@dataclass(frozen=True)
class Case:
    """One suite before which clips are brought.

    Attributes:
        suite: its name. figures: those of its results that say how good the clips are. judge: the suite's own code.
    """

    suite: str
    figures: tuple[str, ...]
    judge: Judge

    def name(self, figure: str) -> str:
        """What a figure is called in the table."""
        return f"{self.suite} {figure.replace('/', ' ')}"


@dataclass(frozen=True, eq=False)
class Sources:
    """Where good clips come from, each read when it is first asked for.

    Attributes:
        data: the body corpus; other corpora lie beside it. store: folder of the learnt evaluator, None = the packaged
            weights. model: describes motion, or None.
    """

    data: Path | None
    store: Path | None
    model: Any
    options: Settings
    seed: int

    @cached_property
    def held(self) -> list[Clip]:
        """Recorded clips that no training has seen."""
        return corpus.load_clips(self.data, "val")

    @cached_property
    def recorded(self) -> list[Clip]:
        """Recorded clips of the training split."""
        return corpus.load_clips(self.data, "train")

    @cached_property
    def keyframed(self) -> list[Clip]:
        """Keyframed clips of every family that no training has seen."""
        return list(synthetic.made(self.options.keyframed))

    def beside(self, name: str) -> Path:
        """A corpus that lies beside that of bodies.

        Raises:
            UserError: there is none.
        """
        folder = corpus.locate(self.data)
        for place in (folder.parent, folder):
            if (place / name).is_dir():
                return place / name
        raise UserError(f"{folder.parent}: no folder {name} here")
