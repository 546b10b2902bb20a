"""What a turn says in so many words: lengths, numbers, segments, takes, names, and the movement left over. Rules."""

from __future__ import annotations

import re
from collections.abc import Sequence

from avatargpt.language.chat.factors import factor
from avatargpt.language.lexical import lemmas
from instruct_data.dialogue.acts import TAKE_LETTERS
from instruct_data.dialogue.outline import SHOWN_WORDS
from instruct_data.dialogue.turns import NUMBERS, ORDINALS
from instruct_data.text.english import GERUND, PEOPLE, THIRD, also_noun, third_of

_WORDS = {w: i for i, w in enumerate(NUMBERS)} | {
    "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60,
    "ninety": 90, "hundred": 100,
}  # fmt: skip
NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+|" + "|".join(sorted(_WORDS, key=len, reverse=True)) + ")"
_LENGTH = re.compile(
    rf"(?:\b|(?<=\s)|^)(?P<n>{NUMBER})\s*-?\s*(?P<unit>seconds?|secs?|s|minutes?|mins?|min|frames?)\b"
    r"|(?P<half>half a minute)|(?P<one>\ban? (?:whole )?minute(?P<more> and a half)?)|(?P<second>\ba second\b)"
)
_AT_FPS = re.compile(r"\bat (\d+) ?fps\b")
_SEGMENT = re.compile(
    r"(?:\b(?:segment|seg|part|number|nr|no\.?|step|piece|take)s?\s*|#)(\d{1,2})\b|\b(\d{1,2})(?:st|nd|rd|th)\b"
)
_COUNTED = re.compile(rf"\b(segment|part|number|step)\s+({'|'.join(NUMBERS[1:])})\b")
_EXPLICIT = re.compile(
    r"(?:\b(?:segment|seg|part|number|nr|no\.?|step|piece)\s*|#)(\d{1,3})\b(?!\s*(?:times|x\b|seconds|s\b))"
    rf"|\b(?:(\d{{1,3}})(?:st|nd|rd|th)|({'|'.join(ORDINALS)}) (?:segment|part|step|piece|one))\b"
)
_BARE = re.compile(
    r"\W*(?:please )?(?:(?:delete|remove|drop|cut|mirror|flip|describe)\s+(\d{1,3})"
    r"|(?:move|put|shift|bring)\s+(\d{1,3})\s+(?:to|before|after|behind|first|last|up|down|in front)\b.*)\W*"
)
# what can only be done to a segment, and the place that it is done at
_ORDER = re.compile(
    r"\W*(?:(?:please|pls|ok(?:ay)?|now|and|then|can you|could you)[\s,]+)*"
    r"(?:(?:replace|exchange|swap|delete|remove|erase|mirror|redo|retime|shorten|lengthen|edit|change|speed up|"
    r"slow down)\b"
    r"|(?:make|put|move) (?=(?:the )?(?:seg|\w+ (?:one|segment)\b)))"
)
_PLACE = re.compile(rf"\bthe ({'|'.join(ORDINALS)})\s*(?=$|[.,!?]|(?:with|by|and|to|please)\b)")
_PAIR = re.compile(r"\b(?:segments|parts|pieces) (\d{1,3}) (?:and|with|&) (\d{1,3})\b(?! ?(?:times|seconds?|s)\b)")
_CHOICE = re.compile(
    r"\W*(?:please |i'?ll )*(?:keep|take|choose|pick) (?:take )?(?:([a-i])|the "
    rf"({'|'.join(ORDINALS)}) take|take ([1-9]))(?: please)?\W*"
)
_ORDINAL = re.compile(rf"\b({'|'.join(ORDINALS)})\b")
_LAST = re.compile(r"\b(?:last|final|ending|latest)\b")
_TIMES = re.compile(
    rf"\b({NUMBER})\s*(?:times|x\b)|\bx\s*(\d+)\b|\b(twice)\b|\b(thrice)\b|\bloop(?: it)?(?: x)? (\d+)\b|"
    rf"\b({NUMBER}) of (?:em|them)\b"
)
# words that stand for a value which is not said
RELATIVE = re.compile(
    r"\b(?:half|twice|double|doubled|third|quarter|longer|shorter|each|every|same|both|all|minus|more|less|"
    r"forever|everything|whole|entire|stop|don'?t)\b"
)


