"""Word times in JSON (ours, Whisper, faster-whisper, WhisperX, MFA, pocketsphinx), MFA's CSV, and CTM."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from avatargpt.speech.phones import Phone, from_arpabet, from_ipa
from avatargpt.speech.words.subtitles import share_out
from avatargpt.speech.words.textgrid import PAUSES, Interval, from_tiers, stress_of
from avatargpt.speech.words.words import Word, Words, collected
from vqvae.errors import UserError

JSON_KINDS = "words with times as avatargpt, Whisper, faster-whisper, WhisperX, MFA or pocketsphinx write them"
_CSV = ("begin", "end", "label", "type")


def read_json(text: str, where: str, seconds: float | None = None) -> Words:
    """Words of a JSON file, or of one JSON object a line.

    Raises:
        UserError: no JSON, another kind of content, times that are missing or make no sense.
    """
    try:
        document: Any = json.loads(text)
    except ValueError as e:
        try:
            document = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError:
            raise UserError(f"{where}: no JSON ({e}); accepted: {JSON_KINDS}") from None
    if isinstance(document, Mapping) and isinstance(document.get("tiers"), Mapping):
        return from_tiers(_mfa_tiers(document["tiers"], where), where, seconds)
    rows, source, notes = _rows(document, where)
    if isinstance(document, Mapping) and isinstance(document.get("source"), str):
        source = document["source"] or source
    if seconds is None and isinstance(document, Mapping) and isinstance(document.get("seconds"), int | float):
        seconds = float(document["seconds"])
    return collected(where, rows, source, seconds, tuple(notes))


def _rows(document: Any, where: str) -> tuple[list[Word], str, list[str]]:
    if isinstance(document, list) and document and all(_is_sphinx(d) for d in document):
        return [w for d in document for w in _sphinx(d, where)], "pocketsphinx JSON", []
    if _is_sphinx(document):
        return _sphinx(document, where), "pocketsphinx JSON", []
    listed = document
    if isinstance(document, Mapping):
        segments = document.get("segments")
        if isinstance(segments, list):
            return _segments(segments, where)
        listed = document.get("words", document.get("word_segments"))
    if not isinstance(listed, list) or not all(isinstance(row, Mapping) for row in listed):
        raise UserError(f"{where}: JSON without words; accepted: {JSON_KINDS}")
    words, notes = _words(listed, where, 0.0, math.inf)
    return words, "JSON", notes


def _segments(segments: list[Any], where: str) -> tuple[list[Word], str, list[str]]:
    words: list[Word] = []
    notes: list[str] = []
    spread = 0
    for number, segment in enumerate(segments, 1):
        if not isinstance(segment, Mapping):
            raise UserError(f"{where} segment {number}: {str(segment)[:40]!r}; accepted: an object with words")
        start = _time(segment.get("start"), f"{where} segment {number}: start")
        end = _time(segment.get("end"), f"{where} segment {number}: end")
        listed = segment.get("words")
        if isinstance(listed, list) and listed:
            some, told = _words(listed, f"{where} segment {number}", start, end)
            words, notes = words + some, notes + told
        elif str(segment.get("text", "")).strip():
            if end < start:
                raise UserError(f"{where} segment {number}: from {start:g} to {end:g} s; accepted: an end after it")
            words += share_out(str(segment["text"]).split(), start, end)
            spread += 1
    if spread:
        notes.append(f"{where}: {spread} segments without word times; their words are spread by their syllables, not "
                     "heard; `avatargpt align` hears them")  # fmt: skip
    return words, "Whisper JSON", notes


def _words(listed: list[Any], where: str, start: float, end: float) -> tuple[list[Word], list[str]]:
    """Rows with word (or text), start and end; those without times share what is left between their neighbours."""
    found: list[Word | str] = []
    for number, row in enumerate(listed, 1):
        here = f"{where} word {number}"
        text = row.get("word", row.get("text")) if isinstance(row, Mapping) else None
        if not isinstance(text, str):
            raise UserError(f"{here}: {str(row)[:60]}; accepted: an object with word, start and end")
        text = text.strip()
        if text.lower() in PAUSES:
            continue
        if row.get("start") is None and row.get("end") is None:
            found.append(text)
            continue
        sure = row.get("score", row.get("probability", row.get("confidence")))
        confidence = min(max(_time(sure, f"{here}: score"), 0.0), 1.0) if sure is not None else None
        times = _time(row.get("start"), f"{here}: start"), _time(row.get("end"), f"{here}: end")
        found.append(Word(text, *times, _phones(row.get("phones"), here), confidence))
    words: list[Word] = []
    k = 0
    while k < len(found):
        stop = next((j for j in range(k, len(found)) if isinstance(found[j], Word)), len(found))
        after = found[stop] if stop < len(found) else None
        if stop > k:
            a = words[-1].end if words else start
            b = after.start if isinstance(after, Word) else end
            if not math.isfinite(b) or b < a:
                raise UserError(f"{where}: no times of {found[k]!r}; accepted: start and end of every word")
            words += share_out([str(t) for t in found[k:stop]], a, b)
        if isinstance(after, Word):
            words.append(after)
        k = stop + 1
    untimed = sum(isinstance(f, str) for f in found)
    told = f"{where}: {untimed} words without times were put between their neighbours"
    return words, [told] if untimed else []


def _phones(rows: Any, where: str) -> tuple[Phone, ...]:
    if rows is None:
        return ()
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(f"{where}: phones {str(rows)[:40]}; accepted: a list of objects with phone, start and end")
    out = []
    for row in rows:
        label = str(row.get("phone", ""))
        name = from_arpabet(label) or from_ipa(label)
        if name is None:
            raise UserError(f"{where}: phone {label!r}; accepted: ARPAbet or IPA")
        times = _time(row.get("start"), f"{where}: phone {label}"), _time(row.get("end"), f"{where}: phone {label}")
        if name != "SIL":
            out.append(Phone(name, *times, stress_of(label, name)))
    return tuple(out)


def _time(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where} is {str(value)[:40]!r}; accepted: a number")
    return float(value)


def _mfa_tiers(given: Mapping[str, Any], where: str) -> dict[str, list[Interval]]:
    out = {}
    for name, tier in given.items():
        entries = tier.get("entries") if isinstance(tier, Mapping) else None
        if not isinstance(entries, list):
            raise UserError(f"{where}: tier {name} without entries; accepted: JSON as MFA writes it")
        for row in entries:
            if not isinstance(row, list) or len(row) < 3:
                raise UserError(f"{where} tier {name}: {str(row)[:40]}; accepted: [begin, end, label]")
        at = f"{where} tier {name}"
        out[str(name)] = [Interval(_time(r[0], at), _time(r[1], at), str(r[2]).strip()) for r in entries]
    return out


def _is_sphinx(document: Any) -> bool:
    return isinstance(document, Mapping) and isinstance(document.get("w"), list) and {"b", "d", "t"} <= set(document)


def _sphinx(document: Mapping[str, Any], where: str) -> list[Word]:
    """pocketsphinx: b begin, d duration, p probability, t text, w what is inside."""
    out = []
    for row in document["w"]:
        try:
            text, start = str(row["t"]), _time(row["b"], f"{where}: b")
            end, sure = start + _time(row["d"], f"{where}: d"), _time(row["p"], f"{where}: p")
            inside = [{"phone": p["t"], "start": p["b"], "end": p["b"] + p["d"]} for p in row.get("w", [])]
        except (KeyError, TypeError) as e:
            raise UserError(f"{where}: a word without {e}; accepted: b, d, p and t as pocketsphinx writes") from None
        bare = text.partition("(")[0]
        if bare and not text.startswith(("<", "[", "+")):
            out.append(Word(bare, start, round(end, 6), _phones(inside, where), min(max(sure, 0.0), 1.0)))
    return out


def is_csv(text: str) -> bool:
    """Whether the first line names MFA's columns."""
    head = text.lstrip().partition("\n")[0].lower()
    return all(name in [h.strip() for h in head.split(",")] for name in _CSV)


