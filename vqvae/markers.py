"""Markers of optical motion capture -> our 22 joints, by what the labels of published marker sets say of their places.

Hips are where Bell et al. (Human Movement Science 8, 1989) have them: from the middle of the pelvis' front 36 % of its
width to the side, 30 % down, 19 % back. Knees, ankles and elbows lie beside their markers by half their width,
along the hinge; shoulders below the acromion. Widths are shares of the leg's length, so files of any unit are read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.c3d import ACCEPTED as WHOLE
from vqvae.io.c3d import Markers, read_c3d
from vqvae.io.files import parsing
from vqvae.io.hml263 import swing_rotations
from vqvae.motion import Motion
from vqvae.posture import turn_to, unit
from vqvae.rig import AXES
from vqvae.skeleton import SMPL22
from vqvae.upright import by_movement, likeliest

MAX_GAP = 1.0  # s that a marker may be out of sight; in between it goes straight on
LISTED = 12  # labels that a message lists
LEG = 0.85  # m of a leg from the pelvis' front marker over the knee's to the ankle's, to which the widths below belong
KNEE, ANKLE, ELBOW = 0.05, 0.035, 0.035  # m from a marker beside a joint to its middle
ACROMION, C7 = 0.05, 0.055  # m from the shoulder's marker down, and from that of the neck forwards
CROWN = 0.2  # m from the head's joint, at the base of the skull, up to the top
DORSAL = 0.012  # m from a marker on the back of hand or foot to the middle
TILT = np.radians(11)  # by which the line from the back of the pelvis to its front leads down in upright people
BENT = (0.2, 0.6)  # sine of an elbow's bend from which on its hinge counts, and from which on it counts in full

# Label of Vicon's Plug-in Gait -> the same place in other sets.
_CMU = {"RBAC": "RBAK", "LFWT": "LASI", "RFWT": "RASI", "LBWT": "LPSI", "RBWT": "RPSI"}
_OPTITRACK = {"HEADTOP": "HDTP", "HEADFRONT": "HDFR", "BACKTOP": "C7"} | {
    f"{s}{theirs}": f"{s}{ours}"
    for s in "LR"
    for theirs, ours in (("SHOULDERTOP", "SHO"), ("ELBOWOUT", "ELB"), ("WRISTIN", "WRA"), ("WRISTOUT", "WRB"),
                         ("HANDOUT", "FIN"), ("KNEEOUT", "KNE"), ("ANKLEOUT", "ANK"), ("TOEIN", "MT1"),
                         ("TOEOUT", "MT5"), ("HEEL", "HEE"))
} | {f"WAIST{s}{end}": f"{s}{ours}" for s in "LR" for end, ours in (("FRONT", "ASI"), ("BACK", "PSI"))}  # fmt: skip
_SAME = _CMU | _OPTITRACK
# What has to be there: one of the groups of each line.
_NEEDED: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("LASI", "RASI"),), (("LPSI", "RPSI"), ("SACR",)), (("C7",),),
    (("LFHD", "RFHD", "LBHD", "RBHD"), ("HDTP", "HDFR")),
    *((tuple(f"{s}{n}" for n in group),) for s in "LR" for group in (("SHO", "ELB", "WRA", "WRB"), ("KNE", "ANK"))),
    *(((f"{s}TOE",), (f"{s}MT1", f"{s}MT5")) for s in "LR"),
)  # fmt: skip
ACCEPTED = "accepted the labels of Vicon's Plug-in Gait, of CMU's 41 markers or of OptiTrack's Baseline"


def read_markers(path: str | os.PathLike[str], up: str | None = None) -> Motion:
    """The motion of the person in a ``.c3d``; see :func:`solve_markers`. Raises UserError as that and `read_c3d`."""
    path = Path(path)
    markers = read_c3d(path)
    with parsing(path, "the markers of a body", WHOLE):
        return solve_markers(markers, up)


def solve_markers(markers: Markers, up: str | None = None) -> Motion:
    """The motion of the person whose markers a file has, in metres of our body, Y up.

    Args:
        up: the vertical axis, as of `vqvae.rig.AXES`; None: the one along which the body stands, else the file's.

    Raises:
        UserError: labels that are not known or lack some, two people, markers out of sight for more than a second.
    """
    if up is not None and up not in AXES:
        raise UserError(f"up {up!r}; accepted {', '.join(AXES)}")
    at = {name: _fill_gaps(name, points, markers.fps) for name, points in _person(markers).items()}
    leg = sum(float(np.median(_length(at[f"L{a}"] - at[f"L{b}"]))) for a, b in (("ASI", "KNE"), ("KNE", "ANK")))
    if leg < 1e-9:
        raise UserError("legs without length; accepted markers of a body")
    places, turns = _joints(at, leg / LEG)
    index = {n: k for k, n in enumerate(SMPL22.names)}
    joints = np.stack([places[n] for n in SMPL22.names], 1)
    stated = up or markers.up
    seen = by_movement(joints, index) if up is None else None
    axis = seen if seen is not None else AXES[stated] if stated else likeliest(joints, index)
    upright = rot.between(axis, np.array([0.0, 1, 0]))
    joints = rot.rotate(upright, joints)
    turned = {index[n]: rot.multiply(upright, q) for n, q in turns.items()}
    scale = _legs(SMPL22.rest_joints[None]) / _legs(joints)
    return Motion(swing_rotations(joints, turns=turned), joints[:, 0] * scale, markers.fps)


def _person(markers: Markers) -> dict[str, np.ndarray]:
    """Label of Plug-in Gait -> (T, 3), of the one person whose markers are all there."""
    people: dict[str, dict[str, np.ndarray]] = {}
    for k, label in enumerate(markers.labels):
        person, _, name = label.rpartition(":")
        name = name.strip().upper().replace(" ", "").replace("_", "")
        if np.isfinite(markers.points[:, k]).any():
            people.setdefault(person, {}).setdefault(_SAME.get(name, name), markers.points[:, k])
    lacking = {person: _list_missing(at) for person, at in people.items()}
    whole = [person for person, missing in lacking.items() if not missing]
    if len(whole) > 1:
        raise UserError(f"{len(whole)} people ({', '.join(whole)}); accepted the markers of one")
    if whole:
        return people[whole[0]]
    nearest = min(lacking, key=lambda p: len(lacking[p]), default=None)
    labels = [label for label in markers.labels if label]
    if nearest is None or len(lacking[nearest]) > len(_NEEDED) // 2:
        more = ", ..." * (len(labels) > LISTED)
        raise UserError(f"{len(labels)} markers called {', '.join(labels[:LISTED])}{more}; {ACCEPTED}")
    raise UserError(f"no markers {', '.join(lacking[nearest])} (or their counterparts); {ACCEPTED}")


def _list_missing(at: Mapping[str, np.ndarray]) -> list[str]:
    """Of every line of `_NEEDED` that is not met, what the group lacks that has most."""
    lacking = ([[n for n in group if n not in at] for group in groups] for groups in _NEEDED)
    return [name for groups in lacking for name in min(groups, key=len)]


def _fill_gaps(name: str, points: np.ndarray, fps: float) -> np.ndarray:
    """Marker positions (T, 3) without gaps."""
    seen = np.flatnonzero(np.isfinite(points).all(1))
    edges = np.concatenate([[-1], seen, [len(points)]])
    longest = int(np.diff(edges).argmax())
    missing = int(edges[longest + 1] - edges[longest] - 1)
    if missing > MAX_GAP * fps:
        raise UserError(f"{name} is out of sight for {missing / fps:.1f} s from frame {edges[longest] + 1} on; "
                        f"accepted gaps up to {MAX_GAP:g} s")  # fmt: skip
    frames = np.arange(len(points))
    return np.stack([np.interp(frames, seen, points[seen, k]) for k in range(3)], 1)


def _joints(at: Mapping[str, np.ndarray], metre: float) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Places (T, 3) of our joints, and turns (T, 4) in the file's axes of those whose markers tell them."""
    places: dict[str, np.ndarray] = {}
    turns: dict[str, np.ndarray] = {}
    offsets = {n: metre * o for n, o in zip(SMPL22.names, SMPL22.offsets, strict=True)}
    front = (at["LASI"] + at["RASI"]) / 2
    back = at["SACR"] if "LPSI" not in at or "RPSI" not in at else (at["LPSI"] + at["RPSI"]) / 2
    across, width = at["LASI"] - at["RASI"], np.median(_length(at["LASI"] - at["RASI"]))
    level = turn_to(across, front - back, "xz")
    for side, sign in (("l", 1.0), ("r", -1.0)):
        places[f"{side}_hip"] = front + width * rot.rotate(level, np.array([0.36 * sign, -0.30, -0.19]))
    turns["pelvis"] = rot.multiply(level, rot.from_axis_angle(np.array([-TILT, 0, 0])))
    middle = (places["l_hip"] + places["r_hip"]) / 2
    places["pelvis"] = middle - rot.rotate(turns["pelvis"], (offsets["l_hip"] + offsets["r_hip"]) / 2)
    shoulders = at["LSHO"] - at["RSHO"]
    trunk = (at["LSHO"] + at["RSHO"]) / 2 - middle
    ahead = _axis(turn_to(trunk, shoulders, "yx"), 2)
    places["neck"] = at["C7"] + C7 * metre * ahead
    if {"CLAV", "STRN", "T10"} <= at.keys():  # Plug-in Gait's thorax
        trunk = (at["C7"] + at["CLAV"] - at["T10"] - at["STRN"]) / 2
    else:
        trunk = places["neck"] - places["pelvis"]
    chest = turns["spine3"] = turn_to(trunk, shoulders, "yx")
    places["spine3"] = places["neck"] - rot.rotate(chest, offsets["neck"])
    lengths = np.cumsum([np.linalg.norm(offsets[n]) for n in ("spine1", "spine2", "spine3")])
    for name, share in zip(("spine1", "spine2"), lengths / lengths[-1], strict=False):
        places[name] = places["pelvis"] + share * (places["spine3"] - places["pelvis"])
    turns["head"] = _head(at, places["neck"])
    turns["neck"] = rot.slerp(chest, turns["head"], 0.5)
    places["head"] = places["neck"] + rot.rotate(turns["neck"], offsets["head"])
    for side, sign in (("l", 1.0), ("r", -1.0)):
        places[f"{side}_collar"] = places["spine3"] + rot.rotate(chest, offsets[f"{side}_collar"])
        marks = {n[1:]: p for n, p in at.items() if n[0] == side.upper()}
        places |= {f"{side}_{n}": p for n, p in _arm(marks, sign, metre, _axis(chest, 1)).items()}
        turns[f"{side}_wrist"] = _hand(marks, places[f"{side}_elbow"], places[f"{side}_wrist"], sign, metre)
        places |= {f"{side}_{n}": p for n, p in _leg(marks, sign, metre, unit(across)).items()}
    return places, turns


