"""Descriptions of faces in one plain form that can be parsed: the answers of `face_to_text` and `face_to_emotion`."""

# `blink twice, then smile slightly and raise brows; very happy, then sad`: actions by their names in order (`and`
# where one falls within the other), an adverb of degree and a count where there is one, feelings behind a semicolon.

from __future__ import annotations

import re
from dataclasses import dataclass

from instruct_data.face.actions import action_names
from instruct_data.face.emotions import emotion_names, find_emotion
from instruct_data.face.score import Emotion, Event, Score

# Words for repeats and intensities; a range of intensities has one word, so that descriptions can be parsed.
COUNTS = {2: "twice", 3: "three times", 4: "four times", 5: "five times", 6: "six times"}
ACTION_DEGREES = ((0.42, "slightly"), (0.78, ""), (0.93, "strongly"), (2.0, "extremely"))
FEELING_DEGREES = ((0.42, "slightly"), (0.78, ""), (0.93, "very"), (2.0, "extremely"))
MANY = "many times"
# names of actions that are no English -> their words for people
PLAINLY = {
    "look up head": "lift the head", "look down head": "lower the head", "chin raise": "raise the chin",
    "jaw forward": "push the jaw forward", "jaw left": "move the jaw left", "jaw right": "move the jaw right",
}  # fmt: skip
MIN_OVERLAP = 0.5  # share of the shorter of two actions that lies inside the other for "and"
NOTHING = "neutral"
SPEAK = "speak"  # what no action is: the mouth follows a sound


@dataclass(frozen=True)
class FaceDescription:
    """Contents of a description."""

    actions: tuple[tuple[str, int], ...]  # (name, count) in order; count 7 stands for many
    feelings: tuple[str, ...]  # names in order


def _degree(intensity: float, table: tuple[tuple[float, str], ...]) -> str:
    return next(word for bound, word in table if intensity < bound)


def _action(e: Event) -> str:
    often = "" if e.repeat == 1 else COUNTS.get(e.repeat, MANY)
    return " ".join(w for w in (e.action.replace("_", " "), _degree(e.intensity, ACTION_DEGREES), often) if w)


def feeling_words(emotion: Emotion) -> str:
    """``very happy``, ``slightly sad``, ``neutral``."""
    word = "" if emotion.name == NOTHING else _degree(emotion.strongest, FEELING_DEGREES)
    return f"{word} {emotion.name}".strip()


def plain_feeling(text: str, intensity: float | None = None) -> str:
    """One feeling in the words of `feeling_words`, the only ones that `emotion_to_face` has learnt. `text`: a feeling,
    with or without an adverb of degree before it. `intensity`: 0 (no feeling) to 1, in place of the adverb.
    """
    degree, _, name_words = text.strip().lower().rpartition(" ")
    has_degree = degree.strip() in [w for _, w in FEELING_DEGREES if w]
    name = find_emotion(name_words if has_degree else text.strip())
    if name in (NOTHING, "calm") or intensity == 0:
        return NOTHING
    if intensity is not None:
        return feeling_words(Emotion(name, intensity, 0.0, 1.0))
    return f"{degree.strip()} {name}" if has_degree else name


def feelings_described(score: Score) -> str:
    """``calm, then very happy``: the feelings by their starts, equal neighbours once; ``neutral`` without any."""
    words = [feeling_words(f) for f in sorted(score.emotions, key=lambda f: (f.start, -f.intensity))]
    return ", then ".join(w for i, w in enumerate(words) if not i or w != words[i - 1]) or NOTHING


def describe_score(score: Score) -> str:
    """The description of a score."""
    events = sorted(score.events, key=lambda e: (e.start, e.action))
    text = ""
    for i, e in enumerate(events):
        if i:
            before = events[i - 1]
            both = min(before.end, e.end) - max(before.start, e.start)
            text += " and " if both > MIN_OVERLAP * min(before.duration, e.duration) else ", then "
        text += _action(e)
    if not events or score.emotions:
        text += ("; " if text else "") + feelings_described(score)
    return text


