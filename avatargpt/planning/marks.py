"""Plan texts without a person in them: marks where they name the actor (``{he} lifts {his} left arm``), and back.

Rules, not a network: pronouns, and the nouns at the beginning of a step.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from avatargpt.requests.people import GENDER_OF, PEOPLE, PRONOUNS, WORD, names
from instruct_data.text.english import THIRD

MARKS = ("{he}", "{him}", "{his}", "{himself}")
OTHERS = ("{o_he}", "{o_him}", "{o_his}", "{o_himself}")
_OBJECT_NEXT = re.compile(
    r"her(?=$|[,.;:!?]| (?:and|but|to|from|with|by|on|in|at|of|up|down|off|out|over|under|away|again|around|into|"
    r"through|for|as|like|along|behind|across|past|then|before|after|forward|once|twice|gently|slowly|softly|"
    r"quickly|a|an|the|home|inside|aside|tight|tightly|close|while|until|when|who|there|everything|go|know)\b)"
)
_BRINGS = r"\b(?:bring|lead|take|call|carr(?:y|ie)|send|pull|give|get|win|drag|walk|push|want|hug)s? $"
_PRONOUN = re.compile(
    r"(?<![\w{^])(?:[Hh]e|[Hh]im|[Hh]is|[Hh]imself|[Ss]he|[Hh]er|[Hh]erself|[Ii]t|[Ii]ts|[Ii]tself)(?![\w}])"
)


def gender_of(text: str) -> str:
    """``he``, ``she`` or ``it`` by the pronouns of a plan, the commonest; empty without any."""
    counts = Counter(GENDER_OF[w] for w in WORD.findall(text.lower()) if w in GENDER_OF)
    return max(counts, key=lambda g: (counts[g], g)) if counts else ""


def actor_of(texts: Sequence[str]) -> str:
    """``he``, ``she`` or ``it`` by the subjects that texts begin with, else by all words; empty if they do not tell."""
    subjects = [re.split(r" (?:\w+s|\w+ing)\b", t.strip(), maxsplit=1)[0] for t in texts if t.strip()]
    return gender_of(" ".join(subjects)) or gender_of(" ".join(texts))


def unmarked(text: str) -> str:
    """A text without its marks."""
    return re.sub(r"\{\^?\w+\}", " ", text)


def bare(text: str, actor: str, step: bool = True) -> str:
    """A text of any actor without person, case and punctuation, so that only what is done is compared."""
    marked = neutral(text[:1].lower() + text[1:], actor, step)
    return " ".join(re.findall(r"[a-z{}_]+", marked.lower().replace("{o_", "{")))


def _subject(step: str) -> tuple[str, str]:
    """(noun phrase, rest) of a step that begins with a person; the phrase is empty where it does not."""
    words = step.split(" ")
    if words[0] not in ("a", "an", "the") or len(words) < 3:
        return "", step
    for i in range(2, min(6, len(words))):
        head = words[i - 1].removesuffix("'s")
        known = head in PEOPLE or (words[0] != "the" and words[i] in THIRD and head not in _NOT_PEOPLE)
        if not known or (words[i] in PEOPLE and words[i] not in THIRD):
            continue
        tail = "'s" if words[i - 1].endswith("'s") else ""
        return " ".join(words[:i]).removesuffix("'s"), tail + " " + " ".join(words[i:])
    return "", step


_NOT_PEOPLE = frozenset("ball door hand leg arm foot rope bird wave voice hat bell stone step head wind horse".split())
_CLAUSE = re.compile(r"\b(?:so|and|but|because|when|while|if) $")  # behind it "it" may be who acts
_ACTS = re.compile(r" [a-z]+s\b")


def neutral(text: str, actor: str, step: bool = True) -> str:
    """A plan text with marks in place of its actor.

    Args:
        text: a step or a task.
        actor: gender of the plan's actor; the other one's pronouns become marks of the other person.
        step: steps begin with their subject, which is taken for the actor.
    """
    said = " ".join(text.split())
    if step:
        said = said.rstrip(".")
        phrase, rest = _subject(said)
        if phrase:
            said = "{his}" + rest[2:] if rest.startswith("'s ") else "{he}" + rest
    said = re.sub(r"\bthe person's\b", "{his}", said)
    said = re.sub(r"(^|, |\b(?:and|then|as|while|when|until|before|that) )the person\b", r"\1{he}", said)
    said = re.sub(r"\bthe person\b", "{him}", said)

    def mark(match: re.Match[str]) -> str:
        word = match.group(0)
        low = word.lower()
        for gender in ("he", "she", "it"):
            if low not in PRONOUNS[gender] or (gender == "it" and actor != "it"):
                continue
            if low == "her":
                back = re.search(_BRINGS, said[: match.start()].lower()) and said[match.end() :].startswith(" back")
                kind = 1 if back or _OBJECT_NEXT.match(said[match.start() :].lower()) else 2
            elif low == "it":
                acts = _CLAUSE.search(said[: match.start()].lower()) and _ACTS.match(said, match.end())
                kind = 0 if match.start() == 0 or acts else 1
            else:
                kind = PRONOUNS[gender].index(low)
            marks = MARKS if gender == actor or actor not in ("he", "she") else OTHERS
            if gender == "it":
                marks = MARKS
            chosen = marks[kind]
            return chosen.replace("{", "{^") if word[0].isupper() else chosen
        return word

    return _PRONOUN.sub(mark, said)


def unnamed(task: str, scene: str) -> str:
    """A task of a plan that begins with a name of its scene, with the mark of its actor instead."""
    name, _, rest = task.partition(" ")
    acts = re.match(r"[a-z]+s ", rest)
    return "{^he} " + rest if acts and name.lower() in names(scene) else task


def embedded(text: str) -> str:
    """A text with marks in the words that the sentence encoder reads: a person, their."""
    forms = {"he": "the person", "him": "them", "his": "their", "himself": "themselves"}
    said = re.sub(r"\{\^?(?:o_)?(\w+)\}", lambda m: forms[m.group(1)], text)
    return "a" + said[3:] if said.startswith("the person") else said


def fill(text: str, gender: str, first: str = "") -> str:
    """Marks -> the words for `gender`; `first` is said in place of the first subject."""
    own = PRONOUNS[gender]
    other = PRONOUNS["she" if gender == "he" else "he"]

    def word(match: re.Match[str]) -> str:
        cap, away, kind = match.group(1), match.group(2), match.group(3)
        said = (other if away else own)[("he", "him", "his", "himself").index(kind)]
        if first and not away and kind == "he" and match.start() == 0:
            said = first
        return said[0].upper() + said[1:] if cap else said

    out = re.sub(r"\{(\^?)(o_)?(\w+)\}", word, text)
    return out[0].upper() + out[1:] if text.startswith("{^") else out
