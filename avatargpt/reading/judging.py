"""How well texts are read: shares over texts and items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from avatargpt.reading.reader import Reading, ReadItem
from instruct_data.reading.examples import Example, Item
from instruct_data.reading.programs import PROGRAMS

LEAST = 0.3  # probability below which a name is none


def read_names(items: Sequence[ReadItem], least: float = LEAST) -> list[str | None]:
    """The likeliest name of each item, None below a probability."""
    return [name if p >= least else None for item in items for name, p in item.names[:1]]


def _done(items: Sequence[Any]) -> list[Any]:
    """Items that are to be done."""
    return [i for i in items if not i.values.get("denied")]


def judge_items(
    readings: Sequence[Reading], rows: Sequence[Example], known: set[str], task: str = "read", least: float = LEAST
) -> dict[str, float]:
    """Shares over texts and their items that are to be done.

    Args:
        known: names; any other is none of them. least: probability below which a name that was read is none.

    Returns:
        full: names of all items right, in order. single: the same of texts with one. silent: texts of which a name is
        read that none of its items has. count: number of items right. found, noticed: of known and of unknown items;
        false: unknown ones that are too many, per known one. values: items with all other fields right, of texts whose
        number is right. exact: full and all values right.
    """
    field = PROGRAMS[task].by_kind["name"][0].name
    n: Counter[str] = Counter()
    for reading, row in zip(readings, rows, strict=True):
        gold_items, items = _done(row.items), _done(reading.items)
        gold = [a if (a := i.values.get(field)) in known else None for i in gold_items]
        read = read_names(items, least)
        nulls, right = gold.count(None), gold == read
        n["texts"] += 1
        n["count"] += len(gold) == len(read)
        n["known"] += len(gold) - nulls
        n["found"] += sum(g is not None and g in read for g in gold)
        n["nulls"] += nulls
        n["noticed"] += min(nulls, read.count(None))
        n["false"] += max(0, read.count(None) - nulls)
        n["full"] += right
        n["singles"] += len(gold) == 1
        n["single"] += right and len(gold) == 1
        n["silent"] += any(r is not None and r not in gold for r in read)
        if len(gold) == len(read):
            same = [_values(a) == _values(b) for a, b in zip(items, gold_items, strict=True)]
            n["items"] += len(same)
            n["values"] += sum(same)
            n["exact"] += right and all(same)
    over = {"full": "texts", "single": "singles", "silent": "texts", "count": "texts", "found": "known",
            "noticed": "nulls", "false": "known", "values": "items", "exact": "texts"}  # fmt: skip
    return {k: round(n[k] / max(n[whole], 1), 4) for k, whole in over.items()}


def judge_turns(readings: Sequence[Reading], rows: Sequence[Example]) -> dict[str, float]:
    """Shares over turns.

    Returns:
        acts: the same acts in order. places: the same segments, too. exact: all numbers, too.
    """
    n: Counter[str] = Counter()
    for reading, row in zip(readings, rows, strict=True):
        read, gold = [_values(i) for i in reading.items], [_values(i) for i in row.items]
        places = ("do", "segment", "to", "at")
        n["acts"] += [r.get("do") for r in read] == [g.get("do") for g in gold]
        n["places"] += [[r.get(k) for k in places] for r in read] == [[g.get(k) for k in places] for g in gold]
        n["exact"] += read == gold
    return {k: round(n[k] / max(len(rows), 1), 4) for k in ("acts", "places", "exact")}


def _values(item: ReadItem | Item) -> Mapping[str, Any]:
    return {
        k: v if isinstance(v, str | bool) else round(float(v), 3)
        for k, v in item.values.items() if k not in ("action", "name")
    }  # fmt: skip
