"""Recorded talks (voice, motion, interlocutor), and single strokes without sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatargpt.metrics.gesture.baselines import Stroke
from avatargpt.speech import audio as sounds
from avatargpt.speech.word_files import WRITE_SUFFIXES
from avatargpt.speech.word_files import read as read_words
from avatargpt.speech.words import Words
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.io.files import parsing, regular_file
from vqvae.motion import MAX_FRAMES, Motion

INTERLOCUTOR = ".interlocutor"
MAX_STEP = 60.0  # degrees between two frames; above it a clip of the stroke library is damaged
INT16_ONE = 32767  # stored value of 1


@dataclass(frozen=True, eq=False)
class Talk:
    """One side of a talk.

    Attributes:
        name: of the recording.
        audio: (n,) 16 kHz mono of its voice.
        motion: recorded with it, None where there is only sound.
        words: when each word is spoken; None = no transcript.
        interlocutor: (m,) 16 kHz mono of the interlocutor's voice on the same clock, None = nobody.
    """

    name: str
    audio: np.ndarray
    motion: Motion | None = None
    words: Words | None = None
    interlocutor: np.ndarray | None = None
    interlocutor_words: Words | None = None


# A talk without its motion -> the speaker's Motion, at any rate.
Generator = Callable[[Talk], Motion]


def _load_audio(path: Path) -> np.ndarray:
    return sounds.resample(*sounds.load(path))


def read_talks(folder: Path) -> list[Talk]:
    """Talks of a folder: ``NAME.wav`` (any sound) with ``NAME.npz`` (a Motion), ``NAME.interlocutor.wav`` and word
    times of either (``NAME.TextGrid``, ``NAME.interlocutor.json``, ...), where there are any.

    A folder ``paired`` in it holds recordings of BEAT2 instead: in each of its folders the sounds, and ``body22.npz``,
    which belongs to the sound that has an .npz of its own name.

    Raises:
        UserError: no such folder, no sound in it, no recorded motion, or a damaged file.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; accepted: sounds with motions (.npz) of the same name")
    paired = folder / "paired"
    places = sorted(p for p in paired.iterdir() if p.is_dir()) if paired.is_dir() else [folder]
    talks = [talk for place in places for talk in _talks(place)]
    if not any(t.motion is not None for t in talks):
        raise UserError(f"{folder}: {len(talks)} sounds, none with a motion (.npz) of the same name; one is needed")
    return talks


def _talks(place: Path) -> list[Talk]:
    files = {p.stem: p for p in sorted(place.iterdir()) if p.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3")}
    beat2, out = place / "body22.npz", []
    for name, path in files.items():
        if name.endswith(INTERLOCUTOR):
            continue
        motion_path, interlocutor = place / f"{name}.npz", files.get(name + INTERLOCUTOR)
        motion = None
        if motion_path.exists():
            motion = read_rows(beat2) if beat2.exists() else Motion.load(motion_path)
        out.append(Talk(
            name, _load_audio(path), motion, _word_times(place, name),
            None if interlocutor is None else _load_audio(interlocutor), _word_times(place, name + INTERLOCUTOR),
        ))  # fmt: skip
    return out


def _word_times(place: Path, name: str) -> Words | None:
    words_path = next((p for suffix in WRITE_SUFFIXES if (p := place / f"{name}{suffix}").is_file()), None)
    return None if words_path is None else read_words(words_path)


def read_rows(path: Path) -> Motion:
    """A clip stored as int16 quaternions of the 22 joints (``rot``), with ``root`` and ``fps``."""
    data = read_arrays(path, ("rot", "root", "fps"), MAX_FRAMES)
    if missing := {"rot", "root", "fps"} - set(data):
        raise UserError(f"{path}: missing {', '.join(sorted(missing))}")
    with parsing(path, "a motion"):
        return Motion(data["rot"] / np.float32(INT16_ONE), data["root"], float(data["fps"]), "gesture")


def read_strokes(folder: Path) -> list[Stroke]:
    """The co-speech gestures of ``smartbody`` in a folder (``motions.npz``, ``clips.jsonl``); none where it is missing.

    Clips that jump are left out, and so are those without the time of an emphasis.
    """
    library = folder / "smartbody"
    if not library.is_dir():
        return []
    list_path = regular_file(library / "clips.jsonl")
    arrays = read_arrays(library / "motions.npz", ("rot", "root", "offsets"), MAX_FRAMES)
    out = []
    with parsing(list_path, "a list of clips"):
        for line in list_path.read_text(encoding="utf-8").splitlines():
            clip = json.loads(line)
            emphasis = (clip["sync"] or {}).get("emphasis")
            if "Gestures" not in clip["set"] or emphasis is None or clip["max_step_deg"] > MAX_STEP:
                continue
            part = slice(*arrays["offsets"][clip["index"] : clip["index"] + 2].tolist())
            rotations = arrays["rot"][part] / np.float32(INT16_ONE)
            motion = Motion(rotations, arrays["root"][part], float(clip["fps"]), "gesture")
            if 0 <= emphasis <= motion.seconds:
                out.append(Stroke(motion, float(emphasis)))
    return out
