"""Recorded speech: faces with their sound, and sentences with their transcripts.

Sources: FACEGOOD's pairs, LJ Speech, LibriVox, folders in the usual layouts, the spoken descriptions of Tux Paint's
stamps, and the dialogue of an adventure game; another game is read in `avatargpt.train.speech_data.steel_sky`.
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatargpt.face.audio_model.visemes import WIDTH
from avatargpt.speech.audio import RATE, load, resample
from avatargpt.speech.features import extract
from avatargpt.speech.phones import Phone, from_arpabet
from avatargpt.train.speech_data.augment import decode_file, replay, simulate_recording
from avatargpt.train.speech_data.corpus import SpeechClip
from vqvae.arkit import INDEX, expand
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing, read_text

# ARKit channel -> columns of the recorded rig and their shares.
_RIG = {
    "jawOpen": {"mouth_stretch_c": 1.0, "mouth_oh_c": 0.5}, "mouthFunnel": {"mouth_oh_c": 0.6, "mouth_funnel_dl": 0.25,
    "mouth_funnel_dr": 0.25, "mouth_funnel_ul": 0.25, "mouth_funnel_ur": 0.25},
    "mouthPucker": {"mouth_oo_c": 1.0, "mouth_pucker_l": 0.5, "mouth_pucker_r": 0.5},
    "mouthRollLower": {"mouth_suck_dl": 0.5, "mouth_suck_dr": 0.5},
    "mouthRollUpper": {"mouth_suck_ul": 0.5, "mouth_suck_ur": 0.5},
    "mouthPress": {"mouth_press_l": 0.5, "mouth_press_r": 0.5},
    "mouthLowerDown": {"mouth_lowerLipDepress_l": 0.5, "mouth_lowerLipDepress_r": 0.5},
    "mouthUpperUp": {"mouth_upperLipRaise_l": 0.5, "mouth_upperLipRaise_r": 0.5},
    "mouthStretch": {"mouth_lipStretch_l": 0.5, "mouth_lipStretch_r": 0.5},
    "mouthSmile": {"mouth_lipCornerPull_l": 0.5, "mouth_lipCornerPull_r": 0.5},
    "mouthShrugLower": {"mouth_chinRaise_d": 1.0}, "mouthShrugUpper": {"mouth_chinRaise_u": 1.0},
    "mouthFrown": {"mouth_lipCornerDepress_l": 0.5, "mouth_lipCornerDepress_r": 0.5},
}  # fmt: skip
VALIDATION_TAKES = ("1114_2_04", "1114_3_15")
# Validation take and figure -> the share at its beginning on which constants of `avatargpt.face.audio_model.driver`
# were chosen: evaluation begins after it.
CHOSEN_ON = {("1114_3_15", "rounding"): 0.5, ("1114_3_15", "jaw"): 0.5}
# Of a training take's copies in a simulated recording situation.
SITUATED_SHARE = 0.6
LJ_TABLE = "lj_phones_text_all.txt.gz"
UNKNOWN = "spn"  # in LJ's table: a word of unknown pronunciation
MAX_TEXT = 64 << 20  # bytes
# Of the 32 LJ sentences, those from this one on are for validation.
LJ_TEST = 24
TRANSCRIBED = "NAME.wav or NAME.flac beside NAME.txt or NAME.lab, or as in LibriSpeech or LJSpeech"
# Language of a description -> the voice that pronounces its text.
VOICES = {
    "be": "be", "bg": "bg", "ca": "ca", "da": "da", "el": "el", "es": "es", "fr": "fr", "lt": "lt", "nl": "nl",
    "ro": "ro", "ru": "ru",
}  # fmt: skip
ENGLISH = "en-us"
_SOUND = re.compile(r"(.+)_desc(?:_([a-z]+))?\.ogg")
ARCHIVE = "queen.1c"
# One line in so many is for validation.
DIALOGUE_VALIDATION = 40
HEADER = 20  # bytes of a dialogue or a scene
MAX_BYTES = 1 << 20  # of one spoken line
QUIET = 0.2  # s of silence before and after: lines are cut to the sound
_COMMAND = re.compile(r"\*(?:XY..\([^)]*\)|..?)")
_UNSPOKEN = re.compile(r"[^A-Za-z0-9' ,.!?;:&%$-]+")


def _numpy(path: Path) -> np.ndarray:
    import warnings

    with parsing(path, "a readable .npy array"):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the files were written by Python 2
            return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))


def load_paired_clips(folder: Path, copies: int = 0, seed: int = 0) -> Iterator[SpeechClip]:
    """Clips with recorded mouth curves: NAME.wav and bs_value_NAME.npy(.gz) with rig weights at 30 fps.

    Against overfitting to a few minutes of one voice, each training clip has `copies`, replayed at other speeds (the
    face with it) and in simulated recording situations.
    """
    names = folder / "shirley_1015_bs_name.npy"
    waves = sorted(folder.glob("*.wav"))
    if not names.is_file() or not waves:
        raise UserError(f"{folder}: no recorded pairs (NAME.wav, bs_value_NAME.npy.gz, shirley_1015_bs_name.npy)")
    column = {str(n): i for i, n in enumerate(_numpy(names))}
    missing = sorted({c for shares in _RIG.values() for c in shares} - set(column))
    if missing:
        raise UserError(f"{names}: no {', '.join(missing[:3])} among its {len(column)} names of rig weights")
    for wave in waves:
        table = folder / f"bs_value_{wave.stem}.npy.gz"
        rig = _numpy(table if table.is_file() else table.with_suffix(""))
        if rig.ndim != 2 or rig.shape[1] != len(column):
            raise UserError(f"{table}: rig weights {rig.shape}; accepted (frames, {len(column)})")
        audio, rate = load(wave)
        features = extract(audio, rate)
        frames = min(len(features), len(rig))
        curves = np.zeros((frames, WIDTH), np.float32)
        for channel, shares in _RIG.items():
            mixed = sum(rig[:frames, column[c]] * s for c, s in shares.items())
            for name in expand(channel):
                curves[:, INDEX[name]] = np.clip(mixed, 0, 1)
        split = "val" if wave.stem in VALIDATION_TAKES else "train"
        phones = np.zeros((frames, 2), np.uint8)
        yield SpeechClip(features[:frames], curves, phones, kind="paired", split=split, name=f"pairs/{wave.stem}")
        if split == "train":
            sound = resample(audio, rate)
            for k in range(copies):
                rng = np.random.default_rng([seed, 6, k, len(sound)])
                faster, factor = replay(sound, rng)
                situated = simulate_recording(faster, rng) if rng.random() < SITUATED_SHARE else faster
                copy = extract(situated, RATE)[: int(frames / factor)]
                at, times = np.arange(len(copy)) * factor, np.arange(frames)
                moved = np.stack([np.interp(at, times, c) for c in curves.T], 1).astype(np.float32)
                phones = np.zeros((len(copy), 2), np.uint8)
                yield SpeechClip(copy, moved, phones, kind="paired", name=f"pairs/{wave.stem}/{k}")


@dataclass(frozen=True)
class Sentence:
    """Recorded speech with its phones, without times."""

    name: str
    audio: np.ndarray  # (n,) float32 at 16 kHz
    phones: tuple[str, ...]  # in order; SIL where a pause may be
    split: str
    text: str = ""  # English; "" for other languages


def lj_sentences(folder: Path) -> Iterator[Sentence]:
    """The LJ sample with its phones, without sentences that have a word of unknown pronunciation (``spn``)."""
    lines, texts = _lj_rows(folder), lj_texts(folder)
    table = folder / LJ_TABLE
    for i, wave in enumerate(sorted((folder / "wavs").glob("*.wav"))):
        match = re.search(r"\{(.*)\}", lines.get(wave.stem, ""))
        if match is None:
            raise UserError(f"{table}: no phones of {wave.stem}")
        symbols = match.group(1).split()
        if UNKNOWN in symbols:
            continue
        phones = tuple(p for s in symbols if (p := from_arpabet(s)) is not None)
        split = "train" if i < LJ_TEST else "val"
        yield Sentence(f"lj/{wave.stem}", resample(*load(wave)), phones, split, texts[wave.stem])


def lj_texts(folder: Path) -> dict[str, str]:
    """The texts of LJ's sentences, by name. Raises UserError as `lj_sentences`."""
    return {name: row.rsplit("|", 1)[1] for name, row in _lj_rows(folder).items()}


