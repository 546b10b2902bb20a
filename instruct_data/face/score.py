"""`Score`: what a face does and feels, in time; and the files of instructions with their scores."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.face.actions import action_names
from instruct_data.face.emotions import emotion_names
from instruct_data.text.english import mirror_action, mirror_text
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

MAX_SECONDS = 600.0
DEFAULT, VERY, EXTREMELY = 0.7, 0.85, 1.0  # what the words mean as intensities


@dataclass(frozen=True)
class Event:
    """One action."""

    # A name of ``actions.yaml``. Sides are the person's own
    action: str
    # start, duration: seconds
    start: float
    duration: float
    intensity: float = DEFAULT  # in (0, 1]; 0.7 is the default of instructions that say nothing
    repeat: int = 1  # how often within the duration
    # Share of the duration over which it grows to its intensity; 0 = as quickly as such an action does
    rise: float = 0.0

    @property
    def end(self) -> float:
        return self.start + self.duration


@dataclass(frozen=True)
class Emotion:
    """A feeling that lasts from `start` to `end` (seconds); several may overlap.

    `to` is how strong it is at its end, where it grows or fades there in a straight line; None = as strong throughout.
    """

    name: str
    intensity: float
    start: float
    end: float
    to: float | None = None

    def at(self, second: float) -> float:
        """Intensity at a second between `start` and `end`."""
        if self.to is None:
            return self.intensity
        share = min(max((second - self.start) / (self.end - self.start), 0.0), 1.0)
        return self.intensity + share * (self.to - self.intensity)

    @property
    def strongest(self) -> float:
        return max(self.intensity, self.to or 0.0)


@dataclass(frozen=True)
class Score:
    """Actions and feelings of a face clip."""

    length: float  # seconds
    events: tuple[Event, ...] = ()  # actions
    emotions: tuple[Emotion, ...] = ()  # feelings
    text: str = ""  # the instruction it belongs to, may be empty
    denied: tuple[str, ...] = ()  # actions that must not happen; ``still``: nothing is to move
    timed: bool = False  # the words name seconds by the clock
    # The clauses that were read one by one, empty = all words at once
    read_by: tuple[str, ...] = field(default=(), compare=False)
    unheard: tuple[str, ...] = field(default=(), compare=False)  # named words of speech that the sound does not have

    def __post_init__(self) -> None:
        if not 0 < self.length <= MAX_SECONDS:
            raise UserError(f"score: length {self.length}; accepted above 0, at most {MAX_SECONDS:.0f} seconds")
        for e in self.events:
            _check_name("action", e.action, action_names())
            if not (e.duration > 0 and 0 <= e.start < self.length and np.isfinite(e.end)):
                raise UserError(f"score: {e.action} from {e.start} for {e.duration} s; accepted inside {self.length} s")
            if not 1 <= e.repeat <= 100:
                raise UserError(f"score: {e.action} {e.repeat} times; accepted 1 to 100")
            _intensity(e.action, e.intensity)
            if not 0 <= e.rise <= 1:
                raise UserError(f"score: {e.action} rises over {e.rise} of its duration; accepted 0 to 1")
        for f in self.emotions:
            _check_name("emotion", f.name, emotion_names())
            if not 0 <= f.start < min(f.end, self.length):
                times = f"from {f.start} to {f.end} s in {self.length} s"
                raise UserError(f"score: {f.name} {times}; accepted a start before its end and the clip's")
            for strength in (f.intensity, *([] if f.to is None else [f.to])):
                _intensity(f.name, strength)

    def mirror(self) -> Score:
        """Left and right exchanged in actions and words."""
        events = tuple(replace(e, action=mirror_action(e.action)) for e in self.events)
        return replace(self, events=events, text=mirror_words(self.text) if self.sided else self.text)

    def scale(self, intensity: float) -> Score:
        """The same with every intensity multiplied, at most 1."""

        def by(value: float) -> float:
            return min(1.0, value * intensity)

        emotions = (replace(f, intensity=by(f.intensity), to=None if f.to is None else by(f.to)) for f in self.emotions)
        events = tuple(replace(e, intensity=by(e.intensity)) for e in self.events)
        return replace(self, events=events, emotions=tuple(emotions))

    def to_json(self) -> dict[str, Any]:
        """The row of the corpus that :func:`parse_score` reads."""
        emotions = [{k: v for k, v in vars(f).items() if v is not None} for f in self.emotions]
        events = [{k: v for k, v in vars(e).items() if k != "rise" or v} for e in self.events]
        return {
            "text": self.text, "kind": self.kind, "length": self.length,
            "events": events, "emotion": emotions, **({"denied": [*self.denied]} if self.denied else {}),
        }  # fmt: skip

    @property
    def kind(self) -> str:
        """``motion``, ``emotion`` or ``both``; a score without either counts as an emotion (neutral)."""
        return "both" if self.events and self.emotions else "motion" if self.events else "emotion"

    @property
    def names(self) -> list[str]:
        """Of its actions, then of its feelings."""
        return [e.action for e in self.events] + [f.name for f in self.emotions]

    @property
    def sided(self) -> bool:
        """Whether mirroring changes it."""
        return any(mirror_action(e.action) != e.action for e in self.events)


# Mirroring: sides in words, in letters ("head L") and in numbers of action units.
_SIDES = re.compile(r"\b(?:left|right)\b", re.I)
# Action units of a side: head turned 51 52, tilted 55 56, eyes turned 61 62.
_UNITS = re.compile(r"(?<=\bAU)( ?)(5[1256]|6[12])\b", re.I)
_OTHER = {"51": "52", "52": "51", "55": "56", "56": "55", "61": "62", "62": "61"}
_LETTER = re.compile(r"(?<![\w'.&-])[LR](?![\w'.&-])|(?<![\w'.&])[LR](?=\d)")  # "head L, then R", "L12"


def swap_sides(text: str) -> str:
    """Every "left" becomes "right" and the other way round, whatever it means."""

    def swap_side(m: re.Match[str]) -> str:
        word = "right" if m[0].lower() == "left" else "left"
        return word.capitalize() if m[0][0].isupper() else word

    return _SIDES.sub(swap_side, text)


def mirror_words(text: str) -> str:
    """Left and right exchanged in an instruction for a face, in words and in numbers of action units.

    Words that are no directions ("what is left") stay, unless that would leave an instruction without any change.
    """
    mirrored = mirror_text(text)
    if mirrored == text:
        mirrored = swap_sides(text)
    mirrored = _LETTER.sub(lambda m: "R" if m[0] == "L" else "L", mirrored)
    return _UNITS.sub(lambda m: m[1] + _OTHER[m[2]], mirrored)


def _check_name(what: str, name: str, accepted: list[str]) -> None:
    if name not in accepted:
        matches = get_close_matches(name, accepted, 1)
        hint = f"did you mean {matches[0]!r}? " if matches else ""
        raise UserError(f"unknown {what} {name!r}; {hint}accepted: {', '.join(accepted)}")


def _intensity(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise UserError(f"score: {name} with intensity {value}; accepted above 0, at most 1")


@dataclass(frozen=True)
class Instruction:
    """One line of the corpus: its id (file stem and line number), split and score (with the text)."""

    id: str
    split: str
    score: Score = field(repr=False)


def parse_score(row: dict[str, Any], where: str = "score") -> Score:
    """A mapping with text, events, emotion and length -> Score."""
    try:
        events = tuple(
            Event(str(e["action"]), float(e["start"]), float(e["duration"]), float(e.get("intensity", DEFAULT)),
                  _integer(e.get("repeat", 1)), float(e.get("rise", 0))) for e in row.get("events", ())
        )  # fmt: skip
        emotions = tuple(
            Emotion(str(f["name"]), float(f["intensity"]), float(f["start"]), float(f["end"]),
                    None if f.get("to") is None else float(f["to"])) for f in row.get("emotion", ())
        )  # fmt: skip
        denied = tuple(map(str, row.get("denied", ())))
        return Score(float(row["length"]), events, emotions, str(row.get("text", "")), denied)
    except UserError as e:
        raise UserError(f"{where}: {e}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as e:
        what = f"{type(e).__name__}: {e}"
        raise UserError(f"{where}: not a score ({what}); accepted text, events, emotion, length") from None


def _integer(value: Any) -> int:
    if float(value) % 1:
        raise ValueError(f"repeat {value}; accepted whole numbers")
    return int(value)


def read_instructions(path: str | os.PathLike[str]) -> Iterator[Instruction]:
    """Rows of a ``*.jsonl`` file, or of ``train.jsonl`` and ``val.jsonl`` in a folder; a file's stem is their split.

    Packed files (.jsonl.gz, .jsonl.xz) are read as plain ones.
    """
    path = Path(path)
    for file in (path / "train.jsonl", path / "val.jsonl") if path.is_dir() else (path,):
        split = Path(file.name.removesuffix(".gz").removesuffix(".xz")).stem
        for i, row in json_rows(file):
            yield Instruction(f"{split}_{i:05d}", split, parse_score(row, f"{file}: line {i}"))


# Files of instructions in the package.
SOURCE = "face_rendered"
LICENCE = "MIT"
# packaged training instructions with scores
OWN = Path(__file__).parent / "instructions.jsonl.xz"
# mostly several actions that overlap and follow one another, timed as the corpus times them
SEQUENCES = Path(__file__).parent / "sequences.jsonl.xz"
# in many writers' voices (animators, actors, therapists, ...), one action or feeling and many
FURTHER = Path(__file__).parent / "further.jsonl.xz"
# several to each training instruction of the corpus: of the same kind and timing, other content
SIBLINGS = Path(__file__).parent / "siblings.jsonl.xz"
# as users type them: short, casual, sides and times seldom given
EVERYDAY = Path(__file__).parent / "everyday.jsonl.xz"
# the training instructions of the corpus, each in several other wordings, with their scores
REWORDED = Path(__file__).parent / "reworded.jsonl.xz"


def action_class(score: Score) -> str:
    """Class for balancing: the first action, else the strongest emotion."""
    if score.events:
        return score.events[0].action
    return max(score.emotions, key=lambda f: f.strongest).name if score.emotions else "neutral"


def expand_texts(path: str | os.PathLike[str] = REWORDED) -> list[list[Score]]:
    """Rows of a score with several texts (``texts`` in place of ``text``): the score with each of them."""
    out = []
    for i, row in json_rows(Path(path)):
        where = f"{path}: line {i}"
        texts = row.pop("texts", None) if isinstance(row, dict) else None
        if not (isinstance(texts, list) and texts and all(isinstance(t, str) and t.strip() for t in texts)):
            raise UserError(f"{where}: accepted a score with 'texts', one or more strings")
        score = parse_score({**row, "text": texts[0]}, where)
        out.append([replace(score, text=t) for t in texts])
    return out
