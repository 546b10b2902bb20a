"""Takes of the gesture corpus: gestures planned for a talk, its arrays, captioned clips of takes, and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from avatargpt.gesture.features import WordEncoder, prosody
from avatargpt.speech.audio import RATE
from avatargpt.speech.features import BANDS, PER_QUARTER, QUARTERS
from avatargpt.speech.phones import VOWELS
from avatargpt.speech.words import Word
from avatargpt.train.gesture.data import Arrays
from avatargpt.train.gesture.rows import heard_rows, voice_rows
from avatargpt.train.gesture.talks import CorpusRecipe, Talk
from instruct_data.clip import Clip
from instruct_data.gesture.bank import Bank
from instruct_data.gesture.performing import perform
from instruct_data.gesture.plan import (
    BEAT,
    MIN_DISTANCE,
    Beat,
    Look,
    Nod,
    Placed,
    Plan,
    Style,
    WordClass,
    WordClasses,
    without_overlaps,
)
from instruct_data.gesture.strokes import FPS, SIDES, Stroke, motion_of
from vqvae.features import GestureFeatures
from vqvae.skeleton import SMPL22

ENERGY, VOICING, PITCH = BANDS, BANDS + 1, BANDS + 2  # columns of a quarter frame
PITCH_WEIGHT, LENGTH_WEIGHT, CONTENT_WEIGHT = 0.7, 0.5, 0.35  # of an accent, relative to energy
MAX_FUNCTION_LETTERS = 3  # words up to this length count as function words
REST = 1.3  # s of silence in which hands sink to rest
PAUSE = 0.25  # s of silence that end a phrase
MIN_STROKE_SPACING = 20  # frames between semantic strokes, so that each can be seen
BANK_SHARE = 0.85  # of the strong beats; the others are small beats of the forearm
MIN_BEAT_SPACING = 19  # frames between a small beat and its neighbours, so that neither blurs the other
STILL_SHARE = 0.04  # of the phrases, in which no hand is raised
SHIFT = (0.6, 1.2)  # s that raised hands keep a pose between strokes
HEAD_SIZES = {"nod": 0.11, "shake": 0.16, "tilt": 0.10}  # radians


@dataclass(frozen=True)
class Accent:
    """A vowel with primary stress."""

    word: int  # number of its word
    start: float  # seconds at which the vowel begins
    strength: float  # of the accent, in standard deviations
    loud: float  # its energy alone, in standard deviations

    @property
    def frame(self) -> int:
        """The frame of motion nearest to its beginning."""
        return round(self.start * FPS)


def accents(words: Sequence[Word], prosody: np.ndarray) -> list[Accent]:
    """Accents of all vowels with primary stress, in order: energy, pitch and length relative to those of the talk.

    `prosody` has the rows (T, 336) of `avatargpt.gesture.features`.
    """
    stressed = [(k, p) for k, w in enumerate(words) for p in w.phones if p.stress == 1 and p.name in VOWELS]
    if not stressed or not len(prosody):
        return []
    quarters = prosody[:, : QUARTERS * PER_QUARTER].reshape(-1, PER_QUARTER)
    rate, rows = FPS * QUARTERS, []
    for k, phone in stressed:
        a = min(int(phone.start * rate), len(quarters) - 1)
        vowel = quarters[a : max(int(phone.end * rate), a + 1)]
        voiced = vowel[vowel[:, VOICING] > 0.5]
        pitch = float((voiced[:, PITCH] / voiced[:, VOICING]).max()) if len(voiced) else np.nan
        rows.append((float(vowel[:, ENERGY].max()), pitch, np.log(max(phone.end - phone.start, 0.03)),
                     float(len(words[k].text) > MAX_FUNCTION_LETTERS)))  # fmt: skip
    table = np.array(rows)
    has_pitch = np.isfinite(table[:, 1])
    # Vowels without voice have no pitch; they count as average ones.
    table[~has_pitch, 1] = table[has_pitch, 1].mean() if has_pitch.any() else 0.0
    energy, pitches, length = (_standardised(table[:, i]) for i in range(3))
    strength = _standardised(
        energy + PITCH_WEIGHT * pitches + LENGTH_WEIGHT * length + CONTENT_WEIGHT * 2 * table[:, 3]
    )
    return [Accent(k, p.start, float(s), float(e)) for (k, p), s, e in zip(stressed, strength, energy, strict=True)]


def _standardised(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x.mean()) / max(float(x.std()), 1e-3))


@dataclass(frozen=True)
class Phrase:
    """Words without a pause between them: numbers [first, stop), seconds."""

    first: int
    stop: int
    start: float
    end: float


def phrases_of(words: Sequence[Word], pause: float) -> list[Phrase]:
    """Runs of words with less than `pause` seconds of silence between any two."""
    edges = [0, *(k for k in range(1, len(words)) if words[k].start - words[k - 1].end >= pause), len(words)]
    return [Phrase(a, b, words[a].start, words[b - 1].end) for a, b in zip(edges, edges[1:], strict=False) if b > a]


def planned(
    words: Sequence[Word], accents: Sequence[Accent], frames: int, style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator, interlocutor: Sequence[Word] = (),
) -> Plan:  # fmt: skip
    """The gestures of a person who says `words` with `accents` and listens to `interlocutor`'s."""
    phrases = phrases_of(words, PAUSE)
    still = {k for k in range(len(phrases)) if rng.random() < STILL_SHARE}
    still_spans = [(phrases[k].start, phrases[k].end) for k in still]
    open_accents = [a for a in accents if not any(s <= a.start <= e for s, e in still_spans)]
    # Words with a meaning choose their frames first; beats take accents that are left.
    strokes = _semantic_strokes(words, open_accents, style, bank, classes, rng)
    beat_strokes, beats = _beats(open_accents, strokes, style, bank, classes, rng)
    strokes = without_overlaps([*strokes, *beat_strokes])
    beats += _free_hand_beats(strokes, style, rng)
    raised = _raised(phrases, still, style, frames, rng)
    strokes = _with_holds([s for s in strokes if s.frame < frames - 2], phrases, rng)
    nods = _nods(words, accents, phrases, style, classes, rng) + _backchannels(interlocutor, words, style, rng)
    looks, leans = _looks(phrases, interlocutor, style, rng)
    inside = tuple(n for n in sorted(nods, key=lambda n: n.frame) if n.frame < frames)
    return Plan(frames, tuple(raised), tuple(strokes), tuple(beats), inside, tuple(looks), tuple(leans), style)


