"""`BodyTasks`: the tasks of the body on one `BodyModel`; descriptions of motion."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from avatargpt.body.edit import MotionEditing
from avatargpt.body.generate import MotionGeneration
from avatargpt.body.model import BodyModel
from avatargpt.kinematics.measures import mpjpe_heading
from avatargpt.lm.loaded import CHUNK, CONTEXT, LoadedModel
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.options import check_count, check_seed, mix, then
from avatargpt.requests.phrase_index import PhraseIndex
from vqvae.ground import floor_of, ground_motion, raise_motion
from vqvae.motion import Motion

# by which a caption of the phrase index must fit better than the model's own sentences
CAPTION_MARGIN = 0.12


class MotionDescription:
    """Motion to text."""

    def __init__(self, model: BodyModel) -> None:
        self.model = model

    def describe(self, motions: Motion | Sequence[Motion], num: int = 1, seed: int = 0, best_of: int = 7) -> list[Any]:
        """Motion to text.

        With a text-motion scorer the likeliest sentence, sampled ones, and the nearest caption of the phrase index are
        ranked by how well they fit the motion.

        Args:
            motions: one or more; any frame rate, on any floor (`vqvae.ground`). Motion beyond 14 s is described in
                windows, joined by "then".
            num: sentences per motion; more than 1 = sampled, not ranked.
            best_of: sentences of the model that are ranked; 1 = the likeliest alone, without the phrase index.

        Returns:
            One sentence per motion, or with num > 1 one list of sentences per motion.
        """
        check_count("num", num)
        check_count("best_of", best_of)
        check_seed(seed)
        clips = [motions] if isinstance(motions, Motion) else list(motions)
        if not clips:
            return []
        windows: list[np.ndarray] = []
        owners: list[int] = []
        for i, motion in enumerate(clips):
            codes = self.model.loaded.tokenizer(motion.modality).encode(ground_motion(motion))
            count = -(-len(codes) // (CHUNK + CONTEXT))
            windows += np.array_split(codes, count)
            owners += [i] * count
        if num > 1:
            sentences = self._sentences(windows, num, seed)
        else:
            sentences = [[s] for s in self.best(windows, seed, best_of)]
        out: list[Any] = []
        for i in range(len(clips)):
            rows = [s for s, owner in zip(sentences, owners, strict=True) if owner == i]
            texts = [then([row[k] for row in rows]) for k in range(num)]
            out.append(texts[0] if num == 1 else texts)
        return out

    def best(self, windows: Sequence[np.ndarray], seed: int = 0, best_of: int = 7) -> list[str]:
        """The sentence that fits each window of at most 72 codes (N, R) best, see `describe`."""
        likeliest = [s[0] for s in self._sentences(windows, 1, seed)]
        scorer, grounder = self.model.motion_scorer, self.model.grounder
        if best_of == 1 or scorer is None or grounder is None:
            return likeliest
        sampled = self._sentences(windows, best_of - 1, seed)
        vectors = self.model.motion_vectors(windows)
        candidates = [[a, *b] for a, b in zip(likeliest, sampled, strict=True)]
        texts = scorer.texts([s for row in candidates for s in row], grounder).reshape(len(candidates), best_of, -1)
        fit = np.einsum("nd,nkd->nk", vectors, texts)
        out = [row[int(k)] for row, k in zip(candidates, fit.argmax(1), strict=True)]
        captions, caption_vectors = self._captions
        if captions:
            caption_fit = vectors @ caption_vectors.T
            for i in np.flatnonzero(caption_fit.max(1) > fit.max(1) + CAPTION_MARGIN):
                out[i] = captions[int(caption_fit[i].argmax())]
        return out

    @cached_property
    def _captions(self) -> tuple[list[str], np.ndarray]:
        """Captions of the phrase index and their vectors by the text-motion scorer, (n, dim)."""
        index, scorer = self.model.phrase_index, self.model.motion_scorer
        if index is None or scorer is None:
            return [], np.zeros((0, 0), np.float32)
        rows = index.caption_rows
        return [index.keys[i] for i in rows], scorer.sentences(index.index.vectors_of(rows))

    def _sentences(self, windows: Sequence[np.ndarray], num: int, seed: int) -> list[list[str]]:
        """Sentences of the language model: the likeliest word by word, or `num` sampled ones, for each window."""
        loaded = self.model.loaded
        out: list[list[str]] = []
        step = loaded.rows // 4
        for i in range(0, len(windows), step):
            prompts = [loaded.prompt("motion_to_text", {"motion": w}) for w in windows[i : i + step]]
            seeds = [mix(seed, j) for _ in prompts for j in range(num)]
            sampling: dict[str, Any] = (
                {} if num == 1 else {"samples": num, "temperature": 0.7, "top_p": 0.9, "seed": seeds}
            )
            decoded = loaded.generator.decode(
                loaded.encode(prompts), "text", max_tokens=64, no_repeat=4, min_tokens=3, **sampling
            )
            texts = loaded.read_sentences(decoded)
            out += [texts[k * num : (k + 1) * num] for k in range(len(prompts))]
        return out


REFINE_STEPS = 40  # of analysis-by-synthesis


class BodyTasks:
    """All tasks of bodies: `generation` text to motion, `description` motion to text, `editing` motion to motion."""

    def __init__(
        self, loaded: LoadedModel, phrase_index: PhraseIndex | None = None,
        motion_scorer: TextMotionScorer | None = None,
    ) -> None:  # fmt: skip
        self.model = BodyModel(loaded, phrase_index, motion_scorer)

    @cached_property
    def generation(self) -> MotionGeneration:
        return MotionGeneration(self.model)

    @cached_property
    def description(self) -> MotionDescription:
        return MotionDescription(self.model)

    @cached_property
    def editing(self) -> MotionEditing:
        return MotionEditing(self.model, self.generation)


def reconstruct(loaded: LoadedModel, motion: Motion) -> tuple[Motion, dict[str, float]]:
    """A clip through its tokens and back.

    Returns:
        The reconstruction (canonical, as many frames at 20 fps, on the clip's floor) and figures: `mpjpe_mm` mean
        joint error in the heading frame, `drift_mm` planar root error of the last frame, `tokens`, `seconds`.
    """
    tokenizer = loaded.tokenizer(motion.modality)
    floor = floor_of(motion)
    source = raise_motion(motion.resampled(tokenizer.spec.fps).canonical(), -floor)
    codes = tokenizer.encode(source, REFINE_STEPS)
    rebuilt = tokenizer.decode(codes, motion.caption).slice(0, len(source))
    drift = float(np.linalg.norm((rebuilt.root[-1] - source.root[-1])[[0, 2]])) * 1000
    error = float(mpjpe_heading(rebuilt.joints, source.joints))
    figures = {"mpjpe_mm": error, "drift_mm": drift, "tokens": len(codes), "seconds": source.seconds}
    return raise_motion(rebuilt, floor), figures
