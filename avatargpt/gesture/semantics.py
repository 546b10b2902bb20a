"""Semantic gestures: options of gesturing (`Manner`), and the strokes that words call for. Rules, not a network.

A table (`instruct_data/gesture/classes.yaml`) maps words to classes and classes to gestures. A word that is not in the
table takes the class of its nearest neighbour in the space of the frozen sentence encoder, where that is near enough.
The emphasis of a gesture falls on the stressed syllable.
"""

import difflib
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from avatargpt.gesture.choice import hides_face
from avatargpt.gesture.features import TimedWord, stress_time
from avatargpt.requests.vector_index import inflate, xz
from instruct_data.gesture.plan import BEAT, MARKS, Found, Placed, WordClasses
from instruct_data.gesture.strokes import FPS, TURNED, Packed, Stroke, list_packed_joints, pack, unpack
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, parsing, regular_file

# The gesture bank: strokes of semantic gestures with the frame of their emphasis, packed.
# Built from SmartBody's library and our own key frames (`instruct_data.factory.gesture.bank`). Rotations are stored in
# 8 bits (`instruct_data.gesture.strokes`), because tokens of the gesture tokenizer blur what fingers count.

FILE = "bank.safetensors"
COLUMNS = ("name", "source", "performer", "start", "emphasis", "end", "sides")  # of a stroke in the header
LICENCE = "strokes of SmartBody (USC Institute for Creative Technologies, LGPL-2.1), and our own"


class GestureBank:
    """Strokes by name, each with its mirror image; unpacked on first use.

    Args:
        strokes: without motion: their turns are ignored. packed: the motion of each.
        rest: (43, 4) a pose at rest.
    """

    def __init__(self, strokes: Sequence[Stroke], packed: Sequence[Packed], rest: np.ndarray) -> None:
        self.rest, self._strokes, self._packed = rest, list(strokes), list(packed)
        self._unpacked: dict[tuple[int, bool], Stroke] = {}

    @classmethod
    def of(cls, strokes: Iterable[Stroke], rest: np.ndarray) -> Self:
        """Pack strokes into a bank. Raises UserError as `instruct_data.gesture.strokes.pack`."""
        items = list(strokes)
        return cls(items, [pack(s) for s in items], rest)

    def __len__(self) -> int:
        """Strokes, mirror images not counted."""
        return len(self._strokes)

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[int, bool]]]:
        out: dict[str, list[tuple[int, bool]]] = {}
        for number, stroke in enumerate(self._strokes):
            names = [stroke.name.replace(a, b) for a, b in (("Left", "Right"), ("Right", "Left")) if a in stroke.name]
            for mirrored, name in enumerate([stroke.name, (names or [stroke.name])[0]]):
                out.setdefault(name, []).append((number, bool(mirrored)))
        return out

    @property
    def names(self) -> list[str]:
        """All gestures, sorted."""
        return sorted(self._by_name)

    def strokes(self, name: str, hand: str | None = None) -> list[Stroke]:
        """Strokes of a gesture; with `hand` (``l``, ``r``) those that use this hand, if there are any."""
        if name not in self._by_name:
            raise UserError(f"gesture {name!r}; accepted: {', '.join(self.names)}")
        other = {"l": "r", "r": "l"}
        keys = [(number, mirrored) for number, mirrored in self._by_name[name] if hand is None
                or (other.get(hand) if mirrored else hand) in self._strokes[number].sides]  # fmt: skip
        return [self.stroke(*k) for k in keys or self._by_name[name]]

    def stroke(self, number: int, mirrored: bool = False) -> Stroke:
        """Stroke `number` with its motion, or its mirror image."""
        if (number, mirrored) not in self._unpacked:
            stroke = unpack(self._packed[number], self._strokes[number], self.rest)
            self._unpacked[number, mirrored] = stroke.mirror() if mirrored else stroke
        return self._unpacked[number, mirrored]

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write ``bank.safetensors``."""
        from safetensors.numpy import save_file

        rows = [[*(getattr(s, name) for name in COLUMNS[:-1]), "".join(s.sides)] for s in self._strokes]
        header = {"strokes": json.dumps(rows), "licence": LICENCE}
        # (K, J, 3) int8 -> (J, 3, K) differences between keys (modulo 256), which compress twice as well
        steps = [np.diff(p.keys.astype(np.int16), axis=0, prepend=0).astype(np.int8) for p in self._packed]
        keys = b"".join(s.transpose(1, 2, 0).tobytes() for s in steps)
        arrays: dict[str, np.ndarray] = {
            "keys": xz(keys, 9), "base": xz(b"".join(p.base.T.tobytes() for p in self._packed), 9),
            "scale": np.concatenate([p.scale for p in self._packed]),
            "lengths": np.array([len(p.keys) for p in self._packed], np.int32),
            "rest": np.asarray(self.rest, np.float32),
        }  # fmt: skip
        return atomic_write(Path(folder) / FILE, lambda p: save_file(arrays, p, header))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self | None:
        """The bank in a network's folder, None where there is none."""
        from safetensors import safe_open

        from vqvae.io.tensors import check_finite

        path = Path(folder) / FILE
        if not path.exists():
            return None
        with parsing(path, "a bank of gestures", "make it again with the stage gesture-bank"):
            with safe_open(regular_file(path), "np") as file:
                rows = json.loads(file.metadata()["strokes"])
                arrays = {name: file.get_tensor(name) for name in ("keys", "base", "scale", "lengths", "rest")}
            check_finite(path, arrays)
            rest = arrays["rest"].astype(np.float64)
            columns: list[dict[str, Any]] = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
            nothing = np.zeros((0, TURNED, 4))
            strokes = [Stroke(**{**c, "sides": tuple(c["sides"])}, turns=nothing) for c in columns]
            if rest.shape != (TURNED, 4) or any(not 0 <= s.start <= s.emphasis <= s.end for s in strokes):
                raise ValueError("frames out of order")
            packed = _unpack_arrays(strokes, arrays)
        return cls(strokes, packed, rest)


