"""The suite `gesture`: recorded motion and each way of making motion for the same talks, in windows of some seconds."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite
from avatargpt.gesture.pipeline import GesturePipeline
from avatargpt.gesture.semantics import Manner
from avatargpt.metrics import gesture_motion as beats
from avatargpt.metrics.gesture_features import FRAMES, GestureFeatureEncoder, fgd
from avatargpt.speech import audio as sounds
from avatargpt.speech.audio import FPS, RATE, frames_in
from avatargpt.speech.word_files import WRITE_SUFFIXES
from avatargpt.speech.word_files import read as read_words
from avatargpt.speech.words import Words
from vqvae.errors import UserError
from vqvae.io.data_files import read_arrays
from vqvae.io.files import parsing, regular_file
from vqvae.motion import MAX_FRAMES, Motion

INTERLOCUTOR = ".interlocutor"
MAX_STEP = 60.0  # degrees between two frames; above it a clip of the stroke library is damaged
INT16_ONE = 32767  # stored value of 1


@dataclass(frozen=True, eq=False)
class Talk:
    """One side of a talk."""

    name: str  # of the recording
    audio: np.ndarray  # (n,) 16 kHz mono of its voice
    motion: Motion | None = None  # recorded with it, None where there is only sound
    words: Words | None = None  # when each word is spoken; None = no transcript
    # (m,) 16 kHz mono of the interlocutor's voice on the same clock, None = nobody
    interlocutor: np.ndarray | None = None
    interlocutor_words: Words | None = None


# A talk without its motion -> the speaker's Motion, at any rate.
Generator = Callable[[Talk], Motion]


def read_talks(folder: Path) -> list[Talk]:
    """Talks of a folder: ``NAME.wav`` (any sound) with ``NAME.npz`` (a Motion), ``NAME.interlocutor.wav`` and word
    times of either (``NAME.TextGrid``, ``NAME.interlocutor.json``, ...), where there are any.

    A folder ``paired`` in it holds recordings of BEAT2 instead: in each of its folders the sounds, and ``body22.npz``,
    which belongs to the sound that has an .npz of its own name.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; accepted: sounds with motions (.npz) of the same name")
    paired = folder / "paired"
    places = sorted(p for p in paired.iterdir() if p.is_dir()) if paired.is_dir() else [folder]
    talks = [talk for place in places for talk in _talks(place)]
    if not any(t.motion is not None for t in talks):
        raise UserError(f"{folder}: {len(talks)} sounds, none with a motion (.npz) of the same name; one is needed")
    return talks


