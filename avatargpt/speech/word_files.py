"""Files of word times, recognised by their contents: TextGrid, SubRip, WebVTT, JSON of several tools, CSV and CTM."""

import csv
import html
import json
import math
import os
import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatargpt.speech.phones import VOWELS, Phone, from_arpabet, from_ipa
from avatargpt.speech.words import Word, Words, check_words
from vqvae.errors import UserError
from vqvae.io.data_files import finite_number, parse_json
from vqvae.io.files import atomic_write, parsing, read_bytes

READ_SUFFIXES = (".TextGrid", ".ctm", ".srt", ".vtt", ".json", ".csv")
WRITE_SUFFIXES = (".TextGrid", ".ctm", ".srt", ".vtt", ".json")
MAX_BYTES = 16 << 20  # an hour of words with their phones takes 4 MB; as objects, forty times as much
MAX_ROWS = 300_000  # words, phones and cues; two hours have 200,000 with their pauses
# Labels that stand for no word, lower case.
PAUSES = frozenset(["", "sil", "sp", "silence", "<sil>", "<eps>", "<s>", "</s>", "<p:>", "#", "[sil]", "{sl}"])
LINE, CUE = 42, 84  # characters of a line and of a cue of two lines
JSON_KINDS = "words with times as avatargpt, Whisper, faster-whisper, WhisperX, MFA or pocketsphinx write them"
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_TEXTGRID_TOKEN = re.compile(r'"((?:[^"]++|"")*+)"|(?<!\S)(-?\d[\d.]*(?:[eE][-+]?\d+)?)(?!\S)|(<exists>|<absent>)')
_TEXTGRID_HEAD = ("ooTextFile", "TextGrid")
_STAMP = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_CUE_TIMES = re.compile(rf"^\s*{_STAMP}\s*-->\s*{_STAMP}", re.ASCII)
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
_INNER_STAMP = re.compile(rf"<{_STAMP}>", re.ASCII)
_SPREAD_NOTE = "words are spread within each cue by their syllables, not heard; `avatargpt align` hears them"
_CSV_COLUMNS = ("begin", "end", "label", "type")


@dataclass(frozen=True)
class TierInterval:
    """A label of a tier and its times in seconds."""

    start: float
    end: float
    label: str


def has_times(path: Path) -> bool:
    """Whether the suffix is that of a file of word times."""
    return path.suffix.lower() in {s.lower() for s in READ_SUFFIXES}


def read(path: str | os.PathLike[str], seconds: float | None = None) -> Words:
    """Word times of a file in any format of this module.

    Raises:
        UserError: not such a file, damaged, no words, or times that are reversed, overlap or lie beyond the sound.
    """
    path, accepted = Path(path), f"accepted: {', '.join(READ_SUFFIXES)}"
    where = str(path)
    text = read_text(path)
    with parsing(path, "a file of word times", accepted):
        if text.lstrip().startswith(("File type", '"ooTextFile"')):
            return _words_of_tiers(_textgrid_tiers(text, where), where, seconds)
        if text.lstrip().startswith(("{", "[")):
            return _read_json(text, where, seconds)
        if text.lstrip().startswith("WEBVTT") or any(map(_CUE_TIMES.match, text.split("\n", 50)[:50])):
            return _read_subtitles(text, where, seconds)
        head = text.lstrip().partition("\n")[0].lower()
        if {*_CSV_COLUMNS} <= {h.strip() for h in head.split(",")}:
            return _read_csv(text, where, seconds)
        if _is_ctm(text):
            return _read_ctm(text, where, seconds)
        raise UserError(f"no word times in it; {accepted}")


