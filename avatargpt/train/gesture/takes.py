"""Takes of the gesture corpus: a talk to arrays, captioned clips of takes, and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatargpt.gesture.features import prosody
from avatargpt.gesture.words import CONTEXT, WordEncoder, frame_span, phrases
from avatargpt.speech.audio import RATE
from avatargpt.speech.words import Word
from avatargpt.train.gesture.data import Arrays
from avatargpt.train.gesture.planning import accents, planned
from avatargpt.train.gesture.talks import CorpusRecipe, Talk
from instruct_data.clip import Clip
from instruct_data.gesture.bank import Bank
from instruct_data.gesture.classes import BEAT, WordClasses
from instruct_data.gesture.performing import perform
from instruct_data.gesture.plan import Plan
from instruct_data.gesture.strokes import FPS, SIDES, motion_of
from vqvae.features import GestureFeatures
from vqvae.skeleton import SMPL22

CLIP_PAUSE = 0.3  # s between words at which a clip may end
MIN_CLIP, MAX_CLIP = 2.0, 9.0  # s
CLIP_MARGIN = 0.4  # s before the first word and after the last
MAX_CAPTION_GESTURES = 4
MIN_WRITTEN_PAUSE = 0.2  # s

WRISTS = [SMPL22.index("l_wrist"), SMPL22.index("r_wrist")]
REST_SPEED = 0.1  # m/s below which a hand rests
TALKING_MARGIN = 10  # frames before and after words that count as talking
LISTENING_MARGIN = 30  # frames from words after which a person is silent
ARRIVAL_SPEED = 0.35  # of the speed before it, below which a hand has arrived

# A word with its start and end, s.
TimedText = tuple[str, float, float]


@dataclass(frozen=True, eq=False)
class CorpusTake:
    """One take: arrays as in `avatargpt.train.gesture.data`, without codes, and its description."""

    name: str
    speaker: str
    arrays: Arrays
    about: dict[str, Any]


def word_states(words: Sequence[Word], encoder: WordEncoder) -> np.ndarray:
    """(W, V) states of all words, phrase by phrase as in `avatargpt.gesture.words.WordRows`."""
    out = [np.zeros((0, encoder.width), np.float32)]
    context: list[str] = []
    for phrase in phrases(words):
        texts = [w.text for w in phrase]
        out.append(encoder.states([*context, *texts])[len(context) :])
        context = [*context, *texts][-CONTEXT:]
    return np.concatenate(out)


def word_at(words: Sequence[Word], frames: int) -> np.ndarray:
    """(frames,) number of each frame's word, -1 = none; every word has at least one frame."""
    out = np.full(frames, -1, np.int32)
    for number, word in enumerate(words):
        first, stop = frame_span(word)
        out[first:stop] = number
    return out


def takes_of(
    talk: Talk, name: str, recipe: CorpusRecipe, bank: Bank, classes: WordClasses, encoder: WordEncoder,
    rng: np.random.Generator,
) -> list[CorpusTake]:  # fmt: skip
    """Both sides of a conversation, or the one of a monologue."""
    names = list(recipe.speakers)
    speakers = [names[i] for i in rng.permutation(len(names))[: len(talk.tracks)]]
    # More voices than configured speakers: some styles occur twice.
    while len(speakers) < len(talk.tracks):
        speakers.append(names[int(rng.integers(len(names)))])
    voices = []
    for track in talk.tracks:
        rows = prosody(track.audio, RATE)[: talk.frames]
        rows = np.concatenate([rows, np.repeat(rows[-1:], talk.frames - len(rows), 0)])
        states = word_states(track.words, encoder).astype(np.float16)
        at = word_at(track.words, talk.frames)
        voices.append({"audio": rows.astype(np.float16), "word_states": states, "word_at": at})
    out = []
    for k, track in enumerate(talk.tracks):
        other = 1 - k if len(talk.tracks) == 2 else None
        style = recipe.speakers[speakers[k]].style(speakers[k])
        answers = talk.tracks[other].words if other is not None else ()
        stresses = accents(track.words, voices[k]["audio"].astype(np.float32))
        plan = planned(track.words, stresses, talk.frames, style, bank, classes, rng, answers)
        arrays = dict(voices[k])
        if other is not None:
            arrays |= {f"other_{key}": value for key, value in voices[other].items()}
        arrays["features"] = GestureFeatures().encode(motion_of(perform(plan, bank, rng)))
        about = description(plan, track.words, answers) | {"voice": track.voice}
        out.append(CorpusTake(f"{name}/{k}" if other is not None else name, speakers[k], arrays, about))
    return out


