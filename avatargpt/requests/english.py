"""English: lemmas, counts, manners and word overlap; people; the checks of language."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any, Self

import numpy as np

from avatargpt.resources import sentence_model_file
from instruct_data.text.english import THIRD
from instruct_data.text.numerals import NUMERAL
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

_FORMS = {
    "be": "is are was were am been being", "have": "has had having", "do": "does did done doing", "a": "an",
    "go": "goes went gone going", "run": "ran", "stand": "stood", "sit": "sat", "swing": "swung", "bend": "bent",
    "throw": "threw thrown", "hold": "held", "take": "took taken", "come": "came", "lie": "lay lain lying",
    "rise": "rose risen", "fall": "fell fallen", "get": "got gotten", "make": "made", "keep": "kept", "leap": "leapt",
    "kneel": "knelt", "creep": "crept", "swim": "swam swum", "spin": "spun", "shake": "shook shaken", "lead": "led",
    "put": "putting", "hit": "hitting", "foot": "feet", "man": "men", "woman": "women", "person": "people persons",
    "half": "halves", "fling": "flung", "begin": "began begun", "stride": "strode", "strike": "struck", "tie": "tying",
    "catch": "caught", "bring": "brought", "drive": "drove driven", "ride": "rode ridden", "dive": "dove",
}  # fmt: skip
_IRREGULAR = {form: base for base, forms in _FORMS.items() for form in forms.split()}
# End like an inflection but are none. "left" is a side in captions far more often than the past of "leave".
_NO_SUFFIX = """
his this its always across towards forwards backwards upwards downwards sideways afterwards besides perhaps during
thing something anything nothing everything morning evening ceiling bring fling spring string swing cling hundred
indeed speed bleed proceed exceed succeed need feed seed left
"""
_VERBS_IN_E = """
move wave dance raise place face pace make take shake come give leave live use close squeeze slide glide ride hide
write drive dive bake stride strike balance bounce prance circle juggle stumble wobble waddle shuffle rotate imitate
gesture pose rise smoke type wipe swipe slice chase race trace change arrange lunge plunge charge challenge exercise
practice practise continue pause argue rescue dodge nudge emerge prepare stare explore define shine time name skate
create wake like invite celebrate hesitate meditate alternate operate demonstrate taste handle cradle paddle hustle
wrestle jiggle wiggle scramble amble tumble double hobble curve serve observe receive achieve involve revolve nurse
reverse brace embrace produce reduce introduce advance glance complete compete shove score share stroke poke joke hope
cope bike hike freeze sneeze inhale exhale scale resume assume pirouette appreciate saddle straddle struggle twiddle
fumble tremble
"""
_UNINFLECTED = frozenset(_NO_SUFFIX.split())
_ENDING_IN_E = frozenset(verb[:-1] for verb in _VERBS_IN_E.split())


def _base(stem: str) -> str:
    """A verb's base from the stem before -ing or -ed."""
    if stem in _ENDING_IN_E:
        return stem + "e"
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "aeioulsz":
        return stem[:-1]
    return stem


