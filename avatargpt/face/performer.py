"""`FacePerformer`: words, feelings and speech to a face; the reader and the driver of one folder together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.audio_model.blinks import Span, told
from avatargpt.face.audio_model.conditioning import Direction, Feeling
from avatargpt.face.audio_model.controls import Controls, apply
from avatargpt.face.audio_model.idle import calm_spans, jaw_spans
from avatargpt.face.instructions.fitting import Named, check_times, fitted, placed, spread
from avatargpt.face.instructions.scores import clauses_of, feelings_of
from avatargpt.face.instructions.timing import Words, anchored, arranged, is_beyond, is_timed
from avatargpt.requests.english import worded
from avatargpt.speech.audio import MAX_SECONDS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.instructions.parser import InstructionParser
    from avatargpt.requests.reader import RequestReader
    from instruct_data.face.score import Score
    from instruct_data.requests.spec import FaceClause, FaceRequest
    from vqvae.face import FaceMotion

SILENT_SECONDS = 4.0  # length without sound, words or a length
HOLD = 1.5  # s that the last of several feelings is shown
SURE, SURER = 0.5, 0.7  # of a request's clauses: of one that the parser cannot read alone, and of others
AGREED = 0.97  # of the parser's readings, from which an instruction that it can read is not taken apart


def driver_folder(model: Path | None) -> Path:
    """Where a model folder keeps its driver: ``driver`` in it, or itself; None = the packaged weights.

    Raises:
        UserError: no such folder, or no driver in it.
    """
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.resources import PACKAGE

    check_model(model)
    root = PACKAGE / "weights" if model is None else model
    for folder in (root / "driver", root):
        if (folder / "driver.json").is_file():
            return folder
    raise UserError(
        f"{root / 'driver'}: no driver weights; train them with `python scripts/train.py driver` (docs/speech.md), or "
        "name a folder that has them with --model"
    )


def _unheard(clauses: Sequence[FaceClause], words: Words) -> tuple[str, ...]:
    """Words of speech that clauses name and that are not among `words`."""
    return tuple(c.word for c in clauses if c.word and anchored(c, words) is None)


class FacePerformer:
    """Instructions and emotions become a direction of the driver, with or without speech.

    Args:
        driver: the network that moves the face. parser: the network that reads what is done and felt.
        grounder: the sentence encoder that gives the driver its words; None loads the installed one when words come.
        reading: one that gives the reader its own, of the layers that it reads (`parser.reading_grounder`); likewise.
    """

    def __init__(
        self, driver: Driver, parser: InstructionParser | None = None, grounder: Any = None, reading: Any = None
    ) -> None:  # fmt: skip
        self.driver, self._reader, self._given, self._reads = driver, parser, grounder, reading
        self._folder: Path | None = None

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> FacePerformer:
        """From a folder with a driver and a reader; None = the packaged weights.

        Raises:
            UserError: missing or damaged weights.
        """
        from avatargpt.face.audio_model.driver import Driver
        from avatargpt.lm.checkpoint import driver_folder

        where = driver_folder() if folder is None else Path(folder)
        one = cls(Driver.load(where))
        one._folder = where
        return one

    @cached_property
    def parser(self) -> InstructionParser:
        """Loaded when the first instruction comes."""
        from avatargpt.face.instructions.parser import InstructionParser

        return self._reader or InstructionParser.load(self._folder or "")

    @cached_property
    def requests(self) -> RequestReader | None:
        """Reads which clauses an instruction has, and when they happen; None where the folder has none."""
        from avatargpt.requests.reader import RequestReader

        places = [self._folder, self._folder.parent] if self._folder else []
        return next((found for p in places if (found := RequestReader.of(p)) is not None), None)

    @cached_property
    def grounder(self) -> Any:
        """Gives the driver its words."""
        from avatargpt.lm.text_encoder import SentenceGrounder

        return self._given or SentenceGrounder()

    @cached_property
    def reading(self) -> Any:
        """Gives the reader its words, of several layers."""
        from avatargpt.face.instructions.parser import reading_grounder

        return self._reads or reading_grounder(self.parser.network.config)

    def request(self, text: str) -> FaceRequest | None:
        """The clauses of an instruction and their times; None where nothing reads them."""
        asked = worded(text)
        return self.requests.read_face(asked) if self.requests and any(c.isalnum() for c in asked) else None

    def read(
        self, texts: Sequence[str], seconds: Sequence[float | None] | None = None, sound: float | None = None,
        words: Sequence[Words] | None = None,
    ) -> list[Score]:  # fmt: skip
        """What instructions ask for: actions with times, strengths and counts, feelings, and a length in seconds.

        Where an instruction says more of time than the parser's tokens can tell (`timing.is_beyond`), or something of
        time on which the parser's readings differ, its clauses are read one by one and put in time as the request
        says; all others are read as a whole.

        Args:
            seconds: wanted lengths, which say something about when things happen; None = nothing is wanted.
            sound: seconds of the speech that they go with; what is done then is not spread over it.
            words: of the speech of each, (word, start, end) in seconds.
        """
        lengths = seconds or [None] * len(texts)
        spoken = words or [()] * len(texts)
        return [self._score(t, s, sound, w) for t, s, w in zip(texts, lengths, spoken, strict=True)]

    def _score(self, text: str, seconds: float | None, sound: float | None, words: Words) -> Score:
        request = self.request(text)
        sure = min((c.sure for c in request.clauses), default=0.0) if request is not None else 0.0
        beyond = request is not None and is_beyond(request, words) and sure >= SURE
        if beyond and (score := self._arranged(text, request, sound or seconds, words)) is not None:
            return score
        named: Named = ""
        for c in request.clauses if request is not None else ():
            if c.at is not None or c.until is not None:
                named = "clock"
            elif c.seconds and not named:
                named = "lasting"
        whole = self.parser.read([text], self.reading, seconds=[None if sound else seconds], named=named)[0]
        doubted = (self.parser.agreement(text) or 0.0) < AGREED
        apart = request is not None and is_timed(request) and sure >= SURER and doubted
        if apart and (score := self._arranged(text, request, sound or seconds, words)) is not None:
            return score
        unheard = _unheard(request.clauses, words) if request is not None and sure >= SURER else ()
        return replace(whole, timed=named == "clock", unheard=unheard)

    def _arranged(self, text: str, request: FaceRequest | None, seconds: float | None, words: Words) -> Score | None:
        """The score of the request's clauses, read one by one; None where they mean nothing or have no room."""
        if request is None:
            return None
        score = arranged(request, cache(lambda said: self.parser.read([said], self.reading)[0]), seconds, words)
        if not score or not (score.events or score.emotions or any(c.denied for c in request.clauses)):
            return None
        done = [c for c in request.clauses if not c.denied]
        return replace(score, text=text, read_by=tuple(c.action for c in done), unheard=_unheard(done, words))

    def placed(
        self, texts: Sequence[str], seconds: float | None, heard: bool, feelings: Sequence[Feeling] = (),
        scores: Sequence[Score] | None = None, words: Words = (),
    ) -> list[Score | None]:  # fmt: skip
        """What instructions mean in clips of so many seconds, None for an empty one.

        What was read is squeezed into sound and spread over seconds that were asked for; `scores` that somebody wrote
        are kept to the second.

        Args:
            seconds: of the clips; None = as long as each takes. heard: whether they are a sound's. words: of the sound.

        Raises:
            UserError: times that the instruction names, or a score has, beyond the clip's end.
        """
        reads = scores is None and any(texts)
        if reads:
            said = [words] * len(texts)
            scores = self.read(texts, None if heard else [seconds] * len(texts), seconds if heard else None, said)
        out: list[Score | None] = [*scores] if scores else [None] * len(texts)
        for k, score in enumerate(out):
            if score is not None:
                own = seconds or self.usual(score, feelings)
                spreads = reads and (own < score.length or (not heard and seconds is not None))
                out[k] = placed(score, own, spreads, bool(feelings))
        return out

    def spans(self, score: Score | None) -> tuple[tuple[Span, ...], tuple[Span, ...], tuple[Span, ...]]:
        """Seconds in which a score moves the lids, head or eyes, and the jaw: idle life keeps out of them."""
        return told(score), calm_spans(score), jaw_spans(score)

    def lively(self, clip: FaceMotion, controls: Controls, score: Score | None, seed: int = 0) -> FaceMotion:
        """A performed clip with its controls: blinks and idle life among them, away from what the score does."""
        return apply(clip, controls, seed, *self.spans(score))

    def doubt(self, text: str, score: Score) -> str:
        """What speaks against a reading (`avatargpt.face.instructions.doubts`); empty = nothing."""
        from avatargpt.face.instructions.doubts import doubt

        if score.unheard:
            said = ", ".join(map(repr, score.unheard))
            return f"when {said} is said is not known; it takes speech in which it is, and its transcript"
        found = [self.parser.agreement(t) for t in score.read_by or (text,)]
        known = [a for a in found if a is not None]
        return doubt(text, score, min(known, default=None))

    def direction(
        self, score: Score | None, feelings: Sequence[Feeling] = (), seconds: float | None = None
    ) -> Direction:
        """A score, fitted to `seconds`, as the driver is told it; `feelings` take the place of the score's own."""
        if score is not None and seconds is not None:
            score = fitted(score, seconds)
        own = list(feelings) or (feelings_of(score) if score is not None else [])
        clauses = clauses_of(score) if score is not None else []
        return Direction.make(own, clauses, self.grounder) if own or clauses else Direction()

    def usual(self, score: Score | None, feelings: Sequence[Feeling] = ()) -> float:
        """Seconds of a clip without sound for which none were asked: all of the score, and the last feeling seen."""
        length = score.length if score is not None else SILENT_SECONDS
        last = max((f.second for f in feelings), default=0.0)
        return max(length, last + HOLD) if last > 0 else length

    def perform(
        self, text: str = "", audio: str | os.PathLike[str] | np.ndarray | None = None, rate: int = 16_000,
        feelings: Sequence[Feeling] = (), seconds: float | None = None, score: Score | None = None,
        progress: Callable[[int], None] | None = None, head: str = "rule", words: Words = (),
    ) -> FaceMotion:  # fmt: skip
        """One clip of T frames, 30 a second: weights (T, 52), head (T, 3) in radians.

        Args:
            text: a facial instruction; read by the reader unless `score` says what it means.
            audio: speech, a file or samples (n,) at `rate`.
            feelings: emotion keyframes, instead of those that the text names.
            seconds: length without sound, over which what is done is spread (`language.face.scores.spread`); None =
                as long as the instruction takes, else 4 s.
            progress: called with the frames made so far.
            words: of the speech, (word, start, end) in seconds, for "when you say ...".
            head: ``taught`` or ``paired``, see `avatargpt.face.audio_model.stream.FaceStream`.

        Raises:
            UserError: bad sound, text, length or head.
        """
        length = seconds
        if audio is not None:
            from avatargpt.speech.audio import check_rate, inspect

            if isinstance(audio, np.ndarray):
                check_rate(rate, 1, "sound")
                if audio.size == 0:
                    raise UserError("the sound is 0 s long; at least one sample is needed")
            length = len(audio) / rate if isinstance(audio, np.ndarray) else inspect(audio).seconds
        wanted = seconds if audio is None else None
        if score is None and text:
            score = self.read([text], [wanted], length if audio is not None else None, [words])[0]
            check_times(score, length or score.length)
        if length is None:
            length = self.usual(score, feelings)
        if not 0 < length <= MAX_SECONDS:
            raise UserError(f"{length:g} s; accepted: above 0, at most {MAX_SECONDS / 3600:g} hours")
        if score is not None and wanted is not None:
            score = spread(score, wanted)
        told = self.direction(score, feelings, length)
        made = self.driver.drive(
            audio, rate, told, seconds=None if audio is not None else length, head=head,
            progress=progress,
        )  # fmt: skip
        return made.with_caption(text)

