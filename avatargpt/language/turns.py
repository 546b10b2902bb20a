"""Turns by a measure: "turn left 90 degrees", "half turn to the right", "turn around".

A rule reads how far is asked for; how bodies come to turn so far: `avatargpt.body.turns`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LEAST, MOST = 15.0, 1080.0

_TENS = {w: 10 * n for n, w in enumerate("ten twenty thirty forty fifty sixty seventy eighty ninety".split(), 1)}
_TEENS = "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_UNITS = {"one": 1, "two": 2, "three": 3, "five": 5, **_TENS, **{w: n for n, w in enumerate(_TEENS, 11)}}
_ROUND = (45, 90, 135, 180, 270, 360, 540, 720)  # numbers that are degrees without saying so: "do a 180"
_ADVERBS = frozenset("slowly quickly fast calmly swiftly gently sharply suddenly abruptly briskly carefully".split())
_TURNS = frozenset(f"{v}{end}" for v in ("turn", "pivot", "swivel", "spin") for end in ("", "s")) | frozenset(
    "turning turned pivoting swivelling spinning rotate rotates rotating rotation".split()
)
_FACES = frozenset("face faces facing".split())
_WORDS = _ADVERBS | _TURNS | _FACES | _UNITS.keys() | frozenset(
    """a an the to by of on in at through for and is does do doing make makes making perform performs his her their its
    your my yourself himself herself themselves itself you body whole spot place now please just can could person man
    woman guy girl lady boy figure human someone somebody he she they it character avatar player degree degrees deg left
    right side way direction clockwise anticlockwise counterclockwise counter anti quarter three quarters half halfway
    full complete entire once all about around round other opposite u back behind hundred circle small tight and now
    away twice toward towards over heel little bit""".split()
)  # fmt: skip
_NUMBER = re.compile(r"\b(\d+(?:\.\d+)?)\s*(°|deg\b|degrees?\b)?")
_FULL = re.compile(
    r"\b(?:full|complete|entire)(?: \w+)? (?:turn|rotation|spin|pivot|circle)s?\b"
    r"|\b(?:all the way|once) a?round\b|\ba?round once\b|\bspins? (?:\w+ly )?once\b"
    r"|\bin a (?:small |tight |little )?circle\b"
)
_HALF = re.compile(r"\b(?:half|halfway|half way|u turn)\b")
# as often as it likes; more than is counted here; a head that turns
_UNCLEAR = re.compile(r"\ba?round and a?round\b|\band a half\b|\b(?:his|her|the|your|my|their|its) face\b")
_THREE = re.compile(r"\bthree quarters?\b")
_LITTLE = re.compile(r"\b(?:little|bit|slightly)\b")
_BACK = re.compile(r"\b(?:a?round|about|behind|back|heel|(?:other|opposite) (?:way|direction|side))\b")
ANTICLOCKWISE = r"\b(?:anti|counter)[- ]?clockwise\b"  # seen from above, to the left
CLOCKWISE = r"(?<!anti)(?<!counter)(?<!anti[- ])(?<!counter[- ])\bclockwise\b"
_LEFT, _RIGHT = re.compile(rf"\bleft\b|{ANTICLOCKWISE}"), re.compile(rf"\bright\b|{CLOCKWISE}")


@dataclass(frozen=True)
class Turn:
    """A turn on the spot.

    Attributes:
        degrees: how far, above 0.
        side: left or right of the body; empty = either.
        manner: an adverb, or empty.
    """

    degrees: float
    side: str = ""
    manner: str = ""

    @property
    def words(self) -> str:
        """A request for such an action, whatever its degrees."""
        if self.side:  # with both, the manner leads to walks
            return f"a person turns around to the {self.side}"
        return f"a person turns around {self.manner}" if self.manner else "a person turns to face the other way"

    def missed(self, turned: float) -> float:
        """Degrees between the goal and what was turned, positive to the left."""
        signed = {"left": turned, "right": -turned}.get(self.side, abs(turned))
        return abs(signed - self.degrees)


def turn_asked(text: str) -> Turn | None:
    """The turn that a clause asks for, or None where it says anything else besides, or not how far.

    "Around" is half a turn, a side alone a quarter, "a little" half of that.
    """
    lowered = re.sub(r"[-,!?]|\.(?!\d)", " ", text.lower())
    lowered = " ".join(re.sub(r"°", " degrees ", lowered).split())
    lowered = re.sub(r"\bright (now|away)\b", r"\1", lowered)
    said = re.findall(r"[a-z]+", lowered)
    if not {w for w in said if not w.endswith("ly")} <= _WORDS or _UNCLEAR.search(lowered):
        return None
    if not ({*said} & (_TURNS | _FACES) or re.search(r"\ba (?:one eighty|three sixty|180|360)\b", lowered)):
        return None
    left, right = bool(_LEFT.search(lowered)), bool(_RIGHT.search(lowered))
    degrees = _degrees(lowered, left or right)
    if degrees is None or (left and right) or not LEAST <= degrees <= MOST:
        return None
    manner = next((w for w in said if w in _ADVERBS), "")
    return Turn(degrees, "left" if left else "right" if right else "", manner)


def _degrees(said: str, sided: bool) -> float | None:
    """How far a clause of nothing but a turn says."""
    numbers = [(float(n), bool(unit)) for n, unit in _NUMBER.findall(said)]
    told = [n for n, unit in numbers if unit or n in _ROUND]
    spelt = _spelt(said)
    if len(numbers) > len(told) or len(told) > 1 or (told and spelt is not None):
        return None
    often = 2 if re.search(r"\btwice\b|\btwo (?!hundred|seventy|twenty)", said) else 1
    if told:
        return told[0] * often
    if spelt is not None:
        return spelt * (2 if re.search(r"\btwice\b", said) else 1)
    if _THREE.search(said):
        return 270.0
    if _FULL.search(said):
        return 360.0 * often
    if often > 1:
        return None
    if _HALF.search(said):
        return 180.0
    if re.search(r"\bquarter\b", said):
        return 90.0
    if re.search(r"\bspin", said):  # "spin around", "spin to the left": as often as it likes
        return None
    if _BACK.search(said):
        return 180.0
    return (45.0 if _LITTLE.search(said) else 90.0) if sided else None


def _spelt(said: str) -> float | None:
    """ "ninety degrees", "forty five", "a hundred and eighty degrees", "one eighty"; None where no number is spelt."""
    total, known = 0.0, False
    for word in said.split():
        value = _UNITS.get(word)
        if word == "hundred":
            total, known = 100 * (total or 1.0), True
        elif value is not None:
            total = (100 * total if value >= 10 and 0 < total < 10 else total) + value
            known = known or value >= 10
    return total if known else None
