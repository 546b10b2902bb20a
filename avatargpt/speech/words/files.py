"""Files of word times of any kind that is known, by what is in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from avatargpt.speech.words import subtitles, tables, textgrid
from avatargpt.speech.words.words import Words
from vqvae.errors import UserError
from vqvae.motion import atomic_write

READ = (".TextGrid", ".ctm", ".srt", ".vtt", ".json", ".csv")
WRITTEN = (".TextGrid", ".ctm", ".srt", ".vtt", ".json")
MOST = 64 * 2**20  # bytes; hours of words have a few million
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def has_times(path: Path) -> bool:
    """Whether the suffix is that of a file of word times."""
    return path.suffix.lower() in {s.lower() for s in READ}


def read(path: str | os.PathLike[str], seconds: float | None = None) -> Words:
    """Word times of a file: TextGrid, CTM, SRT, WebVTT, JSON of Whisper, WhisperX, MFA and others, MFA's CSV.

    Args:
        seconds: how long the sound is; words beyond its end are then refused.

    Raises:
        UserError: not such a file, damaged, no words, or times that are reversed, overlap or lie beyond the sound.
    """
    path = Path(path)
    try:
        return _read(path, read_text(path), seconds)
    except UserError as e:  # what it quotes of the file may have several lines
        raise UserError(" ".join(str(e).splitlines())) from None


def _read(path: Path, text: str, seconds: float | None) -> Words:
    where = str(path)
    if textgrid.is_textgrid(text):
        return textgrid.read_textgrid(text, where, seconds)
    if text.lstrip().startswith(("{", "[")):
        return tables.read_json(text, where, seconds)
    if subtitles.is_subtitles(text):
        return subtitles.read_subtitles(text, where, seconds)
    if tables.is_csv(text):
        return tables.read_csv(text, where, seconds)
    if tables.is_ctm(text):
        return tables.read_ctm(text, where, seconds)
    raise UserError(f"{path}: no word times in it; accepted: {', '.join(READ)}")


def read_text(path: Path) -> str:
    """A text file in UTF-8 or UTF-16, line ends as they are.

    Raises:
        UserError: missing, empty, too large, or another encoding.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST else None
    except OSError as e:
        raise UserError(f"{path}: {e.strerror or e}; accepted: a text file") from None
    if data is None:
        raise UserError(f"{path}: {path.stat().st_size / 2**20:.0f} MB; accepted: text up to {MOST // 2**20} MB")
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None)
    if encoding is None:
        zeros = data[:200:2].count(0), data[1:200:2].count(0)
        encoding = "utf-16-be" if zeros[0] > 20 else "utf-16-le" if zeros[1] > 20 else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not text in UTF-8 or UTF-16 (byte {e.start}); accepted: either of these") from None
    if not text.strip():
        raise UserError(f"{path}: empty file; accepted: a file with words in it")
    return text


def check_target(path: Path) -> None:
    """Raises UserError where a file of that suffix cannot be written."""
    if path.suffix.lower() not in {s.lower() for s in WRITTEN}:
        raise UserError(f"{path}: files of word times are {', '.join(WRITTEN)}")


def write(words: Words, path: str | os.PathLike[str]) -> Path:
    """Write word times in the format of the suffix: `WRITTEN`. Subtitles hold times of phrases alone.

    Raises:
        UserError: another suffix, or a place that cannot be written.
    """
    path = Path(path)
    check_target(path)
    suffix = path.suffix.lower()
    if suffix == ".textgrid":
        text = textgrid.write_textgrid(words)
    elif suffix == ".ctm":
        text = tables.write_ctm(words, path.stem)
    elif suffix == ".json":
        text = json.dumps(words.as_dict(), ensure_ascii=False, indent=1) + "\n"
    else:
        text = (subtitles.write_srt if suffix == ".srt" else subtitles.write_vtt)(words)
    return atomic_write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
