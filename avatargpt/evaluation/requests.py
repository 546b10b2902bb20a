"""The suites `requests_fresh`, `multi_clause`, `chat` and `chat_fresh`: reading of freely worded requests and turns."""

import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from pydantic import model_validator

from avatargpt.chat.conversation import Conversation
from avatargpt.chat.intent import Intent, open_intent
from avatargpt.chat.timeline import Timeline
from avatargpt.chat.turn_text import TEMPO, ChatTurn, find_file_names
from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite, folder
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.english import lemmas, times
from instruct_data.dialogue.acts import SHAPES, Act, outline, read, write
from instruct_data.factory.dialogues import DialogueTurn, read_dialogues, replay_dialogues
from instruct_data.reading.examples import Shown, write_timeline
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.motion import Motion
from vqvae.strict import Strict

# A request's norm is an ordered list of clauses in plain words (verb, object) with alternatives. A system's reading is
# judged by `Judge`: lemmas in common and the frozen sentence encoder's cosine, clause by clause. Marks by hand of one
# system's readings (``requests_fresh_marks.jsonl``) say how often this judge agrees with a reader.


ClauseKey = Literal["do", "side", "count", "seconds", "tempo", "direction", "degrees", "path", "negated"]
MIN_COSINE = 0.80  # from which two wordings are the same action
MIN_COSINE_SAME_VERB = 0.62  # from which they are if the verb, or half of the words, is the same
SIDES = ("left", "right")
READ_AT_ONCE = 16
PAUSES = ("stand", "stop", "hold a relaxed standing pose")  # a pause that was not requested is no other action


class Understood(Protocol):
    """How a system reads a request, before or with the motion."""

    @property
    def captions(self) -> Sequence[str]: ...  # what it will show, in plain words, in order
    @property
    def known(self) -> bool: ...  # False where it has nothing for (a part of) the request
    @property
    def warnings(self) -> Sequence[str]: ...  # lines for the user: what is left out, or approximated


@dataclass(frozen=True)
class JudgedReading:
    """An `Understood` as it is judged; for a system that only gives captions and warnings everything is known."""

    captions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    known: bool = True


class Row(Strict):
    """One request."""

    id: str
    text: str
    category: str
    # Whether a body with some 500 everyday actions can show it, cannot, or can show something near if it says so
    expected: Literal["known", "unknown", "approximation"]
    action: tuple[dict[ClauseKey, Any], ...]  # clauses in order, ``do`` in plain words
    alternatives: tuple[tuple[str, ...], ...]  # per clause, other right actions

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.alternatives) != len(self.action):
            raise ValueError(f"{len(self.alternatives)} alternatives; accepted some, or none, for each clause")
        return self


def read_rows(name: str) -> list[Row]:
    """The requests of a file beside the suites."""
    path = folder() / name
    return [Row.read(raw, f"{path}: line {i}") for i, raw in json_rows(path)]


def readings(model: Any, texts: Sequence[str], cache: RunCache = NO_CACHE) -> list[JudgedReading]:
    """`understand_texts`, stored for `READ_AT_ONCE` texts at a time."""
    def read(batch: list[str]) -> list[JudgedReading]:
        return [
            JudgedReading(tuple(a.captions), tuple(a.warnings), bool(a.known)) for a in understand_texts(model, batch)
        ]

    chunks = [(list(texts[i : i + READ_AT_ONCE]),) for i in range(0, len(texts), READ_AT_ONCE)]
    return [answer for chunk in chunks for answer in cache.compute("understood", chunk, partial(read, *chunk))]


def understand_texts(model: Any, texts: Sequence[str]) -> list[Understood]:
    """How a system takes requests: ours by `MotionGeneration.resolve`, another by its method ``understood(texts)``,
    else by ``read_as``, one by one."""
    if body := getattr(model, "body", None):
        return list(body.generation.resolve(list(texts)))
    if callable(getattr(model, "understood", None)):
        return list(model.understood(list(texts)))
    out: list[Understood] = []
    for text in texts:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            captions = model.read_as([text])[0]
        out.append(JudgedReading(tuple(captions), tuple(str(w.message) for w in caught)))
    return out


