"""Ways to walk that a request names: "walk in a circle", "run in a zigzag", "walk in a straight line".

This is a rule. The network walks, runs or sneaks; where to it cannot be told. So the shape is read from the words, the
motion is made without it, and its path is bent to the shape: the yaw rate is changed in proportion to speed, so that a
foot on the floor slides no more than before and positions are never shifted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vqvae.features.base import FeatureSpec
from vqvae.motion import Motion

TREND = 0.7  # seconds: what the heading does more slowly is its way, the rest belongs to the gait
EASE = 0.3  # seconds in which a bend sets in
RUNS = 0.75  # a run needs that much of the time of a walk
SMALL, BIG = 0.7, 1.4  # so do small and big shapes

TURN = "turn"  # of a walk that goes straight on before and after it
NUMBER = re.compile(r"\b(\d{2,3})(?: ?°| degrees?)")

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
_SIZE = r"(?P<size>small|little|tiny|tight|narrow|big|large|wide|huge)"
_KINDS = "|".join(f"(?P<{name.replace(' ', '_')}>{words})" for name, words in _WORDS.items())
_NAMED = re.compile(
    r"\s*\b(?:(?:around|round|about) )?(?:(?:in|along|around|round|on|through|following|like|making|forming|doing) )?"
    rf"(?:(?:(?P<count>two|three|twice)|a|an|the|one|some|full|complete|whole|perfect|clockwise|(?:anti|counter)-?clockwise|"
    rf"left|right|{_SIZE}) )*(?:{_KINDS})(?: (?:path|pattern|shape|line|motion|fashion))?\b"
    r"(?: (?:that|which) (?:bends|curves|turns|goes|leads|veers|runs)(?= (?:to|toward|towards) ))?"
    r"(?! (?:of|the|his|her|their|your|my|both|arms|and arms|kick|with (?:the|his|her|both)))"
)
_LEFT = re.compile(r"\bleft\b|\b(?:anti|counter)[- ]?clockwise\b")
_RIGHT = re.compile(r"\bright\b|(?<!anti)(?<!counter)(?<!anti[- ])(?<!counter[- ])\bclockwise\b")
_SIDES = re.compile(
    r",?\s*\b(?:to (?:the|his|her|their|your) (?:left|right)|(?:(?:anti|counter)[- ]?)?clockwise|left|right)\b"
)


@dataclass(frozen=True)
class Route:
    """A shape on the floor.

    Attributes:
        shape: a name in `SHAPES`. side: to which it begins, left or right. count: how often a circle is gone.
        size: factor of its time. words: the request without it. degrees: of a `TURN`.
    """

    shape: str
    side: str
    count: int
    size: float
    words: str
    degrees: float = 90.0

    @property
    def told(self) -> str:
        if self.shape == "straight line":
            return "in a straight line"
        if self.shape == TURN:
            return f"with a turn of {self.degrees:g} degrees to the {self.side}"
        often = {1: "a", 2: "two", 3: "three"}[self.count]
        return f"in {often} {self.shape}{'s' * (self.count > 1)} to the {self.side}"

    @property
    def tokens(self) -> int:
        """Motion tokens that it takes, 0 = as many as usual."""
        usual = SHAPES[self.shape][1] * self.count * self.size
        return round(usual * (RUNS if _RUN.search(self.words) else 1.0))

    def heading(self, way: np.ndarray) -> np.ndarray:
        """Degrees, positive to the left, at shares of the way (T,) 0..1."""
        turns = self.count * np.asarray(SHAPES[self.shape][0](way), float) * (self.degrees / 90)
        return -turns if self.side == "right" else turns


def route_asked(text: str) -> Route | None:
    """The shape that a clause names for going somewhere, or None."""
    lowered = " ".join(text.lower().split())
    found = _NAMED.search(lowered)
    if not found or not _LOCOMOTION.search(lowered[: found.start()] + lowered[found.end() :]):
        return None
    shape = next(name for name in _WORDS if found[name.replace(" ", "_")])
    left, right = bool(_LEFT.search(lowered)), bool(_RIGHT.search(lowered))
    if left and right:
        return None
    plural = shape == "circle" and found["circle"].endswith("s")
    count = {"two": 2, "twice": 2, "three": 3}.get(found["count"] or "", 2 if plural else 1)
    if shape == "circle" and (more := re.search(r"\b(twice|two times|three times)\b", lowered[found.end() :])):
        count = 3 if more[1].startswith("three") else 2
    said = found["size"] or ""
    size = SMALL if said in ("small", "little", "tiny", "tight", "narrow") else BIG if said else 1.0
    rest = re.sub(r"\b(?:twice|two times|three times)\b", "", lowered[: found.start()] + " " + lowered[found.end() :])
    rest = _PLAIN.sub("walks", " ".join(_SIDES.sub("", rest).split()).strip(" ,"))
    return Route(shape, "right" if right else "left", count if shape == "circle" else 1, size, rest)


def walking_turn(text: str, side: str) -> Route:
    """A turn in the midst of a walk: as many degrees as the text says, else a quarter."""
    told = NUMBER.search(text.lower())
    degrees = float(told[1]) if told else 90.0
    return Route(TURN, side, 1, 1.0, "walk", degrees if degrees <= 360 else 90.0)


def along(features: np.ndarray, route: Route, spec: FeatureSpec, caption: str = "") -> Motion:
    """Body features (T, 269) as a motion whose path has the route's shape.

    What the heading does slowly is replaced by the shape; what it does with each step stays.
    """
    from scipy.ndimage import gaussian_filter1d

    out = features.copy()
    speed = np.hypot(out[:, 1], out[:, 2])
    way = np.cumsum(speed) / max(float(speed.sum()), 1e-6)
    own = np.cumsum(out[:, 3])
    gait = own - gaussian_filter1d(own, TREND * spec.fps, mode="nearest")
    wanted = gaussian_filter1d(np.radians(route.heading(way)), EASE * spec.fps, mode="nearest") + gait
    out[:, 3] = np.diff(wanted, prepend=wanted[:1])
    return spec.decode(out, caption)
