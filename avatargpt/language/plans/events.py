"""What a scene itself says that its actor does: ``A pirate buries his treasure and forgets where`` -> two events.

Activities that suit an event are told in its words. Rules, not a network: clauses are cut at commas, conjunctions and
verbs; a clause of somebody else, of the past, or with a pronoun that nothing explains is no event.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatargpt.language.plans.marks import neutral
from avatargpt.language.plans.people import PEOPLE, PRONOUNS
from avatargpt.language.plans.persons import Person
from avatargpt.language.plans.telling import AFTER_VERB, BASES, GERUNDS
from instruct_data.text.english import THIRD, also_noun, third_of

SHORTEST, LONGEST, CUT = 2, 9, 7  # words of an event: at least, at most, and of one that had to be cut
_KNOWN = {third_of(b): b for b in BASES} | THIRD
_TOKEN = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*|[^\sA-Za-z]")
_NO_VERBS = frozenset("is has does was its his this us always towards besides sometimes".split())
_ENDS = frozenset(
    """because while until who whom whose which that when where as so if although though since but or than whenever
    wherever unless how why what""".split()
)
_QUESTIONS = frozenset("how what why whether that".split())  # what a clause says is behind them
_SPEAKERS = re.compile(r"\b(?:I|me|my|we|us|our|you|your)\b")
_UNCLEAR = re.compile(
    r"\b(?:it|them|they|their|ones?|this|these|those|others?|same|something|anything|nothing|for \w+self)\b"
)
_TRADE = re.compile(  # who is no person of `PEOPLE` and yet acts
    r"[a-z-]+(?:[^eaw]er|or|ist|ian|man|woman|mother|father)|pilgrim|monk|fairy|ghost|bee|angel|dad|cop|tailor"
)
_DETERMINERS = frozenset("a an the his her its their one two three four five some every another".split())
_PREPOSITIONS = frozenset(
    """in on at to from with by of for into onto over under behind beside near through across along against around up
    down off out inside outside during before after between past without below above like""".split()
)
_STATES = frozenset(  # nothing is seen of them
    "means seems looks likes knows thinks believes hopes says lives feels needs costs fears spends stays seeks".split()
)


def events(scene: str, person: Person) -> tuple[str, ...]:
    """Statements with marks in place of the actor, in the order of the scene: ``{^he} buries {his} treasure.``

    Args:
        scene: as it was asked. person: who acts in it.
    """
    sentences = re.split(r"(?<=[.!?;:])\s+", " ".join(scene.split()))
    found = [e for s in sentences if not _SPEAKERS.search(s) for e in _of(_TOKEN.findall(s), person)]
    return tuple(dict.fromkeys(found))


def _of(words: Sequence[str], person: Person) -> list[str]:
    """Events of a sentence."""
    out: list[str] = []
    start = _first(words, person)
    thing = ""  # what the last event was done to
    while start is not None:
        end, following = _end(words, start)
        clause = _short(words, start, end)
        said = " ".join(_third(clause))
        said = re.sub(r"\bit\b", thing, said) if thing else said
        asks = end < len(words) and words[end].lower() in _QUESTIONS
        if not asks and _fits(said, person):
            out.append("{^he} " + neutral(said, "he" if person.gender == "they" else person.gender, False) + ".")
        thing = _object(clause) or thing
        start = following
    return out


def _first(words: Sequence[str], person: Person) -> int | None:
    """Where the predicate of the actor begins: at the first verb whose subject is the actor, or at a gerund."""
    if not words:
        return None
    low = [w.lower() for w in words]
    if low[0] in GERUNDS and len(words) > 1 and (low[1] in AFTER_VERB or re.fullmatch(r"[a-z]{3,}s", low[1])):
        return 0
    named = (person.noun.split()[-1], PRONOUNS[person.gender][0])
    for i in range(1, len(words)):
        if low[i] in _ENDS or words[i] in ".!?;:":
            return None
        if not _verb(words, i) and not (low[i] in GERUNDS and low[i - 1] in PEOPLE):
            continue
        subject = low[max((j + 1 for j in range(i) if words[j] == "," or low[j] == "and"), default=0) : i]
        plain = subject[: next((k for k, w in enumerate(subject) if w in _PREPOSITIONS and k), len(subject))]
        name = i > 1 and words[i - 1][0].isupper() and low[i - 1] not in PEOPLE and len(plain) <= 2
        if plain and (plain[-1] in named or name or _TRADE.fullmatch(plain[-1])):
            return i
    return None


def _verb(words: Sequence[str], i: int, joined: bool = False) -> bool:
    """Whether a finite verb stands there.

    Args:
        joined: it stands behind ``and`` or a comma, where a plural noun is as likely.
    """
    word, after = words[i].lower(), words[i + 1].lower() if i + 1 < len(words) else "."
    if word in ("must", "cannot", "has", "is"):
        return not joined or word in ("must", "cannot")
    if word in _NO_VERBS or not re.fullmatch(r"[a-z]+[^su']s|[a-z]+sses", word) or word in _STATES:
        return False
    follows = after in AFTER_VERB or after in ".!?;:," or after.endswith("ly") or after in PRONOUNS["he"]
    if word in _KNOWN and (not also_noun(word) or follows):
        return True
    if joined:
        return after in _DETERMINERS or (word in _KNOWN and follows)
    return follows and words[i - 1].lower() in PEOPLE


def _end(words: Sequence[str], start: int) -> tuple[int, int | None]:
    """(where the clause ends, where the actor's next one begins or None)."""
    low = [w.lower() for w in words]
    for i in range(start + 1, len(words)):
        if low[i] in ("and", "then") or words[i] == ",":
            at = i + 1
            while at < len(words) and low[at] in ("and", "then", "finally", "but", "quickly", "slowly"):
                at += 1
            if at < len(words) and _verb(words, at, True):
                return i, at
            if words[i] == ",":
                return i, None
            if at < len(words) and any(_verb(words, j) for j in range(at + 1, min(at + 4, len(words)))):
                return i, None  # somebody else goes on
        elif (
            low[i] in _ENDS
            or not words[i][0].isalpha()
            or low[i] in ("before", "after")
            and any(_verb(words, j, True) for j in range(i + 2, len(words)))
        ):
            return i, None
    return len(words), None


def _short(words: Sequence[str], start: int, end: int) -> list[str]:
    """The clause, cut before a preposition where it is too long; before ``of`` there is another one to cut at."""
    out, whole = list(words[start:end]), ""
    while len(out) > LONGEST or (len(out) < end - start and (len(out) > CUT or whole == "of")):
        cut = next((k for k in range(len(out) - 1, 1, -1) if out[k].lower() in _PREPOSITIONS), 0)
        if not cut:
            return []
        whole = out[cut].lower()
        out = out[:cut]
    return out


def _third(clause: list[str]) -> list[str]:
    """With its verb in the third person: ``has to give``, ``must give`` and ``is giving`` become ``gives``."""
    low = [w.lower() for w in clause]
    if low[:1] and low[0] in GERUNDS:
        return [third_of(GERUNDS[low[0]]), *clause[1:]]
    if low[:2] == ["has", "to"] and len(low) > 2 and low[2] in BASES:
        return [third_of(low[2]), *clause[3:]]
    if low[:1] == ["must"] and len(low) > 1 and low[1] in BASES:
        return [third_of(low[1]), *clause[2:]]
    if low[:1] == ["is"] and len(low) > 1 and low[1] in GERUNDS:
        return [third_of(GERUNDS[low[1]]), *clause[2:]]
    return clause if low[:1] and low[0] not in ("has", "is", "must") else []


def _fits(said: str, person: Person) -> bool:
    words = said.split()
    if not SHORTEST <= len(words) <= LONGEST or _UNCLEAR.search(said):
        return False
    other = PRONOUNS["she" if person.gender == "he" else "he"]
    return words[-1].lower() not in _PREPOSITIONS - {"up", "down", "off", "out"} and not set(words) & set(other)


def _object(clause: Sequence[str]) -> str:
    """What the clause is done to, as it is named again: ``builds a fort of snow`` -> ``the fort``."""
    if len(clause) < 3 or clause[1].lower() not in _DETERMINERS:
        return ""
    rest = [w.lower() for w in clause[2:]]
    cut = next((k for k, w in enumerate(rest) if w in _PREPOSITIONS or w in AFTER_VERB), len(rest))
    return f"the {rest[cut - 1]}" if 0 < cut <= 3 and not rest[cut - 1].endswith("ly") else ""
