"""The actor of a scene, and plan texts with marks in place of the actor (``{he} lifts {his} left arm``)."""
# Rules on words, not a network: pronouns, the nouns at the beginning of a step, and roles with their usual gender.

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.requests.english import GENDER_OF, PEOPLE, PRONOUNS, WORD, names
from instruct_data.text.english import THIRD

MARKS = ("{he}", "{him}", "{his}", "{himself}")
OTHER_MARKS = ("{o_he}", "{o_him}", "{o_his}", "{o_himself}")
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
    """``he``, ``she`` or ``it`` by the subjects that texts begin with, else by all words, or empty."""
    subjects = [re.split(r" (?:\w+s|\w+ing)\b", t.strip(), maxsplit=1)[0] for t in texts if t.strip()]
    return gender_of(" ".join(subjects)) or gender_of(" ".join(texts))


def unmarked(text: str) -> str:
    """A text without its marks."""
    return re.sub(r"\{\^?\w+\}", " ", text)


def bare_text(text: str, actor: str, step: bool = True) -> str:
    """A text without person, case and punctuation, for comparisons."""
    marked = neutral(text[:1].lower() + text[1:], actor, step)
    return " ".join(re.findall(r"[a-z{}_]+", marked.lower().replace("{o_", "{")))


def _subject(step: str) -> tuple[str, str]:
    """(noun phrase, rest) of a step that begins with a person; the phrase is empty where it does not."""
    words = step.split(" ")
    if words[0] not in ("a", "an", "the") or len(words) < 3:
        return "", step
    for i in range(2, min(6, len(words))):
        head = words[i - 1].removesuffix("'s")
        is_person = head in PEOPLE or (words[0] != "the" and words[i] in THIRD and head not in _THINGS)
        if not is_person or (words[i] in PEOPLE and words[i] not in THIRD):
            continue
        tail = "'s" if words[i - 1].endswith("'s") else ""
        return " ".join(words[:i]).removesuffix("'s"), tail + " " + " ".join(words[i:])
    return "", step


_THINGS = frozenset("ball door hand leg arm foot rope bird wave voice hat bell stone step head wind horse".split())
_CLAUSE = re.compile(r"\b(?:so|and|but|because|when|while|if) $")  # behind it "it" may be who acts
_ACTS = re.compile(r" [a-z]+s\b")


def neutral(text: str, actor: str, step: bool = True) -> str:
    """A plan text with marks in place of its actor.

    Args:
        text: a step or a task.
        actor: gender of the plan's actor; the other one's pronouns become marks of the other person.
        step: steps begin with their subject, which is taken for the actor.
    """
    line = " ".join(text.split())
    if step:
        line = line.rstrip(".")
        phrase, predicate = _subject(line)
        if phrase:
            line = "{his}" + predicate[2:] if predicate.startswith("'s ") else "{he}" + predicate
    line = re.sub(r"\bthe person's\b", "{his}", line)
    line = re.sub(r"(^|, |\b(?:and|then|as|while|when|until|before|that) )the person\b", r"\1{he}", line)
    line = re.sub(r"\bthe person\b", "{him}", line)

    def mark(match: re.Match[str]) -> str:
        word = match.group(0)
        low = word.lower()
        for gender in ("he", "she", "it"):
            if low not in PRONOUNS[gender] or (gender == "it" and actor != "it"):
                continue
            if low == "her":
                back = re.search(_BRINGS, line[: match.start()].lower()) and line[match.end() :].startswith(" back")
                kind = 1 if back or _OBJECT_NEXT.match(line[match.start() :].lower()) else 2
            elif low == "it":
                acts = _CLAUSE.search(line[: match.start()].lower()) and _ACTS.match(line, match.end())
                kind = 0 if match.start() == 0 or acts else 1
            else:
                kind = PRONOUNS[gender].index(low)
            marks = MARKS if gender == actor or actor not in ("he", "she") else OTHER_MARKS
            if gender == "it":
                marks = MARKS
            chosen = marks[kind]
            return chosen.replace("{", "{^") if word[0].isupper() else chosen
        return word

    return _PRONOUN.sub(mark, line)


