"""What the captions of an action tell beyond it, and how well that is what was asked for.

The reader of requests reads every caption once, as it reads requests; what a caption tells is kept in the book's file.
Of an action's captions that one is taken which tells what was asked and nothing else: "knocks twice" for two knocks,
"kicks" rather than "kicks while turning around" for a kick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instruct_data.requests.spec import Clause, MotionRequest

AS_ASKED = {"side": 0.3, "direction": 0.1, "times": 0.15, "turn": 0.1, "path": 0.1, "tempo": 0.05, "size": 0.05,
            "in_place": 0.1}  # fmt: skip
"""What telling it as asked is worth, in the phrasings' scores."""
UNSAID = 0.15  # what it costs to tell what was not asked
TOO = ("target", "style")  # told at all, whatever it says
MORE = 0.1  # what each further movement costs
OTHERWISE = 0.3  # what it costs to tell something else than was asked

Told = Mapping[str, Any]


def told_by(request: MotionRequest) -> dict[str, Any]:
    """The attributes that a caption tells, of its first clause that has each, and how many `more` clauses it has."""
    out: dict[str, Any] = {}
    for name in AS_ASKED:
        said = next((v for c in request.clauses if (v := getattr(c, name)) not in (None, False)), None)
        if said is not None:
            out[name] = said
    out |= {name: True for name in TOO if any(getattr(c, name) for c in request.clauses)}
    if more := len(request.clauses) - 1:
        out["more"] = more
    return out


def agreement(asked: Clause, told: Told) -> float:
    """How much better a caption is for telling what was asked, less what it tells otherwise or unasked."""
    worth = 0.0
    for name, value in told.items():
        if name == "more":
            worth -= MORE * value
            continue
        want = getattr(asked, name)
        if name in TOO:
            worth -= UNSAID * (not want)
        elif want in (None, False):
            worth -= UNSAID if value != "forward" else 0.0  # as nearly everything goes
        elif want == value:
            worth += AS_ASKED[name]
        elif name == "times":  # what is missing or too much is repeated or left out
            worth += AS_ASKED[name] * max(1 - abs(want - value) / want, -1)
        else:
            worth -= OTHERWISE
    return worth
