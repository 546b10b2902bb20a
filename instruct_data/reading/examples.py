"""Examples of reading: texts with the items that they mean, by whom they were written."""
# A line of an author's file is one text with its labels, as in `instruct_data/reading/texts`. Labels name their words
# in the text's own spelling; where these stand is found here.

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from instruct_data.dialogue.acts import follow_lines
from instruct_data.text.english import third_of
from instruct_data.text.numerals import METRES, SECONDS, is_numeral, value_of
from vqvae.errors import UserError

Span = tuple[int, int]
"""Of characters: the first one, and the one behind the last."""


def move_spans(spans: Sequence[Span], by: int) -> tuple[Span, ...]:
    """Spans so many characters further on."""
    return tuple((a + by, b + by) for a, b in spans)


UNLABELLED = "?"
"""The name of an item of which nobody has said what it is."""
WORD = re.compile(r"[\w']+")
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")
UNITS: Mapping[str, Mapping[str, float]] = {"seconds": SECONDS, "distance": METRES}
"""Field -> unit behind a number -> its factor to seconds or metres."""


@dataclass(frozen=True)
class Numeral:
    """A number that a text names."""

    span: Span
    value: float
    unit: str  # the word behind it, lower case

    def of(self, name: str) -> float:
        """Its value in the unit of a field."""
        return self.value * UNITS.get(name, {}).get(self.unit, 1.0)


@dataclass(frozen=True)
class Item:
    """One item of a text.

    Attributes:
        values: field -> name, choice, True or number; what is not there is none.
        words: field -> where its words stand.
        caption: the item in plain words, empty = not written.
    """

    values: Mapping[str, Any]
    words: Mapping[str, tuple[Span, ...]]
    caption: str = ""


@dataclass(frozen=True)
class Example:
    """A text and what it means.

    Attributes:
        author: the file that it is from.
        whole: field -> value of the text as a whole.
        unknown: words that nothing can show.
        places: what items may point at: the lines of a timeline.
        labelled_words: whether each of its words may be called held or not (people's texts, not phrasings).
        asked: where the text itself begins, behind what it is about.
    """

    text: str
    items: tuple[Item, ...]
    author: str = ""
    whole: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[Span, ...] = ()
    places: tuple[Span, ...] = ()
    labelled_words: bool = True
    asked: int = 0


def numerals(text: str) -> list[Numeral]:
    """The numbers of a text in digits or words, with the unit behind each."""
    words = [(m.start(), m.end(), m.group().lower()) for m in NUMBER.finditer(text)]
    out: list[Numeral] = []
    i = 0
    while i < len(words):
        if not is_numeral(words[i][2]):
            i += 1
            continue
        end = i + 1
        while end < len(words):
            behind = [w for _, _, w in words[end : end + 3]]
            if behind == ["and", "a", "half"]:  # "two and a half"
                end += 3
            elif words[end - 1][2] == "hundred" and behind[0] == "and" and behind[1:] and _continues(behind[1]):
                end += 2
            elif _continues(behind[0]):
                end += 1
            else:
                break
        value = value_of([w for _, _, w in words[i:end] if w not in ("and", "a")])
        if value is not None:
            unit = words[end][2] if end < len(words) else ""
            out.append(Numeral((words[i][0], words[end - 1][1]), value, unit))
        i = end
    return out


def _continues(word: str) -> bool:
    """Whether a word goes on with a number in words."""
    return is_numeral(word) and not word[0].isdigit()


def find_words(text: str, words: str, near: int = 0) -> tuple[Span, ...]:
    """Where words stand in a text in this order: at the tightest place, of those alike the nearest behind `near`.

    Empty where they do not.
    """
    places = [(m.start(), m.end(), m.group().lower()) for m in WORD.finditer(text)]
    wanted = [m.group().lower() for m in WORD.finditer(words)]
    best: tuple[tuple[int, bool, int], list[int]] | None = None
    for start in range(len(places)):
        if not wanted or places[start][2] != wanted[0]:
            continue
        taken, at = [], start
        for word in wanted:
            while at < len(places) and places[at][2] != word:
                at += 1
            if at == len(places):
                break
            taken.append(at)
            at += 1
        if len(taken) == len(wanted):
            cost = (taken[-1] - taken[0], places[start][0] < near, abs(places[start][0] - near))
            if best is None or cost < best[0]:
                best = cost, taken
    return tuple(places[i][:2] for i in best[1]) if best else ()


_NUMBERS = ("times", "seconds", "distance", "turn", "factor")
_CHOICES = ("side", "direction", "path", "tempo", "size", "strength")
_FLAGS = ("denied", "until_end", "in_place", "hold")
_WORDS = ("style", "target", "other")


