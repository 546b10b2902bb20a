"""Hands against speech: energy, pauses, stressed words, words with a gesture, the trunk, and seams between sentences.

`--talks FOLDER` measures motions that are there: sounds, .npz and word times of one name. `--data DATA` holds
`gesture/paired` (takes of BEAT2) and `face` with `ljspeech_sample` and `aligned_speech_misc`. Recordings of single
sentences are joined to talks of a minute with pauses between them. No rules: the network alone moves.

| figure | meaning |
|---|---|
| r | correlation of the sound's root mean square and the mean speed of both wrists, each over half a second |
| pauses | wrist speed in silences of 0.4 s or more within a talk, relative to that in speech |
| stress | seconds from peaks of wrist speed to the nearest stressed word, and how much farther away it is from words \
shifted in time |
| trunk | frames in ten minutes in which a hand is in trunk or thighs |
| last_from_first | median metres from the wrists of the last frame to those of the first, which are at rest |
| seam | median metres that a wrist jumps from the last frame of a sentence to the first one of the next |
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.evaluation.gesture import Talk, read_talks
from avatargpt.gesture.features import TimedWord, stress_time
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.metrics.gesture_features import GestureFeatureEncoder, fgd
from avatargpt.metrics.gesture_motion import find_speech_by_level, frame_power, hand_speeds, mean_pose, pauses
from avatargpt.speech.audio import FPS, RATE
from avatargpt.speech.words import Word, Words
from avatargpt.train.gesture.talks import Utterance, mix_utterances, recordings
from instruct_data.factory.gesture.trunk import hand_depth
from vqvae.motion import Motion
from vqvae.smoothing import average_window

HALF_SECOND, PAUSE = 15, 12  # frames
JOINED = 60.0  # s of a talk of joined sentences
PEAK_SPACING = 5  # frames on either side that a peak is above
STRESSED_LETTERS = 3  # words of more letters count as stressed
SHIFTS = np.arange(0.7, 9.0, 0.6)  # s


def pauses_and_speech(audio: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(frames,) whether a frame is in a pause of 0.4 s or more between words; whether in speech."""
    speech = np.pad(find_speech_by_level(audio), (0, frames))[:frames]
    pause = np.zeros(frames, bool)
    for start, end in pauses(speech):
        a, b = round(start * FPS), round(end * FPS)
        pause[a:b] = b - a >= PAUSE
    return pause, speech


def peaks(speed: np.ndarray, least: float) -> np.ndarray:
    """(N,) seconds of the maxima of a speed."""
    n = PEAK_SPACING
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(speed, n), 2 * n + 1)
    return np.flatnonzero((speed >= windows.max(1)) & (speed > least)) / FPS


def stresses(words: Sequence[TimedWord]) -> np.ndarray:
    """(N,) seconds of the stressed vowels of longer words."""
    return np.array([stress_time(w) for w in words if len(w.text.strip(".,;:!?\"'")) > STRESSED_LETTERS])


