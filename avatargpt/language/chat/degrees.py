"""How much faster, slower, longer or shorter a turn wants something. Rules."""

from __future__ import annotations

import re
from dataclasses import dataclass

from avatargpt.language.chat import slots
from avatargpt.language.chat.factors import plain

FASTER, SLOWER = (1.4, 1.8), (0.7, 0.5)  # times as fast; the second where it is said with "much"
LONGER, SHORTER = (1.3, 1.8), (0.75, 0.5)  # times as long
_MUCH = re.compile(r"\b(?:much|a lot|lots|way|far|twice as)\b")
_STRENGTH = re.compile(
    r"\b(?:much|a lot|lots|way|far|twice as|a bit|a little(?: bit)?|slightly|somewhat|even|very|really|just|more)\b"
)
_AMOUNT = re.compile(
    r"\b(?:by |to |at )?(?:(?:\d+(?:\.\d+)?|\.\d+)\s*(?:%|per ?cent\b|x\b|times\b|-fold\b)|x\s*\d+(?:\.\d+)?\b|"
    r"(?:twice|double|triple|half(?: again)?|quarter|(?:two|three|four|five) times)\b|"
    r"(?:an?|one) (?:third|quarter|fifth|tenth)\b)"
    r"(?: as\b(?= (?:fast|slow)))?|\bto \.?\d+(?:\.\d+)?(?!\S)"
)
_MORE = re.compile(rf"\b({slots.NUMBER}) (?:more|extra|additional) (seconds?|secs?|s|minutes?|mins?|frames?)\b")
# <n> is a length that is said, `what` the words about what; 1 = more, -1 = less, 0 = to that length
_BY_SECONDS = [
    (r"(?:add|give)(?: another)? <n>(?: more| extra)?(?: (?:to|for|on)\b)?(?! of\b)(?P<what>.*)", 1),
    (r"give (?P<what>.+) <n> (?:more|extra|longer)", 1), (r"give (?P<what>.+) <n>", 0),
    (r"(?:cut|trim|take|remove|knock|shave)(?: the (?:last|first))? <n>(?: (?:off|away|from|of))+(?P<what>.*)", -1),
    (r"(?:cut|trim|take) (?P<what>.+) (?:off|short) by <n>", -1),
    (r"(?P<what>.*?)(?:by )?<n> (?:longer|lengthened)", 1), (r"(?P<what>.*?)longer by <n>", 1),
    (r"(?P<what>.+) <n> more", 1),
    (r"(?P<what>.*?)(?:by )?<n> (?:shorter|less)", -1), (r"(?P<what>.*?)shorter by <n>", -1),
    (r"(?:lengthen|prolong|stretch|extend)(?P<what>.*?)by <n>", 1),
    (r"(?:shorten|trim|cut|reduce)(?: down)?(?P<what>.*?)by <n>", -1),
    (r"(?:shorten|trim|cut|reduce|lengthen|stretch|prolong|extend)(?: down)?(?P<what>.*?)(?:down )?to <n>", 0),
]  # fmt: skip
_LENGTHS = [
    (r"(?P<what>.*?)too long", -1), (r"(?P<what>.*?)too short", 1),
    (r"(?P<what>.*?)(?:longer|lengthened|as long)", 1), (r"(?P<what>.*?)(?:shorter|shortened)", -1),
    (r"(?:lengthen|prolong|stretch(?: out)?|extend (?=(?:the|his|her|segment)\b))(?P<what>.*)", 1),
    (r"(?:shorten|trim)(?: down)?(?P<what>.*)", -1),
    (r"(?:the |its |his |her )?(?:length|duration)(?: of)?(?P<what>.*)", 1),
]
_TEMPOS = [
    (r"(?P<what>.*?)(?:too|less|not so) (?:fast|quick|quickly|hurried)", -1),
    (r"(?P<what>.*?)(?:too|less|not so) (?:slow|slowly)", 1),
    (r"slow[- ]?mo(?:tion)?\b(?P<what>.*)", -1), (r"(?P<what>.*?)\bin slow[- ]?mo(?:tion)?", -1),
    (r"(?:slow|slowed|calm|tone)(?P<what>.*?)\bdown\b(?P<also>.*)", -1), (r"slow (?P<what>.+)", -1),
    (r"(?:speed|sped|hurry)(?P<what>.*?)\bup\b(?P<also>.*)", 1), (r"(?:quicken|hurry)(?P<what>.*)", 1),
    (r"(?P<what>.*?)\b(?:slower|slowly|slow|slow down|slowed down|slowed)\b(?P<also>.*)", -1),
    (r"(?P<what>.*?)\b(?:faster|fast|quicker|quickly|hurried|speed up|sped up)\b(?P<also>.*)", 1),
]
_FORMS = {k: [(re.compile(p), sign) for p, sign in rows]
          for k, rows in (("seconds", _BY_SECONDS), ("length", _LENGTHS), ("tempo", _TEMPOS))}  # fmt: skip