def request_example(row: Mapping[str, Any], author: str = "") -> Example | None:
    """A labelled request for a body; None where the words of a clause are not in the text."""
    text, near = str(row["text"]), 0
    items: list[Item] = []
    for clause in row["clauses"]:
        place = find_words(text, clause["words"], near)
        if not place:
            return None
        near = place[0][0] + 1  # the same words again are the next ones
        values: dict[str, Any] = {k: clause[k] for k in (*_NUMBERS, *_CHOICES, *_FLAGS) if clause.get(k)}
        if clause["action"] is not None:
            values["action"] = clause["action"]
        if clause.get("rel") == "while" and items:
            values["together"] = True
        if "path" in values and "side" not in values and values.get("direction") in ("left", "right"):
            values["side"] = values.pop("direction")  # "a circle to the right": of a way it is the side
        found = {k: find_words(text, str(clause[k]), near) for k in _WORDS if clause.get(k)}
        items.append(Item(values, {"words": place, **{k: v for k, v in found.items() if v}}, clause["do"]))
    unknown = tuple(s for words in row.get("unknown", ()) for s in find_words(text, words))
    whole = {k: row[k] for k in ("seconds", "loop") if row.get(k)}
    if "seconds" in whole and "minute" not in text and all(
        abs(n.of("seconds") - whole["seconds"]) >= 1e-6 for n in numerals(text)
    ):  # fmt: skip
        del whole["seconds"]  # what a reader knows of such a movement, and the text does not say
    # with a face, its words are not those of the body
    return Example(text, tuple(items), author, whole, unknown, labelled_words=not row.get("face"))


SUBJECT = re.compile(r"^(?:(?:a|an|the|some) )?(?:person|someone|somebody|one|figure|man|woman|boy|girl|child) ")


@dataclass(frozen=True)
class Shown:
    """A segment of a timeline as it is read: its caption, seconds of one round, name or activity, rounds, face."""

    caption: str
    seconds: float
    name: str = ""
    times: int = 1
    face: str = ""


def write_timeline(segments: Sequence[Shown], rounds: int = 1) -> list[str]:
    """The lines of a timeline that is played `rounds` times: ``2 [greeting] waves 4s x2 (face: smiles)``."""
    lines = []
    for number, s in enumerate(segments, 1):
        line = f"{number} {f'[{s.name}] ' * bool(s.name)}{SUBJECT.sub('', s.caption, count=1)} {round(s.seconds, 2):g}s"
        lines.append(line + f" x{s.times}" * (s.times > 1) + f" (face: {s.face})" * bool(s.face))
    return [*lines, *([f"(1-{len(segments)} x{rounds})"] if rounds > 1 and segments else [])]


def write_turn(
    timeline: Sequence[str], turn: str, before: Sequence[tuple[str, str]] = (), last: Sequence[str] = ()
) -> tuple[str, tuple[Span, ...], int]:
    """A turn behind what it is about: the text, the lines of the timeline in it, and where the turn begins.

    Args:
        timeline: numbered lines. before: the last turns with their replies, the latest last.
        last: the acts that were done last.
    """
    text, places, shown = "", [], _window(timeline, turn, last)
    for number, line in enumerate(timeline):
        if line[:1].isdigit():
            begins = len(text) if number in shown else NOT_SHOWN
            places.append((begins, begins + len(line)))
        text += f"{line}\n" if number in shown else ""
    for said, reply in before[-2:]:
        text += f"before: {said} / {_begin(reply)}\n"
    text += f"last: {', '.join(last) or 'none'}\nnow: "
    return text + turn, tuple(places), len(text)


def _begin(reply: str) -> str:
    """The first line of an answer, without the sentences that would make it long."""
    first, *more = SENTENCE.split(reply.strip().split("\n")[0])
    for sentence in more:
        if len(first) + len(sentence) >= MAX_REPLY:
            break
        first += f" {sentence}"
    return first[:MAX_REPLY]


SENTENCE = re.compile(r"(?<=[.?!]) (?=[A-Z])")


def roots(text: str) -> set[str]:
    """The beginnings of a text's longer words, by which it is like another."""
    return {word[:ROOT] for word in WORD.findall(text.lower()) if len(word) >= ROOT}


