"""The planning library: scenes with activities and steps, kinds of scenes, sentence vectors, a scorer's weights."""
# One safetensors file: texts compressed, vectors as 8-bit integers, projections and the scorer's weights as float16.
# Its texts have marks in place of the actor (``{he} lifts {his} left arm``).

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from avatargpt.requests.english import GENDER_OF, PEOPLE, PRONOUNS, WORD, names
from avatargpt.requests.vector_index import (
    StoredVectors,
    VectorIndex,
    inflate,
    read_file,
    round_vectors,
    unit,
    write_file,
    xz,
)
from instruct_data.text.english import THIRD
from vqvae.errors import UserError

_NOT_WORDS = re.compile(r"[^\w']+|_")


def normalize_text(text: str) -> str:
    """A text without case and punctuation."""
    return _NOT_WORDS.sub(" ", text.lower()).strip()


# Actors are found by rules on words, no network: pronouns, nouns at the beginning of a step, roles with their gender.
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


def strip_marks(text: str) -> str:
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


def replace_name(task: str, scene: str) -> str:
    """A task of a plan that begins with a name of its scene, with the mark of its actor instead."""
    name, _, predicate = task.partition(" ")
    acts = re.match(r"[a-z]+s ", predicate)
    return "{^he} " + predicate if acts and name.lower() in names(scene) else task


def word_for_encoder(text: str) -> str:
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
class ScenePerson:
    """The actor of a scene."""

    gender: str  # ``he``, ``she``, ``it`` or ``they``
    noun: str  # how the first step names it, with article: ``a gardener``
    mood: str = ""  # adverb of the scene's mood, or empty
    side: str = ""  # ``left`` or ``right`` where the scene says which hand is used, or empty

    def says(self, text: str, first: bool = False) -> str:
        """A text with marks in the words for this person; `first`: with the noun as subject."""
        return fill(text, self.gender, self.noun if first else "")

    def refuses(self, step: str) -> bool:
        """Whether the mood rules out a word of a step."""
        return not set(_AGAINST.get(self.mood, "").split()).isdisjoint(re.findall(r"[a-z]+", step))


def who(scene: str, genders: dict[str, str], default: str = "he") -> ScenePerson:
    """The actor of a scene."""
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
    return ScenePerson(gender, noun, mood, side)


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


FIRST, MIDDLE, LAST = 1, 2, 3


@dataclass(frozen=True)
class StoryPart:
    """An activity of a whole plan, marks in place of the actor (`avatargpt.planning.library`)."""

    # task, steps: texts
    task: str
    steps: tuple[str, ...]
    at: frozenset[int]  # possible places, of `FIRST`, `MIDDLE`, `LAST`


@dataclass(frozen=True, eq=False)
class Story:
    """A whole plan."""

    name: str  # the kind, or the written scene
    row: int  # of the written scene in the library, -1 = a kind
    parts: tuple[StoryPart, ...]  # its activities; of a written scene in its order
    vectors: np.ndarray  # (n, 384) of them, unit
    nearness: float  # to the scene in question
    fits: np.ndarray  # (n,) cosine of each activity to it
    likeness: float = 1.0  # cosine of its scene to the one in question
    share: float = 0.0  # probability that the scene is of this kind, where it is read

    @property
    def ordered(self) -> bool:
        """Whether the order of the activities is fixed."""
        return self.row >= 0


@dataclass(eq=False)
class KindTable:
    """The kinds of a library.

    Shapes: N kinds, A their activities together, E = 384 components of a sentence vector.
    """

    names: list[str] = field(default_factory=list)  # N
    parts: list[tuple[StoryPart, ...]] = field(default_factory=list)  # the activities of each kind
    persons: list[tuple[str, str]] = field(default_factory=list)  # (name, gender) of who acts in them
    # (M, E) unit vectors of wordings of scenes
    keys: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    key_kind: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (M,) row of the kind of each, rising
    # (A, E) unit vectors of the activities, kind by kind
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))
    # Of each kind those of its wordings, without who acts; with spaces between
    words: list[str] = field(default_factory=list)

    @property
    def starts(self) -> np.ndarray:
        """(N + 1,) first activity of each kind."""
        return np.cumsum([0, *(len(p) for p in self.parts)])

    def arrays(self) -> dict[str, np.ndarray]:
        """As the library's file holds it; nothing where there are no kinds."""
        if not self.names:
            return {}
        rows = [[[p.task, list(p.steps), sorted(p.at)] for p in parts] for parts in self.parts]
        text = json.dumps([self.names, rows, self.persons, self.words], separators=(",", ":"), ensure_ascii=False)
        return {
            "kinds": xz(text.encode(), 9), "kind_keys": pack_units(self.keys),
            "kind_tasks": pack_units(self.vectors),
            "keys_per_kind": np.bincount(self.key_kind, minlength=len(self.names)).astype(np.uint8),
        }  # fmt: skip

    @classmethod
    def of(cls, data: Mapping[str, np.ndarray]) -> KindTable:
        """Of a library's arrays; empty for a library without kinds; KeyError or ValueError for damaged ones."""
        if "kinds" not in data:
            return cls()
        names, rows, persons, words = json.loads(inflate(data["kinds"]))
        parts = [tuple(StoryPart(t, tuple(s), frozenset(at)) for t, s, at in row) for row in rows]
        counts = data["keys_per_kind"].astype(np.int64)
        keys, vectors = (unpack_units(data[name]) for name in ("kind_keys", "kind_tasks"))
        if not len(names) == len(parts) == len(counts) == len(words) or counts.min() < 1 or len(keys) != counts.sum():
            raise ValueError(f"{len(names)} kinds, {len(parts)} of them with activities, {len(keys)} wordings")
        if len(vectors) != sum(map(len, parts)) or keys.shape[1] != vectors.shape[1]:
            raise ValueError(f"{len(vectors)} vectors for {sum(map(len, parts))} activities of kinds")
        which = np.repeat(np.arange(len(names)), counts)
        actors = [(str(name), str(gender)) for name, gender in persons]
        return cls(names, parts, actors, keys, which, vectors, [str(w) for w in words])


