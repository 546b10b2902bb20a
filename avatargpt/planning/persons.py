"""Who acts: plan texts without a person in them, and with another one.

A stored text has marks where it names the actor (``{he} lifts {his} left arm``); `Person.says` fills them in. Rules,
not a network: pronouns, the nouns at the beginning of a step, and word lists of roles with their usual gender.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from instruct_data.english import THIRD

PRONOUNS = {
    "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "her", "herself"),
    "it": ("it", "it", "its", "itself"),
    "they": ("the person", "them", "their", "themselves"),
}
MARKS = ("{he}", "{him}", "{his}", "{himself}")
OTHERS = ("{o_he}", "{o_him}", "{o_his}", "{o_himself}")
_GENDER = {
    "he": "man boy guy gentleman father dad daddy grandfather grandpa husband brother son uncle nephew king prince "
    "monk waiter groom widower postman policeman fireman fisherman cowboy wizard knight samurai matador "
    "bridegroom lad salesman businessman doorman butler dad's priest lumberjack emperor lord mr sir he him "
    "his himself",
    "she": "woman girl lady mother mum mom mummy mommy grandmother grandma granny wife sister daughter aunt niece "
    "queen princess nun waitress bride widow ballerina bridesmaid maid policewoman stuntwoman businesswoman "
    "actress hostess saleswoman witch goddess cheerleader mrs ms madam she her hers herself",
    "it": "dog cat horse robot bear monkey bird penguin dinosaur lion tiger elephant gorilla frog rabbit fox wolf "
    "dragon monster zombie android scarecrow golem drone kangaroo crab spider snake duck chicken cow pig goat "
    "it its itself",
}  # fmt: skip
_GENDER_OF = {w: g for g, words in _GENDER.items() for w in words.split()}
PEOPLE = frozenset(
    """
    man woman person boy girl child kid baby toddler teenager youth guy lady player student guard soldier farmer
    monk dancer lifeguard mime cook boxer keeper goalkeeper firefighter maid groom astronaut bride nurse pupil
    gymnast mother father gardener policeman doctor clown ranger magician storyteller pilot diver cashier
    surgeon mason swordsman climber bouncer librarian acrobat driver bridesmaid miner surfer hiker swimmer
    warrior violinist golfer caveman breakdancer skater tamer beekeeper stuntwoman vampire spy potter lumberjack
    wizard rescuer worker waiter ghost chef zombie thief archer rower marshal mechanic master plumber conductor
    samurai robot detective matador cowboy postman queen king runner skier ninja sailor pirate teacher coach
    patient neighbour neighbor friend partner referee judge captain crowd audience customer boss colleague
    visitor guest tourist stranger brother sister son daughter husband wife grandmother grandfather grandma
    grandpa uncle aunt opponent rival enemy attacker intruder trainer actor actress singer knight prince
    princess priest builder painter carpenter baker butcher janitor cleaner courier figure adult teen pensioner
    widow widower intern secretary barber tailor smith blacksmith fisherman hunter shepherd driver passenger
    vendor seller trader referee fan mascot avatar hero heroine villain monster alien android mother-in-law
    granny mum mom dad puppeteer juggler drummer guitarist pianist parent team kids children people others
    everyone someone somebody crew officer sergeant police model photographer director stagehand usher bartender
    barista scientist shopper commuter cyclist jogger wrestler weaver scout shopkeeper caretaker watchman roofer
    tiler welder electrician postwoman gravedigger undertaker preacher mourner bouncer bodyguard burglar robber
    prisoner hostage gladiator legionary creature cowgirl mountaineer researcher drummer fisherwoman postwoman
    violinist viking wife's witch elf dwarf orc goblin troll giant apprentice instructor assistant
    volunteer traveller owner explorer technician engineer physiotherapist mayor walker porter attendant thrower helper
    inspector collector handler leader picker sweeper operator presenter archaeologist performer jester receptionist
    bricklayer dentist sprinter racer cellist puller ringer prompter bowler maker accountant artist rider glassblower
    sleepwalker messenger merchant survivor hairdresser footballer cobbler biologist manager plasterer zookeeper
    falconer dishwasher dresser fishmonger crier raider ventriloquist herder sculptor catcher florist shipwright
    shaman contortionist inventor weightlifter challenger tenant camper prospector fencer jumper interpreter minister
    speaker chemist shoplifter backpacker babysitter strongman tenor comedian farrier bailiff beginner usher
    """.split()
)
_MADE = re.compile(  # names of trades that are made of a thing and who deals with it
    r"[a-z]{3,}(?:maker|keeper|walker|worker|seller|picker|breaker|builder|catcher|cutter|layer|blower|sweeper|rider|"
    r"dresser|fighter|cleaner|hunter|monger|wright|herder|ologist|grapher|therapist)"
)
_DEALS = re.compile(r"[a-z]{3,}(?:er|or|ist)")  # after an animal: who has to do with it
_NOT_OF_ONE = frozenset("first last only next same".split())  # said with "the", left out after "a"
_NEUTRAL_HEAD = frozenset("man woman person boy girl child guy lady figure teenager adult player pupil student".split())
_OBJECT_NEXT = re.compile(
    r"her(?=$|[,.;:!?]| (?:and|but|to|from|with|by|on|in|at|of|up|down|off|out|over|under|away|again|around|into|"
    r"through|for|as|like|along|behind|across|past|then|before|after|forward|once|twice|gently|slowly|softly|"
    r"quickly|a|an|the|home|inside|aside|tight|tightly|close|while|until|when|who|there|everything|go|know)\b)"
)
_BRINGS = r"\b(?:bring|lead|take|call|carr(?:y|ie)|send|pull|give|get|win|drag|walk|push|want|hug)s? $"
_PRONOUN = re.compile(
    r"(?<![\w{^])(?:[Hh]e|[Hh]im|[Hh]is|[Hh]imself|[Ss]he|[Hh]er|[Hh]erself|[Ii]t|[Ii]ts|[Ii]tself)(?![\w}])"
)
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
AGAINST = {
    "wearily": "happily excitedly cheerfully briskly energetically skips bounces sprints leaps dances joy",
    "sleepily": "happily excitedly cheerfully briskly energetically skips bounces sprints leaps joy",
    "sadly": "happily excitedly cheerfully merrily joyfully skips laughs laughing grins joy cheers",
    "happily": "sadly angrily sobs weeps cries gloomily",
    "cheerfully": "sadly angrily sobs weeps cries gloomily",
    "slowly": "quickly fast sprints cartwheel somersault backflip leaps handstand",
    "with a limp": "sprints skips cartwheel somersault backflip leaps",
    "calmly": "panics angrily frantically furiously",
}
_WORD = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*")
_ADJECTIVES = frozenset(
    "old young little small big tall thin heavy seated elderly teenage older shy tired nervous angry happy sad proud "
    "drunk lonely brave clumsy elegant blind retired new masked injured wounded sleepy bored grumpy strict cheerful "
    "left-handed right-handed one-armed barefoot hungry pregnant lazy frail exhausted furious scared excited".split()
)


def gender_of(text: str) -> str:
    """``he``, ``she`` or ``it`` by the pronouns of a plan, the commonest; empty without any."""
    counts = Counter(_GENDER_OF[w] for w in _WORD.findall(text.lower()) if w in _GENDER_OF)
    return max(counts, key=lambda g: (counts[g], g)) if counts else ""


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
    return "{^he} " + rest if acts and name.lower() in _names(scene) else task


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


def _names(scene: str) -> list[str]:
    """Capitalised words that do not begin a sentence, and a first word that a verb follows."""
    out = []
    for sentence in re.split(r"[.!?:]\s+", scene):
        words = _WORD.findall(sentence)
        for i, w in enumerate(words):
            if w[0].isupper() and (i > 0 or (len(words) > 1 and words[1] in THIRD)):
                out.append(w.lower())
    return out


def who(scene: str, known: dict[str, str], near: str = "he") -> Person:
    """The actor of a scene.

    Args:
        scene: as it was asked.
        known: name or role -> gender, as the library learned it.
        near: gender in the nearest scenes, for scenes that do not tell.
    """
    words = _WORD.findall(scene)
    low = [w.lower() for w in words]
    bare = [w.removesuffix("'s") for w in low]
    roles = []
    for w, said, after in zip(bare, low, [*bare[1:], ""], strict=True):
        about = _GENDER_OF.get(w) == "it" and (_person(after) or _DEALS.fullmatch(after))  # a cat burglar is no cat
        if (_person(w) or said in _GENDER_OF) and not about:
            roles.append(w)
    gender = ""
    subject = next((w for w in roles if w not in ("he", "she", "it", "him", "her", "his", "its")
                    and (_GENDER_OF.get(w) != "it" or w in [v.removesuffix("'s") for v in low[:4]])), "")  # fmt: skip
    pronouns = [w for w in low if w in ("he", "she", "his", "her", "him", "herself", "himself")]
    if subject in _GENDER_OF:
        gender = _GENDER_OF[subject]
    elif pronouns:
        gender = _GENDER_OF[pronouns[0]]
    else:
        named = [known[n] for n in _names(scene) if n in known] + [known[w] for w in low if w in known]
        gender = named[0] if named else near
    if gender == "it" and pronouns and subject not in _GENDER_OF:
        gender = _GENDER_OF[pronouns[0]]
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
    known = _person(subject) or (gender == "it" and bool(subject))
    head = subject if subject in _NEUTRAL_HEAD or (known and subject in low) else generic
    if head.endswith(("s", "ren", "ple", "one", "body", "team", "crowd", "audience", "police", "crew")):
        head = generic
    if gender in ("he", "she") and _GENDER_OF.get(head, gender) != gender:
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
    low = [w.lower().removesuffix("'s") for w in _WORD.findall(scene)]
    return list(dict.fromkeys([*_names(scene), *(w for w in low if w in PEOPLE and w not in _GENDER_OF)]))