def read_csv(text: str, where: str, seconds: float | None = None) -> Words:
    """MFA's CSV: columns Begin, End, Label, Type (words, phones), Speaker. Raises UserError as `read_json`."""
    tiers: dict[str, list[Interval]] = {}
    for number, row in enumerate(csv.DictReader(text.lstrip().splitlines()), 2):
        given = {str(k).strip().lower(): v for k, v in row.items()}
        try:
            start, end = float(given["begin"] or ""), float(given["end"] or "")
        except (ValueError, KeyError):
            raise UserError(f"{where} line {number}: times {given.get('begin')!r} to {given.get('end')!r}; accepted: "
                            "seconds") from None  # fmt: skip
        speaker = (given.get("speaker") or "").strip()
        name = f"{speaker} - {given['type']}" if speaker else str(given["type"])
        tiers.setdefault(name, []).append(Interval(start, end, (given["label"] or "").strip()))
    return from_tiers(tiers, where, seconds)


def is_ctm(text: str) -> bool:
    """Whether the first line that is no comment has a name, a channel, two numbers and a word."""
    parts = next(iter(_ctm_lines(text)), (0, [""]))[1]
    return len(parts) in (5, 6) and _number(parts[2]) is not None and _number(parts[3]) is not None


def _ctm_lines(text: str) -> Iterable[tuple[int, list[str]]]:
    return ((n, line.split()) for n, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.lstrip().startswith(";;"))  # fmt: skip


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def read_ctm(text: str, where: str, seconds: float | None = None) -> Words:
    """NIST's CTM: recording, channel, start, duration, word and, where it is given, confidence, a word a line.

    Raises:
        UserError: another kind of line, several recordings or channels, times that make no sense.
    """
    words, who = [], set()
    for number, parts in _ctm_lines(text):
        numbers = [_number(p) for p in parts[2:4]] if len(parts) in (5, 6) else []
        sure = _number(parts[5]) if len(parts) == 6 else None
        if len(numbers) < 2 or numbers[0] is None or numbers[1] is None or (len(parts) == 6 and sure is None):
            raise UserError(f"{where} line {number}: {' '.join(parts)[:60]!r}; accepted: recording, channel, start, "
                            "duration, word, confidence")  # fmt: skip
        if numbers[1] < 0:
            raise UserError(f"{where} line {number}: a duration of {numbers[1]:g} s; accepted: 0 or more")
        who.add((parts[0], parts[1]))
        if parts[4].lower() not in PAUSES:
            end = round(numbers[0] + numbers[1], 6)
            words.append(Word(parts[4], numbers[0], end, (), None if sure is None else min(max(sure, 0.0), 1.0)))
    if len(who) > 1:
        some = ", ".join(sorted(f"{name} {channel}" for name, channel in who)[:3])
        raise UserError(f"{where}: {len(who)} recordings or channels ({some}); accepted: one, cut the file")
    return collected(where, words, "CTM", seconds)


def write_ctm(words: Words, name: str) -> str:
    """CTM of a recording called `name`, channel 1; spaces inside a word become underlines."""
    def line(word: Word) -> str:
        sure = "" if word.confidence is None else f" {word.confidence:.3f}"
        text = "_".join(word.text.split())
        return f"{'_'.join(name.split()) or 'sound'} 1 {word.start:.3f} {word.end - word.start:.3f} {text}{sure}\n"

    return "".join(line(word) for word in words.words)
