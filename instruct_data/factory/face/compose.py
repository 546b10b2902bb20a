"""Instructions with their scores, drawn by rule from ``phrases.yaml``: as many as training wants, all of them true."""

# A drawn instruction has one to four actions, one after another or together, with degrees, sides, counts and lengths
# in words, or one or two emotions, or both; timed ones name seconds, pauses, or actions that last while others
# follow. What the words say the score holds exactly; what they leave open is drawn.

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.face.actions import action_names, actions
from instruct_data.face.emotions import emotion_names
from instruct_data.face.score import DEFAULT, Emotion, Event, Score, swap_sides
from vqvae.io.data_files import read_yaml

FIRST, GAP = 0.2, (0.15, 0.5)  # seconds before the first action and between two
TOGETHER_SHARE, BOTH_SHARE, FEELING_SHARE = 0.35, 0.15, 0.2
BECOME_SHARE = 0.2  # of feelings that a verb says: "cheer up"
DEGREES = (0.3, 0.5, DEFAULT, DEFAULT, DEFAULT, 0.85, 1.0)
REPEAT_SHARE, SECONDS_SHARE, MIRROR_SHARE = 0.5, 0.15, 0.5
SECONDS = {1.0: "one second", 2.0: "two seconds", 3.0: "three seconds"}
# actions that can be concurrent: at most one of each group
PARTS: tuple[frozenset[str], ...] = tuple(
    frozenset(g.split())
    for g in (
        "smile broad_smile frown smirk_left press_lips pucker_lips funnel_lips stretch_lips suck_lips bite_lower_lip "
        "chin_raise puff_cheeks open_mouth wide_open_mouth jaw_forward jaw_left stick_out_tongue gasp sigh yawn laugh "
        "chew blow close_mouth sneer_left",
        "raise_brows raise_inner_brows raise_left_brow lower_brows gasp yawn sigh wrinkle_nose",
        "widen_eyes squint close_eyes blink wink_left yawn gasp raise_cheeks laugh broad_smile roll_eyes look_down "
        "sigh wrinkle_nose",
        "look_left look_up look_down roll_eyes lean_forward look_down_head close_eyes turn_head_left blink wink_left",
        "turn_head_left tilt_head_left look_up_head look_down_head lean_forward nod shake_head gasp sigh yawn laugh "
        "roll_eyes",
        "wrinkle_nose sneer_left raise_cheeks broad_smile laugh squint smile",
    )
)  # fmt: skip


@cache
def phrases() -> dict[str, Any]:
    """The table of phrases (``phrases.yaml``)."""
    data: dict[str, Any] = read_yaml(Path(__file__).parent / "phrases.yaml")
    return data


def pick(options: Sequence[Any], rng: np.random.Generator) -> Any:
    """One of the options, drawn."""
    return options[int(rng.integers(len(options)))]


def clip_seconds(end: float) -> float:
    """Length of a clip whose last action ends there, in half seconds."""
    return float(np.ceil(2 * (end + 0.3)) / 2)


def clash(a: str, b: str) -> bool:
    """Whether two actions need the same part of the face."""
    a, b = a.replace("right", "left"), b.replace("right", "left")
    return a == b or any(a in p and b in p for p in PARTS)


def action_words(action: str, start: float, rng: np.random.Generator) -> tuple[str, Event]:
    """One action in words, and its event."""
    table = phrases()
    entry = table["actions"][action]
    intensity = float(pick(entry.get("degrees", DEGREES), rng))
    seconds, count, time = float(rng.uniform(*entry["length"])), 1, ""
    if entry.get("repeats") and rng.random() < REPEAT_SHARE:
        count = int(pick(entry["repeats"], rng))
        seconds, time = count * float(rng.uniform(*entry["period"])), pick(table["counts"][count], rng)
    elif entry["length"][1] > 2 and rng.random() < SECONDS_SHARE:
        seconds = float(pick(list(SECONDS), rng))
        time = f" for {SECONDS[seconds]}"
    if not any("{time}" in s for s in entry["say"]):
        time = ""
    adverb = pick(table["degrees"][intensity], rng) if any("{adv}" in s for s in entry["say"]) else ""
    # only phrases that can express what was drawn
    able = [s for s in entry["say"] if ("{adv}" in s or not adverb) and ("{time}" in s or not time)]
    text = pick(able, rng).format(adv=adverb, time=time)
    return text, Event(action, round(start, 2), round(seconds, 2), intensity, count)