def read_text(path: Path) -> str:
    """A text file in UTF-8 or UTF-16, line ends as they are. Raises UserError, also for one without a word."""
    data = read_bytes(path, MAX_BYTES, "accepted: a text file")
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), None)
    if encoding is None:
        zeros = data[:200:2].count(0), data[1:200:2].count(0)
        encoding = "utf-16-be" if zeros[0] > 20 else "utf-16-le" if zeros[1] > 20 else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not text in UTF-8 or UTF-16 (byte {e.start}); accepted: either of these") from None
    if not text.strip():
        raise UserError(f"{path}: empty file; accepted: a file with words in it")
    return text


def _check_count(count: float, where: str) -> None:
    if count > MAX_ROWS:
        raise UserError(f"{where}: more than {MAX_ROWS:,} words, phones or cues; accepted: those of some hours")


def check_target(path: Path) -> None:
    """Raises UserError where a file of that suffix cannot be written."""
    if path.suffix.lower() not in {s.lower() for s in WRITE_SUFFIXES}:
        raise UserError(f"{path}: files of word times are {', '.join(WRITE_SUFFIXES)}")


def write(words: Words, path: str | os.PathLike[str]) -> Path:
    """Write word times in the format of the suffix: `WRITE_SUFFIXES`. Subtitles hold times of phrases alone."""
    path = Path(path)
    check_target(path)
    suffix = path.suffix.lower()
    if suffix == ".textgrid":
        text = _textgrid(words)
    elif suffix == ".ctm":
        # Channel 1; spaces inside a word become underlines.
        name = "_".join(path.stem.split()) or "sound"
        text = "".join(
            f"{name} 1 {w.start:.3f} {w.end - w.start:.3f} {'_'.join(w.text.split())}"
            f"{'' if w.confidence is None else f' {w.confidence:.3f}'}\n" for w in words.words
        )
    elif suffix == ".json":
        text = json.dumps(words.as_dict(), ensure_ascii=False, indent=1) + "\n"
    elif suffix == ".srt":
        # SubRip has no way to write the arrow of its times but the one of WebVTT.
        cues = [(a, b, cue.replace("-->", "--&gt;")) for a, b, cue in _cues(words, ",")]
        text = "\n".join(f"{k}\n{a} --> {b}\n{cue}\n" for k, (a, b, cue) in enumerate(cues, 1))
    else:
        cues = [(a, b, html.escape(cue, quote=False)) for a, b, cue in _cues(words, ".")]
        text = "WEBVTT\n\n" + "\n".join(f"{a} --> {b}\n{cue}\n" for a, b, cue in cues)
    return atomic_write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


# Tiers: TextGrid, and the JSON and CSV of MFA. Both forms of a TextGrid are quoted texts and numbers in one order with
# comment between: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
def _textgrid_tiers(text: str, where: str) -> dict[str, list[TierInterval]]:
    """Interval tiers by name; tiers of points are left out."""
    if any(part not in text[:200] for part in _TEXTGRID_HEAD):
        raise UserError(f"{where}: no TextGrid; accepted: a text file that Praat or an aligner has written as one")
    tokens = iter(_TEXTGRID_TOKEN.finditer(text))

    def next_text(what: str) -> str:
        for token in tokens:
            if token[1] is not None:
                return token[1].replace('""', '"')
        raise UserError(f"{where}: ends early, {what} is missing; accepted: a whole TextGrid")

    def next_number(what: str) -> float:
        token = next(tokens, None)
        if token is None:
            raise UserError(f"{where}: ends early, {what} is missing; accepted: a whole TextGrid")
        if (number := _number(token[2] or "")) is not None:
            return number
        line = text.count("\n", 0, token.start()) + 1
        raise UserError(f"{where} line {line}: {token[0][:40]} where {what} should be; accepted: a number")

    for part in _TEXTGRID_HEAD:
        next_text(part)
    next_number("the beginning")
    next_number("the end")
    if next(tokens, [""])[0] != "<exists>":
        raise UserError(f"{where}: no tiers in it; accepted: a TextGrid with a tier of words")
    tiers: dict[str, list[TierInterval]] = {}
    total = 0  # intervals of all tiers
    for _ in range(int(next_number("the number of tiers"))):
        kind, name = next_text("the kind of a tier"), next_text("the name of a tier")
        next_number("the beginning of a tier")
        next_number("the end of a tier")
        rows = []
        count = int(next_number(f"the number of intervals of {name}"))
        _check_count(total + count, where)
        for k in range(count):
            at = f"interval {k + 1} of tier {name}"
            start = next_number(f"the time of {at}")
            end = next_number(f"the end of {at}") if kind == "IntervalTier" else start
            rows.append(TierInterval(start, end, next_text(f"the label of {at}").strip()))
        if kind == "IntervalTier":
            total += len(rows) - len(tiers.get(name, ()))
            tiers[name] = rows
    return tiers


