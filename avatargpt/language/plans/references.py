"""What a step or task of a plan refers to: who does it, and what was told before. Rules on words, not a parser."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatargpt.language.plans.people import PRONOUNS
from instruct_data.text.english import THIRD, also_noun

_DANGLING = re.compile(r"\b(?:it|them|one|again|still|another|others?|back|same|more|both of)\b|\{o_|\{him\}")
_LOOKS_BACK = re.compile(r"\b(?:it|them|its|again|repeats?|same|others?|another|more)\b|\{him\}|\{o_")
_SOMEONE = re.compile(r"^(?:an? |the )?(?:person|human|figure|character|someone|somebody|individual)\b")
_SUBJECTS = re.compile(
    r"(?:\{\^o_|They |The |Both |An? |Every(?:one|body) |Nobody |All )|.*\b(?:you|your|I|me|my|we|our|us)\b"
)


def dangles(step: str) -> bool:
    """Whether a step needs something that was told before it, and cannot stand in another activity."""
    return _DANGLING.search(step) is not None


def looks_back(step: str) -> bool:
    """Whether a step refers to the one before it."""
    return _LOOKS_BACK.search(step) is not None


def of_another(task: str) -> bool:
    """Whether somebody or something else does it, or it is spoken: a verb is in it, and nobody is told to do it."""
    words = re.findall(r"\{\^?\w+\}|[A-Za-z'-]+", task)
    if _SUBJECTS.match(task):
        return True
    verb = any(w in THIRD and not also_noun(w) for w in words[1:6])
    return verb and not task.startswith("{^h") and "{he}" not in words[:6]


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
