"""Suites of conversations: acts read from single turns, and the timeline at the end of several."""
# In a conversation everything is the product's own but the motions: `StandingModel` returns a body that stands still,
# as long as was asked for or `DEFAULT_SECONDS`. So this asks what was understood and done, not how it looks.

import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.intent import Intent, open_intent
from avatargpt.chat.timeline import FPS, Timeline
from avatargpt.chat.turn_text import TEMPO, ChatTurn, find_file_names
from avatargpt.chat.turns import acts_of
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.requests import READ_AT_ONCE, Judge
from avatargpt.evaluation.suites import Run, folder
from avatargpt.requests.english import lemmas, times
from instruct_data.dialogue.acts import SHAPES, Act, outline, read, write
from instruct_data.factory.dialogues import DialogueTurn, read_dialogues, replay_dialogues
from instruct_data.reading.examples import (
    LINE,
    TEXTS,
    Shown,
    read_lines,
    shorten_acts,
    turn_examples,
    write_timeline,
)
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion

MIN_WORD_F1 = 0.5  # of content words, from which two wordings count as the same
DEFAULT_SECONDS = 4.0
READER = "turns"  # in the names of figures: the reader of turns
MAX_SECONDS_OFF = 0.3  # by which a length may differ from what was asked for
STANDING = 0.97  # m
_LAST = ("edit", "retime", "again", "delete", "before", "replace")
# by which a segment's length may differ from before: a new neighbour may take half a second off each end for its seam
MAX_SEAM = 1.1  # s
FREE = ("captions", "order", "seconds")
OPEN_TAKES = 3  # where a take was asked for
_WORDS = re.compile("[a-z0-9]+")


def similar_wording(a: str, b: str) -> bool:
    """Whether two wordings share enough content words (F1 of lemmas)."""
    x, y = lemmas(a), lemmas(b)
    if not x or not y:
        return a.split() == b.split()
    return 2 * len(set(x) & set(y)) / (len(set(x)) + len(set(y))) >= MIN_WORD_F1


def normalise_act(act: Act, count: int) -> Act:
    """The length of the only segment is the length of all, and a tempo in words is a speed."""
    if act.do == "edit" and act.text is None and (tempo := TEMPO.get(str(act.change).removeprefix("much "))):
        return Act("speed", segment=act.segment or count or None, factor=tempo[str(act.change).startswith("much ")])
    return Act("total", seconds=act.seconds) if act.do == "retime" and count == 1 else act


def same_act(a: Act, b: Act, count: int) -> bool:
    """Whether two acts do the same: equal numbers, files and choices, like texts; no segment means the last.

    Two edits ask for alike captions, or one for a caption that has all words of the other's change.
    """
    if a.do != b.do:
        return False
    for name in (f.name for f in fields(Act) if f.name != "do"):
        x, y = getattr(a, name), getattr(b, name)
        if name == "about" or (a.do == "edit" and name in ("change", "text")):  # a question is judged by its answer
            continue
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
    if a.do != "edit":
        return True
    if (a.text is None) == (b.text is None):
        return similar_wording(str(a.change), str(b.change)) if a.text is None else similar_wording(a.text, str(b.text))
    with_text, other = (a, b) if a.text is not None else (b, a)
    return {*lemmas(str(other.change))} <= {*lemmas(str(with_text.text))}


def evaluate(run: Run) -> dict[str, Any]:
    """Every turn of the validation dialogues, replayed over the true acts before it; or every turn, and every chain of
    turns, of the option ``rows``, a file beside the suites.

    Returns:
        ``kinds/turns``: share of turns whose acts are of the right kinds in the right order; ``acts/turns``: share
        whose acts are right in full; both by kind of the first act; ``clarified/turns``: share of turns left to a
        question although the recording does something; ``chains/turns``: share of the chains that end in the right
        timeline (`timeline_faults`); and every turn with its answers, and what was wrong at the ends of chains.
    """
    suite, chains = run.suite, []
    turn_rows: list[dict[str, Any]]
    if "rows" in suite.options:
        rows = [row for _, row in json_rows(folder() / suite.options["rows"])]
        chains, turns = [row for row in rows if "turns" in row], []
        for row in (row for row in rows if "user" in row):
            captions = tuple(s["caption"] for s in row["timeline"])
            line = outline(captions, [s["seconds"] for s in row["timeline"]])
            turns.append(DialogueTurn(row["user"], tuple(read(row["acts"])), line, len(captions), (), captions))
        turn_rows = [{"user": t.user, "acts": write(t.acts)} for t in turns]
    else:
        if run.data is None or not (run.data / "val.jsonl").is_file():
            raise UserError("chat: needs the recorded dialogues; name their folder (with val.jsonl) with --data")
        turns = replay_dialogues(read_dialogues(run.data / "val.jsonl"), np.random.default_rng(suite.seeds[0]))
        turn_rows = [{"user": t.user, "timeline": t.timeline, "acts": write(t.acts)} for t in turns]
    intent = open_intent(run.model)

    def understand(batch: list[DialogueTurn]) -> list[list[Act]]:
        return [read_turn(intent, receive_turn(turn))[0] for turn in batch]

    cached = run.cache.wrap(f"turns as {intent.name} reads them", understand)
    chunks = (list(turns[i : i + READ_AT_ONCE]) for i in range(0, len(turns), READ_AT_ONCE))
    answers = [answer for chunk in chunks for answer in cached(chunk)]
    results = figures(READER, turns, answers)
    for shown, answer in zip(turn_rows, answers, strict=True):
        shown[READER] = write(answer) if answer else "-"
    if not chains:
        return {"results": results, "turns": turn_rows}
    judge = Judge()

    def faults(row: dict[str, Any]) -> list[str]:
        talk = Conversation(StandingModel(run.model), intent=intent)
        for turn in row["turns"]:
            talk.say(turn)
        return timeline_faults(talk.timeline, row, judge)

    chain = run.cache.wrap(f"chain as {intent.name} reads it", faults)
    ends = [{"said": row["turns"], READER: chain(row)} for row in chains]
    results[f"chains/{READER}"] = figure([float(not end[READER]) for end in ends])
    return {"results": results, "turns": turn_rows, "chains": ends}


