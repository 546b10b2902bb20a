"""Exact counts of repetitions from the joints, each measured on clips whose count is known."""
# `KNOWN` says on which keyframed clips a counter is measured; a prompt suite that counts states the accuracy of its
# counters beside its own figures.

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from avatargpt.kinematics.joints import FPS, Signals, swings
from avatargpt.metrics.geometry import hands
from avatargpt.metrics.geometry.common import find_flights, stance, thrusts, wave_swings
from avatargpt.metrics.geometry.predicates import Verdict, predicate
from vqvae.errors import UserError
from vqvae.smoothing import runs_of

Counter = Callable[[Signals], int]


def peaks(
    signal: np.ndarray, rise: float, gap: float = 0.15, share: float = 0.5, ends: bool = True, within: float = np.inf
) -> int:
    """Number of peaks that stand out.

    Args:
        rise: least prominence of a peak, same unit.
        gap: seconds between two of them at least.
        share: least prominence as a share of the signal's range: what trembles beside large peaks is none.
        within: how far below the highest a peak may be, same unit.
    """
    from scipy.signal import find_peaks

    if len(signal) < 3:
        return 0
    # A peak at an end of the clip has no other side: the signal is led down to its lowest on both.
    led = np.concatenate([[signal.min()], signal, [signal.min()]]) if ends else signal
    prominence, distance = max(rise, share * float(np.ptp(signal))), max(round(gap * FPS), 1)
    indices, _ = find_peaks(led, prominence=prominence, distance=distance, height=float(signal.max()) - within)
    return len(indices)


def jumps(s: Signals) -> int:
    """Flights of the whole body."""
    return len(find_flights(s, 0.025, 0.02))


def claps(s: Signals) -> int:
    """Meetings of the hands, which part again by 6 cm or more."""
    return round(hands.claps(s).values["claps"])


