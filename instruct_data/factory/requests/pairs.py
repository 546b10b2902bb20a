"""Pairs to learn from: requests in words with their targets (tokens and copied words), verb forms and numerals."""
# A target is a list of tokens (str) and places of words (int): `new 0 1 times= 2 side=left end`. A clause begins with
# `new` (after the one before), `with` (at the same time) or `not` (not to be done); then come the words of its
# action, then its attributes in the order of `instruct_data.requests.spec.ATTRIBUTES`; those of the whole follow
# `whole`.

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from instruct_data.factory.requests.ways import (
    ACTED,
    FAMILIES,
    FAMILY_FORMS,
    FEELINGS,
    FORMS,
    LISTED,
    NOUNS,
    SlotMaterial,
    TemplatePart,
    Way,
)
from instruct_data.requests.targets import OPENING, ORDER, VALUES, WHOLE, Target
from instruct_data.text.english import gerund_of, third_of
from instruct_data.text.numerals import ONES, TENS, find_words_in, is_numeral

_PAST = {
    "go": "went", "run": "ran", "stand": "stood", "sit": "sat", "swing": "swung", "bend": "bent", "throw": "threw",
    "hold": "held", "take": "took", "come": "came", "lie": "lay", "rise": "rose", "fall": "fell", "get": "got",
    "make": "made", "keep": "kept", "leap": "leapt", "kneel": "knelt", "creep": "crept", "swim": "swam",
    "spin": "spun", "shake": "shook", "lead": "led", "put": "put", "hit": "hit", "fling": "flung", "stride": "strode",
    "blow": "blew", "strike": "struck", "catch": "caught", "bring": "brought", "drive": "drove", "ride": "rode",
    "dive": "dived", "do": "did", "be": "was", "have": "had", "give": "gave", "eat": "ate", "drink": "drank",
    "sleep": "slept", "read": "read", "write": "wrote", "draw": "drew", "cut": "cut", "dig": "dug", "wind": "wound",
    "tear": "tore", "sweep": "swept", "weep": "wept", "say": "said", "sing": "sang", "shoot": "shot",
    "build": "built", "buy": "bought", "fight": "fought", "find": "found", "fly": "flew", "grow": "grew",
    "hang": "hung", "hide": "hid", "lay": "laid", "light": "lit", "let": "let", "pay": "paid", "ring": "rang",
    "set": "set", "shut": "shut", "sink": "sank", "slide": "slid", "speak": "spoke", "spit": "spat", "split": "split",
    "spread": "spread", "stick": "stuck", "sting": "stung", "swear": "swore", "tell": "told", "think": "thought",
    "wake": "woke", "wear": "wore", "wring": "wrung", "feed": "fed", "feel": "felt", "freeze": "froze",
    "grind": "ground", "lean": "leaned", "beat": "beat", "bind": "bound", "bite": "bit", "bleed": "bled",
    "break": "broke", "breastfeed": "breastfed", "cast": "cast", "deal": "dealt", "forget": "forgot", "hear": "heard",
    "meet": "met", "sew": "sewed", "shear": "sheared", "sling": "slung", "speed": "sped", "steal": "stole",
    "string": "strung", "thrust": "thrust", "tread": "trod", "undo": "undid", "weave": "wove", "see": "saw",
    "forgive": "forgave", "burst": "burst", "bet": "bet", "cling": "clung", "wed": "wed", "win": "won",
    "withdraw": "withdrew", "seek": "sought", "sell": "sold", "send": "sent", "slay": "slew", "spring": "sprang",
    "stink": "stank", "teach": "taught", "understand": "understood", "lose": "lost", "leave": "left", "know": "knew",
    "hurt": "hurt", "choose": "chose", "begin": "began", "become": "became", "lend": "lent",
}  # fmt: skip


def inflect_action(action: str, form: str) -> str:
    """A verb phrase in base form as ``does``, ``doing`` or ``did``."""
    verb, _, tail = action.partition(" ")
    if form == "does":
        verb = third_of(verb)
    elif form == "doing":
        verb = gerund_of(verb)
    elif form == "did":
        regular = f"{verb[:-1]}ied" if verb[-1:] == "y" and verb[-2:-1] not in "aeou" else gerund_of(verb)[:-3] + "ed"
        verb = _PAST.get(verb) or (f"{verb}d" if verb.endswith("e") else regular)
    return f"{verb} {tail}".strip()


