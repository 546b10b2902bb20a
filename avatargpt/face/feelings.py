"""Feelings in short form, as an option or a message says them: ``sad:0.7+angry:0.2``, ``0:calm,2.5:angry:0.8``."""

from __future__ import annotations

import math

from avatargpt.face.audio_model.conditioning import TOGETHER, USUAL, Feeling
from instruct_data.face.emotions import named_emotion
from vqvae.errors import UserError

_REST = ("neutral", "calm")  # no feeling at all
_FORM = "NAME, NAME:0..1, NAME:0..1+NAME:0..1, or SECOND:NAME[:0..1],SECOND:NAME[:0..1] with rising seconds"


def emotions(argument: str, seconds: float | None = None, named: str = "--emotion") -> list[Feeling]:
    """Keyframes that a text stands for; between two the feeling changes in a straight line.

    Args:
        argument: ``angry``, ``angry:0.8``, ``sad:0.7+angry:0.2`` or ``0:calm,2.5:angry:0.8``.
        seconds: length of the clip where it is known.
        named: what the argument is called in messages.

    Raises:
        UserError: unknown emotion (with the nearest name), an intensity outside 0..1, seconds that do not rise or lie
            outside the clip, or another form.
    """
    where = f"{named} {argument}"
    parts = [p.strip() for p in argument.split(",")]
    timed = [_is_number(p.split(":")[0].strip()) for p in parts]
    if len(parts) > 1 and not all(timed):
        raise UserError(f"{where}: {parts[timed.index(False)]!r} has no second; accepted {_FORM}")
    out: list[Feeling] = []
    for part in parts:
        when, _, rest = part.partition(":") if timed[0] else ("0", "", part)
        second, together = _number(where, when.strip(), "a second"), rest.split("+")
        if len(together) > TOGETHER:
            raise UserError(f"{where}: {len(together)} feelings at once; accepted up to {TOGETHER}")
        felt = [_felt(where, part, one) for one in together]
        if not 0 <= second < 1e6 or (seconds is not None and second > seconds):
            limit = "0 or more" if seconds is None else f"0 to {seconds:g}, the clip's length"
            raise UserError(f"{where}: second {second:g}; accepted {limit}")
        if out and second <= out[-1].second:
            raise UserError(f"{where}: second {second:g} after {out[-1].second:g}; accepted: rising")
        if len({name for name, _ in felt}) < len(felt):
            raise UserError(f"{where}: {part!r} names a feeling twice; accepted: each once")
        (name, strength), *beside = sorted(felt, key=lambda one: -one[1])
        out.append(Feeling(second, name, strength, tuple(one for one in beside if one[1] > 0)))
    return out


def _is_number(text: str) -> bool:
    """Whether a text can only be meant as a number; that it is none is said elsewhere."""
    return text in ("nan", "inf") or (text != "" and {*text} <= {*"-+0123456789.eE"})


def _felt(where: str, part: str, one: str) -> tuple[str, float]:
    """NAME or NAME:0..1 -> name and strength."""
    fields = [f.strip() for f in one.split(":")]
    if not 1 <= len(fields) <= 2 or not fields[0]:
        raise UserError(f"{where}: {part!r}; accepted {_FORM}")
    name = named_emotion(fields[0])
    strength = USUAL if len(fields) == 1 else _number(where, fields[1], "an intensity")
    if not 0 <= strength <= 1:
        raise UserError(f"{where}: intensity {strength:g}; accepted 0 to 1")
    return ("calm", 0.0) if name in _REST else (name, strength)


def _number(where: str, text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{where}: {text!r} is not {what}; accepted {_FORM}")
    return value
