"""What the synthetic voices say: our own texts, and any further lines."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqvae.errors import UserError
from vqvae.io.json_lines import json_rows

LONGEST = 110  # characters of one utterance
KEPT_BACK = 20  # every so manieth text is only ever said by validation voices


def own_texts(texts: Path | None) -> list[str]:
    """Requests that ship with the package and, from a folder of planning and facial texts, their sentences."""
    from instruct_data.text.everyday import everyday_requests

    asked = everyday_requests()
    out = [t for name in asked.classes() for t in asked.requests(name)]
    if texts is None:
        return out
    for path in sorted(p for name in ("planning", "face_text") for p in (texts / name).glob("*.jsonl")):
        for _, row in json_rows(path):
            out += [v for k in ("scene", "text") if isinstance(v := row.get(k), str)]
    return out


def line_texts(path: Path) -> list[str]:
    """The last field of each ``a|b|text`` line of a (gzipped) file."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; lines of text are needed")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [line.rsplit("|", 1)[-1] for line in data.decode("utf-8").splitlines() if line.strip()]


def parted(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts that training voices say, and those kept back for validation: the same ones in every stage and seed, in
    capitals or not."""
    sides: tuple[list[str], list[str]] = ([], [])
    for text in texts:
        sides[zlib.crc32(" ".join(text.lower().split()).encode()) % KEPT_BACK == 0].append(text)
    return sides


def utterances(texts: Sequence[str], rng: np.random.Generator, count: int) -> list[str]:
    """`count` different utterances of about 40 to 110 characters: short texts joined, long ones cut at a word."""
    order = [texts[i] for i in rng.permutation(len(texts))]
    out: list[str] = []
    held = ""
    for text in order:
        held = f"{held}. {text}" if held else text
        if len(held) >= 40:
            if len(held) > LONGEST:
                held = held[:LONGEST].rsplit(" ", 1)[0]
            out.append(held)
            held = ""
        if len(out) == count:
            break
    if not out:
        raise UserError("no text to speak; sentences are needed")
    return out
