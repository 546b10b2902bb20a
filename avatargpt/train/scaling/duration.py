"""Hours and money of a training, from tokens, arithmetic and an accelerator."""

from __future__ import annotations

from dataclasses import dataclass

from avatargpt.train.scaling.compute import TYPICAL, Lengths, training_token
from avatargpt.train.scaling.hardware import UTILISATION, Gpu
from avatargpt.train.scaling.shapes import Planned

TOKENS_PER_SECOND = 5.0  # of the body's tokenizer
CAPTION, WORDING = 18, 28  # word pieces of a description; of an instruction with its marks
PASSES = 100
"""Times that every description is learnt from in both directions: an assumption."""


@dataclass(frozen=True)
class Corpus:
    """The size of a public corpus.

    Attributes:
        hours: of motion. clips, texts: how many; texts are descriptions. source: where that stands.
    """

    name: str
    hours: float
    clips: int
    texts: int
    source: str

    @property
    def tokens(self) -> float:
        """Read and spoken in `PASSES` passes, text to motion and motion to text."""
        motion = self.hours * 3600 / self.clips * TOKENS_PER_SECOND
        return PASSES * self.texts * 2 * (motion + CAPTION + WORDING)


CORPORA = (
    Corpus("HumanML3D", 28.59, 14_616, 44_970, "Guo et al., CVPR 2022"),
    Corpus("Motion-X", 144.2, 81_100, 81_100, "arXiv 2307.00818, abstract and table 1"),
)


def own_tokens(plan: Planned, lengths: Lengths = TYPICAL) -> float:
    """Tokens, read and spoken, of the configuration's own steps."""
    train = plan.recipe.train
    return float(train.end * train.batch * lengths.tokens)


@dataclass(frozen=True)
class Duration:
    """Of a training. hours: on the clock. dollars: of all accelerators together."""

    hours: float
    dollars: float


def duration(plan: Planned, tokens: float, gpu: Gpu, gpus: int, checkpointing: bool = False) -> Duration:
    """How long it takes at `UTILISATION`, the accelerators in step (arithmetic alone, no waiting for one another)."""
    hours = tokens * training_token(plan, checkpointing=checkpointing) / (gpus * gpu.peak * UTILISATION) / 3600
    return Duration(hours, hours * gpus * gpu.price)