def read_turn(intent: Intent, turn: ChatTurn) -> tuple[list[Act], str]:
    """The acts that an intent reads in a turn, none where it asks back, and what it says where it refuses."""
    try:
        return intent.understand(turn) or [], ""
    except UserError as e:  # an order that leaves something open is asked back, too
        return [], str(e)


def receive_turn(turn: DialogueTurn) -> ChatTurn:
    """A recorded turn as a conversation receives it, with the true acts of all turns before it."""
    request = " ".join(turn.user.split())
    segments, _, takes = turn.timeline.partition("| takes ")
    lengths = [float(row.split()[-1].rstrip("s")) for row in segments.split(" | ")[0].split("; ") if row[:1].isdigit()]
    lengths = [*[DEFAULT_SECONDS] * (len(turn.captions) - len(lengths)), *lengths]
    before = [(said, "") for said in turn.history]
    return ask_turn(request, turn.captions, lengths, len(takes.split(" |")[0].split()), before=before)


def ask_turn(
    request: str, captions: Sequence[str], seconds: Sequence[float], takes: int = 0, activities: Sequence[str] = (),
    before: Sequence[tuple[str, str]] = (), last: Sequence[str] = (),
) -> ChatTurn:  # fmt: skip
    """A turn about a timeline, as a conversation receives it; without turns before it, those that made the segments."""
    rows = enumerate(zip(captions, seconds, strict=True), 1)
    made = [(caption, f"Segment {n}: {caption} ({s:g} s).") for n, (caption, s) in rows]
    before, last = before or made[-2:], last or (["then" if len(made) > 1 else "make"] if made else [])
    names = tuple(activities) or ("",) * len(captions)
    shown = [Shown(c, s, name) for c, s, name in zip(captions, seconds, names, strict=True)]
    return ChatTurn(
        request, tuple(captions), tuple(seconds), ("",) * len(names), names, tuple(write_timeline(shown)), takes,
        tuple(before), tuple(last), tuple(n.lower() for n in find_file_names(request)),
    )  # fmt: skip


def figures(name: str, turns: Sequence[DialogueTurn], answers: Sequence[Sequence[Act]]) -> dict[str, Any]:
    """The figures of one reading."""
    kinds: dict[str, list[float]] = defaultdict(list)
    acts: dict[str, list[float]] = defaultdict(list)
    clarified = []
    for turn, answer in zip(turns, answers, strict=True):
        predicted = [normalise_act(a, turn.count) for a in answer] or [Act("clarify")]
        expected = [normalise_act(a, turn.count) for a in turn.acts]
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
    """A model whose motions stand still, which nobody need judge; everything else is the model's."""

    body = None

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
    if {*timeline.rounds} - {row.get("loops", 1)}:
        out.append(f"{timeline.rounds} rounds instead of {row.get('loops', 1)}")
    return out


@dataclass(frozen=True)
class SegmentRow:
    """A segment as it is judged."""

    caption: str
    about: tuple[str, ...]  # words of its caption, its activity, its name, and of its tempo
    seconds: float  # as it is played, loops included

    def names(self, words: Sequence[str]) -> bool:
        """Whether one of its words begins with one of these."""
        return any(w.startswith(word) for w in self.about for word in words)


