"""Drawn conversations that build and edit scenes: the wordings of requests over a timeline that goes on."""

# Each conversation is of one construct (`CONSTRUCTS`), which says how often its turns do what. A wording is filled with
# what stands at that moment, so its acts and the timeline after them are known. The wordings of a conversation are all
# for training, or all held out (`held`).

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from instruct_data.dialogue.acts import FORMATS, TAKE_LETTERS, Act, Outline, Replay, write
from instruct_data.dialogue.dialogues import NUMBERS, spoken_segment
from instruct_data.requests.pairs import inflected, plural_of
from instruct_data.requests.spec import TurnState
from instruct_data.requests.ways import FORMS, NOUNS, TURNED, Part, Way, all_ways, material

TURNS = (8, 20)  # of a conversation
HELD = 12  # every so-many-th line of wordings, as in training
MEASURES = ("times", "seconds", "minutes", "factor")
MAX_TRIES = 60  # wordings that may not fit what stands
# construct -> act -> how often it is asked for
CONSTRUCTS: dict[str, dict[str, float]] = {
    "building": {"plan": 3, "then": 5, "before": 3, "show": 1, "question": 1},
    "editing": {"then": 2, "edit": 4, "replace": 2, "retime": 3, "delete": 1, "mirror": 1, "speed": 1},
    "reference": {"then": 3, "before": 2, "delete": 2, "move": 2, "rename": 1, "edit": 2, "loop": 1},
    "numbers": {"then": 2, "retime": 4, "total": 2, "loop": 3, "again": 2, "speed": 1},
    "repair": {"then": 3, "undo": 3, "redo": 1, "replace": 2, "edit": 2, "delete": 2},
    "questions": {"then": 3, "question": 5, "show": 2, "describe": 1, "retime": 1},
    "small talk": {"then": 4, "chat": 3, "help": 1, "edit": 2, "show": 1},
    "files": {"then": 4, "save": 3, "export": 2, "rename": 2, "delete": 1},
}
TOPICS = {"total_length": "total length", "count": "number of segments", "longest": "longest segment",
          "shortest": "shortest segment", "plan": "plan"}  # fmt: skip


@dataclass
class _Filled:
    """A wording with its words and what they mean."""

    words: str = ""
    action: str = ""
    values: dict[str, float] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    segment: int | None = None
    second: int | None = None
    bits: dict[str, str] = field(default_factory=dict)  # slot -> words of what is done; "" = words without one


