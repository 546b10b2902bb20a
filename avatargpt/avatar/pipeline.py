"""The avatar pipeline: speech to face, gestures and body of one person, for whole talks and as a stream.

Rules compose the parts frame by frame (`composed`):

| part | source |
|---|---|
| pelvis, legs | the body |
| spine, neck, head | the body's turn, then the gestures'; then, in neck and head, the face's (instructed nods) |
| arms | the gestures, relative to the chest; the body's where it uses them, or where a hanging hand has a lap |
| fingers | the gestures; with an arm of the body, the body's, where it has some |
| 52 weights | the face, unchanged |
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.avatar.bodies import ARMS, FPS, Body, Standing
from avatargpt.export.avatar import HEAD, NECK, AvatarMotion
from avatargpt.face.audio_model.controls import LIVELY, Controls, LiveControls, with_eye_contact
from avatargpt.face.audio_model.idle import Span, idle_share
from avatargpt.face.pipeline import FacePipeline, driver_folder
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.lm.checkpoint import find_part
from avatargpt.speech import audio as sound
from instruct_data.synth.layering import from_hanging
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import FINGER_NAMES, SMPL22

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.driver import FaceStream
    from avatargpt.gesture.stream import MotionStream
    from avatargpt.gesture.words import TimedWord
    from instruct_data.face.score import Score

TRUNK = [SMPL22.index(n) for n in ("spine1", "spine2", "spine3", "neck", "head")]
HANGING = (0.24, 0.36)  # m from where a hand hangs, between which it is on its way
NECK_SHARE = 0.35  # of an instructed turn of the head
_HAND_JOINTS = len(FINGER_NAMES) // 2


def composed(
    body: Body, gestures: Motion, face: FaceMotion, start: int = 0, sound: Path | None = None, caption: str = "",
    eye_contact: float = 0.0, calm: Sequence[Span] = (),
) -> AvatarMotion:  # fmt: skip
    """One clip of T frames at 30 fps, from frame `start` of the talk on.

    Args:
        gestures: T frames with fingers. face: T frames; its head is turned in addition to the gestures' head.
        eye_contact: 0 the face's own gaze, 1 eyes to a viewer in front of the chest whatever the head does.
        calm: seconds in which the head follows an instruction: the gestures move it less (`idle.idle_share`).
    """
    if gestures.fingers is None or gestures.fps != face.fps or len(gestures) != len(face):
        raise UserError(f"gestures of {len(gestures)} frames at {gestures.fps:g} a second beside a face of {len(face)} "
                        f"at {face.fps:g}; accepted: with fingers, and as many at the same rate")  # fmt: skip
    under, active, lap = body.frames(start, start + len(face))
    body_share = np.maximum(active, lap * hanging(gestures))
    base, turned = under.rotations.astype(np.float64), gestures.rotations.astype(np.float64)
    turned[:, [NECK, HEAD]] = _calmed(turned[:, [NECK, HEAD]], calm, start)
    out = base.copy()
    out[:, TRUNK] = rot.multiply(base[:, TRUNK], turned[:, TRUNK])
    # Instructed turns of the head, in its own frame, come on top of the gestures', which would blur them otherwise.
    head = rot.multiply(out[:, HEAD], turns(face.head))
    in_neck = rot.multiply(head, rot.conjugate(out[:, HEAD]))  # the same turn in the neck's frame
    part = rot.slerp(rot.identity((len(head),)), in_neck, NECK_SHARE)
    out[:, NECK], out[:, HEAD] = rot.multiply(out[:, NECK], part), rot.multiply(rot.conjugate(part), head)
    fingers = gestures.fingers.astype(np.float64)
    for side, arm in enumerate(ARMS):
        share = body_share[:, side, None]
        out[:, arm] = rot.slerp(turned[:, arm], base[:, arm], share)
        if under.fingers is not None:
            hand = slice(side * _HAND_JOINTS, (side + 1) * _HAND_JOINTS)
            fingers[:, hand] = rot.slerp(fingers[:, hand], under.fingers[:, hand].astype(np.float64), share)
    note = body.note(len(face)) if start == 0 else ""
    motion = Motion(out, under.root, gestures.fps, "gesture", caption, fingers=fingers)
    notes = (*gestures.notes, *([note] if note else []))
    avatar = AvatarMotion(motion, face, sound, caption, notes)
    return replace(avatar, face=with_eye_contact(avatar.face, eye_contact)) if eye_contact else avatar


def hanging(gestures: Motion) -> np.ndarray:
    """(T, 2) 0..1: whether the left and the right hand hang."""
    away = np.clip((from_hanging(gestures) - HANGING[0]) / (HANGING[1] - HANGING[0]), 0, 1)
    return np.asarray(1 - away * away * (3 - 2 * away))


def _calmed(joints: np.ndarray, calm: Sequence[Span], start: int = 0) -> np.ndarray:
    # Rotations (T, J, 4) from frame `start` on, reduced in calm spans.
    share = idle_share(calm, np.arange(start, start + len(joints)), FPS)
    reduced = np.flatnonzero(share < 1)
    out = joints.copy()
    out[reduced] = rot.slerp(rot.identity(out[reduced].shape[:-1]), out[reduced], share[reduced, None])
    return out


def with_head(face: FaceMotion, gestures: Motion, eye_contact: float = 0.0, calm: Sequence[Span] = ()) -> FaceMotion:
    """A face whose head follows the gestures' head, and then its own turns; its weights are unchanged.

    Args:
        gestures: as many frames at the same rate. eye_contact, calm: as in `composed`; the first changes the gaze.
    """
    joints = _calmed(gestures.rotations[:, [NECK, HEAD]].astype(np.float64), calm)
    combined = rot.multiply(joints[:, 0], joints[:, 1])
    out = replace(face, head=angles_of(rot.multiply(combined, turns(face.head))))
    return with_eye_contact(out, eye_contact)


class HeadMover:
    """Moves the heads of faces made from one sound as the gesture network does, words off.

    Not live: the network looks further ahead than the face's network, whose frames would have to wait.
    """

    def __init__(
        self, gestures: GesturePipeline, audio: str | os.PathLike[str] | np.ndarray, rate: int = 16_000
    ) -> None:
        self._gestures, self._audio, self._rate = gestures, audio, rate

    @classmethod
    def load(
        cls, model: Path | None, audio: str | os.PathLike[str] | np.ndarray, rate: int = 16_000
    ) -> HeadMover | None:
        """From a model folder, None = the packaged weights. Returns None where it has no gesture network."""
        if find_part(model, "gesture") is None:
            return None
        return cls(GesturePipeline.load(model), audio, rate)

    def __call__(
        self, face: FaceMotion, seed: int = 0, eye_contact: float = 0.0, calm: Sequence[Span] = ()
    ) -> FaceMotion:
        """The face with that head, see `with_head`; `seed` is that of the gestures."""
        return with_head(face, self._gestures.perform(self._audio, self._rate, seed=seed), eye_contact, calm)


class AvatarPipeline:
    """Speech, an instruction and feelings to a person who talks with face, hands and head over any body."""

    def __init__(self, face: FacePipeline, gestures: GesturePipeline) -> None:
        self.face, self.gestures = face, gestures

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> AvatarPipeline:
        """From a model folder; None = the packaged weights.

        Raises UserError: no driver or no gesture network in it, or damaged weights.
        """
        gestures = GesturePipeline.load(folder)
        return cls(FacePipeline.load(driver_folder(None if folder is None else Path(folder))), gestures)

    def speak(
        self, audio: str | os.PathLike[str] | np.ndarray, rate: int = sound.RATE, text: str = "",
        feelings: Sequence[Feeling] = (), score: Score | None = None, body: Body | None = None,
        controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        progress: Callable[[int], None] | None = None, **gestures: Any,
    ) -> AvatarMotion:  # fmt: skip
        """A whole talk of T frames at 30 fps.

        The 52 weights are those of the face alone, to the bit, unless `controls` ask for eye contact.

        Args:
            audio: speech, a file or samples (n,) at `rate`.
            text: a facial instruction, parsed unless `score` is its result.
            feelings: emotion keyframes, instead of those named in the text.
            body: motion of pelvis and legs; None = they stand.
            controls: of the face: blinks, idle movement, eye contact. lips: see `FacePipeline.perform`.
            seed: of blinks, idle movement and the gestures.
            progress: called with the number of frames so far, of face and gestures together.
            gestures: ``words``, ``other``, ``speaker`` and other options of `GesturePipeline.perform`.

        Raises:
            UserError: bad sound, text, words, speaker or control.
        """
        seconds = sound.open_sound(audio, rate).about.seconds
        if score is None:
            score = self.face.place([text], seconds, True, feelings)[0]
        motion = self.gestures.perform(audio, rate, seed=seed, progress=progress, **gestures)
        clip = self.face.perform(
            text, audio, rate, feelings, score=score, head=lips,
            progress=None if progress is None else lambda frames: progress(len(motion) + frames),
        )  # fmt: skip
        # Eye contact depends on the combined head: `composed` adds it.
        face = self.face.with_controls(clip, replace(controls, eye_contact=0.0), score, seed)
        source = None if isinstance(audio, np.ndarray) else Path(audio)
        calm = self.face.spans(score)[1]
        return composed(body or Standing(seed), motion, face, 0, source, text, controls.eye_contact, calm)

    def stream(
        self, rate: int = sound.RATE, text: str = "", feelings: Sequence[Feeling] = (), score: Score | None = None,
        body: Body | None = None, controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        seconds: float | None = None, **gestures: Any,
    ) -> AvatarStream:  # fmt: skip
        """A live stream; its joined pieces are the result of `speak`, to the bit, if `seconds` are the sound's.

        Args:
            rate: samples a second of what will be pushed.
            seconds: length of the sound if it is known: the instruction is fitted to it.
            gestures: options of `GesturePipeline.stream`. The rest: as in `speak`.
        """
        if score is None and text:
            read = self.face.place([text], seconds, True, feelings) if seconds else self.face.read([text])
            score = read[0]
        direction = self.face.direction(score, feelings, seconds)
        spans = self.face.spans(score)
        lively = LiveControls(replace(controls, eye_contact=0.0), sound.FPS, seed, *spans)
        return AvatarStream(
            self.face.driver.stream(rate, direction=direction, head=lips),
            self.gestures.stream(rate, seed=seed, **gestures), body or Standing(seed), lively, controls.eye_contact,
            spans[1],
        )  # fmt: skip


class AvatarStream:
    """One talk: samples in chunks of any size in, pieces of the avatar out; frame i of all parts is at i / 30 s.

    The face's network has less look-ahead and waits for the gestures. Joined pieces are the clip of the whole sound,
    bit for bit, whatever the chunks; memory does not grow.
    """

    def __init__(
        self, face: FaceStream, gestures: MotionStream, body: Body, lively: LiveControls, eye_contact: float = 0.0,
        calm: Sequence[Span] = (),
    ) -> None:  # fmt: skip
        self._face, self._gestures, self._body = face, gestures, body
        self._lively, self._eye_contact, self._calm = lively, eye_contact, calm
        self._curves: list[np.ndarray] = []
        self._motions: list[Motion] = []
        self.frames = 0  # given out so far

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return max(self._face.latency, self._gestures.latency)

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Add words of the speaker or the interlocutor; see `MotionStream.say`."""
        self._gestures.say(words, other)

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> AvatarMotion | None:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready, None where none are."""
        self._take(self._face.push(pcm), self._gestures.push(pcm, other))
        return self._ready()

    def finish(self) -> AvatarMotion | None:
        """The frames still due: as many in all as whole frames lie in the sound, at least one; the stream ends."""
        self._take(self._face.finish(), self._gestures.finish())
        return self._ready()

    def _take(self, rows: np.ndarray, motion: Motion | None) -> None:
        for row in rows:
            self._curves.append(self._lively(FaceMotion.from_curves(row[None], float(sound.FPS))).curves)
        if motion is not None:
            self._motions.append(motion)

    def _ready(self) -> AvatarMotion | None:
        count = min(len(self._curves), sum(len(m) for m in self._motions))
        if not count:
            return None
        motion = concatenate(self._motions)
        face = FaceMotion.from_curves(np.concatenate(self._curves[:count]), float(sound.FPS))
        out = composed(
            self._body, motion.slice(0, count), face, self.frames, eye_contact=self._eye_contact, calm=self._calm
        )
        self._curves = self._curves[count:]
        self._motions = [motion.slice(count, len(motion))] if len(motion) > count else []
        self.frames += count
        return out
