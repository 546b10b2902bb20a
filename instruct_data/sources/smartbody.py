"""Reader for a folder of SmartBody's named gestures: ``motions.npz``, ``clips.jsonl`` and ``joints.json``."""

# `motions.npz`: `root` float32 (N, 3) metres, `rot` int16 (N, 22, 4) and `fingers` int16 (N, 30, 4) = 32767 *
# quaternion, `offsets`: clip i is rows offsets[i] to offsets[i + 1]; 30 frames a second, Y up. A line of
# `clips.jsonl` says id, set, name, performer_skeleton, posture, gesture, hand (both, left, right or null), index,
# max_step_deg and `sync`: seconds of the phases ready, strokeStart, emphasis (the peak of the stroke), stroke (its
# end), relax.
#
# Wrists and fingers of such a folder are turned in the axes of each performer's own rest pose, whose arms hang at
# other angles than ours. They are brought to our straight hand here, from how the left hands of the skeletons rest
# (SmartBody, data/behaviorsets/*/skeletons; LGPL-2.1); the right ones are their mirror images.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instruct_data.clip import Clip
from instruct_data.sources.corpus import Corpus, Report, loaded, normalised
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows, read_arrays, read_object
from vqvae.io.files import parsing
from vqvae.motion import Motion
from vqvae.retarget import HALF, below_wrist, bone_turns, hand_turn
from vqvae.skeleton import FINGER_NAMES, SMPL22

FPS = 30.0
MAX_STEP = 60.0  # degrees from frame to frame: more is a jump in the recording
PHASES = ("ready", "strokeStart", "emphasis", "stroke", "relax")


@dataclass(frozen=True)
class _RestHand:
    """A left hand in a skeleton's rest pose, directions in hundredths, Y up, left = +X."""

    forward: tuple[int, int, int]  # from the wrist to the middle knuckle
    across: tuple[int, int, int]  # from the little finger's knuckle to the index finger's
    bones: tuple[tuple[int, int, int], ...]  # of the fingers, from joints 1, 2 and 3 on


_BRAD = _RestHand(
    (75, -66, 8), (13, -4, 99),
    ((13, -48, 87), (30, -79, 54), (31, -85, 43), (74, -68, 0), (68, -74, 2), (61, -79, -3), (78, -63, 2),
     (64, -77, -3), (61, -79, 0), (73, -68, -4), (72, -69, -1), (60, -80, -1), (71, -70, -9), (70, -71, -1),
     (55, -83, -8)),
)  # fmt: skip
_REST_HANDS = {
    "ChrBrad": _BRAD, "ChrBrad2": _BRAD,
    "ChrGarza": _RestHand((99, 4, 12), (11, 1, 99), ((70, -37, 62),) * 3 + ((100, 0, 0),) * 12),
    "ChrConnor": _RestHand(
        (45, -69, 57), (-66, 5, 75),
        ((-1, -75, 66), (6, -86, 50), (7, -96, 27), (33, -80, 50), (23, -91, 34), (10, -98, 18), (42, -77, 48),
         (25, -93, 27), (8, -99, 14), (47, -75, 47), (31, -91, 28), (19, -96, 18), (49, -77, 40), (33, -91, 25),
         (28, -94, 21)),
    ),
}  # fmt: skip


