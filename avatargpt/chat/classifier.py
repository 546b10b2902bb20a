"""The usual reading of a turn: a linear classifier names the act, rules fill in what it takes.

The classifier (a softmax over the vector of the frozen sentence encoder, the turn's words and what it is said about)
is trained on the recorded and made-up turns by `avatargpt.train.intents`. Acts that are not possible now do not count.
Numbers, segments, names and the movement are read from the words by `avatargpt.language.chat.filling`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.chat.intent import NEED_SEGMENTS, why_not
from avatargpt.language.chat import slots
from avatargpt.language.chat.features import masked, rows
from avatargpt.language.chat.filling import fill
from avatargpt.language.chat.heard import Heard
from avatargpt.language.chat.orders import order
from avatargpt.language.chat.pieces import each, parts
from avatargpt.model.folder import read_part
from instruct_data.dialogue.acts import Act
from vqvae.motion import atomic_write

if TYPE_CHECKING:
    from avatargpt.model.text_encoder import SentenceGrounder
    from avatargpt.retrieval.phrases import PhraseIndex

FILE = "intents.safetensors"
TRIED = 3  # kinds, the likeliest first, until one can be filled
SETTLED = 1.0  # as sure as rules are
LEAST = 0.22  # less sure than this it is better to ask


class TurnIntent:
    """The classifier.

    Args:
        kinds: K names of acts. grams: words and pairs that have a column. weight: (K, D). bias: (K,).
        grounder: the sentence encoder. wording: the book of movements, None = none.
    """

    name = "classifier"

    def __init__(
        self, kinds: Sequence[str], grams: Sequence[str], weight: np.ndarray, bias: np.ndarray,
        grounder: SentenceGrounder, phrase_index: PhraseIndex | None,
    ) -> None:  # fmt: skip
        self.kinds, self.places = list(kinds), {g: i for i, g in enumerate(grams)}
        self.weight, self.bias = weight.astype(np.float32), bias.astype(np.float32)
        self.grounder, self.phrase_index = grounder, phrase_index

    def election(self, heard: Heard) -> list[tuple[str, float]]:
        """Kinds of acts with their probability, the likeliest first; only those that can be done now."""
        vector = self.grounder.sentence([masked(heard.request, heard.files)])
        features = rows([heard], vector, nearness(vector, self.phrase_index), self.places)[0]
        scores = self.weight @ features + self.bias
        able = np.flatnonzero([_can(k, heard) for k in self.kinds])
        share = np.exp(scores[able] - scores[able].max(initial=-np.inf))
        share /= max(share.sum(), 1e-12)
        return [(self.kinds[able[i]], float(share[i])) for i in np.argsort(-share, kind="stable")]

    def understand(self, heard: Heard) -> list[Act] | None:
        acts, sure = self.weighed(heard)
        return acts if sure >= LEAST else None

    def weighed(self, heard: Heard) -> tuple[list[Act] | None, float]:
        """Acts, and how sure the least sure of them is (0..1)."""
        out: list[Act] = []
        now, sure = heard, 1.0
        for part in parts(heard.request):
            said = replace(now, request=part, files=tuple(f for f in heard.files if f in part))
            some, share = self._one(said)
            if not some:
                return None, 0.0
            out += some
            sure = min(sure, share)
            for one in some:
                now = _after(now, one)
        out = tidied(out)
        return (out, sure) if out and not why_not(out, heard) else (None, 0.0)

    def _one(self, heard: Heard) -> tuple[list[Act], float]:
        if settled := order(heard):
            return settled, SETTLED
        for kind, share in self.election(heard)[:TRIED]:
            act = fill(kind, heard)
            if act is not None and not why_not([act], heard):
                return each(act, heard), share
        return [], 0.0

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the classifier, weights as float16."""
        from safetensors.numpy import save_file

        about = json.dumps({"kinds": self.kinds, "grams": list(self.places)}, separators=(",", ":"))
        data: dict[str, np.ndarray] = {
            "weight": self.weight.astype(np.float16), "bias": self.bias,
            "about": np.frombuffer(about.encode(), np.uint8),
        }  # fmt: skip
        return atomic_write(Path(path), lambda p: save_file(data, p))

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], grounder: SentenceGrounder, phrase_index: PhraseIndex | None
    ) -> TurnIntent | None:
        """The classifier of a model folder, or None where it has none.

        Raises:
            UserError: a damaged file.
        """
        from safetensors.numpy import load_file

        def make(data: dict[str, np.ndarray]) -> TurnIntent:
            about = json.loads(data["about"].tobytes())
            out = cls(about["kinds"], about["grams"], data["weight"], data["bias"], grounder, phrase_index)
            rows([Heard("x", "")], np.zeros((1, 384)), np.zeros(1), out.places) @ out.weight.T
            return out

        return read_part(Path(folder) / FILE, "classifier of turns", load_file, make)


def tidied(acts: Sequence[Act]) -> list[Act]:
    """Interjections beside an order are none ("Great. Save it."), a length behind a movement is its length, and what is
    made second in one turn follows what was made first ("He waves. He sits.").
    """
    out: list[Act] = []
    orders = [a for a in acts if a.do not in ("chat", "clarify")]
    for act in orders or acts[:1]:
        before = out[-1] if out else None
        length = act.do in ("retime", "total")
        if length and before is not None and before.do in ("make", "then") and not before.seconds:
            out[-1] = replace(before, seconds=act.seconds)
        elif act.do == "make" and any(a.do in ("make", "then") for a in out):
            out.append(replace(act, do="then"))
        else:
            out.append(act)
    return out


def nearness(vectors: np.ndarray, phrase_index: PhraseIndex | None) -> np.ndarray:
    """(B,) cosine of each turn to the nearest movement of the book; 0 without a book."""
    if phrase_index is None:
        return np.zeros(len(vectors), np.float32)
    steps = (phrase_index.index.cosines(vectors[i : i + 256]) for i in range(0, len(vectors), 256))
    return np.concatenate([s.max(1) for s in steps])


def _can(kind: str, heard: Heard) -> bool:
    """Whether an act of this kind is possible at all now."""
    if not heard.captions and kind in NEED_SEGMENTS:
        return False
    if (kind == "keep" and heard.takes < 2) or (kind == "move" and len(heard.captions) < 2):
        return False
    if kind in ("load", "speak") and not heard.files:
        return False
    return kind != "total" or bool(slots.lengths(heard.request))


def _after(heard: Heard, act: Act) -> Heard:
    """What is there once this act is done."""
    captions = list(heard.captions)
    if act.do in ("make", "load", "long"):
        captions = [act.text or act.scene or str(act.file)]
    elif act.do == "then":
        captions.append(str(act.text))
    elif act.do == "before":
        captions.insert((act.segment or 1) - 1, str(act.text))
    elif act.do == "delete":
        del captions[(act.segment or 1) - 1]
    takes = (heard.takes or 1) + 1 if act.do == "again" else 0
    return replace(heard, captions=tuple(captions), seconds=0.0, takes=takes)
