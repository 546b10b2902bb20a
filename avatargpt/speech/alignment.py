"""Word times of a recording from its transcript, by a phone model and, where it is installed, pocketsphinx.

The phone model lays the text along the sound in windows of a minute and measures how well both fit. pocketsphinx (extra
``align``) then aligns passages between the pauses that were found, to 10 ms; passages that it refuses keep their times.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from avatargpt.speech import audio as sound
from avatargpt.speech import phone_times
from avatargpt.speech.audio import FPS, RATE
from avatargpt.speech.features import extract, level_sound
from avatargpt.speech.phone_times import SKIP, STEPS, Alignment, PhoneModel
from avatargpt.speech.phones import INDEX, SILENCE, Phone
from avatargpt.speech.pronouncing import TranscriptWord, transcript_words
from avatargpt.speech.words import Word, Words
from vqvae.errors import UserError

Aligner = Literal["auto", "pocketsphinx", "network"]
ALIGNERS: tuple[Aligner, ...] = ("auto", "pocketsphinx", "network")
INSTALL = 'pip install "avatargpt[align]"'
# Fit (`AlignedText`) below which a transcript is refused or noted as poor. Of 40 recordings with their own transcripts
# the lowest is 0.46, of 160 pairings with another's the highest 0.31 (eval/results/word_times.json).
MIN_FIT, POOR_FIT = 0.35, 0.55
MAX_WRONG_FIT, WRONG_RUN = -0.1, 10  # median fit of so many words in a row below which they may not be spoken there
MAX_NAMED = 5  # words in a note
FOREIGN_SHARE = 0.3  # of words in no dictionary from which a transcript may be in another language
MIN_GAP, MAX_SILENCE = 2.0, 0.3  # s between words, and mean probability of silence in them, that point to other words
CHUNK, LEAD = 60 * FPS, 10 * FPS  # frames of one pass of the phone model, and of its context before them
WINDOW = 60 * STEPS  # steps aligned at once; memory grows with its square
TAIL = 5 * STEPS  # steps at the end of a window whose words wait for the next one
MIN_SILENCE = STEPS // 5  # steps of silence in which a window may end
MAX_PHONE_RATE = 25  # phones a second; nobody speaks faster
SPHINX_RATE = 100  # frames a second of pocketsphinx
MAX_PASSAGE = 30.0  # s of a passage, where there are pauses
PASSAGE_PAUSE = 0.2  # s between two words at which a passage may end
PASSAGE_FIT, PASSAGE_WORDS = 0.4, 2  # mean fit of so many words on each side of such a pause

# Called with (steps done, steps in all).
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SoundScores:
    """A sound as the phone model hears it."""

    features: np.ndarray  # (T, 332)
    scores: np.ndarray  # (2 T, 40) log-probabilities of phones, by visemes as well (`with_visemes`)


@dataclass(frozen=True)
class AlignedText:
    """A transcript along a sound."""

    # words: with phones; one whose phones were all left out has no length. Their confidence is the mean
    # probability of their phones over that of the likeliest ones.
    words: list[Word]
    fit: float  # 1 = the text is the likeliest phones, 0 = no better than the same phones backwards
    fits: list[float]  # the same of each word


@dataclass(frozen=True)
class Passage:
    """Words from number `first` up to, without, `stop`, and seconds of sound with nothing else in them."""

    first: int
    stop: int
    start: float
    end: float


def align(
    audio: str | os.PathLike[str] | np.ndarray, transcript: str, model: PhoneModel, rate: int = RATE,
    aligner: Aligner = "auto", progress: Progress | None = None, near: Words | None = None, slack: float = 1.0,
    min_fit: float = MIN_FIT,
) -> Words:  # fmt: skip
    """Times of the words of a transcript, with their phones and stresses.

    Args:
        audio: a sound file, or samples (n,) or (n, channels) at `rate`.
        transcript: English; parts in [] or <> are not spoken. Not used with `near`.
        model: scores phones: a loaded `avatargpt.face.audio_model.driver.Driver`.
        aligner: ``auto`` is pocketsphinx where it is installed, else the phone model alone (``network``).
        near: the same words with approximate times, within `slack` seconds: of subtitles, of a recogniser.
        min_fit: a transcript that fits less is refused.

    Returns:
        Words whose source names the aligner, and whose notes say what is doubtful. A word that is not found has no
        length.

    Raises:
        UserError: no sound, no words, words that are not English, pocketsphinx named and not installed, or a transcript
            that does not fit the sound.
    """
    if aligner not in ALIGNERS:
        raise UserError(f"aligner {aligner!r}; accepted: {', '.join(ALIGNERS)}")
    if aligner == "pocketsphinx" and not has_pocketsphinx():
        raise UserError(f"pocketsphinx is not installed; install it with {INSTALL}, or take the aligner network")
    text = transcript if near is None else " ".join("".join(word.text.split()) or "-" for word in near.words)
    words = transcript_words(text)
    samples, where = samples_of(audio, rate)
    times = None
    if near is not None:
        times = np.array([(near.words[w.token].start, near.words[w.token].end) for w in words])
    scores = score_sound(model, samples)
    try:
        aligned = align_words(scores, words, times, slack)
    except UserError as e:
        raise UserError(f"{where}: transcript does not fit the sound: {e}") from None
    if aligned.fit < min_fit:
        raise UserError(
            f"{where}: transcript, read as English, does not fit the sound: fit {max(aligned.fit, 0.0):.2f}; accepted: "
            f"{min_fit:g} or more, the words of this recording"
        )
    seconds = len(samples) / RATE
    timed, source, refused = aligned.words, "network", list[Passage]()
    if aligner != "network" and has_pocketsphinx():
        timed, refused = refine(samples, words, aligned, progress)
        count = sum(p.stop - p.first for p in refused)
        source = "pocketsphinx" if count < len(timed) else source
        if 0 < count < len(timed):
            source += f", network for {count} of {len(timed)} words"
    result = [replace(word, confidence=first.confidence).clamp(0.0, seconds)
              for word, first in zip(timed, aligned.words, strict=True)]  # fmt: skip
    return Words(tuple(result), seconds, source, tuple(_notes(where, words, aligned, scores, refused)))


def samples_of(audio: str | os.PathLike[str] | np.ndarray, rate: int) -> tuple[np.ndarray, str]:
    """Mono samples (n,) at 16 kHz, and their name in messages. Raises UserError as `avatargpt.speech.audio.load`."""
    if not isinstance(audio, np.ndarray):
        samples, rate = sound.load(audio)
        return sound.resample(samples, rate), os.fspath(audio)
    sound.check_rate(rate, 1, "sound")
    samples = sound.to_mono(audio)
    if not samples.size or not np.isfinite(samples).all():
        raise UserError("sound that is empty or has samples that are not numbers; accepted: finite samples, at least 1")
    return sound.resample(samples, rate), "the sound"


# Doubts
def _notes(
    where: str, words: Sequence[TranscriptWord], aligned: AlignedText, scores: SoundScores, refused: Sequence[Passage]
) -> list[str]:
    notes = []
    if aligned.fit < POOR_FIT:
        notes.append(f"{where}: transcript fits the sound poorly: fit {aligned.fit:.2f}, clear speech has 0.6 to 1")
    for a, b in _wrong_runs(aligned.fits):
        text = " ".join(word.text for word in aligned.words[a:b])
        short = text if len(text) < 60 else f"{text[:57]}..."
        notes.append(f"{where}: from {aligned.words[a].start:.1f} to {aligned.words[b - 1].end:.1f} s other words may "
                     f"be spoken than these: {short}")  # fmt: skip
    lost = [word.text for word in aligned.words if not word.phones]
    if lost:
        notes.append(f"{where}: not heard at all, and without length: {_list_texts(lost)}")
    for start, end in _find_spoken_gaps(aligned, scores):
        notes.append(f"{where}: somebody speaks from {start:.1f} to {end:.1f} s, where the transcript has no words")
    if refused:
        spans = [f"{p.start:.1f} to {p.end:.1f} s" for p in refused]
        notes.append(
            f"{where}: pocketsphinx finds no way through {_list_texts(spans)}; the network gave the times there"
        )
    unknown = list(dict.fromkeys(w.text for w in words if not w.in_dictionary))
    if unknown:
        foreign = "; is it English?" if sum(not w.in_dictionary for w in words) > FOREIGN_SHARE * len(words) else ""
        notes.append(f"{where}: in no dictionary, and read by their letters: {_list_texts(unknown)}{foreign}")
    return notes


def _list_texts(texts: Sequence[str]) -> str:
    rest = f" and {len(texts) - MAX_NAMED} more" if len(texts) > MAX_NAMED else ""
    return ", ".join(texts[:MAX_NAMED]) + rest


def _wrong_runs(fits: Sequence[float]) -> list[tuple[int, int]]:
    """Runs of at least `WRONG_RUN` words whose median fit is below `MAX_WRONG_FIT`, joined where they overlap."""
    runs: list[tuple[int, int]] = []
    for a in range(len(fits) - WRONG_RUN + 1):
        if float(np.median(fits[a : a + WRONG_RUN])) < MAX_WRONG_FIT:
            if runs and a <= runs[-1][1]:
                runs[-1] = (runs[-1][0], a + WRONG_RUN)
            else:
                runs.append((a, a + WRONG_RUN))
    return runs


def _find_spoken_gaps(aligned: AlignedText, scores: SoundScores) -> list[tuple[float, float]]:
    """Seconds without words in which somebody speaks."""
    ends = [0.0, *(word.end for word in aligned.words)]
    starts = [*(word.start for word in aligned.words), len(scores.scores) / STEPS]
    gaps = []
    for a, b in zip(ends, starts, strict=True):
        silence = scores.scores[round(a * STEPS) : round(b * STEPS), SILENCE]
        if b - a >= MIN_GAP and len(silence) and float(np.exp(silence).mean()) < MAX_SILENCE:
            gaps.append((a, b))
    return gaps


# Alignment by the phone model
def score_sound(model: PhoneModel, audio: np.ndarray) -> SoundScores:
    """Features and phone scores of a sound (n,) at 16 kHz, of any length."""
    features = extract(level_sound(audio), RATE)
    parts = []
    for start in range(0, len(features), CHUNK):
        lead = min(start, LEAD)
        part = features[start - lead : start + CHUNK + model.look_ahead]
        parts.append(model.phone_scores(part)[2 * lead : 2 * (lead + CHUNK)])
    return SoundScores(features, phone_times.with_visemes(np.concatenate(parts)))


def align_words(
    sound_scores: SoundScores, words: Sequence[TranscriptWord], near: np.ndarray | None = None, slack: float = 0.0
) -> AlignedText:
    """A transcript's words, each by its usual pronunciation, along a sound.

    Args:
        near: (words, 2) approximate start and end of each in seconds, within `slack` seconds.
    """
    scores = sound_scores.scores
    text = _PhoneText(words)
    near = None if near is None else near[text.owner]
    path = _by_windows(scores, text, near, slack)
    losses = _losses(scores, path, text)
    # Chance: the same phones backwards.
    backwards = _PhoneText(words[::-1], reverse=True)
    backwards_losses = _losses(scores, _by_windows(scores, backwards), backwards)
    chance = float(backwards_losses.mean()) if len(backwards_losses) else SKIP
    left_out = len(text.names) - len(set(path.steps[path.steps >= 0].tolist()))
    of_word: dict[int, list[Phone]] = {}
    timed_phones = phone_times.with_onsets(phone_times.with_closures(path.phones), sound_scores.features)
    phones = [p for p in timed_phones if p.name != "SIL"]
    for number, phone in zip([n for n in path.numbers if n >= 0], phones, strict=True):
        of_word.setdefault(text.owner[number], []).append(replace(phone, stress=text.stresses[number]))
    owner = np.array(text.owner)[path.steps[path.steps >= 0]]
    timed: list[Word] = []
    fits: list[float] = []
    at = 0.0
    for k, word in enumerate(words):
        inside = tuple(of_word.get(k, ()))
        if inside:
            loss = (losses[owner == k].sum() + SKIP * (len(text.parts[k]) - len(inside))) / max(1, (owner == k).sum())
            at = inside[-1].end
            timed.append(Word(word.text, inside[0].start, at, inside, float(np.exp(loss))))
            fits.append(float(1 - loss / chance))
        else:
            timed.append(Word(word.text, at, at, (), 0.0))
            fits.append(0.0)
    total = (losses.sum() + SKIP * left_out) / len(losses) if len(losses) else chance
    return AlignedText(timed, float(1 - total / chance), fits)


class _PhoneText:
    """Phones of some words, each by its usual pronunciation."""

    def __init__(self, words: Sequence[TranscriptWord], reverse: bool = False) -> None:
        step = -1 if reverse else 1
        first = [w.pronunciations[0][::step] for w in words]
        self.parts = [[p.rstrip("012") for p in phones] for phones in first]  # phones of each word
        self.names = [name for part in self.parts for name in part]  # all of them
        self.owner = [k for k, part in enumerate(self.parts) for _ in part]  # the word of each
        # stresses: of each, None = no vowel
        self.stresses = [int(p[-1]) if p[-1].isdigit() else None for phones in first for p in phones]
        self.pauses = {k for k, w in enumerate(words) if w.pause}  # numbers of the words after which a pause is written
        self.begins = np.cumsum([0, *(len(part) for part in self.parts)])  # of each word, in `names`

    def phones(self, first: int, limit: int) -> list[str]:
        """Phones of the words from number `first` on, about `limit` of them, SIL where a pause is written."""
        out: list[str] = []
        for k in range(first, len(self.parts)):
            if self.begins[k] - self.begins[first] >= limit:
                break
            out += [*self.parts[k], *(["SIL"] if k in self.pauses else [])]
        return out


def _losses(scores: np.ndarray, path: Alignment, text: _PhoneText) -> np.ndarray:
    """(spoken steps,) how much less likely the text's phone is than the likeliest one, in logarithms."""
    at = np.flatnonzero(path.steps >= 0)
    labels = np.array([INDEX[name] for name in text.names])
    return np.asarray(scores[at, labels[path.steps[at]]] - scores[at].max(1))


