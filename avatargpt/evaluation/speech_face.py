"""The suite `speech_face`: lips against phones, silence, onsets, drift, and recorded faces against two baselines."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.face_distances import recording_distances
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.visemes import viseme_curves
from avatargpt.metrics import lip_sync as lipsync
from avatargpt.speech.audio import FPS, RATE, frames_in
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS
from avatargpt.speech.phone_times import align_phones, spectral_changes
from avatargpt.speech.phones import Phone
from avatargpt.train.speech_data.augment import noise
from avatargpt.train.speech_data.clips import SOUNDS, loudness
from avatargpt.train.speech_data.corpus import SpeechClip, load
from avatargpt.train.speech_data.recordings import CHOSEN_ON, lj_sentences, paired_clips, timed_speech
from vqvae.errors import UserError

RIDGE, CONTEXT = 300.0, (-4, 2)  # penalty, frames before and after
MOVED, EACH_SOUND = 0.05, 6  # weight from which a mouth visibly moves; clips of each kind of sound
NOISES = 14  # of each colour
MIN_ROUNDING = 0.02  # standard deviation of the teacher's rounding below which there is nothing to correlate with


# (T, 55) curves, the times of phones, and the teacher's (T, 55) curves.
Spoken = tuple[np.ndarray, list[Phone], np.ndarray]


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's driver."""
    driver = run.cache.wrap_model(Driver.load(Path(run.model.source) / "driver"), "drive")
    return score(run.suite, driver, run.data, run.store, run.cache)


def score(
    suite: Suite, driver: Driver, data: Path | None, store: Path | None, cache: AnswerCache = NO_CACHE
) -> dict[str, Any]:
    """All figures.

    Args:
        data: folder with facegood, aligned_speech_misc, ljspeech_sample; parts that are missing are left out.
        store: a cache of the speech stage, for held-out synthetic voices; None leaves them out.
    """
    results: dict[str, Any] = {}
    if store is not None:
        clips = [c for c in load(store) if c.split == "val" and c.kind == "taught"]
        for source in dict.fromkeys(c.source for c in clips):
            results |= lips(source, [_stored(driver, c) for c in clips if c.source == source])
    if data is not None:
        results |= _real(driver, data, cache)
        if (data / "facegood").is_dir():
            results |= recorded_faces(driver, list(paired_clips(data / "facegood")))
    if not results:
        raise UserError("speech_face needs --data (a folder with real speech) or --store (a cache of speech data)")
    results |= _still(driver) | _sounds(driver)
    cached_drift = cache.wrap("drift", lambda minutes: drift(driver, minutes))
    results["drift"] = plain(cached_drift(float(suite.options.get("drift_minutes", 60))))
    return {"results": results}


def _stored(driver: Driver, clip: SpeechClip) -> Spoken:
    from avatargpt.train.speech_data.validation import predict

    curves = predict(driver.network, clip.features, torch.device("cpu"))
    return curves, [Phone(*p) for p in clip.phone_times], clip.curves.astype(np.float32)


def _driven(driver: Driver, audio: np.ndarray, phones: list[Phone]) -> Spoken:
    motion = driver.drive(audio, RATE)
    frames = frames_in(len(audio), RATE)
    taught = viseme_curves(phones, frames, loudness(audio, frames))
    return motion.curves, phones, taught.curves


