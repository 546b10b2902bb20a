"""The avatar pipeline: speech to face, gestures and body of one person, for whole talks and as a stream.

Rules compose the parts frame by frame (`compose_clip`):

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from avatargpt.avatar.poise import Poise
from avatargpt.export.avatar import HEAD, NECK, AvatarMotion
from avatargpt.face.audio_model.conditioning import Direction
from avatargpt.face.audio_model.controls import LIVELY, Controls, LiveControls, spans_after, with_eye_contact
from avatargpt.face.audio_model.idle import Span, Spans, idle_share
from avatargpt.face.instructions.scores import cut_score
from avatargpt.face.pipeline import FacePipeline, driver_folder
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.speech import audio as sound
from instruct_data.layering import from_hanging
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, angles_of, turns
from vqvae.features import SOLES
from vqvae.ground import ground_motion
from vqvae.limbs import KNEE, reached
from vqvae.motion import Motion, concatenate
from vqvae.rates import GESTURE_FPS
from vqvae.skeleton import FINGER_NAMES, SMPL22
from vqvae.smoothing import gaussian, smoothstep

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.driver import FaceStream
    from avatargpt.gesture.features import TimedWord
    from avatargpt.gesture.stream import GestureMotionStream
    from instruct_data.face.score import Score

# Pelvis and legs under a talk of any length: a standing person, or a clip that is held or looped. Rules only.
# A clip that ends while moving loops where it reaches a pose like its last one (steps); any other holds its last pose
# (a person who has sat down). While the clip uses an arm, the arm is the clip's; hands in a lap, swinging arms and
# the arms of a clip that is over are free for gestures, and where these let a hand hang, it rests in the lap again.

FPS = GESTURE_FPS
IDLE = "idle"
END_SPEED, END_SECONDS = 0.25, 0.3  # m/s, mean over the joints in the last seconds: a slower clip has come to rest
MAX_POSE_DISTANCE = 0.09  # m, mean over the joints, between poses at which a clip may loop
MIN_LOOP = 0.8  # s
SEAM = 8  # frames over which one round of a loop is blended into the next
TRAVEL_SPEED = 0.4  # m/s of a pelvis that travels
MAX_DRIFT = 0.12  # m or rad a round of a loop on the spot
MIN_ACTIVE_DISTANCE = 0.3  # m: a hand farther than this from where it hangs is in use
SEATED_HEIGHT, LAP_HEIGHT = 0.75, 0.15  # m: of a sitting pelvis; of hands in the lap above or below it
_FADE = 0.18  # s
_RELEASE = 0.6  # s in which the arms of a clip that is over become free
ARMS = ((13, 16, 18, 20), (14, 17, 19, 21))  # left and right: collar, shoulder, elbow, wrist

FOOT_SPREAD = 0.04  # m that each foot stands outside its hip
TOES_OUT = np.radians(8.0)
LEG_EXTENSION = 0.993  # of a leg's length, hip to ankle, where the weight is in the middle
# Metres and seconds of the waves in which the pelvis sways sideways, and forward and back.
SWAYS = ((0.010, 11.3), (0.004, 4.7)), ((0.004, 9.1), (0.002, 3.3))
_LEGS = ((1, 4, 7, 1.0), (2, 5, 8, -1.0))  # hip, knee, ankle, side


class BodyFrames(NamedTuple):
    """Frames of a body at 30 fps."""

    motion: Motion  # T frames
    active: np.ndarray  # (T, 2) 0..1, use of the left and the right arm
    lap: np.ndarray  # (T, 2) 0..1, whether the hand is in the lap


def names_file(name: str) -> bool:
    """Whether a body is a file, by its suffix."""
    from avatargpt import export

    return export.split_animation_name(name)[0].suffix.lower() in export.readable(films=True)


def body_of(source: str | os.PathLike[str] | Motion | None, generate: Callable[[str], BodyClip], seed: int = 0) -> Body:
    """The body of a ``--body`` argument.

    Args:
        source: ``idle`` or None: a standing person; a file of a body, a gesture or an avatar; a motion; or a text.
        generate: the body of a text. seed: of the standing person.
    """
    if isinstance(source, Motion):
        return BodyClip(source)
    if source is None or source == IDLE:
        return Standing(seed)
    if isinstance(source, str) and not names_file(source):
        return generate(source)
    from avatargpt import export
    from avatargpt.export.avatar import body_and_face

    body, _ = body_and_face(export.load(Path(source)))
    if body is None:
        raise UserError(f"{Path(source)}: a face; accepted a body, a gesture or an avatar")
    return BodyClip(body)


class Standing:
    """A standing person, see `hold_stand`; `sway`: how far the weight shifts, 1 = as usual, 0 = not at all."""

    score: Score | None = None

    def __init__(self, seed: int = 0, sway: float = 1.0) -> None:
        self.seed, self._sway = seed, sway

    def frames(self, start: int, stop: int) -> BodyFrames:
        """Frames [start, stop) at 30 fps."""
        nothing = np.zeros((stop - start, 2))
        return BodyFrames(hold_stand(start, stop, FPS, self.seed, self._sway), nothing, nothing)

    def note(self, frames: int) -> str:
        """A remark on a talk of so many frames; empty = none."""
        return ""


def hold_stand(start: int, stop: int, fps: float = 30.0, seed: int = 0, sway: float = 1.0) -> Motion:
    """Frames [start, stop) of a person who stands at the origin facing +Z, weight shifting between planted feet.

    The pelvis is upright and everything above it at rest; `seed` is that of the phases of the weight shift, `sway` a
    factor of its way.
    """
    at, phases = np.arange(start, stop) / fps, np.random.default_rng([seed, 71]).uniform(0, 2 * np.pi, (2, 2))
    sideways, forward = [
        sway * sum(size * np.sin(2 * np.pi * at / seconds + p) for (size, seconds), p in zip(waves, row, strict=True))
        for waves, row in zip(SWAYS, phases, strict=True)
    ]
    offsets = SMPL22.offsets
    ankle_height = SOLES - offsets[10, 1]
    leg = LEG_EXTENSION * float(-offsets[4, 1] - offsets[7, 1])
    height = ankle_height + np.sqrt(leg**2 - FOOT_SPREAD**2) - offsets[1, 1]
    root = np.stack([sideways, np.full(len(at), height), forward], 1)
    rotations = rot.identity((len(at), len(SMPL22.names)))
    for hip, _, _, side in _LEGS:
        rotations[:, hip] = rot.about_y(side * TOES_OUT)
    joints, matrices = SMPL22.fk_full(rotations, root)
    world = rot.from_matrix(matrices)
    for *limb, side in _LEGS:
        hip, knee, ankle = limb
        target = np.array([offsets[hip, 0] + side * FOOT_SPREAD, ankle_height, offsets[hip, 2]])
        goal = np.broadcast_to(target, root.shape)
        rotations[:, limb] = reached(joints, world, (hip, knee, ankle), goal, KNEE, eased=False)
    return Motion(rotations, root, fps)


@dataclass(frozen=True)
class _Loop:
    """The looping frames of a clip, and how each round turns (radians) and shifts (3,) the body."""

    start: int
    yaw: float
    step: np.ndarray


class BodyClip:
    """A clip of any frame rate, on the floor, from above the origin on, facing +Z; `score`: what the face does."""

    def __init__(self, motion: Motion, score: Score | None = None) -> None:
        self.motion, self.score = ground_motion(motion.resampled(FPS)).canonical(), score
        self.active, self.lap = arm_use(self.motion)
        self._loop = _find_loop(self.motion)
        self._rounds: list[tuple[float, np.ndarray]] = [(0.0, np.zeros(3))]  # yaw and shift at the start of each

    def frames(self, start: int, stop: int) -> BodyFrames:
        """Frames [start, stop) at 30 fps."""
        at = np.arange(start, stop)
        if self._loop is None:
            index = np.minimum(at, len(self.motion) - 1)
            # The arms of a clip that is over become free gradually.
            active = self.active[index] * smoothstep(1 - (at - index) / (_RELEASE * FPS))[:, None]
            return BodyFrames(self.motion.at_frames(index), active, self.lap[index])
        first, count = self._loop.start, len(self.motion) - self._loop.start
        rounds = np.maximum(at - first, 0) // count
        index = np.where(at < first, at, first + (at - first) % count)
        out = self.motion.at_frames(index)
        rotations, root = out.rotations.astype(np.float64), out.root.astype(np.float64)
        for k in np.unique(rounds[rounds > 0]).tolist():
            in_round = rounds == k
            yaw, shift = self._after_rounds(k)
            rotations[in_round, 0] = rot.multiply(rot.about_y(yaw), rotations[in_round, 0])
            root[in_round] = rot.rotate(rot.about_y(yaw), root[in_round]) + shift
            in_seam = in_round & (index - first < SEAM)
            self._blend_seam(in_seam, (index - first)[in_seam], rotations, root)
        return BodyFrames(replace(out, rotations=rotations, root=root), self.active[index], self.lap[index])

    def _after_rounds(self, rounds: int) -> tuple[float, np.ndarray]:
        # Yaw and shift of the body after so many rounds.
        assert self._loop is not None
        while len(self._rounds) <= rounds:
            yaw, shift = self._rounds[-1]
            shift = rot.rotate(rot.about_y(self._loop.yaw), shift) + self._loop.step
            self._rounds.append((yaw + self._loop.yaw, shift))
        return self._rounds[rounds]

    def _blend_seam(self, where: np.ndarray, elapsed: np.ndarray, rotations: np.ndarray, root: np.ndarray) -> None:
        # In place: begin a round in the last pose of the previous one, fading over `SEAM` frames.
        assert self._loop is not None
        share = smoothstep(1 - (elapsed + 1) / (SEAM + 1))[:, None]
        first, last = self._loop.start, len(self.motion) - 1
        poses = self.motion.rotations[[first, last]].astype(np.float64)
        offset = rot.multiply(rot.conjugate(poses[0]), poses[1])
        # The pelvis is aligned by its heading; its lean is similar.
        offset[0] = rot.identity(())
        partial = rot.slerp(rot.identity((len(share), len(offset))), np.repeat(offset[None], len(share), 0), share)
        rotations[where] = rot.multiply(rotations[where], partial)
        root[where, 1] += share[:, 0] * float(self.motion.root[last, 1] - self.motion.root[first, 1])

    def note(self, frames: int) -> str:
        """A remark on a talk of so many frames; empty = none."""
        length, needed = len(self.motion) / FPS, frames / FPS
        if abs(length - needed) < 0.5 / FPS:
            return ""
        if length > needed:
            return f"the body lasts {length:.1f} s, the sound {needed:.1f} s: the rest of it is left out"
        does = "stays as it ends" if self._loop is None else f"goes round from second {self._loop.start / FPS:.1f}"
        return f"the body lasts {length:.1f} s, the sound {needed:.1f} s: it {does}"


Body: TypeAlias = Standing | BodyClip


def arm_use(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """Use of the left and the right arm of a body on the floor, and whether the hands are in the lap.

    Returns:
        (T, 2) and (T, 2), 0..1, faded in and out.
    """
    heights = motion.joints[..., 1].astype(np.float64)
    seated, hands = heights[:, :1] < SEATED_HEIGHT, heights[:, [arm[-1] for arm in ARMS]]
    lifted = from_hanging(motion) > MIN_ACTIVE_DISTANCE
    in_lap = seated & (np.abs(hands - heights[:, :1]) < LAP_HEIGHT)
    active, lap = (np.stack([_fade_flags(b) for b in flags.T], 1) for flags in (lifted & ~in_lap, in_lap))
    return active, lap


def _fade_flags(flags: np.ndarray) -> np.ndarray:
    # (T,) flags -> 0..1, faded in before and out after the set ones.
    reach = round(2 * _FADE * FPS)
    around = np.convolve(np.pad(flags.astype(float), reach, mode="edge"), np.ones(2 * reach + 1), "valid")
    out: np.ndarray = np.clip(gaussian((around > 0.5).astype(float), _FADE * FPS), 0, 1)
    return out


def _find_loop(motion: Motion) -> _Loop | None:
    # The frame at which a clip can go on after its last one; None where it comes to rest or never returns.
    last = max(2, round(END_SECONDS * FPS))
    if len(motion) < round(MIN_LOOP * FPS) + last:
        return None
    joints = motion.joints.astype(np.float64)
    speed = np.linalg.norm(np.diff(joints[-last:], axis=0), axis=-1).mean() * FPS
    if speed < END_SPEED:
        return None
    heading = motion.heading.astype(np.float64)
    level = joints - joints[:, :1] * np.array([1, 0, 1])
    poses = rot.rotate(rot.about_y(-heading)[:, None], level)
    # Three frames ahead, so that a step back differs from a step forward.
    moves = np.gradient(poses, axis=0) * 3
    features = np.concatenate([poses, poses + moves], 1)
    stop = len(motion) - 1 - round(MIN_LOOP * FPS)
    distance = np.linalg.norm(features[:stop] - features[-1], axis=-1).mean(-1)
    best = int(distance.argmin())
    if distance[best] > MAX_POSE_DISTANCE:
        return None
    start, yaw = best + 1, float(heading[-1] - heading[best])
    flat = np.array([1.0, 0, 1])
    step = joints[-1, 0] * flat - rot.rotate(rot.about_y(yaw), joints[best, 0] * flat)
    pelvis_speed = float(np.linalg.norm(np.diff(joints[-last:, 0] * flat, axis=0), axis=-1).mean()) * FPS
    # On the spot, small steps and turns of each round would add up; a body that travels may turn.
    drift = max(float(np.linalg.norm((joints[-1, 0] - joints[best, 0]) * flat)), abs(yaw))
    return None if drift > MAX_DRIFT and pelvis_speed <= TRAVEL_SPEED else _Loop(start, yaw, step)


TRUNK = [SMPL22.index(n) for n in ("spine1", "spine2", "spine3", "neck", "head")]
HANGING = (0.24, 0.36)  # m from where a hand hangs, between which it is on its way
NECK_SHARE = 0.35  # of an instructed turn of the head
_HAND_JOINTS = len(FINGER_NAMES) // 2


def compose_clip(
    body: Body, gestures: Motion, face: FaceMotion, start: int = 0, sound: Path | None = None, caption: str = "",
    eye_contact: float = 0.0, calm: Sequence[Span] = (), poise: Poise | None = None, jaw: Sequence[Span] = (),
) -> AvatarMotion:  # fmt: skip
    """One clip of T frames at 30 fps, from frame `start` of the talk on.

    Args:
        gestures: T frames with fingers. face: T frames; its head is turned in addition to the gestures' head.
        eye_contact: 0 the face's own gaze, 1 eyes to a viewer in front of the chest whatever the head does.
        calm: seconds in which the head follows an instruction: the gestures move it less (`idle.idle_share`).
        poise: holds trunk and head of the gestures while nobody speaks; None where somebody listens. jaw: see there.
    """
    if gestures.fingers is None or gestures.fps != face.fps or len(gestures) != len(face):
        raise UserError(f"gestures of {len(gestures)} frames at {gestures.fps:g} a second beside a face of {len(face)} "
                        f"at {face.fps:g}; accepted: with fingers, and as many at the same rate")  # fmt: skip
    under, active, lap = body.frames(start, start + len(face))
    hanging = 1 - smoothstep((from_hanging(gestures) - HANGING[0]) / (HANGING[1] - HANGING[0]))  # (T, 2) the hands
    body_share = np.maximum(active, lap * hanging)
    base, turned = under.rotations.astype(np.float64), gestures.rotations.astype(np.float64)
    if poise is not None:
        turned[:, TRUNK] = poise(turned[:, TRUNK], face, jaw)
    turned[:, [NECK, HEAD]] = _calm_joints(turned[:, [NECK, HEAD]], calm, start)
    out = base.copy()
    out[:, TRUNK] = rot.multiply(base[:, TRUNK], turned[:, TRUNK])
    out = turn_head(out, face.head)
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


def turn_head(rotations: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Rotations (T, J, 4) with turns of the head (T, 3), in its own frame, on top; the neck takes its share."""
    out = rotations.copy()
    turned = rot.multiply(out[:, HEAD], turns(head))
    in_neck = rot.multiply(turned, rot.conjugate(out[:, HEAD]))  # the same turn in the neck's frame
    part = rot.slerp(rot.identity((len(turned),)), in_neck, NECK_SHARE)
    out[:, NECK], out[:, HEAD] = rot.multiply(out[:, NECK], part), rot.multiply(rot.conjugate(part), turned)
    return out