def unnamed(task: str, scene: str) -> str:
    """A task of a plan that begins with a name of its scene, with the mark of its actor instead."""
    name, _, predicate = task.partition(" ")
    acts = re.match(r"[a-z]+s ", predicate)
    return "{^he} " + predicate if acts and name.lower() in names(scene) else task


def embedded(text: str) -> str:
    """A text with marks in the words that the sentence encoder reads: a person, their."""
    forms = {"he": "the person", "him": "them", "his": "their", "himself": "themselves"}
    line = re.sub(r"\{\^?(?:o_)?(\w+)\}", lambda m: forms[m.group(1)], text)
    return "a" + line[3:] if line.startswith("the person") else line


def fill(text: str, gender: str, first: str = "") -> str:
    """Marks -> the words for `gender`; `first` takes the place of the first subject."""
    pronouns = PRONOUNS[gender]
    other_pronouns = PRONOUNS["she" if gender == "he" else "he"]

    def word(match: re.Match[str]) -> str:
        cap, away, kind = match.group(1), match.group(2), match.group(3)
        form = (other_pronouns if away else pronouns)[("he", "him", "his", "himself").index(kind)]
        if first and not away and kind == "he" and match.start() == 0:
            form = first
        return form[0].upper() + form[1:] if cap else form

    out = re.sub(r"\{(\^?)(o_)?(\w+)\}", word, text)
    return out[0].upper() + out[1:] if text.startswith("{^") else out


_TRADE = re.compile(  # names of trades that are made of a thing and who deals with it
    r"[a-z]{3,}(?:maker|keeper|walker|worker|seller|picker|breaker|builder|catcher|cutter|layer|blower|sweeper|rider|"
    r"dresser|fighter|cleaner|hunter|monger|wright|herder|ologist|grapher|therapist)"
)
_DEALS = re.compile(r"[a-z]{3,}(?:er|or|ist)")  # after an animal: who has to do with it
# somebody, where no person follows: a six-year-old plays
_AGED = "-year-old"
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


def who(scene: str, genders: dict[str, str], default: str = "he") -> Person:
    """The actor of a scene.

    Args:
        scene: in words.
        genders: name or role -> gender, as the library learned it.
        default: gender in the nearest scenes, for scenes that do not tell.
    """
    words = WORD.findall(scene)
    low = [w.lower() for w in words]
    bare = [w.removesuffix("'s") for w in low]
    roles = []
    for w, full, after in zip(bare, low, [*bare[1:], ""], strict=True):
        about = GENDER_OF.get(w) == "it" and (_person(after) or _DEALS.fullmatch(after))  # a cat burglar is no cat
        aged = w.endswith(_AGED) and not _person(after)
        if (_person(w) or full in GENDER_OF or aged) and not about:
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
        named = [genders[n] for n in names(scene) if n in genders] + [genders[w] for w in low if w in genders]
        gender = named[0] if named else default
    if gender == "it" and pronouns and subject not in GENDER_OF:
        gender = GENDER_OF[pronouns[0]]
    noun = _noun(low, subject, gender)
    mood = next((_MOODS[w] for w in low if w in _MOODS), "")
    side = next((w.split("-")[0] for w in low if w in ("left-handed", "right-handed")), "")
    if not side and (hand := _ONE_HAND.search(scene.lower())):
        side = hand.group(1) or hand.group(2)
    return Person(gender, noun, mood, side)


def _person(word: str) -> bool:
    return word in PEOPLE or bool(_TRADE.fullmatch(word))


def _of_one(word: str) -> bool:
    """Whether a word goes with "the" only: no "a shortest boy"."""
    return word in _NOT_OF_ONE or (word.endswith("est") and len(word) > 5 and word not in ("honest", "modest"))


def _noun(low: list[str], subject: str, gender: str) -> str:
    generic = {"he": "man", "she": "woman", "it": "creature", "they": "person"}[gender]
    is_person = _person(subject) or subject.endswith(_AGED) or (gender == "it" and bool(subject))
    head = subject if subject in _NEUTRAL_HEAD or (is_person and subject in low) else generic
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
