"""What geometry must show of a motion made for a training caption, from the tables of families and of real classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from avatargpt import resources
from avatargpt.metrics import families
from avatargpt.requests.captions import Words, pattern, tells_count
from instruct_data.store import ClipCodes
from instruct_data.text.mirror import side_of
from vqvae.io.data_files import read_yaml

_SIDED = ("left", "right")


def sided(check: Any, side: str | None) -> Any:
    """A check of a real class for a caption that names `side`; one that names no side may show either."""
    if not isinstance(check, Mapping):
        return check
    name, body = next(iter(check.items()))
    if isinstance(body, list):
        return {name: [sided(c, side) for c in body]}
    if body.get("side") in (None, "both", side):
        return check
    return {"any": [{name: {**body, "side": s}} for s in _SIDED]}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def on_side(check: Any, side: str | None) -> Any:
    """Of a check that accepts either side, what accepts the side that a caption names."""
    if not isinstance(check, Mapping) or side not in _SIDED:
        return check
    name, body = next(iter(check.items()))
    if name != "any":
        return check
    own = [c for c in body if isinstance(c, Mapping) and next(iter(c.values())).get("side") == side]
    return {"any": own} if own else check


def _rows(table: str) -> list[dict[str, Any]]:
    """What a table among the evaluation suites says of each family or class."""
    rows: list[dict[str, Any]] = read_yaml(resources.suites() / f"{table}.yaml")["classes"]
    return rows


@dataclass
class Truths:
    """The two tables together."""

    @cached_property
    def _families(self) -> dict[str, families.Entry]:
        return families.read(_rows("families"), "families")

    @cached_property
    def _classes(self) -> list[tuple[Any, frozenset[str], Words | None]]:
        return [
            (row["check"], frozenset(row.get("actions") or ()),
             pattern(row["captions"], "suite predicates", any_case=True) if row.get("captions") else None)
            for row in _rows("predicates")
        ]  # fmt: skip

    def checks(self, clip: ClipCodes, caption: str) -> list[Any]:
        """Checks that a motion made for `caption` must pass; empty = nothing known.

        Args:
            clip: a training clip that carries the caption; its class and parameters say what the words mean. A side,
                a count or a parameter is asked for only where the caption tells it.
        """
        if clip.source == "synthetic":
            entry = self._families.get(clip.action)
            return self._family(entry, clip.extra.get("params") or {}, caption) if entry else []
        if clip.source in ("composed", "layered", "styled", "looped") or clip.style not in ("", "normal"):
            return []
        return [sided(check, side_of(caption)) for check in self.of_class(clip)]

    def of_action(self, action: str, caption: str) -> list[Any]:
        """Checks that a motion made for `caption` must pass to show an action; empty = nothing known.

        Args:
            action: name of a family or of a class of recorded clips, as captions of it carry it.
        """
        entry = self._families.get(action)
        if entry is not None:
            # a parameter is as the caption says where it has the word for its value
            values = ((k, v) for when, _ in entry.checks for k, some in when.items() for v in _listed(some))
            params = {k: v for k, v in values if isinstance(v, str) and v.split()[-1] in caption.lower()}
            return [on_side(check, side_of(caption)) for check in self._family(entry, params, caption)]
        name = action.replace("_", "-")
        return [sided(check, side_of(caption)) for check, actions, _ in self._classes if name in actions]

    def of_class(self, clip: ClipCodes) -> list[Any]:
        """Checks of a recorded clip's class, whatever its style and the words of its captions."""
        return [
            check for check, actions, words in self._classes
            if clip.action in actions or (words and any(words.search(c) for c in clip.captions))
        ]  # fmt: skip

    def _family(self, entry: families.Entry, params: dict[str, Any], caption: str) -> list[Any]:
        text, side = caption.lower(), side_of(caption)
        known: dict[str, Any] = {"side": side, "other": {"left": "right", "right": "left"}[side]} if (
            side in _SIDED
        ) else {}  # fmt: skip
        if tells_count(text):
            known |= {k: v for k, v in params.items() if k not in known}
        out = []
        for when, check in entry.checks:
            # a word of the parameter's value in the caption tells it; what is derived (true or false) is never told
            said = all(not isinstance(params.get(k), str) or params[k].split()[-1] in text for k in when)
            if not when or (families.applies(when, params) and said):
                out.append(families.filled(check, known, partial=True))
        return out
