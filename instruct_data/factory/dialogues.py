"""Conversations with the acts behind every turn -> training pairs of the task ``chat_turn``."""

# Besides recorded dialogues there are drawn turns: phrases of `dialogues.yaml` filled with movements, segments, lengths
# and names.

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.dialogue.acts import SPOKEN, Act, Outline, Replay, from_json, read, write
from instruct_data.factory.text.captions import CaptionBank, vary
from instruct_data.factory.text.everyday import everyday_requests
from instruct_data.factory.text.rewrites import Rewrites
from instruct_data.factory.texts import unpack_texts
from instruct_data.text.english import mirror_text, side_of, split
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows, read_yaml

PATH = Path(__file__).parent / "dialogues.yaml"
WHEN = ("none", "some", "several", "takes", "any")
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_SLOT = re.compile(r"\{(\w+)\}")
# Values that users name: seconds, words around a request, factors of speed.
_LENGTHS = [0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 18, 20, 25, 30, 45, 60]
_OPENINGS = ["ok ", "ok, ", "hmm, ", "please ", "hey, ", "um, ", "right, ", "great. ", "good. ", "well, ", "so ",
             "could you ", "can you ", "i think ", "oh, ", "actually "]  # fmt: skip
_CLOSINGS = [" please", " pls", " thanks", "!", ".", "...", ", ok?", " now", " :)", " thx"]
FILLED = 0.25  # share of turns with such words around them
_LONG = [30, 45, 60, 90, 120, 150, 180, 240, 300, 600, 900, 1200]
_FACTORS: dict[float, list[str]] = {
    0.25: ["quarter speed", "a quarter as fast", "0.25x", "four times as slow"],
    0.5: ["half speed", "half as fast", "twice as slow", "0.5x", "at 50%", "in slow motion at half speed"],
    0.75: ["0.75x", "at 75%", "three quarter speed"], 0.8: ["0.8x", "at 80%", "0.8 times as fast"],
    1.25: ["1.25x", "at 125%", "a quarter faster"], 1.5: ["1.5x", "1.5 times faster", "at 150%", "half again as fast"],
    2: ["twice as fast", "double speed", "2x", "at 200%", "double time", "two times faster", "doubled"],
    3: ["three times as fast", "3x", "triple speed", "at 300%"], 4: ["4x", "four times faster", "quadruple speed"],
}  # fmt: skip


@dataclass(frozen=True)
class PhraseGroup:
    """Phrases with one answer; `when` says which segments there must be."""

    line: str
    phrases: tuple[str, ...]
    when: str


@dataclass(frozen=True)
class Phrases:
    """The file's content: act -> groups, change -> wordings, and words for slots."""

    turns: Mapping[str, tuple[PhraseGroup, ...]]
    changes: Mapping[str, tuple[str, ...]]
    words: Mapping[str, tuple[str, ...]]


@cache
def phrases() -> Phrases:
    """The packaged file."""
    data: dict[str, Any] = read_yaml(PATH)
    turns = data.pop("turns")
    if others := set(turns) ^ set(SPOKEN):
        raise UserError(f"{PATH}: turns: not the acts there are: {', '.join(sorted(others))}")
    out = {}
    for act, groups in turns.items():
        act_groups = tuple(PhraseGroup(g["line"], tuple(map(str, g["phrases"])), g["when"]) for g in groups)
        for g in act_groups:
            slots = set(_SLOT.findall(g.line)) - {"last", "end"}
            if g.when not in WHEN or any(set(_SLOT.findall(p)) != slots for p in g.phrases):
                raise UserError(f"{PATH}: turns: {act}: {g.line!r}: every phrase has the slots of the line")
        out[act] = act_groups
    changes = {str(k): tuple(map(str, v)) for k, v in data.pop("changes").items()}
    return Phrases(out, changes, {k: tuple(map(str, v)) for k, v in data.items()})


def _pick(rng: np.random.Generator, items: Sequence[Any]) -> Any:
    return items[int(rng.integers(len(items)))]


def say_seconds(seconds: float, rng: np.random.Generator) -> str:
    """``5 s``, ``five seconds``, ``2 minutes`` ..."""
    if seconds >= 60 and seconds % 30 == 0 and rng.random() < 0.7:
        minutes = seconds / 60
        if minutes == 1.5:
            return str(_pick(rng, ["a minute and a half", "1.5 minutes", "90 seconds"]))
        if minutes == 1:
            return str(_pick(rng, ["a minute", "one minute", "1 min", "60 s"]))
        word = NUMBERS[int(minutes)] if minutes == int(minutes) and minutes <= 10 and rng.random() < 0.4 else ""
        return f"{word or f'{minutes:g}'} {_pick(rng, ['minutes', 'min'])}"
    if seconds == 30 and rng.random() < 0.2:
        return "half a minute"
    number = f"{seconds:g}"
    if seconds == int(seconds) and seconds <= 10 and rng.random() < 0.35:
        number = NUMBERS[int(seconds)]
    return f"{number}{_pick(rng, [' s', 's', ' seconds', ' seconds', ' sec', ' secs'])}".replace(
        "one seconds", "one second"
    )


