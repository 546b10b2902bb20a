"""Scores of phrasings for a clause, and the probability that it means a known action."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from avatargpt.requests.english import WordIndex, lemmas
from avatargpt.requests.vector_index import Stored, VectorIndex, ranked
from instruct_data.text.english import GERUND, THIRD
from vqvae.io.files import parsing
from vqvae.motion import atomic_write

BACK = re.compile(
    r"(?<!facing )(?<!faces )(?<!looking )(?<!looks )\b(?:backwards?|backing|backs|backpedal\w*|retreat\w*|revers\w*)\b"
    r"|\b(?:walk|step|go|goes|going|mov|run|jump|hop|skip)\w* (?:straight )?back\b(?! (?:and|up|to|on))"
)
BACKFLIP = re.compile(r"\bback(?:ward)?s?[ -]?(?:flips?|somersaults?|handsprings?|tucks?)\b|\bflic.?flac")
# no "up" and "down" of stand up and sit down
PLACE = re.compile(
    r"\b(above|overhead|behind|sideways|diagonally|backward|high|low|(?:up|down)(?= (?:and to|at|and forward)\b))s?\b"
)
UP_DOWN = re.compile(r"\b(up|down)(?:wards?|stairs|hill)?\b")
_BOTH_SIDES = re.compile(
    r"\b(?:left (?:and|then|or) (?:then )?(?:to the )?right|right (?:and|then|or) (?:then )?(?:to the )?left)\b"
)

# Loading a model asks these of every phrasing it knows; most hold nothing of the kind, which plain search tells sooner.
_SIDE = re.compile(r"\b(left|right)\b")


def first_side(text: str) -> str:
    """The side named first, ``left``, ``right`` or empty."""
    match = _SIDE.search(text) if "left" in text or "right" in text else None
    return match.group(1) if match else ""


def goes_back(text: str) -> bool:
    """Whether a text moves backward (`BACK`)."""
    return ("back" in text or "retreat" in text or "revers" in text) and bool(BACK.search(text))


def flips_back(text: str) -> bool:
    """Whether a text is a backward flip (`BACKFLIP`)."""
    return ("back" in text or "flic" in text) and bool(BACKFLIP.search(text))


def ups_and_downs(text: str) -> set[str]:
    """Which of ``up`` and ``down`` a text names."""
    return {*UP_DOWN.findall(text)} if "up" in text or "down" in text else set()


def requested_side(text: str) -> str:
    """The side that a request names first, empty where it names both in a row ("look left and right")."""
    return "" if _BOTH_SIDES.search(text) else first_side(text)


# say little of what is done: "does a bow", "begins to run"
_LIGHT = frozenset(
    """do make take get go have be start begin try use give perform keep continue show let put come move hold practice
    imitate mime demonstrate set help stop""".split()
)
_STATES = frozenset("sitting standing lying kneeling being".split())  # of such a text the verb says half
_BASES = {*THIRD.values()} - {*"slow clean open dry warm calm".split()}  # these are as often adjectives
_PARTS = {
    "hand": "arms?|hands?|fists?|palms?", "finger": "fingers?|fingertips?|thumbs?", "leg": "legs?|thighs?|calf|calves",
    "foot": "foot|feet|toes?|heels?", "knee": "knees?", "head": "heads?", "shoulder": "shoulders?",
    "hip": "hips?|waist", "wrist": "wrists?", "elbow": "elbows?|forearms?", "neck": "neck|throat",
    "nose": "nose", "ear": "ears?", "hair": "hair", "mouth": "chin|cheeks?|mouth|lips",
    "face": "face|forehead|brow|eyes?", "belly": "belly|stomach|chest",
}  # fmt: skip
HAND = "hand"
_OBJECT = re.compile(
    r"(?: (?:up|down|out))? (?:(?:his|her|their|your|my|its|the|both|one|a|an|left|right|two) )*"
    r"(?:(?!(?:with|in|on|to|of|at|and|by|over|under|into|from) )[a-z]+ ){0,2}"
    rf"(?:{'|'.join(f'(?P<{name}>{form})' for name, form in _PARTS.items())})\b"
)
_WORD = re.compile(r"[a-z]+")


# the same phrasings are looked at request after request
@lru_cache(1 << 15)
def doing(text: str) -> tuple[str, str]:
    """The verb (its base) of a text and the part of the body that is its object ("rolls the shoulders"), or empty."""
    words = _WORD.findall(text.lower())
    first = 2 if words[:1] and words[0] in ("a", "an", "the") else 0  # "a guard": a verb by its form alone
    for i, word in enumerate(words[first:], first):
        base = THIRD.get(word) or GERUND.get(word) or (word if word in _BASES else "")
        if word in _STATES:
            break
        if base and base not in _LIGHT:
            part = _OBJECT.match(" " + " ".join(words[i + 1 :]).replace("head over heels", ""))
            return base, (part.lastgroup or "") if part else ""
    return "", ""


# of the rules of `derive_marks` and `WordIndex`; what files of another version hold is derived anew
VERSION = 2


@dataclass(frozen=True, eq=False)
class Marks:
    """Of n phrasings, each (n,)."""

    backward: np.ndarray  # bool, the caption goes backward
    said_backward: np.ndarray  # the phrasing or the caption does, or it is a backflip
    # up, down: bool, the phrasing names this way alone
    up: np.ndarray
    down: np.ndarray
    named: np.ndarray  # bool, it names a side
    literal: np.ndarray  # bool, it is its own caption
    # shown_left, shown_right: bool, a caption of its action names this side
    shown_left: np.ndarray
    shown_right: np.ndarray
    group: np.ndarray  # int, number of its action

    def against(self, way: str) -> np.ndarray:
        """(n,) bool, whether a phrasing goes down alone where `way` is ``up``, and the reverse."""
        return self.down if way == "up" else self.up

    def sided(self, side: str) -> np.ndarray:
        """(n,) bool, whether a caption of the action names the side, ``left`` or ``right``."""
        return self.shown_left if side == "left" else self.shown_right


FLAGS = tuple(name for name in Marks.__dataclass_fields__ if name != "group")


def derive_marks(keys: Sequence[str], captions: Sequence[Mapping[str, str]], classes: Sequence[str]) -> Marks:
    """The marks of n phrasings with their captions and actions; see `PhraseIndex`."""
    plain = [c[""] for c in captions]
    # few captions stand for many phrasings
    back, side = ({t: f(t) for t in {*plain}} for f in (goes_back, first_side))
    backward = np.array([back[t] for t in plain], bool)
    # "flips over backward" means a backflip, whose caption has no such word
    texts = (f"{k} | {t}" for k, t in zip(keys, plain, strict=True))
    ways = [ups_and_downs(k) for k in keys]
    group = np.unique(classes, return_inverse=True)[1].astype(np.int32)
    sides = np.array([side[t] for t in plain])
    left, right = (np.isin(group, group[sides == s]) for s in ("left", "right"))
    return Marks(
        backward, backward | np.array([goes_back(t) or flips_back(t) for t in texts], bool),
        np.array([w == {"up"} for w in ways], bool), np.array([w == {"down"} for w in ways], bool),
        np.array([bool(first_side(k)) for k in keys], bool),
        np.array([k == t for k, t in zip(keys, plain, strict=True)], bool), left, right, group,
    )  # fmt: skip


def packed_marks(marks: Marks, words: WordIndex) -> dict[str, np.ndarray]:
    """Marks and words as arrays of a file; the lemmas themselves are texts and go elsewhere."""
    return {
        "flags": np.packbits(np.stack([getattr(marks, name) for name in FLAGS]), axis=1), "group": marks.group,
        "word_starts": words.starts.astype(np.int32),
        "word_texts": words.texts.astype(np.uint16 if len(words.norms) <= 1 << 16 else np.int32),
        "word_weights": words.weights.astype(np.float32), "word_norms": words.norms.astype(np.float32),
    }  # fmt: skip


def unpacked_marks(stored: Stored, words: Sequence[str], count: int) -> tuple[Marks, WordIndex]:
    """The inverse of `packed_marks`, for `count` phrasings with these lemmas; views of the file's arrays.

    Raises:
        KeyError, ValueError: an array is missing, of another number, or with rows out of range.
    """
    flags, group = stored.arrays["flags"], stored.arrays["group"]
    names = ("word_starts", "word_texts", "word_weights", "word_norms")
    starts, texts, weights, norms = (stored.arrays[name] for name in names)
    if flags.ndim != 2 or flags.dtype != np.uint8 or flags.shape[1] != -(-count // 8):
        raise ValueError("marks of another kind")
    flags = np.unpackbits(flags, axis=1, count=count).astype(bool)
    if flags.shape != (len(FLAGS), count) or group.shape != (count,) or norms.shape != (count,):
        raise ValueError(f"marks {flags.shape} for {count} texts")
    if not _rows(group, count) or not (norms > 0).all():
        raise ValueError("marks of another kind")
    if len(starts) != len(words) + 1 or len(weights) != len(words) or not _rows(texts, count):
        raise ValueError(f"an index of words {starts.shape} for {len(words)} words")
    if starts[0] != 0 or starts[-1] != len(texts) or (np.diff(starts) < 0).any():
        raise ValueError("an index of words that is out of order")
    return Marks(**dict(zip(FLAGS, flags, strict=True)), group=group), WordIndex(words, starts, texts, weights, norms)


def _rows(numbers: np.ndarray, count: int) -> bool:
    """Whether all are rows of `count`."""
    return numbers.dtype.kind in "iu" and (not numbers.size or (numbers.min() >= 0 and numbers.max() < count))


# from which a request is looked up with its manner alone: "walk like a zombie"
MANNER_ALONE_SIMILARITY = 0.9
# of a side that a phrasing names and the request does not, of going backward, of each such place
UNNAMED_COST = 0.15
# of a phrasing of the very side that is asked for, over one without a side
SIDE_BONUS = 0.05
# of an action that no caption does on the side that is asked for
NO_SIDE_COST = 0.1
# of the phrasings with the request's verb, up to which this does not count
RARE_SIDE_SHARE = 0.2
# of an action that is known in the style that is asked for
STYLE_BONUS = 0.1
# of a phrasing whose verb (and part of the body) is that of the request
VERB_BONUS = 0.1
# of one with that verb whose action has nothing to do with that part of the body
OTHER_PART_COST = 0.1
# of word overlap against the sentence encoder's cosine (both 0..1)
OVERLAP_WEIGHT = 0.2


class Phrasings(Protocol):
    """The part of `avatargpt.requests.phrase_index.PhraseIndex` that scores use."""

    index: VectorIndex
    captions: list[dict[str, str]]
    marks: Marks
    sides: np.ndarray

    def with_verb(self, verb: str, part: str) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, eq=False)
class PhraseScores:
    """Evidence for each of the n phrasings."""

    scores: np.ndarray  # (n,) all together
    cosine: np.ndarray  # (n,) of the sentence encoder
    overlap: np.ndarray  # (n,) words in common, 0..1
    same_verb: np.ndarray  # (n,) bool
    other_part: np.ndarray  # (n,) bool, the verb, but of another part of the body
    verb: bool  # whether the request's verb is known
    words: int  # how many the request has
    terms: tuple[tuple[float, np.ndarray], ...] = ()  # of each of its lemmas how rare it is and the rows that have it

    @property
    def without_verb(self) -> np.ndarray:
        """(n,) scores without the verb, which makes no difference among captions of one action."""
        return self.scores - VERB_BONUS * self.same_verb + OTHER_PART_COST * self.other_part


def phrase_scores(
    phrasings: Phrasings, clause: str, core: str, manner: str, cosine: np.ndarray, hidden: np.ndarray | None = None
) -> PhraseScores:
    """Score every phrasing.

    Args:
        clause: without a turn, a path and denied actions. core: that without its manner.
        cosine: (2, n) of both to every phrasing. hidden: rows to be ignored.
    """
    index = phrasings.index.words
    words = [index.scores(clause), index.scores(core)]
    closeness, overlap = cosine[0], words[0]
    if core != clause and (closeness + OVERLAP_WEIGHT * overlap).max() < MANNER_ALONE_SIMILARITY:
        closeness, overlap = cosine.max(0), np.maximum(*words)
    verb, part = doing(clause)
    same_verb, other_part = phrasings.with_verb(verb, part)
    if hidden is not None:
        closeness, overlap, same_verb = closeness.copy(), overlap.copy(), same_verb.copy()
        closeness[hidden], overlap[hidden], same_verb[hidden] = -1, 0, False
    scores = closeness + OVERLAP_WEIGHT * overlap
    if manner:
        scores = scores + STYLE_BONUS * np.array([manner in c for c in phrasings.captions])
    scores = scores + VERB_BONUS * same_verb - OTHER_PART_COST * other_part
    marks = phrasings.marks
    if side := requested_side(clause):
        sides = phrasings.sides
        scores = np.where(sides == side, scores + SIDE_BONUS, np.where(sides == "", scores, -1))
        has_side = marks.sided(side)
        if (has_side & same_verb).sum() <= RARE_SIDE_SHARE * same_verb.sum():  # "nods to the left"
            has_side = has_side | same_verb
        scores = scores - NO_SIDE_COST * ~has_side
    else:
        scores = scores - UNNAMED_COST * marks.named
    ways = UP_DOWN.findall(clause)
    if len({*ways}) == 1:
        scores = scores - UNNAMED_COST * marks.against(ways[0])
    scores = scores - UNNAMED_COST * (~marks.said_backward if BACK.search(clause) else marks.backward)
    gone = np.zeros(0, int) if hidden is None else hidden
    terms = tuple((index.weight.get(w, index.rarest), np.setdiff1d(index.rows(w), gone)) for w in {*lemmas(core)})
    return PhraseScores(scores, closeness, overlap, same_verb, other_part, bool(verb), len(clause.split()), terms)


COMPARED_ACTIONS = 24  # that are compared
NEAREST_PHRASINGS, COUNTED_PHRASINGS = 8, 60  # phrasings whose actions are counted
FEATURES = 27
# of the weight of the nearest ones among each other
NEAREST_TEMPERATURE = 0.06
CLASSIFIER_FILE = "choice.safetensors"
CLASSIFIER_ARRAYS = ("mean", "scale", "w1", "b1", "w2", "v1", "c1", "v2", "c2")


def features(scores: PhraseScores, group: np.ndarray, members: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Evidence for the nearest actions: (A,) actions, the nearest first, and (A, F) features."""
    best = np.full(len(members), -np.inf)
    np.maximum.at(best, group, scores.scores)
    actions = ranked(best, COMPARED_ACTIONS)
    order = ranked(scores.scores, COUNTED_PHRASINGS)
    owner = group[order]
    weight = np.exp((scores.scores[order[:NEAREST_PHRASINGS]] - scores.scores[order[0]]) / NEAREST_TEMPERATURE)
    out = []
    for action in actions:
        rows = members[action]
        row = rows[scores.scores[rows].argmax()]
        cosines, overlaps = np.sort(scores.cosine[rows])[::-1], np.sort(scores.overlap[rows])[::-1]
        same_verb, of_action = scores.same_verb[rows], owner == action
        out.append([
            cosines[0], cosines[:3].mean(), cosines[:8].mean(), scores.scores[row], overlaps[0], scores.overlap[row],
            overlaps[:3].mean(), scores.cosine[row], scores.same_verb[row], same_verb.mean(), same_verb.any(),
            scores.other_part[rows].mean(), weight[of_action[:NEAREST_PHRASINGS]].sum() / weight.sum(),
            of_action[:20].mean(), of_action.mean(), np.log(len(rows)) / 6, scores.verb,
            scores.scores[row] - scores.cosine[row],
        ])  # fmt: skip
    absolute = np.concatenate([np.array(out, np.float32), _covered(scores, group, members, actions)], 1)
    relative = np.stack([
        absolute[:, 3] - absolute[:, 3].max(), absolute[:, 0] - absolute[:, 0].max(),
        np.arange(len(actions)) / COMPARED_ACTIONS, np.full(len(actions), scores.words / 10),
    ], 1)  # fmt: skip
    return actions, np.concatenate([absolute, relative], 1).astype(np.float32)