@dataclass(eq=False)
class EventTable:
    """Events with the steps that show them; E = 384 components of a sentence vector."""

    parts: list[StoryPart] = field(default_factory=list)  # N
    vectors: np.ndarray = field(default_factory=lambda: np.zeros((0, 384), np.float32))  # (N, E) unit, of the tasks

    def arrays(self) -> dict[str, np.ndarray]:
        """As the library's file holds it; nothing where there are none."""
        if not self.parts:
            return {}
        text = json.dumps([[p.task, *p.steps] for p in self.parts], separators=(",", ":"), ensure_ascii=False)
        return {"events": xz(text.encode(), 9), "event_tasks": pack_units(self.vectors)}

    @classmethod
    def of(cls, data: Mapping[str, np.ndarray]) -> EventTable:
        """Of a library's arrays; empty for a library without events; KeyError or ValueError for damaged ones."""
        if "events" not in data:
            return cls()
        parts = [StoryPart(t, tuple(steps), frozenset()) for t, *steps in json.loads(inflate(data["events"]))]
        vectors = unpack_units(data["event_tasks"])
        if len(vectors) != len(parts) or not all(p.steps for p in parts):
            raise ValueError(f"{len(vectors)} vectors for {len(parts)} events with steps")
        return cls(parts, vectors)


