"""Acts done by hand on the timeline: a limb led to a place, keys held, a stretch made anew between what stands."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from pydantic import Field

from avatargpt.body.keys import PIN_CHAINS, apply_keys, place_pelvis
from avatargpt.chat.scene import ActContext, ActResult, divide_timeline, duration, find_file, performs
from avatargpt.chat.segments import with_segment
from avatargpt.chat.timeline import FPS, MAX_CUT_SECONDS, Timeline, segment_of
from instruct_data.dialogue.acts import Act
from instruct_data.joining import BLEND_SECONDS
from instruct_data.requests.spec import Pin, Place, PoseKey
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import parsing
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.strict import Strict

MAX_PLACE = 1000.0  # metres from the origin of the timeline
MAX_KEYS = 200  # of a kind
MAX_MISS = 0.04  # metres from a key without a note
MAX_TURN = 5.0  # degrees of a joint from its key without a note
ROUNDS = 4  # after which places are where they are wanted
BETWEEN = "in between"  # the words of a stretch that is made without words
Key = TypeVar("Key", Pin, Place, PoseKey)


class Keys(Strict):
    """What holds at seconds of a timeline, in the frame of its first pose: metres, +Y up, +Z ahead, +X to its left."""

    places: list[Place] = Field(default=[], max_length=MAX_KEYS)
    poses: list[PoseKey] = Field(default=[], max_length=MAX_KEYS)
    pins: list[Pin] = Field(default=[], max_length=MAX_KEYS)

    @property
    def all(self) -> list[Place | PoseKey | Pin]:
        """Of every kind."""
        return [*self.places, *self.poses, *self.pins]

    def within(self, first: int, end: int) -> Keys:
        """Those in frames [first, end)."""
        rows = {n: [k for k in getattr(self, n) if first <= _frame(k.second) < end] for n in Keys.model_fields}
        return Keys(**rows)


@performs("pull", "hold")
def hold(scene: ActContext, act: Act) -> ActResult:
    """The movement that stands, led through one key or those of a file; segments keep their lengths."""
    keys = Keys(pins=[_pin(str(act.pin))]) if act.do == "pull" else _read(scene, act)
    scene.state.index(None)
    state, held, notes = _hold_keys(scene.state, keys)
    count, note = len(keys.all), "; ".join(notes)
    for at in held:
        state = with_segment(state, at, replace(state.segments[at], note=note))
    text = f"{count} key{' is' if count == 1 else 's are'} held, in segment {' and '.join(str(i + 1) for i in held)}."
    return ActResult(state, f"{text} Note: {note}." if note else text)


@performs("repaint", spans=True)
def repaint(scene: ActContext, act: Act) -> ActResult:
    """From the end of the timeline on it is what comes next; what stands before and after keeps its poses."""
    keys, state = Keys() if act.file is None else _read(scene, act), scene.state
    first, last = _frame(act.start or 0), _frame(act.end or state.seconds)
    if state.segments:
        state = divide_timeline(divide_timeline(state, first / FPS), last / FPS)
    inside = [i for i, (a, b) in enumerate(state.spans) if a >= first and b <= last]
    whole = state.motion if state.segments else None
    length = 0 if whole is None else len(whole)
    if (not inside and first != length) or any(state.rounds[i] > 1 for i in inside):
        raise UserError(f"{first / FPS:g} to {last / FPS:g} s; accepted: 0.2 s or more, outside of loops")
    at, after = (inside[0], inside[-1] + 1) if inside else (len(state.segments),) * 2
    a, b = (state.spans[at][0], state.spans[after - 1][1]) if inside else (length, length)
    end = b if after < len(state.segments) else max(b, last)
    text = "" if act.text == BETWEEN else str(act.text)
    sides = (whole.slice(0, a) if whole and a else None), (whole.slice(b, length) if whole and b < length else None)
    motion = _make(scene, *sides, (end - a) / FPS, text)
    segment = segment_of(text or BETWEEN, motion, scene.seed, True, "made" if text and not keys.all else "file")
    segment = replace(segment, follows=state.segments[at - 1].key if at else "")
    state = state.replace_segments([*state.segments[:at], segment, *state.segments[after:]], at)
    if keys != keys.within(a, end + (at == len(state.segments) - 1)):
        raise UserError(f"a key outside of {a / FPS:g} to {end / FPS:g} s; accepted: keys of the stretch")
    state, _, notes = _hold_keys(state, keys)
    state = with_segment(state, at, segment := replace(state.segments[at], note="; ".join((*motion.notes, *notes))))
    told = f"Made from {a / FPS:g} to {end / FPS:g} s: {text or BETWEEN} ({duration((end - a) / FPS)})."
    return ActResult(state, f"{told} {segment.remark}".rstrip())


def _make(scene: ActContext, before: Motion | None, after: Motion | None, seconds: float, text: str) -> Motion:
    """The motion of a stretch, in the world of what stands before it."""
    model, seed = scene.model, scene.seed % 2**32
    if before is None:
        if not text:
            raise UserError("a stretch at the beginning, without words; accepted: words for it")
        ends = {} if after is None else {"end_pose": after}
        return model.generate([text], seconds=seconds, seed=seed, **ends)[0]
    if after is None:
        made = model.extend(before, seconds, text, seed=seed)
    else:
        made = model.in_between(before, after, seconds, text, seed=seed, keep_place=True)
    return made.slice(len(before), len(before) + round(seconds * FPS))


def _hold_keys(state: Timeline, keys: Keys) -> tuple[Timeline, list[int], list[str]]:
    """The timeline with keys held, indices of the segments with keys, and a line for each key that is not held."""
    for key in keys.all:
        if not any(a <= _frame(key.second) <= b for a, b in state.spans):
            text = f"0 to {state.seconds:g}, where a loop is played for the first time"
            raise UserError(f"key at {key.second:g} s; accepted {text}")
    held: list[int] = []
    notes: list[str] = []
    for at in range(len(state.segments)):
        last = at == len(state.segments) - 1
        here = keys.within(state.spans[at][0], state.spans[at][1] + last)
        held += [at] * bool(here.all)
        if not last:  # a seam blends from the end of one segment into the next one: keys there lead both
            seam = keys.within(state.spans[at][1], state.spans[at][1] + round(BLEND_SECONDS * FPS))
            here = Keys(places=here.places, poses=[*here.poses, *seam.poses], pins=[*here.pins, *seam.pins])
        for turn in range(ROUNDS if here.all else 0):  # what is led changes the seam before it
            segment, motion = state.segments[at], state.segments[at].motion
            places, poses = [_local(state, at, k) for k in here.places], [_local(state, at, k) for k in here.poses]
            if places:
                ends = [0] if last else [0, len(motion) - 1]
                taken = {_frame(p.second) for p in places}
                stand = [Place(second=f / FPS, place=_root(motion, f)) for f in ends if f not in taken]
                places = [*stand, *places]
                if not turn:
                    motion, told = place_pelvis(motion, places)
                    notes += told
            motion, _ = apply_keys(motion, places, poses, [_local(state, at, k) for k in here.pins])
            state = with_segment(state, at, replace(segment, motion=motion))
            if not _misses(state.motion, here):
                break
    return state, held, notes + _misses(state.motion, keys)


def _misses(motion: Motion, keys: Keys) -> list[str]:
    """A line for each place of the body or of a limb, and each pose, that is not as its key has it."""
    rows = [("body", p.second, np.subtract(_root(motion, _at(motion, p)), p.place)) for p in keys.places]
    for pin in keys.pins:
        there = motion.joints[_at(motion, pin), SMPL22.index(PIN_CHAINS[pin.limb][2])]
        rows.append((pin.limb.replace("_", " "), pin.second, there - pin.place))
    found = [(name, second, float(np.linalg.norm(away))) for name, second, away in rows]
    lines = [f"{name} at {second:g} s: {away:.2f} m out of reach" for name, second, away in found if away > MAX_MISS]
    for pose in keys.poses:
        joints = [SMPL22.index(name) for name in pose.rotations]
        goal = rot.normalize(np.array(list(pose.rotations.values()), float))
        turns = rot.multiply(goal, rot.conjugate(motion.rotations[_at(motion, pose), joints].astype(float)))
        away = float(np.degrees(np.linalg.norm(rot.to_axis_angle(turns), axis=-1)).max())
        lines += [f"pose at {pose.second:g} s: a joint {away:.0f} degrees away"] * (away > MAX_TURN)
    return lines


def _local(state: Timeline, at: int, key: Key) -> Key:
    """A key of the timeline as one of a segment's own motion, which may be played turned and from a later frame on."""
    whole, segment = state.motion, state.segments[at].motion
    frame = _at(whole, key)
    there, angle = _within(whole, state.spans[at][0], frame, segment)
    back = rot.about_y(np.array(angle))
    changed: dict[str, object] = {"second": there / FPS}
    if isinstance(key, PoseKey):
        turned = {n: np.array(q, float) for n, q in key.rotations.items()}
        if (name := SMPL22.names[0]) in turned:
            turned[name] = rot.multiply(back, turned[name])
        changed["rotations"] = {n: tuple(q.tolist()) for n, q in turned.items()}
    else:
        # of a pin the height, too: the ground of the timeline may be another one
        flat = isinstance(key, Place)
        point = np.insert(np.array(key.place, float), 1, whole.root[frame, 1]) if flat else np.array(key.place, float)
        x, y, z = (rot.rotate(back, point - whole.root[frame]) + segment.root[there]).tolist()
        changed["place"] = (x, z) if flat else (x, y, z)
        if isinstance(key, Place) and key.heading is not None:
            changed["heading"] = float(key.heading + np.degrees(angle))
    return key.model_copy(update=changed)


