"""The rule-based overlay on the network's motion: strokes, calm, energy, and the behaviour of whoever is silent.

A stroke takes over its arms, blended in and out by inertialization (`instruct_data.gesture.blending`), which depends on
past frames alone: the overlay adds no latency.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from avatargpt.gesture.features import TimedWord
from avatargpt.gesture.semantics import MIN_SPACING, GestureBank, Manner, StrokePlanner
from instruct_data.gesture import performing
from instruct_data.gesture.performing import BACK, BEFORE, REACH, RISE, stroke_poses
from instruct_data.gesture.plan import Placed
from instruct_data.gesture.strokes import ARM, FPS, LIMB, ROTATIONS, SIDES, TRUNK, turns_in, within
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.smoothing import minimum_jerk

# Voice activity: a frame is speech where its level is within LOUDNESS_RANGE dB of the recent peak, and above a floor.
LOUDNESS_RANGE, FLOOR, PEAK_DECAY = 30.0, -55.0, 1.0 / FPS  # dB, dBFS, dB a frame
NOISE_MARGIN, NOISE_RISE = 10.0, 3.0 / FPS  # dB above the noise level, dB a frame by which that level rises
# Silence: hands sink after SILENCE frames without own speech, unless own speech begins within RESUME frames.
SILENCE, RESUME = 18, 12
SINK_STEP, RAISE_STEP = 1 / 30, 1 / 15  # of the way, a frame
# Nods: after PAUSE frames of the interlocutor's silence, with SPEECH of the last WINDOW frames spoken.
PAUSE, SPEECH, WINDOW = 6, 20, 40
NOD_SPACING = 45  # frames
NOD_SHARE, NOD_SIZE = 0.85, (0.10, 0.17)  # of the pauses; radians
NOD_FRAMES = 6  # of a nod down, and as many back
STEADY = 0.9  # share of the way back to where silence began that trunk, head and collars are moved
STEADY_JOINTS = [*TRUNK, ARM["l"][0], ARM["r"][0]]
CALM_MOTION = 0.06  # share of the network's motion that calm hands keep
KEPT = 1000  # frames of speech activity that are kept at least
MEAN_STEP = 1 / (3 * FPS)  # share by which the running mean follows
TRUNK_SHARES = np.array([0.8, 0.8, 0.8, 0.7, 0.7])[:, None]  # how far trunk, neck and head follow a stroke


# The corpus' trunks and necks sway less than people's (head travels 0.04 m/s, in BEAT2's take 0.12): the nodding and
# tilting that the network does with them is made larger, without what lasts longer than seconds, and the head stays as
# level as it was. Nobody turns away from whom they talk to: turning is not made larger, and that of the trunk bounded.
SWAY, FARTHEST = np.array([6.0, 0.0, 6.0]), 0.05  # times of nodding, turning, tilting; radians added to a joint at most
SOFT, SLOW, LEVEL = 3, 90, 0.6  # frames of smoothing, and of the mean around which; share of the turn
SPINE, ASIDE = 3, np.radians(10)  # joints of the trunk below the neck; radians that they turn together at most


class Sway:
    """Larger movements of trunk and neck, frame by frame, before anything is laid over the network's motion."""

    def __init__(self) -> None:
        self._means: np.ndarray | None = None  # (3, 5, 3) rotation vectors: smoothed, smoothed again, over seconds

    def push(self, features: np.ndarray) -> np.ndarray:
        """(k, 270) -> (k, 270)."""
        out = np.array(features, np.float32)
        for row in out[:, : 6 * len(TRUNK)]:
            turns = rot.from_6d(row.astype(np.float64).reshape(-1, 6))
            now = rot.to_axis_angle(turns)
            once, twice, slow = np.repeat(now[None], 3, 0) if self._means is None else self._means
            once = once + (now - once) / SOFT
            self._means = np.stack([once, twice + (once - twice) / SOFT, slow + (now - slow) / SLOW])
            added = SWAY * (self._means[1] - self._means[2])
            size = np.linalg.norm(added, axis=1, keepdims=True) / FARTHEST
            added = added * np.tanh(size) / np.maximum(size, 1e-9)
            added[-1] = -LEVEL * added[:-1].sum(0)
            aside = now[:SPINE, 1].sum()
            added[:SPINE, 1] += (ASIDE * np.tanh(aside / ASIDE) - aside) / SPINE
            row[:] = rot.to_6d(rot.multiply(turns, rot.from_axis_angle(added))).reshape(-1)
        return out