def _words_of_tiers(tiers: dict[str, list[TierInterval]], where: str, seconds: float | None) -> Words:
    """Words of the tier called word or words, with the phones of the tier called phone or phones."""
    names = _tiers_called(tiers, "word")
    if not names and len(tiers) == 1:
        names = list(tiers)
    if len(names) != 1:
        has = ", ".join(repr(n) for n in tiers) or "none"
        many = f"{len(names)} tiers of words" if names else "no tier of words"
        raise UserError(f"{where}: {many} among its interval tiers ({has}); accepted: one called words or word")
    rows = [row for row in tiers[names[0]] if row.label.lower() not in PAUSES]
    phone_tiers = [n for n in _tiers_called(tiers, "phone") if n != names[0]]
    phones, unknown = _phones_of_tier(tiers[phone_tiers[0]]) if len(phone_tiers) == 1 else ([], [])
    notes = [f"{where}: {len(unknown)} phones that are not known were left out ({unknown[0]})"] if unknown else []
    phones.sort(key=_middle)
    words = []
    for row in rows:
        first, stop = (bisect_left(phones, t, key=_middle) for t in (row.start, row.end))
        words.append(Word(row.label, row.start, row.end, tuple(phones[first:stop])))
    return check_words(where, words, f"TextGrid, tier {names[0]}", seconds, tuple(notes))


def _middle(phone: Phone) -> float:
    return (phone.start + phone.end) / 2


def _tiers_called(tiers: Mapping[str, list[TierInterval]], name: str) -> list[str]:
    """Tiers whose name is `name` or its plural, alone or with that of a speaker."""
    return [n for n in tiers if {name, f"{name}s"} & set(n.lower().replace("-", " ").split())]


def _phones_of_tier(rows: Sequence[TierInterval]) -> tuple[list[Phone], list[str]]:
    """Phones of a tier, and its labels that are none: ARPAbet where all but pauses are, else IPA."""
    labels = [row.label for row in rows if row.label.lower() not in PAUSES and row.label.lower() != "spn"]
    convert = from_arpabet if all(from_arpabet(label) is not None for label in labels) else from_ipa
    phones, unknown = [], []
    for row in rows:
        name = "SIL" if row.label.lower() in PAUSES or row.label.lower() == "spn" else convert(row.label)
        if name is None:
            unknown.append(row.label)
        elif name != "SIL":
            phones.append(Phone(name, row.start, row.end, _stress(row.label, name)))
    return phones, unknown


def _stress(label: str, name: str) -> int | None:
    """The stress in a phone's label, as in AE1."""
    return int(label[-1]) if name in VOWELS and label[-1:] in ("0", "1", "2") else None


