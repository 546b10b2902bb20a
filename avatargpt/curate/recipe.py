"""The configuration of `avatargpt data curate`: a section for each stage, and the bounds on calls of models."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from avatargpt.llm import Limits
from vqvae.strict import Flag, NonNegativeInt, Number, PositiveInt, Rate, Share, Strict

Seconds = Annotated[Number, Field(gt=0)]


class ShotOptions(Strict):
    """Cuts: an AdaptiveDetector of scenedetect on small pictures."""

    threshold: Rate = 3.0  # how many times a frame's change is that of its neighbours
    content: Rate = 15.0  # and at least this much, of 255
    seconds: Seconds = 1.0  # of a shot at least, or it belongs to the one before
    longest: Seconds = 60.0  # longer shots are read in pieces of equal length: memory stays flat
    height: PositiveInt = 180  # pixels of the pictures that are compared


class TrackOptions(Strict):
    """People in a shot."""

    # capture: MODULE:NAME of a class like `avatargpt.curate.tracks.TrackCapture`; its first argument is this section
    capture: str = "avatargpt.curate.people:FilmCapture"
    # poses, faces: estimators of that capture
    poses: str = "mediapipe"
    faces: str = "mediapipe"
    body: Flag = True
    face: Flag = True
    people: PositiveInt = 4  # at most, the largest
    certainty: Share = 0.7  # of a face at least where it is first seen: at 0.5 cymbals and dogs have faces, too

    @model_validator(mode="after")
    def _require_something(self) -> TrackOptions:
        if not (self.body or self.face):
            raise ValueError("body and face are both off; accepted: at least one of them")
        return self


class SoundOptions(Strict):
    """Sound, and the words in it."""

    whisper: str | None = None  # a size (base, small ...) or a folder, for the extra asr; None = words are not read
    device: str = "cpu"


class GateOptions(Strict):
    """What is accepted; everything else is rejected with its reason."""

    seconds: Seconds = 1.5  # of a track at least
    height: Share = 0.2  # of a person, in shares of the picture's
    face_height: Share = 0.1  # of a face
    visible: Share = 0.5  # mean confidence of a track
    occluded: Share = 0.35  # of the frames at most, in which the person is hidden
    # sharpness: variance of the Laplacian of grey values 0..255, on pictures of `shots.height`
    sharpness: Rate = 15.0
    movement: Rate = 0.02  # m/s, mean speed of a body's joints in a segment; below it nothing happens
    fastest: Rate = 5.0  # m/s, mean speed of a body's joints for a fifth of a second; above it the reading is wrong
    face_movement: Rate = 0.01  # 1/s, mean speed of a face's five fastest weights
    # bits of 64 by which the pictures of two shots differ on average at most, where their movement is the same, too
    duplicate: NonNegativeInt = 6
    same_movement: Share = 0.95  # correlation of speeds from which on movement is the same
    languages: list[str] = ["en"]  # of speech, where it is read; speech of others is left out, the motion stays
    licences: list[str] = []  # accepted; none named = all


class SegmentOptions(Strict):
    """Segments by activity: change points of the movement."""

    shortest: Seconds = 2.0
    longest: Seconds = 9.8  # of what the tokens' model reads at a time
    penalty: Rate = 3.0  # for each further segment; larger = fewer

    @model_validator(mode="after")
    def _in_order(self) -> SegmentOptions:
        if self.longest < 2 * self.shortest:
            raise ValueError("longest is less than twice shortest; no cut of a long track would fit")
        return self


class TextOptions(Strict):
    """Descriptions and plans."""

    pictures: Annotated[PositiveInt, Field(le=16)] = 4  # of a segment
    size: Annotated[PositiveInt, Field(ge=64, le=1024)] = 448  # pixels of the longer side
    quality: Annotated[PositiveInt, Field(le=95)] = 80  # of JPEG
    temperature: Rate = 0.0
    seed: NonNegativeInt = 0
    paraphrases: Annotated[PositiveInt, Field(le=8)] = 3  # of a facial instruction
    together: Annotated[PositiveInt, Field(le=64)] = 24  # segments of one scene at most
    # without a language model: beside (captions beside the film), name (of the file), describer (our own network)
    plain: list[str] = ["beside", "describer"]

    @model_validator(mode="after")
    def _require_known(self) -> TextOptions:
        if unknown := [n for n in self.plain if n not in ("beside", "name", "describer")]:
            raise ValueError(f"plain: {unknown[0]!r}; accepted beside, name, describer")
        return self


class DatasetOptions(Strict):
    """The result."""

    name: str = "films"  # source of its clips
    licence: str = "not stated"  # of films that state none
    held_out: Share = 0.1  # of the films, for validation
    samples: NonNegativeInt = 12  # in the report


class Curation(Strict):
    """All sections."""

    shots: ShotOptions = ShotOptions()
    tracks: TrackOptions = TrackOptions()
    sound: SoundOptions = SoundOptions()
    gates: GateOptions = GateOptions()
    segments: SegmentOptions = SegmentOptions()
    text: TextOptions = TextOptions()
    dataset: DatasetOptions = DatasetOptions()
    # of one data set, all runs together
    limits: Limits = Limits(seconds=120.0, total=1e9, answer=800, tokens=20_000_000)
