"""How well texts are read: shares over texts and items."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from avatargpt.reading.reader import MIN_KNOWN, Reading, ReadItem
from instruct_data.reading.examples import PLACES, Example, Item
from instruct_data.reading.programs import PROGRAMS


def read_names(items: Sequence[ReadItem], least: float = MIN_KNOWN) -> list[str | None]:
    """The likeliest name of each item, None below a probability."""
    return [name if p >= least else None for item in items for name, p in item.names[:1]]


def list_done(items: Sequence[Any]) -> list[Any]:
    """Items that are to be done."""
    return [i for i in items if not i.values.get("denied")]


def name_done(row: Example, known: set[str], field: str = "action") -> list[str | None]:
    """The names of the items that are to be done, in order; None where it is none of the known ones."""
    return [a if (a := i.values.get(field)) in known else None for i in list_done(row.items)]


def compare(meant: Sequence[str | None], read: Sequence[str | None]) -> dict[str, list[float]]:
    """The figures of one text: a value for it, or for each of its items.

    Returns:
        full: the names meant, in order. single: the same of a text with one. silent: a name is read that is not meant.
        count: as many as are meant. found: known names that are read. noticed: unknown ones that are called so.
        false_flags: names that are called unknown beyond those, at most as many as are known.
    """
    unknown, missed = meant.count(None), read.count(None)
    known = [m for m in meant if m is not None]
    out: dict[str, list[float]] = {
        "full": [float(list(meant) == list(read))],
        "silent": [float(any(r is not None and r not in meant for r in read))],
        "count": [float(len(meant) == len(read))],
        "found": [float(m in read) for m in known],
        "noticed": [float(i < missed) for i in range(unknown)],
        "false_flags": [float(i < missed - unknown) for i in range(len(known))],
    }
    return {**out, "single": out["full"]} if len(meant) == 1 else out


def judge_items(
    readings: Sequence[Reading], rows: Sequence[Example], known: set[str], task: str = "read", least: float = MIN_KNOWN
) -> dict[str, float]:
    """Shares over texts and their items that are to be done.

    Args:
        known: names; any other is none of them. least: probability below which a name that was read is none.

    Returns:
        full, single, silent, count, found, noticed: see `compare`. false: unknown items that are too many, per known
        one. values: items with all other fields right, of texts whose number of items is right. exact: full and all
        values right.
    """
    field = PROGRAMS[task].by_kind["name"][0].name
    figures: dict[str, list[float]] = defaultdict(list)
    false = 0
    for reading, row in zip(readings, rows, strict=True):
        meant, items = name_done(row, known, field), list_done(reading.items)
        read = read_names(items, least)
        for name, values in compare(meant, read).items():
            figures[name] += values
        false += max(0, read.count(None) - meant.count(None))
        same = [_values(a) == _values(b) for a, b in zip(items, list_done(row.items), strict=False)]
        figures["values"] += [float(x) for x in same] if len(meant) == len(read) else []
        figures["exact"].append(float(meant == read and all(same)))
    names = ("full", "single", "silent", "count", "found", "noticed", "values", "exact")
    out = {name: round(sum(figures[name]) / max(len(figures[name]), 1), 4) for name in names}
    return {**out, "false": round(false / max(len(figures["found"]), 1), 4)}


def judge_turns(readings: Sequence[Reading], rows: Sequence[Example]) -> dict[str, float]:
    """Shares over turns.

    Returns:
        acts: the same acts in order. places: the same segments, too. exact: all numbers, too.
    """
    n: Counter[str] = Counter()
    for reading, row in zip(readings, rows, strict=True):
        read, gold = [_values(i) for i in reading.items], [_values(i) for i in row.items]
        places = ("do", *PLACES)
        n["acts"] += [r.get("do") for r in read] == [g.get("do") for g in gold]
        n["places"] += [[r.get(k) for k in places] for r in read] == [[g.get(k) for k in places] for g in gold]
        n["exact"] += read == gold
    return {k: round(n[k] / max(len(rows), 1), 4) for k in ("acts", "places", "exact")}


def _values(item: ReadItem | Item) -> Mapping[str, Any]:
    return {
        k: v if isinstance(v, str | bool) else round(float(v), 3)
        for k, v in item.values.items() if k not in ("action", "name")
    }  # fmt: skip
