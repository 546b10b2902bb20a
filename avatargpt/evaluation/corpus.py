"""Clips that suites measure on, recorded and keyframed, and baselines that answer with a clip or a caption of one."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from avatargpt.kinematics.measures import kinematic_features
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.checks import KEYFRAMED_SOURCES
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import actions, families, keyframed
from instruct_data.sources.quantised import read_quantised
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.motion import Motion

HELD_OUT = 1_000_000  # first seed of keyframed clips that no training has seen
BATCH = 64
NEAREST_CLIP, RANDOM_CAPTION = "nearest clip", "random caption"


def load_clips(data: Path | None, split: str) -> list[Clip]:
    """All clips of a split, motions in memory, of the folder with captions.jsonl: `data` itself or `body` / `data/body`
    below it."""
    if data is None:
        raise UserError("this suite compares with real clips; name the folder of the body corpus with --data")
    places = (p for p in (data, data / "body", data / "data" / "body") if (p / "captions.jsonl").is_file())
    if (folder := next(places, None)) is None:
        raise UserError(f"{data}: no body corpus here; accepted a folder with captions.jsonl and motions_*.npz")
    clips = [replace(clip, motion=clip.load()) for clip in read_quantised(folder, split)]
    if not clips:
        raise UserError(f"{folder}: no clips in split {split!r}")
    return clips


def action_names() -> list[str]:
    """The keyframed action families with a file of their own."""
    return sorted(actions())


def make_keyframed_clips(per_family: int, first: int = HELD_OUT, only: Sequence[str] | None = None) -> Iterator[Clip]:
    """`per_family` keyframed clips of every action with a file (or of `only`), with the seeds from `first` on.

    Args:
        only: names of families, entries of the lexicon too; None = the actions with a file.
    """
    every = families()
    unknown = sorted(set(only or ()) - set(every))
    if unknown:
        raise UserError(f"no keyframed family called {', '.join(unknown)}; accepted: {', '.join(sorted(every))}")
    for name in sorted(only) if only is not None else action_names():
        # Batches keep few motions in memory at a time.
        for start in range(0, per_family, BATCH):
            seeds = range(first + start, first + min(start + BATCH, per_family))
            yield from keyframed(every[name], seeds)


def load_keyframed(store: Path, split: str | None) -> list[Clip]:
    """Keyframed clips of a split of a motion store (train, val, test, or None for all)."""
    return [c for c in Store.open(store, verify=False).clips(split) if c.source in KEYFRAMED_SOURCES]


def nearest_clips(clips: Sequence[Clip], training: Sequence[Clip]) -> np.ndarray:
    """(n,) of each clip the number of the training clip nearest to it.

    Nearest is the smallest Euclidean distance of `kinematic_features`, each divided by its deviation over the training
    clips.
    """
    a, b = (
        np.stack([kinematic_features(m.joints, m.fps) for m in (c.load() for c in group)])
        for group in (clips, training)
    )
    scale = b.std(0)
    # The root's own place in the heading frame never varies.
    used = scale > 1e-6
    a, b = a[:, used] / scale[used], b[:, used] / scale[used]
    return np.array([np.linalg.norm(b - row, axis=1).argmin() for row in a])


def baseline_sentences(clips: Sequence[Clip], training: Sequence[Clip], seed: int) -> dict[str, list[str]]:
    """Name of the baseline -> a caption for each clip; nothing without training clips."""
    training = [c for c in training if c.captions]
    if not training:
        return {}
    rng = np.random.default_rng([seed, 2])

    def draw_caption(clip: Clip) -> str:
        return clip.captions[int(rng.integers(len(clip.captions)))]

    return {
        NEAREST_CLIP: [draw_caption(training[int(i)]) for i in nearest_clips(clips, training)],
        RANDOM_CAPTION: [draw_caption(training[int(i)]) for i in rng.integers(len(training), size=len(clips))],
    }


class RandomClip:
    """A real clip chosen by prompt and seed alone."""

    name = "random real clip"

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Motion]:
        def pick(prompt: str, seed: int) -> int:
            # hash() differs between processes, crc32 does not.
            return int(np.random.default_rng([seed, zlib.crc32(prompt.encode())]).integers(len(self.clips)))

        return [self.clips[pick(p, s)].load() for p, s in zip(prompts, seeds, strict=True)]


class NearestCaption:
    """The real clip whose caption is nearest to the prompt; seeds choose among clips that share that caption."""

    name = "nearest caption"

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips
        self.owners: dict[str, list[int]] = {}
        for i, clip in enumerate(clips):
            for caption in clip.captions:
                self.owners.setdefault(caption.strip().lower(), []).append(i)
        # Sorted, so that equal cosines are decided alike on every machine.
        self.captions = sorted(self.owners)
        self.encode = SentenceGrounder().sentence
        self.vectors = self.encode(self.captions)

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Motion]:
        nearest = (self.encode(prompts) @ self.vectors.T).argmax(1)
        out = []
        for caption, seed in zip(nearest, seeds, strict=True):
            owners = self.owners[self.captions[int(caption)]]
            out.append(self.clips[owners[seed % len(owners)]].load())
        return out
