"""English of captions: verb forms, subjects, clauses, and left and right exchanged in words."""

# Captions are written in the third person singular of the present ("a person walks, then turns left"). Users type
# imperatives ("walk, then turn left"), gerunds ("walking") and other subjects ("they walk"). :func:`convert` puts the
# finite verbs of a predicate into another form; :func:`split` finds the subject.

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


def words(text: str) -> list[str]:
    """A word list from a block of text."""
    return text.split()


_IRREGULAR_BASE = {"is": "be", "has": "have", "does": "do", "goes": "go", "lies": "lie", "ties": "tie", "dies": "die"}
_IRREGULAR_GERUND = {"be": "being", "lie": "lying", "tie": "tying", "die": "dying", "dye": "dyeing"}
# More than one syllable and still doubling the last consonant: stress on the last (begin -> beginning), or compounds of
# a word that doubles (sidestep -> sidestepping). Others do not (open -> opening).
_DOUBLING = {"begin", "unplug", "kickflip", "backflip", "sideflip", "sidestep", "jitterbug", "zigzag", "moonwalk"}

_BASES = words((Path(__file__).parent / "verbs.txt").read_text(encoding="utf-8"))
# Forms that are as often plural nouns in captions; after "and" they are nouns when the list before them is one.
_ALSO_NOUN = set(words("""
arms backs blocks bounces bounds bows boxes breaks circles claps cuts dances drops edges ends faces falls fists
flips fights grips hands heads holds hooks hops hugs jabs jerks jumps kicks knocks lands leaps legs lifts lines lobs
looks lunges marches motions moves paces passes pitches pivots places plants points poses presses pulls punches
pushes reaches rests rises rocks rolls rounds runs sets shakes shifts shrugs signals signs skips slaps slashes
slides spins springs sprints squats stamps stances stands starts steps stops stretches strides strikes strings
strolls swings throws tips touches trips turns twirls twists walks waves whirls wipes works
"""))  # fmt: skip
_ADVERBS_BETWEEN = set(words("then next finally lastly later afterwards after again even also once just"))
_DETERMINERS = set(words("a an the his her their its your my this that some several few two three four both one each"))
_PREPOSITIONS = set(words("with without of in on at by from into for through to over under like as including"))


def also_noun(third: str) -> bool:
    """Whether a verb form is as often a plural noun in captions (``steps``, ``turns``)."""
    return third.lower() in _ALSO_NOUN


def third_of(base: str) -> str:
    """Third person singular: ``walk -> walks``, ``carry -> carries``, ``punch -> punches``."""
    for third, b in _IRREGULAR_BASE.items():
        if b == base:
            return third
    if re.search(r"[^aeiou]y$", base):
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")


def gerund_of(base: str) -> str:
    """``walk -> walking``, ``wave -> waving``, ``run -> running``, ``lie -> lying``."""
    if base in _IRREGULAR_GERUND:
        return _IRREGULAR_GERUND[base]
    if base.endswith("e") and not base.endswith(("ee", "oe", "ye")):
        return base[:-1] + "ing"
    doubles = re.search(r"(?:[^aeiou]|qu)[aeiou][^aeiouwxy]$", " " + base)
    syllables = len(re.findall(r"[aeiouy]+", base.replace("qu", "q")))
    return base + (base[-1] if doubles and (syllables == 1 or base in _DOUBLING) else "") + "ing"


THIRD: dict[str, str] = {third_of(b): b for b in _BASES} | {"is": "be", "has": "have"}
GERUND: dict[str, str] = {gerund_of(b): b for b in _BASES}

_TOKEN = re.compile(r"[A-Za-z]+(?:[-'][A-Za-z]+)*|\d+|\s+|.", re.S)


def tokens(text: str) -> list[str]:
    """Words, numbers, spaces and single other characters; joining them gives the text back."""
    return _TOKEN.findall(text)


def finite_verbs(predicate: str) -> list[int] | None:
    """Token numbers of the verbs that belong to the (removed) subject, or None when the first word is no known verb.

    A verb stands first (adverbs may come before it) or after ``and``, ``then``, ``,`` or ``;``. A plural noun in the
    same place is told apart by what stands before it: in "a form with punches and blocks" the word before ``and`` is a
    bare noun, in "bends the knees and leaps" it is not.
    """
    toks = tokens(predicate)
    words = [(i, t.lower()) for i, t in enumerate(toks) if not t.isspace()]
    verbs: list[int] = []
    k = 0
    while k < len(words) and words[k][1].endswith("ly") or (k < len(words) and words[k][1] in _ADVERBS_BETWEEN):
        k += 1
    if k >= len(words) or words[k][1] not in THIRD:
        return None
    verbs.append(words[k][0])
    for j in range(k + 1, len(words)):
        i, w = words[j]
        if w not in THIRD:
            continue
        b = j - 1
        while b > 0 and (words[b][1] in _ADVERBS_BETWEEN or (words[b][1].endswith("ly") and b > k)):
            b -= 1
        link = words[b][1]
        direct = words[j - 1][1]
        if link not in ("and", ",", ";", "or", "but") and direct not in ("then", "next", "finally"):
            continue
        if w in _ALSO_NOUN and b >= 2 and link in ("and", ",", "or"):
            before, earlier = words[b - 1], words[b - 2][1]
            bare_list = before[1] in THIRD or before[1].endswith("s")
            if bare_list and before[0] not in verbs and (earlier in _PREPOSITIONS or words[b - 2][0] in verbs):
                continue
            following = words[j + 1][1] if j + 1 < len(words) else ""
            if following == "of":
                continue
        if direct in _DETERMINERS or (w in _ALSO_NOUN and link == "," and direct.endswith("ly")):
            continue  # "with sharp, lively motions"
        verbs.append(i)
    return verbs


