"""Baselines that answer a prompt with a real clip: the one with the nearest caption, or any."""

from __future__ import annotations

import zlib

import numpy as np

from avatargpt.lm.text_encoder import SentenceGrounder
from instruct_data.clip import Clip
from vqvae.motion import Motion


class RandomClip:
    """A real clip chosen by prompt and seed alone."""

    name = "random real clip"

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Motion]:
        def pick(prompt: str, seed: int) -> int:
            return int(np.random.default_rng([seed, zlib.crc32(prompt.encode())]).integers(len(self.clips)))

        return [self.clips[pick(p, s)].load() for p, s in zip(prompts, seeds, strict=True)]


class NearestCaption:
    """The real clip whose caption is nearest to the prompt; seeds choose among clips that share that caption.

    Args:
        clips: the training clips.
    """

    name = "nearest caption"

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips
        self.owners: dict[str, list[int]] = {}
        for i, clip in enumerate(clips):
            for caption in clip.captions:
                self.owners.setdefault(caption.strip().lower(), []).append(i)
        self.captions = sorted(self.owners)
        self.encode = SentenceGrounder().sentence
        self.vectors = self.encode(self.captions)

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Motion]:
        near = (self.encode(prompts) @ self.vectors.T).argmax(1)
        out = []
        for caption, seed in zip(near, seeds, strict=True):
            owners = self.owners[self.captions[int(caption)]]
            out.append(self.clips[owners[seed % len(owners)]].load())
        return out
