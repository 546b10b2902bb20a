"""The little English that captions need: verb forms, subjects, and a caption split into clauses.

Captions are written in the third person singular of the present ("a person walks, then turns left"). Users type
imperatives ("walk, then turn left"), gerunds ("walking") and other subjects ("they walk"). :class:`Verbs` converts the
finite verbs of a predicate; :func:`split` finds the subject.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


def words(text: str) -> list[str]:
    """A word list from a block of text."""
    return text.split()


_IRREGULAR_BASE = {"is": "be", "has": "have", "does": "do", "goes": "go", "lies": "lie", "ties": "tie", "dies": "die"}
_IRREGULAR_GERUND = {"be": "being", "lie": "lying", "tie": "tying", "die": "dying", "dye": "dyeing"}
# More than one syllable and still doubling the last consonant: stress on the last (begin -> beginning), or compounds of
# a word that doubles (sidestep -> sidestepping). Others do not (open -> opening).
_DOUBLING = {"begin", "unplug", "kickflip", "backflip", "sideflip", "sidestep", "jitterbug", "zigzag", "moonwalk"}

_BASES = words((Path(__file__).parent / "verbs.txt").read_text(encoding="utf-8"))
# Forms that are as often plural nouns in captions; after "and" they are nouns when the list before them is one.
_ALSO_NOUN = set(words("""
arms backs blocks bounces bounds bows boxes breaks circles claps cuts dances drops edges ends faces falls fists
flips fights grips hands heads holds hooks hops hugs jabs jerks jumps kicks knocks lands leaps legs lifts lines lobs
looks lunges marches motions moves paces passes pitches pivots places plants points poses presses pulls punches
pushes reaches rests rises rocks rolls rounds runs sets shakes shifts shrugs signals signs skips slaps slashes
slides spins springs sprints squats stamps stances stands starts steps stops stretches strides strikes strings
strolls swings throws tips touches trips turns twirls twists walks waves whirls wipes works
"""))  # fmt: skip
_ADVERBS_BETWEEN = set(words("then next finally lastly later afterwards after again even also once just"))
_DETERMINERS = set(words("a an the his her their its your my this that some several few two three four both one each"))
_PREPOSITIONS = set(words("with without of in on at by from into for through to over under like as including"))


def also_noun(third: str) -> bool:
    """Whether a verb form is as often a plural noun in captions (``steps``, ``turns``)."""
    return third.lower() in _ALSO_NOUN


def third_of(base: str) -> str:
    """Third person singular: ``walk -> walks``, ``carry -> carries``, ``punch -> punches``."""
    for third, b in _IRREGULAR_BASE.items():
        if b == base:
            return third
    if re.search(r"[^aeiou]y$", base):
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")


def gerund_of(base: str) -> str:
    """``walk -> walking``, ``wave -> waving``, ``run -> running``, ``lie -> lying``."""
    if base in _IRREGULAR_GERUND:
        return _IRREGULAR_GERUND[base]
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return base[:-1] + "ing"
    doubles = re.search(r"(?:[^aeiou]|qu)[aeiou][^aeiouwxy]$", " " + base)
    syllables = len(re.findall(r"[aeiouy]+", base.replace("qu", "q")))
    return base + (base[-1] if doubles and (syllables == 1 or base in _DOUBLING) else "") + "ing"


THIRD: dict[str, str] = {third_of(b): b for b in _BASES} | {"is": "be", "has": "have"}
GERUND: dict[str, str] = {gerund_of(b): b for b in _BASES}

_TOKEN = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*|\d+|\s+|.", re.S)


def tokens(text: str) -> list[str]:
    """Words, numbers, spaces and single other characters; joining them gives the text back."""
    return _TOKEN.findall(text)


def finite_verbs(predicate: str) -> list[int] | None:
    """Token numbers of the verbs that belong to the (removed) subject, or None when the first word is no known verb.

    A verb stands first (adverbs may come before it) or after ``and``, ``then``, ``,`` or ``;``. A plural noun in the
    same place is told apart by what stands before it: in "a form with punches and blocks" the word before ``and`` is a
    bare noun, in "bends the knees and leaps" it is not.
    """
    toks = tokens(predicate)
    words = [(i, t.lower()) for i, t in enumerate(toks) if not t.isspace()]
    found: list[int] = []
    k = 0
    while k < len(words) and words[k][1].endswith("ly") or (k < len(words) and words[k][1] in _ADVERBS_BETWEEN):
        k += 1
    if k >= len(words) or words[k][1] not in THIRD:
        return None
    found.append(words[k][0])
    for j in range(k + 1, len(words)):
        i, w = words[j]
        if w not in THIRD:
            continue
        b = j - 1
        while b > 0 and (words[b][1] in _ADVERBS_BETWEEN or (words[b][1].endswith("ly") and b > k)):
            b -= 1
        link = words[b][1]
        direct = words[j - 1][1]
        if link not in ("and", ",", ";", "or", "but") and direct not in ("then", "next", "finally"):
            continue
        if w in _ALSO_NOUN and b >= 2 and link in ("and", ",", "or"):
            before, earlier = words[b - 1], words[b - 2][1]
            bare_list = before[1] in THIRD or before[1].endswith("s")
            if bare_list and before[0] not in found and (earlier in _PREPOSITIONS or words[b - 2][0] in found):
                continue
            following = words[j + 1][1] if j + 1 < len(words) else ""
            if following == "of":
                continue
        if direct in _DETERMINERS or (w in _ALSO_NOUN and link == "," and direct.endswith("ly")):
            continue  # "with sharp, lively motions"
        found.append(i)
    return found


def convert(predicate: str, form: str) -> str | None:
    """Put a third-person predicate into another form.

    Args:
        predicate: e.g. ``walks forward and waves``.
        form: ``base`` (imperative, or after they/you), ``gerund``, ``progressive`` ("is walking") or ``third`` ("is
            walking" becomes "walks", the rest stays).

    Returns:
        The predicate, or None when its verbs are not known.
    """
    verbs = finite_verbs(predicate)
    if verbs is None:
        return None
    toks = tokens(predicate)
    out = list(toks)
    for n, i in enumerate(verbs):
        base = THIRD[toks[i].lower()]
        after = toks[i + 2].lower() if i + 2 < len(toks) else ""
        if base == "be" and after in GERUND:  # "is walking" -> walk / walking
            out[i] = out[i + 1] = ""
            base, i = GERUND[after], i + 2
        elif base == "be" and form != "base":
            return None
        elif base == "keep" and after in GERUND and form in ("gerund", "progressive"):  # "keeps walking" -> walking
            out[i] = out[i + 1] = ""
            base, i = GERUND[after], i + 2
        new = base if form == "base" else third_of(base) if form == "third" else gerund_of(base)
        out[i] = f"is {new}" if form == "progressive" and n == 0 else new
    return "".join(out)


PEOPLE = words("""
person figure human man woman guy boy girl child kid dancer player fighter referee actor character avatar subject
lady gentleman teenager youth adult citizen giant creature ogre monster bodybuilder thug punk hoodlum gangster
delinquent mannequin doll puppet dummy robot android machine zombie corpse drunk drunkard individual athlete
performer model dude fellow somebody someone he she they it
""")
_SUBJECT = re.compile(
    r"^(?:(?P<lead>.{3,60}?), )??"
    r"(?P<subject>(?:(?:an?|the|this|one) (?:[a-z]+[ -]){0,2}?)?(?:" + "|".join(PEOPLE) + r"))"
    r" (?P<rest>[a-z].*)$",
    re.I | re.S,
)
NEUTRAL = {
    "a person", "the person", "person", "someone", "somebody", "a figure", "the figure", "a human", "the human",
    "the subject", "he", "she", "they", "it", "an individual", "one person",
}  # fmt: skip
_HAS_SUBJECT = re.compile(r"\b(?:as|while|when|until|because) (?:an?|the|he|she|they|it|someone|somebody)\b", re.I)


@dataclass(frozen=True)
class Clause:
    """A caption taken apart: ``lead, subject predicate``.

    Attributes:
        lead: what stands before the subject, without its comma, or empty.
        subject: e.g. ``a person``.
        predicate: the rest, without the final period.
    """

    lead: str
    subject: str
    predicate: str

    @property
    def neutral(self) -> bool:
        """Whether the subject says nothing about how the body moves."""
        return self.subject.lower() in NEUTRAL

    def verb_phrase(self, form: str) -> str | None:
        """The predicate in another form (see :func:`convert`), with a movable lead put behind it."""
        if _HAS_SUBJECT.search(self.predicate):
            return None
        phrase = convert(self.predicate, form)
        if phrase is None or not self.lead:
            return phrase
        lead = self.lead[0].lower() + self.lead[1:]
        first = lead.split()[0]
        if first in GERUND:
            lead, first = f"while {lead}", "while"
        movable = first in ("with", "without", "while", "from", "on") and " and " not in phrase and ", " not in phrase
        return f"{phrase} {lead}" if movable else None


def split(caption: str) -> Clause | None:
    """Take a caption apart, or None when its form is another (no subject of the known kind, two sentences)."""
    text = " ".join(caption.split()).rstrip(" .!")
    if re.search(r"[.!?] ", text):
        return None
    m = _SUBJECT.match(text)
    if not m:
        return None
    clause = Clause(m["lead"] or "", m["subject"], m["rest"])
    verbs = finite_verbs(clause.predicate)
    return clause if verbs is not None else None


def first_verb(captions: Sequence[str]) -> str:
    """Base form of the first verb of the first caption that can be taken apart, or an empty string."""
    for caption in captions:
        clause = split(caption)
        if clause is not None:
            words = tokens(convert(clause.predicate, "base") or "")
            return next((w for w in words if w.isalpha() and not w.endswith("ly")), "")
    return ""