def description(plan: Plan, words: Sequence[Word], answers: Sequence[Word]) -> dict[str, Any]:
    """The header of a take's file: words with times and stresses, strokes, beats and nods with their frames."""
    return {
        "words": [[w.text, round(w.start, 3), round(w.end, 3),
                   [round(p.start, 3) for p in w.phones if p.stress == 1]] for w in words],
        "heard": [[w.text, round(w.start, 3), round(w.end, 3)] for w in answers],
        "strokes": [[p.frame, p.stroke.name, p.kind, p.word, "".join(p.stroke.sides), p.stroke.source]
                    for p in plan.strokes],
        "beats": [[b.frame, "".join(b.sides)] for b in plan.beats],
        "nods": [[n.frame, n.kind, n.times] for n in plan.nods],
    }  # fmt: skip


def clip_spans(words: Sequence[TimedText], seconds: float) -> list[tuple[int, int]]:
    """Words [first, stop) of each clip: whole phrases, together `MIN_CLIP` to `MAX_CLIP` long where possible."""
    out: list[tuple[int, int]] = []
    first = 0
    for i, (_, _, end) in enumerate(words):
        last = i + 1 == len(words)
        pause = (seconds if last else words[i + 1][1]) - end
        length = end - words[first][1]
        full = not last and words[i + 1][2] - words[first][1] > MAX_CLIP
        if last or full or (pause >= CLIP_PAUSE and length >= MIN_CLIP):
            out.append((first, i + 1))
            first = i + 1
    return out


def transcript(words: Sequence[TimedText]) -> str:
    """The words with pauses: "who knows (0.2) perhaps his sister"."""
    parts: list[str] = []
    for i, (text, start, _) in enumerate(words):
        gap = start - words[i - 1][2] if i else 0.0
        parts += [f"({gap:.1f})"] * (gap >= MIN_WRITTEN_PAUSE) + [text.lower()]
    return " ".join(parts)


def captions(kinds: Sequence[str], classes: WordClasses, rng: np.random.Generator, count: int = 3) -> list[str]:
    """Different sentences about gestures of these classes, in order; beats are named only if there is nothing else."""
    named = [k for k in kinds if k != BEAT][:MAX_CAPTION_GESTURES] or [k for k in kinds if k == BEAT][:1]
    out: list[str] = []
    for _ in range(count if named else 0):
        parts = [str(rng.choice(classes.classes[k].captions)) for k in named if classes.classes[k].captions]
        text = ", then ".join(s for i, s in enumerate(parts) if i == 0 or s != parts[i - 1])
        if text and text not in out:
            out.append(f"a person {text}" if len(out) % 2 else text)
    return out


