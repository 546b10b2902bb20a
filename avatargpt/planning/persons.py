"""Who acts in a scene. Rules, not a network: pronouns and word lists of roles with their usual gender.

Stored texts have marks where they name the actor (`avatargpt.planning.marks`); `Person.says` fills them in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from avatargpt.planning.marks import fill
from avatargpt.requests.people import GENDER_OF, PEOPLE, WORD, names
from instruct_data.text.english import THIRD

_MADE = re.compile(  # names of trades that are made of a thing and who deals with it
    r"[a-z]{3,}(?:maker|keeper|walker|worker|seller|picker|breaker|builder|catcher|cutter|layer|blower|sweeper|rider|"
    r"dresser|fighter|cleaner|hunter|monger|wright|herder|ologist|grapher|therapist)"
)
_DEALS = re.compile(r"[a-z]{3,}(?:er|or|ist)")  # after an animal: who has to do with it
_AGED = "-year-old"  # somebody, where no person follows: a six-year-old plays
_NOT_OF_ONE = frozenset("first last only next same".split())  # said with "the", left out after "a"
_NEUTRAL_HEAD = frozenset("man woman person boy girl child guy lady figure teenager adult player pupil student".split())
_ONE_HAND = re.compile(r"\b(left|right) (?:hand|arm) only|\bonly (?:his|her|the) (left|right) (?:hand|arm)")
_MOODS = {
    "tired": "wearily", "weary": "wearily", "exhausted": "wearily", "sleepy": "sleepily", "angry": "angrily",
    "furious": "angrily", "annoyed": "angrily", "happy": "happily", "cheerful": "cheerfully", "joyful": "happily",
    "merry": "cheerfully", "delighted": "happily", "sad": "sadly", "heartbroken": "sadly", "lonely": "sadly",
    "grieving": "sadly", "nervous": "nervously", "anxious": "nervously", "scared": "fearfully",
    "frightened": "fearfully", "terrified": "fearfully", "afraid": "fearfully", "proud": "proudly", "shy": "shyly",
    "drunk": "unsteadily", "dizzy": "unsteadily", "drunken": "unsteadily", "bored": "listlessly",
    "impatient": "impatiently", "excited": "excitedly", "careful": "carefully", "clumsy": "clumsily",
    "elegant": "elegantly", "graceful": "gracefully", "lazy": "lazily", "confident": "confidently",
    "calm": "calmly", "stiff": "stiffly", "limping": "with a limp", "injured": "with a limp", "wounded": "with a limp",
    "grumpy": "grumpily", "old": "slowly", "elderly": "slowly", "frail": "slowly",
}  # fmt: skip
# what a mood rules out in the words of a step
_AGAINST = {
    "wearily": "happily excitedly cheerfully briskly energetically skips bounces sprints leaps dances joy",
    "sleepily": "happily excitedly cheerfully briskly energetically skips bounces sprints leaps joy",
    "sadly": "happily excitedly cheerfully merrily joyfully skips laughs laughing grins joy cheers",
    "happily": "sadly angrily sobs weeps cries gloomily",
    "cheerfully": "sadly angrily sobs weeps cries gloomily",
    "slowly": "quickly fast sprints cartwheel somersault backflip leaps handstand",
    "with a limp": "sprints skips cartwheel somersault backflip leaps",
    "calmly": "panics angrily frantically furiously",
}
_ADJECTIVES = frozenset(
    "old young little small big tall thin heavy seated elderly teenage older shy tired nervous angry happy sad proud "
    "drunk lonely brave clumsy elegant blind retired new masked injured wounded sleepy bored grumpy strict cheerful "
    "left-handed right-handed one-armed barefoot hungry pregnant lazy frail exhausted furious scared excited".split()
)


@dataclass(frozen=True)
class Person:
    """The actor of a scene.

    Attributes:
        gender: ``he``, ``she``, ``it`` or ``they``.
        noun: how the first step names it, with article: ``a gardener``.
        mood: adverb of the scene's mood, or empty.
        side: ``left`` or ``right`` where the scene says which hand is used, or empty.
    """

    gender: str
    noun: str
    mood: str = ""
    side: str = ""

    def says(self, text: str, first: bool = False) -> str:
        """A text with marks in the words for this person; `first`: with the noun as subject."""
        return fill(text, self.gender, self.noun if first else "")

    def refuses(self, step: str) -> bool:
        """Whether the mood rules out a word of a step."""
        return not set(_AGAINST.get(self.mood, "").split()).isdisjoint(re.findall(r"[a-z]+", step))


def who(scene: str, known: dict[str, str], near: str = "he") -> Person:
    """The actor of a scene.

    Args:
        scene: as it was asked.
        known: name or role -> gender, as the library learned it.
        near: gender in the nearest scenes, for scenes that do not tell.
    """
    words = WORD.findall(scene)
    low = [w.lower() for w in words]
    bare = [w.removesuffix("'s") for w in low]
    roles = []
    for w, said, after in zip(bare, low, [*bare[1:], ""], strict=True):
        about = GENDER_OF.get(w) == "it" and (_person(after) or _DEALS.fullmatch(after))  # a cat burglar is no cat
        aged = w.endswith(_AGED) and not _person(after)
        if (_person(w) or said in GENDER_OF or aged) and not about:
            roles.append(w)
    gender = ""
    subject = next((w for w in roles if w not in ("he", "she", "it", "him", "her", "his", "its")
                    and (GENDER_OF.get(w) != "it" or w in [v.removesuffix("'s") for v in low[:4]])), "")  # fmt: skip
    pronouns = [w for w in low if w in ("he", "she", "his", "her", "him", "herself", "himself")]
    if subject in GENDER_OF:
        gender = GENDER_OF[subject]
    elif pronouns:
        gender = GENDER_OF[pronouns[0]]
    else:
        named = [known[n] for n in names(scene) if n in known] + [known[w] for w in low if w in known]
        gender = named[0] if named else near
    if gender == "it" and pronouns and subject not in GENDER_OF:
        gender = GENDER_OF[pronouns[0]]
    noun = _noun(low, subject, gender)
    mood = next((_MOODS[w] for w in low if w in _MOODS), "")
    side = next((w.split("-")[0] for w in low if w in ("left-handed", "right-handed")), "")
    if not side and (hand := _ONE_HAND.search(scene.lower())):
        side = hand.group(1) or hand.group(2)
    return Person(gender, noun, mood, side)


def _person(word: str) -> bool:
    return word in PEOPLE or bool(_MADE.fullmatch(word))


def _of_one(word: str) -> bool:
    """A word that only "the" goes with: the shortest boy is no "a shortest boy"."""
    return word in _NOT_OF_ONE or (word.endswith("est") and len(word) > 5 and word not in ("honest", "modest"))


def _noun(low: list[str], subject: str, gender: str) -> str:
    generic = {"he": "man", "she": "woman", "it": "creature", "they": "person"}[gender]
    known = _person(subject) or subject.endswith(_AGED) or (gender == "it" and bool(subject))
    head = subject if subject in _NEUTRAL_HEAD or (known and subject in low) else generic
    if head.endswith(("s", "ren", "ple", "one", "body", "team", "crowd", "audience", "police", "crew")):
        head = generic
    if gender in ("he", "she") and GENDER_OF.get(head, gender) != gender:
        head = generic
    at = low.index(head) if head in low else 0
    following = low[at + 1] if head in low and at + 1 < len(low) else ""
    if _person(following) and following not in THIRD:  # a figure skater is no figure
        head, at = following, at + 1
    elif following not in THIRD and following.rstrip("s") in PEOPLE:  # ghost hunters are no ghosts
        head, at = generic, 0
    start = next((i for i in (at - 1, at - 2, at - 3) if i >= 0 and low[i] in ("a", "an", "the")), at - 1)
    before = [w for w in low[start + 1 : at] if (w.isalpha() or w in _ADJECTIVES) and not _of_one(w)]
    phrase = " ".join([*before, head])
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def role_names(scene: str) -> list[str]:
    """Names and roles in a scene whose gender the library can learn, lower-cased."""
    low = [w.lower().removesuffix("'s") for w in WORD.findall(scene)]
    return list(dict.fromkeys([*names(scene), *(w for w in low if w in PEOPLE and w not in GENDER_OF)]))
