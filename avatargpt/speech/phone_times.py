"""Forced alignment: the phones of a text along the scores of a phone model (Viterbi), 60 steps a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from avatargpt.speech.audio import FPS, RATE
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS, extract
from avatargpt.speech.phones import ARPABET, INDEX, SILENCE, VISEMES, Phone
from vqvae.errors import UserError

STEPS = 2 * FPS  # a second
FINE = QUARTERS * FPS  # feature quarters a second
SKIP = -6.0  # log-probability of a phone that is left out
PAUSE = -3.0  # of a pause where none is written
STAY = -0.1
INSIDE = -0.4  # of each step of silence inside a word; a second of it is none
FAR = 4.0  # for each second that a phone is too far from where it should be; a wrong phone costs 1 to 2 in every step
STOPS = frozenset("P T K B D G CH JH".split())
MAX_CLOSURE, CLOSURE = 0.13, 0.07  # s of silence before a stop that is all its closure; of a closure in a longer one
MIN_PAUSE = 0.1  # s of a pause after which speech may have begun before the phone model heard it ...
MAX_EARLIER = 0.12  # ... by so much at most
BRIEF = 0.04  # s of a phone that is too short to have been heard in full
SPEECH = 18  # quarters of a frame, 150 ms: window for the loudness of speech after a pause
MIN_RISE = 2.3  # of log energy, 10 dB: a smaller rise is no evidence
# Share of the way from a pause's loudness to that of the speech after it, in dB, at which speech begins. Of 0.15 to 0.8
# the one at which the spectrum changes most where LJ's sentences begin (`spectral_changes`: 2.02, unmoved 1.66).
RISE = 0.6


class PhoneModel(Protocol):
    """A model that scores phones, such as `avatargpt.face.audio_model.driver.Driver`."""

    @property
    def look_ahead(self) -> int:
        """Feature frames beyond a frame that its scores need."""

    def phone_scores(self, features: np.ndarray) -> np.ndarray:
        """Features (T, 332) of a complete sound -> (2 T, 40) log-probabilities of the phones in each half frame."""


def align_phones(model: PhoneModel, audio: np.ndarray, phones: Sequence[str]) -> tuple[list[Phone], float]:
    """Times of a text's phones in a sound (n,) at 16 kHz, and `Alignment.fit`.

    Stops include the silence of their closure, soft sounds after a pause begin where the sound rises.
    """
    features = extract(audio, RATE)
    path = viterbi(with_visemes(model.phone_scores(features)), phones)
    return with_onsets(with_closures(path.phones), features), path.fit


def with_visemes(scores: np.ndarray) -> np.ndarray:
    """(N, 40) log-probabilities of phones -> of half the phone, half all that look like it (`VISEMES`)."""
    # Speakers of other accents and languages use other sounds than the text's phones, mostly ones that look similar.
    p = np.exp(scores)
    group = np.array([next(i for i, g in enumerate(VISEMES) if name in g) for name in ARPABET])
    viseme = np.stack([p[:, group == i].sum(1) for i in range(len(VISEMES))], 1)
    return np.asarray(np.log(0.5 * p + 0.5 * viseme[:, group] + 1e-9))


def with_closures(phones: Sequence[Phone]) -> list[Phone]:
    """Stops begin with the silence of their closure, which the phone model hears as a pause."""
    # A short pause before a stop becomes part of it, a long one ends `CLOSURE` earlier.
    out: list[Phone] = []
    for p in phones:
        before = out[-1] if out else None
        if p.name in STOPS and before is not None and before.name == "SIL":
            start = before.start if before.end - before.start < MAX_CLOSURE else before.end - CLOSURE
            out.pop()
            if start > before.start:
                out.append(Phone("SIL", before.start, start))
            p = Phone(p.name, start, p.end)
        out.append(p)
    return out


def with_onsets(phones: Sequence[Phone], features: np.ndarray) -> list[Phone]:
    """Speech after a pause begins where the sound rises (`RISE`), before the phone model is sure of a soft sound."""
    # Phones that were squeezed together there get equal shares. Stops stay: their closure is silent.
    level = features.reshape(-1, PER_QUARTER)[:, BANDS]  # log energy of each quarter
    out = list(phones)
    for k, (pause, first) in enumerate(zip(out, out[1:], strict=False)):
        if pause.name != "SIL" or first.name in STOPS or pause.end - pause.start < MIN_PAUSE:
            continue
        a, b = (min(max(round(t * FINE + 0.5), 0), len(level) - 1) for t in (pause.start, pause.end))
        if b - a < MIN_PAUSE * FINE / 2:  # times beyond the sound
            continue
        floor = np.percentile(level[a:b], 25)
        rise = level[b : b + SPEECH].max(initial=floor) - floor
        if rise < MIN_RISE:
            continue
        threshold, at = floor + RISE * rise, b
        while at > max(a + QUARTERS, b - int(MAX_EARLIER * FINE)) and level[at - 1] > threshold:
            at -= 1
        if at < b:
            _begin(out, k, pause.end - (b - at) / FINE)
    return out


def _begin(phones: list[Phone], pause: int, start: float) -> None:
    """Ends a pause of `phones` at `start`, earlier than before, in place."""
    last = pause + 1
    while last + 1 < len(phones) and phones[last].end - phones[last].start < BRIEF and phones[last + 1].name != "SIL":
        last += 1
    # Up to `last` all are brief: they share the time until it begins, or, where it is the first, until it ends.
    stop, count = (phones[last].start, last - pause - 1) if last > pause + 1 else (phones[last].end, 1)
    edges = np.linspace(start, stop, count + 1)
    phones[pause] = Phone("SIL", phones[pause].start, start)
    for k in range(count):
        phones[pause + 1 + k] = Phone(phones[pause + 1 + k].name, float(edges[k]), float(edges[k + 1]))


def spectral_changes(audio: np.ndarray, phones: Sequence[Phone]) -> list[float]:
    """How much the spectrum of a sound at 16 kHz changes where its phones begin: more where the times are right.

    Returns:
        For each phone the root mean square over bands of the difference of log-mel bands 8 ms before and after, as
        standard deviations above the mean of the sound.
    """
    bands = extract(audio, RATE).reshape(-1, QUARTERS, PER_QUARTER)[..., :BANDS].reshape(-1, BANDS)
    change = np.sqrt(((bands[2:] - bands[:-2]) ** 2).mean(1))
    normal = (change - change.mean()) / change.std()
    # Quarter k ends at (k + 1) / 120 s and its window of 25 ms is centred 12.5 ms before; change i is of quarter i + 1.
    at = [round(p.start * FINE + 1.5) - 2 for p in phones if p.name != "SIL"]
    return [float(normal[min(max(i, 0), len(normal) - 1)]) for i in at]


@dataclass(frozen=True)
class Alignment:
    """The phones of a text along a sound."""

    phones: list[Phone]  # spoken ones and pauses, with times in seconds
    numbers: list[int]  # for each of `phones` which of the text's phones it is, pauses not counted; -1 for a pause
    fit: float  # mean log-probability of the steps that are not silence, less `SKIP` for every phone left out
    steps: np.ndarray  # (N,) which of the text's phones each step belongs to, -1 for silence


def viterbi(
    scores: np.ndarray, phones: Sequence[str], complete: bool = True, owners: Sequence[int] | None = None,
    near: np.ndarray | None = None, slack: float = 0.0,
) -> Alignment:  # fmt: skip
    """Times of the phones, each at least one step long unless left out, with optional silence anywhere between.

    Args:
        scores: (N, 40) log-probabilities.
        phones: names in order; SIL where a pause is likely.
        complete: all phones are spoken; otherwise as many as there is time for.
        owners: the word of each phone, pauses not counted: silence inside a word costs `INSIDE` a step.
        near: (phones without pauses, 2) approximate start and end of each; a phone more than `slack` seconds away costs
            `FAR` for each second.
    """
    if all(name == "SIL" for name in phones):
        raise UserError("a text without sounds cannot be laid along a sound; accepted: phones other than pauses")
    states: list[int] = []
    for name in ("SIL", *phones):
        if name != "SIL":
            states += [INDEX[name], SILENCE]
    states = [SILENCE, *states]
    likely = [True, *_pauses(phones), True]
    labels = np.array(states)
    steps, count = len(scores), len(states)
    if complete and count // 2 > 2 * steps:
        raise UserError(f"{count // 2} phones in {steps / STEPS:.1f} s of sound; text and sound do not belong together")
    emit = scores[:, labels]
    if owners is not None:
        emit[:, 2 * np.flatnonzero(np.diff(owners) == 0) + 2] += INSIDE
    if near is not None:
        at = np.arange(steps)[:, None] / STEPS
        off = np.maximum(near[None, :, 0] - at, at - near[None, :, 1])
        emit[:, 1::2] -= FAR * np.maximum(off - slack, 0.0)
    # States alternate: silence, phone, silence, phone, ... `enter` is the cost of a state after the one before.
    enter = np.zeros(count)
    silent = labels == SILENCE
    enter[silent] = np.where(likely, 0.0, PAUSE)[: silent.sum()]
    best = np.full(count, -np.inf)
    best[0], best[1] = emit[0, 0], emit[0, 1]
    back = np.zeros((steps, count), np.int8)  # how many states back the path came from
    for t in range(1, steps):
        options = np.full((5, count), -np.inf)
        options[0] = best + STAY
        options[1, 1:] = best[:-1] + enter[1:]
        options[2, 2:] = np.where(silent[2:], -np.inf, best[:-2])  # phone to phone, past a pause
        options[3, 3:] = np.where(silent[3:], -np.inf, best[:-3] + SKIP)  # pause, past a phone, to a phone
        options[4, 4:] = np.where(silent[4:], -np.inf, best[:-4] + SKIP)  # phone, past a phone, to a phone
        back[t] = options.argmax(0)
        best = options[back[t], np.arange(count)] + emit[t]
    state = (count - 1 if best[-1] >= best[-2] else count - 2) if complete else int(best.argmax())
    path = np.empty(steps, int)
    for t in range(steps - 1, -1, -1):
        path[t] = state
        state -= int(back[t, state])
    voiced = ~silent[path]
    total = scores[np.arange(steps), labels[path]][voiced].sum()
    left_out = (count if complete else int(path[-1]) + 1) // 2 - len(set(path[voiced].tolist()))
    score = float((total + SKIP * left_out) / max(1, voiced.sum()))
    edges = np.flatnonzero(np.diff(path, prepend=-1))
    # A step is labelled with the phone at its beginning, so that the change lies half a step earlier on average.
    times = np.clip((np.array([*edges, steps]) - 0.5) / STEPS, 0, None)
    times[-1] = steps / STEPS
    names = [ARPABET[labels[path[a]]] for a in edges]
    timed = [Phone(n, float(a), float(b)) for n, a, b in zip(names, times[:-1], times[1:], strict=True)]
    number = np.where(voiced, path // 2, -1)
    return Alignment(timed, number[edges].tolist(), score, number)


def _pauses(phones: Sequence[str]) -> list[bool]:
    """For each place between two phones, whether a pause is written there."""
    out: list[bool] = []
    written = False
    first = True
    for name in phones:
        if name == "SIL":
            written = True
        else:
            if not first:
                out.append(written)
            first, written = False, False
    return out
