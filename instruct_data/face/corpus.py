"""Rendered face clips of an instruction corpus, as training material."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip, face_clip
from instruct_data.face.render import render
from instruct_data.face.score import Score, parse_score, read_instructions
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

SOURCE = "face_rendered"
LICENCE = "MIT"
OWN = Path(__file__).parent / "instructions.jsonl"
"""Instructions with scores that come with the package, for training."""
SEQUENCES = Path(__file__).parent / "sequences.jsonl"
"""Further ones, most of them of several actions that overlap and follow one another, timed as the corpus times them."""
FURTHER = Path(__file__).parent / "further.jsonl"
"""Further ones in many writers' voices (animators, actors, therapists, ...), one action or feeling and many."""
SIBLINGS = Path(__file__).parent / "siblings.jsonl"
"""Further ones, several to each training instruction of the corpus: of the same kind and timing, other content."""
EVERYDAY = Path(__file__).parent / "everyday.jsonl"
"""Further ones as users type them: short, casual, sides and times seldom said."""
REWORDED = Path(__file__).parent / "reworded.jsonl"
"""The training instructions of the corpus, each in several other people's words, with their scores."""


def action_class(score: Score) -> str:
    """A class for balancing: the first action, else the strongest emotion."""
    if score.events:
        return score.events[0].action
    return max(score.emotions, key=lambda f: f.strongest).name if score.emotions else "neutral"


def face_clips(
    path: str | os.PathLike[str], split: str | None = None, variants: int = 1, mirrored: bool = True, seed: int = 0
) -> Iterator[Clip]:
    """Every instruction rendered `variants` times with its own seeds, and mirrored in face and words.

    Ids end in ``_m`` where mirrored; ``extra["score"]`` holds the score. The same arguments give the same clips.

    Args:
        path: folder with train.jsonl and val.jsonl, or a file of scores.
        split: ``train`` or ``val``; None = both.
        mirrored: whether the mirrored version of one-sided instructions comes too.
    """
    for number, item in enumerate(read_instructions(path, split)):
        versions = [("", item.score)]
        if mirrored and item.score.sided:
            versions.append(("_m", item.score.mirrored()))
        for ending, score in versions:
            for k in range(variants):
                one = int(np.random.SeedSequence([seed, number, k, len(ending)]).generate_state(1)[0])
                name = f"{item.id}_{k}{ending}"
                about = (SOURCE, LICENCE, item.split, action_class(score), {"score": score.to_json()})
                yield face_clip(name, render(score, one), [score.text], *about)


def reworded(path: str | os.PathLike[str] = REWORDED) -> list[list[Score]]:
    """Rows of a score with several texts (``texts`` in place of ``text``): the score with each of them.

    Raises:
        UserError: a file that cannot be read, a line that is no score with texts.
    """
    out = []
    for i, row in json_rows(Path(path)):
        where = f"{path}: line {i}"
        texts = row.pop("texts", None) if isinstance(row, dict) else None
        if not (isinstance(texts, list) and texts and all(isinstance(t, str) and t.strip() for t in texts)):
            raise UserError(f"{where}: accepted a score with 'texts', one or more strings")
        score = parse_score({**row, "text": texts[0]}, where)
        out.append([replace(score, text=t) for t in texts])
    return out