class VoiceActivity:
    """Speech activity of a voice in frames of 1/30 s, from samples in chunks of any size."""

    def __init__(self, rate: int) -> None:
        self._rate, self._samples, self._start = rate, np.zeros(0), 0
        self._peak, self._noise = FLOOR, 0.0
        self._active: list[bool] = []
        self._first = 0  # frame of the first in it

    def push(self, pcm: np.ndarray) -> None:
        """Samples (n,) or (n, channels)."""
        mono = pcm if pcm.ndim == 1 else pcm.mean(1)
        self._samples = np.concatenate([self._samples, mono.astype(np.float64)])
        while True:
            stop = (self._first + len(self._active) + 1) * self._rate // FPS - self._start
            if stop > len(self._samples):
                return
            # The peak decays and the noise level rises slowly: both follow a voice that changes its distance.
            level = 10 * np.log10(float((self._samples[:stop] ** 2).mean()) + 1e-12)
            self._peak = max(self._peak - PEAK_DECAY, level, FLOOR)
            self._noise = min(self._noise + NOISE_RISE, level)
            self._active.append(level > max(self._peak - LOUDNESS_RANGE, FLOOR, self._noise + NOISE_MARGIN))
            self._samples, self._start = self._samples[stop:], self._start + stop

    def any(self, start: int, stop: int) -> bool:
        """Whether there is speech in frames [start, stop), as far as they have come and are kept."""
        return self.count(start, stop) > 0

    def count(self, start: int, stop: int) -> int:
        """The number of them with speech."""
        return sum(self._active[max(start - self._first, 0) : max(stop - self._first, 0)])

    def forget(self, stop: int) -> None:
        """Frames before `stop` are not asked for any more."""
        if stop - self._first > KEPT:
            self._active, self._first = self._active[stop - self._first :], stop