def _unpack_arrays(strokes: Sequence[Stroke], arrays: dict[str, np.ndarray]) -> list[Packed]:
    # The motions of a file, as `GestureBank.save` stores them.
    keys = np.frombuffer(inflate(arrays["keys"]), np.int8)
    base = np.frombuffer(inflate(arrays["base"]), np.int16)
    joints = np.array([len(list_packed_joints(s.sides)) for s in strokes])
    lengths = arrays["lengths"].astype(np.int64)
    sizes = len(keys), len(base), len(arrays["scale"])
    if lengths.min(initial=1) < 1 or sizes != (3 * (lengths * joints).sum(), 4 * joints.sum(), joints.sum()):
        raise ValueError("motions of another size")
    out = []
    each = zip(
        np.split(keys, np.cumsum(3 * lengths * joints)[:-1]), np.split(base, np.cumsum(4 * joints)[:-1]),
        np.split(arrays["scale"], np.cumsum(joints)[:-1]), lengths, joints, strict=True,
    )  # fmt: skip
    for steps, pose, scale, length, count in each:
        moved = np.cumsum(steps.reshape(count, 3, length).transpose(2, 0, 1), 0, dtype=np.int8)
        out.append(Packed(np.ascontiguousarray(pose.reshape(4, count).T), scale, moved))
    return out


MIN_ENERGY, MAX_ENERGY = 0.2, 2.0
MIN_SPACING = 20  # frames from a cue's emphasis to any other, so that each gesture can be seen
# Strokes of words are farther apart: between them, and only there, hands follow the voice.
WORD_SPACING = 60
# Frames from the stress to a stroke's emphasis, where the hand arrives: it is fastest, as in a beat, on the stress.
ARRIVAL = 4
LEFT_SHARE = 0.2  # of one-handed gestures made by the left hand
SIZE_PER_DEVIATION = 0.09  # for each standard deviation of loudness
SIZE_RANGE = 0.7, 1.12
TEMPO = 1.05
MIN_COSINE = 0.55  # at which a word takes the class of its neighbour (docs/avatar.md)
MIN_LETTERS = 4  # of a content word
FUNCTION_WORDS = 2200  # numbers below this in the encoder's vocabulary, sorted by frequency, are grammar
CUE_PRIORITY, GUESS_PRIORITY = 10.0, -0.5  # added for a cue, and for a word that is not in the table

