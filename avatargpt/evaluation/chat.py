"""The suites `chat` and `chat_fresh`: acts read from turns, and the timeline at the end of a chain of turns."""
# In a chain everything is the product's own but the motions: the model returns a body that stands still, as long as was
# asked for or `DEFAULT_SECONDS`. So a chain asks what was understood and done to the timeline, not how it looks.

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.intent import Intent, open_intent
from avatargpt.chat.timeline import Timeline
from avatargpt.chat.turn_text import ChatTurn, named_files
from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.requests import Judge
from avatargpt.evaluation.suites import Run, Suite, folder
from avatargpt.requests.english import lemmas, times
from instruct_data.dialogue.acts import SHAPES, Act, outline, read, write
from instruct_data.dialogue.dialogues import Turn, read_dialogues, replayed
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion

MIN_WORD_F1 = 0.5  # of content words, from which two wordings count as the same
READ_AT_ONCE = 16  # turns whose readings are stored together
DEFAULT_SECONDS = 4.0
READER = "turns"  # in the names of figures: the reader of turns
MAX_SECONDS_OFF = 0.3  # by which a length may differ from what was asked for
STANDING = 0.97  # m
_LAST = ("edit", "retime", "again", "delete", "before", "replace")


def similar_wording(a: str, b: str) -> bool:
    """Whether two wordings share enough content words (F1 of lemmas)."""
    x, y = lemmas(a), lemmas(b)
    if not x or not y:
        return a.split() == b.split()
    return 2 * len(set(x) & set(y)) / (len(set(x)) + len(set(y))) >= MIN_WORD_F1


def normalised_act(act: Act, count: int) -> Act:
    """The length of the only segment is the length of all."""
    return Act("total", seconds=act.seconds) if act.do == "retime" and count == 1 else act


def same_act(a: Act, b: Act, count: int) -> bool:
    """Whether two acts do the same: equal numbers, files and choices, like texts; no segment means the last."""
    if a.do != b.do:
        return False
    for name in (f.name for f in fields(Act) if f.name != "do"):
        x, y = getattr(a, name), getattr(b, name)
        if name == "segment" and (a.do in _LAST or count == 1):
            x, y = x or count, y or count
        if SHAPES[name] == "text" and name not in ("name", "file") and x is not None and y is not None:
            if not similar_wording(x, y):
                return False
        elif isinstance(x, str) and isinstance(y, str):
            if x.lower() != y.lower():
                return False
        elif x != y:
            return False
    return True


def evaluate(run: Run) -> dict[str, Any]:
    """The suite `chat` on a run's dialogues."""
    return score(run.suite, run.data, run.model, run.cache)


def evaluate_fresh(run: Run) -> dict[str, Any]:
    """The suite `chat_fresh`."""
    return score_fresh(run.suite, run.model, run.cache)


def score(suite: Suite, data: Path | None, model: Any, cache: AnswerCache = NO_CACHE) -> dict[str, Any]:
    """Every turn of the validation dialogues, replayed over the true acts before it.

    Returns:
        ``kinds/turns``: share of turns whose acts are of the right kinds in the right order; ``acts/turns``: share
        whose acts are right in full; both by kind of the first act; ``clarified/turns``: share of turns left to a
        question although the recording does something; and every turn with its answers.
    """
    if data is None or not (Path(data) / "val.jsonl").is_file():
        raise UserError("chat: needs the recorded dialogues; name their folder (with val.jsonl) with --data")
    rng = np.random.default_rng(suite.seeds[0])
    turns = replayed(read_dialogues(Path(data) / "val.jsonl"), rng)
    rows: list[dict[str, Any]] = [{"user": t.user, "timeline": t.timeline, "acts": write(t.acts)} for t in turns]
    answers = read_all(open_intent(model), turns, cache)
    for row, answer in zip(rows, answers, strict=True):
        row[READER] = write(answer) if answer else "-"
    return {"results": figures(READER, turns, answers), "turns": rows}


def incoming_turn(turn: Turn) -> ChatTurn:
    """A recorded turn as a conversation receives it, with the true acts of all turns before it."""
    request = " ".join(turn.user.lower().split())
    segments, _, takes = turn.timeline.partition("| takes ")
    lengths = (float(row.split()[-1].rstrip("s")) for row in segments.split(" | ")[0].split("; ") if row[:1].isdigit())
    return ChatTurn(
        request, turn.timeline, turn.captions, len(takes.split(" |")[0].split()), turn.history,
        tuple(n.lower() for n in named_files(request)), turn.timeline.endswith("| plan"), tuple(lengths),
    )  # fmt: skip


def read_all(intent: Intent, turns: Sequence[Turn], cache: AnswerCache = NO_CACHE) -> list[list[Act]]:
    """The acts that an intent reads in every turn; empty = it asks back."""
    def read(batch: list[Turn]) -> list[list[Act]]:
        return [_read(intent, t) for t in batch]

    cached = cache.wrap(f"turns as {intent.name} reads them", read)
    chunks = (list(turns[i : i + READ_AT_ONCE]) for i in range(0, len(turns), READ_AT_ONCE))
    return [answer for chunk in chunks for answer in cached(chunk)]


def _read(intent: Intent, turn: Turn) -> list[Act]:
    try:
        return intent.understand(incoming_turn(turn)) or []
    except UserError:  # an order that leaves something open is asked back, too
        return []


