"""Dynamics and beats of a talking body, onsets of a sound, and their alignment."""
# Speed, acceleration, jerk, L1 diversity and histograms of hand speed; onsets of a sound as librosa 0.11 finds them at
# 16 kHz with hops of 512 samples (spectral flux of mel bands; librosa itself is no dependency); beat alignment.

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatargpt.kinematics.joints import FPS as SIGNAL_FPS
from avatargpt.kinematics.joints import Signals
from avatargpt.speech.audio import FPS, RATE, frames_in
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.smoothing import average_window, runs_of

# Spine, neck, collars, head and arms: the upper body of BEAT2's evaluation.
UPPER = (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
WRISTS = (20, 21)
EDGES = np.append(np.arange(0, 2.0001, 0.05), np.inf)  # m/s of `speed_histogram`; the last bin is open
HOP, WINDOW, BANDS = 512, 2048, 128  # samples, samples, mel bands: librosa's defaults
MIN_POWER, RANGE = 1e-10, 80.0  # floor of power; dB below the loudest band at which a spectrogram is cut off
MIN_RISE, RISE_HOPS = 0.07, 3  # of an onset over its surroundings (hops to each side); the largest strength is 1
MIN_EMPHASIS_GAP = 0.8  # s between two emphases
STRIDE = 1024  # hops transformed at once
_BEND, _LINEAR, _LOG = 1000.0, 200 / 3, np.log(6.4) / 27  # Slaney's mel scale: linear up to 1 kHz, then logarithmic
SIGMA = 0.3  # s by which a beat may be off
ORDER = 7  # frames at 30 fps to each side that a minimum is below
MOVING = 0.3  # of a joint's mean speed, below which the joint rests and a minimum is no beat
BARELY_MOVING = 0.1  # the same in the later published code
RIGHT_WRIST = 21


def at_30(motion: Motion, min_frames: int = 1) -> Motion:
    """The motion at 30 fps: differences of frames and orders of minima mean the same for every clip."""
    out = motion.resampled(30.0)
    if len(out) < min_frames:
        raise UserError(f"motion of {len(out)} frames at 30 fps; at least {min_frames} are needed")
    return out


def hand_speeds(motion: Motion) -> np.ndarray:
    """(T - 1, 2) m/s of the left and the right wrist in the world at 30 fps."""
    wrists = at_30(motion, 2).joints[:, WRISTS].astype(np.float64)
    return np.linalg.norm(np.diff(wrists, axis=0), axis=-1) * 30


def hand_speed(motion: Motion) -> float:
    """Mean of `hand_speeds`, m/s; 0.55 to 0.59 in recorded talks (this project, two takes)."""
    return float(hand_speeds(motion).mean())


def _mean_difference(motion: Motion, order: int) -> float:
    x = at_30(motion, order + 1).joints[:, UPPER].astype(np.float64)
    return float(np.linalg.norm(np.diff(x, n=order, axis=0), axis=-1).mean() * 30.0**order)


def mean_acceleration(motion: Motion) -> float:
    """Mean length of the second difference of the upper body's positions, m/s^2 at 30 fps.

    Source: the evaluation code of GENEA (Kucherenko et al. 2020), there in cm and of all joints.
    """
    return _mean_difference(motion, 2)


def mean_jerk(motion: Motion) -> float:
    """Mean length of the third difference of the upper body's positions, m/s^3 at 30 fps; source as above."""
    return _mean_difference(motion, 3)


def speed_histogram(motions: Sequence[Motion]) -> np.ndarray:
    """(41,) shares of frames by wrist speed, both wrists summed: bins of 0.05 m/s up to 2 m/s, the last one open.

    Source: GENEA's histogram of moving distance. There frames beyond the last bin are dropped; here none are.
    """
    if not motions:
        raise UserError("histogram of no clips; at least one motion is needed")
    counts, _ = np.histogram(np.concatenate([hand_speeds(m).ravel() for m in motions]), EDGES)
    return np.asarray(counts / counts.sum())


def hellinger(a: np.ndarray, b: np.ndarray) -> float:
    """Hellinger distance of two histograms, 0..1: sqrt(1 - sum sqrt(p q)), each of sum 1. Source: GENEA's code."""
    p, q = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if p.shape != q.shape or p.min(initial=0) < 0 or q.min(initial=0) < 0 or not p.sum() > 0 or not q.sum() > 0:
        raise UserError(f"histograms of shapes {p.shape} and {q.shape}; accepted: one shape, entries of at least 0")
    return float(np.sqrt(max(0.0, 1 - np.sqrt(p / p.sum() * (q / q.sum())).sum())))


def hand_speed_distance(a: Sequence[Motion], b: Sequence[Motion]) -> float:
    """`hellinger` of the `speed_histogram` of two sets of clips, 0..1."""
    return hellinger(speed_histogram(a), speed_histogram(b))


def check(audio: np.ndarray) -> np.ndarray:
    """(n,) float64 of 16 kHz mono samples."""
    x = np.asarray(audio)
    if x.ndim != 1 or not len(x):
        raise UserError(f"sound of shape {x.shape}; accepted: (samples,) at {RATE} Hz, at least one")
    if not np.isfinite(x).all():
        raise UserError(f"sound: sample {int(np.argmin(np.isfinite(x)))} is not finite; accepted numbers")
    return x.astype(np.float64)


def mel_matrix() -> np.ndarray:
    """(1025, 128) triangles of equal area from 0 to 8000 Hz on Slaney's mel scale (Auditory Toolbox, 1998)."""
    bend = _BEND / _LINEAR
    mels = np.linspace(0, bend + np.log(RATE / 2 / _BEND) / _LOG, BANDS + 2)
    edges = np.where(mels < bend, mels * _LINEAR, _BEND * np.exp(_LOG * (np.maximum(mels, bend) - bend)))
    hz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((hz - left) / (centre - left), (right - hz) / (right - centre))
    return np.asarray(np.maximum(triangles, 0) * 2 / (right - left))


# Magnitudes of the short-time spectrum, (hops, 1025) each; windows are centred on hops, zeros beyond the ends.
def _blocks(audio: np.ndarray) -> Iterator[np.ndarray]:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, WINDOW // 2), WINDOW)[::HOP]
    for i in range(0, len(frames), STRIDE):
        yield np.abs(np.fft.rfft(frames[i : i + STRIDE] * hann))


def onset_strength(audio: np.ndarray) -> np.ndarray:
    """(1 + n // 512,) how much louder the mel bands get at each hop, dB: mean over bands of what is above 0.

    Source: Boeck & Widmer 2013 (spectral flux) as ``librosa.onset.onset_strength`` computes it by default: shifted by
    one hop for the difference and by two for the width of the window.
    """
    mel = mel_matrix()
    power = np.concatenate([block**2 @ mel for block in _blocks(check(audio))])
    db = 10 * np.log10(np.maximum(power, MIN_POWER))
    db = np.maximum(db, db.max() - RANGE)
    flux = np.maximum(np.diff(db, axis=0), 0).mean(1)
    # librosa centres its frames: the difference belongs to the later one.
    return np.pad(flux, (1 + WINDOW // (2 * HOP), 0))[: len(db)]


def onsets(audio: np.ndarray) -> np.ndarray:
    """(N,) times of onsets in seconds; none in a sound that never gets louder.

    Strengths are brought to 0..1; an onset is a hop that lies 0.07 above the mean of the seven around it. Source:
    Boeck, Krebs & Schedl 2012 as ``librosa.onset.onset_detect(y, sr=16000, hop_length=512)`` does it, and BEAT2's code
    calls it. There its further conditions, the largest within 30 ms and 30 ms apart, round down to no hops at all: two
    hops in a row may both be onsets, and are so here.
    """
    return np.asarray(_pick_peaks(onset_strength(audio)) * HOP / RATE)


def _pick_peaks(strength: np.ndarray) -> np.ndarray:
    if not strength.any():
        return np.zeros(0, int)
    x = strength - strength.min()
    x = x / max(float(x.max()), np.finfo(float).tiny)
    sums, n = np.concatenate([[0.0], np.cumsum(x)]), np.arange(len(x))
    first, stop = np.maximum(n - RISE_HOPS, 0), np.minimum(n + RISE_HOPS + 1, len(x))
    return np.flatnonzero(x >= (sums[stop] - sums[first]) / (stop - first) + MIN_RISE)


def find_onset_minima(audio: np.ndarray) -> np.ndarray:
    """(N,) times at which the sound is softest just before each onset, seconds.

    An onset is moved back to the last minimum of the energy (root mean square of each hop's window), 0 s where there
    is none. Source: ``librosa.onset.onset_backtrack`` on ``librosa.feature.rms``, as the code of BEAT (Liu 2022) does.
    """
    x = check(audio)
    # Parseval, as librosa takes the energy from a spectrum; the ends of the spectrum stand for one half only.
    rms = []
    for block in _blocks(x):
        power = block**2
        power[:, [0, -1]] *= 0.5
        rms.append(np.sqrt(2 * power.sum(1) / WINDOW**2))
    energy = np.concatenate(rms)
    dips = 1 + np.flatnonzero((energy[1:-1] <= energy[:-2]) & (energy[1:-1] < energy[2:]))
    dips = np.concatenate([[0], dips])
    hops = _pick_peaks(onset_strength(x))
    return np.asarray(dips[np.searchsorted(dips, hops, side="right") - 1] * HOP / RATE)


def emphases(audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strongest of the `onsets`, at least 0.8 s apart, the strongest chosen first.

    Definition of this project: five or six onsets a second, as `onsets` finds in speech, lie near any motion.

    Returns:
        (N,) seconds and (N,) dB of onset strength.
    """
    strength = onset_strength(audio)
    hops = _pick_peaks(strength)
    free = np.ones(len(strength), bool)
    chosen: list[int] = []
    reach = int(np.ceil(MIN_EMPHASIS_GAP * RATE / HOP)) - 1
    for hop in hops[np.argsort(-strength[hops], kind="stable")].tolist():
        if free[hop]:
            chosen.append(hop)
            free[max(hop - reach, 0) : hop + reach + 1] = False
    emphatic = np.array(sorted(chosen), int)
    return emphatic * HOP / RATE, strength[emphatic]


def joint_speeds(motion: Motion) -> np.ndarray:
    """(T, 13) m/s of the upper body's joints against the pelvis at 30 fps: central differences, one-sided at the ends.
    """
    x = at_30(motion, 2).joints.astype(np.float64)
    return np.linalg.norm(np.gradient(x[:, UPPER] - x[:, :1], 1 / 30, axis=0), axis=-1)


def mean_speeds(real: Sequence[Motion]) -> np.ndarray:
    """(13,) mean `joint_speeds` of the upper body over real clips: the unit in which beats are looked for, m/s."""
    if not real:
        raise UserError("mean speeds of no clips; at least one real motion is needed")
    return np.concatenate([joint_speeds(m) for m in real]).mean(0)


def _minima(speed: np.ndarray) -> np.ndarray:
    from scipy.signal import argrelmin

    return np.asarray(argrelmin(speed, order=ORDER)[0])


def motion_beats(motion: Motion, usual: np.ndarray, moving: float = MOVING) -> list[np.ndarray]:
    """Times of the beats of each of the 13 joints of the upper body, seconds.

    A beat is a frame in which the joint is slower than in the 7 frames (0.23 s) on either side, yet faster than
    `moving` times its usual speed. Source: the evaluation code of BEAT2 (Liu et al. 2024, EMAGE), `alignment`, whose
    threshold is 0.3 (0.1 in its later `BC`) of the mean speed of each joint over the corpus, not of a metre per second.

    Args:
        usual: (13,) m/s, see `mean_speeds`. moving: least speed of a beat, in `usual`.
    """
    unit = np.asarray(usual, np.float64)
    if unit.shape != (len(UPPER),) or not (unit >= 0).all():
        raise UserError(f"usual speeds of shape {unit.shape}; accepted ({len(UPPER)},) numbers of at least 0")
    speeds = joint_speeds(motion)
    minima = [_minima(speeds[:, j]) for j in range(len(UPPER))]
    return [at[speeds[at, j] > moving * unit[j]] / 30 for j, at in enumerate(minima)]


def scores(sound: np.ndarray, beats: Sequence[np.ndarray], sigma: float = SIGMA) -> np.ndarray:
    """(N,) for every beat of the sound exp(-dt^2 / (2 sigma^2)), the mean over joints; dt to the joint's nearest beat.

    A joint without any beat scores 0, as in the published code.

    Args:
        sound: (N,) seconds. beats: (n,) seconds of every joint.
    """
    out = np.zeros(len(sound))
    for joint_beats in beats:
        if len(joint_beats):
            out += np.exp(-np.square(np.abs(sound[:, None] - joint_beats).min(1)) / (2 * sigma**2))
    return out / max(len(beats), 1)


def wrist_beats(motion: Motion, wrists: Sequence[int] = (RIGHT_WRIST,)) -> list[np.ndarray]:
    """Times in seconds at which each of some wrists is slower than in the 7 frames on either side."""
    x = at_30(motion, 2).joints.astype(np.float64)
    speeds = np.linalg.norm(np.diff(x[:, list(wrists)] - x[:, :1], axis=0), axis=-1)
    return [_minima(speed) / 30 for speed in speeds.T]


LOUD, TURN_RANGE, MIN_DB = 95.0, 30.0, -60.0  # percentile of levels; dB below it that are still speech; dB full scale
MIN_SPEECH = 0.1  # s of sound that is speech
MIN_PAUSE = 0.2  # s of silence that make a pause (inter-pausal units: Ward & Tsukahara 2000 and others)
MIN_TURN_GAP = 1.0  # s of silence that end a turn
MAX_STILL_SPEED = 0.1  # m/s below which a hand rests: recorded hands at rest sway by some cm/s
NOD, MAX_NOD_SECONDS = 4.0, 0.7  # degrees down and up again; s that either may take
MAX_STROKE_GAP = 0.15  # s between two strokes of one nod
ABOUT = 0.2  # s before and after a pause in which a nod still belongs to it


def frame_power(audio: np.ndarray) -> np.ndarray:
    """(T,) mean square of each whole frame at 30 fps of (n,) samples, mono, 16 kHz."""
    x = check(audio)
    edges = np.arange(len(x) * FPS // RATE + 1) * RATE // FPS
    sums = np.concatenate([[0.0], np.cumsum(x**2)])
    return np.asarray((sums[edges[1:]] - sums[edges[:-1]]) / np.diff(edges))


def find_speech_by_level(audio: np.ndarray) -> np.ndarray:
    """(T,) bool at 30 fps: whether somebody speaks, by level alone, over 0.1 s, gaps below 0.2 s closed.

    Loud enough is what lies within 30 dB of the loud frames (their 95th percentile) and above -60 dB full scale.

    Args:
        audio: (n,) mono, 16 kHz, of one voice.
    """
    power = frame_power(audio)
    frames = len(power)
    db = 10 * np.log10(average_window(power, 3) + 1e-12) if frames else np.zeros(0)
    loud = db > max(np.percentile(db, LOUD) - TURN_RANGE, MIN_DB) if frames else np.zeros(0, bool)
    out = np.zeros(frames, bool)
    for start, stop in runs_of(loud, round(MIN_PAUSE * FPS) - 1):
        out[start:stop] = stop - start >= MIN_SPEECH * FPS
    return out


def pauses(speech: np.ndarray) -> list[tuple[float, float]]:
    """Start and end (s) of the silences of at least 0.2 s between two stretches of `find_speech_by_level`."""
    stretches = runs_of(speech)
    return [(a[1] / FPS, b[0] / FPS) for a, b in zip(stretches[:-1], stretches[1:], strict=True)]


def turns(speech: np.ndarray) -> np.ndarray:
    """(T,) bool: `find_speech_by_level` with gaps below 1 s closed."""
    out = np.zeros(len(speech), bool)
    for start, stop in runs_of(speech, round(MIN_TURN_GAP * FPS) - 1):
        out[start:stop] = True
    return out


def find_listening(listener: np.ndarray, speaker: np.ndarray) -> np.ndarray:
    """(T,) bool: the speaker has the turn, the listener has not, by `find_speech_by_level`; of the shorter length."""
    n = min(len(listener), len(speaker))
    return turns(speaker)[:n] & ~turns(listener)[:n]


def still_share(motion: Motion, when: np.ndarray, max_speed: float = MAX_STILL_SPEED) -> float:
    """Share of the frames of `when` ((T,) bool at 30 fps) in which both hands are slower than `max_speed` m/s, 0..1."""
    speeds = hand_speeds(motion)
    n = min(len(speeds), len(when))
    if not when[:n].any():
        raise UserError(f"no such frame in the {n / FPS:.1f} s that sound and motion share")
    return float((speeds[:n][when[:n]] < max_speed).all(1).mean())


@dataclass(frozen=True)
class MeasuredNod:
    """One nod: seconds at which the face starts down and is up again, degrees of its deepest stroke, strokes down."""

    start: float
    end: float
    degrees: float
    strokes: int


def nods(motion: Motion, degrees: float = NOD, max_seconds: float = MAX_NOD_SECONDS) -> list[MeasuredNod]:
    """Where the face goes down against the chest by `degrees` and up again, each within `max_seconds` seconds.

    Definition of this project. Strokes that follow one another at once are one nod. Pitch is `Signals.head_turn`, read
    at 20 fps; a nod starts where a tenth of its stroke is done, and ends where a tenth is left.

    Args:
        motion: any rate.
        degrees: least change of pitch, down and up.
        max_seconds: that either may take.
    """
    # Against the chest, so that leaning forward is no nod.
    pitch, reach = Signals(motion).head_turn[0], round(max_seconds * SIGNAL_FPS)
    lowest = _lowest(pitch, degrees)
    out: list[MeasuredNod] = []
    for before, at, after in zip([0, *lowest], lowest, [*lowest[1:], len(pitch) - 1], strict=False):
        first, last = max(before, at - reach), min(after, at + reach)
        down, up = pitch[first : at + 1], pitch[at : last + 1]
        deep = float(min(np.ptp(down), np.ptp(up)))
        if deep < degrees:
            continue
        start = (first + np.flatnonzero(down <= down.min() + 0.1 * np.ptp(down))[-1]) / SIGNAL_FPS
        end = (at + np.flatnonzero(up <= up.min() + 0.1 * np.ptp(up))[0]) / SIGNAL_FPS
        if out and start <= out[-1].end + MAX_STROKE_GAP:
            start, deep, strokes = out[-1].start, max(out[-1].degrees, deep), out.pop().strokes + 1
        else:
            strokes = 1
        out.append(MeasuredNod(float(start), float(end), deep, strokes))
    return out


# Frames in which a face is lowest before it is `degrees` higher again, having been that much higher before.
def _lowest(pitch: np.ndarray, degrees: float) -> list[int]:
    out: list[int] = []
    high, low, down = 0, 0, True  # frames of the highest and the lowest face since the last turn; down is positive
    for i, value in enumerate(pitch.tolist()):
        low = i if value > pitch[low] else low
        high = i if value < pitch[high] else high
        if down and pitch[low] - value >= degrees:
            out.append(low)
            down, high = False, i
        elif not down and value - pitch[high] >= degrees:
            down, low = True, i
    return out


@dataclass(frozen=True)
class NodTiming:
    """Timing of nods against the speaker's pauses."""

    hits: list[float]  # for every nod while listening 1.0 where it starts at a pause, else 0.0
    chance: float  # share of the time of listening that lies at a pause: what nods at random times would score


def nod_timing(motion: Motion, listener: np.ndarray, speaker: np.ndarray, about: float = ABOUT) -> NodTiming:
    """Whether nods start at the speaker's pauses (stretched by `about` seconds on both sides).

    The end of a turn counts as a pause of 1 s. Definition of this project, after what is known of back-channels (Ward
    & Tsukahara 2000: they come at pauses and low pitch of the speaker).

    Args:
        motion: of the listener, any rate.
        listener: (T,) bool at 30 fps, see `find_speech_by_level`; of the listener's voice.
        speaker: the same of the speaker's voice.
        about: seconds.
    """
    when = find_listening(listener, speaker)
    when = when[: min(len(when), round(motion.seconds * FPS))]
    if not when.any():
        raise UserError("nods while listening: the other never has the turn alone")
    at_pause = np.zeros(len(when), bool)
    ends = [stop / FPS for _, stop in runs_of(turns(speaker))]
    for start, end in [*pauses(speaker), *((stop, stop + MIN_TURN_GAP) for stop in ends)]:
        at_pause[max(0, round((start - about) * FPS)) : round((end + about) * FPS)] = True
    starts = [min(round(nod.start * FPS), len(when) - 1) for nod in nods(motion)]
    return NodTiming([float(at_pause[i]) for i in starts if when[i]], float(at_pause[when].mean()))


MAX_GAP = 3.0  # s to the next emphasis that still count
BLEND = 0.3  # s in which a stroke is entered and left
ANTICIPATION = 2.0  # s before its emphasis from which a stroke may begin


def mean_pose(real: Sequence[Motion], frames: int) -> Motion:
    """The mean of all poses of some clips, held for `frames` frames at 30 fps.

    Rotations are averaged as the principal eigenvector of the sum of q q^T (Markley et al. 2007), roots linearly.
    """
    if not real or frames < 1:
        raise UserError(f"mean pose of {len(real)} clips for {frames} frames; at least one of each is needed")
    q = np.concatenate([at_30(m).rotations for m in real]).astype(np.float64)
    _, vectors = np.linalg.eigh(np.einsum("tji,tjk->jik", q, q))
    root = np.concatenate([at_30(m).root for m in real]).mean(0)
    pose = np.repeat(vectors[None, :, :, -1], frames, 0)
    return Motion(pose, np.repeat(root[None], frames, 0), float(FPS), real[0].modality)


@dataclass(frozen=True)
class MeasuredStroke:
    """One gesture of a bank."""

    motion: Motion  # from rest to rest or cut out of a longer talk
    emphasis: float  # seconds from its start at which its stroke is at its peak


class StrokeBank:
    """Strokes with what they have in common with emphases of speech: how strong, and how long until the next.

    A bank needs no sound: the strength of a stroke is the rank of its peak hand speed among those of the bank, that of
    an emphasis the rank of its onset strength in the sound. With the ranks stands the room that they have: seconds from
    the stroke's emphasis to its end, or to the next emphasis of the sound.
    """

    def __init__(self, strokes: Sequence[MeasuredStroke]) -> None:
        """Raises UserError for an empty bank, or a stroke whose emphasis lies outside its motion."""
        if not strokes:
            raise UserError("a bank of no strokes; at least one is needed")
        for i, s in enumerate(strokes):
            if not 0 <= s.emphasis <= s.motion.seconds:
                raise UserError(f"stroke {i}: emphasis at {s.emphasis:.2f} s of {s.motion.seconds:.2f} s")
        self.strokes = [replace(s, motion=at_30(s.motion, 2)) for s in strokes]
        peaks = np.array([hand_speeds(s.motion).max() for s in self.strokes])
        room = np.array([min(s.motion.seconds - s.emphasis, MAX_GAP) for s in self.strokes])
        self.prosody = np.stack([_ranks(peaks), room / MAX_GAP], 1)
        self.rest_pose = mean_pose([s.motion.slice(0, 1) for s in self.strokes], 1)

    def gesticulate(self, audio: np.ndarray, frames: int | None = None) -> Motion:
        """The prosody-nearest stroke on every emphasis of a sound, rest between them.

        The same stroke does not come twice in a row where the bank has others. Only the upper body moves.

        Args:
            audio: (n,) mono, 16 kHz.
            frames: of the result at 30 fps; default: as long as the sound.

        Returns:
            A Motion at 30 fps.
        """
        at, strengths = emphases(audio)
        gaps = np.minimum(np.append(np.diff(at), MAX_GAP), MAX_GAP)[: len(at)]
        prosody = np.stack([_ranks(strengths), gaps / MAX_GAP], 1)
        count = frames or frames_in(len(audio), RATE)
        rotations = np.repeat(self.rest_pose.rotations.astype(np.float64), count, 0)
        distance = np.linalg.norm(prosody[:, None] - self.prosody, axis=-1)
        last = -1
        for i, time in enumerate(at):
            if last >= 0 and len(self.strokes) > 1:
                distance[i, last] = np.inf
            last = int(distance[i].argmin())
            begin = (at[i - 1] + time) / 2 - BLEND / 2 if i else -np.inf
            end = (time + at[i + 1]) / 2 + BLEND / 2 if i + 1 < len(at) else np.inf
            _lay(rotations, self.strokes[last], time, max(begin, time - ANTICIPATION), end)
        return Motion(
            rotations, np.repeat(self.rest_pose.root, count, 0), float(FPS), self.rest_pose.modality,
            skeleton=self.rest_pose.skeleton,
        )


# Place of each value among all, 0..1; 0.5 where there is only one.
def _ranks(x: np.ndarray) -> np.ndarray:
    if len(x) < 2:
        return np.full(len(x), 0.5)
    return np.argsort(np.argsort(x, kind="stable"), kind="stable") / (len(x) - 1)


# Blend a stroke into (T, J, 4) `rotations`, its emphasis at `time`, what lies outside [begin, end] cut off.
def _lay(rotations: np.ndarray, stroke: MeasuredStroke, time: float, begin: float, end: float) -> None:
    first = round((time - stroke.emphasis) * FPS)  # frame of the result in which the stroke's first frame falls
    a = int(max(first, np.ceil(max(begin, 0) * FPS)))
    b = int(min(first + len(stroke.motion), len(rotations), np.floor(min(end * FPS, len(rotations)))))
    if b - a < 2:
        return
    n = np.arange(b - a)
    ramp = np.clip(np.minimum(n + 1, b - a - n) / min(BLEND * FPS, (b - a) / 2), 0, 1)
    weight = (ramp * ramp * (3 - 2 * ramp))[:, None]
    new = stroke.motion.rotations[a - first : b - first][:, UPPER].astype(np.float64)
    rotations[a:b, UPPER] = rot.slerp(rotations[a:b][:, UPPER], new, weight)