def final_faults(segments: Sequence[SegmentRow], session: dict[str, Any]) -> list[str]:
    """What differs from the expected timeline, empty = nothing.

    Every row takes one segment, or with ``several`` one or more neighbours (steps of an activity, a pause behind it),
    and no segment is left over.
    """
    def fits(neighbours: Sequence[SegmentRow], row: dict[str, Any]) -> bool:
        low, high = row.get("seconds", (0.0, float("inf")))
        words = all(any(s.names(row[key]) for s in neighbours) for key in ("about", "also") if key in row)
        return words and low <= sum(s.seconds for s in neighbours) <= high

    ends = {0}  # numbers of segments that the rows so far may take
    out = []
    for row in session["final"]:
        longest = len(segments) if row.get("several") else 1
        after = {b for a in ends for b in range(a + 1, min(a + longest, len(segments)) + 1) if fits(segments[a:b], row)}
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
            after, line = [], talk.timeline
            for s, (a, b), rounds in zip(line.segments, line.spans, line.rounds, strict=True):
                words = _WORDS.findall(f"{s.caption} {s.activity} {s.name}".lower())
                tempo = ["slow"] if s.tempo < 1 else ["fast"] if s.tempo > 1 else []
                after.append(SegmentRow(s.caption, (*words, *tempo), (b - a) / FPS * rounds))
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
    player = run.cache.wrap(f"conversation as {intent.name} reads it", lambda session: play(session, still, intent))
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


def evaluate_held(run: Run) -> dict[str, Any]:
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
        acts, reply = read_turn(intent, turn)
        lines = [read(line) for line in row["acts"]]
        answer = acts or [Act("clarify")]
        count = len(turn.captions)
        marks["acts"].append(float(any(same_acts(answer, line, count) for line in lines)))
        marks["kinds"].append(float(any([a.do for a in answer] == [a.do for a in line] for line in lines)))
        marks["asked"].append(float(answer[0].do == "clarify" and all(line[0].do != "clarify" for line in lines)))
        rows.append({"user": row["user"], "acts": row["acts"],
                     "read": write(answer), "reply": reply, "right": bool(marks["acts"][-1])})  # fmt: skip
    return {"results": {f"{name}/turns": figure(values) for name, values in marks.items()}, "turns": rows}


def evaluate_people(run: Run) -> dict[str, Any]:
    """The suite `turns`: every turn of people's dialogues, behind the timeline and the turns that its author gives.

    Options: ``authors``: files of `instruct_data.reading.examples.TEXTS`.

    Returns:
        ``acts``: share of turns whose acts are right in order, with segments, numbers and like words; ``kinds``: whose
        kinds of acts are; ``silent``: that do something else without a word; ``asked``: that are answered by a question
        or a refusal although their author does something; ``answered``: of questions, those answered by the right
        segments or topic; all but the last also by author.
    """
    intent = open_intent(run.model)
    rows: list[dict[str, Any]] = []
    for author in run.suite.options["authors"]:
        for dialogue in read_lines(TEXTS / f"{author}.jsonl.xz"):
            rows += [{"author": author, **row} for row in judge_dialogue(intent, dialogue)]
    results: dict[str, Any] = {}
    for author in ("", *run.suite.options["authors"]):
        chosen = [r for r in rows if author in ("", r["author"])]
        for name in ("acts", "kinds", "silent", "asked", "answered"):
            values = [float(r[name]) for r in chosen if r[name] is not None]
            results[f"{name}/{author}" if author else name] = figure(values)
    return {"results": results, "turns": rows}


def judge_dialogue(intent: Intent, dialogue: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each turn of a labelled dialogue."""
    rows, examples = [], list(turn_examples(dialogue))
    timeline: Sequence[str] = dialogue.get("before", ())
    before: list[tuple[str, str]] = []
    last: tuple[str, ...] = ()
    for said, example in zip(dialogue["turns"], examples, strict=True):
        texts = tuple(m[1] for line in timeline if (m := LINE.fullmatch(line)))
        count = len(texts)
        turn = ChatTurn(
            said["user"], texts, (1.0,) * count, ("",) * count, ("",) * count, tuple(timeline), 9, tuple(before[-2:]),
            tuple(last), tuple(n.lower() for n in find_file_names(said["user"])), count,
        )  # fmt: skip
        meant: list[Act] = []  # none where the author asks back or refuses
        with suppress(UserError):
            items = [i for i in example.items if i.values["do"] not in ("clarify", "refuse")]
            meant = acts_of([(i.values, i.caption) for i in items], turn)
        meant = [a for a in meant if a.do != "chat"] or meant[:1]
        acts, _ = read_turn(intent, turn)
        right = len(acts) == len(meant) and all(
            same_act(a, b, count) and a.about == b.about for a, b in zip(acts, meant, strict=True)
        )
        asks = meant in ([], [Act("chat")]) and not [a for a in acts if a.do != "chat"]
        questions = [a.about for a in meant if a.do == "question"]
        answered = [a.about for a in acts if a.do == "question"] == questions if questions else None
        rows.append({
            "user": said["user"], "meant": write(meant) if meant else "-", "read": write(acts) if acts else "-",
            "acts": right or asks, "kinds": [a.do for a in acts] == [a.do for a in meant] or asks,
            "silent": bool(acts) and not right and not asks, "asked": bool(meant) and not acts, "answered": answered,
        })  # fmt: skip
        timeline = said["timeline"]
        before.append((said["user"], said.get("reply", "")))
        last = tuple(shorten_acts(said["acts"]))
    return rows