# Texts -> (n, D) unit vectors.
Encode = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Manner:
    """Options of gesturing, applied by `avatargpt.gesture.overlay.SemanticOverlay`."""

    # semantic: 0 to 1, share of the words with a class that get a semantic gesture, as far as there is room; None
    # = all, but none where hands are calm or the network has no gesture bank
    semantic: float | None = None
    calm: bool = False  # hands rest; head, trunk and breath go on
    energy: float = 1.0  # 0.2 to 2, size of movements; 1 = unchanged
    cues: tuple[tuple[str, str], ...] = ()  # words, in lower case, with their gestures

    def __post_init__(self) -> None:
        if self.semantic is not None and not (math.isfinite(self.semantic) and 0 <= self.semantic <= 1):
            raise UserError(f"semantic {self.semantic:g}; accepted: 0 to 1")
        if not (math.isfinite(self.energy) and MIN_ENERGY <= self.energy <= MAX_ENERGY):
            raise UserError(f"energy {self.energy:g}; accepted: {MIN_ENERGY:g} to {MAX_ENERGY:g}")
        words: set[str] = set()
        for word, _ in self.cues:
            if word in words:
                raise UserError(f"cue {word}: named twice; accepted: one gesture for a word")
            words.add(word)

    @property
    def share(self) -> float:
        """Of words that get a gesture."""
        return float(not self.calm) if self.semantic is None else self.semantic