def _talks(place: Path) -> list[Talk]:
    files = {p.stem: p for p in sorted(place.iterdir()) if p.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3")}
    beat2, out = place / "body22.npz", []
    for name, path in files.items():
        if name.endswith(INTERLOCUTOR):
            continue
        motion_path, interlocutor = place / f"{name}.npz", files.get(name + INTERLOCUTOR)
        motion = None
        if motion_path.exists():
            motion = read_rows(beat2) if beat2.exists() else Motion.load(motion_path)
        out.append(Talk(
            name, sounds.resample(*sounds.load(path)), motion, _word_times(place, name),
            None if interlocutor is None else sounds.resample(*sounds.load(interlocutor)),
            _word_times(place, name + INTERLOCUTOR),
        ))  # fmt: skip
    return out


def _word_times(place: Path, name: str) -> Words | None:
    words_path = next((p for suffix in WRITE_SUFFIXES if (p := place / f"{name}{suffix}").is_file()), None)
    return None if words_path is None else read_words(words_path)


def read_rows(path: Path) -> Motion:
    """A clip stored as int16 quaternions of the 22 joints (``rot``), with ``root`` and ``fps``."""
    data = read_arrays(path, ("rot", "root", "fps"), MAX_FRAMES)
    if missing := {"rot", "root", "fps"} - set(data):
        raise UserError(f"{path}: missing {', '.join(sorted(missing))}")
    with parsing(path, "a motion"):
        return Motion(data["rot"] / np.float32(INT16_ONE), data["root"], float(data["fps"]), "gesture")


def read_strokes(folder: Path) -> list[beats.MeasuredStroke]:
    """The co-speech gestures of ``smartbody`` in a folder (``motions.npz``, ``clips.jsonl``); none where it is missing.

    Clips that jump are left out, and so are those without the time of an emphasis.
    """
    library = folder / "smartbody"
    if not library.is_dir():
        return []
    list_path = regular_file(library / "clips.jsonl")
    arrays = read_arrays(library / "motions.npz", ("rot", "root", "offsets"), MAX_FRAMES)
    out = []
    with parsing(list_path, "a list of clips"):
        for line in list_path.read_text(encoding="utf-8").splitlines():
            clip = json.loads(line)
            emphasis = (clip["sync"] or {}).get("emphasis")
            if "Gestures" not in clip["set"] or emphasis is None or clip["max_step_deg"] > MAX_STEP:
                continue
            part = slice(*arrays["offsets"][clip["index"] : clip["index"] + 2].tolist())
            rotations = arrays["rot"][part] / np.float32(INT16_ONE)
            motion = Motion(rotations, arrays["root"][part], float(clip["fps"]), "gesture")
            if 0 <= emphasis <= motion.seconds:
                out.append(beats.MeasuredStroke(motion, float(emphasis)))
    return out


@dataclass(frozen=True, eq=False)
class TalkMotion:
    """A talk and a motion for it at 30 fps."""

    talk: Talk
    motion: Motion

    @property
    def seconds(self) -> float:
        """What sound and motion share."""
        return min(self.motion.seconds, len(self.talk.audio) / RATE)


_Beats = list[np.ndarray]
_Finder = Callable[[np.ndarray], np.ndarray]


# Figure -> beats of a sound, and beats of a motion given the usual speeds of joints.
ALIGNMENTS: dict[str, tuple[_Finder, Callable[[Motion, np.ndarray], _Beats]]] = {
    "beat_alignment": (beats.onsets, beats.motion_beats),
    "beat_alignment_01": (beats.onsets, lambda motion, usual: beats.motion_beats(motion, usual, beats.BARELY_MOVING)),
    "wrist_beat_alignment": (beats.find_onset_minima, lambda motion, usual: beats.wrist_beats(motion)),
    "emphasis_alignment": (
        lambda audio: beats.emphases(audio)[0], lambda motion, usual: beats.wrist_beats(motion, beats.WRISTS)
    ),
}


class SoundBeats:
    """The beats of some sounds, found once for all rows."""

    def __init__(self, sounds: Sequence[np.ndarray]) -> None:
        self.sounds = sounds
        finders = dict.fromkeys(finder for finder, _ in ALIGNMENTS.values())
        self.times = {finder: [finder(x) for x in sounds] for finder in finders}

    def split(self, finder: _Finder, audio: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """Beats of one of the sounds, and those of the others."""
        number = next(i for i, x in enumerate(self.sounds) if x is audio)
        times = self.times[finder]
        return times[number], times[:number] + times[number + 1 :]


def beat_figures(
    name: str, row: Sequence[TalkMotion], beats_of: SoundBeats, usual: np.ndarray, window: float
) -> dict[str, Any]:
    """Beat alignment of a row, by how much it is above that with other sounds, and for ``real`` the row ``shuffled``.

    Other sounds are the talk's own, moved around by whole windows, and those of the other talks. A window's figure is
    the mean over the beats of the sound in it; both are taken over the same windows of the motion, so that their
    difference is paired.
    """
    out: dict[str, Any] = {}
    for kind, (finder, of_motion) in ALIGNMENTS.items():
        matching, mismatched = [], []
        for talk_motion in row:
            moving, seconds = of_motion(talk_motion.motion, usual), talk_motion.seconds
            at, strange = beats_of.split(finder, talk_motion.talk.audio)
            matching += _per_window([at], moving, seconds, window)
            shifts = np.arange(window, seconds - window + 1e-6, window)
            turned = [np.sort((at[at < seconds] + s) % seconds) for s in shifts]
            mismatched += _per_window([*turned, *strange], moving, seconds, window)
        out[f"{kind}/{name}"] = figure(matching)
        if name == "real":
            out[f"{kind}/shuffled"] = figure(mismatched)
        out[f"{kind}_gain/{name}"] = figure(np.array(matching) - np.array(mismatched))
    return out


# Mean score of the beats in each whole window, over some sounds; NaN where there are none.
def _per_window(sounds: Sequence[np.ndarray], moving: _Beats, seconds: float, window: float) -> list[float]:
    values = [np.full(len(t), np.nan) if not len(t) else beats.scores(t, moving) for t in sounds]
    out = []
    for k in range(int(seconds // window)):
        inside = [v[(t >= k * window) & (t < (k + 1) * window)] for t, v in zip(sounds, values, strict=True)]
        means = [float(v.mean()) for v in inside if len(v)]
        out.append(float(np.mean(means)) if means else float("nan"))
    return out


def movement_figures(name: str, row: Sequence[TalkMotion], real: Sequence[Motion], window: float) -> dict[str, Any]:
    """Hand speed, its ratio to real talk, acceleration, jerk, and L1 diversity (about a whole clip's mean pose)."""
    frames = round(window * FPS)
    pieces = [m.motion.slice(i, i + frames) for m in row for i in range(0, len(m.motion) - frames + 1, frames)]
    usual = float(np.concatenate([beats.hand_speeds(m) for m in real]).mean())
    mean = float(np.concatenate([beats.hand_speeds(m.motion) for m in row]).mean())
    return {
        f"hand_speed/{name}": figure([beats.hand_speed(m) for m in pieces]),
        f"hand_speed_ratio/{name}": plain(mean / usual if usual > 0 else float("nan")),
        f"acceleration/{name}": figure([beats.mean_acceleration(m) for m in pieces]),
        f"jerk/{name}": figure([beats.mean_jerk(m) for m in pieces]),
        f"l1_diversity/{name}": figure([v for talk_motion in row for v in _spread(talk_motion.motion, window)]),
    }  # fmt: skip


def _spread(motion: Motion, window: float) -> list[float]:
    """How far poses are from the clip's mean pose, metres, window by window: L1 over the 13 joints against the pelvis.

    Source: `L1div` of BEAT2's evaluation code (Liu et al. 2024), there over all 55 joints of SMPL-X, 30 of them in the
    fingers: its published figures are therefore several times larger.
    """
    x = motion.joints[:, beats.UPPER].astype(np.float64) - motion.joints[:, :1]
    far, frames = np.abs(x - x.mean(0)).sum((1, 2)), round(window * FPS)
    return [float(far[i : i + frames].mean()) for i in range(0, len(far) - frames + 1, frames)]


def attention(name: str, row: Sequence[TalkMotion]) -> dict[str, Any]:
    """Stillness, speed against that of talking, and nods at the interlocutor's pauses, over the talks with a listener.

    ``nods_at_pauses`` stands beside what nods at random times score (``by chance``) and what the same nods score
    against the interlocutor's voice shifted by half its length (``swapped``).
    """
    still, nods, swapped, chance, quiet, loud, minutes = [], [], [], [], [], [], 0.0
    for talk_motion in row:
        if talk_motion.talk.interlocutor is None:
            continue
        voice, interlocutor = (
            beats.find_speech_by_level(talk_motion.talk.audio),
            beats.find_speech_by_level(talk_motion.talk.interlocutor),
        )
        speeds = beats.hand_speeds(talk_motion.motion).mean(1)
        when = beats.find_listening(voice, interlocutor)[: len(speeds)]
        talking = voice[: len(speeds)]
        loud += speeds[: len(talking)][talking].tolist()
        if not when.any():
            continue
        still.append(beats.still_share(talk_motion.motion, when))
        quiet += speeds[: len(when)][when].tolist()
        minutes += when.sum() / FPS / 60
        timing = beats.nod_timing(talk_motion.motion, voice, interlocutor)
        nods += timing.hits
        chance.append(timing.chance)
        # Half its length away the voice has the same statistics and no relation to the nods.
        turned = np.roll(interlocutor, len(interlocutor) // 2)
        if beats.find_listening(voice, turned)[: len(speeds)].any():
            swapped += beats.nod_timing(talk_motion.motion, voice, turned).hits
    if not still:
        return {}
    resting = np.mean(quiet) / np.mean(loud) if loud and np.mean(loud) > 0 else float("nan")
    return {
        f"still_listening/{name}": figure(still),
        f"listening_speed_ratio/{name}": plain(float(resting)),
        f"nods_a_minute/{name}": plain(len(nods) / minutes),
        f"nods_at_pauses/{name}": figure(nods),
        f"nods_at_pauses/{name} by chance": figure(chance),
        f"nods_at_pauses/{name} swapped": figure(swapped),
    }  # fmt: skip


# Row of the table -> head of the network, and how it is gestured: with all that is a rule, or as the network does.
NETWORK_ROWS = {"full": ("codes", Manner()), "network": ("codes", None), "mean motion": ("features", None)}


def network_rows(folder: str | os.PathLike[str]) -> dict[str, Generator]:
    """Generators by the name of their row."""
    performer = GesturePipeline.load(folder)

    def generator(head: str, manner: Manner | None) -> Generator:
        def talk_motion(talk: Talk) -> Motion:
            has_words = talk.words is not None or talk.interlocutor_words is not None
            words = talk.words.words if talk.words else (() if has_words else None)
            replies = talk.interlocutor_words.words if talk.interlocutor_words else None
            if talk.interlocutor is None:
                replies = None
            return performer.perform(
                talk.audio, RATE, words, talk.interlocutor, RATE, replies, head=head, semantics=manner
            )

        return talk_motion

    return {name: generator(*how) for name, how in NETWORK_ROWS.items()}


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a folder of talks (`read_talks`, `read_strokes`); ``store`` is a folder of the fgd stage.

    The model is None, an `AvatarGPT`, whose gesture network is measured, a `Generator`, or several by name.
    """
    if run.data is None:
        raise UserError("gesture: measured on recorded talks; name their folder")
    features = GestureFeatureEncoder.load(run.store)
    networks = {name: run.cache.wrap(f"gestures by {name}", make) for name, make in _generators(run.model).items()}
    return score(run.suite, read_talks(run.data), networks, read_strokes(run.data), features)


def _generators(model: Any) -> dict[str, Generator]:
    if model is None:
        return {}
    if isinstance(model, Mapping) and all(callable(make) for make in model.values()):
        return dict(model)
    if callable(model):
        return {"network": model}
    if hasattr(model, "source"):
        return network_rows(model.source)
    raise UserError(f"gesture: a model of type {type(model).__name__}; accepted: an AvatarGPT, a function "
                    "Talk -> Motion, or several by name")  # fmt: skip


def score(
    suite: Suite, talks: Sequence[Talk], networks: Mapping[str, Generator],
    strokes: Sequence[beats.MeasuredStroke] = (), features: GestureFeatureEncoder | None = None, reduced: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """All figures, ``figure/row``.

    Rows: ``real``; ``mean pose``; ``shuffled`` (real motion under other sound: beats alone differ); ``retrieval``,
    where there is a bank; every network, and the first of them without words, without sound (silence) and without the
    interlocutor, where some talk has these. They cover all talks; ``real`` only those with a recorded
    motion.

    Args:
        talks: at least one with a motion; those without are only sound that motion is made for.
        strokes: the bank of ``retrieval``, and the row ``strokes`` of figures that need no sound.
        reduced: whether the first network is also run without sound, words and interlocutor; False for stored motions.
    """
    # Frames of one talk are not independent: windows are the samples of intervals.
    window = float(suite.options.get("window", 10.0))
    recorded = [t for t in talks if t.motion is not None]
    if not recorded:
        raise UserError("gesture: no talk with a recorded motion; at least one is needed")
    real = [TalkMotion(t, t.motion.resampled(FPS)) for t in recorded if t.motion is not None]
    frames = [frames_in(len(t.audio), RATE) for t in talks]
    for talk_motion in real:
        frames[[t is talk_motion.talk for t in talks].index(True)] = len(talk_motion.motion)
    for talk, count in zip(talks, frames, strict=True):
        if min(count / FPS, len(talk.audio) / RATE) < 2 * window:
            raise UserError(f"{talk.name}: {count / FPS:.1f} s; accepted: talks of at least {2 * window:g} s")
    motions = [m.motion for m in real]
    usual = beats.mean_speeds(motions)
    rows = {"real": real}
    for name, make in _makers(talks, motions, networks, strokes, reduced).items():
        rows[name] = [TalkMotion(t, _fit_length(name, make(t, n), n)) for t, n in zip(talks, frames, strict=True)]
    beats_of = SoundBeats([t.audio for t in talks])
    results: dict[str, Any] = {}
    for name, row in rows.items():
        results |= beat_figures(name, row, beats_of, usual, window)
        results |= movement_figures(name, row, motions, window)
        results |= attention(name, row)
        results |= _against(name, [m.motion for m in row], motions, features)
    if strokes:  # single gestures, which have no sound
        gestures = [m for m in (s.motion.resampled(FPS) for s in strokes) if len(m) > 3]
        for name, measure in (("hand_speed", beats.hand_speed), ("acceleration", beats.mean_acceleration),
                              ("jerk", beats.mean_jerk)):  # fmt: skip
            results[f"{name}/strokes"] = figure([measure(m) for m in gestures])
    return {
        "talks": len(recorded), "sounds": len(talks), "seconds": round(sum(m.seconds for m in real), 2),
        # The rows of one figure next to one another.
        "results": {k: results[k] for name in dict.fromkeys(k.split("/")[0] for k in results)
                    for k in results if k.split("/")[0] == name},
    }  # fmt: skip


# How the rows beside ``real`` are made: (talk, frames) -> motion.
def _makers(
    talks: Sequence[Talk], motions: Sequence[Motion], networks: Mapping[str, Generator],
    strokes: Sequence[beats.MeasuredStroke], reduced: bool = True,
) -> dict[str, Callable[[Talk, int], Motion]]:  # fmt: skip
    out: dict[str, Callable[[Talk, int], Motion]] = {"mean pose": lambda talk, frames: beats.mean_pose(motions, frames)}
    if strokes:
        bank = beats.StrokeBank(strokes)
        out["retrieval"] = lambda talk, frames: bank.gesticulate(talk.audio, frames)
    # What a network gains from each input shows in the row without it.
    reductions: list[tuple[str, Callable[[Talk], Talk]]] = [
        ("", lambda talk: talk), (" without sound", lambda talk: replace(talk, audio=np.zeros_like(talk.audio)))
    ]  # fmt: skip
    if any(t.words is not None for t in talks):
        reductions.append((" without words", lambda talk: replace(talk, words=None, interlocutor_words=None)))
    if any(t.interlocutor is not None for t in talks):
        alone = partial(replace, interlocutor=None, interlocutor_words=None)
        reductions.append((" without interlocutor", alone))
    for number, (name, make) in enumerate(networks.items()):
        rows = reductions if reduced and number == 0 else reductions[:1]
        for suffix, reduce in rows:
            out[name + suffix] = partial(lambda make, reduce, talk, _: make(replace(reduce(talk), motion=None)), make,
                                         reduce)  # fmt: skip
    return out


# A motion at 30 fps, cut to the length of its talk; one that ends half a second before is refused.
def _fit_length(name: str, motion: Motion, frames: int) -> Motion:
    out = motion.resampled(FPS)
    if len(out) < frames - FPS // 2:
        raise UserError(f"{name}: {len(out) / FPS:.1f} s of motion for a talk of {frames / FPS:.1f} s")
    return out.slice(0, min(frames, len(out)))


# Distances from the real set; for that set itself those between the halves of its clips: the noise floor.
def _against(
    name: str, motions: list[Motion], real: list[Motion], features: GestureFeatureEncoder | None
) -> dict[str, Any]:
    a, b = motions, real
    if name == "real":
        a, b = [m.slice(0, len(m) // 2) for m in real], [m.slice(len(m) // 2, len(m)) for m in real]
    out = {f"hellinger/{name}": plain(beats.hand_speed_distance(a, b))}
    if features is not None:
        if min(len(m) for m in (*a, *b)) < FRAMES:
            raise UserError(f"FGD of {name}: clips of less than {FRAMES} frames at 30 fps")
        out[f"fgd/{name}"] = plain(fgd(a, b, features))
    return out
