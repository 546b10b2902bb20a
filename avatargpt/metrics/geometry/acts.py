"""Predicates about the trunk, the legs and the whole body: bows, jumps, kicks, acrobatics, dance, and postures."""
# Postures are sitting, kneeling, squatting, lying, leaning, ducking and floor exercises. Heights are those of a body of
# about 1.7 m whose pelvis stands at 0.97 m; a chair's seat puts it at 0.45 to 0.65 m.

from typing import Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals
from avatargpt.metrics.geometry.common import AnySide, Side, chest_yaw
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.smoothing import longest, runs_of

ANKLES = {"left": 7, "right": 8}
STANDING_ANKLE = 0.08  # m: height of the ankle of a foot that stands


@predicate
def bows(s: Signals, degrees: float = 17.0) -> Verdict:
    """The trunk leans forward by `degrees` more than at the start and comes most of the way back.

    Meanwhile the feet stand, the legs stay nearly straight, the trunk is not twisted, and the hands reach neither
    forward nor to the floor.
    """
    n = max(len(s) // 8, 2)
    start, end = float(np.median(s.pitch[:n])), float(np.median(s.pitch[-n:]))
    top = float(np.percentile(s.pitch, 97))
    ok = top - start >= degrees and top - end >= 0.45 * (top - start) and s.reach < 0.7
    ok = ok and float(s.joints[:, 0, 1].min()) > 0.6 and float(s.clearance.max()) < 0.1
    bent = s.pitch - start >= 0.5 * (top - start)
    drop = float(np.median(s.joints[:n, 0, 1]) - s.joints[bent, 0, 1].min())
    reach = max(float(np.percentile(s.arm(h)[bent, 2], 90)) for h in "lr")
    low = min(float(s.hand_over_floor(h)[bent].min()) for h in "lr")
    twist = float(np.ptp(trunk_twist(s)[bent]))
    feet = float(np.percentile(s.velocity[bent][:, [7, 8]].max(1), 90))
    ok = ok and drop < 0.15 and reach < 0.2 and low > 0.42 and twist < 25 and feet < 0.5
    return Verdict(ok, {"lean_deg": top - start, "back_deg": top - end, "drop_m": drop, "hand_reach_m": reach})


@predicate
def crouches(s: Signals, low: float = 0.72, times: int = 1) -> Verdict:
    """The pelvis dips below `low` for 0.25 s, `times` times, the body balanced on both feet, no knee on the floor."""
    over_ankles = pelvis(s) - s.joints[:, [7, 8], 1].min(1) + STANDING_ANKLE
    dips = runs_of((pelvis(s) < low) & (over_ankles < low), gap=4)
    over_feet = (balance(s) > SUPPORTED) & (balance(s) < 0.3) & (np.abs(s.local[:, 7, 2] - s.local[:, 8, 2]) < 0.45)
    posture = over_feet & (s.joints[:, [4, 5], 1].min(1) - s.floor > 0.2) & (s.uprightness > 0.2)
    # The posture of most of a dip counts: on the way down to a seat or to the knees the body is over the feet, too.
    count = sum(stop - start >= 5 and bool(posture[start:stop].mean() > 0.5) for start, stop in dips)
    return Verdict(count >= times, {"dips": float(count), "lowest_m": float(s.joints[:, 0, 1].min())})


@predicate
def raises_knee(s: Signals, side: AnySide = "any", times: int = 1, drop: float = 0.18) -> Verdict:
    """A knee comes up to within `drop` metres of its hip's height, trunk upright."""
    count = {}
    for name, knee, hip in (("left", 4, 1), ("right", 5, 2)):
        up = (s.joints[:, knee, 1] > s.joints[:, hip, 1] - drop) & (s.uprightness > 0.6) & (s.joints[:, 0, 1] > 0.7)
        count[name] = len(runs_of(up, gap=2))
    total = count.get(side, count["left"] + count["right"])
    return Verdict(total >= times, {"left": float(count["left"]), "right": float(count["right"])})


@predicate
def kicks(s: Signals, side: AnySide = "any", times: int = 1, height: float = 0.25, speed: float = 3.2) -> Verdict:
    """A foot shoots out in front or to the side, for a second at most: ankle `height` over the floor, body upright.

    It gets half a metre away from under its hip, which a raised knee does not.
    """
    count = {}
    for (name, ankle), hip in zip(ANKLES.items(), (1, 2), strict=True):
        away = np.linalg.norm((s.joints[:, ankle] - s.joints[:, hip])[:, [0, 2]], axis=1)
        out = (s.local[:, ankle, 2] > 0.2) | (np.abs(s.local[:, ankle, 0]) > 0.4)
        high = (s.joints[:, ankle, 1] - s.floor > height) & out & (s.uprightness > 0.2)
        hits = 0
        for start, stop in runs_of(high, gap=2):
            fast = s.relative_velocity[max(start - 4, 0) : stop + 4, ankle].max() >= speed
            hits += bool(fast and away[start:stop].max() >= 0.48 and stop - start <= FPS)
        count[name] = hits
    total = count.get(side, count["left"] + count["right"])
    return Verdict(total >= times, {"left": float(count["left"]), "right": float(count["right"])})


def trunk_twist(s: Signals) -> np.ndarray:
    """(T,) turn of the shoulders against the hips, degrees; left is positive."""
    def yaw(left: int, right: int) -> np.ndarray:
        across = s.joints[:, left] - s.joints[:, right]
        return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))

    return np.rad2deg(yaw(16, 17) - yaw(1, 2))