def _covered(scores: PhraseScores, group: np.ndarray, members: Sequence[np.ndarray], actions: np.ndarray) -> np.ndarray:
    """(A, 5) shares of the request's words that the phrasings of an action have, too."""
    # share of its lemmas by rarity, the rarest that they lack, how usual its rarest one is among them; of all actions
    # together the share, and the rarest lemma that none has
    total = sum(weight for weight, _ in scores.terms) or 1.0
    out = np.zeros((len(actions), 5), np.float32)
    rarest = -1.0
    for weight, rows in scores.terms:
        counts = np.bincount(group[rows], minlength=len(members))[actions]
        out[:, 0] += weight / total * (counts > 0)
        out[:, 1] = np.maximum(out[:, 1], weight / 10 * (counts == 0))
        if weight > rarest:
            rarest = weight
            out[:, 2] = np.log1p(counts) / 4
        out[:, 3] += weight / total * (len(rows) > 0)
        out[:, 4] = np.maximum(out[:, 4], weight / 10 * (len(rows) == 0))
    return out


class KnownActionClassifier:
    """The trained network, two layers for the actions and two for "none of them"; `arrays` by `CLASSIFIER_ARRAYS`."""
    # Trained on the phrase index itself (`avatargpt.train.phrase_index`): phrasings are looked up as if they were not
    # in it, a third of them as if their action were not in it either, and sentences about unknown actions.

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = {k: np.asarray(arrays[k], np.float32) for k in CLASSIFIER_ARRAYS}

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(A, F) features -> (A + 1,) logits, the last one of "none"."""
        a = self.arrays
        even = (rows - a["mean"]) / a["scale"]
        scores = _gelu(even @ a["w1"] + a["b1"]) @ a["w2"]
        top = even[ranked(scores, 3)]
        if len(top) < 3:
            top = np.concatenate([top, np.repeat(top[-1:], 3 - len(top), 0)])
        none = _gelu(top.ravel() @ a["v1"] + a["c1"]) @ a["v2"] + a["c2"]
        return np.concatenate([scores, none])

    def probability(self, scores: PhraseScores, group: np.ndarray, members: Sequence[np.ndarray]) -> float:
        """The probability, 0..1, that one of the known actions is meant."""
        logits = self.logits(features(scores, group, members)[1])
        shares = np.exp(logits - logits.max())
        return float(1 - shares[-1] / shares.sum())

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``choice.safetensors``."""
        from safetensors.numpy import save_file

        return atomic_write(Path(folder) / CLASSIFIER_FILE, lambda p: save_file(self.arrays, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> KnownActionClassifier | None:
        """Of a model folder, None where it has none; raises UserError for a damaged file."""
        from vqvae.io.tensors import load_tensors

        path = Path(folder) / CLASSIFIER_FILE
        if not path.is_file():
            return None
        state = load_tensors(path, "a choice among known actions")
        with parsing(path, "a choice among known actions"):
            classifier = cls({k: v.numpy() for k, v in state.items()})
            classifier.logits(np.zeros((3, FEATURES), np.float32))  # of the shapes that are needed
            return classifier


def _gelu(x: np.ndarray) -> np.ndarray:
    """Hendrycks and Gimpel 2016, by the hyperbolic tangent."""
    out: np.ndarray = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return out