def figures(name: str, turns: Sequence[Turn], answers: Sequence[Sequence[Act]]) -> dict[str, Any]:
    """The figures of one reading."""
    kinds: dict[str, list[float]] = defaultdict(list)
    acts: dict[str, list[float]] = defaultdict(list)
    clarified = []
    for turn, answer in zip(turns, answers, strict=True):
        predicted = [normalised_act(a, turn.count) for a in answer] or [Act("clarify")]
        expected = [normalised_act(a, turn.count) for a in turn.acts]
        right = [a.do for a in predicted] == [a.do for a in expected]
        full = right and all(same_act(a, b, turn.count) for a, b in zip(predicted, expected, strict=True))
        for key in ("", f"/{turn.acts[0].do}"):
            kinds[key].append(float(right))
            acts[key].append(float(full))
        clarified.append(float(predicted[0].do == "clarify" and turn.acts[0].do != "clarify"))
    out = {f"kinds/{name}": figure(kinds.pop("")), f"acts/{name}": figure(acts.pop(""))}
    out[f"clarified/{name}"] = figure(clarified)
    for key in sorted(kinds, key=lambda k: -len(kinds[k])):
        out |= {f"kinds/{name}{key}": figure(kinds[key]), f"acts/{name}{key}": figure(acts[key])}
    return out


class StandingModel:
    """A model whose motions stand still; everything else is the model's."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, texts: list[str], seconds: float | None = None, **_: Any) -> list[Motion]:
        frames = max(round((seconds or DEFAULT_SECONDS) * 20), 4)
        rotations = np.zeros((frames, 22, 4), np.float32)
        rotations[..., 0] = 1
        root = np.tile(np.array([0, STANDING, 0], np.float32), (frames, 1))
        return [Motion(rotations, root, caption=t) for t in texts]


def score_fresh(suite: Suite, model: Any, cache: AnswerCache = NO_CACHE) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``chat_fresh``; option ``rows``: file beside the suites.

    Returns:
        ``kinds``, ``acts``, ``clarified`` as of the suite ``chat``; ``chains/turns``: share of the chains
        that end in the right timeline (`timeline_faults`), and what was wrong in the others.
    """
    rows = [row for _, row in json_rows(folder() / suite.options["rows"])]
    turns = [_turn(row) for row in rows if "user" in row]
    chains = [row for row in rows if "turns" in row]
    turn_rows: list[dict[str, Any]] = [{"user": t.user, "acts": write(t.acts)} for t in turns]
    ends: list[dict[str, Any]] = [{"said": row["turns"]} for row in chains]
    judge = Judge()
    intent = open_intent(model)
    answers = read_all(intent, turns, cache)
    results = figures(READER, turns, answers)
    for row, answer in zip(turn_rows, answers, strict=True):
        row[READER] = write(answer) if answer else "-"

    def faults(row: dict[str, Any]) -> list[str]:
        return timeline_faults(final_timeline(row["turns"], model, intent), row, judge)

    chain = cache.wrap(f"chain as {intent.name} reads it", faults)
    for row, end in zip(chains, ends, strict=True):
        end[READER] = chain(row)
    results[f"chains/{READER}"] = figure([float(not end[READER]) for end in ends])
    return {"results": results, "turns": turn_rows, "chains": ends}


def _turn(row: dict[str, Any]) -> Turn:
    captions = tuple(s["caption"] for s in row["timeline"])
    line = outline(captions, [s["seconds"] for s in row["timeline"]])
    return Turn(row["user"], tuple(read(row["acts"])), line, len(captions), (), captions)


def final_timeline(turns: list[str], model: Any, intent: Intent) -> Timeline:
    """The timeline after some turns."""
    talk = Conversation(StandingModel(model), intent=intent)
    for turn in turns:
        talk.say(turn)
    return talk.timeline


def timeline_faults(timeline: Timeline, row: dict[str, Any], judge: Judge) -> list[str]:
    """What differs from the right timeline: number and order of segments, actions, lengths, counts, sides, rounds."""
    segments = timeline.segments
    out = []
    if len(segments) != len(row["final"]):
        out.append(f"{len(segments)} segments instead of {len(row['final'])}: {[s.caption for s in segments]}")
    for i, (segment, goal) in enumerate(zip(segments, row["final"], strict=False), 1):
        if not any(judge.matches(segment.caption, form) for form in (goal["action"], *goal.get("alternatives", ()))):
            out.append(f"segment {i}: {segment.caption!r} instead of {goal['action']}")
        if "seconds" in goal and abs(segment.motion.seconds - goal["seconds"]) > MAX_SECONDS_OFF:
            out.append(f"segment {i}: {segment.motion.seconds:.2f} s instead of {goal['seconds']:g}")
        if "count" in goal and times(segment.caption)[0] != goal["count"]:
            out.append(f"segment {i}: {segment.caption!r} instead of {goal['count']} times")
        if "side" in goal and goal["side"] not in segment.caption.split():
            out.append(f"segment {i}: {segment.caption!r} instead of {goal['side']}")
    if "total" in row and abs(timeline.seconds - row["total"]) > MAX_SECONDS_OFF:
        out.append(f"{timeline.seconds:.2f} s instead of {row['total']:g}")
    if row.get("loops", 1) != timeline.loops:
        out.append(f"{timeline.loops} rounds instead of {row.get('loops', 1)}")
    return out
