"""Bodies read off films of people, against what somebody who looked at their frames wrote down.

FILMS is the folder of films that the labels name (`eval/suites/films_bodies.jsonl`, one frame a line: film, second, a
point of the picture where the trunk is, and what is to be seen there; a line with `nobody` says that no body of that
film can be read). Angles of `facing` are degrees, 0 towards the camera, 90 to the right of the picture; those of the
four cameras are their calibration's. `ankles` and the arms are the person's own, `ankles` the one further left in the
picture. Of each frame that is read:

- sides: the body faces within 60 degrees of what it does, and the ankles lie to the left and right as they do;
- posture: wrists are above, at or below the shoulders, the trunk is within 25 degrees of the vertical or leans, feet
  are on the floor or off it;
- legs that the picture does not show are not invented: the ankles are low and slow.

Needs avatargpt[video-in] and the networks of `avatargpt data models video-in`.
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.video import poses
from avatargpt.video.frames import frames, inspect
from avatargpt.video.paths import Lifted, motion_of
from avatargpt.video.people import Person, people_of
from avatargpt.video.poses import AT
from vqvae.features import smooth_heading
from vqvae.io.data_files import json_rows
from vqvae.skeleton import SMPL22

LABELS = Path(__file__).parents[1] / "eval" / "suites" / "films_bodies.jsonl"
NEAR_SECONDS, NEAR = 0.08, 0.15  # s and shares of the picture between a label and the person it is about
TURNED, LEANS = 60.0, 25.0  # degrees
LOW, LIFTED = 0.17, 0.05  # m of an ankle that stands, and by which one in the air is higher
HIDDEN_HIGH, HIDDEN_SPEED, AROUND = 0.3, 0.35, 5  # m, m/s of ankles that are not seen, over so many frames either side
TRUNK = [AT[f"{s}_{n}"] for s in "lr" for n in ("shoulder", "hip")]
ANKLES = [SMPL22.index(f"{s}_ankle") for s in "lr"]


def right(label: dict[str, Any], lifted: Lifted) -> dict[str, list[bool]]:
    """What is right about one frame, by kind."""
    motion, out = lifted.motion, defaultdict(list)
    k = int(np.clip(round((label["time"] - lifted.start) * motion.fps), 0, len(motion) - 1))
    joints = motion.joints.astype(np.float64)
    now = {name: joints[k, j] for j, name in enumerate(SMPL22.names)}
    turn = np.degrees(smooth_heading(joints)[k]) - label["facing"]
    out["sides"].append(bool(abs((turn + 180) % 360 - 180) <= TURNED))
    if "ankles" in label:
        out["sides"].append(bool(now["l_ankle"][0] > now["r_ankle"][0]) == (label["ankles"] == "right"))
    for side, name in (("l", "left_arm"), ("r", "right_arm")):
        rise = now[f"{side}_wrist"][1] - now[f"{side}_shoulder"][1]
        fits = {"up": rise > 0.03, "down": rise < -0.05, "level": abs(rise) < 0.25}
        out["posture"] += [bool(fits[label[name]])] if name in label else []
    if "trunk" in label:
        trunk = now["neck"] - now["pelvis"]
        upright = np.degrees(np.arccos(trunk[1] / np.linalg.norm(trunk))) < LEANS
        out["posture"].append(bool(upright) == (label["trunk"] == "upright"))
    if "floor" in label:
        left, other = (now[f"{s}_ankle"][1] for s in "lr")
        one = {"left": (left, other), "right": (other, left)}
        stands = max(left, other) < LOW + LIFTED
        if label["floor"] in one:
            low, high = one[label["floor"]]
            stands = low < LOW and high > low + LIFTED
        out["posture"].append(bool(stands))
    if label["legs"] == "hidden":
        ankles = joints[max(0, k - AROUND) : k + AROUND + 1, ANKLES]
        speed = np.linalg.norm(np.diff(ankles, axis=0), axis=-1).mean() * motion.fps
        out["legs"].append(bool(ankles[..., 1].max() < HIDDEN_HIGH and speed < HIDDEN_SPEED))
    return out


def part_of(label: dict[str, Any], parts: list[tuple[Person, Lifted]]) -> Lifted | None:
    """The stretch of a person that a label is about."""
    best, nearest = None, NEAR
    for person, lifted in parts:
        row = int(np.abs(person.times - label["time"]).argmin())
        off = float(np.linalg.norm(person.points[row, TRUNK].mean(0) / person.size - label["at"]))
        if abs(person.times[row] - label["time"]) <= NEAR_SECONDS and off < nearest:
            best, nearest = lifted, off
    return best


def run(films: Path) -> dict[str, Any]:
    """Measure."""
    labels = [row for _, row in json_rows(LABELS)]
    out: dict[str, Any] = {}
    total: dict[str, list[bool]] = defaultdict(list)
    for name in dict.fromkeys(row["film"] for row in labels):
        people, _ = people_of(frames(inspect(films / f"{name}.mp4")), poses.estimator("mediapipe"))
        stretches = [s for p in people if p.doubt() is None for s in p.stretches() if s.doubt() is None]
        parts = [(s, motion_of(s)) for s in stretches]
        got: dict[str, list[bool]] = defaultdict(list)
        for label in (row for row in labels if row["film"] == name):
            if label.get("nobody"):
                got["refused"].append(not parts)
                continue
            lifted = part_of(label, parts)
            got["read"].append(lifted is not None)
            for kind, values in right(label, lifted).items() if lifted is not None else ():
                got[kind] += values
        out[name] = {kind: f"{sum(v)} of {len(v)}" for kind, v in got.items()}
        for kind, values in got.items():
            total[kind] += values
    return out | {"all": {kind: round(float(np.mean(v)), 3) for kind, v in total.items()}}