def in_words(number: int, joint: str = " ", link: str = " and ") -> str:
    """A whole number below 1000 in words. `joint`: between tens and ones. `link`: behind hundreds."""
    if number < 20:
        return ONES[number]
    if number >= 100:
        hundreds, remainder = divmod(number, 100)
        return f"{ONES[hundreds]} hundred" + (link + in_words(remainder, joint) if remainder else "")
    ten, ones = divmod(number, 10)
    return TENS[ten - 2] + (joint + ONES[ones] if ones else "")


_ALTERNATIVES = re.compile("<([^<>]*)>")
_SIDED = re.compile(r"(\{side\}|\bboth\b)")  # what of an action says a side
EXPANDED, JOINED, WRITTEN_OUT, HALVES = 0.3, 0.12, 0.45, 0.5


@dataclass(frozen=True)
class Pair:
    """A request and what it means: `words` as of `words_of`, `target` as above."""

    words: list[str]
    target: Target


@dataclass
class _TextDraft:
    """A text under construction: bits of it, each with who means what by it."""

    bits: list[tuple[str, tuple[str, ...], str, str]] = field(default_factory=list)  # text, clauses, role, value
    flags: dict[str, str] = field(default_factory=dict)
    set: dict[tuple[str, str], str] = field(default_factory=dict)  # (clause, attribute) -> value


class Pairs:
    """Draws pairs."""

    def __init__(self, ways: Sequence[Way], words: SlotMaterial) -> None:
        self.ways, self.words = ways, words
        # construct -> line -> its alternatives: a line is drawn as often as another, however many it has
        self.constructs: dict[str, dict[str, list[Way]]] = {}
        for way in self.ways:
            self.constructs.setdefault(way.construct, {}).setdefault(way.text, []).append(way)
        self._lines = {c: [*lines.values()] for c, lines in self.constructs.items()}
        self.suffixes = [w for w in self.ways if _is_suffix(w)]

    def draw(self, rng: np.random.Generator) -> Pair:
        """A pair; some are two templates in a row."""
        while True:
            draft = _TextDraft()
            way = self._way(rng)
            self._fill(way, draft, rng, "", [EXPANDED])
            following = self._way(rng) if rng.random() < JOINED else None
            if following and not any(role in WHOLE for _, _, role, _ in draft.bits):
                words = "".join(b[0] for b in draft.bits).rstrip()
                if words[-1:] not in ".!?;":
                    draft.bits.append((str(rng.choice([". ", "; ", ". ", "\n"])), (), "", ""))
                else:
                    draft.bits.append((" ", (), "", ""))
                self._fill(following, draft, rng, max(draft.flags, default=""), [EXPANDED])
            pair = _finish(draft)
            if 1 <= len(pair.words) <= 60 and len(pair.target) > 1:
                return pair

    def fill_way(self, way: Way, rng: np.random.Generator) -> Pair:
        """One template alone, its actions without attributes of their own."""
        draft = _TextDraft()
        self._fill(way, draft, rng, "", [0.0])
        return _finish(draft)

    def _way(self, rng: np.random.Generator) -> Way:
        lines = self._lines[str(rng.choice(sorted(self._lines)))]
        line = lines[int(rng.integers(len(lines)))]
        return line[int(rng.integers(len(line)))]

    def _fill(self, way: Way, draft: _TextDraft, rng: np.random.Generator, after: str, expand: list[float]) -> None:
        """Add a template; its clauses are named behind those of `after`."""
        shift = ord(after) - ord("A") + 1 if after else 0
        name = {c: chr(ord(c) + shift) for c in "ABCDEFGH"}
        draft.flags |= {name[c]: f for c, f in way.flags.items()}
        who, they = self.words.who[int(rng.integers(len(self.words.who)))]
        actions: dict[str, str] = {}
        sides: dict[str, str] = {}
        for part, following in zip(way.parts, [*(p.text for p in way.parts[1:]), ""], strict=True):
            clauses = tuple(name[c] for c in part.clauses)
            if not part.text:
                draft.set |= {(c, part.role): part.value for c in clauses}
            elif not part.slot:
                draft.bits.append((part.text, clauses, part.role, part.value))
            elif part.text in ACTED:
                self._action(part, clauses[0], draft, rng, actions, sides, way, expand)
            elif part.text == "side":
                side = sides.setdefault(clauses[0], str(rng.choice(["left", "right"])))
                draft.bits.append((side, clauses, "side", side))
            elif part.role in VALUES:
                glued = following[:1].isalpha() or (bool(draft.bits) and draft.bits[-1][0][-1:].isalpha())
                draft.bits.append((_number(part.text, rng, glued), clauses, part.role, ""))
            else:
                words = _filler(part.text, who, they, self.words, rng)
                if part.text == "opp":  # of a later clause: its side; of the first one: words that mean nothing
                    first = sides.setdefault(name["A"], str(rng.choice(["left", "right"])))
                    words = "right" if first == "left" else "left"
                    draft.bits.append((words, clauses, "side" if part.clauses[0] != "A" else "", words))
                    continue
                draft.bits.append((words, clauses, part.role, part.value))

    def _action(
        self, part: TemplatePart, clause: str, draft: _TextDraft, rng: np.random.Generator, actions: dict[str, str],
        sides: dict[str, str], way: Way, expand: list[float],
    ) -> None:  # fmt: skip
        roles = {p.role for p in way.parts if p.role and part.clauses[0] in p.clauses}
        if part.text in NOUNS:
            nouns = getattr(self.words, NOUNS[part.text])
            words = nouns[int(rng.integers(len(nouns)))]
            draft.bits.append((third_of(words) if part.text == "nouns" else words, (clause,), part.role, ""))
            return
        if part.text in FEELINGS:
            feeling = self.words.feelings[int(rng.integers(len(self.words.feelings)))]
            actions.setdefault(clause, "\t".join(feeling))
            draft.bits.append((actions[clause].split("\t")[FEELINGS.index(part.text)], (clause,), "action", ""))
            return
        family, form = (part.text[0], part.text[1:]) if part.text in FAMILY_FORMS else ("", part.text)
        # what points at a segment ("while he walks") is another action than the clause's
        key = f"{clause}{family}" if part.role == "action" else f"{clause} {part.role}"
        if key not in actions:
            options = getattr(self.words, FAMILIES[family]) if family else self.words.actions
            for _ in range(20):
                actions[key] = _draw_words(options, rng)
                fresh = actions[key] not in [a for k, a in actions.items() if k != key]
                if fresh and ("side" not in roles or not _SIDED.search(actions[key])):
                    break
        words = inflect_action(actions[key], form)
        role = "side" if self.words.sided else part.role
        for bit in _SIDED.split(words):
            if bit == "both":
                draft.bits.append((bit, (clause,), role, bit if self.words.sided else ""))
            elif bit == "{side}":
                side = sides.setdefault(clause, str(rng.choice(["left", "right"])))
                draft.bits.append((side, (clause,), role, side if self.words.sided else ""))
            else:
                draft.bits.append((bit, (clause,), part.role, ""))
        plain = part.role == "action" and form != "did" and family not in ("z", "f")
        if rng.random() < expand[0] and self.suffixes and plain:
            suffix = self.suffixes[int(rng.integers(len(self.suffixes)))]
            theirs = {p.role for p in suffix.parts if p.role}
            if theirs - {"action"} and not (theirs - {"action"}) & roles:
                suffix_way = Way(suffix.text, "", "", suffix.parts[1:], {})
                inner = _TextDraft()
                self._fill(suffix_way, inner, rng, "", [0.0])
                draft.bits += [(t, (clause,), r, v) for t, _, r, v in inner.bits]