def _name_segment(outline: Outline, n: int) -> list[str]:
    """Names that only this segment's movement has: ``the walking``, ``the walk``."""

    def verb(caption: str, form: str) -> str:
        clause = split(caption)
        phrase = clause.verb_phrase(form) if clause else None
        return phrase.split()[0] if phrase else ""

    gerunds = [verb(c, "gerund") for c in outline.captions]
    gerund = gerunds[n - 1]
    if not gerund or gerunds.count(gerund) > 1:
        return []
    return [f"the {gerund}", f"the {verb(outline.captions[n - 1], 'base')}", f"the {gerund} part"]


def say_segment(outline: Outline, n: int, rng: np.random.Generator) -> str:
    """How people point at segment `n` (from 1)."""
    ways = [f"segment {n}", f"number {n}", f"part {n}", f"step {n}", f"#{n}", f"the {n}{_suffix(n)}"]
    if n <= len(ORDINALS):
        word = ORDINALS[n - 1]
        ways += [f"the {word} one", f"the {word} step", f"the {word} part", f"the {word} segment", f"the {word}"]
    if n == len(outline.captions) and n > 1:
        ways += ["the last one", "the last part", "the last", "the last segment", "the ending", "the last step"]
    names = _name_segment(outline, n)
    return str(_pick(rng, names if names and rng.random() < 0.4 else ways))


def _suffix(n: int) -> str:
    return {1: "st", 2: "nd", 3: "rd"}.get(n % 10 if n % 100 not in (11, 12, 13) else 0, "th")