@lru_cache(maxsize=50_000)
def lemma(word: str) -> str:
    """Lemma of one lower-case word: ``walks`` -> ``walk``, ``waving`` -> ``wave``, ``stepped`` -> ``step``."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _UNINFLECTED or len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ing") and len(word) > 5:
        return _base(word[:-3])
    if word.endswith("ied"):
        return word[:-3] + "y"
    if word.endswith("ed") and len(word) > 4:
        return _base(word[:-2])
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


_STOP = frozenset(
    "a an the and or of in on at to for with by as is be it its his her their your my this that some someone somebody "
    "person figure human character people he she they you i we us them please now do so while".split()
)
# say nothing of a manner when they stand alone
_GENERIC = frozenset("man woman guy girl lady boy male female gentleman adult way manner fashion very like if".split())

NUMBERS = {w: n for n, w in enumerate("one two three four five six seven eight nine ten eleven twelve".split(), 1)}
_ONCE = {"once": 1, "twice": 2, "thrice": 3}
# what a number in front of says how many there are of, not how often something is done
_COUNTED_NOUNS = (
    "hand|arm|leg|fist|foot|feet|finger|palm|drumstick|stick|knee|elbow|shoulder|thumb|eye|side|people|person|man|men|"
    "woman|women|guy|girl|boy|other|another|after|second|minute|metre|meter|direction|moment|more time"
)
_TIMES = re.compile(
    rf"\b(?P<once>once|twice|thrice)\b(?! (?:more|again)\b)"
    rf"|(?<!-)\b(?P<number>{'|'.join(NUMBERS)}|\d\d?)\b(?!-)(?! (?:\w+ )?(?:{_COUNTED_NOUNS}))"
)
_OR_MORE = re.compile(r"\b(?:or more|or so|at least)\b")
_AGAIN = re.compile(
    r"\b(?:again and again|over and over|several|repeated(?:ly)?|repeat\w*|many times|a few|some more|a couple of|"
    r"a number of|in a row|one after another|continuously|keeps? (?:on )?\w+ing|a series of)\b"
)
# times, where a text says that something is done more than once but not how often
SEVERAL = 3

_WHO = re.compile(r"(?:(?:like )?an? (?:old |young |little )?)?[a-z-]+(?: person| man| woman)?")


_LOWER_WORD = re.compile(r"[a-z]+")
_MEASURE = re.compile(r"\b\d+(?:\.\d+)?[- ]?(?:degrees?|°|seconds?|secs?|s|metres?|meters?|m|percent|%)(?!\w)")


def words(text: str) -> list[str]:
    """Words of a text in order, lower case, without digits and marks."""
    return _LOWER_WORD.findall(text.lower())


def lemmas(text: str) -> list[str]:
    """Content words of a text as lemmas, in order."""
    return [w for t in words(text) if (w := lemma(t)) not in _STOP]


def times(text: str) -> tuple[int, bool]:
    """The number of repetitions in a text (0 = none named), and whether more will do as well."""
    lowered = _MEASURE.sub("", text.lower())
    again = bool(_AGAIN.search(lowered))
    for match in _TIMES.finditer(lowered):
        if match["once"]:
            return _ONCE[match["once"]], False
        count = NUMBERS.get(match["number"]) or int(match["number"])
        if count == 1 and again:
            break
        if count > 1 or re.search(r"\bone (?:single )?\w+$|\bjust one\b|\bonly one\b", lowered):
            return count, bool(_OR_MORE.search(lowered))
    return (SEVERAL, True) if again else (0, False)


# sentence embeddings miss a rare word that decides ("toes", "sneak"); plain word overlap finds it
@dataclass(frozen=True, eq=False)
class WordIndex:
    """Cosine between bags of lemmas, weighted by how rare a lemma is among the n texts (tf-idf, binary tf).

    Plain arrays, for files: w lemmas, p pairs of a lemma and a text that has it.
    """

    words: Sequence[str]  # w lemmas
    starts: np.ndarray  # (w + 1,) int, where each one's texts begin in `texts`
    texts: np.ndarray  # (p,) int, rows of texts
    weights: np.ndarray  # (w,) float32
    norms: np.ndarray  # (n,) float32, lengths of the texts' bags

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Of the n texts that requests are compared with."""
        count = len(texts)
        # all texts in one pass, for a first answer waits for this: a line break ends a text
        tokens = re.findall(r"[a-z]+|\n", "".join(" ".join(t.splitlines()) + "\n" for t in texts).lower())
        lemma_of = {t: w for t in dict.fromkeys(tokens) if t != "\n" and (w := lemma(t)) not in _STOP}
        words = list(dict.fromkeys(lemma_of.values()))
        column = {w: i for i, w in enumerate(words)}
        number = {t: column[w] for t, w in lemma_of.items()} | {"\n": -1}
        ids = np.fromiter((number.get(t, -2) for t in tokens), np.int64, len(tokens))
        row = np.cumsum(ids == -1)
        # (word, text) pairs, each once, by word
        pairs = np.unique((ids * count + row)[ids >= 0])
        word, text = np.divmod(pairs, max(count, 1))
        often = np.bincount(word, minlength=len(words))
        weights = np.log((1 + count) / np.maximum(often, 1)).astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(often)])
        norms = np.bincount(text, weights[word].astype(np.float64) ** 2, count) ** 0.5 + 1e-9
        return cls(words, starts, text, weights, norms.astype(np.float32))

    @cached_property
    def weight(self) -> dict[str, float]:
        """Inverse document frequency of each lemma."""
        return dict(zip(self.words, self.weights.tolist(), strict=True))

    @cached_property
    def rarest(self) -> float:
        """The weight of a lemma that no text has."""
        return float(np.log(1 + len(self.norms)))

    @cached_property
    def _column(self) -> dict[str, int]:
        return {w: i for i, w in enumerate(self.words)}

    def rows(self, word: str) -> np.ndarray:
        """Rows of the texts that have a lemma, rising; none for one that is in no text."""
        i = self._column.get(word)
        return self.texts[:0] if i is None else self.texts[self.starts[i] : self.starts[i + 1]]

    def scores(self, text: str) -> np.ndarray:
        """(n,) cosines in 0..1; words that no text has count as the rarest, so that they lower every score."""
        out = np.zeros(len(self.norms), np.float32)
        bag = set(lemmas(text))
        total = sum(self.weight.get(w, self.rarest) ** 2 for w in bag)
        for word in bag & self._column.keys():
            out[self.rows(word)] += self.weight[word] ** 2
        return out / (self.norms * (total**0.5 + 1e-9)).astype(np.float32)


