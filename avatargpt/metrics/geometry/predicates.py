"""Checks whose truth is read off the joints of a motion: what prompt following is judged by.

A check is written in YAML or as plain Python data:

- ``walks_forward``                        a predicate by name
- ``{turns: {side: left, degrees: 60}}``   with parameters
- ``{any: [a, b]}``, ``{all: [a, b]}``, ``{not: a}``
- ``{then: [a, b]}``                       a split point exists with `a` before it and `b` after it
- ``{with: [a, b]}``                       `a` and `b` hold within one stretch of the clip (same as ``all``)

Every predicate returns whether it holds and the numbers it looked at. Thresholds were calibrated on the train split
of the real corpus: see eval/README.md for own-class and other-class pass rates.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from avatargpt.signals.joints import FPS, Signals
from vqvae.errors import UserError
from vqvae.motion import Motion

# A part of a two-action clip may not be shorter than this, or its facing and speed mean little.
SHORTEST_PART = int(0.7 * FPS)
SPLIT_STEP = 4


@dataclass(frozen=True)
class Verdict:
    """Outcome of one check: whether it holds, and the numbers it was decided on (units in the predicate's text)."""

    passed: bool
    values: dict[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.passed


Predicate = Callable[..., Verdict]
PREDICATES: dict[str, Predicate] = {}
COMBINERS = ("all", "any", "with", "not", "then")


def predicate(function: Predicate) -> Predicate:
    """Register ``name(s: Signals, [reference: Signals], **parameters) -> Verdict`` under the function's name."""
    PREDICATES[function.__name__] = function
    return function


def predicates() -> dict[str, Predicate]:
    """Every registered predicate by name."""
    return dict(PREDICATES)


def needs_reference(check: Any) -> bool:
    """Whether a check compares with a neutral rendition of the same action."""
    name, body = _parts(check)
    if name in COMBINERS:
        return any(needs_reference(c) for c in (body if isinstance(body, list) else [body]))
    return "reference" in inspect.signature(predicates()[name]).parameters


def _parts(check: Any) -> tuple[str, Any]:
    if isinstance(check, str):
        return check, {}
    if isinstance(check, dict) and len(check) == 1:
        name, body = next(iter(check.items()))
        return str(name), {} if body is None else body
    raise UserError(f"check {check!r}: accepted a name, or one key with its parameters")


def validate(check: Any) -> None:
    """Raise UserError unless `check` names known predicates with parameters that they take."""
    name, body = _parts(check)
    if name in COMBINERS:
        items = body if isinstance(body, list) else [body]
        if name == "then" and len(items) < 2:
            raise UserError(f"check {check!r}: then takes two or more checks in order")
        if not items:
            raise UserError(f"check {check!r}: {name} takes at least one check")
        for item in items:
            validate(item)
        return
    known = predicates()
    if name not in known:
        close = difflib.get_close_matches(name, [*known, *COMBINERS], 1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise UserError(f"check {name!r} is not known{hint} Accepted: {', '.join(sorted(known))}")
    accepted = [p for p in inspect.signature(known[name]).parameters if p not in ("s", "reference")]
    if not isinstance(body, dict) or set(body) - set(accepted):
        raise UserError(f"check {name}: parameters {body!r}; accepted {', '.join(accepted) or 'none'}")


def judge(check: Any, motion: Motion | Signals, reference: Motion | Signals | None = None) -> Verdict:
    """Judge one check.

    Args:
        check: see the module's text.
        motion: the clip, any frame rate and placement (it is made canonical at 20 fps).
        reference: a neutral rendition of the same action, for style checks.

    Raises:
        UserError: unknown check, or a style check without a reference.
    """
    s = motion if isinstance(motion, Signals) else Signals(motion)
    ref = reference if isinstance(reference, Signals) or reference is None else Signals(reference)
    name, body = _parts(check)
    if name in COMBINERS:
        return _combine(name, body if isinstance(body, list) else [body], s, ref)
    known = predicates()
    if name not in known:
        validate(check)
    if "reference" in inspect.signature(known[name]).parameters:
        if ref is None:
            raise UserError(f"check {name} compares with a neutral motion, and none was given")
        return known[name](s, reference=ref, **body)
    return known[name](s, **body)


def judge_all(checks: Sequence[Any], motion: Motion | Signals, reference: Motion | Signals | None = None) -> Verdict:
    """All of `checks` hold; the values are prefixed by each check's position."""
    s = motion if isinstance(motion, Signals) else Signals(motion)
    return _combine("all", list(checks), s, reference)


def _combine(name: str, items: list[Any], s: Signals, reference: Signals | Motion | None) -> Verdict:
    if name == "then":
        return _then(items, s, reference)
    verdicts = [judge(c, s, reference) for c in items]
    values = {f"{i}.{k}": v for i, verdict in enumerate(verdicts) for k, v in verdict.values.items()}
    if name == "any":
        return Verdict(any(v.passed for v in verdicts), values)
    if name == "not":
        return Verdict(not any(v.passed for v in verdicts), values)
    return Verdict(all(v.passed for v in verdicts), values)


def _then(items: list[Any], s: Signals, reference: Signals | Motion | None) -> Verdict:
    """The first check on a beginning of the clip, the others on the rest, for any split point."""
    for cut in range(SHORTEST_PART, len(s) - SHORTEST_PART + 1, SPLIT_STEP):
        first = judge(items[0], Signals.part(s, 0, cut), reference)
        if not first.passed:
            continue
        rest = Signals.part(s, cut, len(s))
        second = judge(items[1], rest, reference) if len(items) == 2 else _then(items[1:], rest, reference)
        if second.passed:
            return Verdict(True, {"split_s": cut / FPS})
    return Verdict(False, {"split_s": float("nan")})
