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
from avatargpt.train.data.clip_tables import LONGEST
from avatargpt.train.data.examples import Examples, Rows
from instruct_data.factory.mixture import generator
from instruct_data.registry import get_task
from vqvae.motion import atomic_write
from vqvae.tokenizer import MotionTokenizer

FOLDER, ANSWERS, PER_STREAM = "samples", "answers.jsonl", 2
SHEET_FRAMES, MIN_TOKENS = 8, 2  # poses of a row, tokens of an answer in motion
DETAIL_TOP_K = 50  # of the residual levels


class AnswerSampler:
    """Answers to the same prompts every time: `PER_STREAM` of every stream of the mixture, held-out ones if any.

    Args:
        examples: of training. val: held-out rows by task.
        tokenizers: of the modalities that are drawn as motion.
        details: whether the residual levels are trained; else motion has level 0 alone.
    """

    def __init__(
        self, examples: Examples, val: Mapping[str, tuple[Examples, Rows]], tokenizers: Sequence[MotionTokenizer],
        details: bool,
    ) -> None:  # fmt: skip
        self.examples, self.details = examples, details
        self.tokenizers = {t.config.modality: t for t in tokenizers}
        self.rows: dict[str, tuple[Examples, Rows]] = {}
        for number, stream in enumerate(examples.streams()):
            # Fixed seeds: the same prompts at every step, so that answers can be compared.
            count = min(PER_STREAM, len(stream.classes))
            entries = generator(3, number).integers(len(stream.classes), size=count)
            drawn = examples, examples.make(np.full(count, number), entries, (3, number))
            self.rows[stream.task] = val.get(stream.task, drawn)

    def __call__(
        self, model: AvatarGPTModel, batch: Callable[[Examples, Rows, np.ndarray], Batch], folder: Path
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
        for task, (source, rows) in self.rows.items():
            count = min(PER_STREAM, int((rows.positive < 0).sum()))
            made = batch(source, rows, np.arange(count))
            # Rows that fill a batch up come behind.
            answers, head = self._answers(answering, task, made)[:count], made.heads[0]
            lines += [{"task": task, **self._line(source, rows, n, head, a)} for n, a in enumerate(answers)]
            if head == "body" and "body" in self.tokenizers:
                captions = [self._words(source, rows, n) for n in range(len(answers))]
                pictures[task] = self._sheet(captions, answers, folder / f"{task.replace('/', '-')}.png")
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        atomic_write(folder / ANSWERS, lambda p: p.write_text(text, encoding="utf-8"))
        return pictures

    def _answers(self, answering: Generator, task: str, batch: Batch) -> list[np.ndarray]:
        """Ids of words, or codes (N, R), of every row, with the task's decoding options, without guidance."""
        head, options = batch.heads[0], get_task(task.partition("/")[0]).decoding
        # Words are decoded greedily, motion is sampled with the task's temperature.
        temperature = options.temperature if head != TEXT else 0.0
        inputs = batch.inputs
        prompt = answering.encode(
            inputs["input_ids"], inputs["attention_mask"], inputs.get("residual_codes"), inputs.get("extra_embeddings")
        )
        decoded = answering.decode(
            prompt, head, max_tokens=LONGEST, length=batch.length.cpu(), temperature=temperature,
            top_k=options.top_k if temperature else 0, seed=list(range(len(batch.heads))),
            min_tokens=MIN_TOKENS,
        )  # fmt: skip
        counts = decoded.lengths.tolist()
        if head == TEXT:
            return [ids[:n].cpu().numpy() for ids, n in zip(decoded.ids, counts, strict=True)]
        codes = decoded.codes.clamp(min=0)[..., None]
        if self.details and head in answering.model.refiners:
            codes = answering.model.refine(
                decoded.hidden, codes[..., 0], decoded.mask, head, list(range(len(batch.heads))), temperature,
                DETAIL_TOP_K,
            )  # fmt: skip
        return [row[:n].cpu().numpy() for row, n in zip(codes, counts, strict=True)]

    def _words(self, source: Examples, rows: Rows, row: int) -> str:
        """The words for the sentence encoder, else the prompt."""
        start = rows.starts[row]
        prompt = source.text.decode(rows.ids[start : start + rows.sources[row]])
        return source.wording.texts[rows.ground[row]] if rows.ground[row] >= 0 else prompt

    def _line(self, source: Examples, rows: Rows, row: int, head: str, answer: np.ndarray) -> dict[str, Any]:
        text, start, first = source.text, rows.starts[row], rows.answer_starts[row]
        prompt = text.decode(rows.ids[start : start + rows.sources[row]])
        facts = {"prompt": prompt, "words": self._words(source, rows, row)}
        if head == TEXT:
            wanted = text.decode(rows.answers[first : first + rows.targets[row]])
            return {**facts, "answer": text.decode(answer), "wanted": wanted}
        return {**facts, "answer": f"{len(answer)} tokens", "wanted": f"{rows.targets[row] - 1} tokens"}

    def _sheet(self, captions: Sequence[str], codes: Sequence[np.ndarray], path: Path) -> np.ndarray:
        from PIL import Image

        from avatargpt.export.sheet import contact_sheet

        motions = [self.tokenizers["body"].decode(row) for row in codes]
        contact_sheet(motions, list(captions), path, SHEET_FRAMES)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