def read_cues(arguments: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """``WORD=GESTURE`` arguments as `Manner.cues`; a WORD may be several words, as in ``"not at all=shake"``.
    """
    out = []
    for argument in arguments:
        word, equals, gesture = argument.partition("=")
        word, gesture = " ".join(word.lower().replace("\u2019", "'").split()), gesture.strip()
        if not equals or not gesture or not any(c.isalnum() for c in word):
            raise UserError(f"cue {argument!r}; accepted: WORD=GESTURE")
        out.append((word, gesture))
    return tuple(out)


def check_cues(manner: Manner, words: Sequence[TimedWord]) -> None:
    """Raises UserError where a cue is not among the words of a whole talk; names similar words."""
    for cue, gesture in manner.cues:
        runs = list(dict.fromkeys(_runs_of(words, len(cue.split()))))
        if cue not in runs:
            similar = difflib.get_close_matches(cue, runs, 3, 0.6)
            hint = f"; near to it: {', '.join(similar)}" if similar else ""
            raise UserError(f"--cue {cue}={gesture}: nobody says {cue!r}; accepted: words of the transcript{hint}")


class ClassGuesser:
    """Classes of words that the table lacks, by their nearest neighbour in it."""

    def __init__(self, classes: WordClasses, encode: Encode, number: Callable[[str], int | None]) -> None:
        self._number = number
        single = {words[0]: kind for words, kind in classes.words.items() if len(words) == 1}
        single = {w: k for w, k in single.items() if len(w) >= MIN_LETTERS}
        self._kinds, self._encode = list(single.values()), encode
        self._vectors = encode(list(single))
        self._cache: dict[str, str] = {}

    def __call__(self, word: str) -> str:
        """The class of a word, empty = none."""
        plain = word.strip(MARKS).lower()
        number = self._number(plain)
        # Words of grammar are near to everything in the encoder's space, short ones ambiguous.
        if len(plain) < MIN_LETTERS or not plain.isalpha() or (number is not None and number < FUNCTION_WORDS):
            return ""
        if plain not in self._cache:
            cosines = self._vectors @ self._encode([plain])[0]
            best = int(cosines.argmax())
            self._cache[plain] = self._kinds[best] if cosines[best] >= MIN_COSINE else ""
        return self._cache[plain]


def load_guesser() -> ClassGuesser:
    """The guesser for the packaged table. Raises UserError without the sentence encoder."""
    from avatargpt.lm.text_encoder import SentenceGrounder
    from instruct_data.gesture.plan import word_classes

    grounder = SentenceGrounder()
    return ClassGuesser(word_classes(), grounder.sentence, grounder.number)


def _runs_of(words: Sequence[TimedWord], length: int) -> list[str]:
    # All runs of so many words, normalised, by the number of their first.
    plain = [w.text.strip(MARKS).lower().replace("\u2019", "'") for w in words]
    return [" ".join(plain[at : at + length]) for at in range(len(plain) - length + 1)]


class StrokePlanner:
    """Plans the strokes of a talk from its words, in order; equal seeds give equal plans."""

    def __init__(
        self, bank: GestureBank, classes: WordClasses, manner: Manner, guesser: ClassGuesser | None = None,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.bank, self.classes, self.manner, self.guesser, self.seed = bank, classes, manner, guesser, seed
        self._cues = {tuple(words.split()): gesture for words, gesture in manner.cues}
        names = {name.lower(): name for name in bank.names}
        for words, gesture in self._cues.items():
            if gesture.lower() not in names:
                similar = difflib.get_close_matches(gesture.lower(), list(names), 3, 0.5) or list(names)
                accepted = ", ".join(names[n] for n in similar)
                raise UserError(f"--cue {' '.join(words)}={gesture}: no such gesture; accepted: {accepted}")
            self._cues[words] = names[gesture.lower()]
        self._count = 0  # words so far

    def __call__(
        self, words: Sequence[TimedWord], occupied: Sequence[int] = (), loudness: Sequence[float] = ()
    ) -> list[Placed]:
        """The strokes of the next words: `occupied` frames have an emphasis; `loudness` in standard deviations."""
        first, self._count = self._count, self._count + len(words)
        candidates = self._cue_candidates(words, first, loudness)
        runs, guesses = self._class_runs([w.text for w in words])
        for run in runs:
            rng = np.random.default_rng([self.seed, 73, first + run.first])
            kind = self.classes.classes[run.kind]
            # Drawn for every run, so that another `semantic` adds or removes strokes without redrawing the others.
            draw = float(rng.random())
            names, shares = list(kind.gestures), np.array(list(kind.gestures.values()))
            name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
            if draw < self.manner.share:
                stroke = self._place(words, run, name, first, loudness, rng)
                guess = GUESS_PRIORITY * (run.first in guesses)
                if not hides_face(stroke.stroke):
                    candidates.append((kind.share + guess + 0.2 * float(rng.random()), stroke))
        strokes: list[Placed] = []
        # The most important first: the others need a distance from those.
        for _, stroke in sorted(candidates, key=lambda candidate: -candidate[0]):
            spacing = MIN_SPACING if stroke.kind == "cue" else WORD_SPACING
            if all(abs(stroke.frame - f) >= spacing for f in (*occupied, *(s.frame for s in strokes))):
                strokes.append(stroke)
        return sorted(strokes, key=lambda s: s.frame)

    def cue(self, gesture: str, word: TimedWord) -> Placed:
        """The stroke of a gesture at a word, whatever the word means. Raises UserError for an unknown gesture."""
        names = {name.lower(): name for name in self.bank.names}
        if gesture.lower() not in names:
            similar = difflib.get_close_matches(gesture.lower(), list(names), 3, 0.5) or list(names)
            raise UserError(f"gesture {gesture!r}: unknown; accepted: {', '.join(names[n] for n in similar)}")
        rng = np.random.default_rng([self.seed, 75, self._count])
        return self._place([word], Found(0, 1, "cue"), names[gesture.lower()], self._count, (), rng)

    def _class_runs(self, texts: Sequence[str]) -> tuple[list[Found], set[int]]:
        # Runs of words with a class, and the numbers of those whose class is guessed.
        in_table = self.classes.find(texts)
        runs = [run for run in in_table if run.kind != BEAT]
        if self.guesser is None:
            return runs, set()
        covered = {k for run in in_table for k in range(run.first, run.stop)}
        kinds = [(k, self.guesser(t)) for k, t in enumerate(texts) if k not in covered]
        guesses = [Found(k, k + 1, kind) for k, kind in kinds if kind]
        return sorted([*runs, *guesses], key=lambda r: r.first), {run.first for run in guesses}

    def _cue_candidates(
        self, words: Sequence[TimedWord], first: int, loudness: Sequence[float]
    ) -> list[tuple[float, Placed]]:
        # Priority and stroke of each cue.
        out = []
        for cue, gesture in self._cues.items():
            for at, run_text in enumerate(_runs_of(words, len(cue))):
                if run_text == " ".join(cue):
                    rng = np.random.default_rng([self.seed, 74, first + at])
                    run = Found(at, at + len(cue), "cue")
                    out.append((CUE_PRIORITY, self._place(words, run, gesture, first, loudness, rng)))
        return out

    def _place(
        self, words: Sequence[TimedWord], run: Found, name: str, first: int, loudness: Sequence[float],
        rng: np.random.Generator,
    ) -> Placed:  # fmt: skip
        # A stroke of a gesture, its emphasis on the last content word of the run.
        at = max(range(run.first, run.stop), key=lambda k: (len(words[k].text) >= MIN_LETTERS, k))
        strokes = self.bank.strokes(name, "l" if rng.random() < LEFT_SHARE else "r")
        stroke = strokes[int(rng.integers(len(strokes)))]
        deviation = float(loudness[at]) if len(loudness) else 0.0
        size = float(np.clip(1 + SIZE_PER_DEVIATION * deviation, *SIZE_RANGE))
        return Placed(stroke, round(stress_time(words[at]) * FPS) + ARRIVAL, TEMPO, size, 0, first + at, run.kind)
