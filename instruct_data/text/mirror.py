"""Left and right exchanged in words, for clips that are mirrored.

"left" is also a verb ("he left the room") and "right" an intensifier ("right away"); those stay as they are.
"""

from __future__ import annotations

import re

from instruct_data.text.english import words

_SWAP = {
    "left": "right", "lefts": "rights", "leftward": "rightward", "leftwards": "rightwards", "lefthand": "righthand",
    "lefthanded": "righthanded", "leftmost": "rightmost", "lefty": "righty", "leftside": "rightside",
}  # fmt: skip
_SWAP |= {v: k for k, v in _SWAP.items()}
_SWAP |= {"clockwise": "counterclockwise", "counterclockwise": "clockwise", "anticlockwise": "clockwise",
          "southpaw": "right-handed", "stage-left": "stage-right", "stage-right": "stage-left"}  # fmt: skip
_ANY = "|".join(sorted(_SWAP, key=len, reverse=True))
_WORD = re.compile(rf"\b(?:counter-clockwise|anti-clockwise|{_ANY})\b", re.I)

# After these, left and right are directions whatever follows ("turns right after a few steps", "the left for").
_DIRECTED = set(words("""
to the a an from towards toward your his her my its their our and/or bottom top upper lower far hard sharp
turn turns turning turned veer veers veering steer steers steering head heads heading go goes going walk walks walking
step steps stepping look looks looking move moves moving lean leans leaning sidestep sidesteps sidestepping bend bends
bending curve curves curving pivot pivots pivoting swing swings swinging drift drifts drifting slide slides sliding run
runs running jog jogs jogging hop hops hopping jump jumps jumping roll rolls rolling shuffle shuffles shuffling strafe
strafes strafing spin spins spinning rotate rotates rotating point points pointing arc arcs lunge lunges lunging dodge
dodges dodging tilt tilts duck ducks kick kicks punch punches wave waves dash dashes skip skips stage degrees
"""))  # fmt: skip
# Words after which "right" (unless directed) only strengthens: right away, right in front of, right after that.
_STRENGTHENED = set(words("""
away now there here behind after before up down through next beside back on off over under above below around as when
where into onto out until past angle angles angled in-front
"""))  # fmt: skip
_LEFT_OBJECT = set(words("the a an his her their its my your our home behind off out alone early work it them him us"))
_PERFECT = set(words("""
has have had having is are was were be been being gets got just already never who he she they we someone somebody person
"""))  # fmt: skip
_REMAINING = set(words("strength energy nothing anything something everything time power breath life fight hope"))
_BODY = set(words("""
hand hands arm arms leg legs foot feet side elbow knee shoulder fist palm wrist ankle hip thigh heel toe finger
thumb eye ear turn turns step steps one and or to hander handed
"""))  # fmt: skip


def _is_direction(word: str, before: str, after: str, before2: str) -> bool:
    if word == "left":
        if before in _REMAINING or (before2 == "no" and before not in _DIRECTED):
            return False
        if before in _DIRECTED:
            return True
        if before in _PERFECT and after not in _BODY:
            return False  # "has left", "he left"
        return after not in _LEFT_OBJECT
    if word == "right":
        if before in ("all", "that's", "thats", "is") and after not in _BODY:
            return False
        if after in ("angle", "angles", "angled") or (before in ("", "and", "or", "but", "then") and after == "away"):
            return False
        return before in _DIRECTED or after not in _STRENGTHENED or before in ("left", "or") or before2 == "left"
    return True


def _like(original: str, new: str) -> str:
    if original.isupper() and len(original) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if original[0].isupper() else new


def _directions(text: str) -> list[tuple[re.Match[str], str]]:
    """Every word of the text that names a side or a sense of rotation, with its counterpart."""
    found = []
    for m in _WORD.finditer(text):
        word = m.group(0).lower()
        if word in ("left", "right"):
            left = re.findall(r"[a-z']+|[.;:!?,]", text[: m.start()].lower())
            # what follows within the same clause; punctuation ends the neighbourhood
            right = re.match(r"[\s-]*([a-z']+)?[\s-]*([a-z']+)?", text[m.end() :].lower())
            before, before2 = (left[-1] if left else ""), (left[-2] if len(left) > 1 else "")
            after = (right.group(1) or "") if right else ""
            if right and (after, right.group(2)) == ("in", "front"):
                after = "in-front"
            if not _is_direction(word, before, after, before2):
                continue
        found.append((m, "clockwise" if "-clock" in word else _SWAP[word]))
    return found


def mirror_text(text: str) -> str:
    """Exchange left and right, clockwise and counterclockwise; case is kept.

    Applying it twice gives the text back, but for words that have no counterpart (``anticlockwise`` becomes
    ``clockwise`` and then ``counterclockwise``; ``southpaw`` becomes ``right-handed``).
    """
    out, end = [], 0
    for m, new in _directions(text):
        out += [text[end : m.start()], _like(m.group(0), new)]
        end = m.end()
    return "".join([*out, text[end:]])


def mirror_action(action: str) -> str:
    """The class name of the mirrored clip: ``walk-turn-left`` -> ``walk-turn-right``, also with underscores."""
    parts = re.split(r"([-_])", action)
    return "".join({"left": "right", "right": "left"}.get(p, p) for p in parts)


def side_of(text: str) -> str | None:
    """Which side a sentence speaks of: ``left``, ``right``, ``both`` (the two words occur) or None."""
    found = [m.group(0).lower() for m, _ in _directions(text)]
    sides = {"left" if w.startswith(("left", "southpaw")) else "right" for w in found if "clockwise" not in w}
    return "both" if len(sides) == 2 else (sides.pop() if sides else None)