def describe_timed_score(score: Score) -> str:
    """The actions and feelings of a score in words, with their times in seconds: ``wink left slightly from 0.5 to 1.0;
    nod twice from 1.5 to 3.1; very happy from 0.0 to 4.0``; ``neutral`` where it is empty.
    """
    parts = [(e.start, f"{_action(e)} from {e.start:.1f} to {e.end:.1f}") for e in score.events]
    for f in score.emotions:
        words = f"{feeling_words(f)} from {f.start:.1f} to {f.end:.1f}"
        if f.to is not None:
            words += ", fading" if f.to < f.intensity else ", growing"
        parts.append((f.start, words))
    return "; ".join(words for _, words in sorted(parts)) or NOTHING


def describe_speaking(text: str, feeling: str) -> str:
    """The description of a face that speaks: ``speak and raise brows; very happy``. `text`: what it does besides."""
    acts = text.partition(";")[0].strip() if ";" in text or parse_description(text).actions else ""
    return f"{SPEAK} and {acts}; {feeling}" if acts else f"{SPEAK}; {feeling}"


def plainly(text: str) -> str:
    """A description for people, with words for names that are no English."""
    return re.sub(rf"\b({'|'.join(PLAINLY)})\b", lambda m: PLAINLY[m.group(1)], text)


@dataclass(frozen=True)
class _DescriptionPart:
    """One action or one feeling of a description: its name, how often, and its words in the plain form."""

    name: str
    count: int
    words: str
    feeling: bool


def _part(text: str) -> _DescriptionPart | None:
    """Read one action or feeling; None: it is no name of any."""
    names = {n.replace("_", " "): n for n in action_names()}
    names |= {plain: names[name] for name, plain in PLAINLY.items()}
    often = {**{w: n for n, w in COUNTS.items()}, MANY: max(COUNTS) + 1}
    degrees = {w: i for table in (ACTION_DEGREES, FEELING_DEGREES) for i, (_, w) in enumerate(table) if w}
    times = next((w for w in often if text.endswith(w)), "")
    words = text.removesuffix(times).split()
    plain = " ".join(w for w in words if w not in degrees)
    feeling = plain not in names
    if feeling and plain not in emotion_names():
        return None
    degree = next((degrees[w] for w in words if w in degrees), 1)
    if feeling:
        plain_words = f"{'' if plain == NOTHING else FEELING_DEGREES[degree][1]} {plain}"
        return _DescriptionPart(plain, 1, plain_words.strip(), True)
    plain_words = f"{names[plain].replace('_', ' ')} {ACTION_DEGREES[degree][1]} {times}"
    return _DescriptionPart(names[plain], often.get(times, 1), " ".join(plain_words.split()), False)


def parse_description(text: str) -> FaceDescription:
    """Parse a description, as written or `plainly`; what is no action and no feeling is left out."""
    parts = [p for t in re.split(r"; |, then | and ", text.strip().rstrip(".").lower()) if (p := _part(t))]
    actions = tuple((p.name, p.count) for p in parts if not p.feeling)
    return FaceDescription(actions, tuple(p.name for p in parts if p.feeling))


def repair_description(text: str) -> str:
    """A network's description -> the parts that can be parsed, in the plain form; may be empty.

    What is no action and no feeling is left out; what ``and`` joins is named once.
    """
    acts, feelings = "", [""]
    joint, run = "", set[str]()
    for i, piece in enumerate(re.split(r"(; |, then and |, then |, | and )", text.strip().rstrip(".").lower())):
        if i % 2:
            joint = piece if piece == " and " and joint in ("", " and ") else ", then "
            continue
        part = _part(piece)
        if part is None:
            continue
        if part.feeling:
            feelings += [part.words] if part.words != feelings[-1] else []
            continue
        run = run if joint == " and " else set()
        if part.name not in run:
            acts += (joint if acts else "") + part.words
        run, joint = run | {part.name}, ""
    return "; ".join(t for t in (acts, ", then ".join(feelings[1:])) if t)