class ListenerBehaviour:
    """Resting hands of whoever is silent, and nods while somebody else speaks, frame by frame.

    The network learns both from its corpus, but draws them too seldom to be relied on.

    Args:
        rate: samples a second of the voice. interlocutor_rate: of the other one, None = nobody else is heard.
    """

    def __init__(self, rate: int, interlocutor_rate: int | None = None, seed: int = 0) -> None:
        self._speaker = VoiceActivity(rate)
        self._interlocutor = None if interlocutor_rate is None else VoiceActivity(interlocutor_rate)
        self._seed, self._still, self._last_nod = seed, 0.0, -NOD_SPACING
        self._nod: tuple[int, list[tuple[float, float]]] | None = None

    def hear(self, pcm: np.ndarray, interlocutor: np.ndarray | None) -> None:
        """Samples of both voices."""
        self._speaker.push(pcm)
        if interlocutor is not None and self._interlocutor is not None:
            self._interlocutor.push(interlocutor)

    def frame(self, t: int) -> tuple[float, float]:
        """Frame t, in order: how far hands are at rest, 0 to 1, and the nod's angle, radians."""
        mine, theirs = self._speaker, self._interlocutor
        is_quiet = not mine.any(t - SILENCE, t + RESUME + 1)
        # Who begins in silence is still from the first frame on.
        step = 1.0 if t == 0 else SINK_STEP
        self._still = float(np.clip(self._still + (step if is_quiet else -RAISE_STEP), 0, 1))
        still = float(minimum_jerk(np.array([self._still]))[0])
        mine.forget(t - SILENCE)
        if theirs is None:
            return still, 0.0
        paused = t >= PAUSE and not theirs.any(t - PAUSE + 1, t + 1) and theirs.any(t - PAUSE, t - PAUSE + 1)
        spoke = theirs.count(t - WINDOW, t + 1) >= SPEECH
        can_nod = not mine.any(t - SILENCE // 2, t + RESUME + 1)
        theirs.forget(t - WINDOW)
        # Listeners nod when a phrase of the speaker ends, and not when they are about to speak themselves.
        if paused and spoke and can_nod and t - self._last_nod >= NOD_SPACING:
            rng = np.random.default_rng([self._seed, 76, t])
            if rng.random() < NOD_SHARE:
                self._last_nod = t
                # Frames and radians of a nod down and back; a second one is smaller.
                size, keys = float(rng.uniform(*NOD_SIZE)), [(0.0, 0.0)]
                for k in range(int(rng.integers(1, 3))):
                    down, back = (2 * k + 1) * NOD_FRAMES, (2 * k + 2) * NOD_FRAMES
                    keys += [(down, size * 0.8**k), (back, -0.2 * size * 0.8**k)]
                self._nod = t, [*keys, (keys[-1][0] + NOD_FRAMES, 0.0)]
        if self._nod is None:
            return still, 0.0
        return still, float(performing.through(self._nod[1], np.array([t - self._nod[0]]))[0])


@dataclass
class _ArmState:
    """One arm with its hand: the stroke that it follows, and the decaying offset from what it followed before."""

    stroke: Placed | None = None
    start: int = 0  # frame at which the decay began
    decay: np.ndarray = field(default_factory=lambda: np.zeros((0, 19, 3)))
    outputs: list[np.ndarray] = field(default_factory=list)  # the last poses
    inputs: list[np.ndarray] = field(default_factory=list)  # the network's poses of the same frames


class SemanticOverlay:
    """The overlay of one talk, frame by frame; frames are counted from 0."""

    def __init__(
        self, bank: GestureBank, manner: Manner, planner: StrokePlanner | None = None, words: Sequence[TimedWord] = (),
        loudness: Sequence[float] = (), listener: ListenerBehaviour | None = None, start: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """`start`: (43, 4) turns before the first frame, where silence before speech holds trunk and head."""
        self._listener, self._still, self._nod = listener, 0.0, 0.0
        self._bank, self._manner, self._planner = bank, manner, planner
        self._strokes: list[Placed] = []
        self._arms = {side: _ArmState() for side in SIDES}
        self._mean: np.ndarray | None = None
        self._held = None if start is None else start[STEADY_JOINTS]  # trunk, head, collars when silence began
        self._frame = 0
        self.say(words, loudness)

    @property
    def strokes(self) -> tuple[Placed, ...]:
        """Planned strokes that are not over."""
        return tuple(self._strokes)

    def say(self, words: Sequence[TimedWord], loudness: Sequence[float] = ()) -> None:
        """Add words; a stroke whose preparation would have had to begin by now is left out."""
        if self._planner is None or not words:
            return
        strokes = self._planner(list(words), [s.frame for s in self._strokes], loudness)
        self._strokes += [s for s in strokes if s.frame - s.lead >= self._frame]
        self._strokes.sort(key=lambda s: s.frame)

    def cue(self, gesture: str, word: TimedWord) -> None:
        """Add a gesture at a word; it takes the place of strokes that fall together with it.

        Raises UserError for an unknown gesture, or words that are off.
        """
        if self._planner is None:
            raise UserError(f"gesture {gesture!r}: words are off; accepted: with words")
        stroke = self._planner.cue(gesture, word)
        if stroke.frame - REACH < self._frame:
            return
        others = [s for s in self._strokes if abs(s.frame - stroke.frame) >= MIN_SPACING]
        self._strokes = sorted([*others, stroke], key=lambda s: s.frame)

    def hear(self, pcm: np.ndarray, other: np.ndarray | None) -> None:
        """Samples of both voices, before the frames that depend on them."""
        if self._listener is not None:
            self._listener.hear(pcm, other)

    def push(self, features: np.ndarray) -> np.ndarray:
        """(k, 270) -> (k, 270): rotations are changed; hand positions, which are not decoded, are not."""
        out = np.array(features, np.float32)
        for row in out:
            if self._listener is not None:
                self._still, self._nod = self._listener.frame(self._frame)
            if self._is_idle():
                self._frame += 1
                continue
            turns = self._next(turns_in(row))
            if turns is not None:
                row[ROTATIONS] = rot.to_6d(turns).reshape(-1)
        return out

    def _is_idle(self) -> bool:
        # Whether this frame stays as it is and no stroke within blending distance needs its pose.
        frame, manner = self._frame, self._manner
        if manner.calm or manner.energy != 1 or self._still or self._nod:
            return False
        soon = any(s.frame - max(s.lead, REACH) - BEFORE <= frame for s in self._strokes)
        busy = any(arm.stroke is not None or frame - arm.start < len(arm.decay) for arm in self._arms.values())
        if soon or busy:
            return False
        self._held = None
        for arm in self._arms.values():
            arm.outputs, arm.inputs = [], []
        return True

    def _next(self, turns: np.ndarray) -> np.ndarray | None:
        # (43, 4) of a frame, changed; None where it stays as it is.
        frame = self._frame
        out = self._apply_manner(self._apply_listening(turns))
        changed = out is not turns
        self._strokes = [s for s in self._strokes if s.frame + s.release + BACK + RISE >= frame]
        out = out.copy()
        for stroke in self._strokes:
            weight = _trunk_weight(stroke, frame)
            if weight > 0:
                vectors = _trunk_vectors(stroke, frame) * weight * TRUNK_SHARES
                out[TRUNK] = rot.multiply(out[TRUNK], rot.from_axis_angle(vectors))
                changed = True
        for side in SIDES:
            changed = self._move_arm(side, out, frame) or changed
        self._frame += 1
        return within(rot.normalize(out)[None])[0] if changed else None

    def _apply_listening(self, turns: np.ndarray) -> np.ndarray:
        if not self._still:
            self._held = None
            if not self._nod:
                return turns
        out = turns.copy()
        if self._still:
            current = turns[STEADY_JOINTS]
            self._held = current if self._held is None else self._held
            out = self._at_rest(turns, self._still)
            out[STEADY_JOINTS] = rot.slerp(current, self._held, STEADY * self._still)
        vectors = np.zeros((len(TRUNK), 3))
        vectors[3:, 0] = 0.35 * self._nod, 0.65 * self._nod
        out[TRUNK] = rot.multiply(out[TRUNK], rot.from_axis_angle(vectors))
        return out

    def _at_rest(self, turns: np.ndarray, share: float) -> np.ndarray:
        # Arms and fingers moved towards rest; collars stay, because breath moves them.
        out = turns.copy()
        for side in SIDES:
            joints = LIMB[side][1:]
            out[joints] = rot.slerp(turns[joints], self._bank.rest[joints], share * (1 - CALM_MOTION))
        return out

    def _apply_manner(self, turns: np.ndarray) -> np.ndarray:
        if self._manner.calm:
            return self._at_rest(turns, 1.0)
        if self._manner.energy == 1:
            return turns
        joints = [*TRUNK, *ARM["l"], *ARM["r"]]
        current = turns[joints]
        self._mean = current if self._mean is None else rot.slerp(self._mean, current, MEAN_STEP)
        offsets = rot.to_axis_angle(rot.multiply(rot.conjugate(self._mean), current))
        out = turns.copy()
        out[joints] = rot.multiply(self._mean, rot.from_axis_angle(self._manner.energy * offsets))
        return out

    def _move_arm(self, side: str, out: np.ndarray, frame: int) -> bool:
        # Let an arm follow its stroke, or the decay after one; whether it was changed.
        arm, joints = self._arms[side], LIMB[side]
        # Inertialization: the target changes at once, and the offset from the former poses decays.
        base = out[joints].copy()
        target, blend = self._target(side, frame)
        if target is not arm.stroke and len(arm.outputs) == BEFORE:
            if target is None:
                poses = np.stack(arm.inputs)
            else:
                poses = stroke_poses(target, frame - BEFORE, frame, side)
            offsets = rot.to_axis_angle(rot.multiply(rot.conjugate(poses), np.stack(arm.outputs)))
            arm.decay, arm.start, arm.stroke = performing.decay_offsets(offsets, blend, blend), frame, target
        if arm.stroke is not None:
            out[joints] = stroke_poses(arm.stroke, frame, frame + 1, side)[0]
        elapsed = frame - arm.start
        if elapsed < len(arm.decay):
            out[joints] = rot.multiply(out[joints], rot.from_axis_angle(arm.decay[elapsed]))
        changed = arm.stroke is not None or elapsed < len(arm.decay)
        arm.outputs = [*arm.outputs, out[joints].copy()][-BEFORE:]
        arm.inputs = [*arm.inputs, base][-BEFORE:]
        return changed

    def _target(self, side: str, frame: int) -> tuple[Placed | None, int]:
        # The stroke that an arm follows in this frame, and the frames of its blend.
        strokes = [s for s in self._strokes if side in s.stroke.sides]
        for number, stroke in enumerate(strokes):
            # A stroke keeps its arm until the next one begins, at least for two frames beyond its emphasis.
            start = stroke.frame - max(stroke.lead, REACH)
            if number:
                start = max(start, strokes[number - 1].frame + 2)
            stop = stroke.frame + max(stroke.release, performing.SETTLE)
            following = strokes[number + 1] if number + 1 < len(strokes) else None
            if following is not None:
                stop = min(stop, max(following.frame - max(following.lead, REACH), stroke.frame + 2))
            if start <= frame < stop:
                return stroke, max(min(stroke.frame - frame, RISE), 2)
        return None, BACK


def _trunk_weight(stroke: Placed, frame: int) -> float:
    # How far trunk and head follow a stroke: rises with its preparation, falls after it.
    start, release = stroke.frame - stroke.lead, stroke.frame + stroke.release
    if not start <= frame < release + BACK:
        return 0.0
    rising = minimum_jerk(np.array([(frame - start + 1) / max(stroke.lead, 1)]))
    return float((rising * (1 - minimum_jerk(np.array([(frame - release) / BACK]))))[0]) * stroke.size


def _trunk_vectors(stroke: Placed, frame: int) -> np.ndarray:
    # (5, 3) rotation vectors of trunk, neck and head in a stroke.
    s = stroke.stroke
    at = float(np.clip(s.emphasis + (frame - stroke.frame) * stroke.tempo, 0, s.end))
    low = min(int(at), len(s.bent) - 2)
    share = at - low
    return np.asarray(s.bent[low] * (1 - share) + s.bent[low + 1] * share)
