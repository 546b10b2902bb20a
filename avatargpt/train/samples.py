"""What a language model in training answers now and then: files in the run's folder, pictures for who watches."""

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

FOLDER, ANSWERS, EACH = "samples", "answers.jsonl", 2
SHEET_FRAMES, LEAST = 8, 2  # poses of a row, tokens of an answer in motion
DETAIL_TOP = 50  # codes of the residual levels that are chosen from


class Sampler:
    """Answers to the same prompts every time: of every stream of the mixture `EACH`, held-out ones where there are.

    Args:
        examples: of training. val: held-out rows by task.
        tokenizers: of the modalities that are to be seen as motion.
        details: whether the residual levels are trained; else motion is that of level 0.
    """

    def __init__(
        self, examples: Examples, val: Mapping[str, Sequence[Example]], tokenizers: Sequence[MotionTokenizer],
        details: bool,
    ) -> None:  # fmt: skip
        self.examples, self.details = examples, details
        self.tokenizers = {t.config.modality: t for t in tokenizers}
        self.rows: dict[str, list[Example]] = {}
        for stream in examples.streams():
            held = list(val.get(stream.task, ()))[:EACH]
            seeds = generator(3, len(self.rows)).integers(2**31, size=EACH)
            count = len(stream.classes)
            self.rows[stream.task] = held or [
                examples.make(Draw(stream.task, int(s) % count, int(s))) for s in seeds[: min(EACH, count)]
            ]

    def __call__(
        self, model: AvatarGPTModel, batch: Callable[[Sequence[Example]], Batch], folder: Path
    ) -> dict[str, np.ndarray]:
        """Answer, write ``answers.jsonl`` and a contact sheet for each task that moves a body.

        Args:
            model: in evaluation mode. batch: of rows, as it is trained with. folder: new or empty.

        Returns:
            Task -> (H, W, 3) uint8.
        """
        answering = Generator(model)
        lines: list[dict[str, Any]] = []
        pictures: dict[str, np.ndarray] = {}
        for task, rows in self.rows.items():
            said = self._answers(answering, task, rows, batch(rows))
            lines += [{"task": task, **self._told(row, answer)} for row, answer in zip(rows, said, strict=True)]
            if rows[0].head == "body" and "body" in self.tokenizers:
                pictures[task] = self._sheet(rows, said, folder / f"{task.replace('/', '-')}.png")
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        atomic_write(folder / ANSWERS, lambda p: p.write_text(text, encoding="utf-8"))
        return pictures

    def _answers(self, answering: Generator, task: str, rows: Sequence[Example], batch: Batch) -> list[np.ndarray]:
        """Ids of words, or codes (N, R), of every row, drawn as the task says, without guidance."""
        head, name = rows[0].head, task.partition("/")[0]
        how = get_task(name).decoding if name in list_tasks() else None
        heat = how.temperature if how is not None and head != TEXT else 0.0
        given = batch.inputs
        prompt = answering.encode(
            given["input_ids"], given["attention_mask"], given.get("residual_codes"), given.get("extra_embeddings")
        )
        decoded = answering.decode(
            prompt, head, max_tokens=LONGEST, length=batch.length.cpu(), temperature=heat,
            top_k=how.top_k if how is not None and heat else 0, seed=list(range(len(rows))), min_tokens=LEAST,
        )  # fmt: skip
        counts = decoded.lengths.tolist()
        if head == TEXT:
            return [ids[:n].cpu().numpy() for ids, n in zip(decoded.ids, counts, strict=True)]
        codes = decoded.codes.clamp(min=0)[..., None]
        if self.details and head in answering.model.refiners:
            seeds = list(range(len(rows)))
            codes = answering.model.refine(decoded.hidden, codes[..., 0], decoded.mask, head, seeds, heat, DETAIL_TOP)
        return [one[:n].cpu().numpy() for one, n in zip(codes, counts, strict=True)]

    def _told(self, row: Example, answer: np.ndarray) -> dict[str, Any]:
        text = self.examples.text
        about = {"prompt": text.decode(row.prompt.ids), "words": row.prompt.grounded or ""}
        if row.head == TEXT:
            return {**about, "answer": text.decode(answer), "wanted": text.decode(row.labels)}
        return {**about, "answer": f"{len(answer)} tokens", "wanted": f"{len(row.labels) - 1} tokens"}

    def _sheet(self, rows: Sequence[Example], codes: Sequence[np.ndarray], path: Path) -> np.ndarray:
        from PIL import Image

        from avatargpt.export.sheet import contact_sheet

        motions = [self.tokenizers["body"].decode(one) for one in codes]
        captions = [row.prompt.grounded or self.examples.text.decode(row.prompt.ids) for row in rows]
        contact_sheet(motions, captions, path, SHEET_FRAMES)
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