def _by_windows(scores: np.ndarray, text: _PhoneText, near: np.ndarray | None = None, slack: float = 0.0) -> Alignment:
    """`viterbi`, window after window, each from the last silence of the one before."""
    phones: list[Phone] = []
    numbers: list[int] = []
    steps: list[np.ndarray] = []
    start = word = 0
    while True:
        last = len(scores) - start <= WINDOW * 3 // 2
        window = scores[start:] if last else scores[start : start + WINDOW]
        base = int(text.begins[word])
        if word == len(text.parts):  # no words are left
            stop, path = len(window), Alignment([Phone("SIL", 0.0, len(window) / STEPS)], [-1], 0.0,
                                           np.full(len(window), -1))  # fmt: skip
        else:
            limit = len(text.names) if last else MAX_PHONE_RATE * WINDOW // STEPS  # all of them, or what time allows
            names = text.phones(word, limit)
            count = sum(name != "SIL" for name in names)
            times = None if near is None else near[base : base + count] - start / STEPS
            path = phone_times.viterbi(window, names, last, text.owner[base : base + count], times, slack)
            stop = len(window) if last else _cut(path.steps, base, text)
        inside = path.steps[:stop]
        count = int(inside.max(initial=-1)) + 1
        for phone, number in zip(path.phones, path.numbers, strict=True):
            if number < count and (end := min(phone.end, stop / STEPS)) > phone.start:
                moved = Phone(phone.name, phone.start + start / STEPS, end + start / STEPS)
                if number < 0 and numbers and numbers[-1] < 0:
                    moved = Phone("SIL", phones.pop().start, moved.end)
                    numbers.pop()
                phones.append(moved)
                numbers.append(number + base if number >= 0 else -1)
        steps.append(np.where(inside >= 0, inside + base, -1))
        start += stop
        if count:
            word = text.owner[base + count - 1] + 1
        if last:
            return Alignment(phones, numbers, 0.0, np.concatenate(steps))


