"""Suites of freely worded requests: `requests_fresh`, `multi_clause` and `people`."""

import re
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from avatargpt.evaluation.cache import NO_CACHE, RunCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, folder
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.reading.judging import compare, list_done, name_done
from avatargpt.reading.judging import read_names as read_items
from avatargpt.requests.english import lemmas
from avatargpt.requests.phrase_index import PhraseIndex
from instruct_data.reading.examples import TEXTS, read_authors
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows
from vqvae.strict import Strict

# A request's norm is an ordered list of clauses in plain words (verb, object) with alternatives. A system's reading is
# judged by `Judge`: lemmas in common and the frozen sentence encoder's cosine, clause by clause. Marks by hand of one
# system's readings (``requests_fresh_marks.jsonl``) say how often this judge agrees with a reader.


Names = Sequence[str | None]
ClauseKey = Literal["do", "side", "count", "seconds", "tempo", "direction", "degrees", "path", "negated"]
MIN_COSINE = 0.80  # from which two wordings are the same action
MIN_COSINE_SAME_VERB = 0.62  # from which they are if the verb, or half of the words, is the same
SIDES = ("left", "right")
READ_AT_ONCE = 16
EVERY = 8  # how many captions one is read of
PAUSES = ("stand", "stop", "hold a relaxed standing pose")  # a pause that was not requested is no other action


@dataclass(frozen=True)
class JudgedReading:
    """How a system reads a request, before or with the motion."""

    captions: tuple[str, ...]  # what it will show, in plain words, in order
    warnings: tuple[str, ...] = ()  # lines for the user: what is left out, or approximated
    known: bool = True  # False where it has nothing for (a part of) the request; not every system tells


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
    """How a system takes requests: ours by `MotionGeneration.resolve`, another by its method ``understood(texts)``,
    else by ``read_as``, one by one. Stored for `READ_AT_ONCE` texts at a time."""
    def read(batch: list[str]) -> list[JudgedReading]:
        body, understood = getattr(model, "body", None), getattr(model, "understood", None)
        if body or callable(understood):
            answers: Sequence[Any] = body.generation.resolve(batch) if body else model.understood(batch)
            return [JudgedReading(tuple(a.captions), tuple(a.warnings), bool(a.known)) for a in answers]
        out = []
        for text in batch:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                captions = model.read_as([text])[0]
            out.append(JudgedReading(tuple(captions), tuple(str(w.message) for w in caught)))
        return out

    chunks = [(list(texts[i : i + READ_AT_ONCE]),) for i in range(0, len(texts), READ_AT_ONCE)]
    return [answer for chunk in chunks for answer in cache.compute("understood", chunk, partial(read, *chunk))]


class Judge:
    """Decides whether captions are the requested action."""

    def __init__(self) -> None:
        self._encoder = SentenceGrounder()

    def matches(self, caption: str, form: str) -> bool:
        """Whether a caption shows an action in plain words."""
        form_words, caption_words = set(lemmas(form)), set(lemmas(caption))
        if form_words <= caption_words:
            return True
        for subject in ("a person ", "the person ", "someone ", "somebody ", "the figure ", "a figure ", "a human "):
            caption = caption.removeprefix(subject)
        a, b = self._encoder.sentence([caption, form])
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
        unmatched = [p for i, p in enumerate(parts) if i not in used]
        return all(any(set(lemmas(r)) <= set(lemmas(p)) for r in PAUSES)
                   or any(self.matches(p, f) for names in forms for f in names) for p in unmatched)  # fmt: skip

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
    """The suite `requests_fresh`; options: ``rows``, ``marks`` (files beside the suites).

    Returns:
        ``right``: of requests within the vocabulary, the share that is read rightly and not called unknown, also by
        category; ``said_near``: of those where an approximation will do, the share with a warning or called unknown;
        ``flagged``: of those outside the vocabulary, the share that is called unknown; ``silent``: of all, the share
        where another action is shown without a warning; ``false_flags``: of those within, called unknown; ``judge``:
        share of hand marks that the judge gives too (`agreement`). Of a model with a phrase index also
        ``FIGURE/BASELINE`` (`baseline_readings`).
    """
    options, rows, judge = run.suite.options, read_rows(run.suite.options["rows"]), Judge()
    texts = [r.text for r in rows]
    results, request_rows = _figures(judge, rows, readings(run.model, texts, run.cache))
    baselines = baseline_readings(run.model, texts, run.suite.seeds[0])
    for name, answers in baselines.items():
        results |= {f"{k}/{name}": v for k, v in _figures(judge, rows, answers)[0].items()}
    return {"results": {**results, **agreement(judge, rows, options["marks"])}, "requests": request_rows,
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
    judge: Judge, rows: Sequence[Row], answers: Sequence[JudgedReading]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    values: dict[str, list[float]] = {k: [] for k in ("right", "flagged", "silent", "said_near", "false_flags")}
    by_category: dict[str, list[float]] = defaultdict(list)
    request_rows = []
    for row, answer in zip(rows, answers, strict=True):
        exact = judge.right(row, answer.captions)
        reported = not answer.known or bool(answer.warnings)
        if row.expected == "known":
            for own in (values["right"], by_category[row.category]):
                own.append(float(exact and answer.known))
            values["false_flags"].append(float(not answer.known))
        elif row.expected == "unknown":
            values["flagged"].append(float(not answer.known))
        else:
            values["said_near"].append(float(reported))
        # A wrong action without a warning is the one error that a user cannot see.
        values["silent"].append(float(not reported and (row.expected == "unknown" or not exact)))
        request_rows.append({"id": row.id, "read_as": list(answer.captions), "known": answer.known, "right": int(exact),
                             **({"warnings": list(answer.warnings)} if answer.warnings else {})})  # fmt: skip
    values |= {f"right/{k}": v for k, v in sorted(by_category.items())}
    return {k: figure(v) for k, v in values.items()}, request_rows


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


def evaluate_people(run: Run) -> dict[str, Any]:
    """Requests by authors that nothing was learnt from.

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
        chosen = people_figures([(r["meant"], r["read"]) for r in rows if author in ("", r["author"])])
        results |= {f"{k}/{author}" if author else k: v for k, v in chosen.items()}
    captions = list(dict.fromkeys(c[""] for c in index.captions if c[""] in index.rows))[::EVERY]
    alone = [read_items(list_done(r.items)) for r in index.reads.reader.read(captions)]
    for part, names in (("", [read_names(index, c) for c in captions]), ("/network", alone)):
        right = [[index.classes[index.rows[c]]] == own for c, own in zip(captions, names, strict=True)]
        results[f"own{part}"] = figure([float(x) for x in right])
    both = [(row["first"], row["second"]) for _, row in json_rows(folder() / str(run.suite.options["second"]))]
    results |= {f"{k}/second reader": v for k, v in people_figures(both).items()}
    return {"results": results, "requests": rows}


def people_figures(rows: Sequence[tuple[Names, Names]]) -> dict[str, Any]:
    """The figures of what was meant and what was read, name by name (`judging.compare`)."""
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
