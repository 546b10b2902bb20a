"""The suites `sessions` and `turns_held`: conversations that build scenes of minutes, and single turns of such talk."""

# Of a conversation two things are judged: the timeline at its end, and after every turn whether all that the turn did
# not name still stands. Motions stand still (`StandingModel`), so this asks what was understood and done.

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.intent import Intent, open_intent
from avatargpt.chat.timeline import FPS, Timeline
from avatargpt.chat.turn_text import ChatTurn
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.requests import StandingModel, ask_turn, normalise_act, same_act
from avatargpt.evaluation.suites import Run, folder
from instruct_data.dialogue.acts import Act, read, write
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

# by which a segment's length may differ from before: a new neighbour may take half a second off each end for its seam
MAX_SEAM = 1.1  # s
FREE = ("captions", "order", "seconds")
OPEN_TAKES = 3  # where a take was asked for
_WORDS = re.compile("[a-z0-9]+")


@dataclass(frozen=True)
class SegmentRow:
    """A segment as it is judged."""

    caption: str
    about: tuple[str, ...]  # words of its caption, its activity, its name, and of its tempo
    seconds: float  # as it is played, loops included

    def names(self, words: Sequence[str]) -> bool:
        """Whether one of its words begins with one of these."""
        return any(w.startswith(word) for w in self.about for word in words)


def segment_rows(timeline: Timeline) -> list[SegmentRow]:
    """The segments of a timeline in order."""
    out = []
    for s, (a, b), times in zip(timeline.segments, timeline.spans, timeline.rounds, strict=True):
        words = _WORDS.findall(f"{s.caption} {s.activity} {s.name}".lower())
        tempo = ["slow"] if s.tempo < 1 else ["fast"] if s.tempo > 1 else []
        out.append(SegmentRow(s.caption, (*words, *tempo), (b - a) / FPS * times))
    return out


def _fits(run: Sequence[SegmentRow], row: dict[str, Any]) -> bool:
    """Whether neighbours are what a row of the expected timeline asks for."""
    low, high = row.get("seconds", (0.0, float("inf")))
    words = all(any(s.names(row[key]) for s in run) for key in ("about", "also") if key in row)
    return words and low <= sum(s.seconds for s in run) <= high


def final_faults(segments: Sequence[SegmentRow], session: dict[str, Any]) -> list[str]:
    """What differs from the expected timeline, empty = nothing.

    Every row takes one segment, or with ``several`` one or more neighbours (steps of an activity, a pause behind it),
    and no segment is left over.
    """
    ends = {0}  # numbers of segments that the rows so far may take
    out = []
    for row in session["final"]:
        longest = len(segments) if row.get("several") else 1
        after = {
            b for a in ends for b in range(a + 1, min(a + longest, len(segments)) + 1) if _fits(segments[a:b], row)
        }
        if not after:
            seconds = " of {:g} to {:g} s".format(*row["seconds"]) if "seconds" in row else ""
            what = "/".join(row["about"]) + "".join(f" and {'/'.join(row[k])}" for k in ("also",) if k in row)
            out.append(f"no {what}{seconds} behind segment {max(ends)}")
            break
        ends = after
    if not out and len(segments) not in ends:
        out.append(f"{len(segments) - max(ends)} segments more than expected")
    low, high = session["total"]
    if not low <= (total := sum(s.seconds for s in segments)) <= high:
        out.append(f"{total:.1f} s instead of {low:g} to {high:g}")
    return out


def list_lost(before: Sequence[SegmentRow], after: Sequence[SegmentRow], keeps: str | dict[str, Any]) -> list[str]:
    """Captions of segments that a turn lost or changed although it did not name them.

    Args:
        before, after: the turn.
        keeps: ``"all"``, or ``but``: words (or numbers) of segments that it may change, ``free``: what it may change of
            the others, of `FREE`.
    """
    rule = {} if isinstance(keeps, str) else keeps
    words = [w for w in rule.get("but", ()) if isinstance(w, str)]
    numbers = {w for w in rule.get("but", ()) if not isinstance(w, str)}
    free = rule.get("free", ())
    kept = [s for n, s in enumerate(before, 1) if n not in numbers and not s.names(words)]
    if "captions" in free:
        return [s.caption for s in kept[len(after):]]
    out, left, at = [], list(after), 0
    for s in kept:
        same = [i for i, t in enumerate(left) if t.caption == s.caption
                and ("seconds" in free or abs(t.seconds - s.seconds) <= MAX_SEAM)]  # fmt: skip
        if "order" not in free:
            same = [i for i in same if i >= at]
        if not same:
            out.append(s.caption)
        elif "order" in free:
            del left[same[0]]
        else:
            at = same[0] + 1
    return out


def play(session: dict[str, Any], model: Any, intent: Intent | None = None) -> dict[str, Any]:
    """A conversation from its first turn to its last, judged: ``turns``, ``end`` (faults) and ``timeline``."""
    turns = []
    with tempfile.TemporaryDirectory() as outputs:
        talk = Conversation(model, intent=intent, outputs=outputs)
        before: list[SegmentRow] = []
        for turn in session["turns"]:
            reply = talk.say(turn["user"])
            after = segment_rows(talk.timeline)
            turns.append({
                "user": turn["user"], "asked": not reply.acts, "acts": write(reply.acts) if reply.acts else "-",
                "reply": reply.text, "lost": list_lost(before, after, turn["keeps"]),
            })  # fmt: skip
            before = after
    rows = [f"{s.caption} {s.seconds:.1f}s" for s in before]
    return {"id": session["id"], "turns": turns, "end": final_faults(before, session), "timeline": rows}