def _lj_rows(folder: Path) -> dict[str, str]:
    table = folder / LJ_TABLE
    if not table.is_file():
        raise UserError(f"{table}: no such file; the folder of the LJ sample is needed")
    with parsing(table, "a table of phones"):
        rows = gzip.decompress(table.read_bytes()).decode("utf-8").splitlines()
    return {row.split("|")[0]: row for row in rows}


def load_transcribed(folder: Path, pronounce: Callable[[str], tuple[str, ...]]) -> Iterator[Sentence]:
    """Sentences of a folder with transcripts, and of those below it.

    The words of NAME.wav or NAME.flac are in NAME.lab or NAME.txt, in a ``*.trans.txt`` (LibriSpeech), in a
    ``metadata.csv`` (LJSpeech), or under "words" in an ``ASR_*.json``. Sounds without words are left out.
    """
    words = _words(folder)
    for wave in sorted(p for s in ("wav", "flac") for p in folder.rglob(f"*.{s}")):
        text = next((t for s in (".lab", ".txt") if (t := wave.with_suffix(s)).is_file()), None)
        transcript = read_text(text, MAX_TEXT) if text is not None else words.get(wave.stem)
        spoken = " ".join((transcript or "").split())
        if spoken and (phones := pronounce(spoken)):
            yield Sentence(f"real/{wave.stem}", resample(*load(wave)), phones, "train", spoken)


