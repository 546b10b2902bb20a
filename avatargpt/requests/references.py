"""What a step or task of a plan refers to: who does it, and what was told before. Rules on words, not a parser."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatargpt.requests.people import PRONOUNS
from instruct_data.text.english import THIRD

_SOMEONE = re.compile(r"^(?:an? |the )?(?:person|human|figure|character|someone|somebody|individual)\b")


def strange_names(texts: Sequence[str], scene: str) -> int:
    """How many names of people are in the texts of an activity that the scene does not tell."""
    return sum(n not in scene for n in {n for t in texts for n in re.findall(r"(?<=[\w,}] )[A-Z][a-z]+", t)})


def subject_of(step: str) -> str:
    """Who does it: the words before the verb."""
    words = step.split()
    verb = next((i for i, w in enumerate(words[:6]) if i and w.lower() in THIRD), 0)
    return " ".join(words[:verb]) if 0 < verb <= 5 and "," not in " ".join(words[:verb]) else ""


def told_of(caption: str, subject: str, gender: str) -> str:
    """A caption about "a person" as a step about `subject`; without one, its verb phrase."""
    rest = _SOMEONE.sub("", caption).strip()
    if rest == caption:
        return caption
    own = PRONOUNS.get(gender, PRONOUNS["they"])
    if own is not PRONOUNS["they"]:
        for neutral, word in (("their", own[2]), ("themselves", own[3])):
            rest = re.sub(rf"\b{neutral}\b", word, rest)
    return f"{subject} {rest}".strip() if subject else rest
