"""The table of keyframed families: what the geometry of a clip must show, and which words name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from avatargpt.requests.captions import Words, pattern, template
from instruct_data.clip import Clip
from vqvae.errors import UserError

KEYS = ("name", "words", "checks", "also")


@dataclass(frozen=True)
class Entry:
    """One family.

    Attributes:
        name: of the family.
        words: a sentence that matches it names the family.
        checks: ``(when, check)``: the check holds for clips whose parameters are as `when` says (empty: always). In a
            check, "$name" stands for a parameter of the clip, "$side" and "$other" for its sides.
        also: families whose sentences are right for it too, as one is a case of the other.
    """

    name: str
    words: Words
    checks: tuple[tuple[dict[str, Any], Any], ...]
    also: tuple[str, ...] = ()


def read(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Entry]:
    """The `classes` of a suite of kind ``families``.

    Args:
        rows: as the suite tells them. name: of the suite.

    Raises:
        UserError: unknown keys, a family twice, a bad pattern, an unknown check.
    """
    found: dict[str, Entry] = {}
    for row in rows:
        where = f"suite {name}, family {row.get('name')!r}"
        if set(row) - set(KEYS) or not {"name", "words", "checks"} <= set(row):
            raise UserError(f"{where}: keys {sorted(row)}; accepted {', '.join(KEYS)}")
        if row["name"] in found:
            raise UserError(f"{where}: is there twice")
        checks = []
        for item in row["checks"]:
            conditional = isinstance(item, dict) and set(item) == {"when", "check"}
            when, check = (dict(item["when"]), item["check"]) if conditional else ({}, item)
            predicates.validate(check)
            checks.append((when, check))
        words = pattern(str(row["words"]), where)
        found[row["name"]] = Entry(row["name"], words, tuple(checks), tuple(row.get("also") or ()))
    unknown = {a for e in found.values() for a in e.also} - set(found)
    if unknown:
        raise UserError(f"suite {name}: also names {', '.join(sorted(unknown))}, which are no families of it")
    return found


def facts(clip: Clip) -> dict[str, Any]:
    """What a keyframed clip says of itself: its parameters, ``side`` and ``other``."""
    side = str(clip.extra.get("side") or "any")
    known = dict(clip.extra.get("params") or {})
    return {**known, "side": side, "other": {"left": "right", "right": "left"}.get(side, "any")}


def filled(check: Any, known: dict[str, Any] | None, partial: bool = False) -> Any:
    """A check with every "$name" replaced; without facts (None) such parameters are left out.

    Args:
        partial: leave out also those that `known` does not tell.
    """
    if isinstance(check, list):
        return [filled(c, known, partial) for c in check]
    if isinstance(check, dict):
        out = {}
        for key, value in check.items():
            if isinstance(value, str) and value.startswith("$"):
                if known is None:
                    continue
                if value[1:] not in known:
                    if partial:
                        continue
                    raise UserError(f"check {check}: the clip has no parameter {value[1:]}; it has {', '.join(known)}")
                value = known[value[1:]]
            out[key] = filled(value, known, partial)
        return out
    return check


def applies(when: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether a clip's parameters are as `when` says: a value, or one of a list."""
    return all(known.get(k) in (v if isinstance(v, list) else [v]) for k, v in when.items())


def holds(entry: Entry, clip: Clip, s: Signals) -> bool:
    """Whether a clip of the family shows what its parameters promise."""
    known = facts(clip)
    return all(predicates.judge(filled(c, known), s).passed for when, c in entry.checks if applies(when, known))


def resembles(entry: Entry, s: Signals) -> bool:
    """Whether any clip satisfies the unconditional checks of a family, sides and counts left open."""
    plain = [c for when, c in entry.checks if not when]
    return bool(plain) and all(predicates.judge(filled(c, None), s).passed for c in plain)


@cache
def templates() -> dict[str, Words]:
    """Action with a file -> what its own captions look like with any side, count or other word filled in."""
    from instruct_data.synth import actions

    return {name: template(c.text for c in family.captions) for name, family in actions().items()}


def named(table: dict[str, Entry], sentence: str) -> set[str]:
    """Families that a sentence names: by one of its words, or as it says what a caption of the family says."""
    text = sentence.lower().strip().rstrip(".")
    own = templates()
    return {
        name for name, entry in table.items()
        if entry.words.search(text) or (name in own and own[name].fullmatch(text))
    }  # fmt: skip