class SceneDialogues:
    """Draws conversations; `held`: from the wordings that training leaves out."""

    def __init__(self, rng: np.random.Generator, held: bool = False) -> None:
        self.rng, self.words = rng, material("chat")
        lines = list(dict.fromkeys(w.text for w in all_ways("chat")))
        out = {*lines[HELD - 1 :: HELD]}
        self.ways: dict[str, list[Way]] = {}
        for way in all_ways("chat"):
            if (way.text in out) == held and [*way.flags] == ["A"] and _fillable(way):
                self.ways.setdefault(way.flags["A"], []).append(way)

    def draw(self, construct: str) -> dict[str, Any]:
        """A conversation: ``construct`` and ``turns``, each of ``user``, ``state``, ``acts``, ``timeline`` after it."""
        replay, turns = Replay(self.rng), []
        asked, last = "none", "none"
        for _ in range(int(self.rng.integers(TURNS[0], TURNS[1] + 1))):
            state = self._state(asked, last, replay.now)
            act = self._act(construct, asked, replay.now)
            words, acts = self._turn(act, state, replay.now)
            for a in acts:
                replay.apply(a)
            row = {"user": words, "state": " ".join(state.words), "acts": write(acts)}
            turns.append(row | {"timeline": replay.now.text})
            last = acts[-1].do
            asked = "take" if last == "again" else "none"
        return {"construct": construct, "turns": turns}

    def _state(self, asked: str, last: str, now: Outline) -> TurnState:
        count = len(now.captions)
        stands = "plan" if now.planned and count else "empty" if not count else "one" if count == 1 else "some"
        return TurnState.model_validate({"asked": asked, "last": last, "timeline": stands})

    def _act(self, construct: str, asked: str, now: Outline) -> str:
        if asked == "take" and self.rng.random() < 0.7:
            return "keep"
        shares = CONSTRUCTS[construct]
        if not now.captions:
            shares = {a: s for a, s in shares.items() if a in ("plan", "then", "chat", "help")}
        names = [*shares]
        total = np.array([shares[n] for n in names])
        return names[int(self.rng.choice(len(names), p=total / total.sum()))]

    def _turn(self, act: str, state: TurnState, now: Outline) -> tuple[str, list[Act]]:
        """Words for an act and what they do; a movement in plain words where no wording fits."""
        for _ in range(MAX_TRIES):
            options = self.ways.get(act, [])
            way = options[int(self.rng.integers(len(options)))] if options else None
            if way is None or any(getattr(state, k) not in v for k, v in way.state.items()):
                continue
            filled = self._filled(way, now)
            acts = None if filled is None else acts_of(act, filled, now)
            if filled is not None and acts:
                return " ".join(filled.words.split()), acts
        action = str(self.rng.choice(self.words.actions)).split("<")[0].replace("{side}", "left").strip() or "wave"
        words = inflected(action, "does")
        return f"then he {words}", [Act("then" if now.captions else "make", text=f"a person {words}")]

    def _filled(self, way: Way, now: Outline) -> _Filled | None:
        out = _Filled()
        who, they = self.words.who[int(self.rng.integers(len(self.words.who)))]
        side = str(self.rng.choice(["left", "right"]))
        action = _plain(str(self.rng.choice(self.words.actions)), self.rng).replace("{side}", side)
        for part in way.parts:
            words = part.text
            if part.slot:
                drawn = self._slot(part, now, out, {"who": who, "they": they}, action)
                if drawn is None:
                    return None
                words = drawn
            elif part.role and part.value:
                out.marks[part.role] = part.value
            if part.role == "action":
                out.action += words
                out.bits[part.text if part.slot else ""] = words
            out.words += words if part.text else ""
        return out

    def _slot(self, part: Part, now: Outline, out: _Filled, people: dict[str, str], action: str) -> str | None:
        """The words of a slot, None where nothing fits."""
        rng, count = self.rng, len(now.captions)
        name = part.text
        if name in ("seg", "seg2"):
            if not count:
                return None
            n = int(rng.integers(1, count + 1))
            if name == "seg2" and out.segment is not None:
                others = [i for i in range(1, count + 1) if i != out.segment]
                if out.marks.get("where") == "between":
                    others = [i for i in others if i == out.segment + 1]
                if not others:
                    return None
                n = int(rng.choice(others))
            out.segment, out.second = (n, out.second) if name == "seg" else (out.segment, n)
            return spoken_segment(now, n, rng)
        if part.role in MEASURES:
            value = float(rng.integers(2, 6)) if part.role != "seconds" else float(rng.integers(2, 21))
            out.values[part.role] = value
            return NUMBERS[int(value)] if value <= 10 and rng.random() < 0.4 else f"{value:g}"
        if name in FORMS:
            return inflected(action, name)
        if name in NOUNS:
            noun = str(rng.choice(self.words.nouns))
            return plural_of(noun) if name == "nouns" else noun
        if name == "take":
            return TAKE_LETTERS[int(rng.integers(now.takes))] if now.takes > 1 else None
        if name in TURNED:
            return _plain(str(rng.choice(self.words.turned[name])), rng)
        return people.get(name) or {"them": "him", "their": "his"}.get(name)


def _fillable(way: Way) -> bool:
    """Whether nothing in it points at a segment by words of its own, and no slot is of other domains."""
    known = {*FORMS, *NOUNS, *TURNED, "seg", "seg2", "n", "s", "min", "x", "they", "who", "them", "their"}
    return all(p.text in known if p.slot else p.role not in ("of", "to_of") for p in way.parts)


