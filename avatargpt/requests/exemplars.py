"""The library: tokenised clips with captions, whose codes stand in a prompt as examples (retrieval augmentation).

For every clause of a request the clips whose captions are nearest (frozen sentence encoder, cosine) are shown to the
encoder; the decoder adapts and joins them. What ships was made by this project; users add clips of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.requests.lexical import words
from avatargpt.requests.vector_index import Stored, VectorIndex, pack_vectors, ranked, read_file, unit, write_file
from vqvae.errors import UserError
from vqvae.io.files import folder_lock

if TYPE_CHECKING:
    from avatargpt.lm.text_encoder import SentenceGrounder

FILE = "library.safetensors"
LOCK = ".library.lock"
RANK = 96  # principal directions of the vectors that are kept in the file
EXAMPLES = 2  # examples a prompt carries at most, as in training
EXAMPLE_TOKENS = 24  # tokens of one example at most (4.8 s)
LEAST = 0.6  # cosine below which a clip is no example
SHARED = 0.15  # weight of the words in common: sentence vectors hardly tell "high" from "low"
CLOSE = 0.02  # clips this close to the best one are as good
_SIDES = {"left", "right"}


def example_slots(codes: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Codes (N, R) of at most two clips as slots of the task `text_to_motion`."""
    return dict(zip(("example", "second_example"), codes, strict=False))


def user_folder() -> Path:
    """Where users' own clips go: ``$AVATARGPT_HOME``, else ``avatargpt`` in the user's data folder."""
    if home := os.environ.get("AVATARGPT_HOME"):
        return Path(home)
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "avatargpt"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While this lasts, no other process is in it with the same folder: what is read, changed and written stays whole.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f"cannot write {folder / LOCK}: {e.strerror or e}") from None
    with folder_lock(folder, "another process writes there", LOCK, wait=True):
        yield


def check_retrieval(count: int) -> None:
    """Raises UserError unless a prompt can carry so many examples per clause."""
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= EXAMPLES:
        raise UserError(f"retrieval: {count}; accepted 0 to {EXAMPLES} clips per clause")


@dataclass(frozen=True, eq=False)
class Entry:
    """One clip of the library.

    Attributes:
        name: unique in the library.
        codes: (N <= 24, R) uint16.
        captions: what it shows, at least one.
        licence: under which terms.
    """

    name: str
    codes: np.ndarray
    captions: tuple[str, ...]
    licence: str