def _calm_joints(joints: np.ndarray, calm: Sequence[Span], start: int = 0) -> np.ndarray:
    # Rotations (T, J, 4) from frame `start` on, reduced in calm spans.
    share = idle_share(calm, np.arange(start, start + len(joints)), FPS)
    reduced = np.flatnonzero(share < 1)
    out = joints.copy()
    out[reduced] = rot.slerp(rot.identity(out[reduced].shape[:-1]), out[reduced], share[reduced, None])
    return out


def with_head(
    face: FaceMotion, gestures: Motion, eye_contact: float = 0.0, calm: Sequence[Span] = (), jaw: Sequence[Span] = ()
) -> FaceMotion:
    """A face whose head follows the gestures' head while it speaks, and then its own turns; its weights are unchanged.

    Args:
        gestures: as many frames at the same rate. eye_contact, calm, jaw: as in `compose_clip`; the first changes
            the gaze.
    """
    joints = Poise(face.fps)(gestures.rotations[:, [NECK, HEAD]].astype(np.float64), face, jaw)
    joints = _calm_joints(joints, calm)
    combined = rot.multiply(joints[:, 0], joints[:, 1])
    out = replace(face, head=angles_of(rot.multiply(combined, turns(face.head))))
    return with_eye_contact(out, eye_contact)