def waves(s: Signals) -> int:
    """To-and-fro movements of a raised hand, of the one that waves more; bringing it up and down is none."""
    return max((max(wave_swings(s, h, 0.022) for h in "lr") - 1) // 2, 0)


# Every time that a foot leaves its place and comes down again: frame of landing, metres gone, metres lifted.
def _moves(s: Signals) -> list[tuple[int, float, float]]:
    out = []
    for toe in (10, 11):
        height = s.joints[:, toe, 1] - np.percentile(s.joints[:, toe, 1], 5)
        for a, b in runs_of((s.velocity[:, toe] > 0.3) | (height > 0.035), gap=1):
            way = s.joints[max(a - 1, 0) : b + 1, toe]
            gone = float(np.linalg.norm((way[-1] - way[0])[[0, 2]]))
            lifted = float(np.ptp(way[:, 1]))
            if b - a >= 2 and (lifted > 0.045 or gone > 0.1):
                out.append((b, gone, lifted))
    return sorted(out)


def steps(s: Signals) -> int:
    """Steps ahead or back, by which foot is in front; on the spot feet that leave the floor and come down.

    A last half step that only brings the feet together is none.
    """
    gap = s.local[:, 7, 2] - s.local[:, 8, 2]
    stride = float(np.percentile(np.abs(gap), 95))
    if stride < 0.12 or s.reach < 0.4:
        return len(_moves(s))
    count = swings(gap, max(0.7 * stride, 0.08))
    return count - (count > 1 and abs(float(gap[-1])) < 0.35 * stride)


def side_steps(s: Signals) -> int:
    """Steps to a side, each with the other foot closing up."""
    return (len(_moves(s)) + 1) // 2


def squats(s: Signals) -> int:
    """Dips of the pelvis by 0.15 m or more, trunk up."""
    return peaks(-s.joints[:, 0, 1], 0.15, 0.3)


def punches(s: Signals) -> int:
    """Straight thrusts of either fist."""
    return sum(thrusts(s, 0.8).values())


def nods(s: Signals) -> int:
    """The face going down against the chest and up again, by 4 degrees or more."""
    return peaks(s.head_turn[0], 4.0, 0.1, 0.4, ends=False)


def head_shakes(s: Signals) -> int:
    """The face going to one side and to the other."""
    return swings(s.head_turn[1], max(6.0, 0.3 * float(np.ptp(s.head_turn[1])))) // 2


def shrugs(s: Signals) -> int:
    """Shoulders (or one) going up against the chest by 1.5 cm."""
    lift = [s.joints[:, shoulder, 1] - s.joints[:, 9, 1] for shoulder in (16, 17)]
    return peaks(max(lift, key=lambda x: float(np.ptp(x))), 0.015, 0.25)


def kicks(s: Signals) -> int:
    """Legs that are swung out: the ankle gets away from under its hip, off the floor and fast."""
    count = 0
    for ankle, hip in ((7, 1), (8, 2)):
        away = np.linalg.norm((s.joints[:, ankle] - s.joints[:, hip])[:, [0, 2]], axis=1)
        off = s.joints[:, ankle, 1] - s.floor > 0.17
        far = np.where(off, away, 0.0)
        for a, b in runs_of(far > 0.35, gap=2):
            count += bool(s.relative_velocity[max(a - 4, 0) : b + 4, ankle].max() > 1.8)
    return count


def jumping_jacks(s: Signals) -> int:
    """The feet going apart and together while the arms go up and down."""
    apart = stance(s)
    return min(swings(apart, 0.15) // 2, max(swings(s.hand_height(h), 0.35) for h in "lr") // 2)


def push_ups(s: Signals) -> int:
    """Elbows that bend and straighten again while the body is face down on the hands."""
    prone = (s.uprightness < 0.6) & (s.joints[:, [20, 21], 1].max(1) < 0.3) & (s.joints[:, 0, 1] < 0.7)
    bend = 0.5 * (s.bend("l", "arm") + s.bend("r", "arm"))
    return max((peaks(-bend[a:b], 20.0, 0.2, 0.2, ends=False) for a, b in runs_of(prone, gap=3)), default=0)


def sit_ups(s: Signals) -> int:
    """The trunk rising from lying with the pelvis on the floor."""
    low = np.where(s.joints[:, 0, 1] < 0.35, s.uprightness, 0.0)
    return len([1 for a, b in runs_of(low > 0.6, gap=3) if a > 0 and low[:a].min() < 0.4])


def knee_lifts(s: Signals) -> int:
    """Knees coming up by 0.12 m or more, of both legs together."""
    return sum(peaks(s.joints[:, k, 1], 0.12, 0.25) if np.ptp(s.joints[:, k, 1]) > 0.12 else 0 for k in (4, 5))


def knocks(s: Signals) -> int:
    """Taps of a bent arm's hand to the front, of the hand that taps more."""
    best = 0
    for h in "lr":
        out = s.arm(h)[:, 2]
        for a, b in runs_of((out > 0.12) & (np.abs(s.arm(h)[:, 1]) < 0.3), gap=2):
            best = max(best, peaks(out[a:b], 0.0475, 0.05, 0.0, ends=False, within=0.06))
    return best


def bows(s: Signals) -> int:
    """The trunk going forward by 12 degrees or more and up again."""
    return peaks(s.pitch, 12.0, 0.4)


def turns(s: Signals) -> int:
    """Turns of the whole body by 60 degrees or more, a rest or a change of side between them."""
    rate = np.gradient(s.yaw) * FPS if len(s) > 1 else np.zeros(1)
    count = 0
    for sign in (1, -1):
        for a, b in runs_of(sign * rate > 30, gap=2):
            count += int(sign * (s.yaw[b - 1] - s.yaw[a]) > 60)
    return count


COUNTERS: dict[str, Counter] = {
    f.__name__: f for f in (jumps, claps, waves, steps, side_steps, squats, punches, nods, head_shakes, shrugs, kicks,
                            jumping_jacks, push_ups, sit_ups, knee_lifts, knocks, bows, turns)
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """Clips of a keyframed action in which something is done a known number of times."""

    family: str  # the action
    count: str = "reps"  # the parameter that says how often, empty = once
    each: int = 1  # times per one of it
    only: tuple[str, tuple[str, ...]] | None = None  # (parameter, accepted values) that a clip must have
    twice: tuple[str, str] | None = None  # (parameter, value) where it is done twice as often

    def times(self, params: Mapping[str, Any]) -> int:
        """How often it is done in a clip with these parameters; 0 = the clip is none of these."""
        if self.only is not None and str(params[self.only[0]]) not in self.only[1]:
            return 0
        doubled = self.twice is not None and str(params[self.twice[0]]) == self.twice[1]
        return (int(params[self.count]) if self.count else 1) * self.each * (2 if doubled else 1)


# Counter -> the clips it is measured on.
KNOWN: dict[str, tuple[Known, ...]] = {
    "jumps": (Known("jump"), Known("hop")),
    "claps": (Known("clap"),),
    "waves": (Known("wave"),),
    "steps": (Known("walk_on_the_spot", each=2), Known("tiptoe", each=2), Known("march", "rounds", each=2),
              Known("sneak", each=2), Known("limp", each=2)),
    "side_steps": (Known("sidestep"),),
    "squats": (Known("squat", only=("depth", ("half", "deep"))),),
    "punches": (Known("punch", only=("kind", ("straight punch",)), twice=("turns", "alternating")),),
    "nods": (Known("nod"),),
    "head_shakes": (Known("shake_head"),),
    "shrugs": (Known("shrug"),),
    "kicks": (Known("kick"),),
    "jumping_jacks": (Known("jumping_jack"),),
    "push_ups": (Known("push_up"),),
    "sit_ups": (Known("sit_up", only=("kind", ("full",))),),
    "knee_lifts": (Known("raise_knees", twice=("kind", "alternating")),),
    "knocks": (Known("knock"),),
    "bows": (Known("bow"),),
    "turns": (Known("turn_around", "", twice=("again", "True")),),
}  # fmt: skip


def counter(what: str) -> Counter:
    """The counter of that name; raises UserError for an unknown one."""
    if what not in COUNTERS:
        raise UserError(f"nothing counts {what!r}; accepted: {', '.join(COUNTERS)}")
    return COUNTERS[what]


def count_in(s: Signals, what: str) -> int:
    """How often `what` is done in a clip."""
    return int(counter(what)(s))


@predicate
def counted(s: Signals, what: Annotated[str, counter], times: int) -> Verdict:
    """`what` (a key of `COUNTERS`) is done exactly `times` times."""
    count = count_in(s, what)
    return Verdict(count == times, {what: float(count)})
