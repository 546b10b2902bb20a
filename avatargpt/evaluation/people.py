"""The suites `people` and `turns`: requests and dialogues by authors that nothing was learnt from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from avatargpt.chat.intent import Intent, open_intent
from avatargpt.chat.turn_text import ChatTurn, find_file_names
from avatargpt.chat.turns import acts_of
from avatargpt.evaluation.report import figure
from avatargpt.evaluation.requests import same_act
from avatargpt.evaluation.suites import Run, folder
from avatargpt.reading.judging import compare, list_done, name_done
from avatargpt.reading.judging import read_names as read_items
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.dialogue.acts import Act, write
from instruct_data.reading.examples import (
    LINE,
    TEXTS,
    Example,
    read_authors,
    read_lines,
    shorten_acts,
    turn_examples,
)
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

Names = Sequence[str | None]
EVERY = 8  # how many captions one is read of


def evaluate(run: Run) -> dict[str, Any]:
    """All figures.

    Options: ``authors``: files of `instruct_data.reading.examples.TEXTS`. ``second``: a file beside the suites with
    what a second reader took some of the texts for, blind.

    Returns:
        Of requests, by author and together: ``full``: read as the named actions in order (None where none fits);
        ``single``: the same of requests for one movement; ``silent``: another known action is read, without a word;
        ``count``: the right number of clauses; ``found``: known actions that are read; ``noticed``: unknown ones that
        are called so; ``false_flags``: clauses that are called unknown beyond those. ``own``: of the captions that the
        motion model was trained on, every eighth, those read as themselves; ``own/network``: by the reading network
        alone, which does not know that they are captions. ``FIGURE/second reader``: of the second reader's labels,
        over texts of all authors.
    """
    index = getattr(run.model, "phrase_index", None)
    if index is None or index.reads is None:
        raise UserError("the suite people: a model without a reading network; accepted: one with reading.json")
    known = set(index.classes)
    rows: list[dict[str, Any]] = [
        {"author": e.author, "text": e.text, "meant": name_done(e, known), "read": read_names(index, e.text)}
        for e in read_authors([TEXTS], "read", run.suite.options["authors"])
    ]
    results: dict[str, Any] = {}
    for author in ("", *run.suite.options["authors"]):
        chosen = figures([(r["meant"], r["read"]) for r in rows if author in ("", r["author"])])
        results |= {f"{k}/{author}" if author else k: v for k, v in chosen.items()}
    captions = list(dict.fromkeys(c[""] for c in index.captions if c[""] in index.rows))[::EVERY]
    alone = [read_items(list_done(r.items)) for r in index.reads.reader.read(captions)]
    for part, names in (("", [read_names(index, c) for c in captions]), ("/network", alone)):
        right = [[index.classes[index.rows[c]]] == own for c, own in zip(captions, names, strict=True)]
        results[f"own{part}"] = figure([float(x) for x in right])
    both = [(row["first"], row["second"]) for _, row in json_rows(folder() / str(run.suite.options["second"]))]
    results |= {f"{k}/second reader": v for k, v in figures(both).items()}
    return {"results": results, "requests": rows}


def figures(rows: Sequence[tuple[Names, Names]]) -> dict[str, Any]:
    """The figures of what was meant and what was read."""
    values: dict[str, list[float]] = defaultdict(list)
    for meant, read in rows:
        for name, own in compare(meant, read).items():
            values[name] += own
    return {name: figure(own) for name, own in values.items()}


def read_names(index: PhraseIndex, text: str) -> list[str | None]:
    """The actions that a request is read as; None where it is said that none is known."""
    try:
        return [c.name if c.known else None for c in index.read(text).done]
    except UserError:  # refused, which is no silent answer
        return [None]


def evaluate_turns(run: Run) -> dict[str, Any]:
    """The suite `turns`: every turn of people's dialogues, behind the timeline and the turns that its author gives.

    Options: ``authors``, as of `evaluate`.

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
        turn = tell_turn(said["user"], timeline, before, last)
        meant = find_meant_acts(example, turn)
        try:
            acts = intent.understand(turn) or []
        except UserError:
            acts = []
        count = len(turn.captions)
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


def tell_turn(
    request: str, timeline: Sequence[str], before: Sequence[tuple[str, str]], last: Sequence[str]
) -> ChatTurn:
    """A turn behind the lines of a timeline."""
    segments = [m for line in timeline if (m := LINE.fullmatch(line))]
    texts = tuple(m[1] for m in segments)
    return ChatTurn(
        request, texts, (1.0,) * len(texts), ("",) * len(texts), ("",) * len(texts), tuple(timeline), 9,
        tuple(before[-2:]), tuple(last), tuple(n.lower() for n in find_file_names(request)), len(texts),
    )  # fmt: skip


def find_meant_acts(example: Example, turn: ChatTurn) -> list[Act]:
    """The acts of a labelled turn, none where its author asks back or refuses."""
    acts: list[Act] = []
    with suppress(UserError):
        items = [i for i in example.items if i.values["do"] not in ("clarify", "refuse")]
        acts = acts_of([(i.values, i.caption) for i in items], turn)
    return [a for a in acts if a.do != "chat"] or acts[:1]