def _textgrid(words: Words) -> str:
    """A TextGrid in long form: a tier ``words``, and ``phones`` where they are known."""
    end = words.seconds if words.seconds is not None else words.words[-1].end
    tiers = {"words": [TierInterval(w.start, w.end, w.text) for w in words.words if w.end > w.start]}
    phones = [
        TierInterval(p.start, p.end, p.name + ("" if p.stress is None else str(p.stress)))
        for w in words.words for p in w.phones if p.end > p.start
    ]  # fmt: skip
    if phones:
        tiers["phones"] = phones
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.6f}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for k, (name, labelled) in enumerate(tiers.items(), 1):
        rows = _without_gaps(labelled, end)
        lines += [f"    item [{k}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {end:.6f}", f"        intervals: size = {len(rows)}"]
        for j, row in enumerate(rows, 1):
            label = row.label.replace('"', '""')
            lines += [f"        intervals [{j}]:", f"            xmin = {row.start:.6f}"]
            lines += [f"            xmax = {row.end:.6f}", f'            text = "{label}"']
    return "\n".join(lines) + "\n"


def _without_gaps(rows: Sequence[TierInterval], end: float) -> list[TierInterval]:
    """The same with empty intervals between, so that they cover all of the sound, as Praat requires."""
    out: list[TierInterval] = []
    at = 0.0
    for row in rows:
        start = max(row.start, at)
        if start - at > 1e-6:
            out.append(TierInterval(at, start, ""))
        if row.end > start:
            out.append(TierInterval(start, row.end, row.label))
            at = row.end
    return [*out, TierInterval(at, end, "")] if end - at > 1e-6 else out


# Subtitles
def _read_subtitles(text: str, where: str, seconds: float | None) -> Words:
    """Words of all cues; times inside a cue of WebVTT are used."""
    lines = text.splitlines()
    cues = []
    for number, line in enumerate(lines):
        if stamps_of_cue := _CUE_TIMES.match(line):
            cues.append((number, stamps_of_cue.groups()))
        elif "-->" in line:
            shown = line.strip()[:60]
            raise UserError(f"{where} line {number + 1}: {shown!r}; accepted: 00:00:01,000 --> 00:00:02,500")
    _check_count(len(cues), where)
    words: list[Word] = []
    spread = False
    for (number, times), following in zip(cues, [*(n for n, _ in cues[1:]), None], strict=True):
        start, end = _stamp_seconds(times[:4]), _stamp_seconds(times[4:])
        if end < start:
            raise UserError(f"{where} line {number + 1}: a cue from {start:g} to {end:g} s; accepted: an end after it")
        cue = " ".join(_cue_lines(lines[number + 1 : following], following is not None))
        stamps = list(_INNER_STAMP.finditer(cue))
        edges = [start, *(_stamp_seconds(m.groups()) for m in stamps), end]
        parts = [cue[a:b] for a, b in zip([0, *(m.end() for m in stamps)],
                                          [*(m.start() for m in stamps), len(cue)], strict=True)]  # fmt: skip
        for part, a, b in zip(parts, edges, edges[1:], strict=False):
            texts = html.unescape(_TAG.sub(" ", part)).split()
            spread |= len(texts) > 1
            _check_count(len(words) + len(texts), where)
            words += spread_words(texts, a, b)
    return check_words(where, words, "subtitles", seconds, (f"{where}: {_SPREAD_NOTE}",) if spread else ())


def _cue_lines(lines: list[str], last_may_count: bool) -> list[str]:
    """The text of a cue: the lines after its times up to an empty one, without the number of the next cue."""
    stop = next((k for k, line in enumerate(lines) if not line.strip()), len(lines))
    numbered = last_may_count and stop == len(lines) and stop > 0 and lines[-1].strip().isdecimal()
    return lines[: stop - numbered]


def spread_words(texts: list[str], start: float, end: float) -> list[Word]:
    """Words that share the seconds from `start` to `end` by their syllables; texts without a letter are left out."""
    texts = [t for t in texts if any(c.isalnum() for c in t)]
    weights = [syllables(t) for t in texts]
    at, total, words = start, sum(weights), []
    for text, weight in zip(texts, weights, strict=True):
        until = min(end, at + (end - start) * weight / total)
        words.append(Word(text, at, until))
        at = until
    return words