STANDING = 0.8  # m: with the pelvis above it, the trunk upright and the legs nearly straight, a body stands
HIGH_SEAT = 0.82  # m: no bar stool or edge of a table is higher; ordinary seats end at 0.72
# m from the feet to the middle of the body, forward: further back it would fall without a seat. Squats have 0 to 0.17,
# seated bodies -0.2 or less.
SUPPORTED = -0.1


def pelvis(s: Signals) -> np.ndarray:
    """(T,) height of the pelvis."""
    return s.joints[:, 0, 1]


def balance(s: Signals) -> np.ndarray:
    """(T,) how far the middle of all joints is in front of the ankles, metres."""
    return np.asarray(s.local[:, :, 2].mean(1) - s.local[:, [7, 8], 2].mean(1))


def is_seated(s: Signals) -> np.ndarray:
    """(T,) whether the body sits: pelvis low, trunk up, and so far behind the feet that a seat must carry it."""
    return (pelvis(s) < HIGH_SEAT) & (s.uprightness > 0.5) & (balance(s) < SUPPORTED)


def is_standing(s: Signals) -> np.ndarray:
    """(T,) whether the body stands."""
    return (pelvis(s) > STANDING) & (s.uprightness > 0.6)


def is_lying(s: Signals) -> np.ndarray:
    """(T,) whether the body lies: a hip on the floor (propped on the arms none is), chest and head near it."""
    hip = s.joints[:, [1, 2], 1].min(1)
    return (pelvis(s) < 0.35) & (hip < 0.2) & (np.abs(s.uprightness) < 0.5) & (s.joints[:, 15, 1] < 0.6)


