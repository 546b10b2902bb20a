"""Options of the model: bounds, checks, `GenerationConfig`, and the arithmetic of seeds and lengths.

Imports nothing heavy: the command line reads it before anything else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

from vqvae.errors import UserError

MIN_SECONDS, MAX_SECONDS = 0.2, 600.0  # of a clip
FPS = (1, 240)  # of files that are written
GUIDANCE = (1.0, 20.0)  # 1 = none
TEMPERATURE = (0.05, 2.0)
SOUND_RATE = 16_000  # samples a second that features of sound see, and of sound that says no other
GESTURE_TEMPERATURE = 0.6  # default of gestures (`python benchmarks/run.py hands`)
MAX_CHARACTERS = 2000  # of a text
QUOTED = 40  # characters of a value in an error message


class UnheededText(UserWarning):
    """A text that has no effect on the motion, or less than it asks for."""


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8.

    Python keeps bytes of an argument that it cannot decode, and halves of characters in JSON, as surrogates.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_text(text: object) -> None:
    """Raises UserError unless the text has a word, and at most `MAX_CHARACTERS`."""
    if not isinstance(text, str):
        raise UserError(f"a text that is {_quote_value(text)}; accepted: a sentence of what happens")
    if not is_text(text):
        raise UserError("the text holds half a character (a surrogate); accepted: what UTF-8 can hold")
    if not any(c.isalnum() for c in text):
        raise UserError("the text is empty, or signs alone; accepted: a sentence of what happens")
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"the text has {len(text)} characters; accepted: at most {MAX_CHARACTERS}")


def check_seconds(seconds: object) -> None:
    """Raises UserError unless it is a number in the accepted range."""
    check_number("seconds", seconds, (MIN_SECONDS, MAX_SECONDS))


def check_number(name: str, value: object, bounds: tuple[float, float]) -> None:
    """Raises UserError unless it is a number within the bounds."""
    low, high = bounds
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= value <= high:  # type: ignore[operator]
        raise UserError(f"{name}: {_quote_value(value)}; accepted {low:g} to {high:g}")


def check_count(name: str, count: object) -> None:
    """Raises UserError unless it is a whole number of at least 1."""
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise UserError(f"{name}: {_quote_value(count)}; accepted 1 or more, a whole number")


def check_seed(seed: object) -> None:
    """Raises UserError unless it is a whole number."""
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise UserError(f"seed: {_quote_value(seed)}; accepted a whole number")


def _quote_value(value: object) -> str:
    return repr(value)[:QUOTED] if isinstance(value, str) else " ".join(str(value).split())[:QUOTED]


@dataclass(frozen=True)
class GenerationConfig:
    """How body motion is sampled.

    Attributes:
        seed: the same seed gives the same motion, also in a batch.
        guidance: classifier-free guidance on tokens, 1 = none.
        temperature: of sampling.
        best_of: candidates per result; the one that fits its words best is taken.
        num: results per text.
        literal: give the words to the network unchanged, in one piece; it then ends by itself.

    Raises:
        UserError: guidance outside 1..20, temperature outside 0.05..2, num or best_of below 1, a seed that is no whole
            number.
    """

    seed: int = 0
    guidance: float = 2.5
    temperature: float = 0.8
    best_of: int = 8
    num: int = 1
    literal: bool = False

    def __post_init__(self) -> None:
        check_count("num", self.num)
        check_count("best_of", self.best_of)
        check_number("guidance", self.guidance, GUIDANCE)
        check_number("temperature", self.temperature, TEMPERATURE)
        check_seed(self.seed)


def mix(seed: int, part: int) -> int:
    """An independent seed for part `part` of a job."""
    import numpy as np

    return int(np.random.SeedSequence([seed % 2**32, part]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def tokens_of(seconds: float, rate: float) -> int:
    """Motion tokens that cover so many seconds, at `rate` tokens a second."""
    return max(1, math.ceil(round(seconds * rate, 6)))


def frames_of(seconds: float, fps: float) -> int:
    """The nearest number of frames, at least 1."""
    return max(1, round(seconds * fps))


def shares(total: int, usual: Sequence[int], minimum: int) -> list[int]:
    """`total` tokens shared among clauses in proportion to their usual numbers, each at least `minimum`."""
    import numpy as np

    parts = np.cumsum(usual) / np.sum(usual)
    for base in (0, minimum):
        counts = np.diff(np.round(parts * (total - base * len(usual))).astype(int), prepend=0) + base
        if counts.min() >= minimum:
            break
    return [int(n) for n in counts]


def share_tokens(
    total: int, usual: Sequence[int], seconds: Sequence[float | None], rate: float, minimum: int
) -> list[int]:
    """`total` tokens shared among clauses: those with seconds get them, the others share the remaining ones."""
    # in proportion to their usual numbers; where too little remains, all clauses share
    fixed = [None if s is None else tokens_of(s, rate) for s in seconds]
    free = [i for i, n in enumerate(fixed) if n is None]
    left = total - sum(n for n in fixed if n is not None)
    if not free or left < minimum * len(free):
        return shares(total, [u if n is None else n for u, n in zip(usual, fixed, strict=True)], min(minimum, total))
    shared = iter(shares(left, [usual[i] for i in free], minimum))
    return [next(shared) if n is None else n for n in fixed]


def plain(text: str) -> str:
    """Lower case, single spaces, no final stop."""
    return " ".join(text.lower().split()).rstrip(".!")


def then(sentences: Sequence[str]) -> str:
    """Sentences in one, those that repeat the one before left out."""
    return ", then ".join(s for i, s in enumerate(sentences) if i == 0 or s != sentences[i - 1])