def syllables(text: str) -> int:
    """About how many syllables a word has: runs of vowel letters, a last e left out; at least 1."""
    bare = text.lower().rstrip(".,;:!?\"'")
    bare = bare[:-1] if bare.endswith("e") and not bare.endswith("le") else bare
    return max(1, sum(c in "aeiouy" and (k == 0 or bare[k - 1] not in "aeiouy") for k, c in enumerate(bare)))


def _stamp_seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = parts
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + int(seconds or 0) + float(f"0.{fraction}")


def _cues(words: Words, mark: str) -> list[tuple[str, str, str]]:
    """Cues of at most two lines, each within one phrase: start, end, text."""
    cues: list[tuple[str, str, str]] = []
    for phrase in words.phrases():
        cue: list[Word] = []
        for word in (*words.words[phrase.first : phrase.stop], None):
            if cue and (word is None or len(" ".join(w.text for w in (*cue, word))) > CUE):
                cues.append((_stamp(cue[0].start, mark), _stamp(cue[-1].end, mark), _two_lines([w.text for w in cue])))
                cue = []
            if word is not None:
                cue.append(word)
    return cues


def _two_lines(texts: list[str]) -> str:
    first: list[str] = []
    while texts and (not first or len(" ".join([*first, texts[0]])) <= LINE):
        first, texts = [*first, texts[0]], texts[1:]
    return " ".join(first) + ("\n" + " ".join(texts) if texts else "")


def _stamp(seconds: float, mark: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{mark}{ms % 1000:03d}"


# JSON
def _read_json(text: str, where: str, seconds: float | None) -> Words:
    """Words of a JSON file, or of one JSON object a line."""
    try:
        document: Any = parse_json(text, where, f"accepted: {JSON_KINDS}")
    except UserError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].rstrip().endswith("}"):
            raise
        document = [parse_json(line, f"{where} line {n}", f"accepted: {JSON_KINDS}") for n, line in enumerate(lines, 1)]
    if isinstance(document, Mapping) and isinstance(document.get("tiers"), Mapping):
        return _words_of_tiers(_mfa_tiers(document["tiers"], where), where, seconds)
    words, source, notes = _words_of_json(document, where)
    if isinstance(document, Mapping) and isinstance(document.get("source"), str):
        source = document["source"] or source
    if seconds is None and isinstance(document, Mapping) and document.get("seconds") is not None:
        seconds = _time(document["seconds"], f"{where}: seconds")
    return check_words(where, words, source, seconds, tuple(notes))


def _words_of_json(document: Any, where: str) -> tuple[list[Word], str, list[str]]:
    if isinstance(document, list) and document and all(_is_sphinx(d) for d in document):
        return [w for d in document for w in _sphinx_words(d, where)], "pocketsphinx JSON", []
    if _is_sphinx(document):
        return _sphinx_words(document, where), "pocketsphinx JSON", []
    rows = document
    if isinstance(document, Mapping):
        segments = document.get("segments")
        if isinstance(segments, list):
            return _words_of_segments(segments, where)
        rows = document.get("words", document.get("word_segments"))
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(f"{where}: JSON without words; accepted: {JSON_KINDS}")
    words, notes = _words_of_rows(rows, where, 0.0, math.inf)
    return words, "JSON", notes


def _words_of_segments(segments: list[Any], where: str) -> tuple[list[Word], str, list[str]]:
    words: list[Word] = []
    notes: list[str] = []
    spread = 0
    for number, segment in enumerate(segments, 1):
        if not isinstance(segment, Mapping):
            raise UserError(f"{where} segment {number}: {str(segment)[:40]!r}; accepted: an object with words")
        start = _time(segment.get("start"), f"{where} segment {number}: start")
        end = _time(segment.get("end"), f"{where} segment {number}: end")
        rows = segment.get("words")
        if isinstance(rows, list) and rows:
            more_words, more_notes = _words_of_rows(rows, f"{where} segment {number}", start, end)
            words += more_words
            notes += more_notes
        elif str(segment.get("text", "")).strip():
            if end < start:
                raise UserError(f"{where} segment {number}: from {start:g} to {end:g} s; accepted: an end after it")
            texts = str(segment["text"]).split()
            _check_count(len(words) + len(texts), where)
            words += spread_words(texts, start, end)
            spread += 1
    if spread:
        notes.append(f"{where}: {spread} segments without word times; their words are spread by their syllables, not "
                     "heard; `avatargpt align` hears them")  # fmt: skip
    return words, "Whisper JSON", notes