def _is_suffix(way: Way) -> bool:
    """Whether a template is an action with its attributes alone, so that it may replace an action in others."""
    first, *others_ = way.parts
    plain = all(
        p.text not in ("who", "they", "them", "place") and p.role not in WHOLE and p.role != "action" for p in others_
    )
    words = "".join(p.text for p in others_ if not p.slot)
    shape = not re.search(r"[.!?;:\n]|->|\bthen\b", words) and len(words) < 60 and words[:1] in (" ", ",")
    return first.slot and first.text in FORMS[:3] and [*way.flags] == ["A"] and bool(others_) and plain and shape


def _one_of(rng: np.random.Generator, shares: Sequence[float], *values: float | np.integer) -> float:
    return float(values[int(rng.choice(len(values), p=shares))])


def _number(slot: str, rng: np.random.Generator, digits: bool) -> str:
    if slot in ("n", "r", "a"):
        value = _one_of(rng, [0.6, 0.3, 0.1], rng.integers(1, 7), rng.integers(2, 13), rng.integers(2, 60))
    elif slot in ("at", "u"):
        value = _one_of(rng, [0.5, 0.35, 0.15], rng.integers(1, 13), rng.integers(2, 100), rng.integers(1, 60) / 2)
        if digits is False and value >= 10 and rng.random() < 0.15:
            return f"{int(value) // 60}:{int(value) % 60:02d}"
    elif slot in ("fp", "tp"):
        value = float(rng.integers(1, 20) * 5)
    elif slot in ("s", "w", "e", "p"):
        value = _one_of(rng, [0.5, 0.25, 0.25], rng.integers(1, 7), rng.integers(2, 61), rng.integers(1, 40) / 4)
    elif slot == "deg":
        value = _one_of(
            rng, [0.8, 0.2], rng.choice([30, 45, 60, 90, 90, 120, 180, 180, 270, 360]), rng.integers(1, 73) * 5
        )
    elif slot == "x":
        value = float(rng.choice([0.5, 0.75, 0.8, 1.2, 1.25, 1.5, 2, 2, 3, 4, 0.25]))
    else:
        value = _one_of(rng, [0.6, 0.2, 0.2], rng.integers(1, 7), rng.integers(1, 30), rng.integers(1, 20) / 2)
    if value == int(value) and value < 1000 and rng.random() < WRITTEN_OUT and slot != "x" and not digits:
        return in_words(int(value), str(rng.choice([" ", "-"])), str(rng.choice([" ", " and "])))
    if value % 1 == 0.5 and 1 < value < 100 and rng.random() < HALVES and slot != "x" and not digits:
        return f"{in_words(int(value), str(rng.choice([' ', '-'])))} and a half"
    return f"{value:g}"


