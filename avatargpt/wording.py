"""Plain wording: requests in anybody's words -> captions in the words that the model was trained on.

This is retrieval, not generation: every clause of a request is compared (frozen sentence encoder, cosine) with a book
of some thousand phrasings whose meaning is known, and takes the caption of the nearest. Left, right and backward are
taken from the words themselves, because sentence embeddings hardly tell them apart. The book holds the project's own
texts only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from instruct_data.english import GERUND, THIRD
from vqvae.errors import UserError
from vqvae.motion import atomic_write

if TYPE_CHECKING:
    from avatargpt.text import SentenceGrounder

FILE = "wording.safetensors"
_THEN = re.compile(
    r"\s*(?:[,;.]\s*)?(?:\band\s+|\bbut\s+)?\b(?:then|afterwards?|after that|after which|next|finally|lastly|later|"
    r"at the end|in the end|followed by)\b\s*,?\s*"
)
_BACK = re.compile(r"\b(?:back(?!\s+(?:and|to)\b)\w*|retreat\w*|revers\w*)\b")
SPLIT = -0.05  # two actions may be this much further from the book than one, for they say more
SIDED = 0.05  # a phrasing of the very side asked for goes before one without a side
VERBS = {*THIRD, *THIRD.values(), *GERUND}
_PARTICLES = {"up", "down", "back", "again", "on", "off", "forward", "backward", "left", "right", "away", "together"}
_OPENING = re.compile(
    r"^(?:please\s+|now\s+|first(?:ly)?,?\s+|to (?:start|begin)(?: with)?,?\s+|at first,?\s+|start (?:with|by)\s+)+"
)


@dataclass(frozen=True)
class Plain:
    """One clause of a request in plain words.

    Attributes:
        text: a caption from the book, or the clause itself where nothing in the book is near.
        similarity: cosine of the clause to its phrasing.
        lengths: motion tokens that clips with this caption have, from short to long; empty = not known.
    """

    text: str
    similarity: float
    lengths: tuple[int, ...] = ()


def clauses(text: str) -> list[str]:
    """Parts of a request that follow one another in time."""
    lowered = _OPENING.sub("", " ".join(text.lower().split()).rstrip(" .!"))
    parts = [_OPENING.sub("", p.strip(" ,;.")) for p in _THEN.split(lowered)]
    out: list[str] = []
    for part in filter(None, parts):
        if out and part in _PARTICLES:  # "up and then down" is one action
            out[-1] += f" then {part}"
        else:
            out.append(part)
    return out or [lowered]


def verb_phrases(part: str) -> list[str]:
    """A clause cut at every "and" that a verb follows: "walks ahead and waves" -> "walks ahead", "waves"."""
    out: list[str] = []
    for piece in re.split(r",?\s+and\s+", part):
        first = piece.split()[0] if piece.split() else ""
        if out and first not in VERBS:
            out[-1] += f" and {piece}"
        else:
            out.append(piece)
    return out


def first_side(text: str) -> str:
    """The side named first, ``left``, ``right`` or empty."""
    found = re.search(r"\b(left|right)\b", text)
    return found.group(1) if found else ""


class Wording:
    """The book.

    Args:
        keys: n phrasings. captions: what each means, per style, ``""`` = the plain one. sides: left, right or empty.
        styles: word -> style. lengths: caption -> usual numbers of motion tokens.
        vectors: (n, 384) unit vectors of the phrasings.
    """

    def __init__(
        self, keys: Sequence[str], captions: Sequence[dict[str, str]], sides: Sequence[str], styles: dict[str, str],
        lengths: dict[str, list[int]], vectors: np.ndarray,
    ) -> None:  # fmt: skip
        self.keys, self.captions, self.sides, self.styles = list(keys), list(captions), np.array(sides), styles
        self.backward = np.array([bool(_BACK.search(c[""])) for c in captions])
        self.lengths, self.vectors = lengths, vectors.astype(np.float32)

    def style(self, text: str) -> str:
        """The style that a word of the text names, or empty."""
        for word in re.findall(r"[a-z-]+", text.lower()):
            if word in self.styles:
                return self.styles[word]
        return ""

    def plain(self, text: str, grounder: SentenceGrounder, least: float = 0.4) -> list[Plain]:
        """Look every clause up, in order.

        Args:
            grounder: the sentence encoder the vectors come from.
            least: below this cosine a clause keeps its own words.
        """
        parts = clauses(text)
        whole = self.style(text)
        found: list[Plain] = []
        for part in parts:
            pieces = verb_phrases(part)
            one = self._nearest([part], grounder, whole if len(parts) == 1 else "", least)
            if len(pieces) > 1:  # two actions, or one that the book knows by this very name ("walks and turns left")
                several = self._nearest(pieces, grounder, "", least)
                if min(p.similarity for p in several) > one[0].similarity + SPLIT:
                    one = several
            found += one
        return found

    def _nearest(self, parts: Sequence[str], grounder: SentenceGrounder, whole: str, least: float) -> list[Plain]:
        """Each part's nearest phrasing; `whole` is the style of the request, for parts that name none."""
        found = []
        for part, vector in zip(parts, grounder.sentence(parts), strict=True):
            scores = self.vectors @ vector
            side = first_side(part)
            if side:
                scores = np.where(self.sides == side, scores + SIDED, np.where(self.sides == "", scores, -1))
            scores = np.where(self.backward == bool(_BACK.search(part)), scores, -1)
            best = int(scores.argmax())
            score = float(scores[best])
            if score < least:
                found.append(Plain(part, score))
                continue
            known = self.captions[best]
            caption = known.get(self.style(part) or whole) or known[""]
            found.append(Plain(caption, score, tuple(self.lengths.get(caption, ()))))
        return found

    def save(self, folder: str | os.PathLike[str]) -> Path:
        from safetensors.numpy import save_file

        about = {
            "keys": self.keys, "captions": self.captions, "sides": self.sides.tolist(), "styles": self.styles,
            "lengths": self.lengths,
        }  # fmt: skip
        data: dict[str, np.ndarray] = {
            "vectors": self.vectors.astype(np.float16),
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        }
        return atomic_write(Path(folder) / FILE, lambda p: save_file(data, p))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Wording | None:
        """The book of a model folder, or None where it has none.

        Raises:
            UserError: a damaged file.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(folder) / FILE
        if not path.is_file():
            return None
        try:
            data = load_file(path)
            about = json.loads(data["about"].tobytes())
            return cls(vectors=data["vectors"], **about)
        except (SafetensorError, KeyError, ValueError, OSError) as e:
            raise UserError(f"{path}: not a readable book of phrasings ({str(e).splitlines()[0]})") from None