def _window(timeline: Sequence[str], turn: str, last: Sequence[str]) -> set[int]:
    """The lines of a timeline that are read: all, or those most like the turn, at the end, and done last."""
    if sum(map(len, timeline)) <= MAX_TIMELINE:
        return set(range(len(timeline)))
    asked = roots(turn) | {word[:ROOT] for word in WORD.findall(turn) if word.isdigit()}
    done = {act.split()[-1] for act in last}
    alike = [len(asked & {word[:ROOT] for word in WORD.findall(line.lower())}) for line in timeline]
    near = [len(timeline) - n for n in range(len(timeline))]
    first = sorted(
        range(len(timeline)), key=lambda n: (-alike[n], timeline[n].split()[0] not in done, n > 0, near[n])
    )  # fmt: skip
    shown: set[int] = set()
    for n in first:
        if sum(len(timeline[k]) for k in shown) + len(timeline[n]) > MAX_TIMELINE:
            break
        shown.add(n)
    return shown


MAX_TIMELINE = 1400  # characters of a timeline's lines: with the last turns less than the network takes
ROOT = 4  # letters by which words are alike
NOT_SHOWN = -1000
MAX_REPLY = 100  # characters of a reply that are read again
PLACES = ("segment", "to", "at")
"""Fields of acts that point at segments."""
_TEXTS = ("text", "change", "scene", "name", "file", "format", "what", "choice")
_ACT_NUMBERS = ("seconds", "factor", "times", "steps", "from", "to_s")


def turn_examples(row: Mapping[str, Any], author: str = "") -> Iterator[Example]:
    """The turns of a labelled dialogue, each behind the timeline that it was said to."""
    timeline: Sequence[str] = row.get("before", ())
    before: list[tuple[str, str]] = []
    last: list[str] = []
    for turn in row["turns"]:
        text, places, asked = write_turn(timeline, turn["user"], before, last)
        items: list[Item] = []
        lines: list[int | None] = list(range(1, len(places) + 1))  # where each segment stands in what is shown
        for act in turn["acts"]:
            values: dict[str, Any] = {k: act[k] for k in _ACT_NUMBERS if act.get(k) is not None}
            for k in PLACES:
                if isinstance(act.get(k), int) and act[k] <= len(lines) and (line := lines[act[k] - 1]) is not None:
                    values[k] = line
            follow_lines(lines, act["do"], act.get("segment"), act.get("to"))
            values |= {k: act[k] for k in ("do", "topic") if k in act}
            # drawn turns have wordings, not plain captions
            named = _TEXTS if row.get("written", True) else ()
            words = next((str(act[k]) for k in named if act.get(k) is not None), "")
            if act["do"] == "edit" and words:
                words = _find_edit(timeline, turn["timeline"], act.get("segment")) or words
            items.append(Item(values, {}, words))
        yield Example(text, _merge_rows(items), author, {}, (), places, False, asked)
        timeline = turn["timeline"]
        before.append((turn["user"], turn.get("reply", "")))
        last = shorten_acts(turn["acts"])


