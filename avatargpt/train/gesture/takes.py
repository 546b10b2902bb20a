"""Takes of the gesture corpus: gestures planned for a talk, its arrays, captioned clips of takes, and statistics."""

from __future__ import annotations

import zlib
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
from avatargpt.train.gesture.rows import make_heard_rows, voice_rows
from avatargpt.train.gesture.talks import CorpusRecipe, SpokenTalk
from instruct_data.clip import Clip
from instruct_data.factory.gesture.bank import Bank
from instruct_data.factory.gesture.performing import perform
from instruct_data.gesture.performing import BEFORE
from instruct_data.gesture.plan import (
    BEAT,
    MIN_DISTANCE,
    MIN_LEAD,
    Beat,
    Look,
    Nod,
    Placed,
    Plan,
    Raised,
    Style,
    WordClass,
    WordClasses,
    without_overlaps,
)
from instruct_data.gesture.strokes import FPS, HAND, SIDES, Stroke, motion_of, wrists
from vqvae import rotations as rot
from vqvae.features import GestureFeatures
from vqvae.skeleton import SMPL22

ENERGY, VOICING, PITCH = BANDS, BANDS + 1, BANDS + 2  # columns of a quarter frame
PITCH_WEIGHT, LENGTH_WEIGHT, CONTENT_WEIGHT = 0.7, 0.5, 0.35  # of an accent, relative to energy
MAX_FUNCTION_LETTERS = 3  # words up to this length count as function words
REST = 1.3  # s of silence in which hands sink to rest
PAUSE = 0.25  # s of silence that end a phrase
STILL_PAUSE = 0.4  # s of silence in which nothing but breath moves
# s after a phrase that hands stay up: a network that hears `REST - STAY` ahead knows by then whether silence goes on
STAY = 0.9
SINK, LEAST_SINK, RISES = 42, 22, 22  # frames in which hands sink to rest, there at the end of a talk, and rise
EARLY = 0.1  # s before a phrase at which they begin to rise
SETS_OUT = 0.8  # the same of hands that gesture its first word
LATE = 5  # frames from the start of a stressed vowel to the emphasis of a stroke, so that hands are fastest near it
BEAT_LATE = 3  # frames from the start of a stressed vowel to a beat
MIN_STROKE_SPACING = 20  # frames between semantic strokes, so that each can be seen
MIN_BEAT_SPACING = 9  # frames between beats
BEAT_ANGLE, BEAT_GROWTH, BEAT_RANGE = 0.3, 0.7, (0.2, 2.4)  # radians, a standard deviation of loudness, bounds
USUAL = 0.65  # share of the strokes of a class that are everybody's; the others are the speaker's own
STRONG, STRONG_SHARE = 0.6, 0.6  # accents from which on a recorded beat may come, and its share
BEAT_STROKES = 2  # recorded beats that a speaker has
POSE_ACCENT, POSE_SPACING = 0.3, 36  # of an accent with which raised hands take another pose, and frames between these
POSE_BLEND = 18  # frames of it, the middle of which is the accent
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
    energy, pitches, length = (_standardise(table[:, i]) for i in range(3))
    strength = _standardise(
        energy + PITCH_WEIGHT * pitches + LENGTH_WEIGHT * length + CONTENT_WEIGHT * 2 * table[:, 3]
    )
    return [Accent(k, p.start, float(s), float(e)) for (k, p), s, e in zip(stressed, strength, energy, strict=True)]


def _standardise(x: np.ndarray) -> np.ndarray:
    return np.asarray((x - x.mean()) / max(float(x.std()), 1e-3))


@dataclass(frozen=True)
class SpokenPhrase:
    """Words without a pause between them: numbers [first, stop), seconds."""

    first: int
    stop: int
    start: float
    end: float


def phrases_of(words: Sequence[Word], pause: float) -> list[SpokenPhrase]:
    """Runs of words with less than `pause` seconds of silence between any two."""
    edges = [0, *(k for k in range(1, len(words)) if words[k].start - words[k - 1].end >= pause), len(words)]
    return [
        SpokenPhrase(a, b, words[a].start, words[b - 1].end) for a, b in zip(edges, edges[1:], strict=False) if b > a
    ]