class TurnMaker:
    """Draws turns."""

    def __init__(
        self, movements: Sequence[tuple[str, str]], captions: Sequence[str], scenes: Sequence[str],
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.movements, self.captions, self.rng = list(movements), list(captions), rng
        self.phrases = phrases()
        self.scenes = [*self.phrases.words["scenes"], *scenes]

    def outline(self, when: str) -> Outline:
        """Random segments that a group can speak about."""
        low, high = {"none": (0, 0), "some": (1, 5), "several": (2, 5), "takes": (1, 4), "any": (0, 4)}[when]
        count = int(self.rng.integers(low, high + 1))
        out = Outline(
            [str(_pick(self.rng, self.captions)) for _ in range(count)],
            [float(self.rng.integers(3, 14)) / 2 for _ in range(count)],
        )
        if when == "takes" or (count and self.rng.random() < 0.03):
            out.takes = int(self.rng.integers(2, 4))
        out.planned = bool(self.rng.random() < 0.06)
        return out

    def movement(self) -> tuple[str, str]:
        wording, caption = _pick(self.rng, self.movements)
        wording = vary(caption, self.rng) if wording == caption else wording
        return wording.lower().rstrip(" ."), caption.lower().rstrip(" .")

    def _value(self, slot: str, act: str, outline: Outline, used_segment: int) -> tuple[str, str]:
        """The words of a slot in the request, and in the line of acts."""
        rng, words = self.rng, self.phrases.words
        count = len(outline.captions)
        match slot:
            case "cap" | "cap2":
                return self.movement()
            case "seg":
                n = int(rng.integers(1, count + 1))
                return say_segment(outline, n, rng), str(n)
            case "last" | "end":
                return "", str(count)
            case "dur" | "long":
                seconds = float(_pick(rng, _LENGTHS if slot == "dur" else _LONG))
                return say_seconds(seconds, rng), f"{seconds:g}s"
            case "n":
                if act == "move":
                    n = int(_pick(rng, [i for i in range(1, count + 1) if i != used_segment]))
                else:
                    n = int(rng.integers(2, 8))
                return (NUMBERS[n] if rng.random() < 0.4 and act != "move" else str(n)), str(n)
            case "steps":
                n = int(rng.integers(2, 6))
                return _pick(rng, [NUMBERS[n], str(n)]), str(n)
            case "times":
                n = int(_pick(rng, [2, 2, 3, 3, 4, 5, 6, 8, 10]))
                ways = [f"{n} times", f"x{n}", f"{NUMBERS[n]} times", f"{n}x", *(["twice"] if n == 2 else [])]
                return _pick(rng, ways), f"x{n}"
            case "x":
                factor = _pick(rng, list(_FACTORS))
                return _pick(rng, _FACTORS[factor]), f"x{factor:g}"
            case "change":
                change = _pick(rng, list(self.phrases.changes))
                return _pick(rng, self.phrases.changes[change]), change
            case "take":
                letter = "abc"[int(rng.integers(outline.takes))]
                return letter, letter
            case "file" | "sound":
                kind = words["motions"] if slot == "file" else words["sounds"]
                value = f"{_pick(rng, words['names'])}.{_pick(rng, kind)}"
            case "scene":
                value = str(_pick(rng, self.scenes)).lower().rstrip(".")
            case _:
                value = _pick(rng, words[{"fmt": "formats", "face": "faces", "name": "names"}[slot]])
        return value, value

    def turn(self, act: str) -> tuple[str, Outline, list[Act]]:
        """A request, the segments that exist before it, and its acts."""
        groups = self.phrases.turns[act]
        weights = np.sqrt([len(g.phrases) for g in groups])
        group: PhraseGroup = groups[int(self.rng.choice(len(groups), p=weights / weights.sum()))]
        outline = self.outline(group.when)
        phrase = str(_pick(self.rng, group.phrases))
        wording, acts = self.fill_phrase(act, group, phrase, outline)
        # Now and then with words around it that mean nothing.
        if act not in ("chat", "clarify", "help") and self.rng.random() <= FILLED:
            before = self.rng.random() < 0.5
            filler = str(_pick(self.rng, _OPENINGS if before else _CLOSINGS))
            wording = filler + wording if before else wording + filler
        return " ".join(wording.split()), outline, acts

    def fill_phrase(self, act: str, group: PhraseGroup, phrase: str, outline: Outline) -> tuple[str, list[Act]]:
        """A phrase and the acts of its line, with the same values in their slots."""
        line = group.line
        used_segment = 0
        for slot in dict.fromkeys(_SLOT.findall(group.line)):
            wording, value = self._value(slot, act, outline, used_segment)
            used_segment = int(value) if slot == "seg" else used_segment
            phrase = phrase.replace(f"{{{slot}}}", wording.replace("|", " "))
            line = line.replace(f"{{{slot}}}", value.replace("|", " "))
        return phrase, read(line)


# Training pairs: recorded dialogues, replayed and mirrored, then drawn turns.
PAIRS, PAIRS_EACH = 10_000, 500  # at most, and for each recorded dialogue
REPLAYS = 3  # of every recorded dialogue, with other lengths and with or without the history
HISTORY = 0.5  # share of made-up turns that know the turn before
# how often an act is asked for, beside the others
_OFTEN = {
    "then": 6.0, "edit": 5.0, "make": 4.0, "retime": 3.0, "before": 2.0, "question": 2.0, "speed": 1.5, "save": 1.5,
    "total": 1.5, "replace": 1.5, "describe": 1.5, "clarify": 0.5, "chat": 0.7, "help": 0.6, "play": 0.6, "face": 0.6,
    "speak": 0.6,
}  # fmt: skip


@dataclass(frozen=True)
class DialogueTurn:
    """One recorded turn."""

    user: str  # what was said
    acts: tuple[Act, ...]  # behind it
    timeline: str  # the segments before it, as `instruct_data.dialogue.acts.outline` writes them
    count: int  # how many
    history: tuple[str, ...]  # the user's last two turns before it, oldest first
    captions: tuple[str, ...] = ()  # theirs

    @property
    def slots(self) -> dict[str, str]:
        """Of the task ``chat_turn``: the request, the turn before it (where there is one), the timeline."""
        slots = {"request": " ".join(self.user.lower().split()), "timeline": self.timeline}
        if earlier := " / ".join(" ".join(h.lower().split())[:120] for h in self.history[-1:]):
            slots["history"] = earlier
        return slots


def read_dialogues(path: Path) -> list[list[tuple[str, list[Act]]]]:
    """A file of dialogues: per dialogue the turns as (user, acts)."""
    out = []
    for number, row in json_rows(path):
        try:
            turns = [(str(t["user"]), [from_json(a) for a in t["acts"]]) for t in row["turns"]]
        except (KeyError, TypeError, UserError) as e:
            raise UserError(f"{path}: line {number}: not a dialogue ({e})") from None
        out.append(turns)
    return out


def replay_dialogues(
    dialogues: Sequence[Sequence[tuple[str, list[Act]]]], rng: np.random.Generator
) -> list[DialogueTurn]:
    """Every turn with the segments after the turns before it; lengths that are not named are drawn."""
    out = []
    for turns in dialogues:
        state = Replay(rng)
        history: list[str] = []
        for user, acts in turns:
            now = state.now
            out.append(
                DialogueTurn(user, tuple(acts), now.text, len(now.captions), tuple(history[-2:]), tuple(now.captions))
            )
            history.append(user)
            for act in acts:
                state.apply(act)
    return out


def _mirror_dialogue(turns: Sequence[tuple[str, list[Act]]]) -> list[tuple[str, list[Act]]] | None:
    """The same dialogue for the other side of the body; None when it names no side."""
    if not any(side_of(user) in ("left", "right") for user, _ in turns):
        return None

    def act(a: Act) -> Act:
        values = a.to_json()
        texts = {k: mirror_text(v) for k, v in values.items() if k in ("text", "change", "about")}
        return Act(**(values | texts))

    return [(mirror_text(user), [act(a) for a in acts]) for user, acts in turns]


def _beside(folder: Path, name: str) -> Path:
    """The folder of other texts beside that of the dialogues; the packaged texts where there is none."""
    return folder.parent / name if (folder.parent / name).is_dir() else unpack_texts(name)


def _movements(folder: Path, recorded: Sequence[DialogueTurn]) -> list[tuple[str, str]]:
    """(wording, caption): what the dialogues say, and the caption bank, rewrites and everyday requests."""
    creating = ("make", "then", "before", "replace")
    captions_used = [a.text for t in recorded for a in t.acts if a.do in creating and a.text]
    out = [(c, c) for c in dict.fromkeys(captions_used)]
    text = _beside(folder, "text")
    bank = CaptionBank(text / "body_captions.json")
    requests = everyday_requests()
    classes = set(requests.classes())
    for key in bank.actions:
        captions = [
            " ".join(t.replace("{person}", "a person").replace("{manner}", "").split()).replace(" ,", ",")
            for t in bank.templates(key, side_of(key.replace("_", " ")), True)
        ]
        out += [(c, c) for c in captions]
        if key in classes and captions:
            out += [(r, captions[0]) for r in requests.requests(key) if side_of(r) in (None, side_of(captions[0]))]
    for item in Rewrites(text / "rewrites_train.jsonl", bank).items:
        if len(item.plain) == 1:
            out.append((item.prompt, item.plain[0]))
    return out


def make_up_turns(
    folder: Path, recorded: Sequence[DialogueTurn], count: int, rng: np.random.Generator
) -> list[DialogueTurn]:
    """`count` turns over random segments in the phrases of ``dialogues.yaml``, about the movements of the dialogues and
    of the texts beside them."""
    movements = _movements(folder, recorded)
    captions = [c for c in dict.fromkeys(c for _, c in movements) if len(c.split()) <= 12]
    scenes = [str(row["scene"]) for _, row in json_rows(_beside(folder, "planning") / "train.jsonl")]
    maker = TurnMaker(movements, captions, [s for s in scenes if len(s.split()) <= 9], rng)
    acts = list(maker.phrases.turns)
    weights = np.array([_OFTEN.get(a, 1.0) for a in acts])
    out = []
    for act in rng.choice(acts, count, p=weights / weights.sum()):
        user, outline, asked_acts = maker.turn(str(act))
        before: tuple[str, ...] = ()
        if outline.captions and rng.random() < HISTORY:
            # A turn that can have made the last segment.
            opening = ["", "then ", "and then ", "he ", "now "] if len(outline.captions) > 1 else ["", "make ", "he "]
            before = (_pick(rng, opening) + outline.captions[-1].removeprefix("a person "),)
        out.append(DialogueTurn(user, tuple(asked_acts), outline.text, len(outline.captions), before))
    return out


def dialogue_pairs(folder: Path, seed: int = 0) -> list[tuple[dict[str, str], str]]:
    """Training pairs of the task ``chat_turn``.

    The recorded dialogues (``train.jsonl`` of `folder`) are replayed over the segments that their acts make, also
    mirrored left to right; turns made up from ``dialogues.yaml`` bring the number to `PAIRS`, or `PAIRS_EACH` for each
    of few dialogues.

    Args:
        folder: of the dialogues; ``text`` and ``planning`` beside it, else those of the package, give movements and
            scenes.
        seed: decides everything that is drawn.

    Returns:
        (slots, answer): what `Task.render` takes, and the line of acts.
    """
    rng = np.random.default_rng([seed, 31])
    dialogues = read_dialogues(Path(folder) / "train.jsonl")
    mirrored = [m for m in map(_mirror_dialogue, dialogues) if m]
    turns = [t for _ in range(REPLAYS) for t in replay_dialogues(dialogues, rng)] + replay_dialogues(mirrored, rng)
    for i, turn in enumerate(turns):
        if rng.random() < 0.3:
            turns[i] = replace(turn, history=())
    count = min(PAIRS, PAIRS_EACH * len(dialogues)) - len(turns)
    turns += make_up_turns(Path(folder), turns, max(0, count), rng)
    pairs = [(t.slots, write(t.acts).lower()) for t in turns]
    return list({(*slots.values(), answer): (slots, answer) for slots, answer in pairs}.values())