class Manners:
    """Styles by the words that name them: an adverb, a phrase ("full of energy") or a person ("an old man")."""

    def __init__(self, phrases: Mapping[str, str]) -> None:
        styles_of: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for phrase, style in phrases.items():
            words = tuple(w for w in lemmas(phrase) if w not in _GENERIC)
            if len(words) > 1 or (words and _WHO.fullmatch(phrase)):  # of a longer phrase one word says too little
                styles_of[words].add(style)
        self.known = {words: next(iter(styles)) for words, styles in styles_of.items() if len(styles) == 1}
        self.longest = max(map(len, self.known), default=0)

    def find(self, text: str) -> tuple[str, str]:
        """The style of the longest phrase in the text, or empty; and the text without it."""
        content = [w for w in lemmas(text) if w not in _GENERIC]
        for size in range(min(self.longest, len(content)), 0, -1):
            for start in range(len(content) - size + 1):
                words = tuple(content[start : start + size])
                if words in self.known:
                    remaining = " ".join(t for t in text.split() if not set(words) & set(lemmas(t)))
                    return self.known[words], remaining if lemmas(remaining) else text
        return "", text


PRONOUNS = {
    "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "her", "herself"),
    "it": ("it", "it", "its", "itself"),
    "they": ("the person", "them", "their", "themselves"),
}
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
GENDER_OF = {w: g for g, words in _GENDER.items() for w in words.split()}
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
    paramedic lawyer scribe sorcerer veteran
    """.split()
)
_NAMED = (("woman", "she"), ("girl", "she"), ("man", "he"), ("boy", "he"))  # what a person's word ends with
GENDER_OF |= {
    w: next(g for e, g in _NAMED if w.endswith(e)) for w in PEOPLE - GENDER_OF.keys() if w.endswith(tuple(dict(_NAMED)))
}
WORD = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*")


def names(scene: str) -> list[str]:
    """Capitalised words that do not begin a sentence, and a first word that a verb follows."""
    out = []
    for sentence in re.split(r"[.!?:]\s+", scene):
        words = WORD.findall(sentence)
        for i, w in enumerate(words):
            if w[0].isupper() and (i > 0 or (len(words) > 1 and words[1] in THIRD)):
                out.append(w.lower())
    return out


_SOMEONE = re.compile(r"^(?:an? |the )?(?:person|human|figure|character|someone|somebody|individual)\b")


def strange_names(texts: Sequence[str], scene: str) -> int:
    """Number of names of people in the texts of an activity that are not in the scene."""
    return sum(n not in scene for n in {n for t in texts for n in re.findall(r"(?<=[\w,}] )[A-Z][a-z]+", t)})


def subject_of(step: str) -> str:
    """The subject of a step: the words before the verb."""
    words = step.split()
    verb = next((i for i, w in enumerate(words[:6]) if i and w.lower() in THIRD), 0)
    return " ".join(words[:verb]) if 0 < verb <= 5 and "," not in " ".join(words[:verb]) else ""


def caption_about(caption: str, subject: str, gender: str) -> str:
    """A caption about "a person" as a step about `subject`; without one, its verb phrase."""
    predicate = _SOMEONE.sub("", caption).strip()
    if predicate == caption:
        return caption
    pronouns = PRONOUNS.get(gender, PRONOUNS["they"])
    if pronouns is not PRONOUNS["they"]:
        for neutral, word in (("their", pronouns[2]), ("themselves", pronouns[3])):
            predicate = re.sub(rf"\b{neutral}\b", word, predicate)
    return f"{subject} {predicate}".strip() if subject else predicate


MAX_WORDS = 200
MAX_CHARACTERS = 2000
FOREIGN_SHARE = 0.1  # of a transcript's words that no dictionary has, from which it may be in another language
_LATIN = 0.9  # share of the letters that must be Latin
_LATIN_WORD = re.compile(r"[^\W\d_]+")
_UNSPEAKABLE = re.compile(r"^[b-df-hj-np-tv-xz]+$|[b-df-hj-np-tv-xz]{5}")
_KEYS = ("qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm")
_ENDINGS = ("s", "es", "ed", "d", "ing", "er", "ers", "ly")
_GLUE = frozenset(
    "a about after all an and as at away back before but by during for from has have he her his in into is it its of "
    "off on one out over she that the their they this through to two under up while who with without".split()
)
# words of other languages in Latin letters that stand in almost every sentence and mean nothing in English
_FOREIGN = frozenset(
    "aan al auf avec av che con da dans de del dem den der des di do du e een ein eine einen einem einer el em en "
    "er et ett gli han het hun i ihre il ja je ki la las le les lo los med mit na nel nella och og os para po por "
    "qui se sein seine si su sua sur te til um uma un una und une van ve w y z zu".split()
)


def check_words(text: str, what: str = "scene") -> str:
    """`text` on one line; raises UserError where it is empty, too long, not Latin or has control characters."""
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co") and c not in "\t\n\r" for c in text):
        raise UserError(f"{what}: control characters in the text; accepted plain text")
    line = " ".join(text.split())
    letters = [c for c in line if c.isalpha()]
    if not letters:
        raise UserError(f"{what}: no words in it; accepted a sentence or two in English")
    if len(line.split()) > MAX_WORDS or len(line) > MAX_CHARACTERS:
        raise UserError(
            f"{what}: {len(line.split())} words, {len(line)} characters; "
            f"accepted at most {MAX_WORDS} words and {MAX_CHARACTERS} characters"
        )
    if sum("LATIN" in unicodedata.name(c, "") for c in letters) < _LATIN * len(letters):
        raise UserError(f"{what}: {line[:40]!r} is not in English; accepted English text")
    return line


@cache
def _vocabulary() -> frozenset[str]:
    """Whole words of the sentence encoder: some 20,000, nearly all of them English."""
    path = sentence_model_file("tokenizer.json")
    data = read_object(path)
    with parsing(path, "the vocabulary of the sentence encoder"):
        return frozenset(w for w in data["model"]["vocab"] if len(w) > 1 and w.isalpha())


def looks_english(text: str) -> bool:
    """Whether a text is English: by the share of English words, or by those that bind the others together."""
    # a rule: the sentence encoder's vocabulary, with English endings removed, and lists of common words; half of the
    # words have to be English, three quarters where words of another language are among them
    words = [w.lower() for w in _LATIN_WORD.findall(text) if len(w) > 1 or w in "aAIiyzwe"]
    if not words:
        return False
    vocabulary = _vocabulary()

    def english(word: str) -> bool:
        if word in _GLUE:
            return True
        stems = (word[: -len(e)] for e in _ENDINGS if word.endswith(e) and len(word) > len(e) + 2)
        forms = (word, *(form for s in stems for form in (s, s + "e")))
        return word not in _FOREIGN and any(form in vocabulary for form in forms)

    share = sum(map(english, words)) / len(words)
    foreign = any(w in _FOREIGN or not w.isascii() for w in words)
    glue = sum(w in _GLUE for w in words) / len(words)
    if not foreign and glue:
        return True
    return share >= (0.75 if foreign and glue < 0.2 else 0.5)


def hit_at_random(text: str) -> bool:
    """Whether a text is nothing but keys hit at random: "asdfgh jkl"."""
    # a rule: no word is known or composed of two known ones ("catchphrase"), and more than half of the letters are in
    # words of four or more letters that are neighbours on the keyboard, without a vowel, or with five consonants in a
    # row
    words = [w.lower() for w in _LATIN_WORD.findall(text)]
    vocabulary = _vocabulary()

    def strange(word: str) -> bool:
        halves = ((word[:i], word[i:]) for i in range(3, len(word) - 2))
        return word not in vocabulary and not any(a in vocabulary and b in vocabulary for a, b in halves)

    def keys(word: str) -> bool:
        rows = any(word in row or word[::-1] in row for row in _KEYS)
        return len(word) > 3 and (rows or _UNSPEAKABLE.search(word) is not None)

    hit = sum(len(w) for w in words if keys(w))
    return 2 * hit > sum(map(len, words)) and all(map(strange, words))


# English requests stay below it, whole foreign sentences do not
MIN_LANGUAGE_PROBABILITY = 0.5
MIN_LANGUAGE_WORDS = 2
LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese",
    "ro": "Romanian", "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """ISO 639-1 code of the language, one of `LANGUAGES`; empty for English and for short or mixed texts."""
    if sum(any(c.isalpha() for c in w) for w in text.split()) < MIN_LANGUAGE_WORDS and text.isascii():
        return ""
    code, share = _identifier().classify(text)
    return str(code) if code in LANGUAGES and share > MIN_LANGUAGE_PROBABILITY else ""


def name_language(code: str) -> str:
    """A language's English name; the code itself where it is none of `NAMES`."""
    return LANGUAGES.get(code, f"language {code!r}")