def finish_face(
    pipeline: FacePipeline, clip: FaceMotion, controls: Controls, score: Score | None, seed: int,
    gestures: GesturePipeline | None = None, audio: str | os.PathLike[str] | np.ndarray | None = None,
) -> FaceMotion:  # fmt: skip
    """A clip of `FacePipeline.perform` with its controls; the head moves as `gestures` of its sound at 16 kHz move it.
    Not live: the gestures' network looks further ahead than the face's."""
    if gestures is None or audio is None:
        return pipeline.with_controls(clip, controls, score, seed)
    lively = pipeline.with_controls(clip, replace(controls, eye_contact=0.0), score, seed)
    spans = Spans.of(score)
    return with_head(lively, gestures.perform(audio, seed=seed), controls.eye_contact, spans.calm, spans.jaw)


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

    def read_face(
        self, text: str, feelings: Sequence[Feeling] = (), seconds: float | None = None, body: Body | None = None,
        words: Sequence[TimedWord] = (),
    ) -> Score | None:
        """What a face does in a talk of some seconds: the instruction, without one what the body's words say of it."""
        acted = None if text or body is None else body.score
        if acted is not None:
            acted = replace(acted, emotions=() if feelings else acted.emotions)
            return acted if seconds is None else cut_score(acted, seconds)
        if seconds is not None:
            return self.face.place([text], seconds, True, feelings, words=words)[0]
        return self.face.read([text])[0] if text else None

    def speak(
        self, audio: str | os.PathLike[str] | np.ndarray, rate: int = sound.RATE, text: str = "",
        feelings: Sequence[Feeling] = (), score: Score | None = None, body: Body | None = None,
        controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        progress: Callable[[int], None] | None = None, words: Iterable[TimedWord] | None = None, **gestures: Any,
    ) -> AvatarMotion:  # fmt: skip
        """A whole talk of T frames at 30 fps.

        The 52 weights are those of the face alone, to the bit, unless `controls` ask for eye contact.

        Args:
            audio: speech, a file or samples (n,) at `rate`.
            text: a facial instruction, read (`read_face`) unless `score` is its result; of a doubtful one
                `UnheededText` warns.
            feelings: emotion keyframes, instead of those named in the text.
            body: motion of pelvis and legs; None = they stand.
            controls: of the face: blinks, idle movement, eye contact. lips: see `FacePipeline.perform`.
            words: with times, for the hands and the mouth (`FaceStream`); None = words are off.
            gestures: ``other``, ``speaker`` and other options of `GesturePipeline.perform`.

        Raises:
            UserError: bad sound, text, words, speaker or control.
        """
        seconds = sound.open_sound(audio, rate).about.seconds
        timed = None if words is None else list(words)
        if score is None:
            score = self.read_face(text, feelings, seconds, body, timed or ())
            self.face.warn(text, score)
        motion = self.gestures.perform(audio, rate, timed, seed=seed, progress=progress, **gestures)
        clip = self.face.perform(
            text, audio, rate, feelings, score=score, head=lips, words=timed or (),
            progress=None if progress is None else lambda frames: progress(len(motion) + frames),
        )  # fmt: skip
        # Eye contact depends on the combined head: `compose_clip` adds it.
        face = self.face.with_controls(clip, replace(controls, eye_contact=0.0), score, seed)
        source = None if isinstance(audio, np.ndarray) else Path(audio)
        spans = Spans.of(score)
        poise = Poise(face.fps) if gestures.get("other") is None else None
        return compose_clip(
            _sway_body(body or Standing(seed), controls), motion, face, 0, source, text, controls.eye_contact,
            spans.calm, poise, spans.jaw,
        )  # fmt: skip

    def stream(
        self, rate: int = sound.RATE, text: str = "", feelings: Sequence[Feeling] = (), score: Score | None = None,
        body: Body | None = None, controls: Controls = LIVELY, lips: str = "rule", seed: int = 0,
        seconds: float | None = None, words: Iterable[TimedWord] | None = None, **gestures: Any,
    ) -> AvatarStream:  # fmt: skip
        """A live stream; its joined pieces are the result of `speak`, to the bit, if `seconds` are the sound's.

        Args:
            rate: samples a second of what will be pushed.
            seconds: length of the sound if it is known: the instruction is fitted to it.
            words: known by now, as in `speak`; those that come later (`AvatarStream.say`) move the hands alone.
            gestures: options of `GesturePipeline.stream`. The rest: as in `speak`.
        """
        if score is None:
            score = self.read_face(text, feelings, seconds, body)
            self.face.warn(text, score)
        direction = self.face.direction(score, feelings, seconds)
        spans, upper = Spans.of(score), self.face.upper if controls.upper else None
        lively = LiveControls(replace(controls, eye_contact=0.0), sound.FPS, seed, *spans, upper)
        timed = None if words is None else list(words)
        return AvatarStream(
            self.face.driver.stream(rate, direction=direction, head=lips, words=timed or ()),
            self.gestures.stream(rate, timed, seed=seed, seconds=seconds, **gestures),
            _sway_body(body or Standing(seed), controls), lively, controls.eye_contact, spans.calm, direction,
            spans.jaw,
        )  # fmt: skip


