"""Spoken lines in the archive of a game: names, texts, parts, sounds."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from avatargpt.speech.audio import RATE
from avatargpt.train.speech_data.recordings import ARCHIVE, QUIET, dialogue, is_dialogue
from tests.speech.conftest import voice
from vqvae.errors import UserError

GAME_RATE = 22050


def mp3(seconds: float) -> bytes:
    av = pytest.importorskip("av")
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as file:
        stream = file.add_stream("mp3", rate=GAME_RATE, layout="mono")
        sound = np.interp(np.arange(0, seconds, 1 / GAME_RATE), np.arange(RATE) / RATE, voice(1.0)[:RATE])
        frame = av.AudioFrame.from_ndarray(sound.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = GAME_RATE
        for part in (frame, None):
            file.mux(stream.encode(part))
    return out.getvalue()


def text(said: str, align: int, at: int) -> bytes:
    body = bytes([len(said)]) + said.encode("latin-1")
    return body + b"\0" * (-(at + len(body)) % align if said else 0)


def talk(key: int, hero: dict[int, str], other: dict[int, str], again: tuple[str, str]) -> bytes:
    """A dialogue of one level."""
    at, parts, begins = 32 + 96, [], []
    for lines in (hero, other):
        begins.append(at)
        for number, said in lines.items():
            parts.append(struct.pack(">HH", 0, number) + text(said, 4, at + 4))
            at += len(parts[-1])
    second = at
    for said in again:
        parts.append(text(said, 2, at))
        at += len(parts[-1])
    head = struct.pack(">5h6hHHH", 1, 7, key, len(hero), len(other), *[0] * 6, begins[1], 0, second)
    return b"\0" * 20 + head.ljust(32 + 96, b"\0") + b"".join(parts)


def scene(lines: list[str]) -> bytes:
    at, parts = 12, []
    for said in ("*FL", *lines):
        parts.append(text(said, 2, at))
        at += len(parts[-1])
    return b"\0" * 20 + struct.pack(">6h", 0, -len(lines), 0, 0, 12, 0) + b"".join(parts)


def archive(folder: Path, files: dict[str, bytes]) -> Path:
    table, bodies, at = b"", b"", 15 + 21 * len(files)
    for name, body in files.items():
        table += struct.pack(">12sBII", name.encode(), 1, at + len(bodies), len(body))
        bodies += body
    path = folder / "deep" / ARCHIVE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"QTBLCEM10".ljust(13, b"\0") + struct.pack(">H", len(files)) + table + bodies)
    return path


def pronounce(said: str) -> tuple[str, ...]:
    return tuple(said.split())


def test_lines_with_their_texts(tmp_path: Path) -> None:
    sound = mp3(0.5)
    files = {
        "APE.DOG": talk(
            8, {0: "Hello!", 0xB3: "Well*03then*XY00(237,112)go on."}, {0x1A: "Gr\xe9at."}, ("Again.", "Yes.")
        ),
        "C3C.CUT": scene(["*FR", "Run*15, quick!", ""]),
        "silent.CUT": scene(["Nobody says this."]),
        **{f"08{n}.SB": sound for n in ("SSSSJ1", "00B3J1", "00B3J3", "001AP1", "XXXXP1", "0099J1")},
        "C3C__021.SB": sound, "C3C__022.SB": sound, "08XXXXJ1.SB": b"no sound at all",
    }  # fmt: skip
    archive(tmp_path, files)
    assert is_dialogue(tmp_path) and not is_dialogue(tmp_path / "elsewhere")
    found = {s.name: s for s in dialogue(tmp_path, pronounce)}
    assert {n: " ".join(s.phones) for n, s in found.items()} == {
        "dialogue/08_J/08SSSSJ1": "Hello!", "dialogue/08_J/0800B3J1": "Well", "dialogue/08_J/0800B3J3": "go on.",
        "dialogue/08_P/08001AP1": "Gr at.", "dialogue/08_P/08XXXXP1": "Again.", "dialogue/C3C___/C3C__021": "Run",
        "dialogue/C3C___/C3C__022": ", quick!",
    }  # fmt: skip
    heard = found["dialogue/08_J/08SSSSJ1"].audio
    assert heard.dtype == np.float32 and len(heard) == pytest.approx((0.5 + 2 * QUIET) * RATE, abs=0.12 * RATE)
    assert np.abs(heard[: int(0.9 * QUIET * RATE)]).max() < 0.01 < np.abs(heard).max()
    assert {s.split for s in found.values()} <= {"train", "val"}


def test_archives_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no queen.1c"):
        next(dialogue(tmp_path, pronounce))
    path = archive(tmp_path, {"APE.DOG": talk(8, {1: "Hello!"}, {}, ("", ""))})
    whole = path.read_bytes()
    for damaged in (b"QTB", b"RIFF" + whole[4:], whole[:30], whole[:-60]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            list(dialogue(tmp_path, pronounce))