# of the symbols that are taken for emoji; before it come arrows, signs and frames
_FIRST_EMOJI = 0x2600
_EMOJI_MODIFIERS = re.compile("[\ufe00-\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U0001f1e6-\U0001f1ff\u2640\u2642]")
"""What only says how an emoji looks (variation, joiner, skin, sex), and letters of flags."""
_EMOJI_MEANINGS = {
    "😂": "laughing face", "🤣": "laughing hard", "😆": "laughing face with closed eyes", "😡": "very angry face",
    "🤬": "very angry face", "😤": "annoyed face", "😔": "sad face", "😶": "neutral face", "😰": "nervous face",
    "😯": "surprised face", "😳": "embarrassed face", "🙃": "smiling face", "😣": "pained face", "🥳": "very happy",
    "🤮": "disgusted face", "🥰": "loving smile", "❤": "loving face", "💀": "laughing face", "👀": "widened eyes",
}  # fmt: skip
"""Emoji that are used for something else than their Unicode name is read as."""


def is_emoji(character: str) -> bool:
    """Whether a character is a pictograph."""
    return unicodedata.category(character) == "So" and ord(character) >= _FIRST_EMOJI


def spell_emoji(text: str) -> str:
    """An instruction as the reader takes it: emoji as words, the same in a row once."""
    # also rows of exclamation or question marks, which the reader would take for a count
    bare = _EMOJI_MODIFIERS.sub("", text)
    bare = re.sub(r"(\W)\1+", lambda m: m[1] if is_emoji(m[1]) or m[1] in "!?" else m[0], bare)
    words = (f"\0{_EMOJI_MEANINGS.get(c) or unicodedata.name(c, '').lower()}\0" if is_emoji(c) else c for c in bare)
    spelled = re.sub("\0\\s*\0", ", then ", "".join(words)).replace("\0", " ")
    return " ".join(spelled.split()) if spelled != bare else bare