class Judge:
    """Decides whether captions are the requested action."""

    def __init__(self) -> None:
        self._encoder = SentenceGrounder()

    def matches(self, caption: str, form: str) -> bool:
        """Whether a caption shows an action in plain words."""
        form_words, caption_words = set(lemmas(form)), set(lemmas(caption))
        if form_words <= caption_words:
            return True
        a, b = self._encoder.sentence([_bare(caption), form])
        cosine = float(np.dot(a, b))
        if cosine >= MIN_COSINE:
            return True
        if len(form_words) < 2 or caption_words < form_words:  # less than the request: "walks" of "walk on hands"
            return False
        same_verb = lemmas(form)[0] in caption_words or 2 * len(form_words & caption_words) >= len(form_words)
        return cosine >= MIN_COSINE_SAME_VERB and same_verb

    def right(self, row: Row, captions: Sequence[str]) -> bool:
        """Whether all clauses are shown in order, nothing excluded, no other side, and nothing else.

        Counts, lengths, tempo and degrees are measured on the joints (suite ``requests_joints``), not here.
        """
        forms = [(c["do"], *a) for c, a in zip(row.action, row.alternatives, strict=True)]
        parts = [p for c in captions for p in c.split(", and at the same time ")]
        used: set[int] = set()
        start = 0
        for clause, names in zip(row.action, forms, strict=True):
            if clause.get("negated"):
                if any(self.matches(p, f) for p in parts for f in names):
                    return False
                continue
            fits = (i for i in range(start, len(parts))
                    if _sides(clause, parts[i]) and any(self.matches(parts[i], f) for f in names))  # fmt: skip
            match = next(fits, None)
            if match is None:
                return False
            used.add(match)
            start = match
        unmatched = [p for i, p in enumerate(parts) if i not in used and not self._pause(p)]
        return all(any(self.matches(p, f) for names in forms for f in names) for p in unmatched)

    def not_shown(self, row: Row, captions: Sequence[str]) -> list[int]:
        """The clauses, by number, that no caption shows after those of the clauses before."""
        parts = [p for c in captions for p in c.split(", and at the same time ")]
        used: dict[int, set[str]] = defaultdict(set)
        out, start = [], 0
        for number, (clause, others) in enumerate(zip(row.action, row.alternatives, strict=True)):
            fits = (i for i in range(start, len(parts)) if clause["do"] not in used[i] and _sides(clause, parts[i])
                    and any(self.matches(parts[i], form) for form in (clause["do"], *others)))  # fmt: skip
            match = next(fits, None)
            if match is None:
                out.append(number)
            else:
                start = match
                used[match].add(clause["do"])
        return out

    def _pause(self, caption: str) -> bool:
        return any(set(lemmas(r)) <= set(lemmas(caption)) for r in PAUSES)


# A caption without its subject.
def _bare(caption: str) -> str:
    for start in ("a person ", "the person ", "someone ", "somebody ", "the figure ", "a figure ", "a human "):
        caption = caption.removeprefix(start)
    return caption


# Whether a caption has no other side or direction than the clause.
def _sides(clause: Mapping[Any, Any], caption: str) -> bool:
    words = set(caption.split())
    side = clause.get("side")
    if side in SIDES and SIDES[1 - SIDES.index(side)] in words and side not in words:
        return False
    if clause.get("direction") == "back":
        return bool(words & {"back", "backward", "backwards", "away"})
    return True


def evaluate(run: Run) -> dict[str, Any]:
    """The suite on a run's model."""
    return score(run.suite, run.model, run.cache)