def nearest(at: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(N,) seconds from each of `at` to the nearest of `times`."""
    return np.asarray(np.abs(at[:, None] - times).min(1))


def figures(pairs: Sequence[tuple[Talk, Motion]]) -> dict[str, Any]:
    """The figures that single talks have."""
    r, slow, fast, near, shifted, inside, ends, frames = [], [], [], [], [], 0, [], 0
    for talk, motion in pairs:
        speed = hand_speeds(motion)
        speed = np.concatenate([speed[:1], speed]).mean(1)
        n = min(len(speed), len(talk.audio) * FPS // RATE)
        speed, loud = speed[:n], np.sqrt(frame_power(talk.audio)[:n])
        r.append(float(np.corrcoef(average_window(loud, HALF_SECOND), average_window(speed, HALF_SECOND))[0, 1]))
        pause, speech = pauses_and_speech(talk.audio, n)
        slow.append(speed[pause])
        fast.append(speed[speech])
        times = stresses(talk.words.words) if talk.words is not None else np.zeros(0)
        found = peaks(speed, float(speed[speech].mean()) if speech.any() else 0.0)
        if len(times) > 5 and len(found) > 5:
            found = found[(found > times[0]) & (found < times[-1])]
            span = times[-1] - times[0] + 0.3
            near.append(nearest(found, times))
            turned = [np.sort((times - times[0] + s) % span + times[0]) for s in SHIFTS if s < span - 0.5]
            shifted.append(np.mean([nearest(found, t) for t in turned], 0))
        inside += int((hand_depth(motion.rotations.astype(np.float64)) > 0).sum())
        wrists = motion.joints[:, [20, 21]].astype(np.float64)
        ends.append([float(np.linalg.norm(wrists[k] - wrists[0], axis=-1).max()) for k in (0, -1)])
        frames += len(motion)
    result: dict[str, Any] = {
        "talks": len(pairs), "minutes": round(frames / FPS / 60, 2), "r": round(float(np.mean(r)), 3),
        "r_least": round(float(np.min(r)), 3), "speed": round(float(np.concatenate(fast).mean()), 3),
        "trunk": round(inside / (frames / FPS / 600), 1), "last_from_first": round(float(np.median(ends, 0)[1]), 3),
    }  # fmt: skip
    quiet = np.concatenate(slow)
    if len(quiet):
        result["pauses"] = round(float(quiet.mean() / np.concatenate(fast).mean()), 3)
    if near:
        a, b = np.concatenate(near), np.concatenate(shifted)
        rng = np.random.default_rng(0)
        draws = [(b - a)[rng.integers(0, len(a), len(a))].mean() for _ in range(1000)]
        low, high = np.percentile(draws, [2.5, 97.5])
        result["stress"] = [round(float(a.mean()), 3), round(float(b.mean()), 3)]
        result["stress_gain"] = [round(float(x), 3) for x in ((b - a).mean(), low, high)]
    return result


def real_talks(data: Path) -> list[Talk]:
    """Recorded voices: takes of BEAT2 without words, and recordings with a transcript, joined by speaker."""
    out = [Talk(t.name, t.audio, t.motion) for t in read_talks(data / "gesture")]
    by_speaker: dict[str, list[Utterance]] = {}
    for name, utterance in recordings(data / "face"):
        by_speaker.setdefault(name.split("/")[0], []).append(utterance)
    for name, utterances in by_speaker.items():
        out += _joined(name, utterances)
    return out


def _joined(name: str, utterances: Sequence[Utterance]) -> Iterator[Talk]:
    rng = np.random.default_rng(5)
    parts: list[tuple[float, Utterance]] = []
    now, number = 0.4, 0
    for k, utterance in enumerate(utterances):
        parts.append((now, utterance))
        now += utterance.seconds + float(rng.uniform(0.4, 1.2))
        if now > JOINED or k + 1 == len(utterances):
            audio, words = mix_utterances(parts, now)
            kept: list[Word] = []
            for w in words:
                if not kept or w.start >= kept[-1].end - 1e-6:
                    kept.append(w)
            yield Talk(f"{name}/{number}", audio, None, Words(tuple(kept), now, "aligned"))
            parts, now, number = [], 0.4, number + 1


def perform(pipeline: GesturePipeline, talks: Sequence[Talk], **options: Any) -> list[tuple[Talk, Motion]]:
    """The network's motion of each talk."""
    out = []
    for t in talks:
        words = None if t.words is None else t.words.words
        out.append((t, pipeline.perform(t.audio, RATE, words, **options)))
    return out


def seams(pipeline: GesturePipeline, utterances: Sequence[Utterance], **options: Any) -> float:
    """Median metres that the farther wrist jumps between clips of sentences."""
    clips = [pipeline.perform(u.audio, RATE, u.words.words, **options) for u in utterances]
    places = [c.joints[:, [20, 21]].astype(np.float64) for c in clips]
    jumps = [np.linalg.norm(a[-1] - b[0], axis=-1).max() for a, b in zip(places, places[1:], strict=False)]
    return float(np.median(jumps))


def run(
    data: Path | None = None, talks: Path | None = None, model: str | None = None, head: str = "codes",
    temperature: float | None = None, seed: int = 0, without_words: bool = False,
) -> dict[str, Any]:
    """Measure a network on `data`, and motions that are there in `talks`."""
    torch.set_num_threads(1)
    result: dict[str, Any] = {}
    if talks is not None:
        result["talks"] = figures([(t, t.motion) for t in read_talks(talks) if t.motion is not None])
    if data is not None:
        heard = real_talks(data)
        if without_words:
            heard = [Talk(t.name, t.audio, t.motion) for t in heard]
        options: dict[str, Any] = {"head": head, "seed": seed}
        if temperature is not None:
            options["temperature"] = temperature
        pipeline = GesturePipeline.load(model)
        pairs = perform(pipeline, heard, **options)
        real = [t.motion for t in heard if t.motion is not None]
        result["all"] = figures(pairs)
        for name, with_words in (("with words", True), ("without words", False)):
            if chosen := [p for p in pairs if (p[0].words is not None) == with_words]:
                result[name] = figures(chosen)
        features = GestureFeatureEncoder.load()
        still = [mean_pose(real, len(m)) for _, m in pairs]
        result["fgd"] = round(fgd([m for _, m in pairs], real, features), 1)
        result["fgd of a motionless pose"] = round(fgd(still, real, features), 1)
        sentences = [u for _, u in recordings(data / "face")][:24]
        result["seam"] = round(seams(pipeline, sentences, **options), 3)
    return result