def meaningless(text: str) -> bool:
    """Whether an instruction has no word: a number alone, or keys hit at random (`hit_at_random`)."""
    if re.fullmatch(r"[\d\s.,]+", text):
        return True
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", spell_emoji(text))  # names of shapes are words, too
    return hit_at_random(re.sub(r"(.)\1+", r"\1", words))  # and so are "pfft" and "hmmm"


def unreadable(text: str, words: Collection[str] = ()) -> str:
    """The reason why a text cannot be understood, another language or no word, or empty.

    Args:
        words: English lemmas; of a text without other words the language is not looked up, for which a table of 70 MB
            is unpacked.
    """
    known = bool(words) and bool(here := lemmas(text)) and all(w in words for w in here)
    if not known and (code := language_of(text)):
        return f"does not look like English but like {name_language(code)}, and the model knows English alone"
    if meaningless(text):
        return "has no word in it; what the model makes of it is chance"
    return ""


_COUNTABLE = r"(?:s|secs?|seconds?|minutes?|mins?|hours?|hrs?|ms|times|x)\b"
_BELOW_ZERO = re.compile(
    rf"(?<![\w.,)-])(?<!\d )(?:[-\u2212]|minus\s+)(?:{NUMERAL})[\s-]*(?:{_COUNTABLE}|(?P<share>per ?cent\b|%))", re.I
)


def below_zero(text: str, shares: bool = True) -> str:
    """The first time, count or, with `shares`, per cent below zero in a text, as written ("-5 seconds"), or empty."""
    matches = (m[0] for m in _BELOW_ZERO.finditer(text) if shares or not m["share"])
    return next(matches, "")


def check_spoken(text: str) -> None:
    """Refuse a transcript in another language, whose words would be laid along the sound as if they were English.

    Raises UserError with the language.
    """
    from avatargpt.speech.pronouncing import transcript_words

    try:
        words = transcript_words(text)
        foreign = sum(not w.in_dictionary for w in words) >= FOREIGN_SHARE * len(words)
    except UserError:  # letters of another script, or no words: what is refused anyway
        foreign = True
    if foreign and (code := language_of(text)):
        raise UserError(f"transcript {' '.join(text.split())[:40]!r}: looks like {name_language(code)}, and words get "
                        "times in English alone; accepted: a file with word times (.TextGrid, .srt, .json ...), or "
                        "none: lips follow the sound in any language")  # fmt: skip