def score(suite: Suite, model: Any, cache: RunCache = NO_CACHE) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``requests``; options: ``rows``, ``marks`` (files beside the suites).

    Returns:
        ``right``: of requests within the vocabulary, the share that is read rightly and not called unknown, also by
        category; ``said_near``: of those where an approximation will do, the share with a warning or called unknown;
        ``flagged``: of those outside the vocabulary, the share that is called unknown; ``silent``: of all, the share
        where another action is shown without a warning; ``false_flags``: of those within, called unknown; ``judge``:
        share of hand marks that the judge gives too (`agreement`). Of a model with a phrase index also
        ``FIGURE/BASELINE`` (`baseline_readings`).
    """
    rows = read_rows(suite.options["rows"])
    judge = Judge()
    texts = [r.text for r in rows]
    results, request_rows = _figures(judge, rows, readings(model, texts, cache))
    baselines = baseline_readings(model, texts, suite.seeds[0])
    for name, answers in baselines.items():
        results |= {f"{k}/{name}": v for k, v in _figures(judge, rows, answers)[0].items()}
    return {"results": {**results, **agreement(judge, rows, suite.options["marks"])}, "requests": request_rows,
            **({"baselines": [*baselines]} if baselines else {})}  # fmt: skip


def evaluate_clauses(run: Run) -> dict[str, Any]:
    """The suite `multi_clause` on a run's model.

    Returns:
        ``complete``: share of requests whose actions are all shown in order or named by a warning, also by category;
        ``shown``: share of actions that are shown in order; ``said``: of the others, named by a warning.
    """
    rows = read_rows(run.suite.options["rows"])
    judge = Judge()
    performed, warned, request_rows = [], [], []
    complete: dict[str, list[float]] = defaultdict(list)
    for row, answer in zip(rows, readings(run.model, [r.text for r in rows], run.cache), strict=True):
        missing = judge.not_shown(row, answer.captions)
        silent = []
        for number, (clause, others) in enumerate(zip(row.action, row.alternatives, strict=True)):
            performed.append(float(number not in missing))
            if number in missing:
                forms = (clause["do"], *others)
                quoted = [w for line in answer.warnings for w in re.findall("'([^']+)'", line)[:1]]
                warned.append(float(any(judge.matches(words, form) for words in quoted for form in forms)))
                silent += [] if warned[-1] else [clause["do"]]
        for key in ("complete", f"complete/{row.category}"):
            complete[key].append(float(not silent))
        request_rows.append({"id": row.id, "read_as": list(answer.captions), "silent": silent,
                             **({"warnings": list(answer.warnings)} if answer.warnings else {})})  # fmt: skip
    results = {key: figure(values) for key, values in complete.items()}
    return {"results": {**results, "shown": figure(performed), "said": figure(warned)}, "requests": request_rows}


def baseline_readings(model: Any, texts: Sequence[str], seed: int) -> dict[str, list[JudgedReading]]:
    """Readings without a reader, of a model with a phrase index: the phrasing nearest to the whole request by the
    sentence encoder, or a random one; nothing is called unknown."""
    index = getattr(model, "phrase_index", None)
    if index is None:
        return {}
    nearest = index.index.cosines(SentenceGrounder().sentence(list(texts))).argmax(1)
    drawn = np.random.default_rng(seed).integers(len(index.keys), size=len(texts))
    chosen = {"nearest phrasing": nearest, "random phrasing": drawn}
    return {name: [JudgedReading((index.captions[int(i)][""],)) for i in rows] for name, rows in chosen.items()}


# The figures of one way to read the requests, and a row for each.
def _figures(
    judge: Judge, rows: Sequence[Row], answers: Sequence[Understood]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    by_category: dict[str, list[float]] = defaultdict(list)
    right: list[float] = []
    flagged: list[float] = []
    approximations: list[float] = []
    silent: list[float] = []
    false_flags: list[float] = []
    request_rows = []
    for row, answer in zip(rows, answers, strict=True):
        exact = judge.right(row, answer.captions)
        reported = not answer.known or bool(answer.warnings)
        if row.expected == "known":
            right.append(float(exact and answer.known))
            by_category[row.category].append(right[-1])
            false_flags.append(float(not answer.known))
        elif row.expected == "unknown":
            flagged.append(float(not answer.known))
        else:
            approximations.append(float(reported))
        # A wrong action without a warning is the one error that a user cannot see.
        silent.append(float(not reported and (row.expected == "unknown" or not exact)))
        request_rows.append({"id": row.id, "read_as": list(answer.captions), "known": answer.known, "right": int(exact),
                             **({"warnings": list(answer.warnings)} if answer.warnings else {})})  # fmt: skip
    return {
        "right": figure(right), "flagged": figure(flagged), "silent": figure(silent),
        "said_near": figure(approximations), "false_flags": figure(false_flags),
        **{f"right/{k}": figure(v) for k, v in sorted(by_category.items())},
    }, request_rows  # fmt: skip


def agreement(judge: Judge, rows: Sequence[Row], marks: str) -> dict[str, Any]:
    """How often the judge agrees with a person about the readings of one system.

    Args:
        marks: a file of ``{id, read_as, right}``; unknown requests are left out, as they leave no doubt.

    Returns:
        ``judge/agreement`` and Cohen's kappa; ``judge/too_kind``: of what the person refused, accepted by the judge;
        ``judge/too_strict``: the reverse.
    """
    by_id = {r.id: r for r in rows if r.expected != "unknown"}
    pairs = [(bool(m["right"]), judge.right(by_id[m["id"]], m["read_as"]))
             for _, m in json_rows(folder() / marks) if m["id"] in by_id]  # fmt: skip
    a, b = np.array(pairs, bool).T
    same, chance = float((a == b).mean()), float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return {
        "judge/agreement": figure((a == b).astype(float)), "judge/kappa": plain((same - chance) / (1 - chance)),
        "judge/too_kind": figure(b[~a].astype(float)), "judge/too_strict": figure((~b[a]).astype(float)),
    }  # fmt: skip


# The suites `chat` and `chat_fresh`: acts read from turns, and the timeline at the end of a chain of turns.
#
# In a chain everything is the product's own but the motions: the model returns a body that stands still, as long as was
# asked for or `DEFAULT_SECONDS`. So a chain asks what was understood and done to the timeline, not how it looks.


MIN_WORD_F1 = 0.5  # of content words, from which two wordings count as the same
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


def normalise_act(act: Act, count: int) -> Act:
    """The length of the only segment is the length of all, and a tempo in words is a speed."""
    if act.do == "edit" and act.text is None and (tempo := TEMPO.get(str(act.change).removeprefix("much "))):
        return Act("speed", segment=act.segment or count or None, factor=tempo[str(act.change).startswith("much ")])
    return Act("total", seconds=act.seconds) if act.do == "retime" and count == 1 else act


def _same_edit(a: Act, b: Act) -> bool:
    """Whether two edits ask for alike captions, or one for a caption that has all words of the other's change."""
    if a.text is not None and b.text is not None:
        return similar_wording(a.text, b.text)
    with_text, other = (a, b) if a.text is not None else (b, a)
    if with_text.text is None:
        return similar_wording(str(a.change), str(b.change))
    return {*lemmas(str(other.change))} <= {*lemmas(with_text.text)}