def _head(at: Mapping[str, np.ndarray], neck: np.ndarray) -> np.ndarray:
    """The head's turns: of a band's four markers, or of top and front."""
    if {"LFHD", "RFHD", "LBHD", "RBHD"} <= at.keys():
        across = at["LFHD"] + at["LBHD"] - at["RFHD"] - at["RBHD"]
        return turn_to(across, at["LFHD"] + at["RFHD"] - at["LBHD"] - at["RBHD"], "xz")
    up = at["HDTP"] - neck
    crown = SMPL22.offsets[SMPL22.index("head")] + [0, CROWN, 0]
    tilt = rot.from_axis_angle(np.array([-np.arctan2(crown[2], crown[1]), 0, 0]))
    return rot.multiply(turn_to(up, np.cross(up, at["HDFR"] - at["HDTP"]), "yx"), tilt)


def _arm(at: Mapping[str, np.ndarray], sign: float, metre: float, up: np.ndarray) -> dict[str, np.ndarray]:
    """Shoulder, elbow and wrist of an arm, `sign` 1 of the left one."""
    shoulder, wrist = at["SHO"] - ACROMION * metre * up, (at["WRA"] + at["WRB"]) / 2
    upper, lower = unit(at["ELB"] - shoulder), unit(wrist - at["ELB"])
    bent = np.cross(lower, upper)  # to the outside of a left arm
    sure = np.clip((_length(bent) - BENT[0]) / (BENT[1] - BENT[0]), 0, 1)[:, None]
    # a straight arm's hinge is taken to be square to the wrist's axis, as with the palm down
    straight = np.cross(at["WRA"] - at["WRB"], lower)
    outside = sign * unit(sure * unit(bent) + (1 - sure) * unit(straight))
    return {"shoulder": shoulder, "elbow": at["ELB"] - ELBOW * metre * outside, "wrist": wrist}


