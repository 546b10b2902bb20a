"""Whether a motion shows an action, and none that was denied, as far as geometry can tell.

The tables that tell what must be seen of a keyframed family or a class of recorded clips
(`avatargpt.metrics.truths`) judge what was made before anybody sees it: a candidate that does not show its action comes
after those that do, and where none does another caption is tried.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from avatargpt.body.spec import MotionSpec
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from avatargpt.metrics.truths import Truths


@cache
def _truths() -> Truths:
    return Truths()


@lru_cache(maxsize=4096)
def _checks(action: str, caption: str) -> tuple[Any, ...]:
    return tuple(_truths().of_action(action, caption))


def shows(s: Signals, action: str, caption: str) -> bool | None:
    """Whether the action is seen, on the side that the caption names; None where nothing tells."""
    checks = _checks(action, caption)
    return all(predicates.judge(c, s).passed for c in checks) if checks else None


def amiss(s: Signals, spec: MotionSpec) -> int:
    """How much is wrong: the action is not seen, and each denied one that is."""
    wrong = shows(s, spec.action, spec.caption) is False
    return int(wrong) + sum(shows(s, *one) is True for one in spec.avoid if one[0] != spec.action)