def plan_gestures(
    words: Sequence[Word], accents: Sequence[Accent], frames: int, style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator, interlocutor: Sequence[Word] = (),
) -> Plan:  # fmt: skip
    """The gestures of a person who says `words` with `accents` and listens to `interlocutor`'s.

    Begins and ends at rest. All but the choice among strokes follows from words and sound.
    """
    phrases = phrases_of(words, PAUSE)
    last = frames - LEAST_SINK - 2  # hands sink from here on
    usable = [a for a in accents if RISES <= a.frame + LATE < last - 4]
    # Words with a meaning choose their frames first; beats take accents that are left.
    strokes = _semantic_strokes(words, usable, style, bank, classes, rng)
    strokes = without_overlaps([*strokes, *_beat_strokes(usable, strokes, style, bank, classes, rng)])
    raised = _raise_hands(phrases, usable, strokes, last)
    beats = _beats(usable, strokes, raised, phrases, style, rng)
    strokes = _with_holds(strokes, phrases, last)
    nods = _nods(words, accents, phrases, style, classes, rng) + _backchannels(interlocutor, words, style, rng)
    looks, leans = _looks(phrases, interlocutor, style, rng)
    inside = tuple(n for n in sorted(nods, key=lambda n: n.frame) if n.frame < frames)
    speech, heard = (tuple((round(p.start * FPS), round(p.end * FPS)) for p in phrases_of(w, STILL_PAUSE))
                     for w in (words, interlocutor))  # fmt: skip
    return Plan(frames, speech, heard, tuple(raised), SINK, tuple(strokes), tuple(beats), inside, tuple(looks),
                tuple(leans), style)  # fmt: skip


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


def _seed_generator(style: Style, kind: WordClass, number: int = 0) -> np.random.Generator:
    # Draws that are always the same for a speaker and a class.
    return np.random.default_rng([zlib.crc32(f"{style.name}/{kind.name}".encode()), number])


def usual_stroke(kind: WordClass, bank: Bank) -> Stroke:
    """The stroke of a class that is least like those of other classes, with the right hand or both."""
    known = bank.usual.get(kind.name)
    if known is None:
        others = [_shape(s) for name, ss in bank.strokes.items() if name not in kind.gestures for s in ss]
        most = max(kind.gestures.values())
        names = [name for name, share in kind.gestures.items() if share >= 0.5 * most]
        own = [s for name in names for s in bank.strokes[name] if _uses(s, "r")] or bank.strokes[names[0]]
        shapes = [_shape(s) for s in own]
        nearest = [min((_difference(shape, other) for other in others), default=0.0) for shape in shapes]
        known = bank.usual[kind.name] = own[int(np.argmax(nearest))]
    return known


def _shape(stroke: Stroke) -> tuple[np.ndarray, np.ndarray]:
    # Wrists about the emphasis, (T, 2, 3) metres, and how fingers are bent, (T, 30, 3) radians.
    turns = stroke.turns[np.clip(np.arange(-10, 6) + stroke.emphasis, 0, len(stroke.turns) - 1)]
    return wrists(turns), rot.to_axis_angle(turns[:, HAND["l"] + HAND["r"]])