def _hand(
    at: Mapping[str, np.ndarray], elbow: np.ndarray, wrist: np.ndarray, sign: float, metre: float
) -> np.ndarray:
    """A hand's turns: from the wrist to the knuckles, the thumb's side ahead."""
    thumb, along = at["WRA"] - at["WRB"], wrist - elbow
    if "FIN" in at:
        back = _axis(turn_to(sign * along, thumb, "xz"), 1)
        along = at["FIN"] - DORSAL * metre * back - wrist
    return turn_to(sign * along, thumb, "xz")


def _leg(at: Mapping[str, np.ndarray], sign: float, metre: float, left: np.ndarray) -> dict[str, np.ndarray]:
    """Knee, ankle and foot of a leg; the hinge of both joints is across the foot."""
    toe = at["TOE"] if "TOE" in at else (at["MT1"] + at["MT5"]) / 2
    ahead = unit(toe - (at["HEE"] if "HEE" in at else at["ANK"]))
    # The hips' axis counts where the foot goes on along the shank.
    hinge = unit(np.cross(unit(at["KNE"] - at["ANK"]), ahead) + 0.05 * left)
    return {
        "knee": at["KNE"] - sign * KNEE * metre * hinge, "ankle": at["ANK"] - sign * ANKLE * metre * hinge,
        "foot": toe - DORSAL * metre * unit(np.cross(ahead, hinge)),
    }  # fmt: skip


def _axis(turns: np.ndarray, k: int) -> np.ndarray:
    return rot.rotate(turns, np.eye(3)[k])


def _length(v: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(v, axis=-1))


def _legs(joints: np.ndarray) -> float:
    """The median length of both legs, of joints (T, 22, 3)."""
    at = {n: joints[:, k] for k, n in enumerate(SMPL22.names)}
    bones = [_length(at[f"{s}_{a}"] - at[f"{s}_{b}"]) for s in "lr" for a, b in (("hip", "knee"), ("knee", "ankle"))]
    return float(np.median(np.sum(bones, 0)))