def _plain(words: str, rng: np.random.Generator) -> str:
    """Words with one of each of their alternatives."""
    while "<" in words and ">" in words:
        before, _, rest = words.partition("<")
        inside, _, after = rest.partition(">")
        words = before + str(rng.choice(inside.split("|"))) + after
    return " ".join(words.split())


def acts_of(act: str, f: _Filled, now: Outline) -> list[Act] | None:
    """The acts that a filled wording means over these segments, None where it cannot be meant."""
    count, text = len(now.captions), " ".join(f.action.split())
    numbers = {k: float(v) for k, v in f.marks.items() if k in MEASURES} | f.values
    seconds = numbers.get("minutes", 0.0) * 60 + numbers.get("seconds", 0.0) or None
    times = int(numbers["times"]) if "times" in numbers else None
    n = f.segment if f.segment is not None else count or None
    where = f.marks.get("where")
    place = None
    if where in ("start", "end"):
        place = 1 if where == "start" else count + 1
    elif where and n is not None and act != "move":
        place = n if where == "before" else n + 1
    match act:
        case "then" | "make" if text:
            return [Act("then" if count else "make", seconds=seconds, text=text)]
        case "before" if text and place:
            return [Act("then", seconds=seconds, text=text) if place > count else
                    Act("before", segment=place, seconds=seconds, text=text)]  # fmt: skip
        case "plan" if text:
            at = place if place and place <= count else None
            return [Act("plan", activities=times, seconds=seconds, at=at, scene=text)]
        case "replace" if text and n:
            later = [Act("retime", segment=n, seconds=seconds)] if seconds else []
            return [Act("replace", segment=n, text=text), *later]
        case "edit" if text and n:
            return [Act("edit", segment=n, change=text)]
        case "retime" if seconds and n:
            return [Act("retime", segment=n, seconds=seconds)]
        case "total" if seconds:
            return [Act("total", seconds=seconds)]
        case "speed" if "factor" in numbers and n:
            return [Act("speed", segment=f.segment, factor=numbers["factor"])]
        case "delete" if n:
            return [Act("delete", segment=n)]
        case "loop" if times:
            return [Act("loop", segment=f.segment, times=times)]
        case "rename" if text and n:
            return [Act("rename", segment=n, name=text)]
        case "keep" if text and text in TAKE_LETTERS[: now.takes]:
            return [Act("keep", choice=text)]
        case "move":
            return _moved(f, where, count)
        case "undo" | "redo" if f.segment is None:
            return [Act(act, steps=times)]
        case "mirror" | "again" | "describe" if count:
            return [Act(act, segment=f.segment)]
        case "show":
            return [Act("show", what=f.marks.get("what", "timeline"))]
        case "question" if (about := _about(f)) and where is None:
            return [Act("question", about=about)]
        case "save" if name := f.bits.get("file") or f.bits.get("name") or f.bits.get(""):
            suffix = f".{f.bits['fmt']}" if "fmt" in f.bits else ""
            return [Act("save", segment=f.segment, name=name.replace(" ", "_") + suffix)]
        case "export" if text in FORMATS:
            return [Act("export", format=text, segment=f.segment)]
        case "chat" | "help" | "play":
            return [Act(act)]
    return None


def _moved(f: _Filled, where: str | None, count: int) -> list[Act] | None:
    a, b = f.segment, f.second
    if a is None or count < 2 or where is None:
        return None
    if where in ("start", "end"):
        return [Act("move", segment=a, to=1 if where == "start" else count)]
    if b is None:
        return None
    gap = b - 1 if where == "before" else b
    return [Act("move", segment=a, to=gap if gap >= a else gap + 1)]


def _about(f: _Filled) -> str:
    topic = f.marks.get("topic", "")
    if topic in TOPICS:
        return TOPICS[topic]
    return f"{topic} of segment {f.segment}" if topic in ("length", "start", "text") and f.segment else ""


def draw(count: int, seed: int = 0, held: bool = False) -> list[dict[str, Any]]:
    """So many conversations, the constructs in turn."""
    dialogues, names = SceneDialogues(np.random.default_rng([seed, held]), held), [*CONSTRUCTS]
    return [dialogues.draw(names[i % len(names)]) for i in range(count)]
