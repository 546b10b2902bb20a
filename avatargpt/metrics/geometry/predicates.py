"""Checks on the joints of a motion, by which the following of prompts is judged.

A check is written in YAML or as plain Python data:

- ``walks_forward``                        a predicate by name
- ``{turns: {side: left, degrees: 60}}``   with parameters
- ``{any: [a, b]}``, ``{all: [a, b]}``, ``{not: a}``
- ``{then: [a, b]}``                       a split point exists with `a` before it and `b` after it
- ``{clauses: [a, b, c]}``               the same for parts that its maker reports: the clip is split at `Signals.seams`
                                         (0.4 s before or after them), or anywhere where none are reported
- ``{clip_lasts: {seconds: 3, check: a}}`` the clip, or its part of ``clauses``, is so long (0.3 s more or less) and `a`
                                         holds; in ``clauses`` the split is exactly at the seams, and the motion must
                                         change at each of them
- ``{with: [a, b]}``                       `a` and `b` hold within one stretch of the clip (same as ``all``)

Every predicate returns whether it holds and the numbers it looked at. Thresholds were calibrated on the train split
of the real corpus: see eval/README.md for own-class and other-class pass rates.
"""

import difflib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals
from vqvae.errors import UserError
from vqvae.motion import Motion

# A part of a two-action clip may not be shorter than this, or its facing and speed mean little.
MIN_PART_FRAMES = int(0.7 * FPS)
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
COMBINERS = ("all", "any", "with", "not", "then", "clauses")
CLIP_LASTS = "clip_lasts"
# Predicates that look at where the head looks, which positions alone do not show (`Signals.head_turn`).
HEAD_PREDICATES = frozenset("nods shakes_head looks_around looks faces_up head_tilts sits_and_turns".split())
# What `counted` and `compared` take from it.
HEAD_COUNTS, HEAD_MEASURES = frozenset({"nods", "head_shakes"}), frozenset({"nod"})
MAX_SECONDS_OFF = 0.3  # s by which a length may differ from what was asked
SEAM_OFFSETS = (0, -4, 4, -8, 8)  # frames from a reported seam at which the next part may begin


def predicate(function: Predicate) -> Predicate:
    """Register ``name(s: Signals, [reference: Signals], **parameters) -> Verdict`` under the function's name.

    `validate` reads from the annotations what parameters accept: ``int``, ``float``, ``Literal[...]``, or
    ``Annotated[str, check]`` with a function that raises UserError.
    """
    PREDICATES[function.__name__] = function
    return function


def list_named(check: Any) -> Iterator[tuple[str, Any]]:
    """The predicates that a check names, with their parameters."""
    name, body = _parts(check)
    inside = [body["check"]] if name == CLIP_LASTS else body if isinstance(body, list) else [body]
    if name == CLIP_LASTS or name in COMBINERS:
        for item in inside:
            yield from list_named(item)
    else:
        yield name, body


def needs_reference(check: Any) -> bool:
    """Whether a check compares with a neutral rendition of the same action."""
    return any("reference" in inspect.signature(PREDICATES[name]).parameters for name, _ in list_named(check))


def needs_head(check: Any) -> bool:
    """Whether a check looks at where the head looks, so that positions alone do not decide it."""
    return any(
        name in HEAD_PREDICATES or (name == "counted" and body.get("what") in HEAD_COUNTS)
        or (name == "compared" and body.get("what") in HEAD_MEASURES) for name, body in list_named(check)
    )  # fmt: skip


def _parts(check: Any) -> tuple[str, Any]:
    if isinstance(check, str):
        return check, {}
    if isinstance(check, dict) and len(check) == 1:
        name, body = next(iter(check.items()))
        return str(name), {} if body is None else body
    raise UserError(f"check {check!r}: accepted a name, or one key with its parameters")