def convert(predicate: str, form: str) -> str | None:
    """Put a third-person predicate into another form.

    Args:
        predicate: e.g. ``walks forward and waves``.
        form: ``base`` (imperative, or after they/you), ``gerund``, ``progressive`` ("is walking") or ``third`` ("is
            walking" becomes "walks", the rest stays).

    Returns:
        The predicate, or None when its verbs are not known.
    """
    verbs = finite_verbs(predicate)
    if verbs is None:
        return None
    toks = tokens(predicate)
    out = list(toks)
    for n, i in enumerate(verbs):
        base = THIRD[toks[i].lower()]
        after = toks[i + 2].lower() if i + 2 < len(toks) else ""
        if base == "be" and after in GERUND:  # "is walking" -> walk / walking
            out[i] = out[i + 1] = ""
            base, i = GERUND[after], i + 2
        elif base == "be" and form != "base":
            return None
        elif base == "keep" and after in GERUND and form in ("gerund", "progressive"):  # "keeps walking" -> walking
            out[i] = out[i + 1] = ""
            base, i = GERUND[after], i + 2
        new = base if form == "base" else third_of(base) if form == "third" else gerund_of(base)
        out[i] = f"is {new}" if form == "progressive" and n == 0 else new
    return "".join(out)


# Clauses: lead, subject and predicate.
PEOPLE = words("""
person figure human man woman guy boy girl child kid dancer player fighter referee actor character avatar subject
lady gentleman teenager youth adult citizen giant creature ogre monster bodybuilder thug punk hoodlum gangster
delinquent mannequin doll puppet dummy robot android machine zombie corpse drunk drunkard individual athlete
performer model dude fellow somebody someone he she they it
""")
_SUBJECT = re.compile(
    r"^(?:(?P<lead>.{3,60}?), )??"
    r"(?P<subject>(?:(?:an?|the|this|one) (?:[a-z]+[ -]){0,2}?)?(?:" + "|".join(PEOPLE) + r"))"
    r" (?P<rest>[a-z].*)$",
    re.I | re.S,
)
NEUTRAL = {
    "a person", "the person", "person", "someone", "somebody", "a figure", "the figure", "a human", "the human",
    "the subject", "he", "she", "they", "it", "an individual", "one person",
}  # fmt: skip
_HAS_SUBJECT = re.compile(r"\b(?:as|while|when|until|because) (?:an?|the|he|she|they|it|someone|somebody)\b", re.I)


@dataclass(frozen=True)
class CaptionParts:
    """A caption taken apart: ``lead, subject predicate``."""

    lead: str  # what stands before the subject, without its comma, or empty
    subject: str  # e.g. ``a person``
    predicate: str  # the rest, without the final period

    @property
    def neutral(self) -> bool:
        """Whether the subject implies no manner of movement."""
        return self.subject.lower() in NEUTRAL

    def verb_phrase(self, form: str) -> str | None:
        """The predicate in another form (see :func:`convert`), with a movable lead put behind it."""
        if _HAS_SUBJECT.search(self.predicate):
            return None
        phrase = convert(self.predicate, form)
        if phrase is None or not self.lead:
            return phrase
        lead = self.lead[0].lower() + self.lead[1:]
        first = lead.split()[0]
        if first in GERUND:
            lead, first = f"while {lead}", "while"
        movable = first in ("with", "without", "while", "from", "on") and " and " not in phrase and ", " not in phrase
        return f"{phrase} {lead}" if movable else None


def split(caption: str) -> CaptionParts | None:
    """Take a caption apart, or None when its form is another (no subject of the known kind, two sentences)."""
    text = " ".join(caption.split()).rstrip(" .!")
    if re.search(r"[.!?] ", text):
        return None
    m = _SUBJECT.match(text)
    if not m:
        return None
    clause = CaptionParts(m["lead"] or "", m["subject"], m["rest"])
    verbs = finite_verbs(clause.predicate)
    return clause if verbs is not None else None


def first_verb(captions: Sequence[str]) -> str:
    """Base form of the first verb of the first caption that can be taken apart, or an empty string."""
    for caption in captions:
        clause = split(caption)
        if clause is not None:
            words = tokens(convert(clause.predicate, "base") or "")
            return next((w for w in words if w.isalpha() and not w.endswith("ly")), "")
    return ""


# Left and right: exchanged where they are directions ("turns left"), kept where they are not ("he left").
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
    matches = []
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
        matches.append((m, "clockwise" if "-clock" in word else _SWAP[word]))
    return matches


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
    """The name of the mirrored action, or side: ``walk-turn-left`` -> ``walk-turn-right``, also with underscores."""
    parts = re.split(r"([-_])", action)
    return "".join({"left": "right", "right": "left"}.get(p, p) for p in parts)


@lru_cache(maxsize=1 << 17)  # captions are asked for once for each of their clips
def side_of(text: str) -> str | None:
    """Which side a sentence speaks of: ``left``, ``right``, ``both`` (the two words occur) or None."""
    matches = [m.group(0).lower() for m, _ in _directions(text)]
    sides = {"left" if w.startswith(("left", "southpaw")) else "right" for w in matches if "clockwise" not in w}
    return "both" if len(sides) == 2 else (sides.pop() if sides else None)