def _uses(stroke: Stroke, hand: str) -> bool:
    return len(stroke.sides) == 2 or stroke.sides == (hand,)


def choose_stroke(kind: WordClass, style: Style, bank: Bank, rng: np.random.Generator) -> Stroke | None:
    """A random stroke of a class in the speaker's style; None where the bank has none for the hand drawn."""
    names = list(kind.gestures)
    hand = "l" if rng.random() < style.left else "r"
    shares = np.array([kind.gestures[n] for n in names])
    in_style = [any(s.performer in style.performers for s in bank.strokes[n]) for n in names]
    shares = shares * np.where(in_style, 1.0, 0.25)  # gestures of the speaker's performers are preferred
    name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    strokes = [s for s in bank.of([name], style.performers, SIDES) if _uses(s, hand)]
    strokes = strokes or [s for s in bank.strokes[name] if _uses(s, hand)]
    if rng.random() < style.both:
        strokes = [s for s in strokes if len(s.sides) == 2] or strokes
    return strokes[int(rng.integers(len(strokes)))] if strokes else None


def _size(style: Style, loud: float, rng: np.random.Generator) -> float:
    return float(np.clip(style.size * (1 + 0.09 * loud + 0.05 * rng.standard_normal()), 0.6, 1.12))


def _tempo(style: Style, rng: np.random.Generator) -> float:
    return float(np.clip(style.tempo * (1 + 0.1 * rng.standard_normal()), 0.75, 1.6))


def _semantic_strokes(
    words: Sequence[Word], accents: Sequence[Accent], style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator,
) -> list[Placed]:  # fmt: skip
    # Strokes of words with a class, the emphasis on the strongest stress of the words.
    candidates: list[tuple[float, Placed]] = []
    for run in classes.find([w.text for w in words]):
        kind = classes.classes[run.kind]
        run_accents = [a for a in accents if run.first <= a.word < run.stop]
        if not run_accents or rng.random() >= kind.share * style.semantic:
            continue
        accent = max(run_accents, key=lambda a: a.strength)
        stroke = choose_stroke(kind, style, bank, rng)
        if stroke is not None:
            tempo, size = _tempo(style, rng), _size(style, accent.loud, rng)
            placed = Placed(stroke, accent.frame, tempo, size, 0, accent.word, run.kind)
            candidates.append((kind.share + 0.15 * accent.strength + 0.2 * rng.random(), placed))
    strokes: list[Placed] = []
    for _, candidate in sorted(candidates, key=lambda c: -c[0]):
        if all(abs(candidate.frame - s.frame) >= MIN_STROKE_SPACING for s in strokes):
            strokes.append(candidate)
    return strokes


