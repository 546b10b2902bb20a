"""Predicates about the trunk, the legs and the whole body: bows, jumps, kicks, acrobatics, floor work, dance."""

from __future__ import annotations

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, runs_of, swings
from avatargpt.metrics.geometry.predicates import Verdict, predicate

ANKLES = {"left": 7, "right": 8}


@predicate
def bows(s: Signals, degrees: float = 17.0) -> Verdict:
    """The trunk leans forward by `degrees` more than at the start and comes most of the way back, legs not bent low."""
    n = max(len(s) // 8, 2)
    start, end = float(np.median(s.pitch[:n])), float(np.median(s.pitch[-n:]))
    top = float(np.percentile(s.pitch, 97))
    ok = top - start >= degrees and top - end >= 0.45 * (top - start) and s.reach < 0.7
    ok = ok and float(s.joints[:, 0, 1].min()) > 0.6 and float(s.clearance.max()) < 0.1
    return Verdict(ok, {"lean_deg": top - start, "back_deg": top - end})


@predicate
def leans_forward(s: Signals, degrees: float = 15.0) -> Verdict:
    """The trunk leans forward at some time, in comparison with the start."""
    lean = float(np.percentile(s.pitch, 95) - np.median(s.pitch[: max(len(s) // 8, 2)]))
    return Verdict(lean >= degrees, {"lean_deg": lean})


def _flights(s: Signals, height: float, rise: float) -> list[tuple[int, int]]:
    """Stretches in the air: nothing touches the floor and the pelvis is higher than its usual height."""
    usual = float(np.median(s.joints[:, 0, 1]))
    up = (s.clearance > 0.5 * height) & (s.joints[:, 0, 1] > usual + 0.5 * rise)
    out = []
    for start, stop in runs_of(up, gap=1):
        high = s.clearance[start:stop].max() >= height and s.joints[start:stop, 0, 1].max() >= usual + rise
        if high and stop - start <= 1.0 * FPS:
            out.append((start, stop))
    return out


@predicate
def jumps(s: Signals, times: int = 1, most: int = 99, height: float = 0.06, rise: float = 0.09) -> Verdict:
    """Leaves the floor with the pelvis going up, between `times` and `most` times."""
    count = len(_flights(s, height, rise))
    return Verdict(times <= count <= most, {"flights": float(count), "clearance_m": float(s.clearance.max())})


@predicate
def hops(s: Signals, times: int = 2) -> Verdict:
    """Several small jumps in a row."""
    count = len(_flights(s, 0.04, 0.04))
    return Verdict(count >= times and s.travel_speed < 1.8, {"flights": float(count)})


@predicate
def jumping_jacks(s: Signals, times: int = 2) -> Verdict:
    """Arms go up and down while the feet jump apart and together, on the spot."""
    apart = np.linalg.norm((s.joints[:, 7] - s.joints[:, 8])[:, [0, 2]], axis=1)
    arms = min(swings(s.hand_height(h), 0.35) for h in "lr")
    legs = swings(apart, 0.15)
    ok = arms >= times and legs >= times and s.reach < 0.6
    return Verdict(ok, {"arm_swings": float(arms), "leg_swings": float(legs)})


@predicate
def upside_down(s: Signals, frames: int = 3) -> Verdict:
    """Trunk head-down with the head below the pelvis: cartwheel, flip, handstand, roll."""
    count = int(((s.uprightness < -0.3) & (s.joints[:, 15, 1] < s.joints[:, 0, 1])).sum())
    return Verdict(count >= frames, {"head_down_frames": float(count)})


@predicate
def legs_over_head(s: Signals, frames: int = 2) -> Verdict:
    """Both ankles over the pelvis while it is head-down and off the floor by at least half a metre: no mere roll."""
    ankles = s.joints[:, [7, 8], 1].min(1)
    mask = (ankles > s.joints[:, 0, 1]) & (s.uprightness < 0) & (s.joints[:, 0, 1] > 0.5)
    return Verdict(int(mask.sum()) >= frames, {"legs_up_frames": float(mask.sum())})


@predicate
def rolls(s: Signals) -> Verdict:
    """Goes over head-down with the pelvis low (forward roll, somersault on the floor)."""
    low = (s.uprightness < 0.0) & (s.joints[:, 0, 1] < 0.7)
    return Verdict(int(low.sum()) >= 2, {"low_head_down_frames": float(low.sum())})


@predicate
def flips(s: Signals, frames: int = 2) -> Verdict:
    """Head-down off the floor or on the hands only: the feet are in the air while the trunk is inverted."""
    feet = s.joints[:, [7, 8, 10, 11], 1].min(1) - s.floor
    mask = (s.uprightness < -0.2) & (feet > 0.5)
    return Verdict(int(mask.sum()) >= frames, {"inverted_frames": float(mask.sum())})


@predicate
def crawls(s: Signals, share: float = 0.5) -> Verdict:
    """Trunk level and pelvis low in at least `share` of the frames, hands at the floor, and it goes somewhere."""
    low = (s.uprightness < 0.55) & (s.joints[:, 0, 1] < 0.7) & (s.joints[:, [20, 21], 1].min(1) < 0.35)
    ok = low.mean() >= share and s.path >= 0.3
    return Verdict(bool(ok), {"low_share": float(low.mean()), "path_m": s.path})


@predicate
def gets_up(s: Signals, low: float = 0.5, high: float = 0.75) -> Verdict:
    """The pelvis is below `low` near the beginning and over `high` with the trunk up at the end."""
    n = max(len(s) // 3, 2)
    first, last = float(s.joints[:n, 0, 1].min()), float(s.joints[-4:, 0, 1].mean())
    ok = first <= low and last >= high and s.uprightness[-1] > 0.3
    return Verdict(bool(ok), {"first_m": first, "last_m": last})


@predicate
def goes_down(s: Signals, low: float = 0.55) -> Verdict:
    """Ends low (fallen, lying, sitting on the floor) after having stood."""
    first, last = float(s.joints[: max(len(s) // 2, 2), 0, 1].max()), float(s.joints[-5:, 0, 1].mean())
    return Verdict(first >= 0.75 and last <= low, {"first_m": first, "last_m": last})


@predicate
def crouches(s: Signals, low: float = 0.72, times: int = 1) -> Verdict:
    """The pelvis dips below `low` with the trunk not head-down, `times` times."""
    count = len(runs_of((s.joints[:, 0, 1] < low) & (s.uprightness > 0.2), gap=4))
    return Verdict(count >= times, {"dips": float(count), "lowest_m": float(s.joints[:, 0, 1].min())})


@predicate
def touches_toes(s: Signals, height: float = 0.45) -> Verdict:
    """A hand gets below `height` with the trunk bent and the legs rather straight."""
    hand = s.joints[:, [20, 21], 1].min(1) - s.floor
    mask = (hand < height) & (s.uprightness < 0.6) & (s.joints[:, 0, 1] > 0.65)
    return Verdict(int(mask.sum()) >= 2, {"lowest_hand_m": float(hand.min()), "frames": float(mask.sum())})


@predicate
def raises_knee(s: Signals, side: str = "any", times: int = 1, drop: float = 0.18) -> Verdict:
    """A knee comes up to within `drop` metres of its hip's height, trunk upright."""
    count = {}
    for name, knee, hip in (("left", 4, 1), ("right", 5, 2)):
        up = (s.joints[:, knee, 1] > s.joints[:, hip, 1] - drop) & (s.uprightness > 0.6) & (s.joints[:, 0, 1] > 0.7)
        count[name] = len(runs_of(up, gap=2))
    total = count.get(side, count["left"] + count["right"])
    return Verdict(total >= times, {"left": float(count["left"]), "right": float(count["right"])})


@predicate
def kicks(s: Signals, side: str = "any", times: int = 1, height: float = 0.38, speed: float = 3.2) -> Verdict:
    """A foot is swung up in front or to the side: ankle `height` over the floor and fast, body upright."""
    count = {}
    for name, ankle in ANKLES.items():
        out = (s.local[:, ankle, 2] > 0.2) | (np.abs(s.local[:, ankle, 0]) > 0.4)
        high = (s.joints[:, ankle, 1] - s.floor > height) & out & (s.uprightness > 0.2)
        hits = 0
        for start, stop in runs_of(high, gap=2):
            hits += bool(s.relative_velocity[max(start - 4, 0) : stop + 4, ankle].max() >= speed)
        count[name] = hits
    total = count.get(side, count["left"] + count["right"])
    return Verdict(total >= times, {"left": float(count["left"]), "right": float(count["right"])})


@predicate
def climbs(s: Signals, height: float = 0.25, seconds: float = 0.8) -> Verdict:
    """Stands or hangs well over the floor for longer than any jump."""
    longest = max((b - a for a, b in runs_of(s.clearance > height, gap=1)), default=0) / FPS
    return Verdict(longest >= seconds, {"above_floor_s": longest, "pelvis_top_m": float(s.joints[:, 0, 1].max())})


@predicate
def dances(s: Signals) -> Verdict:
    """Feet keep moving without a straight course: steps to and fro, turns, high legs or leaps; no plain gait."""
    feet = float(s.velocity[:, [7, 8, 10, 11]].mean())
    straight = s.net_distance / max(s.path, 1e-6)
    weave = swings(s.joints[:, 0, 0], 0.06) + swings(s.joints[:, 0, 2], 0.06)
    turning = float(np.abs(np.diff(s.yaw)).sum() / s.seconds)
    leg = float((s.joints[:, [7, 8], 1].max(1) - s.floor).max())
    steps = straight < 0.62 and weave >= 2
    ok = feet >= 0.12 and s.path >= 0.3 and (steps or turning > 85 or leg > 0.6)
    ok = ok and float(np.median(s.uprightness)) > 0.5 and s.travel_speed < 2.2
    values = {"feet_mps": feet, "straightness": straight, "weave": float(weave), "turning_dps": turning, "leg_m": leg}
    return Verdict(ok, values)


@predicate
def stands_on_one_leg(s: Signals, seconds: float = 0.8, height: float = 0.2) -> Verdict:
    """One ankle is held `height` over the other for `seconds`, in place."""
    held = 0.0
    for a, b in ((7, 8), (8, 7)):
        mask = s.joints[:, a, 1] - s.joints[:, b, 1] > height
        held = max(held, max((y - x for x, y in runs_of(mask, gap=1)), default=0) / FPS)
    return Verdict(held >= seconds and float(np.median(s.uprightness)) > 0.3, {"held_s": held})


@predicate
def twists_trunk(s: Signals, degrees: float = 35.0, times: int = 2) -> Verdict:
    """The shoulders turn against the hips to and fro."""
    def yaw(left: int, right: int) -> np.ndarray:
        across = s.joints[:, left] - s.joints[:, right]
        return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))

    count = swings(np.rad2deg(yaw(16, 17) - yaw(1, 2)), degrees)
    return Verdict(count >= times and s.reach < 0.7, {"swings": float(count)})