_PRONOUNS = {"he": ("him", "his"), "she": ("her", "her"), "it": ("it", "its"), "they": ("them", "their"),
             "i": ("me", "my"), "you": ("you", "your"), "we": ("us", "our")}  # fmt: skip


def _filler(slot: str, who: str, they: str, words: SlotMaterial, rng: np.random.Generator) -> str:
    them, their = _PRONOUNS.get(they.lower(), ("them", "their"))
    if slot in LISTED:
        return _draw_words(getattr(words, LISTED[slot]), rng).replace("their ", f"{their} ")
    if slot in ("place", "obj", "said"):
        options = {"place": words.places, "obj": words.objects, "said": words.said}[slot]
        return options[int(rng.integers(len(options)))]
    return {"who": who, "they": they, "them": them, "their": their}.get(slot, "")


def _draw_words(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of some words, with one of each of its alternatives."""
    words = options[int(rng.integers(len(options)))]
    return _ALTERNATIVES.sub(lambda m: str(rng.choice(m[1].split("|"))), words)


def _finish(draft: _TextDraft) -> Pair:
    """The words, and the target that the bits tell."""
    text, spans = "", []
    for words, clauses, role, value in draft.bits:
        if role:
            spans.append((len(text), len(text) + len(words), clauses, role, value))
        text += words
    matches = find_words_in(text)
    acts: dict[str, list[int]] = {c: [] for c in draft.flags}
    marked: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for begin, end, clauses, role, value in spans:
        inside = [i for i, w in enumerate(matches) if begin <= w.start() < end]
        for clause in clauses:
            if role == "action":
                acts.setdefault(clause, []).extend(i for i in inside if i not in acts[clause])
            else:
                key = ("" if role in WHOLE else clause, role)
                marked.setdefault(key, []).extend((i, value) for i in inside)
    target: Target = []
    for clause in sorted(acts):
        target += [OPENING[draft.flags.get(clause, "")], *acts[clause]]
        for name in ORDER:
            implied = draft.set.get((clause, name))
            if implied is not None and (clause, name) not in marked:
                target += [f"{name}=", f"#{float(implied):g}"] if name in VALUES else [f"{name}={implied}"]
            target += _attribute(name, marked.get((clause, name), []), matches)
    request_part: Target = []
    for name in WHOLE:
        request_part += _attribute(name, marked.get(("", name), []), matches)
    return Pair([w[0] for w in matches], [*target, *(["whole", *request_part] if request_part else []), "end"])


def _attribute(name: str, marked: Sequence[tuple[int, str]], matches: Sequence[re.Match[str]]) -> Target:
    if not marked:
        return []
    value = next((v for _, v in marked if v), "")
    if name in VALUES:
        if value:
            return [f"{name}=", f"#{float(value):g}"]
        numerals = [i for i, _ in marked if is_numeral(matches[i][0])]
        return [f"{name}=", *numerals] if numerals else []
    if value:
        return [f"{name}={value}"]
    return [f"{name}=", *dict.fromkeys(i for i, _ in marked)]
