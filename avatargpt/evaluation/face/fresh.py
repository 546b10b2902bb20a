"""Fresh wordings of facial instructions by what they ask for beyond actions: times, counts, turns, denials, degrees.

A row is a score with ``construct``; ``words`` are the words of the speech it goes with, with their times, where the
instruction is anchored on them; ``not`` names actions that it denies.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from avatargpt.evaluation.face.face_instructions import beside, measured
from avatargpt.evaluation.face.rivals import of_scores
from avatargpt.evaluation.report import figure, plain
from avatargpt.evaluation.suites import Suite, folder
from avatargpt.face.pipeline import FacePipeline
from avatargpt.metrics.face import reading_score
from avatargpt.metrics.face_events import check_score
from avatargpt.requests.english import unreadable
from instruct_data.face.score import Emotion, Event, Score, parse_score
from vqvae.io.data_files import json_rows

APART = 0.4  # s by which a start that the words name may differ from what is read
NEAR = 0.15  # by which a strength may differ from what the words say
GROWS = 0.2  # by which a strength must change to rise or fade
TIMED = ("every", "wait", "until_end", "share", "late", "speaking")
"""Constructs whose words name seconds; of the others order, counts and sides are compared."""
UNCOUNTED = ("shake_head", "chew", "laugh")
"""Actions that are rhythms: said without a number they may be done any number of times."""
AT_REST = ("return_to_neutral", "neutral")


def same(read: Score, wanted: Score, construct: str) -> bool:
    """Whether what is read is what is meant, and no more: actions, counts, feelings, and times and degrees if named."""
    events = [e for e in sorted(read.events, key=lambda e: e.start) if e.action not in AT_REST]
    felt = _merged([f for f in read.emotions if f.name != "neutral"])
    meant = _merged(wanted.emotions)
    if construct in ("rise", "fade"):
        return _changes(events, felt, wanted, 1 if construct == "rise" else -1)
    if [e.action for e in events] != [e.action for e in wanted.events] or len(felt) != len(meant):
        return False
    counts = all(a.repeat == b.repeat or (b.repeat == 1 and b.action in UNCOUNTED)
                 for a, b in zip(events, wanted.events, strict=True))  # fmt: skip
    if not counts or any(a[0] != b[0] for a, b in zip(felt, meant, strict=True)):
        return False
    if construct == "degree":
        pairs = [(a.intensity, b.intensity) for a, b in zip(events, wanted.events, strict=True)]
        pairs += [(a[2], b[2]) for a, b in zip(felt, meant, strict=True)]
        return all(abs(a - b) <= NEAR for a, b in pairs)
    if construct not in TIMED:
        return True
    late = [a.start - b.start for a, b in zip(events, wanted.events, strict=True)]
    late += [a[1] - b[1] for a, b in zip(felt, meant, strict=True)]
    # "every two seconds" leaves open when it is done first
    first = late[0] if construct == "every" else 0.0
    return all(abs(x - first) <= max(APART, 0.1 * wanted.length * (construct == "share")) for x in late)


def _merged(emotions: Sequence[Emotion]) -> list[tuple[str, float, float, float]]:
    """Feelings in order, the same in a row as one: name, start, strength at its start and at its end."""
    out: list[tuple[str, float, float, float]] = []
    for f in sorted(emotions, key=lambda f: f.start):
        end = f.intensity if f.to is None else f.to
        if out and out[-1][0] == f.name:
            out[-1] = (*out[-1][:3], end)
        else:
            out.append((f.name, f.start, f.intensity, end))
    return out


def _changes(
    events: Sequence[Event], felt: Sequence[tuple[str, float, float, float]], wanted: Score, way: int
) -> bool:
    """Whether the one action or feeling meant grows (way 1) or fades (-1)."""
    if wanted.emotions:
        fits = len(felt) == 1 and felt[0][0] == wanted.emotions[0].name
        return fits and way * (felt[0][3] - felt[0][2]) >= GROWS
    if {e.action for e in events} != {e.action for e in wanted.events}:
        return False
    grown = way * (events[-1].intensity - events[0].intensity) >= GROWS
    return grown or (way > 0 and max(e.rise for e in events) > 0.3)


def score(suite: Suite, performer: FacePipeline) -> dict[str, Any]:
    """All figures.

    Args:
        suite: of kind ``face_instructions`` with options ``rows`` and ``foreign``, files beside the suites.
        performer: under test; it is told the words of the speech where its ``read`` has a parameter ``words``.

    Returns:
        As of ``face_instructions`` for one source; ``events/CONSTRUCT``: share of the events done by construct;
        ``read/CONSTRUCT``: share of the instructions that are read as meant (`same`); ``denied``: share of denied
        actions that are not read; ``foreign``: of texts in other languages, the share that is called so, and
        ``english``: of English ones that look foreign, the share that is not.
    """
    raw = [row for _, row in json_rows(folder() / suite.options["rows"])]
    wanted = [parse_score(row, str(row.get("text"))) for row in raw]
    hears = "words" in inspect.signature(performer.read).parameters
    read = []
    for row, s in zip(raw, wanted, strict=True):
        words = [(w["word"], w["start"], w["end"]) for w in row.get("words", ())]
        told: dict[str, Any] = {"words": [words]} if hears else {}
        read += performer.read([s.text], [s.length], **told)
    made = [performer.perform(s.text, score=r, seconds=s.length) for s, r in zip(wanted, read, strict=True)]
    results: dict[str, Any] = {k: v for k, v in measured("fresh", made, wanted).items() if not k.startswith("events")}
    results |= {f"reading_{k}/fresh": plain(v) for k, v in reading_score(read, wanted).items()}
    events: dict[str, list[float]] = defaultdict(list)
    meant: dict[str, list[float]] = defaultdict(list)
    denied, rows = [], []
    for row, m, r, s in zip(raw, made, read, wanted, strict=True):
        right = same(r, s, row["construct"]) and not {e.action for e in r.events} & set(row.get("not", ()))
        # Where the words name no times, those of a right reading are as good as the norm's.
        free = right and row["construct"] not in (*TIMED, "rise", "fade")
        done = [float(x.done) for x in check_score(m, r if free else s)]
        events[row["construct"]] += done
        for key in ("", f"/{row['construct']}"):
            meant[key].append(float(right))
        denied += [float(name not in {e.action for e in r.events}) for name in row.get("not", ())]
        understood = [f"{e.action} {e.start:.1f}-{e.end:.1f} s, {e.intensity:g}, x{e.repeat}" for e in r.events]
        understood += [f"{f.name} {f.start:.1f}-{f.end:.1f} s, {f.intensity:g}" for f in r.emotions]
        rows.append({"text": s.text, "construct": row["construct"], "read": understood, "right": int(right),
                     "done": [int(x) for x in done]})  # fmt: skip
    results |= {f"read{k}": figure(v) for k, v in meant.items()}
    results |= {f"events/{k}": figure(v) for k, v in events.items() if v}
    results["events"] = figure([x for v in events.values() for x in v])
    results["denied"] = figure(denied)
    results |= {k.replace("events/fresh", "events"): v for k, v in beside("fresh", wanted).items()}
    results |= _languages(suite.options["foreign"])
    return {"results": results, "instructions": rows, "baselines": [*of_scores(())]}


def _languages(file: str) -> dict[str, Any]:
    """Are other languages told from English?"""
    called: dict[bool, list[float]] = {True: [], False: []}
    for _, row in json_rows(folder() / file):
        called[bool(row["foreign"])].append(float(bool(unreadable(row["text"]))))
    return {"foreign": figure(called[True]), "english": figure([1 - x for x in called[False]])}
