"""A clear English voice: the spoken prompts of the Asterisk telephone system, with their texts.

Some 560 prompts, 25 minutes, of one speaker in a studio (Allison Smith; CC BY-SA 3.0). The sounds are NAME.g722, 16 kHz
(Debian: ``apt download asterisk-core-sounds-en-g722``, then ``dpkg -x``); what they say stands in
``core-sounds-en.txt`` of the upstream archive, a line ``NAME: TEXT`` each, lines with ``;`` being remarks.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import RATE
from avatargpt.train.speech_data.pairs import Spoken
from vqvae.errors import UserError

TABLE = "core-sounds-en.txt"
HELD_OUT = 6
"""One text in so many is never trained on."""
QUIET = 0.3  # s of silence before and after: prompts are cut to the sound
_NOISE = re.compile(r"[\[<(].*?[\])>]")  # remarks, "[beep]"


def is_prompts(folder: Path) -> bool:
    """Whether a table of prompts lies anywhere under a folder."""
    return next(folder.rglob(TABLE), None) is not None


def prompts(folder: Path, pronounce: Callable[[str], tuple[str, ...]]) -> Iterator[Spoken]:
    """All prompts with the phones of their texts, those for training first.

    Args:
        folder: that holds sounds and table, at any depth.
        pronounce: text -> phones.

    Raises:
        UserError: no table, or none of its prompts as .g722.
    """
    table = next(folder.rglob(TABLE), None)
    if table is None:
        raise UserError(f"{folder}: no {TABLE} in it")
    sounds = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.g722")}
    found: list[tuple[str, str, str, Path]] = []
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        name, mark, text = line.partition(":")
        said = " ".join(_NOISE.sub(" ", text).split())
        wave = next((p for at, p in sounds.items() if at == f"{name}.g722" or at.endswith(f"/{name}.g722")), None)
        if not line.startswith(";") and mark and said and wave is not None:
            split = "train" if zlib.crc32(said.lower().encode()) % HELD_OUT else "val"
            found.append((split, name.replace("/", "_"), said, wave))
    if not found:
        raise UserError(f"{folder}: no sound (NAME.g722) of the prompts in {table.name}")
    for split, name, said, wave in sorted(found):  # short ones are put one after the other
        if phones := pronounce(said):
            yield Spoken(f"prompts/{name}", decoded(wave), phones, split)


def decoded(path: Path) -> np.ndarray:
    """A .g722 file (no header, 64 kbit/s) -> (n,) float32 at 16 kHz, `QUIET` on both sides.

    Raises:
        UserError: PyAV is not installed.
    """
    try:
        import av
    except ImportError:
        raise UserError('spoken prompts need PyAV: pip install "avatargpt[video]"') from None
    context = av.AudioCodecContext.create("g722", "r")
    context.sample_rate, context.layout = RATE, "mono"
    data = path.read_bytes()
    packets = (av.Packet(data[i : i + 1600]) for i in range(0, len(data), 1600))
    parts = [f.to_ndarray().ravel() for p in packets for f in context.decode(p)]
    sound = np.concatenate(parts).astype(np.float32) / 32768 if parts else np.zeros(0, np.float32)
    return np.pad(sound, round(QUIET * RATE))
