"""What a request may ask for, and its arithmetic: texts, seconds, seeds, lengths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from avatargpt.limits import MAX_SECONDS, MIN_SECONDS
from vqvae.errors import UserError
from vqvae.motion import Motion


def check_text(text: str) -> None:
    """Raises UserError unless the text says something, in at most 2000 characters."""
    if not text.strip():
        raise UserError("the text is empty; accepted: a sentence of what happens")
    if len(text) > 2000:
        raise UserError(f"the text has {len(text)} characters; accepted: at most 2000")


def check_seconds(seconds: float) -> None:
    """Raises UserError outside the accepted range."""
    if not (np.isfinite(seconds) and MIN_SECONDS <= seconds <= MAX_SECONDS):
        raise UserError(f"seconds: {seconds}; accepted {MIN_SECONDS} to {MAX_SECONDS:g}")


def check_count(name: str, count: int) -> None:
    if count < 1:
        raise UserError(f"{name}: {count}; accepted 1 or more")


def mix(seed: int, part: int) -> int:
    """An independent seed for part `part` of a job."""
    return int(np.random.SeedSequence([seed % 2**32, part]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def tokens_of(seconds: float, rate: float) -> int:
    return max(1, int(np.ceil(round(seconds * rate, 6))))


def frames_of(seconds: float, fps: float) -> int:
    return max(1, round(seconds * fps))


def plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".!")


def then(sentences: list[str]) -> str:
    kept = [s for i, s in enumerate(sentences) if i == 0 or s != sentences[i - 1]]
    return ", then ".join(kept)


def held(motion: Motion, frames: int, before: bool) -> Motion:
    """Lengthened to `frames` by holding the first (before) or last pose."""
    index = np.arange(frames) - (frames - len(motion)) if before else np.arange(frames)
    index = index.clip(0, len(motion) - 1)
    return replace(motion, rotations=motion.rotations[index], root=motion.root[index])