def clips(
    takes: Iterable[tuple[str, np.ndarray, dict[str, Any], str]], classes: WordClasses, source: str, licence: str
) -> Iterator[Clip]:
    """Short clips of takes (name, features (T, 270), description, split), for the tasks of a language model.

    Captions name the gestures; ``extra["speech"]`` holds the words.
    """
    spec = GestureFeatures()
    for number, (name, features, about, split) in enumerate(takes):
        words = [(str(w[0]), float(w[1]), float(w[2])) for w in about["words"]]
        rng = np.random.default_rng([number, 67])
        for first, stop in clip_spans(words, len(features) / FPS):
            part = words[first:stop]
            before = words[first - 1][2] if first else 0.0
            after = words[stop][1] if stop < len(words) else len(features) / FPS
            start = round(max(part[0][1] - CLIP_MARGIN, before, 0.0) * FPS)
            end = min(round(min(part[-1][2] + CLIP_MARGIN, after) * FPS), len(features))
            if end - start < MIN_CLIP * FPS / 2:
                continue
            kinds = [str(s[2]) for s in about["strokes"] if start <= s[0] < end]
            extra = {"speaker": about["speaker"], "speech": {"text": transcript(part)}}
            motion, texts = spec.decode(features[start:end]), captions(kinds, classes, rng)
            yield Clip(f"{name}/{first}", motion, texts, source, licence, split, "talk", extra=extra)


def figures(takes: Iterable[tuple[Arrays, dict[str, Any]]]) -> dict[str, float]:
    """Statistics of takes, given their arrays and descriptions.

    Returns:
        ``minutes``; ``speed_talking``, ``speed_listening`` m/s of the wrists in the world; ``rest_talking``,
        ``rest_listening`` shares of frames below `REST_SPEED`; ``jerk``, ``jerk_p99`` m/s^3; ``strokes_a_minute``;
        ``stress_p99`` seconds from a stroke's emphasis to the nearest stress of its word; ``arrived`` share of the
        strokes with a minimum of the hand's speed within a frame of the emphasis, or with a slow hand by then.
    """
    talking, listening, jerks, distances, arrived, frames = [], [], [], [], [], 0
    for arrays, about in takes:
        motion = GestureFeatures().decode(arrays["features"])
        place = motion.joints[:, WRISTS].astype(np.float64)
        speed = np.linalg.norm(np.diff(place, axis=0, prepend=place[:1]), axis=-1) * FPS
        jerks.append(np.linalg.norm(np.diff(place, n=3, axis=0), axis=-1).ravel() * FPS**3)
        frames += len(place)
        speaking = arrays["word_at"] >= 0
        talking.append(speed[_dilated(speaking, TALKING_MARGIN)].ravel())
        if "other_word_at" in arrays:
            silent = ~_dilated(speaking, LISTENING_MARGIN)
            listening.append(speed[silent & (arrays["other_word_at"] >= 0)].ravel())
        for frame, _, _, word, sides, _ in about["strokes"]:
            stresses = np.array(about["words"][word][3])
            distances.append(float(np.abs(stresses - frame / FPS).min()))
            arrived.append(_has_arrived(speed[:, [SIDES.index(s) for s in sides]].max(1), int(frame)))
    fast, slow, hard = (np.concatenate([*x, np.zeros(0)]) for x in (talking, listening, jerks))
    return {
        "minutes": frames / FPS / 60, "speed_talking": _mean(fast), "speed_listening": _mean(slow),
        "rest_talking": _mean(fast < REST_SPEED), "rest_listening": _mean(slow < REST_SPEED), "jerk": _mean(hard),
        "jerk_p99": float(np.quantile(hard, 0.99)) if len(hard) else 0.0,
        "strokes_a_minute": len(distances) / (frames / FPS / 60),
        "stress_p99": float(np.quantile(distances, 0.99)) if distances else 0.0, "arrived": _mean(np.array(arrived)),
    }  # fmt: skip


def _mean(x: np.ndarray) -> float:
    return float(x.mean()) if len(x) else 0.0


def _dilated(mask: np.ndarray, frames: int) -> np.ndarray:
    return np.asarray(np.convolve(mask.astype(float), np.ones(2 * frames + 1), "same") > 0)


def _has_arrived(speed: np.ndarray, frame: int) -> bool:
    around = speed[max(frame - 1, 1) - 1 : frame + 3]
    minima = (around[1:-1] <= around[:-2]) & (around[1:-1] <= around[2:])
    before = speed[max(frame - 20, 0) : frame + 1]
    return bool(minima.any() or speed[min(frame, len(speed) - 1)] < ARRIVAL_SPEED * before.max())
