"""What a face does, said in one plain form that can be read back: the words of `face_to_text` and `face_to_emotion`.

``blink twice, then smile slightly and raise brows; very happy, then sad``: actions by their names in order (``and``
where one falls within the other), an adverb of degree and a count where there is one, feelings behind a semicolon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from instruct_data.face.score import Emotion, Event, Score

COUNTS = {2: "twice", 3: "three times", 4: "four times", 5: "five times", 6: "six times"}
ACTION_DEGREES = ((0.42, "slightly"), (0.78, ""), (0.93, "strongly"), (2.0, "extremely"))
FEELING_DEGREES = ((0.42, "slightly"), (0.78, ""), (0.93, "very"), (2.0, "extremely"))
MANY = "many times"
PLAINLY = {
    "look up head": "lift the head", "look down head": "lower the head", "chin raise": "raise the chin",
    "jaw forward": "push the jaw forward", "jaw left": "move the jaw left", "jaw right": "move the jaw right",
}  # fmt: skip
"""Names of actions that are no English -> how they are told to people."""
WITHIN = 0.5  # share of the shorter of two actions that lies inside the other for "and"
NOTHING = "neutral"


@dataclass(frozen=True)
class Said:
    """What a description says.

    Attributes:
        actions: (name, count) in order; count 7 stands for many.
        feelings: names in order.
    """

    actions: tuple[tuple[str, int], ...]
    feelings: tuple[str, ...]


def _degree(intensity: float, table: tuple[tuple[float, str], ...]) -> str:
    return next(word for least, word in table if intensity < least)


def _action(e: Event) -> str:
    often = "" if e.repeat == 1 else COUNTS.get(e.repeat, MANY)
    return " ".join(w for w in (e.action.replace("_", " "), _degree(e.intensity, ACTION_DEGREES), often) if w)


def feeling_words(emotion: Emotion) -> str:
    """``very happy``, ``slightly sad``, ``neutral``."""
    word = "" if emotion.name == NOTHING else _degree(emotion.strongest, FEELING_DEGREES)
    return f"{word} {emotion.name}".strip()


def plain_feeling(text: str, intensity: float | None = None) -> str:
    """One feeling in the words of `feeling_words`, the only ones that `emotion_to_face` was taught.

    Args:
        text: a feeling, an adverb of degree before it or none.
        intensity: 0 (nothing is felt) to 1, in place of the adverb.

    Raises:
        UserError: no feeling that is known.
    """
    from instruct_data.face.emotions import named_emotion

    degree, _, rest = text.strip().lower().rpartition(" ")
    known = degree.strip() in [w for _, w in FEELING_DEGREES if w]
    name = named_emotion(rest if known else text.strip())
    if name in (NOTHING, "calm") or intensity == 0:
        return NOTHING
    if intensity is not None:
        return feeling_words(Emotion(name, intensity, 0.0, 1.0))
    return f"{degree.strip()} {name}" if known else name


def feelings_said(score: Score) -> str:
    """``calm, then very happy``: the feelings by their starts, equal neighbours said once; ``neutral`` without any."""
    said = [feeling_words(f) for f in sorted(score.emotions, key=lambda f: (f.start, -f.intensity))]
    return ", then ".join(w for i, w in enumerate(said) if not i or w != said[i - 1]) or NOTHING


def described(score: Score) -> str:
    """The description of a score."""
    events = sorted(score.events, key=lambda e: (e.start, e.action))
    text = ""
    for i, e in enumerate(events):
        if i:
            before = events[i - 1]
            both = min(before.end, e.end) - max(before.start, e.start)
            text += " and " if both > WITHIN * min(before.duration, e.duration) else ", then "
        text += _action(e)
    if not events or score.emotions:
        text += ("; " if text else "") + feelings_said(score)
    return text


def plainly(text: str) -> str:
    """A description for people: the same, with names that are no English put into words."""
    return re.sub(rf"\b({'|'.join(PLAINLY)})\b", lambda m: PLAINLY[m.group(1)], text)


@dataclass(frozen=True)
class _Part:
    """One action or one feeling of a description: its name, how often, and its words in the plain form."""

    name: str
    count: int
    words: str
    feeling: bool


def _part(text: str) -> _Part | None:
    """Read one action or feeling; None: it is no name of any."""
    from instruct_data.face.actions import action_names
    from instruct_data.face.emotions import emotion_names

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
        told = f"{'' if plain == NOTHING else FEELING_DEGREES[degree][1]} {plain}"
        return _Part(plain, 1, told.strip(), True)
    told = f"{names[plain].replace('_', ' ')} {ACTION_DEGREES[degree][1]} {times}"
    return _Part(names[plain], often.get(times, 1), " ".join(told.split()), False)


def said(text: str) -> Said:
    """Read a description back, as written or told `plainly`; what is no name of an action or a feeling is left out."""
    found = [p for t in re.split(r"; |, then | and ", text.strip().rstrip(".").lower()) if (p := _part(t))]
    actions = tuple((p.name, p.count) for p in found if not p.feeling)
    return Said(actions, tuple(p.name for p in found if p.feeling))


def mended(text: str) -> str:
    """A description as a network wrote it -> what of it can be read back, in the plain form; it may be empty.

    What is no action or feeling is left out, and so is an action at the same time as itself: of what ``and`` joins each
    is named once.
    """
    acts, felt = "", [""]
    joint, run = "", set[str]()
    for i, piece in enumerate(re.split(r"(; |, then and |, then |, | and )", text.strip().rstrip(".").lower())):
        if i % 2:
            joint = piece if piece == " and " and joint in ("", " and ") else ", then "
            continue
        part = _part(piece)
        if part is None:
            continue
        if part.feeling:
            felt += [part.words] if part.words != felt[-1] else []
            continue
        run = run if joint == " and " else set()
        if part.name not in run:
            acts += (joint if acts else "") + part.words
        run, joint = run | {part.name}, ""
    return "; ".join(t for t in (acts, ", then ".join(felt[1:])) if t)
