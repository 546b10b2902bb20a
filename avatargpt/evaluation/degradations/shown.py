"""Clips that are known to show prompts: those nearest by caption that pass the prompts' own checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avatargpt.evaluation.body.reconstruction import join
from avatargpt.evaluation.suites import Entry
from avatargpt.kinematics.joints import FPS, Signals
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.metrics.geometry import predicates
from instruct_data.clip import Clip
from vqvae.motion import Motion

IN_ORDER = ("then", "clauses")


class Pool:
    """Clips with captions, among which prompts look.

    Args:
        clips: any. tried: how many are tried for a check, nearest by caption first.
    """

    def __init__(self, clips: Sequence[Clip], tried: int) -> None:
        self._clips = [c for c in clips if c.captions]
        self._tried = tried
        self._encode = SentenceGrounder().sentence
        told = [(caption, i) for i, c in enumerate(self._clips) for caption in c.captions]
        self._owners = np.array([i for _, i in told])
        self._vectors = self._encode([caption for caption, _ in told])
        self._signals: dict[int, Signals] = {}

    def seen(self, number: int) -> Signals:
        """What predicates look at of a clip."""
        if number not in self._signals:
            self._signals[number] = Signals(self._clips[number].load())
        return self._signals[number]

    def nearest(self, prompt: str) -> list[int]:
        """Numbers of the clips with the nearest captions, each once, nearest first."""
        order = self._owners[np.argsort(-(self._vectors @ self._encode([prompt])[0]), kind="stable")]
        return [int(i) for i in dict.fromkeys(order.tolist())][: self._tried]

    def shown(self, entries: Sequence[Entry]) -> tuple[dict[str, Motion], dict[str, Motion]]:
        """Prompt -> a motion that passes its checks, where one is found, and neutral prompt -> the nearest clip."""
        neutral = {e.neutral: self.nearest(e.neutral)[0] for e in entries if e.neutral}
        found: dict[str, Motion] = {}
        for entry in entries:
            reference = self.seen(neutral[entry.neutral]) if entry.neutral else None
            motion = self._rendition(entry.checks, self.nearest(entry.prompt), reference)
            if motion is not None:
                found[entry.prompt] = motion
        return found, {text: self._clips[i].load() for text, i in neutral.items()}

    def _rendition(self, checks: Sequence[Any], near: Sequence[int], reference: Signals | None) -> Motion | None:
        """A clip that passes; of what comes one after another clips joined, of what has a length a clip cut."""
        if len(checks) == 1 and isinstance(checks[0], Mapping):
            name, body = next(iter(checks[0].items()))
            if name in IN_ORDER:
                parts = [self._rendition([c], near, reference) for c in body]
                whole = join([p.canonical() for p in parts if p is not None]) if None not in parts else None
                return whole if whole is not None and predicates.judge_all(checks, whole, reference).passed else None
            if name == predicates.LASTING:
                return self._cut(body, near, reference)
        for number in near:
            if predicates.judge_all(checks, self.seen(number), reference).passed:
                motion: Motion = self._clips[number].load()
                return motion
        return None

    def _cut(self, body: Mapping[str, Any], near: Sequence[int], reference: Signals | None) -> Motion | None:
        """The beginning or the middle of a clip that is long enough and passes."""
        frames = round(float(body["seconds"]) * FPS)
        for number in near:
            whole = self._clips[number].load().resampled(FPS)
            for start in sorted({0, max(len(whole) - frames, 0) // 2}):
                part: Motion = whole.slice(start, start + frames)
                if len(part) == frames and predicates.judge(body["check"], Signals(part), reference).passed:
                    return part
        return None