def _words_of_rows(rows: list[Any], where: str, start: float, end: float) -> tuple[list[Word], list[str]]:
    """Rows with word (or text), start and end; those without times share what is left between their neighbours."""
    items: list[Word | str] = []
    _check_count(len(rows), where)
    for number, row in enumerate(rows, 1):
        here = f"{where} word {number}"
        text = row.get("word", row.get("text")) if isinstance(row, Mapping) else None
        if not isinstance(text, str):
            raise UserError(f"{here}: {str(row)[:60]}; accepted: an object with word, start and end")
        text = text.strip()
        if text.lower() in PAUSES:
            continue
        if row.get("start") is None and row.get("end") is None:
            items.append(text)
            continue
        score = row.get("score", row.get("probability", row.get("confidence")))
        confidence = min(max(_time(score, f"{here}: score"), 0.0), 1.0) if score is not None else None
        times = _time(row.get("start"), f"{here}: start"), _time(row.get("end"), f"{here}: end")
        items.append(Word(text, *times, _phones_of_rows(row.get("phones"), here), confidence))
    words: list[Word] = []
    k = 0
    while k < len(items):
        stop = next((j for j in range(k, len(items)) if isinstance(items[j], Word)), len(items))
        after = items[stop] if stop < len(items) else None
        if stop > k:
            a = words[-1].end if words else start
            b = after.start if isinstance(after, Word) else end
            if not math.isfinite(b) or b < a:
                raise UserError(f"{where}: no times of {items[k]!r}; accepted: start and end of every word")
            words += spread_words([str(t) for t in items[k:stop]], a, b)
        if isinstance(after, Word):
            words.append(after)
        k = stop + 1
    untimed = sum(isinstance(item, str) for item in items)
    return words, [f"{where}: {untimed} words without times were put between their neighbours"] if untimed else []


def _phones_of_rows(rows: Any, where: str) -> tuple[Phone, ...]:
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
            out.append(Phone(name, *times, _stress(label, name)))
    return tuple(out)


def _time(value: Any, where: str) -> float:
    number = None if isinstance(value, bool) or not isinstance(value, int | float) else _number(str(value))
    if number is None:
        raise UserError(f"{where} is {str(value)[:40]!r}; accepted: a number")
    return number


def _mfa_tiers(document: Mapping[str, Any], where: str) -> dict[str, list[TierInterval]]:
    tiers: dict[str, list[TierInterval]] = {}
    total = 0  # intervals of all tiers
    for name, tier in document.items():
        entries = tier.get("entries") if isinstance(tier, Mapping) else None
        if not isinstance(entries, list):
            raise UserError(f"{where}: tier {name} without entries; accepted: JSON as MFA writes it")
        for row in entries:
            if not isinstance(row, list) or len(row) < 3:
                raise UserError(f"{where} tier {name}: {str(row)[:40]}; accepted: [begin, end, label]")
        at = f"{where} tier {name}"
        total += len(entries)
        _check_count(total, where)
        tiers[str(name)] = [TierInterval(_time(r[0], at), _time(r[1], at), str(r[2]).strip()) for r in entries]
    return tiers


def _is_sphinx(document: Any) -> bool:
    return isinstance(document, Mapping) and isinstance(document.get("w"), list) and {"b", "d", "t"} <= set(document)


