"""The suite `requests_fresh`: reading of freely worded requests, and reports of unknown ones."""
# A request's norm is an ordered list of clauses in plain words (verb, object) with alternatives. A system's reading is
# judged by `Judge`: lemmas in common and the frozen sentence encoder's cosine, clause by clause. Marks by hand of one
# system's readings (``requests_fresh_marks.jsonl``) say how often this judge agrees with a reader.

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from avatargpt.evaluation.cache import NO_CACHE, AnswerCache
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Run, Suite, folder
from avatargpt.lm.text_encoder import SentenceGrounder
from avatargpt.requests.english import lemmas
from vqvae.errors import UserError
from vqvae.io.data_files import json_rows

EXPECTED = ("known", "unknown", "approximation")
CLAUSE_KEYS = ("do", "side", "count", "seconds", "tempo", "direction", "degrees", "path", "negated")
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
class Reading:
    """An `Understood` as it is judged; for a system that only gives captions and warnings everything is known."""

    captions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    known: bool = True


@dataclass(frozen=True)
class Row:
    """One request."""

    id: str
    text: str
    category: str
    # Whether a body with some 500 everyday actions can show it, cannot, or can show something near if it says so
    expected: str
    action: tuple[dict[str, Any], ...]  # clauses in order, ``do`` in plain words with `CLAUSE_KEYS`
    alternatives: tuple[tuple[str, ...], ...] = field(default=())  # per clause, other right actions


def read_rows(name: str) -> list[Row]:
    """The requests of a file beside the suites."""
    path = folder() / name
    out = []
    for i, raw in json_rows(path):
        try:
            row = Row(
                str(raw["id"]), str(raw["text"]), str(raw["category"]), str(raw["expected"]), tuple(raw["action"]),
                tuple(tuple(a) for a in raw["alternatives"]),
            )  # fmt: skip
        except (KeyError, TypeError) as e:
            raise UserError(f"{path}: line {i}: no request ({e}); accepted {', '.join(Row.__annotations__)}") from None
        strange = {k for c in row.action for k in c} - set(CLAUSE_KEYS)
        if row.expected not in EXPECTED or strange or len(row.alternatives) != len(row.action):
            raise UserError(
                f"{path}: line {i}: expected {row.expected!r}, keys {sorted(strange)}; accepted {', '.join(EXPECTED)}, "
                f"{', '.join(CLAUSE_KEYS)}, and alternatives for each clause"
            )
        out.append(row)
    return out


def readings(model: Any, texts: Sequence[str], cache: AnswerCache = NO_CACHE) -> list[Reading]:
    """`understood`, stored for `READ_AT_ONCE` texts at a time."""
    def read(batch: list[str]) -> list[Reading]:
        return [Reading(tuple(a.captions), tuple(a.warnings), bool(a.known)) for a in understood(model, batch)]

    chunks = [(list(texts[i : i + READ_AT_ONCE]),) for i in range(0, len(texts), READ_AT_ONCE)]
    return [answer for chunk in chunks for answer in cache.compute("understood", chunk, partial(read, *chunk))]


def understood(model: Any, texts: Sequence[str]) -> list[Understood]:
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
        out.append(Reading(tuple(captions), tuple(str(w.message) for w in caught)))
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

    def _pause(self, caption: str) -> bool:
        return any(set(lemmas(r)) <= set(lemmas(caption)) for r in PAUSES)


# A caption without its subject.
def _bare(caption: str) -> str:
    for start in ("a person ", "the person ", "someone ", "somebody ", "the figure ", "a figure ", "a human "):
        caption = caption.removeprefix(start)
    return caption


# Whether a caption has no other side or direction than the clause.
def _sides(clause: dict[str, Any], caption: str) -> bool:
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


def score(suite: Suite, model: Any, cache: AnswerCache = NO_CACHE) -> dict[str, Any]:
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


def baseline_readings(model: Any, texts: Sequence[str], seed: int) -> dict[str, list[Reading]]:
    """Readings without a reader, of a model with a phrase index: the phrasing nearest to the whole request by the
    sentence encoder, or a random one; nothing is called unknown."""
    index = getattr(model, "phrase_index", None)
    if index is None:
        return {}
    nearest = index.index.cosines(SentenceGrounder().sentence(list(texts))).argmax(1)
    drawn = np.random.default_rng(seed).integers(len(index.keys), size=len(texts))
    chosen = {"nearest phrasing": nearest, "random phrasing": drawn}
    return {name: [Reading((index.captions[int(i)][""],)) for i in rows] for name, rows in chosen.items()}


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
