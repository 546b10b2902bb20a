"""Reader for MEAD (Wang et al. 2020): 48 filmed actors who say sentences with eight emotions at three intensities."""

# The data set has video and sound and no faces in numbers: those are made by a tracker, here MediaPipe's 52 shapes in
# `NAME.npz` beside each video (`instruct_data.sources.mediapipe_npz` says what it holds).
# Source: wywu.github.io/projects/MEAD.

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.sources.corpus import Corpus, Report, find_files
from instruct_data.sources.loading import loaded
from instruct_data.sources.mediapipe_npz import read_mediapipe

VIDEOS = "*/video/front/*/level_*/*.mp4"
TRACKS = "*/video/front/*/level_*/*.npz"
FPS = 30.0
EMOTIONS = {
    "angry": "angry", "contempt": "contemptuous", "disgusted": "disgusted", "fear": "afraid", "happy": "happy",
    "neutral": "", "sad": "sad", "surprised": "surprised",
}  # fmt: skip
STRENGTHS = {"level_1": (0.4, "slightly "), "level_2": (0.7, ""), "level_3": (1.0, "very ")}
SOUNDS = (".m4a", ".wav")


def read_mead(root: Path, corpus: Corpus, report: Report, split: str = "train", fps: float = FPS) -> Iterator[Clip]:
    """Faces of the tracked videos from the front, with the sound's path and the emotion. `fps`: of the videos, where a
    track does not say it.
    """
    for path in sorted({p.with_suffix(".npz") for p in find_files(root, VIDEOS, TRACKS)}):
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
            word, (intensity, adverb) = EMOTIONS[emotion], STRENGTHS[level]
            text = f"a person speaks and looks {adverb}{word}" if word else "a person speaks with a neutral face"
            extra: dict[str, object] = {"audio": str(sound), "speaker": actor}
            if word:
                extra["emotion"] = {"text": f"{adverb}{word}", "alone": True, "name": word, "intensity": intensity}
            load = partial(read_mediapipe, path, fps)
            yield from loaded(Clip(name, load, [text], "mead", corpus.licence, split, emotion, "", extra), report)