def number(word: str) -> float:
    """``"3"``, ``".5"`` or ``"three"`` -> 3.0, 0.5, 3.0."""
    return float(_WORDS[word]) if word in _WORDS else float(word)


def lengths(text: str) -> list[float]:
    """Every length in the text, in seconds."""
    fps = float(found.group(1) if (found := _AT_FPS.search(text)) else 0) or 20.0
    out = []
    for m in _LENGTH.finditer(text):
        if m["half"]:
            out.append(30.0)
        elif m["one"]:
            out.append(90.0 if m["more"] else 60.0)
        elif m["second"]:
            out.append(1.0)
        else:
            n, unit = number(m["n"]), m["unit"]
            out.append(n / fps if unit.startswith("frame") else n * 60 if unit.startswith("m") else n)
    return out


def without_lengths(text: str) -> str:
    return " ".join(_LENGTH.sub(" ", _AT_FPS.sub(" ", text)).split())


def with_length(text: str, instead: str) -> str:
    """The text with every length written alike."""
    return " ".join(_LENGTH.sub(instead, text).split())


def numbers(text: str) -> list[float]:
    """Every number, digits or words, lengths excluded."""
    return [number(w) for w in re.findall(rf"(?<![\w.]){NUMBER}(?![\w.]*\w)", without_lengths(text))]


def values(text: str) -> set[float]:
    """Every value that a number of an act about this text may have."""
    out = {round(x, 3) for x in [*lengths(text), *numbers(text)]}
    if (f := factor(text)) is not None:
        out.add(round(f, 3))
    if (t := times(text)) is not None:
        out.add(float(t))
    return out | {float(x) for x in re.findall(r"\d+(?:\.\d+)?", text)}


def times(text: str) -> int | None:
    """How often."""
    if not (m := _TIMES.search(text)):
        return None
    if m.group(3) or m.group(4):
        return 2 if m.group(3) else 3
    word = next(g for i, g in enumerate(m.groups(), 1) if g and i not in (3, 4))
    value = number(word)
    return int(value) if value == int(value) and 1 <= value <= 99 else None


def count(text: str) -> int | None:
    """A small whole number, wherever it stands."""
    found = [n for n in numbers(text) if n == int(n) and 1 <= n <= 99]
    return int(found[0]) if found else None


