"""`FacePerformer`: words, feelings and speech to a face; the reader and the driver of one folder together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.face.audio_model.blinks import Span, told
from avatargpt.face.audio_model.conditioning import Direction, Feeling
from avatargpt.face.audio_model.controls import Controls, apply
from avatargpt.face.audio_model.idle import calm_spans, jaw_spans
from avatargpt.face.instructions.scores import clauses_of, feelings_of
from avatargpt.language.face.extent import extended
from avatargpt.language.face.gradual import gradual
from avatargpt.language.face.in_turn import in_turn
from avatargpt.language.face.laughter import laughing
from avatargpt.language.face.manner import in_manner
from avatargpt.language.face.negation import allowed
from avatargpt.language.face.regular import regular
from avatargpt.language.face.scores import check_times, fitted, held, placed, spread
from avatargpt.language.face.slow_actions import slowly
from avatargpt.language.face.waits import waited
from avatargpt.signals.audio import MAX_SECONDS
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.face.instructions.parser import InstructionParser
    from instruct_data.face.score import Score
    from vqvae.face import FaceMotion

SILENT_SECONDS = 4.0  # length without sound, words or a length
HOLD = 1.5  # s that the last of several feelings is shown


def driver_folder(model: Path | None) -> Path:
    """Where a model folder keeps its driver: ``driver`` in it, or itself; None = the packaged weights.

    Raises:
        UserError: no such folder, or no driver in it.
    """
    from avatargpt.model.folder import check_model
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


class FacePerformer:
    """Instructions and emotions become a direction of the driver, with or without speech.

    Args:
        driver: the network that moves the face. reader: the network that reads instructions.
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
        from avatargpt.model.folder import packaged

        where = packaged() if folder is None else Path(folder)
        one = cls(Driver.load(where))
        one._folder = where
        return one

    @cached_property
    def parser(self) -> InstructionParser:
        """Loaded when the first instruction comes."""
        from avatargpt.face.instructions.parser import InstructionParser

        return self._reader or InstructionParser.load(self._folder or "")

    @cached_property
    def grounder(self) -> Any:
        """Gives the driver its words."""
        from avatargpt.model.text_encoder import SentenceGrounder

        return self._given or SentenceGrounder()

    @cached_property
    def reading(self) -> Any:
        """Gives the reader its words, of several layers."""
        from avatargpt.face.instructions.parser import reading_grounder

        return self._reads or reading_grounder(self.parser.network.config)

    def read(
        self, texts: Sequence[str], seconds: Sequence[float | None] | None = None, sound: float | None = None
    ) -> list[Score]:
        """What instructions ask for: actions with times, strengths and counts, feelings, and a length in seconds.

        What is to be done every so many seconds is so by a rule, and so, in clips much longer than the instructions to
        learn from, is what is to be done the whole time or at the end (`avatargpt.language.face.extent`).

        Args:
            seconds: wanted lengths, which say something about when things happen; None = nothing is wanted.
            sound: seconds of the speech that they go with; what is done then is not spread over it.
        """
        whole = self.parser.read(texts, self.reading, seconds=seconds)
        lengths = [sound] * len(whole) if sound else seconds or [None] * len(whole)
        return [self._timed(one, length, sound is not None) for one, length in zip(whole, lengths, strict=True)]

    def placed(
        self, texts: Sequence[str], seconds: float | None, heard: bool, feelings: Sequence[Feeling] = (),
        scores: Sequence[Score] | None = None,
    ) -> list[Score | None]:  # fmt: skip
        """What instructions mean in clips of so many seconds, None for an empty one.

        What was read is squeezed into sound and spread over seconds that were asked for; `scores` that somebody wrote
        are kept to the second.

        Args:
            seconds: of the clips; None = as long as each takes. heard: whether they are a sound's.

        Raises:
            UserError: times that the instruction names, or a score has, beyond the clip's end.
        """
        reads = scores is None and any(texts)
        if reads:
            scores = self.read(texts, None if heard else [seconds] * len(texts), seconds if heard else None)
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
        """What speaks against a reading made lately (`avatargpt.face.instructions.doubts`); empty = nothing."""
        from avatargpt.face.instructions.doubts import doubt

        return doubt(text, score, self.parser.agreement(text))

    def _timed(self, score: Score, seconds: float | None, heard: bool) -> Score:
        """In parts where something is waited for, or feelings and actions follow one another; with laughter, without
        what is denied, and as its text wants it through the clip."""

        clause = cache(self._clause)  # several rules ask about one clause

        def part(text: str, seconds: float | None) -> Score:
            return self.read([text], None if heard else [seconds], seconds if heard else None)[0]

        apart = waited(score.text, part, seconds)
        if apart is not None:
            return apart if seconds is None else held(apart, seconds)
        row = in_turn(score.text, lambda text: laughing(clause(text)), seconds, score)
        if row is not None:
            return _slow(row, clause, seconds)
        plain = allowed(in_manner(laughing(score), lambda text: clause(text, seconds)))
        if seconds is None:
            return _slow(regular(plain, None, clause), clause)
        return _slow(extended(plain, seconds, clause), clause, seconds)

    def _clause(self, text: str, seconds: float | None = None) -> Score:
        """What a part of an instruction, or other words for it, means by itself."""
        return self.parser.read([text], self.reading, seconds=[seconds])[0]

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
        progress: Callable[[int], None] | None = None, head: str = "rule",
    ) -> FaceMotion:  # fmt: skip
        """One clip of T frames, 30 a second: weights (T, 52), head (T, 3) in radians.

        Args:
            text: a facial instruction; read by the reader unless `score` says what it means.
            audio: speech, a file or samples (n,) at `rate`.
            feelings: emotion keyframes, instead of those that the text names.
            seconds: length without sound, over which what is done is spread (`language.face.scores.spread`); None =
                as long as the instruction takes, else 4 s.
            progress: called with the frames made so far.
            head: ``taught`` or ``paired``, see `avatargpt.face.audio_model.stream.FaceStream`.

        Raises:
            UserError: bad sound, text, length or head.
        """
        length = seconds
        if audio is not None:
            from avatargpt.signals.audio import check_rate, inspect

            if isinstance(audio, np.ndarray):
                check_rate(rate, 1, "sound")
                if audio.size == 0:
                    raise UserError("the sound is 0 s long; at least one sample is needed")
            length = len(audio) / rate if isinstance(audio, np.ndarray) else inspect(audio).seconds
        wanted = seconds if audio is None else None
        if score is None and text:
            score = self.read([text], [wanted], length if audio is not None else None)[0]
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


def _slow(score: Score, clause: Callable[[str], Score], seconds: float | None = None) -> Score:
    """With feelings and actions that grow or fade in the course of time where the words say so."""
    return slowly(gradual(score, clause, seconds), clause, seconds is not None)
