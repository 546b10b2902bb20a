"""Tables of the geometric checks that a clip or a caption must pass."""
# The tables are suites: `families` (keyframed families: checks by parameters, words that name it) and `predicates`
# (classes of recorded clips). Traits of a style are not listed: a trait counts where nearly all training clips of an
# action in a style show it beside plain clips of the same action.

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt import resources
from avatargpt.kinematics.joints import Signals
from avatargpt.metrics.geometry import predicates
from instruct_data.clip import Clip
from instruct_data.text.english import side_of
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.motion import Motion

if TYPE_CHECKING:  # it brings pyarrow
    from instruct_data.store import ClipCodes

Words = re.Pattern[str]
"""What words name something, as a table of the evaluation suites writes them: a regular expression."""
_COUNTED = re.compile(
    r"\b(?:once|twice|thrice|single|(?:two|three|four|five|six|seven|eight|\d+) "
    r"(?!hands|arms|legs|fists|feet|fingers|palms|drumsticks|sticks|people)\w+)\b"
)


def pattern(words: str, where: str, any_case: bool = False) -> Words:
    """A table's words as a pattern; raises UserError, with the place `where`, for no regular expression."""
    try:
        return re.compile(words, re.IGNORECASE if any_case else 0)
    except re.error as e:
        raise UserError(f"{where}: words are no pattern ({e})") from None


def template(captions: Iterable[str]) -> Words:
    """A pattern of captions with any words in place of their ``{slots}``; lower case, without a final stop."""
    parts = (re.split(r"\{\w+\}", text.lower().rstrip(".")) for text in captions)
    return re.compile("|".join(r"[\w' -]+?".join(map(re.escape, own)) for own in parts))


def tells_count(caption: str) -> bool:
    """Whether a caption names a number of repetitions."""
    return _COUNTED.search(caption.lower()) is not None


KEYS = ("name", "words", "checks", "also")


@dataclass(frozen=True)
class FamilyChecks:
    """One family."""

    name: str  # of the family
    words: Words  # a sentence that matches it names the family
    # ``(when, check)``: the check holds for clips whose parameters are as `when` says (empty: always). In a check,
    # "$name" stands for a parameter of the clip, "$side" and "$other" for its sides
    checks: tuple[tuple[dict[str, Any], Any], ...]
    also: tuple[str, ...] = ()  # families whose sentences are right for it too, as one is a case of the other


def read_families(rows: Sequence[dict[str, Any]], name: str) -> dict[str, FamilyChecks]:
    """The `classes` of a suite of kind ``families``. `rows`: as in the suite's file. `name`: of the suite."""
    families: dict[str, FamilyChecks] = {}
    for row in rows:
        where = f"suite {name}, family {row.get('name')!r}"
        if set(row) - set(KEYS) or not {"name", "words", "checks"} <= set(row):
            raise UserError(f"{where}: keys {sorted(row)}; accepted {', '.join(KEYS)}")
        if row["name"] in families:
            raise UserError(f"{where}: is there twice")
        checks = []
        for item in row["checks"]:
            conditional = isinstance(item, dict) and set(item) == {"when", "check"}
            when, check = (dict(item["when"]), item["check"]) if conditional else ({}, item)
            predicates.validate(check)
            checks.append((when, check))
        words = pattern(str(row["words"]), where)
        families[row["name"]] = FamilyChecks(row["name"], words, tuple(checks), tuple(row.get("also") or ()))
    unknown = {a for e in families.values() for a in e.also} - set(families)
    if unknown:
        raise UserError(f"suite {name}: also names {', '.join(sorted(unknown))}, which are no families of it")
    return families


def facts(clip: Clip) -> dict[str, Any]:
    """The parameters of a keyframed clip, its ``side`` and the ``other`` side."""
    side = str(clip.extra.get("side") or "any")
    parameters = dict(clip.extra.get("params") or {})
    return {**parameters, "side": side, "other": {"left": "right", "right": "left"}.get(side, "any")}


def fill_check(check: Any, values: dict[str, Any] | None, partial: bool = False) -> Any:
    """A check with every "$name" replaced; without values (None) such parameters are left out."""
    if isinstance(check, list):
        return [fill_check(c, values, partial) for c in check]
    if isinstance(check, dict):
        out = {}
        for key, value in check.items():
            if isinstance(value, str) and value.startswith("$"):
                if values is None:
                    continue
                if value[1:] not in values:
                    if partial:
                        continue
                    raise UserError(f"check {check}: the clip has no parameter {value[1:]}; it has {', '.join(values)}")
                value = values[value[1:]]
            out[key] = fill_check(value, values, partial)
        return out
    return check