def same_act(a: Act, b: Act, count: int) -> bool:
    """Whether two acts do the same: equal numbers, files and choices, like texts; no segment means the last."""
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
    return a.do != "edit" or _same_edit(a, b)


def evaluate_chat(run: Run) -> dict[str, Any]:
    """The suites `chat`, on a run's dialogues, and `chat_fresh`."""
    return score_chat(run.suite, run.data, run.model, run.cache)


def score_chat(suite: Suite, data: Path | None, model: Any, cache: RunCache = NO_CACHE) -> dict[str, Any]:
    """Every turn of the validation dialogues, replayed over the true acts before it; or every turn, and every chain of
    turns, of the option ``rows``, a file beside the suites.

    Returns:
        ``kinds/turns``: share of turns whose acts are of the right kinds in the right order; ``acts/turns``: share
        whose acts are right in full; both by kind of the first act; ``clarified/turns``: share of turns left to a
        question although the recording does something; ``chains/turns``: share of the chains that end in the right
        timeline (`timeline_faults`); and every turn with its answers, and what was wrong at the ends of chains.
    """
    chains: list[dict[str, Any]] = []
    if "rows" in suite.options:
        rows = [row for _, row in json_rows(folder() / suite.options["rows"])]
        turns, chains = [_turn(row) for row in rows if "user" in row], [row for row in rows if "turns" in row]
        turn_rows: list[dict[str, Any]] = [{"user": t.user, "acts": write(t.acts)} for t in turns]
    else:
        if data is None or not (Path(data) / "val.jsonl").is_file():
            raise UserError("chat: needs the recorded dialogues; name their folder (with val.jsonl) with --data")
        turns = replay_dialogues(read_dialogues(Path(data) / "val.jsonl"), np.random.default_rng(suite.seeds[0]))
        turn_rows = [{"user": t.user, "timeline": t.timeline, "acts": write(t.acts)} for t in turns]
    intent = open_intent(model)
    answers = read_all(intent, turns, cache)
    results = figures(READER, turns, answers)
    for row, answer in zip(turn_rows, answers, strict=True):
        row[READER] = write(answer) if answer else "-"
    if not chains:
        return {"results": results, "turns": turn_rows}
    judge = Judge()

    def faults(row: dict[str, Any]) -> list[str]:
        return timeline_faults(final_timeline(row["turns"], model, intent), row, judge)

    chain = cache.wrap(f"chain as {intent.name} reads it", faults)
    ends = [{"said": row["turns"], READER: chain(row)} for row in chains]
    results[f"chains/{READER}"] = figure([float(not end[READER]) for end in ends])
    return {"results": results, "turns": turn_rows, "chains": ends}


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


def read_all(intent: Intent, turns: Sequence[DialogueTurn], cache: RunCache = NO_CACHE) -> list[list[Act]]:
    """The acts that an intent reads in every turn; empty = it asks back."""
    def read(batch: list[DialogueTurn]) -> list[list[Act]]:
        answers: list[list[Act]] = []
        for turn in batch:
            try:
                answers.append(intent.understand(receive_turn(turn)) or [])
            except UserError:  # an order that leaves something open is asked back, too
                answers.append([])
        return answers

    cached = cache.wrap(f"turns as {intent.name} reads them", read)
    chunks = (list(turns[i : i + READ_AT_ONCE]) for i in range(0, len(turns), READ_AT_ONCE))
    return [answer for chunk in chunks for answer in cached(chunk)]


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


def _turn(row: dict[str, Any]) -> DialogueTurn:
    captions = tuple(s["caption"] for s in row["timeline"])
    line = outline(captions, [s["seconds"] for s in row["timeline"]])
    return DialogueTurn(row["user"], tuple(read(row["acts"])), line, len(captions), (), captions)


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
    if {*timeline.rounds} - {row.get("loops", 1)}:
        out.append(f"{timeline.rounds} rounds instead of {row.get('loops', 1)}")
    return out
