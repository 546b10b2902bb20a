"""Readers for films of people who talk: MEAD, HDTF, TalkingHead-1KH, Casual Conversations.

Films hold no faces in numbers: a capture reads them, which the caller passes on (`FaceCapture`; `avatargpt data build`
has one). Each clip has the film's path and the seconds of it in `extra`, for its sound; and how far each weight can be
trusted.
"""

# MEAD (Wang et al. 2020): 48 filmed actors who say sentences with eight emotions at three intensities, the sound beside
# the films; a track of MediaPipe's 52 shapes in `NAME.npz` beside a film is taken instead of a capture
# (`instruct_data.sources.face_files` says what it holds). Source: wywu.github.io/projects/MEAD.
#
# HDTF (Zhang et al. 2021): films of addresses and radio shows; a table for each part names the stretches in which
# somebody talks. Its site asks for `NAME_K.mp4`, the stretch K cut out; its download script writes `PART_NAME_KKK.mp4`.
# Whole films are read, too, by the table's times. Source: github.com/MRzzm/HDTF.
#
# TalkingHead-1KH (Wang et al. 2021): heads cut out of films, named by film, minute, frames and box; its script writes
# them without sound. Source: github.com/tcwang0509/TalkingHead-1KH.
#
# Casual Conversations, version 1 (Hazirbas et al. 2021): people who answer questions, with the age and gender that they
# give. Source: ai.meta.com/datasets/casual-conversations-dataset.

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from instruct_data.clip import SPLITS, Clip, face_clip
from instruct_data.sources.corpus import MAX_TEXT_BYTES, Corpus, Report, find_files, load_clip, reason
from instruct_data.sources.face_files import read_mediapipe
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_object
from vqvae.io.files import read_text

MAX_TABLE_BYTES = 256 << 20


class FilmFace(NamedTuple):
    """What a capture reads off a stretch of a film.

    Attributes:
        motion: the face. start: second of the film of its first frame.
        reliability: (52,) how far each weight can be trusted, 0 to 1.
    """

    motion: FaceMotion
    start: float
    reliability: tuple[float, ...]


# path, first and last second (None = to the end) -> the largest face; raises UserError where there is none
FaceCapture = Callable[[Path, float, float | None], FilmFace]


@dataclass(frozen=True)
class _FilmTalk:
    """A clip whose face is still to be read."""

    id: str
    corpus: Corpus
    split: str
    extra: dict[str, Any]
    caption: str = ""
    action: str = ""


def _capture_clip(
    talk: _FilmTalk, film: Path, report: Report, capture: FaceCapture, start: float = 0.0, end: float | None = None
) -> Iterator[Clip]:
    """The clip with the face of a stretch of a film; skipped with the reason where it cannot be read."""
    try:
        face = capture(film, start, end)
    except UserError as e:
        report.skip(talk.id, reason(e))
        return
    report.read += 1
    about = {
        "film": str(film), "seconds": [round(face.start, 3), round(face.start + face.motion.seconds, 3)],
        "reliability": list(face.reliability),
    }  # fmt: skip
    captions = [talk.caption] if talk.caption else []
    corpus, extra = talk.corpus, {**about, **talk.extra}
    yield face_clip(talk.id, face.motion, captions, corpus.name, corpus.licence, talk.split, talk.action, extra)


def _require_capture(capture: FaceCapture | None, corpus: Corpus) -> FaceCapture:
    if capture is None:
        raise UserError(f"{corpus.name}: films alone; accepted with capture=, a function that reads faces off them")
    return capture


MEAD_FILMS = "*/video/front/*/level_*/*.mp4"
MEAD_TRACKS = "*/video/front/*/level_*/*.npz"
MEAD_FPS = 30.0
MEAD_EMOTIONS = {
    "angry": "angry", "contempt": "contemptuous", "disgusted": "disgusted", "fear": "afraid", "happy": "happy",
    "neutral": "", "sad": "sad", "surprised": "surprised",
}  # fmt: skip
MEAD_STRENGTHS = {"level_1": (0.4, "slightly "), "level_2": (0.7, ""), "level_3": (1.0, "very ")}
MEAD_SOUNDS = (".m4a", ".wav")


def read_mead(
    root: Path, corpus: Corpus, report: Report, split: str = "train", fps: float = MEAD_FPS,
    capture: FaceCapture | None = None,
) -> Iterator[Clip]:  # fmt: skip
    """Faces of the films from the front, with the sound's path and the emotion.

    Args:
        fps: of the films, where a track beside one does not say it.
        capture: reads films without a track; None = those are left out.
    """
    for path in sorted({p.with_suffix(".npz") for p in find_files(root, MEAD_FILMS, MEAD_TRACKS)}):
        actor, _, _, emotion, level, file = path.relative_to(root).parts
        name, film = f"{actor}_{emotion}_{level}_{Path(file).stem}", path.with_suffix(".mp4")
        sounds = [root / actor / "audio" / emotion / level / f"{path.stem}{s}" for s in MEAD_SOUNDS]
        sound = next((s for s in sounds if s.is_file()), None)
        if emotion not in MEAD_EMOTIONS or level not in MEAD_STRENGTHS:
            report.skip(name, f"{emotion}/{level}; known: {', '.join(MEAD_EMOTIONS)}; {', '.join(MEAD_STRENGTHS)}")
        elif sound is None:
            report.skip(name, "no sound (audio/EMOTION/level_N/NNN.m4a or .wav)")
        else:
            word, (intensity, adverb) = MEAD_EMOTIONS[emotion], MEAD_STRENGTHS[level]
            text = f"a person speaks and looks {adverb}{word}" if word else "a person speaks with a neutral face"
            extra: dict[str, Any] = {"audio": str(sound), "speaker": actor}
            if word:
                extra["emotion"] = {"text": f"{adverb}{word}", "alone": True, "name": word, "intensity": intensity}
            if path.is_file():
                load = partial(read_mediapipe, path, fps)
                clip = Clip(name, load, [text], "mead", corpus.licence, split, emotion, "", extra)
                yield from load_clip(clip, report)
            elif capture is None:
                report.skip(name, "no track (.npz) beside its film")
            else:
                yield from _capture_clip(_FilmTalk(name, corpus, split, extra, text, emotion), film, report, capture)