def lips(source: str, clips: list[Spoken]) -> dict[str, Any]:
    """Lips against phones, ``FIGURE/source``."""
    measured, r, jaw = lipsync.Lips(), [], []
    for curves, phones, taught in clips:
        measured.add(curves, phones, taught)
        rounded = lipsync.rounding(taught)
        if rounded.std() >= MIN_ROUNDING:
            r.append(lipsync.correlation(lipsync.rounding(curves), rounded))
        jaw.append(lipsync.correlation(lipsync.channel(curves, "jawOpen"), lipsync.channel(taught, "jawOpen")))
    values = {
        "closure": measured.closure, "false_closure_vowel": measured.closure_vowel,
        "false_closure_consonant": measured.closure_consonant, "contact": measured.contact,
        "false_contact_vowel": measured.contact_vowel, "false_contact_consonant": measured.contact_consonant,
        "open_vowels": measured.opened, "rounding": r, "jaw": jaw, "silence": measured.silence,
    }  # fmt: skip
    out = {f"{name}/{source}": figure(v) for name, v in values.items() if len(v)}
    for name, lags in (("onset_lag", measured.onset), ("closure_lag", measured.closure_lag)):
        if lags:
            out[f"{name}/{source}"] = {**plain(float(np.median(lags))), "n": len(lags)}  # the median
    return out


def _real(driver: Driver, data: Path, cache: AnswerCache) -> dict[str, Any]:
    def aligned(audio: np.ndarray, phones: list[str]) -> list[Phone]:
        return list(align_phones(driver, audio, phones)[0])

    lay = cache.wrap("aligned", aligned)
    out: dict[str, Any] = {}
    librivox = data / "aligned_speech_misc" / "librivox_pocketsphinx"
    if librivox.is_dir():
        read = [(audio, phones) for _, audio, phones in timed_speech(librivox)]
        again = [(audio, lay(audio, [p.name for p in phones])) for audio, phones in read]
        for source, timed in (("librivox", read), ("librivox_aligned", again)):
            out |= lips(source, [_driven(driver, audio, phones) for audio, phones in timed])
            out[f"change/{source}"] = figure([v for audio, phones in timed for v in spectral_changes(audio, phones)])
    if (data / "ljspeech_sample").is_dir():
        clips = []
        for sentence in lj_sentences(data / "ljspeech_sample"):
            if sentence.split == "val":
                clips.append(_driven(driver, sentence.audio, lay(sentence.audio, list(sentence.phones))))
        out |= lips("lj", clips)
    return out


# Largest mouth channel over 10 s of silence and of noise at -30 dB full scale, from 150 ms on.
def _still(driver: Driver) -> dict[str, Any]:
    rng, level = np.random.default_rng(0), np.float32(10 ** (-30 / 20))
    sounds = {"silence": [np.zeros(10 * RATE, np.float32)]}
    sounds["noise"] = [noise(10 * RATE, rng, slope) * level for _ in range(NOISES) for slope in (0.0, 1.0, 2.0)]
    # The mouth may settle before it counts as moving.
    first = round(lipsync.SETTLE * FPS)
    return {
        f"still/{name}{'' if head == 'rule' else '_paired'}": figure(
            [float(driver.drive(x, head=head).weights[first:, lipsync.MOUTH].max()) for x in clips]
        )
        for name, clips in sounds.items()
        for head in driver.heads
    }  # fmt: skip


# Share of frames in which a mouth channel passes `MOVED` during sounds of keys, knocks, breath and the like.
def _sounds(driver: Driver) -> dict[str, Any]:
    first, out = round(lipsync.SETTLE * FPS), {}
    for number, kind in enumerate(SOUNDS):
        moved: list[float] = []
        for i in range(EACH_SOUND):
            rng = np.random.default_rng([12, number, i])
            sound = kind(10.0, rng)
            sound = sound / np.abs(sound).max() * 10 ** (-float(rng.uniform(3, 25)) / 20)
            sound = sound + noise(len(sound), rng) * 10 ** (-55 / 20)
            weights = driver.drive(np.asarray(sound, np.float32)).weights[first:, lipsync.MOUTH]
            moved += (weights.max(1) > MOVED).astype(float).tolist()
        out[f"moved/{kind.__name__}"] = figure(moved)
    return out | {"moved": plain(float(np.mean([row["mean"] for row in out.values()])))}


