"""Composition of body, gestures and face into one avatar, frame by frame. Rules only."""

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
from avatargpt.face.audio_model.idle import Span, idle_share
from avatargpt.gesture.driver import NAME
from avatargpt.resources import PACKAGE
from instruct_data.synth.layering import from_hanging
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22

if TYPE_CHECKING:
    from avatargpt.face.audio_model.idle import Span
    from avatargpt.gesture.pipeline import GesturePerformer
    from vqvae.face import FaceMotion


TRUNK = [SMPL22.index(n) for n in ("spine1", "spine2", "spine3", "neck", "head")]
HANGS = (0.24, 0.36)  # m from where a hand hangs, between which it is on its way
OF_NECK = 0.35  # share of a told turn of the head that the neck takes
_HALF = len(FINGER_NAMES) // 2


def composed(
    body: Body, gestures: Motion, face: FaceMotion, start: int = 0, sound: Path | None = None, caption: str = "",
    eye_contact: float = 0.0, calm: Sequence[Span] = (),
) -> AvatarMotion:  # fmt: skip
    """One clip of T frames at 30 a second, from frame `start` of the talk on.

    Args:
        gestures: T frames with fingers. face: T frames; its head is what was told beside the gestures' own.
        eye_contact: 0 the face's own gaze, 1 eyes to a viewer before the chest whatever the head does.
        calm: seconds in which the head does what it was told: the gestures move it less (`idle.left`).

    Raises:
        UserError: gestures without fingers, or parts of different lengths.
    """
    if gestures.fingers is None or gestures.fps != face.fps or len(gestures) != len(face):
        raise UserError(f"gestures of {len(gestures)} frames at {gestures.fps:g} a second beside a face of {len(face)} "
                        f"at {face.fps:g}; accepted: with fingers, and as many at the same rate")  # fmt: skip
    under, purpose, lap = body.frames(start, start + len(face))
    kept = np.maximum(purpose, lap * hanging(gestures))
    moved, own = under.rotations.astype(np.float64), gestures.rotations.astype(np.float64)
    own[:, [NECK, HEAD]] = _calmed(own[:, [NECK, HEAD]], calm, start)
    out = moved.copy()
    out[:, TRUNK] = rot.multiply(moved[:, TRUNK], own[:, TRUNK])
    out[:, NECK], out[:, HEAD] = nodded(out[:, NECK], out[:, HEAD], turns(face.head))
    fingers = gestures.fingers.astype(np.float64)
    for side, arm in enumerate(ARMS):
        share = kept[:, side, None]
        out[:, arm] = rot.slerp(own[:, arm], moved[:, arm], share)
        if under.fingers is not None:
            hand = slice(side * _HALF, (side + 1) * _HALF)
            fingers[:, hand] = rot.slerp(fingers[:, hand], under.fingers[:, hand].astype(np.float64), share)
    told = body.told(len(face)) if start == 0 else ""
    whole = Motion(out, under.root, gestures.fps, "gesture", caption, fingers=fingers)
    notes = (*gestures.notes, *([told] if told else []))
    made = AvatarMotion(whole, face, sound, caption, notes)
    return replace(made, face=with_eye_contact(made.face, eye_contact)) if eye_contact else made


def hanging(gestures: Motion) -> np.ndarray:
    """(T, 2) 0..1: whether the left and the right hand hang."""
    away = np.clip((from_hanging(gestures) - HANGS[0]) / (HANGS[1] - HANGS[0]), 0, 1)
    return np.asarray(1 - away * away * (3 - 2 * away))


def _calmed(joints: np.ndarray, calm: Sequence[Span], start: int = 0) -> np.ndarray:
    """Rotations (T, J, 4) from frame `start` on, less of them where it is calm."""
    share = idle_share(calm, np.arange(start, start + len(joints)), FPS)
    less = np.flatnonzero(share < 1)
    out = joints.copy()
    out[less] = rot.slerp(rot.identity(out[less].shape[:-1]), out[less], share[less, None])
    return out


def nodded(neck: np.ndarray, head: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neck and head (T, 4) with the head turned further by `turn` (T, 4) in its own frame; the neck takes its share."""
    seen = rot.multiply(rot.multiply(head, turn), rot.conjugate(head))  # the same turn in the neck's frame
    part = rot.slerp(rot.identity((len(turn),)), seen, OF_NECK)
    return rot.multiply(neck, part), rot.multiply(rot.conjugate(part), rot.multiply(head, turn))


def with_head(
    face: FaceMotion, gestures: Motion, eye_contact: float = 0.0, calm: Sequence[Span] = ()
) -> FaceMotion:
    """A face alone whose head turns as the gestures' does, and on that as its own; its weights stay as they are.

    Args:
        gestures: as many frames at the same rate. eye_contact, calm: as in `composed`; the first changes the gaze.
    """
    joints = _calmed(gestures.rotations[:, [NECK, HEAD]].astype(np.float64), calm)
    seen = rot.multiply(joints[:, 0], joints[:, 1])
    out = replace(face, head=angles_of(rot.multiply(seen, turns(face.head))))
    return with_eye_contact(out, eye_contact)


Sound = str | os.PathLike[str] | np.ndarray


class HeadMover:
    """Moves the heads of faces that were made from one sound.

    Args:
        gestures: the network at work. audio: the sound, a file or samples at `rate`.
    """

    def __init__(self, gestures: GesturePerformer, audio: Sound, rate: int = 16_000) -> None:
        self._gestures, self._audio, self._rate = gestures, audio, rate

    @classmethod
    def load(cls, model: Path | None, audio: Sound, rate: int = 16_000) -> HeadMover | None:
        """From a model folder, None = the packaged weights; None where it has no gesture network.

        Raises:
            UserError: damaged weights.
        """
        from avatargpt.gesture.pipeline import GesturePerformer

        root = PACKAGE / "weights" if model is None else model
        if not any((place / f"{NAME}.json").is_file() for place in (root / NAME, root)):
            return None
        return cls(GesturePerformer.load(model), audio, rate)

    def __call__(
        self, face: FaceMotion, seed: int = 0, eye_contact: float = 0.0, calm: Sequence[Span] = ()
    ) -> FaceMotion:
        """The face with that head, and on it the turns that it had: told nods and idle movements; see `with_head`.

        Args:
            seed: of how the network's motion is drawn. eye_contact, calm: see `avatargpt.avatar.compose.composed`.

        Raises:
            UserError: a network that needs the whole sound.
        """
        return with_head(face, self._gestures.perform(self._audio, self._rate, seed=seed), eye_contact, calm)