def shorten_acts(acts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Acts as the next turn is read behind them: ``edit 2``."""
    return [f"{a['do']} {a['segment']}" if a.get("segment") else str(a["do"]) for a in acts]


SPREAD = ("face", "retime", "speed", "mirror", "loop", "delete")
"""Acts that are said once of a row of segments: `segment` is its first one, `to` its last."""


def _merge_rows(items: Sequence[Item]) -> tuple[Item, ...]:
    """Items that do the same to one segment after the other as one item; several that delete begin with the first."""
    out: list[Item] = []
    runs = groupby(items, key=lambda i: i.values["do"] == "delete" and "segment" in i.values)
    rows = (sorted(run, key=lambda i: int(i.values["segment"])) if deletes else run for deletes, run in runs)
    for item in (i for row in rows for i in row):
        last, at = (out[-1] if out else None), item.values.get("segment")
        if last is not None and at is not None and item.values["do"] in SPREAD and item.caption == last.caption:
            begin = last.values.get("segment")
            end = last.values.get("to", begin)
            same = {**item.values, "segment": begin} == {k: v for k, v in last.values.items() if k != "to"}
            if same and end is not None and at == end + 1:
                out[-1] = replace(last, values={**last.values, "to": at})
                continue
        out.append(item)
    return tuple(out)


LINE = re.compile(r"\d+ (?:\[[^\]]*\] )?(.*?) [\d.]+s(?: x\d+)?(?: \(.*\))?")
"""A line of a timeline: number, name or activity, what is done, seconds, how often, face or loop."""


def _find_edit(before: Sequence[str], after: Sequence[str], segment: int | None) -> str:
    """What a segment that was changed does now: of the new lines the one that is most like its old one."""
    done, now = ([m[1] if (m := LINE.fullmatch(line)) else "" for line in lines] for lines in (before, after))
    if segment and len(done) == len(now) and segment <= len(now):
        return now[segment - 1]
    old = {*done[segment - 1].split()} if segment and segment <= len(done) else {*" ".join(done).split()}
    new = [text for text in now if text not in done]
    return max(new, key=lambda text: len(old & {*text.split()}), default="")


_FACE_NUMBERS = ("times", "seconds", "at", "until", "every", "wait", "pause", "from_share", "to_share", "during")
_FACE_CHOICES = ("side", "tempo", "course", "moment")


def score_example(row: Mapping[str, Any], author: str = "") -> Example | None:
    """A labelled instruction to a face."""
    text, near = str(row["text"]), 0
    items: list[Item] = []
    for clause in row["face"]:
        place = find_words(text, clause["words"], near)
        if not place:
            return None
        near = place[0][0] + 1  # the same words again are the next ones
        values: dict[str, Any] = {k: clause[k] for k in _FACE_NUMBERS if clause.get(k) is not None}
        values |= {k: clause[k] for k in (*_FACE_CHOICES, "denied", "until_end") if clause.get(k)}
        if clause.get("strength") is not None:
            values["strength"] = f"{min(max(round(float(clause['strength']) * 10), 1), 10) / 10:g}"
        if clause["name"] is not None:
            values["name"] = clause["name"]
        if clause.get("rel") == "while" and items:
            values["together"] = True
        words = {"words": place}
        if clause.get("word") and (found := find_words(text, str(clause["word"]), near)):
            words["word"] = found
        items.append(Item(values, words))
    unknown = tuple(s for words in row.get("unknown", ()) for s in find_words(text, words))
    whole = {k: row[k] for k in ("seconds", "loop") if row.get(k)}
    held = not row.get("clauses")  # with a body, its words are not those of the face
    return Example(text, tuple(items), author, whole, unknown, labelled_words=held) if items else None


def events_example(row: Mapping[str, Any], author: str = "") -> Example | None:
    """A labelled scene; it may have no events."""
    text, items, near = str(row["scene"]), [], 0
    for event in row["events"]:
        place = find_words(text, event["words"], near)
        if not place:
            return None
        near = place[0][0] + 1  # the same words again are the next ones
        values = {k: event[k] for k in ("seconds", "action") if event.get(k) is not None}
        words = {"words": place}
        if event.get("where") and (found := find_words(text, str(event["where"]), 0)):
            words["where"] = found
        items.append(Item(values, words, predicate(event["do"])))
    whole = {k: row[k] for k in ("person", "seconds") if row.get(k)}
    if "person" in whole:
        whole["person"] = whole["person"].lower()  # "I"
    return Example(text, tuple(items), author, whole, labelled_words=False)


BASE_FORM_AFTER = ("i", "you", "they", "we")


def predicate(sentence: str) -> str:
    """A sentence of an event without its subject, in the third person: "they type a letter" -> "types a letter"."""
    subject, _, words = sentence.partition(" ")
    verb, _, rest = words.partition(" ")
    if subject.lower() in BASE_FORM_AFTER:
        return f"{third_of(verb)} {rest}".strip()
    return words


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ``.jsonl`` or ``.jsonl.xz``; raises UserError with the number of one that is no JSON."""
    data = path.read_bytes()
    text = (lzma.decompress(data) if path.suffix == ".xz" else data).decode("utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as e:
                raise UserError(f"{path}:{number}: not JSON ({e})") from None


FILES = {
    "read": ("body*", "face*", "composed"), "turn": ("chat*", "composed_turns"), "score": ("face*",),
    "events": ("scenes*",),
}  # fmt: skip
"""Task -> the names of authors' files."""


def read_authors(folders: Sequence[Path], task: str, authors: Collection[str] | None = None) -> list[Example]:
    """The labelled examples of a task in folders of authors' files; what cannot be placed in its text is left out.

    `authors`: whose files are read, None = all of the task.
    """
    paths = sorted(p for f in folders for name in FILES[task] for p in f.glob(f"{name}.jsonl*"))
    out: list[Example] = []
    for path in paths:
        author = path.name.partition(".")[0]
        for row in read_lines(path) if authors is None or author in authors else ():
            if task == "turn":
                out += turn_examples(row, author)
                continue
            made: Example | None = None
            if task == "read" and row.get("clauses"):
                made = request_example(row, author)
            elif task == "score" and row.get("face"):
                made = score_example(row, author)
            elif task == "events":
                made = events_example(row, author)
            if made is not None:
                out.append(made)
    return out


TEXTS = Path(__file__).parent / "texts"
"""The packaged authors' files."""
