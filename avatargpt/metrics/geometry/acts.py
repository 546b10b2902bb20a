"""Predicates about the trunk, the legs and the whole body: bows, jumps, kicks, acrobatics, dance, and postures."""
# Postures are sitting, kneeling, squatting, lying, leaning, ducking and floor exercises. Heights are those of a body of
# about 1.7 m whose pelvis stands at 0.97 m; a chair's seat puts it at 0.45 to 0.65 m.

from typing import Literal

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry.common import AnySide, Side, find_flights
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
    twist = float(np.ptp(_trunk_twist(s)[bent]))
    feet = float(np.percentile(s.velocity[bent][:, [7, 8]].max(1), 90))
    ok = ok and drop < 0.15 and reach < 0.2 and low > 0.42 and twist < 25 and feet < 0.5
    return Verdict(ok, {"lean_deg": top - start, "back_deg": top - end, "drop_m": drop, "hand_reach_m": reach})


@predicate
def leans_forward(s: Signals, degrees: float = 15.0) -> Verdict:
    """The trunk leans forward at some time, in comparison with the start."""
    lean = float(np.percentile(s.pitch, 95) - np.median(s.pitch[: max(len(s) // 8, 2)]))
    return Verdict(lean >= degrees, {"lean_deg": lean})


@predicate
def jumps(s: Signals, times: int = 1, most: int = 99, height: float = 0.06, rise: float = 0.09) -> Verdict:
    """Leaves the floor and comes down again, the pelvis going up by `rise`, between `times` and `most` times."""
    count = len(find_flights(s, height, rise))
    return Verdict(times <= count <= most, {"flights": float(count), "clearance_m": float(s.clearance.max())})


@predicate
def hops(s: Signals, times: int = 2) -> Verdict:
    """Several small jumps in a row."""
    count = len(find_flights(s, 0.04, 0.04))
    return Verdict(count >= times and s.travel_speed < 1.8, {"flights": float(count)})


@predicate
def jumping_jacks(s: Signals, times: int = 2) -> Verdict:
    """Arms go up and down while the feet jump apart and together, on the spot."""
    stance = np.linalg.norm((s.joints[:, 7] - s.joints[:, 8])[:, [0, 2]], axis=1)
    arms = min(swings(s.hand_height(h), 0.35) for h in "lr")
    legs = swings(stance, 0.15)
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
    """The pelvis dips below `low` for 0.25 s, `times` times, the body balanced on both feet, no knee on the floor."""
    over_ankles = pelvis(s) - s.joints[:, [7, 8], 1].min(1) + STANDING_ANKLE
    dips = runs_of((pelvis(s) < low) & (over_ankles < low), gap=4)
    over_feet = (balance(s) > SUPPORTED) & (balance(s) < 0.3) & (np.abs(s.local[:, 7, 2] - s.local[:, 8, 2]) < 0.45)
    posture = over_feet & (s.joints[:, [4, 5], 1].min(1) - s.floor > 0.2) & (s.uprightness > 0.2)
    # The posture of most of a dip counts: on the way down to a seat or to the knees the body is over the feet, too.
    count = sum(stop - start >= 5 and bool(posture[start:stop].mean() > 0.5) for start, stop in dips)
    return Verdict(count >= times, {"dips": float(count), "lowest_m": float(s.joints[:, 0, 1].min())})


@predicate
def touches_toes(s: Signals, height: float = 0.45) -> Verdict:
    """A hand gets below `height` with the trunk bent and the legs rather straight."""
    hand = s.joints[:, [20, 21], 1].min(1) - s.floor
    mask = (hand < height) & (s.uprightness < 0.6) & (s.joints[:, 0, 1] > 0.65)
    return Verdict(int(mask.sum()) >= 2, {"lowest_hand_m": float(hand.min()), "frames": float(mask.sum())})


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
def stands_on_one_leg(s: Signals, side: AnySide = "any", seconds: float = 0.8, height: float = 0.2) -> Verdict:
    """Stands on the leg of `side` alone: the other ankle is held `height` over its ankle for `seconds`."""
    duration = {}
    for (name, ankle), lifted in zip(ANKLES.items(), (8, 7), strict=True):
        up = s.joints[:, lifted, 1] - s.joints[:, ankle, 1] > height
        over_foot = s.local[:, :, 2].mean(1) - s.local[:, ankle, 2] > SUPPORTED
        duration[name] = longest(up & (pelvis(s) > SEAT) & over_foot, gap=1)
    value = duration.get(side, max(duration.values()))
    ok = value >= seconds and float(np.median(s.uprightness)) > 0.3
    return Verdict(ok, {f"{k}_held_s": v for k, v in duration.items()})


def _trunk_twist(s: Signals) -> np.ndarray:
    """(T,) turn of the shoulders against the hips, degrees; left is positive."""
    def yaw(left: int, right: int) -> np.ndarray:
        across = s.joints[:, left] - s.joints[:, right]
        return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))

    return np.rad2deg(yaw(16, 17) - yaw(1, 2))


@predicate
def twists_trunk(s: Signals, degrees: float = 35.0, times: int = 2) -> Verdict:
    """The shoulders turn against the hips to and fro."""
    count = swings(_trunk_twist(s), degrees)
    return Verdict(count >= times and s.reach < 0.7, {"swings": float(count)})


STANDING = 0.8  # m: with the pelvis above it, the trunk upright and the legs nearly straight, a body stands
SEAT = 0.72  # m: no ordinary seat is higher
HIGH_SEAT = 0.82  # m: nor is a bar stool or the edge of a table
# m from the feet to the middle of the body, forward: further back it would fall without a seat. Squats have 0 to 0.17,
# seated bodies -0.2 or less.
SUPPORTED = -0.1


def pelvis(s: Signals) -> np.ndarray:
    """(T,) height of the pelvis."""
    return s.joints[:, 0, 1]


def balance(s: Signals) -> np.ndarray:
    """(T,) how far the middle of all joints is in front of the ankles, metres."""
    return np.asarray(s.local[:, :, 2].mean(1) - s.local[:, [7, 8], 2].mean(1))


def seated(s: Signals) -> np.ndarray:
    """(T,) whether the body sits: pelvis low, trunk up, and so far behind the feet that a seat must carry it."""
    return (pelvis(s) < HIGH_SEAT) & (s.uprightness > 0.5) & (balance(s) < SUPPORTED)


def standing(s: Signals) -> np.ndarray:
    """(T,) whether the body stands."""
    return (pelvis(s) > STANDING) & (s.uprightness > 0.6)


def lying(s: Signals) -> np.ndarray:
    """(T,) whether the body lies: a hip on the floor (propped on the arms none is), chest and head near it."""
    hip = s.joints[:, [1, 2], 1].min(1)
    return (pelvis(s) < 0.35) & (hip < 0.2) & (np.abs(s.uprightness) < 0.5) & (s.joints[:, 15, 1] < 0.6)


# Frames that count as the beginning, and as the end, of a clip: an eighth, at most half a second.
def _edges(s: Signals) -> int:
    return int(np.clip(len(s) // 8, 2, FPS // 2))


@predicate
def sits(s: Signals, seconds: float = 0.4) -> Verdict:
    """Sits on a seat or on the floor for `seconds`."""
    duration = longest(seated(s))
    return Verdict(duration >= seconds, {"seated_s": duration, "lowest_m": float(pelvis(s).min())})


@predicate
def sits_down(s: Signals) -> Verdict:
    """Stands at first and sits at the end."""
    n = _edges(s)
    before, after = float(standing(s)[: len(s) // 2].mean()), float(seated(s)[-n:].mean())
    ok = standing(s)[: len(s) // 2].sum() >= 2 and after >= 0.5
    return Verdict(bool(ok), {"stood_share": before, "seated_at_end": after, "last_m": float(pelvis(s)[-n:].mean())})


@predicate
def stands_up(s: Signals) -> Verdict:
    """Sits at first (or is as low as on a seat, trunk up) and stands at the end."""
    n = _edges(s)
    low = (pelvis(s) < SEAT) & (s.uprightness > 0.3)
    before, after = float(low[: max(len(s) // 3, n)].mean()), float(standing(s)[-n:].mean())
    return Verdict(before >= 0.2 and after >= 0.5, {"low_share": before, "standing_at_end": after})


@predicate
def sits_and_turns(s: Signals, degrees: float = 20.0) -> Verdict:
    """Turns the shoulders or the face by `degrees` to some side while sitting."""
    mask = seated(s)
    if mask.sum() < 4:
        return Verdict(False, {"seated_frames": float(mask.sum())})
    across = s.joints[:, 16] - s.joints[:, 17]
    chest = np.rad2deg(np.unwrap(np.arctan2(-across[:, 2], across[:, 0])))
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
def lunges(s: Signals, side: AnySide = "any", stride: float = 0.5, drop: float = 0.1) -> Verdict:
    """The feet are `stride` apart, the knee of the front (or sideways) leg `side` bent, the pelvis `drop` lower."""
    away = np.linalg.norm(s.local[:, 7, [0, 2]] - s.local[:, 8, [0, 2]], axis=1)
    ahead = s.local[:, 7, 2] - s.local[:, 8, 2]
    top = float(np.percentile(pelvis(s), 95))
    duration = {}
    for name, sign in (("left", 1.0), ("right", -1.0)):
        bent = s.bend(name[0], "leg")
        working = (sign * ahead > 0.25) | ((np.abs(ahead) < 0.35) & (bent < s.bend("lr"[name == "left"], "leg")))
        mask = working & (bent < 145) & (away > stride) & (pelvis(s) < top - drop) & (s.uprightness > 0.55)
        duration[name] = longest(mask)
    seconds = duration.get(side, max(duration.values()))
    drop_m = top - float(pelvis(s).min())
    return Verdict(seconds >= 0.15, {"left_s": duration["left"], "right_s": duration["right"], "drop_m": drop_m})


@predicate
def lies(s: Signals, seconds: float = 0.4) -> Verdict:
    """Lies on the floor for `seconds`."""
    duration = longest(lying(s))
    return Verdict(duration >= seconds, {"lying_s": duration})


@predicate
def lies_down(s: Signals) -> Verdict:
    """Is off the floor at first and lies at the end."""
    first, last = float(pelvis(s)[: max(len(s) // 2, 2)].max()), float(lying(s)[-_edges(s) :].mean())
    return Verdict(first > 0.45 and last >= 0.5, {"first_m": first, "lying_at_end": last})


@predicate
def falls_and_gets_up(s: Signals, low: float = 0.45) -> Verdict:
    """Stands, goes down with the pelvis below `low`, and stands again at the end."""
    bottom = int(pelvis(s).argmin())
    before = bool(standing(s)[: max(bottom, 1)].any())
    after = float(standing(s)[-_edges(s) :].mean())
    lowest = float(pelvis(s).min())
    return Verdict(before and lowest <= low and after >= 0.5, {"lowest_m": lowest, "standing_at_end": after})


@predicate
def leans(
    s: Signals, side: Literal["left", "right", "forward", "back", "any"] = "any", degrees: float = 9.0
) -> Verdict:
    """The trunk tilts by `degrees` (`side`: left, right, forward, back, any) from the start, feet in place."""
    trunk = s.local[:, 12] - s.local[:, 0]
    roll = np.rad2deg(np.arctan2(trunk[:, 0], trunk[:, 1]))
    n = _edges(s)
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
    upright = bool(s.uprightness[-1] > 0.7 and pelvis(s).min() > 0.6 and standing(s)[0])
    return Verdict(lurch >= degrees and s.path >= 0.25 and upright, {"lurch_deg": lurch, "path_m": s.path})


@predicate
def push_ups(s: Signals, times: int = 1, most: int = 99, depth: float = 0.04) -> Verdict:
    """Face down on the hands, the shoulders go down by `depth` and up again `times` times, pelvis off the ground."""
    prone = (s.uprightness < 0.6) & (s.joints[:, [20, 21], 1].max(1) < 0.3) & (pelvis(s) < 0.7)
    height = 0.5 * (s.joints[:, 16, 1] + s.joints[:, 17, 1])
    count = max((swings(height[a:b], depth) for a, b in runs_of(prone, gap=3)), default=0)
    return Verdict(2 * times - 1 <= count <= 2 * most + 2, {"half_swings": float(count), "prone_s": longest(prone)})


@predicate
def sit_ups(s: Signals, times: int = 1, most: int = 99) -> Verdict:
    """With the pelvis on the floor the trunk rises from lying to at least 45 degrees, `times` times."""
    low = np.where(pelvis(s) < 0.35, s.uprightness, 0.0)
    count = len([1 for a, b in runs_of(low > 0.6, gap=3) if a > 0 and low[:a].min() < 0.4])
    return Verdict(times <= count <= most, {"rises": float(count), "lying_s": longest(lying(s))})


@predicate
def stretches(s: Signals, seconds: float = 0.3) -> Verdict:
    """Reaches far from the body for a while: an arm up or wide, or the trunk bent far to a side, forward or back."""
    up = np.maximum(s.hand_over_head("l"), s.hand_over_head("r")) > 0.1
    wide = (np.abs(s.arm("l")[:, 0]) > 0.42) & (np.abs(s.arm("r")[:, 0]) > 0.42)
    duration = {"up_s": longest(up), "wide_s": longest(wide), "bent_s": longest(s.uprightness < 0.9)}
    return Verdict(max(duration.values()) >= seconds, duration)


@predicate
def turns_in_place(s: Signals, side: AnySide = "any", degrees: float = 60.0) -> Verdict:
    """Turns the whole body about on the spot (`side`: left, right, any)."""
    turned = {"left": float(s.yaw.max() - s.yaw[0]), "right": float(s.yaw[0] - s.yaw.min())}
    value = turned.get(side, max(turned.values()))
    return Verdict(value >= degrees and s.reach < 1.0, {f"{k}_deg": v for k, v in turned.items()})
