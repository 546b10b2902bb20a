"""MEAD (Wang et al. 2020): 48 actors who say sentences with eight emotions at three intensities, filmed.

The data set has video and sound and no faces in numbers: those are made by a tracker, here MediaPipe's 52 shapes in
``NAME.npz`` beside each video (`instruct_data.sources.mediapipe_npz` says what it holds).
Source: wywu.github.io/projects/MEAD.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.corpora.bodies import reason
from instruct_data.corpora.layout import Layout, check_split, files
from instruct_data.sources.mediapipe_npz import read_mediapipe
from instruct_data.sources.report import Report
from vqvae.errors import UserError

VIDEOS = "*/video/front/*/level_*/*.mp4"
TRACKS = "*/video/front/*/level_*/*.npz"
LAYOUT = Layout(
    "mead", "MEAD terms (non-commercial research)", (f"{VIDEOS}|{TRACKS}", TRACKS),
    "ACTOR/video/front/EMOTION/level_N/NNN.mp4 with MediaPipe's shapes in NNN.npz beside it, and "
    "ACTOR/audio/EMOTION/level_N/NNN.m4a",
)  # fmt: skip
FPS = 30.0
EMOTIONS = {
    "angry": "angry", "contempt": "contemptuous", "disgusted": "disgusted", "fear": "afraid", "happy": "happy",
    "neutral": "", "sad": "sad", "surprised": "surprised",
}  # fmt: skip
STRENGTHS = {"level_1": (0.4, "slightly "), "level_2": (0.7, ""), "level_3": (1.0, "very ")}
SOUNDS = (".m4a", ".wav")


def read_mead(
    folder: str | os.PathLike[str], report: Report, split: str | None = None, fps: float = FPS
) -> Iterator[Clip]:
    """Faces of the videos from the front that were tracked, with the sound's path and what is felt.

    Args:
        fps: of the videos, where a track does not say it.

    Raises:
        UserError: another folder, or a split that there is not.
    """
    check_split(split)
    root = LAYOUT.opened(folder)
    for path in sorted({p.with_suffix(".npz") for p in files(root, VIDEOS, TRACKS)}):
        actor, _, _, emotion, level, file = path.relative_to(root).parts
        name = f"{actor}_{emotion}_{level}_{Path(file).stem}"
        sounds = [root / actor / "audio" / emotion / level / f"{path.stem}{s}" for s in SOUNDS]
        sound = next((s for s in sounds if s.is_file()), None)
        if not path.is_file():
            report.skip(name, "no track (.npz) beside its video")
        elif emotion not in EMOTIONS or level not in STRENGTHS:
            report.skip(name, f"{emotion}/{level}; known: {', '.join(EMOTIONS)}; {', '.join(STRENGTHS)}")
        elif sound is None:
            report.skip(name, "no sound (audio/EMOTION/level_N/NNN.m4a or .wav)")
        else:
            yield from _clip(name, path, sound, actor, (emotion, level), split or "train", fps, report)


def _clip(
    name: str, path: Path, sound: Path, actor: str, felt: tuple[str, str], split: str, fps: float, report: Report
) -> Iterator[Clip]:
    try:
        face = read_mediapipe(path, fps)
    except UserError as e:
        report.skip(name, reason(e))
        return
    word, (intensity, how) = EMOTIONS[felt[0]], STRENGTHS[felt[1]]
    caption = f"a person speaks and looks {how}{word}" if word else "a person speaks with a neutral face"
    extra: dict[str, object] = {"audio": str(sound), "speaker": actor}
    if word:
        extra["emotion"] = {"text": f"{how}{word}", "alone": True, "name": word, "intensity": intensity}
    report.read += 1
    yield Clip(name, face, [caption], "mead", LAYOUT.licence, split, felt[0], "", extra)