def _words(folder: Path) -> dict[str, str]:
    # Transcripts by name, from the tables of a folder.
    out: dict[str, str] = {}
    for table in sorted(folder.rglob("ASR_*.json")):
        with parsing(table, "a table of words"):
            out |= {name: str(row["words"]).lower() for name, row in read_object(table).items()}
    for table in sorted(folder.rglob("*.trans.txt")):
        rows = (line.partition(" ") for line in read_text(table, MAX_TEXT).split("\n"))
        out |= {name: words.strip().lower() for name, _, words in rows if name}
    for table in sorted(folder.rglob("metadata.csv")):
        lines = read_text(table, MAX_TEXT).split("\n")
        out |= {line.split("|")[0]: line.rsplit("|", 1)[1] for line in lines if "|" in line}
    return out


def load_timed_speech(folder: Path) -> Iterator[tuple[str, np.ndarray, list[Phone]]]:
    """LibriVox sentences with phone times (pocketsphinx json): name, 16 kHz samples, phones."""
    for path in sorted(folder.glob("*.phone.json")):
        audio = resample(*load(path.with_name(path.name.replace(".phone.json", ".wav"))))
        phones = []
        with parsing(path, "words with phone times as pocketsphinx writes them"):
            for word in read_object(path)["w"]:
                for p in word["w"]:
                    name = from_arpabet(p["t"])
                    if name is not None:
                        phones.append(Phone(name, p["b"], p["b"] + p["d"]))
        yield path.name.removesuffix(".phone.json"), audio, phones


def stamps(folder: Path, pronounce: Callable[[str, str], tuple[str, ...]]) -> Iterator[Sentence]:
    """The spoken descriptions of Tux Paint's stamps; the English ones are for validation.

    About 7,300 short clips, 2.8 hours, of a dozen speakers in as many languages (Debian: ``apt download
    tuxpaint-stamps-default``, then ``dpkg -x``). ``NAME_desc_LANGUAGE.ogg`` is the line ``LANGUAGE.utf8=`` of
    ``NAME.txt``, ``NAME_desc.ogg`` its first line, in English.
    """
    matches = [(m, wave) for wave in folder.rglob("*_desc*.ogg") if (m := _SOUND.fullmatch(wave.name))]
    if not matches:
        raise UserError(f"{folder}: no spoken descriptions (NAME_desc_LANGUAGE.ogg) in it")
    for match, wave in sorted(matches, key=lambda x: (x[0].group(2) or "", x[1])):  # speaker by speaker
        table = wave.with_name(f"{match.group(1)}.txt")
        if not table.is_file():
            continue
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
        language = match.group(2)
        if language is None:
            text, voice = (lines[0] if lines else ""), ENGLISH
        else:
            voice = VOICES.get(language, "")
            text = next((x.partition("=")[2] for x in lines if x.startswith(f"{language}.utf8=")), "")
        if not text.strip() or not voice:
            continue
        phones = pronounce(text.strip(), voice)
        if not phones:
            continue
        split = "val" if language is None else "train"
        name = f"stamps/{language or 'en'}/{match.group(1)}"
        english = text.strip() if voice == ENGLISH else ""
        yield Sentence(name, resample(*load(wave)), phones, split, english)


def dialogue(folder: Path, pronounce: Callable[[str], tuple[str, ...]]) -> Iterator[Sentence]:
    """The spoken lines of an adventure game of 1995 with the phones of their texts, speaker by speaker.

    "Flight of the Amazon Queen" (John Passfield and Steven Stamatiadis; may be passed on and modified, not sold by
    itself; Debian: ``apt download flight-of-the-amazon-queen``, then ``dpkg -x``) has 6,700 spoken lines, 4.6 hours, of
    some fifty characters, as 16 kbit/s MP3 at 11 kHz. They are in one file, `queen.1c`:

    - "QTBL", a version, at byte 13 the number of entries (numbers are big-endian), then the entries: name (12 bytes), a
      byte, offset, size;
    - ``NAME.DOG``, a dialogue: 20 bytes, then (16-bit numbers) the number of levels of 96 bytes, two keys, the numbers
      of lines of the hero and of the other person, three pairs and two more, the offset of the other person's lines; at
      32 + levels the hero's. A line is two bytes, its number, a length, the text; the next begins at a multiple of 4.
      Its sounds are KEY NUMBER WHO PART: two decimal and four hexadecimal digits, J for the hero or P, and the part of
      the line, counted from 1, as ``*`` and a command of two characters separate it;
    - ``NAME.CUT``, a scene: 20 bytes, at 2 the number of lines, at 8 the offset of a first remark, then the lines, each
      a length and a text up to a multiple of 2. Sounds: the name, filled with _ to 5 characters, two digits, the part.
    """
    path = next(folder.rglob(ARCHIVE), None)
    if path is None:
        raise UserError(f"{folder}: no {ARCHIVE} in it")
    data = path.read_bytes()
    try:
        entries = _entries(data)
        lines = {name: text for text_of in (_talks(data, entries), _scenes(data, entries)) for name, text in text_of}
    except (struct.error, IndexError, UnicodeDecodeError):
        raise UserError(f"{path}: not the talking game's archive, or damaged") from None
    for name in sorted(lines, key=lambda n: (*_speaker(n), n)):
        at = entries.get(f"{name}.SB")
        text = " ".join(_UNSPOKEN.sub(" ", lines[name]).split())
        if at is None or at[1] > MAX_BYTES or not re.search("[A-Za-z]", text) or not (phones := pronounce(text)):
            continue
        split = "train" if zlib.crc32(text.lower().encode()) % DIALOGUE_VALIDATION else "val"
        sound = _decode_sound(data[at[0] : at[0] + at[1]])
        if len(sound):
            yield Sentence(f"dialogue/{'_'.join(_speaker(name))}/{name}", sound, phones, split, text)