def _sphinx_words(document: Mapping[str, Any], where: str) -> list[Word]:
    """pocketsphinx: b begin, d duration, p probability, t text, w what is inside."""
    out = []
    for row in document["w"]:
        try:
            text, start = str(row["t"]), _time(row["b"], f"{where}: b")
            end, score = start + _time(row["d"], f"{where}: d"), _time(row["p"], f"{where}: p")
            inside = [{"phone": p["t"], "start": p["b"], "end": p["b"] + p["d"]} for p in row.get("w", [])]
        except (KeyError, TypeError) as e:
            raise UserError(f"{where}: a word without {e}; accepted: b, d, p and t as pocketsphinx writes") from None
        bare = text.partition("(")[0]
        if bare and not text.startswith(("<", "[", "+")):
            phones = _phones_of_rows(inside, where)
            out.append(Word(bare, start, round(end, 6), phones, min(max(score, 0.0), 1.0)))
    return out


# CSV and CTM
def _read_csv(text: str, where: str, seconds: float | None) -> Words:
    """MFA's CSV: columns Begin, End, Label, Type (words, phones), Speaker."""
    tiers: dict[str, list[TierInterval]] = {}
    for number, fields in enumerate(csv.DictReader(text.lstrip().splitlines()), 2):
        _check_count(number, where)
        row = {str(k).strip().lower(): v for k, v in fields.items()}
        start, end = (_number(row.get(name) or "") for name in ("begin", "end"))
        if start is None or end is None:
            raise UserError(f"{where} line {number}: times {row.get('begin')!r} to {row.get('end')!r}; "
                            "accepted: seconds")  # fmt: skip
        speaker = (row.get("speaker") or "").strip()
        name = f"{speaker} - {row['type']}" if speaker else str(row["type"])
        tiers.setdefault(name, []).append(TierInterval(start, end, (row["label"] or "").strip()))
    return _words_of_tiers(tiers, where, seconds)


def _is_ctm(text: str) -> bool:
    """Whether the first line that is no comment has a name, a channel, two numbers and a word."""
    parts = next(iter(_ctm_lines(text)), (0, [""]))[1]
    return len(parts) in (5, 6) and _number(parts[2]) is not None and _number(parts[3]) is not None


def _ctm_lines(text: str) -> Iterable[tuple[int, list[str]]]:
    return ((n, line.split()) for n, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.lstrip().startswith(";;"))  # fmt: skip


def _number(text: str) -> float | None:
    """A finite number; None for anything else."""
    try:
        return finite_number(text)
    except ValueError:
        return None


def _read_ctm(text: str, where: str, seconds: float | None) -> Words:
    """NIST's CTM, a word a line: recording, channel, start, duration, word and optionally confidence."""
    words, channels = [], set()
    for number, parts in _ctm_lines(text):
        _check_count(number, where)
        numbers = [_number(p) for p in parts[2:4]] if len(parts) in (5, 6) else []
        score = _number(parts[5]) if len(parts) == 6 else None
        if len(numbers) < 2 or numbers[0] is None or numbers[1] is None or (len(parts) == 6 and score is None):
            raise UserError(f"{where} line {number}: {' '.join(parts)[:60]!r}; accepted: recording, channel, start, "
                            "duration, word, confidence")  # fmt: skip
        if numbers[1] < 0:
            raise UserError(f"{where} line {number}: a duration of {numbers[1]:g} s; accepted: 0 or more")
        channels.add((parts[0], parts[1]))
        if parts[4].lower() not in PAUSES:
            end = round(numbers[0] + numbers[1], 6)
            words.append(Word(parts[4], numbers[0], end, (), None if score is None else min(max(score, 0.0), 1.0)))
    if len(channels) > 1:
        names = ", ".join(sorted(f"{name} {channel}" for name, channel in channels)[:3])
        raise UserError(f"{where}: {len(channels)} recordings or channels ({names}); accepted: one, cut the file")
    return check_words(where, words, "CTM", seconds)
