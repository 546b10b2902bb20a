"""Ways in which people type the same caption: other subjects, imperatives, gerunds, short forms, case, full stops."""

from __future__ import annotations

import re

import numpy as np

from instruct_data.text.english import Clause, split

SUBJECTS = [
    "a person", "someone", "somebody", "the person", "the figure", "a figure", "a human", "a man", "a woman", "a guy",
    "the character", "the avatar", "an actor", "he", "she", "a boy", "a girl", "the man", "the woman", "a character",
    "the actor", "this person", "one person", "an individual", "my avatar", "the model",
]  # fmt: skip
_WEIGHTS = np.array([4, 2, 2, 2, 1.5, 1.5, 1.5, 2, 2, 1, 1.5, 1.5, 1, 1.5, 1.5] + [1] * 5 + [0.5] * 6)
_PARTS = re.compile(
    r"\bthe (?=(?:left |right |whole |upper |open |other )?"
    r"(?:hands?|arms?|legs?|feet|foot|knees?|elbows?|head|shoulders?|hips?|body|fists?|palms?|wrists?)\b)", re.I
)  # fmt: skip
_ARTICLES = re.compile(r"\b(?:the|a|an) ", re.I)
_POSSESSIVE = {"he": "his", "she": "her", "they": "their", "a man": "his", "a woman": "her", "a guy": "his",
               "a boy": "his", "a girl": "her", "the man": "his", "the woman": "her", "you": "your"}  # fmt: skip


def _own(phrase: str, possessive: str, rng: np.random.Generator) -> str:
    """Turn "the left hand" into "your left hand" in half of the cases; one owner throughout."""
    return _PARTS.sub(f"{possessive} ", phrase) if rng.random() < 0.5 else phrase


def _finish(text: str, rng: np.random.Generator) -> str:
    text = " ".join(text.split()).rstrip(" .")
    r = rng.random()
    if r < 0.3:
        text = text[0].upper() + text[1:]
    elif r < 0.33:
        text = text.upper()
    return text + ("." if rng.random() < 0.35 else "")


def _like_subject(clause: Clause, phrase: str) -> str:
    """Keep what a telling subject said ("an old man walks" -> "walk like an old man")."""
    if clause.neutral or re.search(r"\blike\b|\bin an? .*(?:way|manner|fashion)\b", phrase):
        return phrase
    return f"{phrase} like {re.sub(r'^(?:the|this) ', 'a ', clause.subject)}"


def imperative(caption: str, rng: np.random.Generator | None = None) -> str | None:
    """Turn "a person waves the left hand" into "wave the left hand" or "wave your left hand"; None if it cannot."""
    clause = split(caption)
    phrase = clause.verb_phrase("base") if clause else None
    if clause is None or phrase is None:
        return None
    return _like_subject(clause, _own(phrase, "your", rng) if rng is not None else phrase)


def gerund(caption: str, subject: str = "") -> str | None:
    """Turn "a person walks forward" into "walking forward", or "a man walking forward" with a subject."""
    clause = split(caption)
    phrase = clause.verb_phrase("gerund") if clause else None
    if clause is None or phrase is None:
        return None
    return f"{subject} {phrase}" if subject else _like_subject(clause, phrase)


def keywords(caption: str) -> str | None:
    """Short form without articles: "a person waves the left hand." -> "wave left hand"."""
    phrase = imperative(caption)
    if phrase is None or re.search(r"\b(?:as|so) ", phrase):
        return None
    short = re.sub(r"\b(left|right) one\b", r"\1", _ARTICLES.sub("", phrase))
    return re.sub(r"\b(?:his|her|their|its|your) ", "", short)


def with_subject(caption: str, subject: str, rng: np.random.Generator | None = None) -> str | None:
    """Another subject in place of one that tells nothing; None when the subject tells something about the body."""
    clause = split(caption)
    if clause is None or not clause.neutral:
        return None
    predicate = clause.predicate
    if rng is not None and subject in _POSSESSIVE:
        predicate = _own(predicate, _POSSESSIVE[subject], rng)
    lead = f"{clause.lead}, " if clause.lead else ""
    return f"{lead}{subject} {predicate}"


def vary(caption: str, rng: np.random.Generator) -> str:
    """A truthful variation of a caption, drawn with `rng`; the caption itself in about a quarter of the cases.

    Nothing is added or lost that the body would show: a telling subject ("an old man") is kept or becomes a
    comparison ("like an old man").
    """
    caption = " ".join(caption.split())
    kind = rng.random()
    out: str | None = None
    if kind < 0.22:
        return caption
    if kind < 0.46:
        subject = str(rng.choice(SUBJECTS, p=_WEIGHTS / _WEIGHTS.sum()))
        out = with_subject(caption, subject, rng)
    elif kind < 0.70:
        out = imperative(caption, rng)
    elif kind < 0.88:
        clause = split(caption)
        if clause is not None and rng.random() < 0.55:
            subject = str(rng.choice(["man", "person", "woman", "a person", "a man", "a woman", "someone", "guy",
                                      "character", "a character"])) if clause.neutral else clause.subject  # fmt: skip
            if not clause.neutral and rng.random() < 0.5:
                subject = re.sub(r"^(?:an?|the) ", "", subject)
            out = gerund(caption, subject)
        elif clause is not None and rng.random() < 0.3:
            phrase = clause.verb_phrase("progressive")
            out = f"{clause.subject} {phrase}" if phrase and not clause.lead else None
        else:
            out = gerund(caption)
    else:
        out = keywords(caption)
    return _finish(out or caption, rng)
