"""`BodyReader`: requests for bodies to `MotionRequest`s, by the reading network."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, Self, TypeVar

import torch

from avatargpt.reading.reader import MIN_KNOWN, Names, Reader, Reading, ReadItem
from avatargpt.reading.store import load_network
from instruct_data.reading.examples import Span, move_spans
from instruct_data.requests.script import ScriptPart, read_script
from instruct_data.requests.spec import MAX_CLAUSES, MAX_DEGREES, MAX_SECONDS, MAX_TIMES, Clause, MotionRequest
from vqvae.errors import UserError

NEAR = 3  # names of a clause that are told
MAX_REMEMBERED = 2000  # answers
MAX_WORDS = 1000  # of a request
AT_ONCE = 32  # words that are read in one go, where sentences end so
MAX_SENTENCE = 180  # words
SENTENCE = re.compile(r"(?:[^.!?;\n]|(?<=\d)\.(?=\d))*[.!?;\n]*")
ENDS = (".", "!", "?")
V = TypeVar("V")
BOUNDS = {"seconds": MAX_SECONDS, "turn": MAX_DEGREES, "distance": 1000.0, "factor": 10.0}


class BodyReader:
    """Reads requests for bodies; answers are remembered."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._requests: dict[str, MotionRequest] = {}
        self._places: dict[str, list[tuple[tuple[Span, ...], tuple[Span, ...]]]] = {}
        self._names: dict[str, Names] = {}

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> Self | None:
        """That of a model folder, None where it has none; raises UserError for damaged files."""
        network = load_network(folder)
        return None if network is None else cls(Reader(network))

    def to(self, device: str | torch.device) -> None:
        """Compute there from now on."""
        self.reader.network.to(device)

    def read(self, text: str) -> MotionRequest:
        """The typed request of a text.

        Raises:
            UserError: no words, too many, or a count that no request may have.
        """
        if text not in self._requests:
            if script := read_script(text):
                return self._read_script(text, script)
            texts = split_sentences(text)
            # With a sign at its end each, so that a text is read alike whether its writer set one or not.
            ended = [t if t.rstrip().endswith(ENDS) else f"{t.rstrip()}." for t in texts]
            readings = self.reader.read(ended, near=NEAR)
            parts = [to_request(reading) for reading in readings]
            places, at = [], 0
            for part, reading in zip(texts, readings, strict=True):
                at = text.index(part, at)
                for i in reading.items:
                    every = tuple(sorted({span for spans in i.words.values() for span in spans}))
                    places.append((move_spans(i.words["words"], at), move_spans(every, at)))
                at += len(part)
            remember(self._places, text, places[:MAX_CLAUSES])
            clauses = [c for p in parts for c in p.clauses][:MAX_CLAUSES]
            whole: dict[str, Any] = {"loop": any(p.loop for p in parts)}
            lengths = [p.seconds for p in parts if p.seconds]
            if lengths:
                whole["seconds"] = lengths[0] if len(lengths) == 1 else min(sum(lengths), MAX_SECONDS)
            joined = MotionRequest(
                clauses=clauses, text=text, unshown=[w for p in parts for w in p.unshown],
                unread=[w for p in parts for w in p.unread], **whole,
            )  # fmt: skip
            remember(self._requests, text, joined)
        return self._requests[text]

    def _read_script(self, text: str, script: Sequence[ScriptPart]) -> MotionRequest:
        """The request of a script: the movements of a part share its time, and between parts the posture is kept."""
        clauses: list[Clause] = []
        places: list[tuple[tuple[Span, ...], tuple[Span, ...]]] = []
        unshown: list[str] = []
        unread: list[str] = []
        for part in script:
            if not part.words:
                kept = Clause(action="stay", hold=True) if clauses else Clause(action="stand still")
                clauses.append(kept.model_copy(update={"seconds": part.seconds}))
                places.append(((), ()))
                continue
            read = self.read(part.words)
            count = max(1, sum(not (c.together or c.denied) for c in read.clauses))
            clauses += [
                c if c.denied else c.model_copy(update={"seconds": part.seconds / count, "until_end": False})
                for c in read.clauses
            ]  # fmt: skip
            places += [(move_spans(a, part.at), move_spans(b, part.at)) for a, b in self.places(part.words)]
            unshown, unread = [*unshown, *read.unshown], [*unread, *read.unread]
        if len(clauses) > MAX_CLAUSES:
            raise UserError(f"script with {len(clauses)} movements; accepted: 1 to {MAX_CLAUSES}")
        remember(self._places, text, places)
        remember(self._requests, text, MotionRequest(clauses=clauses, text=text, unshown=unshown, unread=unread))
        return self._requests[text]

    def places(self, text: str) -> list[tuple[tuple[Span, ...], tuple[Span, ...]]]:
        """Of each clause of a text where the words of its action stand, and all of its words; raises as `read` does."""
        self.read(text)
        return self._places[text]

    def names(self, texts: Sequence[str]) -> list[Names]:
        """The likeliest names of texts that are one movement each, with their probabilities."""
        found = {t: self._names[t] for t in texts if t in self._names}
        missing = [t for t in dict.fromkeys(texts) if t not in found]
        if missing:
            for text, names in zip(missing, self.reader.name(missing, NEAR), strict=True):
                found[text] = names
                remember(self._names, text, names)
        return [found[t] for t in texts]


