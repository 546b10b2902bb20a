"""Where and when a scene is: its own phrases, and activities told in its words.

An activity that would fit many scenes is told with what this one says (``at the passport office``, its mood), or with
what is seen of it (``plants a row and wipes {his} brow``). Rules, not a network: phrases are cut, no parser is used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from avatargpt.language.lexical import lemmas
from avatargpt.language.plans.marks import neutral, unmarked
from avatargpt.language.plans.people import PEOPLE
from avatargpt.language.plans.persons import Person
from avatargpt.language.plans.telling import with_manner
from instruct_data.text.english import GERUND, THIRD, gerund_of

_WORD = r"[A-Za-z]+(?:[-'][a-z]+)*"
_PHRASE = re.compile(
    rf"\b(in front of|at the top of|in the middle of|in|at|on|outside|inside|beside|near|before|after|during) "
    rf"(the|a|an|his|her|its|their) ((?:{_WORD} ){{0,3}}?{_WORD})(?= of (?:the|a|an) {_WORD}|[,.;:!?]|$| [a-z]+)",
    re.IGNORECASE,
)
_ON = frozenset(
    """bridge roof roofs deck stage street ferry farm beach lawn field ice court road island ship mountain hill boat
    train platform balcony porch terrace pier quay square ridge rink riverbank shore coast track tracks pitch dance
    floor market corner waterfront pavement rooftop cliff glacier lake river""".split()
)
_NO_PLACE = frozenset(
    """suit dress costume hat uniform shirt coat voice mood armour armor gloves love circle line hurry way minutes row
    end time middle last final first pyjamas boots shoes mask role part moment name silence joy fear pain day while bit
    life hand hands back arms arm head eye eyes face heels pace speed same wheelchair chest mouth one two belt pocket
    rules years order orders signal idea sight sound word side film game legend story movie door barrel ashes singlet
    singer dares tells chat clothes""".split()
)
_EVENTS = frozenset(
    """storm rain show climb festival session funeral final match race wedding party concert service opera premiere
    accident exam battle ceremony rehearsal flood fire shift war parade lesson class performance holiday harvest sale
    meeting interview lunch dinner breakfast supper snowfall quake auction trial operation loss defeat victory
    """.split()
)
_BARE = re.compile(
    r"\b(?:at|before|after) (?:dawn|dusk|midnight|noon|night|sunrise|sunset|closing time|work|school)\b"
    r"|\bin (?:spring|summer|autumn|winter)\b"
    r"|\bin (?:[a-z]+ )?(?:weather|rain|snow|fog|mist|drizzle|moonlight|sunshine|candlelight)\b(?! \w+s\b)"
)
_WHENEVER = re.compile(  # phrases that go with a place, and words of a time that is told already
    r"(?:before|after|during) |at (?:dawn|dusk|midnight|noon|night|sunrise|sunset)|"
    r"in (?:(?:the |[a-z]+ )+)?(?:spring|summer|autumn|winter|weather|rain|snow|fog|mist|drizzle|storm|wind|heat|cold)$"
)
_TIMED = re.compile(r"\b(?:before|after|during|when|while|until|night|morning|evening|day|dawn|rain|snow|storm|wind)\b")
_STOPS = frozenset(
    """of in at on to for with by from and or but as that who which while when where until after before is are was has
    have had must can will would not into onto over under behind through without about against than then if so his her
    their its the a an him them he she they it all every some one two three four five six seven eight nine ten dark
    alone again too very full away up down out off back""".split()
)
_PLACED = re.compile(
    r"\b(?:in|at|on|onto|into|to|from|through|under|behind|over|across|along|off|around|inside|outside|beside|near|by|"
    r"against|towards?|past|before|after|during|when|while|until|for|between|below|above|like|as)\b"
)
_LOOSE = re.compile(
    r"\b(?:it|them|its|one|again|another|others?|same|still|repeats?|does|is|has|this|that|something)\b|\{o_"
)
_BODILY = frozenset(
    """reaches turns stands sits kneels bends squats steps leans crawls climbs gets rises spins rolls goes moves walks
    runs jogs falls starts lifts holds puts lowers stops comes keeps""".split()
)
_LEFT_OUT = frozenset("with from at in before after beside behind near by over under above below until".split())
LONGEST = 9  # words of an activity that takes something more
TAIL = 7  # words of what is added


@dataclass(frozen=True)
class Setting:
    """Phrases of a scene, marks in place of the actor, the first named first.

    Attributes:
        phrases: ``at the passport office``, ``before the storm``.
    """

    phrases: tuple[str, ...] = ()

    @classmethod
    def of(cls, scene: str, person: Person) -> Setting:
        """Of a scene as it was asked."""
        found = []
        for match in _PHRASE.finditer(scene):
            said = _cut(match.group(1).lower(), match.group(2).lower(), scene[match.start(3) :])
            if said:
                found.append(neutral(said, person.gender if person.gender != "they" else "he", False))
        found += _BARE.findall(scene.lower())
        return cls(tuple(dict.fromkeys(p for p in found if "{o_" not in p)))


def _cut(preposition: str, determiner: str, rest: str) -> str:
    """A phrase of at most three words after its determiner, or empty where it tells no place or time."""
    words: list[str] = []
    for token in re.findall(rf"{_WORD}|[^\sA-Za-z]", rest)[:4]:
        low = token.lower()
        if not token[0].isalpha() or low in _STOPS or (words and _acts(low)):
            break
        words.append(token)
    else:
        return ""
    if not words:
        return ""
    head = words[-1].lower()
    if head in _NO_PLACE or head in PEOPLE or head.endswith("ly") or any(w.lower() in _NO_PLACE for w in words[:1]):
        return ""
    if preposition == "on" and head not in _ON or preposition in ("before", "after") and head not in _EVENTS:
        return ""
    if head in GERUND and head not in ("building", "wedding", "ceiling", "landing", "crossing", "opening"):
        return ""
    return " ".join([preposition, "the" if determiner in ("a", "an") else determiner, *words])


def _acts(word: str) -> bool:
    return word in THIRD and word not in ("stairs", "steps", "lights", "stands", "shots", "springs")


def _clause(step: str) -> str:
    """What a step begins with, short enough to stand behind a task; empty where it cannot."""
    if not step.startswith("{he} "):
        return ""
    if re.search(r",(?! (?:\w+ing|then|and|arms|hands|both|one|eyes|knees|legs|palms|head)\b)", step):
        return ""  # a list: "with stiff, uneven steps" cannot be cut at its comma
    said = re.split(r",|;| while | as | until | before | (?:and )?then ", step[5:])[0].strip()
    said, _, more = said.partition(" and ")
    if more and more.split()[0] not in THIRD:
        return ""
    words = said.split()
    if len(words) > TAIL:  # without its last phrase: "pulls a gate toward him" of a gate that is pulled with both hands
        cut = max((i for i in range(3, TAIL + 1) if words[i] in _LEFT_OUT), default=0)
        said, words = " ".join(words[:cut]), words[:cut]
    if not 2 <= len(words) <= TAIL or words[0] not in THIRD or _LOOSE.search(said):
        return ""
    return said


def in_its_words(
    task: str,
    steps: Sequence[str],
    setting: Setting,
    person: Person,
    used: Collection[str],
    draw: float,
    usual: Collection[str] = (),
) -> tuple[str, str]:
    """An activity told in the words of the scene or of its steps.

    Args:
        task: a statement with marks. steps: with marks. used: phrases told before in the plan.
        draw: 0..1, which of the ways is taken. usual: steps that the activity has everywhere; others tell more of it.

    Returns:
        (the task, what was added); the task as it stands and nothing where no way suits it.
    """
    bare = task.rstrip(".")
    if not bare.startswith("{^he} ") or len(bare.split()) > LONGEST or bare[-1] in "!?" or re.search(r"[,;:]", bare):
        return task, ""
    about = _content(bare)
    ways: list[tuple[str, str]] = []
    if not _PLACED.search(bare):
        ways += [(f"{bare} {p}.", p) for p in setting.phrases if p not in used and not about & _content(p)]
    elif not _TIMED.search(bare):
        whenever = [p for p in setting.phrases if _WHENEVER.match(p) and p not in used and not about & _content(p)]
        ways += [(f"{bare} {p}.", p) for p in whenever]
    if person.mood and person.mood not in used:
        lively = with_manner("{he} " + bare[6:], person.mood)
        if lively != "{he} " + bare[6:]:
            ways.append(("{^he} " + lively[5:] + ".", person.mood))
    head = _listed(bare)
    said = [(s, _clause(s)) for s in (*steps[1:], *steps[:1])]
    tails = [(s, t) for s, t in said if t and not about & _content(t)]
    telling = [(s, t) for s, t in tails if t.split()[0] not in _BODILY]
    kept = telling or ([] if ways else tails)
    here = [t for s, t in kept if s not in usual]  # of steps that were chosen for this scene
    chosen = [*(t for _, t in kept), *here]  # these count twice
    ways += [(f"{head} and {t}.", t) for t in chosen if head]
    ways += [(f"{bare}, {_gerund(t)}.", t) for t in chosen]
    if not ways:
        return task, ""
    own = [w for w in ways if w[1] in setting.phrases]  # said of this scene alone
    ways = own or ways
    return ways[min(int(draw * len(ways)), len(ways) - 1)]


def origins(task: str, mood: str) -> list[str]:
    """What an activity may have been before `in_its_words`, the longest first: `task` itself and its beginnings."""
    bare = task.rstrip(".")
    found = [bare]
    for text in (bare, bare.replace(f" {mood}", "", 1)) if mood else (bare,):
        words = text.split()
        found += [" ".join(words[:n]).rstrip(",") for n in range(len(words), 1, -1)]
        found += [f.replace(", ", " and ") for f in found if f.count(", ") == 1]
    return list(dict.fromkeys(found))


def _content(text: str) -> set[str]:
    return set(lemmas(unmarked(text)))


def _gerund(clause: str) -> str:
    verb, _, rest = clause.partition(" ")
    return f"{gerund_of(THIRD[verb])} {rest}"


def _listed(bare: str) -> str:
    """A statement that ``and`` can follow: between two verbs it becomes a comma; empty if unsure."""
    if " and " not in bare:
        return bare
    before, _, after = bare.partition(" and ")
    if " and " in after or after.split()[0] not in THIRD:
        return ""
    return f"{before}, {after}"
