"""Ways to walk that a request names: "walk in a circle", "run in a zigzag", "walk in a straight line".

This is a rule. The network walks, runs or sneaks; where to it cannot be told. So the shape is read from the words, the
motion is made without it, and its path is bent to the shape: the yaw rate is changed in proportion to speed, positions
are never shifted. A foot on the floor then moves with the body's turn: in a walked circle that does not show (0.01 more
of the steps slide), in a crawled one it does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avatargpt.language.lexical import NUMBERS
from avatargpt.language.turns import ANTICLOCKWISE, CLOCKWISE

STEP = 2.9  # motion tokens of a step
RUNS = 0.75  # a run needs that much of the time of a walk
SMALL, BIG = 0.7, 1.4  # so do small and big shapes

TURN = "turn"  # of a walk that goes straight on before and after it
NUMBER = re.compile(r"\b(\d+(?:\.\d+)?)(?:°| ?deg| degrees?)")

Shape = Callable[[np.ndarray], np.ndarray]


def _legs(*degrees: float) -> Shape:
    """Straight legs of equal length in these directions."""
    return lambda u: np.array(degrees)[np.minimum((u * len(degrees)).astype(int), len(degrees) - 1)]


# name -> degrees of heading over the share of the way (0..1), to the left; motion tokens that it takes to walk it
SHAPES: dict[str, tuple[Shape, int]] = {
    "circle": (lambda u: 360 * u, 44),
    "half circle": (lambda u: 180 * u, 26),
    "quarter circle": (lambda u: 90 * u, 18),
    "figure eight": (lambda u: 360 - 360 * np.abs(2 * u - 1), 80),
    "zigzag": (lambda u: _legs(40, -40, 40, -40, 40, -40)(u) * (u > 0.03), 48),
    "winding line": (lambda u: 55 * np.sin(4 * np.pi * u), 48),
    "square": (_legs(0, 90, 180, 270), 60),
    "triangle": (_legs(0, 120, 240), 50),
    "straight line": (lambda u: 0 * u, 0),
    TURN: (lambda u: np.where(u < 0.5, 0, 90), 0),
}
_WORDS = {
    "half circle": r"half(?:[- ]| a )circles?|semi-?\s?circles?",
    "quarter circle": r"quarter(?:[- ]| of a )circles?|arcs?|curves?|bend",
    "circle": r"circles?|rings?|loops?",
    "figure eight": r"figures?[- ](?:of[- ])?(?:eights?|8s?)|infinity(?: (?:sign|symbol))?",
    "zigzag": r"zig-?\s?zags?",
    "winding line": r"slaloms?|serpentines?|s[- ](?:curve|shape|line)s?"
    r"|(?:winding|wavy|curvy|snaking) (?:line|path|way)s?",
    "square": r"squares?|rectangles?",
    "triangle": r"triangles?",
    "straight line": r"straight line",
}
_GOES = (
    r"walk|run|jog|sprint|stroll|march|sneak|creep|tiptoe|limp|strut|stride|wander|amble|skip|hop|crawl|pace|hike|dash|"
    r"race|trot|stagger|shuffle|stomp|prance|parade|wade|skate|go|move|travel|circle"
)
_LOCOMOTION = re.compile(rf"\b(?:{_GOES})(?:s|es|ning|ing|ping|ped|ed)?\b|\b(?:goes|going|moving|striding|ran)\b")
_PLAIN = re.compile(r"\b(?:go|goes|going|move|moves|moving|travels?|travelling|traveling)\b")
_RUN = re.compile(r"\b(?:run|ran|sprint|jog|dash|race)")
_SMALL, _BIG = ("small", "little", "tiny", "tight", "narrow"), ("big", "large", "wide", "huge")
_COUNTS = {"twice": 2} | {w: n for w, n in NUMBERS.items() if 2 <= n <= 6}
_COUNT = rf"(?:{'|'.join(_COUNTS)}|[2-6])"
_KINDS = "|".join(f"(?P<{name.replace(' ', '_')}>{words})" for name, words in _WORDS.items())
_NAMED = re.compile(
    r"\s*\b(?:(?:around|round|about) )?(?:(?:in|along|around|round|on|through|following|like|making|forming|doing) )?"
    rf"(?:(?:(?P<count>{_COUNT})|a|an|the|one|some|full|complete|whole|perfect|clockwise|(?:anti|counter)-?clockwise|"
    rf"left|right|(?P<size>{'|'.join(_SMALL + _BIG)})) )*(?:{_KINDS})(?: (?:path|pattern|shape|line|motion|fashion))?\b"
    r"(?: (?:that|which) (?:bends|curves|turns|goes|leads|veers|runs)(?= (?:to|toward|towards) ))?"
    r"(?! (?:of|the|his|her|their|your|my|both|arms|and arms|kick|box|stance))"
)
_REPEATED = re.compile(rf"\s*\b(?P<count>twice|thrice|{_COUNT} times)\b")
_LIMB = r"(?!(?: \w+)? (?:hand|arm|leg|foot|fist|knee|elbow|shoulder|eye|side of)s?\b)"
_LEFT = re.compile(rf"\bleft\b{_LIMB}|{ANTICLOCKWISE}")
_RIGHT = re.compile(rf"\bright\b(?! (?:now|away)\b){_LIMB}|{CLOCKWISE}")
_SIDES = re.compile(
    r",?\s*\b(?:to (?:the|his|her|their|your) (?:left|right)(?! side of)|(?:(?:anti|counter)[- ]?)?clockwise"
    rf"|(?:left|right)\b{_LIMB})\b"
)
# what may stand between going and the shape: "walks slowly to the left in a circle", but "moves his arms in a circle"
_MANNER = re.compile(
    r"(?:\s*,?\s*(?:a?round|about|forwards?|back(?:wards?)?|sideways|straight|fast|once|along|on|\w+ly|while|"
    r"to the (?:left|right)|left|right|like an? \w+|(?:(?:anti|counter)[- ]?)?clockwise)\b)*\s*,?\s*$"
)
_PLACE = re.compile(r"\b(?:to|into|onto|towards?|from|across|over|past|at|inside|within|out of|off|by|behind)$")


_FEW = {w: n for w, n in NUMBERS.items() if 2 <= n <= 10} | {"a few": 3, "several": 4, "some": 3, "a couple of": 2}
_AHEAD = r"(?:forwards?|ahead|straight(?: (?:ahead|forward|on))?)"
_STEPS = re.compile(
    rf"^(?:\w+ )??(?:\w+ )?(?:walks?|walking|goes|go|moves?|steps?|takes?|taking)(?: {_AHEAD})? "
    rf"(?P<n>[2-9]|1\d|20|{'|'.join(_FEW)}) (?:steps?|paces)(?: {_AHEAD})?$"
)


@dataclass(frozen=True)
class Route:
    """A shape on the floor.

    Attributes:
        shape: a name in `SHAPES`. side: to which it begins, left or right. count: how often a circle is gone.
        size: factor of its time. words: the request without it. degrees: of a `TURN`. steps: if counted.
    """

    shape: str
    side: str
    count: int
    size: float
    words: str
    degrees: float = 90.0
    steps: int = 0

    @property
    def told(self) -> str:
        if self.steps:
            return f"{self.steps} steps ahead"
        if self.shape == "straight line":
            return "in a straight line"
        if self.shape == TURN:
            return f"with a turn of {self.degrees:g} degrees to the {self.side}"
        often = {1: "a", **{n: word for word, n in _COUNTS.items()}}[self.count]
        size = "small " if self.size < 1 else "big " if self.size > 1 else ""
        return f"in {often} {size}{self.shape}{'s' * (self.count > 1)} to the {self.side}"

    @property
    def tokens(self) -> int:
        """Motion tokens that it takes, 0 = as many as usual."""
        if self.steps:
            return round(STEP * self.steps) + 1
        usual = SHAPES[self.shape][1] * self.count * self.size
        return round(usual * (RUNS if _RUN.search(self.words) else 1.0))

    def heading(self, way: np.ndarray) -> np.ndarray:
        """Degrees, positive to the left, at shares of the way (T,) 0..1."""
        turns = self.count * np.asarray(SHAPES[self.shape][0](way), float) * (self.degrees / 90)
        return -turns if self.side == "right" else turns


def route_asked(text: str) -> Route | None:
    """The shape that a clause names for going somewhere, or None."""
    lowered = " ".join(text.lower().split())
    if steps := _STEPS.match(lowered):
        told = steps["n"]
        return Route("straight line", "left", 1, 1.0, "walk", steps=_FEW.get(told) or int(told))
    found = _NAMED.search(lowered)
    if not found or not _goes_so(lowered, found):
        return None
    shape = next(name for name in _WORDS if found[name.replace(" ", "_")])
    left, right = bool(_LEFT.search(lowered)), bool(_RIGHT.search(lowered))
    if left and right:
        return None
    again = _REPEATED.search(lowered, found.end()) if shape == "circle" else None
    told = again["count"].split()[0] if again else found["count"] or ""
    plural = shape == "circle" and found["circle"].endswith("s")
    count = 3 if told == "thrice" else _COUNTS.get(told) or int(told or 1 + plural)
    said = found["size"] or ""
    size = SMALL if said in _SMALL else BIG if said else 1.0
    after = lowered[found.end() : again.start()] + lowered[again.end() :] if again else lowered[found.end() :]
    rest = " ".join(_SIDES.sub("", f"{lowered[: found.start()]} {after}").split()).strip(" ,")
    return Route(
        shape, "right" if right else "left", count if shape == "circle" else 1, size, _PLAIN.sub("walks", rest)
    )


def _goes_so(text: str, found: re.Match[str]) -> bool:
    """Whether somebody goes along the shape: right behind the verb, or its manner; not to a place of that name."""
    before = text[: found.start()]
    if _PLACE.search(before) or (found["quarter_circle"] == "bend" and not re.search(r"(?:a?round|along) ", found[0])):
        return False
    return any(_MANNER.match(before[verb.end() :]) for verb in _LOCOMOTION.finditer(before))


def walking_turn(text: str, side: str) -> Route:
    """A turn in the midst of a walk: as many degrees as the text says, else a quarter."""
    told = NUMBER.search(text.lower())
    degrees = float(told[1]) if told else 90.0
    return Route(TURN, side, 1, 1.0, "walk", degrees if degrees <= 360 else 90.0)
