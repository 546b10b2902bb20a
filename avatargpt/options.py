"""What a request may ask for, and its arithmetic: texts, seconds, seeds, lengths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from avatargpt.limits import GUIDANCE, MAX_SECONDS, MIN_SECONDS, TEMPERATURE, is_text
from instruct_data.requests.spec import MotionRequest
from vqvae.errors import UserError
from vqvae.motion import Motion


class UnheededText(UserWarning):
    """A text that has no effect on what was made, or less than it asks for."""


def check_text(text: object) -> None:
    """Raises UserError unless the text says something, in at most 2000 characters."""
    if not isinstance(text, str):
        raise UserError(f"a text that is {_told(text)}; accepted: a sentence of what happens")
    if not is_text(text):
        raise UserError("the text holds half a character (a surrogate); accepted: what UTF-8 can hold")
    if not any(c.isalnum() for c in text):
        raise UserError("the text is empty, or signs alone; accepted: a sentence of what happens")
    if len(text) > 2000:
        raise UserError(f"the text has {len(text)} characters; accepted: at most 2000")


def check_seconds(seconds: object) -> None:
    """Raises UserError for what is no number, or outside the accepted range."""
    check_range("seconds", seconds, (MIN_SECONDS, MAX_SECONDS))


def check_range(name: str, value: object, bounds: tuple[float, float]) -> None:
    """Raises UserError for what is no number, or outside of the bounds."""
    low, high = bounds
    if not _is(value, Real) or not low <= value <= high:  # type: ignore[operator]
        raise UserError(f"{name}: {_told(value)}; accepted {low:g} to {high:g}")


def check_count(name: str, count: object) -> None:
    if not _is(count, Integral) or count < 1:  # type: ignore[operator]
        raise UserError(f"{name}: {_told(count)}; accepted 1 or more, a whole number")


def check_seed(seed: object) -> None:
    if not _is(seed, Integral):
        raise UserError(f"seed: {_told(seed)}; accepted a whole number")


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, (bool, np.bool_))


def _told(value: object) -> str:
    """A value within a line."""
    return repr(value)[:40] if isinstance(value, str) else " ".join(str(value).split())[:40]


def check_sampling(num: int, best_of: int, guidance: float, temperature: float) -> None:
    """Raises UserError for what no body motion is sampled with."""
    check_count("num", num)
    check_count("best_of", best_of)
    check_range("guidance", guidance, GUIDANCE)
    check_range("temperature", temperature, TEMPERATURE)


Request = str | MotionRequest
"""What is asked for, in words or typed."""


def said(request: Request) -> str:
    """A request in words."""
    return request if isinstance(request, str) else request.text or request.compact


def wishes(texts: object, seconds: object, seeds: object) -> list[tuple[Any, float | None, int]]:
    """Request, length and seed of each.

    Args:
        texts: one or several, in words or typed. seconds: one for all, or one for each; None = as the model likes.
        seeds: so, too.

    Raises:
        UserError: a text that says nothing, a length or seed that is not accepted, too few or too many of them.
    """
    if not isinstance(texts, Iterable):
        check_text(texts)
    one = isinstance(texts, (str, MotionRequest))
    wanted: list[Any] = [texts] if one else list(texts)  # type: ignore[call-overload]
    out = list(zip(wanted, _each(seconds, len(wanted)), _each(seeds, len(wanted)), strict=True))
    for text, length, seed in out:
        check_text(said(text) if isinstance(text, MotionRequest) else text)
        if length is not None:
            check_seconds(length)
        check_seed(seed)
    return out


def _each(value: Any, count: int) -> list[Any]:
    """One value for all of `count` texts, or as many as there are texts."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    many = isinstance(value, Sequence) and not isinstance(value, str)
    values = list(value) if many else [value] * count
    if len(values) != count:
        raise UserError(f"{count} texts need as many seconds and seeds")
    return values


def shares(total: int, usual: Sequence[int], least: int) -> list[int]:
    """`total` tokens shared among clauses as their usual numbers are, but none gets fewer than `least`."""
    parts = np.cumsum(usual) / np.sum(usual)
    for base in (0, least):
        found = np.diff(np.round(parts * (total - base * len(usual))).astype(int), prepend=0) + base
        if found.min() >= least:
            break
    return [int(n) for n in found]


def timed(
    total: int, usual: Sequence[int], seconds: Sequence[float | None], rate: float, least: int
) -> list[int]:
    """`total` tokens shared among clauses: those whose seconds are given get them, the others what is left as their
    usual numbers are; where that is too little, all share."""
    given = [None if s is None else tokens_of(s, rate) for s in seconds]
    free = [i for i, n in enumerate(given) if n is None]
    left = total - sum(n for n in given if n is not None)
    if not free or left < least * len(free):
        return shares(total, [u if n is None else n for u, n in zip(usual, given, strict=True)], min(least, total))
    rest = iter(shares(left, [usual[i] for i in free], least))
    return [next(rest) if n is None else n for n in given]


def mix(seed: int, part: int) -> int:
    """An independent seed for part `part` of a job."""
    return int(np.random.SeedSequence([seed % 2**32, part]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def tokens_of(seconds: float, rate: float) -> int:
    return max(1, int(np.ceil(round(seconds * rate, 6))))


def frames_of(seconds: float, fps: float) -> int:
    return max(1, round(seconds * fps))


def plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".!")


def then(sentences: list[str]) -> str:
    kept = [s for i, s in enumerate(sentences) if i == 0 or s != sentences[i - 1]]
    return ", then ".join(kept)


def held(motion: Motion, frames: int, before: bool) -> Motion:
    """Lengthened to `frames` by holding the first (before) or last pose."""
    index = np.arange(frames) - (frames - len(motion)) if before else np.arange(frames)
    index = index.clip(0, len(motion) - 1)
    return motion.taken(index)
