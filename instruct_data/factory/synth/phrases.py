"""Sentences for synthetic clips: which of a clip's sentences can be combined, and how two become one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.text.captions import CaptionBank, infer_action
from instruct_data.text.english import NEUTRAL, CaptionParts, mirror_action, mirror_text, side_of, split

LICENCE = "as its sources"
MAX_CAPTIONS = 6  # of a synthetic clip
ABOUT_ARMS = re.compile(
    r"\b(?:arms?|hands?|elbows?|wrists?|fists?|palms?|fingers?|shoulders?|limbs?|forearms?|gestures?|handed)\b", re.I
)
ABOUT_HEAD = re.compile(r"\b(?:head|gaze|eyes?|chin|jaw|looks?|looking|glances?|face|neck)\b", re.I)
ABOUT_LEGS = re.compile(
    r"\b(?:stand\w*|still|spot|feet|foot|steps?|stepping|knees?|legs?|hips|body|posture|while|as|before|after|then|"
    r"walk\w*|facing|position|stance|stays?|remains?|planted|motionless|place|ground|floor|stop\w*|"
    r"first|finally|chair|seat\w*|sits?|sitting|kneel\w*|waits?)\b", re.I
)  # fmt: skip
ABOUT_ENDS = re.compile(
    r"\b(?:lower\w*|drop\w*|down|back|once|twice|times?|again|puts? it|return\w*|rests?|two|three|four|"
    r"five|six|\d+)\b", re.I
)  # fmt: skip
MANNER = re.compile(r"\b(?:slow\w*|quick\w*|fast|swift\w*|rapid\w*|brisk\w*)\b", re.I)
ASIDE = re.compile(r"\b(?:while|as|then|before|after|and then|followed)\b", re.I)


@cache
def any_of(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Matches any of the phrases."""
    return re.compile(r"\b(?:" + "|".join(map(re.escape, phrases)) + r")\b", re.I)


def sure_class(clip: Clip) -> str:
    """The class a clip surely belongs to, or an empty string."""
    return (clip.action or infer_action(clip.captions)).replace("-", "_")


def mirror_clip(clip: Clip) -> Clip:
    """The clip with left and right exchanged in motion, words, class and side."""
    captions = [mirror_text(c) for c in clip.captions]
    extra, action = dict(clip.extra), "+".join(mirror_action(a) for a in clip.action.split("+"))
    if extra.get("side"):
        extra["side"] = mirror_action(extra["side"])
    return replace(clip, motion=clip.load().mirrored(), captions=captions, action=action, extra=extra)


def clauses(
    clip: Clip, bank: CaptionBank, rng: np.random.Generator, avoid: Sequence[re.Pattern[str]]
) -> list[CaptionParts]:
    """Sentences of a clip, taken apart, that can be combined; none that matches a pattern of `avoid`."""
    side = clip.extra.get("side") or side_of(clip.action.replace("-", " ")) if clip.action else None
    texts = list(clip.captions)
    if not clip.extra.get("params"):
        paraphrases = [bank.paraphrase(clip.action, clip.style, rng, side) for _ in range(8)] if clip.action else []
        texts += [t for t in paraphrases if t]
    out = []
    for text in dict.fromkeys(texts):
        text = text.rstrip(" .")
        clause = split(text[0].lower() + text[1:])
        if clause is None or clause.lead or any(p.search(clause.predicate) for p in avoid):
            continue
        if clause.verb_phrase("gerund") is not None and clause.verb_phrase("third") is not None:
            out.append(clause)
    return out


def combine(a: CaptionParts, b: CaptionParts, rng: np.random.Generator) -> str:
    """One sentence for two concurrent actions; `a` is the body's, `b` the arms'.

    A specific subject of `a` ("an old man") stays the subject.
    """
    first = {form: a.verb_phrase(form) or a.predicate for form in ("third", "gerund", "base")}
    second = {form: b.verb_phrase(form) or b.predicate for form in ("third", "gerund", "base")}
    subject = a.subject if not a.neutral else str(rng.choice(["a person", "someone", a.subject, b.subject]))
    if subject.lower() not in NEUTRAL and a.neutral:
        subject = "a person"
    pronoun = str(rng.choice(["they", "he", "she"]))
    verb = "base" if pronoun == "they" else "third"
    kind = rng.random()
    if kind < 0.36:
        return f"{subject} {first['third']} while {second['gerund']}"
    if kind < 0.52:
        return f"{subject} {second['third']} while {first['gerund']}"
    if kind < 0.62:
        return f"{subject} {second['third']} as {pronoun} {first[verb]}"
    if kind < 0.70:
        return f"while {first['gerund']}, {subject} {second['third']}"
    if kind < 0.80:
        return f"{subject} {first['third']} and {second['third']} at the same time"
    if kind < 0.90:
        return f"{subject} {first['third']}, {second['gerund']}"
    return f"{subject} {first['third']} and {second['third']}"