HDTF_TABLES = "**/*_annotion_time.txt"  # so spelled
HDTF_FILMS = ("**/*.mp4", "**/*.MP4")
_STRETCH = re.compile(r"(?:(\d+):)?(\d+):(\d+)-(?:(\d+):)?(\d+):(\d+)")
HDTF_PERSONS = ("WDA", "WRA")  # parts whose films are named after the speaker, and a number


def read_hdtf(
    root: Path, corpus: Corpus, report: Report, split: str = "train", capture: FaceCapture | None = None
) -> Iterator[Clip]:
    """A clip for each stretch of the tables, from the film cut for it, else from the whole film."""
    capture = _require_capture(capture, corpus)
    films = {p.stem: p for p in find_files(root, *HDTF_FILMS)}
    for table in find_files(root, HDTF_TABLES):
        part = table.name.split("_")[0]
        for line in read_text(table, MAX_TEXT_BYTES, f"accepted {corpus.tree}").splitlines():
            name, *stretches = line.split() or [""]
            name = name.removesuffix(".mp4")
            speaker = {"speaker": name.rstrip("0123456789")} if part in HDTF_PERSONS else {}
            for k, stretch in enumerate(stretches):
                talk = _FilmTalk(f"{part}_{name}_{k}", corpus, split, speaker)
                own = next((f for n in (f"{name}_{k}", f"{part}_{name}_{k}", f"{part}_{name}_{k:03d}")
                            if (f := films.get(n))), None)  # fmt: skip
                whole = films.get(name) or films.get(f"{part}_{name}")
                times = _seconds_of(stretch)
                if own is not None:
                    yield from _capture_clip(talk, own, report, capture)
                elif whole is None:
                    report.skip(talk.id, "no film of it (NAME_K.mp4, PART_NAME_KKK.mp4 or NAME.mp4)")
                elif times is None:
                    report.skip(talk.id, f"{table.name}: {stretch!r}; accepted MM:SS-MM:SS, which rise")
                else:
                    yield from _capture_clip(talk, whole, report, capture, *times)


def _seconds_of(stretch: str) -> tuple[float, float] | None:
    """Seconds of ``[HH:]MM:SS-[HH:]MM:SS``; None for what is not that."""
    match = _STRETCH.fullmatch(stretch)
    if match is None:
        return None
    a, b, c, d, e, f = (float(g or 0) for g in match.groups())
    start, end = 3600 * a + 60 * b + c, 3600 * d + 60 * e + f
    return (start, end) if start < end else None


TH1KH_FILMS = ("cropped_clips/*.mp4", "*/cropped_clips/*.mp4")
_TH1KH_NAME = re.compile(r"(.+)_\d+_S\d+_E\d+_L\d+_T\d+_R\d+_B\d+")


def read_talkinghead1kh(
    root: Path, corpus: Corpus, report: Report, split: str | None = None, capture: FaceCapture | None = None
) -> Iterator[Clip]:
    """A clip for each cut-out film, with the id of the film that it is from as the speaker; `split`: only this one."""
    capture = _require_capture(capture, corpus)
    for path in find_files(root, *TH1KH_FILMS):
        folder = path.resolve().parent.parent.name  # train, val, or small: the trial
        part = folder if folder in SPLITS else "train"
        if split not in (None, part):
            continue
        match = _TH1KH_NAME.fullmatch(path.stem)
        if match is None:
            report.skip(path.stem, "its name; accepted ID_NNNN_S.._E.._L.._T.._R.._B...mp4")
            continue
        yield from _capture_clip(_FilmTalk(path.stem, corpus, part, {"speaker": match[1]}), path, report, capture)


CC_TABLES = "CasualConversations.json|*/CasualConversations.json"


def read_cc_v1(
    root: Path, corpus: Corpus, report: Report, split: str = "train", capture: FaceCapture | None = None
) -> Iterator[Clip]:
    """A clip for each film of the table that is here, with subject, age, gender and ``lighting``."""
    capture = _require_capture(capture, corpus)
    table = find_files(root, *CC_TABLES.split("|"))[0]
    accepted = 'accepted {"SUBJECT": {"files": [...], "dark_files": [...], "label": {"age", "gender"}}}'
    for subject, about in read_object(table, MAX_TABLE_BYTES, accepted).items():
        files = about.get("files") if isinstance(about, dict) else None
        if not isinstance(files, list) or not all(isinstance(f, str) for f in files):
            raise UserError(f"{table}: {subject}: no files; {accepted}")
        label = about.get("label") if isinstance(about.get("label"), dict) else {}
        labels = {key: label[key] for key in ("age", "gender") if isinstance(label.get(key), str | int)}
        dark = about.get("dark_files") or []
        for file in files:
            name = Path(file).with_suffix("").as_posix()
            # the films beside the table, or beside its folder
            film = next((p for place in (root, table.parent) if (p := place / file).is_file()), None)
            if film is None:
                report.skip(name, "no film of it")
                continue
            extra = {"speaker": subject, **labels, "lighting": "dark" if file in dark else "bright"}
            yield from _capture_clip(_FilmTalk(name, corpus, split, extra), film, report, capture)