def segments(text: str, captions: Sequence[str]) -> list[int]:
    """Segments that the text points at, from 1, in the order named: by number, place, or a word of their caption."""
    plain = _numbered(text)
    out: list[tuple[int, int]] = [(m.start(), int(m.group(1) or m.group(2))) for m in _SEGMENT.finditer(plain)]
    if not out:
        for m in _ORDINAL.finditer(plain):
            word_after = plain[m.end():].split()[:1]
            n = ORDINALS.index(m.group(1)) + 1
            if word_after and (named := _named(word_after[0], captions)) and len(named) >= n:
                n = named[n - 1]  # "the second jump"
            out.append((m.start(), n))
        if middle := re.search(r"\bmiddle\b", plain):
            out.append((middle.start(), (len(captions) + 1) // 2))
        if last := _LAST.search(plain):
            out.append((last.start(), len(captions)))
    if not out:
        for n, word in enumerate(plain.split()):
            found = _named(word, captions)
            if len(found) == 1:
                out.append((n, found[0]))
    if not out:
        out = [(m.start(), int(m.group(1))) for m in re.finditer(r"(?<![\w.])(\d{1,2})(?![\w.]*\w)", plain)]
    return list(dict.fromkeys(n for _, n in sorted(out) if 1 <= n <= len(captions)))


def bare(text: str) -> int | None:
    """The segment of an order that is little more than its number: "mirror 9", "move 9 to the end"."""
    found = _BARE.fullmatch(text)
    return int(found.group(1) or found.group(2)) if found else None


def explicit(text: str) -> list[int]:
    """Numbers of segments that the text names as such, there or not: "segment 9", "the 9th", "mirror 9"."""
    if (n := bare(text)) is not None:
        return [n]
    found = _EXPLICIT.finditer(_numbered(text))
    return [ORDINALS.index(m.group(3)) + 1 if m.group(3) else int(m.group(1) or m.group(2)) for m in found]


def ordered(text: str) -> list[int]:
    """Segments, there or not, that a turn names which begins with an order about them: "replace the 9th with a bow"."""
    if (n := bare(text)) is not None:
        return [n]
    if not (found := _ORDER.match(text)):
        return []
    pair = _PAIR.search(text)
    places = (ORDINALS.index(m.group(1)) + 1 for m in _PLACE.finditer(text, found.end()))
    return [*explicit(text), *places, *(map(int, pair.groups()) if pair else ())]


def choice(text: str) -> str:
    """The letter of the take that a turn of nothing else chooses ("keep b"), or empty."""
    if not (m := _CHOICE.fullmatch(text)):
        return ""
    return m.group(1) or TAKE_LETTERS[ORDINALS.index(m.group(2)) if m.group(2) else int(m.group(3)) - 1]


def _numbered(text: str) -> str:
    """Without lengths, "segment two" as "segment 2"."""
    return _COUNTED.sub(lambda m: f"{m.group(1)} {_WORDS[m.group(2)]}", without_lengths(text))


def _named(word: str, captions: Sequence[str]) -> list[int]:
    wanted = lemmas(word)
    return [n for n, c in enumerate(captions, 1) if wanted and wanted[0] in lemmas(c)]


def take(text: str, takes: int) -> str | None:
    """The letter of a take."""
    if m := re.search(r"(?<![\w'])([a-i])(?![\w'])(?!\s+(?:bit|little|person|lot)\b)", text):
        return m.group(1)
    if re.search(r"\b(?:old|previous|original|earlier|first|before)\b", text):
        return "a"
    if re.search(r"\b(?:new|last|latest)\b", text):
        return TAKE_LETTERS[takes - 1]
    if m := re.search(r"\b([1-9])\b", text):
        return TAKE_LETTERS[int(m.group(1)) - 1]
    if "middle" in text:
        return "b"
    return next((TAKE_LETTERS[i] for i, o in enumerate(ORDINALS) if o in text), None)


_OPENING = re.compile(
    r"^(?:ok(?:ay)?|and|&|\+|then|now|next|after(?:wards?| that| this(?: one)?)|finally|later|also|so|"
    r"well|hmm+|please|pls|first(?:ly)?|at the (?:end|start|very beginning|beginning)|continue with|"
    r"add|append|insert|put|new(?: (?:clip|scene|motion|animation|one))?(?! year)|"
    r"(?:make|let|have|get|show(?: me)?|animate|(?:i want|i need|i'?d like|i would like)(?: to see)?) "
    r"(?:it|him|her|them)(?: to)?(?= \w)|make(?: a motion| a clip)?(?= )|create|generate|animate(?: this)?|show me|"
    r"(?:show|let|have)(?= (?:an? |the |some(?:one|body)))|give me|"
    r"(?:i want|i'?d like|i would like)(?: to see)?|i need|"
    r"let'?s (?:see|have|begin with|start with)|start (?:over|again|with|anew)(?: with)?|begin with|opening|"
    r"of|followed by|from scratch|something else|forget (?:that|it)|scrap (?:it|that)|can i (?:get|see|have)|"
    r"could you|can you|how about|what about|what if|"
    r"a clip of|a motion of|an animation of|beforehand|before (?:that|everything|it)|he should|she should|"
    r"instead)\b[\s,:.]*"
)


def movement(text: str) -> str:
    """What is left of a request when lengths and the words around the movement are taken away."""
    out = without_lengths(text).strip(" .,!?;:")
    place = r"\b(?:before|in front of|ahead of) (?:the )?(?:\w+ ){0,2}?(?:segment|part|step|one|\d+)\b ?\d*"
    out = re.sub(place, " ", out)
    out = re.sub(r"\b(?:please|pls|thanks|thx)\b", " ", out)
    last = ""
    while out != last:
        last, out = out, _OPENING.sub("", out.strip(" .,!?;:"))
    closing = r"\s*,?\s*\b(?:for|long|of|lasting|instead|please|at the end|first|afterwards)\s*$"
    out = re.sub(closing, "", out.strip(" .,!?;:"))
    return as_caption(" ".join(out.split()) or " ".join(text.split()[:SHOWN_WORDS]))


_SUBJECT = re.compile(
    rf"((?:an?|the|this|one) (?:[a-z]+[ -]){{0,2}}?(?:{'|'.join(PEOPLE)}))(?: to| who is| that is| is)? ([a-z]+)\b(.*)"
)
_BASES = frozenset(THIRD.values())
_NO_VERB = frozenset("like back down still round open close right left slow".split())  # that are bases of verbs as well
_WHO = re.compile(r"^(?:he|she|it|they|him|her|the (?:man|woman|boy|girl|guy|person|character|avatar))\s+(?=\w)")


def as_caption(text: str) -> str:
    """In the form of captions: ``he waves``, ``wave`` and ``waving`` become ``a person waves``.

    ``a man walk`` and ``a man walking`` become ``a man walks``.
    """
    out = re.sub(r"^some(?:one|body)(?= \w)", "a person", _WHO.sub("a person ", text))
    if (m := _SUBJECT.fullmatch(out)) and m.group(2) not in _NO_VERB and m.group(2) not in THIRD:
        verb = GERUND.get(m.group(2)) or (m.group(2) if m.group(2) in _BASES else "")
        if verb and not any(w in THIRD and not also_noun(w) for w in m.group(3).split()):
            return f"{m.group(1)} {third_of(verb)}{m.group(3)}"
    first, _, rest = out.partition(" ")
    if first in THIRD:
        return f"a person {out}"
    base = GERUND.get(first) or (first if first in _BASES else "")
    return f"a person {third_of(base)} {rest}".strip() if base else out


def replacement(text: str) -> str:
    """The new movement of "replace X with Y", "instead of X, Y", "X should be Y"."""
    for pattern in (
        r"\binstead of .*?(?:,|:|\bhe\b|\bshe\b|\bdo\b)\s*(.+)$", r"\b(?:with|by|for|to|into|as)\b\s+(.+)$",
        r"\b(?:should be|becomes|has to be|be|rather)\b\s+(.+)$", r"^(?:[^:]*):\s*(.+)$", r"^use (.+) instead",
        r"\b(?:not|no|don't do)\b.*?[.,]\s*(.+)$",
    ):  # fmt: skip
        if (m := re.search(pattern, text)) and len(m.group(1).split()) >= 1:
            return movement(m.group(1))
    return movement(text)


def changing(text: str) -> str:
    """The change that an edit asks for."""
    out = without_lengths(text).strip(" .,!;:")
    out = _SEGMENT.sub(" ", out)
    places = "|".join([*ORDINALS, "last", "middle"])
    out = re.sub(rf"\b(?:in |for |on )?(?:the )?(?:{places})\b(?: one| step| part| segment| time)?", " ", out)
    last = ""
    while out != last:
        last = out
        out = re.sub(
            r"^(?:ok(?:ay)?|and|but|now|hmm+|please|pls|no|oh|oops|make|do|redo|let|have|try|change|again|repeat|"
            r"i want|"
            r"he should(?: be)?|she should(?: be)?|it should be|should be|could (?:he|she|it) be|can you|"
            r"could you|him|her|it|them|that|this|one|same|the same|be|more like this|a bit|a little|needs to be)"
            r"\b[\s,:.]*", "", out.strip(" .,!;:"),
        )
    out = re.sub(r"\b(?:please|pls|thanks|instead|this time)\b", " ", out)
    return " ".join(out.split()) or " ".join(text.split())
