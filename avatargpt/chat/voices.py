"""Voices in a timeline: the fingers, face and sound of segments that were read as avatars, laid over its motion."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from avatargpt.export.avatar import AvatarMotion
from avatargpt.speech import audio
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.motion import Motion

EASE = 0.25  # seconds in which a face and fingers come and go, as in the studio
FILMS = (".mp4", ".mov")
SLACK = 0.05  # seconds by which a voice may be longer or shorter than its segment, a frame of the body


class PlacedVoice(NamedTuple):
    """A clip, where it begins in a motion, and how long it lasts there, in seconds."""

    clip: AvatarMotion
    start: float
    seconds: float

    @property
    def sound(self) -> Path | None:
        """The sound, where the clip is as long as it was spoken."""
        return self.clip.sound if abs(self.clip.seconds - self.seconds) <= SLACK else None


def key_of(clip: Motion | AvatarMotion) -> str:
    """A digest of a clip's contents, which files keep to the bit."""
    body = clip if isinstance(clip, Motion) else clip.body
    arrays = [body.rotations, body.root]
    if not isinstance(clip, Motion):
        arrays += [np.asarray(clip.body.fingers), clip.face.weights]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()[:20]


def voice_of(clip: Motion | AvatarMotion) -> tuple[Motion, AvatarMotion | None]:
    """The body of a clip alone, and the clip where it holds more than that."""
    if not isinstance(clip, AvatarMotion):
        if getattr(clip, "fingers", None) is None:  # of a face, too
            return replace(clip, modality="body") if clip.modality == "gesture" else clip, None
        clip = _with_face(clip)
    return replace(clip.body, modality="body", fingers=None, caption=clip.caption, notes=()), clip


def _with_face(body: Motion) -> AvatarMotion:
    """A body with a face at rest, and with fingers at rest where it has none."""
    from avatargpt.avatar.composition import together

    return together(body, FaceMotion(np.zeros((len(body), arkit.COUNT)), np.zeros((len(body), 3)), body.fps))


@contextmanager
def add_voices(
    clip: Motion | AvatarMotion, voices: Sequence[PlacedVoice], suffix: str
) -> Iterator[Motion | AvatarMotion]:
    """A clip with fingers, faces and voices over its own, for a file; itself without any. The sound, which only films
    hold, lasts as long as the block."""
    if not voices:
        yield clip
        return
    base = _with_face(clip.resampled(max(v.clip.fps for v in voices))) if isinstance(clip, Motion) else clip
    fingers, weights = np.asarray(base.body.fingers, np.float64), base.face.weights.copy()
    times = np.arange(len(base)) / base.fps
    for voice in voices:
        t = times - voice.start
        share = np.clip(1 + np.minimum(t, voice.seconds - t) / EASE, 0, 1)
        inside = np.flatnonzero(share)
        at = np.clip(t[inside] / voice.seconds * len(voice.clip), 0, len(voice.clip) - 1)
        hands, own = voice.clip.body.sampled(at).with_fingers[1][:, -fingers.shape[1] :], voice.clip.face.sampled(at)
        fingers[inside] = rot.slerp(fingers[inside], hands.astype(np.float64), share[inside, None])
        weights[inside] += share[inside, None] * (own.weights - weights[inside])
    out = replace(base, body=replace(base.body, fingers=fingers), face=replace(base.face, weights=weights))
    with TemporaryDirectory() as folder:
        yield replace(
            out, sound=_mix_sounds(voices, out.seconds, Path(folder, "voices.wav")) if suffix in FILMS else None
        )


def _mix_sounds(voices: Sequence[PlacedVoice], seconds: float, path: Path) -> Path | None:
    """The sounds of voices, each where it begins, as one file; None where there are none."""
    import soundfile

    heard = [(v.start, *audio.load(v.sound)) for v in voices if v.sound is not None]
    if not heard:
        return None
    rate = max(own for *_, own in heard)
    out = np.zeros(round(seconds * rate), np.float32)
    for start, samples, own in heard:
        first = round(start * rate)
        samples = audio.convert_rate(samples, own, rate)[: len(out) - first]
        out[first : first + len(samples)] += samples
    soundfile.write(path, out.clip(-1, 1), rate)
    return path
