"""Composition of body, gestures and face into one avatar, frame by frame. Rules only.

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
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.avatar.bodies import ARMS, FPS, Body
from avatargpt.export.avatar import HEAD, NECK, AvatarMotion
from avatargpt.face.audio_model.controls import with_eye_contact
from avatargpt.face.audio_model.idle import idle_share
from instruct_data.synth.layering import from_hanging
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22

if TYPE_CHECKING:
    from avatargpt.face.audio_model.idle import Span
    from avatargpt.gesture.pipeline import GesturePipeline

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

    Raises:
        UserError: gestures without fingers, or parts of different lengths.
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
    # Instructed turns come on top of the gestures', which would blur them otherwise.
    out[:, NECK], out[:, HEAD] = nodded(out[:, NECK], out[:, HEAD], turns(face.head))
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


def nodded(neck: np.ndarray, head: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neck and head (T, 4) with the head turned further by `turn` (T, 4) in its own frame; the neck takes its share."""
    in_neck = rot.multiply(rot.multiply(head, turn), rot.conjugate(head))  # the same turn in the neck's frame
    part = rot.slerp(rot.identity((len(turn),)), in_neck, NECK_SHARE)
    return rot.multiply(neck, part), rot.multiply(rot.conjugate(part), rot.multiply(head, turn))


def with_head(
    face: FaceMotion, gestures: Motion, eye_contact: float = 0.0, calm: Sequence[Span] = ()
) -> FaceMotion:
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

    Args:
        audio: the sound, a file or samples at `rate`.
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
        from avatargpt.gesture.pipeline import GesturePipeline, find_network

        if find_network(model) is None:
            return None
        return cls(GesturePipeline.load(model), audio, rate)

    def __call__(
        self, face: FaceMotion, seed: int = 0, eye_contact: float = 0.0, calm: Sequence[Span] = ()
    ) -> FaceMotion:
        """The face with that head, see `with_head`; `seed` is that of the gestures."""
        return with_head(face, self._gestures.perform(self._audio, self._rate, seed=seed), eye_contact, calm)
