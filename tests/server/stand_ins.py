"""What stands in for the model and the reader of turns; clips that can be computed, as slow as a test wants."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from avatargpt.requests.resolver import ResolvedRequest, request_text
from tests.chat.stand_ins import walk
from tests.server import running
from vqvae.errors import UserError


class StandIn(running.StandIn):
    """Answers like `AvatarGPT`; the words of a text steer it: ``wait`` until `go` is set, ``break``, ``refuse``."""

    adapters = ("calm",)

    def __init__(self) -> None:
        super().__init__()
        self.go, self.begun = threading.Event(), threading.Event()
        self.batches: list[int] = []  # texts of each call of `generate`

    def resolve(self, texts, seconds=None, literal=False):
        for text in texts:
            if "refuse" in request_text(text):
                raise UserError("refuse: no such movement")
        return [ResolvedRequest(text, None, (), (f"a person {request_text(text)}",)) for text in texts]

    def expected_seconds(self, requests, seconds):
        return [60.0 * r.text.count("long") if s is None else s for r, s in zip(requests, seconds, strict=True)]

    def generate(self, texts, seconds=None, seed=0, seeds=None, num=1, progress=None, after=None, **options):
        self.batches.append(len(texts))
        words = [t if isinstance(t, str) else t.text for t in texts]
        self.begun.set()
        if any("break" in text for text in words):
            raise RuntimeError(f"secret contents of {words[0]}")
        while any("wait" in text for text in words) and not self.go.is_set():
            time.sleep(0.01)
            if progress:
                progress(0, len(texts))
        lengths = seconds if isinstance(seconds, list) else [seconds] * len(texts)
        all_seeds = [seed] * len(texts) if seeds is None else seeds
        rows = zip(words, lengths, all_seeds, strict=True)
        clips = [walk(length or 2.0, s + k, text) for text, length, s in rows for k in range(num)]
        return [replace(clip, notes=("a note",)) for clip in clips]

    def with_adapter(self, name):
        return Calm()


class Calm(StandIn):
    """The stand-in with its adapter: its clips say so."""

    def generate(self, texts, **options):
        return [replace(clip, notes=("calmly",)) for clip in super().generate(texts, **options)]
