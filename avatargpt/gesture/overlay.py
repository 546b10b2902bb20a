"""The rule-based overlay on the network's motion: strokes, calm, energy, and the behaviour of a listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from avatargpt.gesture.bank import GestureBank
from avatargpt.gesture.semantics import Manner, Meaning
from avatargpt.gesture.words import TimedWord
from instruct_data.gesture.performing import (
    BACK,
    BEFORE,
    REACH,
    RISE,
    SETTLE,
    decaying,
    minimum_jerk,
    stroke_poses,
    through,
)
from instruct_data.gesture.plan import Placed
from instruct_data.gesture.strokes import ARM, FPS, LIMB, SIDES, TRUNK, within
from vqvae import rotations as rot

LOUD, FLOOR, FALL = 30.0, -55.0, 1.0 / FPS  # dB below the loudest, dBFS, dB a frame by which the loudest is forgotten
NOISE, CREEP = 10.0, 3.0 / FPS  # dB above the quietest that is no noise, dB a frame by which the quietest is forgotten
SILENT, SOON = 18, 12  # frames of own silence after which hands sink, and before one's own words in which they do not
SINK_STEP, RAISE_STEP = 1 / 30, 1 / 15  # of the way, a frame
PAUSE, SPOKE, WITHIN = 6, 20, 40  # frames: silence of the other that is a pause, after so many of the last ones spoken
APART = 45  # frames between nods
NODS, SIZE = 0.85, (0.10, 0.17)  # share of the pauses, radians
WIDTH = 6  # frames of a nod down, and as many back


class Voice:
    """Frames of 1/30 s in which a voice is heard, from samples in chunks of any size."""

    def __init__(self, rate: int) -> None:
        self._rate, self._rest, self._taken = rate, np.zeros(0), 0
        self._peak, self._noise = FLOOR, 0.0
        self.heard: list[bool] = []

    def push(self, pcm: np.ndarray) -> None:
        """Samples (n,) or (n, channels)."""
        mono = pcm if pcm.ndim == 1 else pcm.mean(1)
        self._rest = np.concatenate([self._rest, mono.astype(np.float64)])
        while True:
            stop = (len(self.heard) + 1) * self._rate // FPS - self._taken
            if stop > len(self._rest):
                return
            level = 10 * np.log10(float((self._rest[:stop] ** 2).mean()) + 1e-12)
            self._peak = max(self._peak - FALL, level, FLOOR)
            self._noise = min(self._noise + CREEP, level)
            self.heard.append(level > max(self._peak - LOUD, FLOOR, self._noise + NOISE))
            self._rest, self._taken = self._rest[stop:], self._taken + stop


class Listening:
    """Stillness and nods, frame by frame.

    Args:
        rate, other_rate: samples a second of both voices. seed: of the nods.
    """

    def __init__(self, rate: int, other_rate: int, seed: int = 0) -> None:
        self._own, self._other, self._seed = Voice(rate), Voice(other_rate), seed
        self._still, self._last = 0.0, -APART
        self._nod: tuple[int, list[tuple[float, float]]] | None = None

    def hear(self, pcm: np.ndarray, other: np.ndarray | None) -> None:
        """Samples of both voices."""
        self._own.push(pcm)
        if other is not None:
            self._other.push(other)

    def frame(self, t: int) -> tuple[float, float]:
        """Of frame t, in order: how far hands are at rest, 0 to 1, and how far the head is nodded, radians."""
        mine = self._own.heard
        quiet = not any(mine[max(0, t - SILENT) : t + SOON + 1])
        self._still = float(np.clip(self._still + (SINK_STEP if quiet else -RAISE_STEP), 0, 1))
        theirs = self._other.heard
        pause = t >= PAUSE and not any(theirs[t - PAUSE + 1 : t + 1]) and any(theirs[t - PAUSE : t - PAUSE + 1])
        spoke = sum(theirs[max(0, t - WITHIN) : t + 1]) >= SPOKE
        alone = not any(mine[max(0, t - SILENT // 2) : t + SOON + 1])
        if pause and spoke and alone and t - self._last >= APART:
            rng = np.random.default_rng([self._seed, 76, t])
            if rng.random() < NODS:
                self._last, self._nod = t, (t, _keys(float(rng.uniform(*SIZE)), int(rng.integers(1, 3))))
        still = float(minimum_jerk(np.array([self._still]))[0])
        return still, 0.0 if self._nod is None else float(through(self._nod[1], np.array([t - self._nod[0]]))[0])


def _keys(size: float, times: int) -> list[tuple[float, float]]:
    """Frames and radians: down and back, twice with less the second time."""
    keys = [(0.0, 0.0)]
    for k in range(times):
        keys += [((2 * k + 1) * WIDTH, size * 0.8**k), ((2 * k + 2) * WIDTH, -0.2 * size * 0.8**k)]
    return [*keys, (keys[-1][0] + WIDTH, 0.0)]


STEADY = 0.85  # share of the way to their slow mean that trunk, head and collars of a listener are held
HELD = [*TRUNK, ARM["l"][0], ARM["r"][0]]
CALM = 0.06  # share of the way to where the network has the hands that calm ones go
SLOW = 1 / (3 * FPS)  # share by which the mean follows, about which energy is more or less
TRUNKS = np.array([0.8, 0.8, 0.8, 0.7, 0.7])[:, None]  # how far trunk, neck and head follow a stroke
TURNS = slice(0, 258)  # of the features


@dataclass
class _Limb:
    """One arm with its hand: what it follows, and what is left of what it came from."""

    placed: Placed | None = None
    begun: int = 0
    decay: np.ndarray = field(default_factory=lambda: np.zeros((0, 19, 3)))
    shown: list[np.ndarray] = field(default_factory=list)  # the last poses given out
    heard: list[np.ndarray] = field(default_factory=list)  # and those of the network


class Semantics:
    """An overlay of one talk (`avatargpt.gesture.stream.Overlay`), frame by frame.

    Args:
        bank: of gestures. manner: what is asked for. meaning: plans strokes; None = no word gets one.
        words: known by now. loud: see `Meaning`. listening: what is done while the other speaks; None = nobody does.
    """

    delay = 0

    def __init__(
        self, bank: GestureBank, manner: Manner, meaning: Meaning | None = None, words: Sequence[TimedWord] = (),
        loud: Sequence[float] = (), listening: Listening | None = None,
    ) -> None:  # fmt: skip
        self._listening, self._still, self._nod = listening, 0.0, 0.0
        self._bank, self._manner, self._meaning = bank, manner, meaning
        self._strokes: list[Placed] = []
        self._limbs = {side: _Limb() for side in SIDES}
        self._mean: np.ndarray | None = None
        self._steady: np.ndarray | None = None
        self._frame = 0
        self.say(words, loud)

    @property
    def strokes(self) -> tuple[Placed, ...]:
        """Those planned so far and not over yet."""
        return tuple(self._strokes)

    def say(self, words: Sequence[TimedWord], loud: Sequence[float] = ()) -> None:
        """Further words; a stroke whose hands would have had to set out by now is left out."""
        if self._meaning is None or not words:
            return
        found = self._meaning(list(words), [p.frame for p in self._strokes], loud)
        self._strokes += [p for p in found if p.frame - p.lead >= self._frame]
        self._strokes.sort(key=lambda p: p.frame)

    def hear(self, pcm: np.ndarray, other: np.ndarray | None) -> None:
        """Samples of both voices, no later than the frames that they are heard in."""
        if self._listening is not None:
            self._listening.hear(pcm, other)

    def push(self, features: np.ndarray) -> np.ndarray:
        """(k, 270) -> (k, 270): rotations are changed, the places of the hands, which nothing decodes, are not."""
        out = np.array(features, np.float32)
        for row in out:
            self._attend()
            if self._idle():
                self._frame += 1
                continue
            made = self._next(rot.from_6d(row[TURNS].astype(np.float64).reshape(-1, 6)))
            if made is not None:
                row[TURNS] = rot.to_6d(made).reshape(-1)
        return out

    def _attend(self) -> None:
        if self._listening is not None:
            self._still, self._nod = self._listening.frame(self._frame)

    def _idle(self) -> bool:
        """Whether this frame passes as it is and none of the next few needs to know what was before."""
        frame, manner = self._frame, self._manner
        if manner.calm or manner.energy != 1 or self._listening is not None:
            return False
        soon = any(p.frame - max(p.lead, REACH) - BEFORE <= frame for p in self._strokes)
        busy = any(limb.placed is not None or frame - limb.begun < len(limb.decay) for limb in self._limbs.values())
        if soon or busy:
            return False
        for limb in self._limbs.values():
            limb.shown, limb.heard = [], []
        return True

    def finish(self) -> np.ndarray:
        """Nothing is due."""
        return np.zeros((0, 270), np.float32)

    def _next(self, turns: np.ndarray) -> np.ndarray | None:
        """(43, 4) of a frame, changed; None where it stays as it is."""
        frame = self._frame
        out = self._mannered(self._attentive(turns))
        touched = out is not turns
        self._strokes = [p for p in self._strokes if p.frame + p.kept + BACK + RISE >= frame]
        out = out.copy()
        for placed in self._strokes:
            weight = _weight(placed, frame)
            if weight > 0:
                out[TRUNK] = rot.multiply(out[TRUNK], rot.from_axis_angle(_bent(placed, frame) * weight * TRUNKS))
                touched = True
        for side in SIDES:
            touched = self._limb(side, out, frame) or touched
        self._frame += 1
        return within(rot.normalize(out)[None])[0] if touched else None

    def _attentive(self, turns: np.ndarray) -> np.ndarray:
        if self._listening is None:
            return turns
        own = turns[HELD]
        self._steady = own if self._steady is None else rot.slerp(self._steady, own, SLOW)
        if not self._still and not self._nod:
            return turns
        out = self._resting(turns, self._still)
        out[HELD] = rot.slerp(own, self._steady, STEADY * self._still)
        vectors = np.zeros((len(TRUNK), 3))
        vectors[3:, 0] = 0.35 * self._nod, 0.65 * self._nod
        out[TRUNK] = rot.multiply(out[TRUNK], rot.from_axis_angle(vectors))
        return out

    def _resting(self, turns: np.ndarray, share: float) -> np.ndarray:
        """Arms and fingers at rest but for a little; collars go on: they breathe."""
        out = turns.copy()
        for side in SIDES:
            joints = LIMB[side][1:]
            out[joints] = rot.slerp(turns[joints], self._bank.rest[joints], share * (1 - CALM))
        return out

    def _mannered(self, turns: np.ndarray) -> np.ndarray:
        if self._manner.calm:
            return self._resting(turns, 1.0)
        if self._manner.energy == 1:
            return turns
        joints = [*TRUNK, *ARM["l"], *ARM["r"]]
        own = turns[joints]
        self._mean = own if self._mean is None else rot.slerp(self._mean, own, SLOW)
        away = rot.to_axis_angle(rot.multiply(rot.conjugate(self._mean), own))
        out = turns.copy()
        out[joints] = rot.multiply(self._mean, rot.from_axis_angle(self._manner.energy * away))
        return out

    def _limb(self, side: str, out: np.ndarray, frame: int) -> bool:
        """Let an arm follow its stroke, or what is left of one; whether it was changed."""
        limb, joints = self._limbs[side], LIMB[side]
        base = out[joints].copy()
        wanted, blend = self._wanted(side, frame, limb.placed)
        if wanted is not limb.placed and len(limb.shown) == BEFORE:
            if wanted is None:
                theirs = np.stack(limb.heard)
            else:
                theirs = stroke_poses(wanted, frame - BEFORE, frame, side)
            was = rot.to_axis_angle(rot.multiply(rot.conjugate(theirs), np.stack(limb.shown)))
            limb.decay, limb.begun, limb.placed = decaying(was, blend, blend), frame, wanted
        if limb.placed is not None:
            out[joints] = stroke_poses(limb.placed, frame, frame + 1, side)[0]
        left = frame - limb.begun
        if left < len(limb.decay):
            out[joints] = rot.multiply(out[joints], rot.from_axis_angle(limb.decay[left]))
        changed = limb.placed is not None or left < len(limb.decay)
        limb.shown = [*limb.shown, out[joints].copy()][-BEFORE:]
        limb.heard = [*limb.heard, base][-BEFORE:]
        return changed

    def _wanted(self, side: str, frame: int, now: Placed | None) -> tuple[Placed | None, int]:
        """What an arm follows in this frame, and in how many frames it gets there."""
        mine = [p for p in self._strokes if side in p.stroke.sides]
        for number, one in enumerate(mine):
            start = one.frame - max(one.lead, REACH)
            if number:
                start = max(start, mine[number - 1].frame + 2)
            stop = one.frame + max(one.kept, SETTLE)
            following = mine[number + 1] if number + 1 < len(mine) else None
            if following is not None:
                stop = min(stop, max(following.frame - max(following.lead, REACH), one.frame + 2))
            if start <= frame < stop:
                return one, max(min(one.frame - frame, RISE), 2)
        return None, BACK


def _weight(placed: Placed, frame: int) -> float:
    """How far trunk and head follow a stroke: in with its preparation, out after it."""
    start, let_go = placed.frame - placed.lead, placed.frame + placed.kept
    if not start <= frame < let_go + BACK:
        return 0.0
    rising = minimum_jerk(np.array([(frame - start + 1) / max(placed.lead, 1)]))
    return float((rising * (1 - minimum_jerk(np.array([(frame - let_go) / BACK]))))[0]) * placed.size


def _bent(placed: Placed, frame: int) -> np.ndarray:
    """(5, 3) rotation vectors of trunk, neck and head in a stroke."""
    s = placed.stroke
    at = float(np.clip(s.emphasis + (frame - placed.frame) * placed.tempo, 0, s.end))
    low = min(int(at), len(s.bent) - 2)
    share = at - low
    return np.asarray(s.bent[low] * (1 - share) + s.bent[low + 1] * share)