_LEAD = re.compile(
    r"^(?:(?:please|pls|ok(?:ay)?|now|and|but|so|hmm+|no|oh|can you|could you|would you|just|also|actually|i want|"
    r"make|let|have|get|play|run|do|turn|set|put|keep|try|change|be|for|on|in|with|to|of|during)\b[\s,]*)+"
)
_TAIL = re.compile(
    r"(?:[\s,]*\b(?:please|pls|thanks|thx|now|though|should|could|must|can|needs? to|has to|is|are|was|looks|seems|"
    r"feels|be|last|lasts|go|goes|move|happen|by|as|at|to|speed|tempo|pace)\b)+$"
)


@dataclass(frozen=True)
class Degree:
    """How much.

    Attributes:
        tempo: times as fast, 1 = nothing is said of it. length: times as long, likewise.
        seconds: longer, negative = shorter. to: seconds that it shall last, 0 = not said.
        said: an amount was named. rest: the words about what it is, may be empty.
    """

    tempo: float = 1.0
    length: float = 1.0
    seconds: float = 0.0
    to: float = 0.0
    said: bool = False
    rest: str = ""

    @property
    def words(self) -> str:
        """The wish without what it is about; `degree` reads it as the same."""
        if self.seconds:
            return f"{abs(self.seconds):.4g} seconds {'longer' if self.seconds > 0 else 'shorter'}"
        if self.length != 1:
            usual = {LONGER[0]: "longer", LONGER[1]: "much longer", SHORTER[0]: "shorter", SHORTER[1]: "much shorter"}
            return f"{self.length:.4g} times as long" if self.said else usual[self.length]
        usual = {FASTER[0]: "faster", FASTER[1]: "much faster", SLOWER[0]: "slower", SLOWER[1]: "much slower"}
        return f"{self.tempo:.4g} times as fast" if self.said else usual[self.tempo]


def degree(text: str) -> Degree | None:
    """What a wish comes to that is about tempo or about length; None: it is about something else, or about both."""
    text = _MORE.sub(r"\1 \2 more", plain(" ".join(text.lower().split()).strip(" .,!;")))
    found = slots.lengths(text)
    shape = slots.with_length(text, "<n>")
    if found:
        if len(found) > 1 or shape.count("<n>") > 1:
            return None
        what, sign = _formed("seconds", shape)
        if what is None:
            return None
        return Degree(seconds=sign * found[0], to=0.0 if sign else found[0], said=True, rest=what)
    amount = slots.factor(text)
    for kind, (more, less) in (("length", (LONGER, SHORTER)), ("tempo", (FASTER, SLOWER))):
        what, sign = _formed(kind, _AMOUNT.sub(" ", shape))
        if what is None:
            continue
        usual = (more if sign > 0 else less)[bool(_MUCH.search(text))]
        if kind == "tempo":
            return Degree(tempo=amount or usual, said=amount is not None, rest=what)
        if amount is None and re.search(r"\b(?:length|duration|as long)\b", text):
            return None  # "the same length"
        return Degree(length=1 / amount if amount else usual, said=amount is not None, rest=what)
    return None


def _formed(kind: str, shape: str) -> tuple[str | None, int]:
    """What a wish of this kind is about, and its sign; None = it is none."""
    shape = _stripped(shape if kind == "seconds" else _STRENGTH.sub(" ", shape))
    for pattern, sign in _FORMS[kind]:
        if m := pattern.fullmatch(shape):
            return _stripped(" ".join(g for g in m.groups() if g)), sign
    return None, 0


def _stripped(text: str) -> str:
    text = " ".join(text.split()).strip(" .,!;")
    return _TAIL.sub("", _LEAD.sub("", text)).strip(" .,!;")