def drift(driver: Driver, minutes: float) -> float:
    """ms between the frames for a phrase at the start of a long stream and for the same phrase at its end."""
    rng = np.random.default_rng(1)
    t = np.arange(10 * 44_100) / 44_100
    syllables = np.clip(np.sin(2 * np.pi * 3.1 * t + 2 * np.sin(2 * np.pi * 0.4 * t)), 0, 1)
    phrase = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20)) * syllables * 0.05
    phrase = np.asarray(phrase + 1e-4 * rng.standard_normal(len(t)), np.float32)
    stream = driver.stream(44_100)
    rounds = max(3, round(minutes * 6))
    curves = [stream.push(phrase) for _ in range(rounds)]
    every = np.concatenate([*curves, stream.finish()])
    early, late = every[300:600], every[(rounds - 1) * 300 :][:300]
    moving = int(early.std(0).argmax())  # usually jawOpen
    return lipsync.best_lag(late[:, moving], early[:, moving])


def recorded_faces(driver: Driver, clips: list[SpeechClip]) -> dict[str, Any]:
    """Correlation and amplitude (ratio of standard deviations) on held-out recorded pairs, beside two baselines:
    log energy alone, and ridge regression from the features around a frame, fitted to the training pairs; and the
    distances of `recording_distances`. Parts of takes on which numbers were chosen (`CHOSEN_ON`) do not count.
    """
    from avatargpt.train.speech_data.validation import as_recorded, predict

    held_out, training = [c for c in clips if c.split == "val"], [c for c in clips if c.split == "train"]
    heads = {"paired": [as_recorded(driver, c.features) for c in held_out]} if "recorded" in driver.heads else {}
    heads["taught"] = [predict(driver.network, c.features, torch.device("cpu")) for c in held_out]
    x = np.concatenate([_around(c.features) for c in training])
    y = np.concatenate([lipsync.movements(c.curves) for c in training])
    mean, std = x.mean(0), x.std(0) + 1e-6
    x = (x - mean) / std
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean(0)))
    out: dict[str, Any] = {}
    for k, name in enumerate(("jaw", "rounding", "press")):
        values: dict[str, list[float]] = {}
        for i, clip in enumerate(held_out):
            first = round(CHOSEN_ON.get((clip.name.rpartition("/")[2], name), 0.0) * len(clip))
            real = lipsync.movements(clip.curves)[first:, k]
            if real.std() < 0.01:
                continue
            predictions = {head: lipsync.movements(heads[head][i])[:, k] for head in heads}
            predictions["ridge"] = ((_around(clip.features) - mean) / std @ weights + y.mean(0))[:, k]
            predictions["log_energy"] = _quarters(clip.features)[:, BANDS]
            for who, prediction in predictions.items():
                curve = prediction[first:]
                values.setdefault(f"paired_{name}/{who}", []).append(lipsync.correlation(curve, real))
                if who != "log_energy":
                    ratio = float(curve.std() / real.std())
                    values.setdefault(f"paired_{name}_amplitude/{who}", []).append(ratio)
        out |= {key: figure(v) for key, v in values.items()}
    begin = [round(max((v for (take, _), v in CHOSEN_ON.items() if take == c.name.rpartition("/")[2]), default=0.0)
                   * len(c)) for c in held_out]  # fmt: skip
    faces = {head: [x[i:] for x, i in zip(takes, begin, strict=True)] for head, takes in heads.items()}
    recorded = [c.curves[i:] for c, i in zip(held_out, begin, strict=True)]
    return out | recording_distances(faces, recorded, [c.curves for c in training])


# (T, 332) -> (T, 83) means over the quarter frames.
def _quarters(features: np.ndarray) -> np.ndarray:
    return np.asarray(features.astype(np.float64).reshape(len(features), QUARTERS, PER_QUARTER).mean(1))


def _around(features: np.ndarray) -> np.ndarray:
    rows = _quarters(features)
    padded = np.pad(rows, ((-CONTEXT[0], CONTEXT[1]), (0, 0)), mode="edge")
    width = CONTEXT[1] - CONTEXT[0] + 1
    return np.concatenate([padded[i : i + len(rows)] for i in range(width)], 1)