def _sway_body(body: Body, controls: Controls) -> Body:
    """A standing person sways as the controls say; a clip stays as it is."""
    return Standing(body.seed, min(controls.idle, 1.0)) if isinstance(body, Standing) else body


class AvatarStream:
    """One talk: samples in chunks of any size in, pieces of the avatar out; frame i of all parts is at i / 30 s.

    The face's network has less look-ahead and waits for the gestures. Joined pieces are the clip of the whole sound,
    bit for bit, whatever the chunks; memory does not grow.
    """

    def __init__(
        self, face: FaceStream, gestures: GestureMotionStream, body: Body, lively: LiveControls,
        eye_contact: float = 0.0, calm: Sequence[Span] = (), direction: Direction | None = None,
        jaw: Sequence[Span] = (),
    ) -> None:  # fmt: skip
        self._face, self._gestures, self._body = face, gestures, body
        self._lively, self._eye_contact, self._calm = lively, eye_contact, calm
        self._direction, self._jaw = direction or Direction(), jaw
        self._poise: Poise | None = Poise(float(sound.FPS))
        self._curves: list[np.ndarray] = []
        self._motions: list[Motion] = []
        self.frames = 0  # given out so far

    @property
    def latency(self) -> float:
        """Seconds from a frame's time to the last sample that it needs."""
        return max(self._face.latency, self._gestures.latency)

    def say(self, words: Iterable[TimedWord], other: bool = False) -> None:
        """Add words of the speaker or the interlocutor; see `GestureMotionStream.say`."""
        self._gestures.say(words, other)

    def cue(self, gesture: str, word: TimedWord) -> None:
        """Add a gesture of the bank at a word; see `GestureMotionStream.cue`."""
        self._gestures.cue(gesture, word)

    def end_at(self, frames: int) -> None:
        """The sound will have so many frames; see `GestureMotionStream.end_at`."""
        self._gestures.end_at(frames)

    def direct(self, direction: Direction, score: Score | None = None, instructed: bool = False) -> int:
        """Other feelings, or another instruction, from the face's next frame on; feelings are reached 0.4 s later.

        Args:
            direction: its seconds count from there. score: of the instruction.
            instructed: whether it takes the place of the instruction before; else that goes on.

        Returns:
            The number of the frame.
        """
        frame = self._face.frames
        at = frame / sound.FPS
        self._direction = self._direction.follow_with(direction, at, instructed)
        self._face.direct(self._direction)
        if instructed:
            spans = Spans.of(score)
            self._lively.direct(at, *spans)
            self._calm, self._jaw = spans_after(self._calm, spans.calm, at), spans_after(self._jaw, spans.jaw, at)
        return frame

    @property
    def repaired(self) -> int:
        """Samples so far that were not numbers and counted as silence."""
        return self._face.repaired

    def push(self, pcm: np.ndarray, other: np.ndarray | None = None) -> AvatarMotion | None:
        """Samples (n,) or (n, channels) of one or both voices -> the frames that are ready, None where none are."""
        if other is not None:  # listening moves the head as well
            self._poise = None
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
        out = compose_clip(
            self._body, motion.slice(0, count), face, self.frames, eye_contact=self._eye_contact, calm=self._calm,
            poise=self._poise, jaw=self._jaw,
        )  # fmt: skip
        self._curves = self._curves[count:]
        self._motions = [motion.slice(count, len(motion))] if len(motion) > count else []
        self.frames += count
        return out