def _within(whole: Motion, start: int, frame: int, segment: Motion) -> tuple[int, float]:
    """The frame of a segment that is played from frame `start` on, in a frame of the timeline, and how it is turned to
    what is played, radians."""
    # a seam may have given up its first frames; the local turns of joints are the same wherever it is played
    first = min(max(frame - start, 0), len(segment) - 1)
    rows = segment.rotations[first : first + round(MAX_CUT_SECONDS * FPS) + 1, 1:]
    there = first + int(np.abs(rows - whole.rotations[frame, 1:]).max((1, 2)).argmin())
    return there, float(segment.heading[there] - whole.heading[frame])


def _frame(second: float) -> int:
    return round(second * FPS)


def _at(motion: Motion, key: Place | PoseKey | Pin) -> int:
    return min(_frame(key.second), len(motion) - 1)


def _root(motion: Motion, frame: int) -> tuple[float, float]:
    return float(motion.root[frame, 0]), float(motion.root[frame, 2])


def _read(scene: ActContext, act: Act) -> Keys:
    """The keys of a file of an act."""
    with parsing(path := find_file(scene, str(act.file)), "keys of a timeline"):
        return Keys.model_validate(read_object(path))


def _pin(text: str) -> Pin:
    limb, *numbers = text.split()
    try:
        second, x, y, z = map(float, numbers)
    except ValueError:
        raise UserError(f"pull: {text}; accepted a limb, a second and x y z in metres") from None
    if limb not in PIN_CHAINS or not all(abs(v) <= MAX_PLACE for v in (second, x, y, z)):
        raise UserError(f"pull: {text}; accepted {', '.join(PIN_CHAINS)}, numbers up to {MAX_PLACE:g}")
    return Pin(limb=limb, second=second, place=(x, y, z))  # type: ignore[arg-type]
