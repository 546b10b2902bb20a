"""Sample answers of a language model in training: files in the run's folder, pictures for the watchers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.lm.generate import Generator
from avatargpt.lm.model import AvatarGPTModel
from avatargpt.lm.shape import TEXT
from avatargpt.train.data.batches import Batch
from avatargpt.train.data.examples import LONGEST, Example, Examples
from instruct_data.mixture import Draw, generator
from instruct_data.registry import get_task, list_tasks
from vqvae.motion import atomic_write
from vqvae.tokenizer import MotionTokenizer

FOLDER, ANSWERS, PER_STREAM = "samples", "answers.jsonl", 2
SHEET_FRAMES, MIN_TOKENS = 8, 2  # poses of a row, tokens of an answer in motion
DETAIL_TOP_K = 50  # of the residual levels


class Sampler:
    """Answers to the same prompts every time: `PER_STREAM` of every stream of the mixture, held-out ones if any.

    Args:
        examples: of training. val: held-out rows by task.
        tokenizers: of the modalities that are drawn as motion.
        details: whether the residual levels are trained; else motion has level 0 alone.
    """

    def __init__(
        self, examples: Examples, val: Mapping[str, Sequence[Example]], tokenizers: Sequence[MotionTokenizer],
        details: bool,
    ) -> None:  # fmt: skip
        self.examples, self.details = examples, details
        self.tokenizers = {t.config.modality: t for t in tokenizers}
        self.rows: dict[str, list[Example]] = {}
        for stream in examples.streams():
            # Fixed seeds: the same prompts at every step, so that answers can be compared.
            seeds = generator(3, len(self.rows)).integers(2**31, size=PER_STREAM)
            count = len(stream.classes)
            self.rows[stream.task] = list(val.get(stream.task, ()))[:PER_STREAM] or [
                examples.make(Draw(stream.task, int(s) % count, int(s))) for s in seeds[: min(PER_STREAM, count)]
            ]

    def __call__(
        self, model: AvatarGPTModel, batch: Callable[[Sequence[Example]], Batch], folder: Path
    ) -> dict[str, np.ndarray]:
        """Answer, write ``answers.jsonl`` and a contact sheet for each task that moves a body.

        Args:
            model: in evaluation mode. batch: makes a batch of rows. folder: new or empty.

        Returns:
            Task -> (H, W, 3) uint8.
        """
        answering = Generator(model)
        lines: list[dict[str, Any]] = []
        pictures: dict[str, np.ndarray] = {}
        for task, rows in self.rows.items():
            answers = self._answers(answering, task, rows, batch(rows))
            lines += [{"task": task, **self._line(row, answer)} for row, answer in zip(rows, answers, strict=True)]
            if rows[0].head == "body" and "body" in self.tokenizers:
                pictures[task] = self._sheet(rows, answers, folder / f"{task.replace('/', '-')}.png")
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        atomic_write(folder / ANSWERS, lambda p: p.write_text(text, encoding="utf-8"))
        return pictures

    def _answers(self, answering: Generator, task: str, rows: Sequence[Example], batch: Batch) -> list[np.ndarray]:
        """Ids of words, or codes (N, R), of every row, with the task's decoding options, without guidance."""
        head, name = rows[0].head, task.partition("/")[0]
        # Denoising is no task with decoding options of its own.
        options = get_task(name).decoding if name in list_tasks() else None
        # Words are decoded greedily, motion is sampled with the task's temperature.
        temperature = options.temperature if options is not None and head != TEXT else 0.0
        inputs = batch.inputs
        prompt = answering.encode(
            inputs["input_ids"], inputs["attention_mask"], inputs.get("residual_codes"), inputs.get("extra_embeddings")
        )
        decoded = answering.decode(
            prompt, head, max_tokens=LONGEST, length=batch.length.cpu(), temperature=temperature,
            top_k=options.top_k if options is not None and temperature else 0, seed=list(range(len(rows))),
            min_tokens=MIN_TOKENS,
        )  # fmt: skip
        counts = decoded.lengths.tolist()
        if head == TEXT:
            return [ids[:n].cpu().numpy() for ids, n in zip(decoded.ids, counts, strict=True)]
        codes = decoded.codes.clamp(min=0)[..., None]
        if self.details and head in answering.model.refiners:
            codes = answering.model.refine(
                decoded.hidden, codes[..., 0], decoded.mask, head, list(range(len(rows))), temperature, DETAIL_TOP_K
            )
        return [row[:n].cpu().numpy() for row, n in zip(codes, counts, strict=True)]

    def _line(self, row: Example, answer: np.ndarray) -> dict[str, Any]:
        text = self.examples.text
        facts = {"prompt": text.decode(row.prompt.ids), "words": row.prompt.grounded or ""}
        if row.head == TEXT:
            return {**facts, "answer": text.decode(answer), "wanted": text.decode(row.labels)}
        return {**facts, "answer": f"{len(answer)} tokens", "wanted": f"{len(row.labels) - 1} tokens"}

    def _sheet(self, rows: Sequence[Example], codes: Sequence[np.ndarray], path: Path) -> np.ndarray:
        from PIL import Image

        from avatargpt.export.sheet import contact_sheet

        motions = [self.tokenizers["body"].decode(row) for row in codes]
        captions = [row.prompt.grounded or self.examples.text.decode(row.prompt.ids) for row in rows]
        contact_sheet(motions, captions, path, SHEET_FRAMES)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