class ExemplarBank:
    """Clips and the vectors of their captions.

    Args:
        entries: E clips.
        vectors: caption -> (D,) unit vector of the sentence encoder; every caption has one.
        fingerprint: of the tokenizer that the codes are of.

    Raises:
        UserError: a name twice, no caption, codes that are too long, empty or of another depth than the rest.
    """

    def __init__(self, entries: Sequence[Entry], vectors: dict[str, np.ndarray], fingerprint: str) -> None:
        self.entries, self.fingerprint = list(entries), fingerprint
        names = [e.name for e in self.entries]
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise UserError(f"library: clip {twice!r} is in it already; choose another name")
        for e in self.entries:
            if e.codes.ndim != 2 or not 0 < len(e.codes) <= EXAMPLE_TOKENS:
                raise UserError(f"library: clip {e.name!r}: codes {e.codes.shape}; accepted 1 to {EXAMPLE_TOKENS} rows")
            if e.codes.shape[1] != self.entries[0].codes.shape[1]:
                raise UserError(f"library: clip {e.name!r}: {e.codes.shape[1]} levels; the others have "
                                f"{self.entries[0].codes.shape[1]}")  # fmt: skip
            if not e.captions or not all(c.strip() for c in e.captions):
                raise UserError(f"library: clip {e.name!r}: no caption; accepted at least one sentence")
        self.captions = list(dict.fromkeys(c for e in self.entries for c in e.captions))
        at = {c: n for n, c in enumerate(self.captions)}
        self.says = [[at[c] for c in e.captions] for e in self.entries]
        rows = np.stack([vectors[c] for c in self.captions]) if at else np.zeros((0, 1))
        self.index = VectorIndex(self.captions, rows)
        self._said = [{*words(c)} for c in self.captions]

    def __len__(self) -> int:
        return len(self.entries)

    def check(self, fingerprint: str, where: str = "library") -> None:
        """Raises UserError unless the codes are of this tokenizer."""
        if fingerprint != self.fingerprint:
            raise UserError(
                f"{where}: made with another tokenizer ({self.fingerprint[:12]}, the model's is {fingerprint[:12]}); "
                "make it again: scripts/train.py exemplars, avatargpt data exemplars add"
            )

    def _scores(self, text: str, vector: np.ndarray, least: float) -> np.ndarray:
        """(captions,) cosine and words in common; -1 where too far, or where the other side is spoken of."""
        cosine = self.index.cosines(vector)
        said = {*words(text)}
        shared = np.array([len(said & w) / max(len(said | w), 1) for w in self._said])
        side = said & _SIDES
        wrong = np.array([len(side) == 1 and w & _SIDES == _SIDES - side for w in self._said], bool)
        return np.where((cosine < least) | wrong, -1, cosine + SHARED * shared)

    def nearest(
        self, texts: Sequence[str], grounder: SentenceGrounder, count: int = 1, least: float = LEAST,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Entry]]:  # fmt: skip
        """The clips nearest to each text, best first.

        Args:
            grounder: the sentence encoder that the vectors come from.
            count: clips per text at most. least: cosine a caption must reach.
            seeds: one per text: decides between clips that are equally near. None: the first ones.

        Returns:
            Per text 0..count entries.
        """
        out: list[list[Entry]] = []
        if not self.entries or count < 1:
            return [[] for _ in texts]
        vectors = grounder.sentence(texts)
        for n, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
            scores = self._scores(text, vector, least)
            best = np.array([scores[s].max() for s in self.says])
            if seeds is not None:
                order = np.random.default_rng([seeds[n] % 2**32, 55]).permutation(len(best))
                near = best > best.max() - CLOSE
                best = best + near * CLOSE * (1 + order / len(best))
            found = ranked(best, count)
            out.append([self.entries[i] for i in found if scores[self.says[i]].max() > 0])
        return out

    def merged(self, other: ExemplarBank) -> ExemplarBank:
        """Both libraries in one; a clip of `other` takes the place of one with the same name."""
        self.check(other.fingerprint)
        taken = {e.name for e in other.entries}
        return ExemplarBank([*(e for e in self.entries if e.name not in taken), *other.entries],
                       {**self._by_caption(), **other._by_caption()}, self.fingerprint)  # fmt: skip

    def _by_caption(self) -> dict[str, np.ndarray]:
        return dict(zip(self.captions, self.index.vectors, strict=True))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``library.safetensors``: codes as uint16, vectors in 8 bits along their first `RANK` directions."""
        about = {
            "fingerprint": self.fingerprint, "captions": self.captions, "says": self.says,
            "names": [e.name for e in self.entries], "licences": [e.licence for e in self.entries],
        }  # fmt: skip
        data: dict[str, np.ndarray] = {
            "codes": np.concatenate([e.codes for e in self.entries]).astype(np.uint16),
            "lengths": np.array([len(e.codes) for e in self.entries], np.int32),
            **pack_vectors(self.index.vectors, RANK),
        }  # fmt: skip
        return write_file(Path(folder) / FILE, about, data)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ExemplarBank | None:
        """The library of a folder, or None where it has none.

        Raises:
            UserError: a damaged file.
        """

        def make(kept: Stored) -> ExemplarBank:
            about, captions = kept.about, kept.about["captions"]
            vectors = unit(kept.vectors(len(captions)))
            codes = np.split(kept.arrays["codes"], np.cumsum(kept.arrays["lengths"])[:-1])
            entries = [
                Entry(name, c, tuple(captions[i] for i in says), licence)
                for name, c, says, licence in zip(about["names"], codes, about["says"], about["licences"], strict=True)
            ]
            return cls(entries, dict(zip(captions, vectors, strict=True)), about["fingerprint"])

        return read_file(Path(folder) / FILE, "library", make)


def open_exemplars(folder: str | os.PathLike[str], fingerprint: str) -> ExemplarBank:
    """The library of a model folder together with the user's own clips.

    Args:
        folder: of the model. fingerprint: of its tokenizer.

    Raises:
        UserError: neither is there, one is damaged, or one was made with another tokenizer.
    """
    found = []
    for place in (Path(folder), user_folder()):
        exemplars = ExemplarBank.load(place)
        if exemplars is not None:
            exemplars.check(fingerprint, str(place / FILE))
            found.append(exemplars)
    if not found:
        raise UserError(
            f"{Path(folder) / FILE}: no such file, so there is nothing to retrieve; accepted: retrieval off, or a "
            "exemplar bank made with `avatargpt data exemplars add`"
        )
    return found[0] if len(found) == 1 else found[0].merged(found[1])