def pack_units(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors in 6 bits a component: cosines stay within 0.01."""
    import torch

    from vqvae.io.tensors import packed6

    return packed6(torch.from_numpy(vectors))[0].numpy()


def unpack_units(rows: np.ndarray) -> np.ndarray:
    """What `pack_units` packed."""
    if rows.ndim != 2 or rows.dtype != np.uint8 or rows.shape[1] % 3:
        raise ValueError(f"vectors {rows.shape} of {rows.dtype}")
    import torch

    from vqvae.io.tensors import unpacked6

    return unit(unpacked6(torch.from_numpy(rows)).numpy())


FILE = "planning.safetensors"


@dataclass(frozen=True)
class Basis:
    """Principal components of sentence vectors."""

    mean: np.ndarray  # (384,)
    axes: np.ndarray  # (384, K) orthonormal, the widest first; a vector of fewer components is a cut-off one

    @classmethod
    def fit(cls, vectors: np.ndarray, width: int) -> Basis:
        """From (n, 384) sentence vectors."""
        mean = vectors.mean(0)
        _, axes = np.linalg.eigh(np.cov((vectors - mean).T))
        return cls(mean.astype(np.float32), axes[:, ::-1][:, :width].astype(np.float32))

    def reduce(self, vectors: np.ndarray, width: int) -> np.ndarray:
        """(n, 384) -> (n, width) unit vectors."""
        return unit((vectors - self.mean) @ self.axes[:, :width])


@dataclass(eq=False)
class PlanLibrary:
    """The data of the planner.

    Shapes: S scenes, A activities, X steps, W components of scenes, K of activities and steps.
    """

    scenes: list[str]  # S texts
    genders: list[str]  # of each scene's actor (``he``, ``she``, ``it``, ``they``)
    tasks: list[str]  # A activities, marks in place of the actor (`avatargpt.planning.library`)
    steps: list[str]  # X steps, likewise
    task_scene: np.ndarray  # (A,) row of the scene of each activity, rising
    step_task: np.ndarray  # (X,) row of the activity, rising
    scene_vectors: np.ndarray  # (S, W)
    task_vectors: np.ndarray  # (A, K)
    step_vectors: np.ndarray  # (X, K), all unit
    basis: Basis  # that the vectors are in
    projections: dict[str, np.ndarray] = field(default_factory=dict)  # ``relation/from`` and ``relation/to`` -> (K, P)
    scorer: dict[str, np.ndarray] = field(default_factory=dict)  # state of the scorer network by name
    figures: dict[str, float] = field(default_factory=dict)  # what was measured when it was made
    kinds: KindTable = field(default_factory=KindTable)  # of scenes, with activities that fit one another
    events: EventTable = field(default_factory=EventTable)  # that many scenes may name

    @cached_property
    def task_index(self) -> VectorIndex:
        """Of the activities."""
        return VectorIndex(self.tasks, self.task_vectors)

    @cached_property
    def task_starts(self) -> np.ndarray:
        """(S + 1,) first activity of each scene."""
        return np.searchsorted(self.task_scene, np.arange(len(self.scenes) + 1))

    @cached_property
    def step_starts(self) -> np.ndarray:
        """(A + 1,) first step of each activity."""
        return np.searchsorted(self.step_task, np.arange(len(self.tasks) + 1))

    @cached_property
    def means(self) -> np.ndarray:
        """(A, K) unit mean of each activity's steps."""
        sums = np.zeros_like(self.task_vectors)
        np.add.at(sums, self.step_task, self.step_vectors)
        return unit(sums)

    def tasks_of(self, scene: int) -> range:
        """Rows of a scene's activities."""
        return range(int(self.task_starts[scene]), int(self.task_starts[scene + 1]))

    def steps_of(self, task: int) -> range:
        """Rows of an activity's steps."""
        return range(int(self.step_starts[task]), int(self.step_starts[task + 1]))

    def texts(self) -> list[list[str]]:
        """Tasks and steps of each scene."""
        rows = (self.tasks_of(scene) for scene in range(len(self.scenes)))
        return [[self.tasks[t] for t in row] + [self.steps[i] for t in row for i in self.steps_of(t)] for row in rows]

    def project(self, relation: str, side: str, vectors: np.ndarray) -> np.ndarray:
        """(n, >= K) -> (n, P) unit vectors of one side (``from`` or ``to``) of a relation."""
        matrix = self.projections[f"{relation}/{side}"]
        return unit(vectors[:, : len(matrix)] @ matrix)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over texts, vectors and weights: equal for equal libraries."""
        digest = hashlib.sha256(self._texts())
        for name, value in sorted(self._arrays().items()):
            digest.update(f"{name}:{value.dtype}:{value.shape};".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()

    def _texts(self) -> bytes:
        return "\n".join([*self.scenes, *self.tasks, *self.steps]).encode()

    def _arrays(self) -> dict[str, np.ndarray]:
        out = {  # of unit vectors the scale of a row is lost and made anew
            "scene_vectors": round_vectors(self.scene_vectors)[0], "task_vectors": round_vectors(self.task_vectors)[0],
            "step_vectors": round_vectors(self.step_vectors)[0], "mean": self.basis.mean.astype(np.float32),
            "axes": self.basis.axes.astype(np.float16),
            "tasks_per_scene": np.diff(self.task_starts).astype(np.uint8),
            "steps_per_task": np.diff(self.step_starts).astype(np.uint8),
        }  # fmt: skip
        out |= {f"projection/{k}": v.astype(np.float16) for k, v in self.projections.items()}
        out |= {f"scorer/{k}": v.astype(np.float16) for k, v in self.scorer.items()}
        return out | self.kinds.arrays() | self.events.arrays()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``planning.safetensors`` into a folder."""
        about = {"genders": self.genders, "figures": self.figures}
        return write_file(Path(folder) / FILE, about, {**self._arrays(), "texts": xz(self._texts(), 9)}, xz)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> PlanLibrary:
        """The library of a folder; raises UserError where it is missing or damaged."""
        path = Path(folder) / FILE
        if (library := read_file(path, "planning library", cls._from)) is None:
            raise UserError(f"{path}: no such file; pack the model with --planner, as the packaged weights are")
        return library

    @classmethod
    def _from(cls, stored: StoredVectors) -> PlanLibrary:
        data, genders = stored.arrays, list(stored.about["genders"])
        texts = inflate(data["texts"]).decode().split("\n")
        per_scene, per_task = data["tasks_per_scene"].astype(np.int64), data["steps_per_task"].astype(np.int64)
        s, a, x = len(per_scene), int(per_scene.sum()), int(per_task.sum())
        if len(texts) != s + a + x or len(per_task) != a or len(genders) != s:
            raise ValueError(f"{len(texts)} texts for {s} scenes, {a} activities and {x} steps")

        return cls(
            texts[:s], genders, texts[s : s + a], texts[s + a :],
            np.repeat(np.arange(s), per_scene), np.repeat(np.arange(a), per_task),
            stored.vectors(s, "scene_vectors"), stored.vectors(a, "task_vectors"), stored.vectors(x, "step_vectors"),
            Basis(data["mean"], data["axes"].astype(np.float32)), stored.list_named("projection/"),
            stored.list_named("scorer/"),
            dict(stored.about["figures"]), KindTable.of(data), EventTable.of(data),
        )  # fmt: skip
