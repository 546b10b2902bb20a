"""Conversations with the acts behind every turn -> training pairs of the task ``chat_turn``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from instruct_data.dialogue.acts import Act, from_json, write
from instruct_data.dialogue.outline import Outline, Replay
from instruct_data.dialogue.turns import TurnMaker
from instruct_data.text.captions import CaptionBank
from instruct_data.text.everyday import everyday_requests
from instruct_data.text.mirror import mirror_text, side_of
from instruct_data.text.rewrites import Rewrites
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

PAIRS = 10_000
REPLAYS = 3  # of every recorded dialogue, with other lengths and with or without the history
HISTORY = 0.5  # share of made-up turns that know the turn before
# how often an act is asked for, beside the others
_OFTEN = {
    "then": 6.0, "edit": 5.0, "make": 4.0, "retime": 3.0, "before": 2.0, "question": 2.0, "speed": 1.5, "save": 1.5,
    "total": 1.5, "replace": 1.5, "describe": 1.5, "clarify": 0.5, "chat": 0.7, "help": 0.6, "play": 0.6, "face": 0.6,
    "speak": 0.6,
}  # fmt: skip
_SIDED = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Turn:
    """One recorded turn.

    Attributes:
        user: what was said. acts: behind it.
        timeline: the segments before it, as `instruct_data.dialogue.outline.outline` writes them. count: how many.
        captions: theirs.
        history: the user's last two turns before it, oldest first.
    """

    user: str
    acts: tuple[Act, ...]
    timeline: str
    count: int
    history: tuple[str, ...]
    captions: tuple[str, ...] = ()

    @property
    def slots(self) -> dict[str, str]:
        """Of the task ``chat_turn``."""
        return turn_slots(self.user, self.timeline, self.history)


def turn_slots(user: str, timeline: str, history: Sequence[str] = ()) -> dict[str, str]:
    """The slots of ``chat_turn``: the request, the last turn but it (when there is one), the timeline."""
    out = {"request": " ".join(user.lower().split()), "timeline": timeline}
    if said := " / ".join(" ".join(h.lower().split())[:120] for h in history[-1:]):
        out["history"] = said
    return out


def read_dialogues(path: Path) -> list[list[tuple[str, list[Act]]]]:
    """A file of dialogues: per dialogue the turns as (user, acts).

    Raises:
        UserError: names the file and line of the first bad row.
    """
    out = []
    for number, row in json_rows(path):
        try:
            turns = [(str(t["user"]), [from_json(a) for a in t["acts"]]) for t in row["turns"]]
        except (KeyError, TypeError, UserError) as e:
            raise UserError(f"{path}: line {number}: not a dialogue ({e})") from None
        out.append(turns)
    return out


def replayed(dialogues: Sequence[Sequence[tuple[str, list[Act]]]], rng: np.random.Generator) -> list[Turn]:
    """Every turn with the segments that the turns before it leave; lengths that nobody named are drawn."""
    out = []
    for turns in dialogues:
        state = Replay(rng)
        said: list[str] = []
        for user, acts in turns:
            now = state.now
            out.append(Turn(user, tuple(acts), now.text, len(now.captions), tuple(said[-2:]), tuple(now.captions)))
            said.append(user)
            for act in acts:
                state.apply(act)
    return out


def _mirrored(turns: Sequence[tuple[str, list[Act]]]) -> list[tuple[str, list[Act]]] | None:
    """The same dialogue for the other side of the body; None when it names no side."""
    if not any(side_of(user) in _SIDED for user, _ in turns):
        return None

    def act(a: Act) -> Act:
        values = a.to_json()
        texts = {k: mirror_text(v) for k, v in values.items() if k in ("text", "change", "about")}
        return Act(**(values | texts))

    return [(mirror_text(user), [act(a) for a in acts]) for user, acts in turns]


def _movements(folder: Path, recorded: Sequence[Turn]) -> list[tuple[str, str]]:
    """(wording, caption): what the dialogues say, and the caption bank, rewrites and everyday requests."""
    own = [a.text for t in recorded for a in t.acts if a.do in ("make", "then", "before", "replace") and a.text]
    out = [(c, c) for c in dict.fromkeys(own)]
    text = folder.parent / "text"
    if not (text / "body_captions.json").is_file():
        return out
    bank = CaptionBank(text / "body_captions.json")
    book = everyday_requests()
    known = set(book.classes())
    for key in bank.actions:
        captions = [
            " ".join(t.replace("{person}", "a person").replace("{manner}", "").split()).replace(" ,", ",")
            for t in bank.templates(key, side_of(key.replace("_", " ")), True)
        ]
        out += [(c, c) for c in captions]
        if key in known and captions:
            out += [(r, captions[0]) for r in book.requests(key) if side_of(r) in (None, side_of(captions[0]))]
    for item in Rewrites(text / "rewrites_train.jsonl", bank).items:
        if len(item.plain) == 1:
            out.append((item.prompt, item.plain[0]))
    return out


def _scenes(folder: Path) -> list[str]:
    path = folder.parent / "planning" / "train.jsonl"
    if not path.is_file():
        return []
    rows = [str(row["scene"]) for _, row in json_rows(path)]
    return [r for r in rows if len(r.split()) <= 9]


def turn_maker(folder: Path, recorded: Sequence[Turn], rng: np.random.Generator) -> TurnMaker:
    """Draws turns about the movements of the dialogues and of the texts beside them."""
    movements = _movements(folder, recorded)
    captions = [c for c in dict.fromkeys(c for _, c in movements) if len(c.split()) <= 12]
    return TurnMaker(movements, captions, _scenes(folder), rng)


def made_up(folder: Path, recorded: Sequence[Turn], count: int, rng: np.random.Generator) -> list[Turn]:
    """`count` turns over random segments in the phrases of ``dialogues.yaml``."""
    maker = turn_maker(folder, recorded, rng)
    acts = list(maker.phrases.turns)
    weights = np.array([_OFTEN.get(a, 1.0) for a in acts])
    out = []
    for act in rng.choice(acts, count, p=weights / weights.sum()):
        user, outline, asked = maker.turn(str(act))
        before: tuple[str, ...] = ()
        if outline.captions and rng.random() < HISTORY:
            before = (_earlier(outline, maker),)
        out.append(Turn(user, tuple(asked), outline.text, len(outline.captions), before))
    return out


def _earlier(outline: Outline, maker: TurnMaker) -> str:
    """A turn that can have made the last segment."""
    caption = outline.captions[-1].removeprefix("a person ")
    opening = ["", "then ", "and then ", "he ", "now "] if len(outline.captions) > 1 else ["", "make ", "he "]
    return f"{opening[int(maker.rng.integers(len(opening)))]}{caption}"


def all_turns(folder: Path, seed: int = 0, count: int = PAIRS) -> list[Turn]:
    """Recorded and made-up turns; see `dialogue_pairs`."""
    rng = np.random.default_rng([seed, 31])
    dialogues = read_dialogues(Path(folder) / "train.jsonl")
    other = [m for m in map(_mirrored, dialogues) if m]
    turns = [t for _ in range(REPLAYS) for t in replayed(dialogues, rng)] + replayed(other, rng)
    for i, turn in enumerate(turns):
        if rng.random() < 0.3:
            turns[i] = replace(turn, history=())
    return turns + made_up(Path(folder), turns, max(0, count - len(turns)), rng)


def dialogue_pairs(folder: Path, seed: int = 0) -> list[tuple[dict[str, str], str]]:
    """Training pairs of the task ``chat_turn``.

    The recorded dialogues (``train.jsonl`` of `folder`) are replayed over the segments that their acts make, also
    mirrored left to right; turns made up from ``dialogues.yaml`` bring the number to `PAIRS`.

    Args:
        folder: of the dialogues; ``text`` and ``planning`` beside it give movements and scenes where they are there.
        seed: decides everything that is drawn.

    Returns:
        (slots, answer): what `Task.render` takes, and the line of acts.

    Raises:
        UserError: a file that cannot be read.
    """
    pairs = [(t.slots, write(t.acts).lower()) for t in all_turns(folder, seed)]
    seen: set[tuple[str, ...]] = set()
    out = []
    for slots, answer in pairs:
        key = (*slots.values(), answer)
        if key not in seen:
            seen.add(key)
            out.append((slots, answer))
    return out