def _actions(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """One to four actions in words, and their events."""
    table = phrases()
    names = [a for a in table["actions"] if a not in ("return_to_neutral", "close_mouth")]
    text, events = "", list[Event]()
    at, last = FIRST, ""
    count = int(rng.choice([1, 2, 3, 4], p=[0.35, 0.35, 0.2, 0.1]))
    while len(events) < count:
        together = bool(events) and rng.random() < TOGETHER_SHARE
        current = [e for e in events if e.start == events[-1].start] if together else []
        free = [n for n in names if n != last and not any(clash(n, e.action) for e in current)]
        if not free or len(current) > 1:
            together, current, free = False, [], [n for n in names if n != last]
        action = str(pick(free, rng))
        words, event = action_words(action, current[0].start if current else at, rng)
        if current:
            text += pick(table["together"], rng) + words
        else:
            text = _append(text, words, table["then"], rng)
        events.append(event)
        last = action
        at = max(e.end for e in events) + float(rng.uniform(*GAP))
    if len(events) < 4 and rng.random() < 0.1:
        words, event = action_words("return_to_neutral", at - 0.1, rng)
        text = _append(text, words, table["then"], rng)
        events.append(event)
    return text, events


def _append(text: str, words: str, joints: Sequence[str], rng: np.random.Generator) -> str:
    return text + pick(joints, rng) + words if text else words


def _feeling(name: str, rng: np.random.Generator) -> tuple[str, float]:
    """One emotion in words (imperative), and its intensity."""
    table = phrases()
    if name in table["become"] and rng.random() < BECOME_SHARE:
        return pick(table["become"][name], rng), DEFAULT
    level = float(pick([0.3, DEFAULT, DEFAULT, 0.85, 1.0], rng))
    if name == "neutral":
        level = DEFAULT
    word = pick(table["emotion_degrees"][level], rng) + pick(table["emotions"][name], rng)
    return pick(table["feel"], rng).format(e=word), level


def sentence(text: str) -> str:
    """Capitals after full stops, one at the end."""
    parts = [p[:1].upper() + p[1:] for p in text.split(". ")]
    return ". ".join(parts).rstrip(".") + "."


def compose(rng: np.random.Generator) -> Score:
    """One instruction (``score.text``) with its score; the state of `rng` decides everything."""
    table = phrases()
    names = list(table["emotions"])
    kind = rng.random()
    if kind < FEELING_SHARE:
        seconds = float(pick([3.0, 4.0, 5.0, 6.0], rng))
        name = str(pick(names, rng))
        first, level = _feeling(name, rng)
        if rng.random() < 0.35:
            second_name = str(pick([n for n in names if n != name], rng))
            second, strength = _feeling(second_name, rng)
            middle = round(seconds / 2, 2)
            text = pick(table["change"], rng).format(a=first, b=second)
            feelings = (Emotion(name, level, 0.0, middle), Emotion(second_name, strength, middle, seconds))
            return Score(seconds, (), feelings, sentence(text))
        return Score(seconds, (), (Emotion(name, level, 0.0, seconds),), sentence(first))
    text, events = _actions(rng)
    seconds = clip_seconds(max(e.end for e in events))
    emotions: tuple[Emotion, ...] = ()
    if kind > 1 - BOTH_SHARE:
        name = str(pick(names, rng))
        feeling, level = _feeling(name, rng)
        text = pick(table["with"], rng).format(feel=feeling, do=text)
        emotions = (Emotion(name, level, 0.0, seconds),)
    return on_a_side(Score(seconds, tuple(events), emotions, sentence(text)), rng)


def on_a_side(score: Score, rng: np.random.Generator) -> Score:
    """A score or its mirror image; in these texts left and right are always directions."""
    if not (score.sided and rng.random() < MIRROR_SHARE):
        return score
    return replace(score.mirror(), text=swap_sides(score.text))


def compose_scores(count: int, seed: int = 0, avoid: Sequence[str] = ()) -> list[Score]:
    """`count` different instructions; texts in `avoid` (those held out for tests) do not occur."""
    return different(lambda n: compose(np.random.default_rng([seed, n])), count, avoid)


def different(make: Callable[[int], Score], count: int, avoid: Sequence[str], longest: float = np.inf) -> list[Score]:
    """The first `count` of ``make(0)``, ``make(1)`` .. with texts that differ from each other and from `avoid`.
    `longest`: seconds of a clip; longer ones are left out.
    """
    texts, out, number = {t.lower() for t in avoid}, list[Score](), 0
    while len(out) < count:
        score = make(number)
        number += 1
        if score.text.lower() not in texts and score.length <= longest:
            texts.add(score.text.lower())
            out.append(score)
    return out


def list_named() -> list[Score]:
    """Every action and every emotion by its plain name, in every degree of the phrases.

    So a name alone has its meaning ("look up head" moves the head), and actions that phrases give no degrees ("blink
    slightly") have them, too.
    """
    table = phrases()
    out: list[Score] = []
    for action in action_names():
        entry = table["actions"].get(action.replace("_right", "_left"))
        middle = round(sum(entry["length"]) / 2, 1)
        for level, words in table["degrees"].items():
            if action in ("return_to_neutral", "close_mouth") and level != DEFAULT:
                continue  # states
            event = Event(action, FIRST, middle, float(level))
            length = clip_seconds(event.end)
            texts = [action.replace("_", " ") + word for word in (*words, *table["name_degrees"].get(level, ()))]
            out += [Score(length, (event,), (), text) for text in texts]
    for name in emotion_names():
        for level, words in table["emotion_degrees"].items():
            emotions = (Emotion(name, float(level), 0.0, 4.0),)
            if name != "neutral" or level == DEFAULT:
                texts = [form.format(e=word + name) for word in words for form in ("{e}", table["feel"][0])]
                out += [Score(4.0, (), emotions, text) for text in texts]
    return out


# Timed instructions: seconds by the clock, spans, pauses, and actions that last while others follow.
NUMBERS = {1.0: "one", 2.0: "two", 3.0: "three", 4.0: "four", 5.0: "five"}


def _number(seconds: float, rng: np.random.Generator) -> str:
    """2.0 -> "2", "2.0" or "two"."""
    if seconds == int(seconds) and seconds > 0 and rng.random() < 0.35:
        return NUMBERS.get(seconds, f"{seconds:.0f}")
    return f"{seconds:.1f}" if seconds != int(seconds) or rng.random() < 0.35 else f"{seconds:.0f}"


def _span(seconds: float, rng: np.random.Generator) -> str:
    """2.0 -> "two seconds", "2 s", "2.0 seconds"."""
    if seconds == 0.5:
        return str(pick(("half a second", "0.5 s", "0.5 seconds"), rng))
    if seconds == 1.5 and rng.random() < 0.5:
        return str(pick(("a second and a half", "one and a half seconds"), rng))
    if seconds == 1.0:
        return str(pick(("a second", "one second", "one second", "1 second", "1 s", "1.0 s"), rng))
    return _number(seconds, rng) + str(pick((" s", " seconds", " sec"), rng))


def _names(count: int, rng: np.random.Generator, lasting_first: bool = False, lasting: bool = False) -> list[str]:
    """`count` actions, each different from the next; the first one (`lasting_first`) or all (`lasting`) can last."""
    names = [a for a in phrases()["actions"] if a not in ("return_to_neutral", "close_mouth")]
    forms = ("hold", "cycle") if lasting else ("hold",)
    first = [a for a in names if not (lasting_first or lasting) or actions()[a].form in forms]
    out = [str(pick(first, rng))]
    while len(out) < count:
        free = [a for a in (first if lasting else names) if a != out[-1] and not (lasting_first and clash(a, out[0]))]
        out.append(str(pick(free, rng)))
    return out


def _join_parts(parts: Sequence[str], rng: np.random.Generator) -> str:
    """Parts in a row."""
    joint, last = pick(((", ", ", "), (", ", " and "), (", then ", ", then "), ("; ", "; "), (", ", ", then ")), rng)
    return str(last).join([str(joint).join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _plain(name: str, start: float, rng: np.random.Generator, counted: bool = True) -> tuple[str, Event]:
    """An action whose words name no length."""
    while True:
        words, event = action_words(name, start, rng)
        if "second" not in words and (counted or event.repeat == 1):
            return words, event


def by_clock(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """One to four actions, each at a second that is named."""
    form, parts, events = pick(phrases()["timed"]["at"], rng), [], list[Event]()
    at = float(pick((0.0, 0.0, 0.5, 1.0, 1.5, 2.0), rng))
    for name in _names(int(rng.integers(1, 5)), rng):
        words, event = _plain(name, at, rng)
        following = float(np.ceil(2 * (event.end + 0.05)) / 2 + pick((0.0, 0.0, 0.5, 1.0), rng))
        if event.repeat == 1 and actions()[name].form == "hold" and rng.random() < 0.5:
            event = replace(event, duration=following - at)
        parts.append(form.format(t=_number(at, rng), a=words))
        events.append(event)
        at = following
    return _join_parts(parts, rng), events


def by_spans(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """Actions from a second that is named to another."""
    form, parts, events = pick(phrases()["timed"]["span"], rng), [], list[Event]()
    at = float(pick((0.0, 0.0, 0.5, 1.0, 2.0), rng))
    for name in _names(int(rng.integers(1, 4)), rng, lasting=True):
        words, event = _plain(name, at, rng, counted=False)
        until = at + float(pick((1.0, 1.5, 2.0, 2.5, 3.0), rng))
        parts.append(form.format(t=_number(at, rng), u=_number(until, rng), a=words))
        events.append(replace(event, duration=until - at))
        if events[0] is not events[-1] or rng.random() < 0.6 or clash(name, "nod") or until < at + 2:
            at = until + float(pick((0.0, 0.0, 0.5, 1.0), rng))
            continue
        words, inner = action_words("nod", at, rng)  # something counted in its middle
        lasts = min(inner.duration, until - at - 0.4)
        inner = replace(inner, start=round(at + (until - at - lasts) / 2, 2), duration=lasts)
        parts[-1] += f", and {words} in the middle of it"
        events.append(inner)
        at = until + 0.5
    return _join_parts(parts, rng), events


def draw_held_action(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """One action that lasts while others follow one another."""
    names = _names(int(rng.choice([2, 3, 4], p=[0.45, 0.4, 0.15])), rng, lasting_first=True)
    first_words, first = _plain(names[0], float(pick((0.0, 0.2), rng)), rng, counted=False)
    at, parts, events = first.start + float(rng.uniform(0.3, 0.6)), [], [first]
    for name in names[1:]:
        words, event = _plain(name, round(at, 1), rng)
        parts.append(words)
        events.append(event)
        at = event.end + float(rng.uniform(0.15, 0.4))
    events[0] = replace(first, duration=round(max(e.end for e in events[1:]) + 0.1 - first.start, 2))
    return pick(phrases()["timed"]["held"], rng).format(a=first_words, b=_join_parts(parts, rng)), events


def so_long_each(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """Actions in a row that last equally long, as the words say."""
    lasts, gap, at = float(pick((0.5, 1.0, 1.0, 1.0, 1.5, 2.0), rng)), float(pick((0.0, 0.1, 0.2), rng)), 0.2
    parts, events = [], list[Event]()
    for name in _names(int(rng.integers(2, 6)), rng):
        words, event = _plain(name, round(at, 1), rng, counted=False)
        parts.append(words)
        events.append(replace(event, duration=lasts))
        at += lasts + gap
    return pick(phrases()["timed"]["each"], rng).format(all=_join_parts(parts, rng), d=_span(lasts, rng)), events


def with_pauses(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """Actions with waiting before them."""
    text, at, events = "", 0.2, list[Event]()
    for name in _names(int(rng.integers(1, 4)), rng):
        wait = float(pick((0.5, 1.0, 1.0, 1.5, 2.0, 3.0), rng))
        at = wait if not events and rng.random() < 0.5 else at + wait if events else at
        words, event = _plain(name, round(at, 1), rng)
        if events:
            text += pick(phrases()["timed"]["pauses"], rng).format(d=_span(wait, rng)) + words
        else:
            text = pick(phrases()["timed"]["waits"], rng).format(d=_span(wait, rng), a=words) if at != 0.2 else words
        events.append(event)
        at = event.end
    return text, events


def side_after_side(rng: np.random.Generator) -> tuple[str, list[Event]]:
    """left, right, left."""
    forms = phrases()["timed"]["sided"]
    form = str(pick(list(forms), rng))
    count, lasts = int(rng.integers(2, 6)), float(pick((0.6, 0.8, 1.0, 1.0, 1.2), rng))
    step = lasts + float(rng.uniform(0.05, 0.3))
    sides = [("left", "right")[k % 2] for k in range(count)]
    if rng.random() < 0.25:
        sides = [str(pick(("left", "right"), rng)) for _ in range(count)]
    brief = rng.random() < 0.6
    parts = [form.format(s=s) if not brief or k == 0 else s for k, s in enumerate(sides)]
    if "{s} " in form and brief:
        parts = [*sides[:-1], form.format(s=sides[-1])]
    events = [Event(forms[form].replace("left", s), round(0.2 + k * step, 2), lasts) for k, s in enumerate(sides)]
    text = ", ".join(parts) if rng.random() < 0.6 else _join_parts(parts, rng)
    if rng.random() < 0.2:
        text += pick((", one after the other", ", in turn", ", in quick succession"), rng)
    return text, events


KINDS: tuple[Callable[[np.random.Generator], tuple[str, list[Event]]], ...] = (
    by_clock, by_spans, draw_held_action, draw_held_action, so_long_each, with_pauses, side_after_side,
)  # fmt: skip


def draw_timed(rng: np.random.Generator) -> Score:
    """One instruction (``score.text``) with its score; the state of `rng` decides everything."""
    text, events = pick(KINDS, rng)(rng)
    seconds = clip_seconds(max(e.end for e in events))
    return on_a_side(Score(seconds, tuple(sorted(events, key=lambda e: e.start)), (), sentence(text)), rng)


def draw_timed_instructions(count: int, seed: int = 0, avoid: Sequence[str] = ()) -> list[Score]:
    """`count` different ones of at most 12 s; texts in `avoid` do not occur."""
    return different(lambda n: draw_timed(np.random.default_rng([seed, 5, n])), count, avoid, 12)