def validate(check: Any) -> None:
    """Raise UserError unless `check` names known predicates with parameters and values that they take."""
    name, body = _parts(check)
    if name == CLIP_LASTS:
        fits = isinstance(body, dict) and set(body) == {"seconds", "check"}
        if not fits or not isinstance(body["seconds"], int | float):
            raise UserError(f"check {check!r}: clip_lasts takes seconds and a check")
        validate(body["check"])
        return
    if name in COMBINERS:
        items = body if isinstance(body, list) else [body]
        if name == "then" and len(items) < 2:
            raise UserError(f"check {check!r}: then takes two or more checks in order")
        if not items:
            raise UserError(f"check {check!r}: {name} takes at least one check")
        for item in items:
            validate(item)
        return
    if name not in PREDICATES:
        close = difflib.get_close_matches(name, [*PREDICATES, *COMBINERS], 1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise UserError(f"check {name!r} is not known{hint} Accepted: {', '.join(sorted(PREDICATES))}")
    accepted = {k: p for k, p in inspect.signature(PREDICATES[name]).parameters.items() if k not in ("s", "reference")}
    if not isinstance(body, dict) or set(body) - set(accepted):
        raise UserError(f"check {name}: parameters {body!r}; accepted {', '.join(accepted) or 'none'}")
    missing = [k for k, p in accepted.items() if p.default is p.empty and k not in body]
    if missing:
        raise UserError(f"check {name}: parameters {body!r}; {', '.join(missing)} needed")
    kinds = get_type_hints(PREDICATES[name], include_extras=True)
    for parameter, value in body.items():
        _check_value(f"check {name}: {parameter} {value!r}", kinds[parameter], value)


# `kind`: the annotation of the parameter.
def _check_value(where: str, kind: Any, value: Any) -> None:
    if isinstance(value, str) and value.startswith("$"):  # a parameter of the clip, see `metrics.checks.fill_check`
        return
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UserError(f"{where}; accepted {', '.join(get_args(kind))}")
    elif get_origin(kind) is Annotated:
        if not isinstance(value, str):
            raise UserError(f"{where}; accepted a word")
        for check in kind.__metadata__:
            check(value)
    elif isinstance(value, bool) or not isinstance(value, Integral if kind is int else Real):
        raise UserError(f"{where}; accepted a {'whole number' if kind is int else 'number'}")
    elif not math.isfinite(value):
        raise UserError(f"{where}; accepted a finite number")


def judge(check: Any, motion: Motion | Signals, reference: Motion | Signals | None = None) -> Verdict:
    """Judge one check.

    Args:
        motion: the clip, any frame rate and placement (it is made canonical at 20 fps).
        reference: a neutral rendition of the same action, for style checks.
    """
    s = motion if isinstance(motion, Signals) else Signals(motion)
    ref = reference if isinstance(reference, Signals) or reference is None else Signals(reference)
    name, body = _parts(check)
    if name == CLIP_LASTS:
        verdict = judge(body["check"], s, ref)
        late = s.seconds - float(body["seconds"])
        return Verdict(verdict.passed and abs(late) <= MAX_SECONDS_OFF + 1e-9, {"late_s": late, **verdict.values})
    if name in COMBINERS:
        return _combine(name, body if isinstance(body, list) else [body], s, ref)
    if name not in PREDICATES:
        validate(check)
    if "reference" in inspect.signature(PREDICATES[name]).parameters:
        if ref is None:
            raise UserError(f"check {name} compares with a neutral motion, and none was given")
        return PREDICATES[name](s, reference=ref, **body)
    return PREDICATES[name](s, **body)


def judge_all(checks: Sequence[Any], motion: Motion | Signals, reference: Motion | Signals | None = None) -> Verdict:
    """All of `checks` hold; the values are prefixed by each check's position."""
    s = motion if isinstance(motion, Signals) else Signals(motion)
    return _combine("all", list(checks), s, reference)


def _combine(name: str, items: list[Any], s: Signals, reference: Signals | Motion | None) -> Verdict:
    if name == "then" or (name == "clauses" and s.seams is None):
        return _then(items, s, reference) if len(items) > 1 else judge(items[0], s, reference)
    if name == "clauses":
        return _clauses(items, s, reference)
    verdicts = [judge(c, s, reference) for c in items]
    values = {f"{i}.{k}": v for i, verdict in enumerate(verdicts) for k, v in verdict.values.items()}
    if name == "any":
        return Verdict(any(v.passed for v in verdicts), values)
    if name == "not":
        return Verdict(not any(v.passed for v in verdicts), values)
    return Verdict(all(v.passed for v in verdicts), values)


# The first check on a beginning of the clip, the others on the rest, for any split point.
def _then(items: list[Any], s: Signals, reference: Signals | Motion | None) -> Verdict:
    for cut in range(MIN_PART_FRAMES, len(s) - MIN_PART_FRAMES + 1, SPLIT_STEP):
        first = judge(items[0], Signals.part(s, 0, cut), reference)
        if not first.passed:
            continue
        second_part = Signals.part(s, cut, len(s))
        second = (judge(items[1], second_part, reference) if len(items) == 2
                  else _then(items[1:], second_part, reference))  # fmt: skip
        if second.passed:
            return Verdict(True, {"split_s": cut / FPS})
    return Verdict(False, {"split_s": float("nan")})


# The checks one after another on the parts that the clip's maker reports.
def _clauses(items: list[Any], s: Signals, reference: Signals | Motion | None) -> Verdict:
    if len(items) == 1:
        return judge(items[0], s, reference)
    timed = any(_parts(c)[0] == CLIP_LASTS for c in items)
    failed = Verdict(False, {"parts_reported": float(len(s.seams or ()) + 1)})
    for cut in sorted({n + off for n in s.seams or () for off in (SEAM_OFFSETS[:1] if timed else SEAM_OFFSETS)}):
        if not MIN_PART_FRAMES // 2 <= cut <= len(s) - MIN_PART_FRAMES // 2 or (timed and not changes_at(s, cut)):
            continue
        first = judge(items[0], Signals.part(s, 0, cut), reference)
        if not first.passed:
            failed = Verdict(False, {**failed.values, **first.values})
            continue
        following = _clauses(items[1:], Signals.part(s, cut, len(s)), reference)
        if following.passed:
            return Verdict(True, {"split_s": cut / FPS})
        failed = following
    return failed


def changes_at(s: Signals, frame: int) -> bool:
    """Whether the body does something else after a frame than before it.

    Compared are means over up to a second on either side, without 0.2 s before and 0.4 s after it (where seams are
    blended): speed over the ground, height and speed of the wrists, speed of the ankles, lean, height of the pelvis.
    """
    rows = np.stack([
        s.speed / 0.3, s.hand_height("l") / 0.2, s.hand_height("r") / 0.2, s.relative_velocity[:, 20] / 0.3,
        s.relative_velocity[:, 21] / 0.3, s.velocity[:, [7, 8]].mean(1) / 0.3, s.uprightness / 0.2,
        s.joints[:, 0, 1] / 0.1,
    ])  # fmt: skip
    before, after = rows[:, max(frame - 24, 0) : max(frame - 4, 1)], rows[:, frame + 8 : frame + 28]
    return bool(after.shape[1] and np.abs(before.mean(1) - after.mean(1)).max() >= 1.0)
