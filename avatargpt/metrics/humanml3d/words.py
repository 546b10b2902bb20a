"""Words as the evaluator sees them: vectors of a fixed vocabulary, and one of fifteen classes each.

Source: Guo et al. 2022 (`WordVectorizer` of their code): GloVe vectors of 300 numbers (Pennington et al. 2014) and
classes of universal parts of speech, where words about places, bodies, things, actions and manners have their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vqvae.errors import UserError
from vqvae.io.data_files import map_array, read_plain_pickle
from vqvae.io.files import read_text

TAGS = (
    "VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV", "Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP",
    "Desc_VIP", "OTHER",
)  # fmt: skip
OTHER = TAGS.index("OTHER")
OWN_CLASS = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise "
    "wash stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
"""Class -> the words that are of it whatever part of speech they were tagged as."""
MOST_WORDS = 20
PLACES = MOST_WORDS + 2  # with the marks of beginning and end
BEGIN, END, UNKNOWN = "sos", "eos", "unk"
FILES = ("our_vab_data.npy", "our_vab_words.txt", "our_vab_words.pkl", "our_vab_idx.pkl")
ACCEPTED = f"accepted: {FILES[0]} (words, 300) with {FILES[1]} (a word a line, in its order) or with {FILES[3]}"
MOST_BYTES = 64 << 20


class Words(NamedTuple):
    """Texts as arrays: `vectors` (N, 22, 300) float32, `tags` (N, 22, 15) float32 one-hot, `lengths` (N,) int64."""

    vectors: np.ndarray
    tags: np.ndarray
    lengths: np.ndarray


class Vocabulary:
    """Words with their vectors.

    Args:
        words: distinct. vectors: (words, D) float32.

    Raises:
        UserError: counts differ, a word twice, vectors that are not finite, or none for ``unk``.
    """

    def __init__(self, words: Sequence[str], vectors: np.ndarray, where: str = "vocabulary") -> None:
        x = np.ascontiguousarray(vectors, np.float32)
        if x.ndim != 2 or len(x) != len(words) or not np.isfinite(x).all():
            raise UserError(f"{where}: {len(words)} words and vectors {x.shape}; accepted: a row of numbers for each")
        self.words, self.vectors = list(words), x
        self.rows = {w: i for i, w in enumerate(self.words)}
        if len(self.rows) != len(self.words):
            raise UserError(f"{where}: a word twice; accepted: distinct words")
        if UNKNOWN not in self.rows:
            raise UserError(f"{where}: no word {UNKNOWN!r} for all that are unknown; accepted: a vocabulary with it")
        self.classes = {w: TAGS.index(tag) for tag, some in OWN_CLASS.items() for w in some.split()}

    def look_up(self, token: str) -> tuple[int, int]:
        """Row and class of a ``word/TAG``; what is not in the vocabulary is ``unk`` of the class OTHER."""
        word, _, tag = token.rpartition("/")
        row = self.rows.get(word)
        if row is None:
            return self.rows[UNKNOWN], OTHER
        own = self.classes.get(word)
        return row, own if own is not None else TAGS.index(tag) if tag in TAGS else OTHER

    def encode(self, texts: Sequence[Sequence[str]]) -> Words:
        """Texts of ``word/TAG`` tokens -> arrays: at most 20 words between marks of beginning and end, then ``unk``."""
        rows = np.zeros((len(texts), PLACES), np.int64)
        tags = np.zeros((len(texts), PLACES, len(TAGS)), np.float32)
        lengths = np.zeros(len(texts), np.int64)
        for i, tokens in enumerate(texts):
            said = [f"{BEGIN}/OTHER", *tokens[:MOST_WORDS], f"{END}/OTHER"]
            lengths[i] = len(said)
            for k, token in enumerate([*said, *[f"{UNKNOWN}/OTHER"] * (PLACES - len(said))]):
                rows[i, k], tag = self.look_up(token)
                tags[i, k, tag] = 1
        return Words(self.vectors[rows], tags, lengths)


def has_vocabulary(folder: Path) -> bool:
    """Whether the files of the published vocabulary lie there."""
    return (folder / FILES[0]).is_file()


def read_vocabulary(folder: Path) -> Vocabulary:
    """The published vocabulary: ``our_vab_data.npy`` with the words beside it.

    Words are taken from ``our_vab_words.txt`` where it is there; else rows are those of ``our_vab_idx.pkl``, which is
    read as data and not unpickled (`vqvae.io.data_files`); ``our_vab_words.pkl``, if there, says which words count.

    Raises:
        UserError: a file is missing or something else.
    """
    path = folder / FILES[0]
    vectors = map_array(path, ACCEPTED)
    listed = folder / FILES[1]
    if listed.is_file():
        return Vocabulary(read_text(listed, MOST_BYTES).removesuffix("\n").split("\n"), vectors, str(path))
    index = read_plain_pickle(folder / FILES[3], ACCEPTED)
    if not isinstance(index, dict) or not all(isinstance(k, str) and type(v) is int for k, v in index.items()):
        raise UserError(f"{folder / FILES[3]}: not a table of words and rows; {ACCEPTED}")
    words = list(index)
    if (folder / FILES[2]).is_file():
        words = read_plain_pickle(folder / FILES[2], ACCEPTED)
        if not isinstance(words, list) or not all(isinstance(w, str) and w in index for w in words):
            raise UserError(f"{folder / FILES[2]}: not a list of words of {FILES[3]}; {ACCEPTED}")
        words = list(dict.fromkeys(words))
    rows = np.array([index[w] for w in words], np.int64)
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(vectors)):
        raise UserError(f"{folder / FILES[3]}: row {rows.max()} of {len(vectors)}; {ACCEPTED}")
    return Vocabulary(words, np.asarray(vectors)[rows], str(path))