def edge(s: Signals) -> int:
    """Frames that count as the beginning, and as the end, of a clip: an eighth, at most half a second."""
    return int(np.clip(len(s) // 8, 2, FPS // 2))


@predicate
def sits_and_turns(s: Signals, degrees: float = 20.0) -> Verdict:
    """Turns the shoulders or the face by `degrees` to some side while sitting."""
    mask = is_seated(s)
    if mask.sum() < 4:
        return Verdict(False, {"seated_frames": float(mask.sum())})
    chest = chest_yaw(s)
    look = (chest + s.head_turn[1])[mask]
    turned = float(max(np.ptp(chest[mask]), np.ptp(look) / 1.5))
    return Verdict(turned >= degrees, {"turned_deg": turned, "seated_frames": float(mask.sum())})


@predicate
def kneels(s: Signals, side: Side = "any", seconds: float = 0.3) -> Verdict:
    """A knee (`side`: left, right, both, any) is on the floor with the trunk up for `seconds`.

    Left and right mean that knee alone, for longer than both together: who kneels on both sets one down first.
    """
    trunk = (s.uprightness > 0.5) & (pelvis(s) > 0.2)
    knees = s.joints[:, [4, 5], 1]
    # Who sits on the heels has the knees a little higher, both shins level.
    on_heels = (knees.max(1) - s.floor < 0.25) & ((knees - s.joints[:, [7, 8], 1]).max(1) < 0.1)
    down = {n: ((knees[:, i] - s.floor < 0.17) | on_heels) & trunk for i, n in enumerate(("left", "right"))}
    both = longest(down["left"] & down["right"])
    alone = {"left": longest(down["left"] & ~down["right"]), "right": longest(down["right"] & ~down["left"])}
    if side == "any":
        ok = longest(down["left"] | down["right"]) >= seconds
    elif side == "both":
        ok = both >= seconds
    else:
        ok = alone[side] >= seconds and alone[side] > both
    values = {"left_s": alone["left"], "right_s": alone["right"], "both_s": both, "lowest_m": float(pelvis(s).min())}
    return Verdict(ok, values)


@predicate
def squats(s: Signals, times: int = 1, most: int = 99, low: float = 0.72) -> Verdict:
    """The pelvis dips below `low`, both feet under it, knees off the floor, `times` times (`most` at most)."""
    feet = 0.5 * (s.local[:, 7, 2] + s.local[:, 8, 2])
    mask = (pelvis(s) < low) & (s.uprightness > 0.25) & (feet < 0.34) & (s.joints[:, [4, 5], 1].min(1) > 0.2)
    mask &= (s.bend("l", "leg") < 125) & (s.bend("r", "leg") < 125)
    # What counts is the posture at the bottom: on the way down to a seat the feet are under the body, too.
    dips = runs_of((pelvis(s) < low) & (s.uprightness > 0.25), gap=3)
    count = sum(bool(mask[a + int(pelvis(s)[a:b].argmin())]) for a, b in dips)
    return Verdict(times <= count <= most, {"dips": float(count), "lowest_m": float(pelvis(s).min())})


@predicate
def leans(
    s: Signals, side: Literal["left", "right", "forward", "back", "any"] = "any", degrees: float = 9.0
) -> Verdict:
    """The trunk tilts by `degrees` (`side`: left, right, forward, back, any) from the start, feet in place."""
    trunk = s.local[:, 12] - s.local[:, 0]
    roll = np.rad2deg(np.arctan2(trunk[:, 0], trunk[:, 1]))
    n = edge(s)
    roll, pitch = roll - np.median(roll[:n]), s.pitch - np.median(s.pitch[:n])
    tilt = {"left": np.percentile(roll, 95), "right": -np.percentile(roll, 5),
            "forward": np.percentile(pitch, 95), "back": -np.percentile(pitch, 5)}  # fmt: skip
    value = tilt.get(side, max(tilt.values()))
    return Verdict(bool(value >= degrees and s.reach < 0.7), {f"{k}_deg": float(v) for k, v in tilt.items()})


@predicate
def ducks(s: Signals, drop: float = 0.2, seconds: float = 1.0) -> Verdict:
    """The head goes down by `drop` metres within `seconds` and comes back up at least two thirds of the way."""
    head = s.joints[:, 15, 1]
    n = round(seconds * FPS)
    falls = np.array([head[max(i - n, 0) : i + 1].max() - head[i] for i in range(len(head))])
    bottom = int(falls.argmax())
    down, up = float(falls[bottom]), float(head[bottom:].max() - head[bottom])
    return Verdict(down >= drop and up >= 0.66 * drop, {"down_m": down, "up_m": up})


@predicate
def dodges(
    s: Signals, side: Literal["left", "right", "back", "any"] = "any", distance: float = 0.15, seconds: float = 0.6
) -> Verdict:
    """The head moves `distance` metres to `side` (left, right, back, any) within `seconds`, body on its feet."""
    n = round(seconds * FPS)
    head = s.joints[:, 15]
    best = {"left": 0.0, "right": 0.0, "back": 0.0}
    for k in range(1, min(n, len(s) - 1) + 1):
        # Coming back from a dodge to the other side is none: the head must also get away from where it was.
        d, away = head[k:] - head[:-k], head[k:] - head[0]
        for name, axis, sign in (("left", 0, 1), ("right", 0, -1), ("back", 2, -1)):
            best[name] = max(best[name], float(np.minimum(sign * d[:, axis], sign * away[:, axis]).max()))
    value = best.get(side, max(best.values()))
    ok = value >= distance and float(pelvis(s).min()) > 0.45 and s.reach < 1.2
    return Verdict(bool(ok), {f"{k}_m": float(v) for k, v in best.items()})


@predicate
def stumbles(s: Signals, degrees: float = 8.0) -> Verdict:
    """On the way somewhere the trunk pitches forward by `degrees` within half a second, and it does not fall."""
    back = max(len(s) - 10, 1)
    lurch = max((float(s.pitch[i : i + 11].max() - s.pitch[i]) for i in range(back)), default=0.0)
    upright = bool(s.uprightness[-1] > 0.7 and pelvis(s).min() > 0.6 and is_standing(s)[0])
    return Verdict(lurch >= degrees and s.path >= 0.25 and upright, {"lurch_deg": lurch, "path_m": s.path})


@predicate
def sit_ups(s: Signals, times: int = 1, most: int = 99) -> Verdict:
    """With the pelvis on the floor the trunk rises from lying to at least 45 degrees, `times` times."""
    low = np.where(pelvis(s) < 0.35, s.uprightness, 0.0)
    count = len([1 for a, b in runs_of(low > 0.6, gap=3) if a > 0 and low[:a].min() < 0.4])
    return Verdict(times <= count <= most, {"rises": float(count), "lying_s": longest(is_lying(s))})
