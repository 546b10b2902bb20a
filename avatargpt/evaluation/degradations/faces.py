"""Faces and gestures before the suites that judge them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from avatargpt.evaluation import suites
from avatargpt.evaluation.degradations.cases import Case, Sources, Worse
from avatargpt.evaluation.face import face_language, given
from avatargpt.evaluation.face.face_instructions import followed
from avatargpt.metrics.degraded import fitting
from instruct_data.face.render import render
from vqvae.errors import UserError
from vqvae.face import FaceMotion, concatenate

RENDERING = 1  # seed


def of_instructions(name: str, source: str, figures: tuple[str, ...]) -> Callable[[Sources], Case]:
    """The rendered scores of a suite's instructions of one source as its answers."""

    def build(sources: Sources) -> Case:
        scores = given.sources(suites.load(name), None)[source]
        true = [render(s, RENDERING) for s in scores]

        def judge(worse: Worse) -> Mapping[str, Any]:
            return followed(source, [worse(m, i) for i, m in enumerate(true)], scores)

        return Case(name, tuple(f"{f}/{source}" for f in figures), judge)

    return build


class _Middles:
    """Answers with the true middle of a face, made worse: what `face_language.between` asks of a model."""

    def __init__(self, faces: list[FaceMotion], worse: Worse) -> None:
        self._left, self._worse = iter(enumerate(faces)), worse

    def face_in_between(self, start: FaceMotion, end: FaceMotion, seconds: float, seed: int) -> FaceMotion:
        number, whole = next((i, f) for i, f in self._left if len(f) == len(start) + len(end) + round(seconds * f.fps))
        middle = whole.slice(len(start), len(whole) - len(end))
        return concatenate([start, self._worse(middle, number), end])


def of_language(sources: Sources) -> Case:
    """The middle second of rendered faces as the answer."""
    suite = suites.load("face_language")
    scores = given.sources(suites.load("face_instructions"), None)["own"]
    faces = [render(s, RENDERING) for s in scores if s.length <= float(suite.options["longest"])]

    def judge(worse: Worse) -> Mapping[str, Any]:
        return face_language.between(_Middles(faces, worse), faces)

    return Case(suite.name, ("between_error",), judge)


def of_speech(sources: Sources) -> Case:
    """The teacher's curves for recorded sentences with phone times, cut or held to the length of the sound."""
    from avatargpt.evaluation.face.speech_face import lips
    from avatargpt.face.audio_model.visemes import teach
    from avatargpt.speech.audio import FPS, RATE, frames_in
    from avatargpt.train.speech_data.clips import loudness
    from avatargpt.train.speech_data.recordings import timed_speech

    folder = sources.beside("face") / "aligned_speech_misc" / "librivox_pocketsphinx"
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    spoken = [(phones, teach(phones, n, loudness(audio, n)).curves)
              for _, audio, phones in timed_speech(folder) for n in [frames_in(len(audio), RATE)]]  # fmt: skip

    def judge(worse: Worse) -> Mapping[str, Any]:
        made = [fitting(worse(FaceMotion.from_curves(c, float(FPS)), i), len(c)).curves
                for i, (_, c) in enumerate(spoken)]  # fmt: skip
        return lips("librivox", [(m, phones, c) for m, (phones, c) in zip(made, spoken, strict=True)])

    return Case("speech_face", ("closure/librivox", "false_closure_vowel/librivox", "jaw/librivox"), judge)


def of_gesture(sources: Sources) -> Case:
    """The recorded motion of talks as what a network makes for their sound."""
    from avatargpt.evaluation.gesture import comparison
    from avatargpt.evaluation.gesture.talks import read_talks
    from avatargpt.metrics.gesture.fgd import GestureFeatures

    suite = suites.load("gesture")
    talks = [t for t in read_talks(sources.beside("gesture")) if t.motion is not None]
    features = GestureFeatures.load()
    motions = {t.name: t.motion for t in talks if t.motion is not None}

    def judge(worse: Worse) -> Mapping[str, Any]:
        made = {name: worse(m, i) for i, (name, m) in enumerate(motions.items())}
        network = {"network": lambda talk: made[talk.name]}
        found: dict[str, Any] = comparison.score(suite, talks, network, (), features, less=False)["results"]
        return found

    return Case(suite.name, ("fgd/network", "hellinger/network", "beat_alignment/network"), judge)
