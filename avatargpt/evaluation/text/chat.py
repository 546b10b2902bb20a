"""How well turns of recorded conversations are understood: the acts, by every reading there is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.chat.intent import Intent
from avatargpt.chat.turn_intent import open_intent
from avatargpt.chat.turn_text import ChatTurn, named_files
from avatargpt.evaluation.parts import UNKEPT, Parts
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.suites import Suite
from avatargpt.requests.lexical import lemmas
from instruct_data.dialogue.acts import SHAPES, Act, write
from instruct_data.dialogue.dialogues import Turn, read_dialogues, replayed
from vqvae.errors import UserError

ALIKE = 0.5  # F1 of content words from which two wordings count as the same
READER = "turns"  # in the names of figures: who reads
READ_AT_ONCE = 16  # turns whose readings are kept together
_LAST = ("edit", "retime", "again", "delete", "before", "replace")


def alike(a: str, b: str) -> bool:
    """Whether two wordings share enough content words (F1 of lemmas)."""
    x, y = lemmas(a), lemmas(b)
    if not x or not y:
        return a.split() == b.split()
    return 2 * len(set(x) & set(y)) / (len(set(x)) + len(set(y))) >= ALIKE


def plain(act: Act, count: int) -> Act:
    """The length of the only segment is the length of all."""
    return Act("total", seconds=act.seconds) if act.do == "retime" and count == 1 else act


def same_act(a: Act, b: Act, count: int) -> bool:
    """Whether two acts do the same: equal numbers, files and choices, like texts; no segment means the last.

    Args:
        count: segments there are.
    """
    if a.do != b.do:
        return False
    for name in (f.name for f in fields(Act) if f.name != "do"):
        x, y = getattr(a, name), getattr(b, name)
        if name == "segment" and (a.do in _LAST or count == 1):
            x, y = x or count, y or count
        if SHAPES[name] == "text" and name not in ("name", "file") and x is not None and y is not None:
            if not alike(x, y):
                return False
        elif isinstance(x, str) and isinstance(y, str):
            if x.lower() != y.lower():
                return False
        elif x != y:
            return False
    return True


def score(suite: Suite, data: Path | None, model: Any, parts: Parts = UNKEPT) -> dict[str, Any]:
    """Every turn of the validation dialogues, replayed over the true acts before it.

    Args:
        suite: of kind ``chat``.
        data: folder with ``val.jsonl`` of the dialogues.
        model: an `avatargpt.AvatarGPT`.

    Returns:
        ``kinds/turns``: share of turns whose acts are of the right kinds in the right order; ``acts/turns``: share
        whose acts are right in full; both by kind of the first act; ``clarified/turns``: share of turns left to a
        question although the recording does something; and every turn with its answers.

    Raises:
        UserError: no dialogues.
    """
    if data is None or not (Path(data) / "val.jsonl").is_file():
        raise UserError("chat: needs the recorded dialogues; name their folder (with val.jsonl) with --data")
    rng = np.random.default_rng(suite.seeds[0])
    turns = replayed(read_dialogues(Path(data) / "val.jsonl"), rng)
    rows: list[dict[str, Any]] = [{"user": t.user, "timeline": t.timeline, "acts": write(t.acts)} for t in turns]
    answers = read_all(open_intent(model), turns, parts)
    results = judged(READER, turns, answers)
    for row, answer in zip(rows, answers, strict=True):
        row[READER] = write(answer) if answer else "-"
    return {"results": results, "turns": rows}


def heard(turn: Turn) -> ChatTurn:
    """A recorded turn as a conversation hears it, with the true acts of all turns before it."""
    request = " ".join(turn.user.lower().split())
    shown, _, takes = turn.timeline.partition("| takes ")
    lengths = (float(row.split()[-1].rstrip("s")) for row in shown.split(" | ")[0].split("; ") if row[:1].isdigit())
    return ChatTurn(
        request, turn.timeline, turn.captions, len(takes.split(" |")[0].split()), turn.history,
        tuple(n.lower() for n in named_files(request)), turn.timeline.endswith("| plan"), tuple(lengths),
    )  # fmt: skip


def read_all(intent: Intent, turns: Sequence[Turn], parts: Parts = UNKEPT) -> list[list[Act]]:
    """What an intent makes of every turn; empty = it asks back."""
    def read(some: list[Turn]) -> list[list[Act]]:
        return [_read(intent, t) for t in some]

    kept = parts.remembering(f"turns as {intent.name} reads them", read)
    chunks = (list(turns[i : i + READ_AT_ONCE]) for i in range(0, len(turns), READ_AT_ONCE))
    return [answer for chunk in chunks for answer in kept(chunk)]


def _read(intent: Intent, turn: Turn) -> list[Act]:
    try:
        return intent.understand(heard(turn)) or []
    except UserError:  # an order that leaves something open is asked back, too
        return []


def judged(name: str, turns: Sequence[Turn], answers: Sequence[Sequence[Act]]) -> dict[str, Any]:
    """The figures of one reading."""
    kinds: dict[str, list[float]] = defaultdict(list)
    acts: dict[str, list[float]] = defaultdict(list)
    asked = []
    for turn, answer in zip(turns, answers, strict=True):
        given = [plain(a, turn.count) for a in answer] or [Act("clarify")]
        wanted = [plain(a, turn.count) for a in turn.acts]
        right = [a.do for a in given] == [a.do for a in wanted]
        full = right and all(same_act(a, b, turn.count) for a, b in zip(given, wanted, strict=True))
        for key in ("", f"/{turn.acts[0].do}"):
            kinds[key].append(float(right))
            acts[key].append(float(full))
        asked.append(float(given[0].do == "clarify" and turn.acts[0].do != "clarify"))
    out = {f"kinds/{name}": figure(kinds.pop("")), f"acts/{name}": figure(acts.pop(""))}
    out[f"clarified/{name}"] = figure(asked)
    for key in sorted(kinds, key=lambda k: -len(kinds[k])):
        out |= {f"kinds/{name}{key}": figure(kinds[key]), f"acts/{name}{key}": figure(acts[key])}
    return out