def applies(when: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether a clip's parameters are as `when` says: a value, or one of a list."""
    return all(values.get(k) in (v if isinstance(v, list) else [v]) for k, v in when.items())


def holds(entry: FamilyChecks, clip: Clip, s: Signals) -> bool:
    """Whether a clip of the family shows what its parameters promise."""
    values = facts(clip)
    return all(predicates.judge(fill_check(c, values), s).passed for when, c in entry.checks if applies(when, values))


def resembles(entry: FamilyChecks, s: Signals) -> bool:
    """Whether any clip satisfies the unconditional checks of a family, sides and counts left open."""
    plain = [c for when, c in entry.checks if not when]
    return bool(plain) and all(predicates.judge(fill_check(c, None), s).passed for c in plain)


# Sources of keyframed clips, in stores and made on the spot.
KEYFRAMED_SOURCES = ("synthetic", "keyframed")


def belongs(clip: Clip, about: dict[str, Any]) -> bool:
    """Whether a clip is of the class: its action is among ``actions``, or a caption of it matches ``captions``."""
    if clip.action and clip.action in about.get("actions", ()):
        return True
    if not about.get("captions") or clip.action:
        return False
    words = pattern(str(about["captions"]), "suite predicates")
    return any(words.search(c) for c in clip.captions)


class ClipJudge:
    """Judges clips by the checks of the suites `predicates` (recorded ones) and `families` (keyframed ones)."""

    def __init__(self) -> None:
        self.classes = _rows("predicates")
        self.families = read_families(_rows("families"), "families")

    def verdict(self, clip: Clip, motion: Motion) -> float:
        """1.0 where `motion` shows what `clip` is known to show, 0.0 where not, NaN where no check is about it."""
        if clip.source in KEYFRAMED_SOURCES:
            entry = self.families.get(clip.action)
            return float("nan") if entry is None else float(holds(entry, clip, Signals(motion)))
        checks = [c["check"] for c in self.classes if belongs(clip, c)]
        return float(predicates.judge_all(checks, Signals(motion)).passed) if checks else float("nan")


_SIDED = ("left", "right")


def set_side(check: Any, side: str | None) -> Any:
    """A check of a real class for a caption that names `side`; one that names no side may show either."""
    if not isinstance(check, Mapping):
        return check
    name, body = next(iter(check.items()))
    if isinstance(body, list):
        return {name: [set_side(c, side) for c in body]}
    if body.get("side") in (None, "both", side):
        return check
    # Captions of real clips often leave the side open.
    return {"any": [{name: {**body, "side": s}} for s in _SIDED]}


def on_side(check: Any, side: str | None) -> Any:
    """Of a check that accepts either side, what accepts the side that a caption names."""
    if not isinstance(check, Mapping) or side not in _SIDED:
        return check
    name, body = next(iter(check.items()))
    if name != "any":
        return check
    matching = [c for c in body if isinstance(c, Mapping) and next(iter(c.values())).get("side") == side]
    return {"any": matching} if matching else check


# The rows of a table among the evaluation suites.
@cache
def _rows(table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_yaml(resources.suites() / f"{table}.yaml")["classes"]
    return rows


@cache
def _family_of(action: str) -> FamilyChecks | None:
    # one alone, for compiling the words of all takes a tenth of a second
    rows = [{**row, "also": ()} for row in _rows("families") if row.get("name") == action]
    return read_families(rows, "families").get(action)


@dataclass
class CaptionChecks:
    """The two tables together."""

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
            entry = _family_of(clip.action)
            return self._family(entry, clip.extra.get("params") or {}, caption) if entry else []
        # Such clips show several actions or another manner than their class.
        if clip.source in ("composed", "layered", "styled", "looped") or clip.style not in ("", "normal"):
            return []
        return [set_side(check, side_of(caption)) for check in self.of_class(clip)]

    def of_action(self, action: str, caption: str) -> list[Any]:
        """Checks that a motion made for `caption` must pass to show an action; empty = nothing known.

        Args:
            action: name of a family or of a class of recorded clips, as captions of it carry it.
        """
        entry = _family_of(action)
        if entry is not None:
            # a parameter is as the caption says where it has the word for its value
            values = ((k, v) for when, _ in entry.checks for k, listed in when.items()
                      for v in (listed if isinstance(listed, list) else [listed]))  # fmt: skip
            params = {k: v for k, v in values if isinstance(v, str) and v.split()[-1] in caption.lower()}
            return [on_side(check, side_of(caption)) for check in self._family(entry, params, caption)]
        name = action.replace("_", "-")
        return [set_side(check, side_of(caption)) for check, actions, _ in self._classes if name in actions]

    def of_class(self, clip: ClipCodes) -> list[Any]:
        """Checks of a recorded clip's class, whatever its style and the words of its captions."""
        return [
            check for check, actions, words in self._classes
            if clip.action in actions or (words and any(words.search(c) for c in clip.captions))
        ]  # fmt: skip

    def _family(self, entry: FamilyChecks, params: dict[str, Any], caption: str) -> list[Any]:
        text, side = caption.lower(), side_of(caption)
        values: dict[str, Any] = {}
        if side in _SIDED:
            values = {"side": side, "other": {"left": "right", "right": "left"}[side]}
        if tells_count(text):
            values |= {k: v for k, v in params.items() if k not in values}
        out = []
        for when, check in entry.checks:
            # a caption states a parameter by the last word of its value; derived ones (true or false) are never stated
            stated = all(not isinstance(params.get(k), str) or params[k].split()[-1] in text for k in when)
            if not when or (applies(when, params) and stated):
                out.append(fill_check(check, values, partial=True))
        return out


TRAITS: tuple[Any, ...] = ("slower", "faster", "stooped", "erect", {"wider_stance": {"factor": 1.2}}, "wider_arms")
PLAIN = ("", "normal")
MIN_SHARE = 0.8  # of the pairs of a styled and a plain clip that must show a trait or pass a check
MAX_CLIPS = 8  # of each kind that are judged

# (source, action, style)
Kind = tuple[str, str, str]


@dataclass(frozen=True)
class StyledAction:
    """One action in one style."""

    traits: list[Any]  # checks that compare with a plain rendition
    passing: list[Any]  # of the action's own checks those that still hold
    plain: list[Signals]  # plain renditions

    def matches(self, motion: Signals) -> bool:
        """Whether `motion` passes and shows every trait beside most of the plain renditions."""
        if not predicates.judge_all(self.passing, motion).passed:
            return False
        return all(np.mean([predicates.judge(t, motion, p).passed for p in self.plain]) > 0.5 for t in self.traits)


def manners(
    clips: Sequence[ClipCodes], checks: Callable[[ClipCodes], list[Any]], decode: Callable[[Any], Motion], seed: int = 0
) -> Mapping[Kind, StyledAction]:
    """Every action in every style that has traits."""
    rng = np.random.default_rng(seed)
    kinds: dict[Kind, list[ClipCodes]] = defaultdict(list)
    plain: dict[str, list[ClipCodes]] = defaultdict(list)
    for clip in clips:
        if not clip.action or clip.source in ("synthetic", "composed", "layered", "looped"):
            continue
        if clip.style not in PLAIN:
            kinds[clip.source, clip.action, clip.style].append(clip)
        elif clip.source != "styled":
            plain[clip.action].append(clip)

    def draw(of: list[ClipCodes]) -> list[Signals]:
        return [Signals(decode(of[i].codes)) for i in rng.permutation(len(of))[:MAX_CLIPS]]

    usual = {action: draw(of) for action, of in plain.items() if action in {k[1] for k in kinds}}
    out: dict[Kind, StyledAction] = {}
    for kind, of in kinds.items():
        if not (references := usual.get(kind[1])):
            continue
        styled = draw(of)
        traits = [
            t for t in TRAITS
            if np.mean([predicates.judge(t, s, p).passed for s in styled for p in references]) >= MIN_SHARE
        ]  # fmt: skip
        expected = checks(of[0])
        passing = [c for c in expected if np.mean([predicates.judge(c, s).passed for s in styled]) >= MIN_SHARE]
        if traits and (passing or not expected):
            out[kind] = StyledAction(traits, passing, references)
    return out