def read_scenes(path: Path) -> list[dict[str, Any]]:
    """A file of conversations; raises UserError for a row that is none."""
    out = []
    for number, row in json_rows(path):
        turns, final = row.get("turns"), row.get("final")
        if not turns or not final or len(row.get("total", ())) != 2:
            raise UserError(f"{path}: line {number}: accepted an object with turns, final and total [low, high]")
        for turn in turns:
            keeps = turn.get("keeps")
            ok = keeps == "all" or (isinstance(keeps, dict) and {*keeps} <= {"but", "free"})
            if not ok or not {*(keeps.get("free", ()) if isinstance(keeps, dict) else ())} <= {*FREE}:
                raise UserError(f"{path}: line {number}: keeps {keeps!r}; accepted all, or but and free of {FREE}")
        out.append(row)
    return out


def evaluate_sessions(run: Run) -> dict[str, Any]:
    """The suite `sessions`.

    Returns:
        ``end``: share of conversations that end in the expected timeline; ``kept/turns``: share of turns that lose
        nothing which they did not name; ``kept/sessions``: share of conversations without such a turn; ``asked/turns``:
        share of turns that are answered by a question or a mistake; and every conversation with its turns.
    """
    intent = open_intent(run.model)
    still = StandingModel(run.model)
    sessions = read_scenes(folder() / run.suite.options["rows"])
    player: Callable[[dict[str, Any]], dict[str, Any]] = run.cache.wrap(
        f"conversation as {intent.name} reads it", lambda session: play(session, still, intent)
    )
    played = [player(session) for session in sessions]
    kept = [[float(not turn["lost"]) for turn in p["turns"]] for p in played]
    results = {
        "end": figure([float(not p["end"]) for p in played]), "kept/turns": figure([k for ks in kept for k in ks]),
        "kept/sessions": figure([min(ks) for ks in kept]),
        "asked/turns": figure([float(turn["asked"]) for p in played for turn in p["turns"]]),
    }  # fmt: skip
    return {"results": results, "sessions": played}


def receive_held_turn(row: dict[str, Any]) -> ChatTurn:
    """A row of `turns_held` as a conversation receives it."""
    captions = [s["caption"] for s in row["timeline"]]
    seconds = [float(s["seconds"]) for s in row["timeline"]]
    activities = [s.get("activity", "") for s in row["timeline"]]
    takes = OPEN_TAKES if row["asked"] == "take" else 0
    done = [f"{a.do} {a.segment}" if a.segment else a.do for a in read(row["done"])] if "done" in row else []
    before = tuple((said, reply) for said, reply in row.get("before", ()))
    return ask_turn(" ".join(row["user"].split()), captions, seconds, takes, activities, before, done)


def same_acts(a: Sequence[Act], b: Sequence[Act], count: int) -> bool:
    """Whether two turns do the same over `count` segments; one act on several segments has no order."""
    if len({x.do for x in (*a, *b)}) == 1:
        a, b = (sorted(x, key=lambda act: act.segment or count) for x in (a, b))
    a, b = ([normalise_act(act, count) if act.do == "edit" else act for act in x] for x in (a, b))
    # a name without a segment is for the one last spoken of
    a, b = ([replace(act, segment=act.segment or count) if act.do == "rename" else act for act in x] for x in (a, b))
    return len(a) == len(b) and all(same_act(x, y, count) for x, y in zip(a, b, strict=True))


def evaluate_turns(run: Run) -> dict[str, Any]:
    """The suite `turns_held`.

    Returns:
        ``acts/turns``: share of turns whose acts are those of a line of the row, numbers, segments and words alike;
        ``kinds/turns``: share whose kinds of acts are; ``asked/turns``: share that is answered by a question although
        the row does something; and every turn.
    """
    intent = open_intent(run.model)
    rows: list[dict[str, Any]] = []
    marks: dict[str, list[float]] = defaultdict(list)
    for _, row in json_rows(folder() / run.suite.options["rows"]):
        turn = receive_held_turn(row)
        try:
            acts, reply = intent.understand(turn) or [], ""
        except UserError as e:
            acts, reply = [], str(e)
        lines = [read(line) for line in row["acts"]]
        answer = acts or [Act("clarify")]
        count = len(turn.captions)
        marks["acts"].append(float(any(same_acts(answer, line, count) for line in lines)))
        marks["kinds"].append(float(any([a.do for a in answer] == [a.do for a in line] for line in lines)))
        marks["asked"].append(float(answer[0].do == "clarify" and all(line[0].do != "clarify" for line in lines)))
        rows.append({"user": row["user"], "acts": row["acts"],
                     "read": write(answer), "reply": reply, "right": bool(marks["acts"][-1])})  # fmt: skip
    return {"results": {f"{name}/turns": figure(values) for name, values in marks.items()}, "turns": rows}