def _cut(steps: np.ndarray, base: int, text: _PhoneText) -> int:
    """Where a window may end: in its last silence between two words, or else between its last words."""
    latest = len(steps) - TAIL
    edges = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist(), len(steps)]
    between = latest
    for a, b in zip(edges[-2::-1], edges[:0:-1], strict=True):
        if a >= latest or a == 0:
            continue
        before = steps[:a].max(initial=-1)
        after = steps[b] if steps[a] < 0 and b < len(steps) else steps[a]
        if before >= 0 and after >= 0 and text.owner[base + before] == text.owner[base + after]:
            continue
        if steps[a] < 0 and b - a >= MIN_SILENCE:
            return min((a + b) // 2, latest)
        between = a if between == latest else between
    return between


# Refinement by pocketsphinx
def has_pocketsphinx() -> bool:
    """Whether the extra ``align`` is installed."""
    return find_spec("pocketsphinx") is not None


def sphinx_decoder() -> Any:
    """pocketsphinx with its English model, for `sphinx_words`."""
    from pocketsphinx import Decoder, get_model_path

    # Without its search for a better path, which failed on all or a part of 4 of LJ's first 14 sentences.
    model = get_model_path("en-us/en-us")
    return Decoder(hmm=model, lm=None, dict=None, loglevel="FATAL", samprate=RATE, bestpath=False)


def refine(
    audio: np.ndarray, words: Sequence[TranscriptWord], aligned: AlignedText, progress: Progress | None = None
) -> tuple[list[Word], list[Passage]]:
    """Words with times of pocketsphinx, and the passages that it refused: their words stay as they are.

    A passage that is refused is halved in a pause, as long as it has one.
    """
    decoder = sphinx_decoder()
    timed, refused = list(aligned.words), []
    waiting = _passages(aligned, len(audio) / RATE)[::-1]
    while waiting:
        passage = waiting.pop()
        if progress is not None:
            progress(round(passage.start), round(len(audio) / RATE))
        refined = sphinx_words(decoder, audio, words, passage)
        if refined is not None:
            timed[passage.first : passage.stop] = refined
            continue
        halves = _halve(aligned, passage, 0.0)  # at any pause: the alternative is no alignment at all
        waiting += halves[::-1]
        if not halves:
            refused.append(passage)
            for k in range(passage.first, passage.stop):  # a word may begin where a pause before it was cut
                start, end = (min(max(t, passage.start), passage.end) for t in (timed[k].start, timed[k].end))
                timed[k] = replace(timed[k], start=start, end=end)
    return timed, refused


def sphinx_words(
    decoder: Any, audio: np.ndarray, words: Sequence[TranscriptWord], passage: Passage
) -> list[Word] | None:
    """The words of one passage of a sound (n,) at 16 kHz; None where pocketsphinx finds no way through it."""
    names = [_sphinx_entry(decoder, words[k]) for k in range(passage.first, passage.stop)]
    part = audio[round(passage.start * RATE) : round(passage.end * RATE)]
    samples = (np.clip(part, -1, 1) * 32767).astype("<i2").tobytes()
    # Of each word that is not a pause its name, and its phones with their first frames and how many they have.
    spans: list[tuple[str, list[tuple[str, int, int]]]] = []
    try:
        decoder.set_align_text(" ".join(names))
        _decode(decoder, samples)
        if decoder.hyp() is None:
            return None
        decoder.set_alignment()
        _decode(decoder, samples)
        alignment = decoder.get_alignment()  # what it yields is freed with it: only plain values are stored
        known = set(names)
        for word in alignment:
            name = word.name.partition("(")[0]
            if name in known:
                spans.append((name, [(p.name, p.start, p.duration) for p in word]))
    except RuntimeError:
        return None
    if [name for name, _ in spans] != names or not all(phones for _, phones in spans):
        return None
    numbers = range(passage.first, passage.stop)
    return [_sphinx_word(words[k], phones, passage.start) for k, (_, phones) in zip(numbers, spans, strict=True)]


def _sphinx_entry(decoder: Any, word: TranscriptWord) -> str:
    """The name of a word in pocketsphinx's dictionary, which is extended by it: that of its pronunciations."""
    ways = [[p.rstrip("012") for p in phones] for phones in word.pronunciations]
    name = "w_" + "_or_".join("_".join(phones) for phones in ways)
    for n, phones in enumerate(ways):
        if decoder.lookup_word(entry := name + (f"({n + 1})" if n else "")) is None:
            decoder.add_word(entry, " ".join(phones), False)
    return name


def _decode(decoder: Any, samples: bytes) -> None:
    decoder.start_utt()
    try:
        decoder.process_raw(samples, full_utt=True)
    finally:
        decoder.end_utt()


def _sphinx_word(word: TranscriptWord, spans: list[tuple[str, int, int]], start: float) -> Word:
    names = [name for name, _, _ in spans]
    used = next((p for p in word.pronunciations if [x.rstrip("012") for x in p] == names), None)
    digits = [p[-1] if p[-1].isdigit() else "" for p in used] if used is not None else [""] * len(names)
    phones = tuple(
        Phone(name, start + a / SPHINX_RATE, start + (a + n) / SPHINX_RATE, int(digit) if digit else None)
        for (name, a, n), digit in zip(spans, digits, strict=True)
    )
    return Word(word.text, phones[0].start, phones[-1].end, phones)


def _passages(aligned: AlignedText, seconds: float) -> list[Passage]:
    """The sound in passages of at most `MAX_PASSAGE` seconds, as far as its pauses allow."""
    out, left = [], [Passage(0, len(aligned.words), 0.0, seconds)]
    while left:
        passage = left.pop()
        halves = _halve(aligned, passage) if passage.end - passage.start > MAX_PASSAGE else []
        if halves:
            left += halves[::-1]
        else:
            out.append(passage)
    return out


def _halve(aligned: AlignedText, passage: Passage, min_fit: float = PASSAGE_FIT) -> list[Passage]:
    """Two passages, cut most evenly in a pause between words that fit; none where there is no such pause."""
    best, cut = 0.0, 0
    for k in range(passage.first + 1, passage.stop):
        pause = aligned.words[k].start - aligned.words[k - 1].end
        sides = (aligned.fits[max(passage.first, k - PASSAGE_WORDS) : k],
                 aligned.fits[k : min(passage.stop, k + PASSAGE_WORDS)])  # fmt: skip
        if pause >= PASSAGE_PAUSE and min(float(np.mean(side)) for side in sides) >= min_fit:
            middle = aligned.words[k].start - pause / 2
            shorter = min(middle - passage.start, passage.end - middle)
            if shorter > best:
                best, cut = shorter, k
    if not cut:
        return []
    middle = (aligned.words[cut - 1].end + aligned.words[cut].start) / 2
    return [Passage(passage.first, cut, passage.start, middle), Passage(cut, passage.stop, middle, passage.end)]
