"""What a planner may be asked: scenes, activities, steps in words that can be read, and known tasks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache

from avatargpt.resources import sentence_model_folder
from instruct_data import registry
from instruct_data.planning import PLANNING_TASKS, SEPARATOR, join_steps
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing

MAX_WORDS = 200
MAX_CHARACTERS = 2000
MAX_ACTIVITIES = 50
MAX_STEPS = 12  # of one activity
_LATIN = 0.9  # share of the letters that must be Latin
_WORD = re.compile(r"[^\W\d_]+")
_SPOKEN = re.compile(r"[,'-]|[a-z0-9'-]*[a-z0-9][a-z0-9'-]*[,.]?", re.I)
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
    """`text` on one line.

    Raises:
        UserError: nothing in it, too long, control characters, or not in Latin letters.
    """
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co") and c not in "\t\n\r" for c in text):
        raise UserError(f"{what}: control characters in the text; accepted plain text")
    said = " ".join(text.split())
    letters = [c for c in said if c.isalpha()]
    if not letters:
        raise UserError(f"{what}: no words in it; accepted a sentence or two in English")
    if len(said.split()) > MAX_WORDS or len(said) > MAX_CHARACTERS:
        raise UserError(
            f"{what}: {len(said.split())} words, {len(said)} characters; "
            f"accepted at most {MAX_WORDS} words and {MAX_CHARACTERS} characters"
        )
    if sum("LATIN" in unicodedata.name(c, "") for c in letters) < _LATIN * len(letters):
        raise UserError(f"{what}: {said[:40]!r} is not in English; accepted English text")
    return said


@cache
def _vocabulary() -> frozenset[str]:
    """Whole words of the sentence encoder: some 20,000, nearly all of them English."""
    path = sentence_model_folder() / "tokenizer.json"
    data = read_object(path)
    with parsing(path, "the vocabulary of the sentence encoder"):
        return frozenset(w for w in data["model"]["vocab"] if len(w) > 1 and w.isalpha())


def looks_english(text: str) -> bool:
    """Whether at least half of the words are English ones (three quarters where another language's are among them), or
    English ones bind the rest together.

    A rule: the sentence encoder's vocabulary, with English endings taken off, and lists of the commonest words.
    """
    words = [w.lower() for w in _WORD.findall(text) if len(w) > 1 or w in "aAIiyzwe"]
    if not words:
        return False
    known = _vocabulary()

    def english(word: str) -> bool:
        if word in _GLUE:
            return True
        stems = (word[: -len(e)] for e in _ENDINGS if word.endswith(e) and len(word) > len(e) + 2)
        return word not in _FOREIGN and (word in known or any(s in known or s + "e" in known for s in stems))

    share = sum(map(english, words)) / len(words)
    foreign = any(w in _FOREIGN or not w.isascii() for w in words)
    glue = sum(w in _GLUE for w in words) / len(words)
    if not foreign and glue:
        return True
    return share >= (0.75 if foreign and glue < 0.2 else 0.5)


def spoken(piece: str) -> bool:
    """Whether a word piece is part of a word, or what binds words."""
    return _SPOKEN.fullmatch(piece) is not None


def hit_at_random(text: str) -> bool:
    """Whether rows of keys are all there is, no word of any language: "asdfgh jkl". A rule: no word is known or made
    of two known ones ("catchphrase"), and more than half of the letters are in words of four or more that are
    neighbours on the keyboard, without a vowel, or with five consonants in a row.
    """
    words = [w.lower() for w in _WORD.findall(text)]
    known = _vocabulary()

    def strange(word: str) -> bool:
        halves = ((word[:i], word[i:]) for i in range(3, len(word) - 2))
        return word not in known and not any(a in known and b in known for a, b in halves)

    def keys(word: str) -> bool:
        rows = any(word in row or word[::-1] in row for row in _KEYS)
        return len(word) > 3 and (rows or _UNSPEAKABLE.search(word) is not None)

    hit = sum(len(w) for w in words if keys(w))
    return 2 * hit > sum(map(len, words)) and all(map(strange, words))


def check_scene(scene: str) -> str:
    """A scene to plan in: `check_words` and in English, see `looks_english`."""
    said = check_words(scene)
    if not looks_english(said):
        raise UserError(f"scene: {said[:60]!r} does not look like English; accepted English text")
    return said


def check_plan(scene: str, activities: int) -> str:
    """The scene, once it and the number of activities are accepted."""
    if not 1 <= activities <= MAX_ACTIVITIES:
        raise UserError(f"activities: {activities}; accepted 1 to {MAX_ACTIVITIES}")
    return check_scene(scene)


def check_slots(task: str, slots: Mapping[str, str]) -> dict[str, str]:
    """Slots of a planning task, tidied; steps joined by semicolons.

    Raises:
        UserError: no such planning task, a slot missing, too many or not accepted.
    """
    wanted = planning_task(task).slots
    if unknown := sorted(slots.keys() - wanted.keys()):
        raise UserError(f"task {task}: does not take {unknown[0]}; accepted: {', '.join(wanted)}")
    if missing := [name for name in wanted if not str(slots.get(name) or "").strip()]:
        raise UserError(f"task {task}: {missing[0]} is needed; accepted: {', '.join(wanted)}")
    out = {}
    for name in wanted:
        said = check_words(slots[name], name)
        if name == "steps":
            steps = said.split(SEPARATOR.strip())
            if len([s for s in steps if s.strip()]) > 2 * MAX_STEPS:
                raise UserError(f"steps: {len(steps)} of them; accepted at most {2 * MAX_STEPS}")
            said = join_steps(steps)
        elif not looks_english(said):
            raise UserError(f"{name}: {said[:60]!r} does not look like English; accepted English text")
        out[name] = said
    return out


def planning_task(name: str) -> registry.Task:
    """A task among the planning directions.

    Raises:
        UserError: there is none of that name; suggests the nearest and lists all.
    """
    import difflib

    if name in PLANNING_TASKS:
        return registry.get_task(name)
    near = difflib.get_close_matches(name, PLANNING_TASKS, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UserError(f"unknown planning task {name!r}; {hint}available: {', '.join(PLANNING_TASKS)}")