def _difference(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> float:
    # A tenth of a radian of the fingers counts as a centimetre of the wrists.
    hands, fingers = (float(np.linalg.norm(x - y, axis=-1).mean()) for x, y in zip(a, b, strict=True))
    return hands + 0.1 * fingers


def _place(stroke: Stroke, accent: Accent, style: Style, kind: str) -> Placed:
    # A stroke with its emphasis on an accent, the larger and the quicker, the louder that is.
    tempo = float(np.clip(style.tempo * (1 + 0.1 * accent.loud), 0.8, 1.6))
    size = float(np.clip(style.size * np.exp(0.2 * accent.loud), 0.75, 1.12))
    return Placed(stroke, accent.frame + LATE, tempo, size, 0, accent.word, kind)


def _semantic_strokes(
    words: Sequence[Word], accents: Sequence[Accent], style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator,
) -> list[Placed]:  # fmt: skip
    # Strokes of words with a class, the emphasis on the strongest stress of the words.
    candidates: list[tuple[float, Placed]] = []
    for run in classes.find([w.text for w in words]):
        kind = classes.classes[run.kind]
        run_accents = [a for a in accents if run.first <= a.word < run.stop]
        if not run_accents:
            continue
        accent = max(run_accents, key=lambda a: a.strength)
        # words that are gestured now and then are those that are stressed
        share = kind.share * style.semantic
        if share < 1 and accent.strength < 0.6 - 2 * share:
            continue
        own = choose_stroke(kind, style, bank, _seed_generator(style, kind))
        stroke = usual_stroke(kind, bank) if own is None or rng.random() < USUAL else own
        candidates.append((kind.share + 0.15 * accent.strength, _place(stroke, accent, style, run.kind)))
    strokes: list[Placed] = []
    for _, candidate in sorted(candidates, key=lambda c: -c[0]):
        if all(abs(candidate.frame - s.frame) >= MIN_STROKE_SPACING for s in strokes):
            strokes.append(candidate)
    return strokes


def _beat_strokes(
    accents: Sequence[Accent], strokes: Sequence[Placed], style: Style, bank: Bank, classes: WordClasses,
    rng: np.random.Generator,
) -> list[Placed]:  # fmt: skip
    # Recorded beats on strong accents without a gesture.
    placed: list[Placed] = []
    kind = classes.classes[BEAT]
    for accent in accents:
        if min(accent.strength, accent.loud) < STRONG or rng.random() >= STRONG_SHARE:
            continue
        frame = accent.frame + LATE
        stroke = choose_stroke(kind, style, bank, _seed_generator(style, kind, int(rng.integers(BEAT_STROKES))))
        if stroke is not None and all(abs(frame - s.frame) >= MIN_DISTANCE + 3 for s in (*strokes, *placed)):
            placed.append(_place(stroke, accent, style, BEAT))
    return placed


def _beats(
    accents: Sequence[Accent], strokes: Sequence[Placed], raised: Sequence[Raised], phrases: Sequence[SpokenPhrase],
    style: Style, rng: np.random.Generator,
) -> list[Beat]:  # fmt: skip
    # Beats on accents, as large as these are loud, of hands that no stroke moves; of one hand or of both in a phrase.
    if not accents:
        return []
    # The style's rate is the share of accents with a beat.
    min_strength = float(np.quantile([a.strength for a in accents], 1 - style.rate))
    hands = [SIDES if rng.random() < style.both else (("l",) if rng.random() < style.left else ("r",))
             for _ in phrases]  # fmt: skip
    out: list[Beat] = []
    for accent in accents:
        if accent.strength < min_strength or (out and accent.frame + BEAT_LATE - out[-1].frame < MIN_BEAT_SPACING):
            continue
        busy = {side for s in strokes for side in s.stroke.sides if abs(s.frame - LATE - accent.frame) < MIN_DISTANCE}
        phrase = next(k for k, p in enumerate(phrases) if p.start <= accent.start <= p.end)
        sides = tuple(side for side in hands[phrase] if side not in busy)
        pose = next((r.pose for r in raised if r.start <= accent.frame < r.stop), 0)
        angle = BEAT_ANGLE * style.size * float(np.clip(np.exp(BEAT_GROWTH * accent.loud), *BEAT_RANGE))
        if sides:
            out.append(Beat(accent.frame + BEAT_LATE, angle, sides, pose))
    return out


def _with_holds(strokes: list[Placed], phrases: Sequence[SpokenPhrase], last: int) -> list[Placed]:
    # Strokes with post-stroke holds, through a short pause that follows, or a moment; they set out with their phrase,
    # not in the silence before it, as far as they have time.
    out = []
    for number, stroke in enumerate(strokes):
        end = stroke.frame + stroke.release
        following = strokes[number + 1] if number + 1 < len(strokes) else None
        room = following.frame - following.lead - end if following else 2 * FPS
        pause = next((q.start - p.end for p, q in zip(phrases, phrases[1:], strict=False)
                      if p.end * FPS - 12 <= end <= q.start * FPS), 0.0)  # fmt: skip
        hold = round(pause * FPS) + 4 if 0 < pause < REST else 4
        # a stroke that would go on beyond the end of the talk is cut short
        hold = min(max(0, min(hold, room, FPS)), last - end)
        before = [p.start for p in phrases if p.start * FPS <= stroke.frame]
        start = round((before[-1] - (EARLY if stroke.kind == BEAT else SETS_OUT)) * FPS) if before else 0
        out.append(replace(stroke, hold=hold, way=max(stroke.frame - start, MIN_LEAD)))
    return out


def _raise_hands(
    phrases: Sequence[SpokenPhrase], accents: Sequence[Accent], strokes: Sequence[Placed], last: int
) -> list[Raised]:
    # Frames in which hands are raised: phrases with the short pauses between them; strong accents change the pose.
    groups: list[tuple[float, float]] = []
    for phrase in phrases:
        if groups and phrase.start - groups[-1][1] < REST:
            groups[-1] = (groups[-1][0], phrase.end)
        else:
            groups.append((phrase.start, phrase.end))
    out: list[Raised] = []
    pose = 0
    for first, end in groups:
        start, stop = max(BEFORE, round((first - EARLY) * FPS)), min(round((end + STAY) * FPS), last)
        if stop - start < RISES:
            continue
        edges = [(start, RISES)]
        for accent in accents:
            free = all(abs(accent.frame - s.frame) >= MIN_STROKE_SPACING for s in strokes)
            changes = min(accent.strength, accent.loud) >= POSE_ACCENT and accent.frame - edges[-1][0] >= POSE_SPACING
            if free and changes and start < accent.frame < stop - POSE_BLEND:
                edges.append((accent.frame + BEAT_LATE - POSE_BLEND // 2, POSE_BLEND))
        stops = [*(e[0] for e in edges[1:]), stop]
        for (begin, blend), finish in zip(edges, stops, strict=True):
            out.append(Raised(begin, finish, pose, blend))
            pose += 1
    return out


def _nods(
    words: Sequence[Word], accents: Sequence[Accent], phrases: Sequence[SpokenPhrase], style: Style,
    classes: WordClasses, rng: np.random.Generator,
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
        if accent.strength > 0.4:
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
    phrases: Sequence[SpokenPhrase], interlocutor: Sequence[Word], style: Style, rng: np.random.Generator
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
    talk: SpokenTalk, name: str, recipe: CorpusRecipe, bank: Bank, classes: WordClasses, encoder: WordEncoder,
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
        plan = plan_gestures(track.words, stresses, talk.frames, style, bank, classes, rng, answers)
        arrays = dict(voices[k])
        if other is not None:
            arrays |= make_heard_rows(voices[other])
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
        talking.append(speed[_dilate_mask(speaking, TALKING_MARGIN)].ravel())
        if "other_word_at" in arrays:
            silent = ~_dilate_mask(speaking, LISTENING_MARGIN)
            listening.append(speed[silent & (arrays["other_word_at"] >= 0)].ravel())
        for frame, _, _, word, sides, _ in about["strokes"]:
            stresses = np.array(about["words"][word][3])
            distances.append(float(np.abs(stresses - frame / FPS).min()))
            fast = speed[:, [SIDES.index(s) for s in sides]].max(1)
            around, before = fast[max(frame - 1, 1) - 1 : frame + 3], fast[max(frame - 20, 0) : frame + 1]
            slowest = ((around[1:-1] <= around[:-2]) & (around[1:-1] <= around[2:])).any()
            arrived.append(bool(slowest or fast[min(frame, len(fast) - 1)] < ARRIVAL_SPEED * before.max()))
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


def _dilate_mask(mask: np.ndarray, frames: int) -> np.ndarray:
    return np.asarray(np.convolve(mask.astype(float), np.ones(2 * frames + 1), "same") > 0)
