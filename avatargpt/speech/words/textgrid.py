"""Praat's TextGrid, long and short form: both are quoted texts and numbers in one order with comment between.

Format: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from avatargpt.speech.phones import VOWELS, Phone, from_arpabet, from_ipa
from avatargpt.speech.words.words import Word, Words, collected
from vqvae.errors import UserError

PAUSES = frozenset(["", "sil", "sp", "silence", "<sil>", "<eps>", "<s>", "</s>", "<p:>", "#", "[sil]", "{sl}"])
"""Labels that stand for no word, lower case."""
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)(-?\d[\d.]*(?:[eE][-+]?\d+)?)(?!\S)|(<exists>|<absent>)')
_HEAD = ("ooTextFile", "TextGrid")


@dataclass(frozen=True)
class Interval:
    """A label of a tier and its times in seconds."""

    start: float
    end: float
    label: str


def is_textgrid(text: str) -> bool:
    """Whether this is how a TextGrid begins."""
    return text.lstrip().startswith(("File type", '"ooTextFile"'))


def read_textgrid(text: str, where: str, seconds: float | None = None) -> Words:
    """Words of the tier called word or words, with the phones of the tier called phone or phones beside it.

    Args:
        where: the file, for messages. seconds: of the sound, where it is known.

    Raises:
        UserError: another kind of file, cut off, no tier of words or several, times that make no sense.
    """
    return from_tiers(tiers(text, where), where, seconds)


def tiers(text: str, where: str) -> dict[str, list[Interval]]:
    """Interval tiers by name, tiers of points left out.

    Raises:
        UserError: not a TextGrid, or one that ends early.
    """
    if any(part not in text[:200] for part in _HEAD):
        raise UserError(f"{where}: no TextGrid; accepted: a text file that Praat or an aligner has written as one")
    tokens = iter(_TOKEN.finditer(text))

    def text_of(what: str) -> str:
        for token in tokens:
            if token[1] is not None:
                return token[1].replace('""', '"')
        raise UserError(f"{where}: ends early, {what} is missing; accepted: a whole TextGrid")

    def number(what: str) -> float:
        token = next(tokens, None)
        try:
            if token is not None and token[2] is not None:
                return float(token[2])
        except ValueError:
            pass
        if token is None:
            raise UserError(f"{where}: ends early, {what} is missing; accepted: a whole TextGrid")
        line = text.count("\n", 0, token.start()) + 1
        raise UserError(f"{where} line {line}: {token[0][:40]} where {what} should be; accepted: a number")

    for part in _HEAD:
        text_of(part)
    number("the beginning"), number("the end")
    if next(tokens, [""])[0] != "<exists>":
        raise UserError(f"{where}: no tiers in it; accepted: a TextGrid with a tier of words")
    found: dict[str, list[Interval]] = {}
    for _ in range(int(number("the number of tiers"))):
        kind, name = text_of("the kind of a tier"), text_of("the name of a tier")
        number("the beginning of a tier"), number("the end of a tier")
        rows = []
        for k in range(int(number(f"the number of intervals of {name}"))):
            at = f"interval {k + 1} of tier {name}"
            start = number(f"the time of {at}")
            end = number(f"the end of {at}") if kind == "IntervalTier" else start
            rows.append(Interval(start, end, text_of(f"the label of {at}").strip()))
        if kind == "IntervalTier":
            found[name] = rows
    return found


def from_tiers(found: dict[str, list[Interval]], where: str, seconds: float | None = None) -> Words:
    """Words of tiers by name, as MFA and Praat name them. Raises UserError as `read_textgrid`."""
    names = _called(found, "word")
    if not names and len(found) == 1:
        names = list(found)
    if len(names) != 1:
        has = ", ".join(repr(n) for n in found) or "none"
        many = f"{len(names)} tiers of words" if names else "no tier of words"
        raise UserError(f"{where}: {many} among its interval tiers ({has}); accepted: one called words or word")
    rows = [row for row in found[names[0]] if row.label.lower() not in PAUSES]
    beside = [n for n in _called(found, "phone") if n != names[0]]
    phones, unknown = _phones(found[beside[0]]) if len(beside) == 1 else ([], [])
    notes = [f"{where}: {len(unknown)} phones that are not known were left out ({unknown[0]})"] if unknown else []
    words = []
    for row in rows:
        own = tuple(p for p in phones if row.start <= (p.start + p.end) / 2 < row.end)
        words.append(Word(row.label, row.start, row.end, own))
    return collected(where, words, f"TextGrid, tier {names[0]}", seconds, tuple(notes))


def _called(found: dict[str, list[Interval]], name: str) -> list[str]:
    """Tiers whose name is `name` or its plural, alone or after or before that of a speaker."""
    return [n for n in found if {name, f"{name}s"} & set(n.lower().replace("-", " ").split())]


def _phones(rows: Sequence[Interval]) -> tuple[list[Phone], list[str]]:
    """Phones of a tier, and its labels that are none: ARPAbet where all but pauses are, else IPA."""
    labels = [row.label for row in rows if row.label.lower() not in PAUSES and row.label.lower() != "spn"]
    read = from_arpabet if all(from_arpabet(label) is not None for label in labels) else from_ipa
    phones, unknown = [], []
    for row in rows:
        name = "SIL" if row.label.lower() in PAUSES or row.label.lower() == "spn" else read(row.label)
        if name is None:
            unknown.append(row.label)
        elif name != "SIL":
            phones.append(Phone(name, row.start, row.end, stress_of(row.label, name)))
    return phones, unknown


def stress_of(label: str, name: str) -> int | None:
    """The stress that a phone's label says, as in AE1."""
    return int(label[-1]) if name in VOWELS and label[-1:] in ("0", "1", "2") else None


def write_textgrid(words: Words) -> str:
    """A TextGrid in long form: a tier ``words``, and ``phones`` where they are known."""
    end = words.seconds if words.seconds is not None else words.words[-1].end
    rows = {"words": [Interval(w.start, w.end, w.text) for w in words.words if w.end > w.start]}
    phones = [
        Interval(p.start, p.end, p.name + ("" if p.stress is None else str(p.stress)))
        for w in words.words for p in w.phones if p.end > p.start
    ]  # fmt: skip
    if phones:
        rows["phones"] = phones
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(rows)}", "item []:"]
    for k, (name, some) in enumerate(rows.items(), 1):
        whole = _filled(some, end)
        lines += [f"    item [{k}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(whole)}"]
        for j, row in enumerate(whole, 1):
            label = row.label.replace('"', '""')
            lines += [f"        intervals [{j}]:", f"            xmin = {row.start:.6f}"]
            lines += [f"            xmax = {row.end:.6f}", f'            text = "{label}"']
    return "\n".join(lines) + "\n"


def _filled(rows: Sequence[Interval], end: float) -> list[Interval]:
    """The same with empty intervals between, so that they cover the whole sound, as Praat wants it."""
    out: list[Interval] = []
    at = 0.0
    for row in rows:
        start = max(row.start, at)
        if start - at > 1e-6:
            out.append(Interval(at, start, ""))
        if row.end > start:
            out.append(Interval(start, row.end, row.label))
            at = row.end
    return [*out, Interval(at, end, "")] if end - at > 1e-6 else out