def _beats(
    accents: Sequence[Accent], strokes: Sequence[Placed], style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator,
) -> tuple[list[Placed], list[Beat]]:  # fmt: skip
    # Beat strokes and small beats on the strongest accents without a gesture.
    if not accents:
        return [], []
    # The style's rate is the share of accents with a beat.
    min_strength = float(np.quantile([a.strength for a in accents], 1 - style.rate))
    placed: list[Placed] = []
    beats: list[Beat] = []
    kind = classes.classes[BEAT]
    occupied = [s.frame for s in strokes]
    for accent in accents:
        if accent.strength < min_strength or any(abs(accent.frame - f) < MIN_BEAT_SPACING for f in occupied):
            continue
        occupied.append(accent.frame)
        has_room = all(abs(accent.frame - s.frame) >= MIN_DISTANCE + 3 for s in (*strokes, *placed))
        stroke = choose_stroke(kind, style, bank, rng) if has_room and rng.random() < BANK_SHARE else None
        if stroke is not None:
            tempo, size = _tempo(style, rng), _size(style, accent.loud, rng)
            placed.append(Placed(stroke, accent.frame, tempo, size, 0, accent.word, BEAT))
            continue
        both = rng.random() < style.both
        sides = SIDES if both else (("l",) if rng.random() < style.left else ("r",))
        angle = np.radians(32) * style.size * float(np.clip(1 + 0.25 * accent.strength, 0.5, 1.6))
        beats.append(Beat(accent.frame, float(angle), tuple(sides)))
    return placed, beats


def _free_hand_beats(strokes: Sequence[Placed], style: Style, rng: np.random.Generator) -> list[Beat]:
    # Small beats of the hand that a stroke leaves free, at its emphasis.
    out = []
    for stroke in strokes:
        free = tuple(s for s in SIDES if s not in stroke.stroke.sides)
        busy = (t.frame for t in strokes if t is not stroke and set(t.stroke.sides) & set(free))
        if free and rng.random() < style.both and all(abs(f - stroke.frame) >= MIN_BEAT_SPACING for f in busy):
            out.append(Beat(stroke.frame, float(np.radians(14) * style.size * rng.uniform(0.5, 1.4)), free))
    return out


def _with_holds(strokes: list[Placed], phrases: Sequence[Phrase], rng: np.random.Generator) -> list[Placed]:
    # Strokes with post-stroke holds: through a short pause that follows, or up to the next stroke.
    out = []
    for number, stroke in enumerate(strokes):
        end = stroke.frame + stroke.release
        following = strokes[number + 1] if number + 1 < len(strokes) else None
        room = following.frame - following.lead - end if following else 2 * FPS
        pause = next((q.start - p.end for p, q in zip(phrases, phrases[1:], strict=False)
                      if p.end * FPS - 12 <= end <= q.start * FPS), 0.0)  # fmt: skip
        hold = round(pause * FPS) + 4 if 0 < pause < REST else int(rng.integers(0, 9))
        out.append(replace(stroke, hold=max(0, min(hold, room, FPS))))
    return out