def remember(memory: dict[str, V], key: str, value: V) -> None:
    """Keep an answer; the oldest one gives way."""
    if len(memory) >= MAX_REMEMBERED:
        memory.pop(next(iter(memory)))
    memory[key] = value


def split_sentences(text: str) -> list[str]:
    """A text in parts of whole sentences; raises UserError where it has no words, too many, or too long a sentence."""
    count = len(text.split())
    if not re.search(r"[^\W_]", text) or count > MAX_WORDS:
        raise UserError(f"request of {count} words; accepted: 1 to {MAX_WORDS}, with a letter or a number")
    parts = [""]
    for sentence in SENTENCE.findall(text):
        if parts[-1].strip() and len(parts[-1].split()) + len(sentence.split()) > AT_ONCE:
            parts.append("")
        parts[-1] += sentence
    parts = [p for p in parts if re.search(r"[^\W_]", p)]
    longest = max(len(p.split()) for p in parts)
    if longest > MAX_SENTENCE:
        raise UserError(f"request with a sentence of {longest} words; accepted: 1 to {MAX_SENTENCE}")
    return parts


def to_request(reading: Reading) -> MotionRequest:
    """The request of a text as it was read."""
    clauses = [to_clause(reading, item) for item in reading.items]
    clauses[0] = clauses[0].model_copy(update={"together": False})
    seconds = reading.whole.get("seconds")
    # Numbers in digits that nothing was read from.
    held = [s for item in reading.items for name, spans in item.words.items() if name != "words" for s in spans]
    taken = [*reading.counted, *held, *reading.unshown]
    numbers = [m.span() for m in re.finditer(r"(?<!\w)\d+(?:[.,:]\d+)*", reading.text)]
    if all(c.seconds for c in clauses if not c.denied):
        seconds = None  # what every clause says needs no length of the whole
    return MotionRequest(
        clauses=clauses, text=reading.text, loop=bool(reading.whole.get("loop")),
        seconds=min(seconds, MAX_SECONDS) if seconds else None, unshown=_stretches(reading.text, reading.unshown),
        unread=[reading.text[a:b] for a, b in numbers
                if not any(x <= a and b <= y or a <= x and y <= b for x, y in taken)],
    )  # fmt: skip


def to_clause(reading: Reading, item: ReadItem) -> Clause:
    """A clause of a request."""
    values = {k: v for k, v in item.values.items() if not isinstance(v, float) or v > 0}
    if "times" in values:
        if not 1 <= (times := values["times"]) <= MAX_TIMES:
            raise UserError(f"{times:.10g} times; accepted 1 to {MAX_TIMES}")
        values["times"] = round(times)
    for name, most in BOUNDS.items():
        if name in values:
            values[name] = min(values[name], most)
    words: dict[str, Any] = {k: reading.join_spans(spans) for k, spans in item.words.items()}
    return Clause(action=words.pop("words"), **likeliest(item.names), **words, **values)


def likeliest(names: Names) -> dict[str, Any]:
    """The fields of a clause that say what it is read as: the likeliest name, and whether it is meant."""
    (first, p), *_ = names
    known = first is not None and p >= MIN_KNOWN
    near, *others = [(name, share) for name, share in names if name is not None]
    none = dict(names)[None]
    return {
        "name": near[0], "known": known, "sure": 1 - none if known else max(none, 1 - p),
        "others": {name: round(share, 3) for name, share in others},
    }  # fmt: skip


def _stretches(text: str, spans: Sequence[Span]) -> list[str]:
    """Words that stand side by side as one."""
    out: list[Span] = []
    for start, end in spans:
        if out and not text[out[-1][1] : start].strip(" '-"):
            out[-1] = out[-1][0], end
        else:
            out.append((start, end))
    return [text[a:b] for a, b in out]