def _speaker(name: str) -> tuple[str, str]:
    # The speaker of a line, as far as its name tells: dialogue and side, or scene.
    return (name[:2], name[6]) if name[:2].isdigit() else (name[:5], "")


def _entries(data: bytes) -> dict[str, tuple[int, int]]:
    # Name -> offset, size.
    if data[:4] != b"QTBL":
        raise IndexError
    (count,) = struct.unpack_from(">H", data, 13)
    out = {}
    for k in range(count):
        name, _, at, size = struct.unpack_from(">12sBII", data, 15 + 21 * k)
        out[name.split(b"\0")[0].decode("ascii")] = (at, size)
    return out


def _text(data: bytes, at: int, align: int) -> tuple[str, int]:
    # A text with its length before it, and the offset of the next item.
    end = at + 1 + data[at]
    if data[at]:
        return data[at + 1 : end].decode("latin-1"), (end + align - 1) // align * align
    return "", at + 1


def _parts(text: str) -> Iterator[tuple[int, str]]:
    # Separately spoken parts of a line, counted from 1.
    yield from ((k, part) for k, part in enumerate(_COMMAND.split(text), 1) if part.strip())


def _talks(data: bytes, entries: dict[str, tuple[int, int]]) -> Iterator[tuple[str, str]]:
    # Names of sounds and their texts, of all dialogues.
    for file, (start, size) in entries.items():
        if not file.endswith(".DOG"):
            continue
        talk = data[start + HEADER : start + size]
        levels, _, key, hero_lines, person_lines, *_, person = struct.unpack_from(">5h6hH", talk)
        for who, count, at in (("J", hero_lines, 32 + 96 * abs(levels)), ("P", person_lines, person)):
            for _ in range(count):
                (number,) = struct.unpack_from(">H", talk, at + 2)
                text, at = _text(talk, at + 4, 4)
                name = f"{key:02d}{number:04X}{who}" if number else f"{key:02d}SSSS{who}"
                yield from ((f"{name}{k:X}", part) for k, part in _parts(text))
        again, after = _text(talk, struct.unpack_from(">H", talk, 26)[0], 2)
        for who, text in (("P", again), ("J", _text(talk, after, 2)[0])):
            yield from ((f"{key:02d}XXXX{who}{k:X}", part) for k, part in _parts(text))


def _scenes(data: bytes, entries: dict[str, tuple[int, int]]) -> Iterator[tuple[str, str]]:
    # Names of sounds and their texts, of all scenes.
    for file, (start, size) in entries.items():
        if not file.endswith(".CUT"):
            continue
        scene = data[start + HEADER : start + size]
        (count,) = struct.unpack_from(">h", scene, 2)
        _, at = _text(scene, struct.unpack_from(">H", scene, 8)[0], 2)
        for line in range(1, abs(count) + 1):
            text, at = _text(scene, at, 2)
            yield from ((f"{file[:-4]:_<5}{line:02d}{k:X}", part) for k, part in _parts(text))


def _decode_sound(data: bytes) -> np.ndarray:
    # An MP3 -> (n,) float32 at 16 kHz, `QUIET` on both sides; empty where it cannot be decoded.
    try:
        import av
    except ImportError:
        raise UserError('spoken dialogue needs PyAV: pip install "avatargpt[video]"') from None
    try:
        sound, rate = decode_file(io.BytesIO(data))
    except (av.FFmpegError, IndexError):
        return np.zeros(0, np.float32)
    return resample(np.pad(sound, round(QUIET * rate)), rate) if len(sound) else sound