def read_smartbody(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Clips whose `action` is the gesture's class and whose ``extra`` holds hand, sync, posture, set and performer.

    Clips that jump are left out; performers whose hands at rest are not known come without fingers.
    """
    _check_joints(root / "joints.json", corpus)
    arrays = _arrays(root / "motions.npz")
    path = root / "clips.jsonl"
    for n, row in json_rows(path):
        with parsing(f"{path}: line {n}", "a clip of a gesture"):
            name, index, step = str(row["id"]), int(row["index"]), float(row["max_step_deg"])
            sync = {k: float(v) for k, v in dict(row["sync"]).items() if k in PHASES}
            hand, performer = row.get("hand"), str(row["performer_skeleton"])
            if hand not in (None, "both", "left", "right"):
                raise UserError(f"hand {hand!r}; accepted both, left, right or null")
            if not 0 <= index < len(arrays["offsets"]) - 1:
                raise UserError(f"no clip {index} in motions.npz; it holds {len(arrays['offsets']) - 1}")
            action = str(row.get("gesture") or "")
            extra = {"hand": hand, "sync": sync, "speaker": performer, "posture": row.get("posture"), "set": row["set"]}
        if step > MAX_STEP:
            report.skip(name, f"jumps by more than {MAX_STEP:g} degrees from frame to frame")
            continue
        load = _Load(arrays, index, performer, root / "motions.npz")
        yield from loaded(Clip(name, load, [], "smartbody", corpus.licence, split, action, extra=extra), report)


def _check_joints(path: Path, corpus: Corpus) -> None:
    data = read_object(path, accepted=f"accepted {corpus.tree}")
    with parsing(path, "a list of joints"):
        same = tuple(data["body"]) == SMPL22.names and tuple(data["fingers"]) == FINGER_NAMES and data["fps"] == FPS
    if not same:
        raise UserError(f"{path}: other joints; accepted the 22 SMPL joints, {FINGER_NAMES[0]} ... {FINGER_NAMES[-1]}, "
                        f"{FPS:g} frames a second")  # fmt: skip


def _arrays(path: Path) -> dict[str, np.ndarray]:
    keys = ("root", "rot", "fingers", "offsets")
    data = read_arrays(path, keys)
    with parsing(path, f"clips as {', '.join(keys)}"):
        arrays = {k: data[k] for k in keys}
        count = len(arrays["root"])
        shapes = {"root": (count, 3), "rot": (count, len(SMPL22.names), 4), "fingers": (count, len(FINGER_NAMES), 4)}
        wrong = next((k for k, shape in shapes.items() if arrays[k].shape != shape), None)
        if wrong:
            raise UserError(f"{wrong} {arrays[wrong].shape}; accepted {shapes[wrong]}")
        rows = arrays["offsets"]
        if rows.ndim != 1 or len(rows) < 2 or rows[0] != 0 or rows[-1] != count or (np.diff(rows) < 1).any():
            raise UserError(f"offsets do not divide {count} rows; accepted rising numbers from 0 to {count}")
    return arrays


@dataclass(frozen=True, eq=False)
class _Load:
    arrays: dict[str, np.ndarray]
    index: int
    performer: str
    path: Path

    def __call__(self) -> Motion:
        rows = slice(*(int(v) for v in self.arrays["offsets"][self.index : self.index + 2]))
        with parsing(self.path, f"clip {self.index}"):
            body = self.arrays["rot"][rows].astype(np.float32) / 32767
            motion = Motion(body, self.arrays["root"][rows].copy(), FPS, "gesture")
            rest_hand = _REST_HANDS.get(self.performer)
            if rest_hand is not None:
                fingers = self.arrays["fingers"][rows].astype(np.float64) / 32767
                motion = _with_fingers(motion, rot.normalize(fingers), rest_hand)
        return normalised(motion)


def _with_fingers(motion: Motion, fingers: np.ndarray, rest_hand: _RestHand) -> Motion:
    """The gesture with fingers (T, 30, 4) and wrists turned from the axes of the performer's rest pose to ours."""
    body, out = motion.rotations.astype(np.float64), []
    for side, sign, first in (("l", 1.0, 0), ("r", -1.0, HALF)):
        mirror = np.array([sign, 1.0, 1.0])
        forward, across = np.array(rest_hand.forward) * mirror, np.array(rest_hand.across) * mirror
        hand = hand_turn(side, forward, across)
        turns = rot.from_matrix(bone_turns(side, hand, np.array(rest_hand.bones) * mirror))
        chain = fingers[:, first : first + HALF].copy()
        # each joint's rotation relative to the wrist, from the chain of its finger
        for k in range(HALF):
            if k % 3:
                chain[:, k] = rot.multiply(chain[:, k - 1], chain[:, k])
        palm = rot.from_matrix(hand)
        out.append(below_wrist(np.repeat(palm[None], len(chain), 0), rot.multiply(chain, turns)))
        wrist = SMPL22.index(f"{side}_wrist")
        body[:, wrist] = rot.multiply(body[:, wrist], palm)
    return Motion(body, motion.root, motion.fps, "gesture", fingers=np.concatenate(out, 1))