def _raised(
    phrases: Sequence[Phrase], still: set[int], style: Style, frames: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    # Frames in which hands are raised: phrases, and short pauses between them.
    out: list[tuple[int, int]] = []
    for k, phrase in enumerate(phrases):
        if k in still:
            continue
        start = max(0, round((phrase.start - 0.25) * FPS))
        stop = min(frames, round((phrase.end + float(rng.uniform(0.15, 0.6))) * FPS))
        if out and start - out[-1][1] < REST * FPS and k - 1 not in still:
            out[-1] = (out[-1][0], max(start, out[-1][0] + 1))  # another pose for another phrase
            start = out[-1][1]
        if stop > start:
            out.append((start, stop))
    return [part for span in out for part in _parts(span, rng)]


def _parts(span: tuple[int, int], rng: np.random.Generator) -> list[tuple[int, int]]:
    # A span in parts of one or two seconds: raised hands keep no pose for longer.
    edges = [span[0]]
    while edges[-1] + 2 * SHIFT[1] * FPS < span[1]:
        edges.append(edges[-1] + round(float(rng.uniform(*SHIFT)) * FPS))
    edges.append(span[1])
    return [*zip(edges, edges[1:], strict=False)]


def _nods(
    words: Sequence[Word], accents: Sequence[Accent], phrases: Sequence[Phrase], style: Style, classes: WordClasses,
    rng: np.random.Generator,
) -> list[Nod]:  # fmt: skip
    # The speaker's head gestures: with words of a class that has one, on accents, at the ends of phrases.
    out: list[Nod] = []

    def add(nod: Nod, spacing: int) -> None:
        if all(abs(nod.frame - n.frame) > spacing for n in out):
            out.append(nod)

    for run in classes.find([w.text for w in words]):
        head = classes.classes[run.kind].head
        run_accents = [a for a in accents if run.first <= a.word < run.stop]
        if head and run_accents and rng.random() < 0.75 * style.semantic:
            sign = 1.0 if head == "nod" or rng.random() < 0.5 else -1.0
            size = sign * HEAD_SIZES[head] * style.head * float(rng.uniform(0.7, 1.3))
            times = int(rng.integers(1, 3)) if head == "shake" else 1
            add(Nod(run_accents[0].frame, size, head, times), 20)  # type: ignore[arg-type]
    for accent in accents:
        if accent.strength > 0.4 and rng.random() < 0.55:
            add(Nod(accent.frame, 0.055 * style.head * float(np.clip(1 + 0.4 * accent.strength, 0.6, 2))), 10)
    for phrase in phrases:
        if rng.random() < 0.45:
            add(Nod(round(phrase.end * FPS) - 3, float(rng.uniform(0.05, 0.1)) * style.head), 12)
    return out


def _backchannels(
    interlocutor: Sequence[Word], words: Sequence[Word], style: Style, rng: np.random.Generator
) -> list[Nod]:
    # Nods shortly after the interlocutor's phrases, during own silence.
    out: list[Nod] = []
    for phrase in phrases_of(interlocutor, PAUSE):
        at = phrase.end + float(rng.uniform(0.05, 0.4))
        if rng.random() < 0.75 and not any(w.start - 0.3 < at < w.end + 0.3 for w in words):
            size, times = float(rng.uniform(0.09, 0.17)) * style.head, int(rng.integers(1, 4))
            out.append(Nod(round(at * FPS), size, "nod", times))
    return out


def _looks(
    phrases: Sequence[Phrase], interlocutor: Sequence[Word], style: Style, rng: np.random.Generator
) -> tuple[list[Look], list[tuple[int, float]]]:
    # Gaze and lean: away at the start of own phrases, back to the interlocutor (straight ahead) while they speak.
    looks, leans = [Look(0, 0.0)], [(0, 0.0)]
    marks: list[tuple[float, bool]] = [(s.start, True) for s in phrases_of(interlocutor, REST)]
    marks += [(p.start, False) for p in phrases]
    ends = {p.start: p.end for p in phrases}
    for second, listens in sorted(marks):
        frame = max(1, round((second + 0.15) * FPS))
        if listens:
            looks.append(Look(frame, 0.0))
            leans.append((frame, float(rng.uniform(0.03, 0.07))))
            continue
        leans.append((frame, float(rng.normal(0.0, 0.012))))
        if rng.random() < 0.55:
            yaw = float(rng.uniform(0.1, 0.3)) * (1 if rng.random() < 0.5 else -1) * style.head
            looks.append(Look(frame, yaw, float(rng.uniform(-0.05, 0.1))))
            looks.append(Look(max(frame + 8, round(ends[second] * FPS) - 6), 0.0))
    return sorted(looks, key=lambda k: k.frame), leans


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
    voices = [voice_rows(prosody(track.audio, RATE), track.words, encoder, talk.frames) for track in talk.tracks]
    out = []
    for k, track in enumerate(talk.tracks):
        other = 1 - k if len(talk.tracks) == 2 else None
        style = recipe.speakers[speakers[k]].style(speakers[k])
        answers = talk.tracks[other].words if other is not None else ()
        stresses = accents(track.words, voices[k]["audio"].astype(np.float32))
        plan = planned(track.words, stresses, talk.frames, style, bank, classes, rng, answers)
        arrays = dict(voices[k])
        if other is not None:
            arrays |= heard_rows(voices[other])
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
